"""DevEncoded attributes: JSON becomes values, JPEG and PNG a picture of bounded size; all others format and size.

The bytes show which kind it is: the format is only what the author of the device wrote.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scifish.message.types import MAX_RECORDED_PICTURE_BYTES

MAX_JSON_BYTES = 100_000
MAX_JSON_VALUES = 1000
"""Larger JSON is only described: each of its values would have its own source and time in the message."""

MAX_ORIGINAL_BYTES = 20_000_000
"""Larger pictures are only described."""

MAX_ORIGINAL_PIXELS = 50_000_000
"""Larger pictures are not decoded: a few bytes may be gigabytes of memory."""

MAX_ENCODED_PICTURE_PIXELS = 640
"""Width and height of a picture that is scaled down, at most."""

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class EncodedPicture:
    """A picture as it was read; as a text, its format and size."""

    format: str
    data: bytes

    def __str__(self) -> str:
        return described(self.format, self.data)

    def data_uri(self) -> str:
        """The picture as a data URI of at most `MAX_RECORDED_PICTURE_BYTES` before its encoding as base64.

        "" if it cannot be made so small: that needs Pillow (extra `plot`).
        """
        data = self.data
        if len(data) > MAX_RECORDED_PICTURE_BYTES:
            data = _smaller(data)
        kind = "png" if data.startswith(_PNG) else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}" if data else ""


def described(encoding: str, data: bytes) -> str:
    """The format and the size, as a text for people."""
    return f"{encoding}, {len(data)} bytes"


def decoded_value(encoding: str, data: bytes) -> Any:
    """What JSON contains, a `EncodedPicture`, or a text. Never raises."""
    if data.startswith((_JPEG, _PNG)):
        return EncodedPicture(encoding, data) if len(data) <= MAX_ORIGINAL_BYTES else described(encoding, data)
    if "json" in encoding.lower() or data.lstrip()[:1] in (b"{", b"["):
        if len(data) > MAX_JSON_BYTES:
            return f"{described(encoding, data)}; at most {MAX_JSON_BYTES} are recorded value by value"
        try:
            found = json.loads(data)
            if _count(found) <= MAX_JSON_VALUES:
                return found if found != {} else "{}"
            return f"{described(encoding, data)}; at most {MAX_JSON_VALUES} values are recorded one by one"
        except (ValueError, RecursionError):
            pass  # it only looks like JSON
    return described(encoding, data)


def _count(value: Any) -> int:
    """How many values of their own it will be: a list is one."""
    return sum(map(_count, value.values())) if isinstance(value, Mapping) else 1


def _smaller(data: bytes) -> bytes:
    """The picture as a JPEG within the limit; empty if that is not possible."""
    try:
        from PIL import Image

        with Image.open(io.BytesIO(data)) as original:
            if original.width * original.height > MAX_ORIGINAL_PIXELS:
                return b""
            original.draft(
                "RGB", (MAX_ENCODED_PICTURE_PIXELS, MAX_ENCODED_PICTURE_PIXELS)
            )  # a JPEG is decoded at a smaller scale
            original.thumbnail((MAX_ENCODED_PICTURE_PIXELS, MAX_ENCODED_PICTURE_PIXELS))
            picture = original.convert("RGB")
        for quality in (85, 60, 30):
            buffer = io.BytesIO()
            picture.save(buffer, format="JPEG", quality=quality)
            if buffer.tell() <= MAX_RECORDED_PICTURE_BYTES:
                return buffer.getvalue()
    except Exception:  # noqa: BLE001 - no Pillow, or a picture that it refuses in any of its many ways
        return b""
    return b""
