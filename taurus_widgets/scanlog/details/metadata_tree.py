"""All metadata of a dataset as a tree, in which one can search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from taurus.external.qt import Qt

from taurus_widgets.qt.layouts import tightColumn
from taurus_widgets.qt.painting import colours, headerStyle
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data.detail_lines import DetailLine, is_cut
from taurus_widgets.scanlog.parts.whole_value import WholeValue

NAME, VALUE, UNIT = range(3)
LINE_ROLE = Qt.Qt.UserRole
_ALL, _SHOWN = Qt.QTreeWidgetItemIterator.All, Qt.QTreeWidgetItemIterator.NotHidden


class SearchLine(Qt.QLineEdit):
    """Esc clears the line; only if it is empty, the window gets the key."""

    down = Qt.Signal()
    """The key Down: move from the line to the tree."""
    found = Qt.Signal(int)
    """Go to the next match (1) or to the one before (-1)."""

    def event(self, event: Qt.QEvent) -> bool:
        if event.type() == Qt.QEvent.ShortcutOverride and event.key() == Qt.Qt.Key_Escape and self.text():
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: Qt.QKeyEvent) -> None:
        if event.key() == Qt.Qt.Key_Escape and self.text():
            self.clear()
        elif event.key() == Qt.Qt.Key_Down:
            self.down.emit()
        elif event.key() in (Qt.Qt.Key_Return, Qt.Qt.Key_Enter, Qt.Qt.Key_F3):
            self.found.emit(-1 if event.modifiers() & Qt.Qt.ShiftModifier else 1)
        else:
            super().keyPressEvent(event)


class MetadataTree(Qt.QWidget):
    """Shows the lines that it is given. The search stays when another dataset is shown."""

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: list[DetailLine] = []
        self._folded: set[str] = set()  # groups that the user has closed, also for the next dataset
        self._words: list[str] = []  # of the search, in lower case
        self.search = SearchLine(self)
        self.search.setPlaceholderText("Search names, values and units")
        self.search.setToolTip("Search the metadata (Alt+D)\nEnter: next, Shift+Enter: previous, Esc: all")
        self.search.setClearButtonEnabled(True)
        self.count = Qt.QLabel(self)
        self.count.setTextFormat(Qt.Qt.PlainText)
        self.tree = self._makeTree()
        self.copy = self._action("&Copy", "Ctrl+C", self.copySelected)
        self.whole = self._action("Show &whole value", "Ctrl+Return", self.showWhole)
        self.tree.setContextMenuPolicy(Qt.Qt.ActionsContextMenu)
        self.tree.itemActivated.connect(lambda _item, _column: self.showWhole())
        self.search.textChanged.connect(lambda _: self._searched())
        self.search.down.connect(self._enterTree)
        self.search.found.connect(self._goOn)
        again = Qt.QShortcut(Qt.QKeySequence(Qt.Qt.Key_F3), self.tree, lambda: self._goOn(1))
        again.setContext(Qt.Qt.WidgetShortcut)
        row = Qt.QHBoxLayout()
        row.setContentsMargins(6, 4, 6, 4)
        row.setSpacing(8)
        row.addWidget(self.search, 1)
        row.addWidget(self.count)
        layout = tightColumn(self)
        layout.addLayout(row)
        layout.addWidget(self.tree, 1)

    def _makeTree(self) -> Qt.QTreeWidget:
        tree = Qt.QTreeWidget(self)
        tree.setColumnCount(3)
        tree.setHeaderLabels(["Name", "Value", "Unit"])
        tree.setUniformRowHeights(True)
        tree.setAlternatingRowColors(True)
        tree.setFrameShape(Qt.QFrame.NoFrame)
        tree.setIndentation(14)
        tree.setSelectionMode(tree.ExtendedSelection)
        header = tree.header()
        header.setStyleSheet(headerStyle(tree.fontMetrics()))
        header.setStretchLastSection(False)
        header.setSectionResizeMode(NAME, header.Interactive)
        header.setSectionResizeMode(VALUE, header.Stretch)
        header.setSectionResizeMode(UNIT, header.Interactive)
        header.setMinimumSectionSize(20)
        width = tree.fontMetrics().averageCharWidth()
        header.resizeSection(NAME, width * 20)
        header.resizeSection(UNIT, width * 7)
        return tree

    def _action(self, text: str, key: str, slot: object) -> Qt.QAction:
        action = Qt.QAction(text, self.tree)
        action.setShortcut(Qt.QKeySequence(key))
        action.setShortcutContext(Qt.Qt.WidgetShortcut)
        action.triggered.connect(slot)
        self.tree.addAction(action)
        return action

    # ------------------------------------------------------------------------- content

    def setLines(self, lines: Sequence[DetailLine]) -> None:
        """Replace the lines. The scroll position and the closed groups stay."""
        if list(lines) == self._lines:
            return
        tree, place = self.tree, self.tree.verticalScrollBar().value()
        self._learnFolded()
        self._lines = list(lines)
        tree.setUpdatesEnabled(False)
        tree.clear()
        for group in self._lines:
            tree.addTopLevelItem(self._item(group))
        self._narrow()
        tree.setUpdatesEnabled(True)
        tree.verticalScrollBar().setValue(place)

    def clear(self) -> None:
        self._learnFolded()
        self._lines = []
        self.tree.clear()
        self.count.clear()

    def _learnFolded(self) -> None:
        """Remember which groups are closed; not during a search, which opens all groups."""
        if self._words:
            return
        for item in self._items():
            if self._detail(item).is_group:
                (self._folded.discard if item.isExpanded() else self._folded.add)(item.text(NAME))

    def _items(self, kind: Qt.QTreeWidgetItemIterator.IteratorFlag = _ALL) -> Iterator[Qt.QTreeWidgetItem]:
        """All items, from the top down."""
        each = Qt.QTreeWidgetItemIterator(self.tree, kind)
        while (item := each.value()) is not None:
            yield item
            each += 1

    def _detail(self, item: Qt.QTreeWidgetItem) -> DetailLine:
        found: DetailLine = item.data(NAME, LINE_ROLE)
        return found

    def _item(self, detail: DetailLine) -> Qt.QTreeWidgetItem:
        item = Qt.QTreeWidgetItem([detail.name, detail.value, detail.unit])
        item.setData(NAME, LINE_ROLE, detail)
        item.setToolTip(NAME, tooltip(detail.tip or detail.name))
        item.setToolTip(VALUE, tooltip(detail.value))
        if detail.problem:
            item.setForeground(VALUE, Qt.QColor(colours(self.palette()).problem))
        if detail.is_group:
            font = item.font(NAME)
            font.setBold(True)
            item.setFont(NAME, font)
        for inner in detail.inside:
            item.addChild(self._item(inner))
        return item

    # -------------------------------------------------------------------------- search

    def _searched(self) -> None:
        self._learnFolded()
        self._words = self.search.text().casefold().split()
        self._narrow()

    def _narrow(self) -> None:
        """Show only the lines that match the search, with their groups; all lines without a search."""
        tops = [self.tree.topLevelItem(row) for row in range(self.tree.topLevelItemCount())]
        found = sum(self._narrowItem(item) for item in tops)
        self.count.setText(f"{found:,} found" if self._words else "")

    def _narrowItem(self, item: Qt.QTreeWidgetItem, above: str = "", shown: bool = False) -> int:
        """Returns the number of matches. What belongs to a matching value (its end, its mean) is `shown` with it."""
        detail = self._detail(item)
        fits = not detail.is_group and (shown or detail.fits(self._words, above))
        below = f"{above} {detail.name}"
        inside = sum(self._narrowItem(item.child(place), below, fits) for place in range(item.childCount()))
        item.setHidden(not fits and not inside)
        item.setFirstColumnSpanned(detail.is_group)
        if detail.is_group:
            item.setExpanded(bool(self._words) or detail.name not in self._folded)
        elif self._words:
            item.setExpanded(bool(inside) and not fits)
        return 1 if fits else inside

    def _goOn(self, step: int) -> None:
        found = [item for item in self._items(_SHOWN) if not self._detail(item).is_group and self._isOpen(item)]
        if not found or not self._words:
            return
        current = self.tree.currentItem()
        place = found.index(current) + step if current in found else (0 if step > 0 else -1)
        self.tree.setCurrentItem(found[place % len(found)])

    def _isOpen(self, item: Qt.QTreeWidgetItem) -> bool:
        above = item.parent()
        return above is None or (above.isExpanded() and self._isOpen(above))

    def _enterTree(self) -> None:
        if self.tree.currentItem() is None or self.tree.currentItem().isHidden():
            self.tree.setCurrentItem(next(self._items(_SHOWN), None))
        self.tree.setFocus(Qt.Qt.TabFocusReason)

    # ------------------------------------------------------------------------- actions

    def copySelected(self) -> None:
        """The selected lines as text, with tabs between name, value and unit."""
        chosen = [self._detail(item) for item in self._items() if item.isSelected()]
        rows = ["\t".join((detail.name, detail.value, detail.unit)).rstrip() for detail in chosen]
        if rows:
            Qt.QApplication.clipboard().setText("\n".join(rows))

    def showWhole(self) -> None:
        """Show the whole value of the current line in a dialog."""
        item = self.tree.currentItem()
        if item is None or self._detail(item).is_group:
            return
        detail = self._detail(item)
        WholeValue(detail.name, detail.whole if is_cut(detail) else detail.value, detail.unit, self.window()).show()
