"""The page with the history of a dataset: who made it, who changed it last, and what was changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.qt.calls import Calls
from taurus_widgets.qt.layouts import flatten, tightColumn
from taurus_widgets.qt.painting import cellStyle, headerStyle
from taurus_widgets.qt.state_line import StateLine
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json, line
from taurus_widgets.scanlog.data.detail_lines import DETAIL_DIGITS, MAX_LINE_VALUES
from taurus_widgets.scanlog.data.feed import problem_text
from taurus_widgets.scanlog.data.history import (
    NO_CHANGES_KEPT,
    NO_CHANGES_SHOWN,
    DatasetChange,
    DatasetHistory,
    FieldChange,
    history_in,
    read_history,
)
from taurus_widgets.scanlog.parts.whole_value import WholeValue

WHEN, WHO, WHAT, BEFORE, AFTER = range(5)
VALUE_ROLE = Qt.Qt.UserRole

_NAMES = {"comment": "Comment", "dataQualityMetrics": "Rating", "endTime": "Ended", "numberOfFiles": "Files"}


class HistoryPage(Qt.QWidget):
    """One line for each field that a write changed, newest first. It is read when the page is shown."""

    titleChanged = Qt.Signal(str)

    def __init__(self, calls: Calls, scicat: Callable[[], SciCat | None], parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._calls = calls
        self._scicat = scicat
        self._dataset: Json | None = None
        self._read: tuple[str, str] | None = None  # pid and updatedAt of the shown history
        self._closed: tuple[SciCat | None, str] = (None, "")  # a server that reports no history, and the note for it
        self.stamps = Qt.QLabel(self)
        self.stamps.setTextFormat(Qt.Qt.PlainText)
        self.stamps.setWordWrap(True)
        self.stamps.setTextInteractionFlags(Qt.Qt.TextSelectableByMouse | Qt.Qt.TextSelectableByKeyboard)
        self.stamps.setContentsMargins(8, 4, 8, 4)
        self.table = self._makeTable()
        self.state = StateLine(self)
        self.state.retryWanted.connect(self._readIfSeen)
        layout = tightColumn(self)
        layout.addWidget(self.stamps)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.state)

    def _makeTable(self) -> Qt.QTableWidget:
        table = Qt.QTableWidget(0, 5, self)
        table.setHorizontalHeaderLabels(["When", "Who", "What", "Before", "After"])
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(round(table.fontMetrics().height() * 1.35))
        table.setEditTriggers(table.NoEditTriggers)
        flatten(table)
        header = table.horizontalHeader()
        header.setStyleSheet(headerStyle(table.fontMetrics()))
        table.setStyleSheet(cellStyle(table.fontMetrics()))
        header.setDefaultAlignment(Qt.Qt.AlignLeft | Qt.Qt.AlignVCenter)
        header.setHighlightSections(False)
        width = table.fontMetrics().averageCharWidth()
        for section, letters in ((WHEN, 13), (WHO, 9), (WHAT, 13), (BEFORE, 11)):
            header.resizeSection(section, width * letters)
        header.setStretchLastSection(True)
        table.itemActivated.connect(self._showWhole)
        return table

    def setDataset(self, dataset: Json | None) -> None:
        self._dataset = dataset
        self.stamps.setText(_stamps(dataset) if dataset else "")
        if dataset is None:
            self._clear()
        self._readIfSeen()

    def showEvent(self, event: Qt.QShowEvent) -> None:
        super().showEvent(event)
        self._readIfSeen()

    def _clear(self) -> None:
        self._read = None
        self.table.setRowCount(0)
        self.state.say("")

    def _readIfSeen(self) -> None:
        dataset, scicat = self._dataset, self._scicat()
        if dataset is None or scicat is None or not self.isVisible():
            return
        wanted = (str(dataset["pid"]), line(dataset.get("updatedAt")))
        if wanted == self._read:
            return
        if self._read is None or wanted[0] != self._read[0]:
            self._clear()
        self._read = wanted
        history, (server, note) = history_in(dataset), self._closed
        if history is None and server is scicat:
            history = DatasetHistory(note=note)
        if history is not None:
            self._show(history)
            return
        self.state.say("Reading")
        self._calls.run(
            lambda: read_history(scicat, wanted[0]),
            lambda past: self._answered(scicat, wanted, past),
            lambda error: self._failed(wanted, error),
            "history",
        )

    def _answered(self, scicat: SciCat, wanted: tuple[str, str], past: DatasetHistory) -> None:
        if past.note in (NO_CHANGES_KEPT, NO_CHANGES_SHOWN):
            # The answer is the same for each dataset, and a refusal costs a login.
            self._closed = (scicat, past.note)
        if wanted == self._read:
            self._show(past)

    def _failed(self, wanted: tuple[str, str], error: Exception) -> None:
        if wanted == self._read:
            self._read = None  # read again when the page is shown
            self.state.sayProblem(f"The changes cannot be read: {problem_text(error)}")

    def _show(self, past: DatasetHistory) -> None:
        lines = [(change, field) for change in past.changes for field in change.fields]
        self.table.setRowCount(len(lines))
        last: DatasetChange | None = None
        for row, (change, field) in enumerate(lines):
            self._fill(row, change if change is not last else None, field)
            last = change
        count = len(past.changes)
        if past.note or not count:
            self.state.say(past.note or "Nothing has been changed since it was created")
        elif past.total > count:
            self.state.say(f"The last {count:,} of {past.total:,} changes")
        else:
            self.state.say(f"{count:,} change{'' if count == 1 else 's'}")

    def _fill(self, row: int, change: DatasetChange | None, field: FieldChange) -> None:
        name = " / ".join(field.path)
        values = (_text(field.before), _text(field.after))
        texts = (
            cols.clock(change.time) if change else "",
            change.user if change else "",
            _NAMES.get(name, name),
            *values,
        )
        tips = (cols.full_time(change.time) if change else "", *texts[1:])
        for column, text in enumerate(texts):
            item = Qt.QTableWidgetItem(text)
            item.setToolTip(tooltip(tips[column]))
            if column in (BEFORE, AFTER):
                item.setData(VALUE_ROLE, (name, field.before if column == BEFORE else field.after))
            self.table.setItem(row, column, item)

    def _showWhole(self, item: Qt.QTableWidgetItem) -> None:
        name, value = self.table.item(item.row(), max(item.column(), BEFORE)).data(VALUE_ROLE)
        WholeValue(name, value, parent=self.window()).show()


def _stamps(dataset: Json) -> str:
    """The lines with the users who created and last changed the dataset."""
    lines = []
    for label, time, user in (("Created", "createdAt", "createdBy"), ("Last changed", "updatedAt", "updatedBy")):
        when, who = cols.full_time(dataset.get(time)), line(dataset.get(user))
        if when or who:
            lines.append(" ".join(part for part in (label, when, f"by {who}" if who else "") if part))
    return "\n".join(lines)


def _text(value: Any) -> str:
    if value is None:
        return "\u2013"
    unit = line(value.get("unit")) if isinstance(value, dict) and "value" in value else ""
    return f"{cols.leaf_text(value, DETAIL_DIGITS, MAX_LINE_VALUES)} {unit}".strip() or "(empty)"
