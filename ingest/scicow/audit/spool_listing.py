"""What waits in the spools of beamline machines, as `scifish list --json` has written it there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SpoolFileError(Exception):
    """The file is not what `scifish list --json` writes. The text names it and says what to do."""


@dataclass(frozen=True)
class SpooledMessage:
    """A message that is in a spool. `refused` says why Kafka will never take it, "" if it only waits."""

    run: str
    uuid: str
    seq: int
    topic: str
    name: str
    refused: str


@dataclass(frozen=True)
class RunningDataset:
    """A dataset that has not ended yet, as the program's machine knows it."""

    uuid: str
    alive: bool


@dataclass(frozen=True)
class SpoolListing:
    """One file."""

    messages: tuple[SpooledMessage, ...]
    recording: tuple[RunningDataset, ...]
    problems: tuple[str, ...]
    """Spools that could not be read."""


def read(path: Path) -> SpoolListing:
    """Raises SpoolFileError."""
    try:
        return _listing(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise SpoolFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SpoolFileError(
            f"{path}: is not what `scifish list --json` writes ({error!r}): write it again on the beamline's machine"
        ) from error


def _listing(found: Any) -> SpoolListing:
    messages, recording = [], []
    for spool in found["spools"]:
        run = str(spool["origin"]["run"])
        for each in spool["messages"]:
            said = SpooledMessage(
                run, each["uuid"], int(each["seq"]), each["topic"], each["name"], each["refused"] or ""
            )
            messages.append(said)
        recording += [RunningDataset(each["uuid"], bool(spool["alive"])) for each in spool["recording"]]
    problems = tuple(f"{found['host']}: {each}" for each in found["problems"])
    return SpoolListing(tuple(messages), tuple(recording), problems)
