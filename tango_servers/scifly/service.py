"""The work of a SciFly from one Init to the next: what is watched for which proposal, and why not."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from dataclasses import dataclass, field, replace

import tango
from tango import DevState

from scifish.recording.session import NotRecorded, RecordingSession, recording_session
from scifish.settings import Settings, SettingsError, find_scidog
from scifish.settings.sources import SettingsSource, settings_source
from scifish.tango_io.database import TangoDatabase, reason
from scifly.journal import Journal, journal_file
from scifly.model import ProposalContext
from scifly.recorder import PROGRAM
from scifly.service import FlyCounts, FlyService, FlySettings
from scifly.watching import printable
from tango_servers.common.condition import Condition
from tango_servers.scifly.pathfixer_client import PathFixerClient
from tango_servers.scifly.properties import DAY_SECONDS, PathFixerReply, SciFlyProperties

SETTINGS_POLL_SECONDS = 3.0
"""Seconds between two reads of SciDog's properties: changes of properties cause no events."""

START_RETRY_SECONDS = 10.0
"""Seconds until a failed start is retried."""

SCIDOG_VARIABLE = "SCIDOG_DEVICE"

CLIENT_WAIT_SECONDS = 2.5
"""Maximum seconds for a call that a client waits for; the client itself gives up after 3."""

STOPPED_TEXT = "Stopped: nothing is recorded. Start continues, and records the files written in the meantime"


@dataclass(frozen=True)
class SciFlyStatus:
    """What clients see, all of the same moment: attributes, State, Status and events.

    `counts` are since the Init. `recording`: files are recorded. `why_not` says why not, `nowhere` why nothing is
    watched, `stale` which data may be outdated, `waits` why metadata waits for Kafka; `trouble` and `works` are the
    service's. `kept`: the proposal's metadata stays at the beamline. `path_fixer` is the PathFixer in use.
    """

    wanted: SciFlyProperties
    counts: FlyCounts = field(default_factory=FlyCounts)
    stopped: bool = False
    recording: bool = False
    watched: str = ""
    method: str = ""
    place: ProposalContext = field(default_factory=ProposalContext)
    pending: int = 0
    others: tuple[str, ...] = ()
    path_fixer: str = ""
    why_not: str = ""
    nowhere: str = ""
    stale: str = ""
    trouble: str = ""
    works: bool = True
    waits: str = ""
    kept: bool = False

    @property
    def ready(self) -> DevState:
        """The State if nothing is wrong."""
        if self.stopped:
            return DevState.OFF
        if not self.recording and not self.why_not:
            return DevState.INIT
        return DevState.ON if self.watched else DevState.STANDBY

    def condition(self) -> Condition:
        """State and Status. The lines are short because a panel has little space."""
        wanted = self.wanted
        found = Condition(list(wanted.wrong), list(wanted.problems))
        if wanted.wrong or wanted.problems:
            found.remarks.append("Correct the properties in the Tango database (with jive), then run Init")
        if self.stopped:
            found.remarks.append(STOPPED_TEXT)
            return found
        if self.why_not:
            found.faults += [self.why_not, f"Retrying every {START_RETRY_SECONDS:.0f} s"]
        if self.nowhere:
            found.faults += [f"Nothing is watched: {self.nowhere}", "Measurements that have started are still finished"]
        if not self.recording:
            return found
        if self.stale:
            found.alarms += [self.stale, f"Its last answer is in use: {_whose(self.place)}"]
        if self.trouble:
            (found.alarms if self.works else found.faults).append(self.trouble)
        if self.waits:
            found.alarms += [self.waits, "Nothing is lost; `scifish status` shows how much waits"]
        found.remarks += self._remarks()
        return found

    def _remarks(self) -> list[str]:
        counts = self.counts
        others = [f"Still being finished: {printable(other)}" for other in self.others]
        if not self.watched:
            nothing = [] if self.nowhere else [f"{self.path_fixer} has no active proposal: there is nothing to watch"]
            return [*nothing, *others]
        found = [f"Watched by {self.method}: {self.watched}", f"Files belong to {_whose(self.place)}"]
        if self.kept:
            found.append("It is proprietary: its metadata do not leave the beamline (SendProprietary of SciDog)")
        found += others
        found.append(f"Measurements recorded: {counts.recorded}. Files and measurements not finished: {self.pending}")
        if counts.last_file:
            found.append(f"The last file, at {counts.last_recorded}: {os.path.basename(counts.last_file)}")
        if counts.skipped:
            found.append(f"Files older than CatchUp: {counts.skipped}; `scifly scan` records them")
        if counts.ignored:
            found.append(f"Changes after recording that the profiles do not record (modified): {counts.ignored}")
        if counts.last_error:
            found.append(f"The last error: {counts.last_error}")
        return found


