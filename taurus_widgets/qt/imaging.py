"""Conversion of pictures from and to the `data:` URIs that SciCat stores. For any thread."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from taurus.external.qt import Qt

MAX_PICTURE_BYTES = 2 * 1024 * 1024
"""Maximum bytes of a sent picture: SciCat's page of a dataset loads all its pictures at once."""

MAX_SIDE_PIXELS = 2048
"""A picture that is too large is scaled down to this number of pixels on its longer side."""

MAX_PIXELS = 100_000_000
"""Maximum number of pixels of a picture; larger ones are not read."""

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Larger files are not read."""

DRAWING_FORMATS = (b"svg", b"svgz", b"pdf", b"")
"""Formats that are not pixel images, and unknown formats."""

UNCHANGED_FORMATS = {b"png": "image/png", b"jpeg": "image/jpeg", b"gif": "image/gif", b"webp": "image/webp"}
"""Formats that any browser shows, by Qt's names."""


class NoPicture(ValueError):
    """A picture cannot be added. The text says which one, and why."""


def fromFile(path: Path) -> str:
    """The picture in a file as a `data:` URI. Raises NoPicture if it is not a picture, OSError if it cannot be read."""
    if path.stat().st_size > MAX_FILE_BYTES or not path.is_file():
        raise NoPicture(f"{path.name} is not a picture: it is not a file, or larger than {MAX_FILE_BYTES >> 20} MB")
    return fromBytes(path.read_bytes(), path.name)


def fromBytes(data: bytes, name: str = "This") -> str:
    """The picture in these bytes as a `data:` URI, unchanged if SciCat's pages show its format. Raises NoPicture."""
    buffer = Qt.QBuffer()
    buffer.setData(data)
    buffer.open(Qt.QIODevice.ReadOnly)
    reader = Qt.QImageReader(buffer)
    reader.setDecideFormatFromContent(True)
    kind, size = bytes(reader.format()), reader.size()
    if kind in DRAWING_FORMATS:
        raise NoPicture(f"{name} is not a picture that can be added: use PNG, JPEG, GIF, WebP, TIFF or BMP")
    if size.width() * size.height() > MAX_PIXELS:
        raise NoPicture(f"{name} has {size.width()} by {size.height()} pixels: that is too large")
    reader.setAutoTransform(True)
    image = reader.read()
    if image.isNull():
        raise NoPicture(f"{name} cannot be read: {reader.errorString()}")
    if kind in UNCHANGED_FORMATS and len(data) <= MAX_PICTURE_BYTES:
        return uri(data, UNCHANGED_FORMATS[kind])
    return fromImage(image)


def fromImage(image: Qt.QImage) -> str:
    """A picture from the clipboard or another program as a `data:` URI. Raises NoPicture if it is empty."""
    if image.isNull():
        raise NoPicture("There is no picture in the clipboard")
    data = _encoded(image, "PNG")
    if len(data) <= MAX_PICTURE_BYTES:
        return uri(data, "image/png")
    if max(image.width(), image.height()) > MAX_SIDE_PIXELS:
        image = image.scaled(MAX_SIDE_PIXELS, MAX_SIDE_PIXELS, Qt.Qt.KeepAspectRatio, Qt.Qt.SmoothTransformation)
        data = _encoded(image, "PNG")
        if len(data) <= MAX_PICTURE_BYTES:
            return uri(data, "image/png")
    return uri(_encoded(_opaque(image), "JPEG", 88), "image/jpeg")


def uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(text: str, within: Qt.QSize | None = None) -> Qt.QImage:
    """The picture in a `data:` URI, scaled down to fit into `within`; a null image if it is not a picture.

    SVG and PDF give a null image, too: they can refer to files of this machine.
    """
    head, _, body = text.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        return Qt.QImage()
    buffer = Qt.QBuffer()
    buffer.setData(decoded(body))
    buffer.open(Qt.QIODevice.ReadOnly)
    reader = Qt.QImageReader(buffer)
    reader.setDecideFormatFromContent(True)
    reader.setAutoTransform(True)
    size = reader.size()
    if bytes(reader.format()) in DRAWING_FORMATS or size.width() * size.height() > MAX_PIXELS:
        return Qt.QImage()
    if within is not None and (size.width() > within.width() or size.height() > within.height()):
        reader.setScaledSize(size.scaled(within, Qt.Qt.KeepAspectRatio).expandedTo(Qt.QSize(1, 1)))
    return reader.read()


def decoded(body: str) -> bytes:
    """Decode the part after the comma of a `data:` URI; empty if it is not base64."""
    try:
        return base64.b64decode(body)
    except (binascii.Error, ValueError):
        return b""


def _encoded(picture: Qt.QImage, kind: str, quality: int = -1) -> bytes:
    buffer = Qt.QBuffer()
    buffer.open(Qt.QIODevice.WriteOnly)
    if not picture.save(buffer, kind, quality):
        raise NoPicture(f"The picture cannot be converted to {kind}")
    return bytes(buffer.data())


def _opaque(picture: Qt.QImage) -> Qt.QImage:
    """Put the picture on white: JPEG has no transparency and would show black."""
    if not picture.hasAlphaChannel():
        return picture
    flat = Qt.QImage(picture.size(), Qt.QImage.Format_RGB32)
    flat.fill(Qt.Qt.white)
    painter = Qt.QPainter(flat)
    painter.drawImage(0, 0, picture)
    painter.end()
    return flat
