"""Folders of spools."""

from __future__ import annotations

from pathlib import Path

from scifish.settings import Settings
from scifish.settings.identity import Identity
from scifish.settings.sources import FixedSettings, identity_of
from scifish.spool.database import Spool, orphans
from scifish.spool.sent import SENT_SUFFIX


def left_in(folder: Path) -> list[Path]:
    """All files but those of messages that Kafka has, which are kept for some days."""
    return sorted(path for path in folder.iterdir() if path.suffix != SENT_SUFFIX)


def adopted(folder: Path) -> list[Spool]:
    """All orphaned spools in a folder, whatever their settings were."""
    return orphans(folder, lambda spool: "")[0]


def under(settings: Settings) -> Identity:
    """The identity of a spool of a program that passes these settings itself."""
    return identity_of(FixedSettings(settings))
