"""SPECS XML: the regions of SpecsLab 2 (also written by Prodigy), and the schedule of a Prodigy experiment.

SpecsLab writes its data structures: `<struct type_name="RegionData">`, in it `<double name="pass_energy">`. The `time`
of a cycle is in seconds since 1970, UTC. A schedule has `<SpectrumGroup Name=...>`, in it `<Spectrum Name=...>` with
attributes.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scifly.readers.fragment import FileHeader, Region, put
from scifly.readers.prodigy_fields import Varied, add, ended, varied, vary
from scifly.readers.source import Source, UnfinishedError, UnreadableError
from scifly.readers.values import HeaderField, cleaned, guessed, number, value
from scifly.readers.xml import NotWellFormedError, blocks, parse

MAX_XML_REGIONS = 2_000
_FROM = re.compile(r"at [^,]{10,40}, from (?P<program>.{1,60}?)(?: built .*)?$", re.DOTALL)
_OF_THE_SCREEN = ("color", "colour", "style", "interpolation", "file", "group", "first of group", "visible", "symbol")


def read(source: Source, zone: dt.tzinfo) -> FileHeader:
    """Read the file, as far as it goes if it ends too early. Raises UnreadableError if it is another XML."""
    try:
        return _read(blocks(source), None)
    except NotWellFormedError:
        # SpecsLab writes names in the encoding of Windows, but does not declare it.
        return _read(blocks(source), "iso-8859-1")


def schedule(text: bytes) -> list[Region]:
    """The regions of the schedule in a .sle file. Raises UnreadableError, UnfinishedError."""
    handler = _Handler()
    parse([text], handler)
    return handler.regions


def parameters(text: bytes) -> dict[str, str]:
    """The settings of a measured spectrum, from its node in a .sle file. Raises UnreadableError, UnfinishedError."""
    handler = _Parameters()
    parse([text], handler)
    return handler.found


def _read(each: Iterable[bytes], encoding: str | None) -> FileHeader:
    handler = _Handler()
    problem, complete = "", True
    try:
        parse(each, handler, encoding)
    except UnfinishedError as error:
        problem, complete = str(error), False
    except UnreadableError as error:
        if not handler.known or (encoding is None and isinstance(error, NotWellFormedError)):
            raise
        problem = str(error)
    if not handler.known and complete:
        raise UnreadableError("is not an XML file of SpecsLab or Prodigy")
    part = FileHeader(handler.data_format, regions=handler.regions, complete=complete)
    put(part.general, "Program", handler.program or None)
    if problem:
        part.problems.append(problem)
    return part


@dataclass
class _Frame:
    tag: str
    name: str
    type: str
    parameter: str = ""
    """The name of the parameter that this struct describes."""

    text: str = ""


class _Handler:
    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.program = ""
        self.known = False
        self.data_format = "SPECS XML"
        self._stack: list[_Frame] = []
        self._group: Region = Region()
        """The fields that apply to all regions of the current group."""

        self._of_group = 0
        """The index of the group's first region."""

        self._varied: Varied = {}
        self._times: list[float] = []
        self._scans = 1

    def comment(self, text: str) -> None:
        found = _FROM.search(text[:500].strip())
        if found and not self.program:
            self.program = cleaned(found["program"].rstrip(" ,"))
            self.data_format = f"SPECS XML {self.program}"

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        frame = _Frame(tag, attributes.get("name", ""), attributes.get("type_name", ""))
        self._stack.append(frame)
        if frame.type == "RegionGroup":
            self.known = True
            self._begin_group()
        elif frame.type == "RegionData":
            self.known = True
            self._begin_region(Region())
        elif frame.name == "scans":
            scans = number(attributes.get("length", ""))
            self._scans = scans if isinstance(scans, int) else 1
        elif not frame.type:
            self._of_schedule(tag, attributes)

    def end(self, tag: str, text: str) -> None:
        frame = self._stack.pop()
        if frame.type == "Parameter":
            self._parameter(frame)
        elif frame.type == "RegionData" and self.regions:
            self._end_region(self.regions[-1])
        elif frame.type == "RegionGroup" or tag == "SpectrumGroup":
            self._end_group()
        elif tag == "Comment" and len(self._stack) > 1 and self._stack[-1].tag == "Spectrum" and self.regions:
            add(self.regions[-1], "Comment", text)
        elif text.strip() and self._stack:
            self._leaf(frame, text)

    # ------------------------------------------------------------------ SpecsLab

    def _begin_group(self) -> None:
        self._group, self._of_group = Region(), len(self.regions)

    def _begin_region(self, region: Region) -> None:
        self._varied, self._times, self._scans = {}, [], 1
        for name, found in self._group.common.items():
            put(region.common, name, found)
        if len(self.regions) < MAX_XML_REGIONS:
            self.regions.append(region)

    def _end_region(self, region: Region) -> None:
        put(region.fields, "Parameters", varied(self._varied))
        put(region.fields, "Cycles", len(self._times) or None)
        if self._times:
            region.began = min(self._times)
            put(region.fields, "Began", dt.datetime.fromtimestamp(region.began, dt.UTC).isoformat())
            last = max(self._times)
            once = ended(region, last)
            region.ended = last + (once - last) * self._scans if once is not None else None

    def _end_group(self) -> None:
        for region in self.regions[self._of_group :]:
            for name, found in self._group.common.items():
                put(region.common, name, found)
        self._begin_group()

    def _leaf(self, frame: _Frame, text: str) -> None:
        if len(self.regions) == MAX_XML_REGIONS:
            return
        above = self._stack[-1]
        if above.type == "RegionGroup" and frame.name == "name":
            put(self._group.common, "Group", value(text, HeaderField("Group")))
        elif above.type == "Parameter" and frame.name == "name":
            above.parameter = text.strip()
        elif above.tag == "any" and len(self._stack) > 1 and self._stack[-2].type == "Parameter":
            self._stack[-2].text = text
        elif self.regions:
            self._of_region(self.regions[-1], above.type, frame.name, text)

    def _of_region(self, region: Region, above: str, name: str, text: str) -> None:
        if above == "RegionDef":
            add(region, name, text)
        elif above == "RegionData" and name == "name":
            region.name = cleaned(text)[:100]
        elif above == "ScanMode" and name == "name":
            add(region, "scan_mode", text)
        elif above in ("AnalyzerInfo", "SourceInfo") and name == "name":
            add(region, "analyzer" if above == "AnalyzerInfo" else "source", text)
        elif above.endswith("Cycle") and name == "time":
            when = number(text)
            if when is not None and 0 < when < 1e11:
                self._times.append(float(when))

    def _parameter(self, frame: _Frame) -> None:
        """Add a parameter to the nearest enclosing analyser, source, cycle, region or group."""
        name, text = frame.parameter, frame.text
        above = next((each.type for each in reversed(self._stack) if each.type and not each.type.endswith("Seq")), "")
        if not name or not text.strip():
            return
        if above == "RegionGroup":
            if name.lower() == "comment":
                put(self._group.common, "Comments", value(text, HeaderField("Comments")))
        elif not self.regions or name.lower() in _OF_THE_SCREEN:
            return
        elif above.endswith("Cycle"):
            vary(self._varied, name, text)
        elif above in ("AnalyzerInfo", "SourceInfo"):
            fields = self.regions[-1].fields
            group = "Analyser settings" if above == "AnalyzerInfo" else "Source settings"
            put(fields, group, {})
            if group in fields:
                put(fields[group], *guessed(name, text))
        elif above == "RegionData":
            add(self.regions[-1], name, text)

    # ---------------------------------------------------------------- a schedule

    def _of_schedule(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "SpectrumGroup":
            self.known = True
            self.data_format = "SPECS Prodigy experiment"
            self._begin_group()
            put(self._group.common, "Group", value(attributes.get("Name", ""), HeaderField("Group")))
            if len(self._stack) > 1:
                put(self._group.fields, "Analysis method", cleaned(self._stack[-2].tag) or None)
        elif tag == "Spectrum":
            region = Region(name=cleaned(attributes.get("Name", ""))[:100])
            region.fields.update(self._group.fields)
            add(region, "Spectrum ID", attributes.get("ID", ""))
            self._begin_region(region)
        elif any(frame.tag == "Spectrum" for frame in self._stack) and self.regions:
            _add_settings(self.regions[-1], tag, attributes)
        elif any(frame.tag == "CommonSpectrumSettings" for frame in self._stack):
            _add_settings(self._group, tag, attributes)


def _add_settings(region: Region, tag: str, attributes: Mapping[str, str]) -> None:
    """Add the settings of a schedule:

    `<Lens Mode="LargeArea"/>`, `<FixedAnalyzerTransmissionSettings Ebin="20" .../>`.
    """
    if tag in ("EnergyChannelCalibration", "Transmission"):
        return  # names of the program's own files
    for name, text in attributes.items():
        if tag in ("Lens", "ScanMode") and name in ("Mode", "Name"):
            name = f"{tag.removesuffix('Mode')}Mode"
        elif tag == "Iris":
            name = f"Iris {name.lower()} [mm]"
        add(region, name, text)


class _Parameters:
    """Reads the attributes of `AnalyzerSpectrumParameters`."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def comment(self, text: str) -> None:
        """Comments have no settings."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "AnalyzerSpectrumParameters" and not self.found:
            self.found = dict(attributes)

    def end(self, tag: str, text: str) -> None:
        """The element has no text."""
