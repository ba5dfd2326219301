"""Puts on record what Kafka deleted before it was read: a dead letter without a message, one for each gap.

So the loss is seen by everything that sees dead letters, until somebody drops it, also after SciCow was started again.
"""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass

from ingest.scicow.dead_letters.producer import DeadLetterProducer
from ingest.scicow.pipeline.assigned_partition import AssignedPartition
from ingest.scicow.pipeline.backoff import next_wait
from ingest.scicow.pipeline.counters import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loss:
    partition: AssignedPartition
    gap: int
    first: int
    end: int
    with_topic: bool = False
    created: bool = True


class LossRecorder:
    """A thread of its own writes, as Kafka's answer may take its time. The gap is closed when Kafka has the record."""

    def __init__(self, dead_letters: DeadLetterProducer, progress: Progress) -> None:
        self._dead_letters = dead_letters
        self._progress = progress
        self._waiting: queue.SimpleQueue[_Loss] = queue.SimpleQueue()
        self._over = threading.Event()
        self.held = ""
        """Why the last record could not be written, "" if it could."""

    def start(self) -> None:
        threading.Thread(target=self._run, name="losses", daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def record(self, partition: AssignedPartition, gap: int, first: int, end: int) -> None:
        """Of the gap that begins at `gap`, the messages from `first` to before `end` are lost."""
        log.error(
            "%s: %d messages are lost, offsets %d to %d: Kafka deleted them before SciCow had read them. Set the "
            "topic's retention.ms to more than the longest outage; `scifish resend --since` on the beamline's machine "
            "sends them again",
            *(partition, end - first, first, end - 1),
        )
        self._progress.count(partition.topic, "lost", end - first)
        self._waiting.put(_Loss(partition, gap, first, end))

    def record_topic(self, partition: AssignedPartition, first: int, end: int, created: bool = True) -> None:
        """The topic of this partition was deleted, with its messages from `first` to before `end`, or more.

        `created` is whether there is another one of its name. How many messages it had is not known, so at least one
        is counted. They are a gap of the partition until that is on record.
        """
        log.error(
            "%s: the topic was deleted%s. Its messages from offset %d on were not read, %d or "
            "more; `scifish resend --since` on the beamline's machine sends them again",
            *(partition, " and created again" if created else "", first, end - first),
        )
        self._progress.count(partition.topic, "lost", max(end - first, 1))
        partition.open_gap(first, end)
        self._waiting.put(_Loss(partition, first, first, end, with_topic=True, created=created))

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                loss = self._waiting.get(timeout=1.0)
            except queue.Empty:
                continue
            wait = 0.0
            # The next one to have the partition finds a gap itself, but not that the topic was another one.
            while (loss.with_topic or not loss.partition.revoked) and not self._over.is_set():
                where = (loss.partition.topic, loss.partition.number, loss.first, loss.end)
                try:
                    self._dead_letters.put_lost(*where, with_topic=loss.with_topic, created=loss.created)
                except Exception as error:  # noqa: BLE001 - whatever it is, the loss is on record nowhere yet
                    self.held = str(error) or repr(error)
                    wait = next_wait(wait)
                    self._over.wait(wait)
                else:
                    loss.partition.close_gap(loss.gap)
                    break
            self.held = ""
