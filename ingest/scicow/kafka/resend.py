"""Sending messages again: the original, with key and headers, to its topic, so that SciCow ingests it as any other.

A copy says in its header `scicow.again` why it was sent, and where the original is. So a dataset
keeps the one writer that it has, and no copy of a copy is ever made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from confluent_kafka import KafkaError
from confluent_kafka import Message as KafkaMessage

from ingest.scicow.kafka.topics import (
    Headers,
    MessagePosition,
    OffsetRange,
    RecordWriter,
    TopicError,
    TopicReader,
    TopicRecord,
    headers_of,
)

RESENT_HEADER = "scicow.again"
"""The header of a message that was sent again."""

BATCH_MESSAGES = 500
BATCH_BYTES = 8_000_000


def copy_of(message: KafkaMessage, why: str) -> TopicRecord:
    """The record that sends a message of a beamline's topic again. `why` is for people."""
    return resent_record(original_of(message), message.key(), message.value(), headers_of(message), why)


def resent_record(
    original: MessagePosition, key: bytes | None, value: bytes | None, headers: Headers, why: str
) -> TopicRecord:
    """The same from its parts; `original` is the position of the original."""
    kept = [(name, content) for name, content in headers if name != RESENT_HEADER]
    return TopicRecord(original.topic, value, key, (*kept, (RESENT_HEADER, f"{why} of {original}".encode())))


def original_of(message: KafkaMessage) -> MessagePosition:
    """The position of the original: its own, if it is not a copy."""
    return original_position(headers_of(message), MessagePosition.of(message))


def original_position(headers: Headers, own: MessagePosition) -> MessagePosition:
    """The position in the header of a copy, else `own`. A position in another topic is ignored."""
    said = [content for name, content in headers if name == RESENT_HEADER]
    found = MessagePosition.parse(_text(said[-1])) if said else None
    return found if found is not None and found.topic == own.topic else own


def is_copy(message: KafkaMessage) -> bool:
    return any(name == RESENT_HEADER for name, _ in headers_of(message))


def _text(content: str | bytes | None) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else content or ""


def batches(items: Iterable[KafkaMessage]) -> Iterator[list[KafkaMessage]]:
    """Lists that are small enough to be in memory."""
    batch: list[KafkaMessage] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.value() or b"")
        if len(batch) >= BATCH_MESSAGES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@dataclass
class Replay:
    """Sends the messages of ranges again, each at most once; `positions` says how far it has come.

    Copies that are in the range themselves are left out where their originals are in it, too. Of
    other originals, the first copy goes. `uuids` are keys, None is all; `without` are originals
    that are left out.
    """

    ranges: list[OffsetRange]
    why: str
    uuids: Collection[str] | None = None
    without: Collection[MessagePosition] = ()
    sent: Counter[str] = field(default_factory=Counter)
    """By topic."""
    copies: int = 0
    """Left out, as they were copies."""
    refused: list[tuple[MessagePosition, str]] = field(default_factory=list)
    """What Kafka does not take a second time, and why."""
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    _outside: set[MessagePosition] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.positions = {(each.topic, each.partition): each.start for each in self.ranges}
        self._by_partition = {(each.topic, each.partition): each for each in self.ranges}

    def run(self, topics: TopicReader, writer: RecordWriter | None, progress: Callable[[int], None]) -> None:
        """Send them; without a writer they are only counted. `progress` gets how many were read.

        Raises TopicError where Kafka takes nothing: `positions` says then how far all is done.
        """
        for batch in batches(self._counted(topics.read(self.ranges), progress)):
            chosen = [message for message in batch if self._wanted(message)]
            for place in map(MessagePosition.of, chosen) if writer is None else self._send(writer, chosen):
                self.sent[place.topic] += 1
            for message in batch:
                place = MessagePosition.of(message)
                self.positions[place.topic, place.partition] = place.offset + 1
        self.positions = {(each.topic, each.partition): each.end for each in self.ranges}

    def _counted(self, messages: Iterable[KafkaMessage], progress: Callable[[int], None]) -> Iterator[KafkaMessage]:
        for number, message in enumerate(messages, start=1):
            progress(number)
            yield message

    def _wanted(self, message: KafkaMessage) -> bool:
        if self.uuids is not None and (message.key() or b"").decode("utf-8", "replace") not in self.uuids:
            return False
        original = original_of(message)
        if original in self.without:
            return False
        if not is_copy(message):
            return True
        inside = self._by_partition.get((original.topic, original.partition))
        if original in self._outside or (inside is not None and original in inside):
            self.copies += 1
            return False
        self._outside.add(original)
        return True

    def _send(self, writer: RecordWriter, chosen: list[KafkaMessage]) -> Iterator[MessagePosition]:
        """Where those that Kafka has confirmed are."""
        answers = writer.write(copy_of(message, self.why) for message in chosen)
        for message, answer in zip(chosen, answers, strict=True):
            if isinstance(answer, MessagePosition):
                yield answer
            elif answer.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                self.refused.append((MessagePosition.of(message), answer.str()))
            else:
                raise TopicError(f"Kafka refuses messages for {message.topic()}: {answer.str()}")

    def left(self) -> list[OffsetRange]:
        """What has not been sent yet."""
        now = [
            OffsetRange(
                each.topic, each.partition, self.positions[each.topic, each.partition], each.end, each.first_available
            )
            for each in self.ranges
        ]
        return [each for each in now if len(each)]
