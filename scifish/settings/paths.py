"""The folders and files of SciFish on this machine: state, spools, and the last good settings."""

from __future__ import annotations

import os
import re
from pathlib import Path

from platformdirs import user_state_path

from scifish.settings.model import Settings

SYSTEM_SPOOL = Path("/var/lib/scifish")

FOLDER_WITHOUT_HOME = Path("/var/empty/scifish")
"""For an account without a home: writing there fails as on a full disk, and a spool elsewhere is still used."""


def state_directory() -> Path:
    """The user's folder for state files, by the XDG Base Directory Specification."""
    try:
        return user_state_path("scifish")
    except RuntimeError:
        return FOLDER_WITHOUT_HOME


def expanded(path: str | Path) -> Path:
    """The path with the home folder for `~`; as it is if the account has no home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def spool_directory(settings: Settings) -> Path:
    """The folder of the spool: as set, else /var/lib/scifish if it is writable, else in the user's state folder."""
    if settings.spool_directory:
        return expanded(settings.spool_directory)
    if os.access(SYSTEM_SPOOL, os.W_OK):
        return SYSTEM_SPOOL
    return state_directory() / "spool"


def spool_folders(settings: Settings) -> list[Path]:
    """All folders that may hold spools: the present one, and those that earlier programs may have used.

    Without those that do not exist; one that this account must not look at may exist.
    """
    folders = [spool_directory(settings), SYSTEM_SPOOL, state_directory() / "spool"]
    return [folder for folder in dict.fromkeys(folders) if _may_exist(folder)]


def _may_exist(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:
        return True


def last_good_file() -> Path:
    """The file of the last good settings: one for each Tango database, as an account may work for several beamlines."""
    host = os.environ.get("TANGO_HOST", "") + "_" + os.environ.get("SCIDOG_DEVICE", "")
    return state_directory() / f"settings-{re.sub(r'[^A-Za-z0-9.-]+', '_', host).strip('_') or 'default'}.json"
