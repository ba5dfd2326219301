"""The column of pictures: a thumbnail of the first picture of each row on the screen."""

from __future__ import annotations

import datetime as dt
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.qt import imaging
from taurus_widgets.qt.imaging import uri
from taurus_widgets.qt.painting import colours
from taurus_widgets.qt.picture_viewer import Picture, PictureViewer
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json, Kind
from taurus_widgets.scanlog.data.feed import problem_text
from taurus_widgets.scanlog.editing.delegates import drawMark, markTip
from taurus_widgets.scanlog.editing.edits import EditQueue, QueuedEdit
from taurus_widgets.scanlog.parts.cell_delegates import CellDelegate
from taurus_widgets.scanlog.parts.roles import DATASET_ROLE
from taurus_widgets.scanlog.view import LogView

TOOLTIP_SIDE_PIXELS = 320
"""Size of a picture in the tool tip, which is also the size in memory."""

MAX_THUMBNAILS = 500
"""Thumbnails in memory."""

MAX_THUMBNAIL_CALLS = 2
"""Calls at the same time, of those that `Calls` can run: the rest is for the table."""

THUMBNAIL_RETRY_SECONDS = 20.0
"""A row without a picture is read again after this time..."""

PLOT_WAIT = dt.timedelta(minutes=10)
"""...if its last change is not older than this: the plot of a scan is written after its end."""


@dataclass
class _Thumbnail:
    """`image` is null for a row without a picture; `at` is when it was read."""

    image: Qt.QImage
    at: float


