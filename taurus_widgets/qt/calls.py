"""Runs calls in other threads, so that the window never waits. Results arrive in the window's thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from taurus.external.qt import Qt

THREADS = 4
"""Calls that run at the same time. A catalogue that hangs blocks them until the time-out, but not the window."""


@dataclass(eq=False)
class Call:
    """One piece of work. After `cancel` it is not started any more, and its result is dropped."""

    work: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]
    key: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)

    def cancel(self) -> None:
        self.cancelled.set()


@dataclass(eq=False)
class _ThreadGroup:
    """What the threads of one start share. It refers to no widget: the threads may outlive all widgets."""

    threads: int
    finish_all: bool
    waiting: queue.SimpleQueue[Call | None] = field(default_factory=queue.SimpleQueue)
    emit_lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    def end(self, _: object = None) -> None:
        end(self.emit_lock, self.ended)
        for _thread in range(self.threads):
            self.waiting.put(None)

    def calls(self) -> Iterator[Call]:
        """The calls to run, in order, until `end`."""
        while (call := self.waiting.get()) is not None and (self.finish_all or not self.ended.is_set()):
            if not call.cancelled.is_set():
                yield call


class Calls(Qt.QObject):
    """A small pool of threads. All methods are for the window's thread.

    With `finish_all`, calls that were submitted before `stop` still run; their results are dropped.

    Not QThread or QThreadPool: destroying one while a call is in progress blocks or aborts the program.
    """

    _answered = Qt.Signal(object, object, object)

    def __init__(self, parent: Qt.QObject | None = None, threads: int = THREADS, finish_all: bool = False) -> None:
        super().__init__(parent)
        self._latest: dict[str, Call] = {}
        self._group = _ThreadGroup(threads, finish_all)
        self._answered.connect(self._deliver, Qt.Qt.QueuedConnection)
        self._begin()

    def _begin(self) -> None:
        # For a panel that is deleted without being closed. Not a method: this object no longer exists by then.
        self.destroyed.connect(self._group.end)
        for number in range(self._group.threads):
            threading.Thread(target=self._run, args=[self._group], name=f"call-{number + 1}", daemon=True).start()

    def run(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        key: str = "",
    ) -> Call:
        """Run `work` in a thread; then, in the window's thread, `done` with its result or `failed` with its exception.

        An earlier unfinished call with the same `key` is cancelled: only the result of the last one is used.
        """
        call = Call(work, done, failed, key)
        if key:
            earlier = self._latest.get(key)
            if earlier is not None:
                earlier.cancel()
            self._latest[key] = call
        self._group.waiting.put(call)
        return call

    def stop(self) -> None:
        """No result is delivered after this returns. Work in progress is not interrupted; its result is dropped."""
        self._group.end()

    def restart(self) -> None:
        """Continue after `stop`. Calls from before `stop` get no result."""
        if self._group.ended.is_set():
            self._group = _ThreadGroup(self._group.threads, self._group.finish_all)
            self._latest.clear()
            self._begin()

    def _run(self, group: _ThreadGroup) -> None:
        for call in group.calls():
            try:
                answer: tuple[bool, Any] = (True, call.work())
            except Exception as error:  # noqa: BLE001 - passed on to the caller's `failed`
                answer = (False, error)
            with group.emit_lock:
                if not group.ended.is_set():
                    self._answered.emit(call, answer, group)

    def _deliver(self, call: Call, answer: tuple[bool, Any], group: _ThreadGroup) -> None:
        if self._latest.get(call.key) is call:
            del self._latest[call.key]
        if group.ended.is_set() or call.cancelled.is_set():
            return
        good, found = answer
        (call.done if good else call.failed)(found)


def end(emit_lock: threading.Lock, ended: threading.Event, _: object = None) -> None:
    """Set `ended` while no thread emits. A thread that checks it under the lock emits nothing afterwards."""
    with emit_lock:
        ended.set()
