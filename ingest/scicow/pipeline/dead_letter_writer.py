"""Writing dead letters, of which only one is tried while Kafka does not accept them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ingest.scicow.dead_letters.producer import DeadLetterProducer
from ingest.scicow.pipeline.backoff import FIRST_WAIT_SECONDS, Backoff
from ingest.scicow.pipeline.failure_policy import Retry
from ingest.scicow.pipeline.received_message import ReceivedMessage


class DeadLetterWriter:
    """Threads may share it."""

    def __init__(self, dead_letters: DeadLetterProducer, clock: Callable[[], float] = time.monotonic) -> None:
        self.topic = dead_letters.topic
        self._dead_letters = dead_letters
        self._clock = clock
        self._writing = threading.Lock()
        self._backoff = Backoff(clock)
        self._failure = ""

    @property
    def held(self) -> str:
        """Why no dead letter can be written, "" if they can."""
        return f"{self._backoff.reason}: {self._failure}" if self._backoff.reason else ""

    def write(self, message: ReceivedMessage, error: Exception) -> Retry | None:
        """None when Kafka has confirmed the dead letter, else when to try again."""
        # While Kafka does not accept dead letters, at most one thread waits for its answer.
        if not self._writing.acquire(blocking=not self._backoff.reason):
            return Retry(FIRST_WAIT_SECONDS)
        try:
            written = not self._backoff.remaining and self._is_written(message, error)
        finally:
            self._writing.release()
        return None if written else Retry(self._backoff.remaining or FIRST_WAIT_SECONDS)

    def _is_written(self, message: ReceivedMessage, error: Exception) -> bool:
        began = self._clock()
        try:
            self._dead_letters.put(message.kafka, error)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the message is not safe anywhere yet
            self._failure = str(failure)
            self._backoff.failed("Kafka does not accept dead letters", failure, began)
            return False
        self._backoff.succeeded(began)
        return True
