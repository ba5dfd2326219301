"""Serves metrics, health and status of a running SciCow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ingest.scicow.dead_letters.topic import WaitingLetters
from ingest.scicow.monitoring.server import MonitoringServer
from ingest.scicow.monitoring.status import ConsumerState, ReplicaStatus
from ingest.scicow.pipeline.counters import Progress
from ingest.scicow.settings import SciCowSettings

log = logging.getLogger(__name__)

COUNT_PERIOD_SECONDS = 15.0
LETTER_POLL_SECONDS = 1.0
"""Seconds after which a dead letter of our own is counted."""

COUNT_ANSWER_SECONDS = 10.0


@contextmanager
def serve_monitoring(settings: SciCowSettings, consumer: ConsumerState, progress: Progress) -> Iterator[None]:
    """Serves what `settings.http` says as long as it is entered. SciCowSettingsError if the port is taken."""
    if not settings.http.port:
        yield
        return
    letters = LetterCount(WaitingLetters(settings, COUNT_ANSWER_SECONDS), progress)
    with MonitoringServer(settings.http, ReplicaStatus(consumer, progress, letters)), letters:
        yield


class LetterCount:
    """The result of `count`, which a thread of its own calls repeatedly; None while it raises.

    That is every `every` seconds, and soon after `progress` has counted another dead letter or loss.
    """

    def __init__(self, count: Callable[[], int], progress: Progress, every: float = COUNT_PERIOD_SECONDS) -> None:
        self._count = count
        self._progress = progress
        self._every = every
        self._number: int | None = None
        self._over = threading.Event()

    def __call__(self) -> int | None:
        return self._number

    def __enter__(self) -> LetterCount:
        # A daemon, as Kafka's answer may take its time, and nobody waits for it at the end.
        threading.Thread(target=self._run, name="dead-letters", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            recorded, until = self._recorded, time.monotonic() + self._every
            try:
                self._number = self._count()
            except Exception as error:  # noqa: BLE001 - such as of a `kafka.config_file` that is being replaced
                if self._number is not None:
                    log.warning("the number of waiting dead letters is unknown: %s", error)
                self._number = None
            while not self._over.wait(min(LETTER_POLL_SECONDS, self._every)):
                if self._recorded != recorded or time.monotonic() >= until:
                    break

    @property
    def _recorded(self) -> int:
        return sum(topic.dead + topic.lost for topic in self._progress.snapshot().values())
