"""Data classes of watching: files and folders; names that are hidden or temporary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class ReportedFile(NamedTuple):
    """What a file was when it was told of."""

    size: int
    mtime_ns: int
    inode: int

    def is_like(self, other: ReportedFile) -> bool:
        """Whether it is unchanged. Not by the inode: some file servers' clients make up another one now and then."""
        return self[:2] == other[:2]


class WatchedFolder:
    """Its path below the root ("" for the root), its wanted files and its folders.

    A file that was not told of yet has None. `heard` says that its news are taken, `gone` that it is not
    part of the tree any more; looking at it takes `steps`.
    """

    __slots__ = ("files", "folders", "gone", "heard", "inode", "parent", "path", "steps", "unwanted")

    def __init__(self, path: str, parent: WatchedFolder | None) -> None:
        self.path = path
        self.parent = parent
        self.files: dict[str, ReportedFile | None] = {}
        self.folders: dict[str, WatchedFolder] = {}
        self.unwanted: set[str] = set()
        self.inode = 0
        self.steps = 1
        self.heard = False
        self.gone = False

    def path_of(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name


_OTHERS = frozenset({"lost+found", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"})
"""What file systems and Windows put into a folder."""


_ENDINGS = (
    *("~", ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload"),
    *(".swp", ".swo", ".swx", ".lock", ".lck"),
)


def is_passing(name: str) -> bool:
    """Whether a file or folder of this name is hidden or temporary: no measurement, and renamed when it becomes one."""
    small = name.lower()
    return small.startswith((".", "~$")) or small.endswith(_ENDINGS) or small in _OTHERS


def printable(path: str) -> str:
    r"""The path for a message or a log: bytes that are not UTF-8, and line ends, as escapes (`\xff`, `\n`)."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


@dataclass(frozen=True, slots=True)
class FinishedFile:
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
