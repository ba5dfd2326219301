"""The thread that writes the spool: each failure is reported as what it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from scifish import native
from scifish.native import threading
from scifish.spool import executor as module
from scifish.spool.executor import SpoolExecutor
from tests.waiting import eventually


@pytest.fixture
def executor() -> Iterator[SpoolExecutor]:
    made = SpoolExecutor()
    yield made
    made.stop(10.0)


def test_a_thread_that_fails_is_not_shown_as_a_disk_that_hangs(
    executor: SpoolExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native, "RESTART_SECONDS", 0.0)
    executor._queue.put("no task")  # type: ignore[arg-type]
    assert eventually(lambda: executor.trouble)
    assert executor.warning == (
        "metadata are kept in memory only: the spool is not written (the thread scifish-spool failed "
        "(AttributeError: 'str' object has no attribute 'in_order'); it is started again)"
    )
    written: list[int] = []
    executor.submit_and_wait(lambda: written.append(1))
    assert eventually(lambda: written == [1] and not executor.trouble)
    assert "the spool is written again" in caplog.text
    assert "disk" not in caplog.text


def test_a_disk_that_hangs_is_reported_as_that(
    executor: SpoolExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "DISK_WAIT_SECONDS", 0.05)
    at_disk, answers = threading.Event(), threading.Event()
    executor.submit(lambda: (at_disk.set(), answers.wait()))
    assert eventually(at_disk.is_set)
    executor.submit_and_wait(lambda: None)
    assert executor.warning == (
        "metadata are kept in memory only: the disk of the spool refuses writes (it does not answer)"
    )
    answers.set()
    assert eventually(lambda: not executor.trouble)
    assert "the disk of the spool accepts writes again" in caplog.text


def test_a_thread_that_gets_no_processor_is_reported_as_that(
    executor: SpoolExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    future: native.Future[None] = native.Future()  # of a task that nobody runs
    monkeypatch.setattr(executor, "submit_retrying", lambda work: future)
    monkeypatch.setattr(module, "DISK_WAIT_SECONDS", 0.05)
    with caplog.at_level(logging.WARNING):
        executor.submit_and_wait(lambda: None)
    assert "waits for the processor" in executor.warning
    assert "disk" not in caplog.text


def test_an_entry_after_the_end_is_reported_as_that(executor: SpoolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    executor.stop(10.0)
    executor.submit_and_wait(lambda: None)
    assert "the spool is closed" in caplog.text
    assert "disk" not in caplog.text
