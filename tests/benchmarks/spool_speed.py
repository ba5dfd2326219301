"""How fast messages go through the spool to Kafka, and how long a program waits in a call.

    python -m tests.benchmarks.spool_speed

The broker is a real Apache Kafka where there are Java 17 and Maven, else librdkafka's mock
cluster; stderr says which. The spool is on the disk of this repository. Each dataset has 50
values, some 7 kB as a message.

- Messages a second: datasets as fast as the program can make them, until Kafka has all of their
  messages; the same for a spool that was filled while Kafka was away; and beside them a bare
  producer with the same settings that sends the same bytes, and flushes.
- The time of a call: `start_scan` and `end_scan` with a pause before each, in turns with what no
  such call can do without: one row of the same bytes in SQLite (WAL, synchronous=FULL), and the
  same bytes written to a file with fsync.
"""

from __future__ import annotations

import argparse
import math
import os
import sqlite3
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaError, Producer

from deploy.demo.processes import Processes
from scifish import SciFish
from scifish.message import Message, decode
from scifish.recording.session import RecordingSession
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from scifish.spool.database import SPOOL_SUFFIX, Spool
from scifish.spool.inspection import summarise
from scifish.spool.kafka_config import producer_config
from tests.benchmarks.confirmed import PATIENCE, Confirmed
from tests.benchmarks.figures import Figure, NotMeasured, alone, percentile, progress, scratch, spread
from tests.servers.kafka import make_kafka
from tests.spools import under

VALUES = 50
PAUSE = 0.02
"""Seconds before each call whose time is taken: what it caused behind it is over by then."""

ORIGIN = {"host": "bench", "program": "bench", "version": "1", "run": "bench-left-behind"}


def measure(datasets: int = 2_000, repeats: int = 5, calls: int = 500) -> list[Figure]:
    """Messages a second, `repeats` times with `datasets` datasets; milliseconds of `calls` starts and ends."""
    with scratch("spool") as folder, Processes(folder / "log") as processes:
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        kafka = make_kafka(folder / "kafka", processes)
        kafka.start()
        print(f"Kafka: {kafka.kind}", file=sys.stderr)
        flat_out: list[float] = []
        speeds: dict[str, list[float]] = {"through_spool": [], "full_spool": [], "bare_producer": []}
        for number in range(1, repeats + 1):
            progress(f"spool speed: {number} of {repeats}")
            with _topic(kafka.bootstrap, "scifish-flat-out") as topic:
                settings = _settings(folder, kafka.bootstrap, topic)
                speeds["through_spool"].append(_flat_out(settings, topic, datasets, flat_out))
                payload = topic.any()
            with _topic(kafka.bootstrap, "scifish-left-behind") as topic:
                settings = _settings(folder, kafka.bootstrap, topic)
                speeds["full_spool"].append(_left_behind(settings, topic, decode(payload), datasets))
            with _topic(kafka.bootstrap, "bare") as topic:
                speeds["bare_producer"].append(_bare(_settings(folder, kafka.bootstrap, topic), payload, datasets))
        with _topic(kafka.bootstrap, "scifish-calls") as topic:
            times = _calls(_settings(folder, kafka.bootstrap, topic), folder, payload, calls)
    beside = {name: value for which, values in speeds.items() for name, value in spread(which, values).items()}
    beside |= {"message_kb": round(len(payload) / 1000, 1), "messages": datasets}
    through = round(statistics.median(speeds["through_spool"]), 1)
    return [Figure("spool_messages_per_s", through, "1/s", beside), *_call_figures(times, flat_out)]


def _call_figures(times: dict[str, list[float]], flat_out: list[float]) -> list[Figure]:
    both = times["start_scan"] + times["end_scan"]
    return [
        Figure(
            f"record_call_p{percent}_ms",
            round(percentile(both, percent), 3),
            "ms",
            {
                name: round(percentile(values, percent), 3)
                for name, values in (*times.items(), ("flat_out_record_snapshot", flat_out))
            }
            | {"calls": len(both)},
        )
        for percent in (50, 99)
    ]


@contextmanager
def _topic(bootstrap: str, name: str) -> Iterator[Confirmed]:
    with closing(Confirmed(bootstrap, f"{name}-{uuid.uuid4().hex[:8]}")) as topic:
        topic.count()  # it is made by being asked for
        yield topic


def _settings(folder: Path, bootstrap: str, topic: Confirmed) -> Settings:
    spool = folder / "spool" / topic.name
    spool.mkdir(parents=True)
    return Settings(beamline="bench", topic=topic.name, kafka_bootstrap_servers=bootstrap, spool_directory=str(spool))


