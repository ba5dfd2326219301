"""Work for other threads, so that the window never waits: a call's answer comes back in the window's own thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from taurus.external.qt import Qt

THREADS = 4
"""Calls at once. A catalogue that hangs takes all of them until its time-out, and the window none the less answers."""


@dataclass(eq=False)
class Call:
    """One piece of work. `cancel` makes it useless: if it has not begun it never will, and nobody gets its answer."""

    work: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]
    key: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)

    def cancel(self) -> None:
        self.cancelled.set()


@dataclass(eq=False)
class _ThreadGroup:
    """What the threads of one start share. No widget is in it: they may outlive all of those."""

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
        """Those to do, in their order, until it has ended."""
        while (call := self.waiting.get()) is not None and (self.finish_all or not self.ended.is_set()):
            if not call.cancelled.is_set():
                yield call


class Calls(Qt.QObject):
    """Runs calls in threads of its own. All methods are for the window's thread.

    `whole`: what was asked for before it is stopped is done all the same, unheard.

    Not QThread and not QThreadPool: destroying one that still waits for an answer holds up, or ends, the program.
    """

    _answered = Qt.Signal(object, object, object)

    def __init__(self, parent: Qt.QObject | None = None, threads: int = THREADS, finish_all: bool = False) -> None:
        super().__init__(parent)
        self._latest: dict[str, Call] = {}
        self._group = _ThreadGroup(threads, finish_all)
        self._answered.connect(self._deliver, Qt.Qt.QueuedConnection)
        self._begin()

    def _begin(self) -> None:
        # Also where a panel is taken out of its window, and was never closed. No method of ours: it would be gone.
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
        """Do `work` in a thread, then `done` with what it returns, or `failed` with what it raises, in the window's.

        An earlier call with the same `key` that is not answered yet is cancelled: only the last one's answer counts.
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
        """Nothing is delivered any more when this returns. Work that has begun ends by itself, unheard."""
        self._group.end()

    def restart(self) -> None:
        """Go on after `stop`. What was asked for before that gets no answer."""
        if self._group.ended.is_set():
            self._group = _ThreadGroup(self._group.threads, self._group.finish_all)
            self._latest.clear()
            self._begin()

    def _run(self, group: _ThreadGroup) -> None:
        for call in group.calls():
            try:
                answer: tuple[bool, Any] = (True, call.work())
            except Exception as error:  # noqa: BLE001 - whoever asked must say it
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
    """Set it when nobody emits. Nobody who asks for it under this lock emits after that."""
    with emit_lock:
        ended.set()
