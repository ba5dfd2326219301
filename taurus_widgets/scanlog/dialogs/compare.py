"""The window that compares datasets: a line for each value that differs, a column for each dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.qt.calls import Call, Calls
from taurus_widgets.qt.painting import colours, headerStyle, padding
from taurus_widgets.qt.state_line import StateLine
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data.cells import guarded
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.compare import Comparison, Row, as_text, cell_text, compare, heading
from taurus_widgets.scanlog.data.feed import problem_text
from taurus_widgets.scanlog.parts.whole_value import WholeValue

DIFFERS_ROLE = Qt.Qt.UserRole
DIFFERENT_SIGN = "\u2260"
MAX_HEADING_LETTERS = 28
"""Maximum letters in a line of a column's heading."""
_NOWHERE = Qt.QModelIndex()


class CompareModel(Qt.QAbstractTableModel):
    """Rows are values, columns are datasets. One dataset is the reference for the others."""

    def __init__(self, parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self._datasets: list[Json] = []
        self._comparison = Comparison((), 0)
        self.reference = 0

    @property
    def rows(self) -> tuple[Row, ...]:
        return self._comparison.rows

    @property
    def comparison(self) -> Comparison:
        return self._comparison

    def show(self, datasets: Sequence[Json], comparison: Comparison) -> None:
        self.beginResetModel()
        self._datasets, self._comparison, self.reference = list(datasets), comparison, 0
        self.endResetModel()

    def setReference(self, place: int) -> None:
        self.reference = place
        if self.rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.rows) - 1, len(self._datasets) - 1))
        self.headerDataChanged.emit(Qt.Qt.Horizontal, 0, len(self._datasets) - 1)

    def text(self) -> str:
        return as_text(self._comparison, self._datasets)

    def rowCount(self, parent: Qt.QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Qt.QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._datasets)

    def data(self, index: Qt.QModelIndex, role: int = Qt.Qt.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        cell = row.cells[index.column()]
        if role == Qt.Qt.DisplayRole:
            return cell.text
        if role == Qt.Qt.ToolTipRole:
            return tooltip(cell.text)
        if role == Qt.Qt.TextAlignmentRole:
            return int((Qt.Qt.AlignRight if cell.numeric else Qt.Qt.AlignLeft) | Qt.Qt.AlignVCenter)
        if role == DIFFERS_ROLE:
            return row.differs(index.column(), self.reference)
        return None

    def headerData(self, section: int, orientation: Qt.Qt.Orientation, role: int = Qt.Qt.DisplayRole) -> Any:
        across = orientation == Qt.Qt.Horizontal
        if role == Qt.Qt.TextAlignmentRole:
            return int(Qt.Qt.AlignLeft | (Qt.Qt.AlignTop if across else Qt.Qt.AlignVCenter))
        if role not in (Qt.Qt.DisplayRole, Qt.Qt.ToolTipRole):
            return None
        if across:
            text = heading(self._datasets[section])
            if role == Qt.Qt.ToolTipRole:
                return tooltip(text)
            # Qt would shorten all lines as if they were one.
            cut = [
                line if len(line) <= MAX_HEADING_LETTERS else f"{line[: MAX_HEADING_LETTERS - 1]}\u2026"
                for line in text.split("\n")
            ]
            return "\n".join([*cut, "Compared with this one"] if section == self.reference else cut)
        text = self.rows[section].label
        return tooltip(text) if role == Qt.Qt.ToolTipRole else text


class CompareDelegate(Qt.QStyledItemDelegate):
    """Values that differ have a sign before them, bold text, and a shade of the selection's colour."""

    def paint(self, painter: Qt.QPainter, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> None:
        cell = Qt.QStyleOptionViewItem(option)
        self.initStyleOption(cell, index)
        differs = bool(index.data(DIFFERS_ROLE))
        if differs and not cell.state & Qt.QStyle.State_Selected:
            shade = Qt.QColor(colours(cell.palette).selection)
            shade.setAlpha(120)
            cell.backgroundBrush = Qt.QBrush(shade)
        cell.font.setBold(differs)
        text, cell.text = cell.text, ""
        cell.widget.style().drawControl(Qt.QStyle.CE_ItemViewItem, cell, painter, cell.widget)
        painter.save()
        painter.setFont(cell.font)
        chosen = cell.state & Qt.QStyle.State_Selected
        colour = cell.palette.color(Qt.QPalette.HighlightedText if chosen else Qt.QPalette.Text)
        painter.setPen(colour)
        room, metrics = padding(cell.fontMetrics), Qt.QFontMetrics(cell.font)
        area = cell.rect.adjusted(room, 0, -room, 0)
        if differs:
            painter.drawText(area, int(Qt.Qt.AlignLeft | Qt.Qt.AlignVCenter), DIFFERENT_SIGN)
        area.setLeft(area.left() + _signWidth(cell.fontMetrics))
        shown = metrics.elidedText(text, Qt.Qt.ElideRight, area.width())
        painter.drawText(area, int(cell.displayAlignment), shown)
        painter.restore()

    def sizeHint(self, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> Qt.QSize:
        cell = Qt.QStyleOptionViewItem(option)
        self.initStyleOption(cell, index)
        cell.font.setBold(True)
        metrics = Qt.QFontMetrics(cell.font)
        width = metrics.horizontalAdvance(cell.text) + _signWidth(cell.fontMetrics) + 3 * padding(cell.fontMetrics)
        return Qt.QSize(width, round(metrics.height() * 1.45))


def _signWidth(metrics: Qt.QFontMetrics) -> int:
    return int(metrics.horizontalAdvance(DIFFERENT_SIGN) * 1.6)


class CompareDialog(Qt.QDialog):
    """Reads the datasets, one call for each, and shows what differs between them."""

    def __init__(self, calls: Calls, scicat: SciCat, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent, Qt.Qt.Window)
        self.setAttribute(Qt.Qt.WA_DeleteOnClose)
        self.setWindowTitle("Compare")
        self._calls = calls
        self._scicat = scicat
        self._pids: list[str] = []
        self._found: dict[str, Json] = {}
        self._problems: dict[str, str] = {}
        self._running: list[Call] = []
        self.model = CompareModel(self)
        self.message = Qt.QLabel(self)
        self.message.setTextFormat(Qt.Qt.PlainText)
        self.message.setWordWrap(True)
        self.progress = Qt.QProgressBar(self)
        self.progress.setFormat("%v of %m read")
        self.progress.setRange(0, 0)
        self.table = self._makeTable()
        self.table.hide()
        self.state = StateLine(self)
        self.state.retryWanted.connect(self._retry)
        self.state.hide()
        buttons = Qt.QDialogButtonBox(Qt.QDialogButtonBox.Close, self)
        buttons.rejected.connect(self.reject)
        self.copyAll = buttons.addButton("Copy &all", Qt.QDialogButtonBox.ActionRole)
        self.copyAll.setToolTip("The whole table, for a spreadsheet")
        self.copyAll.clicked.connect(lambda: Qt.QApplication.clipboard().setText(self.model.text()))
        layout = Qt.QVBoxLayout(self)
        layout.addWidget(self.message)
        layout.addWidget(self.progress)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.state)
        layout.addWidget(buttons)
        self.finished.connect(self._stop)
        self.resize(1000, 600)

    def _makeTable(self) -> Qt.QTableView:
        table = Qt.QTableView(self)
        table.setModel(self.model)
        table.setItemDelegate(CompareDelegate(table))
        table.setAlternatingRowColors(True)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setHorizontalScrollMode(table.ScrollPerPixel)
        table.activated.connect(self._showWhole)
        rows, header = table.verticalHeader(), table.horizontalHeader()
        rows.setSectionResizeMode(rows.Fixed)
        rows.setDefaultSectionSize(round(table.fontMetrics().height() * 1.45))
        rows.setMaximumWidth(table.fontMetrics().averageCharWidth() * 48)
        rows.setTextElideMode(Qt.Qt.ElideMiddle)
        header.setHighlightSections(False)
        header.setTextElideMode(Qt.Qt.ElideNone)
        header.setSectionsMovable(True)
        header.sectionClicked.connect(self.model.setReference)
        rows.setHighlightSections(False)
        table.setStyleSheet("QTableCornerButton::section { background: palette(window); border: none; }")
        style = headerStyle(table.fontMetrics())
        rows.setStyleSheet(style)
        header.setStyleSheet(style)
        self.copy = self._action(table, "&Copy", "Ctrl+C", self.copySelected)
        self.whole = self._action(
            table, "Show &whole value", "Ctrl+Return", lambda: self._showWhole(table.currentIndex())
        )
        self.refer = self._action(table, "Compare with this &dataset", "Ctrl+D", self._refer)
        table.setContextMenuPolicy(Qt.Qt.ActionsContextMenu)
        return table

    @staticmethod
    def _action(table: Qt.QTableView, text: str, key: str, slot: Callable[[], object]) -> Qt.QAction:
        action = Qt.QAction(text, table)
        action.setShortcut(Qt.QKeySequence(key))
        action.setShortcutContext(Qt.Qt.WidgetShortcut)
        action.triggered.connect(lambda: slot())
        table.addAction(action)
        return action

    # ------------------------------------------------------------------------- reading

    def read(self, pids: Sequence[str]) -> None:
        """Compare these datasets, from left to right."""
        self._pids = list(pids)
        self.progress.setMaximum(len(pids))
        self._ask(self._pids)

    def readFrom(self, which: Callable[[], list[str]]) -> None:
        """Compare the datasets whose pids `which` returns; it is called in another thread."""
        self.message.setText("Reading the datasets")
        self.copyAll.setEnabled(False)
        self._running = [self._calls.run(which, self.read, self._unknown)]

    def _unknown(self, error: Exception) -> None:
        self.progress.hide()
        self._report(f"The datasets cannot be read: {problem_text(error)}", False)

    def _ask(self, pids: Sequence[str]) -> None:
        self._problems.clear()
        self.state.hide()
        self.table.hide()
        self.copyAll.setEnabled(False)
        self.message.setText("Reading the datasets")
        self.progress.show()
        self.progress.setValue(len(self._found))
        run, read = self._calls.run, self._scicat.dataset
        self._running = [
            run(partial(read, pid), partial(self._answered, pid), partial(self._failed, pid)) for pid in pids
        ]

    def _answered(self, pid: str, dataset: Json | None) -> None:
        if dataset is None:
            self._problems[pid] = "it is not in the catalogue"
        else:
            self._found[pid] = dataset
        self._progressed()

    def _failed(self, pid: str, error: Exception) -> None:
        self._problems[pid] = problem_text(error)
        self._progressed()

    def _progressed(self) -> None:
        done = len(self._found) + len(self._problems)
        self.progress.setValue(done)
        if done == len(self._pids):
            self._running = []
            self._show()

    def _retry(self) -> None:
        self._ask([pid for pid in self._pids if pid not in self._found])

    def _stop(self) -> None:
        for call in self._running:
            call.cancel()

    # ------------------------------------------------------------------------- showing

    def _show(self) -> None:
        datasets = [self._found[pid] for pid in self._pids if pid in self._found]
        self.progress.hide()
        if self._problems:
            why = next(iter(self._problems.values()))
            self._report(f"{len(self._problems)} of {len(self._pids)} datasets cannot be read: {why}", True)
        if len(datasets) < 2:
            self.message.setText("There is nothing to compare")
            return
        comparison = compare(datasets)
        self.model.show(datasets, comparison)
        self.message.setText(_summary(comparison, len(datasets)))
        self.table.setVisible(bool(comparison.rows))
        self.copyAll.setEnabled(bool(comparison.rows))
        self._fitColumns()
        self.table.setCurrentIndex(self.model.index(0, 0))
        self.table.setFocus()

    def _fitColumns(self) -> None:
        header, letter = self.table.horizontalHeader(), self.table.fontMetrics().averageCharWidth()
        self.table.resizeColumnsToContents()
        for section in range(header.count()):
            header.resizeSection(section, min(max(header.sectionSize(section), letter * 18), letter * 32))

    def _report(self, text: str, retry: bool) -> None:
        self.state.sayProblem(text)
        self.state.button.setVisible(retry)
        self.state.show()

    # ------------------------------------------------------------------------- actions

    def _refer(self) -> None:
        if self.table.currentIndex().isValid():
            self.model.setReference(self.table.currentIndex().column())

    def _showWhole(self, index: Qt.QModelIndex) -> None:
        if index.isValid():
            row = self.model.rows[index.row()]
            cell = row.cells[index.column()]
            value = cell.text if cell.whole is None else cell.whole
            WholeValue(row.name, value, row.unit or cell.unit, self).show()

    def copySelected(self) -> None:
        """Copy the selected cells, with the name of each line before them."""
        chosen = self.table.selectionModel().selectedIndexes()
        columns = sorted({index.column() for index in chosen}, key=self.table.horizontalHeader().visualIndex)
        places = {(index.row(), index.column()) for index in chosen}
        lines = []
        for row in sorted({index.row() for index in chosen}):
            shown = self.model.rows[row]
            cells = [cell_text(shown.cells[column]) if (row, column) in places else "" for column in columns]
            lines.append("\t".join([guarded(shown.label), *cells]))
        if lines:
            Qt.QApplication.clipboard().setText("\n".join(lines))


def _summary(comparison: Comparison, count: int) -> str:
    which = "both" if count == 2 else f"all {count}"
    if not comparison.rows:
        return f"Nothing differs: {comparison.compared:,} values are the same in {which} datasets."
    same = comparison.compared - len(comparison.rows)
    differ = (
        f"{len(comparison.rows):,} value differs"
        if len(comparison.rows) == 1
        else (f"{len(comparison.rows):,} values differ")
    )
    return (
        f"{differ}, {same:,} are the same in {which} datasets and not shown. {DIFFERENT_SIGN} marks what is different"
        " from the dataset that is compared with; a click on a header compares with another."
    )
