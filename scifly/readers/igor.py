"""Igor binary waves (.ibw) and packed experiments (.pxt), as Scienta SES and other programs write them.

igor2 reads a whole wave with its data, and trusts the sizes in its header. So it gets an abridged wave: the header, the
note and the units, with checked sizes and without the data. The file formats are in Igor's Technical Notes TN003
(waves) and PTN003 (packed experiments).
"""

from __future__ import annotations

import datetime as dt
import io
import struct
from collections.abc import Iterator
from typing import Any

from scifly.readers.fragment import FileHeader, Region, put
from scifly.readers.ses_note import add_axis, note_of
from scifly.readers.source import BLOCK_BYTES, Source, UnfinishedError, UnreadableError, decoded
from scifly.readers.values import cleaned, guessed, rounded, seconds

MAX_NOTE = BLOCK_BYTES
MAX_WAVES = 1_000
_WAVE = 3
_RECORD = 0x7FFF
_EPOCH = dt.datetime(1904, 1, 1)
_VERSIONS = (1, 2, 3, 5)


def read_wave(source: Source, zone: dt.tzinfo) -> FileHeader:
    """Read a binary wave. Raises UnfinishedError, or UnreadableError if it is not one."""
    region, version = _wave(source, 0, source.size, zone)
    return FileHeader(f"Igor binary wave{version}", regions=[region])


def read_packed(source: Source, zone: dt.tzinfo) -> FileHeader:
    """Read all waves of a packed experiment, or those before its premature end.

    Raises UnfinishedError if there is no wave yet, or UnreadableError if it is not a packed experiment.
    """
    part = FileHeader("Igor packed experiment")
    try:
        for place, size in _waves(source):
            if source.late or len(part.regions) >= MAX_WAVES:
                part.problems.append(f"only its first {len(part.regions)} waves were read")
                break
            region, version = _wave(source, place, size, zone)
            part.data_format = f"Igor packed experiment{version}"
            part.regions.append(region)
    except UnfinishedError as error:
        if not part.regions:
            raise
        part.complete = False
        part.problems.append(str(error))
    if not part.regions:
        raise UnfinishedError("has no wave yet")
    return part


def _waves(source: Source) -> Iterator[tuple[int, int]]:
    """The offset and size in bytes of each wave's record."""
    place, order = 0, ""
    while place < source.size:
        head = source.bytes_at(place, 8)
        order = order or _order_of_record(head)
        kind, _, size = struct.unpack(f"{order}Hhi", head)
        place += 8
        if size < 0:
            raise UnreadableError(f"is damaged: at byte {place} there is a record of {size} bytes")
        if place + size > source.size:
            raise UnfinishedError(f"ends after {source.size} bytes, in a record of {size} bytes")
        if kind & _RECORD == _WAVE or source.late:
            yield place, size
        place += size


def _order_of_record(head: bytes) -> str:
    """The byte order of a record, by its type, which is a small number, and its size."""
    kind, _, size = struct.unpack("<Hhi", head)
    return "<" if kind & _RECORD < 256 and size >= 0 and kind else ">"


def _wave(source: Source, begin: int, size: int, zone: dt.tzinfo) -> tuple[Region, str]:
    """The region of the wave at this offset, and the version of SES with a leading blank."""
    try:
        from igor2 import binarywave
    except ImportError as error:
        raise UnreadableError("needs igor2: in a clone of SciZoo: pip install '.[fly]'") from error
    abridged, units = _abridged(source, begin, size)
    try:
        found = binarywave.load(io.BytesIO(abridged))["wave"]
        return _region(found, units, zone)
    except (UnreadableError, UnfinishedError):
        raise
    except Exception as error:
        raise UnreadableError(f"is damaged: {type(error).__name__} {str(error)[:200]}") from error


