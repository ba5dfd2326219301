"""The dialog to choose columns: the available fields on the left, the shown columns on the right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from taurus.external.qt import Qt

from taurus_widgets.qt.fitting import fit
from taurus_widgets.qt.painting import colours, headerStyle, isDark
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data.available_fields import DATASET_GROUP, AvailableField, AvailableFields
from taurus_widgets.scanlog.data.columns import LogColumn, column_of

KEY_ROLE = Qt.Qt.UserRole
NAME, UNIT, EXAMPLE = range(3)

SEARCH_PAUSE_MS = 300
"""Pause in the typing after which the catalogue is searched."""


class ColumnChooser(Qt.QDialog):
    """It reads nothing itself: it emits `searched`, and `setAvailable` gives it the available fields."""

    searched = Qt.Signal(str)
    """The typed text, after a pause in the typing."""

    def __init__(
        self, available: AvailableFields, shown: Sequence[LogColumn], parent: Qt.QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Columns of the scan log")
        self._available = available
        self._filling = False
        self.search = Qt.QLineEdit(self)
        self.search.setPlaceholderText("Search by name, group or unit")
        self.search.setClearButtonEnabled(True)
        self.tree = self._makeTree()
        self.shown = Qt.QListWidget(self)
        self.shown.setDragDropMode(self.shown.InternalMove)
        self.shown.setSelectionMode(self.shown.ExtendedSelection)
        self.message = Qt.QLabel(self)
        self.message.setTextFormat(Qt.Qt.PlainText)
        self.message.setWordWrap(True)
        self.up = self._button("&Up", Qt.Qt.UpArrow, "Move to the left (Alt+Up)", "Alt+Up", lambda: self._move(-1))
        self.down = self._button(
            "D&own", Qt.Qt.DownArrow, "Move to the right (Alt+Down)", "Alt+Down", lambda: self._move(1)
        )
        self.away = self._button("&Hide", Qt.Qt.NoArrow, "Hide (Del)", "Del", self._hideSelected)
        self.buttons = Qt.QDialogButtonBox(
            Qt.QDialogButtonBox.Ok | Qt.QDialogButtonBox.Cancel | Qt.QDialogButtonBox.RestoreDefaults, self
        )
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.usual = self.buttons.button(Qt.QDialogButtonBox.RestoreDefaults)
        self.usual.setText("Usual &columns")
        self._arrange()
        self._typing = Qt.QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(SEARCH_PAUSE_MS)
        self._typing.timeout.connect(lambda: self.searched.emit(self.search.text().strip()))
        self.search.textChanged.connect(self._narrow)
        self.tree.itemChanged.connect(self._ticked)
        for column in shown:
            self._append(column)
        self.setAvailable(available)
        self.search.setFocus()

    # --------------------------------------------------------------------------- parts

    def _makeTree(self) -> Qt.QTreeWidget:
        tree = Qt.QTreeWidget(self)
        tree.setColumnCount(3)
        tree.setHeaderLabels(["Name", "Unit", "For example"])
        tree.setUniformRowHeights(True)
        tree.setAlternatingRowColors(True)
        tree.header().setStyleSheet(headerStyle(tree.fontMetrics()))
        if isDark(self.palette()):
            # An empty check box is drawn in a shade of the window: dark on dark.
            shades = self.palette()
            shades.setColor(Qt.QPalette.Window, Qt.QColor(colours(shades).muted))
            tree.setPalette(shades)
            tree.header().setPalette(self.palette())
        width = tree.fontMetrics().averageCharWidth()
        tree.header().resizeSection(NAME, width * 34)
        tree.header().resizeSection(UNIT, width * 9)
        return tree

    def _button(
        self, text: str, arrow: Qt.Qt.ArrowType, tip: str, key: str, slot: Callable[[], None]
    ) -> Qt.QToolButton:
        button = Qt.QToolButton(self)
        button.setText(text)
        button.setToolTip(tip)
        button.setToolButtonStyle(Qt.Qt.ToolButtonTextBesideIcon if arrow else Qt.Qt.ToolButtonTextOnly)
        button.setArrowType(arrow)
        button.clicked.connect(slot)
        shortcut = Qt.QShortcut(Qt.QKeySequence(key), self.shown)
        shortcut.setContext(Qt.Qt.WidgetShortcut)
        shortcut.activated.connect(slot)
        return button

    def _arrange(self) -> None:
        def label(text: str, buddy: Qt.QWidget) -> Qt.QLabel:
            made = Qt.QLabel(text, self)
            made.setBuddy(buddy)
            return made

        right = Qt.QVBoxLayout()
        right.addWidget(label("&Shown, from left to right", self.shown))
        right.addWidget(self.shown, 1)
        row = Qt.QHBoxLayout()
        for button in (self.up, self.down, self.away):
            row.addWidget(button)
        row.addStretch(1)
        right.addLayout(row)
        left = Qt.QVBoxLayout()
        left.addWidget(label("&What the catalogue has", self.search))
        left.addWidget(self.search)
        left.addWidget(self.tree, 1)
        columns = Qt.QHBoxLayout()
        columns.addLayout(left, 3)
        columns.addLayout(right, 2)
        layout = Qt.QVBoxLayout(self)
        layout.addLayout(columns, 1)
        layout.addWidget(self.message)
        layout.addWidget(self.buttons)
        metrics = self.fontMetrics()
        fit(self, metrics.averageCharWidth() * 130, metrics.height() * 36)

    # ------------------------------------------------------------------------- content

    def keys(self) -> list[str]:
        """The keys of the chosen columns, from left to right."""
        return [self.shown.item(row).data(KEY_ROLE) for row in range(self.shown.count())]

    def setKeys(self, keys: Iterable[str]) -> None:
        self.shown.clear()
        for key in keys:
            self._append(column_of(key))
        self._tick()

    def say(self, text: str) -> None:
        """Show a problem; "" for none."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def setAvailable(self, available: AvailableFields) -> None:
        """Show the available fields. What the user has ticked, folded or typed stays."""
        self._available = available
        folded = {group.text(NAME) for group in self._groups() if not group.isExpanded()}
        self._filling = True
        self.tree.clear()
        for name, inside in self._grouped():
            group = Qt.QTreeWidgetItem([name])
            font = group.font(NAME)
            font.setBold(True)
            group.setFont(NAME, font)
            group.setFlags(Qt.Qt.ItemIsEnabled | Qt.Qt.ItemIsSelectable)
            group.addChildren([self._item(found) for found in inside])
            self.tree.addTopLevelItem(group)
            group.setFirstColumnSpanned(True)
            group.setExpanded(name not in folded)
        self._filling = False
        for row in range(self.shown.count()):
            self._name(self.shown.item(row))
        self._tick()
        self._narrow(self.search.text(), ask=False)

    def _grouped(self) -> list[tuple[str, list[AvailableField]]]:
        """The dataset's own fields first, then the groups and what is in them by name."""
        groups: dict[str, list[AvailableField]] = {}
        for found in self._available.found.values():
            groups.setdefault(found.group, []).append(found)
        for name, inside in groups.items():
            if name != DATASET_GROUP:
                inside.sort(key=lambda found: found.name.casefold())
        ordered = sorted(groups, key=lambda name: (name != DATASET_GROUP, name.casefold()))
        return [(name or "Without a group", groups[name]) for name in ordered]

    def _item(self, found: AvailableField) -> Qt.QTreeWidgetItem:
        item = Qt.QTreeWidgetItem([found.name, found.unit, found.example])
        item.setData(NAME, KEY_ROLE, found.key)
        item.setFlags(Qt.Qt.ItemIsEnabled | Qt.Qt.ItemIsSelectable | Qt.Qt.ItemIsUserCheckable)
        item.setCheckState(NAME, Qt.Qt.Unchecked)
        item.setToolTip(NAME, tooltip(" / ".join(column_of(found.key).path) or found.key))
        item.setToolTip(EXAMPLE, tooltip(found.example))
        return item

    def _append(self, column: LogColumn) -> None:
        item = Qt.QListWidgetItem(self.shown)
        item.setData(KEY_ROLE, column.key)
        self._name(item)

    def _name(self, item: Qt.QListWidgetItem) -> None:
        key = item.data(KEY_ROLE)
        found, column = self._available.found.get(key), column_of(key)
        name = f"{found.name} ({found.unit})" if found and found.unit else found.name if found else column.title
        item.setText(f"{name}   \u2013 {column.group}" if column.group else name)
        item.setToolTip(tooltip(" / ".join(column.path) or key))

    def _groups(self) -> list[Qt.QTreeWidgetItem]:
        return [self.tree.topLevelItem(row) for row in range(self.tree.topLevelItemCount())]

    def _items(self) -> list[Qt.QTreeWidgetItem]:
        return [group.child(row) for group in self._groups() for row in range(group.childCount())]

    # -------------------------------------------------------------------------- choosing

    def _narrow(self, text: str, ask: bool = True) -> None:
        words = text.casefold().split()
        for item in self._items():
            found = self._available.found[item.data(NAME, KEY_ROLE)]
            item.setHidden(not all(word in found.words for word in words))
        for group in self._groups():
            group.setHidden(all(group.child(row).isHidden() for row in range(group.childCount())))
            if words:
                group.setExpanded(True)
        if ask:
            self._typing.start()

    def _tick(self) -> None:
        shown = set(self.keys())
        self._filling = True
        for item in self._items():
            item.setCheckState(NAME, Qt.Qt.Checked if item.data(NAME, KEY_ROLE) in shown else Qt.Qt.Unchecked)
        self._filling = False
        self.buttons.button(Qt.QDialogButtonBox.Ok).setEnabled(bool(shown))

    def _ticked(self, item: Qt.QTreeWidgetItem) -> None:
        key = item.data(NAME, KEY_ROLE)
        if self._filling or key is None:
            return
        if item.checkState(NAME) == Qt.Qt.Checked:
            if key not in self.keys():
                self._append(column_of(key))
                self.shown.setCurrentRow(self.shown.count() - 1, Qt.QItemSelectionModel.ClearAndSelect)
        else:
            for row in reversed([row for row, other in enumerate(self.keys()) if other == key]):
                self.shown.takeItem(row)
        self._tick()

    def _move(self, step: int) -> None:
        """Move all selected columns by one place, unless the first or last of them is at the end."""
        rows = sorted(self.shown.row(item) for item in self.shown.selectedItems())
        if not rows or rows[0] + step < 0 or rows[-1] + step >= self.shown.count():
            return
        current = self.shown.currentItem()
        for row in rows if step < 0 else reversed(rows):
            item = self.shown.takeItem(row)
            self.shown.insertItem(row + step, item)
            item.setSelected(True)
        self.shown.setCurrentItem(current, Qt.QItemSelectionModel.NoUpdate)

    def _hideSelected(self) -> None:
        for item in self.shown.selectedItems():
            self.shown.takeItem(self.shown.row(item))
        self._tick()
