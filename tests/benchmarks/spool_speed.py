"""How fast messages go through the spool to Kafka, and how long a program waits in a call.

    python -m tests.benchmarks.spool_speed

The broker is a real Apache Kafka where there are Java 17 and Maven, else librdkafka's mock
cluster; stderr says which. The spool is on the disk of this repository. Each dataset has 50
values, some 8 kB as a message.

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
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from deploy.demo.processes import Processes
from scifish import SciFish
from scifish.kafka_config import producer_config
from scifish.message import Message, decode
from scifish.settings import Settings
from scifish.source import FixedSettings
from scifish.spool import SUFFIX, Spool, look
from scifish.station import Station
from tests.benchmarks.figures import Figure, alone, percentile, progress, scratch, spread
from tests.kafka import make_kafka

VALUES = 50
PAUSE = 0.02
"""Seconds before each call whose time is taken: what it caused behind it is over by then."""

PATIENCE = 300.0
"""Seconds until Kafka must have everything."""

ORIGIN = {"host": "bench", "program": "bench", "version": "1", "run": "bench-left-behind"}


class Topic:
    """How much of a topic Kafka has confirmed, as the broker itself says it."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "log_level": 0})
        self.name = name

    def count(self) -> int:
        found = self._consumer.list_topics(self.name, timeout=10).topics[self.name]
        return sum(self._ends(TopicPartition(self.name, number)) for number in found.partitions)

    def first(self) -> bytes:
        """The oldest message of the first partition that has any."""
        found = self._consumer.list_topics(self.name, timeout=10).topics[self.name]
        for number in found.partitions:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self.name, number), timeout=10)
            if high > low:
                self._consumer.assign([TopicPartition(self.name, number, low)])
                message = self._consumer.poll(10)
                self._consumer.unassign()
                if message is not None and not message.error():
                    return bytes(message.value() or b"")
        raise RuntimeError(f"no message in {self.name}")

    def close(self) -> None:
        self._consumer.close()

    def _ends(self, partition: TopicPartition) -> int:
        try:
            return int(self._consumer.get_watermark_offsets(partition, timeout=10)[1])
        except KafkaException:
            return 0  # the topic is being made


def measure(datasets: int = 2_000, calls: int = 500) -> list[Figure]:
    """Messages a second of `datasets` datasets, and milliseconds of `calls` starts and ends."""
    with scratch("spool") as folder, Processes(folder / "log") as processes:
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        kafka = make_kafka(folder / "kafka", processes)
        kafka.start()
        print(f"Kafka: {kafka.kind}", file=sys.stderr)
        speeds: dict[str, float] = {}
        with _topic(kafka.bootstrap, "scifish-flat-out") as topic:
            flat_out, speeds["through_spool"] = _flat_out(_settings(folder, kafka.bootstrap, topic), topic, datasets)
            payload = topic.first()
        with _topic(kafka.bootstrap, "scifish-left-behind") as topic:
            settings = _settings(folder, kafka.bootstrap, topic)
            speeds["full_spool_per_s"] = _left_behind(settings, topic, decode(payload), datasets)
        with _topic(kafka.bootstrap, "bare") as topic:
            settings = _settings(folder, kafka.bootstrap, topic)
            speeds["bare_producer_per_s"] = _bare(settings, payload, datasets)
        with _topic(kafka.bootstrap, "scifish-calls") as topic:
            times = _calls(_settings(folder, kafka.bootstrap, topic), folder, payload, calls)
    through = speeds.pop("through_spool")
    size = {"message_kb": round(len(payload) / 1000, 1), "messages": datasets}
    both = times["start_scan"] + times["end_scan"]
    beside = {
        f"{name}_p{percent}": round(percentile(values, percent), 3)
        for name, values in (*times.items(), ("flat_out_record_snapshot", flat_out))
        for percent in (50, 99)
    }
    return [
        Figure("spool_messages_per_s", through, "1/s", {**speeds, **size}),
        Figure("record_call_p50_ms", round(percentile(both, 50), 3), "ms", {**beside, "calls": len(both)}),
        Figure("record_call_p99_ms", round(percentile(both, 99), 3), "ms", spread("start_scan", times["start_scan"])
            | spread("end_scan", times["end_scan"])),
    ]


