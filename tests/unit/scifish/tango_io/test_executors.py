"""Threads that are made as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from scifish.native import threading
from scifish.tango_io.executors import DelayedExecutor, SerialExecutor, ThreadPool
from tests.waiting import PATIENCE, eventually


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Open at the end, so that what hangs on it ends with its test."""
    found = threading.Event()
    yield found
    found.set()


def test_what_hangs_holds_up_nothing_else(gate: threading.Event) -> None:
    pool, done = ThreadPool("test"), threading.Event()
    for _ in range(100):
        pool.submit(gate.wait)
    pool.submit(done.set)
    assert done.wait(PATIENCE)
    assert pool.threads == 101
    pool.stop()


def test_threads_are_used_again_and_leave_when_there_is_nothing_to_do() -> None:
    pool = ThreadPool("test")
    for _ in range(20):
        done = threading.Event()
        pool.submit(done.set)
        assert done.wait(PATIENCE)
        assert eventually(lambda: pool.busy == 0)
    assert pool.threads == 1
    pool.stop()
    pool = ThreadPool("test", idle=0.05)
    for _ in range(2):
        done = threading.Event()
        pool.submit(done.set)
        assert done.wait(PATIENCE)
        assert eventually(lambda: pool.threads == 0)
    pool.stop()


def test_more_work_than_threads_waits_and_is_done(gate: threading.Event) -> None:
    pool, done = ThreadPool("test", max_threads=2), threading.Semaphore(0)
    for _ in range(2):
        pool.submit(gate.wait)
    for _ in range(10):
        pool.submit(done.release)
    assert (pool.threads, pool.busy) == (2, 12)
    gate.set()
    assert all(done.acquire(timeout=PATIENCE) for _ in range(10))
    pool.stop()


def test_a_system_that_allows_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, done = ThreadPool("test"), threading.Semaphore(0)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        pool.submit(done.release)
    assert pool.threads == 0
    pool.submit(done.release)
    assert all(done.acquire(timeout=PATIENCE) for _ in range(2))
    pool.stop()


def test_after_its_stop_a_crew_does_nothing() -> None:
    pool, done = ThreadPool("test"), threading.Event()
    pool.submit(lambda: None)
    pool.stop(PATIENCE)
    pool.submit(done.set)
    assert not [thread for thread in threading.enumerate() if thread.name == "test"]
    assert not done.is_set()


def test_a_line_does_its_work_in_turn_and_beside_other_lines(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    pool, done, order = ThreadPool("test"), threading.Event(), list[int]()
    slow, quick = SerialExecutor(pool), SerialExecutor(pool)
    slow.submit(gate.wait)
    slow.submit(lambda: order.append(1))
    slow.submit(lambda: 1 // 0)
    slow.submit(lambda: order.append(2))
    quick.submit(done.set)
    assert done.wait(PATIENCE)
    assert not order
    gate.set()
    assert eventually(lambda: order == [1, 2])
    assert "ZeroDivisionError" in caplog.text
    pool.stop()


def test_later_gives_work_in_the_order_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("scifish.tango_io.executors.time", SimpleNamespace(monotonic=lambda: clock[0]))
    pool, order = ThreadPool("test", max_threads=1), list[str]()
    later = DelayedExecutor(pool)
    later.submit(0.3, lambda: order.append("last"))
    later.submit(0.1, lambda: order.append("first"))
    later.submit(0.1, lambda: order.append("second"))
    assert order == []
    clock[0] = 0.2
    assert eventually(lambda: len(order) >= 2)
    assert order == ["first", "second"]
    clock[0] = 0.3
    assert eventually(lambda: order == ["first", "second", "last"])
    later.stop()
    pool.stop()


def test_after_its_stop_later_is_now() -> None:
    pool, order = ThreadPool("test", max_threads=1), list[str]()
    later = DelayedExecutor(pool)
    later.submit(3600.0, lambda: order.append("last"))
    later.submit(1800.0, lambda: order.append("first"))
    later.stop()
    later.submit(3600.0, lambda: order.append("new"))
    assert eventually(lambda: order == ["first", "last", "new"])
    pool.stop()
    assert eventually(lambda: not any(thread.name == "scifish-delayed" for thread in threading.enumerate()))
