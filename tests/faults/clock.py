"""A clock that jumps, for one process and its children.

It is the clock that Python code sees (`time.time` and its like). C libraries keep the true one: with libfaketime
librdkafka's waits take as long as the jump, which they do not where the time of a machine is set, and that
nobody may do for a test. The monotonic clock goes on, as it does then.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tests.faults.importable import importable

JUMPS = (-86_400, -7200, -60, -2, 0, 2, 60, 7200, 86_400)
"""Seconds from the true time."""


class Clock:
    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(bytes(8))

    def jump(self, seconds: float) -> None:
        """Be this far from the true time, at once."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("d", seconds))

    @property
    def environment(self) -> dict[str, str]:
        """Of the processes that have this clock."""
        folder = Path(__file__).with_name("jumping")
        return {"SCIFISH_FAULTS_CLOCK": str(self._file), "PYTHONPATH": f"{folder}:{importable(self._file.parent)}"}

    @property
    def command(self) -> list[str]:
        """To be put before a command."""
        return ["env", *(f"{name}={value}" for name, value in self.environment.items())]
