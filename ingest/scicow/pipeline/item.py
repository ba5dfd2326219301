"""A message on its way through SciCow."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message as KafkaMessage

from ingest.scicow.kafka.resend import AGAIN
from ingest.scicow.kafka.topics import headers_of
from ingest.scicow.pipeline.offsets import Assigned

OVERHEAD = 1000
"""Bytes of memory that a message takes beside its value, about."""

MAX_RUN = 200


@dataclass(eq=False)
class Item:
    """A message that is read and not done. It is decoded when it is worked on, as that takes ten times its memory.

    What is known of it before comes from a look at it that checks nothing.
    """

    kafka: KafkaMessage
    partition: Assigned
    offset: int
    lane: str
    """The uuid of its dataset; where none can be seen, something that only this message has."""
    creates: bool
    """Whether it can make its dataset, if that is not there yet."""
    run: str
    number: int
    """Run and number of its `origin` and `seq`; "" and 0 where they cannot be seen."""

    # What became of the last tries; see `ingest.scicow.pipeline.failure_policy`.
    trouble: str = ""
    since: float = 0.0
    began: float = 0.0
    wait: float = 0.0

    @classmethod
    def of(cls, kafka: KafkaMessage, partition: Assigned) -> Item:
        offset = kafka.offset()
        assert offset is not None  # only what is no message, an error, may lack it
        seen = _look(kafka.value())
        uuid, part, run, number = seen.get("uuid"), seen.get("part"), _run(seen), seen.get("seq")
        first = not isinstance(part, dict) or part.get("number") == 1
        return cls(
            kafka,
            partition,
            offset,
            lane=uuid if isinstance(uuid, str) and uuid else f"{partition}@{offset}",
            creates=seen.get("type") in ("began", "snapshot", "ended") and first,
            run=run,
            number=number if run and isinstance(number, int) else 0,
        )

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.kafka.value() or b"") + OVERHEAD

    @property
    def sent(self) -> float:
        """Its time in Kafka, in seconds since 1970; now, if Kafka keeps none."""
        _, milliseconds = self.kafka.timestamp()
        return milliseconds / 1000 if milliseconds > 0 else time.time()

    @property
    def again(self) -> bool:
        return any(name == AGAIN for name, _ in headers_of(self.kafka))


def _look(value: bytes | None) -> dict[str, Any]:
    """What it says, checked for nothing; empty if it cannot be read."""
    try:
        found = json.loads(value or b"")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _run(seen: dict[str, Any]) -> str:
    origin = seen.get("origin")
    run = origin.get("run") if isinstance(origin, dict) else None
    return run[:MAX_RUN] if isinstance(run, str) else ""
