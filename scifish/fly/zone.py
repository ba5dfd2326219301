"""The time zone of this machine, for dates that name none."""

from __future__ import annotations

import os
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo


def local_zone() -> tzinfo:
    """That of the environment variable TZ, else of /etc/localtime, with its summers; else today's offset from UTC."""
    try:
        name = os.environ.get("TZ", "").removeprefix(":")
        if name and not name.startswith("/"):
            return ZoneInfo(name)
        with open(name or "/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError, KeyError):  # KeyError: a zone that the machine does not know
        return datetime.now().astimezone().tzinfo or UTC
