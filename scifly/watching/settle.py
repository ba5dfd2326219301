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
"""Seconds until a failed call of the file system is retried."""

FILES_PER_STEP = 500
"""Maximum number of files per step."""

WRITERS_SECONDS = 0.1
"""Minimum seconds between two searches of /proc for open files."""

FILE_GONE_ERRNOS = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""The errors of a file that is missing, or is a symbolic link now."""


class WriterState(Enum):
    """What is known about a file's writer."""

    QUIET = "closed, or unknown: size and time decide"
    WRITING = "open: its close causes an event"
    MADE = "created, and nothing is written under that name yet"
    UNKNOWN = "may be open, or already closed: /proc is checked"


class SettledFile(NamedTuple):
    """A finished file. `seen` is when it was first noticed, in seconds since 1970."""

    path: str
    stat: FileStat
    seen: float


class PendingFile:
    """A changed file that is not finished. `seen` is its size and mtime at the last check, None before the first.

    `first` is when it was noticed, in seconds since 1970. `since` is the last change and `due` the next check, both by
    the monotonic clock.
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
    """The changed files that are not finished, by their paths below the root.

    `step` is the maximum time between two checks of a file, in seconds: inf with inotify, which reports changes.
    """

    def __init__(self, file_system: FileSystem, settle: Callable[[str], float]) -> None:
        self.step = float("inf")
        self.troubles: dict[str, str] = {}
        """Why a file could not be checked; the check is repeated."""
        self.changed = 0.0
        """Time of the last change of any file, by the monotonic clock."""
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
        """A file has changed now.

        With state None its writer's state stays. `later` seconds are added to the quiet time.
        """
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
        """The known states of writers may be wrong: events were lost, or there will be none from now on."""
        now = time.monotonic()
        for pending in self._pending.values():
            pending.state = state
            pending.seen = None
            pending.since = now
            self._queue(pending, now)

    def next_turn(self) -> float:
        """The time of the next check, by the monotonic clock; inf if there is none."""
        return self._turns[0][0] if self._turns else float("inf")

    def finished(self) -> Iterator[SettledFile]:
        """The files that are finished now. Of many only some are returned; `next_turn` is then in the past."""
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
                finally:  # only when the caller counts it as pending
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
        # If changes are reported by events, the first check needs no earlier one to compare with.
        if pending.seen != seen and (pending.seen is not None or self.step < float("inf")):
            pending.since = self.changed = now
        pending.seen = seen
        if now < pending.since + pending.settle:
            self._queue(pending, now)
            return None
        # A file with contents that were not written under this name was made by a link: no close will follow.
        if pending.state is WriterState.MADE and not stat.size and stat.links == 1:
            pending.state = WriterState.WRITING
            return None
        return self._let_go(pending, stat)

    def _let_go(self, pending: PendingFile, stat: FileStat) -> SettledFile | None:
        before = pending.folder.files.get(pending.name)
        pending.folder.files[pending.name] = given = ReportedFile(stat.size, stat.mtime_ns, stat.inode)
        if before is not None and before.is_like(given):
            self.drop(pending.path)
            return None  # it was opened for writing but not written, or its owner changed
        return SettledFile(pending.path, stat, pending.first)

    def _queue(self, pending: PendingFile, now: float, at_least: float = 0.0) -> None:
        due = now + at_least if at_least else min(pending.since + pending.settle, now + self.step)
        if pending.due is None or due < pending.due:
            pending.due = due
            heapq.heappush(self._turns, (due, pending.path))

    def _due(self, now: float) -> Iterator[PendingFile]:
        """The files that are due. A file that has changed since it was queued is due later."""
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
