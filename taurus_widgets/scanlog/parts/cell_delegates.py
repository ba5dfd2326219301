"""The delegates of cells that nobody edits, one for each kind of column."""

from __future__ import annotations

import re

from taurus.external.qt import Qt

from taurus_widgets.qt.painting import colours, padding
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.parts.roles import ALIGNMENT, COLUMN_ROLE
from taurus_widgets.scanlog.parts.signs import drawStars, drawStatus, drawUnread


class CellDelegate(Qt.QStyledItemDelegate):
    """Draws one line of text with a margin. Subclasses draw something before it."""

    signs = 0.0
    """Width of the drawing beside the text, in heights of the text."""

    def paint(self, painter: Qt.QPainter, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> None:
        # Not initStyleOption: it queries the model for seven roles that no cell uses, a third of the painting time.
        cell = Qt.QStyleOptionViewItem(option)
        row, scans = index.row(), index.model()
        column = scans.columnAt(index.column())
        cell.index = index
        cell.displayAlignment = Qt.Qt.AlignVCenter | ALIGNMENT.get(column.kind, Qt.Qt.AlignLeft)
        if cell.state & Qt.QStyle.State_Selected:
            # Rows are selected and highlighted, not cells.
            cell.state &= ~(Qt.QStyle.State_HasFocus | Qt.QStyle.State_MouseOver)
            cell.widget.style().drawPrimitive(Qt.QStyle.PE_PanelItemViewItem, cell, painter, cell.widget)
        room = padding(cell.fontMetrics)
        area = cell.rect.adjusted(room, 0, -room, 0)
        dataset = scans.dataset(row)
        if dataset is None:
            drawUnread(painter, cell, area)
            return
        cell.text = column.text(dataset)
        if index.model().isProvisional(index.row()):
            painter.save()
            cell.font.setItalic(True)
            painter.setFont(cell.font)
            self.drawContent(painter, cell, area, index)
            painter.restore()
        else:
            self.drawContent(painter, cell, area, index)

    def sizeHint(self, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> Qt.QSize:
        """The size of the text with its margins, and of the sign or stars of the column."""
        metrics = option.fontMetrics
        return super().sizeHint(option, index) + Qt.QSize(
            2 * padding(metrics) + round(self.signs * metrics.height()), 0
        )

    def drawContent(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex
    ) -> None:
        self.drawText(painter, cell, area, cell.palette.color(Qt.QPalette.Text))

    def drawText(self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, colour: Qt.QColor) -> None:
        if not cell.text:
            return
        painter.setPen(colour)
        text = cell.fontMetrics.elidedText(cell.text, Qt.Qt.ElideRight, area.width())
        painter.drawText(area, int(cell.displayAlignment), text)


class StatusDelegate(CellDelegate):
    """Draws the sign of the status, then the word; `completed` is muted."""

    signs = 1.5

    def drawContent(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex
    ) -> None:
        shades = colours(cell.palette)
        colour = shades.status.get(cell.text, shades.muted)
        side = cell.fontMetrics.ascent() * 0.95
        place = Qt.QRectF(area.x(), Qt.QRectF(area).center().y() - side / 2, side, side)
        drawStatus(painter, place, cell.text, Qt.QColor(colour), index.model().isProvisional(index.row()))
        area.setLeft(round(place.right() + side * 0.5))
        self.drawText(painter, cell, area, Qt.QColor(shades.muted if cell.text == "completed" else colour))


class RatingDelegate(CellDelegate):
    """Draws the rating as stars."""

    def drawContent(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex
    ) -> None:
        side = cell.fontMetrics.ascent() * 1.1
        place = Qt.QRectF(area.x(), Qt.QRectF(area).center().y() - side / 2, side, side)
        drawStars(painter, place, cols.rating(index.model().dataset(index.row())), colours(cell.palette))


class NumberDelegate(CellDelegate):
    """Draws numbers with their decimal points aligned."""

    def __init__(self, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self._decimals: dict[str, int] = {}

    def drawContent(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex
    ) -> None:
        if _PLAIN_NUMBER.fullmatch(cell.text):
            key = index.model().headerData(index.column(), Qt.Qt.Horizontal, COLUMN_ROLE).key
            own = len(cell.text.partition(".")[2])
            if own > self._decimals.get(key, 0):
                self._decimals[key] = own
                Qt.QTimer.singleShot(0, cell.widget.viewport().update)  # for the rows that are already drawn
            missing = self._decimals.get(key, 0) - own
            room = "0" * missing + ("" if own or not missing else ".")
            free = area.width() - cell.fontMetrics.horizontalAdvance(cell.text)
            area.setRight(area.right() - max(0, min(cell.fontMetrics.horizontalAdvance(room), free)))
        super().drawContent(painter, cell, area, index)


_PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?")
