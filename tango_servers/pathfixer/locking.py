"""Changes one after the other, and what is being waited for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

PATIENCE = 2.0
"""Seconds that a change waits for the one before it; less than the 3 s after which Tango's clients give up."""


class Busy(Exception):
    """Another change is not done yet. The text says which, and since when."""


@dataclass(frozen=True)
class Wait:
    """`since` is the time of day, for people; `begun` that of the monotonic clock."""

    what: str
    since: str
    begun: float

    def __str__(self) -> str:
        return f"{self.what} since {self.since}"


class Waits:
    """What is under way at this moment and may hang."""

    def __init__(self) -> None:
        self._under_way: dict[object, Wait] = {}

    @contextlib.contextmanager
    def on(self, what: str) -> Iterator[Wait]:
        wait = Wait(what, time.strftime("%H:%M:%S"), time.monotonic())
        key = object()
        self._under_way[key] = wait
        try:
            yield wait
        finally:
            del self._under_way[key]

    def longer_than(self, seconds: float) -> list[Wait]:
        """The oldest first."""
        before = time.monotonic() - seconds
        return [wait for wait in list(self._under_way.values()) if wait.begun <= before]


class Turns:
    """A lock that can say what it is held for, and is not waited for for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waits = Waits()

    @contextlib.contextmanager
    def take(self, what: str) -> Iterator[Wait]:
        """Raises Busy if the change before does not get done in time."""
        if not self._lock.acquire(timeout=PATIENCE):
            before = "; ".join(str(wait) for wait in self.longer_than(0.0)) or "another change"
            raise Busy(
                f"{what}: not done, as this is still under way: {before}. Try again when the Status says it is over"
            )
        try:
            with self._waits.on(what) as wait:
                yield wait
        finally:
            self._lock.release()

    def longer_than(self, seconds: float) -> list[Wait]:
        """The change that has been under way for so long, if there is one."""
        return self._waits.longer_than(seconds)