@dataclass(frozen=True)
class WatchTarget:
    """The folder to watch, and the proposal of its files. The root is "" for none."""

    root: str
    place: ProposalContext


NO_TARGET = WatchTarget("", ProposalContext())


class SciFlyWork:
    """Watches and records by the properties. One thread calls `work` twice a second; any thread may call the rest.

    `close` ends it for good, `stop` until the next `start`.
    """

    def __init__(self, wanted: SciFlyProperties) -> None:
        self.wanted = wanted
        self._lock = threading.Lock()
        self._over = False
        self._source: SettingsSource | None = None
        self._settings: Settings | None = None
        self._pathfixer_client = PathFixerClient()
        self._session: RecordingSession | None = None
        self._journal: Journal | None = None
        self._fly_service: FlyService | None = None
        self._target: WatchTarget | None = None
        """The target that the service follows now."""
        self._last: WatchTarget | None = None
        """The last watched target, also of an earlier run."""
        self._confirmed = 0.0
        """When PathFixer confirmed it last, also in an earlier run, in seconds since 1970."""
        self._before = FlyCounts()
        """The counts of the services before this one."""
        self._why_not = ""
        self._nowhere = ""
        self._stale = ""
        self._next_try = self._next_look = 0.0
        self._counting = threading.Lock()
        """Prevents that a later count is replaced by an earlier one. Its holder may wait for the service."""
        self._counted: tuple[FlyService | None, FlyCounts] = (None, self._before)
        self._showing = threading.Lock()
        """Its holder never waits for anything."""
        self._stopped = False
        self._shown = SciFlyStatus(wanted)

    # --------------------------------------------------------------------- the work

    def work(self) -> None:
        with self._lock:
            if self._over or self.wanted.wrong:
                return
            try:
                self._work()
            finally:
                self._show()

    def _work(self) -> None:
        if self._stopped:
            self._stop_service()
            return
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + SETTINGS_POLL_SECONDS
            self._read_settings()
        if self._path_fixer:
            self._pathfixer_client.update(self._path_fixer)
            self._confirmed = max(self._confirmed, self._pathfixer_client.answered)
        elif self.wanted.alone and self._settings is not None:
            self._confirmed = time.time()  # no PathFixer is asked
        if self._fly_service is None and now >= self._next_try:
            self._start_service()
        if self._fly_service is not None and (why := self._place_unknown()):
            self._stop_service()
            self._why_not = why
        if self._fly_service is not None:
            self._follow(self._fly_service)

    def close(self) -> None:
        """Stop for good. The next one continues with measurements in progress."""
        with self._lock:
            self._over = True
            self._stop_service()
            self._pathfixer_client.close()

    def record_now(self, file: str) -> str:
        """Record the measurement of this file now, and return the dataset's uuid.

        Raises like `FlyService.record_now`.
        """
        fly_service = self._fly_service
        if fly_service is None:
            raise ValueError("nothing is watched at the moment: the Status shows the reason")
        uuid = fly_service.record_now(file, CLIENT_WAIT_SECONDS)
        self._count(fly_service)  # so that a client that has the answer also sees it counted
        return uuid

    def rescan(self) -> None:
        """Check all files again soon; every start does so, too. Raises ValueError while it is stopped."""
        if self._stopped:
            raise ValueError("it is stopped: Start checks all files")
        fly_service = self._fly_service
        if fly_service is not None:
            fly_service.rescan()

    @property
    def _path_fixer(self) -> str:
        return self.wanted.path_fixer or (self._settings.path_fixer if self._settings is not None else "")

    def _read_settings(self) -> None:
        if self._source is None:
            self._why_not = _own_scidog.choose(self.wanted.scidog)
            if self._why_not:
                return
            self._source = settings_source()
        found = self._source.now()
        if (
            found is not None
            and self._fly_service is not None
            and found.beamline != self._fly_service.settings.beamline
        ):
            self._stop_service()  # the datasets and the journal now belong to another beamline
        self._settings = found

    def _start_service(self) -> None:
        """Start recording; `_why_not` says why that failed, until the next attempt."""
        self._next_try = time.monotonic() + START_RETRY_SECONDS
        if self._settings is None:
            self._why_not = self._why_not or _no_settings()
            return
        beamline, wanted = self._settings.beamline, self.wanted
        try:
            self._session = recording_session(program=PROGRAM)
            _own_scidog.fix()
            self._journal = Journal(journal_file(beamline))
            settings = FlySettings(beamline, wanted.zone, wanted.method, wanted.catch_up)
            # PathFixer's last answer in an earlier run, for use while PathFixer does not answer.
            open_stays = [stay for stay in self._journal.stays() if stay.left is None]
            self._last = WatchTarget(open_stays[-1].root, open_stays[-1].place) if open_stays else None
            if open_stays:
                self._confirmed = max(self._confirmed, open_stays[-1].seen)
            if why := self._place_unknown():
                self._journal.close()
                self._why_not = why
                return
            self._fly_service = FlyService(
                settings, wanted.profiles, self._journal, lambda: recording_session(program=PROGRAM)
            )
        except (NotRecorded, SettingsError, OSError, sqlite3.Error) as error:
            self._why_not = f"Nothing can be recorded: {error}"
            return
        self._why_not, self._target = "", None

    def _stop_service(self) -> None:
        fly_service, self._fly_service = self._fly_service, None
        if fly_service is None:
            return
        fly_service.stop()
        self._before = self._before.and_then(fly_service.seen().counts)
        if self._journal is not None:
            self._journal.close()
        self._target, self._next_try = None, 0.0

    def _place_unknown(self) -> str:
        """Why nothing may be recorded, as nobody knows whose the files are; "" if somebody does.

        The rule is that of SciFish: PathFixer's last answer counts for `RememberProposalDays`. What is written later
        waits until PathFixer answers, unless `SendWithoutProposal` is set.
        """
        settings, client, last = self._settings, self._pathfixer_client, self._last
        if settings is None or settings.send_without_proposal or not client.trouble or last is None:
            return ""
        days = settings.remember_proposal_days
        if time.time() - self._confirmed <= days * DAY_SECONDS:
            return ""
        return (
            f"Nothing is recorded: it is not known whose the files are. {self._path_fixer}: {client.trouble}; its last "
            f"answer ({_whose(last.place)}) is older than {days:g} days (RememberProposalDays). The files are recorded "
            "when it answers"
        )

    def _follow(self, fly_service: FlyService) -> None:
        target = self._find_target()
        if target != self._target:
            fly_service.follow(target.root, target.place, self._confirmed)
            self._target = target
        fly_service.confirm(self._confirmed)
        if target.root:
            self._last = target

    def _find_target(self) -> WatchTarget:
        """The target to watch now. Sets `_nowhere` if there is none, and `_stale` if it may be outdated."""
        self._nowhere = self._stale = ""
        wanted, reply, name = self.wanted, self._pathfixer_client.last_reply, self._path_fixer
        if not name:
            if wanted.alone:
                return WatchTarget(wanted.root(PathFixerReply()), ProposalContext())
            self._nowhere = "PathFixer is set neither here nor in SciDog, so the path is not known: set one of these"
            return NO_TARGET
        if self._pathfixer_client.trouble:
            self._stale = f"{name}: {self._pathfixer_client.trouble}"
        if reply is None:
            return self._as_before(name)
        if root := wanted.root(reply):
            return WatchTarget(root, ProposalContext(reply.proposal, reply.sample, reply.category))
        if reply.proposal and self._last is not None and self._last.place.proposal == reply.proposal:
            # PathFixer could not restore its proposal after a restart: the data still goes to the former path.
            self._stale = f"{name} has proposal {reply.proposal} and no path; its Status shows the reason"
            return self._last
        if reply.proposal:
            self._nowhere = f"{name} has proposal {reply.proposal} and no path; its Status shows the reason"
        return NO_TARGET

    def _as_before(self, name: str) -> WatchTarget:
        if self._last is None:
            self._nowhere = f"the path is not known. {self._stale}"
            self._stale = ""
            return NO_TARGET
        return WatchTarget(self.wanted.root(PathFixerReply()), self._last.place) if self.wanted.alone else self._last

    # ---------------------------------------------------------------------------- state

    def shown(self) -> SciFlyStatus:
        """The status after the last call of `work`, with later Start and Stop. Never waits."""
        return self._shown

    def start(self) -> None:
        """Continue soon."""
        self._set_stopped(False)

    def stop(self) -> None:
        """Stop soon, until `start`."""
        self._set_stopped(True)

    def _set_stopped(self, stopped: bool) -> None:
        with self._showing:
            self._stopped = stopped
            self._shown = replace(self._shown, stopped=stopped)

    def _show(self) -> None:
        """Update the status. Call it with the lock held: otherwise a change may be half done."""
        settings, fly_service = self._settings, self._fly_service
        shown = SciFlyStatus(
            self.wanted,
            counts=self._before,
            recording=fly_service is not None,
            path_fixer=self._path_fixer,
            why_not=self._why_not,
            nowhere=self._nowhere,
            stale=self._stale,
        )
        with self._counting:
            self._counted = fly_service, self._before
            if fly_service is not None:
                seen = fly_service.seen()
                shown = replace(
                    shown,
                    counts=self._before.and_then(seen.counts),
                    watched=printable(seen.watched),
                    method=seen.method,
                    place=seen.place,
                    pending=seen.pending,
                    others=seen.others,
                    trouble=seen.trouble,
                    works=seen.works,
                    waits=self._session.trouble() if self._session is not None else "",
                    kept=seen.place.proprietary and settings is not None and not settings.send_proprietary,
                )
            with self._showing:
                self._shown = replace(shown, stopped=self._stopped)

    def _count(self, fly_service: FlyService) -> None:
        """Update the counts without waiting for `work`."""
        with self._counting:
            counted, before = self._counted
            if counted is not fly_service:
                return
            seen = fly_service.seen()
            with self._showing:
                self._shown = replace(self._shown, counts=before.and_then(seen.counts), pending=seen.pending)


