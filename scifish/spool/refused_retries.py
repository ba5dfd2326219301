"""When the messages that Kafka refuses are tried again, and how far that has come."""

from __future__ import annotations

import time
from collections.abc import Iterable

from scifish.spool.database import Spool

MessageKey = tuple[Spool, int]
"""The spool and the seq of a message."""

FIRST_REFUSED_RETRY_SECONDS = 5.0
MAX_REFUSED_RETRY_SECONDS = 300.0
"""Time until messages that Kafka refuses are tried again: it doubles each time that all of them are refused."""


class RefusedRetries:
    """Each round has the next ones. The wait doubles from round to round, until Kafka takes one.

    After `restart`, one round follows the other until all were tried. Other threads may call it, and read `all_tried`.
    """

    def __init__(self) -> None:
        self.in_flight: set[MessageKey] = set()
        self.accepted = False
        """Whether Kafka has taken a message that it refused before, since `restart`."""
        self._after: dict[Spool, int] = {}
        self._wait = FIRST_REFUSED_RETRY_SECONDS
        self._next_round = 0.0
        self._without_wait = True
        self._all_tried = False

    def restart(self) -> None:
        """Try all of them now, in place of after the next wait."""
        self._next_round, self._wait = 0.0, FIRST_REFUSED_RETRY_SECONDS
        self._without_wait, self._all_tried, self.accepted = True, False, False

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._next_round

    @property
    def all_tried(self) -> bool:
        """Whether all were tried since `restart`, and since Kafka took one of them."""
        return self._all_tried and not self.in_flight and not self.accepted

    def after(self, spool: Spool) -> int:
        """The seq of the last message that was tried; 0 if the next round begins with the first one."""
        return self._after.get(spool, 0)

    def tried(self, spool: Spool, seq: int) -> None:
        self._after[spool] = seq

    def from_the_first(self, spool: Spool) -> None:
        """The next round begins with the first message of this spool."""
        self._after.pop(spool, None)

    def round_over(self) -> None:
        """Wait until the next one, unless some have not been tried since `restart`."""
        if self._after and self._without_wait:
            return
        self._without_wait, self._all_tried = False, True
        self._next_round = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, MAX_REFUSED_RETRY_SECONDS)

    def confirmed(self, messages: Iterable[MessageKey]) -> None:
        """Kafka has these messages."""
        self.accepted |= bool(self.in_flight.intersection(messages))
