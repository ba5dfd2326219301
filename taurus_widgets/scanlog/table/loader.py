"""Loads the rows on the screen into the model, page by page, and keeps memory bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from taurus.external.qt import Qt

from taurus_widgets.qt.calls import Call, Calls
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.pages import ROWS_PER_PAGE, Pages
from taurus_widgets.scanlog.table.model import ScanModel

MAX_PAGES = 20
"""Pages in memory; the least recently shown are dropped."""

MAX_PAGE_CALLS = 2
"""Pages that are read at the same time. A page that leaves the screen before its turn is not read."""

SCROLL_PAUSE_MS = 20
"""From a change of the shown rows to the request: while the scroll bar is dragged, most rows leave at once."""

PAGE_RETRY_MS = 2000
"""Time until a failed request is retried."""

MAX_NEW_ROWS = 500
"""With more new rows above the catalogue's own list, they become part of that list."""


class PageLoader(Qt.QObject):
    """Requests the missing pages of the rows on the screen. All methods are for the window's thread."""

    counted = Qt.Signal()
    """The number of rows was set to the catalogue's count."""

    def __init__(
        self, scans: ScanModel, calls: Calls, shown: Callable[[], range], parent: Qt.QObject | None = None
    ) -> None:
        """`shown` returns the rows on the screen."""
        super().__init__(parent)
        self._scans = scans
        self._calls = calls
        self.pages: Pages | None = None
        """The pages that the rows belong to; None before `begin`."""
        self._loaded: OrderedDict[int, None] = OrderedDict()  # pages, the one shown last at the end
        self._reading: dict[int, Call] = {}
        self._shown = shown
        self._shownRows = range(0)
        self._pinned: Callable[[int], bool] = lambda _row: False
        self._aligning: Call | None = None
        self._settle = self._timer(SCROLL_PAUSE_MS, self._readMissing)
        self._retry = self._timer(PAGE_RETRY_MS, self._retryNow)
        self._uncounted = self._misaligned = False
        self._numbering = 0

    def _timer(self, interval: int, tick: Callable[[], None]) -> Qt.QTimer:
        timer = Qt.QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(interval)
        timer.timeout.connect(tick)
        return timer

    @property
    def counting(self) -> bool:
        """Whether there are more rows than in the model, and the catalogue has not counted them yet."""
        return self._uncounted

    # ----------------------------------------------------------------------- events

    def begin(self, pages: Pages, rows: int) -> None:
        """The model was reset to this number of rows of these pages."""
        self.stop()
        self.pages = pages
        self._uncounted = rows >= ROWS_PER_PAGE
        if self._uncounted:
            self._count()
        if rows:
            self._loaded[0] = None

    def stop(self) -> None:
        """Cancel all requests."""
        for call in self._reading.values():
            call.cancel()
        if self._aligning is not None:
            self._aligning.cancel()
        self._reading.clear()
        self._loaded.clear()
        self._retry.stop()
        self._settle.stop()
        self._aligning = self.pages = None
        self._uncounted = self._misaligned = False

    def change(self, pages: Pages) -> None:
        """Read the same rows with other fields."""
        if self.pages is not None:
            self.pages = pages
            self._scans.fold()
            self._reload()

    def shownRowsChanged(self) -> None:
        """Other rows may be on the screen."""
        shown = self._shown()
        if shown != self._shownRows:
            self._shownRows = shown
            if self.pages is not None and not self._settle.isActive():
                self._settle.start()

    def pin(self, wanted: Callable[[int], bool]) -> None:
        """Keep the rows for which `wanted` is true in memory, also when they are not on the screen."""
        self._pinned = wanted

    def moved(self) -> None:
        """The catalogue has more or fewer datasets among the rows that are not in memory."""
        if self._aligning is None:
            self._align()
        else:
            self._misaligned = True

    def tidy(self) -> None:
        """New rows were added above."""
        if self._scans.above > MAX_NEW_ROWS:
            self._scans.fold()
            self._reload()

    # ------------------------------------------------------------------------- pages

    def _readMissing(self) -> None:
        if self.pages is None:
            return
        self._renumber()
        wanted = self._wanted()
        for page in wanted:
            if page in self._loaded:
                self._loaded.move_to_end(page)
            elif page not in self._reading and len(self._reading) < MAX_PAGE_CALLS:
                self._read(self.pages, page)

    def _wanted(self) -> list[int]:
        """The pages on the screen, then those of one screen in both directions."""
        shown, above = self._shown(), self._scans.above
        first, last, room = shown.start - above, shown.stop - 1 - above, len(shown)
        most = self._scans.rowCount() - above - 1
        ends = [(first, last), (last + 1, last + room), (first - room, first - 1)]
        spans = [
            range(max(low, 0) // ROWS_PER_PAGE, min(high, most) // ROWS_PER_PAGE + 1) for low, high in ends if high >= 0
        ]
        return list(dict.fromkeys(page for span in spans for page in span))

    def _read(self, pages: Pages, page: int) -> None:
        # Always a whole page: fewer rows than expected mean that datasets were deleted.
        work = partial(pages.page, page * ROWS_PER_PAGE, ROWS_PER_PAGE, self._scans.bound)
        got = partial(self._pageRead, pages, page, self._scans.numbering)
        self._reading[page] = self._calls.run(work, got, partial(self._failed, page))

    def _renumber(self) -> None:
        """Drop pages whose first row has moved, unless all their rows are in memory."""
        if self._numbering != self._scans.numbering:
            self._numbering = self._scans.numbering
            end = self._scans.rowCount() - self._scans.above
            for page in list(self._loaded):
                rows = range(page * ROWS_PER_PAGE, min(page * ROWS_PER_PAGE + ROWS_PER_PAGE, end))
                if any(self._scans.dataset(self._scans.above + row) is None for row in rows):
                    del self._loaded[page]

    def _pageRead(self, pages: Pages, page: int, numbering: int, rows: list[Json]) -> None:
        del self._reading[page]
        self._renumber()
        # Otherwise they lack fields that are needed now, or the page has moved.
        if pages is self.pages and numbering == self._numbering:
            self._scans.setPage(page * ROWS_PER_PAGE, rows)
            self._loaded[page] = None
            self._evict()
            end = self._scans.rowCount() - self._scans.above
            if len(rows) < min(ROWS_PER_PAGE, end - page * ROWS_PER_PAGE) and not self._uncounted:
                self._misaligned = True  # datasets were deleted; retried later, to avoid an endless loop
                self._retry.start()
        self._readMissing()

    def _failed(self, page: int, error: Exception) -> None:
        del self._reading[page]
        self._retry.start()

    def _evict(self) -> None:
        if len(self._loaded) <= MAX_PAGES:
            return
        while len(self._loaded) > MAX_PAGES:
            self._loaded.popitem(last=False)
        above = self._scans.above
        self._scans.keep(lambda row: (row - above) // ROWS_PER_PAGE in self._loaded or self._pinned(row))

    def _reload(self) -> None:
        """Read the rows on the screen again, and drop the others."""
        shown = self._shown()
        self._loaded.clear()
        self._scans.keep(lambda row: row in shown or self._pinned(row))
        self._settle.start()

    def _retryNow(self) -> None:
        if self._uncounted:
            self._count()
        if self._misaligned and self._aligning is None:
            self._align()
        self._readMissing()

    # ------------------------------------------------------------------------- counts

    def _count(self) -> None:
        if self.pages is not None:
            work = partial(self.pages.count, self._scans.bound)
            self._calls.run(work, partial(self._counted, self.pages), lambda _: self._retry.start(), "count")

    def _counted(self, pages: Pages, count: int) -> None:
        if self.pages is None or pages.query is not self.pages.query:
            return
        self._uncounted = False
        self._scans.setCount(count)
        self.counted.emit()
        self._settle.start()

    def _align(self) -> None:
        if self.pages is None:
            return
        anchor = self._anchor()
        work = partial(_place, self.pages, anchor, self._scans.bound)
        self._misaligned = False
        self._aligning = self._calls.run(work, partial(self._aligned, anchor), self._notAligned)

    def _anchor(self) -> Json | None:
        """The dataset that must not move: the first one on the screen in the catalogue's own list."""
        if self.pages is None or not self.pages.query.newest_first:
            return None
        shown = self._shown()
        rows = range(max(shown.start, self._scans.above), shown.stop)
        return next((dataset for dataset in map(self._scans.dataset, rows) if dataset is not None), None)

    def _aligned(self, anchor: Json | None, answer: tuple[int, int]) -> None:
        self._aligning = None
        count, number = answer
        if anchor is not None and self._scans.isLoaded(anchor["pid"]):
            self._scans.realign(count, anchor["pid"], number)
        else:
            self._scans.setCount(count)
        self.counted.emit()
        self._reload()
        if self._misaligned:
            self._align()

    def _notAligned(self, error: Exception) -> None:
        self._aligning = None
        self._misaligned = True
        self._retry.start()


def _place(pages: Pages, anchor: Json | None, bound: Json | None) -> tuple[int, int]:
    """The catalogue's number of rows, and how many of them are above this dataset."""
    return pages.count(bound), 0 if anchor is None else pages.newer(anchor, bound)
