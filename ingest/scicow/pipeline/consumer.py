"""From Kafka to SciCat: reads the topics of all beamlines, and stores an offset only when all before it is done.

A message is done when SciCat has what it says, or when the dead-letter topic has it. The offset that is stored of a
partition is that of its first message that is not done. This thread reads and stores, the workers write to SciCat; so
Kafka is polled in time, however long they wait.

A partition is read only when `PartitionStarts` knows where it begins.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from ingest.scicow.catalogue.ingestor import Ingestor
from ingest.scicow.dead_letters.producer import DeadLetterProducer
from ingest.scicow.kafka.partition_inspector import PartitionInspector
from ingest.scicow.kafka.topics import make_client
from ingest.scicow.pipeline.assigned_partition import AssignedPartition, PartitionKey
from ingest.scicow.pipeline.counters import Progress
from ingest.scicow.pipeline.loss_recorder import LossRecorder
from ingest.scicow.pipeline.partition_starts import PartitionStarts, committed_place
from ingest.scicow.pipeline.received_message import ReceivedMessage
from ingest.scicow.pipeline.sequence_gaps import SequenceGaps
from ingest.scicow.pipeline.workers import Workers
from ingest.scicow.settings import SciCowSettings, SciCowSettingsError

log = logging.getLogger(__name__)

KAFKA_POLL_SECONDS = 0.2
"""Maximum wait for the next message."""

OFFSET_STORE_SECONDS = 0.2
"""Between two times that offsets are stored and partitions resumed."""

MAX_WAITING_BYTES = 256 * 1024 * 1024
"""Messages in memory, divided evenly among the partitions; each may exceed its part by one message."""

MAX_FINISH_SECONDS = 45.0
"""Without a poll; Kafka revokes our partitions after its `max.poll.interval.ms`, of 300 s."""

CLOSE_SECONDS = 12.0
"""For Kafka's client to close; a little more than the session's time-out, which librdkafka may wait for."""

CONFIG_FILE_CHECK_SECONDS = 5.0
"""Between two looks at `kafka.config_file` while nothing can be read from Kafka."""

STANDSTILL_SECONDS = 30.0
"""Without partitions, after an error of Kafka, or with one that is not read yet, from which on SciCow is held."""

UNDELIVERED_SECONDS = 60.0
"""Without a message of a partition that has some in Kafka; then SciCow reconnects.

librdkafka (2.16) may read nothing more of a topic that was deleted and created again while a broker restarted. It may
also keep a partition that such a topic no longer has: then SciCow reconnects after STANDSTILL_SECONDS.
"""

MAX_RECONNECTIONS = 3
"""For the same offset that is not delivered."""

METADATA_RETRY_SECONDS = 10.0
UNKNOWN_OFFSET = -1001
"""librdkafka's RD_KAFKA_OFFSET_INVALID."""


