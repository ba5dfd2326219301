"""Thread pools for calls that may hang: there are enough threads that a hanging call blocks no other."""

from __future__ import annotations

import heapq
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable

import tango

from scifish.native import Empty, SimpleQueue, run_restarting, threading

log = logging.getLogger(__name__)

Work = Callable[[], object]

MAX_THREADS = 512
"""Maximum number of threads of a pool. They mostly wait, and need some 50 kB of memory each."""

IDLE_SECONDS = 60.0
"""A thread without work ends after this time."""


class ThreadPool:
    """Runs work in parallel; a thread is started when none is free.

    The standard library's executors do not fit: they keep a program from exiting while a device hangs, and refuse work
    during the exit.
    """

    def __init__(self, name: str, max_threads: int = MAX_THREADS, idle: float = IDLE_SECONDS) -> None:
        self._name = name
        self._max_threads = max_threads
        self._idle = idle
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._free = 0  # threads without work; below zero: work that waits for a thread
        self._stopped = False

    @property
    def threads(self) -> int:
        """The number of threads."""
        return len(self._threads)

    @property
    def busy(self) -> int:
        """How much work is running or waits for a thread."""
        return len(self._threads) - self._free

    def submit(self, work: Work) -> None:
        """Returns at once. An exception of the work is logged; after `stop` work is ignored."""
        with self._lock:
            if self._stopped:
                return
            self._queue.put(work)
            if self._free > 0 or len(self._threads) >= self._max_threads or not self._begin_thread():
                self._free -= 1

    def stop(self, timeout: float = 0.0) -> None:
        """Finish the submitted work, and wait for it at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._lock:
            self._stopped = True
            threads = list(self._threads)
            for _ in threads:
                self._queue.put(None)
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _begin_thread(self) -> bool:
        thread = threading.Thread(target=lambda: run_restarting(self._run), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more threads: the present ones do the work
            log.warning("%s: the system allows no more than %d threads: %s", self._name, self.threads, error)
            return False
        self._threads.add(thread)
        return True

    def _run(self) -> None:
        # Tango has to know its threads: calls from other threads may crash.
        with tango.EnsureOmniThread():
            while work := self._next():
                try:
                    work()
                except Exception:
                    log.exception("work in the background failed")
                with self._lock:
                    self._free += 1

    def _next(self) -> Work | None:
        while True:
            try:
                return self._queue.get(timeout=self._idle)
            except Empty:
                with self._lock:
                    if self._free > 0:
                        self._free -= 1
                        self._threads.discard(threading.current_thread())
                        return None


class SerialExecutor:
    """Runs work one after the other on the threads of a pool: for calls to one device."""

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
                log.exception("work in the background failed")


class DelayedExecutor:
    """Submits work to a pool after a delay."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._waiting: list[tuple[float, int, Work]] = []
        self._numbers = itertools.count()  # keeps the order of work with the same time
        self._changed = threading.Condition()
        self._stopped = False
        threading.Thread(target=lambda: run_restarting(self._run), name="scifish-delayed", daemon=True).start()

    def submit(self, delay: float, work: Work) -> None:
        """Returns at once. `delay` in seconds; after `stop` work starts without delay."""
        with self._changed:
            if not self._stopped:
                heapq.heappush(self._waiting, (time.monotonic() + delay, next(self._numbers), work))
                self._changed.notify()
                return
        self._pool.submit(work)

    def stop(self) -> None:
        """Submit all waiting work now."""
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
