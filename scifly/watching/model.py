"""Data classes of watching: files and folders; and which names are hidden or temporary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class ReportedFile(NamedTuple):
    """The state of a file when it was reported."""

    size: int
    mtime_ns: int
    inode: int

    def is_like(self, other: ReportedFile) -> bool:
        """Whether size and mtime are the same.

        The inode is not compared: clients of some file servers change it at times.
        """
        return self[:2] == other[:2]


class WatchedFolder:
    """A folder: its path below the root ("" for the root), its wanted files and its folders.

    A file that is not reported yet has None. `subscribed`: its changes are being received. `gone`: it is no longer part
    of the tree. `steps` is the number of steps that checking it takes.
    """

    __slots__ = ("files", "folders", "gone", "inode", "parent", "path", "steps", "subscribed", "unwanted")

    def __init__(self, path: str, parent: WatchedFolder | None) -> None:
        self.path = path
        self.parent = parent
        self.files: dict[str, ReportedFile | None] = {}
        self.folders: dict[str, WatchedFolder] = {}
        self.unwanted: set[str] = set()
        self.inode = 0
        self.steps = 1
        self.subscribed = False
        self.gone = False

    def path_of(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name


_OTHERS = frozenset({"lost+found", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"})
"""Names that file systems and Windows create in folders."""


_ENDINGS = (
    *("~", ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload"),
    *(".swp", ".swo", ".swx", ".lock", ".lck"),
)


def is_passing(name: str) -> bool:
    """Whether the name is hidden or temporary: such a file or folder is not a measurement until it is renamed."""
    small = name.lower()
    return small.startswith((".", "~$")) or small.endswith(_ENDINGS) or small in _OTHERS


def printable(path: str) -> str:
    r"""The path for a message or a log: bytes that are not UTF-8, and line ends, are escaped (`\xff`, `\n`)."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A finished regular file. `path` begins with the root as it was given (encoded as by `os.fsdecode`).

    `mtime_ns` is in nanoseconds since 1970. `device` may change when a file server is mounted again. `seen` is when the
    file was first noticed, in seconds since 1970 by this machine's clock.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    device: int
    seen: float
