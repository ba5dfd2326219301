"""What the scan log draws itself: the status signs, the stars and their colours.

Drawn and not taken from a font, so that they are sharp at any scale and there on any machine.
Each status has a shape of its own; the colours (after Okabe and Ito) only help.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from taurus.external.qt import Qt

from taurus_widgets.qt.text import ALIGNMENT, COLUMN_ROLE
from taurus_widgets.scanlog.data import columns as cols


@dataclass(frozen=True)
class Colours:
    """By what they mean, as #rrggbb."""

    status: dict[str, str]
    star: str
    problem: str
    muted: str
    selection: str


LIGHT = Colours(
    status={
        "running": "#0072b2",
        "completed": "#00845f",
        "stopped": "#5f5f5f",
        "aborted": "#8f5f00",
        "failed": "#c44e00",
        "interrupted": "#a8508a",
    },
    star="#c78a00",
    problem="#a84300",
    muted="#6a6a6a",
    selection="#cfe3f3",
)
DARK = Colours(
    status={
        "running": "#56b4e9",
        "completed": "#35b88f",
        "stopped": "#a0a0a0",
        "aborted": "#e69f00",
        "failed": "#ff7f3f",
        "interrupted": "#d98cbc",
    },
    star="#e6b422",
    problem="#ff9a5c",
    muted="#9a9a9a",
    selection="#2b4a63",
)


def isDark(palette: Qt.QPalette) -> bool:
    return bool(palette.color(Qt.QPalette.Base).lightness() < 128)


def colours(palette: Qt.QPalette) -> Colours:
    return DARK if isDark(palette) else LIGHT


def darkPalette() -> Qt.QPalette:
    """For a control room whose desktop has no dark theme of its own."""
    palette = Qt.QPalette()
    for role, colour in {
        Qt.QPalette.Window: "#26282b",
        Qt.QPalette.Base: "#1d1f21",
        Qt.QPalette.AlternateBase: "#232629",
        Qt.QPalette.Button: "#303337",
        Qt.QPalette.ToolTipBase: "#303337",
        Qt.QPalette.WindowText: "#d6d6d6",
        Qt.QPalette.Text: "#d6d6d6",
        Qt.QPalette.ButtonText: "#d6d6d6",
        Qt.QPalette.ToolTipText: "#d6d6d6",
        Qt.QPalette.BrightText: "#ffffff",
        Qt.QPalette.Link: "#56b4e9",
        Qt.QPalette.Light: "#3a3e42",
        Qt.QPalette.Midlight: "#34373b",
        Qt.QPalette.Mid: "#3f4347",
        Qt.QPalette.Dark: "#191b1d",
        Qt.QPalette.Shadow: "#0f1011",
        Qt.QPalette.Highlight: "#2b4a63",
        Qt.QPalette.HighlightedText: "#ffffff",
    }.items():
        palette.setColor(role, Qt.QColor(colour))
    for role in (Qt.QPalette.WindowText, Qt.QPalette.Text, Qt.QPalette.ButtonText):
        palette.setColor(Qt.QPalette.Disabled, role, Qt.QColor("#7a7a7a"))
    return palette


def quietSelection(palette: Qt.QPalette) -> Qt.QPalette:
    """The palette with a selection in which the coloured signs stay readable."""
    quiet = Qt.QPalette(palette)
    for group in (Qt.QPalette.Active, Qt.QPalette.Inactive):
        quiet.setColor(group, Qt.QPalette.Highlight, Qt.QColor(colours(palette).selection))
        quiet.setColor(group, Qt.QPalette.HighlightedText, palette.color(Qt.QPalette.Text))
    return quiet


def headerStyle(metrics: Qt.QFontMetrics) -> str:
    """A flat header whose text stands exactly over the text of the cells."""
    return (
        "QHeaderView { background: palette(window); border: none; }"
        "QHeaderView::section { background: palette(window); color: palette(window-text); border: none;"
        f" border-bottom: 1px solid palette(mid); padding: 3px {padding(metrics)}px; }}"
    )


