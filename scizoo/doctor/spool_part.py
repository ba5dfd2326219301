"""The spools of this machine: what waits in them, since when, and why."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from scifish.cli import describe
from scifish.companion.orphans import damaged_spools, refusal
from scifish.companion.scidog_reports import shortage
from scifish.settings import Settings, spool_directory, spool_folders
from scifish.settings.identity import Identity, tango_source
from scifish.spool.database import SPOOL_SUFFIX, left_by_another_account
from scifish.spool.inspection import SpoolSummary, summarise
from scizoo.doctor.report import NOT_CHECKED, OK, WRONG, PartReport

SENDING_SECONDS = 60.0
"""A message that waits no longer is being sent."""

OTHER_ACCOUNT = "Run it as the account of the MacroServer."


def spool(settings: Settings | None) -> Sequence[PartReport]:
    """What waits in all spools of this machine that this account can read."""
    try:
        folders = spool_folders(settings or Settings())
    except PermissionError as error:
        return [PartReport("Spool", NOT_CHECKED, str(error), OTHER_ACCOUNT)]
    contents, left, unreadable = _contents(folders)
    where = ", ".join(map(str, folders)) or f"{spool_directory(settings or Settings())} (not there yet)"
    now = time.time()
    mine = Identity.of(settings.file or tango_source(settings.scidog), settings) if settings is not None else None
    stuck = [content for content in contents if _is_stuck(content, now)]
    bad = [line for content in stuck for line in (*describe(content, now), *_others(content, mine))] + left
    facts = {
        "folders": [str(folder) for folder in folders],
        "waiting": sum(content.waiting for content in contents),
        "refused": sum(len(content.refused) for content in contents),
        "unreadable": unreadable,
    }
    if bad:
        lines = [f"{where}: messages are not sent", *bad]
        advice = (
            "See the part Kafka. `scifish flush` sends the messages of programs that have exited, `scifish resend` "
            "retries those that Kafka has refused."
        )
        return [PartReport("Spool", WRONG, "\n".join(lines), advice, facts)]
    short = [text for text in map(_shortage, folders) if text]
    if short:
        return [PartReport("Spool", WRONG, "\n".join(short), "Metadata is lost when a disk is full.", facts)]
    if unreadable:
        text = f"{len(unreadable)} spools cannot be read by this account: {unreadable[0]}"
        return [PartReport("Spool", NOT_CHECKED, text, OTHER_ACCOUNT, facts)]
    text = f"{where}: {facts['waiting']} messages wait, of {len(contents)} programs"
    if not contents:
        text = f"{where}: no program has recorded on this machine, or its account uses another folder"
    return [PartReport("Spool", OK, text, facts=facts)]


def _contents(folders: Sequence[Path]) -> tuple[list[SpoolSummary], list[str], list[str]]:
    """The spools, a line for each that is damaged or left by another account, and one for each that cannot be read."""
    readable = [folder for folder in folders if os.access(folder, os.R_OK | os.X_OK)]
    unreadable = [f"{folder}: no permission" for folder in folders if folder not in readable]
    found, left = [], []
    for path in sorted(path for folder in readable for path in folder.glob(f"*{SPOOL_SUFFIX}")):
        try:
            found.append(summarise(path))
        except FileNotFoundError:
            continue  # all of it has been sent meanwhile
        except (sqlite3.Error, OSError) as error:
            if others := left_by_another_account(path):
                left.append(f"{path}: {others}")
            elif path.exists():
                unreadable.append(f"{path}: {error}")
    left += [f"{each.path}: {each.why}" for folder in readable for each in damaged_spools(folder)]
    return found, left, unreadable


def _others(content: SpoolSummary, mine: Identity | None) -> list[str]:
    """A line if it is not sent by programs of these settings."""
    why = refusal(content.path, content.identity, mine) if mine is not None and not content.alive else ""
    return [f"  {why}"] if why else []


def _is_stuck(content: SpoolSummary, now: float) -> bool:
    waits_long = content.since is not None and now - content.since > SENDING_SECONDS
    return bool(content.refused) or waits_long or bool(content.unsent and not content.alive)


def _shortage(folder: Path) -> str:
    """A sentence if the disk is nearly full, else ""."""
    try:
        return shortage(folder, used=0, limit=1)
    except OSError:
        return ""  # the system does not say
