"""The one thread that writes to disk, in order, and tries again for as long as the disk refuses."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

log = logging.getLogger(__name__)
Result = TypeVar("Result")

PATIENCE = 0.25
"""Seconds that a caller waits for its entry to be on disk. A healthy disk needs some milliseconds."""

RETRY = 1.0
"""Seconds between tries on a disk that refuses."""


class Clerk:
    """Does what it is given, one after the other. What the disk refuses stays first in the queue."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self.trouble = ""
        """Why the disk refuses at the moment, "" if it does not."""
        self._thread = threading.Thread(target=self._run, name="scifish-clerk", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], Result]) -> Future[Result]:
        """Have it done after all that was given before. The future may be waited for."""
        future: Future[Result] = Future()
        self._queue.put((future, work))
        return future

    def keep(self, work: Callable[[], object]) -> bool:
        """Have it done and wait for it, but never longer than `PATIENCE`; whether it is on disk.

        Where the disk is known to refuse, nobody waits: the entry is in memory and in its turn.
        """
        future = self.do(work)
        if self.trouble:
            return False
        try:
            future.result(PATIENCE)
        except TimeoutError:
            log.warning("the spool's disk is slow or hangs: the entry is kept in memory until it answers")
            return False
        return True

    def stop(self, timeout: float) -> bool:
        """Finish what was given, for at most `timeout` seconds; whether all is done."""
        self._queue.put(None)
        self._thread.join(timeout)
        self._stopping.set()
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (given := self._queue.get()) is not None:
            future, work = given
            try:
                future.set_result(self._insist(work))
            except BaseException as error:
                log.error("the spool could not take an entry", exc_info=error)
                future.set_exception(error)

    def _insist(self, work: Callable[[], Result]) -> Result:
        while True:
            try:
                result = work()
            except (sqlite3.OperationalError, OSError) as error:
                if self._stopping.is_set():
                    raise
                if not self.trouble:
                    log.error("the spool's disk refuses (%s): entries are kept in memory, and tried again", error)
                self.trouble = str(error)
                self._stopping.wait(RETRY)
            else:
                if self.trouble:
                    log.warning("the spool's disk takes entries again")
                self.trouble = ""
                return result
