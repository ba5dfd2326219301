"""The fields of the Elogy dialog: logbook, entry, authors and attributes. They make no calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taurus.external.qt import Qt

from taurus_widgets.scanlog.exporting.elogy import Attribute, Author, Headline, Logbook

ITEM_ROLE = Qt.Qt.UserRole
"""The role of an item's logbook, entry or author."""

TYPING_PAUSE_MS = 250
"""Pause in the typing after which the text is searched for."""


class DelayedSearchLine(Qt.QLineEdit):
    """Emits `searched` when the typing pauses."""

    searched = Qt.Signal(str)

    def __init__(self, hint: str, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.setPlaceholderText(hint)
        self.setClearButtonEnabled(True)
        timer = Qt.QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(TYPING_PAUSE_MS)
        self.textEdited.connect(lambda _: timer.start())
        timer.timeout.connect(lambda: self.searched.emit(self.text().strip()))

    def keyPressEvent(self, event: Qt.QKeyEvent) -> None:
        """Enter starts the search and does not press the dialog's button."""
        super().keyPressEvent(event)
        if event.key() in (Qt.Qt.Key_Return, Qt.Qt.Key_Enter):
            event.accept()


class LogbookTree(Qt.QWidget):
    """The tree of logbooks, and a line that filters it by name."""

    chosen = Qt.Signal()

    def __init__(self, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.search = DelayedSearchLine("Find a logbook", self)
        self.search.textChanged.connect(self._filter)
        self.tree = Qt.QTreeWidget(self)
        self.tree.setHeaderHidden(True)
        self.tree.setUniformRowHeights(True)
        self.tree.currentItemChanged.connect(lambda *_: self.chosen.emit())
        layout = Qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.search)
        layout.addWidget(self.tree, 1)

    def setLogbooks(self, logbooks: Iterable[Logbook], current: int) -> None:
        self.tree.clear()
        for logbook in logbooks:
            self.tree.addTopLevelItem(self._item(logbook))
        for item in self._items():
            if item.data(0, ITEM_ROLE).id == current:
                self.tree.setCurrentItem(item)
                self.tree.scrollToItem(item)

    def current(self) -> Logbook | None:
        item = self.tree.currentItem()
        return None if item is None else item.data(0, ITEM_ROLE)

    def _item(self, logbook: Logbook) -> Qt.QTreeWidgetItem:
        item = Qt.QTreeWidgetItem([logbook.name])
        item.setData(0, ITEM_ROLE, logbook)
        item.setToolTip(0, Qt.QTextDocumentFragment.fromPlainText(logbook.description).toHtml())
        item.addChildren([self._item(child) for child in logbook.children])
        return item

    def _items(self) -> list[Qt.QTreeWidgetItem]:
        """All items, children before their parents."""

        def below(item: Qt.QTreeWidgetItem) -> list[Qt.QTreeWidgetItem]:
            return [inner for place in range(item.childCount()) for inner in below(item.child(place))] + [item]

        return below(self.tree.invisibleRootItem())[:-1]

    def _filter(self, text: str) -> None:
        words = text.casefold().split()
        for item in self._items():
            name = item.text(0).casefold()
            inside = any(not item.child(place).isHidden() for place in range(item.childCount()))
            item.setHidden(not (inside or all(word in name for word in words)))
            item.setExpanded(bool(words) and inside)


class EntryList(Qt.QWidget):
    """The entries of a logbook to append to; `searched` has the words that their titles must contain."""

    searched = Qt.Signal(str)
    chosen = Qt.Signal()

    def __init__(self, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.search = DelayedSearchLine("Words in its title", self)
        self.search.searched.connect(self.searched)
        self.list = Qt.QListWidget(self)
        self.list.setAlternatingRowColors(True)
        self.list.currentItemChanged.connect(lambda *_: self.chosen.emit())
        layout = Qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.search)
        layout.addWidget(self.list, 1)

    def setEntries(self, entries: Iterable[Headline]) -> None:
        self.list.clear()
        for entry in entries:
            by = f", {entry.authors}" if entry.authors else ""
            item = Qt.QListWidgetItem(f"{entry.id}  {entry.title}{by}")
            item.setData(ITEM_ROLE, entry)
            item.setToolTip(Qt.QTextDocumentFragment.fromPlainText(f"{entry.title}\n{entry.time}").toHtml())
            self.list.addItem(item)

    def current(self) -> Headline | None:
        item = self.list.currentItem()
        return None if item is None else item.data(ITEM_ROLE)


class AuthorsField(Qt.QWidget):
    """The chosen authors, and a line to find others; the key Delete removes one."""

    searched = Qt.Signal(str)
    changed = Qt.Signal()

    def __init__(self, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.search = DelayedSearchLine("Name or login", self)
        self.search.setToolTip("Type a part of the name, and choose; Enter uses the text as typed")
        self.search.searched.connect(self.searched)
        self.search.returnPressed.connect(self._entered)
        self.found = Qt.QStandardItemModel(self)
        self.completer = Qt.QCompleter(self.found, self)
        self.completer.setCompletionMode(self.completer.UnfilteredPopupCompletion)
        self.completer.setWidget(self.search)
        self.completer.activated[Qt.QModelIndex].connect(lambda index: self.add(index.data(ITEM_ROLE)))
        self.list = Qt.QListWidget(self)
        self.list.setFlow(self.list.LeftToRight)
        self.list.setWrapping(True)
        self.list.setResizeMode(self.list.Adjust)
        self.list.setSpacing(2)
        self.list.setFixedHeight(round(self.fontMetrics().height() * 3.6))
        remove = Qt.QShortcut(Qt.QKeySequence(Qt.Qt.Key_Delete), self.list, context=Qt.Qt.WidgetShortcut)
        remove.activated.connect(self._remove)
        self.list.setToolTip("Delete removes the selected one")
        layout = Qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.search)
        layout.addWidget(self.list)
        self.setSizePolicy(Qt.QSizePolicy.Preferred, Qt.QSizePolicy.Maximum)

    def authors(self) -> list[Author]:
        return [self.list.item(row).data(ITEM_ROLE) for row in range(self.list.count())]

    def add(self, author: Author) -> None:
        """Add an author, unless it is there."""
        self.search.clear()
        self.completer.popup().hide()
        if author not in self.authors():
            item = Qt.QListWidgetItem(str(author))
            item.setData(ITEM_ROLE, author)
            item.setToolTip(author.email)
            self.list.addItem(item)
            self.changed.emit()

    def offer(self, authors: Iterable[Author], search: str) -> None:
        """Offer the authors found for a search, unless the typed text has changed since."""
        if search != self.search.text().strip() or not self.search.hasFocus():
            return
        self.found.clear()
        for author in authors:
            item = Qt.QStandardItem(f"{author}{f', {author.email}' if author.email else ''}")
            item.setData(author, ITEM_ROLE)
            self.found.appendRow(item)
        if self.found.rowCount():
            self.completer.complete()
        else:
            self.completer.popup().hide()

    def _entered(self) -> None:
        """Enter in the line or in its list: add the highlighted author, else the typed name."""
        popup = self.completer.popup()
        if popup.isVisible() and popup.currentIndex().isValid():
            self.add(popup.currentIndex().data(ITEM_ROLE))
            return
        name = " ".join(self.search.text().split())
        if name:
            self.add(Author(name))

    def _remove(self) -> None:
        if self.list.currentItem() is not None:
            self.list.takeItem(self.list.currentRow())
            self.changed.emit()


class AttributeForm(Qt.QWidget):
    """A field for each attribute of a logbook; required ones have a star."""

    changed = Qt.Signal()

    def __init__(self, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self._layout = Qt.QFormLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.setSizePolicy(Qt.QSizePolicy.Preferred, Qt.QSizePolicy.Maximum)
        self.fields: dict[str, Qt.QWidget] = {}
        self._attributes: tuple[Attribute, ...] = ()

    def setAttributes(self, attributes: tuple[Attribute, ...], known: dict[str, str]) -> None:
        """`known` has the initial values, by name in lower case."""
        while self._layout.rowCount():
            self._layout.removeRow(0)
        self.fields = {}
        self._attributes = attributes
        for attribute in attributes:
            field = self.fields[attribute.name] = self._field(attribute, known.get(attribute.name.lower(), ""))
            self._layout.addRow(f"{attribute.name} *" if attribute.required else attribute.name, field)

    def _field(self, attribute: Attribute, value: str) -> Qt.QWidget:
        match attribute.kind:
            case "boolean":
                box = Qt.QCheckBox(self)
                box.toggled.connect(lambda _: self.changed.emit())
                return box
            case "option":
                combo = Qt.QComboBox(self)
                combo.addItems(["", *attribute.options])
                combo.setCurrentText(value)
                combo.currentIndexChanged.connect(lambda _: self.changed.emit())
                return combo
            case "multioption":
                choice = Qt.QListWidget(self)
                choice.setSelectionMode(choice.MultiSelection)
                choice.addItems(list(attribute.options))
                choice.setFixedHeight(round(self.fontMetrics().height() * 4.5))
                choice.itemSelectionChanged.connect(self.changed)
                return choice
        line = Qt.QLineEdit(value, self)
        if attribute.kind == "number":
            number = Qt.QDoubleValidator(line)
            number.setLocale(Qt.QLocale.c())
            line.setValidator(number)
        line.textChanged.connect(lambda _: self.changed.emit())
        return line

    def values(self) -> dict[str, Any]:
        """The filled-in values by name. A check box always has a value."""
        found = {attribute.name: self._value(attribute) for attribute in self._attributes}
        return {name: value for name, value in found.items() if value not in ("", [])}

    def _value(self, attribute: Attribute) -> Any:
        field = self.fields[attribute.name]
        match attribute.kind:
            case "boolean":
                return field.isChecked()
            case "option":
                return field.currentText()
            case "multioption":
                return [item.text() for item in field.selectedItems()]
            case "number":
                return float(field.text()) if field.hasAcceptableInput() else ""
        return field.text().strip()

    def missing(self) -> list[str]:
        """The names of the required attributes that are empty."""
        filled = self.values()
        return [attribute.name for attribute in self._attributes if attribute.required and attribute.name not in filled]
