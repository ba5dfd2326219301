"""A catalogue whose answers come when the test says so: what must not wait for one is done while none can come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytestqt.qtbot import QtBot

from ingest.scicat import SciCat
from taurus_widgets.qt.calls import THREADS, Calls
from tests.servers.catalogue import Catalogue
from tests.ui.accounts import INGESTOR
from tests.waiting import PATIENCE


class Held(SciCat):
    """No call that `which` is true of (method, path) comes to the server, or back, as long as they are held."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(catalogue.url, INGESTOR.username, INGESTOR.password, timeout=PATIENCE)
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
        """What goes through it is held as well."""
        return self


def answered(qtbot: QtBot, calls: Calls, threads: int = THREADS) -> None:
    """Wait until all that these threads were asked for so far is done, and whoever asked has heard of it."""
    together = threading.Barrier(threads)  # each takes one of these, and then nothing from before them is under way
    results: list[object] = []
    for _ in range(threads):
        calls.run(lambda: together.wait(PATIENCE), results.append, results.append)
    qtbot.waitUntil(lambda: len(results) == threads)
