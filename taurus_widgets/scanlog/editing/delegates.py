"""The cells that can be written in: stars with the mouse or keyboard, comments as text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from taurus.external.qt import Qt

from taurus_widgets.qt.painting import Colours, colours, padding
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.outbox import COMMENT, RATING
from taurus_widgets.scanlog.editing.edits import DECISION_STATES, EditQueue, QueuedEdit
from taurus_widgets.scanlog.parts.cell_delegates import CellDelegate
from taurus_widgets.scanlog.parts.roles import DATASET_ROLE
from taurus_widgets.scanlog.parts.signs import drawStars

STAR_STEP = 17 / 16
"""Distance from one star to the next in units of a star, as `drawStars` draws them."""

COMMENT_LINES = 4
"""Number of text lines in a comment's editor."""

Write = Callable[[Json, str, Any, Any], None]
"""Arguments: a dataset, the name of a field, its new value, and the value that was shown before."""


def drawMark(painter: Qt.QPainter, area: Qt.QRectF, queued: QueuedEdit, shades: Colours) -> None:
    """Draw the mark of an edit that is not in SciCat: a clock while it waits, a triangle if the user must decide."""
    painter.save()
    painter.setRenderHint(Qt.QPainter.Antialiasing)
    painter.translate(area.topLeft())
    painter.scale(area.width() / 16, area.height() / 16)
    if queued.state in DECISION_STATES:
        painter.setPen(Qt.Qt.NoPen)
        painter.setBrush(Qt.QColor(shades.problem))
        painter.drawPolygon(Qt.QPolygonF([Qt.QPointF(8, 1.5), Qt.QPointF(15.5, 14.5), Qt.QPointF(0.5, 14.5)]))
    else:
        painter.setPen(Qt.QPen(Qt.QColor(shades.muted), 1.6, Qt.Qt.SolidLine, Qt.Qt.RoundCap))
        painter.setBrush(Qt.Qt.NoBrush)
        painter.drawEllipse(Qt.QRectF(2, 2, 12, 12))
        painter.drawPolyline(Qt.QPolygonF([Qt.QPointF(8, 4.5), Qt.QPointF(8, 8), Qt.QPointF(10.5, 9.5)]))
    painter.restore()


def markTip(queued: QueuedEdit) -> str:
    """The meaning of the mark, for people."""
    says = queued.why or "On its way to SciCat."
    if queued.unsafe:
        says += f"\nIt is not kept on disk, and lost with this window: {queued.unsafe}"
    return says


