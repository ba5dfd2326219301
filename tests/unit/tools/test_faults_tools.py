"""What `make faults` sees of processes, and the clock that it gives them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

from tests.faults.clock import Clock
from tests.faults.importable import importable
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
            before = time.time()
            process.stdin.write("now\n")
            seconds, year = process.stdout.readline().split()
            assert before <= float(seconds) - jump + 0.001
            assert float(seconds) - jump <= time.time() + 0.001
            assert int(year) == time.gmtime(time.time() + jump).tm_year
        process.stdin.write("\n")


def test_a_log_line_has_the_jumped_time(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    clock.jump(-400 * 86_400)
    look = "import logging; logging.basicConfig(format='%(asctime)s %(message)s'); logging.warning('said')"
    done = subprocess.run([*clock.command, sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stderr == f"{done.stderr[:23]} said\n"
    assert int(done.stderr[:4]) == time.localtime(time.time() - 400 * 86_400).tm_year


def test_what_the_demo_leaves_is_not_a_package_to_the_servers_of_a_run(tmp_path: Path) -> None:
    path = importable(tmp_path)
    assert importable(tmp_path) == path
    assert [found.name for found in path.iterdir()] == ["tests"]
    look = "import tests.faults.ledger; from importlib.util import find_spec; print(find_spec('demo'))"
    argv = [sys.executable, "-c", look]
    env = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
