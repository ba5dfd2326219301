"""How soon a scan is on the screen of a scan log.

    python -m tests.benchmarks.scanlog_live

Real servers, as in the demo: Sardana with our recorder, Kafka (librdkafka's mock cluster), SciCow and the embedded
catalogue. Two scan logs are drawn offscreen, one with the Door and one without. Measured, for each scan: from its start
as Sardana says it until its row is drawn, and from its end until its row is drawn with how it ended. Beside it the
same of the log without the Door, where all comes from the catalogue; and from the end until the row of the log with the
Door is the catalogue's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded

import tango

from deploy.demo.door import Door
from deploy.demo.processes import Processes
from deploy.demo.session import Session
from deploy.demo.stack import DOOR, MACROSERVER, PATHFIXER, Stack
from deploy.demo.summary import expected_scans
from scifish.message.identity import scan_uuid
from taurus_widgets.qt.application import makeApplication
from taurus_widgets.scanlog import ScanLog
from tests.benchmarks.figures import Figure, NotMeasured, alone, progress, scratch

SCAN = ("timescan", "10", "0.1")

PAUSE = 0.7
"""Seconds between two scans: no multiple of the half second at which the catalogue is looked at."""

PATIENCE = 30.0
"""Seconds for the last row."""


class Drawn:
    """When the rows of a log were drawn, by uuid, in seconds since 1970."""

    def __init__(self, stack: Stack, catalogue: Any, with_door: bool) -> None:
        self.begun: dict[str, float] = {}
        self.over: dict[str, float] = {}
        self.confirmed: dict[str, float] = {}
        self.log = ScanLog()
        self.log.resize(1280, 800)
        self.log.show()
        self.log.rowShown.connect(self._shown)
        self.log.scans.dataChanged.connect(self._changed)
        self.log.setCatalogue(catalogue.client())
        if with_door:
            self.log.setDoor(stack.name(DOOR))
            self.log.setPathFixer(stack.name(PATHFIXER))

    def _now(self) -> float:
        self.log.table.viewport().repaint()
        return time.time()

    def _shown(self, pid: str, status: str) -> None:
        uuid = pid.rpartition("/")[2]
        self.begun.setdefault(uuid, self._now())
        if status != "running":
            self.over.setdefault(uuid, self._now())
        self._changed()

    def _changed(self, *_: object) -> None:
        for uuid in set(self.over) - set(self.confirmed):
            pid = f"scizoo/{uuid}"
            if self.log.scans.isLoaded(pid):
                dataset = self.log.scans.dataset(self.log.scans.rowOf(pid)) or {}
                if not dataset.get("provisional") and dataset.get("endTime"):
                    self.confirmed[uuid] = self._now()


def measure(scans: int = 50) -> list[Figure]:
    """In seconds; each figure is the median, with the maximum beside it."""
    with scratch("scanlog") as folder, Processes(folder / "log") as processes:
        return _measure(scans, folder, processes)


def _measure(scans: int, folder: Path, processes: Processes) -> list[Figure]:
    stack = Stack(folder, processes)
    stack.start_database()
    stack.start_beamline()
    kafka = stack.start_mock_kafka()
    catalogue = stack.start_catalogue()
    stack.start_scicow(kafka, catalogue)
    stack.start_pathfixer([f"{{device: {MACROSERVER}, environment: ScanDir}}"])
    stack.start_scidog(kafka)
    stack.start_sardana()
    door = Door(stack.name(DOOR))
    session = Session(door, lambda _: None)
    session.prepare(folder / "data")
    door.run("setproposal", "20250001")
    door.run(*SCAN)  # the first one starts what all the others find running
    app = makeApplication()
    with_door, without = Drawn(stack, catalogue, True), Drawn(stack, catalogue, False)
    both = (with_door, without)

    def until(reached: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not reached() and time.monotonic() < deadline:
            app.processEvents()
            time.sleep(0.002)

    until(lambda: bool(without.begun and with_door.log.live.listens), PATIENCE)
    known = set(without.begun)

    macroserver = tango.DeviceProxy(stack.name(MACROSERVER))
    history: list[dict[str, Any]] = []

    def run() -> None:
        for number in range(1, scans + 1):
            progress(f"scan log: scan {number} of {scans}")
            door.run(*SCAN)
            history.append(session.environment(macroserver)["ScanHistory"][-1])  # which keeps the last 20
            time.sleep(PAUSE)

    runner = threading.Thread(target=run)
    runner.start()
    until(lambda: not runner.is_alive(), 60.0 * scans)
    until(lambda: all(len(set(drawn.confirmed) - known) == scans for drawn in both), PATIENCE)
    for drawn in both:
        drawn.log.close()
    door.close()
    full_name = stack.name(MACROSERVER)
    starts = {scan_uuid(full_name, scan["serialno"], scan["startts"]): scan["startts"] for scan in history}
    ends = {scan.uuid: scan.end for scan in expected_scans(history, full_name)}
    missing = [uuid for uuid in ends if any(uuid not in times for d in both for times in (d.begun, d.confirmed))]
    if missing or len(ends) != scans:
        raise NotMeasured(f"{len(missing)} of {scans} scans did not come into both scan logs")
    started = [_since(starts, drawn.begun) for drawn in both]
    ended = [_since(ends, drawn.over) for drawn in both]
    confirmed = {"confirmed_median": round(statistics.median(_since(ends, with_door.confirmed)), 4)}
    return [
        _figure("scan_start_to_row_s", *started, {}),
        _figure("scan_end_to_row_s", *ended, confirmed),
    ]


def _since(at: dict[str, float], shown: dict[str, float]) -> list[float]:
    return [shown[uuid] - moment for uuid, moment in at.items()]


def _figure(name: str, measured: list[float], without: list[float], more: dict[str, float]) -> Figure:
    beside = {
        "max": round(max(measured), 4),
        "without_door_median": round(statistics.median(without), 4),
        "without_door_max": round(max(without), 4),
        **more,
        "scans": len(measured),
    }
    return Figure(name, round(statistics.median(measured), 4), "s", beside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=50, help="how many scans (default: 50)")
    options = parser.parse_args()
    alone("scanlog_live", lambda: measure(options.scans))


if __name__ == "__main__":
    main()
