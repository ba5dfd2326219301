"""News of a tree by looking at it, where no kernel tells them: files that other machines write.

A folder's time says whether names have come or gone, so folders are asked and not their files: those that
changed lately at each look, of the others so many a look that it costs little. A file that is written
again keeps its folder's time: files are asked often when they are new, and ever more rarely then.
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
"""Seconds after a change for which a folder is asked at each look."""

FOLDERS_PER_LOOK = 500
"""Of the other folders, so many are asked at a look."""

COARSE_TIMESTAMP_SECONDS = 3.0
"""Seconds for which a folder is listed at each look after a change.

A second change may leave the folder's time as it is: it has a resolution of 2 s on some file systems.
"""

FILE_RECHECK_SECONDS = 3600.0
"""Seconds after its last change for which a file is looked at by its age; then in the slow round over the tree."""

FILE_RECHECK_SHARE = 0.2
"""A file is looked at again after this share of its age: a minute after its change every 12 s, then more rarely."""


class PollingListener:
    """Asks for changes every `interval` seconds, and no more than half of the time where the answers take long."""

    def __init__(self, tree: WatchedTree, file_system: FileSystem, interval: float, stopping: threading.Event) -> None:
        self._tree = tree
        self._file_system = file_system
        self._interval = interval
        self._stopping = stopping
        self._all: OrderedDict[WatchedFolder, None] = OrderedDict()  # those asked longest ago first
        self._stamps: dict[WatchedFolder, tuple[int, int]] = {}
        self._changes: dict[WatchedFolder, float] = {}  # of those that changed lately, and when
        self._files: list[tuple[float, float, str]] = []  # next look, last change, path
        self._next = 0.0

    def hear(self, folder: WatchedFolder) -> None:
        folder.heard = True
        self._all[folder] = None

    def deaf(self, folder: WatchedFolder) -> None:
        folder.heard = False
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

    def told(self, finished: SettledFile) -> None:
        age = max(time.time() - finished.stat.mtime_ns / 1e9, 0.0)
        if age < FILE_RECHECK_SECONDS:
            now = time.monotonic()
            heapq.heappush(self._files, (now + max(self._interval, FILE_RECHECK_SHARE * age), now - age, finished.path))

    def news(self) -> None:
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
            if self._tree.is_as_told(path) and age < FILE_RECHECK_SECONDS:
                heapq.heappush(self._files, (start + max(self._interval, FILE_RECHECK_SHARE * age), changed, path))
        end = time.monotonic()
        self._next = end + max(self._interval, end - start)

    def _ask(self, folder: WatchedFolder, now: float) -> None:
        if not folder.heard:
            return  # forgotten, or not to be read, meanwhile
        try:
            stat = self._file_system.stat(folder.path)
            changed = (stat.inode, stat.mtime_ns) != self._stamps.get(folder)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return  # the folder that it was in has changed, too
            changed = True
        if changed or now - self._changes.get(folder, now - COARSE_TIMESTAMP_SECONDS) < COARSE_TIMESTAMP_SECONDS:
            for _ in self._tree.look(folder, deep=False):
                pass

    def next_turn(self) -> float:
        return self._next

    def wait(self, timeout: float) -> None:
        self._stopping.wait(timeout)

    def close(self) -> None:
        """There is nothing to be closed."""
