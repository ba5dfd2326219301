"""All questions to the file system that a watched tree is on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from scifish.fly.watching import fresh

T = TypeVar("T")


class Stopped(Exception):
    """The watch is over: nobody wants the answer."""


class Listing(NamedTuple):
    """What is in a folder: its regular files with their inodes, and its folders. All else is of no interest."""

    stat: fresh.Stat
    files: list[tuple[str, int]]
    folders: list[str]


class Asking:
    """Asks for one thread, so that others can see how long it waits for an answer, and stop it between two questions.

    Paths are relative to `base`, a folder's path without symbolic links; "" is that folder. All raise OSError.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self.base = ""
        self._stopping = stopping
        self._since: float | None = None

    def full(self, path: str) -> str:
        return f"{self.base}/{path}" if path else self.base

    def stat(self, path: str) -> fresh.Stat:
        return self.ask(lambda: fresh.stat_now(self.full(path)))

    def list(self, path: str) -> Listing:
        return self.ask(lambda: _list(self.full(path)))

    def ask(self, question: Callable[[], T]) -> T:
        """The answer. Raises Stopped if it is not wanted any more."""
        if self._stopping.is_set():
            raise Stopped
        self._since = time.monotonic()
        try:
            return question()
        finally:
            self._since = None

    def waits(self) -> float:
        """Seconds since it was asked what is not answered yet."""
        since = self._since
        return time.monotonic() - since if since is not None else 0.0


def _list(path: str) -> Listing:
    # Not through a symbolic link that has taken a folder's name since.
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        # Before the names: what comes in between makes the folder look older than it is, and it is listed again.
        stat = fresh.stat_now(path)
        files, folders = [], []
        with os.scandir(number) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    files.append((entry.name, entry.inode()))
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
        return Listing(stat, files, folders)
    finally:
        os.close(number)
