"""What the commands have in common that talk to a person: tables, progress, questions."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence

QUIET = 2.0
"""Seconds before progress is said."""


def printable(text: str, lines: bool = False) -> str:
    """Text of others without what could steer a terminal; with `lines`, line feeds and tabs stay."""
    return "".join(
        each if each.isprintable() or (lines and each in "\n\t") else each.encode("unicode_escape").decode()
        for each in text
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, two blanks between them; at a terminal the last one is cut to its width."""
    cells = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(line if len(line) <= room else line[: room - 1] + "…" for line in lines)


class Counting:
    """Says on stderr how far something is, once it takes longer than two seconds. Called with a number."""

    def __init__(self, what: str, of: int = 0) -> None:
        self._what = what
        self._of = f" of {of:,}" if of else ""
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + QUIET
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


def agreed(question: str) -> bool:
    """Asks at the terminal; False where there is nobody to ask."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
