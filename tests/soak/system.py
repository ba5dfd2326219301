"""Kafka, the catalogue and two SciCows, each of which can be stopped, killed and started again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.demo.processes import Process, Processes
from ingest.scicat import SciCat, SciCatError
from tests.faults.chaos import Fault
from tests.servers.catalogue import INGESTOR, start_catalogue
from tests.servers.kafka import KafkaServer, free_ports, kafka_jars
from tests.servers.scicow import start_scicow, write_settings
from tests.soak.dead_letters import read_dead_letters
from tests.soak.plan import BEAMLINES, Plan, Sent, office
from tests.soak.verdict import Found
from tests.waiting import PATIENCE

REPLICAS = 2
PARTITIONS = 2
PAGE = 1000
TIMEOUT = 30.0

FAULTS: dict[str, list[dict[str, Any]]] = {
    "500 after writing": [{"do": "answer_after", "status": 500, "path": "^/api/v", "fraction": 0.3}],
    "catalogue slow": [{"do": "slow", "seconds": 0.3, "fraction": 0.5}, {"do": "slow", "seconds": 4, "every": 40}],
    "answers cut off": [
        {"do": "cut_after", "method": "POST", "fraction": 0.2},
        {"do": "cut_body", "fraction": 0.1},
        {"do": "cut", "fraction": 0.1},
    ],
    "502 of a proxy": [{"do": "html", "path": "^/api/v", "fraction": 0.5}],
    "503": [{"do": "answer", "status": 503, "path": "^/api/v", "fraction": 0.7}],
    "tokens void": [{"do": "expire", "every": 25}],
    "no answer": [{"do": "hang", "path": "^/api/v3/(datasets|origdatablocks)", "every": 30}],
}
"""The faults that the catalogue is asked for."""


class System:
    def __init__(self, folder: Path, processes: Processes, run: str) -> None:
        self.folder = folder
        self.processes = processes
        self.run = run
        self.dead_letter_topic = f"dead-{run}"
        self.kafka = KafkaServer(folder / "kafka", processes, kafka_jars())
        self._port = free_ports(1)[0]
        self._starts = 0
        self._cows: list[Process | None] = [None] * REPLICAS
        self.refused: list[object] = []

    def start(self) -> None:
        self.kafka.start()
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap})
        topics = [NewTopic(f"scifish-{self.run}-{beamline}", PARTITIONS) for beamline in BEAMLINES]
        for made in admin.create_topics([*topics, NewTopic(self.dead_letter_topic, 1)]).values():
            made.result(TIMEOUT)
        self.topics = [topic.topic for topic in topics]
        self.start_catalogue()
        office_file = self.folder / "proposals.yaml"
        office_file.write_text(office(), "utf-8")
        self.config = write_settings(
            self.folder,
            self.kafka.bootstrap,
            self.catalogue,
            self.run,
            session=6,
            kafka={"beamline_topics": {"*": [f"scifish-{self.run}-{{beamline}}"]}},
            scicat={"timeout": 3},
            user_office=f"yaml:{office_file}",
            office_memory=str(self.folder / "office-memory.json"),
            proposals={"unknown": "refuse"},
            missing_dataset_wait=20,
            check_sequence=False,
        )
        for slot in range(REPLICAS):
            self.start_cow(slot)
        self._producer = Producer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,  # for ever: what is planned is sent
                "compression.type": "gzip",  # the broker takes 2 MB only if they become less
                "message.max.bytes": 4_000_000,
                "log_level": 0,
            }
        )

    # ----------------------------------------------------------------- SciCow

    def start_cow(self, slot: int) -> None:
        self._starts += 1
        name = f"scicow-{self._starts:03}"
        self._cows[slot] = start_scicow(self.processes, name, self.config, self.catalogue)

    def end_cow(self, slot: int, how: Callable[[Process], None]) -> str | None:
        """Its name; None if there is none now."""
        cow, self._cows[slot] = self._cows[slot], None
        if cow is None:
            return None
        how(cow)
        self.processes.running.remove(cow)
        return cow.name

    def has_cow(self, slot: int) -> bool:
        return self._cows[slot] is not None

    def ended_by_themselves(self) -> list[tuple[int, str]]:
        """Slot and name of those that nobody stopped."""
        return [(slot, cow.name) for slot, cow in enumerate(self._cows) if cow is not None and not cow.running]

    def stop_cow(self, slot: int) -> int | None:
        """Its exit status; None if it does not end."""
        cow = self._cows[slot]
        assert cow is not None
        cow.terminate()
        status = cow.wait(PATIENCE)
        self.end_cow(slot, lambda process: process.stop())
        return status

    # -------------------------------------------------------------- catalogue

    def start_catalogue(self) -> None:
        self._starts += 1
        self.catalogue = start_catalogue(
            self.processes, self.folder / "catalogue", port=self._port, name=f"scicat-{self._starts:03}", failing=True
        )
        self.scicat = SciCat(self.catalogue.url, INGESTOR.username, INGESTOR.password)

    def end_catalogue(self, how: Callable[[Process], None]) -> None:
        process = self.catalogue.process
        assert process is not None
        how(process)
        self.processes.running.remove(process)

    def tell(self, rules: list[dict[str, Any]]) -> None:
        """What it is to do wrong. The last of it may hit this one's own login."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                self.scicat.call("PUT", "/embedded/faults", rules)  # type: ignore[arg-type]
            except SciCatError:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    # ------------------------------------------------------------------ Kafka

    def send(self, one: Sent) -> None:
        self._producer.produce(
            one.topic,
            key=one.key,
            value=one.value,
            on_delivery=lambda error, _: error and self.refused.append(error),
        )
        self._producer.poll(0)

    def unsent(self) -> int:
        """How many messages Kafka has not confirmed."""
        self._producer.poll(0)
        return len(self._producer)

    def unread(self) -> int | None:
        """How many messages no SciCow has finished yet; None while Kafka does not answer."""
        consumer = Consumer(
            {"bootstrap.servers": self.kafka.bootstrap, "group.id": f"scicow-{self.run}", "log_level": 0}
        )
        partitions = [TopicPartition(topic, number) for topic in self.topics for number in range(PARTITIONS)]
        with closing(consumer):
            try:
                committed = consumer.committed(partitions, timeout=5)
                ends = [consumer.get_watermark_offsets(each, timeout=5) for each in partitions]
            except KafkaException:
                return None
        return sum(high - max(done.offset, low) for done, (low, high) in zip(committed, ends, strict=True))

    # ------------------------------------------------------------- in the end

    def found(self, plan: Plan) -> Found:
        datasets = self._pages("/api/v3/datasets", "pid")
        blocks = self._pages("/api/v3/origdatablocks", "_id")
        pids = [f"scizoo/{uuid}" for uuid, expected in plan.datasets.items() if expected.pictures]
        attachments = {
            pid: self.scicat.attachments(pid) for pid in set(pids).intersection(each["pid"] for each in datasets)
        }
        dead = read_dead_letters(self.kafka.bootstrap, self.dead_letter_topic)
        return Found(datasets, blocks, attachments, dead)

    def _pages(self, path: str, key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            limits = {"limit": PAGE, "skip": len(found), "order": f"{key}:asc"}
            page = self.scicat.call("GET", path, params={"filter": {"limits": limits}})
            found += page
            if len(page) < PAGE:
                return found


def all_faults(system: System, chance: random.Random) -> list[Fault]:
    """What goes wrong."""
    stop, kill = (lambda process: process.stop(timeout=20)), (lambda process: process.kill())
    catalogue = ("catalogue stopped", "catalogue killed", *FAULTS)
    kafka = ("Kafka stopped", "Kafka killed")

    def cow(name: str, how: Callable[[Process], None]) -> list[Fault]:
        def one(slot: int) -> Fault:
            return Fault(
                f"{name} {slot + 1}",
                lambda: system.end_cow(slot, how),
                lambda: None if system.has_cow(slot) else system.start_cow(slot),
                (0, 6),
            )

        return [one(slot) for slot in range(REPLICAS)]

    def quiet(act: Callable[[], object]) -> Callable[[], str]:
        def begin() -> str:
            act()
            return ""

        return begin

    def apart(name: str, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(other for other in names if other != name)

    told = [
        Fault(
            name,
            quiet(lambda rules=rules: system.tell(_seeded(rules, chance))),  # type: ignore[misc]
            lambda: system.tell([]),
            (2, 8),
            apart(name, catalogue),
        )
        for name, rules in FAULTS.items()
    ]
    return [
        *cow("SciCow killed", kill),
        *cow("SciCow stopped", stop),
        Fault(kafka[0], quiet(system.kafka.stop), system.kafka.start, (2, 10), apart(kafka[0], kafka)),
        Fault(kafka[1], quiet(system.kafka.kill), system.kafka.start, (0, 6), apart(kafka[1], kafka)),
        *(
            Fault(
                name,
                quiet(lambda how=how: system.end_catalogue(how)),  # type: ignore[misc]
                system.start_catalogue,
                (1, 8),
                apart(name, catalogue),
            )
            for name, how in (("catalogue stopped", stop), ("catalogue killed", kill))
        ),
        *told,
    ]


def _seeded(rules: list[dict[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    return [{**rule, "seed": chance.randrange(10**6)} if "fraction" in rule else rule for rule in rules]
