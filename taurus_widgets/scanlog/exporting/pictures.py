"""The pictures of a dataset, as files. No Qt here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Any

from ingest.scicat import SciCat
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json

PICTURE_SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
"""The types that are exported. Not SVG: it can contain scripts, and would be opened from a trusted address."""

_URI = re.compile(r"data:(?P<kind>[a-z]+/[a-z0-9.+-]+);base64,(?P<data>[A-Za-z0-9+/=\s]*)", re.IGNORECASE)


@dataclass(frozen=True)
class PictureFile:
    """`stem` starts the name of its file. It has letters, digits and dashes only, and is unique in the dataset."""

    stem: str
    kind: str
    caption: str
    data: bytes

    @property
    def suffix(self) -> str:
        return PICTURE_SUFFIXES[self.kind]

    @property
    def name(self) -> str:
        """The name for people."""
        return self.caption or f"{self.stem}.{self.suffix}"

    @property
    def uri(self) -> str:
        """The picture as a `data:` URI, for an HTML page without other files."""
        return f"data:{self.kind};base64,{base64.b64encode(self.data).decode()}"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def read(scicat: SciCat, dataset: Json) -> list[PictureFile]:
    """The dataset's pictures in the catalogue; none if it is not in the catalogue yet. Raises SciCatError."""
    if dataset.get("provisional"):
        return []
    return decoded(dataset, scicat.attachments(dataset["pid"]))


def decoded(dataset: Json, attachments: list[Json]) -> list[PictureFile]:
    """The attachments that are pictures of a known type, decoded."""
    made: list[PictureFile] = []
    for attachment in attachments:
        found = _image(attachment.get("thumbnail"))
        if found is not None:
            stem = f"{slug(f'scan {cols.scan_number(dataset)}')}-{len(made) + 1}"
            made.append(PictureFile(stem, found[0], cols.line(attachment.get("caption")), found[1]))
    return made


def _image(uri: Any) -> tuple[str, bytes] | None:
    match = _URI.fullmatch(uri) if isinstance(uri, str) else None
    if match is None or match["kind"].lower() not in PICTURE_SUFFIXES:
        return None
    try:
        data = base64.b64decode(match["data"])
    except binascii.Error:
        return None
    return (match["kind"].lower(), data) if data else None


def slug(text: str, longest: int = 40) -> str:
    """The text as a part of a file name that is valid on any system: letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text)[:longest].strip("-.") or "scan"
