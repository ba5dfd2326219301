"""The work of a SciFly from one Init to the next: what is watched, for whom, and why not."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from dataclasses import dataclass, replace

import tango
from tango import DevState

from scifish.fly.flyer import Flyer, FlySettings
from scifish.fly.journal import Journal, journal_file
from scifish.fly.places import Place
from scifish.fly.watching import printable
from scifish.message import iso
from scifish.settings import Settings, SettingsError, find_scidog
from scifish.source import SettingsSource, settings_source
from scifish.station import NotRecorded, Station, station
from scifish.tangodb import TangoDatabase, reason
from tango_servers.condition import Condition
from tango_servers.flysettings import Told, Wanted
from tango_servers.whereabouts import Whereabouts

SETTINGS = 3.0
"""Seconds between looks at SciDog's properties: nothing tells of a change."""

RETRY = 10.0
"""Seconds until what could not be begun is tried again."""

PROGRAM = "SciFly"
"""What the messages name as their origin."""

VARIABLE = "SCIDOG_DEVICE"

ANSWER = 2.5
"""Seconds for what a client waits for; after 3 it gives up."""

OFF = "Stopped: nothing is recorded. Start goes on, and catches up with what has come meanwhile"


@dataclass(frozen=True)
class Shown:
    """What is shown of it. Counts are since the Init; `last_recorded` is a time, ISO 8601."""

    watched: str = ""
    method: str = ""
    proposal: str = ""
    sample: str = ""
    recorded: int = 0
    pending: int = 0
    ignored: int = 0
    skipped: int = 0
    last_file: str = ""
    last_recorded: str = ""
    last_error: str = ""


@dataclass(frozen=True)
class Aim:
    """What is to be watched, and whose the files are. The root is "" for nowhere."""

    root: str
    place: Place


NOWHERE = Aim("", Place())


