"""Data files as a dataset lists them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from scifish.message import Message, iso, iso_of


def describe(given: Any, now: float | None = None) -> Message:
    """A file's path, time and size. `given` is its path, or a mapping that lacks some of these.

    A file that is not there, or cannot be looked at, is listed all the same, with `error`.
    """
    known: Message = dict(given) if isinstance(given, Mapping) else {"path": str(given)}
    path = str(known.get("path") or "unknown")
    try:
        found = None if known.get("size") is not None and known.get("time") else os.stat(path)
        error = ""
    except (OSError, ValueError) as failed:  # ValueError: a zero byte in the name
        found = None
        error = str(getattr(failed, "strerror", None) or failed)
    described = {
        "path": path,
        "time": _time(known.get("time"), found.st_mtime if found else (now or time.time())),
        "size": _size(known.get("size"), found.st_size if found else 0),
    }
    return described | ({"error": error} if error else {})


def _time(given: Any, otherwise: float) -> str:
    try:
        return iso_of(given) if given else iso(otherwise)
    except (ValueError, TypeError, OverflowError):
        return iso(otherwise)


def _size(given: Any, otherwise: int) -> int:
    try:
        return max(int(otherwise if given is None else given), 0)
    except (ValueError, TypeError, OverflowError):
        return otherwise
