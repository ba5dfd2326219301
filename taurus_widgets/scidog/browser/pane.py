"""The pane with the Tango database: a search field, the tree, and how far the index is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tango
from taurus.external.qt import Qt

from scifish.configurations import check
from scifish.settings.entries import Entry
from scifish.tango_io.database import reason
from taurus_widgets.qt.calls import Call, Calls
from taurus_widgets.qt.elided_label import ElidedLabel
from taurus_widgets.qt.look import GAP, GRID, focusShade, icon, rowHeight, tabularFont
from taurus_widgets.qt.painting import colours, quietSelection
from taurus_widgets.scidog.browser.model import NODE_ROLE, Node, TangoModel, typeText
from taurus_widgets.scidog.data.live import LiveReader, LiveValue
from taurus_widgets.scidog.data.tango_names import (
    MAX_HITS,
    AttributeIndex,
    Names,
    SearchResult,
    new_devices,
    read_aliases,
    read_names,
)
from taurus_widgets.scidog.session import EditSession

VALUES_INTERVAL_MS = 2000
SEARCH_DELAY_MS = 60
MIN_WILDCARD = 3
"""Characters of a word that is looked for by the database's wildcard."""

MAX_SUGGESTIONS = 20
"""Of the completion of what is typed."""

MAX_READ = 100
"""Attributes on the screen whose values are read."""


