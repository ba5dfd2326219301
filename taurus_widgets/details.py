"""The detail pane: all that is known of one dataset, as a tree."""

from __future__ import annotations

from collections.abc import Iterable

from taurus.external.qt import Qt

from taurus_widgets import columns as cols
from taurus_widgets.columns import Entry, Json
from taurus_widgets.model import tooltip
from taurus_widgets.painting import colours, headerStyle

NAME, VALUE, UNIT = range(3)


class DetailPane(Qt.QWidget):
    """Shows what it is given; it asks nobody itself."""

    closed = Qt.Signal()

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._pid = ""
        self._folded: set[str] = set()  # groups that the user has closed, for the next dataset too
        self.title = Qt.QLabel(self)
        self.title.setTextFormat(Qt.Qt.PlainText)
        self.title.setWordWrap(True)
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.title.setTextInteractionFlags(Qt.Qt.TextSelectableByMouse)
        self.message = Qt.QLabel(self)
        self.message.setTextFormat(Qt.Qt.PlainText)
        self.message.setWordWrap(True)
        close = Qt.QToolButton(self)
        close.setAutoRaise(True)
        close.setText("\u00d7")
        close.setToolTip("Close the details (Esc)")
        close.clicked.connect(self.closed)
        self.tree = self._makeTree()
        top = Qt.QHBoxLayout()
        top.setContentsMargins(8, 6, 4, 2)
        top.addWidget(self.title, 1)
        top.addWidget(close, 0, Qt.Qt.AlignTop)
        layout = Qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addWidget(self.message)
        layout.addWidget(self.tree, 1)
        self.message.setContentsMargins(8, 2, 8, 4)
        self.message.hide()

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

    def sizeHint(self) -> Qt.QSize:
        metrics = self.fontMetrics()
        return Qt.QSize(metrics.averageCharWidth() * 58, metrics.height() * 14)

    @property
    def pid(self) -> str:
        """Of the dataset that is shown, or "" for none."""
        return self._pid

    def announce(self, dataset: Json) -> None:
        """What the row knows already; the rest is being read."""
        self.title.setText(cols.title(dataset))
        if dataset["pid"] != self._pid:
            self._pid = dataset["pid"]
            self.tree.clear()
            self._say("")

    def showAnswer(self, pid: str, answer: object) -> None:
        """The whole dataset, or in its place a text that says why there is none. Late answers are dropped."""
        if pid != self._pid:
            return
        if isinstance(answer, dict):
            self._say("")
            self.title.setText(cols.title(answer))
            self._fill(cols.entries(answer))
        else:
            self._say(str(answer or "This dataset is no longer in the catalogue"))

    def forget(self) -> None:
        self._pid = ""
        self.title.clear()
        self.tree.clear()
        self._say("")

    def _say(self, text: str) -> None:
        palette = self.message.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(colours(self.palette()).problem))
        self.message.setPalette(palette)
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _fill(self, groups: Iterable[Entry]) -> None:
        tree = self.tree
        place = tree.verticalScrollBar().value()
        for top in [tree.topLevelItem(row) for row in range(tree.topLevelItemCount())]:
            (self._folded.discard if top.isExpanded() or not top.childCount() else self._folded.add)(top.text(NAME))
        tree.setUpdatesEnabled(False)
        tree.clear()
        for group in groups:
            item = self._item(group)
            tree.addTopLevelItem(item)
            if group.inside:
                self._open(item, group)
        tree.setUpdatesEnabled(True)
        tree.verticalScrollBar().setValue(place)

    def _open(self, item: Qt.QTreeWidgetItem, entry: Entry) -> None:
        """Groups are open, what belongs to one value (its end, its mean) is not."""
        item.setFirstColumnSpanned(not entry.value)
        item.setExpanded(not entry.value and entry.name not in self._folded)
        for place, inner in enumerate(entry.inside):
            if inner.inside:
                self._open(item.child(place), inner)

    def _item(self, entry: Entry) -> Qt.QTreeWidgetItem:
        item = Qt.QTreeWidgetItem([entry.name, entry.value, entry.unit])
        item.setToolTip(NAME, tooltip(entry.tip or entry.name))
        item.setToolTip(VALUE, tooltip(entry.value))
        if entry.problem:
            item.setForeground(VALUE, Qt.QColor(colours(self.palette()).problem))
        if entry.inside and not entry.value:
            font = item.font(NAME)
            font.setBold(True)
            item.setFont(NAME, font)
        for inner in entry.inside:
            item.addChild(self._item(inner))
        return item
