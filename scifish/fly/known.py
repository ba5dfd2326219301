"""What the journal knows of measurements and files, and how its rows say it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scifish.fly.places import Place

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
