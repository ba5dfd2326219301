"""The header of the scan log's table, with group, name and unit.

A click on the cross hides a column, dragging its right edge resizes it, and dragging elsewhere moves it.
"""

from __future__ import annotations

from taurus.external.qt import Qt

from taurus_widgets.qt.painting import colours, padding
from taurus_widgets.scanlog.parts.roles import COLUMN_ROLE

_GRIP = 5
"""Pixels at the right edge that Qt uses for resizing."""


class LogHeader(Qt.QHeaderView):
    """Draws itself: two lines for a column with a group, one line in a table without groups."""

    hideWanted = Qt.Signal(int)
    """The cross of this section was clicked."""
    orderChosen = Qt.Signal()
    """The user has dragged a column to another place."""

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(Qt.Qt.Horizontal, parent)
        self._hovered = self._pressed = -1
        self._over = False  # over the cross of the section
        self._before: list[int] = []  # the order when the mouse was pressed
        self._groups = False
        self.setMouseTracking(True)
        self.setSectionsClickable(True)
        self.setSectionsMovable(True)
        self.setHighlightSections(False)
        self.setDefaultAlignment(Qt.Qt.AlignLeft | Qt.Qt.AlignVCenter)
        self.setMinimumSectionSize(4 * padding(self.fontMetrics()))
        self.sectionCountChanged.connect(self._lookForGroups)

    def setModel(self, model: Qt.QAbstractItemModel) -> None:
        super().setModel(model)
        model.headerDataChanged.connect(self._lookForGroups)
        self._lookForGroups()

    def closeRect(self, section: int) -> Qt.QRect:
        """The place of the cross while the mouse is over the section."""
        side = self.fontMetrics().height()
        right = self.sectionViewportPosition(section) + self.sectionSize(section) - _GRIP
        return Qt.QRect(right - side, self.height() - side - 3, side, side)

    # ------------------------------------------------------------------------- size

    def _lookForGroups(self) -> None:
        """Update the number of lines after a change of the columns."""
        groups = any(self._group(section) for section in range(self.count()))
        if groups != self._groups:
            self._groups = groups
            self.updateGeometry()
            self.geometriesChanged.emit()
        self.viewport().update()

    def _group(self, section: int) -> str:
        column = self.model().headerData(section, Qt.Qt.Horizontal, COLUMN_ROLE)
        return str(column.group) if column is not None else ""

    def sizeHint(self) -> Qt.QSize:
        lines = self.fontMetrics().height() + (self._groupMetrics().height() if self._groups else 0)
        return Qt.QSize(super().sizeHint().width(), lines + 7)

    def _groupFont(self) -> Qt.QFont:
        font = Qt.QFont(self.font())
        font.setPointSizeF(max(6.0, font.pointSizeF() * 0.85))
        return font

    def _groupMetrics(self) -> Qt.QFontMetrics:
        return Qt.QFontMetrics(self._groupFont())

    # ---------------------------------------------------------------------- drawing

    def paintSection(self, painter: Qt.QPainter, area: Qt.QRect, section: int) -> None:
        palette, metrics = self.palette(), self.fontMetrics()
        painter.save()
        painter.fillRect(area, palette.color(Qt.QPalette.Window))
        painter.setPen(palette.color(Qt.QPalette.Mid))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        if section == self._hovered:
            painter.drawLine(area.topRight(), area.bottomRight())
        room = area.adjusted(padding(metrics), 0, -padding(metrics), -3)
        alignment = self.model().headerData(section, Qt.Qt.Horizontal, Qt.Qt.TextAlignmentRole) & Qt.Qt.AlignRight
        alignment |= Qt.Qt.AlignBottom
        title = str(self.model().headerData(section, Qt.Qt.Horizontal))
        if self.isSortIndicatorShown() and section == self.sortIndicatorSection():
            mark = "▲" if self.sortIndicatorOrder() == Qt.Qt.AscendingOrder else "▼"
            title = f"{mark} {title}" if alignment & Qt.Qt.AlignRight else f"{title} {mark}"
        painter.setPen(palette.color(Qt.QPalette.WindowText))
        painter.drawText(room, int(alignment), metrics.elidedText(title, Qt.Qt.ElideRight, room.width()))
        self._paintGroup(painter, room, section, int(alignment))
        if section == self._hovered:
            self._paintClose(painter, section)
        painter.restore()

    def _paintGroup(self, painter: Qt.QPainter, room: Qt.QRect, section: int, alignment: int) -> None:
        group = self._group(section)
        if not group:
            return
        painter.setFont(self._groupFont())
        painter.setPen(Qt.QColor(colours(self.palette()).muted))
        text = self._groupMetrics().elidedText(group, Qt.Qt.ElideRight, room.width())
        painter.drawText(room.adjusted(0, 0, 0, -self.fontMetrics().height()), alignment, text)
        painter.setFont(self.font())

    def _paintClose(self, painter: Qt.QPainter, section: int) -> None:
        place = self.closeRect(section)
        palette = self.palette()
        painter.fillRect(place, palette.color(Qt.QPalette.Midlight if self._over else Qt.QPalette.Window))
        painter.setRenderHint(Qt.QPainter.Antialiasing)
        shade = palette.color(Qt.QPalette.WindowText) if self._over else Qt.QColor(colours(palette).muted)
        painter.setPen(Qt.QPen(shade, 1.4))
        cross = Qt.QRectF(place).adjusted(*[place.width() * 0.3] * 2, *[-place.width() * 0.3] * 2)
        painter.drawLine(cross.topLeft(), cross.bottomRight())
        painter.drawLine(cross.bottomLeft(), cross.topRight())

    # ------------------------------------------------------------------------- mouse

    def _closeAt(self, place: Qt.QPoint) -> int:
        section = self.logicalIndexAt(place)
        return section if section >= 0 and self.closeRect(section).contains(place) else -1

    def _order(self) -> list[int]:
        return [self.logicalIndex(place) for place in range(self.count())]

    def _hover(self, section: int, over: bool) -> None:
        if (section, over) != (self._hovered, self._over):
            self._hovered, self._over = section, over
            self.viewport().update()

    def mouseMoveEvent(self, event: Qt.QMouseEvent) -> None:
        if self._pressed >= 0:
            return  # while the cross is pressed, nothing is moved or resized
        super().mouseMoveEvent(event)
        free = event.buttons() == Qt.Qt.NoButton
        over = free and self._closeAt(event.pos()) >= 0
        self._hover(self.logicalIndexAt(event.pos()) if free else -1, over)
        if over:
            self.setCursor(Qt.Qt.ArrowCursor)

    def mousePressEvent(self, event: Qt.QMouseEvent) -> None:
        self._pressed = self._closeAt(event.pos()) if event.button() == Qt.Qt.LeftButton else -1
        self._before = self._order()
        if self._pressed < 0:
            super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: Qt.QMouseEvent) -> None:
        pressed, self._pressed = self._pressed, -1
        if pressed < 0:
            super().mouseReleaseEvent(event)
            if self._order() != self._before:
                self.orderChosen.emit()
        elif self._closeAt(event.pos()) == pressed:
            self.hideWanted.emit(pressed)

    def mouseDoubleClickEvent(self, event: Qt.QMouseEvent) -> None:
        if self._closeAt(event.pos()) >= 0:
            self.mousePressEvent(event)  # two quick clicks hide two columns
        else:
            super().mouseDoubleClickEvent(event)

    def leaveEvent(self, event: Qt.QEvent) -> None:
        super().leaveEvent(event)
        self._hover(-1, False)

    def viewportEvent(self, event: Qt.QEvent) -> bool:
        if event.type() == Qt.QEvent.ToolTip and self._closeAt(event.pos()) >= 0:
            Qt.QToolTip.showText(event.globalPos(), "Hide this column", self)
            return True
        return bool(super().viewportEvent(event))
