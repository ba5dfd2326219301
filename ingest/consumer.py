"""From Kafka into SciCat: reads every beamline's topic, and forgets nothing before it is done.

A message is done when SciCat has what it says, or when the dead-letter topic has it; only then is
its offset stored. While SciCat cannot take it, nothing more is read, but Kafka is still polled, so
that this consumer keeps its partitions.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from ingest.deadletters import DeadLetterError, DeadLetters
from ingest.failures import DatasetMissing
from ingest.hold import Hold
from ingest.ingestor import Ingestor
from ingest.offsets import Offsets, Partition
from ingest.progress import Progress
from ingest.scicat import NotAllowed, SciCatError
from ingest.sequence import Sequence
from ingest.settings import Settings
from scifish.message import Message, MessageError, decode

log = logging.getLogger(__name__)

POLL = 0.5
LOOK_FOR_DATASETS = 2.0
MAX_WAITING = 100
"""Messages kept in memory, of up to 1 MB each, because their dataset is not there yet."""

FAULT_OF_THE_MESSAGE = (400, 413, 422)
"""SciCat's answers that the same message will get again. Any other says something of SciCat or of its address."""


@dataclass(eq=False)
class Item:
    """A message in work."""

    kafka: KafkaMessage
    partition: Partition
    offset: int
    waiting_since: float
    message: Message | None = None
    server_error_since: float | None = None

    @classmethod
    def of(cls, kafka: KafkaMessage) -> Item:
        topic, number, offset = kafka.topic(), kafka.partition(), kafka.offset()
        # Only what is no message, an error, may lack these.
        assert topic is not None
        assert number is not None
        assert offset is not None
        return cls(kafka, (topic, number), offset, time.monotonic())

    def __str__(self) -> str:
        return f"{self.partition[0]}[{self.partition[1]}]@{self.offset}"


