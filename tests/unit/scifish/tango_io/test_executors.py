"""Threads that are made as they are needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from scifish.tango_io.executors import Crew, Later, Line
from tests.waiting import PATIENCE, eventually


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Open at the end, so that what hangs on it ends with its test."""
    found = threading.Event()
    yield found
    found.set()


def test_what_hangs_holds_up_nothing_else(gate: threading.Event) -> None:
    crew, done = Crew("test"), threading.Event()
    for _ in range(100):
        crew.give(gate.wait)
    crew.give(done.set)
    assert done.wait(PATIENCE)
    assert crew.threads == 101
    crew.stop()


def test_threads_are_used_again_and_leave_when_there_is_nothing_to_do() -> None:
    crew = Crew("test")
    for _ in range(20):
        done = threading.Event()
        crew.give(done.set)
        assert done.wait(PATIENCE)
        assert eventually(lambda: crew.busy == 0)
    assert crew.threads == 1
    crew.stop()
    crew = Crew("test", idle=0.05)
    for _ in range(2):
        done = threading.Event()
        crew.give(done.set)
        assert done.wait(PATIENCE)
        assert eventually(lambda: crew.threads == 0)
    crew.stop()


def test_more_work_than_threads_waits_and_is_done(gate: threading.Event) -> None:
    crew, done = Crew("test", most=2), threading.Semaphore(0)
    for _ in range(2):
        crew.give(gate.wait)
    for _ in range(10):
        crew.give(done.release)
    assert (crew.threads, crew.busy) == (2, 12)
    gate.set()
    assert all(done.acquire(timeout=PATIENCE) for _ in range(10))
    crew.stop()


def test_a_system_that_allows_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    crew, done = Crew("test"), threading.Semaphore(0)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        crew.give(done.release)
    assert crew.threads == 0
    crew.give(done.release)
    assert all(done.acquire(timeout=PATIENCE) for _ in range(2))
    crew.stop()


def test_after_its_stop_a_crew_does_nothing() -> None:
    crew, done = Crew("test"), threading.Event()
    crew.give(lambda: None)
    crew.stop(PATIENCE)
    crew.give(done.set)
    assert not [thread for thread in threading.enumerate() if thread.name == "test"]
    assert not done.is_set()


def test_a_line_does_its_work_in_turn_and_beside_other_lines(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    crew, done, order = Crew("test"), threading.Event(), list[int]()
    slow, quick = Line(crew), Line(crew)
    slow.give(gate.wait)
    slow.give(lambda: order.append(1))
    slow.give(lambda: 1 // 0)
    slow.give(lambda: order.append(2))
    quick.give(done.set)
    assert done.wait(PATIENCE)
    assert not order
    gate.set()
    assert eventually(lambda: order == [1, 2])
    assert "ZeroDivisionError" in caplog.text
    crew.stop()


def test_later_gives_work_in_the_order_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("scifish.tango_io.executors.time", SimpleNamespace(monotonic=lambda: clock[0]))
    crew, order = Crew("test", most=1), list[str]()
    later = Later(crew)
    later.give(0.3, lambda: order.append("last"))
    later.give(0.1, lambda: order.append("first"))
    later.give(0.1, lambda: order.append("second"))
    assert order == []
    clock[0] = 0.2
    assert eventually(lambda: len(order) >= 2)
    assert order == ["first", "second"]
    clock[0] = 0.3
    assert eventually(lambda: order == ["first", "second", "last"])
    later.stop()
    crew.stop()


def test_after_its_stop_later_is_now() -> None:
    crew, order = Crew("test", most=1), list[str]()
    later = Later(crew)
    later.give(3600.0, lambda: order.append("last"))
    later.give(1800.0, lambda: order.append("first"))
    later.stop()
    later.give(3600.0, lambda: order.append("new"))
    assert eventually(lambda: order == ["first", "last", "new"])
    crew.stop()
    assert eventually(lambda: not any(thread.name == "scifish-later" for thread in threading.enumerate()))
