"""The companion process of a recording program: it does the slow work apart from the measurement.

In the MacroServer this work would compete with a scan for Python's interpreter. The companion reads settings and
attributes, composes messages and sends them. Commands of the program come through a pipe. It exits when the program
is gone and all work is done. `scifish.recording.companion_process` starts it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TextIO

from scifish.companion.supervisor import Supervisor
from scifish.native import SimpleQueue, threading
from scifish.settings.sources import source_of
from scifish.spool.database import Spool, is_damage
from scifish.spool.executor import SpoolExecutor
from scifish.spool.protocol import (
    AliveReport,
    DamageReport,
    Hello,
    LogReport,
    Report,
    decode_command,
    decode_hello,
    encode,
)

log = logging.getLogger(__name__)

EXIT_SECONDS = 10.0
"""Seconds to finish and send datasets when the program is gone. The rest stays in the spool."""

SIGTERM_EXIT_SECONDS = 3.0
"""The same after SIGTERM: the machine may be shutting down."""

ALIVE_REPORT_SECONDS = 5.0
"""Seconds between two reports that the companion is alive."""

NICENESS = 19
"""The nice value of all threads except the spool executor: the measurement has priority."""


class ReportSender:
    """Sends reports to the program from a thread of its own; they are dropped when the program is gone."""

    def __init__(self, pipe: TextIO) -> None:
        self._pipe = pipe
        self._waiting: SimpleQueue[Report | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scifish-reports", daemon=True)
        self._thread.start()

    def send(self, report: Report) -> None:
        self._waiting.put(report)

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join(1.0)

    def _run(self) -> None:
        while (report := self._waiting.get()) is not None:
            # If the program is gone, the report is not needed: everything is in the spool.
            with contextlib.suppress(OSError, ValueError):
                self._pipe.write(encode(report))
                self._pipe.flush()


class _ProgramLogHandler(logging.Handler):
    """Sends log records to the program, which logs them."""

    def __init__(self, reports: ReportSender) -> None:
        super().__init__(logging.INFO)
        self._reports = reports

    def emit(self, record: logging.LogRecord) -> None:
        self._reports.send(LogReport(record.levelno, self.format(record)))


DAMAGED_EXIT_STATUS = 3
"""Exit status: the spool's file is damaged, and the program has to start a new one."""


def main() -> None:
    """Run until the program closes the pipe or is gone, or until this process gets SIGTERM."""
    faulthandler.enable()
    # Ctrl-C is for the program; this process has to finish its datasets.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    terminated, program_gone = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    # Output of libraries must not be mixed with the reports.
    reports = ReportSender(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    logging.basicConfig(handlers=[_ProgramLogHandler(reports)], level=logging.INFO, format="%(message)s")
    # Commands are UTF-8 in every locale; a killed program may stop within a character.
    assert isinstance(sys.stdin, io.TextIOWrapper)
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    first = sys.stdin.readline()
    if first:  # otherwise the program exited while this process started
        _work(decode_hello(first), reports, terminated, program_gone)
    reports.close()
    # Exit also if threads hang in Tango or on a disk.
    os._exit(0)


def _work(hello: Hello, reports: ReportSender, terminated: threading.Event, program_gone: threading.Event) -> None:
    parent = os.getppid()
    path = Path(hello.spool)
    try:
        spool = Spool(path, lock=hello.lock)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        reports.send(DamageReport(str(error), path.stat().st_ino))
        reports.close()
        os._exit(DAMAGED_EXIT_STATUS)
    # With the priority of the program, which waits for SQLite's lock: on a busy machine it must be released soon.
    executor = SpoolExecutor(path.parent)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)  # on Linux: for this thread and those that it starts
    folders = [Path(folder) for folder in hello.folders]
    supervisor = Supervisor(source_of(hello.settings), spool, folders, reports.send, executor)
    threading.Thread(target=_listen, args=(supervisor, program_gone), name="scifish-listen", daemon=True).start()
    while not (terminated.is_set() or program_gone.wait(ALIVE_REPORT_SECONDS)):
        reports.send(AliveReport())
        # If a forked child of the program has the pipe too, it stays open without the program.
        if os.getppid() != parent:
            program_gone.set()
    if terminated.is_set():
        program_gone.wait(SIGTERM_EXIT_SECONDS)
    supervisor.shut_down(SIGTERM_EXIT_SECONDS if terminated.is_set() else EXIT_SECONDS, finish=program_gone.is_set())


def _listen(supervisor: Supervisor, program_gone: threading.Event) -> None:
    for line in sys.stdin:
        try:
            supervisor.handle(decode_command(line))
        except Exception:  # half a line of a killed program, for example: the spool has the command
            log.exception("a command of the program cannot be handled: %.100s", line)
    program_gone.set()
