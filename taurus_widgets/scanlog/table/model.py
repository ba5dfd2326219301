"""The rows of the scan log as a Qt model: as many as the catalogue counts, of which some are in memory."""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from taurus.external.qt import Qt

from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import PROVISIONAL, Json, Kind, LogColumn
from taurus_widgets.scanlog.parts.roles import ALIGNMENT, COLUMN_ROLE, DATASET_ROLE

_NOWHERE = Qt.QModelIndex()


class ScanModel(Qt.QAbstractTableModel):
    """The rows of one query. The place of a row is fixed when it is first seen, so rows never jump.

    The rows from `above` on are the catalogue's own list, as it counts and pages it without datasets newer than
    `bound`; the rows above arrived later, and all are in memory. Of the other rows only some are in memory, by their
    number.
    """

    newsChanged = Qt.Signal(int)
    """Number of new datasets that are not shown, because the rows are not sorted by time."""

    def __init__(self, columns: Iterable[LogColumn], parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self._columns = list(columns)
        self._rows: dict[int, Json] = {}
        self._places: dict[str, int] = {}  # pid to row, for the rows in memory
        self._count = 0
        self._above = 0
        self._newest_first = True
        self._bound = ""
        self._since = ""
        self._news: set[str] = set()
        self._late: set[str] = set()  # pids that arrived with an older time than existing rows
        self._expected: dict[str, Json] = {}
        self._ended: dict[str, Json] = {}  # expected datasets that have ended, until the catalogue says so
        self._running: set[str] = set()
        self._today = dt.date.today()
        self.numbering = 0
        """Changes whenever the numbers of the catalogue's own list, and so the starts of its pages, change."""
        self.addsNews = False
        """While rows are inserted: whether they are new datasets, and not old ones that were only counted now."""

    # ------------------------------------------------------------------- the whole

    @property
    def columns(self) -> list[LogColumn]:
        return list(self._columns)

    @property
    def news(self) -> int:
        """The number that `newsChanged` reports."""
        return len(self._news)

    @property
    def above(self) -> int:
        """The first row of the catalogue's own list."""
        return self._above

    @property
    def bound(self) -> Json | None:
        """The additional condition of the catalogue's own list; None while it makes no difference."""
        if self._newest_first:
            return {"creationTime": {"$lte": self._bound}} if self._bound else None
        # With a bound the catalogue reads all datasets that it sorts: use it only where needed.
        return {"createdAt": {"$lte": self._since}} if self._since and self._news else None

    def begin(self, rows: Sequence[Json], newest_first: bool = True, since: str = "") -> list[tuple[str, str]]:
        """Show these rows and nothing else. Returns the changes as `merge` does. Rows not sorted by time do not change.

        `since` is the catalogue's latest `updatedAt` when they were read: later datasets are new.
        """
        rows = [self._with_end(dataset) for dataset in rows]
        self.beginResetModel()
        self._forget()
        self._newest_first, self._since = newest_first, since
        self._bound = str(rows[0].get("creationTime", "")) if rows and newest_first else ""
        self._count = len(rows)
        self._put(0, rows)
        for pid in set(self._expected) & set(self._places):
            del self._expected[pid]
        self.endResetModel()
        self._learnNames(rows)
        self.newsChanged.emit(0)
        for dataset in list(self._expected.values()):
            self._insertExpected(dataset)
        return [(dataset["pid"], cols.status(dataset)) for dataset in rows]

    def clear(self) -> None:
        self._expected.clear()
        self._ended.clear()
        self.begin([])

    def _forget(self) -> None:
        self.numbering += 1
        self._rows.clear()
        self._places.clear()
        self._running.clear()
        self._news.clear()
        self._late.clear()
        self._count = self._above = 0

    def setCount(self, count: int) -> None:
        """Set the catalogue's number of rows: rows are added or removed at the end."""
        self._resize(count + self._above, self._count)

    def _resize(self, count: int, place: int) -> None:
        """Insert unread rows before `place`, or remove the rows before it, until there are `count` rows."""
        more = count - self._count
        if more > 0:
            self._insertRows(place, more)
        elif more < 0:
            first = max(place + more, 0)
            self.beginRemoveRows(_NOWHERE, first, first - more - 1)
            self._drop([row for row in self._rows if first <= row < first - more])
            self._shift(first - more, more)
            self._count = count
            self.endRemoveRows()

    # ------------------------------------------------------------------------- pages

    def setPage(self, first: int, rows: Sequence[Json]) -> None:
        """Set the rows of the catalogue's own list from its row `first` on."""
        rows = rows[: max(0, self._count - self._above - first)]
        if rows:
            first += self._above
            rows = [self._with_end(dataset) for dataset in rows]
            self._put(first, rows)
            self._changed(first, first + len(rows) - 1)
            self._learnNames(rows)

    def keep(self, wanted: Callable[[int], bool]) -> None:
        """Drop the datasets of all other rows, except above the catalogue's own list. The rows stay."""
        self._drop([row for row in self._rows if row >= self._above and not wanted(row)])

    def fold(self) -> None:
        """Make the new rows part of the catalogue's own list, so that they can be dropped and read again."""
        above = self._above
        while above and not self._rows[above - 1].get(PROVISIONAL):
            above -= 1
        folded = [self._rows[row] for row in range(above, self._above)]
        self.numbering += bool(folded)
        self._above = above
        self._bound = max([self._bound, *(str(dataset.get("creationTime", "")) for dataset in folded)])
        self._since = max([self._since, *(str(dataset.get("createdAt", "")) for dataset in folded)])

    def realign(self, count: int, pid: str, number: int) -> None:
        """The catalogue now counts `count` rows, and this dataset in memory is its row `number`: move the others."""
        row = self._places[pid]
        target = self._above + number
        if row >= self._above and target != row:
            place = self._above if target > row else self._above + row - target
            self._resize(self._count + target - row, place)
        self.setCount(count)

    # ------------------------------------------------------------------------- changes

    def merge(self, datasets: Iterable[Json]) -> tuple[list[tuple[str, str]], bool]:
        """Add what is new or changed. Returns (pid, status) of datasets that are new or have a new status, and

        whether rows that are not in memory may have moved, so that `realign` is needed.
        """
        reported: list[tuple[str, str]] = []
        fresh: dict[str, Json] = {}
        moved = False
        datasets = [self._with_end(dataset) for dataset in datasets]
        for dataset in datasets:
            pid, status = dataset["pid"], cols.status(dataset)
            known = fresh.get(pid) or self._loaded(pid)
            if known is not None and cols.status(known) != status:
                reported.append((pid, status))
            if pid in self._places:
                moved |= self._replace(pid, dataset)
            elif pid in fresh or self._isNew(dataset):
                if known is None and self._newest_first:
                    reported.append((pid, status))
                fresh[pid] = dataset
            elif self._newest_first and pid not in self._late:
                self._late.add(pid)
                moved = True
        if self._newest_first:
            self._insert(fresh)
        elif not self._news.issuperset(fresh):
            self._news.update(fresh)
            self.newsChanged.emit(len(self._news))
        self._learnNames(datasets)
        return reported, moved

    def expect(self, dataset: Json) -> None:
        """Show a dataset (pid, creationTime, ... and `"provisional": True`) until the catalogue has the same pid.

        A second call with the same pid changes it. Nothing is shown if the rows are not sorted by time.
        """
        pid = dataset["pid"]
        known = self._loaded(pid)
        # "" is the end of a scan whose outcome the Door has not reported: then the catalogue knows it first.
        if cols.status(dataset) not in ("running", "") and (known is None or cols.status(known) == "running"):
            self._ended[pid] = dataset
        if known is not None and not known.get(PROVISIONAL):
            return
        self._expected[pid] = dataset
        if known is not None:
            self._replace(pid, dataset)
        else:
            self._insertExpected(dataset)

    def unexpect(self, pid: str) -> None:
        """Remove an expected dataset that did not arrive."""
        self._expected.pop(pid, None)
        known = self._loaded(pid)
        if known is None or known.get(PROVISIONAL):
            self._ended.pop(pid, None)
        if known is not None and known.get(PROVISIONAL):
            self._above -= 1
            self._resize(self._count - 1, self._places[pid] + 1)

    def _with_end(self, dataset: Json) -> Json:
        """The catalogue's dataset. If its scan has ended and the catalogue does not know yet: with that end."""
        ended = self._ended.get(dataset["pid"])
        if ended is not None and cols.status(dataset) == "running":
            return cols.with_end(dataset, ended)
        self._ended.pop(dataset["pid"], None)
        return dataset

    def _insertExpected(self, dataset: Json) -> None:
        if self._newest_first:
            keys = [_key(self._rows[row]) for row in range(self._above)]
            self._insertNews(_above(keys, _key(dataset)), [dataset], self._above + 1)

    def _loaded(self, pid: str) -> Json | None:
        row = self._places.get(pid)
        return None if row is None else self._rows[row]

    def _isNew(self, dataset: Json) -> bool:
        """Whether it arrived after the rows were counted, or belongs between two adjacent rows in memory."""
        if self._newest_first and str(dataset.get("creationTime", "")) > self._bound:
            return True
        if not self._newest_first:
            return str(dataset.get("createdAt", "")) > self._since
        return self._gap(dataset) is not None

    def _gap(self, dataset: Json) -> int | None:
        """The row before which it belongs, if both its neighbours are in memory, else None."""
        here = sorted(self._rows)
        place = bisect.bisect_left(here, True, key=lambda row: _key(self._rows[row]) < _key(dataset))
        before = here[place - 1] if place else -1
        after = here[place] if place < len(here) else self._count
        return after if after == before + 1 else None

    def _insert(self, fresh: dict[str, Json]) -> None:
        """Insert the new rows with one insertion for each gap."""
        above = [dataset for dataset in fresh.values() if str(dataset.get("creationTime", "")) > self._bound]
        gaps: dict[int, list[Json]] = {}
        keys = [_key(self._rows[row]) for row in range(self._above)]
        for dataset in sorted(above, key=_key, reverse=True):
            gaps.setdefault(_above(keys, _key(dataset)), []).append(dataset)
        for place in sorted(gaps, reverse=True):  # from the bottom up, so that places stay valid
            self._insertNews(place, gaps[place], self._above + len(gaps[place]))
        for dataset in fresh.values():
            if dataset["pid"] not in self._places:
                self._late.add(dataset["pid"])
                gap = self._gap(dataset)
                if gap is not None:
                    self._insertNews(gap, [dataset], self._above)

    def _insertNews(self, place: int, datasets: Sequence[Json], above: int) -> None:
        self.addsNews = True
        self._insertRows(place, len(datasets), datasets, above)
        self.addsNews = False

    def _insertRows(self, place: int, count: int, datasets: Sequence[Json] = (), above: int | None = None) -> None:
        self.beginInsertRows(_NOWHERE, place, place + count - 1)
        self._shift(place, count)
        self._count += count
        self._above = self._above if above is None else above
        for row, dataset in enumerate(datasets, place):
            self._set(row, dataset)
        self.endInsertRows()

    def _shift(self, first: int, by: int) -> None:
        """Move the rows in memory from row `first` on."""
        self.numbering += first > self._above
        below = [(row, self._rows.pop(row)) for row in list(self._rows) if row >= first]
        for row, dataset in below:
            self._rows[row + by] = dataset
            self._places[dataset["pid"]] = row + by

    def _drop(self, rows: Iterable[int]) -> None:
        for row in rows:
            pid = self._rows.pop(row)["pid"]
            if self._places.get(pid) == row:
                del self._places[pid]
                self._running.discard(pid)

    def _replace(self, pid: str, dataset: Json) -> bool:
        """Returns whether unread rows may have moved, because a new dataset was first read with a page."""
        row = self._places[pid]
        known = self._rows[row]
        arrived = bool(known.get(PROVISIONAL)) and not dataset.get(PROVISIONAL)
        late = (
            self._newest_first
            and row >= self._above
            and pid not in self._late
            and str(dataset.get("createdAt", "")) > self._since
            and str(dataset.get("creationTime", "")) <= self._bound
        )
        if late:
            self._late.add(pid)
        self._set(row, dataset)
        self._changed(row, row)
        if arrived:
            self._expected.pop(pid, None)
            if str(dataset.get("creationTime", "")) <= self._bound:
                self.fold()  # the catalogue counts it among the existing rows
        return late

    def _put(self, first: int, rows: Sequence[Json]) -> None:
        for row, dataset in enumerate(rows, first):
            if row in self._rows:
                self._drop([row])
            self._set(row, dataset)

    def _set(self, row: int, dataset: Json) -> None:
        pid = dataset["pid"]
        self._rows[row] = dataset
        self._places[pid] = row
        (self._running.add if cols.status(dataset) == "running" else self._running.discard)(pid)

    def _changed(self, first: int, last: int) -> None:
        self.dataChanged.emit(self.index(first, 0), self.index(last, len(self._columns) - 1))

    # -------------------------------------------------------------------------- columns

    def _learnNames(self, datasets: Iterable[Json]) -> None:
        for place, column in enumerate(self._columns):
            for dataset in datasets:
                column = column.named_by(dataset)
            if column is not self._columns[place]:
                self._columns[place] = column
                self.headerDataChanged.emit(Qt.Qt.Horizontal, place, place)

    def setColumns(self, columns: Iterable[LogColumn]) -> None:
        """Set the columns, one for each key. Existing ones keep their number: the header has the visible order."""
        wanted = {column.key: column for column in columns}
        for place in reversed(range(len(self._columns))):
            if wanted.pop(self._columns[place].key, None) is None:
                self.beginRemoveColumns(_NOWHERE, place, place)
                del self._columns[place]
                self.endRemoveColumns()
        if wanted:
            count = len(self._columns)
            self.beginInsertColumns(_NOWHERE, count, count + len(wanted) - 1)
            self._columns += wanted.values()
            self.endInsertColumns()
            self._learnNames(list(self._rows.values()))

    def replaceColumn(self, column: LogColumn) -> None:
        """Replace the column with the same key, if there is one."""
        for place, here in enumerate(self._columns):
            if here.key == column.key:
                self._columns[place] = column
                self.headerDataChanged.emit(Qt.Qt.Horizontal, place, place)

    def tick(self) -> None:
        """Update the durations of running scans, and at midnight the times. Called once a second."""
        place = next((place for place, column in enumerate(self._columns) if column.key == "duration"), None)
        if place is not None:
            for pid in self._running:
                cell = self.index(self._places[pid], place)
                self.dataChanged.emit(cell, cell, [Qt.Qt.DisplayRole])
        if self._today != dt.date.today() and self._count:
            self._today = dt.date.today()
            self._changed(0, self._count - 1)

    # ----------------------------------------------------------------------- questions

    def rowOf(self, pid: str) -> int:
        """The row of this dataset. Raises KeyError if it is not in memory."""
        return self._places[pid]

    def isLoaded(self, pid: str) -> bool:
        return pid in self._places

    def dataset(self, row: int) -> Json | None:
        """The dataset of a row; None if it is not in memory."""
        return self._rows.get(row)

    def columnAt(self, place: int) -> LogColumn:
        return self._columns[place]

    def isProvisional(self, row: int) -> bool:
        """Whether this dataset is in memory but not in the catalogue yet."""
        dataset = self._rows.get(row)
        return dataset is not None and bool(dataset.get(PROVISIONAL))

    def loadedRows(self) -> list[int]:
        """The rows whose dataset is in memory, from the top down."""
        return sorted(self._rows)

    def rowCount(self, parent: Qt.QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else self._count

    def columnCount(self, parent: Qt.QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: Qt.QModelIndex, role: int = Qt.Qt.DisplayRole) -> Any:
        if not index.isValid():
            return None
        column = self._columns[index.column()]
        if role == Qt.Qt.TextAlignmentRole:
            return int(ALIGNMENT.get(column.kind, Qt.Qt.AlignLeft) | Qt.Qt.AlignVCenter)
        dataset = self._rows.get(index.row())
        if dataset is None:
            return None
        if role == Qt.Qt.DisplayRole:
            return column.text(dataset)
        if role == Qt.Qt.ToolTipRole:
            return tooltip(column.tip(dataset))
        if role == DATASET_ROLE:
            return dataset
        return None

    def flags(self, index: Qt.QModelIndex) -> Qt.Qt.ItemFlags:
        flags = super().flags(index)
        if index.isValid() and self._columns[index.column()].kind is Kind.COMMENT:
            flags |= Qt.Qt.ItemIsEditable  # by the delegate, which knows the position
        return flags

    def headerData(self, section: int, orientation: Qt.Qt.Orientation, role: int = Qt.Qt.DisplayRole) -> Any:
        if orientation != Qt.Qt.Horizontal or not 0 <= section < len(self._columns):
            return None
        column = self._columns[section]
        if role == Qt.Qt.DisplayRole:
            return column.title
        if role == Qt.Qt.TextAlignmentRole:
            return int(ALIGNMENT.get(column.kind, Qt.Qt.AlignLeft) | Qt.Qt.AlignVCenter)
        if role == Qt.Qt.ToolTipRole:
            return tooltip(column.hint or column.title)
        if role == COLUMN_ROLE:
            return column
        return None


def _key(dataset: Json) -> tuple[str, str]:
    return str(dataset.get("creationTime", "")), dataset["pid"]


def _above(keys: Sequence[tuple[str, str]], key: tuple[str, str]) -> int:
    """The number of these descending values that are greater."""
    return bisect.bisect_left(keys, True, key=lambda other: other < key)
