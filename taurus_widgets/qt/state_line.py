"""A line of text about something that is being read, with a button to retry."""

from __future__ import annotations

from taurus.external.qt import Qt

from taurus_widgets.qt.painting import colours


class StateLine(Qt.QWidget):
    """`row` is for further buttons."""

    retryWanted = Qt.Signal()

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = Qt.QLabel(self)
        self.label.setTextFormat(Qt.Qt.PlainText)
        self.label.setWordWrap(True)
        self.button = Qt.QToolButton(self)
        self.button.setText("Try again")
        self.button.clicked.connect(self.retryWanted)
        self.button.hide()
        self.row = Qt.QHBoxLayout(self)
        self.row.setContentsMargins(8, 2, 8, 3)
        self.row.addWidget(self.label, 1)
        self.row.addWidget(self.button)

    def say(self, text: str) -> None:
        self._show(text, False)

    def sayProblem(self, text: str) -> None:
        self._show(text, True)

    def _show(self, text: str, wrong: bool) -> None:
        shades = colours(self.palette())
        palette = self.label.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(shades.problem if wrong else shades.muted))
        self.label.setPalette(palette)
        self.label.setText(text)
        self.button.setVisible(wrong)
