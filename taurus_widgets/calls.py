"""Work for other threads, so that the window never waits: a call's answer comes back in the window's own thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
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


class Calls(Qt.QObject):
    """Runs calls in threads of its own. All methods are for the window's thread.

    Not QThread and not QThreadPool: destroying one that still waits for an answer holds up, or ends, the program.
    """

    _answered = Qt.Signal(object, object)

    def __init__(self, parent: Qt.QObject | None = None, threads: int = THREADS) -> None:
        super().__init__(parent)
        self._waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._latest: dict[str, Call] = {}
        self._speaking = threading.Lock()
        self._end = threading.Event()
        # Also where a panel is taken out of its window, and was never closed. No method of ours: it would be gone.
        self.destroyed.connect(partial(_end_all, self._speaking, self._end, self._waiting, threads))
        self._threads = threads
        self._answered.connect(self._deliver, Qt.Qt.QueuedConnection)
        for number in range(threads):
            threading.Thread(target=self._run, name=f"call-{number + 1}", daemon=True).start()

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
        self._waiting.put(call)
        return call

    def stop(self) -> None:
        """Nothing is delivered any more when this returns. Work that has begun ends by itself, unheard."""
        _end_all(self._speaking, self._end, self._waiting, self._threads)

    def _run(self) -> None:
        while (call := self._waiting.get()) is not None and not self._end.is_set():
            if call.cancelled.is_set():
                continue
            try:
                answer: tuple[bool, Any] = (True, call.work())
            except Exception as error:  # noqa: BLE001 - whoever asked must say it
                answer = (False, error)
            with self._speaking:
                if not self._end.is_set():
                    self._answered.emit(call, answer)

    def _deliver(self, call: Call, answer: tuple[bool, Any]) -> None:
        if self._latest.get(call.key) is call:
            del self._latest[call.key]
        if self._end.is_set() or call.cancelled.is_set():
            return
        good, found = answer
        (call.done if good else call.failed)(found)


def end(speaking: threading.Lock, ended: threading.Event, _: object = None) -> None:
    """Set it when nobody emits. Nobody who asks for it under this lock emits after that."""
    with speaking:
        ended.set()


def _end_all(
    speaking: threading.Lock,
    ended: threading.Event,
    waiting: queue.SimpleQueue[Call | None],
    threads: int,
    _: object = None,
) -> None:
    end(speaking, ended)
    for _thread in range(threads):
        waiting.put(None)
