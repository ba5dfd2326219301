"""The header of one file, and how the headers of one measurement's files are combined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scifish.message import Message
from scifly.model import Header

MAX_REGIONS_IN_FULL = 60
"""Maximum number of regions recorded in full: a message has room for some thousand values."""

MAX_FIELDS = 300
"""Maximum number of fields of one region, or of one group in it."""

MAX_READ_PROBLEMS = 20

MAX_REGIONS_NAMED = 20
"""Maximum number of region names in one line."""

ANALYSER_FIELDS = (
    "Analysis method",
    "Lens mode",
    "Lens voltage range",
    "Pass energy",
    "Excitation energy",
    "Energy scale",
    "Acquisition mode",
    "Scan mode",
    "Energy step",
    "Step time",
    "Dwell time",
    "Sweeps",
    "Entrance slit",
)
"""Repeated under `Analyser` if they are the same in all regions, so that a search finds them under one name."""


@dataclass
class Region:
    """One region: an energy window that is measured with the same settings."""

    name: str = ""
    fields: Message = field(default_factory=dict)
    common: Message = field(default_factory=dict)
    """Fields that are recorded once if all regions have the same value: instrument, sample, operator."""

    spectrum: str = ""
    """The program's own name of the spectrum, which identifies the same spectrum in two files."""

    began: float | None = None
    ended: float | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        # Some programs write fractions of a second, others omit them.
        return self.name, self.spectrum, None if self.began is None else int(self.began)


@dataclass
class FileHeader:
    """The header of one file."""

    data_format: str
    general: Message = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    began: float | None = None
    ended: float | None = None
    title: str = ""
    complete: bool = True
    problems: list[str] = field(default_factory=list)

    def ends(self, stopped: str, lacks: str) -> FileHeader:
        """Add why reading stopped, else what the file announces but lacks; "" for neither. Returns itself."""
        if stopped:
            self.problems.append(stopped)
        elif lacks:
            self.complete = False
            self.problems.append(lacks)
        return self


def put(fields: Message, name: str, found: Any) -> None:
    """Add a field that has a value, unless there are too many."""
    if found is not None and name and len(fields) < MAX_FIELDS:
        # A dictionary with the key "value" would count as a value instead of a group.
        fields.setdefault("Value" if name == "value" else name, found)


def composed(parts: Sequence[FileHeader], problems: Iterable[str]) -> Header:
    """The header of the measurement, combined from its files. Values of earlier files take precedence."""
    regions = _merged(region for part in parts for region in part.regions)
    general: Message = {}
    for part in parts:
        for name, found in part.general.items():
            put(general, name, found)
    _lift(regions, general)
    named = [region.name for region in regions if region.name]
    put(general, "Number of regions", len(regions) or None)
    put(general, "Regions", _line(named, MAX_REGIONS_NAMED) or None)
    analyser = {name: regions[0].fields[name] for name in ANALYSER_FIELDS if regions and _all_have_same(regions, name)}
    metadata: Message = {name: group for name, group in (("Experiment", general), ("Analyser", analyser)) if group}
    for number, region in enumerate(regions[:MAX_REGIONS_IN_FULL], start=1):
        if region.fields:
            metadata[f"Region {number} {region.name}".strip()] = region.fields
    reported = [*problems, *(problem for part in parts for problem in part.problems)]
    if len(regions) > MAX_REGIONS_IN_FULL:
        reported.append(f"of {len(regions)} regions only the first {MAX_REGIONS_IN_FULL} are recorded in full")
    return Header(
        metadata=metadata,
        data_format=", ".join(dict.fromkeys(part.data_format for part in parts if part.data_format)),
        title=next((part.title for part in parts if part.title), "") or _names(regions, general),
        started=min(_times([part.began for part in parts] + [region.began for region in regions]), default=None),
        ended=max(_times([part.ended for part in parts] + [region.ended for region in regions]), default=None),
        complete=all(part.complete for part in parts),
        problems=_few(reported),
    )


def _merged(regions: Iterable[Region]) -> list[Region]:
    """Merge regions that occur in both a text and a binary wave."""
    known: dict[tuple[object, ...], Region] = {}
    for place, region in enumerate(regions):
        # Without a start time they cannot be identified, so they count as different.
        same = known.setdefault(region.identity if region.began is not None else (place,), region)
        if same is not region:
            for name, found in region.fields.items():
                put(same.fields, name, found)
            for name, found in region.common.items():
                put(same.common, name, found)
    return list(known.values())


def _lift(regions: list[Region], general: Message) -> None:
    """Move common fields with the same value in all regions to the general group, and the others to their regions."""
    for name in dict.fromkeys(name for region in regions for name in region.common):
        each = [region.common.get(name) for region in regions]
        if each.count(each[0]) == len(each):
            put(general, name, each[0])
        else:
            for region in regions:
                put(region.fields, name, region.common.get(name))


def _names(regions: list[Region], general: Message) -> str:
    """A title such as `as-loaded: Survey, Fe2p`: the group, if there is one, and its regions."""
    named = _line([region.name for region in regions if region.name], 5)
    return ": ".join(each for each in (general.get("Group", ""), named) if each)


def _line(names: list[str], most: int) -> str:
    each = list(dict.fromkeys(names))
    return ", ".join(each[:most]) + (f" and {len(each) - most} more" if len(each) > most else "")


def _all_have_same(regions: list[Region], name: str) -> bool:
    """Whether all regions have this field with the same value."""
    return name in regions[0].fields and all(region.fields.get(name) == regions[0].fields[name] for region in regions)


def _times(each: list[float | None]) -> list[float]:
    return [time for time in each if time is not None]


def _few(problems: list[str]) -> tuple[str, ...]:
    few = [problem[:500] for problem in problems[:MAX_READ_PROBLEMS]]
    if len(problems) > MAX_READ_PROBLEMS:
        few.append(f"and {len(problems) - MAX_READ_PROBLEMS} more problems")
    return tuple(few)
