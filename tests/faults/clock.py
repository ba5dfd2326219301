"""A clock that jumps, for one process and its children: libfaketime.

The monotonic clock goes on, as it does when the time of a machine is set.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path


class Clock:
    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """Be this far from the true time, within a second."""
        self._file.write_text(f"{seconds:+d}\n")

    @property
    def environment(self) -> list[str]:
        """Assignments for `env`; none where there is no libfaketime."""
        library = find_library()
        if library is None:
            return []
        return [
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_CACHE_DURATION=1",
            "DONT_FAKE_MONOTONIC=1",
        ]


def find_library() -> Path | None:
    """Of the Python package libfaketime, which is not imported: that would fake the time here."""
    spec = importlib.util.find_spec("libfaketime")
    if spec is None or spec.origin is None:
        return None
    found = list(Path(spec.origin).parent.rglob("libfaketime.so*"))
    return found[0] if found else None
