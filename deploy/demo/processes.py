"""Child processes that are always stopped at the end."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

STEP_TIMEOUT_SECONDS = 120.0
"""Seconds until a step of the demo, such as the start of a program, is given up: a busy machine starts ten at once."""

PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


class ProcessError(RuntimeError):
    """A process ended, or was not ready in time. The text has the end of its log."""


class Process:
    """One running command with its log file. `name` is for people."""

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        parent = os.getpid()
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                list(argv),
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for this program, which stops the others in its own order
                start_new_session=True,
                preexec_fn=lambda: _die_with(parent),
            )
        self.pid = self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    @property
    def text(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def wait_for(self, ready: str | Callable[[], bool], timeout: float = STEP_TIMEOUT_SECONDS) -> re.Match[str] | None:
        """Wait until the log matches a regular expression (the match is returned) or a call is true."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if isinstance(ready, str):
                found = re.search(ready, self.text)
                if found:
                    return found
            elif ready():
                return None
            if not self.running:
                raise ProcessError(f"{self.name} ended with status {self._popen.returncode}.{self._tail()}")
            time.sleep(0.05)
        raise ProcessError(f"{self.name} was not ready after {timeout:.0f} s.{self._tail()}")

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, like a crash: the process cannot clean up."""
        self._signal(signal.SIGKILL)
        self._popen.wait()

    def wait(self, timeout: float) -> int | None:
        """The exit status, or None if it is still running."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, timeout: float = 5.0) -> None:
        """SIGTERM, then SIGKILL for the process and its children."""
        self.terminate()
        self.wait(timeout)
        self._signal(signal.SIGKILL)
        self._popen.wait()

    def _signal(self, number: signal.Signals) -> None:
        # The group exists while any of its members does, so children are reached, too.
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def _tail(self) -> str:
        return f" Its log, {self.log}, ends with:\n{self.text[-2000:]}"


class Processes:
    """Processes that stop together, the last started one first. A context manager.

    `running` are the processes that were not stopped here.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self.running: list[Process] = []

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
        process = Process(name, argv, os.environ if env is None else env, self.logs / f"{name}.log")
        self.running.append(process)
        return process

    def stop(self) -> None:
        """Stop all processes, the slow ones in parallel."""
        threads = []
        for process in reversed(self.running):
            process.terminate()
            threads.append(threading.Thread(target=process.stop))
            threads[-1].start()
            process.wait(0.3)
        for thread in threads:
            thread.join()
        self.running.clear()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _die_with(parent: int) -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)
