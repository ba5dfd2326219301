"""Where an experiment stood when a file was made: proposal, sample, and what may be told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scifish.dataset.proprietary import is_proprietary
from scifish.message import Message


@dataclass(frozen=True)
class Place:
    """As PathFixer names it; "" for what is not known."""

    proposal: str = ""
    sample: str = ""
    category: str = ""

    @property
    def proprietary(self) -> bool:
        return is_proprietary(self.proposal, self.category)

    def as_given(self) -> Message:
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
