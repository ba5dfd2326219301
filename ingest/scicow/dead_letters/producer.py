"""Writes the messages that could not be ingested into the topic of dead letters, as Kafka Connect does.

The headers are Connect's (`errors.deadletterqueue.context.headers.enable`, KIP-298), so that its
tools can read them: where the message came from, and why it is here. `ingest.scicow.dead_letters.topic` reads it.
"""

from __future__ import annotations

import contextlib
import json
import threading
import traceback
from collections.abc import Iterator
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient, NewTopic

from ingest.scicat import DocumentConflict, Expired, Modified, NotAllowed, SciCatError, TimedOut, TooLarge
from ingest.scicow.errors import DatasetMissing, ForeignMessage, MessageRefused, MessagesLost, NotYet
from ingest.scicow.kafka.resend import RESENT_HEADER
from ingest.scicow.kafka.topics import Headers, headers_of, make_client, producer_settings
from ingest.scicow.settings import SciCowSettings, SciCowSettingsError
from scifish.message import MessageError

ERROR_HEADER_PREFIX = "__connect.errors."
CUT_HEADER = "scicow.cut"
LOST_HEADER = "scicow.lost"
"""The header of a letter without a message: the smallest number of messages that were deleted before they were read."""

DEAD_LETTER_CONFIRM_SECONDS = 10.0
MAX_HEADER_TEXT = 4000
MAX_CUT_VALUE = 100_000
MAX_CUT_KEY = 1000
"""Bytes of a key, and of a header that is needed, where headers are cut."""

# What the two headers `...class.name` say is part of the format of a dead letter, for those who search or count
# letters by it: it stays when a class or its module gets another name.
INGESTOR_CLASS_NAME = "ingest.ingestor.Ingestor"
EXCEPTION_CLASS_NAMES: dict[type[BaseException], str] = {
    MessageRefused: "ingest.failures.Refused",
    ForeignMessage: "ingest.failures.ForeignMessage",
    MessagesLost: "ingest.failures.MessagesLost",
    NotYet: "ingest.failures.NotYet",
    DatasetMissing: "ingest.failures.DatasetMissing",
    SciCatError: "ingest.answers.SciCatError",
    DocumentConflict: "ingest.answers.Conflict",
    NotAllowed: "ingest.answers.NotAllowed",
    Expired: "ingest.answers.Expired",
    TimedOut: "ingest.answers.TimedOut",
    Modified: "ingest.answers.Modified",
    TooLarge: "ingest.answers.TooLarge",
    MessageError: "scifish.message.MessageError",
}


_MAY_LACK_TOPIC = (
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,  # also where there is none, and no right to make it
    KafkaError._MSG_TIMED_OUT,
)
"""Errors of librdkafka for a message to a topic that does not exist; the last two may have other causes."""


class DeadLetterError(Exception):
    """Kafka has not confirmed the dead letter: the message must not be counted as done."""


