"""Differences as a table, and the dialogs that show them: Save, a conflict, two configurations, the history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from taurus.external.qt import Qt

from scifish.configurations.diff import Difference
from taurus_widgets.qt.fitting import fit
from taurus_widgets.qt.layouts import flatten
from taurus_widgets.qt.look import GAP, style
from taurus_widgets.qt.painting import colours
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scidog.data.client import HistoryChange
from taurus_widgets.scidog.data.comparison import COMMENTS, MOVED, between, clashes, combined
from taurus_widgets.scidog.session import SaveConflict

WORDS = {"added": "added", "removed": "removed", MOVED: "moved", COMMENTS: "comments", "record": "recorded"}
"""For `Difference.what`; the others are the names of fields."""


class DifferenceTable(Qt.QTableWidget):
    """What, entry, before, after: a line each. It never scrolls to the side."""

    def __init__(self, parent: Qt.QWidget | None = None, before: str = "Before", after: str = "After") -> None:
        super().__init__(0, 4, parent)
        self.setHorizontalHeaderLabels(["What", "Entry", before, after])
        flatten(self)
        self.setAlternatingRowColors(False)
        self.setEditTriggers(self.NoEditTriggers)
        self.setSelectionMode(self.SingleSelection)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.Qt.AlignLeft | Qt.Qt.AlignVCenter)
        for column, mode in enumerate((header.ResizeToContents, header.Stretch, header.Stretch, header.Stretch)):
            header.setSectionResizeMode(column, mode)
        self.setAccessibleName("Differences")

    def showDifferences(self, found: Sequence[Difference]) -> None:
        shades = colours(self.palette())
        tone = {"added": shades.status["completed"], "removed": shades.problem}
        self.setRowCount(len(found))
        for number, difference in enumerate(found):
            entry = f"{difference.group}: {difference.name}" if difference.group else difference.name
            texts = (WORDS.get(difference.what, difference.what), entry, difference.before, difference.after)
            for column, text in enumerate(texts):
                item = Qt.QTableWidgetItem(text)
                item.setToolTip(tooltip(text))
                if not column and difference.what in tone:
                    item.setForeground(Qt.QColor(tone[difference.what]))
                self.setItem(number, column, item)

    def texts(self) -> list[list[str]]:
        return [[self.item(row, column).text() for column in range(4)] for row in range(self.rowCount())]


class EditorDialog(Qt.QDialog):
    """A title above, content, and buttons below. The primary button is the default."""

    def __init__(self, title: str, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setStyleSheet(style(self.palette()))
        self.heading = Qt.QLabel(self)
        self.heading.setTextFormat(Qt.Qt.PlainText)
        self.heading.setWordWrap(True)
        self.body = Qt.QVBoxLayout()
        self.body.setSpacing(GAP)
        self.buttons = Qt.QHBoxLayout()
        self.buttons.setSpacing(GAP)
        self.buttons.addStretch(1)
        layout = Qt.QVBoxLayout(self)
        layout.setContentsMargins(2 * GAP, 2 * GAP, 2 * GAP, 2 * GAP)
        layout.setSpacing(GAP)
        layout.addWidget(self.heading)
        layout.addLayout(self.body, 1)
        layout.addLayout(self.buttons)

    def addButton(self, text: str, call: Callable[[], object], primary: bool = False) -> Qt.QPushButton:
        button = Qt.QPushButton(text, self)
        button.setAutoDefault(False)
        if primary:
            button.setProperty("primary", True)
            button.setDefault(True)
        button.clicked.connect(lambda: call())
        self.buttons.addWidget(button)
        return button

    def withTable(self, before: str = "Before", after: str = "After") -> DifferenceTable:
        table = DifferenceTable(self, before, after)
        self.body.addWidget(table, 1)
        return table


class SaveConfigDialog(EditorDialog):
    """What Save would write, before it is written."""

    def __init__(self, name: str, found: Sequence[Difference], use: str, parent: Qt.QWidget | None = None) -> None:
        super().__init__(f"Save {name}", parent)
        count = "1 change" if len(found) == 1 else f"{len(found)} changes"
        when = {
            "active": "It is active: the next scan records it as it is then.",
            "always": "It is always recorded: the next scan records it as it is then.",
        }.get(use, "It is not in use: it is recorded when somebody makes it active.")
        self.heading.setText(f"{count} in {name}. {when}")
        self.table = self.withTable()
        self.table.showDifferences(found)
        self.addButton("Cancel", self.reject)
        self.saveButton = self.addButton("Save", self.accept, primary=True)
        self.saveButton.setFocus()
        fit(self, 860, 460)


class SaveConflictDialog(EditorDialog):
    """Both versions of a configuration that two people have changed; the result is one of `MINE`, `THEIRS`, `BOTH`."""

    MINE, THEIRS, BOTH = 2, 3, 4

    def __init__(self, conflict: SaveConflict, parent: Qt.QWidget | None = None) -> None:
        super().__init__(f"{conflict.draft.name} was changed by somebody else", parent)
        draft = conflict.draft
        base, mine, theirs = draft.base_lines, draft.lines(), conflict.theirs.lines
        both = clashes(base, mine, theirs)
        self.lines = [] if both else combined(base, mine, theirs)
        self.heading.setText(conflict.text or f"{draft.name} was saved by somebody else while you were changing it.")
        self.tables = []
        for title, lines in (("Your changes", mine), ("Their changes", theirs)):
            label = Qt.QLabel(title, self)
            table = DifferenceTable(self)
            table.showDifferences(between(base, lines))
            label.setBuddy(table)
            self.body.addWidget(label)
            self.body.addWidget(table, 1)
            self.tables.append(table)
        if both:
            clash = Qt.QLabel(f"Both have changed: {', '.join(both[:5])}{', …' if len(both) > 5 else ''}", self)
            clash.setWordWrap(True)
            self.body.addWidget(clash)
        self.addButton("Cancel", self.reject)
        self.addButton("Use theirs", lambda: self.done(self.THEIRS))
        self.addButton("Save mine over theirs", lambda: self.done(self.MINE))
        self.bothButton = self.addButton("Save both", lambda: self.done(self.BOTH), primary=True)
        self.bothButton.setEnabled(not both)
        self.bothButton.setFocus()
        fit(self, 860, 560)


class CompareConfigsDialog(EditorDialog):
    """The differences between the configuration that is edited and another one. `read` gets the other one's lines."""

    def __init__(
        self,
        name: str,
        lines: Sequence[str],
        others: Sequence[str],
        read: Callable[[str, Callable[[Sequence[str]], None]], None],
        parent: Qt.QWidget | None = None,
    ) -> None:
        super().__init__(f"Compare {name}", parent)
        self._lines = lines
        self._read = read
        self.heading.setText(f"What differs from {name}, as it is here now, to:")
        self.choice = Qt.QComboBox(self)
        self.choice.addItems(others)
        self.choice.setAccessibleName("The other configuration")
        self.body.addWidget(self.choice)
        self.table = self.withTable(name, "The other one")
        self.addButton("Close", self.accept, primary=True)
        self.choice.currentTextChanged.connect(self._chosen)
        fit(self, 860, 560)
        if others:
            self._chosen(others[0])

    def _chosen(self, name: str) -> None:
        self.table.setHorizontalHeaderItem(3, Qt.QTableWidgetItem(name))
        self._read(name, lambda lines: self._show(name, lines))

    def _show(self, name: str, lines: Sequence[str]) -> None:
        if name == self.choice.currentText():
            self.table.showDifferences(between(self._lines, lines))


