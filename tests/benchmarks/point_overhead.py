"""What the recorder costs a point.

    python -m tests.benchmarks.point_overhead

Calls the recorder's `writeRecord` as Sardana does, in this process, for a scan of 20 columns,
in turns with a recorder that does nothing. Then real scans of many points on a real Sardana,
in turns with and without the recorder: what they say has the begin and the end of the scan in it.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sardana.macroserver.scan.recorder import DataHandler, DataRecorder
from sardana.macroserver.scan.scandata import ColumnDesc, Record, RecordList

from deploy.demo.processes import Processes
from deploy.demo.stack import DOOR, MACROSERVER, Stack
from tests.benchmarks.devices import LIVE, configuration, start_live
from tests.benchmarks.figures import Figure, alone, difference, percentile, progress, scratch, spread
from tests.benchmarks.recorders.nullrecorder import NullRecorder
from tests.benchmarks.sardana import RECORDER, Scans, scans, start_scidog

BLOCK = 1_000
"""Points that are timed together, since one takes less than it costs to look at the clock."""

INTEGRATION = "0.001"
"""Seconds a point of a real scan. With a tenth of it Sardana itself was seen to wait forever for its last points."""

PAUSE = 0.5
"""Seconds between two scans, so that one does not pay for what goes on behind the one before."""

MOTORS = ("mot01", "mot02")
COUNTERS = tuple(f"tango://localhost:10000/expchan/ctctrl01/{number}" for number in range(1, 17))


def measure(blocks: int = 100, scans_each: int = 20, points: int = 2_000) -> list[Figure]:
    """In microseconds a point: `blocks` of 1,000 points in this process, and `scans_each` scans of `points`."""
    with scratch("points") as folder, Processes(folder / "log") as processes:
        stack = Stack(folder, processes)
        stack.start_database()
        start_live(stack)
        stack.start_pathfixer()
        start_scidog(stack, stack.start_mock_kafka(), {"a50": configuration(LIVE[:5])})
        ours, nothing = _in_process(stack, blocks)
        stack.start_sardana()
        with scans(stack) as here:
            here.door.run("setproposal", "20250001")
            real = _real_scans(here, scans_each, points)
    pairs = [with_recorder - without for with_recorder, without in zip(ours, nothing, strict=True)]
    beside = {
        **spread("difference", pairs),
        "difference_p99": round(percentile(pairs, 99), 3),
        **spread("null_recorder", nothing),
        "columns": len(_columns()),
        "points": blocks * BLOCK,
    }
    return [
        # The mean, since it has in it what happens now and then only, for one of many points.
        Figure("point_overhead_us", round(statistics.fmean(pairs), 3), "µs", beside),
        difference("point_overhead_in_scan_us", "µs", ("with", real[RECORDER]), ("without", real[""])),
    ]


def _real_scans(here: Scans, count: int, points: int) -> dict[str, list[float]]:
    """Microseconds a point of whole scans, by recorder: their begin and end are in it."""
    found: dict[str, list[float]] = {RECORDER: [], "": []}
    for number in range(count + 1):
        for recorder in (RECORDER, "")[:: 1 if number % 2 else -1]:
            progress(f"point overhead: scan {number} of {count}, {recorder or 'without'}")
            here.use_recorder(recorder)
            time.sleep(PAUSE)
            duration = here.duration("timescan", str(points), INTEGRATION)
            if number:  # the first warms up
                found[recorder].append(1e6 * duration / points)
    here.check()
    return found


class _Macro:
    """What the recorder asks of its macro."""

    def __init__(self, stack: Stack) -> None:
        self._server = stack.name(MACROSERVER)
        self._door = stack.name(DOOR)

    def getMacroServer(self) -> Any:
        return type("MacroServer", (), {"full_name": self._server})

    def getDoorName(self) -> str:
        return self._door

    def getID(self) -> int:
        return -1

    def getEnv(self, name: str) -> Any:
        from sardana.macroserver.msexception import UnknownEnv

        raise UnknownEnv(f"Unknown environment variable {name}")

    def warning(self, text: str, *values: object) -> None:
        raise RuntimeError(text % values)


@contextmanager
def _begun(recorder: DataRecorder, records: list[Record]) -> Iterator[None]:
    """A scan with this recorder, between its begin and its end."""
    scan = RecordList(DataHandler(), environ=_environment())
    scan.records = records
    recorder.startRecordList(scan)
    try:
        yield
    finally:
        scan.updateEnviron({"endts": time.time(), "endtime": time.ctime(), "endstatus": 0})
        recorder.endRecordList(scan)


def _in_process(stack: Stack, blocks: int) -> tuple[list[float], list[float]]:
    """Microseconds a point in each block: the recorder, and one that does nothing."""
    for name in ("XDG_STATE_HOME", "SCIDOG_DEVICE"):
        os.environ[name] = stack.env[name]
    from sardana_recorders.scifishrecorder import SciFishRecorder  # begins to work with these settings
    from scifish.recording.session import recording_session

    here = recording_session()
    try:
        if here.settings.now(5.0) is None:
            raise RuntimeError("the SciDog of this benchmark is not found")
        records = _records()
        ours, nothing = SciFishRecorder(macro=_Macro(stack)), NullRecorder()
        found: tuple[list[float], list[float]] = ([], [])
        with _begun(ours, records), _begun(nothing, records):
            for number in range(blocks + 1):
                progress(f"point overhead: block {number} of {blocks}")
                for recorder, values in ((ours, found[0]), (nothing, found[1]))[:: 1 if number % 2 else -1]:
                    duration = _block(recorder, records)
                    if number:  # the first warms up
                        values.append(1e6 * duration / BLOCK)
        return found
    finally:
        here.close()


def _block(recorder: DataRecorder, records: list[Record]) -> float:
    start = time.perf_counter()
    for record in records:
        recorder.writeRecord(record)
    return time.perf_counter() - start


def _columns() -> list[ColumnDesc]:
    """As of a scan of two motors and sixteen counters."""
    return [
        ColumnDesc(name="point_nb", label="#Pt No", dtype="int64"),
        *(ColumnDesc(name=name, label=name, data_units="mm") for name in MOTORS),
        *(ColumnDesc(name=name, label=f"ct{number:02}") for number, name in enumerate(COUNTERS, start=1)),
        ColumnDesc(name="timestamp", label="dt"),
    ]


def _environment() -> dict[str, Any]:
    now = time.time()
    return {
        "serialno": 1,
        "startts": now,
        "starttime": time.ctime(now),
        "title": "a2scan mot01 0 1 mot02 0 1 100000 0.1",
        "user": "operator",
        "datadesc": _columns(),
        "counters": list(COUNTERS),
        "ref_moveables": list(MOTORS),
        "preScanSnapShot": [],
        "ScanFile": None,
        "ScanDir": None,
        "estimatedtime": 10_000.0,
        "total_scan_intervals": 100_000,
        "instrumentlist": [],
        "macro_id": -1,
        "SampleInfo": {},
        "SourceInfo": {},
    }


def _records() -> list[Record]:
    """Of one block: floats and numpy scalars, as a step scan has them."""
    chance = random.Random(7)
    found = []
    for number in range(BLOCK):
        values: dict[str, Any] = {"point_nb": number, "timestamp": 0.1 * number, "epoch": 1.7e9 + 0.1 * number}
        values |= {name: chance.random() for name in MOTORS}
        values |= {name: np.float64(chance.gauss(1e4, 1e2)) for name in COUNTERS}
        record = Record(values)
        record.setRecordNo(number)
        found.append(record)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=100, help="blocks of 1,000 points, at least 2 (default: 100)")
    parser.add_argument("--scans", type=int, default=20, help="real scans with and without, at least 2 (default: 20)")
    parser.add_argument("--points", type=int, default=2_000, help="points of a real scan (default: 2000)")
    options = parser.parse_args()
    alone("point_overhead", lambda: measure(options.blocks, options.scans, options.points))


if __name__ == "__main__":
    main()
