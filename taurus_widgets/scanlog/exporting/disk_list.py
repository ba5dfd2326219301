"""A list on disk, so that the memory for an archive does not depend on the number of rows."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class DiskList(Generic[T]):
    """Append items, then iterate over them in order. No other process can read or change its file.

    It can replace `ZipFile.filelist`, which is appended to, counted, and iterated when the archive is closed.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._count = 0

    def append(self, thing: T) -> None:
        """Append an item. Raises OSError if the disk is full."""
        pickle.dump(thing, self._file)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        self._file.seek(0)
        for _ in range(self._count):
            yield pickle.load(self._file)  # noqa: S301 - written by this program

    def close(self) -> None:
        self._file.close()
