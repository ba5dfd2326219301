"""What SciCow has done and why it is held, counted as it happens, for metrics, health and status."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field


@dataclass
class TopicCounters:
    """The counters of one topic, which is one beamline's. All but `waiting` only grow. The names are in /status."""

    read: int = 0
    ingested: int = 0
    retried: int = 0
    dead: int = 0
    foreign: int = 0
    missing: int = 0
    lost: int = 0
    waiting: int = 0


@dataclass
class Progress:
    """Threads may share it. The consumer and its workers update it; metrics, health and status read it."""

    topics: dict[str, TopicCounters] = field(default_factory=dict)
    held: str = ""
    """Why no message can be ingested at the moment, "" if messages can."""
    kafka: str = ""
    """Why nothing is read from Kafka at the moment, "" if messages are."""
    _lock: AbstractContextManager[object] = field(default_factory=threading.RLock, repr=False)

    def locked(self) -> AbstractContextManager[object]:
        """A context in which several changes become visible together, and several values are read of one moment.

        All changes that belong to a message are made in it, also those of its partition. Nothing in it may block.
        """
        return self._lock

    def count(self, topic: str, counter: str, number: int = 1) -> None:
        """Add to a counter of `TopicCounters`; `number` may be below 0 for `waiting`."""
        with self._lock:
            counters = self.topics.setdefault(topic, TopicCounters())
            setattr(counters, counter, getattr(counters, counter) + number)

    def snapshot(self) -> dict[str, TopicCounters]:
        """A copy of the counters, by topic."""
        with self._lock:
            return {topic: TopicCounters(**vars(counters)) for topic, counters in self.topics.items()}
