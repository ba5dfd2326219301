"""Detects lost messages: `seq` has no gap within one run of a program that records.

The messages of a run are spread over all partitions of its topic, and each of these is done up to another point. So a
topic is checked only while this SciCow has all of its partitions, and only for what was sent since then; `scicow audit`
compares the rest.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

MAX_WATCHED_RUNS = 1000
MAX_MISSING_PER_RUN = 1000
LATE_MESSAGE_SECONDS = 30.0
"""How late a message may be, as partitions are not read in one order."""

TopicRun = tuple[str, str]
"""Topic and run."""


class SequenceGaps:
    """A bounded table of the latest runs. Messages before the first one that is seen of a run are not known."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._highest: OrderedDict[TopicRun, int] = OrderedDict()
        self._missing: dict[TopicRun, dict[int, float]] = {}

    def watch(self, topic: str, since: float) -> None:
        """All partitions of it are read, since this time (of the clock)."""
        self._since.setdefault(topic, since)

    def forget(self, topic: str) -> None:
        """Some of its partitions are read by other consumers now."""
        self._since.pop(topic, None)
        for run in [run for run in self._highest if run[0] == topic]:
            del self._highest[run], self._missing[run]

    def received(self, topic: str, run: str, seq: int, sent: float) -> None:
        """A message was read. `sent` is when Kafka got it (of the clock)."""
        if sent < self._since.get(topic, float("inf")):
            return
        key = (topic, run)
        missing = self._missing.setdefault(key, {})
        missing.pop(seq, None)
        highest = self._highest.get(key, seq)
        now = self._clock()
        for gap in range(highest + 1, min(seq, highest + 1 + MAX_MISSING_PER_RUN - len(missing))):
            missing[gap] = now
        self._highest[key] = max(highest, seq)
        self._highest.move_to_end(key)
        if len(self._highest) > MAX_WATCHED_RUNS:
            oldest, _ = self._highest.popitem(last=False)
            del self._missing[oldest]

    def overdue(self, topic: str) -> Iterator[tuple[str, list[int]]]:
        """Runs and what is missing of each, reported once. To be called when all of the topic has been read."""
        late = self._clock() - LATE_MESSAGE_SECONDS
        for (name, run), missing in self._missing.items():
            overdue = sorted(seq for seq, since in missing.items() if since <= late) if name == topic else []
            for seq in overdue:
                del missing[seq]
            if overdue:
                yield run, overdue
