"""What the file system says: of a file, of a folder, of who writes, and of the kind that a path is on."""

from __future__ import annotations

import ctypes
import os
import re
import stat as modes
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

# statx(2): Python has no call for it. `os.stat` does not say when a file was made, and may answer of a file on a server
# from what this machine remembers.
_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_STATX_FORCE_SYNC = 0x2000
_STATX_BASIC_STATS = 0x7FF
_STATX_BTIME = 0x800
_STATX_BYTES = 256
_MASK = struct.Struct("=I")
_BASIC = struct.Struct("=16x I 8x H 2x Q Q 48x q I 4x q I 4x 8x I I")
"""struct statx: links, mode, inode, size, ctime, mtime, device (linux/stat.h)."""
_BTIME = struct.Struct("=80x q I")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]


def _statx(path: str, flags: int, wanted: int) -> bytes:
    """The kernel's answer as it is in memory. Raises OSError as `os.stat` does."""
    answer = ctypes.create_string_buffer(_STATX_BYTES)
    if _libc.statx(_AT_FDCWD, os.fsencode(path), flags, wanted, answer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return answer.raw


def birth(path: str) -> float | None:
    """In seconds since 1970; None where the file system does not know (NFS before 4.2), or it is not there."""
    try:
        answer = _statx(path, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME)
    except OSError:
        return None
    (known,) = _MASK.unpack_from(answer)
    seconds, nanoseconds = _BTIME.unpack_from(answer)
    return seconds + nanoseconds / 1e9 if known & _STATX_BTIME and seconds > 0 else None


class FileStat(NamedTuple):
    """As `os.stat` says it; times in nanoseconds since 1970."""

    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    links: int

    @property
    def is_folder(self) -> bool:
        return modes.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return modes.S_ISREG(self.mode)


def stat_now(path: str, follow: bool = False) -> FileStat:
    """Of the path itself, also if it is a symbolic link, unless `follow`. Raises OSError as `os.stat` does."""
    flags = _AT_STATX_FORCE_SYNC | (0 if follow else _AT_SYMLINK_NOFOLLOW)
    answer = _statx(path, flags, _STATX_BASIC_STATS)
    links, mode, inode, size, cs, cn, ms, mn, major, minor = _BASIC.unpack_from(answer)
    return FileStat(mode, size, ms * 10**9 + mn, cs * 10**9 + cn, inode, os.makedev(major, minor), links)


T = TypeVar("T")


class WatchStopped(Exception):
    """The watch is over: nobody wants the answer."""


class FolderListing(NamedTuple):
    """What is in a folder: its regular files with their inodes, and its folders. All else is of no interest."""

    stat: FileStat
    files: list[tuple[str, int]]
    folders: list[str]


class FileSystem:
    """Asks for one thread, so that others can see how long it waits for an answer, and stop it between two questions.

    Paths are relative to `base`, a folder's path without symbolic links; "" is that folder. All raise OSError.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self.base = ""
        self._stopping = stopping
        self._since: float | None = None

    def full(self, path: str) -> str:
        return f"{self.base}/{path}" if path else self.base

    def stat(self, path: str) -> FileStat:
        return self.ask(lambda: stat_now(self.full(path)))

    def list(self, path: str) -> FolderListing:
        return self.ask(lambda: _list(self.full(path)))

    def ask(self, question: Callable[[], T]) -> T:
        """The answer. Raises WatchStopped if it is not wanted any more."""
        if self._stopping.is_set():
            raise WatchStopped
        self._since = time.monotonic()
        try:
            return question()
        finally:
            self._since = None

    def waits(self) -> float:
        """Seconds since it was asked what is not answered yet."""
        since = self._since
        return time.monotonic() - since if since is not None else 0.0


def _list(path: str) -> FolderListing:
    # Not through a symbolic link that has taken a folder's name since.
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        # Before the names: what comes in between makes the folder look older than it is, and it is listed again.
        stat = stat_now(path)
        files, folders = [], []
        with os.scandir(number) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    files.append((entry.name, entry.inode()))
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
        return FolderListing(stat, files, folders)
    finally:
        os.close(number)


_GONE = (OSError, ValueError)
"""The program, or its file, went away meanwhile, or belongs to another account."""


def being_written(paths: Iterable[str]) -> set[str]:
    """Those of the (real) paths that a program has open for writing, of the programs of the own account; root sees all.

    By /proc, so nothing is opened and no file server is asked.
    """
    asked = set(paths)
    found = set()
    for process in filter(str.isdigit, os.listdir("/proc")):
        with suppress(*_GONE):
            for number in os.listdir(f"/proc/{process}/fd"):
                with suppress(*_GONE):
                    path = os.readlink(f"/proc/{process}/fd/{number}")
                    if path in asked and path not in found and _writes(f"/proc/{process}/fdinfo/{number}"):
                        found.add(path)
    return found


def _writes(information: str) -> bool:
    with open(information, encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name == "flags":
                return int(value, 8) & os.O_ACCMODE != os.O_RDONLY
    return False


Method = Literal["inotify", "polling"]


MOUNTINFO = Path("/proc/self/mountinfo")


LOCAL_FILE_SYSTEMS = frozenset(
    {
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "nilfs2", "reiserfs"),
        *("tmpfs", "ramfs", "rootfs", "overlay", "ecryptfs", "squashfs", "erofs"),
        *("vfat", "exfat", "ntfs", "ntfs3", "fuseblk", "hfsplus", "udf", "iso9660"),
    }
)
"""Kinds that one machine alone writes to, so that inotify sees it all.

Of all others (nfs4, gpfs, cifs, smb3, lustre, beegfs, ceph, fuse.sshfs, 9p, autofs, ...) inotify tells
only what this machine itself writes (man 7 inotify, "Limitations and caveats").
"""


class Mount(NamedTuple):
    point: str
    kind: str


def mounts() -> list[Mount]:
    """What is mounted, in the order of mounting."""
    return parsed(MOUNTINFO.read_bytes())


def parsed(mountinfo: bytes) -> list[Mount]:
    """The lines of /proc/self/mountinfo (man 5 proc_pid_mountinfo): the fifth field, and that behind the hyphen."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(b" - ")
        found.append(Mount(_unescaped(before.split()[4]), os.fsdecode(after.split()[0])))
    return found


def _unescaped(field: bytes) -> str:
    # Space, tab, newline and backslash come as \ and three octal digits.
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))


def method_for(path: str, mounted: Sequence[Mount]) -> Method:
    """How to watch a tree: polling if it, or a part of it, is on a file system where inotify does not tell all.

    `path` is absolute and without symbolic links.
    """
    holding = Mount("", "")
    kinds = set()
    for mount in mounted:
        if _is_in(path, mount.point) and len(mount.point) >= len(holding.point):
            holding = mount  # the last one of those on the same point covers the others
        elif _is_in(mount.point, path):
            kinds.add(mount.kind)
    return "inotify" if kinds | {holding.kind} <= LOCAL_FILE_SYSTEMS else "polling"


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
