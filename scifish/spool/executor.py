"""Runs all spool I/O of a process on one thread, in order; failed writes are retried until they succeed."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from scifish.native import Empty, Future, SimpleQueue, run_restarting, threading
from scifish.spool.database import SpoolBroken, is_damage
from scifish.spool.disk import why_refused

log = logging.getLogger(__name__)
Result = TypeVar("Result")

DISK_WAIT_SECONDS = 0.25
"""How long a caller waits until its entry is on disk. A healthy disk needs some milliseconds."""

FIRST_DISK_RETRY_SECONDS = 0.05
DISK_RETRY_SECONDS = 1.0
"""Time until a disk that refuses writes is tried again: it doubles from the first to the second one."""

SPOOL_CLOSE_SECONDS = 1.0
"""How long `stop` waits for the last task, which closes the spool."""


_DISK_REFUSES = "the disk of the spool refuses writes"
_THREAD_WAITS = "the thread that writes the spool waits for the processor: this program or the machine is busy"


@dataclass(frozen=True)
class _Task:
    future: Future[Any]
    work: Callable[[], Any]
    retry: bool
    in_order: bool


class SpoolExecutor:
    """Runs its tasks one after the other.

    A write that the disk refuses waits, and all later writes wait behind it, so that the order is kept. Tasks that read
    or free space do not wait: otherwise a full disk would never become emptier.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is that of the spool, to find out why its disk refuses a write."""
        self._folder = folder
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._refused: deque[_Task] = deque()
        self._last: Callable[[], object] = lambda: None
        self._deadline = 0.0
        self._at_disk = False
        self._what = _DISK_REFUSES
        self.trouble = ""
        """Why nothing is written at the moment, mostly what the disk says; "" if all is well."""
        self.lost = ""
        """Why an entry could not be written for a reason that no retry changes; "" if all could."""
        self.on_damage: Callable[[], bool] | None = None
        """Called when a task finds damage. True: a spool was put aside, and the task is run again without it."""
        self._thread = threading.Thread(
            target=lambda: run_restarting(self._run, self._report_failure), name="scifish-spool", daemon=True
        )
        self._thread.start()

    @property
    def warning(self) -> str:
        """What `trouble` means, for a person."""
        return f"metadata are kept in memory only: {self._what} ({self.trouble})"

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Run it once, after the writes that the disk accepts. The future has the result or the exception."""
        return self._enqueue(work, retry=False, in_order=False)

    def submit_retrying(self, work: Callable[[], Result]) -> Future[Result]:
        """Run a write, and retry it while the disk refuses. It keeps its place among the other writes."""
        return self._enqueue(work, retry=True, in_order=True)

    def submit_urgent(self, work: Callable[[], Result]) -> Future[Result]:
        """As `submit_retrying`, for a task that frees space: it does not wait for the writes that the disk refuses."""
        return self._enqueue(work, retry=True, in_order=False)

    def submit_and_wait(self, work: Callable[[], object]) -> None:
        """`submit_retrying`, and wait until it is on disk, but at most `DISK_WAIT_SECONDS`. Never raises.

        It does not wait if the disk is known to refuse writes: the entry stays in memory, in its order.
        """
        future = self.submit_retrying(work)
        if self.trouble:
            return
        try:
            future.exception(DISK_WAIT_SECONDS)  # an exception is logged by the thread
        except TimeoutError:
            self._report_delay()
            if future.done():  # it answered at this very moment
                self._set_trouble("")

    def stop(self, timeout: float, then: Callable[[], object] = lambda: None) -> bool:
        """Finish the tasks within `timeout` seconds, then run `then`; whether the thread has ended."""
        self._last, self._deadline = then, time.monotonic() + timeout
        self._queue.put(None)
        self._thread.join(timeout + SPOOL_CLOSE_SECONDS)
        return not self._thread.is_alive()

    def _report_delay(self) -> None:
        if self.trouble:
            return
        if self._at_disk:
            self._what, self.trouble = _DISK_REFUSES, "it does not answer"
            log.error("the disk of the spool is slow or hangs: entries are kept in memory until it answers")
        elif self._thread.is_alive():
            self._what, self.trouble = _THREAD_WAITS, f"{DISK_WAIT_SECONDS:g} s"
            log.warning("%s for %s: entries are kept in memory until then", self._what, self.trouble)
        else:
            self._what, self.trouble = "the spool is closed", "this program is ending"
            log.error("%s: new entries are not written", self._what)

    def _report_failure(self, failure: str) -> None:
        """The thread itself failed, which says nothing about the disk."""
        self._what, self.trouble = "the spool is not written", failure

    def _enqueue(self, work: Callable[[], Result], retry: bool, in_order: bool) -> Future[Result]:
        future: Future[Result] = Future()
        self._queue.put(_Task(future, work, retry, in_order))
        return future

    def _run(self) -> None:
        next_retry, wait = 0.0, 0.0
        while True:
            try:
                left = max(next_retry - time.monotonic(), 0.0) if self._refused else None
                task = self._queue.get(timeout=left)
            except Empty:
                pass
            else:
                if task is None:
                    break
                if task.in_order and self._refused:
                    self._refused.append(task)
                elif not self._execute(task):
                    if not self._refused:
                        wait = FIRST_DISK_RETRY_SECONDS
                    self._refused.append(task)
                    next_retry = time.monotonic() + wait
                # A task that freed space, or showed that the disk answers: the refused writes are retried at once.
                elif self._refused and task.retry:
                    next_retry = 0.0
            if self._refused and time.monotonic() >= next_retry:
                self._retry_refused()
                wait = min(2 * wait, DISK_RETRY_SECONDS)
                next_retry = time.monotonic() + wait
            if not self._refused:  # also after a task that only freed space
                self._set_trouble("")
        self._end()

    def _end(self) -> None:
        self._retry_refused()
        while self._refused and time.monotonic() < self._deadline:
            time.sleep(min(DISK_RETRY_SECONDS, 0.2))
            self._retry_refused()
        if self._refused:
            log.error("the disk of the spool did not accept %d entries (%s)", len(self._refused), self.trouble)
        for task in self._refused:
            task.future.cancel()
        try:
            self._last()
        except Exception:
            log.exception("closing the spool failed")

    def _retry_refused(self) -> None:
        while self._refused and self._execute(self._refused[0]):
            self._refused.popleft()

    def _execute(self, task: _Task) -> bool:
        """False if the disk refuses the write and it has to be retried."""
        self._at_disk = True
        try:
            result = task.work()
        except (sqlite3.OperationalError, OSError) as error:
            if task.retry:
                self._set_trouble(why_refused(error, self._folder))
                return False
            task.future.set_exception(error)
        except BaseException as error:
            if is_damage(error) and self.on_damage is not None and self.on_damage():
                return self._execute(task)
            if is_damage(error) and task.retry:  # and no new one could be made
                self._set_trouble(str(error))
                return False
            if task.retry and not isinstance(error, SpoolBroken):  # which has what is not written, and is reported
                self.lost = self.lost or f"metadata are lost, see the log: {type(error).__name__}: {error}"
                log.error("an entry could not be written to the spool", exc_info=error)
            task.future.set_exception(error)
        else:
            if task.in_order:
                self._set_trouble("")
            task.future.set_result(result)
        finally:
            self._at_disk = False
        return True

    def _set_trouble(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.error("%s (%s): entries are kept in memory and retried", _DISK_REFUSES, trouble)
        elif self.trouble and not trouble:
            of_disk = self._what == _DISK_REFUSES
            log.warning("%s again", "the disk of the spool accepts writes" if of_disk else "the spool is written")
        self._what, self.trouble = _DISK_REFUSES, trouble
