"""Spools of programs that are gone: their open datasets are ended, and their messages are sent."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from scifish.companion.finalizer import Finalizer
from scifish.companion.late_annotations import is_late, waits_for_dataset
from scifish.companion.late_proposals import LateProposals
from scifish.dataset import compose
from scifish.dataset.compose import Record
from scifish.dataset.proprietary import lacks_proposal
from scifish.native import threading
from scifish.settings import Settings
from scifish.settings.identity import Identity
from scifish.settings.sources import SettingsSource, without_chosen_pathfixer
from scifish.spool.database import LeftSpool, OpenDataset, Spool, orphans
from scifish.spool.executor import SpoolExecutor
from scifish.spool.salvage import broken_files
from scifish.spool.sender import Sender

log = logging.getLogger(__name__)


def damaged_spools(folder: Path) -> list[LeftSpool]:
    """The damaged spools in a folder, which no program sends. OSError if it cannot be read."""
    why = "it is damaged; `scifish salvage` gets what can be had out of it"
    return [LeftSpool(path, why) for path in broken_files(folder)]


class AdoptionRule:
    """Which spools of other programs this process may finish and send. Threads may share it."""

    def __init__(self, source: SettingsSource, unidentified: bool = False) -> None:
        """`unidentified`: a person says that spools that do not name their settings are of these."""
        self._source = without_chosen_pathfixer(source)
        self._unidentified = unidentified

    def refusal(self, spool: Spool, settings: Settings | None) -> str:
        """Why it must not be finished and sent with these settings of the source, and what to do; "" if it may."""
        return refusal(spool.path, spool.identity, Identity.of(self._source.name, settings), self._unidentified)

    def settings_for(self, spool: Spool) -> Settings | None:
        """The settings of now to finish its datasets with; None if it must not be finished."""
        settings = self._source.known()
        if settings is None or self.refusal(spool, settings):
            return None
        if spool.identity is not None:
            return spool.identity.finished_with(self._source.name, settings)
        # Of one that does not say so it is not known whether proprietary metadata may leave the machine.
        return replace(settings, send_proprietary=False)


def refusal(path: Path, recorded: Identity | None, mine: Identity, unidentified: bool = False) -> str:
    """As `AdoptionRule.refusal`, for the identity of a spool and the one of a process."""
    if recorded is None:
        how = f"scifish --spool {path.parent} flush --unidentified"
        why = "it does not say under which settings it was recorded (it is of an older version, or salvaged)"
        return "" if unidentified and mine.beamline else f"{why}; if they were {mine}, run: {how}"
    if mine.beamline and mine.may_send(recorded):
        return ""
    return f"it was recorded under {recorded}, and is not sent with {mine}: {recorded.how_to_send(path.parent)}"


class OrphanSpools:
    """Takes over the orphaned spools in `folders`. `checked` is set after the first time."""

    def __init__(
        self,
        executor: SpoolExecutor,
        sender: Sender,
        finalizer: Finalizer,
        folders: Sequence[Path],
        rule: AdoptionRule,
        settings: Callable[[], Settings | None],
        proposals: LateProposals,
    ) -> None:
        """`settings` are the known ones of this process."""
        self._executor = executor
        self._sender = sender
        self._finalizer = finalizer
        self._folders = list(dict.fromkeys(folders))
        self._rule = rule
        self._settings = settings
        self._proposals = proposals
        self._unfinished: list[tuple[Spool, Record]] = []
        self._logged: set[LeftSpool] = set()
        self._left: list[LeftSpool] = []
        self._damaged: list[LeftSpool] = []
        self.checked = threading.Event()

    @property
    def left(self) -> list[LeftSpool]:
        """The spools that must not be sent by this process, or cannot be."""
        return self._left + self._damaged

    @property
    def unfinished(self) -> int:
        """How many datasets wait for their proposal, and annotations for their dataset."""
        return len(self._unfinished)

    def without_proposal(self) -> dict[str, int]:
        """How many datasets wait for their proposal, by the PathFixer that knows it."""
        waiting = [(self._rule.settings_for(spool), record) for spool, record in list(self._unfinished)]
        return dict(Counter(used.path_fixer for used, record in waiting if used and lacks_proposal(record, used)))

    def late_annotations(self) -> int:
        """How many annotations have waited long for their dataset."""
        return sum(is_late(record) for _, record in list(self._unfinished))

    def retry_unfinished(self) -> None:
        """Finish what need not wait any more."""
        for _ in range(len(self._unfinished)):
            self._finish(*self._unfinished.pop(0))

    def look_for_damaged(self) -> None:
        """Find the damaged spools. OSError if a folder cannot be read."""
        self._damaged = [each for folder in self._folders for each in damaged_spools(folder)]

    def take_over(self) -> None:
        """Take over the spools that are orphaned now. Never raises."""
        try:
            left: list[LeftSpool] = []
            self._executor.submit(self.look_for_damaged).result()
            for folder in self._folders:
                found, others = self._open_orphans(folder)
                left += others
                for spool in found:
                    self._sender.add(spool)
                    self._finish_all(spool)
            self._left = left
            for each in left:
                if each not in self._logged:
                    log.warning("the spool %s is left as it is: %s", each.path, each.why)
            self._logged.update(left)
        except Exception:
            log.exception("orphaned spools cannot be taken over")
        finally:
            self.checked.set()

    def _open_orphans(self, folder: Path) -> tuple[list[Spool], list[LeftSpool]]:
        try:
            settings = self._settings()
            mine = {spool.path for spool in self._sender.spools}
            return self._executor.submit(
                lambda: orphans(folder, lambda spool: self._rule.refusal(spool, settings), mine)
            ).result()
        except OSError as error:
            log.error("the spools in %s cannot be checked: %s", folder, error)
            return [], []

    def _finish_all(self, spool: Spool) -> None:
        try:
            rows = self._executor.submit(spool.open_datasets).result()
        except (sqlite3.Error, ValueError) as error:
            log.error("the open datasets of the spool %s cannot be read: %s", spool.path, error)
            return
        for row in rows:
            self._finish(spool, closing_record(row))

    def _finish(self, spool: Spool, record: Record) -> None:
        try:
            settings = self._rule.settings_for(spool)
            if settings is None or spool.broken:
                return  # the sender lets go of it
            waits = waits_for_dataset(record, spool.path, self._folders)
            if not waits and self._proposals.complete(record, settings):
                self._finalizer.finish(spool, record, settings)
            else:
                self._unfinished.append((spool, record))
        except Exception:
            log.exception("dataset %s cannot be finished: it stays in the spool %s", record.uuid, spool.path)


def closing_record(row: OpenDataset) -> Record:
    """The record of a dataset whose program is gone: without an ending its status is interrupted."""
    record = row.record
    if record.ending is None:
        record = compose.interrupted(record, row.points, row.seen)
        log.warning("dataset %s was left open by a program that exited; status interrupted", record.uuid)
    return record
