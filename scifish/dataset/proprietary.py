"""Which datasets are proprietary, so that their metadata stay at the beamline; a file lists them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from scifish.dataset.compose import Record
from scifish.settings import Settings

log = logging.getLogger(__name__)


def is_proprietary(proposal: str, category: str) -> bool:
    """Whether a proposal is proprietary. At MAX IV, proposals that begin with IN are."""
    return category == "proprietary" or proposal.strip().upper().startswith("IN")


def stays_here(record: Record, settings: Settings) -> bool:
    """Whether the metadata of a dataset must stay at the beamline, as far as is known."""
    proposal, place = record.text("proposalId").strip(), record.place
    # The category belongs to the proposal of the place.
    category = place.get("category", "") if proposal == place.get("proposalId", "").strip() else ""
    return not settings.send_proprietary and is_proprietary(proposal, category)


def lacks_proposal(record: Record, settings: Settings) -> bool:
    """Whether neither PathFixer nor the program has said whose a dataset is: then nobody knows who may see it.

    An answer of PathFixer without a proposal is one, and a beamline without PathFixer has none to wait for. An
    annotation goes where its dataset goes.
    """
    if "annotation" in record.given:
        return False
    said = record.text("proposalId").strip() or "proposalId" in record.place
    return bool(settings.path_fixer) and not settings.send_without_proposal and not said


class WithheldDatasets:
    """Datasets that stay at the beamline, and so do later annotations on them. Stored on disk."""

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
            log.error("%s cannot be written (%s): a later comment on dataset %s might be sent", self._file, error, uuid)
