"""Seeing that a message was lost: `seq` has no gap within one run of a program that records."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

MAX_RUNS = 1000
MAX_MISSING = 1000
PATIENCE = 30.0
"""Seconds that a missing message may be late, as partitions are not read in one order."""


class Sequence:
    """A bounded table of the runs seen last. What came before the first message of a run is not known."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._highest: OrderedDict[str, int] = OrderedDict()
        self._missing: dict[str, dict[int, float]] = {}

    def seen(self, run: str, number: int) -> None:
        missing = self._missing.setdefault(run, {})
        missing.pop(number, None)
        highest = self._highest.get(run, number)
        now = self._clock()
        for gap in range(highest + 1, min(number, highest + 1 + MAX_MISSING - len(missing))):
            missing[gap] = now
        self._highest[run] = max(highest, number)
        self._highest.move_to_end(run)
        if len(self._highest) > MAX_RUNS:
            oldest, _ = self._highest.popitem(last=False)
            del self._missing[oldest]

    def overdue(self) -> Iterator[tuple[str, list[int]]]:
        """Runs with what is missing of them, each said once. To be asked when all there is has been read."""
        late = self._clock() - PATIENCE
        for run, missing in self._missing.items():
            gone = sorted(number for number, since in missing.items() if since <= late)
            for number in gone:
                del missing[number]
            if gone:
                yield run, gone
