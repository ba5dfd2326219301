"""What is known of one folder."""

from __future__ import annotations

from typing import NamedTuple


class Given(NamedTuple):
    """What a file was when it was told of."""

    size: int
    mtime_ns: int
    inode: int

    def is_like(self, other: Given) -> bool:
        """Whether it is unchanged. Not by the inode: some file servers' clients make up another one now and then."""
        return self[:2] == other[:2]


class Folder:
    """Its path below the root ("" for the root), its wanted files and its folders.

    A file that was not told of yet has None. `heard` says that its news are taken, `gone` that it is not
    part of the tree any more; looking at it takes `steps`.
    """

    __slots__ = ("files", "folders", "gone", "heard", "inode", "parent", "path", "steps", "unwanted")

    def __init__(self, path: str, parent: Folder | None) -> None:
        self.path = path
        self.parent = parent
        self.files: dict[str, Given | None] = {}
        self.folders: dict[str, Folder] = {}
        self.unwanted: set[str] = set()
        self.inode = 0
        self.steps = 1
        self.heard = False
        self.gone = False

    def path_of(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name
