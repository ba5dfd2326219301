"""What the recorder costs a scan.

    python -m tests.benchmarks.scan_overhead

Runs the same scan on a real Sardana in all variants, one after the other in an order that is
another in each round: without recorder; with a recorder that does nothing; with ours and 0, 50
and 500 attributes, and where one device of those is dead, or hangs; and without recorder, but
with the same 500 attributes in Sardana's own PreScanSnapshot. The time is that of the whole
macro as a client of the Door sees it, from the command to the end.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass

from deploy.demo.processes import Processes
from deploy.demo.stack import BEAMLINE, Stack
from scifish.message import leaves
from tests.benchmarks.devices import (
    DEAD,
    HUNG,
    LIVE,
    add_dead,
    configuration,
    prescan_snapshot,
    start_hung,
    start_live,
)
from tests.benchmarks.figures import Figure, NotMeasured, alone, difference, progress, scratch
from tests.benchmarks.sardana import NULL_RECORDER, RECORDER, Scans, scans, start_sardana, start_scidog
from tests.servers.topic import Topic

SCAN = ("timescan", "10", "0.01", "0.01")

PAUSE = 0.5
"""Seconds between two scans, so that one does not pay for what goes on behind the one before."""

HANGING = 4.0
"""The same after a scan with a device that hangs: SnapshotTimeout is 3 s."""

SERIES = 10
"""Scans one after the other without any pause."""

CONFIGURATIONS = {
    "none": ["# no attribute"],
    "a50": configuration(LIVE[:5]),
    "a500": configuration(LIVE),
    "dead": configuration((*LIVE[:-1], DEAD)),
    "hung": configuration((*LIVE[:-1], HUNG)),
}


@dataclass(frozen=True)
class Variant:
    """One way to run the scan. `prescan` is Sardana's PreScanSnapshot."""

    name: str
    recorder: str = ""
    configuration: str = "none"
    prescan: tuple[tuple[str, str], ...] = ()

    def prepare(self, here: Scans) -> None:
        # All of it each time, so that the same goes before each scan.
        here.use_recorder(self.recorder, self.prescan)
        here.use_configuration(self.configuration)
        time.sleep(PAUSE)


WITHOUT = Variant("without")
NULL = Variant("null_recorder", NULL_RECORDER)
RECORDED = (
    Variant("0", RECORDER, "none"),
    Variant("50", RECORDER, "a50"),
    Variant("500", RECORDER, "a500"),
    Variant("500_dead", RECORDER, "dead"),
    Variant("500_hung", RECORDER, "hung"),
)
PRESCAN = "prescan_500"


def measure(rounds: int = 40, series: int = 10) -> list[Figure]:
    """In milliseconds a scan: each variant `rounds` times, and `series` times 10 scans without a pause."""
    with scratch("scans") as folder, Processes(folder / "log") as processes:
        stack = Stack(folder, processes)
        stack.start_database()
        start_live(stack)
        add_dead(stack)
        start_hung(stack)
        kafka = stack.start_mock_kafka()
        stack.start_pathfixer()
        start_scidog(stack, kafka, CONFIGURATIONS)
        start_sardana(stack)
        variants = (WITHOUT, NULL, *RECORDED, Variant(PRESCAN, prescan=prescan_snapshot(stack, LIVE)))
        with scans(stack) as here:
            here.door.run("setproposal", "20250001")
            _warm_up(here, variants, Topic(kafka, f"scifish-{BEAMLINE}"))
            single = _run_single(here, variants, rounds)
            in_series = _run_series(here, series)
            here.check()
    without = (WITHOUT.name, single[WITHOUT.name])
    figures = [
        difference(f"scan_overhead_{name}_ms", "ms", (name, values), without)
        for name, values in single.items()
        if name != WITHOUT.name
    ]
    with_500, bare = (f"{SERIES}_scans_500", in_series["500"]), (f"{SERIES}_scans_without", in_series[WITHOUT.name])
    return [*figures, difference("scan_overhead_500_in_series_ms", "ms", with_500, bare)]


def _warm_up(here: Scans, variants: tuple[Variant, ...], topic: Topic) -> None:
    """Each variant once; those with our recorder must arrive in Kafka with all their attributes."""
    try:
        for variant in variants:
            progress(f"scan overhead: warming up, {variant.name}")
            variant.prepare(here)
            here.door.run(*SCAN)
            if variant.recorder == RECORDER:
                _must_have_come(variant, topic)
    finally:
        topic.close()
    here.check()


def _must_have_come(variant: Variant, topic: Topic) -> None:
    """The one dataset that is new in the topic has all attributes of the configuration."""
    ended = topic.wait_for(lambda message: message["type"] == "ended")
    topic.messages.clear()
    found = sum(leaf.get("source", "").startswith("bench/") for _, leaf in leaves(ended["scientificMetadata"]))
    wanted = sum(line.startswith("- ") for line in CONFIGURATIONS[variant.configuration])
    if found != wanted:
        raise NotMeasured(f"{variant.name}: {found} attributes were recorded, not {wanted}")


def _run_single(here: Scans, variants: tuple[Variant, ...], rounds: int) -> dict[str, list[float]]:
    chance = random.Random(3)
    durations: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for number in range(1, rounds + 1):
        for variant in chance.sample(variants, k=len(variants)):
            progress(f"scan overhead: round {number} of {rounds}, {variant.name}")
            variant.prepare(here)
            durations[variant.name].append(1000 * here.duration(*SCAN))
            time.sleep(HANGING if variant.configuration == "hung" else 0)
    return durations


def _run_series(here: Scans, series: int) -> dict[str, list[float]]:
    """What a scan costs that begins while we still end the one before."""
    with_500 = next(variant for variant in RECORDED if variant.name == "500")
    durations: dict[str, list[float]] = {WITHOUT.name: [], with_500.name: []}
    for number in range(1, series + 1):
        for variant in (WITHOUT, with_500)[:: 1 if number % 2 else -1]:
            progress(f"scan overhead: series {number} of {series}, {variant.name}")
            variant.prepare(here)
            start = time.perf_counter()
            for _ in range(SERIES):
                here.door.run(*SCAN)
            durations[variant.name].append(1000 * (time.perf_counter() - start) / SERIES)
    return durations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="scans of each variant, at least 2 (default: 40)")
    parser.add_argument("--series", type=int, default=10, help="series of 10 scans, at least 2 (default: 10)")
    options = parser.parse_args()
    alone("scan_overhead", lambda: measure(options.rounds, options.series))


if __name__ == "__main__":
    main()
