"""Attributes that were read just now: of many files that come in a second, each needs them, and they are the same."""

from __future__ import annotations

import threading
import time

from scifish.config import Entry
from scifish.settings import Settings
from scifish.snapshot import Reader, Reading

SHARED = 1.0
"""Seconds for which what was read is also that of the next one. Each value carries the time of its reading."""


class Lately:
    """The configured attributes, read at most once in `SHARED` seconds. Threads may share it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._turn = threading.Lock()
        self._when = -SHARED
        self._sources: frozenset[str] = frozenset()
        self._readings: dict[str, Reading] = {}

    def read(self, entries: list[Entry], settings: Settings) -> dict[str, Reading]:
        """A Reading for each source. Never raises; takes no longer than two reads of `snapshot_timeout`."""
        sources = frozenset(entry.source for entry in entries)
        with self._turn:  # who waits here has what the one before has read
            if time.monotonic() - self._when > SHARED or not sources <= self._sources:
                self._readings = self._reader.read(sources, settings.snapshot_timeout)
                # From its end on: where a device hangs, all who waited meanwhile take this one.
                self._sources, self._when = sources, time.monotonic()
            return self._readings
