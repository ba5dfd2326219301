"""Output for people that several commands share: tables, progress, questions."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence

from ingest.scicow.logs import plain

QUIET_SECONDS = 2.0
"""Seconds before progress is shown."""


def plain_lines(text: str) -> str:
    """Text from outside with its line feeds, but without other control characters of a terminal."""
    return "\n".join(map(plain, text.split("\n")))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row, what is below each other beginning at the same place; all rows have as many cells."""
    shown = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]) - 1)]
    return ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in shown]


def cut_to_terminal(lines: Sequence[str]) -> str:
    """At a terminal the lines are cut to its width."""
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    return "\n".join(line if len(line) <= room else line[: room - 1] + "…" for line in lines)


class ProgressLine:
    """Shows progress on stderr once something takes longer than two seconds. Called with a number."""

    def __init__(self, what: str, of: int = 0) -> None:
        self._what = what
        self._of = f" of {of:,}" if of else ""
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + QUIET_SECONDS
        self._said = False

    def __call__(self, number: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (0.2 if self._terminal else 10.0)  # a log is not to be filled with it
        self._said = True
        start, end = ("\r", "") if self._terminal else ("", "\n")
        print(f"{start}{self._what}: {number:,}{self._of} ", end=end, file=sys.stderr, flush=True)

    def over(self) -> None:
        """The next line is a new one."""
        if self._said and self._terminal:
            print(file=sys.stderr)


def confirmed(question: str) -> bool:
    """Ask at the terminal; False if there is none."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
