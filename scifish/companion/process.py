"""The companion process of a program that records: all that is slow, apart from the measurement.

A scan in the MacroServer would compete with it for Python's interpreter. It reads settings and
attributes, composes messages and sends them, is told by a pipe what the program says, and leaves
when the program is gone and all is done. Started by `scifish.recording.companion_process`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import os
import queue
import signal
import sqlite3
import sys
import threading
from pathlib import Path
from typing import TextIO

from scifish.companion.supervisor import Supervisor
from scifish.settings.sources import source_of
from scifish.spool.database import Spool, rename_damaged
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
"""Seconds for finishing and sending when the program is gone. The rest stays in the spool."""

SIGTERM_EXIT_SECONDS = 3.0
"""The same after SIGTERM: the machine may be shutting down."""

ALIVE_REPORT_SECONDS = 5.0
"""Seconds between two signs of life."""

NICENESS = 19
"""Of all threads but the executor: the measurement goes first."""


class Reports:
    """Sends reports to the program from a thread of its own; they are dropped when the program is gone."""

    def __init__(self, pipe: TextIO) -> None:
        self._pipe = pipe
        self._waiting: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scifish-reports", daemon=True)
        self._thread.start()

    def send(self, report: Report) -> None:
        self._waiting.put(report)

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join(1.0)

    def _run(self) -> None:
        while (report := self._waiting.get()) is not None:
            # The program is gone: its spool says the rest.
            with contextlib.suppress(OSError, ValueError):
                self._pipe.write(encode(report))
                self._pipe.flush()


class _ProgramLogHandler(logging.Handler):
    """What is logged here belongs into the log of the program."""

    def __init__(self, reports: Reports) -> None:
        super().__init__(logging.INFO)
        self._reports = reports

    def emit(self, record: logging.LogRecord) -> None:
        self._reports.send(LogReport(record.levelno, self.format(record)))


DAMAGED_EXIT_STATUS = 3
"""Exit status: the spool's file is damaged, its program has to begin a new one."""


def main() -> None:
    """Until the program hangs up, or is gone, or somebody ends this process."""
    faulthandler.enable()
    # Ctrl-C is for the program; this process has to finish what it said.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hurry, gone = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: hurry.set())
    # What libraries print must not come between the reports.
    reports = Reports(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    logging.basicConfig(handlers=[_ProgramLogHandler(reports)], level=logging.INFO, format="%(message)s")
    # What the program tells is UTF-8, whatever the language of the machine; a killed one may stop in half a letter.
    assert isinstance(sys.stdin, io.TextIOWrapper)
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    first = sys.stdin.readline()
    if first:  # else the program ended while this process started
        _keep(decode_hello(first), reports, hurry, gone)
    reports.close()
    # Threads that hang in Tango or on a disk keep nobody here.
    os._exit(0)


def _keep(hello: Hello, reports: Reports, hurry: threading.Event, gone: threading.Event) -> None:
    parent = os.getppid()
    path = Path(hello.spool)

    def on_damage(error: Exception) -> None:
        if gone.is_set():
            log.error("the spool %s is damaged (%s): it is kept as %s", path, error, rename_damaged(path))
        else:
            reports.send(DamageReport(str(error)))
        reports.close()
        os._exit(DAMAGED_EXIT_STATUS)

    try:
        spool = Spool(path, lock=hello.lock)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        on_damage(error)
        raise
    # No nicer than the program: what that writes waits for SQLite's lock, which must get free on a busy machine, too.
    executor = SpoolExecutor()
    with contextlib.suppress(OSError):
        os.nice(NICENESS)  # on Linux, this thread and those that it starts
    folders = [Path(folder) for folder in hello.folders]
    supervisor = Supervisor(source_of(hello.settings), spool, folders, reports.send, executor)
    supervisor.executor.on_damage = on_damage
    threading.Thread(target=_listen, args=(supervisor, gone), name="scifish-listen", daemon=True).start()
    while not (hurry.is_set() or gone.wait(ALIVE_REPORT_SECONDS)):
        reports.send(AliveReport())
        # The pipe stays open where a forked child of the program has it too.
        if os.getppid() != parent:
            gone.set()
    if hurry.is_set():
        gone.wait(SIGTERM_EXIT_SECONDS)
    supervisor.shut_down(SIGTERM_EXIT_SECONDS if hurry.is_set() else EXIT_SECONDS, finish=gone.is_set())


def _listen(supervisor: Supervisor, gone: threading.Event) -> None:
    for line in sys.stdin:
        try:
            supervisor.handle(decode_command(line))
        except Exception:  # half a line of a program that was killed, for one: the spool has it
            log.exception("what the program said: %.100s", line)
    gone.set()
