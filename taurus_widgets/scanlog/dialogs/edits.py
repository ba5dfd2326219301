"""The dialogs about edits that are not in SciCat: a conflict of two people, and the list of waiting edits."""

from __future__ import annotations

from typing import Any

from taurus.external.qt import Qt

from taurus_widgets.qt.fitting import fit
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.outbox import COMMENT, PICTURE, RATING, Edit, normal
from taurus_widgets.scanlog.editing.edits import EditQueue, EditState, QueuedEdit

RETRYABLE_STATES = (EditState.WAITING, EditState.EARLY, EditState.REFUSED)
"""The states in which an edit can be retried at once."""

FIELD_NAMES = {COMMENT: "Comment", RATING: "Rating", PICTURE: "Picture"}


def valueText(edit: Edit, value: Any) -> str:
    """A value of the edit's field as text for people."""
    if edit.field == PICTURE:
        return edit.caption
    if edit.field == RATING:
        return cols.stars({RATING: value}) or "not rated"
    return str(normal(COMMENT, value)) or "(no comment)"


class ConflictDialog(Qt.QDialog):
    """Two people have edited one field: the later one decides. If it is closed without a decision, the edit waits."""

    def __init__(self, edits: EditQueue, queued: QueuedEdit, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self._edits, self._queued = edits, queued
        edit, theirs = queued.edit, queued.theirs.get(queued.edit.field)
        self._theirs = theirs
        self.setWindowTitle(f"Two edits of one {FIELD_NAMES[edit.field].lower()}")
        who = cols.line(queued.theirs.get("updatedBy")) or "somebody else"
        layout = Qt.QGridLayout(self)
        layout.setColumnMinimumWidth(0, self.fontMetrics().averageCharWidth() * 38)
        layout.setColumnMinimumWidth(1, self.fontMetrics().averageCharWidth() * 38)
        title = _plain(f"{edit.title}\n{queued.why}")
        layout.addWidget(title, 0, 0, 1, 2)
        layout.addWidget(_plain("Yours"), 1, 0)
        layout.addWidget(_plain(f"In SciCat now (last change by {who})"), 1, 1)
        for column, value in enumerate((edit.value, theirs)):
            layout.addWidget(_box(valueText(edit, value)), 2, column)
        buttons = Qt.QDialogButtonBox()
        self.mine = buttons.addButton("Keep mine", Qt.QDialogButtonBox.ActionRole)
        self.others = buttons.addButton("Keep theirs", Qt.QDialogButtonBox.ActionRole)
        self.mine.clicked.connect(lambda: self._answer(edit.value))
        self.others.clicked.connect(lambda: self._answer(theirs))
        self.both: Qt.QPushButton | None = None
        if edit.field == COMMENT:
            both = "\n".join(filter(None, (normal(COMMENT, theirs), normal(COMMENT, edit.value))))
            self.both = buttons.addButton("Keep both", Qt.QDialogButtonBox.ActionRole)
            self.both.clicked.connect(lambda: self._answer(both))
            self.both.setToolTip(tooltip(both))
        self.later = buttons.addButton("Decide later", Qt.QDialogButtonBox.RejectRole)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons, 3, 0, 1, 2)
        for button in buttons.buttons():
            button.setAutoDefault(False)  # an Enter that was meant for the cell must not decide
        self.later.setDefault(True)
        self.later.setFocus()

    def _answer(self, value: Any) -> None:
        if self._queued in self._edits.unsent:
            self._edits.answer(self._queued, value)
        self.accept()


