"""Follows the path of an experiment, and records what is written there: SciFly without Tango."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Literal

from scifish.fly.following import Following, settle, wanted
from scifish.fly.gathering import Claims, Gatherer
from scifish.fly.journal import Journal
from scifish.fly.known import Known
from scifish.fly.places import Place, inside, stay_of
from scifish.fly.profiles import Profile
from scifish.fly.recording import Outcome, Recorder
from scifish.fly.stays import Stays
from scifish.fly.watching import Watch, printable, watch
from scifish.fly.zone import local_zone
from scifish.station import Station

log = logging.getLogger(__name__)

STOP = 2.0
"""Seconds for all threads to end. One whose file server hangs is left behind."""


@dataclass(frozen=True)
class FlySettings:
    """Times in seconds.

    `zone` is that of dates in files that name none; `method` see `scifish.fly.watching.watch`. Files that were
    written longer ago than `catch_up` when they are seen first are left to `scifly scan`. The Tango attributes are
    read for what was written less than `fresh` ago. A root that was left is watched for `linger` more.
    """

    beamline: str
    zone: tzinfo = field(default_factory=local_zone)
    method: Literal["auto", "inotify", "polling"] = "auto"
    catch_up: float = 86_400.0
    fresh: float = 60.0
    linger: float = 600.0


class Flyer:
    """One path at a time is followed; what was begun at an earlier one is finished there.

    Methods do not wait for file servers. What is shown:

    - `recorded`: datasets since it was made; `ignored`: changes that were not to be recorded; `skipped`: files
      that were too old; `pending`: files and measurements under way;
    - `last_file` and `last_error`, for a person; `trouble`: why something does not go its usual way, "" if all does.
    """

    def __init__(
        self,
        settings: FlySettings,
        profiles: Sequence[Profile],
        journal: Journal,
        station: Callable[[], Station],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Go on with what an earlier one has left. `on_change` is called, in any thread, when what is shown is new.

        sqlite3.Error if the journal cannot be read.
        """
        self.settings = settings
        self.recorded = 0
        self.ignored = 0
        self._skipped = 0  # at roots that are watched no more
        self.last_file = ""
        self.last_error = ""
        self._profiles = tuple(profiles)
        self._journal = journal
        self._station = station
        self._on_change = on_change
        self._stays = Stays(journal)
        self._claims = Claims()
        self._followings: dict[str, Following] = {}
        self._watched = ""
        self._troubles: dict[str, str] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._resume()

    # ------------------------------------------------------------------------ commands

    def follow(self, root: str, place: Place) -> None:
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
            self._watched = root
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
            raise ValueError(f"{printable(path)} is not below what is watched ({watched}): `scifly scan` records it")
        answer = max(containing, key=lambda one: len(one.root)).record_now(path)
        try:
            return answer.result(timeout)
        except TimeoutError as error:
            raise TimeoutError(
                f"{printable(path)} is not recorded yet, after {timeout:g} s; it will be as soon as that is possible"
            ) from error

    def stop(self) -> None:
        """Returns within some seconds. What is under way is gone on with by the next one."""
        self._stopping.set()
        followings = self._all()
        for following in followings:
            following.stop()
        deadline = time.monotonic() + STOP
        for following in followings:
            following.join(max(deadline - time.monotonic(), 0.0))

    # -------------------------------------------------------------------- what is shown

    @property
    def watched(self) -> str:
        """The path that is followed, "" if none is."""
        return self._watched

    @property
    def method(self) -> str:
        """How it is watched: inotify or polling; "" if nothing is."""
        following = self._followings.get(self._watched)
        return following.watch.method if following is not None else ""

    @property
    def works(self) -> bool:
        """Whether what is followed can be seen, and recorded; else `trouble` says why not."""
        following = self._followings.get(self._watched)
        return following is None or (following.watch.sees and not self._troubles.get(following.root))

    @property
    def others(self) -> list[str]:
        """Paths that were left, and are still watched."""
        return [one.root for one in self._all() if one.left is not None]

    @property
    def pending(self) -> int:
        return sum(one.pending for one in self._all())

    @property
    def skipped(self) -> int:
        return self._skipped + sum(one.gatherer.skipped for one in self._all())

    @property
    def trouble(self) -> str:
        # Of a path that was left, as it was wrong, it is of no interest that it does not exist.
        watches = [one.watch.trouble for one in self._all() if one.left is None or one.pending]
        troubles = [self._journal.trouble, self._stays.trouble, *self._troubles.values(), *watches]
        return "; ".join(dict.fromkeys(filter(None, troubles)))

    # -------------------------------------------------------------- told by the followings

    def outcome(self, outcome: Outcome) -> None:
        """Measurements were recorded, or not."""
        with self._lock:
            self.recorded += len(outcome.recorded)
            self.ignored += len(outcome.ignored)
            if outcome.recorded:
                self.last_file = printable(outcome.recorded[-1].changed[-1].path)
            for path in outcome.ignored:
                log.info("%s has changed after it was recorded; this is not recorded (modified)", printable(path))
            unread = [problem for one in outcome.recorded for problem in one.header.problems]
            for problem in (*unread, *outcome.problems):
                log.warning("%s", problem)
                self.last_error = problem
        self._changed()

    def trouble_of(self, root: str, trouble: str) -> None:
        """Nothing is recorded there at the moment, and why; "" if it is again."""
        with self._lock:
            self._troubles[root] = trouble
            if trouble:
                log.error("%s: %s", printable(root), trouble)
                self.last_error = trouble
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
                    self._skipped += following.gatherer.skipped
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
        recorder = Recorder(
            self._journal, self._station, self.settings.beamline, self.settings.zone, self.settings.fresh, stopping
        )
        gatherer = Gatherer(
            root,
            self._profiles,
            self._journal,
            self.settings.beamline,
            self.settings.catch_up,
            self._place_of,
            self._claims,
            self._pass_on,
        )
        following = Following(gatherer, self._watch, recorder, self, stopping)
        following.left = left
        self._followings[root] = following
        following.start()

    def _place_of(self, path: str, made: float) -> Place:
        stay = stay_of(path, made, self._stays.now())
        return stay.place if stay is not None else Place()

    def _watch(self, following: Following) -> Watch:
        return watch(
            following.root,
            wanted(self._profiles),
            settle(self._profiles),
            following.on_found,
            self.settings.method,
            lambda trouble: self._changed(),
        )

    def _pass_on(self, owner: Gatherer, file: Known) -> None:
        for following in self._all():
            if following.gatherer is owner:
                following.give(file)

    def _all(self) -> list[Following]:
        with self._lock:
            return list(self._followings.values())

    def _changed(self) -> None:
        try:
            self._on_change()
        except Exception:
            log.exception("telling what is new")
