"""The scans that run at a Sardana Door, from the attributes of the Door. No Qt and no Tango here.

Observed with Sardana 3.7:

- `RecordData` has our recorder's reports about a dataset, at its start and end, with the dataset's uuid. Other clients'
  records are ignored, and pickled ones are not decoded.
- `Info` has, for any scan, `Scan #12 started at Mon Nov 23 15:12:54 2026.` This is not sufficient for the uuid, which
  is derived from the exact start time. A scan that is reported only here is not recorded.
- `MacroStatus` has, for each macro, its call when it starts, such as `timescan(8, 0.1, 0.0) -> -17`, and how it ends.
- `State` is RUNNING, or STANDBY while paused, as long as a macro runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

DOOR_ATTRIBUTES = ("State", "Info", "MacroStatus", "RecordData")
"""The attributes to subscribe to, in this order, so that the state is known first."""

RECORD_TYPE = "scifish"
"""The type of what our recorder sends (sardana_recorders/scifishrecorder.py)."""

RECORDER_WAIT_SECONDS = 0.5
"""From the start of a scan until it is shown without a report of our recorder, which comes after the start."""

BUSY_STATES = ("RUNNING", "STANDBY")

_STARTED = re.compile(r"^Scan #(\d+) started at ")
_CALL = re.compile(r"^([^\s(]+)\((.*)\)(?: -> .*)?$", re.DOTALL)
_ENDS = {"finish": "completed", "stop": "stopped", "abort": "aborted", "exception": "failed"}
_FORMATS = ("json", "utf8_json")


@dataclass(frozen=True)
class DoorScan:
    """One scan. Times are in seconds since 1970. `uuid` is "" if our recorder does not record it.

    `status` is "" when the scan is over and its end was not reported.
    """

    number: int
    title: str
    start: float
    uuid: str = ""
    status: str = "running"
    end: float | None = None

    @property
    def key(self) -> str:
        return self.uuid or f"{self.number}@{self.start:.3f}"


class DoorScans:
    """Receives the events of a Door and returns the scans that are new or have changed."""

    def __init__(self) -> None:
        self._macros: dict[str, str] = {}  # macro id to command, outermost first
        self._started: dict[int, tuple[DoorScan, str]] = {}  # reported only by Sardana so far, with the macro's id
        self._running: dict[str, tuple[DoorScan, str]] = {}
        self._outcome = ""

    @property
    def has_pending(self) -> bool:
        """Whether `unrecorded` may return a scan later."""
        return bool(self._started)

    def receive(self, attribute: str, value: Any, at: float) -> list[DoorScan]:
        """Process an event of one of DOOR_ATTRIBUTES, and its time. Unreadable values are ignored: not for us."""
        name = attribute.lower()
        if name == "state":
            return self._state(str(value), at)
        if name == "info":
            self._info(value or (), at)
            return []
        decoded = _decoded(value)
        if name == "macrostatus":
            return [
                scan
                for status in (decoded if isinstance(decoded, list) else ())
                if isinstance(status, Mapping)
                for scan in self._macro(status, at)
            ]
        if (
            isinstance(decoded, Mapping)
            and decoded.get("type") == RECORD_TYPE
            and isinstance(decoded.get("data"), Mapping)
        ):
            return self._record(decoded["data"])
        return []

    def unrecorded(self, now: float) -> list[DoorScan]:
        """The scans that our recorder has not reported in time."""
        late = [number for number, (scan, _) in self._started.items() if now - scan.start >= RECORDER_WAIT_SECONDS]
        found = [self._started.pop(number) for number in late]
        for scan, macro in found:
            if scan.status == "running":
                self._running[scan.key] = (scan, macro)
        return [scan for scan, _ in found]

    # ---------------------------------------------------------------------- private

    def _info(self, lines: Sequence[str], at: float) -> None:
        for line in lines:
            found = _STARTED.match(str(line))
            if found:
                macro, title = next(reversed(self._macros.items()), ("", ""))
                number = int(found[1])
                self._started[number] = (DoorScan(number, title or f"Scan {number}", at), macro)

    def _record(self, data: Mapping[str, Any]) -> list[DoorScan]:
        uuid = str(data.get("uuid", ""))
        try:
            if data.get("status") == "running":
                scan = DoorScan(int(data["serialno"]), str(data["title"]), float(data["startts"]), uuid)
                self._started.pop(scan.number, None)
                self._running[uuid] = (scan, "")
                return [scan]
            known = self._running.pop(uuid, None)
            return [replace(known[0], status=str(data["status"]), end=float(data["endts"]))] if known else []
        except (KeyError, TypeError, ValueError):
            return []

    def _macro(self, status: Mapping[str, Any], at: float) -> list[DoorScan]:
        macro, state = str(status.get("id")), str(status.get("state"))
        if state == "start" and "macro_line" in status:
            self._macros[macro] = _command(str(status["macro_line"]))
        if state not in _ENDS or macro not in self._macros:
            return []
        self._outcome = _ENDS[state] if state != "finish" else self._outcome
        over = list(self._macros)[list(self._macros).index(macro) :]  # with the macros that it has called
        for one in over:
            del self._macros[one]
        return self._end(lambda of: of in over, _ENDS[state], at)

    def _state(self, state: str, at: float) -> list[DoorScan]:
        if state in BUSY_STATES:
            return []
        outcome, self._outcome = self._outcome, ""
        self._macros.clear()
        # Our recorder would have reported the end of a scan that it had started, so it was stopped, too.
        lost = [replace(scan, status="", end=at) for scan, _ in self._running.values() if scan.uuid]
        others = self._end(lambda _: True, outcome or ("failed" if state == "ALARM" else "completed"), at)
        self._running.clear()
        return [*lost, *others]

    def _end(self, concerns: Any, status: str, at: float) -> list[DoorScan]:
        for number, (scan, macro) in self._started.items():
            if concerns(macro) and scan.status == "running":
                self._started[number] = (replace(scan, status=status, end=at), macro)
        over = [scan for scan, macro in self._running.values() if not scan.uuid and concerns(macro)]
        for scan in over:
            del self._running[scan.key]
        return [replace(scan, status=status, end=at) for scan in over]


def _command(call: str) -> str:
    """The command as typed, from a call such as `timescan(8, 0.1, 0.0) -> -17`."""
    found = _CALL.match(call)
    return f"{found[1]} {found[2].replace(', ', ' ')}".strip() if found else call


def _decoded(value: Any) -> Any:
    """The content of a DevEncoded of Sardana; None if it is empty or not JSON."""
    try:
        form, data = value
        return json.loads(data) if form in _FORMATS and data else None
    except (TypeError, ValueError):
        return None
