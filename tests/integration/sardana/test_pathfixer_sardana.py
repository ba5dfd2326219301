"""PathFixer and a real Sardana: what may change while a scan runs, midnight, and the macros."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import tango
from tango import DevState

from deploy.demo.door import Door, MacroFailed
from deploy.demo.session import make_elements
from deploy.demo.stack import DOOR, MACROSERVER, PATHFIXER, Stack
from tango_servers.pathfixer import sardana_environment
from tango_servers.pathfixer.running_scans import DOOR_ANSWER_SECONDS
from tests.faults.clock import Clock
from tests.integration.tango_servers.pathfixer import configure, proxy_of
from tests.servers.sardana import Sardana
from tests.servers.tango_system import Events, control_system, refusal
from tests.waiting import eventually

pytestmark = pytest.mark.first

SECOND_DOOR = "door/demo/2"
SCAN = ("ascan", "mot01", "0", "10", "1000", "0.1")
"""It goes on until a test ends it."""

CONSUMER = f"{{device: {MACROSERVER}, environment: ScanDir}}"


class System:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.clock = Clock(stack.folder / "clock")
        command = [*self.clock.command, str(Path(sys.executable).parent / "PathFixer")]
        stack.start_server("PathFixer/demo", {PATHFIXER: ("PathFixer", {"Beamline": ["cosaxs"]})}, command)
        stack.start_scidog("127.0.0.1:9")  # no Kafka: the macros only want to know the PathFixer's name
        self.sardana = Sardana(stack, SECOND_DOOR)
        make_elements(self.door)
        for name, value in {"ActiveMntGrp": "mntgrp01", "ScanFile": "x.dat", "ScanDir": str(stack.folder)}.items():
            self.door.run("senv", name, value)

    @property
    def door(self) -> Door:
        return self.sardana.door

    @property
    def other(self) -> Door:
        return self.sardana.doors[1]

    @property
    def said(self) -> list[str]:
        return [line for _, line in self.sardana.said]

    def start_scan(self, *words: str) -> None:
        """It has shown a point when this returns."""
        self.door.start(*(words or SCAN))
        self.door.wait_for_point(0)
        assert "\tascan" in self.door.proxy.status(), "\n".join(self.said[-20:])

    def end_scan(self) -> None:
        if self.door.proxy.state() == DevState.STANDBY:
            self.door.proxy.command_inout("ResumeMacro")  # Sardana ends no scan that was paused before its time
        self.door.stop()  # an abort is an exception that may come into the next scan
        ended = (DevState.ON, DevState.ALARM)
        assert eventually(lambda: self.door.proxy.state() in ended), self.door.proxy.status()

    def close(self) -> None:
        self.sardana.close()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with control_system(tmp_path_factory.mktemp("sardana")) as stack:
        found = System(stack)
        yield found
        found.close()


@pytest.fixture
def pathfixer(system: System, request: pytest.FixtureRequest) -> Iterator[tango.DeviceProxy]:
    proxy = proxy_of(system.stack)
    proxy.set_timeout_millis(60_000)
    system.clock.jump(0.0)
    system.sardana.said.clear()
    configure(system.stack, PathConsumers=[CONSUMER])
    proxy.Proposal = "20250001"
    proxy.Visit = "auto"
    proxy.Sample = ""
    assert eventually(lambda: proxy.state() == DevState.STANDBY), proxy.status()
    yield proxy
    if system.door.proxy.state() in (DevState.RUNNING, DevState.STANDBY):
        system.end_scan()
    system.sardana.mend(request.node)


# ------------------------------------------------------------------ while a scan runs


def test_while_a_scan_runs_its_data_stays_where_it_is(system: System, pathfixer: tango.DeviceProxy) -> None:
    other = Path(pathfixer.Path) / "alignment"
    other.mkdir(exist_ok=True)
    system.start_scan()
    before = (pathfixer.Proposal, pathfixer.Visit, pathfixer.Path)
    for attribute, value in (("Proposal", "20250117"), ("Proposal", ""), ("Visit", "20250310"), ("Path", str(other))):
        with pytest.raises(tango.DevFailed) as error:
            pathfixer.write_attribute(attribute, value)
        reason, text = refusal(error)
        assert reason == "PathFixer_ScanRunning"
        assert f"{attribute} {value!r}: refused, because a scan is running" in text
        assert "ascan mot01 0.0 10.0 1000 0.1 (" in text
        assert "ForceProposal" in text
    assert (pathfixer.Proposal, pathfixer.Visit, pathfixer.Path) == before
    pathfixer.Proposal = "20250001"  # nothing changes
    pathfixer.Sample = "between_scans"
    assert pathfixer.SamplePath.endswith("/raw/between_scans")
    system.end_scan()
    pathfixer.Proposal = "20250117"
    assert pathfixer.Proposal == "20250117"


def test_while_a_scan_runs_a_path_that_was_set_by_hand_is_not_ended_by_a_sample(
    system: System, pathfixer: tango.DeviceProxy
) -> None:
    usual, other = pathfixer.Path, Path(pathfixer.Path) / "by_hand"
    other.mkdir(exist_ok=True)
    pathfixer.Path = str(other)
    system.start_scan()
    with pytest.raises(tango.DevFailed) as error:
        pathfixer.Sample = "in_the_scan"
    assert refusal(error)[0] == "PathFixer_ScanRunning"
    assert "Sample 'in_the_scan': refused, because a scan is running" in refusal(error)[1]
    assert (pathfixer.Path, pathfixer.SamplePath) == (str(other), str(other))
    pathfixer.ForceVisit("auto")
    pathfixer.Sample = "in_the_scan"
    assert pathfixer.SamplePath == f"{usual}/in_the_scan"


def test_a_paused_scan_is_one_too_and_so_is_one_inside_another_macro(
    system: System, pathfixer: tango.DeviceProxy
) -> None:
    system.start_scan()
    system.door.proxy.command_inout("PauseMacro")
    assert eventually(lambda: system.door.proxy.state() == DevState.STANDBY)
    with pytest.raises(tango.DevFailed, match="a scan is running"):
        pathfixer.Proposal = "20250117"
    system.end_scan()
    system.start_scan("repeat", "2", "ascan mot01 0 10 1000 0.1")
    with pytest.raises(tango.DevFailed, match="a scan is running"):
        pathfixer.Proposal = "20250117"


def test_a_macro_that_is_not_a_scan_has_no_effect(system: System, pathfixer: tango.DeviceProxy) -> None:
    system.door.start("ct", "3600")
    assert eventually(lambda: "\tct" in system.door.proxy.status())
    pathfixer.Proposal = "20250117"
    assert system.door.proxy.state() == DevState.RUNNING
    assert pathfixer.Proposal == "20250117"
    system.door.stop()
    system.door.wait()


def test_who_has_to_can_force_it(system: System, pathfixer: tango.DeviceProxy) -> None:
    system.start_scan()
    pathfixer.ForceVisit("20250310")
    assert pathfixer.Visit == "20250310"
    pathfixer.ForceProposal("20250117")
    assert (pathfixer.Proposal, pathfixer.Visit) == ("20250117", f"{date.today():%Y%m%d}")
    with pytest.raises(tango.DevFailed, match="has no proposal"):
        pathfixer.ForceProposal("20259999")
    pathfixer.TurnOff()
    with pytest.raises(tango.DevFailed, match="not allowed"):
        pathfixer.ForceProposal("20250001")
    pathfixer.Init()
    assert pathfixer.Proposal == "20250117"


def test_init_while_a_scan_runs_does_not_follow_the_office_to_another_category(
    system: System, pathfixer: tango.DeviceProxy
) -> None:
    path, office = pathfixer.Path, system.stack.folder / "proposals.yaml"
    system.start_scan()
    configure(system.stack, PathConsumers=[CONSUMER])
    office.write_text(office.read_text("utf-8").replace("category: visitors", "category: staff", 1), "utf-8")
    pathfixer.Init()
    assert (pathfixer.Path, pathfixer.Type) == (path, "visitors"), pathfixer.status()
    assert eventually(lambda: "its path changes when the scan has finished: ascan" in pathfixer.status())
    system.end_scan()
    pathfixer.TurnOn()  # which looks at once
    assert eventually(lambda: pathfixer.Path == path.replace("visitors", "staff")), pathfixer.status()


def test_a_door_that_hangs_or_is_dead_does_not_stop_a_change(system: System, pathfixer: tango.DeviceProxy) -> None:
    configure(system.stack, Doors=["door/demo/dead"])
    pathfixer.Proposal = "20250117"
    dead = "it was unknown whether a scan was running: door/demo/dead: device door/demo/dead not defined"
    assert dead in pathfixer.status()
    configure(system.stack, Doors=[DOOR, "door/demo/dead"])
    os.kill(system.sardana.process.pid, signal.SIGSTOP)
    try:
        pathfixer.Proposal = "20250001"  # it comes back while Sardana stands still
        assert pathfixer.Proposal == "20250001"
        silent = f"it was unknown whether a scan was running: {DOOR}: no answer within {DOOR_ANSWER_SECONDS:g} s"
        assert silent in pathfixer.status()
        assert "it was unknown whether a scan was running: door/demo/dead: " in pathfixer.status()
    finally:
        os.kill(system.sardana.process.pid, signal.SIGCONT)
    system.start_scan()
    with pytest.raises(tango.DevFailed, match="a scan is running"):
        pathfixer.Proposal = "20250117"
    system.end_scan()
    configure(system.stack, Doors=["none"])
    system.start_scan()
    pathfixer.Proposal = "20250001"
    assert pathfixer.Proposal == "20250001"


# -------------------------------------------------------------------------- midnight


def until_midnight() -> float:
    now = datetime.now()
    return (datetime.combine(now.date() + timedelta(days=1), datetime.min.time()) - now).total_seconds()


def test_at_midnight_the_visit_becomes_that_of_the_day_by_itself(system: System, pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Sample = "fibre_A"
    events = Events(pathfixer, "Visit", "Path", "SamplePath")
    today, tomorrow = (f"{date.today() + timedelta(days=days):%Y%m%d}" for days in (0, 1))
    system.clock.jump(until_midnight() - 3600.0)
    assert pathfixer.Visit == today
    system.clock.jump(until_midnight() + 1.0)
    assert eventually(lambda: pathfixer.Visit == tomorrow)
    assert pathfixer.SamplePath.endswith(f"/20250001/{tomorrow}/raw/fibre_A")
    assert Path(pathfixer.SamplePath).is_dir()
    expected = {("visit", tomorrow), ("path", pathfixer.Path), ("samplepath", pathfixer.SamplePath)}
    assert eventually(lambda: expected <= set(events.seen))
    events.close()
    assert eventually(lambda: scan_dir(system) == pathfixer.SamplePath)
    pathfixer.Visit = today
    system.clock.jump(until_midnight() + 86_400)
    office = system.stack.folder / "proposals.yaml"
    for now, then in (("visitors", "staff"), ("staff", "visitors")):  # the second shows that all of the first is done
        office.write_text(office.read_text("utf-8").replace(f"category: {now}", f"category: {then}", 1), "utf-8")
        pathfixer.TurnOn()  # which looks at once
        assert eventually(lambda: f"/{then}/" in pathfixer.Path), pathfixer.status()  # noqa: B023
    assert pathfixer.Visit == today  # it was written, so it stays


def test_a_scan_over_midnight_ends_before_the_visit_does(system: System, pathfixer: tango.DeviceProxy) -> None:
    today, tomorrow = (f"{date.today() + timedelta(days=days):%Y%m%d}" for days in (0, 1))
    system.start_scan()
    system.clock.jump(until_midnight() + 1.0)
    assert eventually(lambda: f"The visit becomes {tomorrow} when the scan has finished: ascan" in pathfixer.status())
    assert (pathfixer.Visit, pathfixer.state()) == (today, DevState.STANDBY)
    pathfixer.Sample = "in_the_scan"
    assert pathfixer.SamplePath.endswith(f"/{today}/raw/in_the_scan")
    pathfixer.Init()  # a restart in the middle of it does not end it either
    assert pathfixer.SamplePath.endswith(f"/{today}/raw/in_the_scan")
    system.end_scan()
    assert eventually(lambda: pathfixer.Visit == tomorrow)
    assert eventually(lambda: "when the scan has finished" not in pathfixer.status())


def test_a_door_that_is_silent_at_midnight_is_reported(system: System, pathfixer: tango.DeviceProxy) -> None:
    tomorrow = f"{date.today() + timedelta(days=1):%Y%m%d}"
    system.stack.add_device("Sardana/away", "Door", "door/demo/away")
    configure(system.stack, Doors=["door/demo/away"])
    system.clock.jump(until_midnight() + 1.0)
    assert eventually(lambda: pathfixer.Visit == tomorrow)
    said = f"When the visit became {tomorrow}, it was unknown whether a scan was running: door/demo/away: the device"
    assert eventually(lambda: said in pathfixer.status()), pathfixer.status()
    assert pathfixer.state() == DevState.STANDBY
    pathfixer.Sample = "a"
    assert said not in pathfixer.status()


def scan_dir(system: System) -> object:
    encoded = tango.DeviceProxy(system.stack.name(MACROSERVER)).read_attribute("Environment").value
    return sardana_environment.decode_variable(encoded, "ScanDir")


# ---------------------------------------------------------------------------- macros


def test_setproposal_does_not_stop_itself(system: System, pathfixer: tango.DeviceProxy) -> None:
    folder = Path(pathfixer.Path).parents[2] / "20250117"
    shutil.rmtree(folder, ignore_errors=True)
    system.door.run("setproposal", "20250117", "20251014")
    assert (pathfixer.Proposal, pathfixer.Visit) == ("20250117", "20251014")
    assert [one.name for one in folder.iterdir()] == ["20251014"]  # and not that of today
    assert not [line for line in system.said if " is in " in line]
    assert eventually(lambda: scan_dir(system) == pathfixer.SamplePath)


def test_setproposal_says_that_a_scan_runs_and_can_be_forced(system: System, pathfixer: tango.DeviceProxy) -> None:
    system.start_scan()
    with pytest.raises(MacroFailed, match="a scan is running"):
        system.other.run("setproposal", "20250117")
    assert pathfixer.Proposal == "20250001"
    system.other.run("setproposal", "20250117", "20251014", "True")
    assert (pathfixer.Proposal, pathfixer.Visit) == ("20250117", "20251014")
    with pytest.raises(MacroFailed, match="use letters, digits"):
        system.other.run("setproposal", "../20250117", "auto", "True")


def test_setproposal_and_setsample_say_what_is_wrong_then(system: System, pathfixer: tango.DeviceProxy) -> None:
    configure(system.stack, PathConsumers=[CONSUMER, "{device: a/b/nothing, attribute: x}"])
    for words in (("setproposal", "20250117", "20251014"), ("setsample", "a")):
        system.sardana.said.clear()
        system.door.run(*words)
        (line,) = [line for line in system.said if " is in " in line]
        assert line == (
            f"PathFixer ({PATHFIXER}) is in ALARM: a/b/nothing refused the path: device a/b/nothing not defined in the "
            "database. Retrying every 10 s"
        )


def test_a_sample_of_two_words_is_not_the_first_of_them(system: System, pathfixer: tango.DeviceProxy) -> None:
    system.door.run("setsample", "fibre")
    with pytest.raises(MacroFailed, match=r"PathFixer \(.*\): sample 'fibre A' refused: use letters, digits"):
        system.door.run("setsample", "fibre", "A")
    assert pathfixer.Sample == "fibre"


def test_no_proposal_and_no_sample_can_be_chosen(system: System, pathfixer: tango.DeviceProxy) -> None:
    system.door.run("setsample", "fibre_A")
    system.sardana.said.clear()
    system.door.run("setsample", "nothing")
    assert (pathfixer.Proposal, pathfixer.Sample) == ("20250001", "")
    assert re.search(r"Sample\s+none", "\n".join(system.said))
    system.sardana.said.clear()
    system.door.run("setsample")
    assert re.search(r"->\s+nothing", "\n".join(system.said))
    system.door.run("setproposal", "nothing")
    assert (pathfixer.Proposal, pathfixer.SamplePath) == ("", "")
    system.sardana.said.clear()
    system.door.run("setproposal")
    assert re.search(r"->\s+nothing", "\n".join(system.said))
    assert re.search(r"^\s+20250001", "\n".join(system.said), re.MULTILINE)


def test_pathinfo_shows_all_of_it(system: System, pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Sample = "fibre_A"
    shutil.rmtree(Path(pathfixer.Path).parent / "process")
    Path(pathfixer.Path).chmod(0o2700)
    system.other.run("setsample", "fibre_A")
    Path(pathfixer.Path).chmod(0o2700)
    shutil.rmtree(Path(pathfixer.Path).parent / "process")
    system.sardana.said.clear()
    system.other.run("pathinfo")
    text = "\n".join(system.said)
    assert re.search(r"Proposal\s+20250001", text)
    assert re.search(r"Title\s+Swelling of cellulose fibres", text)
    assert re.search(rf"Visit\s+{date.today():%Y%m%d} \(auto\)", text)
    assert re.search(r"User office\s+answered \d+ s ago", text)
    assert re.search(r"State\s+STANDBY", text)
    assert re.search(rf"02700\s+should be 02770\s+{pathfixer.Path}\s", text)
    assert re.search(rf"02770\s+{pathfixer.SamplePath}\s", text)
    assert re.search(rf"missing\s+should be 02770\s+{Path(pathfixer.Path).parent}/process", text)
    assert re.search(rf"{MACROSERVER}\s+ScanDir\s+has it\s+{pathfixer.SamplePath}", text)


def test_who_sets_scandir_by_hand_keeps_it_and_pathinfo_says_so(system: System, pathfixer: tango.DeviceProxy) -> None:
    assert eventually(lambda: not pathfixer.PendingDevices)
    system.other.run("senv", "ScanDir", "/tmp/mine")
    assert eventually(lambda: "ScanDir is '/tmp/mine', written by somebody else" in pathfixer.status())
    system.sardana.said.clear()
    system.other.run("pathinfo")
    text = "\n".join(system.said)
    assert re.search(rf"{MACROSERVER}\s+ScanDir\s+other\s+/tmp/mine", text)
    assert "written by somebody else" in text
    system.other.run("setproposal", "20250001")
    assert eventually(lambda: scan_dir(system) == pathfixer.SamplePath)
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY)


def test_pathinfo_without_a_proposal_or_an_answer_is_clear(system: System, pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Proposal = ""
    system.other.run("pathinfo")
    text = "\n".join(system.said)
    assert re.search(r"Proposal\s+none", text)
    assert re.search(r"User office\s+not asked", text)
    system.stack.db.put_device_property("b311a-e/ctl/scidog-01", {"PathFixer": ["a/b/nothing"]})
    try:
        with pytest.raises(
            MacroFailed, match=r"PathFixer \(a/b/nothing\): device a/b/nothing not defined in the database"
        ):
            system.other.run("pathinfo")
    finally:
        system.stack.db.put_device_property("b311a-e/ctl/scidog-01", {"PathFixer": [PATHFIXER]})
