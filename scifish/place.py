"""What PathFixer says of where an experiment stands: proposal, sample, path."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from scifish.compose import Record
from scifish.files import write_atomically
from scifish.message import Message
from scifish.settings import Settings
from scifish.snapshot import Reader

log = logging.getLogger(__name__)

TIMEOUT = 1.0
"""Seconds for PathFixer's answer: it answers out of its memory."""

_FIELDS = {"Proposal": "proposalId", "Sample": "sampleId", "SamplePath": "sourceFolder", "Type": "category"}


class Place:
    """Reads PathFixer, and keeps what it said last, also on disk, for a time when it does not answer.

    `file` has one entry for each PathFixer: one account may record for several beamlines.
    """

    def __init__(self, reader: Reader, file: Path) -> None:
        self._reader = reader
        self._file = file
        self._said = _load(file)

    def last(self, settings: Settings | None) -> Message:
        """What the PathFixer of these settings said last; {} if nothing is known of it."""
        return dict(self._said.get(settings.path_fixer.lower(), {})) if settings is not None else {}

    def read(self, settings: Settings) -> tuple[Message, list[str]]:
        """The fields of a dataset that PathFixer knows, and warnings. Never raises."""
        if not settings.path_fixer and not settings.scidog:
            return {}, []  # not a beamline with a PathFixer: the program says it all
        if not settings.path_fixer:
            return {}, ["the property PathFixer of SciDog is empty: proposal, sample and path are not known"]
        sources = {f"{settings.path_fixer}/{attribute}": name for attribute, name in _FIELDS.items()}
        readings = self._reader.read(sources, min(TIMEOUT, settings.snapshot_timeout))
        errors = [reading.error for reading in readings.values() if reading.error]
        if not errors:
            found = {name: str(readings[source].value or "") for source, name in sources.items()}
            self._remember(settings.path_fixer.lower(), found)
            return found, []
        # One that answers in part is not mixed with an older answer: they may be of two proposals.
        warning = f"{settings.path_fixer} does not answer ({errors[0]})"
        if last := self.last(settings):
            return last, [f"{warning}: proposal, sample and path are those it said last"]
        return {}, [f"{warning}: proposal, sample and path are not known"]

    def _remember(self, path_fixer: str, found: Message) -> None:
        if found == self._said.get(path_fixer):
            return
        self._said[path_fixer] = found
        try:
            # Another program may have written what another PathFixer says.
            kept = _load(self._file) | {path_fixer: found}
            write_atomically(self._file, json.dumps(kept, ensure_ascii=False))
        except OSError as error:
            log.warning("what PathFixer says cannot be kept on disk: %s", error)


def _load(file: Path) -> dict[str, Message]:
    try:
        kept = json.loads(file.read_text("utf-8"))
        return {
            str(path_fixer): {name: str(said[name]) for name in _FIELDS.values()} for path_fixer, said in kept.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # never written, or of another version: as good as none


def is_proprietary(proposal: str, category: str) -> bool:
    """Whether its metadata stays at the beamline. Proposals that begin with IN are proprietary at MAX IV."""
    return category == "proprietary" or proposal.strip().upper().startswith("IN")


def stays_here(record: Record, settings: Settings) -> bool:
    """Whether a dataset's metadata may not leave the beamline, as far as is known of it."""
    proposal, place = record.said("proposalId").strip(), record.place
    # The category is that of the place's own proposal.
    category = place.get("category", "") if proposal == place.get("proposalId", "").strip() else ""
    return not settings.send_proprietary and is_proprietary(proposal, category)


class Withheld:
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
