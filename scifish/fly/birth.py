"""When a file was made. Python's `os.stat` does not say on Linux, the system call statx does."""

from __future__ import annotations

import ctypes
import os
import sys

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_BTIME = 0x800
_SIZE = 256
_MASK, _BTIME = 0, 80  # where they are in struct statx, see statx(2)

_statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)


def birth(path: str) -> float | None:
    """In seconds since 1970; None where the file system does not know (NFS before 4.2), or it is not there."""
    if _statx is None:
        return None
    found = ctypes.create_string_buffer(_SIZE)
    if _statx(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, found) != 0:
        return None
    said = found.raw
    if not int.from_bytes(said[_MASK : _MASK + 4], sys.byteorder) & _STATX_BTIME:
        return None
    seconds = int.from_bytes(said[_BTIME : _BTIME + 8], sys.byteorder, signed=True)
    nanoseconds = int.from_bytes(said[_BTIME + 8 : _BTIME + 12], sys.byteorder)
    return seconds + nanoseconds / 1e9 if seconds > 0 else None
