"""The files and folders below a root."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from scifly.watching.filesystem import FileSystem, FolderListing
from scifly.watching.model import ReportedFile, WatchedFolder, is_passing, printable
from scifly.watching.settle import FILE_GONE_ERRNOS, SettledFile, SettlingFiles, WriterState

FILES_PER_TURN = 200
"""Maximum number of files per step."""

FINISHED_AGE_SECONDS = 600.0
"""A file that exists when the watch starts is finished if its last write is more than this many seconds ago.

So 100,000 existing files need not be waited for. The clocks of two machines differ by less.
"""


class TreeListener(Protocol):
    """The source of a tree's changes: inotify or polling."""

    def subscribe(self, folder: WatchedFolder) -> None:
        """Receive the changes of this folder from now on, and set `subscribed`. Raises OSError."""

    def unsubscribe(self, folder: WatchedFolder) -> None:
        """Receive no more changes of this folder."""

    def listed(self, folder: WatchedFolder, stamp: int) -> None:
        """The folder has been listed; its mtime was `stamp`, in nanoseconds since 1970."""

    def reported(self, finished: SettledFile) -> None:
        """A file was reported as finished. It may be written again."""

    def process_changes(self) -> None:
        """Apply the changes that have occurred to the tree."""

    def next_turn(self) -> float:
        """The time at which there may be changes at the latest, by the monotonic clock."""

    def wait(self, timeout: float) -> None:
        """Wait until there are changes, for at most `timeout` seconds."""

    def close(self) -> None:
        """Release the system's resources."""


