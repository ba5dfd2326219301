"""How far a partition is done, where messages are finished in another order than they came."""

from __future__ import annotations

import threading

Partition = tuple[str, int]
"""Topic and number."""


class Assigned:
    """One partition for as long as this SciCow has it; the same one again later is another `Assigned`.

    So what is still in work when it is taken away cannot count for what is read of it afterwards.
    Threads may share it. Only what is not done is remembered.
    """

    def __init__(self, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.gone = False
        """It is someone else's now."""
        self.paused: bool | None = None
        """Whether Kafka gives us none of it; None if we have not said."""
        self.stored = -1
        """The offset that was stored last; -1 if none was."""
        self.high = 0
        """The offset behind the last that Kafka has, as far as it has said."""
        self._lock = threading.Lock()
        self._open: dict[int, tuple[float, int]] = {}
        self._bytes = 0
        self._next = -1

    def __repr__(self) -> str:
        return f"{self.topic}[{self.number}]"

    def taken(self, offset: int, sent: float, size: int) -> None:
        """A message was read. `sent` is its time in Kafka in seconds since 1970, `size` in bytes."""
        with self._lock:
            self._open[offset] = (sent, size)
            self._bytes += size
            self._next = offset + 1

    def done(self, offset: int) -> None:
        with self._lock:
            self._bytes -= self._open.pop(offset)[1]

    @property
    def storable(self) -> int:
        """The offset to store, which says that all before it are done: the first that is not. -1 before the first."""
        with self._lock:
            return min(self._open, default=self._next)

    @property
    def next(self) -> int:
        """The offset behind the last that was read; -1 before the first."""
        return self._next

    @property
    def open(self) -> int:
        """How many are not done."""
        return len(self._open)

    @property
    def unread(self) -> int:
        """How many Kafka has and were not read, as far as it has said."""
        return max(self.high - self._next, 0) if self._next >= 0 else 0

    @property
    def oldest(self) -> float | None:
        """When the first message that is not done was sent, in seconds since 1970."""
        with self._lock:
            return self._open[min(self._open)][0] if self._open else None

    def holds(self, messages: int, size: int) -> bool:
        """Whether so many messages, or so many bytes, are not done."""
        return len(self._open) >= messages or self._bytes >= size
