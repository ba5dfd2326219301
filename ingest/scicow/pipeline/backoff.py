"""Retrying after a temporary failure: waits that grow, one attempt at a time, one log line for each change of state."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0


def next_wait(wait: float) -> float:
    """The wait after this one, in seconds."""
    return min(max(2 * wait, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)


class Backoff:
    """Whether something is held, why, and until when. Times are in seconds. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reason = ""
        self._held_since = 0.0
        self._total_held = 0.0
        self._wait = 0.0
        self._last_change = float("-inf")
        self._next_attempt = 0.0

    @property
    def reason(self) -> str:
        """Why it is held, "" if it is not."""
        return self._reason

    @property
    def remaining(self) -> float:
        """How long until the next attempt; 0 if it is due."""
        return max(self._next_attempt - self._clock(), 0.0) if self._reason else 0.0

    @property
    def running_time(self) -> float:
        """A clock that stands still while held."""
        with self._lock:
            now = self._clock()
            return now - self._total_held - (now - self._held_since if self._reason else 0.0)

    def failed(self, reason: str, detail: object, began: float, at_least: float = 0.0) -> None:
        """An attempt that began at this time (of the clock) failed.

        Another `reason` is another state; `detail` is only logged; `at_least` is the shortest wait.
        """
        with self._lock:
            now = self._clock()
            if began < self._last_change:
                return  # it began before the state changed, so it says nothing new
            if not self._reason:
                self._held_since, self._wait = now, 0.0
            if reason != self._reason:
                log.warning("held: %s (%s); retrying at least every %.0f s", reason, detail, LONGEST_WAIT_SECONDS)
            self._reason = reason
            self._wait = next_wait(self._wait)
            self._last_change = now
            self._next_attempt = now + max(self._wait, at_least)

    def succeeded(self, began: float) -> None:
        """An attempt that began at this time (of the clock) succeeded."""
        with self._lock:
            if self._reason and began >= self._last_change:
                now = self._clock()
                log.info("resumed after %.0f s", now - self._held_since)
                self._total_held += now - self._held_since
                self._last_change = now
                self._reason = ""
