"""The thread that polls the catalogue, so that the window never waits for it."""

from __future__ import annotations

import datetime as dt
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from taurus.external.qt import Qt

from ingest.scicat import Expired, NotAllowed, SciCat, SciCatError
from taurus_widgets.qt.calls import end
from taurus_widgets.qt.connection import ConnectionState
from taurus_widgets.scanlog.data.feed import Feed, problem_text
from taurus_widgets.scanlog.data.pages import ROWS_PER_PAGE, Pages

POLL_INTERVAL_SECONDS = 0.5
"""From the start of one poll to the start of the next."""


PAUSE_FACTOR = 3
"""The pause after a poll is at least its duration times this factor, to spare a busy catalogue."""


POLL_RETRY_SECONDS = 1.0
"""Time until the next attempt after an error."""


REFUSED_PAUSE_SECONDS = 600.0
"""Time until a refused login is retried: some sites lock an account after a few attempts."""


REFUSAL_STATUSES = (400, 500)
"""HTTP statuses for a filter that the catalogue does not support: SciCat answers 500 to a search without an index."""


POLLER_JOIN_SECONDS = 1.0
"""How long a closing window waits for a call in progress. The thread is a daemon, so it can be left behind."""


class Poller(Qt.QObject):
    """Reads the first rows of a table, then what is new or changed, and single datasets on request."""

    begun = Qt.Signal(object, object)
    """The Pages that are shown from now on, and their Top."""
    rowsRead = Qt.Signal(object, list)
    """The Pages, and datasets of them that are new or changed."""
    refused = Qt.Signal(object, str)
    """Pages that the catalogue refuses, and why. The pages that were shown before stay in use."""
    datasetRead = Qt.Signal(str, object)
    """pid and the whole dataset; None if it does not exist, or a text with the reason why it cannot be read."""
    connectionChanged = Qt.Signal(object)
    """A ConnectionState."""

    def __init__(self, scicat: SciCat, parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self._scicat = scicat
        self._pages: Pages | None = None  # requested
        self._feed: Feed | None = None  # of the shown pages
        self._shown: Pages | None = None
        self._watched: tuple[Pages | None, tuple[str, ...]] = (None, ())
        self._connection = ConnectionState()
        self._wanted = ""
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._next = time.monotonic()
        self._emit_lock = threading.Lock()
        self._end = threading.Event()
        # For a panel that is deleted without being closed. Not a method: this object no longer exists by then.
        self.destroyed.connect(partial(end, self._emit_lock, self._end))
        # Not a QThread: destroying one during a call aborts the program.
        self._thread = threading.Thread(target=self._run, name="SciCat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nothing is emitted after this returns."""
        end(self._emit_lock, self._end)
        self._jobs.put(None)
        self._thread.join(POLLER_JOIN_SECONDS)

    def show(self, pages: Pages) -> None:
        """Start a table with these pages; if the catalogue is not available, as soon as it is."""
        self._pages = pages
        self._jobs.put(partial(self._begin, pages))

    def change(self, pages: Pages) -> None:
        """Continue with the same rows and other fields."""
        self._pages = pages
        self._jobs.put(partial(self._change_fields, pages))

    def watch(self, pages: Pages, pids: Sequence[str]) -> None:
        """While these pages are shown, also report changes of these datasets if they no longer match the query."""
        self._watched = pages, tuple(pids[:ROWS_PER_PAGE])

    def readDataset(self, pid: str) -> None:
        """Read this whole dataset. Only the last request is answered."""
        self._wanted = pid
        self._jobs.put(partial(self._read_dataset, pid))

    # ---------------------------------------------------------------- in the thread

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                job = self._jobs.get(timeout=max(0.0, self._next - time.monotonic()))
            except queue.Empty:
                job = self._poll
            if job is not None:
                job()

    def _begin(self, pages: Pages) -> None:
        if pages is self._pages and pages is not self._shown:
            self._try(partial(self._read_top, pages))

    def _read_top(self, pages: Pages) -> None:
        try:
            top = pages.top()
        except SciCatError as error:
            if error.status not in REFUSAL_STATUSES or self._shown is None:
                raise
            self._pages = self._shown
            self._emit("refused", pages, str(error))
            return
        if pages is self._pages:
            self._feed, self._shown = Feed(pages, top.since), pages
            self._emit("begun", pages, top)

    def _change_fields(self, pages: Pages) -> None:
        if self._feed is not None and pages is self._pages:
            self._feed, self._shown = Feed(pages, self._feed.since), pages

    def _poll(self) -> None:
        pages, feed = self._pages, self._feed
        if pages is not None and pages is not self._shown:
            self._begin(pages)
        elif pages is not None and feed is not None:
            self._try(partial(self._read_changes, pages, feed))
        else:
            self._next = time.monotonic() + POLL_INTERVAL_SECONDS

    def _read_changes(self, pages: Pages, feed: Feed) -> None:
        of, pids = self._watched
        # Pids of an earlier table need not match the query of this one.
        rows = feed.read(pids if of is pages else ())
        if rows:
            self._emit("rowsRead", pages, rows)

    def _try(self, read: Callable[[], None]) -> None:
        began, start = dt.datetime.now(), time.monotonic()
        try:
            read()
        except Exception as error:  # noqa: BLE001 - any error must be shown, and the thread must continue
            since = self._connection.since if self._connection.problem and self._connection.since else began
            self._report(ConnectionState(problem=problem_text(error), detail=str(error), since=since))
            # An expired login sends no password, so it cannot lock the account; it may be renewed at any time.
            refused = isinstance(error, NotAllowed) and not isinstance(error, Expired)
            self._next = start + (REFUSED_PAUSE_SECONDS if refused else POLL_RETRY_SECONDS)
            return
        self._next = max(start + POLL_INTERVAL_SECONDS, time.monotonic() + PAUSE_FACTOR * (time.monotonic() - start))
        self._report(ConnectionState(connected=True))

    def _report(self, state: ConnectionState) -> None:
        if state != self._connection:
            self._connection = state
            self._emit("connectionChanged", state)

    def _read_dataset(self, pid: str) -> None:
        if pid != self._wanted:
            return
        try:
            answer: object = self._scicat.dataset(pid)
        except Exception as error:  # noqa: BLE001 - as above
            answer = problem_text(error)
        self._emit("datasetRead", pid, answer)

    def _emit(self, signal: str, *what: object) -> None:
        with self._emit_lock:
            if not self._end.is_set():  # otherwise Qt may have deleted this object and its signals
                getattr(self, signal).emit(*what)
