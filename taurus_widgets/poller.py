"""The thread that talks to the catalogue, so that the window never waits for it."""

from __future__ import annotations

import datetime as dt
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from taurus.external.qt import Qt

from ingest.scicat import Expired, NotAllowed, SciCat
from taurus_widgets.feed import Feed, problem_text

INTERVAL = 1.0
"""Seconds from the beginning of one look to the next."""

REFUSED_PAUSE = 600.0
"""Seconds until a refused login is tried again: some sites lock an account after a few."""

JOIN_TIMEOUT = 1.0
"""Seconds that a closing window waits for a call under way; its thread then ends by itself."""


@dataclass(frozen=True)
class Link:
    """How it stands with the catalogue. `problem` is "" while all is well; `detail` is for the curious."""

    connected: bool = False
    problem: str = ""
    detail: str = ""
    since: dt.datetime | None = None


class Poller(Qt.QObject):
    """Reads new and changed rows every second, and single datasets when asked."""

    rowsRead = Qt.Signal(list)
    """Datasets with the fields asked for."""
    datasetRead = Qt.Signal(str, object)
    """pid and the whole dataset, None if there is none; or a text that says why it cannot be read."""
    linkChanged = Qt.Signal(object)
    """A Link."""

    def __init__(
        self, scicat: SciCat, fields: list[str], proposal: str = "", newest: int = 200, parent: Qt.QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._scicat = scicat
        self._proposal = proposal
        self._newest = newest
        self._feed = Feed(scicat, fields, proposal, newest)
        self._link = Link()
        self._wanted = ""
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._next = time.monotonic()
        self._speaking = threading.Lock()
        self._stopped = False
        # Not a QThread: destroying one that still waits for an answer ends the whole program.
        self._thread = threading.Thread(target=self._run, name="SciCat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nothing is emitted any more when this returns."""
        with self._speaking:
            self._stopped = True
        self._jobs.put(None)
        self._thread.join(JOIN_TIMEOUT)

    def setFields(self, fields: list[str]) -> None:
        """Read all rows again, with these fields."""
        feed = Feed(self._scicat, fields, self._proposal, self._newest)
        self._jobs.put(partial(self._start_again, feed))

    def ask(self, pid: str) -> None:
        """Read this dataset whole. Only the one asked for last is answered."""
        self._wanted = pid
        self._jobs.put(partial(self._read_dataset, pid))

    # ---------------------------------------------------------------- in the thread

    def _run(self) -> None:
        while not self._stopped:
            try:
                job = self._jobs.get(timeout=max(0.0, self._next - time.monotonic()))
            except queue.Empty:
                job = self._poll
            if job is not None:
                job()

    def _start_again(self, feed: Feed) -> None:
        self._feed = feed
        self._next = time.monotonic()

    def _poll(self) -> None:
        began = dt.datetime.now()
        self._next = time.monotonic() + INTERVAL
        try:
            rows = self._feed.read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the window must say it and go on
            if isinstance(error, NotAllowed) and not isinstance(error, Expired):  # that one sends no password
                self._next = time.monotonic() + REFUSED_PAUSE
            since = self._link.since if self._link.problem and self._link.since else began
            self._say(Link(problem=problem_text(error), detail=str(error), since=since))
            return
        if rows:
            self._emit(self.rowsRead, rows)
        self._say(Link(connected=True))

    def _say(self, link: Link) -> None:
        if link != self._link:
            self._link = link
            self._emit(self.linkChanged, link)

    def _read_dataset(self, pid: str) -> None:
        if pid != self._wanted:
            return
        try:
            answer: object = self._scicat.dataset(pid)
        except Exception as error:  # noqa: BLE001 - as above
            answer = problem_text(error)
        self._emit(self.datasetRead, pid, answer)

    def _emit(self, signal: Qt.pyqtBoundSignal, *what: object) -> None:
        with self._speaking:
            if not self._stopped:
                signal.emit(*what)
