"""The folders of this distribution that a MacroServer loads from."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "sardana-scizoo"

FOLDERS = {"RecorderPath": "sardana_recorders", "MacroPath": "macros"}
"""By property of the MacroServer: the package that has its modules."""


class FoldersNotFound(Exception):
    """The distribution is not installed as its metadata says; the text says what to do."""


def sardana_folders() -> dict[str, Path]:
    """By property of the MacroServer, the folder to add to it.

    They are taken from the distribution's own list of files, and nothing is imported: another package of the name
    `macros`, as beamlines have, may come first in Python's path. Raises FoldersNotFound.
    """
    return {name: _folder(package) for name, package in FOLDERS.items()}


def _folder(package: str) -> Path:
    try:
        installed = distribution(DISTRIBUTION)
    except PackageNotFoundError as error:
        raise FoldersNotFound(f"{DISTRIBUTION} is not installed in this Python environment: install it") from error
    initial = f"{package}/__init__.py"
    for file in installed.files or ():
        if file.as_posix() == initial:
            folder = Path(str(installed.locate_file(file))).parent
            break
    else:
        folder = _source_folder(installed.read_text("direct_url.json")) / package
    if not (folder / "__init__.py").is_file():
        raise FoldersNotFound(f"{folder} does not exist: install {DISTRIBUTION} again")
    return folder.resolve()


def _source_folder(direct_url: str | None) -> Path:
    """The folder of an editable installation, by its direct_url.json (PEP 610)."""
    try:
        found = json.loads(direct_url or "")
        if found["dir_info"]["editable"]:
            return Path(unquote(urlsplit(found["url"]).path))
    except (ValueError, LookupError, TypeError):
        pass  # installed by a tool that does not write it
    raise FoldersNotFound(f"the list of files of {DISTRIBUTION} has no {', '.join(FOLDERS.values())}: install it again")
