"""SPECS Prodigy XY text: a header of comments, then groups, regions, cycles and scans, each with its own comments.

The export settings at the top say which of them are separate, and which zone the dates have.
"""

from __future__ import annotations

import datetime as dt
import re

from scifly.readers.fragment import FileHeader, Region, put
from scifly.readers.prodigy_fields import Varied, add, ended, varied, vary
from scifly.readers.source import Lines, Source, UnfinishedError, UnreadableError
from scifly.readers.values import cleaned, moment, number, rounded, seconds

MAX_XY_REGIONS = 2_000

_MADE = re.compile(r"(?P<mark>\S{1,8})\s*Created by:\s*(?P<by>Specs.*)", re.IGNORECASE)
_BEGIN = "Created by:        SpecsLab"
_PARAMETER = re.compile(r'Parameter:\s*"(?P<name>[^"]*)"\s*=\s*(?P<value>.*)')
_CHANNEL = re.compile(r"External Channel Data Cycle:\s*\d+\s*,\s*(?P<name>.*)", re.IGNORECASE)
_RECORDED_SETTINGS = ("count rate", "time zone format")


def read(source: Source, zone: dt.tzinfo) -> FileHeader:
    """Read the file. Raises UnfinishedError if it has no header yet, UnreadableError if it is another text."""
    return _XyReader(source, zone).part()


class _Region:
    """A region that is being read."""

    def __init__(self, name: str, settings: list[tuple[str, str]]) -> None:
        self.region = Region(name=cleaned(name)[:100])
        for key, text in settings:
            add(self.region, key, text)
        self.parameters: Varied = {}
        self.channels: Varied = {}
        self.cycles = 0
        self.first: float | None = None
        self.last: float | None = None
        self.in_scans = False
        self.rows = 0
        """Number of lines of the last block of numbers."""

        self.energies: list[float] = []
        """The first two energies of the first block."""

    def done(self, energy_scale: str) -> Region:
        fields = self.region.fields
        put(fields, "Energy scale", energy_scale or None)
        if len(self.energies) == 2:
            step = rounded(abs(self.energies[1] - self.energies[0]))
            put(fields, "Energy step", {"value": step, "unit": "eV"} if step else None)
        put(fields, "Cycles", self.cycles or None)
        for name, each in (("Parameters", self.parameters), ("External channels", self.channels)):
            put(fields, name, varied(each))
        self.region.began, self.region.ended = self.first, ended(self.region, self.last)
        return self.region


class _XyReader:
    def __init__(self, source: Source, zone: dt.tzinfo) -> None:
        self._source = source
        self._lines = Lines(source)
        self._zone = zone
        self._mark = ""
        self._made = ""
        self._settings: dict[str, str] = {}
        self._group: list[tuple[str, str]] = []
        """The settings of the current group, which apply to its regions."""

        self._in_header = True
        """Whether the last line was a comment."""

        self._before_regions = False
        self._regions: list[_Region] = []
        self._channel = ""

    def part(self) -> FileHeader:
        begin = self._begin()
        first = _MADE.fullmatch(begin)
        if first is None:
            if begin and _BEGIN.startswith(begin.lstrip("#; ")) and self._lines.unended:
                raise UnfinishedError("has no header yet")
            raise UnreadableError(
                "is not an XY file of Prodigy: it does not start with `# Created by: SpecsLab Prodigy`"
            )
        self._mark, self._made = first["mark"], first["by"].strip()
        while (line := self._lines.next()) is not None:
            self._in_header = line.startswith(self._mark)
            if self._in_header:
                self._take(line[len(self._mark) :].strip())
            elif line.strip():
                self._numbers(line)
        return self._finished()

    def _begin(self) -> str:
        """The first line that is not blank, "" if there is none among the first 20."""
        for _ in range(20):
            line = self._lines.next()
            if line is None:
                break
            if line.strip():
                return line.strip()
        return ""

    def _take(self, line: str) -> None:
        channel = _CHANNEL.fullmatch(line)
        if channel:
            self._channel = channel["name"].strip()
            self._await_numbers()
            return
        name, colon, text = (part.strip() for part in line.partition(":"))
        if not colon:
            return
        key = name.lower()
        if key == "group":
            self._group, self._before_regions = [("Group", text)], True
        elif key == "region":
            self._before_regions = False
            if len(self._regions) < MAX_XY_REGIONS:
                self._regions.append(_Region(text, self._group))
        elif not self._group and not self._regions:
            if len(self._settings) < 100:
                self._settings[key] = text
        elif self._before_regions:
            self._group = [*self._group, (name, text)][:100]
        else:
            self._of_region(self._regions[-1], line, name, text)

    def _of_region(self, region: _Region, line: str, name: str, text: str) -> None:
        key = name.lower()
        parameter = _PARAMETER.fullmatch(line)
        if parameter:
            vary(region.parameters, parameter["name"], parameter["value"])
        elif key == "cycle":
            self._channel = ""
            region.in_scans = True
            region.cycles += text.isdigit()
            self._await_numbers()
        elif key == "acquisition date":
            self._acquired(region, text)
        elif key == "number of scans" or not region.in_scans:
            add(region.region, name, text)

    def _acquired(self, region: _Region, text: str) -> None:
        utc = self._settings.get("time zone format", "").upper() == "UTC"
        found = moment(text, dt.UTC if utc else self._zone)
        began = seconds(found)
        if found is None or began is None:
            return
        put(region.region.fields, "Began", found.isoformat())
        region.first = began if region.first is None else min(region.first, began)
        region.last = began if region.last is None else max(region.last, began)

    def _await_numbers(self) -> None:
        if self._regions:
            self._regions[-1].rows = 0

    def _numbers(self, line: str) -> None:
        """Read a block of numbers.

        It takes the first two energies of the first block, the first value of a channel, and the number of lines of
        each block.
        """
        mark = self._mark.encode()
        rows = [line]
        if not self._lines.at(mark) and (second := self._lines.next()) is not None:
            rows.append(second)
        count = len(rows) + self._lines.skip_to(mark)
        if not self._regions:
            return
        region = self._regions[-1]
        region.rows = count
        cells = [row.split()[:2] for row in rows if row.strip()]
        if self._channel:
            if len(cells[0]) > 1:
                vary(region.channels, self._channel, cells[0][1])
        elif not region.energies:
            region.energies = [float(found) for row in cells if (found := number(row[0])) is not None]

    def _finished(self) -> FileHeader:
        program, _, version = self._made.partition(", Version")
        part = FileHeader(f"SPECS Prodigy XY {cleaned(version)[:60]}".strip())
        put(part.general, "Program", cleaned(f"{program} {version.strip()}")[:100] or None)
        for key in _RECORDED_SETTINGS:
            put(part.general, key.capitalize(), cleaned(self._settings.get(key, ""))[:200] or None)
        scale = self._settings.get("energy axis", "").removesuffix("Energy").strip()
        part.regions = [region.done(cleaned(scale)) for region in self._regions]
        return part.ends(self._lines.stopped, self._lacks())

    def _lacks(self) -> str:
        """What the file announces but lacks; "" if nothing. A file without regions can be complete."""
        if not self._regions:
            return "ends within its header" if self._lines.unended else ""
        last = self._regions[-1]
        values = last.region.fields.get("Values per curve")
        if not last.rows or (self._in_header and self._lines.unended):
            return f"the last region, {last.region.name}, ends within a header"
        if isinstance(values, int) and last.rows < values:
            return f"the last block of numbers has {last.rows} of {values} lines"
        return ""
