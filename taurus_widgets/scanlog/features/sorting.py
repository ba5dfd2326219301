"""Sorting by a click on a header, or by keyboard: by the catalogue, so that all datasets are sorted."""

from __future__ import annotations

from functools import partial

from taurus.external.qt import Qt

from taurus_widgets.scanlog.data.columns import LogColumn
from taurus_widgets.scanlog.data.query import NEWEST_FIRST, DatasetQuery, order_of
from taurus_widgets.scanlog.view import LogView


class Sorting(Qt.QObject):
    """The first click on a header sorts upwards, the next downwards, and one more by time again, newest first."""

    def __init__(self, log: LogView) -> None:
        super().__init__(log)
        self._log = log
        self.menu = Qt.QMenu("&Sort by", log)
        self.menu.aboutToShow.connect(self._fill)
        action = self.menu.menuAction()
        action.setShortcut(Qt.QKeySequence("Alt+S"))
        action.setShortcutContext(Qt.Qt.WidgetWithChildrenShortcut)
        log.table.addAction(action)
        # Qt does not open a menu when the shortcut of its action is pressed.
        action.triggered.connect(self._open)
        log.table.headerClicked.connect(lambda place: self.sortBy(log.scans.columns[place]))
        log.queryChanged.connect(self._show)
        log.scans.columnsInserted.connect(lambda: self._show(log.query))
        log.scans.columnsRemoved.connect(lambda: self._show(log.query))
        self._show(log.query)

    def sortBy(self, column: LogColumn) -> None:
        """The same as a click on this column's header. Does nothing if the catalogue cannot sort by it."""
        order, query = order_of(column), self._log.query
        if not order:
            self._log.statusBar.showWork(f"The catalogue cannot sort by {column.title}")
        elif order != query.order:
            self._log.setQuery(query.sorted_by(order, descending=False))
        elif order == NEWEST_FIRST or not query.descending:
            self._log.setQuery(query.sorted_by(order, descending=not query.descending))
        else:
            self._log.setQuery(query.sorted_by(NEWEST_FIRST, descending=True))

    def _show(self, query: DatasetQuery) -> None:
        """Show the arrow in the header; none for newest first, the default."""
        header = self._log.table.horizontalHeader()
        places = [place for place, column in enumerate(self._log.scans.columns) if order_of(column) == query.order]
        header.setSortIndicatorShown(bool(places) and not query.newest_first)
        if places:
            header.setSortIndicator(places[0], Qt.Qt.DescendingOrder if query.descending else Qt.Qt.AscendingOrder)

    def _fill(self) -> None:
        self.menu.clear()
        query = self._log.query
        for column in self._log.shownColumns():
            order = order_of(column)
            if not order:
                continue
            action = self.menu.addAction(column.title.replace("&", "&&"), partial(self.sortBy, column))
            action.setCheckable(True)
            action.setChecked(order == query.order)

    def _open(self) -> None:
        table = self._log.table
        self.menu.popup(table.mapToGlobal(table.horizontalHeader().rect().bottomLeft()))
