"""Adds pictures to a row: dropped on it, pasted, or from a file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from taurus.external.qt import Qt

from taurus_widgets.qt import imaging
from taurus_widgets.qt.notice import Notice
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json, line
from taurus_widgets.scanlog.parts.roles import DATASET_ROLE
from taurus_widgets.scanlog.view import LogView

Add = Callable[[Json, str, str], None]
"""A dataset, the picture's `data:` URI, its caption."""


IMPORT_CLOSE_SECONDS = 2.0
"""How long a closing window waits for pictures that are being read."""


@dataclass(eq=False)
class _Reading:
    """A picture that is being read from a file or the clipboard."""

    dataset: Json
    caption: str
    uri: Future[str] = field(default_factory=Future)

    def read(self, work: Callable[[], str]) -> str:
        """Runs in a thread."""
        try:
            self.uri.set_result(work())
        except Exception as error:  # noqa: BLE001 - passed on to the waiting caller
            self.uri.set_exception(error)
        return self.uri.result()


class PictureImport(Qt.QObject):
    """Reads and encodes pictures in another thread; then each is an edit like any other."""

    def __init__(self, log: LogView, notice: Notice, add: Add, allowed: Callable[[], bool]) -> None:
        super().__init__(log)
        self._log = log
        self._notice = notice
        self._add = add
        self._allowed = allowed
        self._readings: list[_Reading] = []
        table = log.table
        from_file = Qt.QAction("Add picture from file…", table)
        from_file.triggered.connect(self.choose)
        paste = Qt.QAction("Paste picture", table)
        paste.setShortcut(Qt.QKeySequence.Paste)
        paste.setShortcutContext(Qt.Qt.WidgetShortcut)
        paste.triggered.connect(self.paste)
        table.addAction(from_file)
        table.addAction(paste)
        self._target = Qt.QRubberBand(Qt.QRubberBand.Rectangle, table.viewport())
        table.viewport().setAcceptDrops(True)
        table.viewport().installEventFilter(self)

    def choose(self) -> None:
        """Let the user choose files for the current row."""
        dataset = self._current()
        if dataset is None or not self._allowed():
            return
        dialog = Qt.QFileDialog(self._log, f"Pictures for {cols.title(dataset)}")
        dialog.setFileMode(Qt.QFileDialog.ExistingFiles)
        dialog.setNameFilter("Pictures (*.png *.jpg *.jpeg *.gif *.webp *.tif *.tiff *.bmp);;All files (*)")
        dialog.filesSelected.connect(lambda names: self.addFiles(dataset, [Path(name) for name in names]))
        dialog.setAttribute(Qt.Qt.WA_DeleteOnClose)
        dialog.open()

    def paste(self) -> None:
        """Add the picture of the clipboard to the current row."""
        dataset = self._current()
        if dataset is not None and self._allowed():
            self._take(dataset, Qt.QApplication.clipboard().mimeData())

    def addFiles(self, dataset: Json, paths: list[Path]) -> None:
        for path in paths:
            self._read(dataset, partial(imaging.fromFile, path), path.name)

    def finish(self) -> None:
        """The window closes: pictures that are read within IMPORT_CLOSE_SECONDS still become edits."""
        found = wait([reading.uri for reading in self._readings], IMPORT_CLOSE_SECONDS).done
        for reading in list(self._readings):
            if reading.uri in found and reading.uri.exception() is None:
                self._done(reading, reading.uri.result())
        self._readings.clear()

    # -------------------------------------------------------------------- private

    def _current(self) -> Json | None:
        dataset: Json | None = self._log.table.currentIndex().data(DATASET_ROLE)
        if dataset is None:
            self._notice.showBriefly("Choose the row that the picture is for.")
        return dataset

    def _take(self, dataset: Json, data: Qt.QMimeData) -> None:
        paths = _files(data)
        if paths:
            self.addFiles(dataset, paths)
        elif data.hasImage():
            self._read(dataset, partial(imaging.fromImage, Qt.QImage(data.imageData())), "Picture")
        else:
            self._notice.showBriefly("There is no picture in the clipboard.")

    def _read(self, dataset: Json, work: Callable[[], str], caption: str) -> None:
        reading = _Reading(dataset, line(caption))
        self._readings.append(reading)
        self._log.calls.run(partial(reading.read, work), partial(self._done, reading), partial(self._failed, reading))

    def _done(self, reading: _Reading, uri: str) -> None:
        self._readings.remove(reading)
        self._add(reading.dataset, uri, reading.caption)

    def _failed(self, reading: _Reading, error: Exception) -> None:
        self._readings.remove(reading)
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        self._notice.showBriefly(f"Not added: {line(why)}", problem=True)

    def eventFilter(self, watched: Qt.QObject, event: Qt.QEvent) -> bool:
        kind = event.type()
        if kind in (Qt.QEvent.DragEnter, Qt.QEvent.DragMove):
            self._over(event)
            return True
        if kind == Qt.QEvent.DragLeave:
            self._target.hide()
            return True
        if kind == Qt.QEvent.Drop:
            self._dropped(event)
            return True
        return False

    def _over(self, event: Qt.QDragMoveEvent) -> None:
        """Frame the row that would get the picture."""
        index = self._log.table.indexAt(event.pos())
        good = index.data(DATASET_ROLE) is not None and (event.mimeData().hasImage() or bool(_files(event.mimeData())))
        if good:
            place = self._log.table.visualRect(index)
            self._target.setGeometry(0, place.y(), self._log.table.viewport().width(), place.height())
            event.setDropAction(Qt.Qt.CopyAction)
            event.accept()
        elif event.type() == Qt.QEvent.DragEnter:
            event.accept()  # it may still be moved to a row
        else:
            event.ignore()
        self._target.setVisible(good)

    def _dropped(self, event: Qt.QDropEvent) -> None:
        self._target.hide()
        dataset = self._log.table.indexAt(event.pos()).data(DATASET_ROLE)
        if dataset is None:
            event.ignore()
            return
        event.setDropAction(Qt.Qt.CopyAction)
        event.accept()
        if self._allowed():
            self._take(dataset, event.mimeData())


def _files(data: Qt.QMimeData) -> list[Path]:
    """The local files. Nothing is downloaded."""
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