class DeadLetterProducer:
    """Puts messages into the dead-letter topic. Threads may share it."""

    def __init__(self, settings: SciCowSettings) -> None:
        self.topic = settings.dead_letter_topic
        self._settings = settings
        self._lock = threading.Lock()
        self._config: dict[str, Any] = {}
        self._producer = self._present_producer()

    def put(self, message: KafkaMessage, error: BaseException) -> None:
        """Returns when Kafka has confirmed it; raises DeadLetterError if it has not, after some 10 s."""
        ours = _headers(message, error)
        refused = self._send_with_topic(message.key(), message.value(), [*headers_of(message), *ours])
        for key, value, headers in _cut(message):
            if refused is None or refused.code() != KafkaError.MSG_SIZE_TOO_LARGE:
                break
            refused = self._send(key, value, [*headers[:-1], *ours, headers[-1]])
        self._check(refused)

    def put_lost(
        self, topic: str, partition: int, first: int, end: int, with_topic: bool = False, created: bool = True
    ) -> None:
        """Put it on record that the messages from offset `first` to before `end` are gone. Raises as `put`.

        `with_topic`: the topic was deleted; there may have been more of them. `created` is whether there is another
        one of its name.
        """
        number = end - first
        if with_topic:
            what = (
                f"the topic was deleted{' and created again' if created else ''}: its messages from offset {first} "
                f"on were not read, {number} or more"
            )
        else:
            what = (
                f"{number} messages were deleted by Kafka before SciCow had read them, offsets {first} to {end - 1}: "
                "set the topic's retention.ms to more than the longest outage"
            )
        error = MessagesLost(
            f"{what}. `scifish resend --since TIME` on the beamline's machine sends them again; then drop this letter"
        )
        value = json.dumps({"type": "lost", "topic": topic, "partition": partition, "first": first, "number": number})
        headers = [(LOST_HEADER, str(number).encode()), *error_headers(topic, partition, first, error)]
        self._check(self._send_with_topic(None, value.encode(), headers))

    def make_topic(self) -> None:
        """Make the dead-letter topic if it does not exist. DeadLetterError, with what to do, if Kafka refuses that."""
        try:
            with contextlib.suppress(KafkaException):  # a broker that makes topics by itself does it at this question
                self._present_producer().list_topics(self.topic, timeout=DEAD_LETTER_CONFIRM_SECONDS)
            admin = make_client(AdminClient, {**self._settings.kafka.librdkafka(), "log_level": 2})
        except SciCowSettingsError as refused:  # such as while `kafka.config_file` is being replaced
            raise DeadLetterError(str(refused)) from refused
        # With the broker's own number of partitions and copies.
        new = NewTopic(self.topic, num_partitions=-1, replication_factor=-1)
        try:
            admin.create_topics([new], request_timeout=DEAD_LETTER_CONFIRM_SECONDS)[self.topic].result()
        except KafkaException as failed:
            error: KafkaError = failed.args[0]
            # Without an answer it may be there by now: the next letter shows whether it is.
            if error.code() not in (KafkaError.TOPIC_ALREADY_EXISTS, KafkaError._TIMED_OUT):
                raise DeadLetterError(
                    f"the dead-letter topic {self.topic} does not exist, and Kafka does not let this account make it "
                    f"({error.str()}): make it (kafka-topics.sh --create --topic {self.topic}), or give the account "
                    "the right to CREATE it"
                ) from failed

    def exists(self) -> bool | None:
        """Whether there is a dead-letter topic; None if Kafka does not say."""
        try:
            found = self._present_producer().list_topics(timeout=DEAD_LETTER_CONFIRM_SECONDS).topics.get(self.topic)
        except (KafkaException, SciCowSettingsError):
            return None
        return found is not None and not found.error

    def _present_producer(self) -> Producer:
        """A new one where `kafka.config_file` has changed: it may have another password."""
        with self._lock:
            config = producer_settings(self._settings.kafka, "scicow-dead-letters", DEAD_LETTER_CONFIRM_SECONDS)
            if config != self._config:
                self._producer, self._config = make_client(Producer, config), config
            return self._producer

    def _check(self, refused: KafkaError | None) -> None:
        if refused is not None:
            why = refused.str()
            if refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                why = f"{why}: give this account the right to WRITE to it"
            raise DeadLetterError(f"no dead letter could be written to topic {self.topic}: {why}")

    def _send_with_topic(self, key: bytes | None, value: bytes | None, headers: Headers) -> KafkaError | None:
        """As `_send`; where there is no such topic, it is made first."""
        refused = self._send(key, value, headers)
        if refused is not None and refused.code() in _MAY_LACK_TOPIC:
            exists = self.exists()
            if exists is False:
                self.make_topic()
            if exists is not None:
                # A client that was refused remembers it for long, also where there is the topic, or the right, by now.
                with self._lock:
                    self._config = {}
                refused = self._send(key, value, headers)
        return refused

    def _send(self, key: bytes | None, value: bytes | None, headers: Headers) -> KafkaError | None:
        """What Kafka refused it with, None if it has it."""
        try:
            producer = self._present_producer()
        except SciCowSettingsError as error:
            raise DeadLetterError(str(error)) from error
        reports: list[KafkaError | None] = []
        reported = threading.Event()

        def report(refused: KafkaError | None, _: KafkaMessage) -> None:
            reports.append(refused)
            reported.set()

        try:
            producer.produce(self.topic, key=key, value=value, headers=headers, on_delivery=report)
        except KafkaException as error:
            refused: KafkaError = error.args[0]
            return refused
        except BufferError as error:
            raise DeadLetterError(f"no dead letter could be written to topic {self.topic}: {error}") from error
        # librdkafka reports in any case after message.timeout.ms, to whichever thread polls: so none
        # waits in there for long, and none for the others' letters, as `flush` would.
        for _ in range(round(2 * DEAD_LETTER_CONFIRM_SECONDS / 0.1)):
            if producer.poll(0.05) == 0:
                reported.wait(0.05)
            if reported.is_set():
                return reports[0]
        raise DeadLetterError("no delivery report from Kafka's client library")


def _cut(message: KafkaMessage) -> Iterator[tuple[bytes | None, bytes | None, Headers]]:
    """Key, value and headers of a message that is too large, each time less of it. The last header says what is cut."""
    key, value, headers = message.key(), message.value() or b"", headers_of(message)
    said = [f"value of {len(value)} bytes"]
    if len(value) > MAX_CUT_VALUE:
        yield key, value[:MAX_CUT_VALUE], [*headers, _cut_header(said)]
    size = sum(len(name) + len(content or "") for name, content in headers)
    if headers:
        said.append(f"{len(headers)} headers of {size} bytes")
    if key is not None and len(key) > MAX_CUT_KEY:
        said.append(f"key of {len(key)} bytes")
        key = key[:MAX_CUT_KEY]
    # By this one it is known of which message this is a copy.
    kept = [each for each in headers if each[0] == RESENT_HEADER and len(each[1] or "") <= MAX_CUT_KEY][-1:]
    for most in (MAX_CUT_VALUE, MAX_CUT_KEY):
        yield key, value[:most], [*kept, _cut_header(said)]


def _cut_header(parts: list[str]) -> tuple[str, bytes]:
    return CUT_HEADER, f"{', '.join(parts)}: complete only in the original topic".encode()


def _headers(message: KafkaMessage, error: BaseException) -> Headers:
    return error_headers(message.topic(), message.partition(), message.offset(), error)


def error_headers(topic: str | None, partition: int | None, offset: int | None, error: BaseException) -> Headers:
    """The headers of Kafka Connect, for what was at this position."""
    stack = "".join(traceback.format_exception(error))
    said = {
        "topic": topic,  # the first of them: `ingest.scicow.dead_letters.topic` finds by it what was added
        "partition": partition,
        "offset": offset,
        "connector.name": "scicow",
        "stage": "TASK_PUT",
        "class.name": INGESTOR_CLASS_NAME,
        "exception.class.name": _class_name(error),
        "exception.message": str(error)[:MAX_HEADER_TEXT],
        "exception.stacktrace": stack[-MAX_HEADER_TEXT:],
    }
    return [(f"{ERROR_HEADER_PREFIX}{name}", str(text).encode("utf-8", "replace")) for name, text in said.items()]


def _class_name(error: BaseException) -> str:
    kind = type(error)
    return EXCEPTION_CLASS_NAMES.get(kind, f"{kind.__module__}.{kind.__qualname__}")
