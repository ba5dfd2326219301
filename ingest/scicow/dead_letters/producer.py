"""Writes the messages that could not be ingested into the topic of dead letters, as Kafka Connect does.

The headers are Connect's (`errors.deadletterqueue.context.headers.enable`, KIP-298), so that its
tools can read them: where the message came from, and why it is here. `ingest.scicow.dead_letters.topic` reads it.
"""

from __future__ import annotations

import threading
import traceback

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from ingest.scicat import DocumentConflict, Expired, Modified, NotAllowed, SciCatError, TimedOut, TooLarge
from ingest.scicow.errors import DatasetMissing, MessageRefused, NotYet
from ingest.scicow.kafka.topics import Headers, headers_of, make_client, producer_settings
from ingest.scicow.settings import SciCowSettings
from scifish.message import MessageError

ERROR_HEADER_PREFIX = "__connect.errors."
CUT_HEADER = "scicow.cut"
DEAD_LETTER_CONFIRM_SECONDS = 10.0
MAX_HEADER_TEXT = 4000
MAX_CUT_VALUE = 100_000

# What the two headers `...class.name` say is part of the format of a dead letter, for those who search or count
# letters by it: it stays when a class or its module gets another name.
INGESTOR_CLASS_NAME = "ingest.ingestor.Ingestor"
EXCEPTION_CLASS_NAMES: dict[type[BaseException], str] = {
    MessageRefused: "ingest.failures.Refused",
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


class DeadLetterError(Exception):
    """Kafka has not confirmed the dead letter: the message must not be counted as done."""


class DeadLetterProducer:
    """Puts messages into the dead-letter topic. Threads may share it."""

    def __init__(self, settings: SciCowSettings) -> None:
        self.topic = settings.dead_letter_topic
        self._producer = make_client(
            Producer, producer_settings(settings.kafka, "scicow-dead-letters", DEAD_LETTER_CONFIRM_SECONDS)
        )

    def put(self, message: KafkaMessage, error: BaseException) -> None:
        """Returns when Kafka has confirmed it; raises DeadLetterError if it has not, after 10 s."""
        value, headers = message.value(), [*headers_of(message), *_headers(message, error)]
        refused = self._send(message.key(), value, headers)
        if refused is not None and refused.code() == KafkaError.MSG_SIZE_TOO_LARGE and value:
            headers.append((CUT_HEADER, f"{len(value)} bytes, complete only in the original topic".encode()))
            refused = self._send(message.key(), value[:MAX_CUT_VALUE], headers)
        if refused is not None:
            raise DeadLetterError(f"no dead letter could be written to topic {self.topic}: {refused.str()}")

    def _send(self, key: bytes | None, value: bytes | None, headers: Headers) -> KafkaError | None:
        """What Kafka refused it with, None if it has it."""
        reports: list[KafkaError | None] = []
        reported = threading.Event()

        def report(refused: KafkaError | None, _: KafkaMessage) -> None:
            reports.append(refused)
            reported.set()

        try:
            self._producer.produce(self.topic, key=key, value=value, headers=headers, on_delivery=report)
        except KafkaException as error:
            refused: KafkaError = error.args[0]
            return refused
        # librdkafka reports in any case after message.timeout.ms, to whichever thread polls: so none
        # waits in there for long, and none for the others' letters, as `flush` would.
        for _ in range(round(2 * DEAD_LETTER_CONFIRM_SECONDS / 0.1)):
            if self._producer.poll(0.05) == 0:
                reported.wait(0.05)
            if reported.is_set():
                return reports[0]
        raise DeadLetterError("no delivery report from Kafka's client library")


def _headers(message: KafkaMessage, error: BaseException) -> Headers:
    stack = "".join(traceback.format_exception(error))
    said = {
        "topic": message.topic(),  # the first of them: `ingest.scicow.dead_letters.topic` finds by it what was added
        "partition": message.partition(),
        "offset": message.offset(),
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
