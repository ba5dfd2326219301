"""A line of text that ends in … where there is no room for all of it; the tool tip has the whole."""

from __future__ import annotations

from taurus.external.qt import Qt

from taurus_widgets.qt.text import tooltip


class ElidedLabel(Qt.QLabel):
    """Takes the room that its neighbours leave. `text()` is the whole text."""

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.Qt.PlainText)
        self.setSizePolicy(Qt.QSizePolicy.Ignored, Qt.QSizePolicy.Preferred)

    def setText(self, text: str) -> None:
        super().setText(text)
        self.setToolTip(tooltip(text))

    def paintEvent(self, event: Qt.QPaintEvent) -> None:
        area = self.contentsRect()
        shown = self.fontMetrics().elidedText(self.text(), Qt.Qt.ElideRight, area.width())
        option = Qt.QStyleOption()
        option.initFrom(self)
        self.style().drawItemText(
            Qt.QPainter(self),
            area,
            int(self.alignment()),
            option.palette,
            self.isEnabled(),
            shown,
            self.foregroundRole(),
        )
