"""The thread that talks to the catalogue, so that the window never waits for it."""

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
"""Seconds from the beginning of one look to the next."""


PAUSE_FACTOR = 3
"""A look that takes long is followed by a pause of so many times that: the catalogue has other things to do."""


POLL_RETRY_SECONDS = 1.0
"""Seconds until the next try where the catalogue did not answer well."""


REFUSED_PAUSE_SECONDS = 600.0
"""Seconds until a refused login is tried again: some sites lock an account after a few."""


REFUSAL_STATUSES = (400, 500)
"""What the catalogue answers to a filter that it cannot do: the real one a 500, as for a text search without index."""


POLLER_JOIN_SECONDS = 1.0
"""Seconds that a closing window waits for a call under way; its thread then ends by itself."""


class Poller(Qt.QObject):
    """Begins a table with its first rows, then reads what is new or changed, and single datasets when asked."""

    begun = Qt.Signal(object, object)
    """The Pages that are shown from now on, and their Top."""
    rowsRead = Qt.Signal(object, list)
    """The Pages, and datasets of them that are new or changed."""
    refused = Qt.Signal(object, str)
    """Pages that the catalogue does not understand, and why: what was shown before goes on."""
    datasetRead = Qt.Signal(str, object)
    """pid and the whole dataset, None if there is none; or a text that says why it cannot be read."""
    connectionChanged = Qt.Signal(object)
    """A Link."""

    def __init__(self, scicat: SciCat, parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self._scicat = scicat
        self._pages: Pages | None = None  # what is wanted
        self._feed: Feed | None = None  # of what is shown
        self._shown: Pages | None = None
        self._watched: tuple[Pages | None, tuple[str, ...]] = (None, ())
        self._connection = ConnectionState()
        self._wanted = ""
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._next = time.monotonic()
        self._emit_lock = threading.Lock()
        self._end = threading.Event()
        # Also where a panel is taken out of its window, and was never closed. No method of ours: it would be gone.
        self.destroyed.connect(partial(end, self._emit_lock, self._end))
        # Not a QThread: destroying one that still waits for an answer ends the whole program.
        self._thread = threading.Thread(target=self._run, name="SciCat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nothing is emitted any more when this returns."""
        end(self._emit_lock, self._end)
        self._jobs.put(None)
        self._thread.join(POLLER_JOIN_SECONDS)

    def show(self, pages: Pages) -> None:
        """Begin a table with these. If the catalogue is away, as soon as it is there."""
        self._pages = pages
        self._jobs.put(partial(self._begin, pages))

    def change(self, pages: Pages) -> None:
        """Go on with the same rows and other fields."""
        self._pages = pages
        self._jobs.put(partial(self._change_fields, pages))

    def watch(self, pages: Pages, pids: Sequence[str]) -> None:
        """As long as these pages are shown, tell of changes of these, too, when they do not fit the query any more."""
        self._watched = pages, tuple(pids[:ROWS_PER_PAGE])

    def readDataset(self, pid: str) -> None:
        """Read this dataset whole. Only the one asked for last is answered."""
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
        # Those of a table before this one need not have fitted its query.
        rows = feed.read(pids if of is pages else ())
        if rows:
            self._emit("rowsRead", pages, rows)

    def _try(self, read: Callable[[], None]) -> None:
        began, start = dt.datetime.now(), time.monotonic()
        try:
            read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the window must say it and go on
            since = self._connection.since if self._connection.problem and self._connection.since else began
            self._report(ConnectionState(problem=problem_text(error), detail=str(error), since=since))
            # A login that has expired sends no password, and may be renewed at any moment.
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
            if not self._end.is_set():  # once it is, Qt may have deleted this object, and with it its signals
                getattr(self, signal).emit(*what)
