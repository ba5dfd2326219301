"""The program's end of the pipe to its companion process: starts it, sends commands, receives reports.

`scifish.spool.protocol` defines the messages. Sending never blocks; a companion that exits is started again, and finds
in the spool what it did not receive.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import scifish
from scifish.spool.protocol import Command, Hello, Report, Wake, decode_report, encode

log = logging.getLogger(__name__)

FIRST_RESTART_SECONDS, MAX_RESTART_SECONDS = 0.5, 30.0
"""Seconds before a companion that ended is started again; twice as long each time."""

STABLE_SECONDS = 60.0
"""Seconds after which a companion counts as well: the next pause is short again."""

FORK_WAIT_SECONDS = 1.0
"""Seconds that a fork of this program waits at most for a companion that is being started."""

MAX_SILENCE_SECONDS = 60.0
"""Seconds without a sign of life, after which a companion is ended and another one started."""


_starting = threading.RLock()
"""Held while a companion is started: a child that is forked in the midst of it would keep ends of its pipes."""


class CompanionProcess:
    """The companion of this process. What a measurement calls returns at once and never raises."""

    def __init__(self, hello: Callable[[], Hello], lock: int, errors: Path, heard: Callable[[Report], None]) -> None:
        """`hello` is what it must know first; `lock` a descriptor that it inherits.

        `errors` is the file for what it says when it cannot report; `heard` is called, in a
        thread of its own, with each report.
        """
        self._hello = hello
        self._lock = lock
        self._errors = errors
        self._heard = heard
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._sign = time.monotonic()
        self._closing = threading.Event()
        self._being_started = threading.Lock()
        self.trouble = ""
        """Why there is no companion at the moment, "" if there is one."""
        self._thread = threading.Thread(target=self._run, name="scifish-link", daemon=True)

    def start(self) -> None:
        """Start the companion, in the background. RuntimeError where there can be no more threads."""
        self._thread.start()

    def send(self, command: Command) -> None:
        """Returns at once; the command is encoded and written in another thread."""
        self._commands.put(command)

    def look_after(self) -> None:
        """End a companion that gives no sign of life any more: another one is started. To be called now and then."""
        process = self._process
        if process is not None and time.monotonic() - self._sign > MAX_SILENCE_SECONDS:
            log.error(
                "the companion process %d has said nothing for %g s: it is ended", process.pid, MAX_SILENCE_SECONDS
            )
            self._sign = time.monotonic()
            self.restart()

    def restart(self) -> None:
        """End it; another one is started."""
        process = self._process
        if process is not None:
            process.kill()

    def hang_up(self) -> bool:
        """Start no companion any more. Whether there is one: it has the spool, and finishes by itself.

        May wait for the disk, where one is just being started.
        """
        self._closing.set()
        with self._being_started:
            process = self._process
        return process is not None and process.poll() is None

    def close(self, timeout: float) -> bool:
        """Tell what was given, hang up, and wait for at most `timeout` seconds that it finishes; whether it is gone.

        It goes on by itself if it needs longer.
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
            process.returncode = 0  # left to itself on purpose: nothing to warn of
            return False
        return True

    def forget_after_fork(self) -> None:
        """In a forked child: the line is its parent's, which must be able to hang up."""
        process = self._process
        for pipe in (process.stdin, process.stdout) if process is not None else ():
            if pipe is not None:
                with contextlib.suppress(OSError):
                    os.close(pipe.fileno())

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        # Of a companion that is gone the line says so by an error, also in a program that does not ignore SIGPIPE
        # as Python does by itself: one that embeds Python, or a filter of the shell. Else it would be killed here.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        pause = FIRST_RESTART_SECONDS
        while not self._closing.is_set():
            started = time.monotonic()
            # What was not told is on disk, and read from there by the next one.
            self._forget_commands()
            try:
                process = self._start()
            except (OSError, ValueError) as error:
                self._say(f"no companion process can be started: {error}")
            else:
                if process is None or self._feed(process):
                    return
                status = process.wait()
                if not self._closing.is_set():
                    self._say(f"the companion process ended {_ended(status)}{self._last_words()}")
            pause = (
                FIRST_RESTART_SECONDS
                if time.monotonic() - started > STABLE_SECONDS
                else min(2 * pause, MAX_RESTART_SECONDS)
            )
            self._closing.wait(pause)

    def _start(self) -> subprocess.Popen[str] | None:
        """None if this program hangs up."""
        with self._being_started:
            if self._closing.is_set():
                return None  # the spool is let go of
            process = self._begin_process()
        self._sign = time.monotonic()
        threading.Thread(target=self._listen, args=(process.stdout,), name="scifish-hear", daemon=True).start()
        return process

    def _begin_process(self) -> subprocess.Popen[str]:
        # As the spool's other files: not for everybody.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with open(os.open(self._errors, flags, 0o600), "wb") as errors, _starting:
            process = subprocess.Popen(  # noqa: S603 - nothing in it is from outside
                [_python(), "-P", "-c", "from scifish.companion.process import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=(self._lock,),
                env=_environment(),
                text=True,
                encoding="utf-8",
                errors="backslashreplace",
            )
            self._process = process
        return process

    def _feed(self, process: subprocess.Popen[str]) -> bool:
        """Until it ends (False), or this program hangs up (True)."""
        pipe = process.stdin
        assert pipe is not None
        try:
            pipe.write(encode(self._hello()))
            pipe.flush()
            while (command := self._next_command(process)) is not None:
                pipe.write(encode(command))
                pipe.flush()
            if self._closing.is_set():
                pipe.close()
                return True
        except (OSError, ValueError):
            pass  # it is gone: said by the caller
        with contextlib.suppress(OSError):
            pipe.close()
        process.kill()  # it may be alive and deaf
        return False

    def _next_command(self, process: subprocess.Popen[str]) -> Command | None:
        """None if this program hangs up, or the companion is gone."""
        while True:
            try:
                return self._commands.get(timeout=5.0)
            except queue.Empty:
                if process.poll() is not None:
                    return None

    def _forget_commands(self) -> None:
        with contextlib.suppress(queue.Empty):
            while self._commands.get_nowait() is not None:
                pass
            self._commands.put(None)

    def _listen(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                self._sign = time.monotonic()
                try:
                    report = decode_report(line)
                    if self.trouble:
                        self._say("")
                    self._heard(report)
                except Exception:
                    log.exception("a report of the companion process: %s", line[:200].rstrip())
        # Wakes the feeder, which sees that the other end is gone.
        self._commands.put(Wake())

    def _last_words(self) -> str:
        try:
            words = self._errors.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return f": {words[-1][:300]}" if words else ""

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.error("%s. What is recorded is kept in the spool; it is tried again.", trouble)
        self.trouble = trouble


def _python() -> str:
    """This interpreter, also where the program that embeds it is another (a GUI, for one)."""
    if os.path.basename(sys.executable or "").startswith("python"):
        return sys.executable
    return os.path.join(sys.prefix, "bin", "python3")


def _environment() -> dict[str, str]:
    """This process's, with the place of this very package: the program may have found it by a path of its own."""
    home = str(Path(scifish.__file__).parent.parent)
    paths = [home, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        # Else glibc keeps memory for each thread apart, and what a plot takes is kept as often as there are threads.
        "MALLOC_ARENA_MAX": "1",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
    }


def _ended(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _wait_before_fork() -> None:
    _waited.append(_starting.acquire(timeout=FORK_WAIT_SECONDS))


def _go_on_after_fork() -> None:
    if _waited and _waited.pop():
        _starting.release()


def _go_on_in_child() -> None:
    global _starting
    _starting = threading.RLock()
    _waited.clear()


_waited: list[bool] = []
os.register_at_fork(before=_wait_before_fork, after_in_parent=_go_on_after_fork, after_in_child=_go_on_in_child)