class Thumbnails(CellDelegate):
    """Draws the thumbnails, reads the missing ones, and opens the viewer."""

    def __init__(self, log: LogView, edits: EditQueue) -> None:
        super().__init__(log.table)
        self._log = log
        self._edits = edits
        self._thumbnails: OrderedDict[str, _Thumbnail] = OrderedDict()
        self._wanted: OrderedDict[str, None] = OrderedDict()
        self._reading: set[str] = set()
        self._pendingImages: dict[str, Qt.QImage] = {}  # by the edit's key
        self.viewer: PictureViewer | None = None
        log.table.setDelegate(Kind.PICTURE, self)
        log.catalogueChanged.connect(self._clear)
        view = Qt.QAction("Show pictures", log.table)
        view.triggered.connect(lambda: self.view(log.table.currentIndex()))
        log.table.addAction(view)
        log.table.doubleClicked.connect(self._doubleClicked)
        self._timer = Qt.QTimer(self)
        self._timer.timeout.connect(log.table.viewport().update)
        self._timer.start(round(THUMBNAIL_RETRY_SECONDS * 1000))

    def invalidate(self, pid: str) -> None:
        """Read the picture of this dataset again."""
        self._thumbnails.pop(pid, None)
        self._log.table.viewport().update()

    def view(self, index: Qt.QModelIndex) -> None:
        """Show all pictures of the dataset of this row."""
        dataset, scicat = index.data(DATASET_ROLE), self._log.scicat
        if dataset is None or scicat is None:
            return
        self.viewer = PictureViewer(f"Pictures of {cols.title(dataset)}", self._log.calls, self._log)
        self.viewer.setAttribute(Qt.Qt.WA_DeleteOnClose)
        self.viewer.destroyed.connect(self._closed)
        self.viewer.show()
        pid = dataset["pid"]
        self._log.calls.run(
            partial(scicat.attachments, pid), partial(self._show, pid), partial(self._notShown, pid), "viewer"
        )

    # --------------------------------------------------------------------- drawing

    def drawContent(
        self, painter: Qt.QPainter, cell: Qt.QStyleOptionViewItem, area: Qt.QRect, index: Qt.QModelIndex
    ) -> None:
        dataset = index.data(DATASET_ROLE)
        if dataset is None:
            return
        room = Qt.QRect(area.left(), cell.rect.top() + 1, area.width(), cell.rect.height() - 2)
        pending = self._edits.pictures(dataset["pid"])
        image = self._shown(dataset, pending)
        if pending:
            side = cell.fontMetrics.ascent() * 0.95
            mark = Qt.QRectF(room.right() - side, Qt.QRectF(room).center().y() - side / 2, side, side)
            drawMark(painter, mark, pending[0], colours(cell.palette))
            room.setRight(round(mark.left() - side * 0.2))
        if image is not None:
            size = image.size().scaled(room.size(), Qt.Qt.KeepAspectRatio)
            painter.setRenderHint(Qt.QPainter.SmoothPixmapTransform)
            painter.drawImage(
                Qt.QRect(room.topLeft() + Qt.QPoint(0, (room.height() - size.height()) // 2), size), image
            )

    def helpEvent(
        self,
        event: Qt.QHelpEvent,
        view: Qt.QAbstractItemView,
        option: Qt.QStyleOptionViewItem,
        index: Qt.QModelIndex,
    ) -> bool:
        dataset = index.data(DATASET_ROLE)
        if dataset is None or event.type() != Qt.QEvent.ToolTip:
            return False
        pending = self._edits.pictures(dataset["pid"])
        image = self._shown(dataset, pending)
        text = "".join(tooltip(f"{queued.edit.caption}: {markTip(queued)}") for queued in pending)
        if image is not None:
            buffer = Qt.QBuffer()
            buffer.open(Qt.QIODevice.WriteOnly)
            image.save(buffer, "PNG")
            text += f'<img src="{uri(bytes(buffer.data()), "image/png")}">'
        Qt.QToolTip.showText(event.globalPos(), text, view)
        return True

    # --------------------------------------------------------------------- asking

    def _shown(self, dataset: Json, pending: list[QueuedEdit]) -> Qt.QImage | None:
        """The picture in SciCat, else the first one that is still to be sent. None while there is none."""
        image = self._image(dataset)
        if image is None or image.isNull():
            image = next((own for queued in pending if not (own := self._pendingImage(queued)).isNull()), None)
        return image

    def _pendingImage(self, queued: QueuedEdit) -> Qt.QImage:
        """The thumbnail of a picture that is not in SciCat; empty until it has been decoded."""
        found = self._pendingImages.get(queued.edit.key)
        if found is None:
            found = self._pendingImages[queued.edit.key] = Qt.QImage()
            self._log.calls.run(
                partial(_small, queued.edit.value), partial(self._unpacked, queued.edit.key), self._notUnpacked
            )
        return found

    def _unpacked(self, key: str, image: Qt.QImage) -> None:
        waiting = {queued.edit.key for queued in self._edits.unsent}
        self._pendingImages = {other: there for other, there in self._pendingImages.items() if other in waiting} | {
            key: image
        }
        self._log.table.viewport().update()

    def _notUnpacked(self, error: Exception) -> None:
        """Ignore it: the viewer shows the problem."""

    def _image(self, dataset: Json) -> Qt.QImage | None:
        pid = dataset["pid"]
        found = self._thumbnails.get(pid)
        if found is None or (found.image.isNull() and self._mayAppear(dataset, found)):
            self._wanted[pid] = None
            self._wanted.move_to_end(pid)
            Qt.QTimer.singleShot(0, self._ask)
        return found.image if found is not None else None

    def _mayAppear(self, dataset: Json, found: _Thumbnail) -> bool:
        changed = cols.moment(dataset.get("updatedAt"))
        fresh = changed is not None and dt.datetime.now(dt.UTC) - changed < PLOT_WAIT
        return fresh and time.monotonic() - found.at > THUMBNAIL_RETRY_SECONDS

    def _ask(self) -> None:
        """Read the rows that were drawn last first: the user has scrolled past the others."""
        scicat = self._log.scicat
        while scicat is not None and self._wanted and len(self._reading) < MAX_THUMBNAIL_CALLS:
            pid, _ = self._wanted.popitem()
            if pid in self._reading:
                continue
            self._reading.add(pid)
            self._log.calls.run(
                partial(_thumbnail, scicat, pid), partial(self._answered, scicat, pid), partial(self._failed, pid)
            )
        while len(self._wanted) > MAX_THUMBNAILS:
            self._wanted.popitem(last=False)

    def _answered(self, scicat: SciCat, pid: str, image: Qt.QImage) -> None:
        self._reading.discard(pid)
        if scicat is self._log.scicat:
            self._thumbnails[pid] = _Thumbnail(image, time.monotonic())
            self._thumbnails.move_to_end(pid)
            while len(self._thumbnails) > MAX_THUMBNAILS:
                self._thumbnails.popitem(last=False)
            if not image.isNull():
                self._log.table.viewport().update()
        self._ask()

    def _failed(self, pid: str, error: Exception) -> None:
        """Ignore it: the status bar reports the problem, and rows on the screen are requested again later."""
        self._reading.discard(pid)
        self._wanted.clear()

    def _clear(self) -> None:
        self._thumbnails.clear()
        self._pendingImages.clear()
        self._wanted.clear()

    # --------------------------------------------------------------------- viewing

    def _doubleClicked(self, index: Qt.QModelIndex) -> None:
        if self._log.scans.columns[index.column()].kind is Kind.PICTURE:
            self.view(index)

    def _show(self, pid: str, attachments: list[Json]) -> None:
        pictures = [Picture(str(each.get("thumbnail") or ""), cols.line(each.get("caption"))) for each in attachments]
        pictures += [
            Picture(queued.edit.value, queued.edit.caption, "not in SciCat yet") for queued in self._edits.pictures(pid)
        ]
        if self.viewer is not None:
            self.viewer.setPictures(pictures)

    def _notShown(self, pid: str, error: Exception) -> None:
        pending = self._edits.pictures(pid)
        if pending:
            self._show(pid, [])
        elif self.viewer is not None:
            self.viewer.say(f"{problem_text(error)}.")

    def _closed(self) -> None:
        self.viewer = None


def _thumbnail(scicat: SciCat, pid: str) -> Qt.QImage:
    return _small(scicat.thumbnail(pid))


def _small(picture: str) -> Qt.QImage:
    """Runs in a thread. The picture scaled down to the size of the tool tip."""
    found = imaging.image(picture)
    if max(found.width(), found.height()) <= TOOLTIP_SIDE_PIXELS:
        return found
    return found.scaled(TOOLTIP_SIDE_PIXELS, TOOLTIP_SIDE_PIXELS, Qt.Qt.KeepAspectRatio, Qt.Qt.SmoothTransformation)
