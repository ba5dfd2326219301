"""A process that hangs: its connections stay, and it answers nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.waiting import eventually


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """All of its threads have stopped; it goes on afterwards, where it is still there."""
    os.kill(pid, signal.SIGSTOP)
    try:
        # The signal is taken by each thread in its turn: on a busy machine one may answer yet.
        assert eventually(lambda: _states(pid) <= {"T"})
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _states(pid: int) -> set[str]:
    """Of its threads, as in proc(5)."""
    found = set()
    for file in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            found.add(file.read_text().rpartition(")")[2].split()[0])
    return found
