"""Whether a process that records grows.

    python -m tests.benchmarks.memory

Two Sardanas run the same short scans side by side, one with the recorder and one without, since
Sardana itself may grow. Resident memory (RSS) is that of the Sardana server and, for the one that
records, of all its child processes. The first 200 scans warm up and are not counted. One device of
the configuration is dead and one attribute always fails, as on a beamline.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.demo.processes import Processes
from deploy.demo.stack import BEAMLINE, Stack
from tests.benchmarks.confirmed import Confirmed
from tests.benchmarks.figures import Figure, NotMeasured, alone, progress, scratch
from tests.benchmarks.sardana import RECORDER, Scans, scans

SCAN = ("timescan", "1", "0.001")
WARM_UP = 200
EVERY = 10
"""Scans between two looks."""

PATIENCE = 60.0
"""Seconds for sending what has been recorded between two looks."""

SMOOTH = 5
"""Looks of which the median is taken, so that what is being read at the moment does not count."""


@dataclass
class Run:
    """One Sardana and its memory in MB, every 10 scans: of the server, and of its children."""

    scans: Scans
    pid: int
    spools: Path
    kafka: str = ""
    server: list[float] = field(default_factory=list)
    children: list[float] = field(default_factory=list)

    def look(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.waiting():
            if time.monotonic() > deadline:
                raise NotMeasured(f"{self.waiting()} datasets wait after {PATIENCE:g} s")
            time.sleep(0.05)
        process = psutil.Process(self.pid)
        self.server.append(_megabytes(process))
        self.children.append(sum(_megabytes(child) for child in process.children(recursive=True)))

    def waiting(self) -> int:
        """Datasets and messages that are in the spools."""
        return sum(_entries(spool) for spool in self.spools.glob("*.spool"))

    def at(self, values: list[float], scan: int) -> float:
        """The median of the looks up to this scan."""
        last = scan // EVERY
        return statistics.median(values[max(last - SMOOTH, 0) : last])

    def growth(self, values: list[float], count: int) -> float:
        return self.at(values, WARM_UP + count) - self.at(values, WARM_UP)


def measure(count: int = 1_000) -> list[Figure]:
    """What the recorder adds to the growth of the memory over `count` scans, in MB."""
    with scratch("memory") as folder, ExitStack() as open_things:
        with_recorder = _start(folder / "recorded", open_things, recorded=True)
        without = _start(folder / "plain", open_things, recorded=False)
        _run_both({"with the recorder": with_recorder, "without": without}, WARM_UP + count)
        with_recorder.scans.check()
        with closing(Confirmed(with_recorder.kafka, f"scifish-{BEAMLINE}")) as topic:
            topic.wait(WARM_UP + count)  # one message or two of each
    ours = with_recorder.growth(with_recorder.server, count)
    children = with_recorder.growth(with_recorder.children, count)
    plain = without.growth(without.server, count)
    beside = {
        "sardana_growth": ours,
        "children_growth": children,
        "without_growth": plain,
        "sardana_after_warm_up": with_recorder.at(with_recorder.server, WARM_UP),
        "children_after_warm_up": with_recorder.at(with_recorder.children, WARM_UP),
        "without_after_warm_up": without.at(without.server, WARM_UP),
        "sardana_at_half": with_recorder.at(with_recorder.server, WARM_UP + count // 2),
        "children_at_half": with_recorder.at(with_recorder.children, WARM_UP + count // 2),
        "without_at_half": without.at(without.server, WARM_UP + count // 2),
        "scans": count,
    }
    value = round(ours + children - plain, 2)
    name = f"rss_growth_{count}_scans_mb"
    return [Figure(name, value, "MB", {name: round(number, 2) for name, number in beside.items()})]


def _entries(spool: Path) -> int:
    with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True, timeout=PATIENCE)) as db:
        (count,) = db.execute("SELECT (SELECT count(*) FROM datasets) + (SELECT count(*) FROM outbox)").fetchone()
    return int(count)


def _start(folder: Path, open_things: ExitStack, recorded: bool) -> Run:
    processes = open_things.enter_context(Processes(folder / "log"))
    stack = Stack(folder, processes)
    stack.start_database()
    kafka = ""
    if recorded:
        kafka = stack.start_mock_kafka()
        stack.start_beamline()
        stack.start_pathfixer()
        stack.start_scidog(kafka)
    sardana = stack.start_sardana()
    here = open_things.enter_context(scans(stack))
    here.use_recorder(RECORDER if recorded else "")
    if recorded:
        here.door.run("setproposal", "20250001")
    return Run(here, sardana.pid, folder / "spool", kafka)


def _run_both(runs: dict[str, Run], count: int) -> None:
    stopping = threading.Event()
    with ThreadPoolExecutor(len(runs)) as pool:
        try:
            working = [pool.submit(_run, name, run, count, stopping.is_set) for name, run in runs.items()]
            wait(working, return_when=FIRST_EXCEPTION)
        finally:
            stopping.set()  # Ctrl-C here, or one of them failed: the other need not go on
        for work in working:
            work.result()


def _run(name: str, run: Run, count: int, stopping: Callable[[], bool]) -> None:
    for number in range(1, count + 1):
        if stopping():
            return
        run.scans.door.run(*SCAN)
        if number % EVERY == 0:
            run.look()
            progress(f"memory: {name}, scan {number} of {count}")


def _megabytes(process: psutil.Process) -> float:
    """RSS; nothing of a process that has just left."""
    try:
        return float(process.memory_info().rss) / 1e6
    except psutil.NoSuchProcess:
        return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=1_000, help="scans after 200 that warm up (default: 1000)")
    options = parser.parse_args()
    alone("memory", lambda: measure(options.scans))


if __name__ == "__main__":
    main()