class WatchedTree:
    """Lists folders, and passes new or changed files to `settling`.

    Long operations are iterators that yield between two steps. `found` is the writer's state of a file that is found by
    listing.
    """

    def __init__(self, file_system: FileSystem, wanted: Callable[[str], bool], settling: SettlingFiles) -> None:
        self.top = WatchedFolder("", None)
        self.listener: TreeListener
        self.found = WriterState.QUIET
        self.troubles: dict[WatchedFolder, str] = {}
        """Why a folder could not be listed; it is listed again."""
        self.steps = 1
        """Approximate number of steps to check the whole tree."""
        self.old: list[SettledFile] = []
        """Files that existed long before the watch started, still to be reported."""
        self._file_system = file_system
        self._wanted = wanted
        self._settling = settling

    def look(self, folder: WatchedFolder, deep: bool, first: bool = False) -> Iterator[None]:
        """Check the new contents of a folder, and of its new folders.

        `deep`: check all contents; `first`: for the first time since the watch started.
        """
        to_do = [folder]
        while to_do:
            current = to_do.pop()
            listing = None if current.gone else self._list(current, deep)
            if listing is None:
                continue
            self._forget_missing(current, listing)
            for name in listing.folders:
                known = current.folders.get(name)
                if (known is None or deep) and not is_passing(name):
                    to_do.append(known or self._add(current, name))
            for number, (name, inode) in enumerate(listing.files, start=1):
                self._look_at_file(current, name, inode, deep, first)
                if number % FILES_PER_TURN == 0:
                    yield
                    if current.gone:
                        break
            yield

    def look_at_name(self, folder: WatchedFolder, name: str) -> Iterator[None] | None:
        """Check a folder of this name after an event: it is new, deleted or changed; None if it does not exist."""
        if is_passing(name):
            return None
        known = folder.folders.get(name)
        try:
            stat = self._file_system.stat(folder.path_of(name))
            inode = stat.inode if stat.is_folder else None
        except OSError as error:
            if error.errno not in FILE_GONE_ERRNOS:
                self._note(folder, error)
                return None
            inode = None
        if known is not None and known.inode not in (inode, 0):
            self.forget(known)
            known = None
        if inode is None:
            return None
        return self.look(known or self._add(folder, name), deep=False)

    def changed(self, folder: WatchedFolder, name: str, state: WriterState | None) -> None:
        """An event reports a change of this file."""
        if self._is_wanted(folder, name):
            self._settling.touch(folder, name, state)

    def vanished(self, folder: WatchedFolder, name: str) -> None:
        """An event reports that this file is deleted. A new one may already have its name."""
        if not self._is_wanted(folder, name):
            return
        try:
            self._file_system.stat(folder.path_of(name))
        except OSError as error:
            if error.errno in FILE_GONE_ERRNOS:
                self._forget_file(folder, name)
            else:
                self._note(folder, error)
        else:
            self.changed(folder, name, None)

    def report_again(self, path: str, later: float) -> None:
        """Report this file again in `later` seconds, because it could not be processed."""
        folder, name = self._at(path)
        if folder is not None and name in folder.files:
            folder.files[name] = None
            self._settling.touch(folder, name, WriterState.QUIET, later=later)

    def is_unchanged(self, path: str) -> bool:
        """Check a reported file: whether it is unchanged."""
        folder, name = self._at(path)
        known = folder.files.get(name) if folder is not None else None
        if folder is None or known is None or path in self._settling:
            return False
        self._look_at_file(folder, name, known.inode, deep=True, first=False)
        return path not in self._settling

    def forget(self, folder: WatchedFolder) -> None:
        """Remove a folder with everything below it."""
        if folder.parent is not None:
            folder.parent.folders.pop(folder.path.rpartition("/")[2], None)
        to_do = [folder]
        while to_do:
            current = to_do.pop()
            to_do += current.folders.values()
            current.gone = True
            self.troubles.pop(current, None)
            self.listener.unsubscribe(current)
            for name in list(current.files):
                self._forget_file(current, name)
            self.steps -= current.steps

    def folders(self) -> Iterator[WatchedFolder]:
        """All folders, the root first."""
        to_do = [self.top]
        while to_do:
            current = to_do.pop()
            yield current
            to_do += current.folders.values()

    # ------------------------------------------------------------------------- private

    def _at(self, path: str) -> tuple[WatchedFolder | None, str]:
        """The folder of a file, None if it is gone, and the file's name."""
        parents, _, name = path.rpartition("/")
        folder: WatchedFolder | None = self.top
        for parent in parents.split("/") if parents else ():
            folder = folder.folders.get(parent) if folder is not None else None
        return folder, name

    def _list(self, folder: WatchedFolder, deep: bool) -> FolderListing | None:
        """List a folder; None if it is missing or cannot be read, which `troubles` then reports."""
        try:
            if deep or not folder.subscribed:
                # Before it is listed, so that changes after the listing are reported.
                self._file_system.ask(lambda: self.listener.subscribe(folder))
            listing = self._file_system.list(folder.path)
        except OSError as error:
            if error.errno in FILE_GONE_ERRNOS and folder.parent is not None:
                self.forget(folder)
            else:
                self.listener.unsubscribe(folder)
                self._note(folder, error)
            return None
        self.troubles.pop(folder, None)
        folder.inode = listing.stat.inode
        self.steps -= folder.steps
        folder.steps = 1 + len(listing.files) // FILES_PER_TURN
        self.steps += folder.steps
        self.listener.listed(folder, listing.stat.mtime_ns)
        return listing

    def _note(self, folder: WatchedFolder, error: OSError) -> None:
        self.troubles[folder] = f"{printable(self._file_system.full(folder.path))}: {error.strerror}"

    def _add(self, folder: WatchedFolder, name: str) -> WatchedFolder:
        new = folder.folders[name] = WatchedFolder(folder.path_of(name), folder)
        self.steps += 1
        return new

    def _forget_missing(self, folder: WatchedFolder, listing: FolderListing) -> None:
        for name in folder.folders.keys() - set(listing.folders):
            self.forget(folder.folders[name])
        names = {name for name, _ in listing.files}
        for name in folder.files.keys() - names:
            self._forget_file(folder, name)
        folder.unwanted &= names

    def _forget_file(self, folder: WatchedFolder, name: str) -> None:
        folder.files.pop(name, None)
        self._settling.drop(folder.path_of(name))

    def _is_wanted(self, folder: WatchedFolder, name: str) -> bool:
        if name in folder.files:
            return True
        if name in folder.unwanted or is_passing(name):
            return False
        if not self._wanted(folder.path_of(name)):
            folder.unwanted.add(name)
            return False
        folder.files[name] = None
        return True

    def _look_at_file(self, folder: WatchedFolder, name: str, inode: int, deep: bool, first: bool) -> None:
        known = folder.files.get(name)
        if known is not None and known.inode == inode and not deep:
            return
        path = folder.path_of(name)
        if path in self._settling or not self._is_wanted(folder, name):
            return
        try:
            stat = self._file_system.stat(path)
        except OSError as error:
            if error.errno in FILE_GONE_ERRNOS:
                return  # its deletion is reported, or found by the next check
            self._settling.touch(folder, name, self.found)  # it is checked there until the file system answers
            return
        if not stat.is_file:
            return
        now = ReportedFile(stat.size, stat.mtime_ns, stat.inode)
        if known is not None and known.is_like(now):
            folder.files[name] = now
        elif first and time.time() - stat.mtime_ns / 1e9 > FINISHED_AGE_SECONDS:
            folder.files[name] = now
            self.old.append(SettledFile(path, stat, stat.mtime_ns / 1e9))
        else:
            self._settling.touch(
                folder, name, WriterState.QUIET if first else self.found, seen=(stat.size, stat.mtime_ns)
            )
