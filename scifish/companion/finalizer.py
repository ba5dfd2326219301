"""The last message of a dataset: composed of everything that is known of it, with its plot."""

from __future__ import annotations

import logging
import time

from scifish.dataset import compose
from scifish.dataset.compose import Record
from scifish.dataset.files import described, expand
from scifish.dataset.plot import PlotError, data_uri, png
from scifish.dataset.proprietary import stays_here
from scifish.message import AnyMessage
from scifish.message.types import Image
from scifish.native import Future, threading
from scifish.settings import Settings
from scifish.spool.batching import OutboxWriter
from scifish.spool.database import OutboxBatch, Spool
from scifish.spool.executor import SpoolExecutor
from scifish.spool.sender import Sender
from scifish.spool.withheld import WithheldDatasets

log = logging.getLogger(__name__)


class Finalizer:
    """Composes the last messages of datasets and puts them into the outbox. Threads may share it."""

    def __init__(self, executor: SpoolExecutor, sender: Sender, withheld: WithheldDatasets) -> None:
        self._executor = executor
        self._outgoing = OutboxWriter(executor, sender.wake)
        self._withheld = withheld
        self._plot_errors: set[str] = set()
        self._drawing = threading.Lock()

    def may_send(self, record: Record, settings: Settings) -> bool:
        """Whether the metadata may leave the beamline. If not, this is remembered for later annotations."""
        annotates_kept = (
            "annotation" in record.given and not settings.send_proprietary and record.dataset in self._withheld
        )
        if not stays_here(record, settings) and not annotates_kept:
            return True
        self._withheld.add(record.dataset)
        return False

    def finish(self, spool: Spool, record: Record, settings: Settings) -> Future[object]:
        """Put the last message into the spool where the dataset is open. The future is done when that is on disk."""
        if not self.may_send(record, settings):
            return self._executor.submit_urgent(lambda: spool.forget(record.uuid))
        if (changes := record.given.get("annotation")) is not None:
            message = compose.annotation(
                record.dataset, changes, record.started, record.text("proposalId"), settings, spool.origin
            )
            return self._outgoing.put(spool, OutboxBatch.of(settings.topic, [message], record.uuid))
        if record.observed.values is None:
            record.observed.warnings.append("no attribute was read: the program ended before, or had no settings")
        files = described(expand(record.given.get("files")))
        # Where it was recorded before, its pictures are there.
        images = [*self._plot(record), *(record.observed.pictures if not record.given.get("revision") else ())]
        proposal, now = record.text("proposalId"), time.time()
        annotations = [
            compose.annotation(record.dataset, {"image": image}, now, proposal, settings, spool.origin)
            for image in images
        ]
        messages: list[AnyMessage] = [compose.ended(record, files, settings, spool.origin), *annotations]
        return self._outgoing.put(spool, OutboxBatch.of(settings.topic, messages, record.uuid))

    def _plot(self, record: Record) -> list[Image]:
        """The dataset's plot, if it has one."""
        plot = record.given.get("plot")
        if not plot:
            return []
        try:
            with self._drawing:  # matplotlib is not thread-safe, and each thread would need its memory
                picture = png(plot)
        except PlotError as error:
            if str(error) not in self._plot_errors:  # logged once: without matplotlib every scan has the same error
                log.warning("%s", error)
            self._plot_errors.add(str(error))
            return []
        except Exception:
            log.exception("dataset %s: its plot cannot be drawn", record.uuid)
            return []
        return [{"caption": str(plot.get("title") or "plot"), "uri": data_uri(picture)}]
