"""Opens files below a folder, wherever links that somebody puts there would lead."""

from __future__ import annotations

import os

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
"""Opening a named pipe would wait for its other end."""


def open_beneath(folder: str, path: str) -> int:
    """A descriptor for reading `path`, which begins with `folder`. The folder may be a link, nothing below it may.

    OSError if a name below it is a link (ELOOP, ENOTDIR), is missing or cannot be opened; ValueError for another path.
    Each name is opened in the folder before it: a path that was only checked could lead elsewhere by now.
    """
    root = folder.rstrip("/") + "/"
    *folders, name = path.removeprefix(root).split("/")
    if not path.startswith(root) or {"", ".", ".."} & {*folders, name}:
        raise ValueError(f"is not below {folder}")
    parent = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for each in folders:
            inner = os.open(each, _FOLDER, dir_fd=parent)
            os.close(parent)
            parent = inner
        return os.open(name, _FILE, dir_fd=parent)
    finally:
        os.close(parent)
