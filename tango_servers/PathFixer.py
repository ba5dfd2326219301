"""The Tango device that says whose data is being taken, and where it goes.

Somebody writes `Proposal`, `Visit` and `Sample`; the user office is asked, the folders are
made, and `Path` and `SamplePath` follow. The paths are handed on to Sardana and to detectors.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import tango
from tango import AttrWriteType, DevState
from tango.server import Device, attribute, command, device_property, run

from sdm import folders
from sdm.layout import AUTO_VISIT, DEFAULT_ROOT, Layout, NameRefused, Place, check_name, check_sample, today
from sdm.office import Office as UserOffice
from sdm.office import (
    OfficeError,
    OfficeUnavailable,
    Proposal,
    RememberingOffice,
    memory_file,
    office_from,
    proposal_at,
)
from tango_servers.answers import Announcer, refusing, sendable
from tango_servers.background import Background
from tango_servers.handover import HandOver, parse_consumers

RETRY = 10.0
"""Seconds between tries to reach what could not be reached: the office at start-up, consumers of the path."""

LONGEST_LIST = 1000

REFUSALS = (OfficeError, NameRefused, folders.FolderError)


@dataclass(frozen=True)
class InUse:
    """Whose data is being taken. `proposal` is None while the office has not been reached for `number`."""

    number: str = ""
    proposal: Proposal | None = None
    visit: str = ""
    sample: str = ""
    path: str = ""
    sample_path: str = ""
    notes: tuple[str, ...] = ()

    @property
    def category(self) -> str:
        return self.proposal.category if self.proposal else ""


class PathFixer(Device):
    """Proposal, visit and sample in use, and the path that their data goes to.

    STANDBY: ready. ON: ready, switched on by TurnOn. OFF: switched off, nothing can be
    written. ALARM: the Status says what is wrong and what to do.
    """

    Beamline = device_property(dtype=str, default_value="", doc="Short name of the beamline, as in the path: cosaxs")
    Office = device_property(
        dtype=str,
        default_value="",
        doc="The user office, where proposals are looked up: yaml:/path/proposals.yaml",
    )
    OfficeMemory = device_property(
        dtype=str,
        default_value="",
        doc="File that keeps the office's answers for a time when it is down (default: in the account's state folder)",
    )
    Prefix = device_property(
        dtype=str,
        default_value=str(DEFAULT_ROOT),
        doc="Root of the storage; below it {visitors,proprietary,staff}/<beamline> must exist (default: /data)",
    )
    Raw_path_readonly = device_property(
        dtype=bool, default_value=False, doc="Whether only the service account may write into raw (default: false)"
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

    PUSHED = (
        *("Proposal", "Proposals", "Visit", "Visits", "Sample", "Samples"),
        *("Path", "SamplePath", "Type", "ConfiguredDevices", "BadDevices"),
    )

    # -------------------------------------------------------------------- life

    def init_device(self) -> None:
        super().init_device()
        self._announcer = Announcer(self, self.PUSHED)
        self._ready = DevState.STANDBY
        self._in_use = InUse()
        self._use_lock = threading.Lock()
        self._proposals: list[str] = []
        self._list_due = True
        self._user_name = ""
        self._endstation = ""
        consumers, self._setting_problems = parse_consumers(self.PathConsumers)
        self._hand_over = HandOver(consumers)
        self._office, self._layout = self._from_settings()
        self._not_restored = ""
        self._restored = False
        self._restore()
        self._background = Background(f"{self.get_name()} background", self._in_background, RETRY)
        self._background.start()
        self._background.now()

    def delete_device(self) -> None:
        self._background.stop()

    def _from_settings(self) -> tuple[UserOffice | None, Layout]:
        office: UserOffice | None = None
        layout = Layout()
        try:
            check_name(self.Beamline, "property Beamline:")
            layout = Layout(Path(self.Prefix))
            office = RememberingOffice(
                office_from(self.Office), Path(self.OfficeMemory) if self.OfficeMemory else memory_file()
            )
        except REFUSALS as error:
            self._setting_problems.append(f"{error}. Put the device property right, then run Init")
        return office, layout

    def _restore(self) -> None:
        """Take up what was in use before the restart.

        Tango writes the memorised values one by one, but visit and sample have to be known
        before the proposal's folders are made. So it is done here, and Tango's own writes find
        everything as they want it.
        """
        names = ("Proposal", "Visit", "Sample")
        kept = tango.Util.instance().get_database().get_device_attribute_property(self.get_name(), list(names))
        number, self._wanted_visit, sample = ("".join(kept[name].get("__value", [])) for name in names)
        with self._use_lock:
            self._take_up(number, self._wanted_visit, sample)
        self._say()

    def _take_up(self, number: str, visit: str, sample: str) -> None:
        """Use what was remembered; where that cannot be done yet, `_not_restored` says why."""
        try:
            self._use(number, visit, sample)
            self._not_restored = ""
        except REFUSALS as error:
            self._in_use = InUse(number=number, visit=visit, sample=sample)
            self._not_restored = f"{error}. Trying again every {RETRY:.0f} s; or write Proposal"

    def _in_background(self) -> None:
        with tango.AutoTangoMonitor(self):  # so Init, with the writes of memorised values that end it, is over
            self._restored = True
        news = bool(self._not_restored)
        if news:
            with self._use_lock:
                self._take_up(self._in_use.number, self._wanted_visit, self._in_use.sample)
        news |= self._list_proposals()
        news |= self._hand_over.work()
        if news:
            with tango.AutoTangoMonitor(self):  # clients' calls have it, so what is said last is the newest
                self._say()

    def _list_proposals(self) -> bool:
        """Whether the list of proposals is new. It is only an aid to people, so nothing waits for it."""
        if self._office is None or not self._list_due:
            return False
        try:
            self._proposals = [one.id for one in self._office.proposals(self.Beamline)]
            self._list_due = False
        except OfficeError as error:
            self.warn_stream(sendable(f"the proposals cannot be listed: {error}"))
            return False
        return True

    # --------------------------------------------------------------- the work

    def _use(self, number: str, visit: str, sample: str) -> None:
        """Look up, make the folders, and only if all of that went well use it. Raises one of REFUSALS."""
        visit = today() if visit in ("", AUTO_VISIT) else visit
        check_name(visit, "visit")
        check_sample(sample)
        if not number:
            self._in_use = InUse(visit=visit, sample=sample)
            return
        check_name(number, "proposal")
        if self._office is None:
            raise OfficeUnavailable("there is no user office to ask, see the properties Office and Beamline")
        proposal = proposal_at(self._office, number, self.Beamline)
        place = Place(proposal.category, self.Beamline, proposal.id, visit, sample)
        done = folders.make(self._layout, place, proposal.group, raw_read_only=self.Raw_path_readonly)
        notes = done.notes
        if proposal.as_of:
            notes = (f"The user office cannot be asked; this is what it said at {proposal.as_of}.", *notes)
        self._in_use = InUse(number, proposal, visit, sample, str(done.raw), str(done.sample), notes)
        self._list_due = True
        self._hand_on()

    def _hand_on(self) -> None:
        now = self._in_use
        self._hand_over.hand_on(
            {
                "path": now.path,
                "sample_path": now.sample_path,
                "category": now.category,
                "beamline": self.Beamline,
                "proposal": now.number,
                "visit": now.visit,
                "sample": now.sample,
            }
        )

    def _change(self, number: str, visit: str, sample: str) -> None:
        """What was written; a refusal reaches the client as a DevFailed."""
        with refusing("PathFixer", *REFUSALS), self._use_lock:
            if self._is_restoring():
                # An attribute whose memorised value is refused could not be read any more.
                self._take_up(number, visit, sample)
            else:
                self._use(number, visit, sample)
                self._not_restored = ""
        self._say()
        self._background.now()

    def _say(self) -> None:
        """Bring State and Status up to date, and tell the subscribers."""
        problems = [*self._setting_problems]
        if self._not_restored:
            problems.append(f"Proposal {self._in_use.number} is not in use: {self._not_restored}")
        problems += [
            f"{device} refused the path: {reason}. Trying again every {RETRY:.0f} s"
            for device, reason in self._hand_over.refused.items()
        ]
        state = self._ready if self._ready == DevState.OFF or not problems else DevState.ALARM
        now = self._in_use
        lines = [f"The device is in {state} state.", *problems]
        if now.path and now.proposal:
            lines += [f"Proposal {now.number}: {now.proposal.title}", f"Data goes to {now.sample_path}", *now.notes]
        elif not now.number:
            lines.append("No proposal is set: write Proposal.")
        values = {name: getattr(self, f"read_{name}")() for name in self.PUSHED}
        self._announcer.announce(state, "\n".join(lines), values)

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
    UserName = attribute(
        dtype=str, access=AttrWriteType.READ_WRITE, memorized=True, hw_memorized=True, doc="Who takes the data"
    )
    Endstation = attribute(
        dtype=str, access=AttrWriteType.READ_WRITE, memorized=True, hw_memorized=True, doc="Where at the beamline"
    )
    Path = attribute(
        dtype=str,
        access=AttrWriteType.READ_WRITE,
        fisallowed="is_write_allowed",
        doc=(
            "The raw folder of the visit. Another folder of the same proposal may be written; "
            "it holds until proposal, visit or sample are written"
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

    def read_Proposals(self) -> list[str]:
        return self._proposals[:LONGEST_LIST]

    def read_Visits(self) -> list[str]:
        known = self._in_use.proposal.visit_names if self._in_use.proposal else ()
        return sorted({*known, self._in_use.visit} - {""})[:LONGEST_LIST]

    def read_Samples(self) -> list[str]:
        known = self._in_use.proposal.samples if self._in_use.proposal else ()
        return sorted({*known, self._in_use.sample} - {""})[:LONGEST_LIST]

    def read_Proposal(self) -> str:
        return self._in_use.number

    def write_Proposal(self, number: str) -> None:
        number = number.strip()
        now = self._in_use
        if self._is_restoring() and number == now.number:
            return
        if now.number in ("", number):
            self._change(number, self._wanted_visit, now.sample)
        else:
            self._change(number, AUTO_VISIT, "")
            self._wanted_visit = AUTO_VISIT
            self._memorise({"Visit": AUTO_VISIT, "Sample": ""})

    def read_Visit(self) -> str:
        return self._in_use.visit

    def write_Visit(self, visit: str) -> None:
        visit = visit.strip()
        if self._is_restoring() and visit == self._wanted_visit:
            return
        self._change(self._in_use.number, visit, self._in_use.sample)
        self._wanted_visit = visit

    def read_Sample(self) -> str:
        return self._in_use.sample

    def write_Sample(self, sample: str) -> None:
        sample = sample.strip()
        if self._is_restoring() and sample == self._in_use.sample:
            return
        self._change(self._in_use.number, self._in_use.visit, sample)

    def read_Path(self) -> str:
        return self._in_use.path

    def write_Path(self, path: str) -> None:
        now = self._in_use
        with refusing("PathFixer", *REFUSALS), self._use_lock:
            if not now.proposal:
                raise NameRefused("there is no proposal in use that the path could belong to: write Proposal first")
            place = Place(now.proposal.category, self.Beamline, now.number, now.visit)
            found = _existing_folder(path, self._layout.proposal(place))
        self._in_use = replace(now, path=str(found), sample_path=str(found / now.sample))
        self._hand_on()
        self._say()
        self._background.now()

    def read_SamplePath(self) -> str:
        return self._in_use.sample_path

    def read_Type(self) -> str:
        return self._in_use.category

    def read_UserName(self) -> str:
        return self._user_name

    def write_UserName(self, name: str) -> None:
        self._user_name = name

    def read_Endstation(self) -> str:
        return self._endstation

    def write_Endstation(self, name: str) -> None:
        self._endstation = name

    def read_ConfiguredDevices(self) -> list[str]:
        return self._hand_over.devices[:LONGEST_LIST]

    def read_BadDevices(self) -> list[str]:
        return list(self._hand_over.refused)[:LONGEST_LIST]

    def read_PendingDevices(self) -> list[str]:
        return self._hand_over.pending[:LONGEST_LIST]

    def read_RawPathReadonly(self) -> bool:
        return bool(self.Raw_path_readonly)

    # ---------------------------------------------------------------- commands

    @command
    def TurnOn(self) -> None:
        """Let proposal, visit and sample be written, and hand the path on once more."""
        self._ready = DevState.ON
        if self._in_use.path:
            self._hand_on()
        self._say()
        self._background.now()

    @command
    def TurnOff(self) -> None:
        """Refuse to write until TurnOn; what is in use stays."""
        self._ready = DevState.OFF
        self._say()

    # ------------------------------------------------------------------ Tango

    def _is_restoring(self) -> bool:
        """Whether it may be Tango that writes a memorised value, at the start or at the end of Init."""
        util = tango.Util.instance()
        return not self._restored or util.is_svr_starting() or util.is_device_restarting(self.get_name())

    def _memorise(self, values: Mapping[str, str]) -> None:
        """What Tango does when a client writes: a restart is not to bring back what was before."""
        for name, value in values.items():
            self.get_device_attr().get_w_attr_by_name(name).set_write_value(value)
        memory = {name: {"__value": [value]} for name, value in values.items()}
        tango.Util.instance().get_database().put_device_attribute_property(self.get_name(), memory)


def _existing_folder(path: str, above: Path) -> Path:
    """The folder without symbolic links. Raises NameRefused if it is not there, or not inside `above`."""
    given = Path(path)
    try:
        found = given.resolve(strict=True)
        inside = given.is_absolute() and found.is_relative_to(above.resolve(strict=True)) and found.is_dir()
    except (OSError, ValueError) as error:
        raise NameRefused(f"path {path!r} refused: {error}") from error
    if not inside:
        raise NameRefused(f"path {path!r} refused: it is not a folder inside {above}")
    return found


def main() -> None:
    run((PathFixer,))


if __name__ == "__main__":
    main()
