"""The last line of a run of the tests: what real servers it had, what it did not run, and why."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterable

servers: set[str] = set()
"""As "Apache Kafka 4.1.2". With several processes, each has its own until the end."""

remarks: set[str] = set()
"""What else a reader should know, such as that a server was started again."""


long = 0
"""How many tests of the marker `long` were left out."""

State = tuple[list[str], list[str], int]


def of_this_process() -> State:
    """For the process that says it all."""
    return sorted(servers), sorted(remarks), long


def add(other: State | None) -> None:
    """What another process had. Each has collected, and so left out, the same tests."""
    global long
    if other is not None:
        servers.update(other[0])
        remarks.update(other[1])
        long = other[2]


def last_line(skipped: Iterable[str]) -> str:
    """`skipped` has the reason of each test that was skipped."""
    where = [f"Python {platform.python_version()}", f"{len(os.sched_getaffinity(0))} cores", *sorted(servers)]
    left_out = [f"{long} that wait long (make soak)"] if long else []
    left_out += [f"{count} ({reason})" for reason, count in sorted(Counter(skipped).items())]
    return "; ".join([f"Ran on {', '.join(where)}", f"not run: {', '.join(left_out) or 'nothing'}", *sorted(remarks)])