def _metadata(number: int) -> Message:
    """Fifty values with units, in five groups."""
    return {
        f"Group {group}": {
            f"Value {value}": {"value": math.sin(number + group * value) * 100, "unit": "mm"}
            for value in range(VALUES // 5)
        }
        for group in range(5)
    }


def _said(number: int) -> Message:
    return {
        "datasetName": f"snapshot {number}",
        "proposalId": "20250001",
        "environment": {"title": "bench", "scanID": number},
        "scientificMetadata": _metadata(number),
    }


def _flat_out(settings: Settings, topic: Confirmed, count: int, times: list[float]) -> float:
    """Messages a second until Kafka has them all and the spool is empty; `times` gets each call's milliseconds."""
    with closing(RecordingSession(FixedSettings(settings), "bench")) as session:
        session.record_snapshot(_said(0))
        topic.wait(1, lambda: _left(settings))
        start = time.perf_counter()
        for number in range(1, count + 1):
            times.append(_milliseconds(partial(session.record_snapshot, _said(number))))
        topic.wait(count + 1, lambda: _left(settings))
        return count / (time.perf_counter() - start)


def _left_behind(settings: Settings, topic: Confirmed, message: Message, count: int) -> float:
    """Messages a second out of a spool that another program left full, from the start of ours on."""
    file = Path(settings.spool_directory) / f"{ORIGIN['run']}{SPOOL_SUFFIX}"
    spool = Spool(file, ORIGIN, identity=under(settings))
    for _ in range(count):
        spool.put(settings.topic, {**message, "uuid": str(uuid.uuid4()), "origin": ORIGIN})
    spool.close()
    start = time.perf_counter()
    with closing(RecordingSession(FixedSettings(settings), "bench")):
        topic.wait(count, lambda: _left(settings))
        return count / (time.perf_counter() - start)


def _bare(settings: Settings, payload: bytes, count: int) -> float:
    """Messages a second of a producer with our settings and nothing before it."""
    producer = Producer(producer_config(settings))
    producer.list_topics(settings.topic, timeout=10)
    keys = [str(uuid.uuid4()) for _ in range(count)]
    refused: list[KafkaError] = []

    def confirmed(error: KafkaError | None, _: object) -> None:
        if error is not None:
            refused.append(error)

    start = time.perf_counter()
    for key in keys:
        producer.produce(settings.topic, key=key, value=payload, on_delivery=confirmed)
        producer.poll(0)
    left = producer.flush(PATIENCE)
    duration = time.perf_counter() - start
    if left or refused:
        raise NotMeasured(f"Kafka has not taken {left + len(refused)} of {count} bare messages")
    return count / duration


def _calls(settings: Settings, folder: Path, payload: bytes, count: int) -> dict[str, list[float]]:
    """Milliseconds of each call, with a pause before each."""
    times: dict[str, list[float]] = {"start_scan": [], "end_scan": [], "bare_sqlite": [], "bare_fsync": []}
    row = _sqlite(folder / "bare.db")
    with closing(SciFish(settings, "bench")) as fish, (folder / "bare.bytes").open("wb", buffering=0) as file:

        def write() -> None:
            file.write(payload)
            os.fsync(file.fileno())

        for number in range(count + 1):
            progress(f"spool speed: call {number} of {count}")
            time.sleep(PAUSE)
            start = _milliseconds(partial(fish.start_scan, f"dataset {number}"))
            fish.scicat_data.proposalId = "20250001"
            fish.scicat_data.scientificMetadata = _metadata(number)
            time.sleep(PAUSE)
            end = _milliseconds(fish.end_scan)
            time.sleep(PAUSE)
            sqlite = _milliseconds(partial(row, payload))
            time.sleep(PAUSE)
            fsync = _milliseconds(write)
            if number:  # the first warms up
                for values, value in zip(times.values(), (start, end, sqlite, fsync), strict=True):
                    values.append(value)
    return times


def _sqlite(path: Path) -> Callable[[bytes], object]:
    """One row on disk for each call, as safe as in the spool."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, content BLOB NOT NULL)")
    return lambda content: db.execute("INSERT INTO rows (content) VALUES (?)", (content,))


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def _left(settings: Settings) -> int:
    """How many datasets and messages are in the spools."""
    left = 0
    for path in Path(settings.spool_directory).glob(f"*{SPOOL_SUFFIX}"):
        try:
            found = summarise(path)
        except sqlite3.OperationalError:
            continue  # it was empty, and has just been removed
        left += found.recording + found.waiting
    return left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=2_000, help="datasets for the speed (default: 2000)")
    parser.add_argument("--repeats", type=int, default=5, help="how often the speed is taken, at least 2 (default: 5)")
    parser.add_argument("--calls", type=int, default=500, help="calls that are timed, at least 2 (default: 500)")
    options = parser.parse_args()
    alone("spool_speed", lambda: measure(options.datasets, options.repeats, options.calls))


if __name__ == "__main__":
    main()
