"""Opens the page of a dataset in SciCat's frontend, in a browser."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, urlsplit, urlunsplit

from taurus.external.qt import Qt

from taurus_widgets.scanlog.data.columns import LINK_COLUMN_KEY, Json, Kind, page_column
from taurus_widgets.scanlog.parts.cell_delegates import CellDelegate
from taurus_widgets.scanlog.view import LogView

FRONTEND_VARIABLE = "SCIZOO_SCICAT_FRONTEND"
"""The environment variable with the frontend's address, where it cannot be guessed."""

_BACKEND = re.compile(r"^(?:(?:backend|api)\.|([\w-]+?)-(?:backend|api)(?=\.|$))", re.ASCII)


def checked(frontend: str) -> str:
    """The address without trailing slashes; "" stays. Raises ValueError if it is not a web address."""
    parts = urlsplit(frontend)
    if frontend and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError(f"{frontend!r} is not an address of SciCat's pages, for example https://scicat.example.org")
    return frontend.rstrip("/")


def guess(backend: str) -> str:
    """Guess the frontend's address: most sites have both at one name, some name the backend `backend.` or `api.`."""
    parts = urlsplit(backend)
    host = _BACKEND.sub(lambda found: found[1] or "", parts.netloc, count=1)
    return urlunsplit((parts.scheme, host or parts.netloc, re.sub(r"/api(/v\d+)?/*$", "", parts.path), "", ""))


def page_of(frontend: str, pid: str) -> str:
    """The address of a dataset's page. The pid is quoted, so that it is one part of the path."""
    return f"{frontend.rstrip('/')}/datasets/{quote(pid, safe='')}"


class ScicatLink(Qt.QObject):
    """In the menu of the rows, as a column, in the detail pane, and by Ctrl+B."""

    def __init__(self, log: LogView) -> None:
        super().__init__(log)
        self._log = log
        try:
            self._frontend = checked(os.environ.get(FRONTEND_VARIABLE, ""))
        except ValueError as error:
            raise ValueError(f"{FRONTEND_VARIABLE}: {error}") from error
        self.open = self._action("Open in &SciCat", "Ctrl+B", self.openCurrent)
        self.copy = self._action("Copy &link to SciCat", "", self.copyCurrent)
        self.button = Qt.QToolButton(log.details)
        self.button.setAutoRaise(True)
        self.button.setText("SciCat \u2197")
        self.button.clicked.connect(self.open.trigger)
        log.details.buttons.insertWidget(0, self.button, 0, Qt.Qt.AlignTop)
        log.details.filled.connect(self._filled)
        log.table.setDelegate(Kind.LINK, LinkDelegate(log.table))
        log.table.clicked.connect(self._clicked)
        log.scans.columnsInserted.connect(self._bind)
        log.catalogueChanged.connect(self._bind)
        self._bind()

    def _action(self, text: str, key: str, slot: object) -> Qt.QAction:
        action = Qt.QAction(text, self)
        action.setShortcut(Qt.QKeySequence(key))
        action.setShortcutContext(Qt.Qt.WidgetWithChildrenShortcut)
        action.triggered.connect(slot)
        self._log.addAction(action)
        self._log.table.addAction(action)
        return action

    def setFrontend(self, frontend: str) -> None:
        """Set the address of SciCat's pages; "" to guess it. Raises ValueError if it is not an address."""
        self._frontend = checked(frontend)
        self._bind()

    def address(self, dataset: Json) -> str:
        """The address of this dataset's page; "" before there is a catalogue."""
        if self._log.scicat is None:
            return ""
        return page_of(self._frontend or guess(self._log.scicat.base_url), str(dataset["pid"]))

    def _bind(self) -> None:
        self._log.scans.replaceColumn(page_column(self.address))

    def _filled(self, dataset: Json | None) -> None:
        self.button.setToolTip(f"Open the page of this dataset (Ctrl+B)\n{self.address(dataset)}" if dataset else "")

    # ------------------------------------------------------------------------- actions

    def _current(self) -> Json | None:
        """The dataset of the current row if it is selected, else of the first selected row."""
        row, ranges = self._log.table.currentIndex().row(), self._log.selectedRanges()
        if not ranges:
            return None
        return self._log.scans.dataset(row if any(row in rows for rows in ranges) else ranges[0].start)

    def openCurrent(self) -> None:
        dataset = self._current()
        if dataset is not None:
            self._open(self.address(dataset))

    def copyCurrent(self) -> None:
        dataset = self._current()
        if dataset is not None:
            Qt.QApplication.clipboard().setText(self.address(dataset))

    def _clicked(self, index: Qt.QModelIndex) -> None:
        dataset = self._log.scans.dataset(index.row())
        if self._log.scans.columns[index.column()].key == LINK_COLUMN_KEY and dataset is not None:
            self._open(self.address(dataset))

    def _open(self, address: str) -> None:
        # Already escaped: it must not be escaped twice.
        if Qt.QDesktopServices.openUrl(Qt.QUrl.fromEncoded(address.encode())):
            return
        box = Qt.QMessageBox(self._log.window())
        box.setAttribute(Qt.Qt.WA_DeleteOnClose)
        box.setIcon(box.Information)
        box.setTextFormat(Qt.Qt.PlainText)
        box.setTextInteractionFlags(Qt.Qt.TextSelectableByMouse | Qt.Qt.TextSelectableByKeyboard)
        box.setText(f"No browser could be opened. The page is at\n{address}")
        box.open()


class LinkDelegate(CellDelegate):
    """Draws an arrow instead of the long address."""

    def drawContent(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex
    ) -> None:
        cell.text = "\u2197" if cell.text else ""
        cell.displayAlignment = Qt.Qt.AlignCenter
        self.drawText(painter, cell, area, cell.palette.color(Qt.QPalette.Link))
