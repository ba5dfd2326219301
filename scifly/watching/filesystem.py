"""Queries of the file system: files, folders, writers, and the type of a mount."""

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

# statx(2), for which Python has no function. `os.stat` has no creation time, and may answer from the client's cache for
# a file on a server.
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
    """The kernel's struct as bytes. Raises OSError like `os.stat`."""
    answer = ctypes.create_string_buffer(_STATX_BYTES)
    if _libc.statx(_AT_FDCWD, os.fsencode(path), flags, wanted, answer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return answer.raw


def birth(path: str) -> float | None:
    """The creation time in seconds since 1970;

    None if the file system has none (NFS before 4.2), or the file is missing.
    """
    try:
        answer = _statx(path, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME)
    except OSError:
        return None
    (known,) = _MASK.unpack_from(answer)
    seconds, nanoseconds = _BTIME.unpack_from(answer)
    return seconds + nanoseconds / 1e9 if known & _STATX_BTIME and seconds > 0 else None


class FileStat(NamedTuple):
    """The fields of `os.stat` that are used; times in nanoseconds since 1970."""

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
    """The present state of the path; of a symbolic link itself unless `follow`. Raises OSError like `os.stat`."""
    flags = _AT_STATX_FORCE_SYNC | (0 if follow else _AT_SYMLINK_NOFOLLOW)
    answer = _statx(path, flags, _STATX_BASIC_STATS)
    links, mode, inode, size, cs, cn, ms, mn, major, minor = _BASIC.unpack_from(answer)
    return FileStat(mode, size, ms * 10**9 + mn, cs * 10**9 + cn, inode, os.makedev(major, minor), links)


T = TypeVar("T")


class WatchStopped(Exception):
    """The watch was stopped: the result is no longer needed."""


class FolderListing(NamedTuple):
    """The contents of a folder: its regular files with their inodes, and its folders. Anything else is left out."""

    stat: FileStat
    files: list[tuple[str, int]]
    folders: list[str]


class FileSystem:
    """File system calls of one thread.

    Other threads can see how long a call takes, and stop the thread between two calls. Paths are relative to `base`, a
    folder's path without symbolic links; "" is that folder. All calls raise OSError.
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
        """The result of the call. Raises WatchStopped if the watch was stopped."""
        if self._stopping.is_set():
            raise WatchStopped
        self._since = time.monotonic()
        try:
            return question()
        finally:
            self._since = None

    def waits(self) -> float:
        """Seconds since the start of the current call; 0 if there is none."""
        since = self._since
        return time.monotonic() - since if since is not None else 0.0


def _list(path: str) -> FolderListing:
    # Do not follow a symbolic link that has replaced the folder in the meantime.
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        # Before the names: after a change in between, the time is older than the contents, so the folder is listed
        # again.
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
"""The process or the file has gone in the meantime, or belongs to another account."""


def being_written(paths: Iterable[str]) -> set[str]:
    """Those of the paths (without links) that a process has open for writing. Only root sees other accounts' processes.

    Read from /proc, so no file is opened and no file server is asked.
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
"""Types of file systems that only one machine writes to, so that inotify sees every change.

On all others (nfs4, gpfs, cifs, smb3, lustre, beegfs, ceph, fuse.sshfs, 9p, autofs, ...) inotify reports only what this
machine itself writes (man 7 inotify, "Limitations and caveats").
"""


class Mount(NamedTuple):
    point: str
    kind: str


def mounts() -> list[Mount]:
    """The mounts, in the order of mounting."""
    return parsed(MOUNTINFO.read_bytes())


def parsed(mountinfo: bytes) -> list[Mount]:
    """The mounts in /proc/self/mountinfo (man 5 proc_pid_mountinfo): the fifth field, and the one after the hyphen."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(b" - ")
        found.append(Mount(_unescaped(before.split()[4]), os.fsdecode(after.split()[0])))
    return found


def _unescaped(field: bytes) -> str:
    # Space, tab, newline and backslash are encoded as \ and three octal digits.
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))


def method_for(path: str, mounted: Sequence[Mount]) -> Method:
    """The method for a tree: polling if any part of it is on a file system where inotify does not report all changes.

    `path` is absolute and without symbolic links.
    """
    holding = Mount("", "")
    kinds = set()
    for mount in mounted:
        if _is_in(path, mount.point) and len(mount.point) >= len(holding.point):
            holding = mount  # the last of several mounts at one point hides the others
        elif _is_in(mount.point, path):
            kinds.add(mount.kind)
    return "inotify" if kinds | {holding.kind} <= LOCAL_FILE_SYSTEMS else "polling"


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
