"""From a file that a program has finished to its dataset in Kafka, in a burst.

    python -m tests.benchmarks.scifly

A program writes 5,000 measurements of Scienta SES within 10 seconds into a folder that is watched, each a
small text file, and a configuration of 50 attributes whose device server is down is read beside them. The
time of each is from when its file was closed to when a consumer has its message. `settle`, for which a file
must have been quiet before it counts as finished, is in it; it stands beside the figure.

The broker is a real Apache Kafka where there are Java 17 and Maven, else librdkafka's mock cluster.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

from confluent_kafka import Consumer

from deploy.demo.processes import Processes
from scifish.message import decode
from scifish.recording.session import RecordingSession
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from scifly.journal import Journal
from scifly.model import ProposalContext
from scifly.profiles import profiles_from
from scifly.service import FlyService, FlySettings
from tests.benchmarks.figures import Figure, NotMeasured, alone, percentile, progress, scratch
from tests.servers.kafka import make_kafka

FILES = 5_000
SECONDS = 10.0
SETTLE = 1.0
QUIET = 10.0
"""Seconds after which, when nothing more comes, what has not come is lost."""

TEXT = """\
[Info]
Number of Regions=1
Version=1.3.1

[Region 1]
Region Name=Ag3d
Dimension 1 name=Kinetic Energy [eV]
Dimension 1 size=200
Dimension 1 scale={scale}

[Info 1]
Region Name=Ag3d
Lens Mode=Angular30
Pass Energy=20
Number of Sweeps=3
Excitation Energy=100
Energy Step=0.05
Step Time=133
Detector First X-Channel=1
Instrument=R4000
Date=2025-11-23
Time=10:00:00

[Data 1]
{data}
"""


def measure(files: int = FILES, seconds: float = SECONDS, method: str = "auto") -> list[Figure]:
    """One burst: seconds from file to Kafka, and how many datasets are lost, or there twice."""
    with scratch("scifly") as folder, Processes(folder / "log") as processes:
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        kafka = make_kafka(folder / "kafka", processes)
        kafka.start()
        print(f"Kafka: {kafka.kind}", file=sys.stderr)
        with _flying(folder, kafka.bootstrap, method) as (fly_service, topic, root):
            used = os.times()
            arrived, closed, wrote = _burst(topic, kafka.bootstrap, root, files, seconds)
            spent = os.times()
            took = method if method != "auto" else fly_service.seen().method
            cpu = spent.user + spent.system - used.user - used.system
    names = {f"Ag_{number:05}" for number in range(files)}
    counts = Counter(name for name, _ in arrived)
    first = {name: when for name, when in reversed(arrived)}
    delays = [first[name] - closed[name] for name in names & first.keys()]
    if not delays:
        raise NotMeasured("no dataset came into Kafka")
    beside = {
        "files": float(files),
        "written_within_s": round(wrote, 2),
        "settle_s": SETTLE,
        "fastest_s": round(min(delays), 3),
        "slowest_s": round(max(delays), 3),
        "cpu_s": round(cpu, 2),
        took: 1.0,
    }
    return [
        Figure("scifly_file_to_kafka_median_s", round(statistics.median(delays), 3), "s", beside),
        Figure("scifly_file_to_kafka_p99_s", round(percentile(delays, 99), 3), "s", beside),
        Figure("scifly_burst_lost", float(len(names - counts.keys())), "datasets", {"files": float(files)}),
        Figure(
            "scifly_burst_duplicates", float(sum(counts.values()) - len(counts)), "messages", {"files": float(files)}
        ),
    ]


@contextmanager
def _flying(folder: Path, bootstrap: str, method: str) -> Iterator[tuple[FlyService, str, Path]]:
    topic = f"scifish-burst-{uuid.uuid4().hex[:8]}"
    values = tuple(f"- {{name: Value {n}, source: tango://127.0.0.1:9/no/such/device{n % 5}/v{n}}}" for n in range(50))
    settings = Settings(
        beamline="bench",
        configs={"all": values},
        active_config="all",
        topic=topic,
        kafka_bootstrap_servers=bootstrap,
        spool_directory=str(folder / "spool"),
    )
    root = folder / "raw"
    root.mkdir()
    session = RecordingSession(FixedSettings(settings), program="SciFly")
    profiles, _ = profiles_from([f"{{name: ses, settle: {SETTLE}}}"])
    fly = FlySettings("bench", zone=UTC, method=method)  # type: ignore[arg-type]
    fly_service = FlyService(fly, profiles, Journal(folder / "bench.journal"), lambda: session)
    fly_service.follow(str(root), ProposalContext("20250001", "fibre_A", "visitors"))
    time.sleep(1.0)
    try:
        yield fly_service, topic, root
    finally:
        fly_service.stop()
        session.close()


def _burst(
    topic: str, bootstrap: str, root: Path, files: int, seconds: float
) -> tuple[list[tuple[str, float]], dict[str, float], float]:
    """What came into Kafka, by the dataset's name, and when; when each was closed; how long it took to write all."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    ours, theirs = multiprocessing.Pipe()
    # A process of its own, as the program that measures is.
    writer = multiprocessing.get_context("spawn").Process(target=_write, args=(theirs, str(root), files, seconds))
    writer.start()
    arrived: list[tuple[str, float]] = []
    closed: dict[str, float] = {}
    wrote = 0.0
    last = time.monotonic()
    while not closed or (len(arrived) < files and time.monotonic() - last < QUIET):
        for event in consumer.consume(500, 0.05):
            if not event.error():
                last = time.monotonic()
                arrived.append((decode(event.value() or b"")["datasetName"], time.time()))
        if not closed and ours.poll():
            closed, wrote = ours.recv()
            last = time.monotonic()
        progress(f"scifly: {len(arrived)} of {files} datasets are in Kafka")
    for event in consumer.consume(1000, 3.0):  # what comes twice comes later
        if not event.error():
            arrived.append((decode(event.value() or b"")["datasetName"], time.time()))
    writer.join()
    consumer.close()
    return arrived, closed, wrote


def _write(said: multiprocessing.connection.Connection, root: str, files: int, seconds: float) -> None:
    scale = " ".join(f"{10 + n / 20:.2f}" for n in range(200))
    data = "\n".join(f" {10 + n / 20:.2f} {n * 1.5:.6E}" for n in range(200))
    text = TEXT.format(scale=scale, data=data)
    closed: dict[str, float] = {}
    began = time.time()
    for number in range(files):
        name = f"Ag_{number:05}"
        with open(f"{root}/{name}.txt", "w") as file:
            file.write(text)
        closed[name] = time.time()
        time.sleep(max(began + (number + 1) * seconds / files - time.time(), 0.0))
    said.send((closed, time.time() - began))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="within which they are written")
    parser.add_argument("--method", choices=("auto", "inotify", "polling"), default="auto")
    options = parser.parse_args()
    alone("scifly", lambda: measure(options.files, options.seconds, options.method))


if __name__ == "__main__":
    main()
