"""How tests wait: for a condition, with a bound that only a broken program reaches."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 180.0
"""Seconds. What a busy machine makes slow is not wrong, and a bound that is not reached costs nothing.

A companion has the lowest priority: beside programs that keep all cores busy, its start alone may take a minute.
"""


def eventually(condition: Callable[[], object], timeout: float = PATIENCE) -> bool:
    """Whether it becomes true in time (seconds)."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
