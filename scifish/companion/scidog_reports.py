"""Problems of a spool, and reports to SciDog, so that jive and a panel show them.

`shortage` checks the room of the spool. `ScidogReporter` reports problems and the last snapshot to SciDog by its
commands, since SciDog may run on another machine. Recording does not depend on its answer.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

import tango

from scifish.message import Message, Origin
from scifish.native import threading
from scifish.tango_io.database import reason
from scifish.tango_io.executors import ThreadPool

log = logging.getLogger(__name__)

SHORTAGE_FRACTION = 0.8
"""A spool that is larger than this fraction of its limit is reported."""

MIN_FREE_BYTES = 200_000_000
"""Bytes that should be free on the disk of the spool; less is reported."""

MEGABYTE = 1_000_000


def shortage(folder: Path, used: int, limit: int) -> str:
    """A text for people if the spool or its disk is getting full, else "".

    `used` is the size of a spool in `folder`, `limit` its maximum size, both in bytes. OSError if
    the free space of the disk cannot be read.
    """
    if used >= SHORTAGE_FRACTION * limit:
        return (
            f"the spool has {used / MEGABYTE:.1f} of the {limit / MEGABYTE:.1f} MB that SpoolLimit allows; "
            "when it is full, new data are kept in memory only"
        )
    disk = os.statvfs(folder)
    # The space for accounts other than root.
    free = disk.f_bavail * disk.f_frsize
    if free < MIN_FREE_BYTES:
        return f"the disk of the spool ({folder}) has only {free / MEGABYTE:.0f} MB left: make room"
    return ""


TROUBLE_REPEAT_SECONDS = 60.0
"""Seconds after which a lasting trouble is reported again: SciDog forgets reports that are not repeated."""

SNAPSHOT_REPORT_SECONDS = 5.0
"""Seconds between two reported snapshots: of a series of short scans only the latest is reported."""

MAX_NAMED_FAILURES = 100
"""Maximum number of failed attributes that are named. Their total number is always reported."""

MAX_ERROR_CHARACTERS = 300
"""Maximum length of each of their errors."""

SCIDOG_TIMEOUT_MS = 2000


class ScidogReporter:
    """Reports for one program to SciDog. Its methods return at once and never raise."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._pool = ThreadPool("scifish-notice", 1)
        self._busy = False
        self._trouble = ""
        self._trouble_time = -TROUBLE_REPEAT_SECONDS
        self._device: tango.DeviceProxy | None = None
        self._failed: set[str] = set()
        self._guard = threading.Lock()
        self._number = 0
        self._snapshot: Message | None = None
        self._sent_snapshot: Message | None = None
        self._next_snapshot = 0.0

    def set_snapshot(self, number: int, snapshot: Message) -> None:
        """Set the last snapshot, {uuid, name, time, values, failed}; `report_snapshot` sends it.

        Several are read at a time: `number` grows with the datasets' begins, and the highest one counts.
        """
        with self._guard:
            if number >= self._number:
                self._number, self._snapshot = number, snapshot

    def report_snapshot(self, scidog: str) -> None:
        """Report the last snapshot if it is new. To be called periodically, like `report_trouble`."""
        snapshot, now = self._snapshot, time.monotonic()
        if not scidog or snapshot is None or snapshot is self._sent_snapshot or now < self._next_snapshot or self._busy:
            return
        self._sent_snapshot, self._next_snapshot, self._busy = snapshot, now + SNAPSHOT_REPORT_SECONDS, True
        failed = snapshot["failed"]
        origin = {"program": self._origin["program"], "host": self._origin["host"]}
        named = [{**one, "error": one["error"][:MAX_ERROR_CHARACTERS]} for one in failed[:MAX_NAMED_FAILURES]]
        report = json.dumps({**snapshot, **origin, "failedCount": len(failed), "failed": named})
        self._pool.submit(lambda: self._send(scidog, "ReportSnapshot", report))

    def report_trouble(self, scidog: str, trouble: str) -> None:
        """Report the trouble ("" if all is well) if it is new, or due again. To be called periodically."""
        due = trouble != self._trouble or (trouble and time.monotonic() - self._trouble_time > TROUBLE_REPEAT_SECONDS)
        if not scidog or not due or self._busy:
            return
        self._busy = True
        self._trouble, self._trouble_time = trouble, time.monotonic()
        who = f"{self._origin['program']} on {self._origin['host']}"
        texts = [_latin(text) for text in (self._origin["run"], who, trouble)]
        self._pool.submit(lambda: self._send(scidog, "ReportTrouble", texts))

    def _send(self, scidog: str, command: str, argument: str | list[str]) -> None:
        try:
            if self._device is None or self._device.dev_name().lower() != scidog.lower():
                self._device = tango.DeviceProxy(scidog)
                # Setting the time-out of an unconnected proxy would connect it with the interpreter's lock held.
                self._device.ping()
                self._device.set_timeout_millis(SCIDOG_TIMEOUT_MS)
            # Otherwise PyTango asks the device for the type of the argument at each call.
            data = tango.DeviceData()
            kind = tango.CmdArgType.DevString if isinstance(argument, str) else tango.CmdArgType.DevVarStringArray
            data.insert(kind, argument)
            self._device.command_inout(command, data)
            self._failed.discard(command)
        except tango.DevFailed as failed:
            # SciDog may be stopped: the Door and the log have the same information.
            if command not in self._failed:
                log.info("the report to %s failed: %s", scidog, reason(failed))
            self._failed.add(command)
            self._device = None
            self._sent_snapshot, self._next_snapshot = None, time.monotonic() + TROUBLE_REPEAT_SECONDS
        finally:
            self._busy = False


def _latin(text: str) -> str:
    """Strings of Tango are Latin-1."""
    return text.encode("latin-1", "replace").decode("latin-1")
