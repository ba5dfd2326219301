"""The files of a dataset, each in exactly one origdatablock, however often the message comes.

A block is not repeatable: the real backend makes another one of the same POST, and counts its files twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ingest.scicat import Json, NotAllowed, SciCat, SciCatError

log = logging.getLogger(__name__)

A_BLOCK = 1000
"""Files in one block."""

Checksums = Callable[[list[Json]], list[Json]]
"""Files with `chk` where it can be had."""


class Files:
    """Adds files with one client. `algorithm` is that of the checksums, "" for none."""

    def __init__(self, client: SciCat, algorithm: str = "") -> None:
        self._client = client
        self._algorithm = algorithm

    def add(self, pid: str, files: list[Json], checksums: Checksums, none_there: bool = False) -> int:
        """How many were not there yet. `none_there` is true where that is known for certain."""
        if not files:
            return 0
        there = set() if none_there else _paths(self._client.blocks(pid))
        new = list({file["path"]: file for file in files if file["path"] not in there}.values())
        if not new:
            return 0
        new = checksums(new)
        for block in in_blocks(new):
            self._add(pid, block)
        self._read_back(pid, {file["path"] for file in new})
        return len(new)

    def _add(self, pid: str, files: list[Json]) -> None:
        algorithm = self._algorithm if any("chk" in file for file in files) else ""
        try:
            self._client.add_files(pid, files, algorithm)
        except SciCatError as error:
            # The write may have happened: of several at once the real backend answers 500 to most.
            written = error.temporary and {file["path"] for file in files} <= _paths(self._client.blocks(pid))
            if not written:
                raise

    def _read_back(self, pid: str, added: set[str]) -> None:
        """See that each file is there once. Another SciCow, killed while it wrote, may have written just now."""
        blocks = self._client.blocks(pid)
        if not added <= _paths(blocks):
            raise SciCatError(f"files of {pid}", 0, "SciCat does not show what it has just taken")
        # The same ones go whoever looks: two SciCows that tidy up at once leave one.
        blocks.sort(key=lambda block: (str(block.get("createdAt", "")), _key(block)))
        seen: set[str] = set()
        twice = []
        for block in blocks:
            paths = _paths([block])
            if paths <= seen and paths <= added:
                twice.append(block)
            seen |= paths
        if twice:
            self._remove(pid, blocks, twice)

    def _remove(self, pid: str, blocks: list[Json], twice: list[Json]) -> None:
        keys = ", ".join(map(_key, twice))
        try:
            for block in twice:
                self._client.delete_block(_key(block))
        except NotAllowed:
            log.error(
                "%s: its files count twice, as the datablocks %s are there already, and this account may not delete: "
                "delete them as an administrator, or add the account to SciCat's DELETE_GROUPS",
                pid,
                keys,
            )
            return
        log.warning("%s: the datablocks %s were there twice, as another SciCow wrote them too: deleted", pid, keys)
        left = [block for block in blocks if block not in twice]
        found = self._client.dataset(pid) or {}
        # Blocks that were added at once may have left these wrong, and older servers do not count after a delete.
        totals = {
            "size": sum(block["size"] for block in left),
            "numberOfFiles": sum(len(block["dataFileList"]) for block in left),
        }
        if any(found.get(name) != total for name, total in totals.items()):
            self._client.patch_dataset(pid, totals)


def in_blocks(files: list[Json]) -> list[list[Json]]:
    """The files, divided into those of one block each."""
    return [files[start : start + A_BLOCK] for start in range(0, len(files), A_BLOCK)]


def _paths(blocks: list[Json]) -> set[str]:
    return {file["path"] for block in blocks for file in block["dataFileList"]}


def _key(block: Json) -> str:
    return str(block.get("_id") or block.get("id"))
