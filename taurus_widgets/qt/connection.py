"""The state of a connection to a catalogue or to a Tango device."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class ConnectionState:
    """`problem` is "" while the connection works. `detail` is the error in full, `since` the start of the problem."""

    connected: bool = False
    problem: str = ""
    detail: str = ""
    since: dt.datetime | None = None
