"""Linux's inotify (man 7 inotify), as far as it is needed.

Four calls by ctypes and not a library: watchdog (7.1) writes an overflow of the queue into a log but does
not tell its user, who has to look for what was lost (earlier versions drop it unseen, its issue 654), and
watchfiles tells neither that nor when a file is closed. inotify_simple gives all of it, in as many lines.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import termios
from typing import NamedTuple

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


class Event(NamedTuple):
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

    def read(self) -> list[Event]:
        """Those that are there now."""
        waiting = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0"))[0]
        data = os.read(self._fd, waiting) if waiting else b""
        events = []
        place = 0
        while place < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, place)
            place += _HEAD.size + length
            events.append(Event(watch, mask, os.fsdecode(data[place - length : place].partition(b"\0")[0])))
        return events

    def close(self) -> None:
        os.close(self._fd)


def _checked(answer: int) -> int:
    if answer == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
