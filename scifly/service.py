"""Follows the path of an experiment, and records the files written there: SciFly without Tango."""

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
"""Maximum seconds to wait for all threads. A thread whose file server hangs is abandoned."""


@dataclass(frozen=True)
class FlySettings:
    """The settings of a FlyService. Times are in seconds.

    `zone` applies to dates without a zone in files; `method` is that of `scifly.watching.watch`. Files whose last write
    is more than `catch_up` before they are first seen are left to `scifly scan`. The Tango attributes are read for
    files written less than `fresh` ago. A root that the experiment has left is watched for another `linger` seconds.
    """

    beamline: str
    zone: tzinfo = field(default_factory=local_zone)
    method: Literal["auto", "inotify", "polling"] = "auto"
    catch_up: float = 86_400.0
    fresh: float = 60.0
    linger: float = 600.0


@dataclass(frozen=True)
class FlyCounts:
    """What a FlyService has done.

    `recorded` counts datasets, `ignored` changes that were not recorded, `skipped` files that were too old. `last_file`
    is the file recorded last, `last_recorded` the time of that (UTC, ISO 8601); `last_error` is a text for people. Each
    is "" if there was none.
    """

    recorded: int = 0
    ignored: int = 0
    skipped: int = 0
    last_file: str = ""
    last_recorded: str = ""
    last_error: str = ""

    def and_then(self, more: FlyCounts) -> FlyCounts:
        """The sum of this and later counts."""
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
    """The state of a FlyService at one moment.

    Every file is either `pending` (number of files and measurements in progress) or in `counts`. `watched` is the
    current path ("" for none) and `place` its proposal; `method` is inotify or polling, "" if nothing is watched.
    `works`: the current path can be watched and recorded. `trouble`: what is wrong, "" if nothing is. `others` are
    former paths that are still watched.
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
    """Follows one path at a time, and finishes at former paths what was started there.

    Methods do not wait for file servers. `seen` returns the state.
    """

    def __init__(
        self,
        settings: FlySettings,
        profiles: Sequence[Profile],
        journal: Journal,
        session: Callable[[], RecordingSession],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Continue with what an earlier service has left. Any thread may call `on_change` when the state has changed.

        Raises sqlite3.Error if the journal cannot be read.
        """
        self.settings = settings
        self._counts = FlyCounts()
        """`skipped` counts only the roots that are no longer watched."""
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

    def follow(self, root: str, place: ProposalContext, confirmed: float | None = None) -> None:
        """Record files below this root from now on, for this proposal; "" stops watching.

        `confirmed` is when it was known last that this is the proposal, in seconds since 1970; None for now.
        Raises ValueError for a path that is not absolute.
        """
        if root and not os.path.isabs(root):
            raise ValueError(f"{printable(root)} is not an absolute path")
        root = os.path.normpath(root) if root else ""
        with self._lock:
            if self._stopping.is_set():
                return
            self._stays.follow(root, place, confirmed)
            for following in self._followings.values():
                if following.root == root:
                    following.left = None
                elif following.left is None:
                    following.left = time.monotonic()
            self._watched, self._place = root, place
            if root and root not in self._followings:
                self._begin(root)
        self._changed()

    def confirm(self, when: float) -> None:
        """At this time (in seconds since 1970) the proposal and the root were still in use."""
        self._stays.confirm(when)

    def rescan(self) -> None:
        """Check all files again soon."""
        for following in self._all():
            following.watch.rescan()

    def record_now(self, path: str, timeout: float = 30.0) -> str:
        """Record the measurement of this file as it is now, even if it is already recorded. Returns the dataset's uuid.

        Raises ValueError for a path that is not below a watched path or is not a file, OSError if it cannot be read,
        and TimeoutError if it takes longer than `timeout` seconds: it is then recorded as soon as possible.
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
        """Stop within a few seconds. The next service continues with what is unfinished."""
        self._stopping.set()
        followings = self._all()
        for following in followings:
            following.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for following in followings:
            following.join(max(deadline - time.monotonic(), 0.0))

    # ---------------------------------------------------------------------------- state

    def seen(self) -> FlyStatus:
        with self._lock:
            followings = list(self._followings.values())
            # The pending files first: a file that is no longer pending is then already counted.
            pending = {one.root: one.pending for one in followings}
            counts = self._counts
            sights = {one.root: one.watch.sight for one in followings}
            # It does not matter that a former path does not exist: it may have been wrong.
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

    # ------------------------------------------------------------- called by the followers

    def outcome(self, outcome: Outcome, collector: MeasurementCollector) -> None:
        """Count the results, and log the problems."""
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
        """Report why nothing is recorded at this root at the moment; "" if it works again."""
        if trouble:
            log.error("%s: %s", printable(root), trouble)
        with self._lock:
            self._troubles[root] = trouble
            self._counts = self._counts.and_then(FlyCounts(last_error=trouble))
        self._changed()

    def pulse(self) -> None:
        """Do periodic work; the followers call it repeatedly."""
        self._stays.keep()
        patience = max((profile.patience for profile in self._profiles), default=0.0)
        with self._lock:
            for root, following in list(self._followings.items()):
                if following.is_done(self.settings.linger, patience):
                    following.stop()
                    del self._followings[root]
                    self._counts = self._counts.and_then(FlyCounts(skipped=following.collector.skipped))
                    self._troubles.pop(root, None)

    # ---------------------------------------------------------------------------- private

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
