"""What the snapshot costs beside its lower bound, and what `record: statistics` costs.

    python -m tests.benchmarks.snapshot

500 attributes on 50 devices of one server are read by `Reader` and put into the message's form;
turn by turn with it, the same attributes are only read: with prepared proxies, one bare
`read_attributes` a device, in a pool of threads. Once with attributes that answer at once,
and once with attributes that take 5 ms each. `calls` is how often a device is asked for one snapshot.

Statistics of 50 attributes by change events: the processor's time that this process takes for one.
"""

from __future__ import annotations

import argparse
import itertools
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
from scifish.attributes.reader import ConfigSource, Reader, as_metadata
from scifish.attributes.statistics import POLL_PERIOD_SECONDS, Statistics
from scifish.message import Message
from scifish.settings.entries import Entry
from tests.benchmarks.figures import Figure, report, spread
from tests.servers.attribute_kinds import PLAIN
from tests.waiting import eventually

DEVICES = 50
TIMEOUT = 3.0
DELAY = 0.005
"""Seconds that an attribute of a slow device takes."""

EVENTS = 200
"""Change events of each device."""


def measure(rounds: int = 100) -> list[Figure]:
    """The snapshot's duration over that of the bare reads, each the median of `rounds`."""
    with tempfile.TemporaryDirectory(prefix="snapshot-") as name:
        folder = Path(name)
        with Processes(folder / "log") as processes:
            stack = Stack(folder, processes)
            stack.start_database()
            return [
                _ratio("snapshot_ratio", _start(stack, "instant", "Plain"), rounds),
                _ratio("snapshot_ratio_slow", _start(stack, "slow", "Plain", Delay=DELAY), max(rounds // 2, 4)),
                _events(_start(stack, "events", "Counts")),
            ]


def _start(stack: Stack, instance: str, device_class: str, **properties: float) -> list[str]:
    devices = [f"bench/{instance}/{number}" for number in range(DEVICES)]
    lines = {name: [str(value)] for name, value in properties.items()}
    command = [sys.executable, "-m", "tests.servers.attribute_kinds"]
    stack.start_server(f"Kinds/{instance}", {device: (device_class, lines) for device in devices}, command)
    return [stack.name(device) for device in devices]


def _ratio(name: str, devices: Sequence[str], rounds: int) -> Figure:
    entries = [
        Entry(f"{attribute} {number}", f"{device}/{attribute}", group="Bench")
        for number, device in enumerate(devices)
        for attribute in PLAIN
    ]
    proxies = [tango.DeviceProxy(device) for device in devices]
    reader = Reader(config_source=ConfigSource.EVENTS)
    pool = PyTangoThreadPoolExecutor(DEVICES)

    def snapshot() -> None:
        readings = reader.read([entry.source for entry in entries], TIMEOUT)
        as_metadata(entries, readings, 64)

    def bare() -> None:
        list(pool.map(lambda proxy: proxy.read_attributes(PLAIN), proxies))

    def followed() -> bool:
        snapshot()
        bare()
        found = [proxies[0], proxies[-1]]
        return all(_calls(proxy, snapshot) == 1 for proxy in found)

    try:
        eventually(followed)  # connections and threads are there then, and events for units
        calls = _calls(proxies[0], snapshot)
        found = [(_milliseconds(snapshot), _milliseconds(bare)) for _ in range(rounds)]
    finally:
        pool.shutdown()
        reader.close()
    ours, bound = zip(*found, strict=True)
    ratio = statistics.median(ours) / statistics.median(bound)
    beside = {"attributes": len(entries), "calls": calls, **spread("snapshot_ms", ours), **spread("bare_ms", bound)}
    return Figure(name, round(ratio, 3), "", beside)


def _calls(proxy: tango.DeviceProxy, snapshot: Callable[[], None]) -> int:
    """Calls of the device in one snapshot, by its black box, which has the newest first."""
    proxy.ping()
    snapshot()
    newest = itertools.takewhile(lambda line: "ping" not in line, proxy.black_box(50))
    return len([line for line in newest if "read_attributes" in line or "config" in line])


def _events(devices: Sequence[str]) -> Figure:
    """Each device pushes its events as fast as it can, one device after the other."""
    reader = Reader()
    found = Statistics(reader)
    proxies = [tango.DeviceProxy(device) for device in devices]
    entries = [Entry(device, f"{device}/Pushed", record=("statistics",)) for device in devices]
    try:
        start = time.process_time()
        watch = _milliseconds(lambda: found.watch("a", entries))
        time.sleep(4 * POLL_PERIOD_SECONDS)  # all subscriptions are there then
        subscribing = time.process_time() - start
        start = time.process_time()
        for proxy in proxies:
            proxy.PushMany(EVENTS)
        time.sleep(0.5)
        used = time.process_time() - start
        summaries: dict[str, Message] = {}
        finish = _milliseconds(lambda: summaries.update(found.finish("a", TIMEOUT)))
    finally:
        found.close()
        reader.close()
    # Two of the samples are no events: the readings at the start and at the end.
    received = sum(summary["samples"] - 2 for summary in summaries.values())
    beside = {
        "attributes": len(entries),
        "sent": EVENTS * len(entries),
        "received": received,
        "watch_ms": round(watch, 3),
        "subscribing_cpu_ms": round(1000 * subscribing, 1),
        "finish_ms": round(finish, 3),
    }
    return Figure("statistics_us_per_event", round(1e6 * used / received, 1), "\u00b5s", beside)


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
