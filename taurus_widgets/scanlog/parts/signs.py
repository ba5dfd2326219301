"""The drawings in the cells of the scan log: the signs of a status, and the stars of a rating.

They are drawn instead of taken from a font, so that they are sharp at any scale and exist on any machine. Each status
has a shape of its own; the colours (after Okabe and Ito) are only an additional help.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from taurus.external.qt import Qt

from taurus_widgets.qt.painting import Colours, colours
from taurus_widgets.scanlog.data import columns as cols


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
    """Draw the sign of a status, as large as the area; thin if it is provisional. Nothing for an unknown status."""
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
    # A regular star in a square of 16: outer and inner points alternate.
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
    """Draw three stars, filled up to the rating. Nothing for 0, which means not rated."""
    if not rating:
        return
    painter.save()
    painter.setRenderHint(Qt.QPainter.Antialiasing)
    painter.translate(area.topLeft())
    painter.scale(area.height() / 16, area.height() / 16)
    for place in range(cols.MAX_STARS):
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


def drawUnread(painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect) -> None:
    """Draw a bar in place of a text that is still being read."""
    shade = Qt.QColor(colours(cell.palette).muted)
    shade.setAlpha(50)
    height = max(2, cell.fontMetrics.xHeight() // 2)
    width = min(area.width(), 8 * cell.fontMetrics.averageCharWidth())
    left = area.right() - width if cell.displayAlignment & Qt.Qt.AlignRight else area.left()
    painter.fillRect(Qt.QRect(left, area.center().y() - height // 2, width, height), shade)
