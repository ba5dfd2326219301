"""The one thread that uses the disk, in order, and writes again for as long as the disk refuses."""

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
    """Does what it is given, one after the other. A write that the disk refuses stays first in the queue."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any], bool] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self.trouble = ""
        """Why the disk takes nothing at the moment, "" if it does."""
        self.on_damage: Callable[[Exception], None] | None = None
        """Called when a spool that cannot begin anew by itself is damaged."""
        self._thread = threading.Thread(target=self._run, name="scifish-clerk", daemon=True)
        self._thread.start()

    def ask(self, work: Callable[[], Result]) -> Future[Result]:
        """Have it done once, after all that was given before. The future has the answer, or what it raised."""
        return self._give(work, insist=False)

    def write(self, work: Callable[[], Result]) -> Future[Result]:
        """Have it done, again and again while the disk refuses. The future may be waited for."""
        return self._give(work, insist=True)

    def keep(self, work: Callable[[], object]) -> None:
        """`write` it and wait until it is on disk, but never longer than `PATIENCE`. Never raises.

        Where the disk is known to refuse, nobody waits: the entry is in memory and has its turn.
        """
        future = self.write(work)
        if self.trouble:
            return
        try:
            future.exception(PATIENCE)  # the clerk says in the log what it raised
        except TimeoutError:
            if not self.trouble:
                self.trouble = "it does not answer"
                log.error("the spool's disk is slow or hangs: entries are kept in memory until it answers")

    def stop(self, timeout: float) -> bool:
        """Finish what was given, for at most `timeout` seconds; whether all is done."""
        self._queue.put(None)
        self._thread.join(timeout)
        self._stopping.set()
        return not self._thread.is_alive()

    def _give(self, work: Callable[[], Result], insist: bool) -> Future[Result]:
        future: Future[Result] = Future()
        self._queue.put((future, work, insist))
        return future

    def _run(self) -> None:
        while (given := self._queue.get()) is not None:
            future, work, insist = given
            try:
                future.set_result(self._insist(work) if insist else work())
            except BaseException as error:
                # Of this class itself, and not of one below it, is only what says that the file is damaged.
                if type(error) is sqlite3.DatabaseError and self.on_damage is not None:
                    self.on_damage(error)
                if insist:
                    log.error("the spool could not take an entry", exc_info=error)
                future.set_exception(error)

    def _insist(self, work: Callable[[], Result]) -> Result:
        while True:
            try:
                result = work()
            except (sqlite3.OperationalError, OSError) as error:
                if self._stopping.is_set():
                    raise
                if str(error) != self.trouble:
                    log.error("the spool's disk refuses (%s): entries are kept in memory, and tried again", error)
                self.trouble = str(error)
                self._stopping.wait(RETRY)
            else:
                if self.trouble:
                    log.warning("the spool's disk takes entries again")
                self.trouble = ""
                return result
