"""The Tango device that says whose data is being taken, and where it goes.

A client writes `Proposal`, `Visit` and `Sample`; PathFixer asks the user office and makes the folders,
and `Path` and `SamplePath` follow. The paths are sent to Sardana and to detectors.
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
from sdm.layout import DEFAULT_ROOT
from sdm.names import AUTO_VISIT
from tango_servers.common.arguments import WrongArgument, text_arguments
from tango_servers.common.background import PeriodicThread, call_all
from tango_servers.common.condition import Condition, join_sentences
from tango_servers.common.replies import MAX_LIST_LENGTH, AttributePublisher, raising_devfailed, sendable
from tango_servers.pathfixer import properties, running_scans
from tango_servers.pathfixer.consumers import CONSUMER_CHECK_SECONDS, ConsumersReport, PathDistributor, parse_consumers
from tango_servers.pathfixer.locking import ChangeLock, PendingOperation, PendingOperations
from tango_servers.pathfixer.persistence import PersistentState, stored_values_differ
from tango_servers.pathfixer.properties import PathSettings, settings_from
from tango_servers.pathfixer.property_check import PropertyCheck
from tango_servers.pathfixer.selection import STORAGE_OPERATION, Selection, SelectionChange, Selector
from tango_servers.pathfixer.upkeep import REFUSALS, Upkeep, UpkeepReport

CYCLE_SECONDS = 1.0
"""Time between runs of the upkeep, and between updates of the attributes."""

SLOW_SECONDS = 3.0
"""After which the Status shows that an operation is still in progress; Tango's clients have given up by then."""

RESTORE_WAIT_SECONDS = 2.0
"""How long the start, or Init, waits for the office and the storage. What takes longer goes on in the background."""

FOLDER_CHECK_SECONDS = 2.0
"""Within which the storage must answer when `Describe` checks the folders."""

OFF_REMARK = "Switched off: nothing can be written, and the visit does not follow the date. TurnOn switches it on"

FORCE = "force"

RETRY_REMARK = f"Retrying every {CONSUMER_CHECK_SECONDS:.0f} s"


class ScanRunning(Exception):
    """A scan is running, and the rest of its data would go to another place."""


class Replaced(Exception):
    """Init was run in the meantime."""


REFUSED_ERRORS = (*REFUSALS, ScanRunning, Replaced)

Value = str | bool | list[str]


@dataclass(frozen=True)
class PublishedState:
    """What clients see, all of the same moment: attributes, State, Status and events."""

    in_use: Selection
    consumers: ConsumersReport
    state: DevState
    problems: tuple[str, ...]
    values: dict[str, Value]


