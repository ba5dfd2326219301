"""The files of a spool on the disk: who may use them, and why the disk refuses writes."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import tempfile
from pathlib import Path

QUOTA_USED_UP = "its quota is used up: make room, or ask for more"

PROBE_BYTES = 65_536
"""With less than this left of a quota, nothing of use can be written."""


_OF_GROUP = stat.S_ISGID | stat.S_IWGRP


def is_shared(folder: Path) -> bool:
    """Whether the accounts of a group share the files of this folder."""
    try:
        return folder.stat().st_mode & _OF_GROUP == _OF_GROUP
    except OSError:
        return False


def open_file(path: Path, flags: int) -> int:
    """Open or make a file in a folder of spools. OSError if that is refused, or if it is a link.

    It is for this account only; or also for its group, if the folder is of mode 2770 (or 2775): then the accounts of
    that group may take over each other's spools. SQLite gives its own files the same mode, and a folder of that mode
    the group.
    """
    handle = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    found = os.fstat(handle)
    if found.st_uid == os.geteuid() and is_shared(path.parent):
        os.fchmod(handle, stat.S_IMODE(found.st_mode) | 0o060)
    return handle


def _quota_is_used_up(folder: Path) -> bool:
    """Whether a quota, of the account or of the folder, allows no more data here. It asks for room."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            os.posix_fallocate(probe.fileno(), 0, PROBE_BYTES)  # all or nothing: a write takes what is left meanwhile
            os.fsync(probe.fileno())  # over a network, the answer may come only now
    except OSError as error:
        return error.errno == errno.EDQUOT
    return False


def why_refused(error: Exception, folder: Path | None) -> str:
    """Why a write in this folder was refused, for people."""
    if isinstance(error, sqlite3.Error) and _is_io_error(error) and folder is not None and _quota_is_used_up(folder):
        return QUOTA_USED_UP
    return str(error)


def _is_io_error(error: sqlite3.Error) -> bool:
    # The lower byte is the kind: write, fsync, truncate, ... The code is missing where Python raises the error itself.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR
