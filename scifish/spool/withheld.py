"""The list of the datasets that stay at the beamline, and so do later annotations on them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from scifish.settings import state_directory
from scifish.spool.disk import is_shared, open_file

log = logging.getLogger(__name__)


class WithheldDatasets:
    """The list of this account, and in folders that accounts share one for all of them: any may annotate a dataset."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """`folders` may hold spools."""
        self._folders = list(folders)
        self._uuids: set[str] = set()

    def __contains__(self, uuid: str) -> bool:
        if uuid not in self._uuids:
            for file in self._files():  # another process may have added it
                self._uuids |= _read(file)
        return uuid in self._uuids

    def add(self, uuid: str) -> None:
        if uuid in self._uuids:
            return
        for file in self._files():
            if uuid in _read(file):
                continue
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with os.fdopen(open_file(file, os.O_WRONLY | os.O_APPEND), "a", encoding="utf-8") as lines:
                    lines.write(f"{uuid}\n")
                    lines.flush()
                    os.fsync(lines.fileno())
            except OSError as error:
                log.error("%s cannot be written (%s): a later comment on dataset %s might be sent", file, error, uuid)
        self._uuids.add(uuid)

    def _files(self) -> list[Path]:
        shared = [folder for folder in self._folders if is_shared(folder)]
        return [folder / "withheld" for folder in dict.fromkeys([state_directory(), *shared])]


def _read(file: Path) -> set[str]:
    try:
        return set(file.read_text("utf-8").split())
    except OSError:
        return set()
