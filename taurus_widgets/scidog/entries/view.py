"""The table of entries: groups that fold, rows that are dragged, edited, moved and removed by mouse or keyboard."""

from __future__ import annotations

from collections.abc import Callable

from taurus.external.qt import Qt

from taurus_widgets.qt.look import GAP, GRID, focusShade
from taurus_widgets.qt.painting import colours, quietSelection
from taurus_widgets.scidog.data.draft import Draft, DraftRow, new_row
from taurus_widgets.scidog.entries.delegate import EntryDelegate, Sources, drawFinding
from taurus_widgets.scidog.entries.model import (
    FINDING_ROLE,
    GROUP_ROLE,
    LAST,
    NAME,
    NO_GROUP,
    NOW,
    RECORD,
    SOURCE,
    TAKES,
    UNIT,
    EntryModel,
)
from taurus_widgets.scidog.session import SOURCES_TYPE, EditSession

WIDTHS = {NAME: 20, NOW: 14, UNIT: 14, RECORD: 15, TAKES: 8}
"""Of the columns, in average characters; the attribute has the rest."""

GROWTH = {NAME: 0.25, NOW: 0.15, UNIT: 0.2, RECORD: 0.1}
"""What they get of the room beyond `USUAL_WIDTH`, in pixels."""

USUAL_WIDTH = 820


