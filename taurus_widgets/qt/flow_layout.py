"""A row of small widgets that continues in the next line."""

from __future__ import annotations

from taurus.external.qt import Qt


class FlowLayout(Qt.QLayout):
    """Places its widgets from left to right, then down; its height depends on its width."""

    def __init__(self, parent: Qt.QWidget | None = None, space: int = 4) -> None:
        super().__init__(parent)
        self._items: list[Qt.QLayoutItem] = []
        self.setSpacing(space)

    def addItem(self, item: Qt.QLayoutItem) -> None:
        self._items.append(item)
        self.invalidate()

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, place: int) -> Qt.QLayoutItem | None:
        return self._items[place] if 0 <= place < len(self._items) else None

    def takeAt(self, place: int) -> Qt.QLayoutItem | None:
        return self._items.pop(place) if 0 <= place < len(self._items) else None

    def expandingDirections(self) -> Qt.Qt.Orientations:
        return Qt.Qt.Orientations(0)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return self._place(Qt.QRect(0, 0, width, 0), move=False)

    def setGeometry(self, area: Qt.QRect) -> None:
        super().setGeometry(area)
        self._place(area, move=True)

    def sizeHint(self) -> Qt.QSize:
        return self.minimumSize()

    def minimumSize(self) -> Qt.QSize:
        size = Qt.QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        margins = self.contentsMargins()
        return size + Qt.QSize(margins.left() + margins.right(), margins.top() + margins.bottom())

    def _place(self, area: Qt.QRect, move: bool) -> int:
        """Place the widgets in an area of this width. Returns the height that they need."""
        inner = area.marginsRemoved(self.contentsMargins())
        x, y, line = inner.x(), inner.y(), 0
        for item in self._items:
            if item.isEmpty():
                continue  # hidden widgets take no space
            size = item.sizeHint().boundedTo(Qt.QSize(max(inner.width(), 1), item.sizeHint().height()))
            if x > inner.x() and x + size.width() > inner.right() + 1:
                x, y, line = inner.x(), y + line + self.spacing(), 0
            if move:
                item.setGeometry(Qt.QRect(Qt.QPoint(x, y), size))
            x += size.width() + self.spacing()
            line = max(line, size.height())
        return int(y + line - area.y() + self.contentsMargins().bottom())
