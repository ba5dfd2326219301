"""The threads that bring messages into SciCat, and what they do when that fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ingest.scicow.catalogue.ingestor import Ingestor
from ingest.scicow.dead_letters.producer import DeadLetters
from ingest.scicow.errors import DatasetMissing, NotYet
from ingest.scicow.logs import about, also
from ingest.scicow.pipeline.backoff import FIRST_WAIT, LONGEST_WAIT, Hold
from ingest.scicow.pipeline.counters import Progress
from ingest.scicow.pipeline.dataset_queues import Lanes
from ingest.scicow.pipeline.failure_policy import Judge, is_mistake_of_ours
from ingest.scicow.pipeline.item import Item
from ingest.scicow.settings import Settings
from scifish.message import decode

log = logging.getLogger(__name__)


class Workers:
    """`settings.workers` threads. They end when the lanes are closed, each after the message that it has in work."""

    def __init__(
        self,
        settings: Settings,
        ingestor: Ingestor,
        dead_letters: DeadLetters,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._ingestor = ingestor
        self._dead_letters = dead_letters
        self._progress = progress
        self._clock = clock
        self._hold = Hold(clock)
        self._judge = Judge(self._hold, settings)
        self._burying = threading.Lock()
        self._dead_letters_hold = Hold(clock)
        self.lanes = Lanes(self._hold, clock)

    @property
    def held(self) -> str:
        """Why nothing can be done for any dataset, "" if it can."""
        return self._hold.reason

    def start(self) -> None:
        for number in range(self._settings.workers):
            # What they do may be repeated, so none of them keeps a process from ending.
            threading.Thread(target=self._run, name=f"worker-{number + 1}", daemon=True).start()

    def _run(self) -> None:
        while self._work_on_next():
            pass

    def _work_on_next(self) -> bool:
        """False if there is nothing more. The message is in no variable while the next one is waited for."""
        item = self.lanes.take()
        if item is None:
            return False
        uuid = "" if item.lane == str(item) else item.lane[:100]
        with about(uuid=uuid, topic=item.partition.topic, partition=item.partition.number, offset=item.offset):
            try:
                self._work_on(item)
            except Exception:
                log.exception("%s: a mistake in SciCow itself, please report it; trying it again", item)
                self._try_again(item, LONGEST_WAIT)
        return True

    def _work_on(self, item: Item) -> None:
        began = self._clock()
        try:
            message = decode(item.kafka.value() or b"")
            also(beamline=message["beamline"], proposal=message["proposalId"])
            self._ingestor.ingest(message)
        except Exception as error:
            wait = self._judge.failed(item, error, began)
            if wait is None:
                if is_mistake_of_ours(error):
                    log.exception("%s: a mistake in SciCow itself, please report it", item)
                self._bury(item, error)
            else:
                self._say_why_it_waits(item, error, wait)
                self._try_again(item, wait, missing=isinstance(error, DatasetMissing))
        else:
            self._judge.succeeded(began)
            self._finish(item, "ingested")

    def _finish(self, item: Item, how: str) -> None:
        with self._progress.together():
            item.partition.done(item.offset)
            self._progress.count(item.partition.topic, how)
            self._progress.count(item.partition.topic, "waiting", -1)
        self.lanes.done(item)

    def _try_again(self, item: Item, wait: float, missing: bool = False) -> None:
        self._progress.count(item.partition.topic, "retried")
        if not self.lanes.retry(item, wait, missing):
            self._progress.count(item.partition.topic, "waiting", -1)

    def _bury(self, item: Item, error: Exception) -> None:
        # While Kafka does not take dead letters, one thread at most waits for it to say so.
        if not self._burying.acquire(blocking=not self._dead_letters_hold.reason):
            self._try_again(item, FIRST_WAIT)
            return
        try:
            buried = not self._dead_letters_hold.left and self._is_buried(item, error)
        finally:
            self._burying.release()
        if buried:
            log.error("%s is in topic %s: %r", item, self._dead_letters.topic, str(error)[:500])
            self._finish(item, "dead")
        else:
            self._try_again(item, self._dead_letters_hold.left or FIRST_WAIT)

    def _is_buried(self, item: Item, error: Exception) -> bool:
        began = self._clock()
        try:
            self._dead_letters.put(item.kafka, error)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the message is nowhere safe yet
            self._dead_letters_hold.failed("Kafka does not take dead letters", failure, began)
            return False
        self._dead_letters_hold.succeeded(began)
        return True

    def _say_why_it_waits(self, item: Item, error: Exception, wait: float) -> None:
        """Once for each trouble; what holds everything is said by `Hold`."""
        level = logging.INFO if isinstance(error, NotYet) else logging.WARNING
        first = wait > 0.0 and item.wait == FIRST_WAIT
        log.log(level if first else logging.DEBUG, "%s: dataset %s waits: %s", item, item.lane[:100], error)
