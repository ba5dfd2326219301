"""The folders for what the scan log stores for one user, by the XDG Base Directory Specification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from platformdirs import user_config_path, user_state_path

NO_HOME_FOLDER = Path("/var/empty/scanlog")
"""For an account without a home: writing there fails, and the error is reported."""


def stateFolder() -> Path:
    """The scan log's part of the user's folder for state."""
    return _folder(user_state_path, "scanlog")


def configFolder() -> Path:
    """This project's part of the user's folder for settings."""
    return _folder(user_config_path, "scizoo")


def _folder(of_user: Callable[[str], Path], part: str) -> Path:
    try:
        return of_user(part)
    except RuntimeError:
        return NO_HOME_FOLDER


def makePrivate(folder: Path) -> None:
    """Create the folder, for its owner only. Raises OSError if that fails."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
