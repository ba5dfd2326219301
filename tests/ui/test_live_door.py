"""Rows from the events of a real Sardana Door, in front of all that brings a scan into the catalogue."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

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
from taurus_widgets import columns as cols
from taurus_widgets import live as live_module
from taurus_widgets.doorscans import DoorScan
from taurus_widgets.live import Live
from taurus_widgets.scanlog import ScanLog
from tests.tango_system import control_system

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
        self.sardana = self.stack.run_server("Sardana/demo", devices, self.stack.sardana_command, 60.0)
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
    part = scanLog.parts["Live"]
    assert isinstance(part, Live)
    door = part._door
    assert door is not None
    qtbot.waitUntil(lambda: door._link.connected, timeout=10_000)
    qtbot.waitUntil(lambda: scanLog.loader.pages is not None, timeout=10_000)
    return part


@pytest.fixture(autouse=True)
def quiet(beamline: Beamline) -> Iterator[None]:
    """Each test leaves a Door that does nothing, and a catalogue that has all."""
    yield
    if beamline.door.proxy.state() == tango.DevState.RUNNING:
        beamline.door.abort()
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
        qtbot.waitUntil(lambda: bool(shown), timeout=10_000)
        pid, status, at, provisional = shown[0]
        assert (status, provisional) == ("running", True)
        assert at - cols.moment(top(scanLog)["creationTime"]).timestamp() < 1.0  # type: ignore[union-attr]
        assert cols.title(top(scanLog)).startswith("timescan 40 0.1")
        assert "not in the catalogue yet" in scanLog.scans.index(0, 0).data(Qt.Qt.ToolTipRole)
        qtbot.waitUntil(lambda: not top(scanLog).get("provisional"), timeout=15_000)
        assert top(scanLog)["pid"] == pid
        assert cols.status(top(scanLog)) == "running"
        qtbot.waitUntil(lambda: cols.status(top(scanLog)) == "completed", timeout=20_000)
        assert pid.endswith(beamline.last_scan().uuid)
        assert [entry[:2] for entry in shown] == [(pid, "running"), (pid, "completed")]
        assert scanLog.scans.rowCount() == before + 1
        assert not live.notice.isVisible()