class EntryView(Qt.QTreeView):
    """Shows the draft of a session. Its actions are in the context menu, with their keys."""

    rowsSelected = Qt.Signal()

    def __init__(self, session: EditSession, sources: Sources, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._folded: set[str] = set()
        self._links: dict[int, Qt.QRect] = {}
        self.entries = EntryModel(session, self)
        self.delegate = EntryDelegate(session.ownUnit, sources, self)
        self.setModel(self.entries)
        self.setItemDelegate(self.delegate)
        self.setAccessibleName("Entries")
        self.setSelectionMode(self.ExtendedSelection)
        self.setSelectionBehavior(self.SelectRows)
        self.setEditTriggers(self.DoubleClicked | self.EditKeyPressed | self.SelectedClicked)
        self.setExpandsOnDoubleClick(False)
        self.setVerticalScrollMode(self.ScrollPerPixel)
        self.setDragDropMode(self.DragDrop)
        self.setDefaultDropAction(Qt.Qt.MoveAction)
        self.setAllColumnsShowFocus(True)
        self.setIndentation(4 * GRID)
        self.setTabKeyNavigation(False)
        self.setMinimumWidth(480)
        header = self.header()
        header.setSectionsMovable(False)
        header.setStretchLastSection(False)
        header.setHighlightSections(False)
        header.setSectionResizeMode(SOURCE, header.Stretch)
        self.entries.modelAboutToBeReset.connect(self._remember)
        self.entries.modelReset.connect(self._restore)
        for shown in (session.liveChanged, session.findingsChanged):
            shown.connect(self.viewport().update)
        self.entries.editedMany.connect(self._editSelected)
        self.collapsed.connect(lambda index: self._folded.add(index.data(GROUP_ROLE)))
        self.expanded.connect(lambda index: self._folded.discard(index.data(GROUP_ROLE)))
        self.selectionModel().selectionChanged.connect(self.rowsSelected)
        self._makeActions()
        self.setPalette(quietSelection(self.palette()))

    def _makeActions(self) -> None:
        def action(text: str, keys: str, call: Callable[[], object]) -> Qt.QAction:
            made = Qt.QAction(text, self)
            if keys:
                made.setShortcuts([Qt.QKeySequence(key) for key in keys.split(", ")])
            made.setShortcutContext(Qt.Qt.WidgetShortcut)
            made.triggered.connect(lambda: call())
            self.addAction(made)
            return made

        def separator() -> None:
            line = Qt.QAction(self)
            line.setSeparator(True)
            self.addAction(line)

        self.setContextMenuPolicy(Qt.Qt.ActionsContextMenu)
        self.fixAction = action("Take the suggestion", "Ctrl+.", self.takeFix)
        self.editAction = action("Edit", "", lambda: self.edit(self.currentIndex()))
        self.newAction = action("New entry", "Ins, Ctrl+N", self.addEmpty)
        self.duplicateAction = action("Duplicate", "Ctrl+D", self.duplicateSelected)
        self.removeAction = action("Remove", "Del", self.removeSelected)
        separator()
        self.upAction = action("Move up", "Alt+Up", lambda: self.moveSelected(-1))
        self.downAction = action("Move down", "Alt+Down", lambda: self.moveSelected(1))
        self.groupAction = action("Move to a group…", "Ctrl+G", self.askGroup)
        separator()
        self.sourceAction = action("Copy the attribute's name", "Ctrl+C", self.copySources)
        self.selectionModel().selectionChanged.connect(self._enableActions)
        self._enableActions()

    def _enableActions(self) -> None:
        rows = self.selectedRows()
        for wanted in (self.duplicateAction, self.removeAction, self.upAction, self.downAction, self.groupAction):
            wanted.setEnabled(bool(rows))
        self.sourceAction.setEnabled(bool(rows))
        self.fixAction.setEnabled(any(self._fix(row) for row in rows))

    # ---------------------------------------------------------------------- selection

    def selectedRows(self) -> list[DraftRow]:
        """In the order of the table."""
        indexes = self.selectionModel().selectedRows(NAME)
        found = [row for index in indexes if (row := self.entries.row(index)) is not None]
        order = {row.key: place for place, (row, _) in enumerate(self._shownRows())}
        return sorted(found, key=lambda row: order.get(row.key, 0))

    def selectedKeys(self) -> set[int]:
        return {row.key for row in self.selectedRows()}

    def selectKeys(self, keys: list[int]) -> None:
        """Select these rows, and go to the first one."""
        selection = Qt.QItemSelection()
        for key in keys:
            index = self.entries.indexOf(key)
            if index.isValid():
                selection.select(index, index.siblingAtColumn(LAST))
        if keys and (first := self.entries.indexOf(keys[0])).isValid():
            self.expand(first.parent())
            self.selectionModel().setCurrentIndex(first, Qt.QItemSelectionModel.NoUpdate)
            self.scrollTo(first)
        self.selectionModel().select(selection, Qt.QItemSelectionModel.ClearAndSelect)

    def currentGroup(self) -> str:
        """The group in which something new is added."""
        index = self.currentIndex()
        row = self.entries.row(index)
        if row is not None:
            return row.group
        return str(index.data(GROUP_ROLE) or "") if index.isValid() else ""

    def _shownRows(self) -> list[tuple[DraftRow, str]]:
        return [(row, group) for group, rows in self.entries.groups for row in rows]

    def _remember(self) -> None:
        index = self.currentIndex()
        row = self.entries.row(index)
        self._before = [row.key for row in self.selectedRows()]
        self._current = (row.key if row else None, index.data(GROUP_ROLE), max(index.column(), 0))
        self._scrolled = self.verticalScrollBar().value()
        focused = Qt.QApplication.focusWidget()
        self._focused = focused is not None and self.isAncestorOf(focused)

    def _restore(self) -> None:
        for place, (group, _) in enumerate(self.entries.groups):
            index = self.entries.index(place, 0)
            self.setFirstColumnSpanned(place, Qt.QModelIndex(), True)
            if group not in self._folded:
                self.expand(index)
        key, group, column = self._current
        kept = [key for key in self._before if self.entries.indexOf(key).isValid()]
        if kept:
            self.selectKeys(kept)
        current = self.entries.indexOf(key, column) if key is not None else self.entries.indexOfGroup(group or "")
        if current.isValid():
            self.selectionModel().setCurrentIndex(current, Qt.QItemSelectionModel.NoUpdate)
        self.verticalScrollBar().setValue(self._scrolled)
        if self._focused:  # an open editor is gone, and Qt would give the focus to another widget
            self.setFocus()
        self._enableActions()
        self.rowsSelected.emit()

    # ------------------------------------------------------------------------ editing

    def _change(self, call: Callable[[Draft], object]) -> object:
        return self._session.change(call)

    def _editSelected(self, field: str, value: object) -> None:
        """A unit and when to record hold for all selected rows."""
        current = self.entries.row(self.currentIndex())
        keys = self.selectedKeys() | ({current.key} if current else set())
        self._change(lambda draft: draft.edit(keys, {field: value}))

    def commit(self) -> None:
        """Put what is typed in an open cell into the draft, and close the cell."""
        editor = self.indexWidget(self.currentIndex())
        if editor is not None:
            self.delegate.finish(editor)

    def addEmpty(self) -> None:
        """A new row below the current one; its name is edited at once."""
        row = self.entries.row(self.currentIndex())
        before, group = self._below(row) if row else (None, self.currentGroup())
        made = new_row(self._session.draft.free_name("New", group) if self._session.draft else "New", "", group)
        self._change(lambda draft: draft.add([made], before))
        self.selectKeys([made.key])
        self.edit(self.entries.indexOf(made.key, SOURCE))

    def addSources(self, sources: list[list[str]]) -> None:
        """Add attributes below the current row, in its group."""
        row = self.entries.row(self.currentIndex())
        before, group = self._below(row) if row else (None, self.currentGroup())
        self.selectKeys(self.entries.addSources(sources, before, group))

    def _below(self, row: DraftRow) -> tuple[int | None, str]:
        rows = self._session.draft.rows if self._session.draft else ()
        place = next((place for place, other in enumerate(rows) if other.key == row.key), len(rows) - 1)
        return (rows[place + 1].key if place + 1 < len(rows) else None), row.group

    def duplicateSelected(self) -> None:
        keys = self.selectedKeys()
        made = self._change(lambda draft: draft.duplicate(keys))
        if isinstance(made, list) and made:
            self.selectKeys(made)

    def removeSelected(self) -> None:
        keys = self.selectedKeys()
        shown = [row.key for row, _ in self._shownRows()]
        places = [place for place, key in enumerate(shown) if key in keys]
        behind = [key for key in shown[places[-1] + 1 :] if key not in keys] if places else []
        above = [key for key in shown[: places[0]] if key not in keys] if places else []
        self._change(lambda draft: draft.remove(keys))
        if behind or above:
            self.selectKeys([behind[0] if behind else above[-1]])

    def moveSelected(self, step: int) -> None:
        """One row up or down, into the next group at the end of one."""
        keys = self.selectedKeys()
        shown = self._shownRows()
        places = [place for place, (row, _) in enumerate(shown) if row.key in keys]
        if not places:
            return
        target = places[0] - 1 if step < 0 else places[-1] + 1
        if not 0 <= target < len(shown):
            return
        row, group = shown[target]
        own = shown[places[0] if step < 0 else places[-1]][1]
        if group == own:  # within the group: before the row above, or behind the row below
            before = row.key if step < 0 else self._below(row)[0]
        else:  # to the end of the group above, or the begin of the group below
            before = self._below(row)[0] if step < 0 else row.key
        self._change(lambda draft: draft.move(keys, before, group))

    def askGroup(self) -> None:
        """Ask for a group, an existing or a new one."""
        keys = self.selectedKeys()
        groups = self._session.draft.groups if self._session.draft else []
        names = [name or NO_GROUP for name in groups]
        chosen, good = Qt.QInputDialog.getItem(
            self, "Move to a group", "Group (a new name makes a new group):", names, 0, True
        )
        if good:
            group = "" if chosen == NO_GROUP else chosen.strip()
            self._change(lambda draft: draft.move(keys, self._endOf(draft, group), group))

    @staticmethod
    def _endOf(draft: Draft, group: str) -> int | None:
        places = [place for place, row in enumerate(draft.rows) if row.group == group]
        return draft.rows[places[-1] + 1].key if places and places[-1] + 1 < len(draft.rows) else None

    def copySources(self) -> None:
        Qt.QApplication.clipboard().setText("\n".join(row.source for row in self.selectedRows()))

    def _fix(self, row: DraftRow) -> dict[str, object]:
        finding = self.entries.finding(row)
        return dict(finding.fix) if finding else {}

    def takeFix(self) -> None:
        """Use what the device suggests, in all selected rows that have a suggestion."""
        for row in self.selectedRows():
            fix, key = self._fix(row), row.key
            if fix:
                self._change(lambda draft, key=key, fix=fix: draft.edit({key}, fix, "take the suggestion"))  # type: ignore[misc]

    # ------------------------------------------------------------------------- events

    def resizeEvent(self, event: Qt.QResizeEvent) -> None:
        super().resizeEvent(event)
        more = max(event.size().width() - USUAL_WIDTH, 0)
        character = self.fontMetrics().averageCharWidth()
        for column, width in WIDTHS.items():
            size = width * character + 2 * GAP + more * GROWTH.get(column, 0)
            self.header().resizeSection(column, round(size))

    def keyPressEvent(self, event: Qt.QKeyEvent) -> None:
        index = self.currentIndex()
        if event.key() in (Qt.Qt.Key_Return, Qt.Qt.Key_Enter) and self.state() != self.EditingState:
            if index.isValid() and self.entries.row(index) is None:
                self.setExpanded(index, not self.isExpanded(index))
            elif index.isValid():
                self.edit(index)
            return
        if event.modifiers() == Qt.Qt.ControlModifier and event.key() in (Qt.Qt.Key_Left, Qt.Qt.Key_Right):
            step = -1 if event.key() == Qt.Qt.Key_Left else 1
            other = index.siblingAtColumn(min(max(index.column() + step, NAME), LAST))
            if other.isValid():
                self.selectionModel().setCurrentIndex(other, Qt.QItemSelectionModel.NoUpdate)
                self.viewport().update()
            return
        super().keyPressEvent(event)

    def mouseReleaseEvent(self, event: Qt.QMouseEvent) -> None:
        row = self.entries.row(self.indexAt(event.pos()))
        if row is not None and self._links.get(row.key, Qt.QRect()).contains(event.pos()):
            self.selectKeys([row.key])
            self.takeFix()
            return
        super().mouseReleaseEvent(event)

    def dragEnterEvent(self, event: Qt.QDragEnterEvent) -> None:
        super().dragEnterEvent(event)
        if event.mimeData().hasFormat(SOURCES_TYPE):
            event.acceptProposedAction()

    def drawRow(self, painter: Qt.QPainter, option: Qt.QStyleOptionViewItem, index: Qt.QModelIndex) -> None:
        shades = colours(self.palette())
        finding = index.siblingAtColumn(NAME).data(FINDING_ROLE)
        selected = self.selectionModel().isSelected(index)
        if selected:
            painter.fillRect(option.rect, Qt.QColor(shades.selection))
        elif finding is not None:
            painter.fillRect(option.rect, Qt.QColor(shades.wrong))
        super().drawRow(painter, option, index)
        row = self.entries.row(index)
        if row is not None and finding is not None:
            area = Qt.QRect(option.rect)
            area.setTop(option.rect.top() + self.delegate.lineHeight(option))
            area.adjust(self.indentation() + GAP, -GRID // 2, -GAP, -GRID)
            painter.save()
            painter.setFont(self.font())
            self._links[row.key] = drawFinding(painter, area, finding, self.palette(), self.fontMetrics())
            painter.restore()
        if row is not None:
            self._drawHandle(painter, option, shades.edge)
        painter.setPen(Qt.QColor(shades.line))
        painter.drawLine(option.rect.bottomLeft(), option.rect.bottomRight())
        current = self.currentIndex()
        if self.hasFocus() and current.row() == index.row() and current.parent() == index.parent():
            painter.setPen(focusShade(self.palette()))
            cell = self.visualRect(current) if row is not None else option.rect
            height = self.delegate.lineHeight(option) if row is not None else option.rect.height()
            painter.drawRect(Qt.QRect(cell.left(), option.rect.top(), cell.width() - 1, height - 1))

    def _drawHandle(self, painter: Qt.QPainter, option: Qt.QStyleOptionViewItem, shade: str) -> None:
        """Six dots before the name: a row can be dragged."""
        middle = option.rect.top() + self.delegate.lineHeight(option) // 2
        left = self.columnViewportPosition(NAME) + self.indentation() + GRID // 2
        for column in (0, GRID):
            for line in (-GRID, 0, GRID):
                painter.fillRect(left + column, middle + line - 1, 2, 2, Qt.QColor(shade))
