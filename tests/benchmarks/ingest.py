"""Datasets a second into SciCat: SciCow beside a sequential loop of pyscicat.

    python -m tests.benchmarks.ingest

Both bring the same datasets (50 values, one file) into the same catalogue, the embedded one, each of whose
calls takes 20 ms longer than it would: so long is the way to a SciCat elsewhere, and its database. A dataset
counts when the catalogue has it with its file. In each round all variants come in another order.

pyscicat does what its users' scripts do: create the dataset, then its file list, one after the other, with
nothing looked up before or after. SciCow reads the datasets from Kafka, checks them, and makes sure that
nothing becomes double. `snapshot` is one message a dataset; for `pair`, where a scan has a message when it
begins and one when it ends, pyscicat creates it, updates it, and creates its file list.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pyscicat.client import ScicatClient
from pyscicat.model import CreateDatasetOrigDatablockDto, RawDataset

from deploy.demo.processes import Process, Processes
from ingest.scicat import SciCat
from ingest.scicow import mapping
from ingest.scicow.mapping.ownership import by_settings
from ingest.scicow.settings import SciCowSettings, load
from scifish.message import Message, encode
from tests.benchmarks.figures import Figure, NotMeasured, alone, progress, scratch
from tests.builders.messages import message, value
from tests.servers.catalogue import INGESTOR, Catalogue, start_catalogue
from tests.servers.kafka import Kafka, make_kafka
from tests.servers.scicow import PASSWORD, start_scicow, write_settings

LATENCY = 0.02
"""Seconds that each call takes longer."""

TABLE_1 = 244_781
"""Datasets in Table 1 of the paper: all that its beamlines had recorded."""

VALUES = 50
PARTITIONS = 8
PATIENCE = 300.0
EACH = 40
"""Datasets for each worker in one measurement, so that all take about as long."""

WORKERS = (1, 2, 4, 8, 16)
REPLICAS = (1, 2)
FORMS = ("snapshot", "pair")
ONE = (8, 1)
"""Workers and replicas: a single SciCow with the default settings."""

TWO = (8, 2)
"""Two of them, as a facility runs it, so that one may fall out. This is what the figures are of."""

MOST = (16, 2)
"""Two with more workers, for a catalogue that is fast but far away, and machines with more cores."""


NO_COORDINATOR = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)


@dataclass
class Bench:
    """All that is running, and where the catalogue keeps what has arrived."""

    folder: Path
    processes: Processes
    kafka: Kafka
    catalogue: Catalogue
    settings: SciCowSettings
    scicat: SciCat
    pyscicat: ScicatClient
    started: int = field(default=0)

    def arrived(self) -> int:
        """How many datasets have their file: read where the catalogue keeps it, so that it is not asked."""
        with closing(sqlite3.connect(f"file:{self.folder / 'catalogue.sqlite'}?mode=ro", uri=True)) as db:
            (count,) = db.execute("SELECT count(*) FROM origdatablocks").fetchone()
        return int(count)

    def wait(self, count: int, processes: Sequence[Process] = ()) -> None:
        deadline = time.monotonic() + PATIENCE
        while (there := self.arrived()) < count:
            if time.monotonic() > deadline or not all(process.running for process in processes):
                raise NotMeasured(f"{there} of {count} datasets arrived; see {self.processes.logs}")
            time.sleep(0.05)

    def fail(self, *rules: dict[str, Any]) -> None:
        self.scicat.call("PUT", "/embedded/faults", list(rules))  # type: ignore[arg-type]


def measure(rounds: int = 3, each: int = EACH, messages: int = 10_000) -> list[Figure]:
    with _bench() as bench:
        print(f"Kafka: {bench.kafka.kind}", file=sys.stderr)
        variants: dict[str, Callable[[], float]] = {}
        for form in FORMS:
            variants[f"pyscicat_{form}"] = partial(_pyscicat, bench, form, each)
        for replicas in REPLICAS:
            for workers in WORKERS:
                variants[_name(workers, replicas)] = partial(_scicow, bench, "snapshot", workers, replicas, each)
        for arrangement in (ONE, TWO, MOST):
            variants[f"{_name(*arrangement)}_pair"] = partial(_scicow, bench, "pair", *arrangement, each)
        speeds = _rounds(variants, rounds)
        growth = _memory(bench, messages)
    return [*(_figures(speeds) if rounds else []), growth]


def _rounds(variants: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    speeds: dict[str, list[float]] = {name: [] for name in variants}
    chance = random.Random(1)
    for number in range(1, rounds + 1):
        for name in chance.sample(list(variants), len(variants)):
            progress(f"ingest: round {number} of {rounds}, {name}")
            speeds[name].append(variants[name]())
    return speeds


def _figures(speeds: dict[str, list[float]]) -> list[Figure]:
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    names = [_name(*arrangement) for arrangement in (ONE, TWO, MOST)]
    shipped = names[1]
    ratios = _ratios(speeds[shipped], speeds["pyscicat_snapshot"])
    beside = {"lowest": min(ratios), "highest": max(ratios), "rounds": len(ratios), "latency_ms": 1000 * LATENCY}
    for form in FORMS:
        for name in names:
            ours = name if form == "snapshot" else f"{name}_{form}"
            beside[ours] = statistics.median(_ratios(speeds[ours], speeds[f"pyscicat_{form}"]))
    hours = {name: round(TABLE_1 / middle[name] / 3600, 2) for name in ("pyscicat_snapshot", *names)}
    return [
        Figure(
            "ingest_ratio_pyscicat",
            round(statistics.median(ratios), 2),
            "",
            {name: round(value, 2) for name, value in beside.items()},
        ),
        Figure(
            "ingest_per_s", round(middle[shipped], 1), "1/s", {name: round(value, 1) for name, value in middle.items()}
        ),
        Figure("ingest_table1_h", hours[shipped], "h", {**hours, "datasets": TABLE_1}),
    ]


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Within each round."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def _name(workers: int, replicas: int) -> str:
    return f"{workers}_workers_{replicas}_replica{'s' if replicas > 1 else ''}"


# ---------------------------------------------------------------------------- setting


@contextmanager
def _bench() -> Iterator[Bench]:
    with scratch("ingest") as folder, Processes(folder / "log") as processes:
        kafka = make_kafka(folder / "kafka", processes)
        kafka.start()
        catalogue = start_catalogue(processes, folder, failing=True)
        scicat = SciCat(catalogue.url, INGESTOR.username, INGESTOR.password)
        config = write_settings(folder, kafka.bootstrap, catalogue, "mapping")
        settings = load(config, {PASSWORD: INGESTOR.password})
        pyscicat = ScicatClient(f"{catalogue.url}/api/v3", username=INGESTOR.username, password=INGESTOR.password)
        yield Bench(folder, processes, kafka, catalogue, settings, scicat, pyscicat)


def _message(kind: str, number: int, given: str = "") -> Message:
    """Fifty values with units, in five groups; some 7 kB."""
    groups = {
        f"Group {group}": {f"Value {each}": value(number + group * each, "mm") for each in range(VALUES // 5)}
        for group in range(5)
    }
    return message(kind, given or str(uuid.uuid4()), datasetName=f"scan {number}", scientificMetadata=groups)


def _messages(form: str, count: int) -> list[list[Message]]:
    """Of each dataset, in their order."""
    if form == "snapshot":
        return [[_message("snapshot", number)] for number in range(count)]
    datasets = [(number, str(uuid.uuid4())) for number in range(count)]
    return [[_message(kind, number, given) for kind in ("began", "ended")] for number, given in datasets]


# --------------------------------------------------------------------------- pyscicat


class _Raw(RawDataset):
    """With the field of SciCat that the messages have and pyscicat's form lacks."""

    runNumber: str | None = None


