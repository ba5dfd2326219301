"""The status bar of the scan log."""

from __future__ import annotations

import datetime as dt

from taurus.external.qt import Qt

from taurus_widgets.qt.connection import ConnectionState
from taurus_widgets.qt.painting import ConnectionSign, colours
from taurus_widgets.qt.text import tooltip


class StatusBar(Qt.QWidget):
    """One line: the catalogue, the number of rows, the last change; or the problem and since when."""

    goToNewest = Qt.Signal()

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.sign = ConnectionSign(self)
        self.connection = self._label()
        self.rows = self._label()
        self.news = Qt.QToolButton(self)
        self.news.setAutoRaise(True)
        self.news.setArrowType(Qt.Qt.UpArrow)
        self.news.setToolButtonStyle(Qt.Qt.ToolButtonTextBesideIcon)
        self.news.setToolTip("Show the newest rows")
        self.news.clicked.connect(self.goToNewest)
        self.news.hide()
        layout = Qt.QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 3)
        layout.setSpacing(8)
        layout.addWidget(self.sign)
        layout.addWidget(self.connection, 1)
        layout.addWidget(self.news)
        layout.addWidget(self.rows)

    def _label(self) -> Qt.QLabel:
        label = Qt.QLabel(self)
        label.setTextFormat(Qt.Qt.PlainText)
        label.setMinimumWidth(1)
        return label

    def showConnection(self, state: ConnectionState, where: str) -> None:
        """`where` names the catalogue and the proposal."""
        if state.problem:
            text = state.problem + (f" since {state.since:%H:%M:%S}" if state.since else "")
        else:
            text = where if state.connected else f"Connecting to {where}"
        self.sign.showState(state.connected, bool(state.problem))
        self.connection.setText(text)
        self.connection.setToolTip(tooltip(f"{where}\n{state.detail}".strip()))
        shades = colours(self.palette())
        palette = self.connection.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(shades.problem if state.problem else shades.muted))
        self.connection.setPalette(palette)

    def showRows(self, count: int, changed: dt.datetime | None, counting: bool = False) -> None:
        """`counting`: there are more rows, and the catalogue has not counted them yet."""
        text = f"{count:,} scan" if count == 1 else f"{count:,} scans"
        if counting:
            text = f"more than {text}"
        if changed is not None:
            text += f"   last change {changed:%H:%M:%S}"
        self.rows.setText(text)
        self.rows.setToolTip("")
        palette = self.rows.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(colours(self.palette()).muted))
        self.rows.setPalette(palette)

    def showWork(self, text: str, detail: str = "") -> None:
        """Show a text in place of the number of rows, until the number changes."""
        self.rows.setText(text)
        self.rows.setToolTip(tooltip(detail))

    def showUnseen(self, count: int) -> None:
        self.news.setText(f"{count:,} new")
        self.news.setVisible(count > 0)
