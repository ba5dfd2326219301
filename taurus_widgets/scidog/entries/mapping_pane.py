"""Below the entries: the mapping of the chosen one, with the labels or states that its attribute really has."""

from __future__ import annotations

from typing import Any

from taurus.external.qt import Qt

from scifish.settings.entries import map_key
from taurus_widgets.qt.elided_label import ElidedLabel
from taurus_widgets.qt.look import GAP, GRID, strong
from taurus_widgets.scidog.data.draft import DraftRow
from taurus_widgets.scidog.session import EditSession

MAX_STATES = 14
"""More keys than this are not offered as rows of their own: all of them are in the list of the field for a new key."""


class MappingPane(Qt.QWidget):
    """Hidden while not exactly one entry is chosen."""

    def __init__(self, session: EditSession, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._row: DraftRow | None = None
        self._shown: tuple[Any, ...] = ()
        self.setProperty("pane", True)
        self.setAttribute(Qt.Qt.WA_StyledBackground)
        self.title = Qt.QLabel(self)
        self.title.setFont(strong(self.font()))
        self.title.setTextFormat(Qt.Qt.PlainText)
        self.about = ElidedLabel(self)
        self.about.setProperty("muted", True)
        head = Qt.QHBoxLayout()
        head.setSpacing(GAP)
        head.addWidget(self.title)
        head.addWidget(self.about, 1)
        self._inner = Qt.QWidget()
        self._grid = Qt.QGridLayout(self._inner)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(GAP)
        self._grid.setVerticalSpacing(GRID)
        self._area = Qt.QScrollArea(self)
        self._area.setFrameShape(Qt.QFrame.NoFrame)
        self._area.setWidgetResizable(True)
        self._area.setFocusPolicy(Qt.Qt.NoFocus)
        self._area.setWidget(self._inner)
        self._inner.setAutoFillBackground(False)
        self._area.viewport().setAutoFillBackground(False)
        layout = Qt.QVBoxLayout(self)
        layout.setContentsMargins(2 * GAP, GAP, 2 * GAP, GAP)
        layout.setSpacing(GAP)
        layout.addLayout(head)
        layout.addWidget(self._area, 1)
        session.liveChanged.connect(self._refresh)
        self.fields: dict[str, Qt.QLineEdit] = {}
        """The text of each key, by its `map_key`."""
        self.newKey = Qt.QComboBox()
        self.newText = Qt.QLineEdit()
        self.hide()

    def showRow(self, row: DraftRow | None) -> None:
        """Show the mapping of a row; None for no row, or several."""
        if self._row is not None and (row is None or row.key != self._row.key):
            self.commit()
        self._row = row if row is not None and not row.text else None
        self.setVisible(self._row is not None)
        self._refresh()

    def commit(self) -> None:
        """Put what is typed in the focused field into the draft."""
        if self.newText.isModified():
            self.newText.setModified(False)
            self._addNew()
        for key, field in list(self.fields.items()):
            if field.isModified():
                field.setModified(False)
                self._set(key, field.text())

    def _typed(self) -> list[Qt.QLineEdit]:
        return [self.newText, *self.fields.values()]

    def _refresh(self) -> None:
        row = self._row
        if row is None:
            self._shown = ()
            return
        keys = self._session.mappingKeys(row)
        shown = (row.key, row.name, row.source, row.map, tuple(keys))
        if shown == self._shown:
            return
        before, self._shown = self._shown, shown
        if before and before[0] == row.key and any(field.isModified() for field in self._typed()):
            self.commit()  # as the fields are built anew; it comes back here with the new row
            self._shown = ()
            self._refresh()
            return
        self.title.setText(row.name)
        has = f" · it can be: {', '.join(keys)}" if keys else " · its numbers can be shown as texts"
        self.about.setText(row.source + has)
        self._build(row, keys)

    def _build(self, row: DraftRow, keys: list[str]) -> None:
        focused = next((key for key, field in self.fields.items() if field.hasFocus()), None)
        in_new = self.newText.hasFocus()
        while (item := self._grid.takeAt(0)) is not None:
            if item.widget() is not None:
                item.widget().blockSignals(True)  # a field that is hidden says that it is edited
                item.widget().hide()
                item.widget().deleteLater()
        self.fields = {}
        given = {map_key(key): (key, value) for key, value in row.map}
        offered = [key for key in keys if map_key(key) not in given] if len(keys) <= MAX_STATES else []
        rows = [*((map_label(key), str(text)) for key, text in given.values()), *((key, "") for key in offered)]
        for place, (key, text) in enumerate(rows):
            self._addRow(place, key, text)
        self._addNewRow(len(given) + len(offered), keys)
        self._grid.setColumnStretch(4, 1)
        self._grid.setRowStretch(len(given) + len(offered) + 1, 1)
        if focused is not None and focused in self.fields:
            self.fields[focused].setFocus()
        elif in_new:
            self.newKey.setFocus()

    def _addRow(self, place: int, key: str, text: str) -> None:
        field = Qt.QLineEdit(text, self._inner)
        field.setPlaceholderText("as it is")
        field.setAccessibleName(f"Text for {key}")
        field.editingFinished.connect(lambda: self._set(key, field.text()))
        self.fields[map_key(key)] = field
        self._grid.addWidget(Qt.QLabel(key, self._inner), place, 0)
        self._grid.addWidget(Qt.QLabel("→", self._inner), place, 1)
        self._grid.addWidget(field, place, 2)
        if text:
            remove = Qt.QToolButton(self._inner)
            remove.setText("✕")
            remove.setAutoRaise(True)
            remove.setToolTip(f"Show {key} as it is")
            remove.clicked.connect(lambda: self._remove(key))
            self._grid.addWidget(remove, place, 3)

    def _addNewRow(self, place: int, keys: list[str]) -> None:
        self.newKey = Qt.QComboBox(self._inner)
        self.newKey.setEditable(True)
        self.newKey.setInsertPolicy(Qt.QComboBox.NoInsert)
        self.newKey.addItems(keys)
        self.newKey.setEditText("")
        self.newKey.lineEdit().setPlaceholderText("number or label")
        self.newKey.setAccessibleName("Another value")
        self.newText = Qt.QLineEdit(self._inner)
        self.newText.setPlaceholderText("text for another value")
        self.newText.setAccessibleName("Text for another value")
        self.newText.editingFinished.connect(self._addNew)
        self._grid.addWidget(self.newKey, place, 0)
        self._grid.addWidget(Qt.QLabel("→", self._inner), place, 1)
        self._grid.addWidget(self.newText, place, 2)

    def _remove(self, key: str) -> None:
        self.commit()  # the button does not take the focus from the field
        self._set(key, "")

    def _addNew(self) -> None:
        key, text = self.newKey.currentText().strip(), self.newText.text()
        if key and text:
            self._set(key, text)

    def _set(self, key: str, text: str) -> None:
        """Change one key of the mapping; "" removes it."""
        row = self._row
        if row is None:
            return
        found = [(old, value) for old, value in row.map]
        places = [place for place, (old, _) in enumerate(found) if map_key(old) == map_key(key)]
        text = text.strip()
        if places and text:
            if str(found[places[0]][1]) == text:
                return
            found[places[0]] = (found[places[0]][0], text)
        elif places:
            del found[places[0]]
        elif text:
            found.append((_as_written(key), text))
        else:
            return
        self._session.change(lambda draft: draft.edit({row.key}, {"map": tuple(found)}, f"map {key}"))


def map_label(key: Any) -> str:
    """A key as it is written: true and not True."""
    return str(key).lower() if isinstance(key, bool) else str(key)


def _as_written(key: str) -> Any:
    """A whole number as a number, true and false as booleans, all else as text."""
    if key in ("true", "false"):
        return key == "true"
    try:
        return int(key)
    except ValueError:
        return key
