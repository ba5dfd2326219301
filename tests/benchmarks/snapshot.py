"""What the snapshot costs beside its lower bound.

    python -m tests.benchmarks.snapshot

500 attributes on 50 devices of one server are read by `Reader` and put into the message's form;
turn by turn with it, the same attributes are only read: with prepared proxies, one bare
`read_attributes` a device, in a pool of threads. Once with attributes that answer at once,
and once with attributes that take 5 ms each.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import tango
from tango.utils import PyTangoThreadPoolExecutor

from deploy.demo.processes import Processes
from deploy.demo.stack import Stack
from scifish.config import Entry
from scifish.snapshot import Reader, as_metadata
from tests.benchmarks.figures import Figure, report, spread
from tests.kinds import PLAIN

DEVICES = 50
TIMEOUT = 3.0
DELAY = 0.005
"""Seconds that an attribute of a slow device takes."""


def measure(rounds: int = 100) -> list[Figure]:
    """The snapshot's duration over that of the bare reads, each the median of `rounds`."""
    with tempfile.TemporaryDirectory(prefix="snapshot-") as name:
        folder = Path(name)
        with Processes(folder / "log") as processes:
            stack = Stack(folder, processes)
            stack.start_database()
            return [
                _ratio("snapshot_ratio", _start(stack, "instant", 0.0), rounds),
                _ratio("snapshot_ratio_slow", _start(stack, "slow", DELAY), max(rounds // 2, 4)),
            ]


def _start(stack: Stack, instance: str, delay: float) -> list[str]:
    devices = [f"bench/{instance}/{number}" for number in range(DEVICES)]
    properties = {"Delay": [str(delay)]}
    command = [sys.executable, "-m", "tests.kinds"]
    stack.start_server(f"Kinds/{instance}", {device: ("Plain", properties) for device in devices}, command)
    return [stack.name(device) for device in devices]


def _ratio(name: str, devices: Sequence[str], rounds: int) -> Figure:
    entries = [
        Entry(f"{attribute} {number}", f"{device}/{attribute}", group="Bench")
        for number, device in enumerate(devices)
        for attribute in PLAIN
    ]
    proxies = [tango.DeviceProxy(device) for device in devices]
    reader = Reader()
    pool = PyTangoThreadPoolExecutor(DEVICES)

    def snapshot() -> None:
        readings = reader.read([entry.source for entry in entries], TIMEOUT)
        as_metadata(entries, readings, 64)

    def bare() -> None:
        list(pool.map(lambda proxy: proxy.read_attributes(PLAIN), proxies))

    try:
        for _ in range(3):  # connections, threads and units are there then
            _milliseconds(snapshot), _milliseconds(bare)
        found = [(_milliseconds(snapshot), _milliseconds(bare)) for _ in range(rounds)]
    finally:
        pool.shutdown()
        reader.close()
    ours, bound = zip(*found, strict=True)
    ratio = statistics.median(ours) / statistics.median(bound)
    beside = {"attributes": len(entries), **spread("snapshot_ms", ours), **spread("bare_ms", bound)}
    return Figure(name, round(ratio, 3), "", beside)


def _milliseconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="of each (default: 100)")
    report(measure(parser.parse_args().rounds), Path("build/snapshot.json"))


if __name__ == "__main__":
    main()
