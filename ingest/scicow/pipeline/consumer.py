"""From Kafka into SciCat: reads every beamline's topic, and forgets nothing before it is done.

A message is done when SciCat has what it says, or when the dead-letter topic has it; only then is
its offset stored, and only if all before it in its partition are done. This thread reads and stores,
the workers bring into SciCat; so Kafka is polled in time, whatever they wait for.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from ingest.scicow.catalogue.ingestor import Ingestor
from ingest.scicow.dead_letters.producer import DeadLetters
from ingest.scicow.kafka.topics import client
from ingest.scicow.pipeline.counters import Progress
from ingest.scicow.pipeline.item import Item
from ingest.scicow.pipeline.offsets import Assigned, Partition
from ingest.scicow.pipeline.sequence_gaps import Sequence
from ingest.scicow.pipeline.workers import Workers
from ingest.scicow.settings import Settings

log = logging.getLogger(__name__)

POLL = 0.2
TEND = 0.2
"""Seconds between two looks at what the workers have done."""

MAX_BYTES = 256 * 1024 * 1024
"""Of messages in memory, shared out evenly among the partitions; one message of each may be over."""

MAX_FINISH = 45.0
"""Seconds without a poll; Kafka gives our partitions away after its `max.poll.interval.ms`, of 300 s."""

LEAVE_WITHIN = 12.0
"""Seconds for Kafka to let us go; a little more than the session's time, which librdkafka may wait for."""

ASK_FOR_PARTITIONS = 10.0
UNKNOWN = -1001
"""librdkafka's RD_KAFKA_OFFSET_INVALID."""


