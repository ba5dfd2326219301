"""Linux's inotify (man 7 inotify), as far as it is needed.

Four calls by ctypes and not a library: watchdog (7.1) writes an overflow of the queue into a log but does
not tell its user, who has to look for what was lost (earlier versions drop it unseen, its issue 654), and
watchfiles tells neither that nor when a file is closed. inotify_simple gives all of it, in as many lines.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import struct
import termios
from collections.abc import Callable, Iterator
from typing import NamedTuple

from scifly.watching.filesystem import FileSystem
from scifly.watching.model import WatchedFolder, is_passing
from scifly.watching.settle import SettledFile, WriterState
from scifly.watching.tree import WatchedTree

MODIFY = 0x2


ATTRIB = 0x4


CLOSE_WRITE = 0x8


MOVED_FROM = 0x40


MOVED_TO = 0x80


CREATE = 0x100


DELETE = 0x200


OVERFLOW = 0x4000
"""Events were lost: the queue was full."""


IGNORED = 0x8000
"""The folder is watched no longer."""


IS_FOLDER = 0x40000000


_ONLY_FOLDERS = 0x01000000


_DONT_FOLLOW = 0x02000000


_WANTED = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | _ONLY_FOLDERS | _DONT_FOLLOW


_HEAD = struct.Struct("iIII")


_libc = ctypes.CDLL(None, use_errno=True)


class InotifyEvent(NamedTuple):
    """Of the name in the folder that the watch is of; name "" for the folder itself."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One queue of events. All calls raise OSError."""

    def __init__(self) -> None:
        """EMFILE if this user has as many as it may (fs.inotify.max_user_instances)."""
        self._fd = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def add(self, folder: str) -> int:
        """Watch a folder; the same number again if it is watched already. ENOSPC if max_user_watches are in use."""
        return _checked(_libc.inotify_add_watch(self._fd, os.fsencode(folder), _WANTED))

    def remove(self, watch: int) -> None:
        _checked(_libc.inotify_rm_watch(self._fd, watch))

    def wait(self, timeout: float) -> None:
        """Until there are events, for at most `timeout` seconds."""
        self._poll.poll(timeout * 1000)

    def read(self) -> list[InotifyEvent]:
        """Those that are there now."""
        waiting = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0"))[0]
        data = os.read(self._fd, waiting) if waiting else b""
        events = []
        place = 0
        while place < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, place)
            place += _HEAD.size + length
            events.append(InotifyEvent(watch, mask, os.fsdecode(data[place - length : place].partition(b"\0")[0])))
        return events

    def close(self) -> None:
        os.close(self._fd)


def _checked(answer: int) -> int:
    if answer == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer


_STATES = (
    (MODIFY, WriterState.WRITING),
    (CREATE, WriterState.MADE),
    (CLOSE_WRITE | MOVED_TO, WriterState.QUIET),
)


class WatchLimitReached(Exception):
    """The kernel watches no more folders for this account; says what to set."""


class InotifyListener:
    """Has each folder of the tree watched by the kernel, and takes what it tells.

    `look` is given what is to be looked at; `lost` is called when the kernel had to drop events.
    """

    def __init__(
        self,
        tree: WatchedTree,
        file_system: FileSystem,
        look: Callable[[Iterator[None]], None],
        lost: Callable[[], None],
    ) -> None:
        """Raises WatchLimitReached."""
        self._tree = tree
        self._file_system = file_system
        self._look = look
        self._lost = lost
        self._folders: dict[int, WatchedFolder] = {}
        self._watches: dict[WatchedFolder, int] = {}
        try:
            self._inotify = Inotify()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise WatchLimitReached(
                    "too many programs of this account use inotify: raise fs.inotify.max_user_instances"
                ) from error
            raise

    def hear(self, folder: WatchedFolder) -> None:
        try:
            watch = self._inotify.add(self._file_system.full(folder.path))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                count = len(self._watches)
                raise WatchLimitReached(
                    f"inotify watches no more than these {count} folders: raise fs.inotify.max_user_watches"
                ) from error
            raise
        if self._watches.get(folder, watch) != watch:
            self.deaf(folder)  # another folder has taken its name
        other = self._folders.get(watch)
        if other is not None and other is not folder:  # it was renamed, and that is not told yet
            self._watches.pop(other, None)
            other.heard = False
        self._folders[watch] = folder
        self._watches[folder] = watch
        folder.heard = True

    def deaf(self, folder: WatchedFolder) -> None:
        watch = self._watches.pop(folder, None)
        folder.heard = False
        if watch is not None:
            del self._folders[watch]
            try:
                self._inotify.remove(watch)
            except OSError as error:
                if error.errno != errno.EINVAL:  # it went with its folder
                    raise

    def listed(self, folder: WatchedFolder, stamp: int) -> None:
        """Later changes are told."""

    def told(self, finished: SettledFile) -> None:
        """Later changes are told."""

    def news(self) -> None:
        for event in self._inotify.read():
            if event.mask & OVERFLOW:
                self._lost()
            elif event.mask & IGNORED:
                self._gone(event.watch)
            elif (folder := self._folders.get(event.watch)) is not None and event.name and not is_passing(event.name):
                self._take(folder, event)

    def _gone(self, watch: int) -> None:
        """The folder is deleted, or its file system is unmounted. There may be another one of that name by now."""
        folder = self._folders.pop(watch, None)
        if folder is not None:
            del self._watches[folder]
            folder.heard = False
            self._look(self._tree.look(folder, deep=True))

    def _take(self, folder: WatchedFolder, event: InotifyEvent) -> None:
        if event.mask & IS_FOLDER:
            look = self._tree.look_at_name(folder, event.name)
            if look is not None:
                # The first step at once: it has the folder watched, and every moment more may be missed.
                next(look, None)
                self._look(look)
        elif event.mask & (DELETE | MOVED_FROM):
            self._tree.vanished(folder, event.name)
        else:
            state = next((state for bits, state in _STATES if event.mask & bits), None)
            self._tree.changed(folder, event.name, state)

    def next_turn(self) -> float:
        return float("inf")

    def wait(self, timeout: float) -> None:
        self._inotify.wait(timeout)

    def close(self) -> None:
        self._inotify.close()
