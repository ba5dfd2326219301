"""Work that a device does while its clients are answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import tango

from scifish.crew import Crew

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


def within(crew: Crew, seconds: float, call: Callable[[], T]) -> T:
    """What the call returns, or raises; TimeoutError if it hangs: it is then left to the crew's thread."""
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001 it is the caller's
            answer.set_exception(error)

    crew.give(work)
    return answer.result(seconds)
