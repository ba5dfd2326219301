"""Threads of the operating system in any program: `scifish.native`."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
import threading as programs_threading
from pathlib import Path

import pytest

import scifish
from scifish import native
from tests.waiting import PATIENCE, eventually

PATCHED = {"threading", "queue", "subprocess", "concurrent.futures", "select", "selectors", "multiprocessing"}


def imported(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def test_no_other_module_of_scifish_uses_what_gevent_replaces() -> None:
    folder = Path(scifish.__file__).parent
    wrong = {
        str(module.relative_to(folder)): names
        for module in folder.rglob("*.py")
        if module.name != "native.py" and (names := imported(module) & PATCHED)
    }
    assert wrong == {}, "import these names from scifish.native"


def test_the_program_sees_our_threads_by_their_names() -> None:
    go_on = native.threading.Event()
    names: list[str] = []

    def work() -> None:
        names.append(programs_threading.current_thread().name)  # as a log record does
        go_on.wait()

    thread = native.threading.Thread(target=work, name="scifish-test", daemon=True)
    thread.start()
    assert eventually(lambda: names == ["scifish-test"])
    assert thread in programs_threading.enumerate()
    go_on.set()
    thread.join()
    assert thread not in programs_threading.enumerate()


def test_what_ends_a_thread_of_ours_is_handed_to_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(programs_threading, "excepthook", lambda args: seen.append(str(args.exc_value)))

    def work() -> None:
        raise ValueError("of ours")

    thread = native.threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    assert seen == ["of ours"]


def test_a_thread_that_fails_is_reported_as_that_and_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native, "RESTART_SECONDS", 0.0)
    failures = [RuntimeError("first"), KeyboardInterrupt()]
    reports: list[str] = []

    def work() -> None:
        if failures:
            raise failures.pop(0)

    with caplog.at_level(logging.ERROR):
        thread = native.threading.Thread(
            target=lambda: native.run_restarting(work, reports.append), name="scifish-test", daemon=True
        )
        thread.start()
        thread.join()
    assert failures == []
    assert reports[0] == "the thread scifish-test failed (RuntimeError: first); it is started again"
    assert reports[0] in caplog.text
    assert reports[1].startswith("the thread scifish-test failed (KeyboardInterrupt")


FORK = """
import os, threading
from gevent import monkey
from scifish import native
{patch}
thread = native.threading.Thread(target=native.threading.Event().wait, daemon=True)
thread.start()
child = os.fork()
if child == 0:
    assert threading.current_thread() is threading.main_thread(), threading.current_thread()
    another = native.threading.Thread(target=os.write, args=(1, b"in the child\\n"), daemon=True)
    another.start()
    another.join()
    os._exit(0)
# the patched one may wait forever for a child that has exited already
assert monkey.get_original("os", "waitpid")(child, 0)[1] == 0
"""


@pytest.mark.parametrize("patch", ["", "monkey.patch_all(thread=False)", "monkey.patch_all()"])
def test_a_fork_of_the_program_keeps_its_own_list_of_threads(patch: str) -> None:
    program = [sys.executable, "-W", "ignore", "-c", FORK.format(patch=patch)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "in the child\n", "")