class HistoryDialog(EditorDialog):
    """Who changed a configuration and when; below, what differs from now. Accepted: `lines` are to be put in place."""

    def __init__(
        self,
        name: str,
        lines: Sequence[str],
        history: Sequence[HistoryChange],
        read: Callable[[int, Callable[[Sequence[str]], None]], None],
        parent: Qt.QWidget | None = None,
    ) -> None:
        super().__init__(f"History of {name}", parent)
        self.lines: Sequence[str] = ()
        self._now = lines
        self._history = list(history)
        self._read = read
        self.heading.setText(f"All changes of {name}, newest first, also those that were made in jive.")
        self.changes = Qt.QTableWidget(len(history), 5, self)
        self.changes.setHorizontalHeaderLabels(["When", "Who", "What", "Added", "Removed"])
        flatten(self.changes)
        self.changes.setAlternatingRowColors(False)
        self.changes.setEditTriggers(self.changes.NoEditTriggers)
        self.changes.setSelectionMode(self.changes.SingleSelection)
        self.changes.verticalHeader().hide()
        header = self.changes.horizontalHeader()
        header.setHighlightSections(False)
        for column in range(5):
            header.setSectionResizeMode(column, header.Stretch if column in (1, 2) else header.ResizeToContents)
        header.setDefaultAlignment(Qt.Qt.AlignLeft | Qt.Qt.AlignVCenter)
        for row, change in enumerate(history):
            texts = (when(change.time), change.who, change.what, f"{change.added or ''}", f"{change.removed or ''}")
            for column, text in enumerate(texts):
                item = Qt.QTableWidgetItem(text)
                item.setToolTip(tooltip(text))
                self.changes.setItem(row, column, item)
        self.body.addWidget(self.changes, 1)
        self.about = Qt.QLabel(self)
        self.body.addWidget(self.about)
        self.table = self.withTable("Then", "Now")
        self.addButton("Close", self.reject)
        self.restoreButton = self.addButton("Go back to this version", self.accept, primary=True)
        self.restoreButton.setEnabled(False)
        self.restoreButton.setToolTip("Puts its lines in place here. Nothing is written before Save.")
        self.changes.itemSelectionChanged.connect(self._chosen)
        fit(self, 860, 600)
        if history:
            self.changes.selectRow(0)

    def _chosen(self) -> None:
        self.restoreButton.setEnabled(False)
        rows = self.changes.selectionModel().selectedRows()
        if rows:
            number = self._history[rows[0].row()].number
            self._read(number, lambda lines: self._show(number, lines))

    def _show(self, number: int, lines: Sequence[str]) -> None:
        rows = self.changes.selectionModel().selectedRows()
        if not rows or self._history[rows[0].row()].number != number:
            return
        self.lines = lines
        found = between(lines, self._now)
        self.table.showDifferences(found)
        self.about.setText(
            "From that version to what is here now:" if found else "The entries of that version are those here now."
        )
        self.restoreButton.setEnabled(bool(lines) and list(lines) != list(self._now))


def when(text: str) -> str:
    """A time of the history in local time, to the minute; the text itself if it is none."""
    try:
        moment = dt.datetime.fromisoformat(text).astimezone()
    except ValueError:
        return text
    if moment.date() == dt.datetime.now().date():
        return f"today {moment:%H:%M}"
    return f"{moment:%Y-%m-%d %H:%M}"
