"""The progress of an export, shared by its thread and the window."""

from __future__ import annotations

import threading
from types import TracebackType


class Cancelled(Exception):
    """The user has cancelled the export. The text says what was already written, "" for nothing."""


class ExportProgress:
    """The thread counts, and the window reads the count; the window cancels, and the thread checks for it.

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
        """Raise Cancelled if the export was cancelled."""
        if self.cancelled.is_set():
            raise Cancelled

    def step(self) -> None:
        """Count one more as done. Raises Cancelled."""
        self.check()
        self.done += 1

    def pause(self, seconds: float) -> None:
        """Wait; raises Cancelled as soon as the export is cancelled."""
        self.cancelled.wait(seconds)
        self.check()
