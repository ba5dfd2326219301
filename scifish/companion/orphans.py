"""Spools of programs that are gone: what they left open is ended, and what they left is sent."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from scifish.companion.finalizer import Finalizer
from scifish.dataset import compose
from scifish.dataset.compose import Record
from scifish.spool.database import OpenDataset, Spool, orphans
from scifish.spool.executor import SpoolExecutor
from scifish.spool.sender import Sender

log = logging.getLogger(__name__)


class OrphanSpools:
    """Takes over what is in `folders`. `looked` is set when it has done so for the first time."""

    def __init__(self, executor: SpoolExecutor, sender: Sender, finalizer: Finalizer, folders: Sequence[Path]) -> None:
        self._executor = executor
        self._sender = sender
        self._finalizer = finalizer
        self._folders = list(dict.fromkeys(folders))
        self._unfinished: list[tuple[Spool, Record]] = []
        self.looked = threading.Event()

    @property
    def unfinished(self) -> int:
        """Datasets that wait for settings."""
        return len(self._unfinished)

    def look(self) -> None:
        """Take what is there. Never raises."""
        try:
            for folder in self._folders:
                for spool in self._orphans(folder):
                    self._sender.add(spool)
                    self._finish_all(spool)
        except Exception:
            log.exception("looking for spools that other programs left")
        finally:
            self.looked.set()

    def try_again(self) -> None:
        """With those that waited for settings."""
        for _ in range(len(self._unfinished)):
            self._finish(*self._unfinished.pop(0))

    def _orphans(self, folder: Path) -> list[Spool]:
        try:
            return self._executor.submit(lambda: orphans(folder)).result()
        except OSError as error:
            log.error("the spools in %s cannot be looked at: %s", folder, error)
            return []

    def _finish_all(self, spool: Spool) -> None:
        try:
            left_open = self._executor.submit(spool.open_datasets).result()
        except (sqlite3.Error, ValueError) as error:
            log.error("the datasets that %s left open cannot be read: %s", spool.path, error)
            return
        for left in left_open:
            self._finish(spool, closing_record(left))

    def _finish(self, spool: Spool, record: Record) -> None:
        try:
            if self._finalizer.finish(spool, record) is None:
                self._unfinished.append((spool, record))
        except Exception:
            log.exception("dataset %s of %s cannot be finished; it stays there", record.uuid, spool.path)


def closing_record(left: OpenDataset) -> Record:
    """The record of a dataset whose program is gone: what it did not end is interrupted."""
    record = left.record
    if record.ending is None:
        record = compose.interrupted(record, left.points, left.seen)
        log.warning("dataset %s was left open by a program that ended: it is interrupted", record.uuid)
    return record
