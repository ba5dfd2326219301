"""Reads spools without changing them, also while their programs run.

`summarise` gives a summary (`scifish status`), `listing` every message (`scifish list`, `scicow audit`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from scifish.dataset.compose import Record
from scifish.message import Message, Origin, iso
from scifish.settings.identity import Identity
from scifish.spool.database import identity_in


def listing(path: Path) -> Message:
    """One spool as JSON: its origin, whether its program is running, its messages and its open datasets.

    sqlite3.Error or OSError if it cannot be read.
    """
    with _opened(path) as (summary, db):
        waiting = db.execute("SELECT seq, topic, uuid, message, since, '' FROM outbox ORDER BY seq")
        messages = [_message(*row) for row in waiting]
        refused = db.execute("SELECT seq, topic, uuid, message, since, reason FROM refused ORDER BY seq")
        messages += [_message(*row) for row in refused]
        recording = db.execute(
            "SELECT uuid, started, given FROM datasets"
            " WHERE json_extract(given, '$.annotation') IS NULL ORDER BY started"
        ).fetchall()
    return {
        "path": str(path),
        "origin": summary.origin,
        "alive": summary.alive,
        "trouble": summary.trouble,
        "messages": messages,
        "recording": [
            {"uuid": Record(uuid, started, json.loads(given)).dataset, "since": iso(started)}
            for uuid, started, given in recording
        ],
    }


def _message(seq: int, topic: str, uuid: str, message: bytes, since: float, refused: str) -> Message:
    content = json.loads(message)
    return {
        "uuid": uuid,
        "type": content["type"],
        "seq": seq,
        "topic": topic,
        "name": content.get("datasetName", ""),
        "since": iso(since),
        "refused": refused,
    }


@dataclass(frozen=True)
class SpoolSummary:
    """The content of a spool in numbers. `since` is the time of the oldest message, in seconds since 1970."""

    path: Path
    origin: Origin
    alive: bool
    recording: int
    annotations: int
    """How many annotations wait for their dataset, which is still on this machine."""
    waiting: int
    since: float | None
    size: int
    """Bytes on disk."""
    trouble: str
    refused: list[tuple[int, str, str]]
    """seq, uuid and reason of each message that Kafka refuses"""
    identity: Identity | None
    """Under which settings it was recorded; None if it does not say so."""

    @property
    def unsent(self) -> int:
        """How many messages Kafka does not have, and datasets that an exited program has left open or that wait."""
        datasets = self.recording if self.trouble or not self.alive else 0
        return self.waiting + self.annotations + len(self.refused) + datasets


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[SpoolSummary, sqlite3.Connection]]:
    """The summary of a spool and a connection to read more of it, in one transaction. Raises as `summarise`."""
    # Read before the content: if the program exits in between, its messages must not look like an orphan's.
    alive = _is_locked(path.with_suffix(".lock"))
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    try:
        db.execute("BEGIN")
        meta = dict(db.execute("SELECT name, content FROM meta"))
        waiting, since = db.execute("SELECT count(*), min(since) FROM outbox").fetchone()
        datasets, annotations = db.execute(
            "SELECT count(*), count(json_extract(given, '$.annotation')) FROM datasets"
        ).fetchone()
        summary = SpoolSummary(
            path=path,
            origin=json.loads(meta.get("origin", "{}")),
            alive=alive,
            recording=datasets - annotations,
            annotations=annotations,
            waiting=waiting,
            since=since,
            size=sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")),
            trouble=meta.get("trouble", ""),
            refused=db.execute("SELECT seq, uuid, reason FROM refused ORDER BY seq").fetchall(),
            identity=identity_in(meta),
        )
        yield summary, db
    finally:
        db.close()


def summarise(path: Path) -> SpoolSummary:
    """The summary of a spool, whether or not its program is running. sqlite3.Error or OSError if it cannot be read."""
    with _opened(path) as (summary, _):
        return summary


def holds(path: Path, dataset: str, unsent: bool) -> bool:
    """Whether a dataset is in this spool and no message of it was composed, or (`unsent`) one waits to be sent.

    Raises as `summarise`.
    """
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
        (found,) = db.execute(
            "SELECT EXISTS (SELECT 1 FROM datasets WHERE announced != 2 AND json_extract(given, '$.annotation') IS NULL"
            " AND ?1 IN (uuid, json_extract(given, '$.dataset')))"
            " OR ?2 AND EXISTS (SELECT 1 FROM outbox WHERE uuid = ?1)"
            " OR ?2 AND EXISTS (SELECT 1 FROM refused WHERE uuid = ?1)",
            (dataset, unsent),
        ).fetchone()
    return bool(found)


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: other readers do not count
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
