"""What other processes of a run can import of the repository."""

from __future__ import annotations

from pathlib import Path

from tests.servers.kafka import ROOT


def importable(folder: Path) -> Path:
    """A folder for PYTHONPATH with `tests` in it and nothing else; made in this one.

    The repository itself would not do: Python takes the results that `make demo` leaves in its folder
    `demo` for a package, and Sardana finds that in place of its macros' module `demo`.
    """
    found = folder / "python"
    found.mkdir(exist_ok=True)
    link = found / "tests"
    if not link.is_symlink():
        link.symlink_to(ROOT / "tests")
    return found
