"""What stands beside the metadata in the detail pane: files, pictures and history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from taurus.external.qt import Qt

from taurus_widgets.columns import Json
from taurus_widgets.feed import problem_text
from taurus_widgets.files import FilesPage
from taurus_widgets.history_page import HistoryPage
from taurus_widgets.images import Picture, read_pictures
from taurus_widgets.picture_view import PicturesView

if TYPE_CHECKING:
    from taurus_widgets.scanlog import ScanLog

PAUSE = 250
"""Milliseconds that a dataset is looked at before its pictures are read: they may be large."""


class PicturesPage(PicturesView):
    """The pictures of the dataset in the detail pane. The tab says how many, so they are read before it is opened."""

    titleChanged = Qt.Signal(str)

    def __init__(self, log: ScanLog) -> None:
        super().__init__(log.calls, log)
        self._log = log
        self._pid = ""
        self._seen = ""  # updatedAt of what is shown
        self._pause = Qt.QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE)
        self._pause.timeout.connect(self.reload)
        self.state.again.connect(self.reload)

    @property
    def pid(self) -> str:
        """Whose pictures are shown; "" for none."""
        return self._pid

    def setDataset(self, dataset: Json | None) -> None:
        pid = str(dataset["pid"]) if dataset else ""
        updated = str(dataset.get("updatedAt", "")) if dataset else ""
        if pid != self._pid:
            self.setPictures([])
            self.state.say("Reading" if pid else "")
        elif updated == self._seen:
            return
        self._pid, self._seen = pid, updated
        if pid:
            self._pause.start()
        else:
            self._pause.stop()

    def reload(self) -> None:
        """Read them again: one has been added, or taken away."""
        pid, scicat, scale = self._pid, self._log.scicat, self.devicePixelRatioF()
        if not pid or scicat is None:
            return

        def answered(pictures: list[Picture]) -> None:
            if pid == self._pid:
                self.setPictures(pictures)
                count = len(pictures)
                self.state.say("" if count else "No pictures")

        def failed(error: Exception) -> None:
            if pid == self._pid:
                self._seen = ""  # the next change of the dataset reads them again
                self.state.sayProblem(f"The pictures cannot be read: {problem_text(error)}")

        self._log.calls.run(lambda: read_pictures(scicat, pid, scale), answered, failed, "pictures")

    def setPictures(self, pictures: Sequence[Picture]) -> None:
        super().setPictures(pictures)
        self.titleChanged.emit(f"P&ictures {len(pictures)}" if pictures else "P&ictures")


class DetailPages(Qt.QObject):
    """Puts the pages into the detail pane, and gives its search a key."""

    def __init__(self, log: ScanLog) -> None:
        super().__init__(log)
        self.files = FilesPage(log.calls, lambda: log.scicat, log.details)
        self.pictures = PicturesPage(log)
        self.history = HistoryPage(log.calls, lambda: log.scicat, log.details)
        log.details.addPage(self.files, "Fi&les")
        log.details.addPage(self.pictures, "P&ictures")
        log.details.addPage(self.history, "Histor&y")
        search = Qt.QShortcut(Qt.QKeySequence("Alt+D"), log)
        search.setContext(Qt.Qt.WidgetWithChildrenShortcut)
        search.activated.connect(lambda: self._search(log))

    @staticmethod
    def _search(log: ScanLog) -> None:
        if log.details.isVisible():
            log.details.openSearch()
