"""The folder for what the scan log stores for one user, readable by nobody else."""

from __future__ import annotations

import os
from pathlib import Path

NO_HOME_FOLDER = Path("/var/empty/scanlog")
"""For an account without a home: writing there fails, and the error is reported."""


def stateFolder() -> Path:
    """The scan log's part of the user's folder for state, by the XDG Base Directory Specification."""
    home = os.environ.get("XDG_STATE_HOME", "")
    try:
        return (Path(home) if home.startswith("/") else Path.home() / ".local" / "state") / "scanlog"
    except RuntimeError:
        return NO_HOME_FOLDER


def makePrivate(folder: Path) -> None:
    """Make the folder, for its owner only. OSError if it cannot be."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
