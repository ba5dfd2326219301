"""Work that a device does while its clients are answered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import tango

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


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


class _Asked(threading.Thread, Generic[Answer]):
    """One call in a thread of its own, a daemon as above."""

    def __init__(self, call: Callable[[], Answer]) -> None:
        super().__init__(name="asked", daemon=True)
        self._call = call
        self.answer: Answer | Exception = TimeoutError()

    def run(self) -> None:
        with tango.EnsureOmniThread():
            try:
                self.answer = self._call()
            except Exception as error:  # noqa: BLE001 it is handed to who has asked
                self.answer = error


def answers(calls: list[Callable[[], Answer]], seconds: float) -> list[Answer | Exception]:
    """What the calls return, made side by side; of each the exception that it raises, or a TimeoutError.

    `seconds` are for all of them together. What takes longer goes on in its thread, and is forgotten.
    """
    asked = [_Asked(call) for call in calls]
    deadline = time.monotonic() + seconds
    for one in asked:
        one.start()
    for one in asked:
        one.join(max(deadline - time.monotonic(), 0.0))
    return [one.answer for one in asked]
