"""What SciCow has done and what keeps it, counted as it happens, for whoever wants to see it."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field


@dataclass
class Topic:
    """The counts of one topic, which is one beamline's. All but `waiting` only grow."""

    read: int = 0
    ingested: int = 0
    retried: int = 0
    dead: int = 0
    missing: int = 0
    waiting: int = 0


@dataclass
class Progress:
    """Threads may share it. The consumer tells it; metrics, health and status read it."""

    topics: dict[str, Topic] = field(default_factory=dict)
    held: str = ""
    """Why nothing can be done at the moment, "" if it can."""
    _lock: AbstractContextManager[object] = field(default_factory=threading.RLock, repr=False)

    def together(self) -> AbstractContextManager[object]:
        """To be entered: what is done within is seen by others all at once, and what is read is of one moment.

        What a message changes, also in its partition, is done so. Nobody waits for anything within.
        """
        return self._lock

    def count(self, topic: str, what: str, number: int = 1) -> None:
        """`what` is the name of a count of `Topic`; `number` more of it (fewer, for `waiting`, below 0)."""
        with self._lock:
            found = self.topics.setdefault(topic, Topic())
            setattr(found, what, getattr(found, what) + number)

    def seen(self) -> dict[str, Topic]:
        """A copy."""
        with self._lock:
            return {name: Topic(**vars(one)) for name, one in self.topics.items()}
