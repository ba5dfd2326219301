"""Pictures dropped on a row, pasted or from a file; thumbnails and the viewer."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.qt import imaging
from taurus_widgets.qt.calls import Calls
from taurus_widgets.qt.picture_viewer import Picture, PictureViewer
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.columns import Json
from tests.builders.scicat_datasets import scan
from tests.servers.catalogue import Catalogue
from tests.ui.accounts import INGESTOR
from tests.ui.catalogue_faults import failing
from tests.ui.cell_steps import cell, editing, place

Shown = Callable[[int], None]


def drawn(width: int = 40, height: int = 30, colour: str = "#0072b2") -> Qt.QImage:
    image = Qt.QImage(width, height, Qt.QImage.Format_RGB32)
    image.fill(Qt.QColor(colour))
    return image


def noise(side: int) -> Qt.QImage:
    """Noise, which no format can compress."""
    import numpy

    data = numpy.random.default_rng(1).integers(0, 256, (side, side, 4), dtype=numpy.uint8)
    return Qt.QImage(data.tobytes(), side, side, Qt.QImage.Format_RGB32).copy()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "beam <b>spot.png"
    assert drawn().save(str(path))
    return path


@pytest.fixture
def made(scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown) -> Json:
    dataset = scan(1, time.time() - 60, proposal=proposal)
    scicat.create_dataset(dataset)
    scanLog.setCatalogue(SciCat(scicat.base_url, INGESTOR.username, INGESTOR.password), proposal)
    shown(1)
    return dataset


def drop(log: ScanLog, data: Qt.QMimeData, where: Qt.QPoint) -> bool:
    """Drop like a file manager. Returns whether it was accepted."""
    viewport = log.table.viewport()
    actions, button, none = Qt.Qt.CopyAction, Qt.Qt.LeftButton, Qt.Qt.NoModifier
    Qt.QApplication.sendEvent(viewport, Qt.QDragEnterEvent(where, actions, data, button, none))
    moved = Qt.QDragMoveEvent(where, actions, data, button, none)
    Qt.QApplication.sendEvent(viewport, moved)
    dropped = Qt.QDropEvent(Qt.QPointF(where), actions, data, button, none)
    dropped.ignore()
    Qt.QApplication.sendEvent(viewport, dropped)
    return bool(dropped.isAccepted())


def urls(*paths: Path) -> Qt.QMimeData:
    data = Qt.QMimeData()
    data.setUrls([Qt.QUrl.fromLocalFile(str(path)) for path in paths])
    return data


class TestAdding:
    def test_files_are_dropped_on_a_row(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json, file: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other.jpg"
        assert drawn(colour="#c44e00").save(str(other))
        assert drop(scanLog, urls(file, other), place(scanLog, "title").center())
        qtbot.waitUntil(lambda: len(scicat.attachments(made["pid"])) == 2)
        captions = {each["caption"] for each in scicat.attachments(made["pid"])}
        assert captions == {"beam <b>spot.png", "other.jpg"}
        assert {each["ownerGroup"] for each in scicat.attachments(made["pid"])} == {made["ownerGroup"]}
        shown = imaging.image(next(each["thumbnail"] for each in scicat.attachments(made["pid"])))
        assert (shown.width(), shown.height()) == (40, 30)

    def test_a_waiting_picture_is_shown_in_its_cell(
        self, qtbot: QtBot, scanLog: ScanLog, catalogue: Catalogue, made: Json, file: Path
    ) -> None:
        with failing(catalogue, {"method": "POST", "path": "attachments", "do": "answer", "status": 503}):
            assert drop(scanLog, urls(file), place(scanLog, "title").center())

            def drawn_in_cell() -> bool:
                where = place(scanLog, "picture")
                colour = scanLog.table.viewport().grab(where).toImage().pixelColor(12, where.height() // 2)
                return bool(colour.name() == drawn().pixelColor(20, 15).name())

            qtbot.waitUntil(drawn_in_cell)
            assert [queued.edit.caption for queued in editing(scanLog).edits.pictures(made["pid"])] == [file.name]

    def test_a_drop_below_the_rows_is_refused(self, scanLog: ScanLog, made: Json, file: Path) -> None:
        assert not drop(scanLog, urls(file), Qt.QPoint(50, 400))

    def test_a_picture_is_pasted(self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json) -> None:
        Qt.QApplication.clipboard().setImage(drawn())
        scanLog.table.setCurrentIndex(scanLog.scans.index(0, 0))
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_V, Qt.Qt.ControlModifier)
        qtbot.waitUntil(lambda: len(scicat.attachments(made["pid"])) == 1)

    def test_a_file_is_chosen(self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json, file: Path) -> None:
        scanLog.table.setCurrentIndex(scanLog.scans.index(0, 0))
        next(action for action in scanLog.table.actions() if action.text().startswith("Add picture")).trigger()
        qtbot.waitUntil(lambda: bool(scanLog.findChildren(Qt.QFileDialog)))
        chooser = scanLog.findChildren(Qt.QFileDialog)[0]
        chooser.filesSelected.emit([str(file)])
        chooser.close()
        qtbot.waitUntil(lambda: len(scicat.attachments(made["pid"])) == 1)

    @pytest.mark.parametrize(
        ("name", "data", "why"),
        [
            ("a.txt", b"no picture", "a.txt is not a picture"),
            ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', "a.svg is not a picture"),
            ("a.png", b"\x89PNG\r\n\x1a\n broken", "a.png"),
        ],
    )
    def test_a_file_that_is_not_a_picture_is_refused_with_the_reason(
        self,
        qtbot: QtBot,
        scanLog: ScanLog,
        scicat: SciCat,
        made: Json,
        tmp_path: Path,
        name: str,
        data: bytes,
        why: str,
    ) -> None:
        path = tmp_path / name
        path.write_bytes(data)
        drop(scanLog, urls(path), place(scanLog, "title").center())
        qtbot.waitUntil(lambda: why in editing(scanLog).notice.label.text())
        assert scicat.attachments(made["pid"]) == []

    def test_it_is_kept_while_scicat_is_away_and_added_once(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, catalogue: Catalogue, made: Json, file: Path
    ) -> None:
        rules = [
            {"do": "cut", "method": "POST", "path": "/attachments$", "nth": 1},
            {"do": "answer_after", "status": 500, "method": "POST", "path": "/attachments$", "nth": 2},
        ]
        with failing(catalogue, *rules):
            drop(scanLog, urls(file), place(scanLog, "title").center())
            qtbot.waitUntil(lambda: "does not answer" in editing(scanLog).notice.label.text())
            assert [queued.edit.caption for queued in editing(scanLog).edits.pictures(made["pid"])] == [file.name]
            qtbot.waitUntil(lambda: not editing(scanLog).edits.unsent)
        assert len(scicat.attachments(made["pid"])) == 1


class TestShowing:
    def test_a_thumbnail_appears_and_the_viewer_shows_all_pictures(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        dataset = scan(1, time.time() - 60, proposal=proposal)
        scicat.create_dataset(dataset)
        for number, colour in enumerate(("#ff0000", "#00ff00")):
            uri = imaging.fromImage(drawn(colour=colour))
            scicat.attach(dataset["pid"], dataset["ownerGroup"], f"picture {number}", uri)
        scanLog.setCatalogue(SciCat(scicat.base_url, INGESTOR.username, INGESTOR.password), proposal)
        shown(1)

        def drawnInCell() -> bool:
            where = place(scanLog, "picture")
            colour = scanLog.table.viewport().grab(where).toImage().pixelColor(12, where.height() // 2)
            return colour.name() in ("#ff0000", "#00ff00")  # by the order of SciCat

        qtbot.waitUntil(drawnInCell)
        scanLog.table.setCurrentIndex(cell(scanLog, "picture"))
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_Return)
        viewer = editing(scanLog).thumbnails.viewer
        assert viewer is not None
        qtbot.waitUntil(lambda: "1 of 2" in viewer.caption.text())
        first = viewer.caption.text()
        with qtbot.waitActive(viewer):
            viewer.activateWindow()
        qtbot.keyClick(viewer, Qt.Qt.Key_Right)
        assert "2 of 2" in viewer.caption.text()
        assert {first[:9], viewer.caption.text()[:9]} == {"picture 0", "picture 1"}
        viewer.close()

    def test_the_viewer_fits_zooms_and_saves(self, qtbot: QtBot, tmp_path: Path) -> None:
        viewer = PictureViewer("Pictures", Calls())
        qtbot.addWidget(viewer)
        with qtbot.waitActive(viewer):
            viewer.show()
            viewer.activateWindow()
        uri = imaging.fromImage(drawn(3000, 1000))
        viewer.setPictures([Picture(uri, "../../etc/passwd.png"), Picture("data:text/html;base64,AAAA", "no picture")])
        qtbot.waitUntil(lambda: "3000 by 1000" in viewer.caption.text())
        assert round(viewer.canvas.zoom * 3000) <= viewer.canvas.viewport().width()
        qtbot.keyClick(viewer, Qt.Qt.Key_1)
        assert viewer.canvas.zoom == pytest.approx(1)
        qtbot.keyClick(viewer, Qt.Qt.Key_Minus)
        assert viewer.canvas.zoom == pytest.approx(0.8)
        qtbot.mouseClick(viewer.saveAs, Qt.Qt.LeftButton)
        chooser = viewer.findChildren(Qt.QFileDialog)[0]
        assert Path(chooser.selectedFiles()[0]).name == ".._.._etc_passwd.png".strip(" .").replace(".._.._", "_.._")
        chooser.fileSelected.emit(str(tmp_path / "saved.png"))
        chooser.close()
        assert imaging.fromFile(tmp_path / "saved.png") == uri
        qtbot.keyClick(viewer, Qt.Qt.Key_Right)
        qtbot.waitUntil(lambda: "cannot be shown" in viewer.message.text())


class TestImaging:
    def test_a_small_picture_is_sent_unchanged(self, tmp_path: Path) -> None:
        path = tmp_path / "a.gif"
        path.write_bytes(base64.b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw=="))
        assert imaging.fromFile(path) == imaging.uri(path.read_bytes(), "image/gif")

    def test_another_format_becomes_a_png(self, tmp_path: Path) -> None:
        path = tmp_path / "a.bmp"
        assert drawn().save(str(path))
        uri = imaging.fromFile(path)
        assert uri.startswith("data:image/png;base64,")
        assert imaging.image(uri).size() == Qt.QSize(40, 30)

    def test_a_picture_that_is_too_large_is_scaled_down(self) -> None:
        uri = imaging.fromImage(noise(2200))
        assert uri.startswith("data:image/jpeg;base64,")
        assert max(imaging.image(uri).width(), imaging.image(uri).height()) == imaging.MAX_SIDE_PIXELS

    def test_a_picture_with_too_many_pixels_is_not_read(self, tmp_path: Path) -> None:
        import struct
        import zlib

        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
        with pytest.raises(imaging.NoPicture, match="too large"):
            imaging.fromBytes(bomb)
        assert imaging.image(imaging.uri(bomb, "image/png")).isNull()

    @given(st.text() | st.binary().map(lambda data: imaging.uri(data, "image/png")))
    def test_no_text_of_a_catalogue_hurts(self, text: str) -> None:
        assert imaging.image(text).isNull()
