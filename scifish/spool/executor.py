"""The one thread that uses the disk, in order, and writes again for as long as the disk refuses."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

log = logging.getLogger(__name__)
Result = TypeVar("Result")

DISK_WAIT_SECONDS = 0.25
"""Seconds that a caller waits for its entry to be on disk. A healthy disk needs some milliseconds."""

DISK_RETRY_SECONDS = 1.0
"""Seconds between tries on a disk that refuses."""

CLOSE_WAIT_SECONDS = 1.0
"""Seconds for letting go of the spool."""


@dataclass(frozen=True)
class _Task:
    future: Future[Any]
    work: Callable[[], Any]
    insist: bool
    after_others: bool


class SpoolExecutor:
    """Does what it is given, one after the other.

    What the disk refuses waits, and all that is written later waits behind it, so that the order
    is kept. What reads, or makes room, does not wait: else a full disk would never get emptier.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._refused: deque[_Task] = deque()
        self._last: Callable[[], object] = lambda: None
        self._deadline = 0.0
        self.trouble = ""
        """Why the disk takes nothing at the moment, "" if it does."""
        self.on_damage: Callable[[Exception], None] | None = None
        """Called when a spool that cannot begin anew by itself is damaged."""
        self._thread = threading.Thread(target=self._run, name="scifish-spool", daemon=True)
        self._thread.start()

    @property
    def warning(self) -> str:
        """What `trouble` means, for a person."""
        return f"metadata are in memory only, the disk of the spool takes nothing ({self.trouble})"

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Have it done once, after all that the disk takes. The future has the answer, or what it raised."""
        return self._enqueue(work, insist=False, after_others=False)

    def submit_retrying(self, work: Callable[[], Result]) -> Future[Result]:
        """Have it done, again and again while the disk refuses. The future may be waited for."""
        return self._enqueue(work, insist=True, after_others=True)

    def submit_urgent(self, work: Callable[[], Result]) -> Future[Result]:
        """`write` what takes something away from the disk: it need not wait for what the disk refuses."""
        return self._enqueue(work, insist=True, after_others=False)

    def submit_and_wait(self, work: Callable[[], object]) -> None:
        """`write` it and wait until it is on disk, but never longer than `DISK_WAIT_SECONDS`. Never raises.

        Where the disk is known to refuse, nobody waits: the entry is in memory and has its turn.
        """
        future = self.submit_retrying(work)
        if self.trouble:
            return
        try:
            future.exception(DISK_WAIT_SECONDS)  # the executor says in the log what it raised
        except TimeoutError:
            if not self.trouble:
                self.trouble = "it does not answer"
                log.error("the spool's disk is slow or hangs: entries are kept in memory until it answers")
            if future.done():  # at this very moment
                self._say("")

    def stop(self, timeout: float, then: Callable[[], object] = lambda: None) -> bool:
        """Finish what was given, for at most `timeout` seconds, and do `then` at last; whether the thread is done."""
        self._last, self._deadline = then, time.monotonic() + timeout
        self._queue.put(None)
        self._thread.join(timeout + CLOSE_WAIT_SECONDS)
        return not self._thread.is_alive()

    def _enqueue(self, work: Callable[[], Result], insist: bool, after_others: bool) -> Future[Result]:
        future: Future[Result] = Future()
        self._queue.put(_Task(future, work, insist, after_others))
        return future

    def _run(self) -> None:
        again = 0.0
        while True:
            try:
                left = max(again - time.monotonic(), 0.0) if self._refused else None
                task = self._queue.get(timeout=left)
            except queue.Empty:
                pass
            else:
                if task is None:
                    break
                if task.after_others and self._refused:
                    self._refused.append(task)
                elif not self._do(task):
                    self._refused.append(task)
                    again = time.monotonic() + DISK_RETRY_SECONDS
                # What made room, or told that the disk answers again, lets others have their turn now.
                elif self._refused and task.insist:
                    again = 0.0
            if self._refused and time.monotonic() >= again:
                again = time.monotonic() + DISK_RETRY_SECONDS
                self._try_refused()
            if not self._refused:  # also after what only made room
                self._say("")
        self._end()

    def _end(self) -> None:
        self._try_refused()
        while self._refused and time.monotonic() < self._deadline:
            time.sleep(min(DISK_RETRY_SECONDS, 0.2))
            self._try_refused()
        if self._refused:
            log.error("the disk of the spool has not taken %d entries (%s)", len(self._refused), self.trouble)
        for task in self._refused:
            task.future.cancel()
        try:
            self._last()
        except Exception:
            log.exception("letting go of the spool")

    def _try_refused(self) -> None:
        while self._refused and self._do(self._refused[0]):
            self._refused.popleft()

    def _do(self, task: _Task) -> bool:
        """False if the disk refuses and it is to be tried again."""
        try:
            result = task.work()
        except (sqlite3.OperationalError, OSError) as error:
            if task.insist:
                self._say(str(error))
                return False
            task.future.set_exception(error)
        except BaseException as error:
            # Of this class itself, and not of one below it, is only what says that the file is damaged.
            if type(error) is sqlite3.DatabaseError and self.on_damage is not None:
                self.on_damage(error)
            if task.insist:
                log.error("the spool could not take an entry", exc_info=error)
            task.future.set_exception(error)
        else:
            if task.after_others:
                self._say("")
            task.future.set_result(result)
        return True

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.error("the spool's disk refuses (%s): entries are kept in memory, and tried again", trouble)
        elif self.trouble and not trouble:
            log.warning("the spool's disk takes entries again")
        self.trouble = trouble
