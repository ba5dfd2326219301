"""How the cells of the entries are drawn and edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taurus.external.qt import Qt

from taurus_widgets.qt.calls import Call
from taurus_widgets.qt.look import GAP, GRID, rowHeight
from taurus_widgets.qt.painting import colours
from taurus_widgets.scidog.data.draft import DraftRow
from taurus_widgets.scidog.data.units import SCICAT_UNITS
from taurus_widgets.scidog.entries.model import FINDING_ROLE, RECORD, ROW_ROLE, SOURCE, UNIT, recordChoices

Sources = Callable[[str, Callable[[list[str]], None]], Call]
"""Looks for the names that contain a text, and shows them later."""


class EntryDelegate(Qt.QStyledItemDelegate):
    """A row is as high as its text, and a line more where a finding is shown below it.

    `ownUnit` gives the attribute's own unit of a row, `sources` names to complete.
    """

    def __init__(self, ownUnit: Callable[[DraftRow], str], sources: Sources, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self._ownUnit = ownUnit
        self._sources = sources

    def lineHeight(self, option: Qt.QStyleOptionViewItem) -> int:
        return rowHeight(option.fontMetrics)

    def sizeHint(self, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> Qt.QSize:
        height = self.lineHeight(option)
        if index.data(FINDING_ROLE) is not None:
            height += option.fontMetrics.height() + GRID
        return Qt.QSize(60, height)

    def paint(self, painter: Qt.QPainter, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> None:
        inner = Qt.QStyleOptionViewItem(option)
        inner.rect = Qt.QRect(option.rect)
        inner.rect.setHeight(self.lineHeight(option))
        inner.state &= ~Qt.QStyle.State_HasFocus  # the view draws the frame of the focus
        inner.rect.adjust(GRID, 0, -GRID, 0)
        if index.column() == SOURCE:  # the begin and the end of a name say most
            inner.textElideMode = Qt.Qt.ElideMiddle
        super().paint(painter, inner, index)

    def createEditor(self, parent: Qt.QWidget, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> Qt.QWidget:
        row: DraftRow | None = index.data(ROW_ROLE)
        if row is not None and not row.text and index.column() == RECORD:
            choice = Qt.QComboBox(parent)
            for record in recordChoices():
                choice.addItem(" · ".join(record), record)
            choice.activated.connect(lambda: self.finish(choice), Qt.Qt.QueuedConnection)
            return choice
        if row is not None and not row.text and index.column() == UNIT:
            return self._unitEditor(parent, row)
        line = Qt.QLineEdit(parent)
        if row is not None and index.column() == SOURCE:
            line.setCompleter(_completer(line, self._sources))
        return line

    def _unitEditor(self, parent: Qt.QWidget, row: DraftRow) -> Qt.QComboBox:
        choice = Qt.QComboBox(parent)
        choice.setEditable(True)
        choice.setInsertPolicy(Qt.QComboBox.NoInsert)
        # What a person types is taken as it is: mV and MV differ, and m is not the begin of something longer.
        choice.completer().setCaseSensitivity(Qt.Qt.CaseSensitive)
        choice.completer().setCompletionMode(Qt.QCompleter.PopupCompletion)
        own = self._ownUnit(row)
        choice.lineEdit().setPlaceholderText(f"{own} (the attribute's)" if own else "none")
        choice.addItem(f"The attribute's: {own or 'none'}", "")
        choice.insertSeparator(1)
        for unit in SCICAT_UNITS:
            choice.addItem(unit, unit)
        # Not at once: Enter would go on to the table, which has the focus then, and open the cell again.
        choice.activated.connect(lambda place: self._unitChosen(choice, place), Qt.Qt.QueuedConnection)
        return choice

    def _unitChosen(self, choice: Qt.QComboBox, place: int) -> None:
        choice.setEditText(choice.itemData(place) or "")
        self.finish(choice)

    def finish(self, editor: Qt.QWidget) -> None:
        """Put what is in an editor into the draft, and close it."""
        self.commitData.emit(editor)
        self.closeEditor.emit(editor)

    def setEditorData(self, editor: Qt.QWidget, index: Qt.QModelIndex) -> None:
        value = index.data(Qt.Qt.EditRole)
        if not isinstance(editor, Qt.QComboBox):
            editor.setText(value)
            editor.selectAll()
        elif editor.isEditable():
            editor.setEditText(value)
            editor.lineEdit().selectAll()
        else:
            editor.setCurrentIndex(max(editor.findText(" · ".join(value)), 0))

    def setModelData(self, editor: Qt.QWidget, model: Qt.QAbstractItemModel, index: Qt.QModelIndex) -> None:
        if not isinstance(editor, Qt.QComboBox):
            model.setData(index, editor.text())
        else:
            model.setData(index, editor.currentText() if editor.isEditable() else editor.currentData())

    def updateEditorGeometry(self, editor: Qt.QWidget, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> None:
        area = Qt.QRect(option.rect)
        area.setHeight(self.lineHeight(option))
        area.setWidth(max(area.width(), editor.sizeHint().width() if isinstance(editor, Qt.QComboBox) else 0))
        editor.setGeometry(area)


def _completer(line: Qt.QLineEdit, sources: Sources) -> Qt.QCompleter:
    """Suggests names that contain what is typed. They come later: the search is in another thread."""
    names = Qt.QStringListModel(line)
    completer = Qt.QCompleter(names, line)
    completer.setCompletionMode(Qt.QCompleter.UnfilteredPopupCompletion)
    completer.setCaseSensitivity(Qt.Qt.CaseInsensitive)
    calls: list[Call] = []

    def cancel() -> None:
        while calls:
            calls.pop().cancel()

    def show(found: list[str]) -> None:
        names.setStringList(found)
        if found and line.hasFocus():
            completer.complete()

    def ask(text: str) -> None:
        cancel()
        if len(text) > 1:
            calls.append(sources(text, show))
        else:
            names.setStringList([])

    line.textEdited.connect(ask)
    line.destroyed.connect(cancel)
    return completer


def drawFinding(
    painter: Qt.QPainter, area: Qt.QRect, finding: Any, palette: Qt.QPalette, metrics: Qt.QFontMetrics
) -> Qt.QRect:
    """Draw the line below a row; returns where its link is, which is empty without one."""
    shade = Qt.QColor(colours(palette).problem)
    painter.setPen(shade)
    side = metrics.ascent() - 2
    top = area.top() + (area.height() - side) // 2 - 1
    painter.setRenderHint(Qt.QPainter.Antialiasing)
    painter.setBrush(shade)
    painter.drawPolygon(
        Qt.QPolygon(
            [
                Qt.QPoint(area.left() + side // 2, top),
                Qt.QPoint(area.left() + side, top + side),
                Qt.QPoint(area.left(), top + side),
            ]
        )
    )
    fix = finding.fix_text
    room = metrics.horizontalAdvance(fix) + GAP if fix else 0
    text = area.adjusted(side + GAP, 0, -room, 0)
    shown = metrics.elidedText(finding.text, Qt.Qt.ElideRight, text.width())
    painter.drawText(text, int(Qt.Qt.AlignVCenter | Qt.Qt.AlignLeft), shown)
    if not fix:
        return Qt.QRect()
    link = Qt.QRect(text.left() + metrics.horizontalAdvance(shown) + GAP, area.top(), room, area.height())
    font = Qt.QFont(painter.font())
    font.setUnderline(True)
    painter.setFont(font)
    painter.setPen(Qt.QColor(colours(palette).accent))
    painter.drawText(link, int(Qt.Qt.AlignVCenter | Qt.Qt.AlignLeft), fix)
    return link
