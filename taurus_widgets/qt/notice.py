"""A line of text about something that needs an action, with a button for that action."""

from __future__ import annotations

from taurus.external.qt import Qt

from taurus_widgets.qt.painting import colours
from taurus_widgets.qt.text import tooltip

BRIEFLY_MS = 10_000
"""How long `showBriefly` shows its text, in milliseconds."""


class Notice(Qt.QWidget):
    """Hidden while there is no text. It never takes the keyboard focus."""

    pressed = Qt.Signal()
    expired = Qt.Signal()
    """A text of `showBriefly` is hidden again."""

    def __init__(self, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.label = Qt.QLabel(self)
        self.label.setTextFormat(Qt.Qt.PlainText)
        self.label.setMinimumWidth(1)
        self.button = Qt.QPushButton(self)
        self.button.setAutoDefault(False)
        self.button.clicked.connect(self.pressed)
        layout = Qt.QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 2)
        layout.addWidget(self.label, 1)
        layout.addWidget(self.button)
        self._timer = Qt.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(BRIEFLY_MS)
        self._timer.timeout.connect(self._end)
        self.hide()

    def showBriefly(self, text: str, problem: bool = False) -> None:
        """Show a text that needs no action, for a while."""
        self.say(text, problem=problem)
        self._timer.start()

    def _end(self) -> None:
        self.say("")
        self.expired.emit()

    def say(self, text: str, button: str = "", problem: bool = False) -> None:
        """Show a text; "" hides the line. `problem` is for what needs a person."""
        self._timer.stop()
        shades = colours(self.palette())
        palette = self.label.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(shades.problem if problem else shades.muted))
        self.label.setPalette(palette)
        self.label.setText(text)
        self.label.setToolTip(tooltip(text))
        self.button.setText(button)
        self.button.setVisible(bool(button))
        self.setVisible(bool(text))
