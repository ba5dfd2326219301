"""A list that is on disk, so that an archive of very many rows needs no more memory than one of a few."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class DiskList(Generic[T]):
    """Things are appended, then gone through in their order. Nobody else can read or change its file.

    It does for a `ZipFile.filelist`, which is appended to, counted, and gone through when the archive is closed.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._count = 0

    def append(self, thing: T) -> None:
        """OSError if the disk is full."""
        pickle.dump(thing, self._file)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        self._file.seek(0)
        for _ in range(self._count):
            yield pickle.load(self._file)  # noqa: S301 - what this program has written there a moment ago

    def close(self) -> None:
        self._file.close()
