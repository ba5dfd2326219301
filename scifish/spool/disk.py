"""Why a disk refuses writes: SQLite says "disk I/O error" where a quota is used up, and free space does not show it."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from pathlib import Path

QUOTA_USED_UP = "its quota is used up: make room, or ask for more"

PROBE_BYTES = 65_536
"""With less than this left of a quota, nothing of use can be written."""


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
