"""Annotations on datasets that are still on this machine: they follow their dataset, also one of another program."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from scifish.dataset.compose import Record
from scifish.spool.database import SPOOL_SUFFIX
from scifish.spool.inspection import holds

log = logging.getLogger(__name__)


LATE_SECONDS = 60.0
"""An annotation that waits for longer is reported."""


def is_late(record: Record) -> bool:
    """Whether this is an annotation that people should know of, if it still waits."""
    return "annotation" in record.given and time.time() - record.started > LATE_SECONDS


def waits_for_dataset(record: Record, own: Path, folders: Sequence[Path]) -> bool:
    """Whether this is an annotation in the spool `own`, and a spool in the folders has its dataset.

    A dataset whose proposal is not known stays there, for example. A folder or spool that cannot be read does not
    count.
    """
    if "annotation" not in record.given:
        return False
    for path in {path for folder in {*folders, own.parent} for path in _spools(folder)}:
        try:
            if holds(path, record.dataset, unsent=path != own):  # what is in one outbox is sent in order
                return True
        except (sqlite3.Error, OSError) as error:
            log.debug("%s cannot be read: %s", path, error)
    return False


def _spools(folder: Path) -> list[Path]:
    try:
        return list(folder.glob(f"*{SPOOL_SUFFIX}"))
    except OSError as error:  # of a file server, for example
        log.debug("%s cannot be read: %s", folder, error)
        return []