class PathFixer(Device):
    """The proposal, visit and sample in use, and the path where their data goes.

    STANDBY: ready. ON: ready, switched on by TurnOn. OFF: switched off, nothing can be written, and the
    visit does not follow the date.

    FAULT: there is no folder for the data. A property is wrong, the storage does not exist or does not answer, or
    what was in use before a restart cannot be restored.

    ALARM: data can be taken, but not all is as it should be. A consumer refused the path or has another one,
    the office cannot be asked or its answers cannot be stored, the storage is read-only here, a folder's mode or
    group could not be set, the visit could not follow the date, a line of a property is wrong, or a write
    was refused after its client had given up waiting.

    In both states the Status says what is wrong and what to do. Reads are answered from memory, also while a
    write waits for the office or the storage. A write returns when it is done. If that takes longer than the
    client waits, it is still completed or refused, and the Status says which.

    While a scan is running on one of the Doors, Proposal, Visit and Path cannot be changed, because the scan's data
    would go to two places. Sample can be changed, because macros write it between and within scans; but not if this
    would end a Path that was set by hand. The commands ForceProposal and ForceVisit do not check for scans, nor
    does SetProposal with force.
    """

    # Most have one line, but with a single string Tango silently drops everything after the first line.
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
        doc="File that stores the office's answers for when it is down (default: in the account's state folder)",
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
            "Devices that receive the path, one per line: {device: macroserver/cosaxs/1, environment: ScanDir} or "
            '{device: b311a/ea/eiger, attribute: FilePath, template: "{sample_path}/eiger"}. '
            "A template may use path, sample_path, category, beamline, proposal, visit, sample"
        ),
    )
    Doors = device_property(
        dtype=(str,),
        default_value=(),
        doc=(
            "Sardana's Doors, one per line: while a scan is running there, proposal, visit and path are not changed "
            "(default: all Doors of the MacroServers in PathConsumers; none: no Door is asked)"
        ),
    )

    PUSHED = (
        *("Proposal", "Proposals", "Visit", "Visits", "Sample", "Samples", "UserName", "Endstation"),
        *("Path", "SamplePath", "Type", "ConfiguredDevices", "BadDevices", "PendingDevices", "RawPathReadonly"),
    )

    # -------------------------------------------------------------- life cycle

    def init_device(self) -> None:
        super().init_device()
        self._publisher = AttributePublisher(self, self.PUSHED)
        self._ready = DevState.STANDBY
        self._user_name = ""
        self._endstation = ""
        self._change_lock = ChangeLock()
        self._pending = PendingOperations()
        self._late_refusal = ""
        self._unanswered_doors: tuple[str, ...] = ()
        consumers, self._wrong_lines = parse_consumers(self.PathConsumers)
        macroservers = dict.fromkeys(consumer.device for consumer in consumers if consumer.environment)
        self._doors = running_scans.Doors(self.Doors, list(macroservers))
        known = list(self.get_device_class().device_property_list)
        self._property_check = PropertyCheck(self.get_name(), known, self.Doors)
        self._publish_thread = PeriodicThread(f"{self.get_name()} publish", self._publish_with_monitor, CYCLE_SECONDS)
        self._distributor = PathDistributor(consumers, self._publish_thread.wake)
        self._persistent = PersistentState(self.get_name())
        self._settings = settings = self._from_properties()
        self._selector = Selector(
            settings.beamline,
            settings.office,
            settings.layout,
            settings.raw_read_only,
            pending=self._pending,
            settings_problem="; ".join(settings.problems),
        )
        self._upkeep = Upkeep(
            self._selector,
            self._doors.query,
            lambda: self._in_use,
            functools.partial(self._replace, self._selector),
            lambda text: self.warn_stream(sendable(text)),
        )
        self._upkeep_thread = PeriodicThread(f"{self.get_name()} upkeep", self._run_upkeep, CYCLE_SECONDS)
        self._restore()
        self._publish()
        self._publish_thread.start()
        self._upkeep_thread.start()
        self._distributor.start()
        self._publish_thread.wake()
        self._upkeep_thread.wake()

    def delete_device(self) -> None:
        self._publish_thread.stop()
        self._upkeep_thread.stop()
        self._distributor.stop()

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
        """Restore what was in use before the restart.

        Tango writes the memorised values one by one, but visit and sample must be known before the
        proposal's folders are made. So it is done here, and Tango's own writes are ignored.
        """
        restored = self._persistent.load()
        self._in_use = restored.in_use
        self._user_name, self._endstation = restored.user_name, restored.endstation
        self._memorised = dict(restored.memorised)
        names = {"UserName": self._user_name, "Endstation": self._endstation}
        # At the end of Init, Tango writes the last written values. A client's write may still be in progress then.
        for name, value in {**self._memorised, **names}.items():
            self.get_device_attr().get_w_attr_by_name(name).set_write_value(value)
        upkeep = self._upkeep
        (found,) = call_all([functools.partial(upkeep.restore, self._in_use)], RESTORE_WAIT_SECONDS)
        if isinstance(found, Selection):
            self._in_use = found
            self._distribute()
            if stored_values_differ(restored.in_use, found):  # for the next restart
                self._persistent.save(found)
        else:
            why = str(found) or f"the user office or the storage has not answered within {RESTORE_WAIT_SECONDS:g} s"
            upkeep.update_report(not_restored=why)

    def _run_upkeep(self) -> None:
        self._property_check.run()
        if self._ready != DevState.OFF and not self._settings.problems:
            self._upkeep.run()
        if self._persistent.trouble:
            self._persistent.save_names(self._user_name, self._endstation)
            self._persistent.save(self._in_use)
        self._publish_thread.wake()

    def _publish_with_monitor(self) -> None:
        with tango.AutoTangoMonitor(self):  # clients' calls hold it too, so the last update is the newest
            self._publish()

    # --------------------------------------------------------------- the work

    def _change(
        self, what: str, choose: Callable[[Selector, Selection], SelectionChange], *, forced: bool = False
    ) -> None:
        """Make a change that a client has written; a refusal becomes a DevFailed. Reads are answered meanwhile."""
        started = time.monotonic()
        try:
            with (
                raising_devfailed("PathFixer", *REFUSED_ERRORS),
                tango.AutoTangoAllowThreads(self),
                self._change_lock.hold(what),
            ):
                try:
                    self._change_locked(what, choose, forced)
                except REFUSED_ERRORS as error:
                    given_up = time.monotonic() - started > SLOW_SECONDS
                    self._late_refusal = (
                        f"{what} was refused at {time.strftime('%H:%M:%S')}: {error}" if given_up else ""
                    )
                    if isinstance(error, FolderError):  # so that the State shows it, too
                        self._upkeep.check_soon()
                    raise
        finally:
            self._publish()
            self._upkeep_thread.wake()

    def _change_locked(self, what: str, choose: Callable[[Selector, Selection], SelectionChange], forced: bool) -> None:
        selector = self._selector
        change = choose(selector, self._in_use)
        unanswered = self._unanswered_doors
        if change.moves and not forced:
            found = self._doors.query()
            if found.running:
                raise ScanRunning(
                    f"{what}: refused, because a scan is running and its data would go to two places: "
                    f"{'; '.join(found.running)}. Wait until the scan has finished. To change it now, use "
                    "ForceProposal or ForceVisit, or in spock the parameter force of setproposal"
                )
            unanswered = found.unanswered
            for one in found.unanswered:
                self.warn_stream(sendable(f"{what}: done, although it is unknown whether a scan is running. {one}"))
        self._use(selector, change.prepare(), unanswered)

    def _replace(self, selector: Selector, before: Selection, found: Selection) -> None:
        """Use what upkeep has found, unless a client has changed it in the meantime. Raises Busy."""
        with self._change_lock.hold("automatic update of what is in use"):
            if self._in_use is before:
                with contextlib.suppress(Replaced):
                    self._use(selector, found)

    def _use(self, selector: Selector, found: Selection, unanswered: tuple[str, ...] | None = None) -> None:
        """Use this selection from now on, and show it. Raises Replaced.

        `unanswered` is given if a client has written it: the Doors that did not say whether a scan is running. The
        path is then sent to the consumers even if it is the same.
        """
        written = unanswered is not None
        with tango.AutoTangoMonitor(self):  # one call that reads several attributes gets them of the same proposal
            if selector is not self._selector:
                raise Replaced("Init was run during this change: write it again")
            before, self._in_use = self._in_use, found
            # What clients show as the last written value.
            attributes = self.get_device_attr()
            for name, value in (("Proposal", found.number), ("Visit", found.wanted_visit), ("Sample", found.sample)):
                attributes.get_w_attr_by_name(name).set_write_value(value)
            if written or self._fields(before) != self._fields(found):
                self._distribute()
            if unanswered is not None:
                self._unanswered_doors, self._late_refusal = unanswered, ""
                self._upkeep.selection_written()
            else:
                self._upkeep.selection_replaced(found)
            self._publish()  # so that State and Status belong to the same selection as the attributes
        if written or stored_values_differ(before, found):
            self._persistent.save(found)

    def _distribute(self) -> None:
        if self._in_use.path:
            self._distributor.distribute(self._fields(self._in_use))
        else:
            self._distributor.clear()

    def _fields(self, now: Selection) -> dict[str, str]:
        return {
            "path": now.path,
            "sample_path": now.sample_path,
            "category": now.category,
            "beamline": self._settings.beamline,
            "proposal": now.number,
            "visit": now.visit,
            "sample": now.sample,
        }

    def _publish(self) -> None:
        """Update what clients see, and push change events. Call it with the monitor held."""
        now, report, consumers = self._in_use, self._upkeep.report, self._distributor.report()
        proposal = now.proposal
        values: dict[str, Value] = {
            "Proposal": now.number,
            "Proposals": list(report.proposals)[:MAX_LIST_LENGTH],
            "Visit": now.visit,
            "Visits": _sorted_with(proposal.visit_names if proposal else (), now.visit),
            "Sample": now.sample,
            "Samples": _sorted_with(proposal.samples if proposal else (), now.sample),
            "UserName": self._user_name,
            "Endstation": self._endstation,
            "Path": now.path,
            "SamplePath": now.sample_path,
            "Type": now.category,
            "ConfiguredDevices": list(consumers.devices)[:MAX_LIST_LENGTH],
            "BadDevices": list(consumers.refused)[:MAX_LIST_LENGTH],
            "PendingDevices": list(consumers.pending)[:MAX_LIST_LENGTH],
            "RawPathReadonly": self._settings.raw_read_only,
        }
        condition = self._condition(now, report, consumers)
        state = condition.state(self._ready)
        self._published = PublishedState(now, consumers, state, (*condition.faults, *condition.alarms), values)
        self._publisher.publish(state, condition.status(self._ready), values)

    def _condition(self, now: Selection, report: UpkeepReport, consumers: ConsumersReport) -> Condition:
        slow = self._pending.older_than(SLOW_SECONDS)
        return Condition(
            [
                *self._faults(now, report),
                *(_no_answer(operation) for operation in slow if operation.what == STORAGE_OPERATION),
            ],
            [
                *self._alarms(now, report, consumers),
                *(_no_answer(operation) for operation in slow if operation.what != STORAGE_OPERATION),
            ],
            self._remarks(now, report),
        )

    def _faults(self, now: Selection, report: UpkeepReport) -> list[str]:
        found = [
            f"{one}. Correct it in the Tango database (with jive), then run Init" for one in self._settings.problems
        ]
        if report.not_restored:
            who = f"Proposal {now.number}" if now.number else "What was in use before the restart"
            why = (
                "until then"
                if self._settings.problems
                else join_sentences(report.not_restored, f"{RETRY_REMARK}; or write Proposal")
            )
            found.append(f"{who} is not in use{' ' if self._settings.problems else ': '}{why}")
        if report.storage:
            found.append(join_sentences(report.storage, RETRY_REMARK))
        return found

    def _alarms(self, now: Selection, report: UpkeepReport, consumers: ConsumersReport) -> list[str]:
        found = [*self._wrong_lines, *self._property_check.problems]
        if self._late_refusal:
            found.append(join_sentences(self._late_refusal, "What was in use before is still in use"))
        if now.proposal and now.proposal.as_of:
            why = now.proposal.trouble or "it cannot be asked"
            found.append(
                join_sentences(
                    f"The user office: {why}", f"Its answer of {now.proposal.as_of} is in use. {RETRY_REMARK}"
                )
            )
        elif report.office or report.listing:
            found.append(join_sentences(f"The user office: {report.office or report.listing}", RETRY_REMARK))
        if self._settings.office and (trouble := self._settings.office.trouble):
            found.append(f"{_capitalised(trouble)}. No stored answer would be available while the office is down")
        if report.unwritable:
            found.append(f"{report.unwritable}. {RETRY_REMARK}")
        if report.visit:
            found.append(report.visit)
        refused = consumers.refused.items()
        found += [
            *now.notes,
            *(join_sentences(f"{device} refused the path: {why}", RETRY_REMARK) for device, why in refused),
        ]
        found += consumers.foreign
        if trouble := self._persistent.trouble:
            found.append(join_sentences(f"What is in use could not be stored for a restart: {trouble}", RETRY_REMARK))
        return found

    def _remarks(self, now: Selection, report: UpkeepReport) -> list[str]:
        found = [OFF_REMARK] if self._ready == DevState.OFF else []
        found += [
            f"Still in progress: {operation}. Attributes can be read meanwhile"
            for operation in self._change_lock.older_than(SLOW_SECONDS)
        ]
        found += filter(None, (report.visit_waits, report.path_waits))
        found += [
            f"At the last change it was unknown whether a scan was running: {one}" for one in self._unanswered_doors
        ]
        found += report.unanswered_doors
        if now.proposal:
            found += [
                f"Proposal {now.number}: {now.proposal.title}",
                f"Visit {now.visit}{' (follows the date)' if now.auto else ''}",
                f"Data goes to {now.sample_path}{' (Path was set by hand)' if now.by_hand else ''}",
            ]
        elif not now.number:
            found.append(
                "No proposal is set: write Proposal. A new proposal starts with the visit of today and no sample"
            )
        return found

    # -------------------------------------------------------------- attributes

    Proposals = attribute(dtype=(str,), max_dim_x=MAX_LIST_LENGTH, doc="The beamline's proposals")
    Visits = attribute(dtype=(str,), max_dim_x=MAX_LIST_LENGTH, doc="Visits of the proposal")
    Samples = attribute(dtype=(str,), max_dim_x=MAX_LIST_LENGTH, doc="Samples of the proposal")
    Proposal = attribute(
        dtype=str,
        access=AttrWriteType.READ_WRITE,
        memorized=True,
        hw_memorized=True,
        fisallowed="is_write_allowed",
        doc='The proposal in use, "" for none. A new proposal starts with the visit of today and no sample',
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
    # Stored by PathFixer and not by Tango, which would write them as Latin-1; the C++ database refuses that.
    UserName = attribute(dtype=str, access=AttrWriteType.READ_WRITE, doc="Who takes the data; restored after a restart")
    Endstation = attribute(
        dtype=str, access=AttrWriteType.READ_WRITE, doc="Where at the beamline; restored after a restart"
    )
    Path = attribute(
        dtype=str,
        access=AttrWriteType.READ_WRITE,
        fisallowed="is_write_allowed",
        doc=(
            "The raw folder of the visit. Another folder of the same proposal can be written; it stays "
            "until proposal, visit or sample are written; restored after a restart"
        ),
    )
    SamplePath = attribute(dtype=str, doc="The sample's folder: Path/Sample")
    Type = attribute(dtype=str, doc="Category of the proposal: visitors, proprietary or staff")
    ConfiguredDevices = attribute(dtype=(str,), max_dim_x=MAX_LIST_LENGTH, doc="Devices that receive the path")
    BadDevices = attribute(
        dtype=(str,), max_dim_x=MAX_LIST_LENGTH, doc="Devices that refused the path; the Status says why"
    )
    PendingDevices = attribute(
        dtype=(str,), max_dim_x=MAX_LIST_LENGTH, doc="Devices that the newest path is still being sent to"
    )
    RawPathReadonly = attribute(dtype=bool, doc="The property Raw_path_readonly")

    def is_write_allowed(self, request: tango.AttReqType) -> bool:
        return request == tango.AttReqType.READ_REQ or self._ready != DevState.OFF

    def read_Proposals(self) -> Value:
        return self._published.values["Proposals"]

    def read_Visits(self) -> Value:
        return self._published.values["Visits"]

    def read_Samples(self) -> Value:
        return self._published.values["Samples"]

    def read_Proposal(self) -> Value:
        return self._published.values["Proposal"]

    def write_Proposal(self, number: str) -> None:
        if not self._is_memorised_write("Proposal", number):
            self._set_proposal(number)

    def _set_proposal(self, number: str, visit: str = "", *, forced: bool = False) -> None:
        """`visit`: "" keeps the visit in use; for another proposal it is the visit of today."""
        with raising_devfailed("PathFixer", *REFUSED_ERRORS):
            number = properties.checked_text(number, "proposal")
            self._selector.check(number, visit, "")

        def choose(selector: Selector, now: Selection) -> SelectionChange:
            if number and number == now.number:
                return selector.change_to(now, number, visit or now.wanted_visit, now.sample)
            return selector.change_to(now, number, visit or AUTO_VISIT, "")  # no proposal counts as another one

        self._change(f"Proposal {number!r}{f', Visit {visit!r}' if visit else ''}", choose, forced=forced)

    def read_Visit(self) -> Value:
        return self._published.values["Visit"]

    def write_Visit(self, visit: str) -> None:
        if not self._is_memorised_write("Visit", visit):
            self._set_visit(visit)

    def _set_visit(self, visit: str, *, forced: bool = False) -> None:
        with raising_devfailed("PathFixer", *REFUSED_ERRORS):
            visit = _visit(visit)
            self._selector.check("", visit, "")
        self._change(
            f"Visit {visit!r}",
            lambda selector, now: selector.change_to(now, now.number, visit, now.sample),
            forced=forced,
        )

    def read_Sample(self) -> Value:
        return self._published.values["Sample"]

    def write_Sample(self, sample: str) -> None:
        if self._is_memorised_write("Sample", sample):
            return
        with raising_devfailed("PathFixer", *REFUSED_ERRORS):
            sample = properties.checked_text(sample, "sample")
            self._selector.check("", "", sample)
        self._change(f"Sample {sample!r}", lambda selector, now: selector.change_sample(now, sample))

    def read_Path(self) -> Value:
        return self._published.values["Path"]

    def write_Path(self, path: str) -> None:
        with raising_devfailed("PathFixer", *REFUSED_ERRORS):
            path = properties.checked_text(path, "path")
        self._change(f"Path {path!r}", lambda selector, now: selector.change_path(now, path))

    def read_SamplePath(self) -> Value:
        return self._published.values["SamplePath"]

    def read_Type(self) -> Value:
        return self._published.values["Type"]

    def read_UserName(self) -> Value:
        return self._published.values["UserName"]

    def write_UserName(self, name: str) -> None:
        with raising_devfailed("PathFixer", *REFUSED_ERRORS):
            self._user_name = properties.checked_text(name, "user name")
        self._save_names()

    def read_Endstation(self) -> Value:
        return self._published.values["Endstation"]

    def write_Endstation(self, name: str) -> None:
        with raising_devfailed("PathFixer", *REFUSED_ERRORS):
            self._endstation = properties.checked_text(name, "endstation")
        self._save_names()

    def _save_names(self) -> None:
        self._publish()
        with tango.AutoTangoAllowThreads(self):
            self._persistent.save_names(self._user_name, self._endstation)
        self._publish()

    def read_ConfiguredDevices(self) -> Value:
        return self._published.values["ConfiguredDevices"]

    def read_BadDevices(self) -> Value:
        return self._published.values["BadDevices"]

    def read_PendingDevices(self) -> Value:
        return self._published.values["PendingDevices"]

    def read_RawPathReadonly(self) -> Value:
        return self._published.values["RawPathReadonly"]

    # ---------------------------------------------------------------- commands

    @command
    def TurnOn(self) -> None:
        """Allow writing proposal, visit and sample, and send the path to the consumers again."""
        self._ready = DevState.ON
        self._distribute()
        self._publish()
        self._upkeep.check_soon()
        self._upkeep_thread.wake()

    @command
    def TurnOff(self) -> None:
        """Refuse writing until TurnOn; what is in use stays."""
        self._ready = DevState.OFF
        self._publish()

    @command(
        dtype_in=(str,),
        doc_in='The proposal\'s number; the visit: YYYYMMDD, or "auto" for that of today; optionally "force": do it '
        "also while a scan is running",
        fisallowed="is_change_allowed",
    )
    def SetProposal(self, given: Sequence[str]) -> None:
        """Set proposal and visit together, so that no other visit's folders are made."""
        with raising_devfailed("PathFixer", *REFUSED_ERRORS, WrongArgument):
            number, visit, force = text_arguments(given, 2, 3, "a proposal's number, a visit and optionally force")
            if force.lower() not in ("", FORCE):
                raise WrongArgument(f"the third text must be {FORCE}, not {force[:60]!r}")
            visit = _visit(visit)
        self._set_proposal(number, visit, forced=bool(force))

    @command(doc_in="The proposal's number", fisallowed="is_change_allowed")
    def ForceProposal(self, number: str) -> None:
        """Like writing Proposal, also while a scan is running: the rest of its data may go to the new folder."""
        self._set_proposal(number, forced=True)

    @command(doc_in='YYYYMMDD, or "auto" for the visit of today', fisallowed="is_change_allowed")
    def ForceVisit(self, visit: str) -> None:
        """Like writing Visit, also while a scan is running: the rest of its data may go to the new folder."""
        self._set_visit(visit, forced=True)

    def is_change_allowed(self) -> bool:
        return bool(self._ready != DevState.OFF)

    @command(
        doc_out="JSON: state, proposal, title, visit, auto (it follows the date), sample, path, sample_path, by_hand, "
        "office {answered, old}, folders [{path, mode, wanted}] (modes like 02770, empty without a folder), "
        "consumers [{device, target, state, detail}], problems [text]"
    )
    def Describe(self) -> str:
        """All of what is in use, for people: the macro pathinfo shows it. Checks the folders now."""
        self._publish()
        shown, selector = self._published, self._selector
        now, problems = shown.in_use, list(shown.problems)
        with tango.AutoTangoAllowThreads(self):
            # A storage that hangs is not asked again: that would leave one more hanging thread.
            hangs = any(
                operation.what == STORAGE_OPERATION for operation in self._pending.older_than(FOLDER_CHECK_SECONDS)
            )
            (folders,) = (
                [TimeoutError()]
                if hangs
                else call_all([functools.partial(selector.folders, now)], FOLDER_CHECK_SECONDS)
            )
        if isinstance(folders, Exception):
            problems.append(f"the folders cannot be checked: {str(folders) or 'the storage does not answer'}")
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
                    dict(zip(("device", "target", "state", "detail"), one, strict=True))
                    for one in shown.consumers.report
                ],
                "problems": problems,
            }
        )

    # ------------------------------------------------------------------ Tango

    def _is_memorised_write(self, attribute: str, value: str) -> bool:
        """Whether Tango itself writes a memorised value, as it does once before any client can write.

        `_restore` has already handled this value. It is not refused either: Tango makes an attribute unreadable
        whose memorised value is refused.
        """
        return self._memorised.pop(attribute, None) == sendable(text(value).strip())


def _visit(given: str) -> str:
    visit = properties.checked_text(given, "visit") or AUTO_VISIT
    return AUTO_VISIT if visit.lower() == AUTO_VISIT else visit


def _sorted_with(known: Sequence[str], name: str) -> list[str]:
    return sorted({*known, name} - {""})[:MAX_LIST_LENGTH]


def _no_answer(operation: PendingOperation) -> str:
    return f"{_capitalised(operation.what)} has not answered since {operation.since}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def main() -> None:
    run((PathFixer,))


if __name__ == "__main__":
    main()
