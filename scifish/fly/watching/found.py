"""A file that is finished."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file as it is when finished; `path` begins with the root as it was given (made by `os.fsdecode`).

    `mtime_ns` is in nanoseconds since 1970. `device` may be another after a file server was mounted again.
    `seen` is when it was noticed first, in seconds since 1970, as this machine's clock has it.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    device: int
    seen: float
