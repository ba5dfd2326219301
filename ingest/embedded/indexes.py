"""Indexes that are made when they turn out to be needed.

A table of all datasets can be sorted by any value of their metadata, and nobody can know before by
which. The first such query reads everything (2 s of 250,000 datasets); the next find the index.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from ingest.embedded.filters import Shape, order_value

MOST = 12
"""Indexes of this kind. Each costs every write a little, so the oldest goes for a new one."""

log = logging.getLogger(__name__)


class OrderIndexes:
    """Makes them one after the other, in a thread of its own, so that no reader waits.

    `write` is the store's transaction. Writers wait for the seconds that an index takes.
    """

    def __init__(self, write: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self._write = write
        self._wanted: queue.SimpleQueue[tuple[Shape, str] | None] = queue.SimpleQueue()
        self._asked: set[tuple[str, str]] = set()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def want(self, shape: Shape, path: str) -> None:
        """Ask for an index on the order by this path. Returns at once."""
        with self._lock:
            if self._stopped or order_value(path, shape) == "NULL" or (shape.table, path) in self._asked:
                return
            self._asked.add((shape.table, path))
            self._wanted.put((shape, path))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="indexes", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Ends after the index that is being made."""
        with self._lock:
            self._stopped = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._wanted.put(None)
            thread.join()

    def _work(self) -> None:
        while (wanted := self._wanted.get()) is not None and not self._stopped:
            shape, path = wanted
            begin = time.monotonic()
            try:
                self._make(shape, order_value(path, shape))
            except sqlite3.Error as error:  # the disk is full: sorting stays slow, and right
                log.warning("no index on %s.%s: %s", shape.table, path, error)
            else:
                log.info("index on %s.%s made in %.1f s", shape.table, path, time.monotonic() - begin)
            with self._lock:
                self._asked.discard((shape.table, path))

    def _make(self, shape: Shape, value: str) -> None:
        prefix = f"{shape.table}_order_"
        with self._write() as connection:
            rows = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name GLOB ?", (f"{prefix}*",)
            ).fetchall()
            if any(sql.endswith(f" ({value})") for _, sql in rows):
                return
            numbers = sorted(int(name.removeprefix(prefix)) for name, _ in rows)
            for number in numbers[: max(0, len(numbers) - MOST + 1)]:
                connection.execute(f"DROP INDEX {prefix}{number}")
            newest = numbers[-1] + 1 if numbers else 1
            connection.execute(f"CREATE INDEX {prefix}{newest} ON {shape.table} ({value})")
