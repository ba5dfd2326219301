"""What SciCow has done and what keeps it, counted as it happens, for whoever wants to see it."""

from __future__ import annotations

import threading
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
    together: threading.RLock = field(default_factory=threading.RLock, repr=False)
    """Held for what must be seen together: by who changes more than one number, and by who looks at more than one."""

    def count(self, topic: str, what: str, number: int = 1) -> None:
        """`what` is the name of a count of `Topic`; `number` more of it (fewer, for `waiting`, below 0)."""
        with self.together:
            found = self.topics.setdefault(topic, Topic())
            setattr(found, what, getattr(found, what) + number)

    def finished(self, topic: str, how: str) -> None:
        """One message waits no more; `how` is the count of what became of it."""
        with self.together:
            self.count(topic, how)
            self.count(topic, "waiting", -1)

    def seen(self) -> dict[str, Topic]:
        """A copy."""
        with self.together:
            return {name: Topic(**vars(one)) for name, one in self.topics.items()}
