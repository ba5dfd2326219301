"""The Tango device that says whose data is being taken, and where it goes.

Somebody writes `Proposal`, `Visit` and `Sample`; the user office is asked, the folders are
made, and `Path` and `SamplePath` follow. The paths are handed on to Sardana and to detectors.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tango
from tango import AttrWriteType, DevState
from tango.server import Device, attribute, command, device_property, run

from scifish.tango_io.database import text
from sdm.folders import FolderError
from sdm.layout import AUTO_VISIT, DEFAULT_ROOT
from tango_servers.common.arguments import WrongArgument, words
from tango_servers.common.background import Background, answers
from tango_servers.common.condition import Condition, then
from tango_servers.common.replies import Announcer, refusing, sendable
from tango_servers.pathfixer import properties, running_scans
from tango_servers.pathfixer.consumers import RETRY, Handed, HandOver, parse_consumers
from tango_servers.pathfixer.locking import Turns, Wait, Waits
from tango_servers.pathfixer.persistence import Remembered, differ
from tango_servers.pathfixer.properties import PathSettings, settings_from
from tango_servers.pathfixer.property_check import Misnamed
from tango_servers.pathfixer.selection import STORAGE, Chooser, InUse, Target
from tango_servers.pathfixer.upkeep import REFUSALS, Said, Upkeep

TICK = 1.0
"""Seconds between looks at what has to be done, and at what has to be shown."""

SLOW = 3.0
"""Seconds after which it is shown that something is being waited for; Tango's clients have given up by then."""

START = 2.0
"""Seconds that the start, or Init, waits for the office and the storage; what takes longer goes on behind it."""

LOOK = 2.0
"""Seconds that the storage has for a look at the folders."""

LONGEST_LIST = 1000

OFF = "Switched off: nothing can be written, and the visit does not follow the date. TurnOn switches it on"

FORCE = "force"

AGAIN = f"Trying again every {RETRY:.0f} s"


class ScanRunning(Exception):
    """A scan runs, and its data would go elsewhere from now on."""


class Replaced(Exception):
    """The device was initialised anew in the meantime."""


REFUSED = (*REFUSALS, ScanRunning, Replaced)

Value = str | bool | list[str]


@dataclass(frozen=True)
class Shown:
    """What clients see, all of one moment: attributes, State, Status and events are of one of these."""

    in_use: InUse
    handed: Handed
    state: DevState
    problems: tuple[str, ...]
    values: dict[str, Value]


