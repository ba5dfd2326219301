"""Reads the configured attributes as one snapshot, shared among datasets that start within a second of each other."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from scifish.attributes.reader import Reader, as_metadata, failed, pictures
from scifish.message import Message
from scifish.message.types import Image
from scifish.native import threading
from scifish.settings import Settings

SNAPSHOT_SHARED_SECONDS = 1.0
"""Seconds for which a snapshot is shared. Each value has the time at which it was read."""


@dataclass(frozen=True)
class AttributeSnapshot:
    """The configured attributes in the message's form, those that failed, and the problems: of the settings,
    and of units that could not be read.

    `pictures` are those of the attributes that are pictures.
    """

    values: Message = field(default_factory=dict)
    failed: list[Message] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    count: int = 0
    pictures: list[Image] = field(default_factory=list)


class SnapshotCache:
    """Reads the attributes at most once in `SNAPSHOT_SHARED_SECONDS`. Threads may share it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._read_time = -SNAPSHOT_SHARED_SECONDS
        self._settings: Settings | None = None
        self._snapshot = AttributeSnapshot()

    def read(self, settings: Settings) -> AttributeSnapshot:
        """The shared snapshot, not to be changed. Never raises; takes as long as two calls of `read_snapshot`."""
        with self._lock:  # a thread that waits here gets the snapshot of the one before
            if time.monotonic() - self._read_time > SNAPSHOT_SHARED_SECONDS or settings is not self._settings:
                self._snapshot = read_snapshot(self._reader, settings)
                # Shared from the end of the read on: if a device hangs, all threads that waited get this snapshot.
                self._settings, self._read_time = settings, time.monotonic()
            return self._snapshot


def read_snapshot(reader: Reader, settings: Settings) -> AttributeSnapshot:
    """Read the configured attributes now. Never raises; takes as long as `Reader.read_settled`."""
    entries, problems = settings.entries()
    sources = [entry.source for entry in entries]
    readings = reader.read_settled(sources, settings.snapshot_timeout)
    problems = [*problems, *reader.without_units(sources)]
    values = as_metadata(entries, readings, settings.max_array_size)
    return AttributeSnapshot(values, failed(entries, readings), problems, len(entries), pictures(entries, readings))