def _pyscicat(bench: Bench, form: str, count: int) -> float:
    """Datasets a second."""
    made = mapping.Mapping(bench.settings)
    work = []
    for said in _messages(form, count):
        datasets = [_Raw(**made.dataset(each, by_settings(each, bench.settings), "v3")) for each in said]
        files = mapping.files(said[-1])
        size = sum(file["size"] for file in files)
        work.append((datasets, CreateDatasetOrigDatablockDto(size=size, dataFileList=files)))
    for datasets, _ in work:
        for update in datasets[1:]:  # what may not be changed
            update.pid = update.type = None
    before = bench.arrived()
    bench.fail({"do": "slow", "seconds": LATENCY})
    begin = time.perf_counter()
    for datasets, block in work:
        pid = bench.pyscicat.datasets_create(datasets[0])
        for update in datasets[1:]:
            bench.pyscicat.datasets_update(update, pid)
        bench.pyscicat.datasets_origdatablock_create(pid, block)
    duration = time.perf_counter() - begin
    bench.fail()
    assert bench.arrived() == before + count
    return count / duration


# ----------------------------------------------------------------------------- SciCow


def _scicow(bench: Bench, form: str, workers: int, replicas: int, each: int) -> float:
    """Datasets a second, from sending the first message to the last dataset with its file."""
    count = each * workers * replicas
    run, topic, cows = _start(bench, workers, replicas)
    data = [(one["uuid"], encode(one)) for said in _messages(form, count) for one in said]
    before = bench.arrived()
    bench.fail({"do": "slow", "seconds": LATENCY})
    begin = time.perf_counter()
    _send(bench, topic, data)
    bench.wait(before + count, cows)
    duration = time.perf_counter() - begin
    bench.fail()
    _stop(bench, cows)
    if bench.arrived() != before + count:
        raise NotMeasured(f"{run}: {bench.arrived() - before} file lists for {count} datasets")
    return count / duration


