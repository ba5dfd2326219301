"""The table of the scan log."""

from __future__ import annotations

from taurus.external.qt import Qt

from taurus_widgets.columns import Column, Kind
from taurus_widgets.model import ScanModel
from taurus_widgets.painting import CellDelegate, RatingDelegate, StatusDelegate, headerStyle, padding, quietSelection


class LogTable(Qt.QTableView):
    """Follows the newest row until somebody scrolls or selects; then nothing moves under their eyes."""

    unseenChanged = Qt.Signal(int)
    """How many rows have come in above what is shown."""
    drawn = Qt.Signal()
    """There may be other rows on the screen."""
    headerClicked = Qt.Signal(int)
    """A column's header: its number in the model."""

    def __init__(self, model: ScanModel, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self._scans = model
        self._unseen = 0
        self.setSelectionBehavior(self.SelectRows)
        self.setSelectionMode(self.ExtendedSelection)
        self.setEditTriggers(self.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollMode(self.ScrollPerPixel)
        self.setVerticalScrollBarPolicy(Qt.Qt.ScrollBarAlwaysOn)  # so that columns keep their width
        self.setFrameShape(Qt.QFrame.NoFrame)
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(rows.Fixed)
        rows.setMinimumSectionSize(1)
        rows.setDefaultSectionSize(round(self.fontMetrics().height() * 1.45))
        self._dress(self.horizontalHeader())
        self._cells = CellDelegate(self)
        self._delegates = {Kind.STATUS: StatusDelegate(self), Kind.RATING: RatingDelegate(self)}
        self.setItemDelegate(self._cells)
        self.setPalette(quietSelection(self.palette()))
        self._fitColumns(0, model.columnCount() - 1)
        model.columnsInserted.connect(lambda _, first, last: self._fitColumns(first, last))
        model.headerDataChanged.connect(lambda _, first, last: self._fitColumns(first, last))
        model.rowsRemoved.connect(self._rowsRemoved)
        self.verticalScrollBar().valueChanged.connect(self._seen)

    def setHorizontalHeader(self, header: Qt.QHeaderView) -> None:
        super().setHorizontalHeader(header)
        self._dress(header)

    def _dress(self, header: Qt.QHeaderView) -> None:
        header.setHighlightSections(False)
        header.setSectionsMovable(True)
        header.setSectionsClickable(True)
        header.setMinimumSectionSize(4 * padding(self.fontMetrics()))
        header.setStyleSheet(headerStyle(self.fontMetrics()))
        header.sectionClicked.connect(self.headerClicked)

    def setDelegate(self, kind: Kind, delegate: Qt.QAbstractItemDelegate) -> None:
        """Draw, and edit, the columns of this kind with it."""
        self._delegates[kind] = delegate
        for place, column in enumerate(self._scans.columns):
            if column.kind is kind:
                self.setItemDelegateForColumn(place, delegate)

    def _fitColumns(self, first: int, last: int) -> None:
        """Give these their usual width; what the user chose for others stays."""
        for place, column in enumerate(self._scans.columns):
            self.setItemDelegateForColumn(place, self._delegates.get(column.kind))
            if first <= place <= last:
                self.setColumnWidth(place, self._width(column))
        self._fillWidth()

    def _width(self, column: Column) -> int:
        return int(self.fontMetrics().horizontalAdvance("0") * column.width) + 2 * padding(self.fontMetrics())

    def _fillWidth(self) -> None:
        """The last column takes the room that is left. Qt's own stretching would squeeze it to nothing."""
        header = self.horizontalHeader()
        last = header.logicalIndex(header.count() - 1)
        room = self.viewport().width() - header.length() + header.sectionSize(last)
        self.setColumnWidth(last, max(room, self._width(self._scans.columns[last])))

    def resizeEvent(self, event: Qt.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fillWidth()

    def moveCursor(
        self, action: Qt.QAbstractItemView.CursorAction, modifiers: Qt.Qt.KeyboardModifiers
    ) -> Qt.QModelIndex:
        """Home and End go to the first and the last row: what is chosen are rows, not cells."""
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
        # The range of the scroll bar is only right once the rows are laid out.
        self.executeDelayedItemsLayout()
        bar.setValue(top + count)
        if bar.value() > 0 and self._scans.addsNews:
            self._setUnseen(self._unseen + count)

    def _lookedAt(self, first: int, count: int) -> int:
        """The row that must not move while so many are inserted: a selected one, else the one on top."""
        current = self.currentIndex().row()
        if current >= first + count:
            current -= count  # the selection knows already
        chosen = self.selectionModel().hasSelection() and current in self.shownRows()
        return current if chosen else self.verticalScrollBar().value()

    def _rowsRemoved(self, _parent: Qt.QModelIndex, first: int, last: int) -> None:
        bar = self.verticalScrollBar()
        if first < bar.value():
            bar.setValue(max(bar.value() - (last - first + 1), first))

    def goToNewest(self) -> None:
        self.clearSelection()
        self.setCurrentIndex(Qt.QModelIndex())
        self.scrollToTop()

    def _seen(self, value: int) -> None:
        self._setUnseen(min(self._unseen, value))

    def _setUnseen(self, count: int) -> None:
        if count != self._unseen:
            self._unseen = count
            self.unseenChanged.emit(count)
