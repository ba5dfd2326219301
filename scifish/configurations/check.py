"""Checks configurations against the live control system: which entries can be read, and which are wrong."""

from __future__ import annotations

import difflib
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import tango

from scifish.attributes.reader import DeviceDescription, Reader, Reading, as_metadata, device_of, failed, unread
from scifish.message import Message, iso
from scifish.message.units import convertible, mathjs_spelling
from scifish.settings.entries import Entry, map_key

ERROR, WARNING, NOTE = "error", "warning", "note"
"""Nothing is recorded; what is recorded is probably not intended; for information."""

CHECK_REPLY_SECONDS = 2.5
"""Seconds for a whole answer to a client with Tango's time-out of 3 seconds."""

STATES = tuple(str(state) for _, state in sorted(tango.DevState.values.items()))

INTEGERS: Mapping[Any, tuple[int, int]] = {
    tango.CmdArgType.DevUChar: (0, 2**8 - 1),
    tango.CmdArgType.DevShort: (-(2**15), 2**15 - 1),
    tango.CmdArgType.DevUShort: (0, 2**16 - 1),
    tango.CmdArgType.DevLong: (-(2**31), 2**31 - 1),
    tango.CmdArgType.DevULong: (0, 2**32 - 1),
    tango.CmdArgType.DevLong64: (-(2**63), 2**63 - 1),
    tango.CmdArgType.DevULong64: (0, 2**64 - 1),
}
FLOATS = (tango.CmdArgType.DevFloat, tango.CmdArgType.DevDouble)
NO_NUMBERS: Mapping[Any, str] = {
    tango.CmdArgType.DevState: "a state",
    tango.CmdArgType.DevEnum: "a label",
    tango.CmdArgType.DevBoolean: "true or false",
    tango.CmdArgType.DevString: "a text",
}

MAX_HINTS = 20
"""Maximum number of unknown attributes that get a suggestion: with hundreds of names each takes milliseconds."""


@dataclass(frozen=True)
class Finding:
    """One sentence about an entry, or about a line of a configuration."""

    level: str
    text: str
    config: str = ""
    group: str = ""
    name: str = ""
    source: str = ""


@dataclass(frozen=True)
class ReadResult:
    """Entries as they were read at one time. `took` has the seconds of each device; None for no answer."""

    time: str
    entries: Sequence[Entry]
    readings: dict[str, Reading]
    took: dict[str, float | None]
    seconds: float
    described: dict[str, DeviceDescription | None] = field(default_factory=dict)

    @property
    def failed(self) -> list[tuple[Entry, str]]:
        """Entries without a value, and the errors."""
        return unread(self.entries, self.readings)


def read(entries: Sequence[Entry], reader: Reader, timeout: float) -> ReadResult:
    """Read all entries within `timeout` seconds. Never raises."""
    began = time.monotonic()
    now = iso(time.time())
    took: dict[str, float | None] = {}
    readings = reader.read([entry.source for entry in entries], timeout, took)
    seconds = time.monotonic() - began
    devices = {device_of(entry.source) for entry in entries}
    return ReadResult(now, entries, readings, took, seconds, {device: reader.described(device) for device in devices})


def preview(reads: ReadResult, max_array: int) -> Message:
    """The snapshot as it would be recorded, with the time of each device; for JSON."""
    return {
        "time": reads.time,
        "seconds": round(reads.seconds, 3),
        "values": len(reads.entries),
        "failed": failed(reads.entries, reads.readings),
        "devices": rounded(reads.took),
        "scientificMetadata": as_metadata(reads.entries, reads.readings, max_array),
    }


def summary(found: Message) -> Message:
    """A preview without its values, as SciDog's LastSnapshot shows it."""
    shown = {key: value for key, value in found.items() if key != "scientificMetadata"}
    return {"from": "preview", **shown, "failedCount": len(found["failed"])}


def rounded(took: dict[str, float | None]) -> dict[str, float | None]:
    """Devices without an answer first, then the slowest ones."""
    ordered = sorted(took.items(), key=lambda item: (item[1] is not None, -(item[1] or 0.0), item[0]))
    return {device: None if seconds is None else round(seconds, 3) for device, seconds in ordered}


def check(reads: ReadResult, is_defined: Callable[[str], bool]) -> list[Finding]:
    """The findings about the entries. `is_defined` says whether the Tango database has a device of that name."""
    found: list[Finding] = []
    hints = iter(range(MAX_HINTS))
    lost: dict[str, bool] = {}
    names = Counter((entry.group.lower(), entry.name.lower()) for entry in reads.entries)
    for entry in reads.entries:
        reading = reads.readings[entry.source]
        # The description of an attribute that is known by its alias has its real name only.
        description = reads.described[device_of(entry.source)] if entry.device else None
        said = list(_of_reading(entry, reading, description, hints))
        if reading.error and description is None and entry.device and "://" not in entry.source:
            if entry.device not in lost:
                lost[entry.device] = not is_defined(entry.device)
            if lost[entry.device]:
                said = [(ERROR, f"unknown device: the Tango database has no {entry.device}")]
        if names[entry.group.lower(), entry.name.lower()] > 1:
            said.append((WARNING, "the name is used twice, with different upper and lower case"))
        said += _of_unit(entry, reading, description)
        found += [Finding(level, text, entry.config, entry.group, entry.name, entry.source) for level, text in said]
    return found


