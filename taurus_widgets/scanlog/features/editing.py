"""Editing in the table: ratings, comments and pictures."""

from __future__ import annotations

from functools import partial
from typing import Any

from taurus.external.qt import Qt

from taurus_widgets.qt.notice import Notice
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json, Kind
from taurus_widgets.scanlog.data.outbox import PICTURE
from taurus_widgets.scanlog.data.state_folder import stateFolder
from taurus_widgets.scanlog.dialogs.edits import ConflictDialog, WaitingDialog
from taurus_widgets.scanlog.editing.delegates import CommentDelegate, StarsDelegate
from taurus_widgets.scanlog.editing.edits import EditQueue, EditState, QueuedEdit
from taurus_widgets.scanlog.features.picture_import import PictureImport
from taurus_widgets.scanlog.features.thumbnails import Thumbnails
from taurus_widgets.scanlog.parts.roles import DATASET_ROLE
from taurus_widgets.scanlog.view import LogView

RATINGS = {0.0: "Not rated", 0.5: "½", 1.0: "★", 1.5: "★½", 2.0: "★★", 2.5: "★★½", 3.0: "★★★"}


class Editing(Qt.QObject):
    """Makes the cells editable, sends the edits, and shows which of them wait."""

    def __init__(self, log: LogView) -> None:
        super().__init__(log)
        self._log = log
        self.edits = EditQueue(stateFolder() / "outbox", self)
        self.conflict: ConflictDialog | None = None
        self.waiting: WaitingDialog | None = None
        table = log.table
        self.stars = StarsDelegate(self.edits, self.write, self.allowed, table)
        self.comments = CommentDelegate(self.edits, self.write, self.allowed, table)
        table.setDelegate(Kind.RATING, self.stars)
        table.setDelegate(Kind.COMMENT, self.comments)
        table.setEditTriggers(table.DoubleClicked)
        table.setMouseTracking(True)  # to highlight the stars under the mouse
        self.notice = Notice(log)
        log.layout().insertWidget(log.layout().indexOf(log.statusBar), self.notice)
        self.notice.pressed.connect(self._showWaiting)
        self.notice.expired.connect(self._summarise)
        self._addActions()
        self.thumbnails = Thumbnails(log, self.edits)
        self.pictureImport = PictureImport(log, self.notice, self.addPicture, self.allowed)
        self.edits.changed.connect(self._changed)
        self.edits.arrived.connect(self._arrived)
        self.edits.asked.connect(self._asked)
        self.edits.loginNeeded.connect(lambda: log.loginWanted.emit("Your login has expired. Your edit is kept."))
        log.catalogueChanged.connect(self._accountChanged)
        log.loginChanged.connect(self._accountChanged)
        table.installEventFilter(self)
        log.scanConfirmed.connect(self.edits.confirm)
        log.closing.connect(self._close)
        log.reopened.connect(self.edits.restart)

    # ------------------------------------------------------------------------ use

    def write(self, dataset: Json, name: str, value: Any, seen: Any) -> None:
        """Write a comment or a rating in place of the one that was shown."""
        self.edits.change(dataset, name, value, seen, title=_title(dataset))

    def addPicture(self, dataset: Json, uri: str, caption: str) -> None:
        """Add a picture, given as a `data:` URI."""
        self.edits.change(dataset, PICTURE, uri, caption=caption, title=_title(dataset))

    def allowed(self) -> bool:
        """Whether a user is logged in; if not, request a login."""
        scicat = self._log.scicat
        if scicat is not None and scicat.anonymous:
            # Deferred: the table may be handling a click.
            Qt.QTimer.singleShot(0, partial(self._log.loginWanted.emit, "To write to SciCat, log in."))
        return scicat is not None and not scicat.anonymous

    def editComment(self) -> None:
        """Edit the comment of the current row."""
        place = self._place(Kind.COMMENT)
        row = self._log.table.currentIndex().row()
        if place is None or row < 0:
            self.notice.showBriefly("To write a comment, choose a row, and show the column Comment.")
            return
        cell = self._log.scans.index(row, place)
        self._log.table.setCurrentIndex(cell)
        self._log.table.edit(cell)

    def rate(self, rating: float) -> None:
        """Rate the current row. A rating in a hidden column is not overwritten."""
        dataset = self._log.table.currentIndex().data(DATASET_ROLE)
        if dataset is None or self._place(Kind.RATING) is None:
            self.notice.showBriefly("To rate, choose a row, and show the column Rating.")
        else:
            self.stars.rate(dataset, rating)

    # -------------------------------------------------------------------- private

    def _addActions(self) -> None:
        table = self._log.table
        comment = Qt.QAction("Edit comment", table)
        comment.setShortcut(Qt.QKeySequence(Qt.Qt.Key_F2))
        comment.setShortcutContext(Qt.Qt.WidgetShortcut)
        comment.triggered.connect(self.editComment)
        rating = Qt.QAction("Rating", table)
        menu = Qt.QMenu(table)
        for stars, text in RATINGS.items():
            menu.addAction(text, partial(self.rate, stars))
        rating.setMenu(menu)
        table.addAction(comment)
        table.addAction(rating)

    def _place(self, kind: Kind) -> int | None:
        return next((place for place, column in enumerate(self._log.scans.columns) if column.kind is kind), None)

    def eventFilter(self, watched: Qt.QObject, event: Qt.QEvent) -> bool:
        if event.type() == Qt.QEvent.KeyPress and watched is self._log.table:
            return self._key(event)
        return False

    def _close(self) -> None:
        self.pictureImport.finish()
        self.edits.stop()

    def _key(self, event: Qt.QKeyEvent) -> bool:
        """Handle the keys of these columns, because the table does not send all of them to a delegate."""
        index = self._log.table.currentIndex()
        dataset = index.data(DATASET_ROLE)
        if dataset is None:
            return False
        kind = self._log.scans.columns[index.column()].kind
        if kind is Kind.RATING:
            return self.stars.key(event, dataset)
        if event.key() not in (Qt.Qt.Key_Return, Qt.Qt.Key_Enter) or kind not in (Kind.COMMENT, Kind.PICTURE):
            return False
        if kind is Kind.COMMENT:
            self.editComment()
        else:
            self.thumbnails.view(index)
        return True

    def _accountChanged(self) -> None:
        scicat = self._log.scicat
        if scicat is not None:
            self.edits.setAccount(scicat.twin())

    def _changed(self, pid: str) -> None:
        self._log.table.viewport().update()
        self._summarise()

    def _arrived(self, queued: QueuedEdit) -> None:
        if queued.edit.field == PICTURE:
            self.thumbnails.invalidate(queued.edit.pid)

    def _asked(self, queued: QueuedEdit) -> None:
        """Ask at once about an edit that was just written here; for later conflicts there is the notice."""
        if queued.state is EditState.CONFLICT and queued.made_here and queued.tries == 0 and self.conflict is None:
            self._decide(queued)

    def _decide(self, queued: QueuedEdit) -> None:
        self.conflict = ConflictDialog(self.edits, queued, self._log)
        self.conflict.setAttribute(Qt.Qt.WA_DeleteOnClose)
        self.conflict.finished.connect(self._decided)
        self.conflict.open()

    def _decided(self) -> None:
        self.conflict = None

    def _showWaiting(self) -> None:
        conflicts = [queued for queued in self.edits.unsent if queued.state is EditState.CONFLICT]
        if len(self.edits.unsent) == 1 and conflicts:
            self._decide(conflicts[0])
            return
        if self.waiting is None:
            self.waiting = WaitingDialog(self.edits, self._log)
            self.waiting.setAttribute(Qt.Qt.WA_DeleteOnClose)
            self.waiting.decide.connect(self._decide)
            self.waiting.login.connect(lambda: self._log.loginWanted.emit(""))
            self.waiting.finished.connect(self._closed)
            self.waiting.open()

    def _closed(self) -> None:
        self.waiting = None

    def _summarise(self) -> None:
        """Show a summary of the edits that wait. Edits that are just being sent are marked in their cells only."""
        unsent = self.edits.unsent
        held = [queued for queued in unsent if queued.state is not EditState.PENDING or queued.unsafe]
        if not held:
            self.notice.say("")
            return
        first = next((queued for queued in held if queued.state in (EditState.CONFLICT, EditState.REFUSED)), held[0])
        count = "1 edit is" if len(unsent) == 1 else f"{len(unsent)} edits are"
        why = first.why or f"It is not kept on disk ({first.unsafe})."
        alone = len(unsent) == 1 and first.state is EditState.CONFLICT
        button = "Decide…" if alone else "Show…"
        self.notice.say(
            f"{count} not in SciCat yet. {why}", button, problem=first.state in (EditState.CONFLICT, EditState.REFUSED)
        )


def _title(dataset: Json) -> str:
    number = cols.scan_number(dataset)
    return f"{f'Scan {number}: ' if number else ''}{cols.title(dataset)}"
