"""What a program was about to do and what returned, kept by itself and apart from SciFish.

One JSON object a line, on disk (fsync) when `note` returns. `about` says which call it is:

    starting, started      a dataset begins; `started` once the call has returned
    measuring              the fields are about to be set, of this `proposal`
    announced              `send_start` has returned
    ending, ended          it is over
    annotating, annotated  a `comment`, a `rating` and maybe an `image` on a dataset that is over
    closed                 the program has ended by itself

The fields beside it: `uuid`, `name` of the dataset, `said` (see `Said`), `status`, `points`, and `place`: where the
messages of the program belong.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

SUFFIX = ".ledger"

PLACE = "SCIFISH_FAULTS_PLACE"
"""The environment variable with the `Place` of a program, as JSON."""

Entry = dict[str, Any]


class Place(NamedTuple):
    """Where the messages of a program belong: a topic of a broker, and the beamline that they name."""

    broker: str
    topic: str
    beamline: str


class Said(TypedDict, total=False):
    """What a program has set of a dataset. `values` are value and unit, `files` sizes in bytes by path (or None)."""

    fields: dict[str, str]
    environment: dict[str, Any]
    values: dict[str, tuple[Any, str]]
    files: dict[str, int | None]


class Ledger:
    """One program's file. A line is one write, so that a kill cannot cut it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._place = json.loads(os.environ.get(PLACE, "null"))

    def note(self, about: str, **fields: Any) -> None:
        """OSError if the disk refuses."""
        entry = {"about": about, "pid": os.getpid(), "monotonic": time.monotonic(), "place": self._place, **fields}
        os.write(self._file, json.dumps(entry).encode() + b"\n")
        os.fsync(self._file)


class LedgerReader:
    """Reads the ledgers of a folder as they grow. Threads may not share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def new(self) -> Iterator[Entry]:
        """The entries since the last call, each program's in its order."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            done = self._read.get(path, 0)
            if path.stat().st_size == done:
                continue
            with path.open("rb") as file:
                file.seek(done)
                whole, end, _ = file.read().rpartition(b"\n")
            self._read[path] = done + len(whole + end)
            yield from map(json.loads, whole.splitlines())


def read_ledgers(folder: Path) -> list[Entry]:
    """The entries of all programs, each program's in its order."""
    return list(LedgerReader(folder).new())