class PathFixer(Device):
    """Proposal, visit and sample in use, and the path that their data goes to.

    STANDBY: ready. ON: ready, switched on by TurnOn. OFF: switched off, nothing can be written, and the
    visit does not follow the date.

    FAULT: there is no folder for the data. A property is wrong, the storage is not there or does not answer, or
    what was in use before a restart cannot be taken up.

    ALARM: data can be taken, but not all is as it should be. A consumer refused the path or has another one,
    the office cannot be asked or its answers not be kept, the storage is read-only here, a folder's mode or
    group could not be set, the visit could not follow the date, a line of a property is wrong, or something
    was refused when its client had given up waiting.

    In both the Status says what is wrong and what to do. Reading is answered out of memory, also while
    something that was written waits for the office or the storage. Writing returns when it is done. Where that
    takes longer than the client waits, it is done or refused all the same, and the Status says which.

    While a scan runs on one of the Doors, Proposal, Visit and Path cannot be changed, as the scan's data would
    go to two places. Sample can: macros write it between scans and within them; but not where that would end a
    Path that was set by hand. The commands ForceProposal and ForceVisit do not look for scans, nor does
    SetProposal with force.
    """

    # Of one line most of them, but of one text Tango drops what is behind the first line without a word.
    Beamline = device_property(dtype=(str,), default_value=(), doc="Short name of the beamline, as in the path: cosaxs")
    Office = device_property(
        dtype=(str,),
        default_value=(),
        doc=(
            "The user office, where proposals are looked up: yaml:/path/proposals.yaml, duo:/path/duo.yaml, "
            "scicat:/path/scicat.yaml or scicat:https://host/api/v3"
        ),
    )
    OfficeMemory = device_property(
        dtype=(str,),
        default_value=(),
        doc="File that keeps the office's answers for a time when it is down (default: in the account's state folder)",
    )
    Prefix = device_property(
        dtype=(str,),
        default_value=(str(DEFAULT_ROOT),),
        doc="Root of the storage; below it {visitors,proprietary,staff}/<beamline> must exist (default: /data)",
    )
    StorageLayout = device_property(
        dtype=(str,),
        default_value=(),
        doc=(
            "Folders below Prefix, with their modes and groups: a template, or the path of a YAML file "
            "(default: {category}/{beamline}/{proposal}/{visit}/raw)"
        ),
    )
    Raw_path_readonly = device_property(
        dtype=(str,),
        default_value=("false",),
        doc="true or false: whether only the service account may write into raw (default: false)",
    )
    PathConsumers = device_property(
        dtype=(str,),
        default_value=(),
        doc=(
            "Who is handed the path; one a line: {device: macroserver/cosaxs/1, environment: ScanDir} or "
            '{device: b311a/ea/eiger, attribute: FilePath, template: "{sample_path}/eiger"}. '
            "A template may name path, sample_path, category, beamline, proposal, visit, sample"
        ),
    )
    Doors = device_property(
        dtype=(str,),
        default_value=(),
        doc=(
            "Sardana's Doors, one a line: while a scan runs there, proposal, visit and path are not changed "
            "(default: all Doors of the MacroServers in PathConsumers; none: nobody is asked)"
        ),
    )

    PUSHED = (
        *("Proposal", "Proposals", "Visit", "Visits", "Sample", "Samples", "UserName", "Endstation"),
        *("Path", "SamplePath", "Type", "ConfiguredDevices", "BadDevices", "PendingDevices", "RawPathReadonly"),
    )

    # -------------------------------------------------------------------- life

    def init_device(self) -> None:
        super().init_device()
        self._announcer = Announcer(self, self.PUSHED)
        self._ready = DevState.STANDBY
        self._user_name = ""
        self._endstation = ""
        self._turns = Turns()
        self._waits = Waits()
        self._late = ""
        self._silent: tuple[str, ...] = ()
        consumers, self._wrong_lines = parse_consumers(self.PathConsumers)
        macroservers = dict.fromkeys(consumer.device for consumer in consumers if consumer.environment)
        self._doors = running_scans.Doors(self.Doors, list(macroservers))
        known = list(self.get_device_class().device_property_list)
        self._misnamed = Misnamed(self.get_name(), known, self.Doors)
        self._showing = Background(f"{self.get_name()} shows", self._show, TICK)
        self._hand_over = HandOver(consumers, self._showing.now)
        self._remembered = Remembered(self.get_name())
        self._settings = settings = self._from_properties()
        self._chooser = Chooser(
            settings.beamline,
            settings.office,
            settings.layout,
            settings.raw_read_only,
            waits=self._waits,
            wrong="; ".join(settings.wrong),
        )
        self._upkeep = Upkeep(
            self._chooser,
            self._doors.look,
            lambda: self._in_use,
            functools.partial(self._replace, self._chooser),
            lambda text: self.warn_stream(sendable(text)),
        )
        self._keeping = Background(f"{self.get_name()} upkeep", self._keep_up, TICK)
        self._restore()
        self._say()
        self._showing.start()
        self._keeping.start()
        self._hand_over.start()
        self._showing.now()
        self._keeping.now()

    def delete_device(self) -> None:
        self._showing.stop()
        self._keeping.stop()
        self._hand_over.stop()

    def _from_properties(self) -> PathSettings:
        return settings_from(
            beamline=self.Beamline,
            office=self.Office,
            office_memory=self.OfficeMemory,
            prefix=self.Prefix,
            storage_layout=self.StorageLayout,
            raw_path_readonly=self.Raw_path_readonly,
        )

    def _restore(self) -> None:
        """Take up what was in use before the restart.

        Tango writes the memorised values one by one, but visit and sample have to be known
        before the proposal's folders are made. So it is done here, and Tango's own writes are passed over.
        """
        recalled = self._remembered.recall()
        self._in_use = recalled.in_use
        self._user_name, self._endstation = recalled.user_name, recalled.endstation
        self._restoring = dict(recalled.memorised)
        names = {"UserName": self._user_name, "Endstation": self._endstation}
        # At the end of Init Tango writes what was last written; that may be what a client still waits for.
        for name, value in {**self._restoring, **names}.items():
            self.get_device_attr().get_w_attr_by_name(name).set_write_value(value)
        upkeep = self._upkeep
        (found,) = answers([functools.partial(upkeep.restored, self._in_use)], START)
        if isinstance(found, InUse):
            self._in_use = found
            self._hand_on()
            if differ(recalled.in_use, found):  # the next restart goes on from here
                self._remembered.keep(found)
        else:
            why = str(found) or f"the user office or the storage has not answered within {START:g} s"
            upkeep.say(not_restored=why)

    def _keep_up(self) -> None:
        self._misnamed.work()
        if self._ready != DevState.OFF and not self._settings.wrong:
            self._upkeep.work()
        if self._remembered.trouble:
            self._remembered.keep_names(self._user_name, self._endstation)
            self._remembered.keep(self._in_use)
        self._showing.now()

    def _show(self) -> None:
        with tango.AutoTangoMonitor(self):  # clients' calls have it, so what is said last is the newest
            self._say()

    # --------------------------------------------------------------- the work

    def _change(self, what: str, choose: Callable[[Chooser, InUse], Target], *, forced: bool = False) -> None:
        """What was written; a refusal reaches the client as a DevFailed. Reading goes on meanwhile."""
        begun = time.monotonic()
        try:
            with refusing("PathFixer", *REFUSED), tango.AutoTangoAllowThreads(self), self._turns.take(what):
                try:
                    self._change_in_turn(what, choose, forced)
                except REFUSED as error:
                    given_up = time.monotonic() - begun > SLOW
                    self._late = f"{what} was refused at {time.strftime('%H:%M:%S')}: {error}" if given_up else ""
                    if isinstance(error, FolderError):  # so that the State says it, too
                        self._upkeep.soon()
                    raise
        finally:
            self._say()
            self._keeping.now()

    def _change_in_turn(self, what: str, choose: Callable[[Chooser, InUse], Target], forced: bool) -> None:
        chooser = self._chooser
        target = choose(chooser, self._in_use)
        silent = self._silent
        if target.moves and not forced:
            found = self._doors.look()
            if found.running:
                raise ScanRunning(
                    f"{what}: refused, as a scan runs and its data would go to two places: {'; '.join(found.running)}. "
                    "Wait until it is over. Who has to change it now uses ForceProposal or ForceVisit, at spock the "
                    "parameter force of setproposal"
                )
            silent = found.silent
            for one in found.silent:
                self.warn_stream(sendable(f"{what}: not known whether a scan runs, and done all the same. {one}"))
        self._take(chooser, target.reach(), silent)

    def _replace(self, chooser: Chooser, before: InUse, found: InUse) -> None:
        """What upkeep has found, unless a client has changed it in the meantime. Raises Busy."""
        with self._turns.take("what is in use is being brought up to date"):
            if self._in_use is before:
                with contextlib.suppress(Replaced):
                    self._take(chooser, found)

    def _take(self, chooser: Chooser, found: InUse, silent: tuple[str, ...] | None = None) -> None:
        """Use it from now on, and show it. Raises Replaced.

        `silent`, of what somebody has written: the Doors that did not say whether a scan runs. It is handed on
        also if the path is the same.
        """
        anew = silent is not None
        with tango.AutoTangoMonitor(self):  # who reads several attributes in one call gets them of one proposal
            if chooser is not self._chooser:
                raise Replaced("Init was run while this was under way: write it again")
            before, self._in_use = self._in_use, found
            # What clients show as the value that was last written.
            attributes = self.get_device_attr()
            for name, value in (("Proposal", found.number), ("Visit", found.wanted_visit), ("Sample", found.sample)):
                attributes.get_w_attr_by_name(name).set_write_value(value)
            if anew or self._fields(before) != self._fields(found):
                self._hand_on()
            if silent is not None:
                self._silent, self._late = silent, ""
                self._upkeep.changed()
            else:
                self._upkeep.took(found)
            self._say()  # so that State and Status are of the same as the attributes
        if anew or differ(before, found):
            self._remembered.keep(found)

    def _hand_on(self) -> None:
        if self._in_use.path:
            self._hand_over.hand_on(self._fields(self._in_use))
        else:
            self._hand_over.let_go()

    def _fields(self, now: InUse) -> dict[str, str]:
        return {
            "path": now.path,
            "sample_path": now.sample_path,
            "category": now.category,
            "beamline": self._settings.beamline,
            "proposal": now.number,
            "visit": now.visit,
            "sample": now.sample,
        }

    def _say(self) -> None:
        """Bring what clients see up to date, and tell the subscribers. With the monitor held."""
        now, said, handed = self._in_use, self._upkeep.said, self._hand_over.seen()
        proposal = now.proposal
        values: dict[str, Value] = {
            "Proposal": now.number,
            "Proposals": list(said.proposals)[:LONGEST_LIST],
            "Visit": now.visit,
            "Visits": _with(proposal.visit_names if proposal else (), now.visit),
            "Sample": now.sample,
            "Samples": _with(proposal.samples if proposal else (), now.sample),
            "UserName": self._user_name,
            "Endstation": self._endstation,
            "Path": now.path,
            "SamplePath": now.sample_path,
            "Type": now.category,
            "ConfiguredDevices": list(handed.devices)[:LONGEST_LIST],
            "BadDevices": list(handed.refused)[:LONGEST_LIST],
            "PendingDevices": list(handed.pending)[:LONGEST_LIST],
            "RawPathReadonly": self._settings.raw_read_only,
        }
        condition = self._condition(now, said, handed)
        state = condition.state(self._ready)
        self._shown = Shown(now, handed, state, (*condition.faults, *condition.limits), values)
        self._announcer.announce(state, condition.status(self._ready), values)

    def _condition(self, now: InUse, said: Said, handed: Handed) -> Condition:
        slow = self._waits.longer_than(SLOW)
        return Condition(
            [*self._faults(now, said), *(_no_answer(wait) for wait in slow if wait.what == STORAGE)],
            [*self._limits(now, said, handed), *(_no_answer(wait) for wait in slow if wait.what != STORAGE)],
            self._remarks(now, said),
        )

    def _faults(self, now: InUse, said: Said) -> list[str]:
        found = [f"{one}. Put it right in the Tango database (in jive), then run Init" for one in self._settings.wrong]
        if said.not_restored:
            who = f"Proposal {now.number}" if now.number else "What was in use before the restart"
            why = "until then" if self._settings.wrong else then(said.not_restored, f"{AGAIN}; or write Proposal")
            found.append(f"{who} is not in use{' ' if self._settings.wrong else ': '}{why}")
        if said.storage:
            found.append(then(said.storage, AGAIN))
        return found

    def _limits(self, now: InUse, said: Said, handed: Handed) -> list[str]:
        found = [*self._wrong_lines, *self._misnamed.problems]
        if self._late:
            found.append(then(self._late, "What was in use before still is"))
        if now.proposal and now.proposal.as_of:
            why = now.proposal.trouble or "it cannot be asked"
            found.append(then(f"The user office: {why}", f"In use is what it said at {now.proposal.as_of}. {AGAIN}"))
        elif said.office or said.listing:
            found.append(then(f"The user office: {said.office or said.listing}", AGAIN))
        if self._settings.office and (trouble := self._settings.office.trouble):
            found.append(f"{_sentence(trouble)}. It would not be known while the office is down")
        if said.closed:
            found.append(f"{said.closed}. {AGAIN}")
        if said.visit:
            found.append(said.visit)
        refused = handed.refused.items()
        found += [*now.notes, *(then(f"{device} refused the path: {why}", AGAIN) for device, why in refused)]
        found += handed.foreign
        if trouble := self._remembered.trouble:
            found.append(then(f"What is in use would not be known after a restart: {trouble}", AGAIN))
        return found

    def _remarks(self, now: InUse, said: Said) -> list[str]:
        found = [OFF] if self._ready == DevState.OFF else []
        found += [f"{wait}: not done yet; reading goes on" for wait in self._turns.longer_than(SLOW)]
        found += filter(None, (said.later, said.moving))
        found += [f"At the last change it was not known whether a scan runs: {one}" for one in self._silent]
        found += said.silent
        if now.proposal:
            found += [
                f"Proposal {now.number}: {now.proposal.title}",
                f"Visit {now.visit}{', as the date is' if now.auto else ''}",
                f"Data goes to {now.sample_path}{', as Path was set by hand' if now.by_hand else ''}",
            ]
        elif not now.number:
            found.append("No proposal is set: write Proposal. It begins with the visit of the day and without a sample")
        return found

    # -------------------------------------------------------------- attributes

    Proposals = attribute(dtype=(str,), max_dim_x=LONGEST_LIST, doc="The beamline's proposals")
    Visits = attribute(dtype=(str,), max_dim_x=LONGEST_LIST, doc="Visits of the proposal")
    Samples = attribute(dtype=(str,), max_dim_x=LONGEST_LIST, doc="Samples of the proposal")
    Proposal = attribute(
        dtype=str,
        access=AttrWriteType.READ_WRITE,
        memorized=True,
        hw_memorized=True,
        fisallowed="is_write_allowed",
        doc='The proposal in use, "" for none. Another proposal starts with the visit of today and no sample',
    )
    Visit = attribute(
        dtype=str,
        access=AttrWriteType.READ_WRITE,
        memorized=True,
        hw_memorized=True,
        fisallowed="is_write_allowed",
        doc='The visit in use; write "auto" or "" for today, as YYYYMMDD',
    )
    Sample = attribute(
        dtype=str,
        access=AttrWriteType.READ_WRITE,
        memorized=True,
        hw_memorized=True,
        fisallowed="is_write_allowed",
        doc='The sample in use, "" for none: letters, digits, _ - . and / between names',
    )
    # Remembered by us and not by Tango: it would write them as Latin-1, which the C++ database refuses.
    UserName = attribute(dtype=str, access=AttrWriteType.READ_WRITE, doc="Who takes the data; remembered")
    Endstation = attribute(dtype=str, access=AttrWriteType.READ_WRITE, doc="Where at the beamline; remembered")
    Path = attribute(
        dtype=str,
        access=AttrWriteType.READ_WRITE,
        fisallowed="is_write_allowed",
        doc=(
            "The raw folder of the visit. Another folder of the same proposal may be written; "
            "it holds until proposal, visit or sample are written; remembered"
        ),
    )
    SamplePath = attribute(dtype=str, doc="The sample's folder: Path/Sample")
    Type = attribute(dtype=str, doc="Category of the proposal: visitors, proprietary or staff")
    ConfiguredDevices = attribute(dtype=(str,), max_dim_x=LONGEST_LIST, doc="Devices that are handed the path")
    BadDevices = attribute(dtype=(str,), max_dim_x=LONGEST_LIST, doc="Those that refused it; the Status says why")
    PendingDevices = attribute(
        dtype=(str,), max_dim_x=LONGEST_LIST, doc="Those that are being handed the newest path at this moment"
    )
    RawPathReadonly = attribute(dtype=bool, doc="The property Raw_path_readonly")

    def is_write_allowed(self, request: tango.AttReqType) -> bool:
        return request == tango.AttReqType.READ_REQ or self._ready != DevState.OFF

    def read_Proposals(self) -> Value:
        return self._shown.values["Proposals"]

    def read_Visits(self) -> Value:
        return self._shown.values["Visits"]

    def read_Samples(self) -> Value:
        return self._shown.values["Samples"]

    def read_Proposal(self) -> Value:
        return self._shown.values["Proposal"]

    def write_Proposal(self, number: str) -> None:
        if not self._is_tangos("Proposal", number):
            self._set_proposal(number)

    def _set_proposal(self, number: str, visit: str = "", *, forced: bool = False) -> None:
        """`visit`: "" for the one in use, and for that of the day if the proposal is another one."""
        with refusing("PathFixer", *REFUSED):
            number = properties.checked_text(number, "proposal")
            self._chooser.check(number, visit, "")

        def choose(chooser: Chooser, now: InUse) -> Target:
            if number and number == now.number:
                return chooser.target(now, number, visit or now.wanted_visit, now.sample)
            return chooser.target(now, number, visit or AUTO_VISIT, "")  # none, too, is another

        self._change(f"Proposal {number!r}{f', Visit {visit!r}' if visit else ''}", choose, forced=forced)

    def read_Visit(self) -> Value:
        return self._shown.values["Visit"]

    def write_Visit(self, visit: str) -> None:
        if not self._is_tangos("Visit", visit):
            self._set_visit(visit)

    def _set_visit(self, visit: str, *, forced: bool = False) -> None:
        with refusing("PathFixer", *REFUSED):
            visit = _visit(visit)
            self._chooser.check("", visit, "")
        self._change(
            f"Visit {visit!r}",
            lambda chooser, now: chooser.target(now, now.number, visit, now.sample),
            forced=forced,
        )

    def read_Sample(self) -> Value:
        return self._shown.values["Sample"]

    def write_Sample(self, sample: str) -> None:
        if self._is_tangos("Sample", sample):
            return
        with refusing("PathFixer", *REFUSED):
            sample = properties.checked_text(sample, "sample")
            self._chooser.check("", "", sample)
        self._change(f"Sample {sample!r}", lambda chooser, now: chooser.same_visit(now, sample))

    def read_Path(self) -> Value:
        return self._shown.values["Path"]

    def write_Path(self, path: str) -> None:
        with refusing("PathFixer", *REFUSED):
            path = properties.checked_text(path, "path")
        self._change(f"Path {path!r}", lambda chooser, now: chooser.by_hand(now, path))

    def read_SamplePath(self) -> Value:
        return self._shown.values["SamplePath"]

    def read_Type(self) -> Value:
        return self._shown.values["Type"]

    def read_UserName(self) -> Value:
        return self._shown.values["UserName"]

    def write_UserName(self, name: str) -> None:
        with refusing("PathFixer", *REFUSED):
            self._user_name = properties.checked_text(name, "user name")
        self._remember_name()

    def read_Endstation(self) -> Value:
        return self._shown.values["Endstation"]

    def write_Endstation(self, name: str) -> None:
        with refusing("PathFixer", *REFUSED):
            self._endstation = properties.checked_text(name, "endstation")
        self._remember_name()

    def _remember_name(self) -> None:
        self._say()
        with tango.AutoTangoAllowThreads(self):
            self._remembered.keep_names(self._user_name, self._endstation)
        self._say()

    def read_ConfiguredDevices(self) -> Value:
        return self._shown.values["ConfiguredDevices"]

    def read_BadDevices(self) -> Value:
        return self._shown.values["BadDevices"]

    def read_PendingDevices(self) -> Value:
        return self._shown.values["PendingDevices"]

    def read_RawPathReadonly(self) -> Value:
        return self._shown.values["RawPathReadonly"]

    # ---------------------------------------------------------------- commands

    @command
    def TurnOn(self) -> None:
        """Let proposal, visit and sample be written, and hand the path on once more."""
        self._ready = DevState.ON
        self._hand_on()
        self._say()
        self._upkeep.soon()
        self._keeping.now()

    @command
    def TurnOff(self) -> None:
        """Refuse to write until TurnOn; what is in use stays."""
        self._ready = DevState.OFF
        self._say()

    @command(
        dtype_in=(str,),
        doc_in='The proposal\'s number; the visit: YYYYMMDD, or "auto" for that of the day; and perhaps "force": do it '
        "also while a scan runs",
        fisallowed="is_change_allowed",
    )
    def SetProposal(self, given: Sequence[str]) -> None:
        """Proposal and visit at once, so that no other visit's folders are made on the way."""
        with refusing("PathFixer", *REFUSED, WrongArgument):
            number, visit, force = words(given, 2, 3, "a proposal's number, a visit and perhaps force")
            if force.lower() not in ("", FORCE):
                raise WrongArgument(f"the third text is {force[:60]!r}, and not {FORCE}")
            visit = _visit(visit)
        self._set_proposal(number, visit, forced=bool(force))

    @command(doc_in="The proposal's number", fisallowed="is_change_allowed")
    def ForceProposal(self, number: str) -> None:
        """As writing Proposal, also while a scan runs: what the scan has still to write may go to the new folder."""
        self._set_proposal(number, forced=True)

    @command(doc_in='YYYYMMDD, or "auto" for that of the day', fisallowed="is_change_allowed")
    def ForceVisit(self, visit: str) -> None:
        """As writing Visit, also while a scan runs: what the scan has still to write may go to the new folder."""
        self._set_visit(visit, forced=True)

    def is_change_allowed(self) -> bool:
        return bool(self._ready != DevState.OFF)

    @command(
        doc_out="JSON: state, proposal, title, visit, auto (it follows the date), sample, path, sample_path, by_hand, "
        "office {answered, old}, folders [{path, mode, wanted}] (modes as 02770, empty where there is no folder), "
        "consumers [{device, target, state, detail}], problems [text]"
    )
    def Describe(self) -> str:
        """All of what is in use, for people: the macro pathinfo shows it. The folders are looked at now."""
        self._say()
        shown, chooser = self._shown, self._chooser
        now, problems = shown.in_use, list(shown.problems)
        with tango.AutoTangoAllowThreads(self):
            # A storage that hangs is not asked once more: that would be one more thread that hangs.
            hangs = any(wait.what == STORAGE for wait in self._waits.longer_than(LOOK))
            (folders,) = [TimeoutError()] if hangs else answers([functools.partial(chooser.folders, now)], LOOK)
        if isinstance(folders, Exception):
            problems.append(f"the folders cannot be looked at: {str(folders) or 'the storage does not answer'}")
            folders = []
        return json.dumps(
            {
                "state": str(shown.state),
                "proposal": now.number,
                "title": now.proposal.title if now.proposal else "",
                "visit": now.visit,
                "auto": now.auto,
                "sample": now.sample,
                "path": now.path,
                "sample_path": now.sample_path,
                "by_hand": bool(now.by_hand),
                "office": {"answered": now.answered, "old": bool(now.proposal and now.proposal.as_of)},
                "folders": [{"path": one.path, "mode": one.shown, "wanted": f"{one.wanted:05o}"} for one in folders],
                "consumers": [
                    dict(zip(("device", "target", "state", "detail"), one, strict=True)) for one in shown.handed.report
                ],
                "problems": problems,
            }
        )

    # ------------------------------------------------------------------ Tango

    def _is_tangos(self, attribute: str, value: str) -> bool:
        """Whether it is Tango that writes a memorised value, as it does once before any client can write.

        That is taken up already, or the Status says why not. It is not refused either: an attribute whose
        memorised value is refused cannot be read any more.
        """
        return self._restoring.pop(attribute, None) == sendable(text(value).strip())


def _visit(said: str) -> str:
    visit = properties.checked_text(said, "visit") or AUTO_VISIT
    return AUTO_VISIT if visit.lower() == AUTO_VISIT else visit


def _with(known: Sequence[str], name: str) -> list[str]:
    return sorted({*known, name} - {""})[:LONGEST_LIST]


def _no_answer(wait: Wait) -> str:
    return f"{_sentence(wait.what)} has not answered since {wait.since}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def main() -> None:
    run((PathFixer,))


if __name__ == "__main__":
    main()
