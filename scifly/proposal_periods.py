"""Which proposal was in use at which path and when, kept in memory and in the journal."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from scifly.journal import Journal
from scifly.model import ProposalContext, ProposalPeriod

log = logging.getLogger(__name__)

SAVE_PERIOD_SECONDS = 60.0
"""Seconds between two updates of the open periods in the journal."""

CHANGE_NOTICED_SECONDS = 3.0
"""Maximum delay in seconds until a change is noticed:

PathFixer is asked twice a second, and may take a second to answer.
"""


class ProposalPeriods:
    """The proposal periods of all roots. Threads may share it.

    Methods never raise; `trouble` says why the journal cannot be written, "" if it can. Periods that are not written
    yet stay in memory, and are written with a later call of `keep`.
    """

    def __init__(self, journal: Journal) -> None:
        """Raises sqlite3.Error if the journal cannot be read."""
        self._journal = journal
        self._stays = journal.stays()
        self._kept = len(self._stays)
        self._age = journal.age
        self._to_leave: list[tuple[str, float, float]] = []
        self._followed: tuple[str, ProposalContext] | None = None
        self._confirmed = 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        self.trouble = ""

    def now(self) -> Sequence[ProposalPeriod]:
        with self._lock:
            return tuple(self._stays)

    def follow(self, root: str, place: ProposalContext, confirmed: float | None = None) -> None:
        """The proposal is in use at this root from now on, and at no other root; "" means no root.

        `confirmed` is when this was known last, in seconds since 1970; None for now.
        """
        now = time.time()
        with self._lock:
            here = [stay for stay in self._stays if stay.left is None and stay.root == root and stay.place == place]
            for number, stay in enumerate(self._stays):
                if stay.left is None and stay not in here:
                    # The root of an earlier run may have been left at any time since it was last seen.
                    is_current = (stay.root, stay.place) == self._followed
                    seen = max(stay.seen, self._confirmed - CHANGE_NOTICED_SECONDS) if is_current else stay.seen
                    self._stays[number] = replace(stay, seen=seen, left=now)
                    self._to_leave.append((stay.root, seen, now))
            self._confirmed = now if confirmed is None else confirmed
            if root and not here:
                self._stays.append(ProposalPeriod(root, place, now, self._confirmed))
            self._followed = (root, place)
        self.keep()

    def confirm(self, when: float) -> None:
        """What is followed was still in use at this time, in seconds since 1970. `keep` writes it."""
        self._confirmed = when

    def keep(self) -> None:
        """Write to the journal what is missing there. Call it from time to time."""
        with self._lock:
            try:
                self._keep()
                self.trouble = ""
            except sqlite3.Error as error:
                self.trouble = f"the journal {self._journal.path} refuses writes: {error}"

    def _keep(self) -> None:
        if self._age != self._journal.age:  # the journal was damaged and has been replaced by an empty one
            self._age, self._kept = self._journal.age, 0
        while self._to_leave:
            self._journal.leave(*self._to_leave[0])
            self._to_leave.pop(0)
        for stay in self._stays[self._kept :]:
            self._journal.stay(stay)
            self._kept += 1
        if time.monotonic() >= self._next:
            # Not the time of now: PathFixer may have been silent for days, and its answer is remembered for some.
            seen = self._confirmed
            self._journal.seen(seen)
            self._next = time.monotonic() + SAVE_PERIOD_SECONDS
            self._stays = [
                replace(stay, seen=max(stay.seen, seen)) if stay.left is None else stay for stay in self._stays
            ]
