"""The scan log without its features: table, details and the connection to the catalogue."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from taurus.external.qt import Qt
from taurus.qt.qtgui.container import TaurusWidget

from ingest.scicat import SciCat
from ingest.scicat.si_values import to_si
from taurus_widgets.qt.calls import Calls
from taurus_widgets.qt.connection import ConnectionState
from taurus_widgets.qt.layouts import tightColumn
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.pages import Pages, Top
from taurus_widgets.scanlog.data.query import DatasetQuery, changeable
from taurus_widgets.scanlog.details.pane import DetailPane
from taurus_widgets.scanlog.parts.status_bar import StatusBar
from taurus_widgets.scanlog.table.loader import PageLoader
from taurus_widgets.scanlog.table.model import ScanModel
from taurus_widgets.scanlog.table.poller import Poller
from taurus_widgets.scanlog.table.view import LogTable

MAX_KEPT_SELECTION = 1000
"""Rows. The datasets of a selection up to this size stay in memory; of a larger one, those on the screen do."""


NARROW_PIXELS = 900
"""A narrower widget shows the details below the table, not beside it."""


class LogView(TaurusWidget):
    """The table with its details, tool bar and status bar, which reads from a catalogue and shows what it reads.

    It knows no feature: `ScanLog` adds them, and a feature uses only what is public here.
    """

    rowShown = Qt.Signal(str, str)
    """pid and status, once a new dataset, or one with a new status, is in the table."""
    queryChanged = Qt.Signal(object)
    """The DatasetQuery that is shown from now on."""
    proposalInUse = Qt.Signal(str, str)
    """The active proposal and visit of PathFixer, "" for none."""
    catalogueChanged = Qt.Signal()
    """Another catalogue or another account is used from now on: what was read before belongs to the old one."""
    loginWanted = Qt.Signal(str)
    """A login is needed, for this reason."""
    loginChanged = Qt.Signal()
    """Somebody has logged in or out; for another account `catalogueChanged` came before."""
    scanConfirmed = Qt.Signal(str, str)
    """A scan reported by a Door is now in the catalogue: the pid of its row until now, and its pid there."""
    connectionChanged = Qt.Signal(object)
    """The ConnectionState of the catalogue."""
    closing = Qt.Signal()
    """The window closes, or the program ends: finish what must be finished, and stop."""
    reopened = Qt.Signal()
    """The window is shown again after `closing`; `catalogueChanged` follows."""

    def __init__(self, parent: Qt.QWidget | None = None, designMode: bool = False) -> None:
        super().__init__(parent, designMode=designMode)
        self._poller: Poller | None = None
        self._connection = ConnectionState()
        self._changed: dt.datetime | None = None
        self._suspended = False
        self.scicat: SciCat | None = None
        """The catalogue that is shown; None before `setCatalogue`."""
        self.query = DatasetQuery()
        """The query in use. While it is being read, the rows are still those of the query before."""
        self.calls = Calls(self)
        self.scans = ScanModel(cols.default_columns(), self)
        self.table = LogTable(self.scans, self)
        self.loader = PageLoader(self.scans, self.calls, self.table.shownRows, self)
        self.details = DetailPane(self)
        self.statusBar = StatusBar(self)
        self.toolBar = Qt.QToolBar(self)
        self.toolBar.setIconSize(Qt.QSize(16, 16))
        self.splitter = Qt.QSplitter(Qt.Qt.Horizontal, self)
        self.splitter.addWidget(self.table)
        self.splitter.addWidget(self.details)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setCollapsible(0, False)
        self.splitter.setHandleWidth(1)
        self.details.hide()
        layout = tightColumn(self)
        layout.addWidget(self.toolBar)
        layout.addWidget(self.splitter, 1)
        layout.addWidget(self.statusBar)
        self.setWindowTitle("Scan log")
        self.table.selectionModel().selectionChanged.connect(self._selected)
        self.table.drawn.connect(self.loader.shownRowsChanged)
        self.table.unseenChanged.connect(self.statusBar.showUnseen)
        self.scans.newsChanged.connect(self.statusBar.showUnseen)
        self.scans.dataChanged.connect(self._rowsChanged)
        self.scans.modelReset.connect(self._selected)  # then nothing is selected, and Qt emits no selectionChanged
        self.loader.counted.connect(self._showRows)
        self.loader.pin(self._isSelected)
        self.statusBar.goToNewest.connect(self.goToNewest)
        self.details.closed.connect(self.table.clearSelection)
        # For this widget only: other panels of a TaurusGUI may use the same key.
        escape = Qt.QShortcut(Qt.QKeySequence(Qt.Qt.Key_Escape), self, self.goToNewest)
        escape.setContext(Qt.Qt.WidgetWithChildrenShortcut)
        self._clock = Qt.QTimer(self)
        self._clock.timeout.connect(self._tick)
        # The menu of a row is made of the table's actions.
        self.table.setContextMenuPolicy(Qt.Qt.ActionsContextMenu)
        Qt.QApplication.instance().aboutToQuit.connect(self._suspend)

    # ---------------------------------------------------------------------- use

    def setCatalogue(self, scicat: SciCat, proposal: str = "") -> None:
        """Show the datasets of this catalogue, or of one proposal in it; a closed widget when it is shown again."""
        if self._suspended:
            self.scicat, self.query = scicat, replace(self.query, proposal=proposal)
            return
        self.stop()
        self.table.goToNewest()  # closes an editor: its text belongs to the account before
        self.scicat = scicat
        self.catalogueChanged.emit()
        self.scans.clear()
        self._changed = None
        self._showRows()
        self._showConnection(ConnectionState())
        poller = Poller(scicat, self)
        poller.begun.connect(self._begun)
        poller.rowsRead.connect(self._rowsRead)
        poller.refused.connect(self._refused)
        poller.datasetRead.connect(self.details.showAnswer)
        poller.connectionChanged.connect(self._showConnection)
        self._poller = poller
        poller.start()
        self._clock.start(1000)
        self.setQuery(replace(self.query, proposal=proposal))

    def setQuery(self, query: DatasetQuery) -> None:
        """Show the datasets that match the query, in its order. Returns at once; the rows follow."""
        self.query = query
        self._showQuery()
        pages = self._pages()
        if self._poller is not None and pages is not None:
            self.statusBar.showWork("Reading")
            self._poller.show(pages)
        self.queryChanged.emit(query)

    def goToNewest(self) -> None:
        """Go to the top, with the new rows."""
        if self.scans.news:
            self.setQuery(self.query)
        self.table.goToNewest()

    def allRows(self, rows: Iterable[range] = (), fields: Iterable[str] = ()) -> Iterator[list[cols.Json]]:
        """All datasets of the query (or of these ranges of rows) in order, page by page, for another thread.

        Call it in the window's thread: this fixes the query and the fields (those given, else those of the columns).
        Datasets that arrived since the table was sorted are not included. Scans that are not in the catalogue yet are,
        with what is known of them. Iteration raises SciCatError.
        """
        shown = self.loader.pages
        if shown is None:
            return iter(())
        above, bound = self.scans.above, self.scans.bound
        ranges = list(rows) or [range(self.scans.rowCount())]
        news = {row: dataset for row in range(above) if (dataset := self.scans.dataset(row)) is not None}
        return _all_pages(shown, ranges, above, news, bound, tuple(fields) or shown.fields)

    def selectedRanges(self) -> list[range]:
        """The selected rows, from the top down."""
        ranges = {(chosen.top(), chosen.bottom() + 1) for chosen in self.table.selectionModel().selection()}
        return [range(*ends) for ends in sorted(ranges)]

    def stop(self) -> None:
        """Stop reading. The rows stay."""
        self._clock.stop()
        self.loader.stop()
        if self._poller is not None:
            self._poller.stop()
            self._poller.deleteLater()
            self._poller = None

    def selectedDatasets(self) -> list[cols.Json]:
        """The datasets of the selected rows, from the top down; those that are in memory."""
        return [
            dataset for row in self.scans.loadedRows() if self._isSelected(row) and (dataset := self.scans.dataset(row))
        ]

    def shownColumns(self) -> list[cols.LogColumn]:
        """The visible columns, from left to right."""
        header = self.table.horizontalHeader()
        places = [header.logicalIndex(place) for place in range(header.count())]
        return [self.scans.columns[place] for place in places if not header.isSectionHidden(place)]

    def setColumns(self, columns: Iterable[cols.LogColumn]) -> None:
        """Show these columns, in this order."""
        wanted = list(columns)
        before = set(cols.fields_of(self.scans.columns))
        self.scans.setColumns(wanted)
        header, keys = self.table.horizontalHeader(), [column.key for column in self.scans.columns]
        for place, column in enumerate(wanted):
            header.moveSection(header.visualIndex(keys.index(column.key)), place)
        if not before.issuperset(cols.fields_of(self.scans.columns)):
            self._readFields()

    def _readFields(self) -> None:
        """Read the fields of the new columns, for the rows in memory and all later ones."""
        pages, shown = self._pages(), self.loader.pages
        if self._poller is None or pages is None:
            return
        if shown is not None and shown.query is self.query:
            self._poller.change(pages)
            self.loader.change(pages)
        else:
            self._poller.show(pages)

    def addColumn(self, path: str) -> None:
        """Add a column of a metadata value, for example `Machine/Ring current`, before the last column.

        Does nothing if the column is there. Raises ValueError for a wrong path.
        """
        shown, column = self.shownColumns(), cols.metadata_column(path)
        if column.key not in [other.key for other in shown]:
            self.setColumns([*shown[:-1], column, shown[-1]])

    # ---------------------------------------------------------------------- events

    def closeEvent(self, event: Qt.QCloseEvent) -> None:
        self._suspend()
        super().closeEvent(event)

    def showEvent(self, event: Qt.QShowEvent) -> None:
        super().showEvent(event)
        if self._suspended:
            self._suspended = False
            self.calls.restart()
            self.reopened.emit()
            if self.scicat is not None:
                self.setCatalogue(self.scicat, self.query.proposal)

    def _suspend(self) -> None:
        """Stop all threads and close all connections, until the widget is shown again."""
        if not self._suspended:
            self._suspended = True
            self.table.endEditor()
            self.closing.emit()
            self.stop()
            self.calls.stop()

    def resizeEvent(self, event: Qt.QResizeEvent) -> None:
        super().resizeEvent(event)
        self.splitter.setOrientation(Qt.Qt.Vertical if self.width() < NARROW_PIXELS else Qt.Qt.Horizontal)

    def _pages(self) -> Pages | None:
        """The pages of the query with the fields of the columns; None without a catalogue."""
        if self.scicat is None:
            return None
        return Pages(self.scicat, self.query, tuple(cols.fields_of(self.scans.columns)))

    def _begun(self, pages: Pages, top: Top) -> None:
        news = self.scans.begin(top.rows, pages.query.newest_first, top.since)
        self.table.showCurrent()
        self.loader.begin(pages, len(top.rows))
        # The first conversion of a unit takes half a second: do it now, so that the first filter does not wait.
        self.calls.run(partial(to_si, 1.0, "mm"), lambda _: None, lambda _: None, "units")
        self._changed = dt.datetime.now()
        self._showRows()
        for pid, status in news:
            self.rowShown.emit(pid, status)

    def _rowsRead(self, pages: Pages, rows: list[cols.Json]) -> None:
        if pages is not self.loader.pages:
            return
        news, moved = self.scans.merge(rows)
        if moved:
            self.loader.moved()
        self.loader.tidy()
        self._changed = dt.datetime.now()
        self._showRows()
        if self._poller is not None and any(row["pid"] == self.details.pid for row in rows):
            self._poller.readDataset(self.details.pid)
        for pid, status in news:
            self.rowShown.emit(pid, status)

    def _refused(self, pages: Pages, why: str) -> None:
        shown = self.loader.pages
        if shown is not None and pages.query is self.query:
            self.query = shown.query
            self._showQuery()
            self.queryChanged.emit(self.query)
            self.statusBar.showWork("SciCat refuses this filter or order", why)

    def _tick(self) -> None:
        self.scans.tick()
        pages = self.loader.pages
        if self._poller is not None and pages is not None:
            shown = map(self.scans.dataset, self.table.shownRows()) if changeable(pages.query) else ()
            self._poller.watch(pages, [dataset["pid"] for dataset in shown if dataset is not None])

    def _showRows(self) -> None:
        self.statusBar.showRows(self.scans.rowCount(), self._changed, self.loader.counting)

    def _showConnection(self, state: ConnectionState) -> None:
        self._connection = state
        self._showQuery()
        self.connectionChanged.emit(state)

    def _showQuery(self) -> None:
        """Show which proposal of which catalogue is shown, or the problem."""
        proposal = self.query.proposal
        self.setWindowTitle(f"Scan log of {proposal}" if proposal else "Scan log")
        where = f"Proposal {proposal}" if proposal else "All proposals"
        self.statusBar.showConnection(self._connection, f"{where} in {self.scicat.base_url}" if self.scicat else "")

    def _isSelected(self, row: int) -> bool:
        chosen = self.table.selectionModel().selection()
        return any(part.top() <= row <= part.bottom() for part in chosen) and (
            sum(part.height() for part in chosen) <= MAX_KEPT_SELECTION or row in self.table.shownRows()
        )

    def _selected(self) -> None:
        ranges = self.selectedRanges()
        self.details.setVisible(bool(ranges))
        dataset = self.scans.dataset(ranges[0].start) if ranges else None
        if dataset is None:  # nothing is selected, or it is still being read: then `_rowsChanged` follows
            self.details.forget()
            return
        self.details.announce(dataset)
        if self._poller is not None:
            self._poller.readDataset(dataset["pid"])

    def _rowsChanged(self, first: Qt.QModelIndex, last: Qt.QModelIndex) -> None:
        ranges = self.selectedRanges()
        if ranges and not self.details.pid and first.row() <= ranges[0].start <= last.row():
            self._selected()


def _all_pages(
    pages: Pages,
    ranges: list[range],
    above: int,
    news: dict[int, cols.Json],
    bound: cols.Json | None,
    fields: tuple[str, ...],
) -> Iterator[list[cols.Json]]:
    for rows in ranges:
        here = [news[row] for row in rows if row in news] if rows.start < above else []
        if here:
            found = {dataset["pid"]: dataset for dataset in pages.named([row["pid"] for row in here], fields)}
            expected = {row["pid"]: row for row in here if row.get(cols.PROVISIONAL)}
            both = expected | found
            yield [both[row["pid"]] for row in here if row["pid"] in both]
        yield from pages.all(max(rows.start - above, 0), rows.stop - above, bound, fields)
