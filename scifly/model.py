"""Measurements and files as the journal stores them, and their conversion to rows."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scifish.dataset.proprietary import is_proprietary
from scifish.message import Message
from scifish.message.types import DatasetPlace


@dataclass(frozen=True)
class Header:
    """The combined header of one measurement's files."""

    metadata: Message = field(default_factory=dict)
    """Groups as in `SciFish.scientificMetadata`; numbers are stored as numbers, with units that SciCat knows."""

    data_format: str = ""
    """For example `Scienta SES text 1.3.1`; several formats are separated by commas."""

    title: str = ""
    """The operator's name for the measurement, "" if there is none."""

    started: float | None = None
    """Start of the acquisition in seconds since 1970, UTC."""

    ended: float | None = None

    complete: bool = True
    """False if a file itself announces more: it has fewer regions, lines or bytes than its header declares."""

    problems: tuple[str, ...] = ()
    """Why a file, or a part of it, could not be read. Each text names its file."""


@dataclass(frozen=True)
class ProposalContext:
    """The proposal, sample and category by PathFixer's names; "" if unknown."""

    proposal: str = ""
    sample: str = ""
    category: str = ""

    @property
    def proprietary(self) -> bool:
        return is_proprietary(self.proposal, self.category)

    def as_given(self) -> DatasetPlace:
        """The value of `given["place"]` in a record."""
        return {"proposalId": self.proposal, "sampleId": self.sample, "category": self.category}


@dataclass(frozen=True)
class ProposalPeriod:
    """A period in which files below `root` belonged to this proposal. Times are in seconds since 1970.

    `seen` is the last time at which this was confirmed; `left` is the end, None while the period is open.
    """

    root: str
    place: ProposalContext
    since: float
    seen: float
    left: float | None = None


def inside(path: str, root: str) -> bool:
    """Whether a path is the root or below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def stay_of(path: str, born: float, stays: Sequence[ProposalPeriod]) -> ProposalPeriod | None:
    """The period that a file created at `born` belongs to; None if it is below no root.

    A file created between two periods, while nobody watched, belongs to the period before: a program finishes what it
    has started. Exception: if only the period after it is proprietary, the file belongs to that one, because it must
    not leave the beamline.
    """
    containing = sorted((stay for stay in stays if inside(path, stay.root)), key=lambda stay: stay.since)
    then = [stay for stay in containing if stay.since <= born and (stay.left is None or born < stay.left)]
    # Of nested watched folders, the inner one counts.
    if then := [stay for stay in then if len(stay.root) == max(len(one.root) for one in then)]:
        return then[-1] if born <= then[-1].seen else _unsure(then[-1], born, containing)
    deepest = [stay for stay in containing if len(stay.root) == max(len(one.root) for one in containing)]
    before = [stay for stay in deepest if stay.since <= born]
    return before[-1] if before else next(iter(deepest), None)


def _unsure(stay: ProposalPeriod, born: float, containing: Sequence[ProposalPeriod]) -> ProposalPeriod:
    """The period of a file created after `stay` was last confirmed."""
    after = [other for other in containing if other.since > born and other.root == stay.root]
    return after[0] if after and after[0].place.proprietary and not stay.place.proprietary else stay


_MAX_SQLITE_INTEGER = 2**63 - 1


MEASUREMENT_COLUMNS = "uuid, path, generation, root, profile, proposal, sample, category, started, recordings, complete"


@dataclass(frozen=True)
class Measurement:
    """One dataset.

    `path` is the path that its files share; `started` is the start by the files, in seconds since 1970.
    """

    uuid: str
    path: str
    generation: int
    root: str
    profile: str
    place: ProposalContext
    started: float | None = None
    recordings: int = 0
    complete: bool = True
    """Whether no more files were expected at its last recording."""


@dataclass(frozen=True)
class JournalFile:
    """A file in the journal. `born` is the creation time in seconds since 1970, None if the file system has none."""

    path: str
    uuid: str
    size: int
    mtime_ns: int
    inode: int
    born: float | None
    settled: bool
    """Whether its present state was recorded, or its change ignored."""
    changed: bool = False
    """Whether a change after the recording was ignored. `inode` and `born` are then still those of the recording."""
    seen: float = field(default=math.inf, compare=False)
    """When it was first noticed, in seconds since 1970 by this machine's clock; not stored in the journal."""

    @staticmethod
    def of(path: str, size: int, mtime_ns: int, inode: int) -> JournalFile:
        """A file that was found on disk."""
        # SQLite's integers have 64 bits with a sign, so times end in the year 2262; a wrong clock may be beyond that.
        mtime_ns = min(max(mtime_ns, -_MAX_SQLITE_INTEGER), _MAX_SQLITE_INTEGER)
        return JournalFile(
            path, "", size, mtime_ns, inode - 2**64 if inode > _MAX_SQLITE_INTEGER else inode, None, False
        )

    def is_like(self, other: JournalFile) -> bool:
        """Whether size and mtime are the same. The inode is not compared: some file servers change it at each mount."""
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)

    def is_another(self, other: JournalFile) -> bool:
        """Whether another file has taken its name, by the inode or the creation time."""
        born = self.born is not None and other.born is not None and self.born != other.born
        return born or self.inode != other.inode


def row_of(measurement: Measurement) -> tuple[object, ...]:
    place = (measurement.place.proposal, measurement.place.sample, measurement.place.category)
    paths = (os.fsencode(measurement.path), measurement.generation, os.fsencode(measurement.root), measurement.profile)
    return (measurement.uuid, *paths, *place, measurement.started, measurement.recordings, measurement.complete)


def measurement_of_row(row: Sequence[Any]) -> Measurement:
    uuid, path, generation, root, profile, proposal, sample, category, started, recordings, complete = row
    place = ProposalContext(str(proposal), str(sample), str(category))
    return Measurement(
        uuid, os.fsdecode(path), generation, os.fsdecode(root), profile, place, started, recordings, bool(complete)
    )


def file_of_row(row: Sequence[Any]) -> JournalFile:
    path, uuid, size, mtime_ns, inode, born, settled, changed = row
    return JournalFile(os.fsdecode(path), uuid, size, mtime_ns, inode, born, bool(settled), bool(changed))
