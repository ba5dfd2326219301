"""What the journal knows of measurements and files, and how its rows say it."""

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
    """The headers of one measurement's files, put together."""

    metadata: Message = field(default_factory=dict)
    """Groups as `SciFish.scientificMetadata` takes them; numbers are numbers, with units that SciCat knows."""

    data_format: str = ""
    """As `Scienta SES text 1.3.1`; several with a comma between them."""

    title: str = ""
    """What the operator called it, "" if nothing."""

    started: float | None = None
    """When the acquisition began, in seconds since 1970, UTC."""

    ended: float | None = None

    complete: bool = True
    """False if a file itself says that more is to come: it has fewer regions, lines or bytes than it announces."""

    problems: tuple[str, ...] = ()
    """Why a file, or a part of it, could not be read. Each names its file."""


@dataclass(frozen=True)
class Place:
    """As PathFixer names it; "" for what is not known."""

    proposal: str = ""
    sample: str = ""
    category: str = ""

    @property
    def proprietary(self) -> bool:
        return is_proprietary(self.proposal, self.category)

    def as_given(self) -> DatasetPlace:
        """`given["place"]` of a record."""
        return {"proposalId": self.proposal, "sampleId": self.sample, "category": self.category}


@dataclass(frozen=True)
class Stay:
    """A time during which files below `root` were of this place. Times in seconds since 1970.

    `seen` is when that was last known; `left` is when it ended, None if it has not.
    """

    root: str
    place: Place
    since: float
    seen: float
    left: float | None = None


def inside(path: str, root: str) -> bool:
    """Whether a path is the root, or below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def stay_of(path: str, born: float, stays: Sequence[Stay]) -> Stay | None:
    """The stay during which this file was made, at `born`; None if it is below no root.

    What was made while nobody watched, between two stays, is of the one before: a program finishes what
    it has begun. But if only the one after it is proprietary, it is of that: it must not leave the beamline.
    """
    containing = sorted((stay for stay in stays if inside(path, stay.root)), key=lambda stay: stay.since)
    then = [stay for stay in containing if stay.since <= born and (stay.left is None or born < stay.left)]
    # Of a folder inside of another one that is watched, too, it is the inner one's.
    if then := [stay for stay in then if len(stay.root) == max(len(one.root) for one in then)]:
        return then[-1] if born <= then[-1].seen else _unsure(then[-1], born, containing)
    deepest = [stay for stay in containing if len(stay.root) == max(len(one.root) for one in containing)]
    before = [stay for stay in deepest if stay.since <= born]
    return before[-1] if before else next(iter(deepest), None)


def _unsure(stay: Stay, born: float, containing: Sequence[Stay]) -> Stay:
    """It was not seen any more that it was still so."""
    after = [other for other in containing if other.since > born and other.root == stay.root]
    return after[0] if after and after[0].place.proprietary and not stay.place.proprietary else stay


_LARGEST = 2**63 - 1


COLUMNS = "uuid, path, generation, root, profile, proposal, sample, category, started, recordings, complete"


@dataclass(frozen=True)
class Measurement:
    """One dataset. `path` is what its files have in common; `started` in seconds since 1970, as the files say."""

    uuid: str
    path: str
    generation: int
    root: str
    profile: str
    place: Place
    started: float | None = None
    recordings: int = 0
    complete: bool = True
    """Whether no more is to come, as far as its last recording knew."""


@dataclass(frozen=True)
class Known:
    """A file as it is known. `born` in seconds since 1970, None if the file system does not say."""

    path: str
    uuid: str
    size: int
    mtime_ns: int
    inode: int
    born: float | None
    settled: bool
    """Whether it was recorded as it is, or its change ignored."""
    changed: bool = False
    """Whether a change since it was recorded was ignored. `inode` and `born` are those of when it was recorded."""
    seen: float = field(default=math.inf, compare=False)
    """When it was noticed first, by this machine's clock; not in the journal."""

    @staticmethod
    def of(path: str, size: int, mtime_ns: int, inode: int) -> Known:
        """A file that is found."""
        # SQLite's integers have 64 bits, and a sign: a time ends with the year 2262, and a clock may say what it likes.
        mtime_ns = min(max(mtime_ns, -_LARGEST), _LARGEST)
        return Known(path, "", size, mtime_ns, inode - 2**64 if inode > _LARGEST else inode, None, False)

    def is_like(self, other: Known) -> bool:
        """Whether nothing has happened to it. The inode says nothing: some file servers number anew when mounted."""
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)

    def is_another(self, other: Known) -> bool:
        """Whether, by the file system, another file has taken its name."""
        born = self.born is not None and other.born is not None and self.born != other.born
        return born or self.inode != other.inode


def row_of(measurement: Measurement) -> tuple[object, ...]:
    place = (measurement.place.proposal, measurement.place.sample, measurement.place.category)
    paths = (os.fsencode(measurement.path), measurement.generation, os.fsencode(measurement.root), measurement.profile)
    return (measurement.uuid, *paths, *place, measurement.started, measurement.recordings, measurement.complete)


def measurement_of_row(row: Sequence[Any]) -> Measurement:
    uuid, path, generation, root, profile, proposal, sample, category, started, recordings, complete = row
    place = Place(str(proposal), str(sample), str(category))
    return Measurement(
        uuid, os.fsdecode(path), generation, os.fsdecode(root), profile, place, started, recordings, bool(complete)
    )


def known_of_row(row: Sequence[Any]) -> Known:
    path, uuid, size, mtime_ns, inode, born, settled, changed = row
    return Known(os.fsdecode(path), uuid, size, mtime_ns, inode, born, bool(settled), bool(changed))
