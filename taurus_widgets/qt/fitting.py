"""Keeps dialogs within a screen of 1280 by 800 pixels, whatever the size of the font."""

from __future__ import annotations

from taurus.external.qt import Qt

SMALLEST_SCREEN = Qt.QSize(1280, 800)
"""All dialogs fit on it."""

WINDOW_FRAME = Qt.QSize(40, 70)
"""Space that the desktop needs around a window: the title bar, a panel."""

OTHER_LINES = 9
"""Lines of text that fit above and below the scrolled part of a dialog."""


def fit(dialog: Qt.QWidget, width: float, height: float) -> None:
    """Resize the dialog to this size, or to that of its screen if the screen is smaller."""
    room = dialog.screen().availableSize().expandedTo(SMALLEST_SCREEN) - WINDOW_FRAME
    dialog.resize(Qt.QSize(round(width), round(height)).boundedTo(room))


class Scrolled(Qt.QScrollArea):
    """A scroll area of the size of its contents, limited by the smallest screen; only then it scrolls."""

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
