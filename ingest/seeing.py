"""All that lets people and programs see a SciCow that runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ingest.broker import Broker, BrokerError
from ingest.http import Server
from ingest.progress import Progress
from ingest.settings import Settings
from ingest.state import Cow, State

log = logging.getLogger(__name__)

COUNT_EVERY = 15.0
ANSWER_WITHIN = 10.0


@contextmanager
def seen(settings: Settings, cow: Cow, progress: Progress) -> Iterator[None]:
    """Serves what `settings.http` says as long as it is entered. SettingsError if the port is taken."""
    if not settings.http.port:
        yield
        return
    letters = Recounted(lambda: Broker(settings.kafka, ANSWER_WITHIN).messages(settings.dead_letter_topic))
    with Server(settings.http, State(cow, progress, letters)), letters:
        yield


class Recounted:
    """What `count` says, asked again and again in a thread of its own; None while it raises BrokerError."""

    def __init__(self, count: Callable[[], int], every: float = COUNT_EVERY) -> None:
        self._count = count
        self._every = every
        self._number: int | None = None
        self._over = threading.Event()

    def __call__(self) -> int | None:
        return self._number

    def __enter__(self) -> Recounted:
        # A daemon, as Kafka's answer may take its time, and nobody waits for it at the end.
        threading.Thread(target=self._run, name="dead-letters", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._number = self._count()
            except BrokerError as error:
                if self._number is not None:
                    log.warning("it is not known how many dead letters wait: %s", error)
                self._number = None
            self._over.wait(self._every)
