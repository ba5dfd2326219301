"""What the file server says of a file now, where `os.stat` would answer from this machine's cache.

NFS keeps the attributes of files for 3 to 60 s and of folders for 30 to 60 s (man 5 nfs, `acregmin`,
`acdirmin`): a file that another machine writes would seem unchanged. `statx` can ask for the server's
own (AT_STATX_FORCE_SYNC), without opening the file: to open one could disturb the program that writes
it over SMB. Python's own `os.statx` comes with 3.15.
"""

from __future__ import annotations

import ctypes
import os
import stat as modes
import struct
from typing import NamedTuple

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_STATX_FORCE_SYNC = 0x2000
_STATX_BASIC_STATS = 0x7FF

_FIELDS = struct.Struct("=16x I 8x H 2x Q Q 48x q I 4x q I 4x 8x I I")
"""struct statx: links, mode, inode, size, ctime, mtime, device (linux/stat.h)."""

_SIZE = 256

_libc = ctypes.CDLL(None, use_errno=True)
_libc.statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]


class Stat(NamedTuple):
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


def stat_now(path: str, follow: bool = False) -> Stat:
    """Of the path itself, also if it is a symbolic link, unless `follow`. Raises OSError as `os.stat` does."""
    answer = ctypes.create_string_buffer(_SIZE)
    flags = _AT_STATX_FORCE_SYNC | (0 if follow else _AT_SYMLINK_NOFOLLOW)
    if _libc.statx(_AT_FDCWD, os.fsencode(path), flags, _STATX_BASIC_STATS, answer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    links, mode, inode, size, cs, cn, ms, mn, major, minor = _FIELDS.unpack_from(answer)
    return Stat(mode, size, ms * 10**9 + mn, cs * 10**9 + cn, inode, os.makedev(major, minor), links)
