"""Calls in other threads, whose results arrive in the window's thread."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from taurus_widgets.qt.calls import Calls
from tests.ui.held_catalogue import answered
from tests.waiting import PATIENCE


def fail(text: str) -> None:
    raise ValueError(text)


def test_results_arrive_in_the_windows_thread(qtbot: QtBot) -> None:
    calls = Calls()
    results: list[object] = []
    calls.run(lambda: threading.current_thread(), results.append, results.append)
    calls.run(lambda: fail("no"), results.append, lambda error: results.extend([error, threading.current_thread()]))
    qtbot.waitUntil(lambda: len(results) == 3)
    error = next(one for one in results if isinstance(one, ValueError))
    threads = [one for one in results if one is not error]
    assert str(error) == "no"
    assert threading.current_thread() in threads
    assert any(thread is not threading.current_thread() for thread in threads)
    calls.stop()


def test_only_the_last_call_of_a_key_gets_its_result(qtbot: QtBot) -> None:
    calls = Calls()
    results: list[int] = []
    all_are_asked_for = threading.Event()

    def work(number: int) -> int:
        all_are_asked_for.wait(PATIENCE)
        return number

    for number in range(20):
        calls.run(partial(work, number), results.append, lambda _: results.append(-1), "page")
    all_are_asked_for.set()
    answered(qtbot, calls)
    assert results == [19]
    calls.stop()


@pytest.mark.parametrize("how", ["cancel", "stop"])
def test_a_cancelled_call_gets_no_result(qtbot: QtBot, how: str) -> None:
    before = set(threading.enumerate())
    calls = Calls(threads=1)
    threads = set(threading.enumerate()) - before
    results: list[object] = []
    began, may_end = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait(PATIENCE)

    call = calls.run(work, results.append, results.append)
    never = calls.run(lambda: results.append("begun"), results.append, results.append)
    assert began.wait(PATIENCE)
    if how == "cancel":
        call.cancel()
        never.cancel()
    else:
        calls.stop()
    may_end.set()
    if how == "cancel":
        answered(qtbot, calls, threads=1)
        calls.stop()
    qtbot.waitUntil(lambda: not any(thread.is_alive() for thread in threads))
    Qt.QApplication.processEvents()
    assert results == []


def test_deleted_without_stop_it_emits_nothing_more_and_ends(qtbot: QtBot) -> None:
    before = set(threading.enumerate())
    owner = Qt.QObject()
    calls = Calls(owner, threads=2)
    threads = set(threading.enumerate()) - before
    results: list[object] = []
    began, may_end = threading.Event(), threading.Event()
    calls.run(lambda: began.set() or may_end.wait(PATIENCE), results.append, results.append)  # type: ignore[func-returns-value]
    assert began.wait(PATIENCE)
    with qtbot.waitSignal(owner.destroyed):
        owner.deleteLater()
    may_end.set()
    qtbot.waitUntil(lambda: not any(thread.is_alive() for thread in threads))
    assert results == []