def _start(bench: Bench, workers: int, replicas: int) -> tuple[str, str, list[Process]]:
    """SciCows that have their partitions, and their topic."""
    bench.started += 1
    run = f"b{bench.started}"
    topic = f"scifish-{run}"
    admin = AdminClient({"bootstrap.servers": bench.kafka.bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS)])[topic].result(30)
    config = write_settings(bench.folder / run, bench.kafka.bootstrap, bench.catalogue, run, workers=workers)
    cows = [
        start_scicow(bench.processes, f"{run}-{number}", config, bench.catalogue, "--log-level", "info")
        for number in range(replicas)
    ]
    cows[-1].wait_for(partial(_shared, admin, f"scicow-{run}", replicas), timeout=60)
    # One dataset on every way, so that all connections are there.
    warm_up = _messages("snapshot", 4 * workers * replicas)
    before = bench.arrived()
    _send(bench, topic, [(said[0]["uuid"], encode(said[0])) for said in warm_up])
    bench.wait(before + len(warm_up), cows)
    return run, topic, cows


def _shared(admin: AdminClient, group: str, replicas: int) -> bool:
    """Whether each replica has its share of the partitions, as Kafka says it."""
    try:
        members = admin.describe_consumer_groups([group])[group].result(30).members
    except KafkaException as error:
        if error.args[0].code() not in NO_COORDINATOR:
            raise
        return False  # the first group of a broker waits until there is the topic that groups are kept in
    except TimeoutError:
        return False  # busy with giving out the partitions
    shares = [len(member.assignment.topic_partitions) for member in members if member.assignment]
    return len(shares) == replicas and all(shares) and sum(shares) == PARTITIONS


def _send(bench: Bench, topic: str, data: Sequence[tuple[str, bytes]]) -> None:
    producer = Producer(
        {"bootstrap.servers": bench.kafka.bootstrap, "enable.idempotence": True, "compression.type": "lz4"}
    )
    for key, each in data:
        producer.produce(topic, key=key, value=each)
    if left := producer.flush(60):
        raise NotMeasured(f"Kafka has not taken {left} of {len(data)} messages")


def _stop(bench: Bench, cows: Sequence[Process]) -> None:
    for cow in cows:
        cow.stop(timeout=20)
        bench.processes.running.remove(cow)


# ----------------------------------------------------------------------------- memory


def _memory(bench: Bench, messages: int, batch: int = 500) -> Figure:
    """What the resident memory of one SciCow grows by over so many messages, after a tenth that warms it up."""
    _, topic, cows = _start(bench, *ONE)
    catalogue = bench.catalogue.process
    assert catalogue is not None
    sizes: list[tuple[float, float]] = []
    base, sent = bench.arrived(), 0
    begin = time.perf_counter()
    while sent < messages:
        count = min(batch, messages - sent)
        _send(bench, topic, [(one["uuid"], encode(one)) for [one] in _messages("snapshot", count)])
        sent += count
        bench.wait(base + sent - batch // 2, cows)  # there is always something to do
        sizes.append((_megabytes(cows[0]), _megabytes(catalogue)))
        progress(f"ingest: memory, {sent} of {messages} messages, SciCow has {sizes[-1][0]:.0f} MB")
    bench.wait(base + messages, cows)
    duration = time.perf_counter() - begin
    _stop(bench, cows)
    first, last = max(len(sizes) // 10, 1), max(len(sizes) // 10, 3)
    ours, theirs = ([size[which] for size in sizes] for which in (0, 1))

    def growth(values: list[float]) -> float:
        return statistics.median(values[-last:]) - statistics.median(values[first : first + last])

    return Figure(
        "ingest_rss_growth_mb",
        round(growth(ours), 2),
        "MB",
        {
            "messages": messages,
            "scicow_mb": round(ours[-1], 1),
            "scicow_most_mb": round(max(ours), 1),
            "catalogue_growth_mb": round(growth(theirs), 2),
            "without_latency_per_s": round(messages / duration, 1),
        },
    )


def _megabytes(process: Process) -> float:
    return float(psutil.Process(process.pid).memory_info().rss) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often each variant is measured (default: 3); 0 for the memory alone"
    )
    parser.add_argument("--each", type=int, default=EACH, help=f"datasets for each worker (default: {EACH})")
    parser.add_argument(
        "--messages",
        type=int,
        default=10_000,
        help=f"for the memory (default: 10000; {TABLE_1} are those of the paper)",
    )
    options = parser.parse_args()
    alone("ingest", lambda: measure(options.rounds, options.each, options.messages))


if __name__ == "__main__":
    main()
