"""A picture that would need much memory is not decoded."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from scifish.attributes import encoded
from scifish.attributes.encoded import EncodedPicture
from scifish.message.types import MAX_RECORDED_PICTURE_BYTES


def test_a_picture_of_too_many_pixels_is_only_described(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((400, 400), 64).save(buffer, format="PNG")
    picture = EncodedPicture("png", buffer.getvalue())
    assert len(picture.data) > MAX_RECORDED_PICTURE_BYTES
    assert picture.data_uri().startswith("data:image/jpeg;base64,")
    monkeypatch.setattr(encoded, "MAX_ORIGINAL_PIXELS", 400 * 400 - 1)
    assert picture.data_uri() == ""
