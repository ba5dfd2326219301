"""Watches a folder and all below it for files that other programs have finished writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from scifly.watching.filesystem import Method
from scifly.watching.model import FinishedFile, is_passing, printable
from scifly.watching.watcher import Watcher, WatchStatus

__all__ = ["METHODS", "FinishedFile", "FolderWatch", "Method", "WatchStatus", "is_passing", "printable", "watch"]

METHODS = ("auto", "inotify", "polling")

FOLDER_POLL_SECONDS = 1.0
"""Seconds between two looks of polling, and, whatever the method, at the root itself."""


class FolderWatch(Protocol):
    """One tree that is watched, by threads of its own."""

    @property
    def pending(self) -> int:
        """Files that have come or changed and were not told of yet; never fewer, at any moment."""

    @property
    def changed(self) -> float:
        """When, by the monotonic clock, something happened to a file last; 0 before that."""

    @property
    def sight(self) -> WatchStatus:
        """`method`, `sees` and `trouble`, all of one moment."""

    @property
    def method(self) -> Method:
        """How it is watched at the moment."""

    @property
    def sees(self) -> bool:
        """Whether the root is there, as far as is known, and may be read."""

    @property
    def trouble(self) -> str:
        """Why not everything can be seen, or not at once, for a person; "" if all is well."""

    def start(self) -> None:
        """Once. Returns at once, whatever the root is."""

    def stop(self) -> None:
        """Tell of nothing more. Returns within a second, also when the file server, or `on_found`, hangs."""

    def rescan(self) -> None:
        """Soon look at everything, as it is done when the kernel has lost events; returns at once."""


def watch(
    root: str,
    wanted: Callable[[str], bool],
    settle: Callable[[str], float],
    on_found: Callable[[FinishedFile], None],
    method: Literal["auto", "inotify", "polling"] = "auto",
    on_trouble: Callable[[str], None] = lambda trouble: None,
    interval: float = FOLDER_POLL_SECONDS,
) -> FolderWatch:
    """A watch, to be started, of the folder `root`, which may not exist yet, vanish, or be replaced.

    `wanted` is asked of each file's path below the root, once; hidden and temporary names, and what is in
    folders of such names, never get that far. Symbolic links are not followed, but for the root itself.
    `settle` gives the seconds for which a file must have been quiet.

    `on_found` is called, in a thread of the watch and one after the other, for each file that is finished,
    once, and again when it is finished after a change. A file that is renamed, or is in a folder that is, is
    told of under its new name. Those that are there at the start are told of, too; those last
    written more than 10 minutes before at once. One that raises is logged, and called again later with the
    file. A file is finished
    - with inotify: closed after writing, or renamed into place, and then quiet for `settle` seconds. What was
      there before the watch began may be open unseen: there, size and time decide;
    - with polling: size and time unchanged for `settle` seconds.

    `method` "auto" takes inotify where the whole tree is on file systems of this machine, else polling; and
    polling if the kernel's limits are reached, which `trouble` says. `on_trouble` is told each time when
    `trouble` is another.

    Paths are as `os.fsdecode` makes them; `printable` is for showing them. Raises ValueError for another `method`.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}: write one of {', '.join(METHODS)}")
    return Watcher(root, wanted, settle, on_found, on_trouble, None if method == "auto" else method, interval)
