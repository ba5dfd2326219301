"""Work that a device does while its clients are answered."""

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


class Background:
    """A thread that makes a call every `interval` seconds, and at once after `now`, until `stop`.

    An exception of the call is logged, and the next call is made in its time.
    """

    def __init__(self, name: str, call: Callable[[], None], interval: float) -> None:
        self._call = call
        self._interval = interval
        self._wake = threading.Event()
        self._over = False
        # A daemon: a call that hangs in the network must not keep a server from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def now(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        """Make no further call. It does not wait: the thread may need the lock that the caller holds."""
        self._over = True
        self._wake.set()

    def _run(self) -> None:
        with tango.EnsureOmniThread():
            while True:
                self._wake.wait(self._interval)
                self._wake.clear()
                if self._over:
                    return
                try:
                    self._call()
                except Exception:  # noqa: BLE001 the thread has to outlive whatever a network can raise
                    _log.exception("%s", self._thread.name)


def within(pool: ThreadPool, seconds: float, call: Callable[[], T], done: Callable[[], None] = lambda: None) -> T:
    """What the call returns, or raises; TimeoutError if it hangs: it is then left to the pool's thread.

    `done` is called when the call is over, in time or not.
    """
    return _future(pool, call, done).result(seconds)


class OneAtATime:
    """Calls of something that may hang, one after the other, so that no more than one of them ever hangs."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._turn = threading.Lock()

    def ask(self, seconds: float, call: Callable[[], T]) -> T:
        """What the call returns, or raises; TimeoutError if it, or the one before it, hangs."""
        until = time.monotonic() + seconds
        if not self._turn.acquire(timeout=max(seconds, 0.0)):
            raise TimeoutError
        return within(self._pool, max(until - time.monotonic(), 0.0), call, self._turn.release)


def answers(calls: Sequence[Callable[[], T]], seconds: float) -> list[T | Exception]:
    """What the calls return, made side by side; of each the exception that it raises, or a TimeoutError.

    `seconds` are for all of them together. What takes longer goes on in its thread, and is forgotten.
    """
    pool = ThreadPool("answers")
    futures = [_future(pool, call) for call in calls]
    deadline = time.monotonic() + seconds
    found: list[T | Exception] = []
    for future in futures:
        try:
            found.append(future.result(max(deadline - time.monotonic(), 0.0)))
        except Exception as error:  # noqa: BLE001 it is handed to who has asked
            found.append(error)
    pool.stop()
    return found


def _future(pool: ThreadPool, call: Callable[[], T], done: Callable[[], None] = lambda: None) -> Future[T]:
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001 it is the caller's
            answer.set_exception(error)
        finally:
            done()

    pool.submit(work)
    return answer
