"""Reads the dead-letter topic, and settles letters by replaying or dropping them.

Kafka cannot delete single messages. So a letter is settled by a further record of the same
partition, which names it: the topic is only ever appended to, no other store is needed, and
several people at several terminals see the same. Kafka's retention deletes letters first, and the
records that settle them later.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import Message as KafkaMessage

from ingest.scicow.dead_letters.producer import CUT_HEADER, ERROR_HEADER_PREFIX, LOST_HEADER
from ingest.scicow.kafka.range_arguments import iso_seconds
from ingest.scicow.kafka.resend import batches, original_position, resent_record
from ingest.scicow.kafka.topics import (
    Headers,
    MessagePosition,
    NoTopic,
    OffsetRange,
    RecordWriter,
    TopicReader,
    TopicRecord,
    headers_of,
)
from ingest.scicow.settings import SciCowSettings

SETTLED_HEADER = "scicow.settled"
REPLAYED = "replayed"
DROPPED = "dropped"

MAX_REASON_LENGTH = 1000
"""Characters of a reason that are kept of each letter while there may be many."""


@dataclass(frozen=True, order=True)
class LetterId:
    """The position of a letter in the dead-letter topic, as people write it: `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> LetterId:
        """ValueError if it is none."""
        if not re.fullmatch(r"\d{1,9}:\d{1,18}", text):
            raise ValueError(f"{text!r} is not the id of a dead letter: write PARTITION:OFFSET, like 0:12")
        return cls(*map(int, text.split(":")))


@dataclass(frozen=True)
class Letter:
    """What a list shows of a dead letter. Texts are "" where they are not known.

    `origin` is where SciCow read the message; `first` is where the message is that this one was a
    copy of, else the same. Both are None of what SciCow has not written. `lost` is whether it only says
    that Kafka deleted messages before they were read.
    """

    id: LetterId
    when: float
    origin: MessagePosition | None
    first: MessagePosition | None
    beamline: str
    type: str
    name: str
    uuid: str
    reason: str
    cut: bool
    lost: bool = False

    @property
    def topic(self) -> str:
        return self.origin.topic if self.origin else ""


@dataclass(frozen=True)
class Settlement:
    """How a letter was settled. `to` is where the copy went, None if it was dropped."""

    id: LetterId
    how: str
    by: str
    when: str
    to: MessagePosition | None


Fate = tuple[Letter, Settlement | None]
"""A letter, and how it was settled, if it was."""


def letter_of(message: KafkaMessage) -> Letter:
    """Of a record of the dead-letter topic that is not a settlement."""
    headers = header_texts(headers_of(message))
    place = MessagePosition.of(message)
    said = _said(message.value() or b"")
    origin = _origin(headers)
    first = original_position(original_headers(headers_of(message)), origin) if origin else None
    key = (message.key() or b"").decode("utf-8", "replace")
    return Letter(
        id=LetterId(place.partition, place.offset),
        when=message.timestamp()[1] / 1000,
        origin=origin,
        first=first,
        beamline=_short(said.get("beamline")),
        type=_short(said.get("type")),
        name=_short(said.get("datasetName")),
        uuid=_short(said.get("uuid") or key),
        reason=headers.get(f"{ERROR_HEADER_PREFIX}exception.message", "")[:MAX_REASON_LENGTH],
        cut=CUT_HEADER in headers,
        lost=LOST_HEADER in headers,
    )


def settlement_of(message: KafkaMessage) -> Settlement | None:
    """None if the record is a letter, or no settlement that can be understood."""
    headers = header_texts(headers_of(message))
    if (
        SETTLED_HEADER not in headers or f"{ERROR_HEADER_PREFIX}topic" in headers
    ):  # a letter keeps what headers its message had
        return None
    said = _said(message.value() or b"")
    partition, offset = said.get("partition"), said.get("offset")
    if not isinstance(partition, int) or not isinstance(offset, int):
        return None
    to = MessagePosition.parse(str(said.get("to", "")))
    return Settlement(
        LetterId(partition, offset), headers[SETTLED_HEADER], _short(said.get("by")), _short(said.get("when")), to
    )


def is_letter(message: KafkaMessage) -> bool:
    headers = header_texts(headers_of(message))
    return f"{ERROR_HEADER_PREFIX}topic" in headers or SETTLED_HEADER not in headers


def original_headers(headers: Headers) -> Headers:
    """What the message had before SciCow added its own, which begin with the last of `...errors.topic`."""
    ours = max(
        (number for number, (name, _) in enumerate(headers) if name == f"{ERROR_HEADER_PREFIX}topic"),
        default=len(headers),
    )
    return headers[:ours]


def header_texts(headers: Headers) -> dict[str, str]:
    """As text; of several of one name the last, which is the one that SciCow has added."""
    return {
        name: content.decode("utf-8", "replace") if isinstance(content, bytes) else content or ""
        for name, content in headers
    }


def _origin(headers: dict[str, str]) -> MessagePosition | None:
    topic, partition, offset = (
        headers.get(f"{ERROR_HEADER_PREFIX}{name}", "") for name in ("topic", "partition", "offset")
    )
    return MessagePosition.parse(f"{topic}[{partition}]@{offset}")


def _said(value: bytes) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):  # it may be here just because it is no JSON
        return {}
    return found if isinstance(found, dict) else {}


def _short(text: object) -> str:
    return text[:200] if isinstance(text, str) else ""


# ------------------------------------------------------------------------------ the topic


class DeadLetterTopic:
    """The dead-letter topic as it is now."""

    def __init__(self, topics: TopicReader, topic: str) -> None:
        self.topic = topic
        self._topics = topics

    def read(
        self, progress: Callable[[int], None] = lambda _: None
    ) -> tuple[dict[LetterId, Letter], dict[LetterId, Settlement]]:
        """The letters that wait, oldest first, and how others were settled. All empty if there is no such topic yet."""
        letters: dict[LetterId, Letter] = {}
        settled: dict[LetterId, Settlement] = {}
        for each in self._records(progress):
            if isinstance(each, Letter):
                letters[each.id] = each
            else:
                settled[each.id] = each
                letters.pop(each.id, None)  # of its own partition it has come before
        waiting = sorted((each for each in letters.values() if each.id not in settled), key=lambda each: each.when)
        return {each.id: each for each in waiting}, settled

    def fates(
        self, wanted: Callable[[MessagePosition], bool], progress: Callable[[int], None]
    ) -> tuple[dict[MessagePosition, Fate], list[Fate]]:
        """By the original message, where that is `wanted`: its last letter, and how that was settled.

        Apart from these, all letters about messages that are lost: they may name a message that is not, as that of a
        topic that was deleted has the position of one of the next topic.
        """
        letters: dict[MessagePosition, Letter] = {}
        lost: list[Letter] = []
        settled: dict[LetterId, Settlement] = {}
        for each in self._records(progress):
            if isinstance(each, Settlement):
                settled[each.id] = each
            elif each.lost and each.origin is not None:
                lost.append(each)
            elif each.first is not None and wanted(each.first):
                before = letters.get(each.first)
                if before is None or (before.when, before.id) <= (each.when, each.id):
                    letters[each.first] = each
        return (
            {place: (letter, settled.get(letter.id)) for place, letter in letters.items()},
            [(letter, settled.get(letter.id)) for letter in lost],
        )

    def one(self, wanted: LetterId) -> KafkaMessage | None:
        """The record of this letter; None if there is none."""
        found = self._topics.one(MessagePosition(self.topic, wanted.partition, wanted.offset))
        return found if found is not None and is_letter(found) else None

    def messages(self, ids: Collection[LetterId]) -> Iterator[KafkaMessage]:
        """The records of these letters, partition by partition, in order. Those that are gone are left out."""
        ranges = {each.partition: each for each in self._topics.whole(self.topic)}
        for partition in sorted({each.partition for each in ids} & set(ranges)):
            offsets = {each.offset for each in ids if each.partition == partition}
            kept = ranges[partition]
            wanted = OffsetRange(self.topic, partition, max(min(offsets), kept.start), min(max(offsets) + 1, kept.end))
            for message in self._topics.read([wanted]):
                if message.offset() in offsets and is_letter(message):
                    yield message

    def _records(self, progress: Callable[[int], None]) -> Iterator[Letter | Settlement]:
        try:
            ranges = self._topics.whole(self.topic)
        except NoTopic:
            return
        for number, message in enumerate(self._topics.read(ranges), start=1):
            progress(number)
            if is_letter(message):
                yield letter_of(message)
            elif settlement := settlement_of(message):
                yield settlement


class WaitingLetters:
    """How many letters are waiting. Each call reads only what is new since the last one."""

    def __init__(self, settings: SciCowSettings, timeout: float) -> None:
        """`timeout` is in seconds, for each answer of Kafka."""
        self._settings = settings
        self._timeout = timeout
        self._waiting: set[LetterId] = set()
        self._next: dict[int, int] = {}

    def __call__(self) -> int:
        """Raises TopicError."""
        with TopicReader(self._settings.kafka, self._timeout) as topics:
            try:
                ranges = topics.whole(self._settings.dead_letter_topic)
            except NoTopic:
                ranges = []
            if any(self._next.get(each.partition, 0) > each.end for each in ranges):  # it is another one by now
                self._next.clear()
                self._waiting.clear()
            new = [replace(each, start=max(each.start, self._next.get(each.partition, 0))) for each in ranges]
            for message in topics.read(new):
                place = MessagePosition.of(message)
                settlement = settlement_of(message)
                if settlement:
                    self._waiting.discard(settlement.id)
                elif is_letter(message):
                    self._waiting.add(LetterId(place.partition, place.offset))
                self._next[place.partition] = place.offset + 1
        kept = {each.partition: each.first_available for each in ranges}
        self._waiting = {each for each in self._waiting if each.offset >= kept.get(each.partition, sys.maxsize)}
        return len(self._waiting)


class LetterSettler:
    """Replays and drops letters. `done` counts them; `failed` has those that could not be settled, and why."""

    def __init__(self, topics: TopicReader, writer: RecordWriter, topic: str) -> None:
        self.done = 0
        self.failed: list[tuple[LetterId, str]] = []
        self._topics = topics
        self._writer = writer
        self._letters = DeadLetterTopic(topics, topic)

    def replay(self, ids: Collection[LetterId], progress: Callable[[int], None]) -> None:
        """Send their messages again, and settle each that Kafka has confirmed."""
        seen = set()
        # Their values are read only now, a batch at a time: there may be many, of up to 1 MB each.
        for batch in batches(self._letters.messages(ids)):
            copies: list[tuple[LetterId, TopicRecord]] = []
            for message in batch:
                letter = letter_of(message)
                seen.add(letter.id)
                try:
                    copies.append((letter.id, self._copy(message, letter)))
                except LookupError as error:
                    self.failed.append((letter.id, str(error)))
            answers = self._writer.write(record for _, record in copies)
            sent = {}
            for (identity, record), answer in zip(copies, answers, strict=True):
                if isinstance(answer, MessagePosition):
                    sent[identity] = answer
                else:
                    self.failed.append((identity, f"Kafka refuses it for topic {record.topic}: {answer.str()}"))
            self._settle(REPLAYED, sent)
            progress(self.done)
        self.failed += [(each, "is no longer in Kafka") for each in ids if each not in seen]

    def drop(self, ids: Iterable[LetterId], progress: Callable[[int], None]) -> None:
        """Settle them without sending anything."""
        left = list(ids)
        while left:
            self._settle(DROPPED, dict.fromkeys(left[:1000]))
            del left[:1000]
            progress(self.done)

    def _copy(self, message: KafkaMessage, letter: Letter) -> TopicRecord:
        if letter.origin is None or letter.first is None:
            raise LookupError(f"it does not name its origin ({ERROR_HEADER_PREFIX}topic): SciCow has not written it")
        if letter.lost:
            raise LookupError(
                "its messages are no longer in Kafka: `scifish resend --since` on the beamline's machine sends them"
            )
        whole = whole_message(self._topics, message, letter)
        headers = original_headers(headers_of(whole))
        return resent_record(letter.first, whole.key(), whole.value(), headers, f"dead letter {letter.id}")

    def _settle(self, how: str, ids: dict[LetterId, MessagePosition] | dict[LetterId, None]) -> None:
        records = [settlement(self._letters.topic, each, how, to) for each, to in ids.items()]
        for identity, answer in zip(ids, self._writer.write(records), strict=True):
            if isinstance(answer, MessagePosition):
                self.done += 1
            else:
                self.failed.append((identity, f"was {how}, but Kafka refuses the record of it: {answer.str()}"))


def whole_message(topics: TopicReader, message: KafkaMessage, letter: Letter) -> KafkaMessage:
    """The message with all of its key, value and headers, from its own topic if the letter was cut.

    LookupError if that is gone.
    """
    if not letter.cut:
        return message
    if letter.origin is None:
        raise LookupError("it was cut, and does not name the position of the complete message")
    found = topics.one(letter.origin)
    if found is None:
        raise LookupError(f"it was cut, and the complete message, {letter.origin}, is no longer in Kafka")
    return found


def settlement(topic: str, letter: LetterId, how: str, to: MessagePosition | None) -> TopicRecord:
    """The record that settles a letter: in its partition, so that it comes after it."""
    said = {"partition": letter.partition, "offset": letter.offset, "by": _who(), "when": iso_seconds(time.time())}
    if to is not None:
        said["to"] = str(to)
    return TopicRecord(
        topic, json.dumps(said).encode(), headers=((SETTLED_HEADER, how.encode()),), partition=letter.partition
    )


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # in a container the account may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
