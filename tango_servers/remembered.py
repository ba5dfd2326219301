"""What a PathFixer knows again after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tango

from scifish.tango_io.database import reason
from sdm.layout import AUTO_VISIT, CATEGORIES
from tango_servers.answers import sendable
from tango_servers.inuse import InUse
from tango_servers.memory import MEMORISED, Memory

IN_USE = (
    *(("Proposal", MEMORISED), ("Visit", MEMORISED), ("Sample", MEMORISED)),
    *(("Visit", "in_use"), ("Path", "by_hand"), ("Type", "in_use")),
)
"""What is kept of it. `in_use` is the visit that "auto" was last, and the category, for a restart while a scan runs."""

NAMES = (("UserName", MEMORISED), ("Endstation", MEMORISED))
"""Kept by themselves: what is in use may just be changing."""


@dataclass(frozen=True)
class Recalled:
    """`in_use` has no proposal and no path yet. `memorised` is what Tango itself has of Proposal, Visit and Sample."""

    in_use: InUse
    memorised: Mapping[str, str]
    user_name: str
    endstation: str


class Remembered:
    """Of one device, in the Tango database. `trouble` says why something could not be kept, "" if it was."""

    def __init__(self, device: str) -> None:
        self._memory = Memory(device)
        self.trouble = ""

    def recall(self) -> Recalled:
        """Raises DevFailed."""
        # Somebody may have put letters into the database that no client could read.
        found = [sendable(value) for value in self._memory.recall((*IN_USE, *NAMES))]
        number, wanted, sample, last, by_hand, category, user_name, endstation = found
        auto = wanted in ("", AUTO_VISIT)
        known = category if number and category in CATEGORIES else ""
        in_use = InUse(number, last if auto else wanted, auto, sample, by_hand=by_hand, remembered=known)
        return Recalled(in_use, {"Proposal": number, "Visit": wanted, "Sample": sample}, user_name, endstation)

    def keep(self, found: InUse) -> None:
        """A restart is not to bring back what was before. Tango itself only keeps what is written."""
        self._put(dict(zip(IN_USE, _kept(found), strict=True)))

    def keep_names(self, user_name: str, endstation: str) -> None:
        self._put(dict(zip(NAMES, (user_name, endstation), strict=True)))

    def _put(self, values: Mapping[tuple[str, str], str]) -> None:
        try:
            self._memory.keep(values)
            self.trouble = ""
        except tango.DevFailed as failed:
            self.trouble = reason(failed)


def differ(one: InUse, other: InUse) -> bool:
    """Whether a restart would have to know."""
    return _kept(one) != _kept(other)


def _kept(found: InUse) -> tuple[str, ...]:
    return found.number, found.wanted_visit, found.sample, found.visit, found.by_hand, found.category
