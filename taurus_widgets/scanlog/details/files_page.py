"""The page with the files of a dataset, read in pieces."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from taurus.external.qt import Qt

from ingest.scicat import SciCat, SciCatError
from taurus_widgets.qt.calls import Call, Calls
from taurus_widgets.qt.layouts import flatten, tightColumn
from taurus_widgets.qt.painting import cellStyle, headerStyle
from taurus_widgets.qt.state_line import StateLine
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json, line
from taurus_widgets.scanlog.data.detail_lines import size_text
from taurus_widgets.scanlog.data.feed import problem_text

NAME, SIZE, TIME = range(3)
_TITLES = ("File", "Size", "Local time")
_NOWHERE = Qt.QModelIndex()

FIRST_BLOCK_COUNT = 2
"""Origdatablocks of the first request; each further request reads twice as many, up to MAX_BLOCK_COUNT."""

MAX_BLOCK_COUNT = 64

File = tuple[str, str, str]


def read_files(scicat: SciCat, pid: str, skip: int, limit: int) -> tuple[list[File], bool]:
    """The files in these origdatablocks of a dataset, and whether there are more. For another thread.

    Raises SciCatError.
    """
    wanted = {"where": {"datasetId": pid}, "limits": {"skip": skip, "limit": limit, "order": "createdAt:asc"}}
    try:
        blocks = scicat.call("GET", "/api/v3/origdatablocks", params={"filter": wanted}) or []
    except SciCatError as error:
        if skip or error.temporary:
            raise
        blocks = []
    if not blocks and not skip:
        # Not everybody may query origdatablocks; those of one dataset are open to its readers, but only all at once.
        blocks = scicat.blocks(pid)
        limit = len(blocks) + 1
    files = [_file(file) for block in blocks for file in block.get("dataFileList") or [] if isinstance(file, dict)]
    return files, len(blocks) >= limit


def _file(file: Json) -> File:
    time = cols.moment(file.get("time"))
    return line(file.get("path")), size_text(file.get("size")), f"{time:%Y-%m-%d %H:%M:%S}" if time else ""


class FileModel(Qt.QAbstractTableModel):
    """The files that have been read so far. The view requests more when its end is shown."""

    changed = Qt.Signal()
    """`reading`, `problem`, `complete` or the number of rows has changed."""

    def __init__(self, calls: Calls, scicat: Callable[[], SciCat | None], parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self._calls = calls
        self._scicat = scicat
        self._files: list[File] = []
        self._pid = ""
        self._blocks = 0
        self._limit = FIRST_BLOCK_COUNT
        self._call: Call | None = None
        self.problem = ""
        self.complete = True

    @property
    def reading(self) -> bool:
        return self._call is not None

    def read(self, pid: str) -> None:
        """Read the files of this dataset from the first on; "" for none."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.beginResetModel()
        self._files, self._blocks, self._limit = [], 0, FIRST_BLOCK_COUNT
        self.endResetModel()
        self._pid, self.problem, self.complete = pid, "", not pid
        self.fetchMore()
        self.changed.emit()

    def retry(self) -> None:
        self.problem = ""
        self.fetchMore()

    def canFetchMore(self, parent: Qt.QModelIndex = _NOWHERE) -> bool:
        return not (parent.isValid() or self.complete or self.reading or self.problem)

    def fetchMore(self, parent: Qt.QModelIndex = _NOWHERE) -> None:
        scicat = self._scicat()
        if not self.canFetchMore(parent) or scicat is None:
            return
        pid, skip, limit = self._pid, self._blocks, self._limit
        self._call = self._calls.run(
            lambda: read_files(scicat, pid, skip, limit), lambda answer: self._add(*answer), self._failed, "files"
        )
        self.changed.emit()

    def _add(self, files: list[File], more: bool) -> None:
        self._call = None
        self._blocks += self._limit
        self._limit = min(self._limit * 2, MAX_BLOCK_COUNT)
        self.complete = not more
        if files:
            self.beginInsertRows(_NOWHERE, len(self._files), len(self._files) + len(files) - 1)
            self._files += files
            self.endInsertRows()
        self.changed.emit()

    def _failed(self, error: Exception) -> None:
        self._call = None
        self.problem = problem_text(error)
        self.changed.emit()

    def path(self, row: int) -> str:
        return self._files[row][NAME]

    def rowCount(self, parent: Qt.QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._files)

    def columnCount(self, parent: Qt.QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(_TITLES)

    def data(self, index: Qt.QModelIndex, role: int = Qt.Qt.DisplayRole) -> Any:
        if not index.isValid():
            return None
        if role == Qt.Qt.DisplayRole:
            return self._files[index.row()][index.column()]
        if role == Qt.Qt.ToolTipRole:
            return tooltip(self._files[index.row()][index.column()])
        if role == Qt.Qt.TextAlignmentRole:
            side = Qt.Qt.AlignRight if index.column() == SIZE else Qt.Qt.AlignLeft
            return int(side | Qt.Qt.AlignVCenter)
        return None

    def headerData(self, section: int, orientation: Qt.Qt.Orientation, role: int = Qt.Qt.DisplayRole) -> Any:
        if orientation != Qt.Qt.Horizontal:
            return None
        if role == Qt.Qt.DisplayRole:
            return _TITLES[section]
        if role == Qt.Qt.TextAlignmentRole:
            side = Qt.Qt.AlignRight if section == SIZE else Qt.Qt.AlignLeft
            return int(side | Qt.Qt.AlignVCenter)
        return None


class FilesPage(Qt.QWidget):
    """The folder, and each file with its size and time. They are read when the page is shown."""

    titleChanged = Qt.Signal(str)

    def __init__(self, calls: Calls, scicat: Callable[[], SciCat | None], parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._dataset: Json | None = None
        self._read = ("", -1)  # pid and number of files of the rows
        self.folder = Qt.QLabel(self)
        self.folder.setTextFormat(Qt.Qt.PlainText)
        self.folder.setWordWrap(True)
        self.folder.setTextInteractionFlags(Qt.Qt.TextSelectableByMouse | Qt.Qt.TextSelectableByKeyboard)
        self.folder.setContentsMargins(8, 4, 8, 4)
        self.files = FileModel(calls, scicat, self)
        self.table = self._makeTable()
        self.state = StateLine(self)
        self.state.retryWanted.connect(self.files.retry)
        self.copy = Qt.QAction("&Copy path", self.table)
        self.copy.setShortcut(Qt.QKeySequence("Ctrl+C"))
        self.copy.setShortcutContext(Qt.Qt.WidgetShortcut)
        self.copy.triggered.connect(self.copyPaths)
        self.table.addAction(self.copy)
        self.table.setContextMenuPolicy(Qt.Qt.ActionsContextMenu)
        self.files.changed.connect(self._showState)
        layout = tightColumn(self)
        layout.addWidget(self.folder)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.state)

    def _makeTable(self) -> Qt.QTableView:
        table = Qt.QTableView(self)
        table.setModel(self.files)
        table.setTextElideMode(Qt.Qt.ElideMiddle)
        flatten(table)
        rows, header = table.verticalHeader(), table.horizontalHeader()
        rows.hide()
        rows.setSectionResizeMode(rows.Fixed)
        rows.setDefaultSectionSize(round(table.fontMetrics().height() * 1.35))
        header.setStyleSheet(headerStyle(table.fontMetrics()))
        table.setStyleSheet(cellStyle(table.fontMetrics()))
        header.setHighlightSections(False)
        header.setSectionResizeMode(NAME, header.Stretch)
        digit = table.fontMetrics().horizontalAdvance("0")
        header.resizeSection(SIZE, digit * 9)
        header.resizeSection(TIME, digit * 20)
        return table

    def setDataset(self, dataset: Json | None) -> None:
        self._dataset = dataset
        count = _count(dataset)
        self.titleChanged.emit(f"Fi&les {count:,}" if count else "Fi&les")
        folder = line(dataset.get("sourceFolder")) if dataset else ""
        self.folder.setText(folder)
        self.folder.setVisible(bool(folder))
        self._readIfSeen()

    def showEvent(self, event: Qt.QShowEvent) -> None:
        super().showEvent(event)
        self._readIfSeen()

    def _readIfSeen(self) -> None:
        pid = str(self._dataset["pid"]) if self._dataset else ""
        wanted = (pid, _count(self._dataset))
        if wanted == self._read or (pid and not self.isVisible()):
            return
        self._read = wanted
        self.files.read(pid)

    def _showState(self) -> None:
        files, known = self.files.rowCount(), _count(self._dataset)
        if self.files.problem:
            self.state.sayProblem(f"The files cannot be read: {self.files.problem}")
            return
        if self.files.complete:
            text = f"{files:,} file{'' if files == 1 else 's'}" if files else "No files are recorded"
        elif not files:
            text = "Reading"
        else:
            text = f"{files:,} of {known:,} files" if known > files else f"{files:,} files"
            text += ", reading more" if self.files.reading else ": scroll down for more"
        self.state.say(text if self._dataset else "")

    def copyPaths(self) -> None:
        """Copy the full paths of the selected files, one per line."""
        folder = str(self._dataset.get("sourceFolder") or "") if self._dataset else ""
        rows = sorted(index.row() for index in self.table.selectionModel().selectedRows())
        if rows:
            paths = [posixpath.join(folder, self.files.path(row)) for row in rows]
            Qt.QApplication.clipboard().setText("\n".join(paths))


def _count(dataset: Json | None) -> int:
    count = dataset.get("numberOfFiles") if dataset else None
    return count if isinstance(count, int) and count > 0 else 0
