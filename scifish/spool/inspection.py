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


def listing(path: Path) -> Message:
    """One spool: its origin, whether its program lives, its messages, and what is being recorded.

    sqlite3.Error or OSError if it cannot be read.
    """
    with _opened(path) as (content, db):
        waiting = db.execute("SELECT seq, topic, uuid, message, since, '' FROM outbox ORDER BY seq")
        messages = [_message(*row) for row in waiting]
        refused = db.execute("SELECT seq, topic, uuid, message, since, reason FROM refused ORDER BY seq")
        messages += [_message(*row) for row in refused]
        recording = db.execute("SELECT uuid, started, given FROM datasets ORDER BY started").fetchall()
    return {
        "path": str(path),
        "origin": content.origin,
        "alive": content.alive,
        "trouble": content.trouble,
        "messages": messages,
        "recording": [
            {"uuid": Record(uuid, started, json.loads(given)).dataset, "since": iso(started)}
            for uuid, started, given in recording
        ],
    }


def _message(seq: int, topic: str, uuid: str, message: bytes, since: float, refused: str) -> Message:
    said = json.loads(message)
    return {
        "uuid": uuid,
        "type": said["type"],
        "seq": seq,
        "topic": topic,
        "name": said.get("datasetName", ""),
        "since": iso(since),
        "refused": refused,
    }


@dataclass(frozen=True)
class SpoolSummary:
    """What is in a spool. `since` is the time of the oldest message, in seconds since 1970."""

    path: Path
    origin: Origin
    alive: bool
    recording: int
    waiting: int
    since: float | None
    size: int
    """Bytes on disk."""
    trouble: str
    refused: list[tuple[int, str, str]]
    """seq, uuid and reason of each message that Kafka will never take"""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[SpoolSummary, sqlite3.Connection]]:
    """What is in a spool, and the spool itself to read more of it: all of one moment. As `summarise`."""
    # Before the rest: of a program that ends meanwhile it would seem that it has left what it had then.
    alive = _is_locked(path.with_suffix(".lock"))
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    try:
        db.execute("BEGIN")
        meta = dict(db.execute("SELECT name, content FROM meta"))
        waiting, since = db.execute("SELECT count(*), min(since) FROM outbox").fetchone()
        content = SpoolSummary(
            path=path,
            origin=json.loads(meta.get("origin", "{}")),
            alive=alive,
            recording=db.execute("SELECT count(*) FROM datasets").fetchone()[0],
            waiting=waiting,
            since=since,
            size=sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")),
            trouble=meta.get("trouble", ""),
            refused=db.execute("SELECT seq, uuid, reason FROM refused ORDER BY seq").fetchall(),
        )
        yield content, db
    finally:
        db.close()


def summarise(path: Path) -> SpoolSummary:
    """What is in a spool, whoever has it. sqlite3.Error or OSError if it cannot be read."""
    with _opened(path) as (content, _):
        return content


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # who else looks does not count
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