class Flight:
    """`work` is to be called twice a second, by one thread; all else by any.

    `close` ends it for good, `stopped` until it is false again.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.stopped = False
        self._lock = threading.Lock()
        self._over = False
        self._source: SettingsSource | None = None
        self._settings: Settings | None = None
        self._whereabouts = Whereabouts()
        self._station: Station | None = None
        self._journal: Journal | None = None
        self._flyer: Flyer | None = None
        self._aim: Aim | None = None
        """What the flyer was told last."""
        self._last: Aim | None = None
        """Where it was watched last, also by an earlier program."""
        self._recorded = 0
        self._before = Shown()
        self._last_recorded = ""
        self._why_not = ""
        self._nowhere = ""
        self._stale = ""
        self._next_try = self._next_look = 0.0

    # --------------------------------------------------------------------- the work

    def work(self) -> None:
        with self._lock:
            if self._over or self.wanted.wrong:
                return
            if self.stopped:
                self._land()
                return
            now = time.monotonic()
            if now >= self._next_look:
                self._next_look = now + SETTINGS
                self._look_at_settings()
            if self._path_fixer:
                self._whereabouts.look(self._path_fixer)
            if self._flyer is None and now >= self._next_try:
                self._take_off()
            if self._flyer is not None:
                self._follow(self._flyer)
                if self._flyer.recorded != self._recorded:
                    self._recorded = self._flyer.recorded
                    self._last_recorded = iso(time.time())

    def close(self) -> None:
        """Stop for good. What was begun is gone on with by the next one."""
        with self._lock:
            self._over = True
            self._land()
            self._whereabouts.close()

    def record_now(self, file: str) -> str:
        """The uuid of the dataset of the measurement that this file is of. Raises as `Flyer.record_now`."""
        flyer = self._flyer
        if flyer is None:
            raise ValueError("nothing is watched at the moment: the Status says why")
        return flyer.record_now(file, ANSWER)

    def rescan(self) -> None:
        """Look at everything once more, soon; as it does anyway when it begins. ValueError if it is stopped."""
        if self.stopped:
            raise ValueError("it is stopped: Start looks at everything")
        flyer = self._flyer
        if flyer is not None:
            flyer.rescan()

    @property
    def _path_fixer(self) -> str:
        return self.wanted.path_fixer or (self._settings.path_fixer if self._settings is not None else "")

    def _look_at_settings(self) -> None:
        if self._source is None:
            self._why_not = _own_scidog.choose(self.wanted.scidog)
            if self._why_not:
                return
            self._source = settings_source()
        found = self._source.now()
        if found is not None and self._flyer is not None and found.beamline != self._flyer.settings.beamline:
            self._land()  # its datasets and its journal are another beamline's from now on
        self._settings = found

    def _take_off(self) -> None:
        """Begin to record; `_why_not` says why not, until the next try."""
        self._next_try = time.monotonic() + RETRY
        if self._settings is None:
            self._why_not = self._why_not or _no_settings()
            return
        beamline, wanted = self._settings.beamline, self.wanted
        try:
            self._station = station(program=PROGRAM)
            _own_scidog.fix()
            self._journal = Journal(journal_file(beamline))
            settings = FlySettings(beamline, wanted.zone, wanted.method, wanted.catch_up)
            open_stays = [stay for stay in self._journal.stays() if stay.left is None]
            self._flyer = Flyer(settings, wanted.profiles, self._journal, lambda: station(program=PROGRAM))
        except (NotRecorded, SettingsError, OSError, sqlite3.Error) as error:
            self._why_not = f"Nothing can be recorded: {error}"
            return
        self._why_not, self._aim, self._recorded = "", None, 0
        # What PathFixer said when this was last running, for a time when it does not answer.
        self._last = Aim(open_stays[-1].root, open_stays[-1].place) if open_stays else None

    def _land(self) -> None:
        flyer, self._flyer = self._flyer, None
        if flyer is None:
            return
        self._before = self._counted(flyer)
        flyer.stop()
        if self._journal is not None:
            self._journal.close()
        self._aim, self._next_try = None, 0.0

    def _follow(self, flyer: Flyer) -> None:
        aim = self._aimed()
        if aim != self._aim:
            flyer.follow(aim.root, aim.place)
            self._aim = aim
        if aim.root:
            self._last = aim

    def _aimed(self) -> Aim:
        """What is to be watched now. Says in `_nowhere` why nothing, and in `_stale` what of it may be old."""
        self._nowhere = self._stale = ""
        wanted, told, name = self.wanted, self._whereabouts.told, self._path_fixer
        if not name:
            if wanted.alone:
                return Aim(wanted.root(Told()), Place())
            self._nowhere = "PathFixer is set neither here nor in SciDog, so the path is not known: set one of these"
            return NOWHERE
        if self._whereabouts.trouble:
            self._stale = f"{name}: {self._whereabouts.trouble}"
        if told is None:
            return self._as_before(name)
        if root := wanted.root(told):
            return Aim(root, Place(told.proposal, told.sample, told.category))
        if told.proposal and self._last is not None and self._last.place.proposal == told.proposal:
            # A PathFixer that cannot take up its proposal after a restart: the data goes where it went before.
            self._stale = f"{name} has proposal {told.proposal} and no path; its Status says why"
            return self._last
        if told.proposal:
            self._nowhere = f"{name} has proposal {told.proposal} and no path; its Status says why"
        return NOWHERE

    def _as_before(self, name: str) -> Aim:
        if self._last is None:
            self._nowhere = f"the path is not known. {self._stale}"
            self._stale = ""
            return NOWHERE
        return Aim(self.wanted.root(Told()), self._last.place) if self.wanted.alone else self._last

    # -------------------------------------------------------------------- what is shown

    def shown(self) -> Shown:
        flyer, aim = self._flyer, self._aim
        found = self._counted(flyer)
        if flyer is None or aim is None:
            return found
        return replace(
            found,
            watched=printable(flyer.watched),
            method=flyer.method,
            proposal=aim.place.proposal,
            sample=aim.place.sample,
            pending=flyer.pending,
        )

    def _counted(self, flyer: Flyer | None) -> Shown:
        before = replace(self._before, last_recorded=self._last_recorded)
        if flyer is None:
            return before
        return replace(
            before,
            recorded=before.recorded + flyer.recorded,
            ignored=before.ignored + flyer.ignored,
            skipped=before.skipped + flyer.skipped,
            last_file=flyer.last_file or before.last_file,
            last_error=flyer.last_error or before.last_error,
        )

    @property
    def ready(self) -> DevState:
        """The state, if there is nothing wrong."""
        if self.stopped:
            return DevState.OFF
        if self._flyer is None and not self._why_not:
            return DevState.INIT
        return DevState.ON if self._aim is not None and self._aim.root else DevState.STANDBY

    def condition(self) -> Condition:
        """Its lines are short: a panel has not much room for them."""
        wanted, flyer, aim = self.wanted, self._flyer, self._aim
        found = Condition(list(wanted.wrong), list(wanted.problems))
        if wanted.wrong or wanted.problems:
            found.remarks.append("Put the properties right in the Tango database (in jive), then run Init")
        if self.stopped:
            found.remarks.append(OFF)
            return found
        if self._why_not:
            found.faults += [self._why_not, f"Trying again every {RETRY:.0f} s"]
        if self._nowhere:
            found.faults += [f"Nothing is watched: {self._nowhere}", "What was begun before is finished"]
        if flyer is None:
            return found
        if self._stale and aim is not None:
            found.limits += [self._stale, f"In use is what it said before: {_whose(aim.place)}"]
        if flyer.trouble:
            (found.limits if flyer.works else found.faults).append(flyer.trouble)
        if self._station is not None and (trouble := self._station.trouble()):
            found.limits += [trouble, "Nothing is lost; `scifish status` says how much waits"]
        found.remarks += self._remarks(flyer, aim)
        return found

    def _remarks(self, flyer: Flyer, aim: Aim | None) -> list[str]:
        others = [f"Still being finished: {printable(other)}" for other in flyer.others]
        if aim is None or not aim.root:
            nothing = [] if self._nowhere else [f"{self._path_fixer} has no proposal in use: there is nothing to watch"]
            return [*nothing, *others]
        shown = self.shown()
        found = [f"Watched, by {shown.method}: {shown.watched}", f"Files are of {_whose(aim.place)}"]
        if aim.place.proprietary and self._settings is not None and not self._settings.send_proprietary:
            found.append("It is proprietary: its metadata do not leave the beamline (SendProprietary of SciDog)")
        found += others
        found.append(f"Measurements recorded: {shown.recorded}. Files and measurements not finished: {shown.pending}")
        if shown.last_file:
            found.append(f"The last one, at {shown.last_recorded}: {os.path.basename(shown.last_file)}")
        if shown.skipped:
            found.append(f"Files older than CatchUp: {shown.skipped}; `scifly scan` records them")
        if shown.ignored:
            found.append(f"Changes after recording that the profiles do not record (modified): {shown.ignored}")
        if shown.last_error:
            found.append(f"The last error: {shown.last_error}")
        return found


def _whose(place: Place) -> str:
    whose = f"proposal {place.proposal}" if place.proposal else "no proposal"
    return f"{whose}, sample {place.sample}" if place.sample else whose


class _OwnSciDog:
    """This process's SciDog. SciFish and its companion know it by the environment, from their start on."""

    def __init__(self) -> None:
        self._given = os.environ.get(VARIABLE, "").strip()
        self._in_use: str | None = None

    def choose(self, wanted: str) -> str:
        """Use this one, "" for what the environment says; why not."""
        if wanted and self._given and self._given.lower() != wanted.lower():
            return (
                f"property SciDog: {VARIABLE} of this server says {self._given}, and not {wanted}: make them the same"
            )
        chosen = wanted or self._given
        if self._in_use is not None and self._in_use.lower() != chosen.lower():
            now = self._in_use or "the only one in the database"
            return (
                f"property SciDog: {wanted or 'another one'} is in use after a restart of the server; now it is {now}"
            )
        os.environ[VARIABLE] = chosen
        return ""

    def fix(self) -> None:
        """From now on there is no other."""
        self._in_use = os.environ.get(VARIABLE, "")


_own_scidog = _OwnSciDog()


def _no_settings() -> str:
    try:
        scidog = find_scidog(TangoDatabase())
    except SettingsError as error:
        return f"Nothing can be recorded: {error}; or name it in the property SciDog"
    except tango.DevFailed as failed:
        return f"Nothing can be recorded: the Tango database does not answer ({reason(failed)})"
    return f"Nothing can be recorded: {scidog} has no properties in the Tango database: is its name right?"
