"""How much room there is for what waits: said before it gets short."""

from __future__ import annotations

import os
from pathlib import Path

NEARLY = 0.8
"""Of the limit: from there on it is said."""

FREE = 200_000_000
"""Bytes that should be free on the disk of the spool; less is said."""

MEGABYTE = 1_000_000


def shortage(folder: Path, used: int, limit: int) -> str:
    """What is getting short, for a person; "" if nothing is.

    `used` is the size of a spool in `folder`, `limit` what it may be, both in bytes. OSError if
    the disk does not say how much is free.
    """
    if used >= NEARLY * limit:
        return (
            f"the spool has {used / MEGABYTE:.1f} of the {limit / MEGABYTE:.1f} MB that SpoolLimit allows; "
            "what comes when it is full is kept in memory only"
        )
    disk = os.statvfs(folder)
    # What is left for those who are not root.
    free = disk.f_bavail * disk.f_frsize
    if free < FREE:
        return f"the disk of the spool ({folder}) has only {free / MEGABYTE:.0f} MB left: make room"
    return ""