class NodeDelegate(Qt.QStyledItemDelegate):
    """Name, value of now; at the right the type, and whether it is recorded."""

    def sizeHint(self, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> Qt.QSize:
        return Qt.QSize(60, rowHeight(option.fontMetrics))

    def paint(self, painter: Qt.QPainter, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> None:
        node: Node = index.data(NODE_ROLE)
        shades = colours(option.palette)
        mark = index.model().mark(node)
        metrics, area = option.fontMetrics, option.rect.adjusted(GRID, 0, -GAP, 0)
        painter.save()
        right = area.right()
        selected = bool(option.state & Qt.QStyle.State_Selected)
        if node.source:
            words = [(f"● {mark}", shades.status["completed"])] if mark else []
            if not mark and selected:
                words.append(("+ Add", shades.accent))
            words.append((typeText(node), shades.muted))
            for text, shade in words:
                width = metrics.horizontalAdvance(text)
                self._draw(painter, Qt.QRect(right - width, area.top(), width + 1, area.height()), text, shade)
                right -= width + GAP if text else 0
        text = shades.problem if node.failed else shades.text if node.running else shades.muted
        live = node.live
        about = node.about if live is None else (live.error or live.in_full)
        room = right - area.left()
        name = metrics.elidedText(node.text, Qt.Qt.ElideMiddle, room)
        width = metrics.horizontalAdvance(name)
        self._draw(painter, Qt.QRect(area.left(), area.top(), width + 1, area.height()), name, text)
        rest = Qt.QRect(area.left() + width + GAP, area.top(), room - width - 2 * GAP, area.height())
        if rest.width() > 0:
            bad = live is not None and (live.error or live.quality)
            painter.setFont(tabularFont(option.font))
            shown = metrics.elidedText(about, Qt.Qt.ElideRight, rest.width())
            self._draw(painter, rest, shown, shades.problem if bad else shades.muted)
        painter.restore()

    @staticmethod
    def _draw(painter: Qt.QPainter, area: Qt.QRect, text: str, shade: str) -> None:
        painter.setPen(Qt.QColor(shade))
        painter.drawText(area, int(Qt.Qt.AlignVCenter | Qt.Qt.AlignLeft), text)


class TangoTree(Qt.QTreeView):
    """Enter or a double-click adds the selected attributes."""

    addWanted = Qt.Signal()

    def keyPressEvent(self, event: Qt.QKeyEvent) -> None:
        index = self.currentIndex()
        if event.key() in (Qt.Qt.Key_Return, Qt.Qt.Key_Enter) and index.isValid():
            if index.data(NODE_ROLE).source:
                self.addWanted.emit()
            else:
                self.setExpanded(index, not self.isExpanded(index))
            return
        super().keyPressEvent(event)

    def mouseDoubleClickEvent(self, event: Qt.QMouseEvent) -> None:
        index = self.indexAt(event.pos())
        if index.isValid() and index.data(NODE_ROLE).source:
            self.addWanted.emit()
            return
        super().mouseDoubleClickEvent(event)

    def drawRow(self, painter: Qt.QPainter, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> None:
        shades = colours(self.palette())
        if self.selectionModel().isSelected(index):
            painter.fillRect(option.rect, Qt.QColor(shades.selection))
        super().drawRow(painter, option, index)
        painter.setPen(Qt.QColor(shades.line))
        painter.drawLine(option.rect.bottomLeft(), option.rect.bottomRight())
        if self.hasFocus() and index == self.currentIndex():
            painter.setPen(focusShade(self.palette()))
            painter.drawRect(option.rect.adjusted(0, 0, -1, -1))


class BrowserPane(Qt.QWidget):
    """All that there is. `addWanted` has [source, name] of the attributes that are to be recorded."""

    addWanted = Qt.Signal(object)

    def __init__(self, session: EditSession, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._host = ""
        self._databases = [("", Names())]
        """Host and names. The first one is that of SciDog, also before it is read."""
        self._reading = self.opened = False
        self.calls = Calls(self)
        self.index = AttributeIndex("")
        self._reader = LiveReader()
        self.setProperty("pane", True)
        self.setAttribute(Qt.Qt.WA_StyledBackground)
        self.search = Qt.QLineEdit(self)
        self.search.setClearButtonEnabled(True)
        self.search.setAccessibleName("Search attributes")
        self.search.addAction(
            icon("magnify", self.palette(), colours(self.palette()).muted), Qt.QLineEdit.LeadingPosition
        )
        self.model = TangoModel(self)
        self.tree = TangoTree(self)
        self.tree.setProperty("pane", True)
        self.tree.setModel(self.model)
        self.tree.setItemDelegate(NodeDelegate(self.tree))
        self.tree.setHeaderHidden(True)
        self.tree.setUniformRowHeights(True)
        self.tree.setSelectionMode(self.tree.ExtendedSelection)
        self.tree.setDragDropMode(self.tree.DragOnly)
        self.tree.setIndentation(4 * GRID)
        self.tree.setAccessibleName("Tango database")
        self.tree.setPalette(quietSelection(self.tree.palette()))
        self.state = ElidedLabel(self)
        self.state.setProperty("muted", True)
        self.addDatabase = Qt.QToolButton(self)
        self.addDatabase.setText("Other database…")
        self.addDatabase.setAutoRaise(True)
        self.addDatabase.clicked.connect(self.askDatabase)
        below = Qt.QHBoxLayout()
        below.addWidget(self.state, 1)
        below.addWidget(self.addDatabase)
        layout = Qt.QVBoxLayout(self)
        layout.setContentsMargins(GAP, GAP, GAP, GRID)
        layout.setSpacing(GAP)
        layout.addWidget(self.search)
        layout.addWidget(self.tree, 1)
        layout.addLayout(below)
        self._searchTimer = Qt.QTimer(self)
        self._searchTimer.setSingleShot(True)
        self._searchTimer.setInterval(SEARCH_DELAY_MS)
        self._searchTimer.timeout.connect(self._search)
        self._clock = Qt.QTimer(self)
        self._clock.setInterval(VALUES_INTERVAL_MS)
        self._clock.timeout.connect(self._tick)
        self.search.textChanged.connect(lambda: self._searchTimer.start())
        self.search.returnPressed.connect(self._toTree)
        self.model.childrenWanted.connect(self._askDevice)
        self.tree.addWanted.connect(self.addSelected)
        self.tree.expanded.connect(lambda: self._readValues())
        session.draftChanged.connect(self._showMarks)
        session.overviewChanged.connect(self._showMarks)

    # -------------------------------------------------------------------- the database

    def open(self, prefix: str) -> None:
        """Show the database `tango://host:port/`, "" for that of TANGO_HOST."""
        self.opened = True
        self.calls.restart()
        self._host = prefix.removeprefix("tango://").rstrip("/")
        self._databases = [(self._host, Names())]
        self.model.showDatabases(self._databases)
        self.index = AttributeIndex(self._host)
        self._reader = LiveReader(prefix)
        self.state.setText("Reading the Tango database…")
        self.calls.run(partial(read_names, self._host), self._namesRead, self._namesFailed, "names")
        self._clock.start()

    def stop(self) -> None:
        self.opened = False
        self._clock.stop()
        self.index.stop()
        self.calls.stop()
        self._reader.close()
        self._reading = False

    def _namesRead(self, names: Names) -> None:
        self._show(0, self._host, names)
        self.calls.run(partial(read_aliases, self._host, names), self._aliasesRead, self._namesFailed, "aliases")

    def _aliasesRead(self, names: Names) -> None:
        self._show(0, self._host, names)
        index = self.index
        self.calls.run(partial(index.fill, names), lambda _: self._showState(), self._namesFailed, "index")

    def _namesFailed(self, error: Exception) -> None:
        self.state.setText(f"The Tango database cannot be read: {error}")

    def _show(self, place: int, host: str, names: Names) -> None:
        before = self.names
        self._databases[place : place + 1] = [(host, names)]
        if self.search.text().strip():
            if place == 0 and names.devices != before.devices:
                self._searchTimer.start()
        else:
            opened = self._openNodes()
            self.model.showDatabases(self._databases)
            self._reopen(opened)
        self._showState()

    def askDatabase(self) -> None:
        """Ask for the host and port of another database."""
        host, good = Qt.QInputDialog.getText(
            self, "Other Tango database", "Host and port of the database (control.example.org:10000):"
        )
        if good and host.strip():
            self.addHost(host.strip().removeprefix("tango://").rstrip("/"))

    def addHost(self, host: str) -> None:
        """Show another database below this one."""
        self.state.setText(f"Reading {host}…")
        self.calls.run(partial(read_names, host), partial(self._hostRead, host), self._namesFailed)

    def _hostRead(self, host: str, names: Names) -> None:
        self._show(len(self._databases), host, names)

    @property
    def names(self) -> Names:
        return self._databases[0][1]

    def suggestions(self, text: str, show: Callable[[list[str]], None]) -> Call:
        """Show sources that contain a text, for the completion of what is typed, unless the call is cancelled."""

        def found(result: SearchResult) -> None:
            show([f"{hit.device}/{hit.attribute}" for hit in result.attributes[:MAX_SUGGESTIONS]])

        return self.calls.run(partial(self.index.search, text, self.names), found, self._namesFailed, "suggestions")

    # --------------------------------------------------------------------- the search

    def _search(self) -> None:
        text = self.search.text().strip()
        if not text:
            self.model.showDatabases(self._databases)
            self._showState()
            return
        index, names = self.index, self.names
        self.calls.run(
            partial(index.search, text, names), partial(self._found, text, names), self._namesFailed, "search"
        )

        # What was added to the database since it was read. Its own wildcard knows devices and no attributes.
        word = max(text.split(), key=len)
        if len(word) >= MIN_WILDCARD:
            self.calls.run(partial(new_devices, self._host, word, names), self._newFound, self._namesFailed, "new")

    def _newFound(self, devices: list[str]) -> None:
        if devices:
            self.calls.run(partial(read_names, self._host), self._namesRead, self._namesFailed, "names")

    def _found(self, text: str, names: Names, result: SearchResult) -> None:
        if text != self.search.text().strip():
            return
        self.model.showSearch(result, names)
        for row in range(self.model.rowCount()):
            index = self.model.index(row, 0)
            if self.model.node(index).children:
                self.tree.expand(index)
        if result.total > MAX_HITS:
            self.state.setText(f"{MAX_HITS} of {result.total:,} attributes: type more to find the right one")
        elif result.total or result.devices:
            devices = "" if result.total else f", {len(result.devices)} devices: open one to see its attributes"
            self.state.setText(f"{result.total:,} attributes{devices}")
        else:
            self.state.setText(f"Nothing has {text!r} in its name or alias. A * stands for any text.")
        self._readValues()

    def _toTree(self) -> None:
        """Enter in the search field goes to the first attribute that was found."""
        first = self.model.index(0, 0)
        while first.isValid() and not self.model.node(first).source and self.tree.isExpanded(first):
            first = self.model.index(0, 0, first)
        if first.isValid():
            self.tree.setCurrentIndex(first)
            self.tree.setFocus()

    # ------------------------------------------------------------------------- devices

    def _askDevice(self, node: Node) -> None:
        device = node.device if "://" in node.device else self._session.prefix + node.device
        self.calls.run(
            partial(check.attributes, device), partial(self._attributesRead, node), partial(self._notRead, node)
        )

    def _attributesRead(self, node: Node, infos: list[dict[str, Any]]) -> None:
        if "://" not in node.device:
            self.index.put(node.device, [info["name"] for info in infos])
        self.model.setAttributes(node, sorted(infos, key=lambda info: info["name"].lower()), node.device)
        self._readValues()

    def _notRead(self, node: Node, error: Exception) -> None:
        self.model.setFailed(node, reason(error) if isinstance(error, tango.DevFailed) else str(error))

    def addSelected(self) -> None:
        """Add the selected attributes to what is recorded."""
        nodes = [self.model.node(index) for index in self.tree.selectionModel().selectedRows()]
        found = [[node.source, node.text] for node in nodes if node.source]
        if found:
            self.addWanted.emit(found)

    # -------------------------------------------------------------------------- values

    def _tick(self) -> None:
        self._showState()
        self._readValues()

    def _visible(self) -> list[Node]:
        """The attributes on the screen."""
        found: list[Node] = []
        index = self.tree.indexAt(Qt.QPoint(0, 0))
        bottom = self.tree.viewport().height()
        while index.isValid() and len(found) < MAX_READ and self.tree.visualRect(index).top() <= bottom:
            node = self.model.node(index)
            if node.source:
                found.append(node)
            index = self.tree.indexBelow(index)
        return found

    def _readValues(self) -> None:
        nodes = self._visible()
        if self._reading or not nodes or not self.opened or not self.isVisible() or not self._session.watched():
            return
        self._reading = True
        reader, entries = self._reader, [Entry(node.text, node.source) for node in nodes]
        self.calls.run(lambda: reader.read(entries, 64), partial(self._valuesRead, nodes), self._valuesFailed, "values")

    def _valuesRead(self, nodes: list[Node], values: list[LiveValue]) -> None:
        self._reading = False
        for node, value in zip(nodes, values, strict=True):
            node.live = value
            described = self._reader.described(node.source) if not node.info else None
            if described is not None and (kind := described.types.get(node.text.lower())) is not None:
                node.info = {"type": str(kind)}
        self.tree.viewport().update()
        if any(node.live is None for node in self._visible()):
            self._readValues()  # others are on the screen now

    def _valuesFailed(self, error: Exception) -> None:
        self._reading = False
        self.state.setText(f"The values cannot be read: {error}")

    def _showMarks(self) -> None:
        overview, draft = self._session.overview, self._session.draft
        marks = [(source, f"in {config}") for source, config in (overview.recorded if overview else ())]
        own = draft.name if draft else ""
        found = [(source, where) for source, where in marks if where != f"in {own}"]
        rows = draft.rows if draft else ()
        self.model.setMarks([*found, *((row.source, "recorded") for row in rows if row.source)])
        self.tree.viewport().update()

    def _showState(self) -> None:
        count = self.index.count
        self.search.setPlaceholderText(f"Search {count:,} attributes: lakeshore t*" if count else "Search attributes")
        if self.search.text().strip():
            return
        index = self.index
        if index.asked < index.to_ask:
            self.state.setText(f"Asking the devices for their attributes: {index.asked:,} of {index.to_ask:,}")
        else:
            devices = len(self.names.devices)
            self.state.setText(index.trouble or f"{devices:,} devices, {count:,} attributes known")

    def _openNodes(self) -> set[str]:
        return {
            self.model.node(index).text
            for row in range(self.model.rowCount())
            if self.tree.isExpanded(index := self.model.index(row, 0))
        }

    def _reopen(self, names: set[str]) -> None:
        for row in range(self.model.rowCount()):
            index = self.model.index(row, 0)
            if self.model.node(index).text in names:
                self.tree.expand(index)
