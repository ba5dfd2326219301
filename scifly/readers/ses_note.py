"""The fields of a region by Scienta SES: the same lines in its texts, its Igor waves and its zips.

`Key=value`, in sections `[Region n]`, `[Info n]` (in waves and zips both are `[SES]`), `[Run Mode Information n]`,
`[User Interface Information n]`, and those of a beamline's own program, such as `[Manipulator n]`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any

from scifish.message import Message
from scifly.readers.fragment import MAX_FIELDS, Region, put
from scifly.readers.source import MAX_TEXT_LINE_BYTES
from scifly.readers.values import (
    MAX_FIELD_TEXT_LENGTH,
    HeaderField,
    cleaned,
    guessed,
    moment,
    number,
    seconds,
    split_unit,
    value,
)

_SECTION = re.compile(r"\[(?P<kind>[^\]]*?)(?:\s+(?P<number>\d{1,6})(?::\s*(?P<part>\d{1,9}))?)?\]\s*", re.ASCII)

# Step Time is in milliseconds: multiplied by the sweeps, and by the number of steps in which the detector sees an
# energy, it equals the Time per Spectrum Channel, which is in seconds.
_FIELDS = {
    "lens mode": HeaderField("Lens mode"),
    "pass energy": HeaderField("Pass energy", "eV"),
    "excitation energy": HeaderField("Excitation energy", "eV"),
    "energy scale": HeaderField("Energy scale"),
    "energy unit": HeaderField("Energy unit"),
    "acquisition mode": HeaderField("Acquisition mode"),
    "center energy": HeaderField("Center energy", "eV"),
    "low energy": HeaderField("Low energy", "eV"),
    "high energy": HeaderField("High energy", "eV"),
    "energy step": HeaderField("Energy step", "eV"),
    "step time": HeaderField("Step time", "ms"),
    "time per spectrum channel": HeaderField("Time per spectrum channel", "s"),
    "number of sweeps": HeaderField("Sweeps", number=True),
    "number of slices": HeaderField("Slices", number=True),
    "detectormode": HeaderField("Detector mode"),
    "detector first x-channel": HeaderField("Detector first X channel", number=True),
    "detector last x-channel": HeaderField("Detector last X channel", number=True),
    "detector first y-channel": HeaderField("Detector first Y channel", number=True),
    "detector last y-channel": HeaderField("Detector last Y channel", number=True),
    "work function": HeaderField("Work function", "eV"),
    "spectrum name": HeaderField("Spectrum name"),
}
_COMMON = {
    "instrument": "Instrument",
    "location": "Location",
    "user": "Operator",
    "sample": "Sample",
    "comments": "Comments",
    "file": "Original file",
    "sequence": "Sequence",
}
_SILENT = ("region name", "date", "time", "version")
_AXIS = re.compile(r"dimension (?P<number>[1-9]) (?P<what>name|size|scale)", re.IGNORECASE)
_POINT = re.compile(r"point \d+", re.IGNORECASE)


def section(line: str) -> re.Match[str] | None:
    """The match if the line starts a section, else None."""
    return _SECTION.fullmatch(line) if line.startswith("[") and len(line) < 200 else None


class Note:
    """One region, read line by line."""

    def __init__(self) -> None:
        self._plain: dict[str, str] = {}
        self._key = ""
        """The field of the last line."""

        self._axes: dict[int, dict[str, str]] = {}
        self._run = _RunMode()
        self._groups: dict[str, Message] = {}

    def take(self, kind: str, line: str) -> None:
        """Take a line of the section `kind` (its name without the number, in lower case)."""
        if kind == "run mode information":
            self._run.take(line)
            return
        key, equals, text = line.partition("=")
        key = key.strip()
        if not equals or not key:
            if self._key.lower() == "comments" and line.strip():  # a comment with several lines
                self._plain[self._key] = f"{self._plain[self._key]}\n{line}"[:MAX_FIELD_TEXT_LENGTH]
            return
        self._key = ""
        axis = _AXIS.fullmatch(key)
        if axis:
            self._axes.setdefault(int(axis["number"]), {})[axis["what"].lower()] = _few(text)
        elif kind in ("region", "info", "ses", ""):
            if len(self._plain) < MAX_FIELDS:
                self._plain.setdefault(key[:MAX_FIELD_TEXT_LENGTH], text[:MAX_FIELD_TEXT_LENGTH])
                self._key = key
        else:
            name = "User interface" if kind == "user interface information" else cleaned(kind).capitalize()
            if name in self._groups or len(self._groups) < 20:
                put(self._groups.setdefault(name, {}), *guessed(key, text))

    def text(self, key: str) -> str:
        """The text of a field of the region; "" if it is missing."""
        return next((text.strip() for known, text in self._plain.items() if known.lower() == key), "")

    def size(self, axis: int) -> int:
        """The number of points along an axis (the first is 1); 0 if unknown."""
        found = number(self._axes.get(axis, {}).get("size", ""))
        return found if isinstance(found, int) and found > 0 else 0

    def region(self, zone: dt.tzinfo) -> Region:
        region = Region(name=cleaned(self.text("region name"))[:100], spectrum=self.text("spectrum name"))
        for key, text in self._plain.items():
            known = key.lower()
            if known in _COMMON:
                put(region.common, _COMMON[known], value(text, HeaderField(known)))
            elif known in _FIELDS:
                put(region.fields, _FIELDS[known].name, value(text, _FIELDS[known]))
            elif known not in _SILENT:
                put(region.fields, *guessed(key, text))
        began = moment(f"{self.text('date')} {self.text('time')}", zone)
        region.began = seconds(began)
        put(region.fields, "Began", began.isoformat() if began else None)
        for axis, texts in sorted(self._axes.items()):
            add_axis(region.fields, axis, texts.get("name", ""), self.size(axis), *_ends(texts.get("scale", "")))
        put(region.fields, "Run mode", self._run.group() or None)
        for name, group in self._groups.items():
            put(region.fields, name, group or None)
        return region


def note_of(lines: Iterable[str]) -> Note:
    """Read the lines of one region, as in a wave's note or in an .ini."""
    note, kind = Note(), ""
    for line in lines:
        found = section(line)
        if found:
            kind = found["kind"].strip().lower()
        else:
            note.take(kind, line)
    return note