class EditableDelegate(CellDelegate):
    """A cell whose value may be an edit that is not in SciCat yet; it shows that, and the keyboard's current cell."""

    field = ""

    def __init__(self, edits: EditQueue, write: Write, allowed: Callable[[], bool], parent: Qt.QObject) -> None:
        super().__init__(parent)
        self.edits = edits
        self.write = write
        self.allowed = allowed
        self._hover = False

    def paint(self, painter: Qt.QPainter, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> None:
        self._hover = bool(option.state & Qt.QStyle.State_MouseOver)
        super().paint(painter, option, index)
        if option.state & Qt.QStyle.State_HasFocus:
            painter.save()
            painter.setPen(Qt.QPen(option.palette.color(Qt.QPalette.Text), 1))
            painter.drawRect(option.rect.adjusted(0, 0, -1, -1))
            painter.restore()

    def drawContent(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex
    ) -> None:
        dataset = index.data(DATASET_ROLE)
        if dataset is None:
            return
        value, queued = self.edits.shown(dataset, self.field)
        shades = colours(cell.palette)
        if queued is not None:
            side = cell.fontMetrics.ascent() * 0.95
            drawMark(
                painter,
                Qt.QRectF(area.right() - side, Qt.QRectF(area).center().y() - side / 2, side, side),
                queued,
                shades,
            )
            area.setRight(round(area.right() - side * 1.3))
        self.drawValue(painter, cell, area, index, value)

    def drawValue(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex, value: Any
    ) -> None:
        raise NotImplementedError

    def helpEvent(
        self,
        event: Qt.QHelpEvent,
        view: Qt.QAbstractItemView,
        option: Qt.QStyleOptionViewItem,
        index: Qt.QModelIndex,
    ) -> bool:
        dataset = index.data(DATASET_ROLE)
        value, queued = self.edits.shown(dataset, self.field) if dataset else (None, None)
        if queued is None or event.type() != Qt.QEvent.ToolTip:
            return bool(super().helpEvent(event, view, option, index))
        lines = [str(value)] if self.field == COMMENT and value else []
        Qt.QToolTip.showText(event.globalPos(), tooltip("\n".join([*lines, markTip(queued)])), view)
        return True


class StarsDelegate(EditableDelegate):
    """Three stars. A click sets the rating to the clicked half star; a click on the same rating removes it.

    Keys: 0 to 3, + and - for half a star, Delete for none.
    """

    field = RATING

    def __init__(self, edits: EditQueue, write: Write, allowed: Callable[[], bool], parent: Qt.QObject) -> None:
        super().__init__(edits, write, allowed, parent)
        self._pointed = 0.0
        self._pressed = Qt.QPersistentModelIndex()

    def drawValue(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex, value: Any
    ) -> None:
        place = _stars(cell.fontMetrics, area)
        rating = cols.rating({RATING: value})
        if self._hover and self._pointed:
            painter.setOpacity(0.55)
            drawStars(painter, place, self._pointed, colours(cell.palette))
            painter.setOpacity(1.0)
            return
        drawStars(painter, place, rating, colours(cell.palette))

    def editorEvent(
        self,
        event: Qt.QEvent,
        model: Qt.QAbstractItemModel,
        option: Qt.QStyleOptionViewItem,
        index: Qt.QModelIndex,
    ) -> bool:
        dataset = index.data(DATASET_ROLE)
        if dataset is None:
            return False
        kind = event.type()
        if kind in (Qt.QEvent.MouseMove, Qt.QEvent.MouseButtonPress, Qt.QEvent.MouseButtonRelease):
            return self._mouse(event, option, index, dataset)
        # The second press of a double click counts as a click.
        return bool(kind == Qt.QEvent.MouseButtonDblClick and self._mouse(event, option, index, dataset))

    def _mouse(
        self, event: Qt.QMouseEvent, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex, dataset: Json
    ) -> bool:
        rating = self._at(option, event.pos())
        if event.type() == Qt.QEvent.MouseMove:
            if rating != self._pointed:
                self._pointed = rating
                option.widget.viewport().update(option.rect)
            return False
        # With Ctrl or Shift the click selects rows, as in any other cell.
        if event.button() != Qt.Qt.LeftButton or event.modifiers() != Qt.Qt.NoModifier or not rating:
            return False
        if event.type() != Qt.QEvent.MouseButtonRelease:
            self._pressed = Qt.QPersistentModelIndex(index)
            return True
        same = Qt.QPersistentModelIndex(index) == self._pressed
        self._pressed = Qt.QPersistentModelIndex()
        if same:  # otherwise the rows have moved under the mouse
            now = cols.rating({RATING: self.edits.shown(dataset, RATING)[0]})
            self._pointed = 0.0
            self.rate(dataset, 0.0 if rating == now else rating)
        return True

    def _at(self, option: Qt.QStyleOptionViewItem, point: Qt.QPoint) -> float:
        """The rating at this point of the cell; 0 outside the stars."""
        room = padding(option.fontMetrics)
        place = _stars(option.fontMetrics, option.rect.adjusted(room, 0, -room, 0))
        across = (point.x() - place.x()) / (place.height() * STAR_STEP)
        return math.ceil(across * 2) / 2 if 0 < across <= cols.MAX_STARS else 0.0

    def key(self, event: Qt.QKeyEvent, dataset: Json) -> bool:
        """Handle a key. Returns whether it changes the rating."""
        now = cols.rating({RATING: self.edits.shown(dataset, RATING)[0]})
        text = event.text()
        if event.key() in (Qt.Qt.Key_Delete, Qt.Qt.Key_Backspace):
            wanted = 0.0
        elif text in ("0", "1", "2", "3"):
            wanted = float(text)
        elif text in ("+", "-"):
            wanted = min(max(now + (0.5 if text == "+" else -0.5), 0.0), float(cols.MAX_STARS))
        else:
            return False
        self.rate(dataset, wanted)
        return True

    def rate(self, dataset: Json, rating: float) -> None:
        shown = self.edits.shown(dataset, RATING)[0]
        if cols.rating({RATING: shown}) != rating and self.allowed():
            self.write(dataset, RATING, rating, shown)


def _stars(metrics: Qt.QFontMetrics, area: Qt.QRect) -> Qt.QRectF:
    side = metrics.ascent() * 1.1
    return Qt.QRectF(area.x(), Qt.QRectF(area).center().y() - side / 2, side, side)


class CommentField(Qt.QPlainTextEdit):
    """The editor of a comment: Enter ends, Shift+Enter starts a new line, Escape cancels."""

    ended = Qt.Signal()
    leaving = Qt.Signal()
    """The table may close it at any time, for example when all rows are read again: the typed text is not lost."""

    def __init__(self, dataset: Json, seen: str, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.dataset = dataset
        self.seen = seen
        self.over = False
        """Whether the text was already saved or discarded."""
        self.setTabChangesFocus(True)
        self.setPlainText(seen)
        self.moveCursor(Qt.QTextCursor.End)
        self.setAcceptDrops(False)
        self.setToolTip(tooltip("Enter saves, Shift+Enter starts a new line, Esc discards the change"))

    def event(self, event: Qt.QEvent) -> bool:
        if event.type() == Qt.QEvent.DeferredDelete:
            self.leaving.emit()
        return bool(super().event(event))

    def keyPressEvent(self, event: Qt.QKeyEvent) -> None:
        if event.key() in (Qt.Qt.Key_Return, Qt.Qt.Key_Enter) and not event.modifiers() & Qt.Qt.ShiftModifier:
            self.ended.emit()
            return
        super().keyPressEvent(event)


class CommentDelegate(EditableDelegate):
    """Shows one line of the comment; the editor shows all lines."""

    field = COMMENT

    def __init__(self, edits: EditQueue, write: Write, allowed: Callable[[], bool], parent: Qt.QObject) -> None:
        super().__init__(edits, write, allowed, parent)
        self._clicked = Qt.QPersistentModelIndex()
        self._later = Qt.QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(Qt.QApplication.doubleClickInterval())
        self._later.timeout.connect(self._choose)

    def editorEvent(
        self,
        event: Qt.QEvent,
        model: Qt.QAbstractItemModel,
        option: Qt.QStyleOptionViewItem,
        index: Qt.QModelIndex,
    ) -> bool:
        """Ignore the first click of a double click: it would open the details under the second one."""
        kind, table = event.type(), option.widget
        if kind == Qt.QEvent.MouseButtonDblClick:
            self._later.stop()
        if kind != Qt.QEvent.MouseButtonPress or table.selectionModel().hasSelection():
            return bool(super().editorEvent(event, model, option, index))
        if event.button() != Qt.Qt.LeftButton or event.modifiers() != Qt.Qt.NoModifier:
            return False
        self._clicked = Qt.QPersistentModelIndex(index)
        self._later.start()
        return True

    def _choose(self) -> None:
        if self._clicked.isValid():
            self.parent().setCurrentIndex(Qt.QModelIndex(self._clicked))

    def drawValue(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex, value: Any
    ) -> None:
        cell.text = cols.line(value)
        self.drawText(painter, cell, area, cell.palette.color(Qt.QPalette.Text))

    def createEditor(
        self, parent: Qt.QWidget, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex
    ) -> Qt.QWidget | None:
        dataset = index.data(DATASET_ROLE)
        if dataset is None or not self.allowed():
            return None
        editor = CommentField(dataset, str(self.edits.shown(dataset, COMMENT)[0] or ""), parent)
        editor.ended.connect(lambda: self._end(editor))
        editor.leaving.connect(lambda: self._commit(editor))
        return editor

    def _end(self, editor: CommentField) -> None:
        self.commitData.emit(editor)
        self.closeEditor.emit(editor, self.NoHint)

    def setEditorData(self, editor: Qt.QWidget, index: Qt.QModelIndex) -> None:
        """Does nothing: the typed text stays when the row is read again."""

    def setModelData(self, editor: Qt.QWidget, model: Qt.QAbstractItemModel, index: Qt.QModelIndex) -> None:
        self._commit(editor)

    def _commit(self, editor: CommentField) -> None:
        if editor.over:
            return
        editor.over = True
        text = "\n".join(editor.toPlainText().splitlines()).strip()
        if text != editor.seen.strip():
            self.write(editor.dataset, COMMENT, text, editor.seen)

    def eventFilter(self, editor: Qt.QObject, event: Qt.QEvent) -> bool:
        if event.type() == Qt.QEvent.KeyPress and event.key() == Qt.Qt.Key_Escape:
            editor.over = True
        return bool(super().eventFilter(editor, event))

    def updateEditorGeometry(self, editor: Qt.QWidget, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> None:
        """Place the editor over the cell, large enough for some lines, within the table."""
        inside = editor.parentWidget().rect()
        metrics = option.fontMetrics
        wide = min(max(option.rect.width(), metrics.averageCharWidth() * 60), inside.width())
        high = min(metrics.lineSpacing() * COMMENT_LINES + 2 * padding(metrics), inside.height())
        place = Qt.QRect(option.rect.topLeft(), Qt.QSize(wide, high))
        place.moveRight(min(place.right(), inside.right()))
        place.moveBottom(min(place.bottom(), inside.bottom()))
        editor.setGeometry(place)
