r"""A watch for tests that keeps what it has found, in this process or in one of its own.

    python -m tests.integration.scifly.fly_watching ROOT METHOD

It watches until stdin ends, and prints a line of JSON for each found file and each trouble.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scifly.watching import METHODS, FinishedFile, FolderWatch, watch, watcher
from tests.waiting import PATIENCE, eventually

INTERVAL = 0.03
SETTLE = 0.1
LONG = 4.0
"""Seconds for files whose names begin with "slow": their writer pauses, and may have to wait for the processor."""


def settle(path: str) -> float:
    return LONG if os.path.basename(path).startswith("slow") else SETTLE


def wanted(path: str) -> bool:
    return not path.endswith(".log")


def wait_until(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    assert eventually(condition), what()


class Watched:
    """A watch in this process."""

    def __init__(self, root: Path, method: str) -> None:
        assert method in METHODS
        self.root = root
        self.files: list[FinishedFile] = []
        self.found: Counter[str] = Counter()
        """How often each, by its path below the root, but for the marks."""
        self.troubles: list[str] = []
        self._marks = itertools.count()
        self.watch: FolderWatch = watch(
            os.fspath(root),
            wanted,
            settle,
            self._take,
            method,
            self.troubles.append,
            INTERVAL,  # type: ignore[arg-type]
        )
        self.watch.start()

    def _take(self, found: FinishedFile) -> None:
        self.files.append(found)
        name = found.path.removeprefix(f"{self.root}/")
        if not name.startswith("mark"):
            self.found[name] += 1

    def wait_for(self, *names: str) -> None:
        """Wait until each file was found as often as it is listed here, and no other."""
        expected = Counter(names)
        wait_until(lambda: not self.watch.pending and self.found.copy() == expected, lambda: self._differs(expected))
        self.look_again()
        assert self.found == expected, self._differs(expected)

    def wait_for_trouble(self, text: str) -> None:
        wait_until(lambda: text in self.watch.trouble, lambda: f"{self.watch.trouble!r} does not say {text!r}")

    def look_again(self) -> None:
        """Wait until a file that is written now is found: all files that were quiet for as long are then checked."""
        mark = self.root / f"mark{next(self._marks)}"
        mark.write_text("x")
        wait_until(
            lambda: any(file.path == os.fspath(mark) for file in self.files[-100:]), lambda: f"{mark} is not found"
        )

    def _differs(self, expected: Counter[str]) -> str:
        missing, more = expected - self.found.copy(), self.found.copy() - expected
        return (
            f"missing {len(missing)}: {list(missing)[:5]}, too many {len(more)}: {list(more)[:5]}, "
            f"pending {self.watch.pending}, trouble {self.watch.trouble!r}, {self.watch.method}"
        )


@contextmanager
def watching(root: Path, method: str) -> Iterator[Watched]:
    watched = Watched(root, method)
    try:
        yield watched
    finally:
        watched.watch.stop()


class Elsewhere:
    """A watch in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(json.loads(line) for line in self.process.stdout)

    @property
    def found(self) -> Counter[str]:
        return Counter(line["found"] for line in self.lines if "found" in line)

    def wait_for(self, kind: str, text: str) -> None:
        def reported() -> bool:
            return any(kind in line and text in line[kind] for line in self.lines)

        wait_until(reported, lambda: f"no {kind} {text!r} in {self.lines[-10:]}")

    @contextmanager
    def without_processor(self) -> Iterator[None]:
        """Stop all its threads meanwhile (SIGSTOP)."""
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)  # on a busy machine the signal takes a while
        yield
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Stop the process, and wait for its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0
        self._reader.join(PATIENCE)


@contextmanager
def elsewhere(root: str | Path, method: str, before: Sequence[str] = ()) -> Iterator[Elsewhere]:
    """Start a watch in its own process. `before` is the start of the command that runs it."""
    command = [*before, sys.executable, "-m", "tests.integration.scifly.fly_watching", os.fspath(root), method]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        other = Elsewhere(process)
        try:
            other.wait_for("watching", "")
            yield other
        finally:
            process.kill()


def _main(root: str, method: str) -> None:
    one = threading.Lock()

    def say(**what: str) -> None:
        with one:
            print(json.dumps(what), flush=True)

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(log=record.getMessage())

    watcher.FILE_SERVER_SILENT_SECONDS = 1.0
    logging.basicConfig(level=logging.INFO, handlers=[Heard()])
    watched = watch(
        root,
        wanted,
        settle,
        lambda found: say(found=os.path.relpath(found.path, root), method=watched.method),
        method,  # type: ignore[arg-type]
        lambda trouble: say(trouble=trouble, method=watched.method),
        INTERVAL,
    )
    watched.start()
    say(watching=root)
    sys.stdin.read()
    watched.stop()
    say(stopped=root)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
