"""Tables that read well in spock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from taurus.console import Alignment
from taurus.console.list import List


def table(macro: Any, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header; what users wrote is shown without its control characters."""
    out = List(list(header), text_alignment=[Alignment.Left] * len(header))
    for row in rows:
        out.appendRow([printable(cell) for cell in row])
    for line in out.genOutput():
        macro.output(line)


def printable(cell: object) -> str:
    """As text on one line; List wants at least one character in a cell, and a Door takes Latin-1 only."""
    line = "".join(c if c.isprintable() else " " for c in str(cell)) or " "
    return line.encode("latin-1", "backslashreplace").decode("latin-1")
