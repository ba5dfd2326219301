"""The pictures of a dataset: thumbnails, each of which opens in the viewer."""

from __future__ import annotations

from collections.abc import Sequence

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.qt import imaging
from taurus_widgets.qt.calls import Calls
from taurus_widgets.qt.layouts import tightColumn
from taurus_widgets.qt.painting import colours
from taurus_widgets.qt.picture_viewer import Picture, PictureViewer
from taurus_widgets.qt.state_line import StateLine
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data.columns import line

THUMBNAIL_SIZE = (160, 120)
"""Pixels of a thumbnail, before the scale of the screen."""

Thumbnail = tuple[Picture, Qt.QImage]
"""The image is null for what cannot be shown."""


def read_pictures(scicat: SciCat, pid: str, scale: float = 1.0) -> list[Thumbnail]:
    """The pictures of a dataset with thumbnails for a screen of this scale. For another thread. Raises SciCatError."""
    found = [Picture(str(one.get("thumbnail") or ""), line(one.get("caption"))) for one in scicat.attachments(pid)]
    return with_thumbnails(found, scale)


def with_thumbnails(pictures: Sequence[Picture], scale: float = 1.0) -> list[Thumbnail]:
    """The pictures with thumbnails. For another thread, because decoding is slow."""
    within = Qt.QSize(*THUMBNAIL_SIZE) * scale
    return [(picture, imaging.image(picture.uri, within)) for picture in pictures]


class PicturesView(Qt.QWidget):
    """Thumbnails with captions. It shows what it is given; `buttons` is for the buttons of features."""

    def __init__(self, calls: Calls, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._calls = calls
        self._pictures: list[Picture] = []
        self.viewer: PictureViewer | None = None
        """The open viewer, if there is one."""
        self.list = Qt.QListWidget(self)
        self.list.setViewMode(self.list.IconMode)
        self.list.setMovement(self.list.Static)
        self.list.setResizeMode(self.list.Adjust)
        self.list.setWordWrap(True)
        self.list.setFrameShape(Qt.QFrame.NoFrame)
        self.list.setSpacing(4)
        self.list.setIconSize(Qt.QSize(*THUMBNAIL_SIZE))
        room = self.fontMetrics().lineSpacing() * 2 + 16
        self.list.setGridSize(Qt.QSize(THUMBNAIL_SIZE[0] + 14, THUMBNAIL_SIZE[1] + room))
        self.list.itemActivated.connect(lambda item: self.openViewer(self.list.row(item)))
        self.state = StateLine(self)
        self.buttons = self.state.row
        layout = tightColumn(self)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.state)

    @property
    def pictures(self) -> list[Picture]:
        return list(self._pictures)

    def setPictures(self, thumbnails: Sequence[Thumbnail]) -> None:
        """Show these, in this order. The current picture stays current, also in the viewer."""
        pictures = [picture for picture, _ in thumbnails]
        if pictures == self._pictures:
            return
        row = self.list.currentRow()
        current = self._pictures[row] if row >= 0 else None
        self._pictures = pictures
        self.list.clear()
        for picture, image in thumbnails:
            self.list.addItem(self._item(picture, image))
        if current in pictures:
            self.list.setCurrentRow(pictures.index(current))
        if self.viewer is not None:
            seen = self.viewer.current
            self.viewer.setPictures(pictures, pictures.index(seen) if seen in pictures else 0)

    def openViewer(self, row: int) -> None:
        """Open the viewer at this picture."""
        if self.viewer is None:
            self.viewer = PictureViewer("Pictures", self._calls, self.window())
            self.viewer.setAttribute(Qt.Qt.WA_DeleteOnClose)
            self.viewer.finished.connect(self._closed)
        self.viewer.setPictures(self._pictures, row)
        self.viewer.show()
        self.viewer.activateWindow()

    def _closed(self) -> None:
        self.viewer = None

    def _item(self, picture: Picture, image: Qt.QImage) -> Qt.QListWidgetItem:
        caption = picture.caption or "No caption"
        lines = 1 if picture.says else 2
        short = self.fontMetrics().elidedText(caption, Qt.Qt.ElideRight, round(THUMBNAIL_SIZE[0] * (lines - 0.3)))
        item = Qt.QListWidgetItem("\n".join(filter(None, (short, picture.says))))
        item.setIcon(Qt.QIcon(self._icon(image)))
        item.setToolTip(tooltip("\n".join(filter(None, (caption, picture.says)))))
        item.setTextAlignment(Qt.Qt.AlignHCenter | Qt.Qt.AlignTop)
        return item

    def _icon(self, image: Qt.QImage) -> Qt.QPixmap:
        """The thumbnail centred in an icon of fixed size, or a frame with a text if there is none."""
        scale, area = self.devicePixelRatioF(), Qt.QRect(0, 0, *THUMBNAIL_SIZE)
        drawn = Qt.QPixmap(area.size() * scale)
        drawn.setDevicePixelRatio(scale)
        drawn.fill(Qt.Qt.transparent)
        painter = Qt.QPainter(drawn)
        if image.isNull():
            painter.setPen(Qt.QColor(colours(self.palette()).muted))
            painter.drawRect(area.adjusted(0, 0, -1, -1))
            painter.drawText(area, int(Qt.Qt.AlignCenter | Qt.Qt.TextWordWrap), "Cannot be shown")
        else:
            place = Qt.QRect(Qt.QPoint(), (Qt.QSizeF(image.size()) / scale).toSize())
            place.moveCenter(area.center())
            painter.drawImage(place, image)
        painter.end()
        return drawn
