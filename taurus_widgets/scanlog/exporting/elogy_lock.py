"""One export into Elogy at a time, of all windows of one user: Elogy itself would take the same rows twice. No Qt."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taurus_widgets.scanlog.data.state_folder import makePrivate
from taurus_widgets.scanlog.exporting.progress import ExportProgress

LOCK_RETRY_SECONDS = 0.2
"""Time between attempts to lock the file."""


@contextmanager
def one_export_at_a_time(folder: Path, progress: ExportProgress) -> Iterator[None]:
    """Wait for the lock and hold it. A lock ends with its process. Raises Cancelled.

    Without a lock if the folder does not allow one (its disk is full, or its file system has no locks).
    """
    try:
        makePrivate(folder)
        handle = os.open(folder / "elogy.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        yield
        return
    try:
        while not _taken(handle):
            progress.pause(LOCK_RETRY_SECONDS)
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True
