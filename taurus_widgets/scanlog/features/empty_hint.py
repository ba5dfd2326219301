"""Why there is no row, in the middle of the table, and what can be done about it."""

from __future__ import annotations

from taurus.external.qt import Qt

from taurus_widgets.qt.connection import ConnectionState
from taurus_widgets.qt.painting import colours
from taurus_widgets.scanlog.features.filters import Filters
from taurus_widgets.scanlog.view import LogView


class EmptyHint(Qt.QObject):
    """Looks at the table whenever something changes; hidden as long as there are rows, or nobody knows yet."""

    def __init__(self, log: LogView, filters: Filters) -> None:
        super().__init__(log)
        self._log = log
        self._link = ConnectionState()
        self.sign = Qt.QWidget(log.table)  # not the viewport: its children are scrolled
        self.text = Qt.QLabel(self.sign)
        self.text.setTextFormat(Qt.Qt.PlainText)
        self.text.setWordWrap(True)
        self.text.setAlignment(Qt.Qt.AlignCenter)
        self.clear = Qt.QPushButton("Clear the filters", self.sign)
        self.clear.clicked.connect(filters.clearAll)
        self.enter = Qt.QPushButton("Log in…", self.sign)
        self.enter.clicked.connect(lambda: log.loginWanted.emit(""))
        buttons = Qt.QHBoxLayout()
        buttons.addStretch()
        for button in (self.clear, self.enter):
            button.setAutoDefault(False)
            buttons.addWidget(button)
        buttons.addStretch()
        layout = Qt.QVBoxLayout(self.sign)
        layout.setSpacing(8)
        layout.addStretch()
        layout.addWidget(self.text)
        layout.addLayout(buttons)
        layout.addStretch()
        self.sign.hide()
        self._later = Qt.QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(0)  # once all who are told of a change have heard of it
        self._later.timeout.connect(self._look)
        for signal in (
            *(log.scans.modelReset, log.scans.rowsInserted, log.scans.rowsRemoved),
            *(log.queryChanged, log.loginChanged, log.catalogueChanged),
        ):
            signal.connect(self._later.start)
        log.linkChanged.connect(self._linked)
        log.table.viewport().installEventFilter(self)

    def eventFilter(self, watched: Qt.QObject, event: Qt.QEvent) -> bool:
        if event.type() in (Qt.QEvent.Resize, Qt.QEvent.Move):
            self.sign.setGeometry(self._log.table.viewport().geometry())
        return False

    def _linked(self, link: ConnectionState) -> None:
        self._link = link
        self._later.start()

    def _look(self) -> None:
        log, shown = self._log, self._log.loader.pages
        read = shown is not None and shown.query == log.query
        empty = log.scicat is not None and not log.scans.rowCount() and (read or bool(self._link.problem))
        self.sign.setVisible(empty)
        if not empty or log.scicat is None:
            return
        away, anonymous, query = bool(self._link.problem), log.scicat.anonymous, log.query
        self.clear.setVisible(not away and (query.filtered or bool(query.proposal)))
        self.clear.setText("Clear the filters" if query.filtered else "Show all proposals")
        self.enter.setVisible(anonymous and not away)
        self.text.setText("\n".join(self._why(away, anonymous)))
        shades, palette = colours(self.sign.palette()), self.text.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(shades.problem if away else shades.muted))
        self.text.setPalette(palette)

    def _why(self, away: bool, anonymous: bool) -> list[str]:
        query = self._log.query
        if away:
            return [f"{self._link.problem}.", "The scans are shown as soon as it answers: it is tried again by itself."]
        what = f" of proposal {query.proposal}" if query.proposal else ""
        if query.filtered:
            why = [f"No scan{what} fits the filters."]
        else:
            why = [f"There is no scan{what} yet." if what else "There is no scan in the catalogue yet."]
        if anonymous:
            why.append("You are not logged in, so only public scans are seen.")
        return why