def _whose(place: ProposalContext) -> str:
    whose = f"proposal {place.proposal}" if place.proposal else "no proposal"
    return f"{whose}, sample {place.sample}" if place.sample else whose


class _OwnSciDog:
    """The SciDog of this process. SciFish and its companion read it from the environment when they start."""

    def __init__(self) -> None:
        self._given = os.environ.get(SCIDOG_VARIABLE, "").strip()
        self._in_use: str | None = None

    def choose(self, wanted: str) -> str:
        """Use this SciDog, "" for that of the environment. Returns why that is not possible, "" if it is."""
        if wanted and self._given and self._given.lower() != wanted.lower():
            return (
                f"property SciDog: it is {wanted}, but the server's variable {SCIDOG_VARIABLE} is {self._given}: "
                "set both to the same device"
            )
        chosen = wanted or self._given
        if self._in_use is not None and self._in_use.lower() != chosen.lower():
            now = self._in_use or "the only one in the database"
            return (
                f"property SciDog: {wanted or 'another one'} is in use after a restart of the server; now it is {now}"
            )
        os.environ[SCIDOG_VARIABLE] = chosen
        return ""

    def fix(self) -> None:
        """Fix the choice: from now on it cannot change."""
        self._in_use = os.environ.get(SCIDOG_VARIABLE, "")


_own_scidog = _OwnSciDog()


def _no_settings() -> str:
    try:
        scidog = find_scidog(TangoDatabase())
    except SettingsError as error:
        return f"Nothing can be recorded: {error}; or name it in the property SciDog"
    except tango.DevFailed as failed:
        return f"Nothing can be recorded: the Tango database does not answer ({reason(failed)})"
    return f"Nothing can be recorded: {scidog} has no properties in the Tango database: is its name right?"
