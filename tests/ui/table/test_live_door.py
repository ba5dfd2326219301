"""Rows from the events of a real Sardana Door, with everything that brings a scan into the catalogue."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import tango
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from deploy.demo.door import Door, MacroFailed
from deploy.demo.processes import Process
from deploy.demo.session import Session
from deploy.demo.stack import DOOR, MACROSERVER, PATHFIXER, Stack
from deploy.demo.summary import Expected
from ingest.scicat import SciCat
from taurus_widgets.qt import tango_listener
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.door_scans import RECORD_TYPE
from taurus_widgets.scanlog.features import live as live_module
from taurus_widgets.scanlog.features.live import Live
from tests.servers.sardana import Sardana
from tests.servers.tango_system import control_system
from tests.ui.window.test_scanlog_command import handles_signals
from tests.waiting import PATIENCE

pytestmark = pytest.mark.first

SHORT = ("ascan", "mot01", "0", "1", "2", "0.1")
ENDLESS = ("ascan", "mot01", "0", "10", "1000", "0.1")
ESTABLISHED, LISTEN = "01", "0A"  # in /proc/net/tcp
TITLE = "ascan mot01 0.0 10.0 1000 0.1"


class Beamline:
    """The whole beamline of the demo."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        kafka = stack.start_mock_kafka()
        account = stack.start_catalogue()
        self.scicat: SciCat = account.client()
        self.scicow: Process = stack.start_scicow(kafka, account)
        stack.start_pathfixer([f"{{device: {MACROSERVER}, environment: ScanDir}}"])
        stack.start_scidog(kafka)
        self.sardana = Sardana(stack)
        self.name = stack.name(DOOR)
        self.pathfixer = stack.name(PATHFIXER)
        Session(self.door, print).prepare(stack.folder / "data")
        self.door.run("setproposal", "20250001")

    @property
    def door(self) -> Door:
        return self.sardana.door

    def last_scan(self) -> Expected:
        return self.sardana.last_scan()


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beamline]:
    with control_system(tmp_path_factory.mktemp("door")) as stack:
        found = Beamline(stack)
        yield found
        found.sardana.close()


@pytest.fixture
def live(qtbot: QtBot, scanLog: ScanLog, beamline: Beamline) -> Live:
    """The feature Live of a scan log that listens to the Door."""
    scanLog.setCatalogue(beamline.scicat)
    scanLog.setDoor(beamline.name)
    part = scanLog.live
    door = part._door
    assert door is not None
    qtbot.waitUntil(lambda: door._connection.connected)
    qtbot.waitUntil(lambda: scanLog.loader.pages is not None)
    return part


