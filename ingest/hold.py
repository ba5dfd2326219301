"""Waiting out a failure that passes: growing waits, and one log line for each change of state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0


class Hold:
    """Whether work is held, and until when. Times are in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reason = ""
        self._since = 0.0
        self._wait = 0.0
        self._until = 0.0

    @property
    def active(self) -> bool:
        return bool(self._reason)

    @property
    def ready(self) -> bool:
        """Whether it is time to try (again)."""
        return self._clock() >= self._until

    def failed(self, reason: str, detail: object) -> None:
        """A try failed. `reason` is what makes it another state, `detail` is only logged."""
        now = self._clock()
        if not self.active:
            self._since, self._wait = now, 0.0
        if reason != self._reason:
            log.warning("held: %s (%s); trying again every %.0f s at most", reason, detail, LONGEST_WAIT)
        self._reason = reason
        self._wait = min(max(2 * self._wait, FIRST_WAIT), LONGEST_WAIT)
        self._until = now + self._wait

    def over(self) -> None:
        """A try went well."""
        log.info("going on after %.0f s", self._clock() - self._since)
        self._reason = ""
        self._until = 0.0
