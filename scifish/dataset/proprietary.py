"""Which datasets are proprietary, so that their metadata stay at the beamline; a file lists them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from scifish.dataset.compose import Record
from scifish.settings import Settings

log = logging.getLogger(__name__)


def is_proprietary(proposal: str, category: str) -> bool:
    """Whether its metadata stays at the beamline. Proposals that begin with IN are proprietary at MAX IV."""
    return category == "proprietary" or proposal.strip().upper().startswith("IN")


def stays_here(record: Record, settings: Settings) -> bool:
    """Whether a dataset's metadata may not leave the beamline, as far as is known of it."""
    proposal, place = record.text("proposalId").strip(), record.place
    # The category is that of the place's own proposal.
    category = place.get("category", "") if proposal == place.get("proposalId", "").strip() else ""
    return not settings.send_proprietary and is_proprietary(proposal, category)


class WithheldDatasets:
    """Datasets that stay at the beamline: what is said of them later stays, too. Kept on disk."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._uuids = self._read()

    def _read(self) -> set[str]:
        try:
            return set(self._file.read_text("utf-8").split())
        except OSError:
            return set()

    def __contains__(self, uuid: str) -> bool:
        if uuid not in self._uuids:
            self._uuids |= self._read()  # another process may have added it
        return uuid in self._uuids

    def add(self, uuid: str) -> None:
        if uuid in self._uuids:
            return
        self._uuids.add(uuid)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{uuid}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            log.error("%s cannot be written (%s): a comment on dataset %s might be sent", self._file, error, uuid)