def _abridged(source: Source, begin: int, size: int) -> tuple[bytes, list[int]]:
    """The wave without its data, and the number of bytes of the units of each dimension."""
    end = begin + size
    order, version = _version(source.bytes_at(begin, 2))
    length = {1: 118, 2: 126, 3: 130, 5: 384}[version]
    if size < length:
        raise UnfinishedError(f"ends within the header of its wave, after {size} bytes")
    head = bytearray(source.bytes_at(begin, length))
    units: list[int] = []
    if version == 5:
        wave, formula, note, data_units, *units = struct.unpack_from(f"{order}8i", head, 4)
        numbers = wave - 320
        parts = (formula, note, data_units, *units)
        struct.pack_into(f"{order}i", head, 4, 320)
        struct.pack_into(f"{order}4i", head, 36, 0, 0, 0, 0)  # the sizes of the dimension labels
        struct.pack_into(f"{order}i", head, 52, 0)
        # the type: a text wave may be empty, a numeric wave must have all its data
        struct.pack_into(f"{order}h", head, 80, 0)
    else:
        (wave,) = struct.unpack_from(f"{order}i", head, 2)
        numbers = wave - 110
        counts = {1: 0, 2: 1, 3: 2}[version]
        parts = struct.unpack_from(f"{order}{counts}i", head, 6)
        struct.pack_into(f"{order}i", head, 2, 126)
        struct.pack_into(f"{order}h", head, length - 110, 0)
    if numbers < 0 or min(parts, default=0) < 0 or sum(parts) > MAX_NOTE:
        raise UnreadableError(f"is damaged: its header announces {numbers} bytes of numbers and {sum(parts)} of notes")
    if begin + length + numbers + sum(parts) > end:
        raise UnfinishedError(f"ends after {size} bytes, but its header announces {length + numbers + sum(parts)}")
    padding = b"" if version == 5 else bytes(16)
    return bytes(head) + padding + source.bytes_at(begin + length + numbers, sum(parts)), units


def _version(head: bytes) -> tuple[str, int]:
    for order in "<>":
        found = struct.unpack(f"{order}h", head)[0]
        if found in _VERSIONS:
            return order, found
    raise UnreadableError("is not an Igor binary wave")


def _region(wave: dict[str, Any], units: list[int], zone: dt.tzinfo) -> tuple[Region, str]:
    header = wave["wave_header"]
    text = decoded(bytes(wave.get("note") or b"")).replace("\r\n", "\n").replace("\r", "\n")
    name = cleaned(decoded(bytes(header["bname"])))[:100]
    if "[SES]" in text[:1000]:
        note = note_of(text.split("\n"))
        region, version = note.region(zone), f" of Scienta SES {cleaned(note.text('version'))[:40]}".rstrip()
        region.spectrum = region.spectrum or name
    else:
        region, version = _foreign(text), ""
    region.name = region.name or name
    if region.began is None:
        region.began = _created(header, zone)
    _add_axes(region, wave, units)
    return region, version


def _foreign(note: str) -> Region:
    """Parse the note of another program: lines of `name=value` or `name: value`, or free text."""
    region = Region()
    rest = []
    for line in note.split("\n")[:1000]:
        at = min((place for place in (line.find("="), line.find(":")) if place > 0), default=0)
        if at:
            put(region.fields, *guessed(line[:at], line[at + 1 :]))
        elif line.strip():
            rest.append(line)
    put(region.fields, "Note", cleaned("\n".join(rest)) or None)
    return region


def _add_axes(region: Region, wave: dict[str, Any], units: list[int]) -> None:
    header = wave["wave_header"]
    if "nDim" in header:
        sizes = [int(size) for size in header["nDim"]]
        steps, firsts = [float(each) for each in header["sfA"]], [float(each) for each in header["sfB"]]
        names = _units_of(bytes(wave["dimension_units"]), units)
        short = [decoded(b"".join(each)).rstrip("\0") for each in header["dimUnits"]]
    else:
        sizes, steps, firsts = [int(header["npnts"])], [float(header["hsA"])], [float(header["hsB"])]
        names, short = [""], [decoded(b"".join(header["xUnits"])).rstrip("\0")]
    for place, size in enumerate(sizes):
        if size <= 0:
            break
        name = names[place] or (f"[{short[place]}]" if short[place] else "")
        last = firsts[place] + steps[place] * (size - 1)
        add_axis(region.fields, place + 1, name, size, rounded(firsts[place]), rounded(last))
    signal = decoded(bytes(wave.get("data_units") or b"")) or decoded(b"".join(header["dataUnits"])).rstrip("\0")
    put(region.fields, "Signal", cleaned(signal) or None)


def _units_of(text: bytes, sizes: list[int]) -> list[str]:
    """Split the units: igor2 returns those of all dimensions in one text."""
    found, begin = [], 0
    for size in sizes:
        found.append(decoded(text[begin : begin + size]).rstrip("\0"))
        begin += size
    return found


def _created(header: dict[str, Any], zone: dt.tzinfo) -> float | None:
    """The creation time of the wave in seconds since 1970; None for 0, which SES writes."""
    since = int(header.get("creationDate") or 0)
    return seconds((_EPOCH + dt.timedelta(seconds=since)).replace(tzinfo=zone)) if since else None
