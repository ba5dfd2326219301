"""."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class ConnectionState:
    """How it stands with the catalogue. `problem` is "" while all is well; `detail` is for the curious."""

    connected: bool = False
    problem: str = ""
    detail: str = ""
    since: dt.datetime | None = None
