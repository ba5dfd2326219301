"""Kafka clients, and reading and writing topics, also while SciCow runs.

`make_client` makes any client of librdkafka. `TopicReader` reads a range of messages that is fixed before it is read,
`RecordWriter` writes records and waits for their confirmation. Nothing here joins a consumer group or commits an
offset, so a running SciCow is not affected.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import methodcaller
from types import TracebackType
from typing import Any, NamedTuple, TypeVar, cast

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient

from ingest.scicow.settings import KafkaSettings, SciCowSettingsError

log = logging.getLogger(__name__)

T = TypeVar("T")

KAFKA_ANSWER_SECONDS = 10.0
RECORD_CONFIRM_SECONDS = 30.0
SILENT_TOPIC_SECONDS = 30.0
"""Seconds without a message, where Kafka has said that there are some, after which reading is given up."""

# These errors are temporary, or concern the group, which is not used here.
_MOVING = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
)
"""What Kafka says of a topic that has just been made, or moves to another broker: gone within seconds."""

LEADER_RETRY_SECONDS = 0.2

_PASSING = (
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
)

Headers = list[tuple[str, str | bytes | None]]

Timestamp = float
"""Seconds since 1970."""

RangeBound = Timestamp | Mapping[int | None, int]
"""Where a range begins or ends: a time, or offsets by partition. Partition None is the only one there is."""


def make_client(kind: Callable[[dict[str, Any]], T], config: dict[str, Any]) -> T:
    """A client of this kind. SciCowSettingsError if the client library refuses what `kafka.config_file` says."""
    try:
        return kind(config)
    except (KafkaException, TypeError, ValueError) as error:
        said = error.args[0].str() if isinstance(error.args[0], KafkaError) else str(error)
        said = re.sub(r'value ".*" for', "value for", said, flags=re.DOTALL)  # it may be a password in the wrong line
        raise SciCowSettingsError(f"kafka.config_file: Kafka's client library refuses it: {said}") from error


class TopicError(Exception):
    """Kafka did not deliver or accept something. The text says what, where, and what to do."""


class NoTopic(TopicError):
    """There is no topic of this name."""


class MessagePosition(NamedTuple):
    """The position of a message in Kafka; as text `topic[partition]@offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"

    @classmethod
    def parse(cls, text: str) -> MessagePosition | None:
        """The position at the end of a text, as `str` writes it; None if there is none."""
        found = re.search(r"([A-Za-z0-9._-]{1,249})\[(\d{1,9})\]@(\d{1,18})\Z", text)
        return cls(found[1], int(found[2]), int(found[3])) if found else None

    @classmethod
    def of(cls, message: KafkaMessage) -> MessagePosition:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        # Only what is no message, an error, may lack these.
        assert topic is not None
        assert partition is not None
        assert offset is not None
        return cls(topic, partition, offset)


@dataclass(frozen=True)
class OffsetRange:
    """The messages of one partition from `start` to before `end`. Those before `first_available` are deleted."""

    topic: str
    partition: int
    start: int
    end: int
    first_available: int = 0

    def __len__(self) -> int:
        return max(self.end - self.start, 0)

    def __contains__(self, place: object) -> bool:
        return (
            isinstance(place, MessagePosition)
            and (place.topic, place.partition) == (self.topic, self.partition)
            and self.start <= place.offset < self.end
        )


class TopicReader:
    """A reader of any topic. A context manager. Raises TopicError."""

    def __init__(self, settings: KafkaSettings, timeout: float = KAFKA_ANSWER_SECONDS) -> None:
        """`timeout` is in seconds, for each answer of Kafka."""
        self._settings = settings
        self._timeout = timeout
        self._trouble = ""
        self._config = {
            "client.id": "scicow-look",
            "log_level": 2,  # what goes wrong is in the errors
            "queued.max.messages.kbytes": 16_384,
            **settings.librdkafka(),
            # librdkafka wants one, and it must be one that this account may name. Nothing is subscribed to, so
            # this reader is never in the group.
            "group.id": settings.group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",  # of what is deleted while it is read
            "enable.partition.eof": True,
            "error_cb": self._failed,
        }
        self._consumer = make_client(Consumer, self._config)

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._consumer.close()

    # ------------------------------------------------------------------- what there is

    def partitions(self) -> dict[str, list[int]]:
        """The numbers of the partitions of each topic."""
        found = self._asked(lambda: self._consumer.list_topics(timeout=self._timeout))
        return {name: sorted(topic.partitions) for name, topic in found.topics.items() if not topic.error}

    def whole(self, topic: str) -> list[OffsetRange]:
        """The whole topic as it is now. NoTopic if it does not exist."""
        numbers = self.partitions().get(topic)
        if not numbers:
            raise NoTopic(f"topic {topic} does not exist at {self._settings.bootstrap_servers}")
        ranges = []
        for number in numbers:
            low, high = self._watermarks(topic, number)
            ranges.append(OffsetRange(topic, number, low, high, low))
        return ranges

    def range(self, topic: str, begin: RangeBound, end: RangeBound | None) -> list[OffsetRange]:
        """From `begin` to before `end` (None: all that is there now) of each partition.

        Where `begin` names offsets, partitions that it does not name are left out.
        """
        whole = self.whole(topic)
        first, last = self._offsets(whole, begin), {} if end is None else self._offsets(whole, end)
        return [
            OffsetRange(
                topic,
                each.partition,
                min(max(first[each.partition], each.start), each.end),
                min(last.get(each.partition, each.end), each.end),
                each.start,
            )
            for each in whole
            if each.partition in first
        ]

    def committed(self, ranges: Iterable[OffsetRange]) -> dict[tuple[str, int], int]:
        """The committed offsets of SciCow's group, by topic and partition; none where it has not begun."""
        wanted = [TopicPartition(each.topic, each.partition) for each in ranges]
        if not wanted:
            return {}
        known: dict[str, Any] = {"log_level": 2, **self._settings.librdkafka(), "error_cb": self._failed}
        admin = make_client(AdminClient, known)
        request = [ConsumerGroupTopicPartitions(self._settings.group_id, wanted)]
        (answer,) = admin.list_consumer_group_offsets(request, request_timeout=self._timeout).values()
        found = self._asked(lambda: answer.result(self._timeout + 1.0))
        for each in found.topic_partitions:
            if each.error is not None:
                raise TopicError(f"group {self._settings.group_id}, {each.topic}[{each.partition}]: {each.error.str()}")
        return {(each.topic, each.partition): each.offset for each in found.topic_partitions if each.offset >= 0}

    # ------------------------------------------------------------------------- reading

    def read(self, ranges: Sequence[OffsetRange]) -> Iterator[KafkaMessage]:
        """All messages of the ranges, in order within a partition; memory for some 16 MB of them is used."""
        ends = {(each.topic, each.partition): each.end for each in ranges if len(each)}
        if not ends:
            return
        consumer = make_client(Consumer, self._config)  # one of its own, so that another range can be read meanwhile
        try:
            consumer.assign([TopicPartition(each.topic, each.partition, each.start) for each in ranges if len(each)])
            last = time.monotonic()
            while ends:
                found = consumer.poll(0.5)
                if found is None:
                    if time.monotonic() - last > SILENT_TOPIC_SECONDS:
                        raise self._silent(ends)
                    continue
                if self._passing(found.error()):
                    continue
                place = MessagePosition.of(found)
                partition = (place.topic, place.partition)
                if not found.error() and place.offset < ends.get(partition, 0):
                    yield found
                last = time.monotonic()
                # The last offsets of a range may be those of no message (a transaction's end, compaction):
                # then the partition's own end comes, whose offset is that of the next message.
                following = place.offset if found.error() else place.offset + 1
                if partition in ends and following >= ends[partition]:
                    del ends[partition]
                    consumer.pause([TopicPartition(*partition)])
        finally:
            consumer.close()

    def one(self, place: MessagePosition) -> KafkaMessage | None:
        """This message; None if Kafka no longer has it, or never had."""
        if place.partition not in self.partitions().get(place.topic, []):
            return None
        low, high = self._watermarks(place.topic, place.partition)
        if not low <= place.offset < high:
            return None
        for message in self.read([OffsetRange(place.topic, place.partition, place.offset, place.offset + 1)]):
            if MessagePosition.of(message) == place:
                return message
        return None

    # ------------------------------------------------------------------------- private

    def _watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        wanted = TopicPartition(topic, partition)
        found = self._asked(lambda: self._consumer.get_watermark_offsets(wanted, timeout=self._timeout))
        if found is None:
            raise self._away()
        low, high = found
        return low, high

    def _offsets(self, whole: list[OffsetRange], point: RangeBound) -> dict[int, int]:
        if not isinstance(point, Mapping):
            wanted = [TopicPartition(each.topic, each.partition, max(round(point * 1000), 0)) for each in whole]
            found = self._asked(lambda: self._consumer.offsets_for_times(wanted, timeout=self._timeout))
            ends = {each.partition: each.end for each in whole}
            return {each.partition: each.offset if each.offset >= 0 else ends[each.partition] for each in found}
        topic, known = whole[0].topic, [each.partition for each in whole]
        if None in point:
            if len(known) > 1:
                raise TopicError(
                    f"topic {topic} has {len(known)} partitions: write PARTITION:OFFSET, like 0:1200,1:300"
                )
            return {known[0]: point[None]}
        unknown = sorted(str(number) for number in point if number not in known)
        if unknown:
            raise TopicError(f"topic {topic} has no partition {unknown[0]}, only {', '.join(map(str, known))}")
        return {number: offset for number, offset in point.items() if number is not None}

    def _asked(self, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return call()
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if reason.code() in _PASSING:
                    raise self._away() from error
                if reason.code() not in _MOVING or time.monotonic() >= deadline:
                    raise TopicError(f"Kafka at {self._settings.bootstrap_servers}: {reason.str()}") from error
                time.sleep(LEADER_RETRY_SECONDS)
            except TimeoutError as error:  # of a future
                raise self._away() from error

    def _passing(self, error: KafkaError | None) -> bool:
        """Whether it may still come; TopicError if not. The end of a partition is none of these errors."""
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return False
        if error.code() not in _PASSING:
            raise TopicError(f"Kafka at {self._settings.bootstrap_servers}: {error.str()}")
        self._failed(error)
        return True

    def _failed(self, error: KafkaError) -> None:
        log.debug("%s", error)
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # the one before it says why
            self._trouble = error.str()

    def _away(self) -> TopicError:
        self._consumer.poll(0)  # calls `_failed`
        why = f" ({self._trouble})" if self._trouble else ""
        return TopicError(
            f"Kafka at {self._settings.bootstrap_servers} does not answer within {self._timeout:g} s{why}: "
            "is it running? Check the `kafka` settings."
        )

    def _silent(self, ends: Mapping[tuple[str, int], int]) -> TopicError:
        (topic, partition), end = next(iter(ends.items()))
        why = f" ({self._trouble})" if self._trouble else ""
        return TopicError(
            f"Kafka at {self._settings.bootstrap_servers} did not deliver {topic}[{partition}] up to offset {end}: "
            f"nothing was received for {SILENT_TOPIC_SECONDS:.0f} s{why}; try again"
        )


_headers = methodcaller("headers")


def headers_of(message: KafkaMessage) -> Headers:
    """Empty if it has none, or one whose name is not UTF-8. No other code may read the headers of a message.

    For such a name confluent-kafka (2.16) returns a list with a null pointer in it; reading that crashes the process.
    Only a call from C, as this one is, is sure to see the error that is raised with it.
    """
    try:
        return list(cast(Headers, _headers(message) or []))
    except SystemError:
        message.set_headers([])  # it would be the broken list the next time
        return []


@dataclass(frozen=True)
class TopicRecord:
    """A record to be written. With `partition` None the key decides, as for any other message."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, str | bytes | None], ...] = ()
    partition: int | None = None


class RecordWriter:
    """Writes records, and returns what Kafka has confirmed. Each writing thread needs its own."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer = make_client(Producer, producer_settings(settings, "scicow-again", RECORD_CONFIRM_SECONDS))

    def write(self, records: Iterable[TopicRecord]) -> list[MessagePosition | KafkaError]:
        """Of each record, where Kafka has it, or why it has not: returns when all is known, after 30 s at most."""
        done: dict[int, MessagePosition | KafkaError] = {}
        count = 0
        for count, record in enumerate(records, start=1):
            self._produce(count, record, done)
        # librdkafka reports in any case after message.timeout.ms.
        deadline = time.monotonic() + 2 * RECORD_CONFIRM_SECONDS
        while len(done) < count:
            self._producer.poll(0.2)
            if time.monotonic() > deadline:
                raise TopicError("no delivery report from Kafka's client library")
        return [done[number] for number in range(1, count + 1)]

    def _produce(self, number: int, record: TopicRecord, done: dict[int, MessagePosition | KafkaError]) -> None:
        def reported(error: KafkaError | None, message: KafkaMessage) -> None:
            done[number] = MessagePosition.of(message) if error is None else error

        chosen: dict[str, Any] = {} if record.partition is None else {"partition": record.partition}
        try:
            self._producer.produce(
                record.topic,
                value=record.value,
                key=record.key,
                headers=list(record.headers),
                on_delivery=reported,
                **chosen,
            )
        except KafkaException as error:
            done[number] = error.args[0]


def producer_settings(settings: KafkaSettings, client_id: str, confirm_within: float) -> dict[str, Any]:
    """The configuration of a producer that reports within `confirm_within` seconds whether Kafka has a message."""
    return {
        "client.id": client_id,
        "log_level": 2,  # what goes wrong is in the delivery reports
        **settings.librdkafka(),
        "enable.idempotence": True,
        "message.timeout.ms": round(confirm_within * 1000),
        # A message of the largest size that Kafka took must fit with the headers that are added.
        "compression.type": "gzip",
        "message.max.bytes": 8_000_000,
    }
