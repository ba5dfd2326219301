"""The rows of the scan log as a Qt model: keyed by pid, newest on top, changed in place."""

from __future__ import annotations

import bisect
import datetime as dt
import html
import itertools
from collections.abc import Iterable
from typing import Any

from taurus.external.qt import Qt

from taurus_widgets import columns as cols
from taurus_widgets.columns import Column, Json, Kind

DATASET_ROLE = Qt.Qt.UserRole
"""The whole dataset of a row, for delegates and for the detail pane."""

_ALIGNMENT = {Kind.NUMBER: Qt.Qt.AlignRight}
_NOWHERE = Qt.QModelIndex()


class ScanModel(Qt.QAbstractTableModel):
    """Datasets by time of start. A row's place is decided when it is first seen, so rows never jump."""

    def __init__(self, columns: Iterable[Column], parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self._columns = list(columns)
        self._datasets: dict[str, Json] = {}
        self._keys: dict[str, tuple[str, str]] = {}  # pid to (creationTime, pid)
        self._order: list[tuple[str, str]] = []  # the keys, oldest first: new ones are appended
        self._today = dt.date.today()

    # ------------------------------------------------------------------- content

    @property
    def columns(self) -> list[Column]:
        return list(self._columns)

    def merge(self, datasets: Iterable[Json]) -> list[tuple[str, str]]:
        """Put them in; (pid, status) of those that are new or whose status has changed."""
        datasets = list(datasets)
        news: list[tuple[str, str]] = []
        fresh: dict[str, Json] = {}
        for dataset in datasets:
            pid, status = dataset["pid"], cols.status(dataset)
            known = fresh.get(pid) or self._datasets.get(pid)
            if known is None or cols.status(known) != status:
                news.append((pid, status))
            if pid in self._datasets:
                self._replace(pid, dataset)
            else:
                fresh[pid] = dataset
        self._insert(fresh)
        self._learnNames(datasets)
        return news

    def _replace(self, pid: str, dataset: Json) -> None:
        self._datasets[pid] = dataset
        row = self.rowOf(pid)
        self.dataChanged.emit(self.index(row, 0), self.index(row, len(self._columns) - 1))

    def _insert(self, fresh: dict[str, Json]) -> None:
        self._keys.update((pid, (str(dataset.get("creationTime", "")), pid)) for pid, dataset in fresh.items())
        keys = sorted(self._keys[pid] for pid in fresh)
        # One insertion for each gap that gets rows; from the latest on, so that places stay right.
        gaps = [(place, list(group)) for place, group in itertools.groupby(keys, self._place)]
        for place, group in reversed(gaps):
            first = len(self._order) - place
            self.beginInsertRows(_NOWHERE, first, first + len(group) - 1)
            self._order[place:place] = group
            self._datasets.update((pid, fresh[pid]) for _, pid in group)
            self.endInsertRows()

    def _place(self, key: tuple[str, str]) -> int:
        return bisect.bisect_left(self._order, key)

    def _learnNames(self, datasets: Iterable[Json]) -> None:
        for place, column in enumerate(self._columns):
            for dataset in datasets:
                column = column.named_by(dataset)
            if column is not self._columns[place]:
                self._columns[place] = column
                self.headerDataChanged.emit(Qt.Qt.Horizontal, place, place)

    def expect(self, dataset: Json) -> None:
        """Show a dataset (pid, creationTime, ... and `"provisional": True`) until the catalogue has one of its pid."""
        raise NotImplementedError

    def clear(self) -> None:
        self.beginResetModel()
        self._datasets.clear()
        self._keys.clear()
        self._order.clear()
        self.endResetModel()

    def addColumn(self, column: Column, place: int) -> None:
        """Nothing happens if there is one with its key."""
        if any(column.key == other.key for other in self._columns):
            return
        self.beginInsertColumns(_NOWHERE, place, place)
        self._columns.insert(place, column)
        self.endInsertColumns()
        self._learnNames(list(self._datasets.values()))

    def tick(self) -> None:
        """Once a second: what runs has run for longer; at midnight no row is of today any more."""
        place = next((place for place, column in enumerate(self._columns) if column.key == "duration"), None)
        if place is not None:
            for pid in [pid for pid, dataset in self._datasets.items() if cols.status(dataset) == "running"]:
                cell = self.index(self.rowOf(pid), place)
                self.dataChanged.emit(cell, cell, [Qt.Qt.DisplayRole])
        if self._today != dt.date.today() and self._order:
            self._today = dt.date.today()
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._order) - 1, len(self._columns) - 1))

    def rowOf(self, pid: str) -> int:
        """KeyError if it is not there."""
        return len(self._order) - 1 - self._place(self._keys[pid])

    def dataset(self, row: int) -> Json:
        return self._datasets[self._order[len(self._order) - 1 - row][1]]

    # ----------------------------------------------------------------- Qt's questions

    def rowCount(self, parent: Qt.QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Qt.QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: Qt.QModelIndex, role: int = Qt.Qt.DisplayRole) -> Any:
        if not index.isValid():
            return None
        column = self._columns[index.column()]
        if role == Qt.Qt.DisplayRole:
            return column.text(self.dataset(index.row()))
        if role == Qt.Qt.TextAlignmentRole:
            return int(_ALIGNMENT.get(column.kind, Qt.Qt.AlignLeft) | Qt.Qt.AlignVCenter)
        if role == Qt.Qt.ToolTipRole:
            return tooltip(column.tip(self.dataset(index.row())))
        if role == DATASET_ROLE:
            return self.dataset(index.row())
        return None

    def flags(self, index: Qt.QModelIndex) -> Qt.Qt.ItemFlags:
        flags = super().flags(index)
        if index.isValid() and self._columns[index.column()].kind is Kind.COMMENT:
            flags |= Qt.Qt.ItemIsEditable  # by the delegate, which knows where it goes
        return flags

    def headerData(self, section: int, orientation: Qt.Qt.Orientation, role: int = Qt.Qt.DisplayRole) -> Any:
        if orientation != Qt.Qt.Horizontal or not 0 <= section < len(self._columns):
            return None
        column = self._columns[section]
        if role == Qt.Qt.DisplayRole:
            return column.title
        if role == Qt.Qt.TextAlignmentRole:
            return int(_ALIGNMENT.get(column.kind, Qt.Qt.AlignLeft) | Qt.Qt.AlignVCenter)
        if role == Qt.Qt.ToolTipRole:
            return tooltip(column.hint or column.title)
        return None


def tooltip(text: str) -> str:
    """Text for a tool tip. Qt takes what looks like HTML there for HTML, so it is escaped."""
    return f'<p style="white-space: pre-wrap">{html.escape(text)}</p>' if text else ""
