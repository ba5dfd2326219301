"""Threads that do what a measurement does not wait for."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

import tango

log = logging.getLogger(__name__)


class Workers:
    """Do what they are given, first come first served, `count` at a time.

    Unlike an executor of the standard library, giving them work neither starts a thread nor
    waits for a lock: a scan's thread must not have to queue behind ours for the interpreter.
    """

    def __init__(self, count: int, name: str) -> None:
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def give(self, work: Callable[[], object]) -> None:
        """Returns at once. What the work raises goes to the log."""
        self._queue.put(work)

    def stop(self, timeout: float) -> None:
        """Finish what was given, each thread for at most `timeout` seconds."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout)

    def _run(self) -> None:
        # Tango wants to know its threads; a call from another kind may crash.
        with tango.EnsureOmniThread():
            while (work := self._queue.get()) is not None:
                try:
                    work()
                except Exception:
                    log.exception("in the background of a recording")
