"""Folders of spools."""

from __future__ import annotations

from pathlib import Path

from scifish.spool.sent import SENT_SUFFIX


def left_in(folder: Path) -> list[Path]:
    """All files but those of messages that Kafka has, which are kept for some days."""
    return sorted(path for path in folder.iterdir() if path.suffix != SENT_SUFFIX)