class SciCow:
    """The consumer. `run` returns after `stop`. Other threads may read what is public."""

    polled: float
    """When Kafka was polled last, as `time.monotonic`."""
    assigned = False
    """Whether Kafka has said which partitions are ours; they may be none."""
    stopping = False

    def __init__(self, settings: Settings, ingestor: Ingestor, dead_letters: DeadLetters, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._workers = Workers(settings, ingestor, dead_letters, progress)
        self._lanes = self._workers.lanes
        self._kafka = client(
            Consumer,
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
                # What is read ahead is thrown away by each pause.
                "queued.min.messages": 1000,
                "queued.max.messages.kbytes": 16_384,
                "log_level": 2,  # `_kafka_failed` says it once
                **settings.kafka.librdkafka(),
                "group.id": settings.kafka.group_id,
                "enable.auto.commit": True,  # of what is stored, and that is what is done
                "enable.auto.offset.store": False,
                "error_cb": self._kafka_failed,
            },
        )
        self._partitions: dict[Partition, Assigned] = {}
        self._sequence = Sequence()
        self._ask_for_partitions: float | None = None
        self._next_tend = 0.0
        self.polled = time.monotonic()
        self._kafka_troubles: set[str] = set()
        self._connection_trouble = ""
        self._finish_within = min(2 * settings.scicat.timeout, MAX_FINISH)

    def stop(self) -> None:
        """Finish what is in work, commit and leave. May be called from a signal handler."""
        self.stopping = True

    def run(self) -> None:
        self._kafka.subscribe(
            [self._settings.kafka.topics], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        log.info("reading %s from Kafka at %s", self._settings.kafka.topics, self._settings.kafka.bootstrap_servers)
        self._workers.start()
        try:
            while not self.stopping:
                self._read()
                if time.monotonic() >= self._next_tend:
                    self._tend()
        finally:
            self._leave()

    def lag(self) -> dict[Partition, tuple[int, float]]:
        """Of each partition of ours, how many messages are not done, and how many seconds ago the first was sent.

        Kafka is not asked: what it has was known a moment ago.
        """
        now = time.time()
        with self._progress.together():
            found = {
                name: (partition.open + partition.unread, partition.oldest)
                for name, partition in self._partitions.items()
            }
        return {
            name: (behind, max(now - oldest, 0.0) if oldest is not None else 0.0)
            for name, (behind, oldest) in found.items()
        }

    # ---------------------------------------------------------------- reading

    def _read(self) -> None:
        found = self._kafka.poll(POLL)
        self.polled = time.monotonic()
        if found is None:
            return
        error = found.error()
        if error:
            self._kafka_failed(error)
        else:
            self._kafka_answers()
            self._take(found)

    def _take(self, kafka: KafkaMessage) -> None:
        topic, number = kafka.topic(), kafka.partition()
        assert topic is not None  # only what is no message, an error, may lack these
        assert number is not None
        partition = self._partitions[topic, number]
        item = Item.of(kafka, partition)
        with self._progress.together():
            partition.taken(item.offset, item.sent, item.size)
            self._progress.count(topic, "read")
            self._progress.count(topic, "waiting")
        if item.number and not item.again:
            self._sequence.seen(topic, item.run, item.number, item.sent)
        self._lanes.put(item)
        if partition.holds(self._settings.max_waiting, self._room):
            self._pause(partition, True)

    @property
    def _room(self) -> int:
        """Bytes of each partition."""
        return MAX_BYTES // max(len(self._partitions), 1)

    def _pause(self, partition: Assigned, paused: bool) -> None:
        given = [TopicPartition(partition.topic, partition.number)]
        if paused:
            self._kafka.pause(given)
        else:
            self._kafka.resume(given)
        partition.paused = paused

    # ---------------------------------------------------------------- tending

    def _tend(self) -> None:
        """What is to be done from time to time."""
        self._progress.held = self._workers.held
        most = self._settings.max_waiting
        for partition in self._partitions.values():
            self._store(partition)
            # Not at once, as each pause throws away what was read ahead.
            if partition.paused is not False and not partition.holds(max(most // 2, 1), max(self._room // 2, 1)):
                self._pause(partition, False)
            partition.high = self._high(partition)
        if self._settings.check_sequence:
            self._watch_sequence()
        self._next_tend = time.monotonic() + TEND

    def _store(self, partition: Assigned) -> None:
        offset = partition.storable
        if offset == partition.stored:
            return
        try:
            self._kafka.store_offsets(offsets=[TopicPartition(partition.topic, partition.number, offset)])
        except KafkaException as error:
            log.warning("%s is done up to %d, but that cannot be stored: %s", partition, offset, error)
        else:
            partition.stored = offset

    def _high(self, partition: Assigned) -> int:
        """The offset behind the last message that Kafka has of it, as far as its last answer says."""
        name = TopicPartition(partition.topic, partition.number)
        _, high = self._kafka.get_watermark_offsets(name, cached=True) or (UNKNOWN, UNKNOWN)
        return high

    # --------------------------------------------------------------- sequence

    def _watch_sequence(self) -> None:
        if self._ask_for_partitions is not None and time.monotonic() >= self._ask_for_partitions:
            self._find_whole_topics()
        for topic in {topic for topic, _ in self._partitions}:
            if self._is_read(topic):
                for run, gone in self._sequence.overdue(topic):
                    log.warning("%s, run %r: %d messages are missing, seq %s", topic, run[:100], len(gone), gone[:20])
                    self._progress.count(topic, "missing", len(gone))

    def _is_read(self, topic: str) -> bool:
        """Whether Kafka has no more of it, so that what is missing is not merely unread."""
        ours = [partition for partition in self._partitions.values() if partition.topic == topic]
        return not any(partition.paused or partition.unread for partition in ours)

    def _find_whole_topics(self) -> None:
        """See which topics are read by this SciCow alone."""
        try:
            topics = self._kafka.list_topics(timeout=1.0).topics
        except KafkaException:
            self._ask_for_partitions = time.monotonic() + ASK_FOR_PARTITIONS
            return
        self._ask_for_partitions = None
        for topic in {topic for topic, _ in self._partitions}:
            ours = sum(name == topic for name, _ in self._partitions)
            if topic in topics and ours == len(topics[topic].partitions):
                self._sequence.watch(topic, time.time())
            else:
                self._sequence.forget(topic)

    # ------------------------------------------------ what Kafka says, inside `poll`

    def _assigned(self, _: Any, partitions: list[TopicPartition]) -> None:
        self._kafka_answers()
        with self._progress.together():
            for each in partitions:
                self._partitions[each.topic, each.partition] = Assigned(each.topic, each.partition)
        self.assigned = True
        self._ask_for_partitions = 0.0
        # Only what is new was told; there may be none, and others as before.
        log.info("reading %s", ", ".join(map(repr, self._partitions.values())) or "no partition")

    def _revoked(self, _: Any, partitions: list[TopicPartition]) -> None:
        """Others get these when this returns, and begin with what is not committed; so nothing may be in work then."""
        gone = self._give_up(partitions)
        if not self._lanes.settle(self._finish_within, gone):
            log.warning("some of %s is still in work after %.0f s; it will come again", gone, self._finish_within)
        for partition in gone:
            self._store(partition)
        offsets = [TopicPartition(each.topic, each.number, each.stored) for each in gone if each.stored >= 0]
        if offsets and not self.stopping:  # `close` commits what is stored, and does not wait for ever for Kafka
            try:
                self._kafka.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                log.warning("what is done of %s will come again, as it cannot be committed: %s", gone, error)

    def _lost(self, _: Any, partitions: list[TopicPartition]) -> None:
        """Others have these already: Kafka has not heard from us for too long."""
        log.warning("lost %s: Kafka had not heard from this SciCow in time", self._give_up(partitions))

    def _give_up(self, partitions: list[TopicPartition]) -> list[Assigned]:
        gone = []
        with self._progress.together():
            for each in partitions:
                partition = self._partitions.pop((each.topic, each.partition))
                partition.gone = True
                gone.append(partition)
                self._sequence.forget(each.topic)
            for item in self._lanes.drop(gone):
                self._progress.count(item.partition.topic, "waiting", -1)
        self._ask_for_partitions = 0.0
        return gone

    def _leave(self) -> None:
        self._lanes.close()
        if not self._lanes.settle(self._finish_within):
            log.warning("something is still in work after %.0f s; it will come again", self._finish_within)
        self._finish_within = 0.0
        # It gives up what is assigned and commits. Without a broker it may never return (librdkafka's issue 3740).
        closing = threading.Thread(target=self._kafka.close, name="closing", daemon=True)
        closing.start()
        closing.join(LEAVE_WITHIN)
        if closing.is_alive():
            log.warning("Kafka does not answer; some of what was done last will come again")
        log.info("stopped")

    def _kafka_failed(self, error: KafkaError) -> None:
        # One broker's connection may come and go; librdkafka says so with _TRANSPORT. If all have gone, it says why.
        if error.code() == KafkaError._TRANSPORT:
            self._connection_trouble = f" ({error.str()})"
            return
        if error.name() in self._kafka_troubles:
            return
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:  # a beamline that has not sent anything yet
            if not self.assigned:
                log.info("there is no topic like %s yet; waiting for one", self._settings.kafka.topics)
            self.assigned = True
            return
        self._kafka_troubles.add(error.name())
        log.warning(
            "Kafka at %s: %s%s; is it running, and are the settings in kafka right? trying on",
            self._settings.kafka.bootstrap_servers,
            error.str(),
            self._connection_trouble if error.code() == KafkaError._ALL_BROKERS_DOWN else "",
        )

    def _kafka_answers(self) -> None:
        if self._kafka_troubles:
            log.info("Kafka answers again")
            self._kafka_troubles.clear()