def cellStyle(metrics: Qt.QFontMetrics) -> str:
    """For a table without a delegate of its own: the text of its cells stands under that of such a header."""
    return f"QTableView::item {{ padding: 0 {padding(metrics) - 3}px; }}"


# ------------------------------------------------------------------------ the signs


def _running(painter: Qt.QPainter) -> None:
    painter.drawPolygon(Qt.QPolygonF([Qt.QPointF(3, 1.5), Qt.QPointF(14.5, 8), Qt.QPointF(3, 14.5)]))


def _completed(painter: Qt.QPainter) -> None:
    painter.drawPolyline(Qt.QPolygonF([Qt.QPointF(2.5, 8.5), Qt.QPointF(6.5, 12.5), Qt.QPointF(13.5, 3.5)]))


def _stopped(painter: Qt.QPainter) -> None:
    painter.drawRect(Qt.QRectF(3, 3, 10, 10))


def _aborted(painter: Qt.QPainter) -> None:
    painter.setBrush(Qt.Qt.NoBrush)
    painter.drawEllipse(Qt.QRectF(2.5, 2.5, 11, 11))
    painter.drawLine(Qt.QPointF(4.5, 11.5), Qt.QPointF(11.5, 4.5))


def _failed(painter: Qt.QPainter) -> None:
    painter.drawLine(Qt.QPointF(3.5, 3.5), Qt.QPointF(12.5, 12.5))
    painter.drawLine(Qt.QPointF(3.5, 12.5), Qt.QPointF(12.5, 3.5))


def _interrupted(painter: Qt.QPainter) -> None:
    points = [(9.5, 1.5), (4.5, 8.5), (11.5, 7.5), (6.5, 14.5)]
    painter.drawPolyline(Qt.QPolygonF([Qt.QPointF(x, y) for x, y in points]))


_SIGNS: dict[str, Callable[[Qt.QPainter], None]] = {
    "running": _running,
    "completed": _completed,
    "stopped": _stopped,
    "aborted": _aborted,
    "failed": _failed,
    "interrupted": _interrupted,
}
_FILLED = ("running", "stopped")


def drawStatus(
    painter: Qt.QPainter, area: Qt.QRectF, status: str, colour: Qt.QColor, provisional: bool = False
) -> None:
    """The status' sign, as large as the area; thin where it is provisional. Nothing for a status that is not known."""
    sign = _SIGNS.get(status)
    if sign is None:
        return
    painter.save()
    painter.setRenderHint(Qt.QPainter.Antialiasing)
    painter.translate(area.topLeft())
    painter.scale(area.width() / 16, area.height() / 16)
    if status in _FILLED and not provisional:
        painter.setPen(Qt.Qt.NoPen)
        painter.setBrush(colour)
    else:
        painter.setPen(Qt.QPen(colour, 1.2 if provisional else 2.2, Qt.Qt.SolidLine, Qt.Qt.RoundCap, Qt.Qt.RoundJoin))
        painter.setBrush(Qt.Qt.NoBrush)
    sign(painter)
    painter.restore()


@cache
def _star() -> Qt.QPainterPath:
    # Points of a regular star in a square of 16, an outer and an inner one by turns.
    path = Qt.QPainterPath()
    for corner in range(10):
        arm = Qt.QLineF.fromPolar(7.6 if corner % 2 == 0 else 3.1, 90 + corner * 36)
        point = Qt.QPointF(8, 8.6) + arm.p2()
        if corner == 0:
            path.moveTo(point)
        else:
            path.lineTo(point)
    path.closeSubpath()
    return path


def drawStars(painter: Qt.QPainter, area: Qt.QRectF, rating: float, colours: Colours) -> None:
    """Three stars, as many of them full as the rating says. Nothing where it is 0: not rated."""
    if not rating:
        return
    painter.save()
    painter.setRenderHint(Qt.QPainter.Antialiasing)
    painter.translate(area.topLeft())
    painter.scale(area.height() / 16, area.height() / 16)
    for place in range(cols.MOST_STARS):
        painter.setPen(Qt.QPen(Qt.QColor(colours.star), 1))
        painter.setBrush(Qt.Qt.NoBrush)
        painter.drawPath(_star())
        share = min(max(rating - place, 0.0), 1.0)
        painter.save()
        painter.setClipRect(Qt.QRectF(0, 0, 16 * share, 16))
        painter.fillPath(_star(), Qt.QColor(colours.star))
        painter.restore()
        painter.translate(17, 0)
    painter.restore()


