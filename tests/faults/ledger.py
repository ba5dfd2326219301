"""What a program was about to do and what returned, kept by itself and apart from SciFish.

One JSON object a line, on disk (fsync) when `note` returns. `about` says which call it is:

    starting, started      a dataset begins; `started` once the call has returned
    announced              `send_start` has returned
    ending, ended          it is over
    closed                 the program has ended by itself

The fields beside it: `uuid`, `name` of the dataset, `said` (metadata by name), `status`, `points`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

SUFFIX = ".ledger"

Entry = dict[str, Any]


class Ledger:
    """One program's file. A line is one write, so that a kill cannot cut it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(self, about: str, **fields: Any) -> None:
        """OSError if the disk refuses."""
        entry = {"about": about, "pid": os.getpid(), "monotonic": time.monotonic(), **fields}
        os.write(self._file, json.dumps(entry).encode() + b"\n")
        os.fsync(self._file)


def read_ledgers(folder: Path) -> list[Entry]:
    """The entries of all programs, each program's in its order."""
    return [
        json.loads(line) for path in sorted(folder.glob(f"*{SUFFIX}")) for line in path.read_text("utf-8").splitlines()
    ]