@pytest.fixture(autouse=True)
def quiet(beamline: Beamline, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test leaves a Door that runs, is idle and has a recorder."""
    yield
    beamline.sardana.mend(request.node)
    beamline.door.run("senv", "DataRecorder", "['SciFishRecorder']")


@contextmanager
def hanging(*processes: Process) -> Iterator[None]:
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(processes):
            os.kill(process.pid, signal.SIGCONT)


class Proxies:
    """Notes for each new proxy whether it was made in the main thread, which draws."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.main: list[bool] = []
        make = tango.DeviceProxy

        def proxy(name: str) -> tango.DeviceProxy:
            self.main.append(threading.current_thread() is threading.main_thread())
            return make(name)

        patch.setattr(tango, "DeviceProxy", proxy)


def top(log: ScanLog) -> dict[str, object]:
    return log.scans.dataset(0) or {}


def shown(log: ScanLog) -> list[tuple[str, str]]:
    """The pid and the status of each row that is shown from now on."""
    rows: list[tuple[str, str]] = []
    log.rowShown.connect(lambda *row: rows.append(row))
    return rows


class TestRows:
    def test_one_row_appears_at_once_and_is_confirmed_and_completed(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        before = scanLog.scans.rowCount()
        rows = shown(scanLog)
        with hanging(beamline.scicow):  # so that it cannot come from the catalogue
            beamline.door.start(*ENDLESS)
            qtbot.waitUntil(lambda: bool(rows))
            pid, status = rows[0]
            assert status == cols.status(top(scanLog)) == "running"
            assert top(scanLog)["provisional"]
            assert cols.title(top(scanLog)).startswith(TITLE)
            assert "not in the catalogue yet" in scanLog.scans.index(0, 0).data(Qt.Qt.ToolTipRole)
        qtbot.waitUntil(lambda: not top(scanLog).get("provisional"))
        assert top(scanLog)["pid"] == pid
        assert cols.status(top(scanLog)) == "running"
        beamline.door.stop()
        beamline.door.wait()
        qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "stopped")
        assert pid.endswith(beamline.last_scan().uuid)
        assert [row for row in rows if row[0] == pid] == [(pid, "running"), (pid, "stopped")]
        assert scanLog.scans.rowCount() == before + 1
        assert not live.notice.isVisible()

    def test_a_macro_that_is_not_a_scan_makes_no_row(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        rows = shown(scanLog)
        for words in (("wa",), ("mv", "mot01", "0.1"), ("ct", "0.05")):
            beamline.door.run(*words)
        with pytest.raises((MacroFailed, tango.DevFailed)):
            beamline.door.run("ascan", "no_motor", "0", "1", "3", "0.1")
        beamline.door.run(*SHORT)  # all earlier events are processed when it is shown
        uuid = beamline.last_scan().uuid
        qtbot.waitUntil(lambda: (f"scizoo/{uuid}", "completed") in rows)
        assert not [pid for pid, status in rows if status == "running" and pid != f"scizoo/{uuid}"]

    def test_an_aborted_scan_is_one_row_that_says_so(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        before = scanLog.scans.rowCount()
        rows = shown(scanLog)
        beamline.door.start(*ENDLESS)
        qtbot.waitUntil(lambda: bool(rows))
        beamline.door.wait_for_point()
        beamline.door.abort()
        with suppress(MacroFailed):  # an abort stops the motors, too: the scan may report their error first
            beamline.door.wait()
        qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "aborted")
        qtbot.waitUntil(lambda: not top(scanLog).get("provisional"))
        assert top(scanLog)["pid"] == f"scizoo/{beamline.last_scan().uuid}"
        assert scanLog.scans.rowCount() == before + 1

    def test_every_log_of_the_door_shows_every_clients_scans(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        other = ScanLog()
        qtbot.addWidget(other)
        other.setCatalogue(beamline.scicat)
        other.setDoor(beamline.name)
        first = shown(scanLog)
        second = Door(beamline.name)
        try:
            watch = other.live._door
            qtbot.waitUntil(lambda: watch._connection.connected and other.loader.pages is not None)
            others = shown(other)
            second.start(*SHORT)
            second.wait()
            ended = (f"scizoo/{beamline.last_scan().uuid}", "completed")
            qtbot.waitUntil(lambda: ended in first and ended in others)
        finally:
            second.close()
            other.close()
        # The catalogue may report earlier scans meanwhile.
        pid = f"scizoo/{beamline.last_scan().uuid}"
        for rows in (first, others):
            assert [row for row in rows if row[0] == pid] == [(pid, "running"), (pid, "completed")]

    def test_a_scan_of_another_proposal_or_time_is_not_among_filtered_rows(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        live.setPathFixer(beamline.pathfixer)
        qtbot.waitUntil(lambda: len(live._in_use) == 2)
        scanLog.setCatalogue(beamline.scicat, "another")
        qtbot.waitUntil(lambda: scanLog.loader.pages is not None)
        statuses: list[str] = []

        def note(attribute: str, value: object, *_: object) -> None:
            if attribute.lower() == "recorddata" and isinstance(value, tuple) and value[0] == "utf8_json":
                decoded = json.loads(value[1])
                if decoded.get("type") == RECORD_TYPE:
                    statuses.append(decoded["data"]["status"])

        assert live._door is not None
        live._door.eventReceived.connect(note)  # after the log itself
        beamline.door.run(*SHORT)
        qtbot.waitUntil(lambda: statuses[-1:] == ["completed"])
        assert scanLog.scans.rowCount() == 0
        scanLog.setCatalogue(beamline.scicat, "20250001")
        uuid = beamline.last_scan().uuid
        qtbot.waitUntil(lambda: scanLog.scans.isLoaded(f"scizoo/{uuid}"))


class TestNotInTheCatalogue:
    def test_it_is_reported_while_scicow_is_stopped_and_no_longer_when_it_is_back(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live_module, "LATE_AFTER_SECONDS", 1.0)
        with hanging(beamline.scicow):
            beamline.door.run(*SHORT)
            uuid = beamline.last_scan().uuid
            qtbot.waitUntil(lambda: str(top(scanLog).get("pid")).endswith(uuid))
            qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "completed")
            assert top(scanLog)["provisional"]
            qtbot.waitUntil(lambda: "reached the catalogue since" in live.notice.whole)
            assert "SciCow" in live.notice.toolTip()
            assert top(scanLog)["provisional"]
            scanLog.table.selectRow(0)
        qtbot.waitUntil(lambda: not top(scanLog).get("provisional"))
        qtbot.waitUntil(lambda: not live.notice.isVisible())
        assert str(top(scanLog)["pid"]).endswith(uuid)
        assert scanLog.selectedDatasets() == [top(scanLog)]

    def test_without_the_recorder_it_is_reported_and_the_row_disappears(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live_module, "LATE_AFTER_SECONDS", 1.0)
        monkeypatch.setattr(live_module, "MISSING_AFTER_SECONDS", 1.0)
        beamline.door.run("usenv", "DataRecorder")
        before = scanLog.scans.rowCount()
        beamline.door.start(*ENDLESS)
        qtbot.waitUntil(lambda: scanLog.scans.rowCount() == before + 1)
        assert cols.title(top(scanLog)).startswith(TITLE)
        assert cols.status(top(scanLog)) == "running"
        rows = shown(scanLog)
        beamline.door.stop()
        beamline.door.wait()
        qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "stopped" or "stopped" in [one for _, one in rows])
        qtbot.waitUntil(lambda: "reached the catalogue since" in live.notice.whole)
        qtbot.waitUntil(lambda: scanLog.scans.rowCount() == before)
        assert "DataRecorder" in live.notice.toolTip()
        qtbot.mouseClick(live.notice, Qt.Qt.LeftButton)
        assert not live.notice.isVisible()

    def test_with_another_prefix_the_catalogues_row_takes_its_place(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        live._prefix = "20.500.12345"
        with hanging(beamline.scicow):
            beamline.door.run(*SHORT)
            uuid = beamline.last_scan().uuid
            qtbot.waitUntil(lambda: scanLog.scans.isLoaded(f"20.500.12345/{uuid}"))
        qtbot.waitUntil(lambda: top(scanLog)["pid"] == f"scizoo/{uuid}")
        qtbot.waitUntil(lambda: not scanLog.scans.isLoaded(f"20.500.12345/{uuid}"))
        assert scanLog.scans.isLoaded(f"scizoo/{uuid}")
        assert live._prefix == "scizoo"


class TestAway:
    def test_a_door_that_dies_in_a_scan_is_reported_and_reconnected(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        rows = shown(scanLog)
        with hanging(beamline.scicow):
            beamline.door.start(*ENDLESS)
            qtbot.waitUntil(lambda: bool(rows))
            beamline.sardana.process.kill()
            qtbot.waitUntil(lambda: "does not answer since" in live.notice.whole)
            notice, count = live.notice.whole, scanLog.scans.rowCount()
            with pytest.MonkeyPatch.context() as patch:
                tries = Proxies(patch)
                qtbot.waitUntil(lambda: len(tries.main) >= 2)
            assert live.notice.whole == notice
            assert scanLog.scans.rowCount() == count
            beamline.sardana.restart()
            qtbot.waitUntil(lambda: "does not answer" not in live.notice.whole)
            # It does not stay running for ever, although the catalogue does not have it.
            qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "")
            assert top(scanLog)["provisional"]
        qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "interrupted")
        beamline.door.run(*SHORT)
        pid = f"scizoo/{beamline.last_scan().uuid}"
        qtbot.waitUntil(lambda: (pid, "completed") in rows)
        assert [row for row in rows if row[0] == pid] == [(pid, "running"), (pid, "completed")]

    @pytest.mark.parametrize("which", ["door", pytest.param("database", marks=pytest.mark.long)])
    def test_a_hanging_door_is_reported_and_the_window_responds(
        self,
        qtbot: QtBot,
        scanLog: ScanLog,
        live: Live,
        beamline: Beamline,
        monkeypatch: pytest.MonkeyPatch,
        which: str,
    ) -> None:
        """Here a call takes as long as the other side hangs: a call in the window's thread would not return."""
        database = next(process for process in beamline.stack.processes.running if process.name == "tango-database")
        sardana = beamline.sardana.process
        processes = [sardana] if which == "door" else [database, sardana]
        monkeypatch.setattr(tango_listener, "TANGO_TIMEOUT_SECONDS", 3600.0)
        monkeypatch.setattr(tango_listener, "SILENT_AFTER_SECONDS", 2.5)
        made = Proxies(monkeypatch)
        scanLog.setDoor("")
        scanLog.setDoor(beamline.name)
        qtbot.waitUntil(lambda: live.listens)
        with hanging(*processes):
            qtbot.waitUntil(lambda: "does not answer since" in live.notice.whole)
            scanLog.setDoor("")
            scanLog.setDoor(beamline.name)
            qtbot.waitUntil(lambda: "does not answer since" in live.notice.whole)
        qtbot.waitUntil(lambda: not live.notice.isVisible())
        assert len(made.main) >= 2
        assert not any(made.main)

    def test_a_missing_device_and_an_invalid_name_are_reported(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        for name in (beamline.name.replace("/demo/", "/nowhere/"), "no name"):
            scanLog.setDoor(name)
            qtbot.waitUntil(lambda: f"{name} does not answer since" in live.notice.whole)  # noqa: B023
        scanLog.setModel(beamline.name)
        assert scanLog.getModel() == beamline.name
        qtbot.waitUntil(lambda: not live.notice.isVisible())


def sockets(pid: int) -> set[str]:
    """The numbers of the sockets that a process has open."""
    found = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            found.add(os.readlink(file).removeprefix("socket:[").removesuffix("]"))
    return found


def connections(client: int, server: int) -> set[str]:
    """The server's ports with which the client has a connection."""
    table = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    served, used = sockets(server), sockets(client)
    listens = {row[1].partition(":")[2] for row in table if row[3] == LISTEN and row[9] in served}
    remote = {row[2].partition(":")[2] for row in table if row[3] == ESTABLISHED and row[9] in used}
    return listens & remote


def test_the_command_exits_cleanly_while_it_listens(beamline: Beamline) -> None:
    command = [str(Path(sys.executable).with_name("scanlog")), "--url", beamline.scicat.base_url]
    command += ["--door", beamline.name, "--pathfixer", beamline.pathfixer]
    window = beamline.stack.processes.start("scanlog", command)
    window.wait_for(lambda: handles_signals(window.pid))
    # One for calls, one for events.
    window.wait_for(lambda: len(connections(window.pid, beamline.sardana.process.pid)) >= 2)
    beamline.door.run(*SHORT)
    window.terminate()
    assert window.wait(PATIENCE) == 0, window.text
    assert "Traceback" not in window.text


def test_changes_of_pathfixers_proposal_and_visit_are_reported(
    qtbot: QtBot, scanLog: ScanLog, beamline: Beamline
) -> None:
    proposals: list[tuple[str, str]] = []
    scanLog.proposalInUse.connect(lambda *both: proposals.append(both))
    scanLog.setPathFixer(beamline.pathfixer)
    qtbot.waitUntil(lambda: bool(proposals))
    visit = proposals[-1][1]
    assert proposals[-1][0] == "20250001"
    assert visit
    beamline.door.run("setproposal", "20250117")
    qtbot.waitUntil(lambda: proposals[-1][0] == "20250117")
    beamline.door.run("setproposal", "20250001")
    qtbot.waitUntil(lambda: proposals[-1][0] == "20250001")
