"""Composed messages on their way to the disk: those that come while it is busy go there together.

Each commit waits for the disk. When files come by the hundred in a second, one for each would hold
up the sender, which needs the same disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future

from scifish.spool.database import OutboxBatch, Spool
from scifish.spool.executor import SpoolExecutor


class OutboxWriter:
    """Threads may share it. Of one spool they stay in their order. `then` is called after each commit."""

    def __init__(self, executor: SpoolExecutor, then: Callable[[], object]) -> None:
        self._executor = executor
        self._then = then
        self._waiting: dict[Spool, list[tuple[OutboxBatch, Future[object]]]] = {}
        self._lock = threading.Lock()

    def put(self, spool: Spool, put: OutboxBatch) -> Future[object]:
        """The future is done when it is on disk, however long that refuses."""
        written: Future[object] = Future()
        with self._lock:
            waiting = self._waiting.setdefault(spool, [])
            waiting.append((put, written))
            first = len(waiting) == 1
        if first:
            self._executor.submit_retrying(lambda: self._write(spool))
        return written

    def _write(self, spool: Spool) -> None:
        """All that is there by now. Where the disk refuses, the executor calls it again."""
        with self._lock:
            batch = list(self._waiting[spool])
        try:
            spool.put_all([put for put, _ in batch])
        except (sqlite3.OperationalError, OSError):
            raise
        except BaseException as error:  # it will never be taken
            self._settle(spool, batch, error)
            raise
        self._settle(spool, batch, None)
        self._then()

    def _settle(
        self, spool: Spool, batch: list[tuple[OutboxBatch, Future[object]]], error: BaseException | None
    ) -> None:
        with self._lock:
            left = self._waiting[spool] = self._waiting[spool][len(batch) :]
            if not left:
                del self._waiting[spool]
        if left:
            self._executor.submit_retrying(lambda: self._write(spool))
        for _, written in batch:
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)
