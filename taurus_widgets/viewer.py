"""The pictures of one dataset, one at a time, as large as the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taurus.external.qt import Qt

from taurus_widgets import imaging

KINDS = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp"}
ZOOM = 1.25
MOST = 16.0
"""Times its own size."""


@dataclass(frozen=True)
class Picture:
    """`uri` is a `data:` URI; `says` is what is to be known of it beside its caption."""

    uri: str
    caption: str = ""
    says: str = ""


class PictureViewer(Qt.QDialog):
    """Left and Right for the others, + and - and the wheel for the size, 0 to fit, 1 for a pixel by pixel."""

    def __init__(self, title: str, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self._pictures: list[Picture] = []
        self._place = 0
        self._scale = 0.0  # 0: as it fits
        self._image = Qt.QImage()
        self.view = Qt.QLabel()
        self.view.setAlignment(Qt.Qt.AlignCenter)
        self.view.setTextFormat(Qt.Qt.PlainText)
        self.area = Qt.QScrollArea()
        self.area.setWidget(self.view)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(Qt.QFrame.NoFrame)
        self.area.viewport().installEventFilter(self)
        self.area.setFocusPolicy(Qt.Qt.NoFocus)
        self.caption = Qt.QLabel()
        self.caption.setTextFormat(Qt.Qt.PlainText)
        self.caption.setWordWrap(True)
        self.back = self._button("", "The one before (Left)", lambda: self.go(-1))
        self.back.setArrowType(Qt.Qt.LeftArrow)
        self.on = self._button("", "The next one (Right)", lambda: self.go(1))
        self.on.setArrowType(Qt.Qt.RightArrow)
        self.fit = self._button("Fit", "As large as the window (0)", lambda: self.zoom(0.0))
        self.full = self._button("1:1", "A pixel of the picture on one of the screen (1)", lambda: self.zoom(1.0))
        self.saveAs = self._button("Save as…", "Write the picture to a file (Ctrl+S)", self._save)
        bar = Qt.QHBoxLayout()
        bar.addWidget(self.caption, 1)
        for button in (self.back, self.on, self.fit, self.full, self.saveAs):
            bar.addWidget(button)
        layout = Qt.QVBoxLayout(self)
        layout.addWidget(self.area, 1)
        layout.addLayout(bar)
        for keys, do in (
            ("Left", lambda: self.go(-1)),
            ("Right", lambda: self.go(1)),
            ("+", lambda: self.zoom(self._now() * ZOOM)),
            ("-", lambda: self.zoom(self._now() / ZOOM)),
            ("0", lambda: self.zoom(0.0)),
            ("1", lambda: self.zoom(1.0)),
            ("Ctrl+S", self._save),
        ):
            Qt.QShortcut(Qt.QKeySequence(keys), self, do)
        self.resize(900, 650)
        self.say("Reading")

    def setPictures(self, pictures: Sequence[Picture], place: int = 0) -> None:
        """These, beginning with the one at `place`."""
        self._pictures = list(pictures)
        self._place = min(max(place, 0), max(len(self._pictures) - 1, 0))
        if self._pictures:
            self._load()
        else:
            self.say("There is no picture.")

    def say(self, text: str) -> None:
        """In the place of a picture."""
        self._image = Qt.QImage()
        self.view.setPixmap(Qt.QPixmap())
        self.view.setText(text)
        self.caption.clear()
        self._enable()

    def go(self, by: int) -> None:
        place = self._place + by
        if 0 <= place < len(self._pictures):
            self._place = place
            self._load()

    def zoom(self, scale: float) -> None:
        """0 for as it fits."""
        self._scale = min(scale, MOST)
        self._draw()

    # -------------------------------------------------------------------- private

    def _button(self, text: str, tip: str, do: object) -> Qt.QToolButton:
        button = Qt.QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        button.clicked.connect(do)
        return button

    def _load(self) -> None:
        picture = self._pictures[self._place]
        image = imaging.image(picture.uri)
        if image.isNull():
            self.say("This cannot be shown: it is no picture, or of a kind that is not known here.")
        self._image = image
        self._scale = 0.0
        size = f"{image.width()} by {image.height()}" if not image.isNull() else ""
        count = f"{self._place + 1} of {len(self._pictures)}"
        self.caption.setText("   ".join(filter(None, (picture.caption, count, size, picture.says))))
        self._enable()
        self._draw()

    def _enable(self) -> None:
        self.back.setEnabled(self._place > 0)
        self.on.setEnabled(self._place < len(self._pictures) - 1)
        for button in (self.fit, self.full, self.saveAs):
            button.setEnabled(not self._image.isNull())

    def _now(self) -> float:
        """The scale in use; one that fits makes nothing larger than it is."""
        if self._scale or self._image.isNull():
            return self._scale or 1.0
        room = self.area.viewport().size() * self.devicePixelRatioF()
        return min(room.width() / self._image.width(), room.height() / self._image.height(), 1.0)

    def _draw(self) -> None:
        if self._image.isNull():
            return
        scale = self._now()
        size = Qt.QSize(max(round(self._image.width() * scale), 1), max(round(self._image.height() * scale), 1))
        smooth = Qt.Qt.SmoothTransformation if scale < 1 else Qt.Qt.FastTransformation
        pixmap = Qt.QPixmap.fromImage(self._image.scaled(size, Qt.Qt.IgnoreAspectRatio, smooth))
        pixmap.setDevicePixelRatio(self.devicePixelRatioF())
        self.view.setPixmap(pixmap)

    def _save(self) -> None:
        if self._image.isNull():
            return
        picture = self._pictures[self._place]
        head, _, body = picture.uri.partition(",")
        ending = KINDS.get(head.removeprefix("data:").partition(";")[0], ".png")
        name = "".join(char if char.isalnum() or char in " -_." else "_" for char in picture.caption).strip(" .")
        stem = Path(name).stem or "picture"
        dialog = Qt.QFileDialog(self, "Save the picture")
        dialog.setAcceptMode(Qt.QFileDialog.AcceptSave)
        dialog.selectFile(stem + ending)
        dialog.fileSelected.connect(lambda path: self._write(Path(path), body))
        dialog.setAttribute(Qt.Qt.WA_DeleteOnClose)
        dialog.open()

    def _write(self, path: Path, body: str) -> None:
        try:
            path.write_bytes(imaging.decoded(body))
        except OSError as error:
            self.caption.setText(f"Not saved: {error.strerror or error}")

    def resizeEvent(self, event: Qt.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._draw()

    def eventFilter(self, watched: Qt.QObject, event: Qt.QEvent) -> bool:
        if event.type() == Qt.QEvent.Wheel and not self._image.isNull():
            self.zoom(self._now() * (ZOOM if event.angleDelta().y() > 0 else 1 / ZOOM))
            return True
        return False
