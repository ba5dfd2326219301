"""How far an export is, told between its thread and the window."""

from __future__ import annotations

import threading
from types import TracebackType


class Cancelled(Exception):
    """The user has stopped it. The text says what is left of it, "" for nothing."""


class ExportProgress:
    """Written by the thread that works, read by the window now and then; `cancel` goes the other way.

    A context manager for the thread: `ended` is set when it leaves.
    """

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self.done = 0
        self.cancelled = threading.Event()
        self.ended = threading.Event()

    def __enter__(self) -> ExportProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()

    def cancel(self) -> None:
        self.cancelled.set()

    def check(self) -> None:
        """Raises Cancelled once it is."""
        if self.cancelled.is_set():
            raise Cancelled

    def step(self) -> None:
        """One more is done. Raises Cancelled once it is."""
        self.check()
        self.done += 1

    def pause(self, seconds: float) -> None:
        """Wait, or raise Cancelled at once when it is."""
        self.cancelled.wait(seconds)
        self.check()
