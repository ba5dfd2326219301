"""Background work of a device, so that clients are answered meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

import tango

from scifish.tango_io.executors import ThreadPool

T = TypeVar("T")

_log = logging.getLogger(__name__)


class PeriodicThread:
    """A thread that makes a call every `interval` seconds, and at once after `wake`, until `stop`.

    An exception of the call is logged, and the thread goes on.
    """

    def __init__(self, name: str, call: Callable[[], None], interval: float) -> None:
        self._call = call
        self._interval = interval
        self._wake = threading.Event()
        self._stopped = False
        # A daemon thread: a call that hangs in the network must not keep the server from exiting.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        """Make no further calls. Does not wait: the thread may need a lock that the caller holds."""
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        with tango.EnsureOmniThread():
            while True:
                self._wake.wait(self._interval)
                self._wake.clear()
                if self._stopped:
                    return
                try:
                    self._call()
                except Exception:  # noqa: BLE001 the thread must survive any error of the network
                    _log.exception("%s", self._thread.name)


def call_with_timeout(
    pool: ThreadPool, seconds: float, call: Callable[[], T], done: Callable[[], None] = lambda: None
) -> T:
    """What the call returns or raises. TimeoutError if it takes too long; it then goes on in the pool's thread.

    `done` is called when the call has finished, in time or not.
    """
    return _submit(pool, call, done).result(seconds)


class ExclusiveCaller:
    """Makes calls that may hang, one after the other, so that at most one of them hangs."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._lock = threading.Lock()

    def call(self, seconds: float, call: Callable[[], T]) -> T:
        """What the call returns or raises; TimeoutError if it, or the call before it, hangs."""
        until = time.monotonic() + seconds
        if not self._lock.acquire(timeout=max(seconds, 0.0)):
            raise TimeoutError
        return call_with_timeout(self._pool, max(until - time.monotonic(), 0.0), call, self._lock.release)


def call_all(calls: Sequence[Callable[[], T]], seconds: float) -> list[T | Exception]:
    """Make the calls in parallel. For each, what it returns, the exception that it raises, or a TimeoutError.

    `seconds` is the time for all of them together. A call that takes longer goes on in its thread, without its result.
    """
    pool = ThreadPool("answers")
    futures = [_submit(pool, call) for call in calls]
    deadline = time.monotonic() + seconds
    found: list[T | Exception] = []
    for future in futures:
        try:
            found.append(future.result(max(deadline - time.monotonic(), 0.0)))
        except Exception as error:  # noqa: BLE001 it is returned to the caller
            found.append(error)
    pool.stop()
    return found


def _submit(pool: ThreadPool, call: Callable[[], T], done: Callable[[], None] = lambda: None) -> Future[T]:
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001 it is passed to the caller
            answer.set_exception(error)
        finally:
            done()

    pool.submit(work)
    return answer
