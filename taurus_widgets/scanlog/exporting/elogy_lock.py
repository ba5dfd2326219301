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
"""Seconds between looks whether it is our turn."""


@contextmanager
def one_export_at_a_time(folder: Path, progress: ExportProgress) -> Iterator[None]:
    """Waits for its turn; the end of a program that had it gives it on. Raises Cancelled.

    Where no file can be locked in the folder (its disk is full, or keeps no locks) there are no turns.
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
