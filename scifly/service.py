"""Follows the path of an experiment, and records what is written there: SciFly without Tango."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Literal

from scifish.message import iso
from scifish.recording.session import RecordingSession
from scifly.collector import MeasurementClaims, MeasurementCollector
from scifly.follower import RootFollower, settle, wanted
from scifly.journal import Journal
from scifly.model import JournalFile, ProposalContext, inside, stay_of
from scifly.profiles import Profile
from scifly.proposal_periods import ProposalPeriods
from scifly.readers.values import local_zone
from scifly.recorder import DatasetRecorder, Outcome
from scifly.watching import FolderWatch, printable, watch

log = logging.getLogger(__name__)

STOP_SECONDS = 2.0
"""Seconds for all threads to end. One whose file server hangs is left behind."""


@dataclass(frozen=True)
class FlySettings:
    """Times in seconds.

    `zone` is that of dates in files that name none; `method` see `scifly.watching.watch`. Files that were
    written longer ago than `catch_up` when they are seen first are left to `scifly scan`. The Tango attributes are
    read for what was written less than `fresh` ago. A root that was left is watched for `linger` more.
    """

    beamline: str
    zone: tzinfo = field(default_factory=local_zone)
    method: Literal["auto", "inotify", "polling"] = "auto"
    catch_up: float = 86_400.0
    fresh: float = 60.0
    linger: float = 600.0


@dataclass(frozen=True)
class FlyCounts:
    """What was done.

    `recorded` are datasets, `ignored` changes that were not to be recorded, `skipped` files that were too old.
    `last_file` is the last one that was recorded, `last_recorded` when that was (UTC, ISO 8601); `last_error` is
    for a person. Each "" if there was none.
    """

    recorded: int = 0
    ignored: int = 0
    skipped: int = 0
    last_file: str = ""
    last_recorded: str = ""
    last_error: str = ""

    def and_then(self, more: FlyCounts) -> FlyCounts:
        """This, and what was done after it."""
        later = more if more.last_file else self
        return FlyCounts(
            self.recorded + more.recorded,
            self.ignored + more.ignored,
            self.skipped + more.skipped,
            later.last_file,
            later.last_recorded,
            more.last_error or self.last_error,
        )


@dataclass(frozen=True)
class FlyStatus:
    """A FlyService as it was at one moment.

    A file that is there is either `pending` (files and measurements under way) or in `counts`. `watched` is the
    path that is followed ("" for none) and `place` whose its files are; `method` is how: inotify or polling, "" if
    nothing is. `works`: what is followed can be seen, and recorded. `trouble`: why something does not go its usual
    way, "" if all does. `others` are paths that were left, and are still watched.
    """

    counts: FlyCounts
    pending: int
    watched: str
    place: ProposalContext
    method: str
    works: bool
    trouble: str
    others: tuple[str, ...]


class FlyService:
    """One path at a time is followed; what was begun at an earlier one is finished there.

    Methods do not wait for file servers. What is shown of it is `seen`.
    """

    def __init__(
        self,
        settings: FlySettings,
        profiles: Sequence[Profile],
        journal: Journal,
        session: Callable[[], RecordingSession],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Go on with what an earlier one has left. `on_change` is called, in any thread, when what is shown is new.

        sqlite3.Error if the journal cannot be read.
        """
        self.settings = settings
        self._counts = FlyCounts()
        """Skipped are those at roots that are watched no more."""
        self._profiles = tuple(profiles)
        self._journal = journal
        self._session = session
        self._on_change = on_change
        self._stays = ProposalPeriods(journal)
        self._claims = MeasurementClaims()
        self._followings: dict[str, RootFollower] = {}
        self._watched = ""
        self._place = ProposalContext()
        self._troubles: dict[str, str] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._resume()

    # ------------------------------------------------------------------------ commands

    def follow(self, root: str, place: ProposalContext) -> None:
        """From now on files below this root are recorded, as of this place; "" for nowhere.

        ValueError for a path that is not absolute.
        """
        if root and not os.path.isabs(root):
            raise ValueError(f"{printable(root)} is not an absolute path")
        root = os.path.normpath(root) if root else ""
        with self._lock:
            if self._stopping.is_set():
                return
            self._stays.follow(root, place)
            for following in self._followings.values():
                if following.root == root:
                    following.left = None
                elif following.left is None:
                    following.left = time.monotonic()
            self._watched, self._place = root, place
            if root and root not in self._followings:
                self._begin(root)
        self._changed()

    def rescan(self) -> None:
        """Look at everything again, soon."""
        for following in self._all():
            following.watch.rescan()

    def record_now(self, path: str, timeout: float = 30.0) -> str:
        """Record the measurement of this file as it is now, also if it is recorded already; its dataset's uuid.

        ValueError for what is not below a path that is watched, or is no file; OSError for what cannot be looked
        at; TimeoutError if it takes longer than `timeout` seconds: it is recorded nevertheless, as soon as it can be.
        """
        path = os.path.normpath(path)
        containing = [one for one in self._all() if inside(path, one.root) and path != one.root]
        if not containing:
            watched = ", ".join(printable(one.root) for one in self._all()) or "nothing"
            raise ValueError(f"{printable(path)} is not below the watched folder ({watched}): `scifly scan` records it")
        answer = max(containing, key=lambda one: len(one.root)).record_now(path)
        try:
            return answer.result(timeout)
        except TimeoutError as error:
            raise TimeoutError(
                f"{printable(path)} is not recorded after {timeout:g} s; it will be recorded as soon as possible"
            ) from error

    def stop(self) -> None:
        """Returns within some seconds. What is under way is gone on with by the next one."""
        self._stopping.set()
        followings = self._all()
        for following in followings:
            following.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for following in followings:
            following.join(max(deadline - time.monotonic(), 0.0))

    # -------------------------------------------------------------------- what is shown

    def seen(self) -> FlyStatus:
        with self._lock:
            followings = list(self._followings.values())
            # First what is under way: what is not any more is counted already.
            pending = {one.root: one.pending for one in followings}
            counts = self._counts
            sights = {one.root: one.watch.sight for one in followings}
            # Of a path that was left, as it was wrong, it is of no interest that it does not exist.
            watches = [sights[one.root].trouble for one in followings if one.left is None or pending[one.root]]
            troubles = [self._journal.trouble, self._stays.trouble, *self._troubles.values(), *watches]
            here = sights.get(self._watched)
            return FlyStatus(
                counts=replace(counts, skipped=counts.skipped + sum(one.collector.skipped for one in followings)),
                pending=sum(pending.values()),
                watched=self._watched,
                place=self._place,
                method=here.method if here is not None else "",
                works=here is None or (here.sees and not self._troubles.get(self._watched)),
                trouble="; ".join(dict.fromkeys(filter(None, troubles))),
                others=tuple(one.root for one in followings if one.left is not None),
            )

    # -------------------------------------------------------------- told by the followings

    def outcome(self, outcome: Outcome, collector: MeasurementCollector) -> None:
        """Measurements were recorded, or not."""
        unread = [problem for one in outcome.recorded for problem in one.header.problems]
        problems = [*unread, *outcome.problems]
        last = printable(outcome.recorded[-1].changed[-1].path) if outcome.recorded else ""
        now = FlyCounts(
            recorded=len(outcome.recorded),
            ignored=len(outcome.ignored),
            last_file=last,
            last_recorded=iso(time.time()) if last else "",
            last_error=problems[-1] if problems else "",
        )
        with self._lock:
            outcome.end(collector)
            self._counts = self._counts.and_then(now)
        outcome.answer()
        for path in outcome.ignored:
            log.info("%s has changed after it was recorded; the change is not recorded (modified)", printable(path))
        for problem in problems:
            log.warning("%s", problem)
        self._changed()

    def trouble_of(self, root: str, trouble: str) -> None:
        """Nothing is recorded there at the moment, and why; "" if it is again."""
        if trouble:
            log.error("%s: %s", printable(root), trouble)
        with self._lock:
            self._troubles[root] = trouble
            self._counts = self._counts.and_then(FlyCounts(last_error=trouble))
        self._changed()

    def pulse(self) -> None:
        """Now and then."""
        self._stays.keep()
        patience = max((profile.patience for profile in self._profiles), default=0.0)
        with self._lock:
            for root, following in list(self._followings.items()):
                if following.is_done(self.settings.linger, patience):
                    following.stop()
                    del self._followings[root]
                    self._counts = self._counts.and_then(FlyCounts(skipped=following.collector.skipped))
                    self._troubles.pop(root, None)

    # ------------------------------------------------------------------------ behind that

    def _resume(self) -> None:
        now = time.time()
        roots = {measurement.root: now for measurement, _ in self._journal.unfinished()}
        for stay in self._stays.now():
            if stay.left is None or stay.left > now - self.settings.linger:
                roots[stay.root] = max(roots.get(stay.root, 0.0), stay.left or now)
        with self._lock:
            for root, left in roots.items():
                self._begin(root, time.monotonic() - (now - left))

    def _begin(self, root: str, left: float | None = None) -> None:
        stopping = threading.Event()
        recorder = DatasetRecorder(
            self._journal, self._session, self.settings.beamline, self.settings.zone, self.settings.fresh, stopping
        )
        collector = MeasurementCollector(
            root,
            self._profiles,
            self._journal,
            self.settings.beamline,
            self.settings.catch_up,
            self._place_of,
            self._claims,
            self._pass_on,
        )
        following = RootFollower(collector, self._watch, recorder, self, stopping)
        following.left = left
        self._followings[root] = following
        following.start()

    def _place_of(self, path: str, made: float) -> ProposalContext:
        stay = stay_of(path, made, self._stays.now())
        return stay.place if stay is not None else ProposalContext()

    def _watch(self, following: RootFollower) -> FolderWatch:
        return watch(
            following.root,
            wanted(self._profiles),
            settle(self._profiles),
            following.on_found,
            self.settings.method,
            lambda trouble: self._changed(),
        )

    def _pass_on(self, owner: MeasurementCollector, file: JournalFile) -> None:
        for following in self._all():
            if following.collector is owner:
                following.give(file)

    def _all(self) -> list[RootFollower]:
        with self._lock:
            return list(self._followings.values())

    def _changed(self) -> None:
        try:
            self._on_change()
        except Exception:
            log.exception("a change of the state could not be handled")
