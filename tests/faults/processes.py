"""Processes of this machine, as /proc has them."""

from __future__ import annotations

from pathlib import Path

MARK = "SCIFISH_FAULTS"
"""The environment variable that all processes of one run inherit."""


def children(parent: int) -> list[int]:
    """Of this process."""
    return [pid for pid in _all() if _parent(pid) == parent]


def marked(value: str) -> dict[int, str]:
    """The living processes whose environment began with this mark: pid and command."""
    found = {}
    for pid in _all():
        folder = Path("/proc") / str(pid)
        try:
            if f"{MARK}={value}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[pid] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended meanwhile, or is another account's
    return found


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int:
    try:
        # The command's name, in brackets, may have blanks and brackets.
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
