"""How far a partition is done, where messages are finished in another order than they were received."""

from __future__ import annotations

import threading
import time

PartitionKey = tuple[str, int]
"""Topic and number."""


class AssignedPartition:
    """One partition while it is assigned to this SciCow; assigned again later, it is another object.

    So work that is still in progress when the partition is revoked cannot count for what is read of it afterwards.
    Threads may share it. Only messages that are not done are remembered, and gaps: offsets that Kafka did not deliver,
    which count as not done until it is known why.
    """

    def __init__(self, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.revoked = False
        """Whether it is assigned to another consumer by now."""
        self.paused: bool | None = None
        """Whether reading it is paused; None if that was not set yet."""
        self.started = False
        """Whether it is known where reading begins. Before that no message of it is taken."""
        self.topic_id = ""
        """Of the topic in which the offsets are; "" if it is not known."""
        self.stored_offset = -1
        """The offset that was stored last; -1 if none was."""
        self.high_watermark = 0
        """The offset after the last message in Kafka, as of its last answer."""
        self._lock = threading.Lock()
        self._unfinished: dict[int, tuple[float, int]] = {}
        self._unfinished_bytes = 0
        self._next_offset = -1
        self._gaps: dict[int, int] = {}
        self._unread_since: float | None = None

    def __repr__(self) -> str:
        return f"{self.topic}[{self.number}]"

    def start(self, offset: int, gap_from: int = -1) -> None:
        """Reading begins at `offset`. From `gap_from` on, if it is not -1, messages were not delivered."""
        with self._lock:
            self.started = True
            self._next_offset = offset
            if 0 <= gap_from < offset:
                self._gaps[gap_from] = offset

    def received(self, offset: int, timestamp: float, size: int) -> None:
        """A message was read. `timestamp` is its time in Kafka in seconds since 1970, `size` in bytes."""
        with self._lock:
            if 0 <= self._next_offset < offset:
                self._gaps[self._next_offset] = offset
            self._unread_since = None
            self._unfinished[offset] = (timestamp, size)
            self._unfinished_bytes += size
            self._next_offset = offset + 1

    def done(self, offset: int) -> None:
        with self._lock:
            self._unfinished_bytes -= self._unfinished.pop(offset)[1]

    @property
    def offset_to_store(self) -> int:
        """The first offset that is not done, which says that all before it are. -1 before the first message."""
        with self._lock:
            return min((*self._unfinished, *self._gaps), default=self._next_offset)

    @property
    def gaps(self) -> dict[int, int]:
        """The offsets that Kafka did not deliver: the first one of each gap, and the one after its last."""
        with self._lock:
            return dict(self._gaps)

    def close_gap(self, first: int) -> None:
        """What was in the gap that begins at `first` is known, and on record if it was lost."""
        with self._lock:
            self._gaps.pop(first, None)

    @property
    def next_offset(self) -> int:
        """The offset after the last message that was read; -1 before the first."""
        return self._next_offset

    @property
    def unfinished(self) -> int:
        """How many messages were read and are not done."""
        return len(self._unfinished)

    @property
    def unread(self) -> int:
        """How many messages Kafka has that were not read, as of its last answer."""
        return max(self.high_watermark - self._next_offset, 0) if self._next_offset >= 0 else 0

    def update_high_watermark(self, offset: int) -> None:
        """Kafka says that its next message has this offset."""
        self.high_watermark = max(offset, self.high_watermark)
        with self._lock:
            waits = self.unread > 0 and not self._unfinished
            self._unread_since = (self._unread_since or time.time()) if waits else None

    def undelivered_seconds(self) -> float:
        """For how long Kafka has had messages of it that it did not deliver, though it was read; 0 if it has none."""
        with self._lock:
            since = self._unread_since
        return max(time.time() - since, 0.0) if since is not None and self.started and self.paused is False else 0.0

    @property
    def oldest_timestamp(self) -> float | None:
        """The time of the first message that is not done, in seconds since 1970; None if there is none.

        It is that in Kafka; of a message that Kafka has and does not deliver, the time since when that is known.
        """
        with self._lock:
            return self._unfinished[min(self._unfinished)][0] if self._unfinished else self._unread_since

    def is_full(self, messages: int, size: int) -> bool:
        """Whether at least so many messages, or so many bytes, are not done."""
        return len(self._unfinished) >= messages or self._unfinished_bytes >= size
