"""Makes changes one after the other, and knows which operations are in progress."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

CHANGE_WAIT_SECONDS = 2.0
"""How long a change waits for the change before it. Less than the 3 s after which Tango's clients give up."""


class Busy(Exception):
    """Another change is still in progress. The text says which one, and since when."""


@dataclass(frozen=True)
class PendingOperation:
    """`since` is the time of day, for people; `started` is the time of the monotonic clock."""

    what: str
    since: str
    started: float

    def __str__(self) -> str:
        return f"{self.what} since {self.since}"


class PendingOperations:
    """The operations that are in progress and may hang."""

    def __init__(self) -> None:
        self._operations: dict[object, PendingOperation] = {}

    @contextlib.contextmanager
    def track(self, what: str) -> Iterator[PendingOperation]:
        operation = PendingOperation(what, time.strftime("%H:%M:%S"), time.monotonic())
        key = object()
        self._operations[key] = operation
        try:
            yield operation
        finally:
            del self._operations[key]

    def older_than(self, seconds: float) -> list[PendingOperation]:
        """The oldest first."""
        before = time.monotonic() - seconds
        return [operation for operation in list(self._operations.values()) if operation.started <= before]


class ChangeLock:
    """A lock that knows what it is held for. Waiting for it is limited to `CHANGE_WAIT_SECONDS`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending = PendingOperations()

    @contextlib.contextmanager
    def hold(self, what: str) -> Iterator[PendingOperation]:
        """Raises Busy if the change before does not finish in time."""
        if not self._lock.acquire(timeout=CHANGE_WAIT_SECONDS):
            before = "; ".join(str(operation) for operation in self.older_than(0.0)) or "another change"
            raise Busy(
                f"{what}: not done, because another change is still in progress: {before}. "
                "Retry when the Status no longer shows it"
            )
        try:
            with self._pending.track(what) as operation:
                yield operation
        finally:
            self._lock.release()

    def older_than(self, seconds: float) -> list[PendingOperation]:
        """The change that has been in progress for longer, if there is one."""
        return self._pending.older_than(seconds)
