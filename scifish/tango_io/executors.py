"""Threads for work that may hang: as many as are needed, so that what hangs holds up nothing else."""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

import tango

log = logging.getLogger(__name__)

Work = Callable[[], object]

MAX_THREADS = 512
"""Threads at the same time. They only wait, and cost some 50 kB of memory each."""

IDLE_SECONDS = 60.0
"""Seconds without work after which a thread leaves."""


class ThreadPool:
    """Does what it is given, all side by side. A thread is made when none is free.

    Not an executor of the standard library: those keep a program from ending while a device hangs,
    and refuse work while it ends.
    """

    def __init__(self, name: str, max_threads: int = MAX_THREADS, idle: float = IDLE_SECONDS) -> None:
        self._name = name
        self._max_threads = max_threads
        self._idle = idle
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._free = 0  # threads without work; below zero, pieces of work without a thread
        self._stopped = False

    @property
    def threads(self) -> int:
        """How many there are."""
        return len(self._threads)

    @property
    def busy(self) -> int:
        """How many pieces of work are being done, or wait for it."""
        return len(self._threads) - self._free

    def submit(self, work: Work) -> None:
        """Returns at once. What the work raises goes to the log; after `stop` it is not done."""
        with self._lock:
            if self._stopped:
                return
            self._queue.put(work)
            if self._free > 0 or len(self._threads) >= self._max_threads or not self._begin_thread():
                self._free -= 1

    def stop(self, timeout: float = 0.0) -> None:
        """Finish what was given, and wait for it for at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._lock:
            self._stopped = True
            threads = list(self._threads)
            for _ in threads:
                self._queue.put(None)
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _begin_thread(self) -> bool:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more: those that there are will do it
            log.warning("%s: no more than %d threads: %s", self._name, self.threads, error)
            return False
        self._threads.add(thread)
        return True

    def _run(self) -> None:
        # Tango wants to know its threads; a call from another kind may crash.
        with tango.EnsureOmniThread():
            while work := self._next():
                try:
                    work()
                except Exception:
                    log.exception("in the background of a recording")
                with self._lock:
                    self._free += 1

    def _next(self) -> Work | None:
        while True:
            try:
                return self._queue.get(timeout=self._idle)
            except queue.Empty:
                with self._lock:
                    if self._free > 0:
                        self._free -= 1
                        self._threads.discard(threading.current_thread())
                        return None


class SerialExecutor:
    """Work that is done in turn, by one thread of a pool at a time: what concerns one device."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._waiting: deque[Work] = deque()
        self._lock = threading.Lock()
        self._busy = False

    def submit(self, work: Work) -> None:
        """Returns at once."""
        with self._lock:
            self._waiting.append(work)
            if self._busy:
                return
            self._busy = True
        self._pool.submit(self._run)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._busy = False
                    return
                work = self._waiting.popleft()
            try:
                work()
            except Exception:
                log.exception("in the background of a recording")


class DelayedExecutor:
    """Gives work to a pool when its time has come."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._waiting: list[tuple[float, int, Work]] = []
        self._numbers = itertools.count()  # of two of the same time, the one that was given first
        self._changed = threading.Condition()
        self._stopped = False
        threading.Thread(target=self._run, name="scifish-delayed", daemon=True).start()

    def submit(self, delay: float, work: Work) -> None:
        """Returns at once. `delay` in seconds; none after `stop`."""
        with self._changed:
            if not self._stopped:
                heapq.heappush(self._waiting, (time.monotonic() + delay, next(self._numbers), work))
                self._changed.notify()
                return
        self._pool.submit(work)

    def stop(self) -> None:
        """All that waits has its time now."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
            for _, _, work in sorted(self._waiting):
                self._pool.submit(work)
            self._waiting.clear()

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                left = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if left is None or left > 0:
                    self._changed.wait(left)
                else:
                    self._pool.submit(heapq.heappop(self._waiting)[2])
