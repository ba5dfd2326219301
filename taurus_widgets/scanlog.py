"""The scan log: the datasets of a catalogue, newest first, as they come."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

from taurus.external.qt import Qt
from taurus.qt.qtgui.container import TaurusWidget

from ingest.scicat import SciCat
from taurus_widgets import columns as cols
from taurus_widgets.calls import Calls
from taurus_widgets.details import DetailPane
from taurus_widgets.editing import Editing
from taurus_widgets.login import Login
from taurus_widgets.model import DATASET_ROLE, ScanModel, tooltip
from taurus_widgets.painting import LinkSign, colours
from taurus_widgets.poller import Link, Poller
from taurus_widgets.query import Query
from taurus_widgets.table import LogTable

NEWEST = 200
"""Rows read at first."""

NARROW = 900
"""A widget of fewer pixels has its details below the table and not beside it."""


class StatusBar(Qt.QWidget):
    """One quiet line: which catalogue, how many rows, the last change; and what is wrong since when."""

    goToNewest = Qt.Signal()

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.sign = LinkSign(self)
        self.link = self._label()
        self.rows = self._label()
        self.news = Qt.QToolButton(self)
        self.news.setAutoRaise(True)
        self.news.setArrowType(Qt.Qt.UpArrow)
        self.news.setToolButtonStyle(Qt.Qt.ToolButtonTextBesideIcon)
        self.news.setToolTip("Show the newest rows and follow them (Esc)")
        self.news.clicked.connect(self.goToNewest)
        self.news.hide()
        layout = Qt.QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 3)
        layout.setSpacing(8)
        layout.addWidget(self.sign)
        layout.addWidget(self.link, 1)
        layout.addWidget(self.news)
        layout.addWidget(self.rows)

    def _label(self) -> Qt.QLabel:
        label = Qt.QLabel(self)
        label.setTextFormat(Qt.Qt.PlainText)
        label.setMinimumWidth(1)
        return label

    def showLink(self, link: Link, where: str) -> None:
        """`where` is which catalogue, and which proposal of it."""
        if link.problem:
            text = link.problem + (f" since {link.since:%H:%M:%S}" if link.since else "")
        else:
            text = where if link.connected else f"Connecting to {where}"
        self.sign.showState(link.connected, bool(link.problem))
        self.link.setText(text)
        self.link.setToolTip(tooltip(f"{where}\n{link.detail}".strip()))
        shades = colours(self.palette())
        palette = self.link.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(shades.problem if link.problem else shades.muted))
        self.link.setPalette(palette)

    def showRows(self, count: int, changed: dt.datetime | None) -> None:
        text = f"{count} scan" if count == 1 else f"{count} scans"
        if changed is not None:
            text += f"   last change {changed:%H:%M:%S}"
        self.rows.setText(text)
        palette = self.rows.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(colours(self.palette()).muted))
        self.rows.setPalette(palette)

    def showUnseen(self, count: int) -> None:
        self.news.setText(f"{count} new")
        self.news.setVisible(count > 0)


PARTS: tuple[type[Qt.QObject], ...] = (Editing, Login)
"""What the scan log can do beyond showing rows, one module each: made with the log, and in its `parts` by name."""


class ScanLog(TaurusWidget):
    """A table of scans that fills itself. Give it a catalogue with `setCatalogue`.

    It needs no Tango: all is read from SciCat's REST API, in a thread of its own.
    """

    rowShown = Qt.Signal(str, str)
    """pid and status, once a new dataset, or one with a new status, is in the table."""
    queryChanged = Qt.Signal(object)
    """The Query that is shown from now on."""
    catalogueChanged = Qt.Signal()
    """Another one, or another account: what was read before is of the old one."""
    loginWanted = Qt.Signal(str)
    """Something needs a login, for this reason."""
    loginChanged = Qt.Signal()
    """Somebody has logged in or out; for another account `catalogueChanged` came before."""

    def __init__(self, parent: Qt.QWidget | None = None, designMode: bool = False) -> None:
        super().__init__(parent, designMode=designMode)
        self._poller: Poller | None = None
        self._where = ""
        self.scicat: SciCat | None = None
        """The catalogue that is shown; None before `setCatalogue`."""
        self.query = Query()
        self.calls = Calls(self)
        self.scans = ScanModel(cols.default_columns(), self)
        self.table = LogTable(self.scans, self)
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
        layout = Qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.toolBar)
        layout.addWidget(self.splitter, 1)
        layout.addWidget(self.statusBar)
        self.setWindowTitle("Scan log")
        self.table.selectionModel().selectionChanged.connect(self._selected)
        self.table.unseenChanged.connect(self.statusBar.showUnseen)
        self.statusBar.goToNewest.connect(self.table.goToNewest)
        self.details.closed.connect(self.table.clearSelection)
        Qt.QShortcut(Qt.QKeySequence(Qt.Qt.Key_Escape), self, self.table.goToNewest)
        self._clock = Qt.QTimer(self)
        self._clock.timeout.connect(self.scans.tick)
        # The menu of a row is made of the table's actions.
        self.table.setContextMenuPolicy(Qt.Qt.ActionsContextMenu)
        self.parts = {part.__name__: part(self) for part in PARTS}
        self.toolBar.setVisible(bool(self.toolBar.actions()))

    @classmethod
    def getQtDesignerPluginInfo(cls) -> dict[str, Any]:
        info: dict[str, Any] = TaurusWidget.getQtDesignerPluginInfo()
        info.update(module="taurus_widgets.scanlog", group="SciZoo", icon="designer:table.png", container=False)
        return info

    # ---------------------------------------------------------------------- use

    def setCatalogue(self, scicat: SciCat, proposal: str = "", newest: int = NEWEST) -> None:
        """Show the datasets of this catalogue, or of one proposal in it, from now on."""
        self.stop()
        self.scicat = scicat
        self.catalogueChanged.emit()
        self.table.clearSelection()
        self.scans.clear()
        self._where = f"{f'Proposal {proposal}' if proposal else 'All proposals'} in {scicat.base_url}"
        self.setWindowTitle(f"Scan log of {proposal}" if proposal else "Scan log")
        self.statusBar.showRows(0, None)
        self._showLink(Link())
        poller = Poller(scicat, cols.fields_of(self.scans.columns), proposal, newest, self)
        poller.rowsRead.connect(self._rowsRead)
        poller.datasetRead.connect(self.details.showAnswer)
        poller.linkChanged.connect(self._showLink)
        self._poller = poller
        poller.start()
        self._clock.start(1000)

    def setQuery(self, query: Query) -> None:
        """Show the datasets that fit it, in its order, from now on. Returns at once."""
        self.query = query
        self.queryChanged.emit(query)

    def allRows(self, rows: Iterable[range] = (), fields: Iterable[str] = ()) -> Iterator[list[cols.Json]]:
        """All datasets of the query (or of these ranges of rows) in their order, page by page. For another thread.

        What it asks for (these fields, else those of the columns) is settled when it is called, in the window's thread.
        Raises SciCatError while it is gone through.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Read no more. The rows stay."""
        self._clock.stop()
        if self._poller is not None:
            self._poller.stop()
            self._poller.deleteLater()
            self._poller = None

    def selectedDatasets(self) -> list[cols.Json]:
        """What the rows that are selected know, from the top down."""
        chosen = sorted(self.table.selectionModel().selectedRows(), key=lambda index: index.row())
        return [index.data(DATASET_ROLE) for index in chosen]

    def shownColumns(self) -> list[cols.Column]:
        """The columns that are visible, as they stand from left to right."""
        header = self.table.horizontalHeader()
        places = [header.logicalIndex(place) for place in range(header.count())]
        return [self.scans.columns[place] for place in places if not header.isSectionHidden(place)]

    def addColumn(self, path: str) -> None:
        """A further column of a value of the metadata, as `Machine/Ring current`. ValueError for a wrong path."""
        comment = len(self.scans.columns) - 1
        self.scans.addColumn(cols.metadata_column(path), comment)
        if self._poller is not None:
            self._poller.setFields(cols.fields_of(self.scans.columns))

    # ---------------------------------------------------------------------- events

    def closeEvent(self, event: Qt.QCloseEvent) -> None:
        self.stop()
        self.calls.stop()
        super().closeEvent(event)

    def resizeEvent(self, event: Qt.QResizeEvent) -> None:
        super().resizeEvent(event)
        self.splitter.setOrientation(Qt.Qt.Vertical if self.width() < NARROW else Qt.Qt.Horizontal)

    def _rowsRead(self, rows: list[cols.Json]) -> None:
        news = self.scans.merge(rows)
        self.statusBar.showRows(self.scans.rowCount(), dt.datetime.now())
        if self._poller is not None and any(row["pid"] == self.details.pid for row in rows):
            self._poller.ask(self.details.pid)
        for pid, status in news:
            self.rowShown.emit(pid, status)

    def _showLink(self, link: Link) -> None:
        self.statusBar.showLink(link, self._where)

    def _selected(self) -> None:
        chosen = self.table.selectionModel().selectedRows()
        self.details.setVisible(bool(chosen))
        if not chosen:
            self.details.forget()
            return
        dataset = chosen[0].data(DATASET_ROLE)
        self.details.announce(dataset)
        if self._poller is not None:
            self._poller.ask(dataset["pid"])
