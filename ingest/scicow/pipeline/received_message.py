"""A message on its way through SciCow."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message as KafkaMessage

from ingest.scicow.kafka.resend import RESENT_HEADER
from ingest.scicow.kafka.topics import headers_of
from ingest.scicow.pipeline.assigned_partition import AssignedPartition

OVERHEAD_BYTES = 1000
"""Approximate memory of a message without its value."""

MAX_RUN_LENGTH = 200


@dataclass
class FailedAttempts:
    """The last attempts of one message, which failed for the same reason. See `ingest.scicow.pipeline.failure_policy`.

    `since` is in the backoff's running time, `first_began` in `time.monotonic`; `wait` is the last wait in seconds.
    """

    reason: str
    since: float
    first_began: float
    wait: float = 0.0


@dataclass(eq=False)
class ReceivedMessage:
    """A message that is read and not done. What is known of it before it is ingested is not validated.

    It is decoded only while it is ingested, as decoded it takes ten times the memory.
    """

    kafka: KafkaMessage
    partition: AssignedPartition
    offset: int
    dataset: str
    """The uuid of its dataset; where that cannot be read, a text that only this message has."""
    creates: bool
    """Whether it can create its dataset."""
    sent: float
    """When Kafka got it, as `time.monotonic`: what the machine's clock does afterwards changes nothing."""
    run: str
    seq: int
    """Run and number of its `origin` and `seq`; "" and 0 where they cannot be read."""

    failures: FailedAttempts | None = None
    serial: int = field(default_factory=itertools.count().__next__)
    """Grows from each message that is read to the next."""

    @classmethod
    def of(cls, kafka: KafkaMessage, partition: AssignedPartition) -> ReceivedMessage:
        offset = kafka.offset()
        assert offset is not None  # only an error may lack it, which is no message
        fields = _fields(kafka.value())
        uuid, part, run, seq = fields.get("uuid"), fields.get("part"), _run(fields), fields.get("seq")
        first_part = not isinstance(part, dict) or part.get("number") == 1
        return cls(
            kafka,
            partition,
            offset,
            dataset=uuid if isinstance(uuid, str) and uuid else f"{partition}@{offset}",
            creates=fields.get("type") in ("began", "snapshot", "ended") and first_part,
            sent=time.monotonic() - _age(kafka),
            run=run,
            seq=seq if run and isinstance(seq, int) else 0,
        )

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"

    @property
    def size(self) -> int:
        """Approximate memory in bytes."""
        return len(self.kafka.value() or b"") + OVERHEAD_BYTES

    @property
    def is_resent(self) -> bool:
        return any(name == RESENT_HEADER for name, _ in headers_of(self.kafka))


def _age(kafka: KafkaMessage) -> float:
    """Seconds since Kafka got it; 0 if Kafka keeps no times, or by a clock that is ahead of ours."""
    _, milliseconds = kafka.timestamp()
    return max(time.time() - milliseconds / 1000, 0.0) if milliseconds > 0 else 0.0


def _fields(value: bytes | None) -> dict[str, Any]:
    """Its JSON object, not validated; {} if it is none."""
    try:
        fields = json.loads(value or b"")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _run(fields: dict[str, Any]) -> str:
    origin = fields.get("origin")
    run = origin.get("run") if isinstance(origin, dict) else None
    return run[:MAX_RUN_LENGTH] if isinstance(run, str) else ""
