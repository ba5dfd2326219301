"""Which dataset a Sardana scan became, and at which Door it ran: for a later comment at spock.

The uuid of a scan's dataset contains the MacroServer's full name as it was then. That name depends on how TANGO_HOST is
written, so the uuid cannot be computed again after a restart with another spelling. Sardana's ScanHistory does not have
the Door.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import NamedTuple

from scifish.native import SimpleQueue, run_restarting, threading
from scifish.settings import state_directory
from scifish.settings.atomic_file import write_atomically

log = logging.getLogger(__name__)

MAX_RECORDED_SCANS = 10_000
"""Number of the latest scans that are kept in memory; the file has between this number and about twice as many."""


class RecordedScan(NamedTuple):
    """A scan that is a dataset. `serialno` and `startts` (seconds since 1970) are Sardana's, as in ScanHistory."""

    serialno: int
    startts: float
    uuid: str
    door: str


class RecordedScans:
    """The scans of this process, and those in a file of the account. Threads may share it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._scans: dict[tuple[int, float], RecordedScan] = {}
        self._unwritten: SimpleQueue[RecordedScan] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._next_look = 0  # the size in bytes from which on the file may have too many lines
        self._lock = threading.Lock()

    def add(self, scan: RecordedScan) -> None:
        """Returns at once: a thread of its own writes the file, whose disk may hang."""
        with self._lock:
            self._scans[scan.serialno, scan.startts] = scan
            while len(self._scans) > MAX_RECORDED_SCANS:
                del self._scans[next(iter(self._scans))]
            self._unwritten.put(scan)
            if self._writer is None:
                writer = threading.Thread(target=lambda: run_restarting(self._write), name="scifish-scans", daemon=True)
                try:
                    writer.start()
                    self._writer = writer
                except RuntimeError as error:  # no thread can be started now: the next scan tries again
                    log.warning("%s is not written now: %s", self._file, error)

    def known(self) -> dict[tuple[int, float], RecordedScan]:
        """All that is known, by `serialno` and `startts`. Reads the file."""
        found = {(scan.serialno, scan.startts): scan for scan in map(_scan_of, self._lines()) if scan is not None}
        with self._lock:
            return found | self._scans

    def _lines(self) -> list[str]:
        try:
            return self._file.read_text("utf-8", "replace").splitlines()
        except OSError:
            return []  # never written, or the disk does not answer: the scans of this process are in memory

    def _write(self) -> None:
        while True:
            scan = self._unwritten.get()
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(scan._asdict()) + "\n")
                    size = file.tell()
                if size >= self._next_look:
                    self._trim()
            except OSError as error:
                log.warning("%s cannot be written, so a comment may not find its scan later: %s", self._file, error)

    def _trim(self) -> None:
        """Delete the first lines if there are too many, and reckon at which size there will be."""
        lines = self._lines()
        if len(lines) > 2 * MAX_RECORDED_SCANS:
            lines = lines[-MAX_RECORDED_SCANS:]
            write_atomically(self._file, "\n".join([*lines, ""]))
        size = sum(len(line.encode()) + 1 for line in lines)
        self._next_look = size * (2 * MAX_RECORDED_SCANS + 1) // max(len(lines), 1)


def _scan_of(line: str) -> RecordedScan | None:
    """None for a line that is incomplete, or of another version."""
    try:
        found = json.loads(line)
        return RecordedScan(int(found["serialno"]), float(found["startts"]), str(found["uuid"]), str(found["door"]))
    except (ValueError, TypeError, KeyError):
        return None


_recorded: RecordedScans | None = None


def recorded_scans() -> RecordedScans:
    """Those of this account."""
    global _recorded
    if _recorded is None:
        _recorded = RecordedScans(state_directory() / "scans.jsonl")
    return _recorded
