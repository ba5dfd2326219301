"""The program's end of the pipe to its companion process: starts it, sends commands, receives reports.

`scifish.spool.protocol` defines the messages. Sending never blocks; a companion that exits is started again, and finds
in the spool what it did not receive.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import scifish
from scifish.native import Empty, SimpleQueue, run_restarting, subprocess, threading
from scifish.spool.disk import open_file
from scifish.spool.protocol import Command, Hello, Report, Wake, decode_report, encode

log = logging.getLogger(__name__)

FIRST_RESTART_SECONDS, MAX_RESTART_SECONDS = 0.5, 30.0
"""Delay before a companion that exited is started again; doubled each time, up to the maximum."""

STABLE_SECONDS = 60.0
"""A companion that has run for this number of seconds is stable: the next delay is short again."""

FORK_WAIT_SECONDS = 1.0
"""Seconds that a fork of this program waits at most while a companion is being started."""

MAX_SILENCE_SECONDS = 60.0
"""Seconds without a report after which a companion is killed and started again."""


_popen_lock = threading.RLock()
"""Held while a companion is started: a child that is forked meanwhile would inherit ends of its pipes."""


class CompanionProcess:
    """The companion of this process. The methods that a measurement calls return at once and never raise."""

    def __init__(self, hello: Callable[[], Hello], on_report: Callable[[Report], None]) -> None:
        """`hello` makes the first message to a companion, which inherits the lock in it.

        `on_report` is called with each report, in a thread of its own.
        """
        self._hello = hello
        self._errors = Path(os.devnull)  # the file for its stderr
        self._on_report = on_report
        self._commands: SimpleQueue[Command | None] = SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._greeting: Hello | None = None  # of this process
        self._last_sign = time.monotonic()
        self._closing = threading.Event()
        self._start_lock = threading.Lock()
        self.trouble = ""
        """Why no companion is running, "" if one is."""
        self._thread = threading.Thread(
            target=lambda: run_restarting(self._run, self._report_failure), name="scifish-link", daemon=True
        )

    def start(self) -> None:
        """Start the companion in the background. RuntimeError if no more threads can be started."""
        self._thread.start()

    def send(self, command: Command) -> None:
        """Returns at once; the command is encoded and written in another thread."""
        self._commands.put(command)

    def restart_if_silent(self) -> None:
        """Kill a companion that no longer reports, so that another one is started. To be called periodically."""
        process = self._process
        if process is not None and time.monotonic() - self._last_sign > MAX_SILENCE_SECONDS:
            log.error(
                "the companion process %d has not reported for %g s: it is killed", process.pid, MAX_SILENCE_SECONDS
            )
            self._last_sign = time.monotonic()
            self.restart()

    def restart(self) -> None:
        """Kill the companion; another one is started."""
        process = self._process
        if process is not None:
            process.kill()

    def restart_without(self, lock: int) -> None:
        """Restart a companion that does not hold this lock of the spool: it was locked anew."""
        process, greeting = self._process, self._greeting
        if process is not None and greeting is not None and greeting.lock != lock:
            process.kill()

    def disconnect(self) -> bool:
        """Start no more companions. Returns whether one is running: it has the spool, and finishes alone.

        May wait for the disk while a companion is being started.
        """
        self._closing.set()
        with self._start_lock:
            process = self._process
        return process is not None and process.poll() is None

    def close(self, timeout: float) -> bool:
        """Send the last commands, close the pipe, and wait at most `timeout` seconds; returns whether it has exited.

        A companion that needs longer continues alone.
        """
        self._closing.set()
        self._commands.put(None)
        deadline = time.monotonic() + timeout
        self._thread.join(timeout)
        process = self._process
        if process is None or self._thread.is_alive():
            return False
        try:
            process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            process.returncode = 0  # it continues on purpose: no warning
            return False
        return True

    def forget_after_fork(self) -> None:
        """In a forked child: close its copies of the pipe, so that the parent alone can close it."""
        process = self._process
        for pipe in (process.stdin, process.stdout) if process is not None else ():
            if pipe is not None:
                with contextlib.suppress(OSError):
                    os.close(pipe.fileno())

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        # Writing to a companion that has exited must raise an error here. Without this, SIGPIPE would kill a program
        # that does not ignore it as Python does: one that embeds Python, or a filter of the shell.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        pause = FIRST_RESTART_SECONDS
        while not self._closing.is_set():
            started = time.monotonic()
            # Commands that were not sent are on disk: the next companion reads them there.
            self._discard_commands()
            try:
                process = self._start()
            except (OSError, ValueError) as error:
                self._set_trouble(f"no companion process can be started: {error}")
            else:
                if process is None or self._send_commands(process):
                    return
                status = process.wait()
                if not self._closing.is_set():
                    self._set_trouble(f"the companion process exited {_exit_text(status)}{self._last_error()}")
            pause = (
                FIRST_RESTART_SECONDS
                if time.monotonic() - started > STABLE_SECONDS
                else min(2 * pause, MAX_RESTART_SECONDS)
            )
            self._closing.wait(pause)

    def _start(self) -> subprocess.Popen[str] | None:
        """None if this program is closing."""
        with self._start_lock:
            if self._closing.is_set():
                return None  # the spool is closed
            process = self._start_process()
        self._last_sign = time.monotonic()
        threading.Thread(target=self._listen, args=(process.stdout,), name="scifish-hear", daemon=True).start()
        return process

    def _start_process(self) -> subprocess.Popen[str]:
        hello = self._hello()
        self._errors = Path(hello.spool).with_suffix(".log")
        with open(self._open_errors(), "wb") as errors, _popen_lock:
            process = subprocess.Popen(
                [_python(), "-P", "-c", "from scifish.companion.process import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=(hello.lock,),
                env=_environment(),
                text=True,
                encoding="utf-8",
                errors="backslashreplace",
            )
            self._process, self._greeting = process, hello
        return process

    def _open_errors(self) -> int:
        try:
            return open_file(self._errors, os.O_WRONLY | os.O_TRUNC)
        except OSError as error:  # no room: only the companion can make some
            log.warning("what the companion process logs is not kept: %s", error)
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def _send_commands(self, process: subprocess.Popen[str]) -> bool:
        """Send commands until the companion exits (False) or this program closes the pipe (True)."""
        pipe, greeting = process.stdin, self._greeting
        assert pipe is not None
        assert greeting is not None
        try:
            pipe.write(encode(greeting))
            pipe.flush()
            while (command := self._next_command(process)) is not None:
                pipe.write(encode(command))
                pipe.flush()
            if self._closing.is_set():
                pipe.close()
                return True
        except (OSError, ValueError):
            pass  # the companion has exited: the caller reports it
        with contextlib.suppress(OSError):
            pipe.close()
        process.kill()  # it may still run without reading
        return False

    def _next_command(self, process: subprocess.Popen[str]) -> Command | None:
        """None if this program is closing, or the companion has exited."""
        while True:
            try:
                return self._commands.get(timeout=5.0)
            except Empty:
                if process.poll() is not None:
                    return None

    def _discard_commands(self) -> None:
        with contextlib.suppress(Empty):
            while self._commands.get_nowait() is not None:
                pass
            self._commands.put(None)

    def _listen(self, pipe: IO[str]) -> None:
        try:
            with pipe:
                for line in pipe:
                    self._last_sign = time.monotonic()
                    self._handle(line)
        except Exception:
            log.exception("the reports of the companion process cannot be read: another one is started")
            self.restart()
        # Wakes the sending thread, which then notices that the companion has exited.
        self._commands.put(Wake())

    def _handle(self, line: str) -> None:
        try:
            report = decode_report(line)
            if self.trouble:
                self._set_trouble("")
            self._on_report(report)
        except Exception:
            log.exception("a report of the companion process cannot be handled: %s", line[:200].rstrip())

    def _last_error(self) -> str:
        try:
            lines = self._errors.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return f": {lines[-1][:300]}" if lines else ""

    def _report_failure(self, failure: str) -> None:
        self.trouble = failure
        self.restart()  # nobody writes to the present companion any more

    def _set_trouble(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.error("%s. Recorded data stay in the spool. Retrying.", trouble)
        self.trouble = trouble


def _python() -> str:
    """This interpreter, also if it is embedded in another program (a GUI, for example)."""
    if os.path.basename(sys.executable or "").startswith("python"):
        return sys.executable
    return os.path.join(sys.prefix, "bin", "python3")


def _environment() -> dict[str, str]:
    """The environment of this process with the folder of this package, which the program may have in its own path."""
    home = str(Path(scifish.__file__).parent.parent)
    paths = [home, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        # Otherwise glibc has an arena for each thread, and the memory of a plot is kept once for each of them.
        "MALLOC_ARENA_MAX": "1",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
    }


def _exit_text(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _wait_before_fork() -> None:
    _fork_waits.append(_popen_lock.acquire(timeout=FORK_WAIT_SECONDS))


def _release_after_fork() -> None:
    if _fork_waits and _fork_waits.pop():
        _popen_lock.release()


def _reset_in_child() -> None:
    global _popen_lock
    _popen_lock = threading.RLock()
    _fork_waits.clear()


_fork_waits: list[bool] = []
os.register_at_fork(before=_wait_before_fork, after_in_parent=_release_after_fork, after_in_child=_reset_in_child)
