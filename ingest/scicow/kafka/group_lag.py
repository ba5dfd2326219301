"""Queries Kafka about SciCow from outside: the lag of its group, its members, the contents of a topic."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from ingest.scicow.kafka.topics import make_client
from ingest.scicow.settings import KafkaSettings


class GroupQueryError(Exception):
    """Kafka does not answer, or refuses. The text says why."""


@dataclass(frozen=True)
class TopicLag:
    """What of a topic is not done: messages, and the age in seconds of the oldest, None if it cannot be read.

    `lost` messages were deleted by Kafka beyond the committed offset, and SciCow has not seen this yet.
    """

    messages: int
    seconds: float | None
    lost: int = 0


class GroupQueries:
    """Each query takes about `timeout` seconds at most. Commits nothing, and joins no group."""

    def __init__(self, kafka: KafkaSettings, timeout: float) -> None:
        """Raises SciCowSettingsError."""
        self._kafka = kafka
        self._timeout = timeout
        self._said: list[str] = []
        self._quiet: dict[str, Any] = {"log_level": 0, "error_cb": lambda error: self._said.append(error.str())}
        self._admin = make_client(AdminClient, {**kafka.librdkafka(), **self._quiet, "client.id": "scicow-status"})

    def topics(self) -> list[str]:
        """Names of the topics that SciCow reads. Raises GroupQueryError, as all here."""
        wanted = re.compile(self._kafka.topics)
        return sorted(name for name in self._metadata() if wanted.search(name))

    def members(self) -> int | None:
        """How many replicas are in the group; None if this Kafka cannot say."""
        group = self._kafka.group_id
        try:
            found = self._admin.describe_consumer_groups([group], request_timeout=self._timeout)
            return len(self._result(found[group]).members)
        except GroupQueryError as error:
            cause = error.__cause__
            if isinstance(cause, KafkaException) and cause.args[0].code() == KafkaError._UNSUPPORTED_FEATURE:
                return None
            raise

    def lag_by_topic(self, topics: Iterable[str]) -> dict[str, TopicLag]:
        """For each topic what the group has not done."""
        wanted = set(topics)
        partitions = [
            TopicPartition(name, number)
            for name, topic in self._metadata().items()
            if name in wanted
            for number in topic.partitions
        ]
        first, last, done = self._offsets(partitions, 0), self._offsets(partitions, -1), self._done(partitions)
        # A group that has not begun begins at the start; so does one whose place was deleted.
        begin = {key: max(done.get(key, 0), offset) for key, offset in first.items()}
        open_ = {key: offset for key, offset in begin.items() if offset < last[key]}
        since = self._times(open_)
        found = {}
        for name in wanted:
            keys = [key for key in open_ if key[0] == name]
            times = [since[key] for key in keys if key in since]
            age = max(time.time() - min(times), 0.0) if times else None if keys else 0.0
            lost = sum(max(offset - done.get(key, offset), 0) for key, offset in first.items() if key[0] == name)
            found[name] = TopicLag(sum(last[key] - begin[key] for key in keys), age, lost)
        return found

    # ---------------------------------------------------------------- private

    def _metadata(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._admin.list_topics(timeout=self._timeout).topics
        except KafkaException as error:
            raise self._failed(error) from error
        return found

    def _offsets(self, partitions: list[TopicPartition], which: int) -> dict[tuple[str, int], int]:
        """The first (0) or the next (-1) offset of each."""
        if not partitions:
            return {}
        spec = OffsetSpec.latest() if which else OffsetSpec.earliest()
        asked = self._admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=self._timeout)
        return {(one.topic, one.partition): self._result(answer).offset for one, answer in asked.items()}

    def _done(self, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
        if not partitions:
            return {}
        group = self._kafka.group_id
        asked = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, partitions)], request_timeout=self._timeout
        )
        return {
            (one.topic, one.partition): one.offset
            for one in self._result(asked[group]).topic_partitions
            if one.offset >= 0
        }

    def _times(self, begin: dict[tuple[str, int], int]) -> dict[tuple[str, int], float]:
        """The times of the messages at these offsets, in seconds since 1970; of those that can be read in time."""
        if not begin:
            return {}
        found: dict[tuple[str, int], float] = {}
        reader = make_client(
            Consumer,
            {
                **self._kafka.librdkafka(),
                **self._quiet,
                "group.id": self._kafka.group_id,  # it must be one that this account may name
                "enable.auto.commit": False,
                "queued.min.messages": 1,
                "fetch.message.max.bytes": 1000,  # the first message of each is enough
                "fetch.queue.backoff.ms": 10,  # else a second passes before the next partition has its turn
            },
        )
        try:
            reader.assign([TopicPartition(*key, offset) for key, offset in begin.items()])
            deadline = time.monotonic() + self._timeout
            while len(found) < len(begin) and time.monotonic() < deadline:
                message = reader.poll(0.1)
                if message is None or message.error():
                    continue
                key = (str(message.topic()), int(message.partition() or 0))
                if key not in found:
                    found[key] = message.timestamp()[1] / 1000
                    reader.pause([TopicPartition(*key)])
        finally:
            reader.close()
        return found

    def _result(self, answer: Future[Any]) -> Any:
        try:
            return answer.result(self._timeout + 1.0)
        except (KafkaException, TimeoutError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> GroupQueryError:
        self._admin.poll(0)  # calls `error_cb`
        return GroupQueryError(self._said[0] if self._said else _text(error))


def _text(error: Exception) -> str:
    if isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError):
        return error.args[0].str()
    return str(error) or "no answer in time"
