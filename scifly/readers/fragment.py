"""What one file says, and how those of one measurement are put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scifish.message import Message
from scifly.model import Header

MAX_REGIONS_IN_FULL = 60
"""So many are recorded in full: a message has room for some thousands of values."""

MAX_FIELDS = 300
"""Fields of one region, or of one group in it."""

MAX_READ_PROBLEMS = 20

MAX_REGIONS_NAMED = 20
"""Regions that are named in one line."""

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
"""Told once more under `Analyser` where all regions have the same: so it is found, whatever a region is called."""


@dataclass
class Region:
    """One region: an energy window that is measured with one setting."""

    name: str = ""
    fields: Message = field(default_factory=dict)
    common: Message = field(default_factory=dict)
    """What is told once for all regions where all say the same: instrument, sample, operator."""

    spectrum: str = ""
    """The program's own name for the spectrum, by which two files know that they hold the same."""

    began: float | None = None
    ended: float | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        # Some programs write fractions of a second, and some leave them out.
        return self.name, self.spectrum, None if self.began is None else int(self.began)


@dataclass
class FileHeader:
    """What one file says."""

    data_format: str
    general: Message = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    began: float | None = None
    ended: float | None = None
    title: str = ""
    complete: bool = True
    problems: list[str] = field(default_factory=list)

    def ends(self, stopped: str, lacks: str) -> FileHeader:
        """Itself, with why it was not read to its end, else with what the file announces and lacks; "" for neither."""
        if stopped:
            self.problems.append(stopped)
        elif lacks:
            self.complete = False
            self.problems.append(lacks)
        return self


def put(fields: Message, name: str, found: Any) -> None:
    """Add a field that says something, unless there are too many."""
    if found is not None and name and len(fields) < MAX_FIELDS:
        # A dictionary with "value" would be a value, and no group.
        fields.setdefault("Value" if name == "value" else name, found)


def composed(parts: Sequence[FileHeader], problems: Iterable[str]) -> Header:
    """The header of the measurement that these files are. What an earlier file says goes before."""
    regions = _merged(region for part in parts for region in part.regions)
    general: Message = {}
    for part in parts:
        for name, found in part.general.items():
            put(general, name, found)
    _lift(regions, general)
    named = [region.name for region in regions if region.name]
    put(general, "Number of regions", len(regions) or None)
    put(general, "Regions", _line(named, MAX_REGIONS_NAMED) or None)
    analyser = {name: regions[0].fields[name] for name in ANALYSER_FIELDS if regions and _all_say(regions, name)}
    metadata: Message = {name: group for name, group in (("Experiment", general), ("Analyser", analyser)) if group}
    for number, region in enumerate(regions[:MAX_REGIONS_IN_FULL], start=1):
        if region.fields:
            metadata[f"Region {number} {region.name}".strip()] = region.fields
    said = [*problems, *(problem for part in parts for problem in part.problems)]
    if len(regions) > MAX_REGIONS_IN_FULL:
        said.append(f"of {len(regions)} regions only the first {MAX_REGIONS_IN_FULL} are recorded in full")
    return Header(
        metadata=metadata,
        data_format=", ".join(dict.fromkeys(part.data_format for part in parts if part.data_format)),
        title=next((part.title for part in parts if part.title), "") or _names(regions, general),
        started=min(_times([part.began for part in parts] + [region.began for region in regions]), default=None),
        ended=max(_times([part.ended for part in parts] + [region.ended for region in regions]), default=None),
        complete=all(part.complete for part in parts),
        problems=_few(said),
    )


def _merged(regions: Iterable[Region]) -> list[Region]:
    """The same region in a text and in a binary wave is one."""
    known: dict[tuple[object, ...], Region] = {}
    for place, region in enumerate(regions):
        # Where nothing tells them apart, they are not the same.
        same = known.setdefault(region.identity if region.began is not None else (place,), region)
        if same is not region:
            for name, found in region.fields.items():
                put(same.fields, name, found)
            for name, found in region.common.items():
                put(same.common, name, found)
    return list(known.values())


def _lift(regions: list[Region], general: Message) -> None:
    """What all regions say alike goes to the general group, the rest stays with its region."""
    for name in dict.fromkeys(name for region in regions for name in region.common):
        each = [region.common.get(name) for region in regions]
        if each.count(each[0]) == len(each):
            put(general, name, each[0])
        else:
            for region in regions:
                put(region.fields, name, region.common.get(name))


def _names(regions: list[Region], general: Message) -> str:
    """As `as-loaded: Survey, Fe2p`: the group, if it is one, and its regions."""
    named = _line([region.name for region in regions if region.name], 5)
    return ": ".join(each for each in (general.get("Group", ""), named) if each)


def _line(names: list[str], most: int) -> str:
    each = list(dict.fromkeys(names))
    return ", ".join(each[:most]) + (f" and {len(each) - most} more" if len(each) > most else "")


def _all_say(regions: list[Region], name: str) -> bool:
    """Whether each region has this field, and all the same."""
    return name in regions[0].fields and all(region.fields.get(name) == regions[0].fields[name] for region in regions)


def _times(each: list[float | None]) -> list[float]:
    return [time for time in each if time is not None]


def _few(problems: list[str]) -> tuple[str, ...]:
    few = [problem[:500] for problem in problems[:MAX_READ_PROBLEMS]]
    if len(problems) > MAX_READ_PROBLEMS:
        few.append(f"and {len(problems) - MAX_READ_PROBLEMS} more problems")
    return tuple(few)