def report(findings: Sequence[Finding], reads: ReadResult) -> Message:
    """The findings as a dictionary for JSON."""
    return {
        "ok": not any(finding.level == ERROR for finding in findings),
        "time": reads.time,
        "seconds": round(reads.seconds, 3),
        "entries": len(reads.entries),
        "findings": [asdict(finding) for finding in findings],
        "devices": rounded(reads.took),
    }


def _of_reading(
    entry: Entry, reading: Reading, described: DeviceDescription | None, hints: Iterator[int]
) -> Iterator[tuple[str, str]]:
    if described is not None:
        known = {name.lower(): name for name in described.names}
        # An attribute with a value was created after the list was read.
        if reading.error and entry.attribute.lower() not in known:
            look = next(hints, None) is not None
            near = difflib.get_close_matches(entry.attribute.lower(), known, n=1) if look else []
            hint = f"; did you mean {known[near[0]]}?" if near else ""
            yield ERROR, f"unknown attribute: {entry.device} has no {entry.attribute}{hint}"
            return
        yield from _of_map_keys(entry, described)
    if reading.error:
        yield WARNING, f"cannot be read now: {reading.error}"
        return
    yield from _of_value(entry, reading)


def _of_map_keys(entry: Entry, described: DeviceDescription) -> Iterator[tuple[str, str]]:
    """Keys of the map that match no value of the attribute, see `scifish.attributes.reader.mapped`."""
    attribute = entry.attribute.lower()
    labels, kind = described.labels.get(attribute), described.types.get(attribute)
    for key in entry.map:
        if labels and key not in _with_numbers(labels):
            yield WARNING, f"map: {key!r} matches none of its labels: {', '.join(labels)}"
        elif kind == tango.CmdArgType.DevState and key not in _with_numbers(STATES):
            yield WARNING, f"map: {key!r} matches none of Tango's states: {', '.join(STATES)}"
        elif kind == tango.CmdArgType.DevBoolean and key not in ("true", "false"):
            yield WARNING, f"map: {key!r} never matches: its value is true or false"
        elif kind is not None and (kind in INTEGERS or kind in FLOATS) and not _is_value(key, kind):
            yield WARNING, f"map: {key!r} never matches: its value is a number of the type {kind}"


def _with_numbers(names: Sequence[str]) -> set[str]:
    return {map_key(name) for name in names} | {str(number) for number in range(len(names))}


def _is_value(key: str, kind: tango.CmdArgType) -> bool:
    """Whether a number of this type can match this key."""
    try:
        if kind in INTEGERS:
            low, high = INTEGERS[kind]
            return low <= int(key) <= high and str(int(key)) == key
        number = float(key)
        if kind == tango.CmdArgType.DevFloat:  # a float has no exact 0.1
            (number,) = struct.unpack("f", struct.pack("f", number))
        return map_key(number) == key
    except (ValueError, OverflowError):
        return False


def _of_value(entry: Entry, reading: Reading) -> Iterator[tuple[str, str]]:
    value = reading.value if isinstance(reading.value, str | int | float) else None
    if entry.map and value is None:
        yield WARNING, "map: only single values can be mapped, and this is an array"
    elif entry.map and not {map_key(value), map_key(reading.raw)} & set(entry.map):
        yield WARNING, f"map: its value now, {str(value)[:80]}, is not in the map and is recorded as it is"
    if "statistics" in entry.record and (isinstance(value, bool) or not isinstance(value, int | float)):
        yield NOTE, "statistics need a single number, but this is not one"


def _of_unit(entry: Entry, reading: Reading, described: DeviceDescription | None) -> Iterator[tuple[str, str]]:
    kind = described.types.get(entry.attribute.lower()) if described is not None else None
    if entry.unit and kind in NO_NUMBERS:
        yield WARNING, f"the unit {entry.unit!r} is probably a mistake: its value is {NO_NUMBERS[kind]}"
    unit = entry.unit or reading.unit
    if unit and not convertible(mathjs_spelling(unit)):
        yield (
            NOTE,
            f"SciCat cannot convert the unit {unit!r}: the value is kept as it is, and not found in other units",
        )
    if entry.unit and reading.unit and mathjs_spelling(entry.unit) != mathjs_spelling(reading.unit):
        yield (
            WARNING,
            f"the unit {entry.unit!r} replaces the attribute's own unit, {reading.unit!r}; values are not converted",
        )


# ------------------------------------------------------------------------- for editors


def attributes(device: str) -> list[dict[str, Any]]:
    """The attributes of a device, for a choice in an editor. Raises `tango.DevFailed`, and may hang."""
    infos = tango.DeviceProxy(device).attribute_list_query_ex()
    return [
        {
            "name": info.name,
            "label": info.label,
            "unit": info.unit,
            "description": "" if info.description == "No description" else info.description,
            "type": str(tango.CmdArgType.values[info.data_type]),
            "format": str(info.data_format),
            "writable": str(info.writable) != "READ",
            "labels": list(info.enum_labels),
        }
        for info in infos
    ]
