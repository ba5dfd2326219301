"""What macros have in common: tables and texts for spock, Sardana's environment, the last snapshot of a Door.

The macros import nothing from their own package: a beamline may have a package `macros` of its own. This module needs
Sardana and Taurus, and is for a MacroServer only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from sardana.macroserver.msexception import UnknownEnv
from taurus.console import Alignment
from taurus.console.list import List

LAST_SNAPSHOT_VARIABLE = "SciFishLastSnapshot"
"""Sardana environment: for each Door, the uuid, time (seconds since 1970) and name of its last snapshot."""


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


def variable(macro: Any, name: str, default: Any) -> Any:
    """A variable of Sardana's environment, `default` if it is not set."""
    try:
        return macro.getEnv(name)
    except UnknownEnv:
        return default


def remember_snapshot(macro: Any, uuid: str, name: str) -> None:
    """The last one of this Door, for a comment on it."""
    snapshots = last_snapshots(macro) | {macro.getDoorName(): {"uuid": uuid, "time": time.time(), "name": name}}
    macro.setEnv(LAST_SNAPSHOT_VARIABLE, snapshots)


def last_snapshots(macro: Any) -> dict[str, dict[str, Any]]:
    """By Door: uuid, time (seconds since 1970) and name of its last snapshot."""
    found = variable(macro, LAST_SNAPSHOT_VARIABLE, {})
    return {} if "uuid" in found else dict(found)  # an earlier version kept one, without its Door
