"""Problems of a spool, and reports to SciDog, so that jive and a panel show them.

`shortage` checks the room of the spool. `ScidogReporter` reports problems and the last snapshot to SciDog by its
commands, since SciDog may run on another machine. Recording does not depend on its answer.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path

import tango

from scifish.message import Message, Origin
from scifish.tango_io.database import reason
from scifish.tango_io.executors import ThreadPool

log = logging.getLogger(__name__)

SHORTAGE_FRACTION = 0.8
"""Of the limit: from there on it is said."""

MIN_FREE_BYTES = 200_000_000
"""Bytes that should be free on the disk of the spool; less is said."""

MEGABYTE = 1_000_000


def shortage(folder: Path, used: int, limit: int) -> str:
    """What is getting short, for a person; "" if nothing is.

    `used` is the size of a spool in `folder`, `limit` what it may be, both in bytes. OSError if
    the disk does not say how much is free.
    """
    if used >= SHORTAGE_FRACTION * limit:
        return (
            f"the spool has {used / MEGABYTE:.1f} of the {limit / MEGABYTE:.1f} MB that SpoolLimit allows; "
            "what comes when it is full is kept in memory only"
        )
    disk = os.statvfs(folder)
    # What is left for those who are not root.
    free = disk.f_bavail * disk.f_frsize
    if free < MIN_FREE_BYTES:
        return f"the disk of the spool ({folder}) has only {free / MEGABYTE:.0f} MB left: make room"
    return ""


TROUBLE_REPEAT_SECONDS = 60.0
"""Seconds after which a trouble that lasts is said again: SciDog forgets what nobody repeats."""

SNAPSHOT_REPORT_SECONDS = 5.0
"""Seconds between two snapshots that are told: of a series of short scans it is the latest."""

MAX_NAMED_FAILURES = 100
"""Attributes that could not be read, of those that are named. Their number is told in any case."""

MAX_ERROR_CHARACTERS = 300
"""Characters of each of their errors."""

SCIDOG_TIMEOUT_MS = 2000


class ScidogReporter:
    """Of one program. Its methods return at once and never raise."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._pool = ThreadPool("scifish-notice", 1)
        self._busy = False
        self._said = ""
        self._when = -TROUBLE_REPEAT_SECONDS
        self._device: tango.DeviceProxy | None = None
        self._failed: set[str] = set()
        self._guard = threading.Lock()
        self._number = 0
        self._snapshot: Message | None = None
        self._shown: Message | None = None
        self._next_snapshot = 0.0

    def remember(self, number: int, snapshot: Message) -> None:
        """What was read for a dataset: {uuid, name, time, values, failed}; told by `show`.

        Several are read at a time: `number` grows with the datasets' begins, and the highest one counts.
        """
        with self._guard:
            if number >= self._number:
                self._number, self._snapshot = number, snapshot

    def show(self, scidog: str) -> None:
        """Tell what was read last, if that is new. To be called again and again, as `say`."""
        snapshot, now = self._snapshot, time.monotonic()
        if not scidog or snapshot is None or snapshot is self._shown or now < self._next_snapshot or self._busy:
            return
        self._shown, self._next_snapshot, self._busy = snapshot, now + SNAPSHOT_REPORT_SECONDS, True
        failed = snapshot["failed"]
        origin = {"program": self._origin["program"], "host": self._origin["host"]}
        named = [{**one, "error": one["error"][:MAX_ERROR_CHARACTERS]} for one in failed[:MAX_NAMED_FAILURES]]
        report = json.dumps({**snapshot, **origin, "failedCount": len(failed), "failed": named})
        self._pool.submit(lambda: self._tell(scidog, "ReportSnapshot", report))

    def say(self, scidog: str, trouble: str) -> None:
        """`trouble` is "" if all is well. To be called again and again: it is said when it is new, or old."""
        due = trouble != self._said or (trouble and time.monotonic() - self._when > TROUBLE_REPEAT_SECONDS)
        if not scidog or not due or self._busy:
            return
        self._busy = True
        self._said, self._when = trouble, time.monotonic()
        who = f"{self._origin['program']} on {self._origin['host']}"
        texts = [_latin(text) for text in (self._origin["run"], who, trouble)]
        self._pool.submit(lambda: self._tell(scidog, "ReportTrouble", texts))

    def _tell(self, scidog: str, command: str, argument: str | list[str]) -> None:
        try:
            if self._device is None or self._device.dev_name().lower() != scidog.lower():
                self._device = tango.DeviceProxy(scidog)
                # Setting the time-out of one that is not connected connects it with the interpreter's lock held.
                self._device.ping()
                self._device.set_timeout_millis(SCIDOG_TIMEOUT_MS)
            # PyTango would ask the device for the type of the argument, each time.
            data = tango.DeviceData()
            kind = tango.CmdArgType.DevString if isinstance(argument, str) else tango.CmdArgType.DevVarStringArray
            data.insert(kind, argument)
            self._device.command_inout(command, data)
            self._failed.discard(command)
        except tango.DevFailed as failed:
            # SciDog may well be stopped: what is said goes to the door and the log all the same.
            if command not in self._failed:
                log.info("%s cannot be told: %s", scidog, reason(failed))
            self._failed.add(command)
            self._device = None
            self._shown, self._next_snapshot = None, time.monotonic() + TROUBLE_REPEAT_SECONDS
        finally:
            self._busy = False


def _latin(text: str) -> str:
    """Tango's texts are Latin-1."""
    return text.encode("latin-1", "replace").decode("latin-1")