def add_axis(
    fields: Message, axis: int, name: str, size: int, first: float | None = None, last: float | None = None
) -> None:
    """Add an axis: its name, its number of points, its first and last value."""
    name, unit = split_unit(name)
    put(fields, f"Axis {axis}", name or None)
    put(fields, f"Axis {axis} points", size or None)
    for end, place in (("first", first), ("last", last)):
        put(fields, f"Axis {axis} {end}", {"value": place, "unit": unit} if unit and place is not None else place)


def _ends(scale: str) -> tuple[float | None, float | None]:
    """The first and the last number of a line."""
    each = scale.split()
    return (number(each[0]), number(each[-1])) if each else (None, None)


def _few(scale: str) -> str:
    """The two ends of a long line of numbers; "" for a line that was cut, because its end is missing."""
    if len(scale) <= 200:
        return scale
    return "" if len(scale) > MAX_TEXT_LINE_BYTES - 200 else f"{scale[:100]} {scale[-100:]}"


class _RunMode:
    """The run mode of a region: its name, points (`Point 1=570 eV`), or a table with a column for each motor.

    SES separates the columns by vertical tabs.
    """

    def __init__(self) -> None:
        self._fields: Message = {}
        self._points = 0
        self._ends: dict[str, tuple[Any, Any]] = {}
        self._columns: list[str] = []

    def take(self, line: str) -> None:
        if "\v" in line:
            self._row(line.split("\v"))
            return
        key, equals, text = line.partition("=")
        if not equals:
            return
        name, found = guessed(key, text)
        if _POINT.fullmatch(name):
            self._points += 1
            self._note("Point", found)
        else:
            put(self._fields, name, found)

    def _row(self, cells: list[str]) -> None:
        if not self._columns:
            self._columns = [cell.strip() for cell in cells[:MAX_FIELDS]]
            return
        self._points += 1
        for column, cell in zip(self._columns, cells, strict=False):
            if cell.strip() and column:
                self._note(*guessed(column, cell))

    def _note(self, name: str, found: Any) -> None:
        first, _ = self._ends.get(name, (found, found))
        self._ends[name] = first, found

    def group(self) -> Message:
        found = dict(self._fields)
        put(found, "Points", self._points or None)
        for name, (first, last) in self._ends.items():
            put(found, name if first == last else f"{name} first", first)
            put(found, f"{name} last", last if first != last else None)
        return found
