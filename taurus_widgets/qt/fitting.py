"""Dialogs that fit on a screen of 1280 by 800 pixels, however large the letters are."""

from __future__ import annotations

from taurus.external.qt import Qt

SMALLEST_SCREEN = Qt.QSize(1280, 800)
"""All dialogs fit on it."""

WINDOW_FRAME = Qt.QSize(40, 70)
"""Room that the desktop needs around a window: the title bar, a panel."""

OTHER_LINES = 9
"""Lines of text that a dialog has room for above and below what scrolls in it."""


def fit(dialog: Qt.QWidget, width: float, height: float) -> None:
    """Resize the dialog to this size, or to that of its screen if the screen is smaller."""
    room = dialog.screen().availableSize().expandedTo(SMALLEST_SCREEN) - WINDOW_FRAME
    dialog.resize(Qt.QSize(round(width), round(height)).boundedTo(room))


class Scrolled(Qt.QScrollArea):
    """Takes as much room as what is inside needs, up to what the smallest screen has; the rest is scrolled to."""

    def __init__(self, inner: Qt.QWidget, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.setFrameShape(self.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.Qt.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.Qt.NoFocus)
        self.setWidget(inner)
        inner.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)

    def sizeHint(self) -> Qt.QSize:
        return self._bounded(self.widget().sizeHint())

    def minimumSizeHint(self) -> Qt.QSize:
        return self._bounded(self.widget().minimumSizeHint())

    def _bounded(self, wanted: Qt.QSize) -> Qt.QSize:
        most = SMALLEST_SCREEN - WINDOW_FRAME
        height = wanted.height()
        if self.widget().layout().hasHeightForWidth() and self.isVisible():
            height = self.widget().layout().totalHeightForWidth(self.viewport().width())
        most.setHeight(most.height() - OTHER_LINES * self.fontMetrics().height())
        bar = self.verticalScrollBar().sizeHint().width() if height > most.height() else 0
        return Qt.QSize(wanted.width() + bar, height).boundedTo(most)

    def eventFilter(self, watched: Qt.QObject, event: Qt.QEvent) -> bool:
        if event.type() == Qt.QEvent.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))
