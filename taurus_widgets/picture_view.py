"""The pictures of a dataset: thumbnails, each of which opens in a viewer."""

from __future__ import annotations

from collections.abc import Sequence

from taurus.external.qt import Qt

from taurus_widgets.calls import Calls
from taurus_widgets.images import THUMBNAIL, Picture
from taurus_widgets.model import tooltip
from taurus_widgets.painting import colours
from taurus_widgets.state_line import StateLine
from taurus_widgets.viewer import PictureViewer

PICTURE_ROLE = Qt.Qt.UserRole


class PicturesView(Qt.QWidget):
    """Thumbnails with captions. It shows what it is given; what adds pictures puts its buttons into `buttons`."""

    def __init__(self, calls: Calls, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._calls = calls
        self._viewer: PictureViewer | None = None
        self.list = Qt.QListWidget(self)
        self.list.setViewMode(self.list.IconMode)
        self.list.setMovement(self.list.Static)
        self.list.setResizeMode(self.list.Adjust)
        self.list.setWordWrap(True)
        self.list.setFrameShape(Qt.QFrame.NoFrame)
        self.list.setSpacing(6)
        self.list.setIconSize(Qt.QSize(*THUMBNAIL))
        metrics = self.fontMetrics()
        self.list.setGridSize(Qt.QSize(THUMBNAIL[0] + 16, THUMBNAIL[1] + metrics.lineSpacing() * 2 + 20))
        self.list.itemActivated.connect(lambda item: self.openViewer(self.list.row(item)))
        self.state = StateLine(self)
        self.buttons = self.state.row
        layout = Qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.state)

    @property
    def pictures(self) -> list[Picture]:
        found: list[Picture] = [self.list.item(row).data(PICTURE_ROLE) for row in range(self.list.count())]
        return found

    def setPictures(self, pictures: Sequence[Picture]) -> None:
        """These, in this order; the one that was current stays so."""
        if list(pictures) == self.pictures:
            return
        current = self.list.currentItem()
        key = current.data(PICTURE_ROLE).key if current is not None else ""
        self.list.clear()
        for picture in pictures:
            item = self._item(picture)
            self.list.addItem(item)
            if key and picture.key == key:
                self.list.setCurrentItem(item)
        if self._viewer is not None:
            self._viewer.setPictures(pictures)

    def openViewer(self, row: int) -> None:
        """Show this one large; from there one goes on to the others."""
        if self._viewer is None:
            self._viewer = PictureViewer(self._calls, self.window())
            self._viewer.shownChanged.connect(self.list.setCurrentRow)
            self._viewer.destroyed.connect(self._closed)
        self._viewer.setPictures(self.pictures)
        self._viewer.showPicture(row)
        self._viewer.show()
        self._viewer.activateWindow()

    def _closed(self) -> None:
        self._viewer = None

    def _item(self, picture: Picture) -> Qt.QListWidgetItem:
        caption = picture.caption or "No caption"
        item = Qt.QListWidgetItem(f"{caption}\n{picture.note}" if picture.note else caption)
        item.setIcon(Qt.QIcon(self._icon(picture)))
        item.setToolTip(tooltip("\n".join(filter(None, (caption, picture.note, picture.problem)))))
        item.setTextAlignment(Qt.Qt.AlignHCenter | Qt.Qt.AlignTop)
        item.setData(PICTURE_ROLE, picture)
        return item

    def _icon(self, picture: Picture) -> Qt.QPixmap:
        """The thumbnail in the middle of a frame, so that all have one size; or the reason why there is none."""
        scale = self.devicePixelRatioF()
        area = Qt.QRect(0, 0, *THUMBNAIL)
        drawn = Qt.QPixmap(area.size() * scale)
        drawn.setDevicePixelRatio(scale)
        drawn.fill(Qt.Qt.transparent)
        painter = Qt.QPainter(drawn)
        if picture.thumbnail is not None:
            image = picture.thumbnail
            size = image.size().scaled(area.size(), Qt.Qt.KeepAspectRatio) if _large(image, area, scale) else None
            place = Qt.QRect(Qt.QPoint(), size if size is not None else image.size() / scale)
            place.moveCenter(area.center())
            painter.setRenderHint(Qt.QPainter.SmoothPixmapTransform)
            painter.drawImage(place, image)
        else:
            painter.setPen(Qt.QColor(colours(self.palette()).problem))
            painter.drawRect(area.adjusted(0, 0, -1, -1))
            text = f"Not shown: {picture.problem}" if picture.problem else "Reading"
            painter.drawText(area.adjusted(6, 6, -6, -6), int(Qt.Qt.AlignCenter | Qt.Qt.TextWordWrap), text)
        painter.end()
        return drawn


def _large(image: Qt.QImage, area: Qt.QRect, scale: float) -> bool:
    return bool(image.width() > area.width() * scale or image.height() > area.height() * scale)