@contextmanager
def _topic(bootstrap: str, name: str) -> Iterator[Topic]:
    topic = Topic(bootstrap, f"{name}-{uuid.uuid4().hex[:8]}")
    try:
        topic.count()  # it is made by being asked for
        yield topic
    finally:
        topic.close()


def _settings(folder: Path, bootstrap: str, topic: Topic) -> Settings:
    spool = folder / "spool" / topic.name
    spool.mkdir(parents=True)
    return Settings(
        beamline="bench", topic=topic.name, kafka_bootstrap_servers=bootstrap, spool_directory=str(spool)
    )


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


def _flat_out(settings: Settings, topic: Topic, count: int) -> tuple[list[float], float]:
    """Milliseconds of each call, and messages a second until Kafka has them all and the spool is empty."""
    with closing(Station(FixedSettings(settings), "bench")) as station:
        station.record_snapshot(_said(0))
        _wait(settings, topic, 1)
        times = []
        start = time.perf_counter()
        for number in range(1, count + 1):
            times.append(_milliseconds(lambda said=_said(number): station.record_snapshot(said)))  # type: ignore[misc]
            if number % 50 == 0:
                progress(f"spool speed: dataset {number} of {count}")
        _wait(settings, topic, count + 1)
        return times, round(count / (time.perf_counter() - start), 1)


def _left_behind(settings: Settings, topic: Topic, message: Message, count: int) -> float:
    """Messages a second out of a spool that another program left full, from the start of ours."""
    spool = Spool(Path(settings.spool_directory) / f"{ORIGIN['run']}{SUFFIX}", ORIGIN)
    for number in range(count):
        spool.put(settings.topic, {**message, "uuid": str(uuid.uuid4()), "origin": ORIGIN})
        if number % 50 == 0:
            progress(f"spool speed: filling a spool, {number} of {count}")
    spool.close()
    start = time.perf_counter()
    with closing(Station(FixedSettings(settings), "bench")):
        _wait(settings, topic, count)
        return round(count / (time.perf_counter() - start), 1)


def _bare(settings: Settings, payload: bytes, count: int) -> float:
    """Messages a second of a producer with our settings and nothing before it."""
    producer = Producer(producer_config(settings))
    producer.list_topics(settings.topic, timeout=10)
    keys = [str(uuid.uuid4()) for _ in range(count)]
    refused: list[Any] = []
    start = time.perf_counter()
    for key in keys:
        producer.produce(
            settings.topic, key=key, value=payload, on_delivery=lambda error, _: error and refused.append(error)
        )
        producer.poll(0)
    left = producer.flush(PATIENCE)
    duration = time.perf_counter() - start
    if left or refused:
        raise RuntimeError(f"Kafka has not taken {left + len(refused)} of {count} bare messages")
    return round(count / duration, 1)


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
            start = _milliseconds(lambda name=f"dataset {number}": fish.start_scan(name))  # type: ignore[misc]
            fish.scicat_data.proposalId = "20250001"
            fish.scicat_data.scientificMetadata = _metadata(number)
            time.sleep(PAUSE)
            end = _milliseconds(fish.end_scan)
            time.sleep(PAUSE)
            sqlite = _milliseconds(lambda: row(payload))
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


def _wait(settings: Settings, topic: Topic, count: int) -> None:
    """Until Kafka has so many messages and the spools hold none."""
    deadline = time.monotonic() + PATIENCE
    while (there := topic.count()) < count or _left(settings):
        if time.monotonic() > deadline:
            raise RuntimeError(f"Kafka has {there} of {count} messages after {PATIENCE:g} s; {_left(settings)} wait")
        progress(f"spool speed: Kafka has {there} of {count}")
        time.sleep(0.02)


def _left(settings: Settings) -> int:
    """How many datasets and messages are in the spools."""
    left = 0
    for path in Path(settings.spool_directory).glob(f"*{SUFFIX}"):
        try:
            found = look(path)
        except sqlite3.OperationalError:
            continue  # it was empty, and has just been removed
        left += found.recording + found.waiting
    return left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=2_000, help="datasets for the speed (default: 2000)")
    parser.add_argument("--calls", type=int, default=500, help="calls that are timed, at least 2 (default: 500)")
    options = parser.parse_args()
    alone("spool_speed", lambda: measure(options.datasets, options.calls))


if __name__ == "__main__":
    main()
