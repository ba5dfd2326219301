"""What the recorder costs a scan.

    python -m tests.benchmarks.scan_overhead

Runs the same scan on a real Sardana with and without the recorder, turn by turn. The
configuration has 35 attributes on 8 devices; one attribute always fails, and one device is dead.
The time is that of the whole macro as a client of the Door sees it, from the command to the end.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from deploy.demo.door import Door
from deploy.demo.processes import Processes
from deploy.demo.stack import DOOR, Stack
from tests.benchmarks.figures import Figure, report, spread

SCAN = ("timescan", "10", "0.01", "0.01")
ATTRIBUTES = 35


def measure(pairs: int = 30) -> list[Figure]:
    """The whole macro, in milliseconds; `pairs` scans with the recorder and as many without."""
    with tempfile.TemporaryDirectory(prefix="scan-overhead-") as name:
        folder = Path(name)
        with Processes(folder / "log") as processes:
            stack = Stack(folder, processes)
            stack.start_database()
            stack.start_beamline()
            kafka = stack.start_mock_kafka()
            stack.start_pathfixer()
            stack.start_scidog(kafka)
            stack.start_sardana()
            durations = _run(stack, pairs)
    with_recorder, without = durations["with"], durations["without"]
    overhead = statistics.median(with_recorder) - statistics.median(without)
    return [
        Figure(
            "scan_overhead_ms",
            round(overhead, 3),
            "ms",
            {"attributes": ATTRIBUTES, **spread("with_recorder", with_recorder), **spread("without", without)},
        )
    ]


def _run(stack: Stack, pairs: int) -> dict[str, list[float]]:
    door = Door(stack.name(DOOR))
    durations: dict[str, list[float]] = {"with": [], "without": []}
    try:
        door.run("sar_demo")
        door.run("setproposal", "20250001")
        for number in range(2 * pairs + 2):
            recorded = number % 2 == 0
            door.run(*(("senv", "DataRecorder", "['SciFishRecorder']") if recorded else ("usenv", "DataRecorder")))
            start = time.perf_counter()
            door.run(*SCAN)
            if number >= 2:  # the first of each warm up
                durations["with" if recorded else "without"].append(1000 * (time.perf_counter() - start))
            if sys.stderr.isatty():
                print(f"\rscan {number + 1} of {2 * pairs + 2} ", end="", file=sys.stderr, flush=True)
    finally:
        door.close()
    return durations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30, help="scans with and without the recorder (default: 30)")
    report(measure(parser.parse_args().pairs), Path("build/scan_overhead.json"))


if __name__ == "__main__":
    main()
