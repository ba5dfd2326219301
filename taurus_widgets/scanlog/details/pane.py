"""The detail pane: everything about one dataset, on pages."""

from __future__ import annotations

from typing import Protocol

from taurus.external.qt import Qt

from taurus_widgets.qt.layouts import tightColumn
from taurus_widgets.qt.painting import colours
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.detail_lines import detail_lines
from taurus_widgets.scanlog.details.metadata_tree import NAME, UNIT, VALUE, MetadataTree
from taurus_widgets.scanlog.table.model import PROVISIONAL

__all__ = ["NAME", "UNIT", "VALUE", "DetailPage", "DetailPane"]


class DetailPage(Protocol):
    """A page beside the metadata. It reads its content itself, in other threads."""

    titleChanged: Qt.pyqtBoundSignal
    """The new title of the tab, for example `Files 12`."""

    def setDataset(self, dataset: Json | None) -> None:
        """Show the content for this dataset (which may be the same one, changed), or nothing."""


class DetailPane(Qt.QWidget):
    """Shows the dataset that it is given. It reads nothing itself, but its pages do: see `addPage`."""

    closed = Qt.Signal()
    filled = Qt.Signal(object)
    """The whole dataset that is now shown, or None."""

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._pid = ""
        self._known: Json = {}
        self._pages: list[DetailPage] = []
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
        self.metadata = MetadataTree(self)
        self.tree = self.metadata.tree
        self.pages = Qt.QTabWidget(self)
        self.pages.setDocumentMode(True)
        self.pages.addTab(self.metadata, "&Metadata")
        self.buttons = Qt.QHBoxLayout()
        """At the top right. Features add their buttons before the cross."""
        self.buttons.setSpacing(0)
        close = Qt.QToolButton(self)
        close.setAutoRaise(True)
        close.setText("\u00d7")
        close.setToolTip("Close the details (Esc)")
        close.clicked.connect(self.closed)
        self.buttons.addWidget(close, 0, Qt.Qt.AlignTop)
        top = Qt.QHBoxLayout()
        top.setContentsMargins(8, 6, 4, 2)
        top.addWidget(self.title, 1)
        top.addLayout(self.buttons)
        layout = tightColumn(self)
        layout.addLayout(top)
        layout.addWidget(self.message)
        layout.addWidget(self.pages, 1)
        self.message.setContentsMargins(8, 2, 8, 4)
        self.message.hide()

    def addPage(self, page: DetailPage, title: str) -> None:
        """Add a page. In the title, `&` stands before the letter that opens it with Alt."""
        place = self.pages.addTab(page, title)
        self._pages.append(page)
        page.titleChanged.connect(lambda text: self.pages.setTabText(place, text))

    def sizeHint(self) -> Qt.QSize:
        metrics = self.fontMetrics()
        return Qt.QSize(metrics.averageCharWidth() * 58, metrics.height() * 14)

    @property
    def pid(self) -> str:
        """The pid of the shown dataset, "" for none."""
        return self._pid

    def openSearch(self) -> None:
        """Move the keyboard focus to the search line."""
        self.pages.setCurrentWidget(self.metadata)
        self.metadata.search.setFocus(Qt.Qt.ShortcutFocusReason)
        self.metadata.search.selectAll()

    def announce(self, dataset: Json) -> None:
        """Show what the row has; the rest is being read."""
        self.title.setText(cols.title(dataset))
        self._known = dataset
        if dataset["pid"] != self._pid:
            self._pid = dataset["pid"]
            self._show(None)
            self._say("")

    def showAnswer(self, pid: str, answer: object) -> None:
        """Show the whole dataset, or a text with the reason why there is none. Late answers are dropped."""
        if pid != self._pid:
            return
        if isinstance(answer, dict):
            self._say("")
            self.title.setText(cols.title(answer))
            self._show(answer)
        elif answer is None and self._known.get(PROVISIONAL):
            self.metadata.setLines(detail_lines(self._known))
            self._say("Not in the catalogue yet: this is what is known so far", quiet=True)
        else:
            self._say(str(answer or "This dataset is no longer in the catalogue"))

    def forget(self) -> None:
        self._pid = ""
        self._known = {}
        self.title.clear()
        self._show(None)
        self._say("")

    def _show(self, dataset: Json | None) -> None:
        if dataset is None:
            self.metadata.clear()
        else:
            self.metadata.setLines(detail_lines(dataset))
        for page in self._pages:
            page.setDataset(dataset)
        self.filled.emit(dataset)

    def _say(self, text: str, quiet: bool = False) -> None:
        shades = colours(self.palette())
        palette = self.message.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(shades.muted if quiet else shades.problem))
        self.message.setPalette(palette)
        self.message.setText(text)
        self.message.setVisible(bool(text))
