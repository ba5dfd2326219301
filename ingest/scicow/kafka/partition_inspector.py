"""Asks Kafka about partitions, in a thread of its own: the topic's id, the messages that there are, what is committed.

A consumer does not report that messages were deleted before it read them, or that its topic was created again. Both
follow from these facts: an offset that is below the first available one, and an id that has changed.

The requests are those of a consumer, except for the ids. librdkafka (2.16) ends the whole process by an assertion where
a broker goes away during an admin request to the coordinator (`rd_kafka_admin_coord_request`); so there is none here.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from ingest.scicow.kafka.topics import make_client
from ingest.scicow.settings import KafkaSettings

log = logging.getLogger(__name__)

INSPECTION_ANSWER_SECONDS = 10.0
FURTHER_ANSWER_SECONDS = 1.0
"""For each further partition where one has not been answered about, so that the others need not wait for long."""

ID_ANSWER_SECONDS = 2.0
"""Seconds for the ids of the topics; a broker that has none (before Kafka 2.8) does not answer."""

_GONE = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)
"""There is no such partition."""

_ELECTING = (KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)
"""There is one, and its leader is being elected."""


@dataclass(frozen=True)
class PartitionFacts:
    """What Kafka says of a partition: the first available offset, and the one after the last message.

    `committed` is the offset that SciCow's group has committed, -1 if none, with the id of the topic in which it did.
    An id is "" if it is not known.
    """

    topic_id: str
    first: int
    last: int
    committed: int
    committed_id: str


class InspectionFailed(Exception):
    """Kafka does not answer, or refuses. The text says why."""


Answer = dict[tuple[str, int], PartitionFacts | InspectionFailed]
"""By topic and partition; or why it is not known of one. What is not in Kafka is left out."""


class PartitionInspector:
    """Has one question at a time. Its methods return at once."""

    def __init__(self, kafka: KafkaSettings) -> None:
        """Raises SciCowSettingsError."""
        self._errors: list[str] = []
        known = {"log_level": 0, **kafka.librdkafka(), "client.id": "scicow-inspector", "error_cb": self._on_error}
        # It subscribes to nothing, so it is never in the group.
        own = {"group.id": kafka.group_id, "enable.auto.commit": False, "enable.auto.offset.store": False}
        self._consumer = make_client(Consumer, {**known, **own})
        self._admin = make_client(AdminClient, known)
        self._questions: queue.SimpleQueue[list[tuple[str, int]] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer | InspectionFailed] = queue.SimpleQueue()
        self.is_asking = False
        threading.Thread(target=self._run, name="inspector", daemon=True).start()

    def ask(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Ask about these; of none, whether Kafka answers at all. Nothing happens while another question is open."""
        if not self.is_asking:
            self.is_asking = True
            self._questions.put(list(partitions))

    def answer(self) -> Answer | None:
        """The answer, once; None while there is none. Raises InspectionFailed where nothing is known of any."""
        try:
            found = self._answers.get_nowait()
        except queue.Empty:
            return None
        self.is_asking = False
        if isinstance(found, InspectionFailed):
            raise found
        return found

    def close(self) -> None:
        """Ask nothing more."""
        self._questions.put(None)

    def _run(self) -> None:
        while (partitions := self._questions.get()) is not None:
            self._errors.clear()
            try:
                self._answers.put(self._facts(partitions))
            except KafkaException as error:
                self._consumer.poll(0)  # calls `_on_error`
                self._answers.put(InspectionFailed(self._errors[-1] if self._errors else error.args[0].str()))
            except Exception as error:
                log.exception("internal error in SciCow, please report it")
                self._answers.put(InspectionFailed(repr(error)))
        self._consumer.close()

    def _facts(self, partitions: list[tuple[str, int]]) -> Answer:
        if not partitions:
            self._consumer.list_topics(timeout=INSPECTION_ANSWER_SECONDS)
            return {}
        wanted = [TopicPartition(*key) for key in partitions]
        committed = {
            (each.topic, each.partition): each
            for each in self._consumer.committed(wanted, timeout=INSPECTION_ANSWER_SECONDS)
        }
        watermarks: dict[tuple[str, int], tuple[int, int]] = {}
        failures: dict[tuple[str, int], KafkaError] = {}
        for each in wanted:
            key, place = (each.topic, each.partition), committed[each.topic, each.partition]
            try:
                watermark = self._watermarks(each, FURTHER_ANSWER_SECONDS if failures else INSPECTION_ANSWER_SECONDS)
            except KafkaException as error:
                failures[key] = error.args[0]
            else:
                if place.error is not None:
                    failures[key] = place.error
                elif watermark is not None:
                    watermarks[key] = watermark
        if len(failures) == len(wanted) and any(each.code() not in _ELECTING for each in failures.values()):
            raise KafkaException(next(iter(failures.values())))
        ids = self._ids({each.topic for each in wanted})  # last, when Kafka is known to answer
        found: Answer = {key: InspectionFailed(error.str()) for key, error in failures.items()}
        for key, (first, last) in watermarks.items():
            place = committed[key]
            is_committed = place.offset >= 0
            committed_id = (place.metadata or "") if is_committed else ""
            offset = place.offset if is_committed else -1
            found[key] = PartitionFacts(ids.get(key[0], ""), first, last, offset, committed_id)
        return found

    def _watermarks(self, partition: TopicPartition, timeout: float) -> tuple[int, int] | None:
        """None if there is no such partition. Raises KafkaException."""
        try:
            return self._consumer.get_watermark_offsets(partition, timeout=timeout)
        except KafkaException as error:
            if error.args[0].code() in _GONE:
                return None
            raise

    def _ids(self, topics: set[str]) -> dict[str, str]:
        """The ids of those topics that have one."""
        answers = self._admin.describe_topics(TopicCollection(list(topics)), request_timeout=ID_ANSWER_SECONDS)
        found = {}
        for topic, answer in answers.items():
            try:
                found[topic] = str(answer.result(ID_ANSWER_SECONDS + 1.0).topic_id or "")
            except (KafkaException, TimeoutError) as error:
                log.debug("the id of topic %s is not known: %s", topic, error)
        return found

    def _on_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # the one before it has the reason
            self._errors.append(error.str())