class WaitingDialog(Qt.QDialog):
    """Lists all edits that are not in SciCat, with actions for them."""

    decide = Qt.Signal(object)
    """A QueuedEdit with a conflict."""
    login = Qt.Signal()

    def __init__(self, edits: EditQueue, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self._edits = edits
        self._listed: list[QueuedEdit] = []
        self.setWindowTitle("Edits that are not in SciCat yet")
        self.table = Qt.QTreeWidget()
        self.table.setHeaderLabels(["Scan", "What", "Value", "Why it is not there"])
        self.table.setRootIsDecorated(False)
        self.table.setAlternatingRowColors(True)
        self.table.setSelectionMode(self.table.ExtendedSelection)
        self.table.itemSelectionChanged.connect(self._enable)
        self.where = _plain("They are kept on this computer until SciCat has them, also when this window is closed.")
        self.buttons = Qt.QDialogButtonBox(Qt.QDialogButtonBox.Close)
        self.retry = self._button("Try now", self._retry)
        self.copy = self._button("Copy", self._copy)
        self.drop = self._button("Throw away", self._drop)
        self.choose = self._button("Decide…", self._choose)
        self.logIn = self._button("Log in…", self.login.emit)
        self.buttons.rejected.connect(self.reject)
        layout = Qt.QVBoxLayout(self)
        for part in (self.where, self.table, self.buttons):
            layout.addWidget(part)
        metrics = self.fontMetrics()
        fit(self, metrics.averageCharWidth() * 130, metrics.height() * 18)
        for column, width in enumerate((36, 11, 30)):
            self.table.setColumnWidth(column, metrics.averageCharWidth() * width)
        edits.changed.connect(self._fill)
        self._fill()

    def _button(self, text: str, do: Any) -> Qt.QPushButton:
        button = self.buttons.addButton(text, Qt.QDialogButtonBox.ActionRole)
        button.setAutoDefault(False)
        button.clicked.connect(lambda: do())
        return button

    def _fill(self) -> None:
        chosen = self._chosen()
        self._listed = self._edits.unsent
        self.table.clear()
        for queued in self._listed:
            edit, says = queued.edit, queued.why or "On its way."
            if queued.unsafe:
                says += f" Not kept on disk: {queued.unsafe}"
            texts = [edit.title or edit.pid, FIELD_NAMES[edit.field], cols.line(valueText(edit, edit.value)), says]
            item = Qt.QTreeWidgetItem(texts)
            for column, text in enumerate(texts):
                item.setToolTip(column, tooltip(text))
            self.table.addTopLevelItem(item)
            item.setSelected(queued in chosen)
        if not chosen and self._listed:
            self.table.topLevelItem(0).setSelected(True)
        self._enable()

    def _chosen(self) -> list[QueuedEdit]:
        items = self.table.selectedItems()
        return [queued for place, queued in enumerate(self._listed) if self.table.topLevelItem(place) in items]

    def _enable(self) -> None:
        chosen = self._chosen()
        self.retry.setEnabled(any(queued.state in RETRYABLE_STATES for queued in chosen))
        self.copy.setEnabled(bool(chosen))
        self.drop.setEnabled(bool(chosen))
        self.choose.setEnabled(len(chosen) == 1 and chosen[0].state is EditState.CONFLICT)
        self.logIn.setEnabled(any(queued.state is EditState.LOGIN for queued in self._listed))

    def _retry(self) -> None:
        for queued in self._chosen():
            if queued.state in RETRYABLE_STATES:
                self._edits.retry(queued)

    def _copy(self) -> None:
        texts = [valueText(queued.edit, queued.edit.value) for queued in self._chosen()]
        Qt.QApplication.clipboard().setText("\n".join(texts))

    def _drop(self) -> None:
        for queued in self._chosen():
            self._edits.discard(queued)

    def _choose(self) -> None:
        self.decide.emit(self._chosen()[0])


def _plain(text: str) -> Qt.QLabel:
    label = Qt.QLabel(text)
    label.setTextFormat(Qt.Qt.PlainText)
    label.setWordWrap(True)
    return label


def _box(text: str) -> Qt.QPlainTextEdit:
    box = Qt.QPlainTextEdit(text)
    box.setReadOnly(True)
    box.setTabChangesFocus(True)
    box.setFixedHeight(box.fontMetrics().lineSpacing() * 5)
    return box
