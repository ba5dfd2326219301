"""Linux's inotify (man 7 inotify), as far as it is needed.

It calls four functions by ctypes instead of using a library: watchdog (7.1) logs an overflow of the queue but does not
report it to its caller, who has to search for the lost changes (earlier versions drop it silently, its issue 654);
watchfiles reports neither an overflow nor the closing of a file. inotify_simple offers all of it, in as many lines.
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
"""Events were lost because the queue was full."""


IGNORED = 0x8000
"""The folder is no longer watched."""


IS_FOLDER = 0x40000000


_ONLY_FOLDERS = 0x01000000


_DONT_FOLLOW = 0x02000000


_WANTED = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | _ONLY_FOLDERS | _DONT_FOLLOW


_HEAD = struct.Struct("iIII")


_libc = ctypes.CDLL(None, use_errno=True)


class InotifyEvent(NamedTuple):
    """An event of this name in the watched folder; name "" for the folder itself."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One queue of events. All methods raise OSError."""

    def __init__(self) -> None:
        """Raises OSError with EMFILE if this user has reached fs.inotify.max_user_instances."""
        self._fd = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def add(self, folder: str) -> int:
        """Watch a folder, and return the number of its watch, the same if it is already watched.

        Raises OSError with ENOSPC if fs.inotify.max_user_watches is reached.
        """
        return _checked(_libc.inotify_add_watch(self._fd, os.fsencode(folder), _WANTED))

    def remove(self, watch: int) -> None:
        _checked(_libc.inotify_rm_watch(self._fd, watch))

    def wait(self, timeout: float) -> None:
        """Wait until there are events, for at most `timeout` seconds."""
        self._poll.poll(timeout * 1000)

    def read(self) -> list[InotifyEvent]:
        """The events that are in the queue now."""
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
    """The kernel's limit for this account is reached. The text says which setting to raise."""


class InotifyListener:
    """Watches each folder of the tree with inotify, and applies the events to the tree.

    `look` takes an iterator of steps that check files; `lost` is called when the kernel has dropped events.
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

    def subscribe(self, folder: WatchedFolder) -> None:
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
            self.unsubscribe(folder)  # another folder has taken its name
        other = self._folders.get(watch)
        if other is not None and other is not folder:  # it was renamed, and that event is still to come
            self._watches.pop(other, None)
            other.subscribed = False
        self._folders[watch] = folder
        self._watches[folder] = watch
        folder.subscribed = True

    def unsubscribe(self, folder: WatchedFolder) -> None:
        watch = self._watches.pop(folder, None)
        folder.subscribed = False
        if watch is not None:
            del self._folders[watch]
            try:
                self._inotify.remove(watch)
            except OSError as error:
                if error.errno != errno.EINVAL:  # the folder is deleted, and its watch with it
                    raise

    def listed(self, folder: WatchedFolder, stamp: int) -> None:
        """Nothing to do: later changes cause events."""

    def reported(self, finished: SettledFile) -> None:
        """Nothing to do: later changes cause events."""

    def process_changes(self) -> None:
        for event in self._inotify.read():
            if event.mask & OVERFLOW:
                self._lost()
            elif event.mask & IGNORED:
                self._gone(event.watch)
            elif (folder := self._folders.get(event.watch)) is not None and event.name and not is_passing(event.name):
                self._take(folder, event)

    def _gone(self, watch: int) -> None:
        """The folder is deleted or its file system unmounted. A new one may already have its name."""
        folder = self._folders.pop(watch, None)
        if folder is not None:
            del self._watches[folder]
            folder.subscribed = False
            self._look(self._tree.look(folder, deep=True))

    def _take(self, folder: WatchedFolder, event: InotifyEvent) -> None:
        if event.mask & IS_FOLDER:
            look = self._tree.look_at_name(folder, event.name)
            if look is not None:
                # The first step now, because it adds the watch, and changes before that would be missed.
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
