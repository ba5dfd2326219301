"""Decides when a file is finished."""

from __future__ import annotations

import errno
import heapq
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from scifly.watching.filesystem import FileStat, FileSystem, being_written
from scifly.watching.model import ReportedFile, WatchedFolder, printable

STAT_RETRY_SECONDS = 2.0
"""Seconds until what could not be asked is asked again."""

FILES_PER_STEP = 500
"""Files that are looked at before others have their turn."""

WRITERS_SECONDS = 0.1
"""Seconds between two looks at what all programs have open."""

FILE_GONE_ERRNOS = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""It is not there (any more), or a symbolic link now."""


class WriterState(Enum):
    """What is known of a file's writer."""

    QUIET = "closed, or nothing can be known: size and time decide"
    WRITING = "open: its close will be told"
    MADE = "there by name, and nothing was written under that name yet"
    UNKNOWN = "it may be open, and its close may be past: /proc knows more"


class SettledFile(NamedTuple):
    """`seen` is when it was noticed first, in seconds since 1970."""

    path: str
    stat: FileStat
    seen: float


class PendingFile:
    """A file that has changed and is not finished. `seen` is its size and time at the last look, None before one.

    `first` is when it was noticed, in seconds since 1970.
    """

    __slots__ = ("due", "first", "folder", "name", "path", "seen", "settle", "since", "state")

    def __init__(self, folder: WatchedFolder, name: str, settle: float) -> None:
        self.folder = folder
        self.name = name
        self.path = folder.path_of(name)
        self.settle = settle
        self.first = time.time()
        self.since = 0.0
        self.state = WriterState.QUIET
        self.seen: tuple[int, int] | None = None
        self.due: float | None = None


class SettlingFiles:
    """The files that have changed and are not finished, by their paths below the root.

    `step` is how long a file may be quiet without being looked at, in seconds: with inotify a change is told.
    """

    def __init__(self, file_system: FileSystem, settle: Callable[[str], float]) -> None:
        self.step = float("inf")
        self.troubles: dict[str, str] = {}
        """Why a file could not be looked at; it is asked again."""
        self.changed = 0.0
        """When something happened to a file last, by the monotonic clock."""
        self._file_system = file_system
        self._settle = settle
        self._pending: dict[str, PendingFile] = {}
        self._turns: list[tuple[float, str]] = []
        self._asked = float("-inf")

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, path: str) -> bool:
        return path in self._pending

    def touch(
        self,
        folder: WatchedFolder,
        name: str,
        state: WriterState | None,
        seen: tuple[int, int] | None = None,
        later: float = 0.0,
    ) -> None:
        """It has changed now; state None leaves what is known of its writer. `later` seconds are added to its quiet."""
        now = time.monotonic()
        path = folder.path_of(name)
        pending = self._pending.get(path)
        if pending is None:
            pending = self._pending[path] = PendingFile(folder, name, self._settle(path))
        if state is not None:
            pending.state = state
        pending.since = now + later
        self.changed = now
        pending.seen = seen
        if pending.state is not WriterState.WRITING:
            self._queue(pending, now + later)

    def drop(self, path: str) -> None:
        self._pending.pop(path, None)
        self.troubles.pop(path, None)

    def doubt(self, state: WriterState) -> None:
        """What is known of writers is not to be relied on: events were lost, or there are none from now on."""
        now = time.monotonic()
        for pending in self._pending.values():
            pending.state = state
            pending.seen = None
            pending.since = now
            self._queue(pending, now)

    def next_turn(self) -> float:
        """When (by the monotonic clock) there is something to be done."""
        return self._turns[0][0] if self._turns else float("inf")

    def finished(self) -> Iterator[SettledFile]:
        """Those that are finished now; some, when there are many: `next_turn` is past then."""
        now = time.monotonic()
        due = list(self._due(now))
        unknown = [pending for pending in due if pending.state is WriterState.UNKNOWN]
        if unknown and now - self._asked < WRITERS_SECONDS:
            for pending in unknown:
                self._queue(pending, now, WRITERS_SECONDS)
            due = [pending for pending in due if pending.state is not WriterState.UNKNOWN]
        elif unknown:
            self._asked = now
            written = being_written(self._file_system.full(pending.path) for pending in unknown)
            for pending in unknown:
                if self._file_system.full(pending.path) in written:
                    pending.state = WriterState.WRITING
        for pending in due:
            if pending.state is not WriterState.WRITING and (finished := self._judge(pending)):
                try:
                    yield finished
                finally:  # not before it is counted by who takes it
                    self.drop(pending.path)

    def _judge(self, pending: PendingFile) -> SettledFile | None:
        path = pending.path
        try:
            stat = self._file_system.stat(path)
        except OSError as error:
            if error.errno in FILE_GONE_ERRNOS:
                self.drop(path)
            else:
                self.troubles[path] = f"{printable(self._file_system.full(path))}: {error.strerror}"
                self._queue(pending, time.monotonic(), STAT_RETRY_SECONDS)
            return None
        self.troubles.pop(path, None)
        if not stat.is_file:
            self.drop(path)
            return None
        now = time.monotonic()
        seen = (stat.size, stat.mtime_ns)
        # Where changes are told, the first look is the first that is needed.
        if pending.seen != seen and (pending.seen is not None or self.step < float("inf")):
            pending.since = self.changed = now
        pending.seen = seen
        if now < pending.since + pending.settle:
            self._queue(pending, now)
            return None
        # With content that nobody wrote under this name it has come by a link, and there is no close to wait for.
        if pending.state is WriterState.MADE and not stat.size and stat.links == 1:
            pending.state = WriterState.WRITING
            return None
        return self._let_go(pending, stat)

    def _let_go(self, pending: PendingFile, stat: FileStat) -> SettledFile | None:
        before = pending.folder.files.get(pending.name)
        pending.folder.files[pending.name] = given = ReportedFile(stat.size, stat.mtime_ns, stat.inode)
        if before is not None and before.is_like(given):
            self.drop(pending.path)
            return None  # opened for writing, and nothing written; or its owner changed
        return SettledFile(pending.path, stat, pending.first)

    def _queue(self, pending: PendingFile, now: float, at_least: float = 0.0) -> None:
        due = now + at_least if at_least else min(pending.since + pending.settle, now + self.step)
        if pending.due is None or due < pending.due:
            pending.due = due
            heapq.heappush(self._turns, (due, pending.path))

    def _due(self, now: float) -> Iterator[PendingFile]:
        """Those whose turn it is. It may have changed since it was queued: then its turn is later."""
        for _ in range(FILES_PER_STEP):
            if self.next_turn() > now:
                return
            due, path = heapq.heappop(self._turns)
            pending = self._pending.get(path)
            if pending is None or pending.due != due:
                continue
            pending.due = None
            if pending.state is not WriterState.WRITING:
                if self.step == float("inf") and pending.since + pending.settle > now:
                    self._queue(pending, now)
                else:
                    yield pending
