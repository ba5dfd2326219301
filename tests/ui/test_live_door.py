"""Rows from the events of a real Sardana Door, in front of all that brings a scan into the catalogue."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tango
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from deploy.demo.door import Door, MacroFailed
from deploy.demo.processes import Process
from deploy.demo.session import Session
from deploy.demo.stack import DOOR, MACROSERVER, PATHFIXER, Stack
from deploy.demo.summary import Expected, expected_scans
from ingest.scicat import SciCat
from taurus_widgets.qt.tango_listener import TANGO_TIMEOUT_SECONDS
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.features import live as live_module
from taurus_widgets.scanlog.features.live import Live
from tests.tango_system import control_system
from tests.ui.test_scanlog_command import handles_signals
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)

SHORT = ("timescan", "3", "0.1")
LONG = ("timescan", "40", "0.1")


class Beamline:
    """All of it, as the demo has it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        kafka = stack.start_mock_kafka()
        account = stack.start_catalogue()
        self.scicat: SciCat = account.client()
        self.scicow: Process = stack.start_scicow(kafka, account)
        stack.start_pathfixer([f"{{device: {MACROSERVER}, environment: ScanDir}}"])
        stack.start_scidog(kafka)
        self.sardana: Process = stack.start_sardana()
        self.name = stack.name(DOOR)
        self.pathfixer = stack.name(PATHFIXER)
        self.door = Door(self.name)
        Session(self.door, print).prepare(stack.folder / "data")
        self.door.run("setproposal", "20250001")

    def last_scan(self) -> Expected:
        macroserver = tango.DeviceProxy(self.stack.name(MACROSERVER))
        history = Session(self.door, print).environment(macroserver)["ScanHistory"]
        return expected_scans(history, self.stack.name(MACROSERVER))[-1]

    def restart_sardana(self) -> None:
        devices = ("pool/demo/1", MACROSERVER, DOOR)
        self.door.close()
        self.sardana = self.stack.run_server("Sardana/demo", devices, self.stack.sardana_command)
        self.door = Door(self.name)


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beamline]:
    with control_system(tmp_path_factory.mktemp("door")) as stack:
        found = Beamline(stack)
        yield found
        found.door.close()


@pytest.fixture
def live(qtbot: QtBot, scanLog: ScanLog, beamline: Beamline) -> Live:
    """That of the scan log, which listens to the Door."""
    scanLog.setCatalogue(beamline.scicat)
    scanLog.setDoor(beamline.name)
    part = scanLog.live
    door = part._door
    assert door is not None
    qtbot.waitUntil(lambda: door._connection.connected)
    qtbot.waitUntil(lambda: scanLog.loader.pages is not None)
    return part


@pytest.fixture(autouse=True)
def quiet(beamline: Beamline) -> Iterator[None]:
    """Each test leaves a Door that is there, does nothing and has a recorder."""
    yield
    if not beamline.sardana.running:
        beamline.restart_sardana()
    if beamline.door.proxy.state() == tango.DevState.RUNNING:
        beamline.door.abort()
        assert eventually(lambda: beamline.door.proxy.state() != tango.DevState.RUNNING)
    beamline.door.run("senv", "DataRecorder", "['SciFishRecorder']")


def top(log: ScanLog) -> dict[str, object]:
    return log.scans.dataset(0) or {}


