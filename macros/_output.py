"""Tables for spock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from taurus.console import Alignment
from taurus.console.list import List


def table(macro: Any, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header, without control characters."""
    out = List(list(header), text_alignment=[Alignment.Left] * len(header))
    for row in rows:
        out.appendRow([printable(cell) for cell in row])
    for line in out.genOutput():
        macro.output(line)


def printable(cell: object) -> str:
    """The cell as text on one line, not empty (List needs a character) and in Latin-1 (a Door accepts nothing else)."""
    line = "".join(c if c.isprintable() else " " for c in str(cell)) or " "
    return line.encode("latin-1", "backslashreplace").decode("latin-1")
