"""Writes composed messages to the spool in batches: messages that arrive during a commit share the next one.

Each commit waits for the disk. If hundreds of files arrive in a second, one commit for each message would block the
sender, which needs the same disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from scifish.native import Future, threading
from scifish.spool.database import OutboxBatch, Spool, is_damage
from scifish.spool.executor import SpoolExecutor


class OutboxWriter:
    """Threads may share it. The batches of one spool keep their order. `on_commit` is called after each commit."""

    def __init__(self, executor: SpoolExecutor, on_commit: Callable[[], object]) -> None:
        self._executor = executor
        self._on_commit = on_commit
        self._waiting: dict[Spool, list[tuple[OutboxBatch, Future[object]]]] = {}
        self._lock = threading.Lock()

    def put(self, spool: Spool, batch: OutboxBatch) -> Future[object]:
        """The future is done when the batch is on disk, however long the disk refuses it."""
        written: Future[object] = Future()
        with self._lock:
            waiting = self._waiting.setdefault(spool, [])
            waiting.append((batch, written))
            first = len(waiting) == 1
        if first:
            self._executor.submit_retrying(lambda: self._write(spool))
        return written

    def _write(self, spool: Spool) -> None:
        """Write all batches that wait now. The executor retries it if the disk refuses."""
        with self._lock:
            waiting = list(self._waiting[spool])
        try:
            spool.put_all([batch for batch, _ in waiting])
        except (sqlite3.OperationalError, OSError):
            raise
        except BaseException as error:
            if not is_damage(error):  # then there will be a new file; otherwise a retry would not help
                self._settle(spool, waiting, error)
            raise
        self._settle(spool, waiting, None)
        self._on_commit()

    def _settle(
        self, spool: Spool, written: list[tuple[OutboxBatch, Future[object]]], error: BaseException | None
    ) -> None:
        with self._lock:
            left = self._waiting[spool] = self._waiting[spool][len(written) :]
            if not left:
                del self._waiting[spool]
        if left:
            self._executor.submit_retrying(lambda: self._write(spool))
        for _, future in written:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