class TestRows:
    def test_one_row_comes_at_once_and_is_confirmed_and_completed(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        before = scanLog.scans.rowCount()
        shown: list[tuple[str, str, float, bool]] = []
        scanLog.rowShown.connect(
            lambda pid, status: shown.append((pid, status, time.time(), bool(top(scanLog).get("provisional"))))
        )
        beamline.door.start(*LONG)
        qtbot.waitUntil(lambda: bool(shown))
        pid, status, at, provisional = shown[0]
        assert (status, provisional) == ("running", True)
        assert at - cols.moment(top(scanLog)["creationTime"]).timestamp() < 1.0  # type: ignore[union-attr]
        assert cols.title(top(scanLog)).startswith("timescan 40 0.1")
        assert "not in the catalogue yet" in scanLog.scans.index(0, 0).data(Qt.Qt.ToolTipRole)
        qtbot.waitUntil(lambda: not top(scanLog).get("provisional"))
        assert top(scanLog)["pid"] == pid
        assert cols.status(top(scanLog)) == "running"
        qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "completed")
        assert pid.endswith(beamline.last_scan().uuid)
        assert [entry[:2] for entry in shown] == [(pid, "running"), (pid, "completed")]
        assert scanLog.scans.rowCount() == before + 1
        assert not live.notice.isVisible()

    def test_a_macro_that_is_no_scan_makes_none(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        shown: list[str] = []
        scanLog.rowShown.connect(lambda pid, _: shown.append(pid))
        for words in (("wa",), ("mv", "mot01", "0.1"), ("ct", "0.05")):
            beamline.door.run(*words)
        with pytest.raises((MacroFailed, tango.DevFailed)):
            beamline.door.run("ascan", "no_motor", "0", "1", "3", "0.1")
        qtbot.wait(1000)
        assert shown == []

    def test_an_aborted_scan_is_one_row_that_says_so(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        before = scanLog.scans.rowCount()
        shown: list[str] = []
        scanLog.rowShown.connect(lambda pid, _: shown.append(pid))
        beamline.door.start("timescan", "1000", "0.1")
        qtbot.waitUntil(lambda: bool(shown))
        beamline.door.abort()
        qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "aborted")
        qtbot.waitUntil(lambda: not top(scanLog).get("provisional"))
        assert top(scanLog)["pid"] == shown[0]
        assert scanLog.scans.rowCount() == before + 1

    def test_every_log_at_the_door_shows_every_clients_scans(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        other = ScanLog()
        qtbot.addWidget(other)
        other.setCatalogue(beamline.scicat)
        other.setDoor(beamline.name)
        shown: dict[int, list[tuple[str, str]]] = {0: [], 1: []}
        scanLog.rowShown.connect(lambda *row: shown[0].append(row))
        second = Door(beamline.name)
        try:
            watch = other.live._door
            qtbot.waitUntil(lambda: watch._connection.connected and other.loader.pages is not None)
            other.rowShown.connect(lambda *row: shown[1].append(row))
            second.start(*SHORT)
            qtbot.waitUntil(lambda: len(shown[0]) >= 2 and len(shown[1]) >= 2)
        finally:
            second.close()
            other.close()
        assert shown[0] == shown[1]
        assert [status for _, status in shown[0]] == ["running", "completed"]

    def test_a_scan_of_another_proposal_or_time_is_not_among_filtered_rows(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        live.setPathFixer(beamline.pathfixer)
        qtbot.waitUntil(lambda: len(live._in_use) == 2)
        scanLog.setCatalogue(beamline.scicat, "another")
        qtbot.waitUntil(lambda: scanLog.loader.pages is not None)
        beamline.door.run(*SHORT)
        qtbot.wait(1000)
        assert scanLog.scans.rowCount() == 0
        scanLog.setCatalogue(beamline.scicat, "20250001")
        qtbot.waitUntil(lambda: cols.title(top(scanLog)).startswith("timescan 3"))


class TestNotInTheCatalogue:
    def test_it_is_said_while_scicow_is_away_and_no_more_when_it_is_back(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live_module, "LATE_AFTER_SECONDS", 5.0)
        os.kill(beamline.scicow.pid, signal.SIGSTOP)
        try:
            beamline.door.run(*SHORT)
            uuid = beamline.last_scan().uuid
            qtbot.waitUntil(lambda: str(top(scanLog)["pid"]).endswith(uuid))
            qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "completed")
            assert top(scanLog)["provisional"]
            qtbot.waitUntil(lambda: "come into the catalogue since" in live.notice.whole)
            assert "SciCow" in live.notice.toolTip()
            assert top(scanLog)["provisional"]
            scanLog.table.selectRow(0)
        finally:
            os.kill(beamline.scicow.pid, signal.SIGCONT)
        qtbot.waitUntil(lambda: not top(scanLog).get("provisional"))
        qtbot.waitUntil(lambda: not live.notice.isVisible())
        assert str(top(scanLog)["pid"]).endswith(uuid)
        assert scanLog.selectedDatasets() == [top(scanLog)]

    def test_without_the_recorder_it_is_shown_said_and_no_row_for_ever(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live_module, "LATE_AFTER_SECONDS", 3.0)
        monkeypatch.setattr(live_module, "MISSING_AFTER_SECONDS", 3.0)
        beamline.door.run("usenv", "DataRecorder")
        before = scanLog.scans.rowCount()
        beamline.door.start("timescan", "8", "0.1")
        began = time.monotonic()
        qtbot.waitUntil(lambda: scanLog.scans.rowCount() == before + 1)
        assert time.monotonic() - began < 2  # the macro has to begin, too
        assert cols.title(top(scanLog)).startswith("timescan 8 0.1")
        assert cols.status(top(scanLog)) == "running"
        qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "completed")
        qtbot.waitUntil(lambda: "come into the catalogue since" in live.notice.whole)
        qtbot.waitUntil(lambda: scanLog.scans.rowCount() == before)
        assert "DataRecorder" in live.notice.toolTip()
        qtbot.mouseClick(live.notice, Qt.Qt.LeftButton)
        assert not live.notice.isVisible()

    def test_where_the_prefix_is_another_one_the_catalogues_row_is_in_its_place(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        live._prefix = "20.500.12345"
        beamline.door.run(*SHORT)
        qtbot.waitUntil(lambda: str(top(scanLog)["pid"]).startswith("20.500.12345/"))
        uuid = beamline.last_scan().uuid
        qtbot.waitUntil(lambda: top(scanLog)["pid"] == f"scizoo/{uuid}")
        qtbot.waitUntil(lambda: not scanLog.scans.isLoaded(f"20.500.12345/{uuid}"))
        assert scanLog.scans.isLoaded(f"scizoo/{uuid}")
        assert live._prefix == "scizoo"


class TestAway:
    def test_a_door_that_dies_is_said_and_comes_back_by_itself(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        beamline.door.run(*SHORT)
        uuid = beamline.last_scan().uuid
        qtbot.waitUntil(lambda: scanLog.scans.isLoaded(f"scizoo/{uuid}"))
        qtbot.waitUntil(lambda: not top(scanLog).get("provisional"))
        rows = scanLog.scans.rowCount()
        beamline.sardana.kill()
        qtbot.waitUntil(lambda: "does not answer since" in live.notice.whole)
        said = live.notice.whole
        qtbot.wait(2500)
        assert live.notice.whole == said
        assert scanLog.scans.rowCount() == rows
        beamline.restart_sardana()
        qtbot.waitUntil(lambda: not live.notice.isVisible())
        beamline.door.start(*LONG)
        qtbot.waitUntil(lambda: bool(top(scanLog).get("provisional")))
        beamline.door.stop()
        qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "stopped")

    def test_a_scan_that_dies_with_its_door_does_not_run_for_ever(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        os.kill(beamline.scicow.pid, signal.SIGSTOP)
        try:
            beamline.door.start(*LONG)
            qtbot.waitUntil(lambda: bool(top(scanLog).get("provisional")))
            beamline.sardana.kill()
            beamline.restart_sardana()
            qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "")
            assert top(scanLog)["provisional"]
        finally:
            os.kill(beamline.scicow.pid, signal.SIGCONT)
        qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "interrupted")

    @pytest.mark.parametrize("which", ["door", pytest.param("database", marks=pytest.mark.long)])
    def test_one_that_hangs_is_said_and_the_window_answers_meanwhile(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline, which: str
    ) -> None:
        database = next(process for process in beamline.stack.processes.running if process.name == "tango-database")
        hanging = [beamline.sardana] if which == "door" else [database, beamline.sardana]
        gaps = [0.0]
        last = [time.monotonic()]

        def beat() -> None:
            now = time.monotonic()
            gaps.append(now - last[0])
            last[0] = now

        heart = Qt.QTimer()
        heart.timeout.connect(beat)
        heart.start(10)
        for process in hanging:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            qtbot.waitUntil(lambda: "does not answer since" in live.notice.whole)
            scanLog.setDoor("")
            scanLog.setDoor(beamline.name)
            qtbot.waitUntil(lambda: "does not answer since" in live.notice.whole)
        finally:
            for process in reversed(hanging):
                os.kill(process.pid, signal.SIGCONT)
        qtbot.waitUntil(lambda: not live.notice.isVisible())
        heart.stop()
        assert max(gaps) < TANGO_TIMEOUT_SECONDS / 2

    def test_a_device_that_is_not_there_or_no_name_is_said(
        self, qtbot: QtBot, scanLog: ScanLog, live: Live, beamline: Beamline
    ) -> None:
        for name in (beamline.name.replace("/demo/", "/nowhere/"), "no name"):
            scanLog.setDoor(name)
            qtbot.waitUntil(lambda: f"{name} does not answer since" in live.notice.whole)  # noqa: B023
        scanLog.setModel(beamline.name)
        assert scanLog.getModel() == beamline.name
        qtbot.waitUntil(lambda: not live.notice.isVisible())


def test_the_command_ends_well_while_it_listens(beamline: Beamline) -> None:
    command = [str(Path(sys.executable).with_name("scanlog")), "--url", beamline.scicat.base_url]
    command += ["--door", beamline.name, "--pathfixer", beamline.pathfixer]
    window = beamline.stack.processes.start("scanlog", command)
    window.wait_for(lambda: handles_signals(window.pid))
    time.sleep(3)
    assert window.running, window.text
    beamline.door.run(*SHORT)
    window.terminate()
    assert window.wait(5) == 0, window.text
    assert "Traceback" not in window.text


def test_pathfixers_proposal_and_visit_are_told_as_they_change(
    qtbot: QtBot, scanLog: ScanLog, beamline: Beamline
) -> None:
    told: list[tuple[str, str]] = []
    scanLog.proposalInUse.connect(lambda *both: told.append(both))
    scanLog.setPathFixer(beamline.pathfixer)
    qtbot.waitUntil(lambda: bool(told))
    visit = told[-1][1]
    assert told[-1][0] == "20250001"
    assert visit
    beamline.door.run("setproposal", "20250117")
    qtbot.waitUntil(lambda: told[-1][0] == "20250117")
    beamline.door.run("setproposal", "20250001")
    qtbot.waitUntil(lambda: told[-1][0] == "20250001")
