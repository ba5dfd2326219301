"""The messages of a spool that Kafka has not confirmed, in memory: damage of the file does not take them along."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

log = logging.getLogger(__name__)

MAX_UNCONFIRMED_BYTES = 64_000_000
"""The messages beyond, which follow when the first ones are confirmed, are on disk only."""


class Unconfirmed:
    """The oldest rows of an outbox, up to a number of bytes. Not thread-safe."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[Any, ...]] = {}
        self._bytes = 0
        self._full = False
        self.last = 0
        """The seq up to which the outbox was read."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows.values())

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows of the table `outbox`, in order, from after `last`."""
        for row in rows:
            seq, message = row[0], row[3]
            if self._bytes + len(message) > MAX_UNCONFIRMED_BYTES:
                if not self._full:
                    log.warning(
                        "messages of %d MB wait for Kafka: from number %d on they are on disk only until Kafka has "
                        "confirmed some, and would be lost with a damaged spool",
                        self._bytes // 1_000_000,
                        seq,
                    )
                self._full = True
                return
            self._rows[seq] = row
            self._bytes += len(message)
            self.last = seq
        self._full = False

    def discard(self, seqs: Iterable[int]) -> None:
        """Kafka has confirmed these."""
        for seq in seqs:
            if (row := self._rows.pop(seq, None)) is not None:
                self._bytes -= len(row[3])
