"""A hint in the middle of an empty table: why there are no rows, with buttons for what can be done."""

from __future__ import annotations

from taurus.external.qt import Qt

from taurus_widgets.qt.connection import ConnectionState
from taurus_widgets.qt.painting import colours
from taurus_widgets.scanlog.features.filters import Filters
from taurus_widgets.scanlog.view import LogView


class EmptyHint(Qt.QObject):
    """Updated whenever the table changes; hidden while there are rows, and before the first answer."""

    def __init__(self, log: LogView, filters: Filters) -> None:
        super().__init__(log)
        self._log = log
        self._connection = ConnectionState()
        self.hint = Qt.QWidget(log.table)  # not the viewport: its children are scrolled
        self.text = Qt.QLabel(self.hint)
        self.text.setTextFormat(Qt.Qt.PlainText)
        self.text.setWordWrap(True)
        self.text.setAlignment(Qt.Qt.AlignCenter)
        self.clear = Qt.QPushButton("Clear the filters", self.hint)
        self.clear.clicked.connect(filters.clearAll)
        self.logIn = Qt.QPushButton("Log in…", self.hint)
        self.logIn.clicked.connect(lambda: log.loginWanted.emit(""))
        buttons = Qt.QHBoxLayout()
        buttons.addStretch()
        for button in (self.clear, self.logIn):
            button.setAutoDefault(False)
            buttons.addWidget(button)
        buttons.addStretch()
        layout = Qt.QVBoxLayout(self.hint)
        layout.setSpacing(8)
        layout.addStretch()
        layout.addWidget(self.text)
        layout.addLayout(buttons)
        layout.addStretch()
        self.hint.hide()
        self._updateTimer = Qt.QTimer(self)
        self._updateTimer.setSingleShot(True)
        self._updateTimer.setInterval(0)  # after all other slots of the same signal
        self._updateTimer.timeout.connect(self._update)
        for signal in (
            *(log.scans.modelReset, log.scans.rowsInserted, log.scans.rowsRemoved),
            *(log.queryChanged, log.loginChanged, log.catalogueChanged),
        ):
            signal.connect(self._updateTimer.start)
        log.connectionChanged.connect(self._connectionChanged)
        log.table.viewport().installEventFilter(self)

    def eventFilter(self, watched: Qt.QObject, event: Qt.QEvent) -> bool:
        if event.type() in (Qt.QEvent.Resize, Qt.QEvent.Move):
            self.hint.setGeometry(self._log.table.viewport().geometry())
        return False

    def _connectionChanged(self, state: ConnectionState) -> None:
        self._connection = state
        self._updateTimer.start()

    def _update(self) -> None:
        log, shown = self._log, self._log.loader.pages
        read = shown is not None and shown.query == log.query
        empty = log.scicat is not None and not log.scans.rowCount() and (read or bool(self._connection.problem))
        self.hint.setVisible(empty)
        if not empty or log.scicat is None:
            return
        away, anonymous, query = bool(self._connection.problem), log.scicat.anonymous, log.query
        self.clear.setVisible(not away and (query.filtered or bool(query.proposal)))
        self.clear.setText("Clear the filters" if query.filtered else "Show all proposals")
        self.logIn.setVisible(anonymous and not away)
        self.text.setText("\n".join(self._why(away, anonymous)))
        shades, palette = colours(self.hint.palette()), self.text.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(shades.problem if away else shades.muted))
        self.text.setPalette(palette)

    def _why(self, away: bool, anonymous: bool) -> list[str]:
        query = self._log.query
        if away:
            return [
                f"{self._connection.problem}.",
                "The scans are shown as soon as it answers. The scan log retries by itself.",
            ]
        what = f" of proposal {query.proposal}" if query.proposal else ""
        if query.filtered:
            why = [f"No scan{what} fits the filters."]
        else:
            why = [f"There is no scan{what} yet." if what else "There is no scan in the catalogue yet."]
        if anonymous:
            why.append("You are not logged in, so only public scans are shown.")
        return why
