"""Waiting out a failure that passes: growing waits, one try at a time, and one log line for each change of state."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0


def longer(wait: float) -> float:
    """The wait after this one, in seconds."""
    return min(max(2 * wait, FIRST_WAIT), LONGEST_WAIT)


class Hold:
    """Whether something is held, why, and until when. Times are in seconds. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reason = ""
        self._since = 0.0
        self._total = 0.0
        self._wait = 0.0
        self._last_change = float("-inf")
        self._until = 0.0

    @property
    def reason(self) -> str:
        """Why it is held, "" if it is not."""
        return self._reason

    @property
    def left(self) -> float:
        """How long until it is time for a try; 0 if it is."""
        return max(self._until - self._clock(), 0.0) if self._reason else 0.0

    @property
    def worked(self) -> float:
        """A clock that stands still while held."""
        with self._lock:
            now = self._clock()
            return now - self._total - (now - self._since if self._reason else 0.0)

    def failed(self, reason: str, detail: object, began: float, at_least: float = 0.0) -> None:
        """A try that began at this time (of the clock) failed.

        `reason` is what makes it another state, `detail` is only logged, `at_least` is how long not to try.
        """
        with self._lock:
            now = self._clock()
            if began < self._last_change:
                return  # it was under way when another told more, so it says nothing new
            if not self._reason:
                self._since, self._wait = now, 0.0
            if reason != self._reason:
                log.warning("held: %s (%s); trying again every %.0f s at most", reason, detail, LONGEST_WAIT)
            self._reason = reason
            self._wait = longer(self._wait)
            self._last_change = now
            self._until = now + max(self._wait, at_least)

    def succeeded(self, began: float) -> None:
        """A try that began at this time (of the clock) went well."""
        with self._lock:
            if self._reason and began >= self._last_change:
                now = self._clock()
                log.info("going on after %.0f s", now - self._since)
                self._total += now - self._since
                self._last_change = now
                self._reason = ""
