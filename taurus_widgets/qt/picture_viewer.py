"""A window that shows pictures one at a time, at any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from taurus.external.qt import Qt

from taurus_widgets.qt import imaging
from taurus_widgets.qt.calls import Calls

FILE_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp"}
ZOOM_STEP = 1.25
MAX_ZOOM, MIN_ZOOM = 32.0, 0.02
"""Screen pixels per picture pixel."""


@dataclass(frozen=True)
class Picture:
    """A picture. `uri` is a `data:` URI; `says` is a note beside the caption, such as that it is not in SciCat yet."""

    uri: str
    caption: str = ""
    says: str = ""


class Canvas(Qt.QGraphicsView):
    """The picture: the wheel zooms where the mouse is, dragging moves it."""

    zoomed = Qt.Signal()

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.fitting = True
        self._shown = Qt.QGraphicsScene(self)
        self._item = self._shown.addPixmap(Qt.QPixmap())
        self.setScene(self._shown)
        self.setDragMode(self.ScrollHandDrag)
        self.setTransformationAnchor(self.AnchorUnderMouse)
        self.setFrameShape(Qt.QFrame.NoFrame)
        self.setBackgroundBrush(self.palette().window())
        self.setFocusPolicy(Qt.Qt.NoFocus)  # the window handles the keys

    def setImage(self, image: Qt.QImage) -> None:
        self._item.setPixmap(Qt.QPixmap.fromImage(image))
        self._shown.setSceneRect(self._item.boundingRect())
        self.fit()

    @property
    def zoom(self) -> float:
        """Pixels of the screen for one of the picture."""
        return float(self.transform().m11()) * self.devicePixelRatioF()

    def fit(self) -> None:
        """Show the whole picture, but not enlarged."""
        self.fitting = True
        area, size = self.viewport().rect(), self._item.boundingRect()
        if not size.isEmpty():
            whole = min(area.width() / size.width(), area.height() / size.height())
            self._scale(min(whole, 1 / self.devicePixelRatioF()))

    def zoomTo(self, zoom: float) -> None:
        self.fitting = False
        self._scale(min(max(zoom, MIN_ZOOM), MAX_ZOOM) / self.devicePixelRatioF())

    def _scale(self, scale: float) -> None:
        self.setTransform(Qt.QTransform.fromScale(scale, scale))
        # Enlarged pixels are shown as they were measured, without smoothing.
        smooth = Qt.Qt.SmoothTransformation if self.zoom < 1 else Qt.Qt.FastTransformation
        self._item.setTransformationMode(smooth)
        self.zoomed.emit()

    def wheelEvent(self, event: Qt.QWheelEvent) -> None:
        self.zoomTo(self.zoom * ZOOM_STEP ** (event.angleDelta().y() / 120))
        event.accept()

    def resizeEvent(self, event: Qt.QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.fitting:
            self.fit()


class PictureViewer(Qt.QDialog):
    """The window with the pictures. `calls` decodes them in another thread.

    Keys: Left and Right for the other pictures, + and - (or the wheel) for the size, 0 to fit, 1 for 1:1.
    """

    def __init__(self, title: str, calls: Calls, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self._calls = calls
        self._pictures: list[Picture] = []
        self._place = 0
        self._image = Qt.QImage()
        self.canvas = Canvas(self)
        self.canvas.zoomed.connect(self._showCaption)
        self.message = self._label()
        self.message.setAlignment(Qt.Qt.AlignCenter)
        self.caption = self._label()
        self.caption.setTextInteractionFlags(Qt.Qt.TextSelectableByMouse)
        self.back = self._button("", "Previous picture (Left)", "Left", lambda: self.go(-1))
        self.back.setArrowType(Qt.Qt.LeftArrow)
        self.on = self._button("", "Next picture (Right)", "Right", lambda: self.go(1))
        self.on.setArrowType(Qt.Qt.RightArrow)
        self.smaller = self._button("\u2212", "Smaller (-)", "-", lambda: self.zoom(self.canvas.zoom / ZOOM_STEP))
        self.larger = self._button("+", "Larger (+)", "+", lambda: self.zoom(self.canvas.zoom * ZOOM_STEP))
        self.fit = self._button("Fit", "Fit into the window (0)", "0", self.canvas.fit)
        self.full = self._button("1:1", "Original size (1)", "1", lambda: self.zoom(1))
        self.copy = self._button("Copy", "Copy the picture (Ctrl+C)", "Ctrl+C", self._copy)
        self.saveAs = self._button("Save as…", "Save the picture to a file (Ctrl+S)", "Ctrl+S", self._save)
        bar = Qt.QHBoxLayout()
        bar.addWidget(self.caption, 1)
        of_one = (self.smaller, self.larger, self.fit, self.full, self.copy, self.saveAs)
        for button in (self.back, self.on, *of_one):
            bar.addWidget(button)
        self._of_one = of_one
        layout = Qt.QVBoxLayout(self)
        layout.addWidget(self.canvas, 1)
        layout.addWidget(self.message, 1)
        layout.addLayout(bar)
        self.resize(900, 650)
        self.say("Reading")

    def _label(self) -> Qt.QLabel:
        label = Qt.QLabel(self)
        label.setTextFormat(Qt.Qt.PlainText)
        label.setWordWrap(True)
        return label

    def _button(self, text: str, tip: str, key: str, do: Callable[[], None]) -> Qt.QToolButton:
        button = Qt.QToolButton(self)
        button.setText(text)
        button.setToolTip(tip)
        button.clicked.connect(lambda: do())
        button.setFocusPolicy(Qt.Qt.NoFocus)
        Qt.QShortcut(Qt.QKeySequence(key), self, button.click)  # a button reacts to its own key only after 0.1 s
        return button

    # ------------------------------------------------------------------------ use

    @property
    def current(self) -> Picture | None:
        """The picture that is shown."""
        return self._pictures[self._place] if self._pictures else None

    def setPictures(self, pictures: Sequence[Picture], place: int = 0) -> None:
        """Show these pictures, the one at index `place` first."""
        self._pictures = list(pictures)
        self._place = min(max(place, 0), max(len(self._pictures) - 1, 0))
        if self._pictures:
            self._load()
        else:
            self.say("There is no picture.")

    def say(self, text: str) -> None:
        """Show a text in place of a picture."""
        self._image = Qt.QImage()
        self.canvas.hide()
        self.message.setText(text)
        self.message.show()
        self._showCaption()

    def go(self, by: int) -> None:
        place = self._place + by
        if 0 <= place < len(self._pictures):
            self._place = place
            self._load()

    def zoom(self, scale: float) -> None:
        """Pixels of the screen for one of the picture."""
        self.canvas.zoomTo(scale)

    # -------------------------------------------------------------------- private

    def _load(self) -> None:
        picture = self._pictures[self._place]
        self.say("Reading")
        self._calls.run(partial(imaging.image, picture.uri), partial(self._show, picture), self._failed, "picture")

    def _show(self, picture: Picture, image: Qt.QImage) -> None:
        if picture is not self.current:
            return
        if image.isNull():
            self._failed(None)
            return
        self._image = image
        self.message.hide()
        self.canvas.show()
        self.canvas.setImage(image)
        self._showCaption()

    def _failed(self, _error: Exception | None) -> None:
        self.say("This cannot be shown: it is not a picture, or its format is not supported.")

    def _showCaption(self) -> None:
        picture, parts = self.current, []
        if picture is not None:
            parts = [picture.caption, f"{self._place + 1} of {len(self._pictures)}"]
            if not self._image.isNull():
                parts += [f"{self._image.width()} by {self._image.height()}", f"{self.canvas.zoom * 100:.0f} %"]
            parts.append(picture.says)
        self.caption.setText("   ".join(filter(None, parts)))
        self.back.setEnabled(self._place > 0)
        self.on.setEnabled(self._place < len(self._pictures) - 1)
        for button in self._of_one:
            button.setEnabled(not self._image.isNull())

    def _copy(self) -> None:
        Qt.QApplication.clipboard().setImage(self._image)

    def _save(self) -> None:
        picture = self.current
        if picture is None:
            return
        head, _, body = picture.uri.partition(",")
        ending = FILE_SUFFIXES.get(head.removeprefix("data:").partition(";")[0], ".png")
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
