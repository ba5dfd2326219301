"""The topic of the messages that could not be ingested, as Kafka Connect keeps such a topic.

The headers are Connect's (`errors.deadletterqueue.context.headers.enable`, KIP-298), so that its
tools can read them: where the message came from, and why it is here.
"""

from __future__ import annotations

import logging
import traceback

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from ingest.settings import Settings

Headers = list[tuple[str, str | bytes | None]]

log = logging.getLogger(__name__)

CONFIRM_WITHIN = 10.0
MAX_TEXT = 4000
MAX_CUT_VALUE = 100_000


class DeadLetterError(Exception):
    """Kafka has not confirmed the dead letter: the message must not be counted as done."""


class DeadLetters:
    """Puts messages into the dead-letter topic, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self.topic = settings.dead_letter_topic
        self._producer = Producer(
            {
                "client.id": "scicow-dead-letters",
                "log_level": 2,  # what goes wrong is in the delivery reports
                **settings.kafka.librdkafka(),
                "enable.idempotence": True,
                "message.timeout.ms": round(CONFIRM_WITHIN * 1000),
                # A message of the largest size that Kafka took must fit with its headers.
                "compression.type": "gzip",
                "message.max.bytes": 8_000_000,
            }
        )

    def put(self, message: KafkaMessage, error: BaseException) -> None:
        """Returns when Kafka has confirmed it; raises DeadLetterError if it has not, after 10 s."""
        value, headers = message.value(), [*(message.headers() or []), *_headers(message, error)]
        refused = self._send(message.key(), value, headers)
        if refused is not None and refused.code() == KafkaError.MSG_SIZE_TOO_LARGE and value:
            headers.append(("scicow.cut", f"{len(value)} bytes, whole only in the original topic".encode()))
            refused = self._send(message.key(), value[:MAX_CUT_VALUE], headers)
        if refused is not None:
            raise DeadLetterError(f"no dead letter could be written to topic {self.topic}: {refused.str()}")

    def _send(self, key: bytes | None, value: bytes | None, headers: Headers) -> KafkaError | None:
        """What Kafka refused it with, None if it has it."""
        reports: list[KafkaError | None] = []
        try:
            self._producer.produce(
                self.topic,
                key=key,
                value=value,
                headers=headers,
                on_delivery=lambda refused, _: reports.append(refused),
            )
        except KafkaException as error:
            refused: KafkaError = error.args[0]
            return refused
        # librdkafka reports in any case after message.timeout.ms.
        self._producer.flush(2 * CONFIRM_WITHIN)
        if not reports:
            raise DeadLetterError("no delivery report from Kafka's client library")
        return reports[0]


def _headers(message: KafkaMessage, error: BaseException) -> Headers:
    stack = "".join(traceback.format_exception(error))
    said = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "connector.name": "scicow",
        "stage": "TASK_PUT",
        "class.name": "ingest.ingestor.Ingestor",
        "exception.class.name": f"{type(error).__module__}.{type(error).__qualname__}",
        "exception.message": str(error)[:MAX_TEXT],
        "exception.stacktrace": stack[-MAX_TEXT:],
    }
    return [(f"__connect.errors.{name}", str(text).encode("utf-8", "replace")) for name, text in said.items()]
