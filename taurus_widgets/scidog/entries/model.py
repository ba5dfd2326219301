"""The rows of the draft as a tree for Qt: groups, and the entries in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from taurus.external.qt import Qt

from scifish.configurations.check import ERROR, NOTE
from scifish.settings.entries import RECORD_WHEN
from taurus_widgets.qt.look import strong, tabularFont
from taurus_widgets.qt.painting import colours
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scidog.data.draft import DraftRow, new_row
from taurus_widgets.scidog.data.findings import RowFinding
from taurus_widgets.scidog.session import SOURCES_TYPE, EditSession
from taurus_widgets.value_text import NOT_READ

NAME, SOURCE, NOW, UNIT, RECORD, TAKES = range(6)
LAST = TAKES
TITLES = ("Name", "Attribute", "Now", "Unit, mapping", "Recorded", "Takes")
FIELDS = ("name", "source", "", "unit", "record", "")
RIGHT = (NOW, TAKES)
"""Columns of figures."""

ROW_ROLE = Qt.Qt.UserRole
"""The DraftRow; None for a group."""
GROUP_ROLE = Qt.Qt.UserRole + 1
FINDING_ROLE = Qt.Qt.UserRole + 2
"""The RowFinding that is shown below the row, or None."""

ROWS_TYPE, GROUP_TYPE = "application/x-scidog-rows", "application/x-scidog-group"
"""What is dragged within the table: JSON of the rows' keys, or of a group's name."""

NO_GROUP = "Without a group"


class EntryModel(Qt.QAbstractItemModel):
    """Built anew with each change of the draft: the view keeps what is selected and folded by key."""

    editedMany = Qt.Signal(str, object)
    """A field and its new value, which hold for all selected rows."""

    def __init__(self, session: EditSession, parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.groups: list[tuple[str, list[DraftRow]]] = []
        session.draftChanged.connect(self.rebuild)
        session.liveChanged.connect(self._shownChanged)
        session.findingsChanged.connect(self._shownChanged)
        self._shown: dict[int, RowFinding | None] = {}

    def rebuild(self) -> None:
        draft = self._session.draft
        self.beginResetModel()
        by_group: dict[str, list[DraftRow]] = {}
        for row in draft.rows if draft else ():
            by_group.setdefault(row.group, []).append(row)
        self.groups = list(by_group.items())
        self.endResetModel()

    def _shownChanged(self) -> None:
        """Tell the view of rows whose height may change; it repaints all others itself, as there may be thousands.

        Of one column only: in the others, Qt would put the old text back into an open editor.
        """
        before, self._shown = self._shown, {}
        for place, (_, rows) in enumerate(self.groups):
            parent = self.index(place, 0)
            for number, row in enumerate(rows):
                finding = self._shown[row.key] = self.finding(row)
                if before.get(row.key) != finding:
                    self.dataChanged.emit(self.index(number, NOW, parent), self.index(number, NOW, parent))

    def finding(self, row: DraftRow) -> RowFinding | None:
        """The worst thing to say about a row: a mistake, or why it cannot be read."""
        found = self._session.findings.get(row.key, [])
        live = self._session.live.get(row.key)
        if live is not None and live.error and not (found and found[0].level == ERROR):
            return RowFinding(ERROR, live.error)
        return found[0] if found and found[0].level != NOTE else None

    # ------------------------------------------------------------------- Qt's model

    def index(self, row: int, column: int, parent: Qt.QModelIndex = Qt.QModelIndex()) -> Qt.QModelIndex:  # noqa: B008
        if not self.hasIndex(row, column, parent):
            return Qt.QModelIndex()
        return self.createIndex(row, column, parent.row() + 1 if parent.isValid() else 0)

    def parent(self, index: Qt.QModelIndex = Qt.QModelIndex()) -> Any:  # noqa: B008
        if not index.isValid() or not index.internalId():
            return Qt.QModelIndex()
        return self.createIndex(index.internalId() - 1, 0, 0)

    def rowCount(self, parent: Qt.QModelIndex = Qt.QModelIndex()) -> int:  # noqa: B008
        if not parent.isValid():
            return len(self.groups)
        if parent.internalId() or parent.column() or parent.row() >= len(self.groups):
            return 0
        return len(self.groups[parent.row()][1])

    def columnCount(self, parent: Qt.QModelIndex = Qt.QModelIndex()) -> int:  # noqa: B008
        return len(TITLES)

    def row(self, index: Qt.QModelIndex) -> DraftRow | None:
        if not index.isValid() or not index.internalId():
            return None
        return self.groups[index.internalId() - 1][1][index.row()]

    def indexOf(self, key: int, column: int = NAME) -> Qt.QModelIndex:
        for place, (_, rows) in enumerate(self.groups):
            for number, row in enumerate(rows):
                if row.key == key:
                    return self.index(number, column, self.index(place, 0))
        return Qt.QModelIndex()

    def indexOfGroup(self, group: str) -> Qt.QModelIndex:
        names = [name for name, _ in self.groups]
        return self.index(names.index(group), 0) if group in names else Qt.QModelIndex()

    def headerData(self, section: int, orientation: Qt.Qt.Orientation, role: int = Qt.Qt.DisplayRole) -> Any:
        if role == Qt.Qt.DisplayRole and orientation == Qt.Qt.Horizontal:
            return TITLES[section]
        if role == Qt.Qt.TextAlignmentRole:
            return int(Qt.Qt.AlignVCenter | (Qt.Qt.AlignRight if section in RIGHT else Qt.Qt.AlignLeft))
        return None

    def flags(self, index: Qt.QModelIndex) -> Qt.Qt.ItemFlags:
        if not index.isValid():
            return Qt.Qt.ItemFlags(Qt.Qt.ItemIsDropEnabled)
        found = Qt.Qt.ItemIsEnabled | Qt.Qt.ItemIsSelectable | Qt.Qt.ItemIsDragEnabled | Qt.Qt.ItemIsDropEnabled
        row = self.row(index)
        if row is None or (FIELDS[index.column()] and not (row.text and index.column() != NAME)):
            found |= Qt.Qt.ItemIsEditable
        return Qt.Qt.ItemFlags(found)

    def data(self, index: Qt.QModelIndex, role: int = Qt.Qt.DisplayRole) -> Any:
        row = self.row(index)
        if row is None:
            return self._groupData(index, role)
        column = index.column()
        if role == Qt.Qt.DisplayRole:
            return self._text(row, column)
        if role == Qt.Qt.EditRole:
            return row.text or (row.record if column == RECORD else getattr(row, FIELDS[column] or "name"))
        if role == ROW_ROLE:
            return row
        if role == FINDING_ROLE:
            return self.finding(row)
        if role == Qt.Qt.TextAlignmentRole:
            return int(Qt.Qt.AlignVCenter | (Qt.Qt.AlignRight if column in RIGHT else Qt.Qt.AlignLeft))
        if role == Qt.Qt.ForegroundRole:
            return self._shade(row, column)
        if role == Qt.Qt.FontRole and column in RIGHT:
            return tabularFont(Qt.QApplication.font())
        if role == Qt.Qt.ToolTipRole:
            return tooltip(self._tip(row, column))
        if role == Qt.Qt.AccessibleTextRole:
            finding = self.finding(row)
            return f"{self._text(row, column)}{': ' + finding.text if finding else ''}"
        return None

    def _groupData(self, index: Qt.QModelIndex, role: int) -> Any:
        if not index.isValid():
            return None
        group, rows = self.groups[index.row()]
        if role == GROUP_ROLE:
            return group
        if index.column() != NAME:
            return None
        if role == Qt.Qt.DisplayRole:
            return group or NO_GROUP
        if role == Qt.Qt.EditRole:
            return group
        if role == Qt.Qt.FontRole:
            return strong(Qt.QApplication.font())
        if role == Qt.Qt.ToolTipRole:
            return tooltip(f"{len(rows)} {'entry' if len(rows) == 1 else 'entries'}. F2 renames the group.")
        return None

    def _text(self, row: DraftRow, column: int) -> str:
        if row.text:
            return row.text if column == NAME else ""
        if column == NAME:
            return row.name
        if column == SOURCE:
            return row.source
        live = self._session.live.get(row.key)
        if column == NOW:
            if live is None:
                return "…" if row.entry else ""
            return NOT_READ if live.error else " ".join(filter(None, (live.text, live.quality_text)))
        if column == TAKES:
            return live.took_text if live is not None else ""
        if column == UNIT:
            unit = row.unit or (live.unit if live else "")
            return "   ".join(filter(None, (unit, row.map_text)))
        return " · ".join(row.record)

    def _shade(self, row: DraftRow, column: int) -> Any:
        shades = colours(Qt.QApplication.palette())
        live = self._session.live.get(row.key)
        if column == NOW and live is not None and (live.error or live.quality in ("INVALID", "ALARM")):
            return Qt.QColor(shades.problem)
        if column == NOW and live is not None and live.quality:
            return Qt.QColor(shades.status["aborted"])
        if column in (SOURCE, RECORD, TAKES) or (column == UNIT and not row.unit):
            return Qt.QColor(shades.muted)
        return None

    def _tip(self, row: DraftRow, column: int) -> str:
        live = self._session.live.get(row.key)
        texts = [finding.text for finding in self._session.findings.get(row.key, ())]
        if live is not None and column == NOW:
            texts += [
                live.error or live.in_full,
                f"before the mapping: {live.raw}" if live.raw else "",
                f"quality: {live.quality}" if live.quality else "",
                f"its device: {live.took_text}",
            ]
        elif column in (NAME, SOURCE, UNIT):
            texts.append(self._text(row, column))
        return "\n".join(filter(None, texts))

    def setData(self, index: Qt.QModelIndex, value: Any, role: int = Qt.Qt.EditRole) -> bool:
        if role != Qt.Qt.EditRole:
            return False
        row, group = self.row(index), index.data(GROUP_ROLE)
        if row is None:
            if str(value).strip() != group:
                self._session.change(lambda draft: draft.rename_group(group, str(value)))
            return True
        field = "text" if row.text else FIELDS[index.column()]
        found = tuple(value) if field == "record" else str(value).strip()
        if found == getattr(row, field):
            return False
        if field in ("unit", "record"):
            self.editedMany.emit(field, found)
        else:
            self._session.change(lambda draft: draft.edit({row.key}, {field: found}))
        return True

    # ------------------------------------------------------------------ drag and drop

    def supportedDropActions(self) -> Qt.Qt.DropActions:
        return Qt.Qt.DropActions(Qt.Qt.MoveAction | Qt.Qt.CopyAction)

    def mimeTypes(self) -> list[str]:
        return [ROWS_TYPE, GROUP_TYPE, SOURCES_TYPE]

    def mimeData(self, indexes: Iterable[Qt.QModelIndex]) -> Qt.QMimeData:
        data = Qt.QMimeData()
        rows = list(dict.fromkeys(row.key for row in map(self.row, indexes) if row is not None))
        groups = [index.data(GROUP_ROLE) for index in indexes if self.row(index) is None]
        if rows:
            data.setData(ROWS_TYPE, json.dumps(rows).encode())
        elif groups:
            data.setData(GROUP_TYPE, json.dumps(groups[0]).encode())
        return data

    def dropMimeData(
        self, data: Qt.QMimeData, action: Qt.Qt.DropAction, row: int, column: int, parent: Qt.QModelIndex
    ) -> bool:
        if data.hasFormat(GROUP_TYPE):
            group = json.loads(bytes(data.data(GROUP_TYPE)))
            above = self._groupAt(row, parent)
            self._session.change(lambda draft: draft.move_group(group, above))
            return True
        before, group = self.place(row, parent)
        if data.hasFormat(ROWS_TYPE):
            keys = set(json.loads(bytes(data.data(ROWS_TYPE))))
            self._session.change(lambda draft: draft.move(keys, before, group))
            return True
        if data.hasFormat(SOURCES_TYPE):
            self.addSources(json.loads(bytes(data.data(SOURCES_TYPE))), before, group or "")
            return True
        return False

    def addSources(self, sources: Sequence[Sequence[str]], before: int | None, group: str) -> list[int]:
        """Add [source, name] of each attribute before a row; returns the new keys."""
        draft = self._session.draft
        if draft is None:
            return []
        rows: list[DraftRow] = []
        for source, name in sources:
            taken = {row.name for row in rows}
            free = draft.free_name(name, group)
            number = 2
            while free in taken:
                free, number = f"{name} {number}", number + 1
            rows.append(new_row(free, source, group))
        return list(self._session.change(lambda draft: draft.add(rows, before)))

    def place(self, row: int, parent: Qt.QModelIndex) -> tuple[int | None, str | None]:
        """The key before which something is dropped, and its group there; None for the end, or for no group."""
        if not parent.isValid():  # between two groups, or below all: the end of the group above
            place = row if 0 <= row < len(self.groups) else len(self.groups)
            return self._after(place - 1) if place else (self._first(), self.groups[0][0] if self.groups else None)
        dropped_on = self.row(parent)
        if dropped_on is not None:
            return dropped_on.key, dropped_on.group
        group, rows = self.groups[parent.row()]
        if 0 <= row < len(rows):
            return rows[row].key, group
        return self._after(parent.row())

    def _first(self) -> int | None:
        return self.groups[0][1][0].key if self.groups else None

    def _after(self, place: int) -> tuple[int | None, str]:
        """The key of the row behind the last one of a group."""
        group, rows = self.groups[place]
        draft = self._session.draft
        keys = [row.key for row in draft.rows] if draft else []
        behind = keys.index(rows[-1].key) + 1
        return keys[behind] if behind < len(keys) else None, group

    def _groupAt(self, row: int, parent: Qt.QModelIndex) -> str | None:
        place = row
        if parent.isValid():
            place = parent.internalId() - 1 if parent.internalId() else parent.row()
        return self.groups[place][0] if 0 <= place < len(self.groups) else None


def recordChoices() -> list[tuple[str, ...]]:
    """All combinations of `RECORD_WHEN`, the usual ones first."""
    start, end, statistics = RECORD_WHEN
    return [
        (start,),
        (start, end),
        (start, end, statistics),
        (start, statistics),
        (end,),
        (end, statistics),
        (statistics,),
    ]
