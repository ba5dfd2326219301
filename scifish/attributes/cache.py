"""Attributes that were read just now: of many files that come in a second, each needs them, and they are the same."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from scifish.attributes import reader as snapshot
from scifish.message import Message
from scifish.settings import Settings

SNAPSHOT_SHARED_SECONDS = 1.0
"""Seconds for which what was read is also that of the next one. Each value carries the time of its reading."""


@dataclass(frozen=True)
class AttributeSnapshot:
    """The configured attributes, in the message's form; which of them have no value; what is wrong in the settings."""

    values: Message = field(default_factory=dict)
    failed: list[Message] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    count: int = 0


class SnapshotCache:
    """Reads them at most once in `SNAPSHOT_SHARED_SECONDS`. Threads may share it."""

    def __init__(self, reader: snapshot.Reader) -> None:
        self._reader = reader
        self._turn = threading.Lock()
        self._when = -SNAPSHOT_SHARED_SECONDS
        self._settings: Settings | None = None
        self._seen = AttributeSnapshot()

    def read(self, settings: Settings) -> AttributeSnapshot:
        """What is seen, not to be changed. Never raises; takes no longer than two reads of `snapshot_timeout`."""
        with self._turn:  # who waits here has what the one before has read
            if time.monotonic() - self._when > SNAPSHOT_SHARED_SECONDS or settings is not self._settings:
                self._seen = read_snapshot(self._reader, settings)
                # From its end on: where a device hangs, all who waited meanwhile take this one.
                self._settings, self._when = settings, time.monotonic()
            return self._seen


def read_snapshot(reader: snapshot.Reader, settings: Settings) -> AttributeSnapshot:
    """Read them now. Never raises."""
    entries, problems = settings.entries()
    readings = reader.read([entry.source for entry in entries], settings.snapshot_timeout)
    values = snapshot.as_metadata(entries, readings, settings.max_array_size)
    return AttributeSnapshot(values, snapshot.failed(entries, readings), problems, len(entries))