class SciCowConsumer:
    """`run` returns after `stop`. Other threads may read what is public."""

    last_poll: float
    """When Kafka was polled last, as `time.monotonic`."""
    assigned = False
    """Whether Kafka has assigned partitions, of which there may be none."""
    stopping = False

    def __init__(
        self, settings: SciCowSettings, ingestor: Ingestor, dead_letters: DeadLetterProducer, progress: Progress
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._workers = Workers(settings, ingestor, dead_letters, progress)
        self._queues = self._workers.queues
        self._dead_letters = dead_letters
        self._losses = LossRecorder(dead_letters, progress)
        self._partitions: dict[PartitionKey, AssignedPartition] = {}
        self._starts = PartitionStarts(self._partitions, self._assign_again, self._queues, self._losses, progress)
        self._client_number = 0
        self._connect()
        self._sequence_gaps = SequenceGaps()
        self._next_metadata: float | None = None
        self._next_housekeeping = 0.0
        self.last_poll = time.monotonic()
        self._kafka_errors: set[str] = set()
        self._kafka_error = ""  # the last one since Kafka has answered
        self._connection_error = ""
        self._broken = False  # the client, for good
        self._reconnections: Counter[tuple[str, int, int]] = Counter()  # by topic, partition and next offset
        self._next_config_check = 0.0
        self._unassigned_since = time.monotonic()
        self._finish_within = min(2 * settings.scicat.timeout, MAX_FINISH_SECONDS)

    def _connect(self) -> None:
        """Make the clients, with `kafka.config_file` as it is now. SciCowSettingsError if they cannot be made."""
        settings = self._settings
        librdkafka = settings.kafka.librdkafka()
        number = self._client_number + 1
        config = {
            "client.id": "scicow",
            "auto.offset.reset": "earliest",
            # How soon the topic of a new beamline is found.
            "topic.metadata.refresh.interval.ms": 5000,
            # A new topic or SciCow moves only the partitions that must move.
            "partition.assignment.strategy": "cooperative-sticky",
            "auto.commit.interval.ms": 1000,
            # How long nobody reads the partitions of a SciCow that was killed.
            "session.timeout.ms": 10_000,
            # Each pause discards what was prefetched.
            "queued.min.messages": 1000,
            "queued.max.messages.kbytes": 16_384,
            "log_level": 2,  # `_kafka_failed` logs each error once
            **librdkafka,
            "group.id": settings.kafka.group_id,
            "enable.auto.commit": True,  # of stored offsets, which are those that are done
            "enable.auto.offset.store": False,
            "error_cb": partial(self._client_failed, number),
        }
        inspector = PartitionInspector(settings.kafka)
        try:
            self._kafka = make_client(Consumer, config)
        except SciCowSettingsError:
            inspector.close()  # it has a thread
            raise
        self._client_number, self._librdkafka, self._inspector = number, librdkafka, inspector
        self._starts.use(self._kafka, inspector)

    def _subscribe(self) -> None:
        self._kafka.subscribe(
            [self._settings.kafka.topics], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def stop(self) -> None:
        """Finish the messages in progress, commit and close. May be called from a signal handler."""
        self.stopping = True

    def run(self) -> None:
        self._subscribe()
        log.info("reading %s from Kafka at %s", self._settings.kafka.topics, self._settings.kafka.bootstrap_servers)
        self._workers.start()
        self._losses.start()
        try:
            while not self.stopping:
                self._poll()
                if time.monotonic() >= self._next_housekeeping:
                    self._housekeeping()
        finally:
            self._close()

    def lag_by_partition(self) -> dict[PartitionKey, tuple[int, float]]:
        """For each assigned partition: how many messages are not done, and the age in seconds of the oldest.

        It does not ask Kafka, but uses its last answer.
        """
        now = time.monotonic()
        with self._progress.locked():
            lag = {
                key: (partition.unfinished + partition.unread, partition.oldest)
                for key, partition in self._partitions.items()
            }
        return {key: (messages, now - oldest if oldest is not None else 0.0) for key, (messages, oldest) in lag.items()}

    # ---------------------------------------------------------------- reading

    def _poll(self) -> None:
        kafka_message = self._kafka.poll(KAFKA_POLL_SECONDS)
        self.last_poll = time.monotonic()
        if kafka_message is None:
            return
        error = kafka_message.error()
        if error:
            self._kafka_failed(error)
        else:
            self._kafka_answered()
            self._receive(kafka_message)

    def _receive(self, kafka_message: KafkaMessage) -> None:
        topic, number = kafka_message.topic(), kafka_message.partition()
        assert topic is not None  # only an error may lack these, which is no message
        assert number is not None
        partition = self._partitions.get((topic, number))
        if partition is None or not partition.started:
            return  # it was fetched before it was paused, and is read again from where reading begins
        message = ReceivedMessage.of(kafka_message, partition)
        with self._progress.locked():
            partition.received(message.offset, message.sent, message.size)
            self._progress.count(topic, "read")
            self._progress.count(topic, "waiting")
        if message.seq and not message.is_resent:
            self._sequence_gaps.received(topic, message.run, message.seq, message.sent)
        self._queues.put(message)
        if partition.is_full(self._settings.max_waiting, self._max_partition_bytes):
            self._set_paused(partition, True)

    @property
    def _max_partition_bytes(self) -> int:
        return MAX_WAITING_BYTES // max(len(self._partitions), 1)

    def _set_paused(self, partition: AssignedPartition, paused: bool) -> None:
        topic_partition = [TopicPartition(partition.topic, partition.number)]
        if paused:
            self._kafka.pause(topic_partition)
        else:
            self._kafka.resume(topic_partition)
        partition.paused = paused

    # ----------------------------------------------------------- housekeeping

    def _housekeeping(self) -> None:
        if self._starts.inspect() and self.assigned:
            self._kafka_answered()
        self._check_connection()
        self._progress.held = self._workers.held or self._losses.held
        messages, size = max(self._settings.max_waiting // 2, 1), max(self._max_partition_bytes // 2, 1)
        for partition in self._partitions.values():
            self._store_offset(partition)
            if not partition.started and partition.paused is None:
                # Nothing is read before it is known where.
                self._set_paused(partition, True)
            # Only when half is done, as each pause discards what was prefetched.
            if partition.started and partition.paused is not False and not partition.is_full(messages, size):
                self._set_paused(partition, False)
            partition.update_high_watermark(self._high_watermark(partition))
        if self._settings.check_sequence:
            self._report_missing()
        self._next_housekeeping = time.monotonic() + OFFSET_STORE_SECONDS

    def _store_offset(self, partition: AssignedPartition) -> None:
        if not partition.started:
            return
        offset = self._starts.offset_to_store(partition)
        if offset == partition.stored_offset:
            return
        try:
            self._kafka.store_offsets(offsets=[committed_place(partition, offset)])
        except KafkaException as error:
            log.warning("%s: offset %d cannot be stored: %s", partition, offset, error)
        else:
            partition.stored_offset = offset

    def _high_watermark(self, partition: AssignedPartition) -> int:
        """The offset after the last message in Kafka, as of its last answer."""
        topic_partition = TopicPartition(partition.topic, partition.number)
        _, high = self._kafka.get_watermark_offsets(topic_partition, cached=True) or (UNKNOWN_OFFSET, UNKNOWN_OFFSET)
        return high

    # ------------------------------------------------------------- the connection

    def _check_connection(self) -> None:
        """Report why nothing is read, and reconnect if `kafka.config_file` has changed."""
        now = time.monotonic()
        if self._partitions or self.assigned:
            self._unassigned_since = now
        reason = self._starts.error
        if not reason and self._kafka_error and now - self._unassigned_since > STANDSTILL_SECONDS:
            reason = self._kafka_error
        unknown = [
            each
            for each in self._partitions.values()
            if (each.problem or not each.started) and now - each.known_at > STANDSTILL_SECONDS
        ]
        undelivered = [each for each in self._partitions.values() if each.undelivered_seconds() > UNDELIVERED_SECONDS]
        stuck = [each for each in unknown if each.is_missing]
        if unknown and not reason:
            reason = f"{unknown[0]} cannot be read: {unknown[0].problem or 'Kafka does not say where it begins'}"
        elif undelivered and not reason:
            reason = f"it has messages of {undelivered[0]} and does not deliver them"
            stuck = undelivered
        place, client = None, self._kafka
        if stuck:
            place = (stuck[0].topic, stuck[0].number, stuck[0].next_offset)
            # Where it does not help, there may be no message: offsets at the end of a topic can be those of none.
            self._broken |= self._reconnections[place] < MAX_RECONNECTIONS
        if (reason or self._broken) and now >= self._next_config_check:
            self._next_config_check = now + CONFIG_FILE_CHECK_SECONDS
            reason = self._reconnect() or reason
            if place is not None and self._kafka is not client:
                self._reconnections[place] += 1
        servers = self._settings.kafka.bootstrap_servers
        text = f"Kafka at {servers}: {reason}. Check the `kafka` settings" if reason else ""
        if text and self._settings.kafka.config_file:
            text += "; the config_file is read again when it changes"
        if text and text != self._progress.kafka:
            log.warning("held: %s", text)
        self._progress.kafka = text

    def _reconnect(self) -> str:
        """With another configuration, or after an error that a client does not survive; why it cannot be, or ""."""
        try:
            if self._settings.kafka.librdkafka() == self._librdkafka and not self._broken:
                return ""
            log.info("reconnecting to Kafka")
            before, inspector = self._kafka, self._inspector
            self._connect()
        except SciCowSettingsError as error:
            return str(error)
        self._remove([TopicPartition(*key) for key in self._partitions])
        self._close_client(before)
        inspector.close()
        self._broken = self.assigned = False
        self._kafka_error = ""
        self._subscribe()
        return ""

    def _close_client(self, client: Consumer) -> threading.Thread:
        """Close it, in a thread: it may never return (librdkafka's issue 3740)."""
        closing = threading.Thread(target=client.close, name="closing", daemon=True)
        closing.start()
        return closing

    # --------------------------------------------------------------- sequence

    def _report_missing(self) -> None:
        if self._next_metadata is not None and time.monotonic() >= self._next_metadata:
            self._find_whole_topics()
        for topic in {topic for topic, _ in self._partitions}:
            if self._is_read(topic):
                for run, seqs in self._sequence_gaps.overdue(topic):
                    log.warning("%s, run %r: %d messages are missing, seq %s", topic, run[:100], len(seqs), seqs[:20])
                    self._progress.count(topic, "missing", len(seqs))

    def _is_read(self, topic: str) -> bool:
        """Whether all messages of the topic have been read, so that what is missing is not merely unread."""
        partitions = [partition for partition in self._partitions.values() if partition.topic == topic]
        return not any(partition.paused or partition.unread for partition in partitions)

    def _find_whole_topics(self) -> None:
        """Find the topics that are read by this SciCow alone."""
        try:
            topics = self._kafka.list_topics(timeout=1.0).topics
        except KafkaException:
            self._next_metadata = time.monotonic() + METADATA_RETRY_SECONDS
            return
        self._next_metadata = None
        for topic in {topic for topic, _ in self._partitions}:
            assigned = sum(name == topic for name, _ in self._partitions)
            if topic in topics and assigned == len(topics[topic].partitions):
                self._sequence_gaps.watch(topic, time.monotonic())
            else:
                self._sequence_gaps.forget(topic)

    # ------------------------------------------- callbacks of Kafka, inside `poll`

    def _on_assign(self, client: Any, partitions: list[TopicPartition]) -> None:
        if client is not self._kafka:
            return  # it is being closed
        self._kafka_answered()
        with self._progress.locked():
            for each in partitions:
                self._partitions[each.topic, each.partition] = self._starts.assigned(each.topic, each.partition)
        self.assigned = True
        self._next_housekeeping = self._next_metadata = 0.0
        self._starts.ask_soon()
        # `partitions` are only the new ones; the others stay assigned.
        log.info("reading %s", ", ".join(map(repr, self._partitions.values())) or "no partition")

    def _assign_again(self, partition: AssignedPartition) -> AssignedPartition:
        key = (partition.topic, partition.number)
        self._remove([TopicPartition(*key)])
        new = self._starts.assigned(*key)
        new.paused = partition.paused
        with self._progress.locked():
            self._partitions[key] = new
        return new

    def _on_revoke(self, client: Any, partitions: list[TopicPartition]) -> None:
        """When this returns, other consumers begin at the committed offsets; so no message may be in progress then."""
        if client is not self._kafka:
            return
        revoked = self._remove(partitions)
        if not self._queues.wait_until_idle(self._finish_within, revoked):
            log.warning(
                "messages of %s are still in progress after %.0f s; they will be redelivered",
                revoked,
                self._finish_within,
            )
        for partition in revoked:
            self._store_offset(partition)
        offsets = [committed_place(each, each.stored_offset) for each in revoked if each.stored_offset >= 0]
        if offsets and not self.stopping:  # `close` commits stored offsets, and does not wait for Kafka without end
            try:
                self._kafka.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                log.warning("offsets of %s cannot be committed: %s; messages will be redelivered", revoked, error)

    def _on_lost(self, client: Any, partitions: list[TopicPartition]) -> None:
        """Other consumers have these partitions already."""
        if client is not self._kafka:
            return
        log.warning("lost %s: Kafka did not hear from this SciCow in time", self._remove(partitions))
        self.assigned = bool(self._partitions)

    def _remove(self, partitions: list[TopicPartition]) -> list[AssignedPartition]:
        revoked = []
        with self._progress.locked():
            for each in partitions:
                partition = self._partitions.pop((each.topic, each.partition))
                revoked.append(partition)
                self._sequence_gaps.forget(each.topic)
            for message in self._queues.drop(revoked):
                self._progress.count(message.partition.topic, "waiting", -1)
            for partition in revoked:
                self._starts.taken_away(partition)
        self._next_metadata = 0.0
        return revoked

    def _close(self) -> None:
        self._queues.close()
        if not self._queues.wait_until_idle(self._finish_within):
            log.warning("messages still in progress after %.0f s; they will be redelivered", self._finish_within)
        self._finish_within = 0.0
        self._losses.stop()
        self._inspector.close()
        closing = self._close_client(self._kafka)  # it revokes the partitions and commits
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():
            log.warning("Kafka does not answer; the messages that were done last may be redelivered")
        log.info("stopped")

    def _client_failed(self, number: int, error: KafkaError) -> None:
        if number == self._client_number:  # not one that is being closed
            self._kafka_failed(error)

    def _kafka_failed(self, error: KafkaError) -> None:
        if error.fatal():
            self._broken = True
        # _TRANSPORT is one broker's connection, which may fail and recover. If all fail, it says why.
        if error.code() == KafkaError._TRANSPORT:
            self._connection_error = f" ({error.str()})"
            return
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._kafka_error = error.str()
        if error.name() in self._kafka_errors:
            return
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:  # no beamline has sent anything yet
            if not self.assigned:
                log.info("no topic matches %s yet; waiting for one", self._settings.kafka.topics)
            self.assigned = True
            return
        self._kafka_errors.add(error.name())
        log.warning(
            "Kafka at %s: %s%s. Is it running? Check the `kafka` settings. Retrying.",
            self._settings.kafka.bootstrap_servers,
            error.str(),
            self._connection_error if error.code() == KafkaError._ALL_BROKERS_DOWN else "",
        )

    def _kafka_answered(self) -> None:
        self._kafka_error = ""
        if self._kafka_errors:
            log.info("Kafka answers again")
            self._kafka_errors.clear()