class SciCow:
    """The consumer. `run` returns after `stop`."""

    def __init__(self, settings: Settings, ingestor: Ingestor, dead_letters: DeadLetters, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._ingestor = ingestor
        self._dead_letters = dead_letters
        self._kafka = Consumer(
            {
                "client.id": "scicow",
                "auto.offset.reset": "earliest",
                # So soon is a new beamline's topic seen.
                "topic.metadata.refresh.interval.ms": 5000,
                # A new topic or SciCow moves only the partitions that must move.
                "partition.assignment.strategy": "cooperative-sticky",
                "auto.commit.interval.ms": 1000,
                # So long are the partitions of a SciCow that was killed left alone.
                "session.timeout.ms": 10_000,
                "log_level": 2,  # `_kafka_failed` says it once
                **settings.kafka.librdkafka(),
                "group.id": settings.kafka.group_id,
                "enable.auto.commit": True,  # of what is stored, and that is what is done
                "enable.auto.offset.store": False,
                "error_cb": self._kafka_failed,
            }
        )
        self._queue: deque[Item] = deque()
        self._waiting: dict[str, deque[Item]] = {}
        self._offsets = Offsets()
        self._hold = Hold()
        self._sequence = Sequence()
        self._next_look = 0.0
        self._partitions_changed = False
        self._kafka_troubles: set[str] = set()
        self._stopping = False

    def stop(self) -> None:
        """Finish the message in work, commit and leave. May be called from a signal handler."""
        self._stopping = True

    def run(self) -> None:
        self._kafka.subscribe(
            [self._settings.kafka.topics], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        log.info("reading %s from Kafka at %s", self._settings.kafka.topics, self._settings.kafka.bootstrap_servers)
        try:
            while not self._stopping:
                self._poll()
                self._work()
        finally:
            self._kafka.close()  # commits what is stored
            log.info("stopped")

    # ---------------------------------------------------------------- reading

    def _poll(self) -> None:
        found = self._kafka.poll(POLL)
        if self._partitions_changed:
            self._partitions_changed = False
            self._pause_or_resume()
        if found is None:
            self._idle()
        elif error := found.error():
            self._kafka_failed(error)
        else:
            self._kafka_answers()
            item = Item.of(found)
            self._offsets.taken(item.partition, item.offset)
            self._queue.append(item)

    def _idle(self) -> None:
        """Kafka has no more for now: what is still missing of a run is not merely unread."""
        if self._settings.check_sequence and not self._hold.active:
            for run, gone in self._sequence.overdue():
                log.warning("run %r: %d messages are missing, seq %s", run[:100], len(gone), gone[:20])

    def _pause_or_resume(self) -> None:
        assigned = self._kafka.assignment()
        if self._hold.active:
            self._kafka.pause(assigned)
        else:
            self._kafka.resume(assigned)

    # ---------------------------------------------------------------- working

    def _work(self) -> None:
        if not self._hold.ready:
            return
        if self._hold.active:
            for items in self._waiting.values():
                for item in items:
                    item.waiting_since = time.monotonic()  # the dataset could not come meanwhile
        try:
            self._look_for_datasets()
            while self._queue and not self._stopping:
                uuid = self._ingest(self._queue[0])
                self._queue.popleft()
                self._retry_waiting(uuid)  # it may have created the dataset
        except (SciCatError, DeadLetterError) as error:
            first = not self._hold.active
            self._hold.failed(*_why_held(error))
            if first:
                self._pause_or_resume()
        else:
            if self._hold.active:
                self._hold.over()
                self._pause_or_resume()

    def _ingest(self, item: Item) -> str:
        """Done, waiting or a dead letter afterwards; raises what it must be held for. The uuid, "" if it has none."""
        if item.message is None:
            try:
                item.message = decode(item.kafka.value() or b"")
            except (MessageError, RecursionError) as error:
                self._bury(item, error)
                return ""
            self._sequence.seen(item.message["origin"]["run"], item.message["seq"])
        uuid = str(item.message["uuid"])
        # First what waits for the same dataset, so that the later of two comments stays.
        self._retry_waiting(uuid)
        try:
            self._try(item, item.message)
        except DatasetMissing:
            self._wait_for_dataset(item, uuid)
        return uuid

    def _try(self, item: Item, message: Message) -> None:
        """Done or a dead letter afterwards. Raises DatasetMissing, or what it must be held for."""
        try:
            self._ingestor.ingest(message)
        except DatasetMissing:
            raise
        except SciCatError as error:
            if self._is_to_be_held(item, error):
                raise
            self._bury(item, error)
        except Exception as error:
            log.exception("%s: a mistake in SciCow itself, please report it", item)
            self._bury(item, error)
        else:
            self._finish(item)

    def _is_to_be_held(self, item: Item, error: SciCatError) -> bool:
        if error.status != 500:
            item.server_error_since = None
            return error.status not in FAULT_OF_THE_MESSAGE
        # The real backend answers some bad messages with 500, too: one must not stop all others for ever.
        now = time.monotonic()
        item.server_error_since = item.server_error_since or now
        return now - item.server_error_since < self._settings.server_error_wait

    def _bury(self, item: Item, error: BaseException) -> None:
        self._dead_letters.put(item.kafka, error)
        log.error("%s is in topic %s: %r", item, self._dead_letters.topic, str(error)[:500])
        self._finish(item)

    def _finish(self, item: Item) -> None:
        topic, number = item.partition
        offset = self._offsets.done(item.partition, item.offset)
        try:
            self._kafka.store_offsets(offsets=[TopicPartition(topic, number, offset)])
        except KafkaException as error:
            log.warning("%s is done, but will come again, as its offset cannot be stored: %s", item, error)

    # ------------------------------------------------- messages without a dataset

    def _wait_for_dataset(self, item: Item, uuid: str) -> None:
        if sum(map(len, self._waiting.values())) >= MAX_WAITING:
            self._bury(item, DatasetMissing(f"{uuid} is not in SciCat, and too many other messages wait already"))
        else:
            log.info("%s waits for its dataset, %s", item, uuid)
            self._waiting.setdefault(uuid, deque()).append(item)

    def _look_for_datasets(self) -> None:
        now = time.monotonic()
        if now >= self._next_look:
            for uuid in list(self._waiting):
                self._retry_waiting(uuid)
            self._next_look = now + LOOK_FOR_DATASETS

    def _retry_waiting(self, uuid: str) -> None:
        """Those that wait for this dataset, in the order in which they came."""
        items = self._waiting.get(uuid, deque())
        while items and items[0].message is not None:
            item = items[0]
            try:
                self._try(item, items[0].message)
            except DatasetMissing:
                waited = time.monotonic() - item.waiting_since
                if waited < self._settings.missing_dataset_wait:
                    return
                self._bury(item, DatasetMissing(f"{uuid} is not in SciCat after {waited:.0f} s"))
            items.popleft()
        self._waiting.pop(uuid, None)

    # ------------------------------------------------ what Kafka says, inside `poll`

    def _assigned(self, _: Any, partitions: list[TopicPartition]) -> None:
        self._kafka_answers()
        self._partitions_changed = True
        log.info("reading %s", ", ".join(f"{each.topic}[{each.partition}]" for each in partitions) or "no partition")

    def _revoked(self, _: Any, partitions: list[TopicPartition]) -> None:
        """Others have these now, and will begin with what is not stored."""
        gone = {(each.topic, each.partition) for each in partitions}
        self._queue = deque(item for item in self._queue if item.partition not in gone)
        kept = {
            uuid: deque(item for item in items if item.partition not in gone) for uuid, items in self._waiting.items()
        }
        self._waiting = {uuid: items for uuid, items in kept.items() if items}
        for partition in gone:
            self._offsets.forget(partition)

    def _kafka_failed(self, error: KafkaError) -> None:
        # One broker's connection may come and go; librdkafka says so with _TRANSPORT.
        if error.code() == KafkaError._TRANSPORT or error.name() in self._kafka_troubles:
            return
        self._kafka_troubles.add(error.name())
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:  # a beamline that has not sent anything yet
            log.info("there is no topic like %s yet; waiting for one", self._settings.kafka.topics)
            return
        log.warning(
            "Kafka at %s: %s; is it running, and is kafka.bootstrap_servers right? trying on",
            self._settings.kafka.bootstrap_servers,
            error.str(),
        )

    def _kafka_answers(self) -> None:
        if self._kafka_troubles:
            log.info("Kafka answers again")
            self._kafka_troubles.clear()


def _why_held(error: Exception) -> tuple[str, object]:
    """What keeps us, in words that stay the same as long as it is the same; and the rest."""
    if isinstance(error, NotAllowed):
        return (
            "SciCat refuses this account: check scicat.username and scicat.password, "
            "and that the account is in SciCat's ADMIN_GROUPS",
            error,
        )
    if isinstance(error, DeadLetterError):
        return "Kafka does not take the dead letter", error
    if isinstance(error, SciCatError) and error.status:
        return f"SciCat answers with status {error.status}", error
    return "SciCat does not answer", error
