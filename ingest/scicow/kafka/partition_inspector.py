"""Asks Kafka about partitions without waiting for the answer: the topic's id, what there is, what is committed.

A consumer does not say that messages were deleted before it read them, or that its topic is another one by now. Both
follow from these facts: an offset that is below the first available one, and an id that has changed.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from ingest.scicow.kafka.topics import make_client
from ingest.scicow.settings import KafkaSettings

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0
ID_ANSWER_SECONDS = 2.0
"""Seconds for the id of a topic; a broker that has none (before Kafka 2.8) does not answer."""

_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError._NOENT)
"""There is no such topic at the moment."""


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


Answer = dict[tuple[str, int], PartitionFacts]
"""By topic and partition. What is not in Kafka at the moment is left out."""


class InspectionFailed(Exception):
    """Kafka does not answer, or refuses. The text says why."""


class PartitionInspector:
    """Has one question at a time. Never blocks."""

    def __init__(self, kafka: KafkaSettings) -> None:
        """Raises SciCowSettingsError."""
        self._group = kafka.group_id
        self._errors: list[str] = []
        config = {"log_level": 0, **kafka.librdkafka(), "client.id": "scicow-inspector", "error_cb": self._on_error}
        self._admin = make_client(AdminClient, config)
        self._question: _OpenInspection | None = None

    def ask(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Ask about these; of none, whether Kafka answers at all. Nothing happens while another question is open."""
        if self._question is None:
            self._errors.clear()
            self._question = _OpenInspection(self._admin, self._group, list(partitions))

    @property
    def is_asking(self) -> bool:
        return self._question is not None

    def answer(self) -> Answer | None:
        """The answer, once; None while there is none. Raises InspectionFailed."""
        self._admin.poll(0)  # calls `_on_error`
        question = self._question
        if question is None or not question.is_done:
            return None
        self._question = None
        try:
            return question.result()
        except KafkaException as error:
            raise InspectionFailed(self._errors[-1] if self._errors else error.args[0].str()) from error
        except TimeoutError as error:
            raise InspectionFailed("no answer in time") from error

    def _on_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # the one before it says why
            self._errors.append(error.str())


class _OpenInspection:
    """The requests of one question: by topic, as one that is deleted must not cost the answers about the others."""

    def __init__(self, admin: AdminClient, group: str, partitions: list[tuple[str, int]]) -> None:
        self._deadline = time.monotonic() + ANSWER_SECONDS + 1.0
        numbers: dict[str, list[TopicPartition]] = defaultdict(list)
        for topic, number in partitions:
            numbers[topic].append(TopicPartition(topic, number))
        self._first: dict[tuple[str, int], Future[Any]] = {}
        self._last: dict[tuple[str, int], Future[Any]] = {}
        self._ids: dict[str, Future[Any]] = {}
        self._alive: Future[Any] | None = None
        self._committed: Future[Any] | None = None
        for topic, asked in numbers.items():
            for into, spec in ((self._first, OffsetSpec.earliest()), (self._last, OffsetSpec.latest())):
                answers = admin.list_offsets(dict.fromkeys(asked, spec), request_timeout=ANSWER_SECONDS)
                into |= {(topic, each.partition): answer for each, answer in answers.items()}
        if numbers:
            self._ids = admin.describe_topics(TopicCollection(list(numbers)), request_timeout=ID_ANSWER_SECONDS)
            every = [each for asked in numbers.values() for each in asked]
            wanted = [ConsumerGroupTopicPartitions(group, every)]
            self._committed = admin.list_consumer_group_offsets(wanted, request_timeout=ANSWER_SECONDS)[group]
        else:
            self._alive = admin.describe_cluster(request_timeout=ANSWER_SECONDS)

    @property
    def _futures(self) -> list[Future[Any]]:
        single = [each for each in (self._alive, self._committed) if each is not None]
        return [*self._first.values(), *self._last.values(), *self._ids.values(), *single]

    @property
    def is_done(self) -> bool:
        return all(each.done() for each in self._futures) or time.monotonic() > self._deadline

    def result(self) -> Answer:
        """KafkaException or TimeoutError if Kafka does not answer."""
        if self._alive is not None:
            self._alive.result(0)
        if self._committed is None:
            return {}
        committed = {(each.topic, each.partition): each for each in self._committed.result(0).topic_partitions}
        found: Answer = {}
        for key, answer in self._first.items():
            place = committed.get(key)
            if place is not None and place.error is not None:
                raise KafkaException(place.error)
            first, last = _offset(answer), _offset(self._last[key])
            if first is None or last is None:
                continue
            offset = place.offset if place is not None and place.offset >= 0 else -1
            committed_id = (place.metadata or "") if place is not None and offset >= 0 else ""
            found[key] = PartitionFacts(self._id(key[0]), first, last, offset, committed_id)
        return found

    def _id(self, topic: str) -> str:
        try:
            found = self._ids[topic].result(0)
        except KafkaException as error:
            log.debug("the id of topic %s is not known: %s", topic, error)
            return ""
        except TimeoutError:
            return ""
        return str(found.topic_id) if found.topic_id is not None else ""


def _offset(answer: Future[Any]) -> int | None:
    """None if there is no such partition at the moment."""
    try:
        return int(answer.result(0).offset)
    except KafkaException as error:
        if error.args[0].code() in _GONE:
            return None
        raise
