"""The threads that ingest messages into SciCat, and the one place where a decision about a failure takes effect."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ingest.scicow.catalogue.ingestor import Ingestor
from ingest.scicow.dead_letters.producer import DeadLetterProducer
from ingest.scicow.errors import ForeignMessage, NotYet
from ingest.scicow.logs import add_to_context, message_context
from ingest.scicow.mapping.ownership import check_topic
from ingest.scicow.pipeline.backoff import LONGEST_WAIT_SECONDS, Backoff
from ingest.scicow.pipeline.counters import Progress
from ingest.scicow.pipeline.dataset_queues import DatasetQueues
from ingest.scicow.pipeline.dead_letter_writer import DeadLetterWriter
from ingest.scicow.pipeline.failure_policy import DeadLetter, Decision, FailurePolicy, Pause, Retry
from ingest.scicow.pipeline.received_message import ReceivedMessage
from ingest.scicow.settings import SciCowSettings
from scifish.message import decode

log = logging.getLogger(__name__)


class Workers:
    """`settings.workers` threads. When the queues are closed, each ends after the message that it has in progress."""

    def __init__(
        self,
        settings: SciCowSettings,
        ingestor: Ingestor,
        dead_letters: DeadLetterProducer,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._ingestor = ingestor
        self._dead_letters = DeadLetterWriter(dead_letters, clock)
        self._progress = progress
        self._clock = clock
        self._backoff = Backoff(clock)
        self._policy = FailurePolicy(self._backoff, settings)
        self.queues = DatasetQueues(self._backoff, clock)

    @property
    def held(self) -> str:
        """Why no dataset can be written, "" if datasets can."""
        return self._backoff.reason or self._dead_letters.held

    def start(self) -> None:
        for number in range(self._settings.workers):
            # All they do can be repeated, so they need not keep the process from exiting.
            threading.Thread(target=self._run, name=f"worker-{number + 1}", daemon=True).start()

    def _run(self) -> None:
        while self._work_on_next():
            pass

    def _work_on_next(self) -> bool:
        """False when the queues are closed. No reference to a message is kept while waiting for the next."""
        message = self.queues.take()
        if message is None:
            return False
        uuid = "" if message.dataset == str(message) else message.dataset[:100]
        with message_context(
            uuid=uuid, topic=message.partition.topic, partition=message.partition.number, offset=message.offset
        ):
            began = self._clock()
            try:
                self._work_on(message, began)
            except Exception as error:
                log.exception("%s: internal error in SciCow, please report it; retrying", message)
                self._apply(Retry(LONGEST_WAIT_SECONDS), message, error, began)
        return True

    def _work_on(self, message: ReceivedMessage, began: float) -> None:
        try:
            content = decode(message.kafka.value() or b"")
            add_to_context(beamline=content["beamline"], proposal=content["proposalId"][:100])
            check_topic(content, message.partition.topic, self._settings)
            self._ingestor.ingest(content, message.is_resent)
        except Exception as error:  # noqa: BLE001 - the policy knows what follows from each
            self._apply(self._policy.failed(message, error, began), message, error, began)
        else:
            self._policy.succeeded(began)
            self._finish(message, "ingested")

    def _apply(self, decision: Decision, message: ReceivedMessage, error: Exception, began: float) -> None:
        """Carry out the decision about a failed attempt. Nothing else pauses SciCow, retries or gives up a message."""
        match decision:
            case DeadLetter(defect):
                if defect:
                    log.exception("%s: internal error in SciCow, please report it", message)
                retry = self._dead_letters.write(message, error)
                if retry is None:
                    log.error(
                        "%s is in the dead-letter topic %s: %r", message, self._dead_letters.topic, str(error)[:500]
                    )
                    self._finish(message, "dead", *(["foreign"] if isinstance(error, ForeignMessage) else []))
                    return
            case Pause(reason, at_least):
                self._backoff.failed(reason, error, began, at_least)
                log.debug("%s: dataset %s waits: %s", message, message.dataset[:100], error)
                retry = Retry(0.0)
            case Retry():
                level = logging.INFO if isinstance(error, NotYet) else logging.WARNING
                level = level if decision.first else logging.DEBUG
                log.log(level, "%s: dataset %s waits: %s", message, message.dataset[:100], error)
                retry = decision
        self._progress.count(message.partition.topic, "retried")
        if not self.queues.retry(message, retry.wait, retry.dataset_missing):
            self._progress.count(message.partition.topic, "waiting", -1)

    def _finish(self, message: ReceivedMessage, *counters: str) -> None:
        with self._progress.locked():
            message.partition.done(message.offset)
            for counter in counters:
                self._progress.count(message.partition.topic, counter)
            self._progress.count(message.partition.topic, "waiting", -1)
        self.queues.done(message)
