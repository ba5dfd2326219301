"""What a program and its companion process send each other: one dataclass for each message, one line of JSON each.

The program sends `Hello` first and then commands; the companion sends reports. Both run the same version. A command
repeats what the spool has on disk already, so that a lost one does no harm. The parts of a dataset travel as the JSON
texts that the spool keeps: a scan then builds no second JSON text, and `encode` runs in another thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from scifish.message import Message
from scifish.message.types import DatasetPlace
from scifish.spool.database import OpenDatasetRow

# ------------------------------------------------------------------ program to companion


@dataclass(frozen=True)
class Hello:
    """The first line. `lock` is the inherited descriptor of the lock file of the spool.

    `settings` describe the settings' source (`scifish.settings.sources.source_of`); `folders` may hold orphaned spools.
    """

    spool: str
    lock: int
    settings: Message
    folders: list[str]


@dataclass(frozen=True)
class Begin:
    """A dataset has begun, or (`single`, or with an ending) is complete already."""

    row: OpenDatasetRow


@dataclass(frozen=True)
class Announce:
    """Send `began` for this dataset. `given` (JSON text) replaces what the program said before, unless it is None."""

    uuid: str
    given: str | None


@dataclass(frozen=True)
class End:
    """A dataset is over. `ending` and `given` are JSON texts; `given` as in `Announce`."""

    uuid: str
    ending: str
    given: str | None


@dataclass(frozen=True)
class Wake:
    """The outbox has a new message."""


Command = Begin | Announce | End | Wake

# ------------------------------------------------------------------ companion to program


@dataclass(frozen=True)
class AliveReport:
    """A sign of life."""


@dataclass(frozen=True)
class LogReport:
    """A record for the program's log; `level` as in `logging`."""

    level: int
    text: str


@dataclass(frozen=True)
class TroubleReport:
    """Why recording or sending does not work as usual, for a person; "" if all is well."""

    trouble: str


@dataclass(frozen=True)
class PlaceReport:
    """What PathFixer answered last."""

    place: DatasetPlace


@dataclass(frozen=True)
class SnapshotReport:
    """The attributes of a dataset have been read: how many, and path and error of those that failed.

    `withheld`: the proposal is proprietary and the metadata stay at the beamline; `waits`: they stay until the proposal
    is known.
    """

    uuid: str
    values: int
    failed: list[tuple[str, str]]
    withheld: bool
    waits: bool


@dataclass(frozen=True)
class LimitReport:
    """The size limit of the spool in bytes, for the program's own connection to it."""

    size: int


@dataclass(frozen=True)
class DamageReport:
    """The spool's file, which has this `inode`, is damaged: the program has to start a new one, unless it has."""

    error: str
    inode: int


Report = AliveReport | LogReport | TroubleReport | PlaceReport | SnapshotReport | LimitReport | DamageReport

# ------------------------------------------------------------------------------- the lines

_COMMANDS: dict[str, type[Command]] = {kind.__name__: kind for kind in (Begin, Announce, End, Wake)}

_REPORTS: dict[str, type[Report]] = {
    kind.__name__: kind
    for kind in (AliveReport, LogReport, TroubleReport, PlaceReport, SnapshotReport, LimitReport, DamageReport)
}

_ENCODER = json.JSONEncoder(default=vars)

_Sent = TypeVar("_Sent")


def encode(sent: Hello | Command | Report) -> str:
    """One line of ASCII, with its line break."""
    return _ENCODER.encode({"type": type(sent).__name__, **vars(sent)}) + "\n"


def decode_hello(line: str) -> Hello:
    return _decode(line, {Hello.__name__: Hello})


def decode_command(line: str) -> Command:
    """ValueError if it is not a command: half a line of a program that was killed, for example."""
    return _decode(line, _COMMANDS)


def decode_report(line: str) -> Report:
    """ValueError if it is not a report."""
    return _decode(line, _REPORTS)


def _decode(line: str, kinds: Mapping[str, type[_Sent]]) -> _Sent:
    try:
        fields: dict[str, Any] = json.loads(line)
        kind = kinds[fields.pop("type")]
        if kind is Begin:
            fields["row"] = OpenDatasetRow(**fields["row"])
        elif kind is SnapshotReport:
            fields["failed"] = [(where, why) for where, why in fields["failed"]]
        return kind(**fields)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a message of this pipe: {line[:100]!r}") from error
