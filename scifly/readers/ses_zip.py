"""Scienta SES zip, used for maps: a region's header in `<region>.ini`, its axes in `Spectrum_<region>.ini`.

Older files have the axes in `viewer.ini`. The data (`.bin`) is not read.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
import zlib

from scifly.readers.fragment import FileHeader, Region
from scifly.readers.ses_note import Note, add_axis, note_of
from scifly.readers.source import BLOCK_BYTES, Source, UnfinishedError, UnreadableError, decoded
from scifly.readers.values import cleaned, number, rounded

MAX_DIRECTORY = 16 * BLOCK_BYTES
"""Maximum bytes of the zip's directory, which zipfile reads at once."""

MAX_MEMBERS = 400
"""Maximum number of .ini files that are read, of `BLOCK_BYTES` bytes each."""

_AXIS = re.compile(r"(?P<axis>width|height|depth)_?(?P<what>offset|delta|label)?", re.ASCII)
_AXES = ("width", "height", "depth")


def read(source: Source, zone: dt.tzinfo) -> FileHeader:
    """Read the file. Raises UnfinishedError if its end is missing, UnreadableError if it is another zip."""
    begun = source.up_to(4)
    try:
        with zipfile.ZipFile(_Careful(source)) as archive:
            return _part(archive, source, zone)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        if "not a zip file" in str(error) and b"PK\3\4".startswith(begun):  # the directory of a zip is at its end
            raise UnfinishedError("the zip file is not complete yet") from error
        raise UnreadableError(f"is damaged, or not written by SES: {error}") from error


def _part(archive: zipfile.ZipFile, source: Source, zone: dt.tzinfo) -> FileHeader:
    headers: dict[str, Note] = {}
    axes: dict[str, dict[str, str]] = {}
    names = [name for name in archive.namelist() if name.lower().endswith(".ini")]
    for name in names[:MAX_MEMBERS]:
        if source.late:
            break
        lines = _lines(archive, name)
        stem = name.rpartition("/")[2][:-4]
        if stem.lower() == "viewer" or stem.startswith("Spectrum_"):
            axes[stem] = _axes(lines)
        elif stem.lower() != "viewer_settings" and any(line.startswith("[SES]") for line in lines):
            headers[stem] = note_of(lines)
    if not headers:
        raise UnreadableError("is not a zip file of Scienta SES: it has no .ini with a section [SES]")
    versions = [cleaned(note.text("version"))[:40] for note in headers.values()]
    part = FileHeader(f"Scienta SES zip {next(filter(None, versions), '')}".strip())
    for stem, note in headers.items():
        region = note.region(zone)
        of_all = axes.get("viewer", {}) if len(headers) == 1 else {}
        _add_axes(region, axes.get(f"Spectrum_{stem}") or of_all)
        part.regions.append(region)
    if len(names) > MAX_MEMBERS or source.late:
        part.problems.append(f"{len(part.regions)} of its {len(names)} .ini files were read")
    return part


def _lines(archive: zipfile.ZipFile, name: str) -> list[str]:
    found = archive.getinfo(name)
    if found.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Other methods may expand a few bytes to any size, without a limit that we could set.
        raise UnreadableError(f"{name} is compressed in a way that SES does not use")
    with archive.open(found) as member:
        text = decoded(member.read(BLOCK_BYTES).removeprefix(b"\xef\xbb\xbf"))
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _axes(lines: list[str]) -> dict[str, str]:
    """The first value each of `width`, `width offset`, `width delta`, `width label`, and those of height and depth."""
    axes: dict[str, str] = {}
    for line in lines:
        key, equals, text = line.partition("=")
        found = _AXIS.fullmatch(key.strip().lower())
        if equals and found:
            axes.setdefault(f"{found['axis']} {found['what'] or ''}".strip(), text.strip())
    return axes


def _add_axes(region: Region, axes: dict[str, str]) -> None:
    for place, axis in enumerate(_AXES, start=1):
        size = number(axes.get(axis, ""))
        first, delta = number(axes.get(f"{axis} offset", "")), number(axes.get(f"{axis} delta", ""))
        if not isinstance(size, int) or size <= 1:
            continue
        last = first + delta * (size - 1) if first is not None and delta is not None else None
        add_axis(region.fields, place, axes.get(f"{axis} label", ""), size, first, rounded(last))


class _Careful:
    """A file that limits each read: the sizes declared in a zip may be wrong."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.seek, self.tell = source.file.seek, source.file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = size if size >= 0 else self._source.size - self.tell()
        if wanted > MAX_DIRECTORY:
            raise UnreadableError(f"declares a list of files of {wanted} bytes")
        return self._source.up_to(wanted, self.tell())
