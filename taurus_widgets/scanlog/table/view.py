"""The table of the scan log."""

from __future__ import annotations

from collections.abc import Mapping

from taurus.external.qt import Qt

from taurus_widgets.qt.layouts import flatten
from taurus_widgets.qt.painting import padding, quietSelection
from taurus_widgets.scanlog.data.columns import Kind, LogColumn
from taurus_widgets.scanlog.parts.cell_delegates import CellDelegate, NumberDelegate, RatingDelegate, StatusDelegate
from taurus_widgets.scanlog.table.header import LogHeader
from taurus_widgets.scanlog.table.model import ScanModel


class LogTable(Qt.QTableView):
    """Follows the newest row until the user scrolls or selects; then the visible rows do not move."""

    unseenChanged = Qt.Signal(int)
    """Number of new rows above the visible ones."""
    drawn = Qt.Signal()
    """The table was painted: other rows may be on the screen."""
    widthChosen = Qt.Signal()
    """The user has changed the width of a column."""
    headerClicked = Qt.Signal(int)
    """A column's header was clicked: the column's number in the model."""

    def __init__(self, model: ScanModel, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setHorizontalHeader(LogHeader(self))
        self.setModel(model)
        self._scans = model
        self._unseen = 0
        self._widths: dict[str, int] = {}  # by key, for columns with a width chosen by the user
        self._fitting = False
        self.setSelectionMode(self.ExtendedSelection)
        self.setEditTriggers(self.NoEditTriggers)
        self.setHorizontalScrollMode(self.ScrollPerPixel)
        self.setVerticalScrollBarPolicy(Qt.Qt.ScrollBarAlwaysOn)  # otherwise the columns would change their width
        flatten(self)
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(rows.Fixed)
        rows.setMinimumSectionSize(1)
        rows.setDefaultSectionSize(round(self.fontMetrics().height() * 1.45))
        header = self.horizontalHeader()
        header.sectionResized.connect(self._resized)
        header.sectionClicked.connect(self.headerClicked)
        self._cells = CellDelegate(self)
        self._delegates = {
            Kind.STATUS: StatusDelegate(self),
            Kind.RATING: RatingDelegate(self),
            Kind.NUMBER: NumberDelegate(self),
        }
        self.setItemDelegate(self._cells)
        self.setPalette(quietSelection(self.palette()))
        self._fitColumns(0, model.columnCount() - 1)
        model.columnsInserted.connect(lambda _, first, last: self._fitColumns(first, last))
        model.columnsRemoved.connect(lambda: self._fitColumns(0, -1))
        model.headerDataChanged.connect(lambda _, first, last: self._fitColumns(first, last))
        model.rowsRemoved.connect(self._rowsRemoved)
        # Qt clears the selection whenever the model is reset.
        self._kept: list[str] = []  # pids
        self._column = 0
        self._choosing = False
        model.modelAboutToBeReset.connect(self._keepSelection)
        model.modelReset.connect(self._selectKept)
        model.dataChanged.connect(lambda first, last: self._selectRead(first.row(), last.row()))
        self.selectionModel().selectionChanged.connect(self._somebodySelected)
        self.verticalScrollBar().valueChanged.connect(self._seen)

    def setDelegate(self, kind: Kind, delegate: Qt.QAbstractItemDelegate) -> None:
        """Draw and edit the columns of this kind with this delegate."""
        self._delegates[kind] = delegate
        for place, column in enumerate(self._scans.columns):
            if column.kind is kind:
                self.setItemDelegateForColumn(place, delegate)

    def chosenWidths(self) -> dict[str, float]:
        """The widths that the user chose, by key, in digits of the table's font."""
        digit = self.fontMetrics().horizontalAdvance("0")
        return {key: width / digit for key, width in self._widths.items()}

    def setChosenWidths(self, widths: Mapping[str, float]) -> None:
        """Set the chosen widths; all other columns get their default width."""
        digit = self.fontMetrics().horizontalAdvance("0")
        self._widths = {key: round(width * digit) for key, width in widths.items()}
        self._fitColumns(0, len(self._scans.columns) - 1)

    def fitWidths(self) -> None:
        """Fit all columns to the rows on the screen; this counts as the user's choice."""
        self.resizeColumnsToContents()

    def sizeColumn(self, letters: int) -> None:
        """Make the column of the current cell wider by this number of letters, or narrower if it is negative."""
        place, header = self.currentIndex().column(), self.horizontalHeader()
        width = header.sectionSize(place) + letters * self.fontMetrics().horizontalAdvance("0")
        header.resizeSection(place, max(width, header.minimumSectionSize()))
        self.scrollTo(self.currentIndex())

    def _fitColumns(self, first: int, last: int) -> None:
        """Set the width of these columns: the chosen one, else the default."""
        self._fitting = True
        for place, column in enumerate(self._scans.columns):
            self.setItemDelegateForColumn(place, self._delegates.get(column.kind))
            if first <= place <= last:
                self.setColumnWidth(place, self._widths.get(column.key) or self._width(column))
        self._fitting = False
        self._fillWidth()

    def _resized(self, place: int, before: int, width: int) -> None:
        if not self._fitting:
            self._widths[self._scans.columns[place].key] = width
            self.widthChosen.emit()

    def _width(self, column: LogColumn) -> int:
        return int(self.fontMetrics().horizontalAdvance("0") * column.width) + 2 * padding(self.fontMetrics())

    def _fillWidth(self) -> None:
        """Give the last column the remaining room. Qt's own stretching could reduce it to nothing."""
        header = self.horizontalHeader()
        last = header.logicalIndex(header.count() - 1)
        if last < 0:
            return
        column = self._scans.columns[last]
        room = self.viewport().width() - header.length() + header.sectionSize(last)
        self._fitting = True
        self.setColumnWidth(last, max(room, self._widths.get(column.key) or self._width(column)))
        self._fitting = False

    def resizeEvent(self, event: Qt.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fillWidth()

    def moveCursor(
        self, action: Qt.QAbstractItemView.CursorAction, modifiers: Qt.Qt.KeyboardModifiers
    ) -> Qt.QModelIndex:
        """Home and End go to the first and the last row, since rows are selected, not cells."""
        if action in (self.MoveHome, self.MoveEnd):
            last = self._scans.rowCount() - 1
            return self._scans.index(0 if action == self.MoveHome else last, max(self.currentIndex().column(), 0))
        return super().moveCursor(action, modifiers)

    def paintEvent(self, event: Qt.QPaintEvent) -> None:
        super().paintEvent(event)
        self.drawn.emit()

    def shownRows(self) -> range:
        """The rows on the screen."""
        first, last = self.rowAt(0), self.rowAt(self.viewport().height() - 1)
        if first < 0:
            return range(0)
        return range(first, (self._scans.rowCount() - 1 if last < 0 else last) + 1)

    def rowsInserted(self, parent: Qt.QModelIndex, first: int, last: int) -> None:
        bar, count = self.verticalScrollBar(), last - first + 1
        top = bar.value()
        held = top > 0 or self.selectionModel().hasSelection()
        before_it = first <= self._lookedAt(first, count)
        super().rowsInserted(parent, first, last)
        if not held or not before_it:
            return
        # The scroll bar has the new range only after the layout.
        self.executeDelayedItemsLayout()
        bar.setValue(top + count)
        if bar.value() > 0 and self._scans.addsNews:
            self._setUnseen(self._unseen + count)

    def _lookedAt(self, first: int, count: int) -> int:
        """The row that must not move during an insertion: the current selected one, else the one on top."""
        current = self.currentIndex().row()
        if current >= first + count:
            current -= count  # the selection is already updated
        chosen = self.selectionModel().hasSelection() and current in self.shownRows()
        return current if chosen else self.verticalScrollBar().value()

    def _rowsRemoved(self, _parent: Qt.QModelIndex, first: int, last: int) -> None:
        bar = self.verticalScrollBar()
        if first < bar.value():
            bar.setValue(max(bar.value() - (last - first + 1), first))

    # ------------------------------------------------------------------ selected, by pid

    def _keepSelection(self) -> None:
        chosen = [range(part.top(), part.bottom() + 1) for part in self.selectionModel().selection()]
        datasets = [self._scans.dataset(row) for row in self._scans.loadedRows() if any(row in part for part in chosen)]
        here = [dataset["pid"] for dataset in datasets if dataset is not None]
        if len(here) < sum(map(len, chosen)):
            self._kept.clear()  # not all are in memory: rather keep none than some
            return
        current = self._scans.dataset(self.currentIndex().row())
        # The current one last, so that it becomes the current one again.
        self._kept = sorted({*here, *self._kept}, key=lambda pid: current is not None and pid == current["pid"])
        self._column = max(self.currentIndex().column(), 0)

    def _selectKept(self) -> None:
        """Select the rows that were selected before, now if they are in memory, the others when they are read."""
        self._select([self._scans.rowOf(pid) for pid in self._kept if self._scans.isLoaded(pid)])

    def _selectRead(self, first: int, last: int) -> None:
        if self._kept:
            rows = [self._scans.rowOf(pid) for pid in self._kept if self._scans.isLoaded(pid)]
            self._select([row for row in rows if first <= row <= last])

    def _select(self, rows: list[int]) -> None:
        if not rows:
            return
        found = Qt.QItemSelection()
        for row in rows:
            found.select(self._scans.index(row, 0), self._scans.index(row, self._scans.columnCount() - 1))
        self._kept = [pid for pid in self._kept if not (self._scans.isLoaded(pid) and self._scans.rowOf(pid) in rows)]
        self._choosing = True
        self.selectionModel().select(found, Qt.QItemSelectionModel.Select)
        self._choosing = False
        if not self.currentIndex().isValid():
            current = self._scans.index(rows[-1], self._column)
            self.selectionModel().setCurrentIndex(current, Qt.QItemSelectionModel.NoUpdate)

    def _somebodySelected(self) -> None:
        if not self._choosing:
            self._kept.clear()

    def showCurrent(self) -> None:
        """After a reset of the rows: go to the current row, or to the top."""
        self.scrollToTop()
        if self.currentIndex().isValid():
            self.scrollTo(self.currentIndex())

    def goToNewest(self) -> None:
        self._kept.clear()
        self.clearSelection()
        self.endEditor()
        self.scrollToTop()

    def endEditor(self) -> None:
        """Close the cell editor and keep its text."""
        self.setCurrentIndex(Qt.QModelIndex())

    def _seen(self, value: int) -> None:
        self._setUnseen(min(self._unseen, value))

    def _setUnseen(self, count: int) -> None:
        if count != self._unseen:
            self._unseen = count
            self.unseenChanged.emit(count)
