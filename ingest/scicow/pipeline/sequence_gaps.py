"""Seeing that a message was lost: `seq` has no gap within one run of a program that records.

A run's messages are spread over all partitions of its topic, and how far each of them was done before is
different. So a topic is looked at only while this SciCow has all of its partitions, and only what was sent
since then; `scicow audit` compares the rest.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

MAX_RUNS = 1000
MAX_MISSING = 1000
PATIENCE = 30.0
"""Seconds that a missing message may be late, as partitions are not read in one order."""

Run = tuple[str, str]
"""Topic and run."""


class Sequence:
    """A bounded table of the runs seen last. What came before the first message of a run is not known."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._highest: OrderedDict[Run, int] = OrderedDict()
        self._missing: dict[Run, dict[int, float]] = {}

    def watch(self, topic: str, since: float) -> None:
        """All partitions of it are read, since this time (in seconds since 1970)."""
        self._since.setdefault(topic, since)

    def forget(self, topic: str) -> None:
        """Some of it is read by others now."""
        self._since.pop(topic, None)
        for run in [run for run in self._highest if run[0] == topic]:
            del self._highest[run], self._missing[run]

    def seen(self, topic: str, run: str, number: int, sent: float) -> None:
        """A message was read that was sent at this time (in seconds since 1970)."""
        if sent < self._since.get(topic, float("inf")):
            return
        key = (topic, run)
        missing = self._missing.setdefault(key, {})
        missing.pop(number, None)
        highest = self._highest.get(key, number)
        now = self._clock()
        for gap in range(highest + 1, min(number, highest + 1 + MAX_MISSING - len(missing))):
            missing[gap] = now
        self._highest[key] = max(highest, number)
        self._highest.move_to_end(key)
        if len(self._highest) > MAX_RUNS:
            oldest, _ = self._highest.popitem(last=False)
            del self._missing[oldest]

    def overdue(self, topic: str) -> Iterator[tuple[str, list[int]]]:
        """Runs with what is missing of them, each said once. To be asked when all of the topic has been read."""
        late = self._clock() - PATIENCE
        for (name, run), missing in self._missing.items():
            gone = sorted(number for number, since in missing.items() if since <= late) if name == topic else []
            for number in gone:
                del missing[number]
            if gone:
                yield run, gone
