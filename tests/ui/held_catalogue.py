"""A catalogue whose answers are held until the test releases them, to test what must not wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytestqt.qtbot import QtBot

from ingest.scicat import SciCat
from taurus_widgets.qt.calls import THREADS, Calls
from tests.servers.catalogue import Catalogue
from tests.waiting import PATIENCE


class Held(SciCat):
    """While held, no call for which `which(method, path)` is true reaches the server or returns."""

    def __init__(self, catalogue: Catalogue) -> None:
        account = catalogue.ingestor
        super().__init__(catalogue.url, account.username, account.password, timeout=PATIENCE)
        self._changed = threading.Condition()
        self._which: Callable[[str, str], bool] | None = None
        self.waiting = 0
        """Calls that would go on."""

    @contextmanager
    def held(self, which: Callable[[str, str], bool] = lambda method, path: True) -> Iterator[None]:
        self._which = which
        try:
            yield
        finally:
            with self._changed:
                self._which = None
                self._changed.notify_all()

    def call(self, method: str, path: str, *what: Any, **more: Any) -> Any:
        with self._changed:
            if self._which is not None and self._which(method, path):
                self.waiting += 1
                self._changed.wait_for(lambda: self._which is None)
                self.waiting -= 1
        return super().call(method, path, *what, **more)

    def twin(self) -> SciCat:
        """A client whose calls are held as well."""
        return self


def answered(qtbot: QtBot, calls: Calls, threads: int = THREADS) -> None:
    """Wait until all earlier calls of these threads are done and their results are delivered."""
    together = threading.Barrier(threads)  # each thread takes one of these calls, so no earlier one is in progress
    results: list[object] = []
    for _ in range(threads):
        calls.run(lambda: together.wait(PATIENCE), results.append, results.append)
    qtbot.waitUntil(lambda: len(results) == threads)
