"""How far a partition is done, where messages are finished in another order than they were received."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger(__name__)

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
        """Whether it was revoked: another consumer may have it now."""
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
        self.before: AssignedPartition | None = None
        """The partition of the topic of this name that was deleted, as long as something of it is not done."""
        self.problem = ""
        """Why it cannot be read or nothing is known of it, "" if nothing is wrong."""
        self.is_missing = False
        """Whether Kafka has no such partition, as of its last answer."""
        self.known_at = time.monotonic()
        """When Kafka gave the last facts about it, or when it was assigned."""
        self._lock = threading.Lock()
        self._unfinished: dict[int, list[tuple[float, int]]] = {}
        self._unfinished_number = 0
        self._unfinished_bytes = 0
        self._next_offset = self._furthest_offset = -1
        self._gaps: dict[int, int] = {}
        self._unread_since: float | None = None

    def __repr__(self) -> str:
        return f"{self.topic}[{self.number}]"

    def start(self, offset: int, gap_from: int = -1) -> None:
        """Reading begins at `offset`. From `gap_from` on, if it is not -1, messages were not delivered."""
        with self._lock:
            self.started = True
            self._next_offset = self._furthest_offset = offset
            if 0 <= gap_from < offset:
                self._gaps[gap_from] = offset

    def received(self, offset: int, sent: float, size: int) -> None:
        """A message was read. `sent` is when Kafka got it, as `time.monotonic`, and `size` is in bytes.

        An offset may be received a second time, with another message: after the election of a replica that lacks
        messages, or if the topic was created again. Then the offset is done when each of them is.
        """
        if offset < self._next_offset:
            log.warning(
                "%s: Kafka went back from offset %d to %d; reading on from there", self, self._next_offset, offset
            )
        with self._lock:
            if 0 <= self._next_offset < offset:
                self._gaps[self._next_offset] = offset
            self._unread_since = None
            self._unfinished.setdefault(offset, []).append((sent, size))
            self._unfinished_number += 1
            self._unfinished_bytes += size
            self._next_offset = offset + 1
            self._furthest_offset = max(self._furthest_offset, self._next_offset)

    def done(self, offset: int) -> None:
        """A message with this offset is ingested or a dead letter. Nothing happens where none is unfinished."""
        with self._lock:
            found = self._unfinished.get(offset)
            if not found:
                return
            self._unfinished_bytes -= found.pop(0)[1]
            self._unfinished_number -= 1
            if not found:
                del self._unfinished[offset]

    @property
    def offset_to_store(self) -> int:
        """The first offset that is not done, which says that all before it are. -1 before the first message.

        As long as something of `before` is not done, it stays the offset that was stored last.
        """
        if self.before is not None:
            if not self.before.is_settled:
                return self.stored_offset
            self.before = None
        return self.first_not_done

    @property
    def first_not_done(self) -> int:
        """As `offset_to_store`, of this topic alone."""
        with self._lock:
            return min((*self._unfinished, *self._gaps), default=self._next_offset)

    @property
    def is_settled(self) -> bool:
        """Whether all that was read is done and all that was lost is on record, also of the topics before."""
        with self._lock:
            done = not self._unfinished and not self._gaps
        return done and (self.before is None or self.before.is_settled)

    @property
    def gaps(self) -> dict[int, int]:
        """The offsets that Kafka did not deliver: the first one of each gap, and the one after its last."""
        with self._lock:
            return dict(self._gaps)

    def open_gap(self, first: int, end: int) -> None:
        """The messages from `first` to before `end` are lost; there may be no number of them, with `end` equal."""
        with self._lock:
            self._gaps[first] = end

    def close_gap(self, first: int) -> None:
        """What was in the gap that begins at `first` is known, and on record if it was lost."""
        with self._lock:
            self._gaps.pop(first, None)

    @property
    def next_offset(self) -> int:
        """The offset after the last message that was read; -1 before the first."""
        return self._next_offset

    @property
    def furthest_offset(self) -> int:
        """The highest that `next_offset` ever was."""
        return self._furthest_offset

    @property
    def unfinished(self) -> int:
        """How many messages were read and are not done."""
        return self._unfinished_number

    @property
    def unread(self) -> int:
        """How many messages Kafka has that were not read, as of its last answer."""
        return max(self.high_watermark - self._next_offset, 0) if self._next_offset >= 0 else 0

    def update_high_watermark(self, offset: int) -> None:
        """Kafka says that its next message has this offset."""
        self.high_watermark = max(offset, self.high_watermark)
        with self._lock:
            waits = self.unread > 0 and not self._unfinished
            self._unread_since = (self._unread_since or time.monotonic()) if waits else None

    def undelivered_seconds(self) -> float:
        """For how long Kafka has had messages of it that it did not deliver, though it was read; 0 if it has none."""
        with self._lock:
            since = self._unread_since
        return time.monotonic() - since if since is not None and self.started and self.paused is False else 0.0

    @property
    def oldest(self) -> float | None:
        """When Kafka got the first message that is not done, as `time.monotonic`; None if there is none.

        Of a message that Kafka has and does not deliver, since when that is known.
        """
        with self._lock:
            if self._unfinished:
                return self._unfinished[min(self._unfinished)][0][0]
            return self._unread_since

    def is_full(self, messages: int, size: int) -> bool:
        """Whether at least this number of messages, or of bytes, is not done."""
        return self._unfinished_number >= messages or self._unfinished_bytes >= size
