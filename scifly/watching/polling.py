"""Finds changes by polling, for files that other machines write and of which the kernel reports nothing.

A folder's mtime changes when names are added or removed, so folders are checked instead of their files: recently
changed ones in each round, and a limited number of the others, so that a round stays cheap. Rewriting a file does not
change its folder's mtime, so files are checked too: often while they are new, less often as they get older.
"""

from __future__ import annotations

import errno
import heapq
import threading
import time
from collections import OrderedDict

from scifly.watching.filesystem import FileSystem
from scifly.watching.model import WatchedFolder
from scifly.watching.settle import SettledFile
from scifly.watching.tree import FINISHED_AGE_SECONDS, WatchedTree

RECENT_CHANGE_SECONDS = 60.0
"""A folder is checked in each round for this many seconds after a change."""

FOLDERS_PER_LOOK = 500
"""Number of the other folders that are checked in a round."""

COARSE_TIMESTAMP_SECONDS = 3.0
"""A folder is listed in each round for this many seconds after a change.

A second change may not change the folder's mtime, which has a resolution of 2 s on some file systems.
"""

FILE_RECHECK_SECONDS = 3600.0
"""A file is checked by its age for this many seconds after its last change; later only in the full round over the tree.
"""

FILE_RECHECK_SHARE = 0.2
"""A file is checked again after this fraction of its age: one minute after its change every 12 s, later less often."""


class PollingListener:
    """Checks for changes every `interval` seconds; if the checks are slow, at most half of the time."""

    def __init__(self, tree: WatchedTree, file_system: FileSystem, interval: float, stopping: threading.Event) -> None:
        self._tree = tree
        self._file_system = file_system
        self._interval = interval
        self._stopping = stopping
        self._all: OrderedDict[WatchedFolder, None] = OrderedDict()  # the one checked longest ago first
        self._stamps: dict[WatchedFolder, tuple[int, int]] = {}
        self._changes: dict[WatchedFolder, float] = {}  # recently changed folders, and when (monotonic clock)
        self._files: list[tuple[float, float, str]] = []  # next check, last change, path
        self._next = 0.0

    def subscribe(self, folder: WatchedFolder) -> None:
        folder.subscribed = True
        self._all[folder] = None

    def unsubscribe(self, folder: WatchedFolder) -> None:
        folder.subscribed = False
        self._all.pop(folder, None)
        self._stamps.pop(folder, None)
        self._changes.pop(folder, None)

    def listed(self, folder: WatchedFolder, stamp: int) -> None:
        before = self._stamps.get(folder)
        self._stamps[folder] = (folder.inode, stamp)
        if before is None and time.time() - stamp / 1e9 > FINISHED_AGE_SECONDS:
            return
        if before != self._stamps[folder]:
            self._changes[folder] = time.monotonic()

    def reported(self, finished: SettledFile) -> None:
        age = max(time.time() - finished.stat.mtime_ns / 1e9, 0.0)
        if age < FILE_RECHECK_SECONDS:
            now = time.monotonic()
            heapq.heappush(self._files, (now + max(self._interval, FILE_RECHECK_SHARE * age), now - age, finished.path))

    def process_changes(self) -> None:
        start = time.monotonic()
        if start < self._next:
            return
        for folder, changed in list(self._changes.items()):
            self._ask(folder, start)
            if start - changed > RECENT_CHANGE_SECONDS and self._changes.get(folder) == changed:
                del self._changes[folder]
        for _ in range(min(FOLDERS_PER_LOOK, len(self._all))):
            folder, _ = self._all.popitem(last=False)
            self._all[folder] = None
            if folder not in self._changes:
                self._ask(folder, start)
        while self._files and self._files[0][0] <= start:
            _, changed, path = heapq.heappop(self._files)
            age = start - changed
            if self._tree.is_unchanged(path) and age < FILE_RECHECK_SECONDS:
                heapq.heappush(self._files, (start + max(self._interval, FILE_RECHECK_SHARE * age), changed, path))
        end = time.monotonic()
        self._next = end + max(self._interval, end - start)

    def _ask(self, folder: WatchedFolder, now: float) -> None:
        if not folder.subscribed:
            return  # removed from the tree, or unreadable, in the meantime
        try:
            stat = self._file_system.stat(folder.path)
            changed = (stat.inode, stat.mtime_ns) != self._stamps.get(folder)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return  # its parent folder has changed, too
            changed = True
        if changed or now - self._changes.get(folder, now - COARSE_TIMESTAMP_SECONDS) < COARSE_TIMESTAMP_SECONDS:
            for _ in self._tree.look(folder, deep=False):
                pass

    def next_turn(self) -> float:
        return self._next

    def wait(self, timeout: float) -> None:
        self._stopping.wait(timeout)

    def close(self) -> None:
        """Nothing to do: it holds no resources."""