# ----------------------------------------------------------------------- in the table


def drawUnread(painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect) -> None:
    """A bar in the place of a text that is still being read."""
    shade = Qt.QColor(colours(cell.palette).muted)
    shade.setAlpha(50)
    height = max(2, cell.fontMetrics.xHeight() // 2)
    width = min(area.width(), 8 * cell.fontMetrics.averageCharWidth())
    left = area.right() - width if cell.displayAlignment & Qt.Qt.AlignRight else area.left()
    painter.fillRect(Qt.QRect(left, area.center().y() - height // 2, width, height), shade)


class CellDelegate(Qt.QStyledItemDelegate):
    """One line of text, with room at both sides. The other delegates draw something before it."""

    signs = 0.0
    """How many of the text's height are drawn beside it."""

    def paint(self, painter: Qt.QPainter, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> None:
        # Not initStyleOption: it asks the model for seven more things that no cell has, a third of all painting.
        cell = Qt.QStyleOptionViewItem(option)
        row, scans = index.row(), index.model()
        column = scans.columnAt(index.column())
        cell.index = index
        cell.displayAlignment = Qt.Qt.AlignVCenter | ALIGNMENT.get(column.kind, Qt.Qt.AlignLeft)
        if cell.state & Qt.QStyle.State_Selected:
            # The row is what is selected and pointed at, so a single cell shows neither.
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
        """Of the text with that room, and of a sign or stars, where a column has them."""
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
    """The sign, then the word; the word of the usual end is quieter than the others."""

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
    """Stars."""

    def drawContent(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex
    ) -> None:
        side = cell.fontMetrics.ascent() * 1.1
        place = Qt.QRectF(area.x(), Qt.QRectF(area).center().y() - side / 2, side, side)
        drawStars(painter, place, cols.rating(index.model().dataset(index.row())), colours(cell.palette))


class NumberDelegate(CellDelegate):
    """Numbers whose decimal signs stand below each other."""

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
                Qt.QTimer.singleShot(0, cell.widget.viewport().update)  # rows that are drawn already
            missing = self._decimals.get(key, 0) - own
            room = "0" * missing + ("" if own or not missing else ".")
            free = area.width() - cell.fontMetrics.horizontalAdvance(cell.text)
            area.setRight(area.right() - max(0, min(cell.fontMetrics.horizontalAdvance(room), free)))
        super().drawContent(painter, cell, area, index)


_PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def padding(metrics: Qt.QFontMetrics) -> int:
    """Pixels between a cell's edge and its text."""
    return int(metrics.averageCharWidth())


class LinkSign(Qt.QWidget):
    """How it stands with the catalogue: a ring while connecting, a dot, or a triangle if something is wrong."""

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._connected = self._wrong = False
        side = self.fontMetrics().ascent()
        self.setFixedSize(side, side)

    def showState(self, connected: bool, wrong: bool) -> None:
        self._connected, self._wrong = connected, wrong
        self.update()

    def paintEvent(self, event: Qt.QPaintEvent) -> None:
        shades = colours(self.palette())
        painter = Qt.QPainter(self)
        painter.setRenderHint(Qt.QPainter.Antialiasing)
        painter.scale(self.width() / 16, self.height() / 16)
        if self._wrong:
            painter.setPen(Qt.Qt.NoPen)
            painter.setBrush(Qt.QColor(shades.problem))
            painter.drawPolygon(Qt.QPolygonF([Qt.QPointF(8, 1.5), Qt.QPointF(15.5, 14.5), Qt.QPointF(0.5, 14.5)]))
            return
        shade = Qt.QColor(shades.status["completed"])
        painter.setPen(Qt.QPen(shade, 2))
        painter.setBrush(shade if self._connected else Qt.QBrush(Qt.Qt.NoBrush))
        painter.drawEllipse(Qt.QRectF(3.5, 3.5, 9, 9))
