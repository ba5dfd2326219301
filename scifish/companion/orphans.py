"""Spools of programs that are gone: their open datasets are ended, and their messages are sent."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from scifish.companion.finalizer import Finalizer
from scifish.dataset import compose
from scifish.dataset.compose import Record
from scifish.native import threading
from scifish.spool.database import OpenDataset, Spool, orphans
from scifish.spool.executor import SpoolExecutor
from scifish.spool.sender import Sender

log = logging.getLogger(__name__)


class OrphanSpools:
    """Takes over the orphaned spools in `folders`. `checked` is set after the first time."""

    def __init__(self, executor: SpoolExecutor, sender: Sender, finalizer: Finalizer, folders: Sequence[Path]) -> None:
        self._executor = executor
        self._sender = sender
        self._finalizer = finalizer
        self._folders = list(dict.fromkeys(folders))
        self._unfinished: list[tuple[Spool, Record]] = []
        self.checked = threading.Event()

    @property
    def unfinished(self) -> int:
        """Datasets that wait for settings."""
        return len(self._unfinished)

    def take_over(self) -> None:
        """Take over the spools that are orphaned now. Never raises."""
        try:
            for folder in self._folders:
                for spool in self._open_orphans(folder):
                    self._sender.add(spool)
                    self._finish_all(spool)
        except Exception:
            log.exception("orphaned spools cannot be taken over")
        finally:
            self.checked.set()

    def retry_unfinished(self) -> None:
        """Finish the datasets that waited for settings."""
        for _ in range(len(self._unfinished)):
            self._finish(*self._unfinished.pop(0))

    def _open_orphans(self, folder: Path) -> list[Spool]:
        try:
            return self._executor.submit(lambda: orphans(folder)).result()
        except OSError as error:
            log.error("the spools in %s cannot be checked: %s", folder, error)
            return []

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
            if self._finalizer.finish(spool, record) is None:
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
