"""The files of a dataset, each in exactly one origdatablock, however often the message is delivered.

Creating a block cannot be repeated: the real backend creates another one, and counts its files twice.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable

from ingest.scicat import Json, NotAllowed, SciCat, SciCatError

log = logging.getLogger(__name__)

FILES_PER_BLOCK = 1000
"""Files in one block."""

Checksums = Callable[[list[Json]], list[Json]]
"""Files with `chk` where it is known."""


class DatasetFiles:
    """Writes the files of datasets with one client. `algorithm` is that of the checksums, "" for none."""

    def __init__(self, client: SciCat, algorithm: str = "") -> None:
        self._client = client
        self._algorithm = algorithm

    def add(self, pid: str, files: list[Json], checksums: Checksums, none_there: bool = False) -> int:
        """Returns how many were new. `none_there` is whether it is certain that none exist."""
        if not files:
            return 0
        blocks = [] if none_there else self._client.blocks(pid)
        there = _paths(blocks)
        new = list({file["path"]: file for file in files if file["path"] not in there}.values())
        if not new:
            # SciCat counts a block in a second step, before which it may have been killed. It does not count those that
            # a deleted dataset has left, when the dataset is made again.
            self._count(pid, blocks)
            return 0
        new = checksums(new)
        answered = [self._add(pid, block) for block in in_blocks(new)]
        blocks = self._read_back(pid, {file["path"] for file in new})
        if not all(answered):
            self._count(pid, blocks)
        return len(new)

    def replace(self, pid: str, files: list[Json], checksums: Checksums) -> int:
        """Returns how many had another size or time, and are changed now. Can be repeated."""
        given = {file["path"]: file for file in files}
        blocks = self._client.blocks(pid)
        changed = {
            there["path"]
            for block in blocks
            for there in block["dataFileList"]
            if there["path"] in given and not _same(there, given[there["path"]])
        }
        if changed:
            new = {file["path"]: file for file in checksums([given[path] for path in sorted(changed)])}
            for block in blocks:
                if changed & _paths([block]):
                    self._replace(block, new)
            blocks = self._client.blocks(pid)
        self._count(pid, blocks)  # also of a try before, whose answer did not come
        return len(changed)

    def _replace(self, block: Json, new: dict[str, Json]) -> None:
        algorithm = str(block.get("chkAlg") or self._algorithm)
        files = [new.get(file["path"]) or _as_sent(file) for file in block["dataFileList"]]
        if algorithm != self._algorithm:  # the settings were others then: a block has one for all of its files
            files = [_without_checksum(file) if file["path"] in new else file for file in files]
        self._client.change_block(_key(block), files, algorithm if any("chk" in file for file in files) else "")

    def _add(self, pid: str, files: list[Json]) -> bool:
        """Whether SciCat has answered that they are added: else they are, and may not be counted."""
        algorithm = self._algorithm if any("chk" in file for file in files) else ""
        try:
            self._client.add_files(pid, files, algorithm)
        except SciCatError as error:
            # The write may have happened: of several at once the real backend answers 500 to most.
            written = error.temporary and {file["path"] for file in files} <= _paths(self._client.blocks(pid))
            if not written:
                raise
            return False
        return True

    def _read_back(self, pid: str, added: set[str]) -> list[Json]:
        """Check that each file exists once; returns the blocks that are left.

        Another SciCow, killed while writing, may have written at the same time.
        """
        blocks = self._client.blocks(pid)
        if not added <= _paths(blocks):
            raise SciCatError(f"files of {pid}", 0, "SciCat does not show the files that it has just accepted")
        # The same ones go whoever looks: two SciCows that tidy up at once leave one.
        blocks.sort(key=lambda block: (str(block.get("createdAt", "")), _key(block)))
        seen: set[str] = set()
        twice = []
        for block in blocks:
            paths = _paths([block])
            if paths <= seen and paths <= added:
                twice.append(block)
            seen |= paths
        return self._remove(pid, blocks, twice) if twice else blocks

    def _remove(self, pid: str, blocks: list[Json], twice: list[Json]) -> list[Json]:
        keys = ", ".join(map(_key, twice))
        try:
            for block in twice:
                self._client.delete_block(_key(block))
        except NotAllowed:
            log.error(
                "%s: its files are counted twice: the datablocks %s are duplicates, which this account may not delete. "
                "Delete them as an administrator, or add the account to SciCat's DELETE_GROUPS.",
                pid,
                keys,
            )
            return blocks
        log.warning("%s: deleted the datablocks %s, which another SciCow had written as well", pid, keys)
        left = [block for block in blocks if block not in twice]
        self._count(pid, left)
        return left

    def _count(self, pid: str, blocks: list[Json]) -> None:
        """Check that the dataset has their totals.

        Blocks that were added at once may have left these wrong, and older servers do not count after a change.
        """
        found = self._client.dataset(pid) or {}
        totals = {
            "size": sum(block["size"] for block in blocks),
            "numberOfFiles": sum(len(block["dataFileList"]) for block in blocks),
        }
        if any(found.get(name) != total for name, total in totals.items()):
            self._client.patch_dataset(pid, totals)


def in_blocks(files: list[Json]) -> list[list[Json]]:
    """The files, divided into those of one block each."""
    return [files[start : start + FILES_PER_BLOCK] for start in range(0, len(files), FILES_PER_BLOCK)]


def _paths(blocks: list[Json]) -> set[str]:
    return {file["path"] for block in blocks for file in block["dataFileList"]}


_FIELDS = ("path", "size", "time", "chk", "uid", "gid", "perm")
"""What a file in a datablock has for every version of the server."""


def _as_sent(file: Json) -> Json:
    """As it can be sent again: what servers add to it would be a 400."""
    return {name: file[name] for name in _FIELDS if file.get(name) is not None}


def _without_checksum(file: Json) -> Json:
    return {name: inner for name, inner in file.items() if name != "chk"}


def _same(there: Json, given: Json) -> bool:
    """Whether size and time are, the time to a millisecond: servers keep no more of it."""
    times = [dt.datetime.fromisoformat(str(each["time"])) for each in (there, given)]
    return bool(there["size"] == given["size"]) and abs((times[0] - times[1]).total_seconds()) < 0.001


def _key(block: Json) -> str:
    return str(block.get("_id") or block.get("id"))
