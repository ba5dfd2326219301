"""Watches a folder tree for files that other programs have finished writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from scifly.watching.filesystem import Method
from scifly.watching.model import FinishedFile, is_passing, printable
from scifly.watching.watcher import Watcher, WatchStatus

__all__ = ["METHODS", "FinishedFile", "FolderWatch", "Method", "WatchStatus", "is_passing", "printable", "watch"]

METHODS = ("auto", "inotify", "polling")

FOLDER_POLL_SECONDS = 1.0
"""Seconds between two checks of polling and, with any method, of the root itself."""


class FolderWatch(Protocol):
    """The watch of one folder tree, with threads of its own."""

    @property
    def pending(self) -> int:
        """Number of new or changed files that are not reported yet. It may be too high for a moment, never too low."""

    @property
    def changed(self) -> float:
        """Time of the last change of any file, by the monotonic clock; 0 before the first change."""

    @property
    def sight(self) -> WatchStatus:
        """`method`, `sees` and `trouble`, all of the same moment."""

    @property
    def method(self) -> Method:
        """The method in use at the moment."""

    @property
    def sees(self) -> bool:
        """Whether the root exists and can be read, as far as is known."""

    @property
    def trouble(self) -> str:
        """Why some changes cannot be seen, or only late, as a text for people; "" if nothing is wrong."""

    def start(self) -> None:
        """Start the threads. Call it once. Returns at once, in whatever state the root is."""

    def stop(self) -> None:
        """Report no more files. Returns within a second, even if the file server or `on_found` hangs."""

    def rescan(self) -> None:
        """Check all files soon, as after lost events of the kernel. Returns at once."""


def watch(
    root: str,
    wanted: Callable[[str], bool],
    settle: Callable[[str], float],
    on_found: Callable[[FinishedFile], None],
    method: Literal["auto", "inotify", "polling"] = "auto",
    on_trouble: Callable[[str], None] = lambda trouble: None,
    interval: float = FOLDER_POLL_SECONDS,
) -> FolderWatch:
    """A watch of the folder `root`, which may not exist yet, be deleted, or be replaced. The caller starts it.

    `wanted` is called once for each file's path below the root; hidden and temporary names, and the contents of folders
    with such names, are excluded before that. Symbolic links are not followed, except the root itself. `settle` returns
    the seconds without a change after which a file is finished.

    `on_found` is called for each finished file, in a thread of the watch and one call at a time, and again when the
    file is finished after a change. A renamed file, or one in a renamed folder, is reported under its new name. Files
    that exist at the start are reported too; those last written more than 10 minutes before at once. If `on_found`
    raises, the exception is logged and the call is repeated later. A file is finished
    - with inotify: closed after writing, or renamed into place, and then unchanged for `settle` seconds. A file that
      existed before the watch started may be open without an event: for it, size and time decide;
    - with polling: size and time unchanged for `settle` seconds.

    `method` "auto" uses inotify if the whole tree is on local file systems, else polling; it also uses polling if the
    kernel's limits are reached, which `trouble` reports. `on_trouble` is called whenever `trouble` changes.

    Paths are encoded as by `os.fsdecode`; use `printable` to show them. Raises ValueError for another `method`.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}: write one of {', '.join(METHODS)}")
    return Watcher(root, wanted, settle, on_found, on_trouble, None if method == "auto" else method, interval)
