"""What happened when, in a run in which things go wrong."""

from __future__ import annotations

import time
from pathlib import Path


class EventLog:
    """Prints each line, and writes it to events.log in the folder of the run."""

    def __init__(self, folder: Path) -> None:
        self._begun = time.monotonic()
        self._file = (folder / "events.log").open("a", buffering=1)

    @property
    def minutes(self) -> float:
        """Since the run began."""
        return (time.monotonic() - self._begun) / 60

    def note(self, what: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {time.monotonic() - self._begun:7.1f} s  {what}"
        print(line, flush=True)
        print(line, file=self._file)
