"""What `make faults` sees of processes, and the clock that it gives them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

from tests.faults.clock import Clock
from tests.faults.processes import MARK, children, marked


def test_children_and_marked_processes_are_found() -> None:
    mark = uuid4().hex
    child = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env={**os.environ, MARK: mark},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in children(os.getpid())
        assert list(marked(mark)) == [child.pid]
        assert "input()" in marked(mark)[child.pid]
        child.communicate(b"\n")
    assert child.pid not in children(os.getpid())
    assert marked(mark) == {}


def test_the_clock_jumps_while_the_process_runs(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    look = "import time\nwhile input(): print(time.time(), time.gmtime().tm_year, flush=True)"
    argv = [*clock.command, sys.executable, "-c", look]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for jump in (0, 7200, -400 * 86_400):
            clock.jump(jump)
            process.stdin.write("now\n")
            seconds, year = process.stdout.readline().split()
            assert abs(float(seconds) - time.time() - jump) < 10
            assert int(year) == time.gmtime(time.time() + jump).tm_year
        process.stdin.write("\n")
