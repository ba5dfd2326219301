"""Reads the header of a file that a test writes."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from scifish.message import as_metadata, encode
from scifly.model import Header
from scifly.readers import read

LUND = ZoneInfo("Europe/Stockholm")


def header_of(folder: Path, name: str, content: str | bytes, reader: str = "ses") -> Header:
    """Write the file and read its header, which for any contents fits into a message and names the file in problems."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = read(reader, [str(path)], LUND, str(path.parent))
    assert encode(as_metadata(found.metadata, "a file", "2023-03-08T14:24:35.000Z"))
    assert all(problem.startswith(name) or "regions" in problem for problem in found.problems)
    return found
