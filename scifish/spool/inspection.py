"""What is in the spools of a machine, message by message: for a person, and for `scicow audit`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scifish.dataset.compose import Record
from scifish.message import Message, iso
from scifish.spool.database import looking


def listing(path: Path) -> Message:
    """One spool: its origin, whether its program lives, its messages, and what is being recorded.

    sqlite3.Error or OSError if it cannot be read.
    """
    with looking(path) as (content, db):
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
class Content:
    """What is in a spool. `since` is the time of the oldest message, in seconds since 1970."""

    path: Path
    origin: Message
    alive: bool
    recording: int
    waiting: int
    since: float | None
    size: int
    """Bytes on disk."""
    trouble: str
    refused: list[tuple[int, str, str]]
    """seq, uuid and reason of each message that Kafka will never take"""


def look(path: Path) -> Content:
    """What is in a spool, whoever has it. sqlite3.Error or OSError if it cannot be read."""
    with looking(path) as (content, _):
        return content
