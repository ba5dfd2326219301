"""The pages of the detail pane beside the metadata: files, pictures and history."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from taurus.external.qt import Qt

from taurus_widgets.qt.picture_viewer import Picture
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.feed import problem_text
from taurus_widgets.scanlog.data.outbox import PICTURE
from taurus_widgets.scanlog.details.files_page import FilesPage
from taurus_widgets.scanlog.details.history_page import HistoryPage
from taurus_widgets.scanlog.details.pictures_view import PicturesView, Thumbnail, read_pictures, with_thumbnails
from taurus_widgets.scanlog.editing.edits import EditQueue, QueuedEdit
from taurus_widgets.scanlog.view import LogView

PICTURES_PAUSE_MS = 250
"""Delay before the pictures of a selected dataset are read, because they may be large."""


class PicturesPage(PicturesView):
    """The pictures of the dataset in the detail pane, then those that are not in SciCat yet.

    The tab shows their number, so they are read before it is opened.
    """

    titleChanged = Qt.Signal(str)

    def __init__(self, log: LogView, edits: EditQueue) -> None:
        super().__init__(log.calls, log)
        self._log = log
        self._edits = edits
        self._pid = ""
        self._seen = ""  # updatedAt of the shown dataset
        self._there: list[Thumbnail] = []
        self._pause = Qt.QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PICTURES_PAUSE_MS)
        self._pause.timeout.connect(self.reload)
        self.state.retryWanted.connect(self.reload)
        edits.changed.connect(self._edited)
        edits.arrived.connect(self._arrived)

    def setDataset(self, dataset: Json | None) -> None:
        pid = str(dataset["pid"]) if dataset else ""
        updated = str(dataset.get("updatedAt", "")) if dataset else ""
        if pid == self._pid and updated == self._seen:
            return
        if pid != self._pid:
            self._there = []
            self.setPictures([])
            self.state.say("Reading" if pid else "")
        self._pid, self._seen = pid, updated
        if pid:
            self._pause.start()
        else:
            self._pause.stop()

    def reload(self) -> None:
        """Read the pictures again: one was added or removed."""
        pid, scicat = self._pid, self._log.scicat
        if pid and scicat is not None:
            read = partial(read_pictures, scicat, pid, self.devicePixelRatioF())
            self._log.calls.run(read, partial(self._answered, pid), partial(self._failed, pid), "pictures")

    def _answered(self, pid: str, found: list[Thumbnail]) -> None:
        if pid == self._pid:
            self._there = found
            self._showAll()

    def _failed(self, pid: str, error: Exception) -> None:
        if pid == self._pid:
            self._seen = ""  # read again at the next change of the dataset
            self.state.sayProblem(f"The pictures cannot be read: {problem_text(error)}")

    def _edited(self, pid: str) -> None:
        if pid == self._pid:
            self._showAll()

    def _arrived(self, queued: QueuedEdit) -> None:
        if queued.edit.pid == self._pid and queued.edit.field == PICTURE:
            self.reload()

    def _showAll(self) -> None:
        waiting = [
            Picture(queued.edit.value, queued.edit.caption, "not in SciCat yet")
            for queued in self._edits.pictures(self._pid)
        ]
        pid, there, scale = self._pid, self._there, self.devicePixelRatioF()
        # Also without pictures: this call cancels an earlier one.
        self._log.calls.run(
            lambda: [*there, *with_thumbnails(waiting, scale)],
            partial(self._showThese, pid),
            partial(self._failed, pid),
            "pictures that wait",
        )

    def _showThese(self, pid: str, thumbnails: Sequence[Thumbnail]) -> None:
        if pid == self._pid:
            self.setPictures(thumbnails)
            self.state.say("" if thumbnails else "No pictures")

    def setPictures(self, thumbnails: Sequence[Thumbnail]) -> None:
        super().setPictures(thumbnails)
        self.titleChanged.emit(f"P&ictures {len(thumbnails)}" if thumbnails else "P&ictures")


class DetailPages(Qt.QObject):
    """Adds the pages to the detail pane, and the key for its search."""

    def __init__(self, log: LogView, edits: EditQueue) -> None:
        super().__init__(log)
        self.files = FilesPage(log.calls, lambda: log.scicat, log.details)
        self.pictures = PicturesPage(log, edits)
        self.history = HistoryPage(log.calls, lambda: log.scicat, log.details)
        log.details.addPage(self.files, "Fi&les")
        log.details.addPage(self.pictures, "P&ictures")
        log.details.addPage(self.history, "Histor&y")
        search = Qt.QShortcut(Qt.QKeySequence("Alt+D"), log)
        search.setContext(Qt.Qt.WidgetWithChildrenShortcut)
        search.activated.connect(lambda: self._search(log))

    @staticmethod
    def _search(log: LogView) -> None:
        if log.details.isVisible():
            log.details.openSearch()
