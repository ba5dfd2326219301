"""The detail pane as a user uses it, on a real catalogue and on one that fails."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from scifish.message import iso
from taurus_widgets.qt.calls import Calls
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.columns import column_of
from taurus_widgets.scanlog.details.files_page import SIZE, FilesPage
from taurus_widgets.scanlog.details.history_page import AFTER, BEFORE, WHAT, WHEN, WHO, HistoryPage
from taurus_widgets.scanlog.details.metadata_tree import NAME, VALUE
from taurus_widgets.scanlog.features.details import DetailPages, PicturesPage
from taurus_widgets.scanlog.parts.whole_value import WholeValue
from tests.builders.scicat_datasets import Json, scan
from tests.servers.catalogue import Catalogue
from tests.ui.accounts import INGESTOR
from tests.ui.catalogue_faults import failing
from tests.ui.held_catalogue import Held, answered
from tests.waiting import PATIENCE

Shown = Callable[[int], None]
SPECTRUM = [float(place) for place in range(200)]


def picture(width: int, height: int, colour: str) -> str:
    image = Qt.QImage(width, height, Qt.QImage.Format_RGB32)
    image.fill(Qt.QColor(colour))
    buffer = Qt.QBuffer()
    buffer.open(Qt.QIODevice.WriteOnly)
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(bytes(buffer.data())).decode()}"


def pages(log: ScanLog) -> DetailPages:
    return log.detailPages


def click(qtbot: QtBot, log: ScanLog, row: int, column: int = 1) -> None:
    """Click on the cell like a user."""
    place = log.table.visualRect(log.scans.index(row, column)).center()
    qtbot.mouseClick(log.table.viewport(), Qt.Qt.LeftButton, pos=place)


def press_tab(qtbot: QtBot, log: ScanLog, page: Qt.QWidget) -> None:
    bar = log.details.pages.tabBar()
    qtbot.mouseClick(bar, Qt.Qt.LeftButton, pos=bar.tabRect(log.details.pages.indexOf(page)).center())


def tab(log: ScanLog, page: Qt.QWidget) -> str:
    return str(log.details.pages.tabText(log.details.pages.indexOf(page))).replace("&", "")


def visible(tree: Qt.QTreeWidget) -> list[str]:
    """The names of the visible lines."""
    each = Qt.QTreeWidgetItemIterator(tree, Qt.QTreeWidgetItemIterator.NotHidden)
    found = []
    while each.value() is not None:
        if each.value().parent() is None or each.value().parent().isExpanded():
            found.append(each.value().text(NAME))
        each += 1
    return found


@pytest.fixture
def dataset(scicat: SciCat, proposal: str) -> Json:
    made = scan(7, time.time(), proposal=proposal)
    made["scientificMetadata"]["Detector"] = {"Spectrum": {"value": SPECTRUM, "unit": "ct"}}
    scicat.create_dataset(made)
    return made


@pytest.fixture
def log(qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, dataset: Json, shown: Shown) -> ScanLog:
    """A log with the dataset's details open."""
    scanLog.setCatalogue(scicat, proposal)
    shown(1)
    click(qtbot, scanLog, 0)
    qtbot.waitUntil(lambda: scanLog.details.tree.topLevelItemCount() > 0)
    return scanLog


class TestSearch:
    def test_it_finds_names_values_and_units_while_typing(self, qtbot: QtBot, log: ScanLog) -> None:
        metadata = log.details.metadata
        qtbot.keyClick(log.table, Qt.Qt.Key_D, Qt.Qt.AltModifier)
        assert metadata.search.hasFocus()
        qtbot.keyClicks(metadata.search, "Temp")
        assert visible(metadata.tree) == ["Sample environment", "Temperature"]
        assert metadata.count.text() == "1 found"
        qtbot.keyClick(metadata.search, Qt.Qt.Key_A, Qt.Qt.ControlModifier)
        qtbot.keyClicks(metadata.search, "mm")
        assert visible(metadata.tree) == ["Optics", "Slit gap"]
        qtbot.keyClick(metadata.search, Qt.Qt.Key_A, Qt.Qt.ControlModifier)
        qtbot.keyClicks(metadata.search, "optics 12.65")
        assert visible(metadata.tree) == ["Optics", "Energy"]

    def test_esc_shows_all_again_and_only_then_closes(self, qtbot: QtBot, log: ScanLog) -> None:
        metadata = log.details.metadata
        everything = visible(metadata.tree)
        qtbot.keyClick(log.table, Qt.Qt.Key_D, Qt.Qt.AltModifier)
        qtbot.keyClicks(metadata.search, "nothing has this")
        assert visible(metadata.tree) == []
        assert metadata.count.text() == "0 found"
        qtbot.keyClick(metadata.search, Qt.Qt.Key_Escape)
        assert log.details.isVisible()
        assert visible(metadata.tree) == everything
        qtbot.keyClick(metadata.search, Qt.Qt.Key_Escape)
        assert not log.details.isVisible()

    def test_enter_goes_to_the_next_match(self, qtbot: QtBot, log: ScanLog) -> None:
        metadata = log.details.metadata
        metadata.search.setFocus()
        qtbot.keyClicks(metadata.search, "machine")
        seen = []
        for _ in range(4):
            qtbot.keyClick(metadata.search, Qt.Qt.Key_Return)
            seen.append(metadata.tree.currentItem().text(NAME))
        assert seen == ["Ring current", "Lifetime", "Orbit", "Ring current"]
        qtbot.keyClick(metadata.search, Qt.Qt.Key_Return, Qt.Qt.ShiftModifier)
        assert metadata.tree.currentItem().text(NAME) == "Orbit"

    def test_the_extras_of_a_value_are_found(self, qtbot: QtBot, log: ScanLog) -> None:
        metadata = log.details.metadata
        qtbot.keyClicks(metadata.search, "305.98")
        assert visible(metadata.tree) == ["Sample environment", "Temperature", "mean"]

    def test_a_group_that_is_closed_stays_so_after_a_search(self, qtbot: QtBot, log: ScanLog) -> None:
        metadata = log.details.metadata
        optics = next(item for item in metadata._items() if item.text(NAME) == "Optics")
        optics.setExpanded(False)
        qtbot.keyClicks(metadata.search, "shutter")
        assert "Shutter" in visible(metadata.tree)
        qtbot.keyClick(metadata.search, Qt.Qt.Key_Escape)
        assert "Shutter" not in visible(metadata.tree)
        assert "Energy" not in visible(metadata.tree)

    def test_the_search_stays_for_the_next_row(
        self, qtbot: QtBot, log: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        scicat.create_dataset(scan(8, time.time() + 1, proposal=proposal))
        shown(2)
        qtbot.keyClicks(log.details.metadata.search, "lifetime")
        click(qtbot, log, 0)
        qtbot.waitUntil(lambda: visible(log.details.tree) == ["Machine", "Lifetime"])

    def test_a_list_is_a_summary_and_whole_on_demand(self, qtbot: QtBot, log: ScanLog) -> None:
        tree = log.details.tree
        item = next(item for item in log.details.metadata._items() if item.text(NAME) == "Spectrum")
        assert item.text(VALUE) == "200 values, 0 to 199"
        tree.setCurrentItem(item)
        qtbot.keyClick(tree, Qt.Qt.Key_Return)
        (whole,) = log.findChildren(WholeValue)
        assert whole.heading.text() == "Spectrum, 200 values, in ct"
        assert whole.text.toPlainText().splitlines()[-1] == "199"
        qtbot.mouseClick(whole.copy, Qt.Qt.LeftButton)
        assert len(Qt.QApplication.clipboard().text().splitlines()) == 200
        qtbot.keyClick(whole, Qt.Qt.Key_Escape)

    def test_lines_are_copied(self, qtbot: QtBot, log: ScanLog) -> None:
        tree = log.details.tree
        tree.setFocus()
        tree.setCurrentItem(next(item for item in log.details.metadata._items() if item.text(NAME) == "Ring current"))
        qtbot.keyClick(tree, Qt.Qt.Key_C, Qt.Qt.ControlModifier)
        assert Qt.QApplication.clipboard().text() == "Ring current\t500.12\tmA"


class TestFiles:
    def add(self, scicat: SciCat, pid: str, first: int, count: int) -> None:
        files = [
            {"path": f"eiger-{number:06d}.h5", "size": 1_234_567, "time": iso(1.7e9 + number)}
            for number in range(first, first + count)
        ]
        scicat.add_files(pid, files)

    def test_thousands_are_read_while_scrolling(
        self, qtbot: QtBot, log: ScanLog, scicat: SciCat, dataset: Json
    ) -> None:
        page: FilesPage = pages(log).files
        for block in range(12):
            self.add(scicat, dataset["pid"], block * 500, 500)
        qtbot.waitUntil(lambda: tab(log, page) == "Files 6,000")
        assert page.files.rowCount() == 0  # nothing has been shown yet
        press_tab(qtbot, log, page)
        qtbot.waitUntil(lambda: page.files.rowCount() > 0)
        first = page.files.rowCount()
        assert 0 < first < 6_000
        assert page.state.label.text() == f"{first:,} of 6,000 files: scroll down for more"
        assert page.folder.text() == dataset["sourceFolder"]
        assert page.files.index(0, SIZE).data() == "1.23 MB"
        bar = page.table.verticalScrollBar()

        def at_the_end() -> bool:
            bar.setValue(bar.maximum())
            return page.files.rowCount() == 6_000

        qtbot.waitUntil(at_the_end)
        qtbot.waitUntil(lambda: page.state.label.text() == "6,000 files")
        names = {page.files.path(row) for row in range(6_000)}
        assert len(names) == 6_000

    def test_whole_paths_are_copied(self, qtbot: QtBot, log: ScanLog, scicat: SciCat, dataset: Json) -> None:
        page = pages(log).files
        self.add(scicat, dataset["pid"], 1, 2)
        press_tab(qtbot, log, page)
        qtbot.waitUntil(lambda: page.files.rowCount() == 2)
        page.table.setFocus()
        qtbot.keyClick(page.table, Qt.Qt.Key_A, Qt.Qt.ControlModifier)
        qtbot.keyClick(page.table, Qt.Qt.Key_C, Qt.Qt.ControlModifier)
        folder = dataset["sourceFolder"]
        assert Qt.QApplication.clipboard().text() == f"{folder}/eiger-000001.h5\n{folder}/eiger-000002.h5"

    def test_no_files_are_reported(self, qtbot: QtBot, log: ScanLog) -> None:
        page = pages(log).files
        press_tab(qtbot, log, page)
        qtbot.waitUntil(lambda: page.state.label.text() == "No files are recorded")

    def test_a_failure_is_reported_and_retried(
        self, qtbot: QtBot, log: ScanLog, scicat: SciCat, catalogue: Catalogue, dataset: Json
    ) -> None:
        page = pages(log).files
        self.add(scicat, dataset["pid"], 1, 3)
        with failing(catalogue, {"do": "answer", "status": 503, "path": "origdatablocks"}):
            press_tab(qtbot, log, page)
            qtbot.waitUntil(lambda: "cannot be read: SciCat reports an internal error" in page.state.label.text())
        qtbot.mouseClick(page.state.button, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: page.files.rowCount() == 3)
        assert not page.state.button.isVisible()

    def test_without_the_right_to_list_all_blocks_those_of_the_dataset_are_read(
        self, qtbot: QtBot, log: ScanLog, scicat: SciCat, catalogue: Catalogue, dataset: Json
    ) -> None:
        page = pages(log).files
        self.add(scicat, dataset["pid"], 1, 3)
        with failing(catalogue, {"do": "answer", "status": 403, "path": "^/api/v3/origdatablocks$"}):
            press_tab(qtbot, log, page)
            qtbot.waitUntil(lambda: page.files.rowCount() == 3)

    def test_the_window_responds_while_the_catalogue_hangs(
        self, qtbot: QtBot, scanLog: ScanLog, catalogue: Catalogue, proposal: str, dataset: Json, shown: Shown
    ) -> None:
        held = Held(catalogue)
        scanLog.setCatalogue(held, proposal)
        shown(1)
        with held.held(lambda method, path: "origdatablocks" in path or "attachments" in path):
            click(qtbot, scanLog, 0)
            qtbot.waitUntil(lambda: scanLog.details.tree.topLevelItemCount() > 0)
            press_tab(qtbot, scanLog, pages(scanLog).files)
            qtbot.waitUntil(lambda: held.waiting > 0)
            qtbot.keyClick(scanLog.table, Qt.Qt.Key_D, Qt.Qt.AltModifier)
            qtbot.keyClicks(scanLog.details.metadata.search, "energy")
            assert "Energy" in visible(scanLog.details.tree)


class TestPictures:
    @pytest.fixture
    def page(self, qtbot: QtBot, log: ScanLog, scicat: SciCat, dataset: Json) -> PicturesPage:
        scicat.attach(dataset["pid"], dataset["ownerGroup"], "the <b>plot</b>", picture(400, 300, "#0072b2"))
        scicat.attach(dataset["pid"], dataset["ownerGroup"], "the sample", picture(30, 20, "#c44e00"))
        scicat.attach(dataset["pid"], dataset["ownerGroup"], "no picture", "data:image/png;base64,AAAA")
        page = pages(log).pictures
        page.reload()
        qtbot.waitUntil(lambda: tab(log, page) == "Pictures 3")
        press_tab(qtbot, log, page)
        return page

    def test_they_are_counted_on_the_tab_and_open_large(self, qtbot: QtBot, log: ScanLog, page: PicturesPage) -> None:
        place = page.list.visualItemRect(page.list.item(0)).center()
        qtbot.mouseClick(page.list.viewport(), Qt.Qt.LeftButton, pos=place)
        qtbot.mouseDClick(page.list.viewport(), Qt.Qt.LeftButton, pos=place)
        viewer = page.viewer
        assert viewer is not None
        qtbot.waitUntil(lambda: "400 by 300" in viewer.caption.text())
        assert viewer.caption.text().startswith("the <b>plot</b>   1 of 3")
        assert not viewer.back.isEnabled()
        qtbot.keyClick(viewer, Qt.Qt.Key_Right)
        qtbot.waitUntil(lambda: "30 by 20" in viewer.caption.text())
        assert "100 %" in viewer.caption.text()  # never enlarged
        qtbot.keyClick(viewer, Qt.Qt.Key_Right)
        qtbot.waitUntil(lambda: "cannot be shown" in viewer.message.text())
        assert not viewer.saveAs.isEnabled()
        qtbot.keyClick(viewer, Qt.Qt.Key_Escape)
        assert page.viewer is None

    def test_it_zooms_by_keyboard_and_wheel(self, qtbot: QtBot, page: PicturesPage) -> None:
        page.list.setCurrentRow(0)
        page.list.setFocus()
        qtbot.keyClick(page.list, Qt.Qt.Key_Return)
        viewer = page.viewer
        assert viewer is not None
        qtbot.waitUntil(lambda: "400 by 300" in viewer.caption.text())
        qtbot.keyClick(viewer, Qt.Qt.Key_1)
        assert viewer.canvas.zoom == pytest.approx(1)
        qtbot.keyClick(viewer, Qt.Qt.Key_Plus)
        assert viewer.canvas.zoom == pytest.approx(1.25)
        qtbot.keyClick(viewer, Qt.Qt.Key_Minus)
        qtbot.keyClick(viewer, Qt.Qt.Key_Minus)
        assert viewer.canvas.zoom == pytest.approx(0.8)
        middle = Qt.QPointF(viewer.canvas.viewport().rect().center())
        wheel = Qt.QWheelEvent(
            middle,
            Qt.QPointF(viewer.canvas.viewport().mapToGlobal(middle.toPoint())),
            Qt.QPoint(),
            Qt.QPoint(0, 120),
            Qt.Qt.NoButton,
            Qt.Qt.NoModifier,
            Qt.Qt.NoScrollPhase,
            False,
        )
        Qt.QApplication.sendEvent(viewer.canvas.viewport(), wheel)
        assert viewer.canvas.zoom == pytest.approx(1)
        for _ in range(40):
            qtbot.keyClick(viewer, Qt.Qt.Key_Plus)
        assert viewer.canvas.zoom == pytest.approx(32)
        qtbot.keyClick(viewer, Qt.Qt.Key_0)
        assert viewer.canvas.zoom == pytest.approx(1)
        viewer.close()

    def test_a_failure_is_reported_and_retried(
        self, qtbot: QtBot, log: ScanLog, catalogue: Catalogue, page: PicturesPage
    ) -> None:
        with failing(catalogue, {"do": "cut", "path": "attachments"}):
            page.reload()
            qtbot.waitUntil(lambda: "cannot be read: SciCat does not answer" in page.state.label.text())
        assert len(page.pictures) == 3
        qtbot.mouseClick(page.state.button, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: page.state.label.text() == "")


class TellingServer:
    """The real server's `GET /api/v3/history` in front of a catalogue that has none."""

    def __init__(self, url: str) -> None:
        self.items: list[Json] = []
        self.status = 200
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += self.path.startswith("/api/v3/history?")
                history = {"items": outer.items, "totalCount": len(outer.items)}
                self._send(outer.status, history if outer.status == 200 else {"message": "Forbidden resource"})

            def do_POST(self) -> None:
                self._send(201, {"access_token": "token"})

            def _send(self, status: int, answer: object) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TestHistory:
    def test_the_creator_and_the_last_editor_are_shown(
        self, qtbot: QtBot, log: ScanLog, scicat: SciCat, catalogue: Catalogue, dataset: Json
    ) -> None:
        page: HistoryPage = pages(log).history
        press_tab(qtbot, log, page)
        if catalogue.process is None:  # what a given SciCat has of the changes is a matter of TRACKABLES
            qtbot.waitUntil(lambda: len(page.stamps.text().splitlines()) == 2)
        else:
            qtbot.waitUntil(lambda: "does not report single changes" in page.state.label.text())
        created, changed = page.stamps.text().splitlines()
        assert created.startswith("Created 20")
        assert changed.startswith("Last changed 20")
        assert all(text.endswith(f"by {INGESTOR.username}") for text in (created, changed))

    @pytest.fixture
    def server(self, catalogue: Catalogue) -> Iterator[TellingServer]:
        server = TellingServer(catalogue.url)
        yield server
        server.stop()

    @pytest.fixture
    def calls(self) -> Iterator[Calls]:
        found = Calls()
        yield found
        found.stop()

    @pytest.fixture
    def page(self, qtbot: QtBot, server: TellingServer, calls: Calls) -> HistoryPage:
        scicat = SciCat(server.url, "user", "password", timeout=PATIENCE)
        page = HistoryPage(calls, lambda: scicat)
        qtbot.addWidget(page)
        page.resize(700, 300)
        page.show()
        return page

    def test_the_changes_that_the_server_reports(self, qtbot: QtBot, server: TellingServer, page: HistoryPage) -> None:
        server.items = [
            {
                "timestamp": iso(1.7e9),
                "user": "ada",
                "before": {"comment": "", "dataQualityMetrics": 1, "updatedAt": "1"},
                "after": {"comment": "<b>good</b>", "dataQualityMetrics": 2.5, "updatedAt": "2"},
            },
            {"timestamp": iso(1.6e9), "user": "ben", "before": {"a": {"b": 1}}, "after": {"a": {"b": [2] * 100}}},
        ]
        page.setDataset({"pid": "p/1", "updatedAt": "2"})
        qtbot.waitUntil(lambda: page.table.rowCount() == 3)

        def texts(row: int) -> list[str]:
            return [page.table.item(row, column).text() for column in (WHO, WHAT, BEFORE, AFTER)]

        assert texts(0) == ["ada", "Comment", "(empty)", "<b>good</b>"]
        assert texts(1) == ["", "Rating", "1", "2.5"]
        assert texts(2) == ["ben", "a / b", "1", "100 values, 2 to 2"]
        assert page.table.item(0, WHEN).text().startswith("14 Nov") or page.table.item(0, WHEN).text().startswith("15")
        assert page.state.label.text() == "2 changes"
        page.table.setCurrentCell(2, AFTER)
        page.table.setFocus()
        qtbot.keyClick(page.table, Qt.Qt.Key_Return)
        (whole,) = page.findChildren(WholeValue)
        assert whole.text.toPlainText().count("2") == 100
        whole.close()

    def test_without_the_right_to_see_them_the_reason_is_shown_and_they_are_not_requested_again(
        self, qtbot: QtBot, server: TellingServer, page: HistoryPage, calls: Calls
    ) -> None:
        server.status = 403
        page.setDataset({"pid": "p/1", "updatedAt": "2"})
        qtbot.waitUntil(lambda: "to administrators only" in page.state.label.text())
        asked = server.asked
        page.setDataset({"pid": "p/2", "updatedAt": "2"})
        assert "to administrators only" in page.state.label.text()
        answered(qtbot, calls)
        assert server.asked == asked

    def test_the_history_in_the_dataset_needs_no_call(self, server: TellingServer, page: HistoryPage) -> None:
        history = [
            {"updatedAt": iso(1.7e9), "updatedBy": "ada", "comment": {"previousValue": "a", "currentValue": "b"}}
        ]
        page.setDataset({"pid": "p/1", "updatedAt": "2", "history": history})
        assert page.table.item(0, AFTER).text() == "b"
        assert server.asked == 0


class TestScicatLink:
    @pytest.fixture
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The addresses that the desktop is asked to open: there is no desktop here."""
        asked: list[str] = []
        monkeypatch.setattr(
            Qt.QDesktopServices, "openUrl", lambda url: asked.append(bytes(url.toEncoded()).decode()) or True
        )
        return asked

    def test_by_key_by_button_and_in_the_menu(
        self, qtbot: QtBot, log: ScanLog, dataset: Json, opened: list[str]
    ) -> None:
        part = log.scicatLink
        log.setFrontend("https://scicat.example.org/")
        page = f"https://scicat.example.org/datasets/{dataset['pid'].replace('/', '%2F')}"
        qtbot.keyClick(log.table, Qt.Qt.Key_B, Qt.Qt.ControlModifier)
        qtbot.mouseClick(part.button, Qt.Qt.LeftButton)
        assert part.open in log.table.actions()
        part.open.trigger()
        assert opened == [page] * 3
        part.copy.trigger()
        assert Qt.QApplication.clipboard().text() == page

    def test_as_a_column(self, qtbot: QtBot, log: ScanLog, dataset: Json, opened: list[str]) -> None:
        log.setColumns([*log.shownColumns(), column_of("page")])
        place = [column.key for column in log.scans.columns].index("page")
        assert log.scans.index(0, place).data().endswith(f"/datasets/{dataset['pid'].replace('/', '%2F')}")
        log.table.scrollTo(log.scans.index(0, place))
        click(qtbot, log, 0, place)
        assert opened == [log.scans.index(0, place).data()]
        log.setFrontend("https://scicat.example.org")
        assert log.scans.index(0, place).data().startswith("https://scicat.example.org/datasets/")

    def test_without_a_browser_the_address_is_shown(
        self, qtbot: QtBot, log: ScanLog, dataset: Json, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Qt.QDesktopServices, "openUrl", lambda url: False)
        qtbot.keyClick(log.table, Qt.Qt.Key_B, Qt.Qt.ControlModifier)
        (box,) = log.findChildren(Qt.QMessageBox)
        assert "/datasets/" in box.text()
        box.close()

    def test_a_wrong_address_in_the_environment_is_named(self, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SCIZOO_SCICAT_FRONTEND", "scicat.example.org")
        with pytest.raises(ValueError, match="SCIZOO_SCICAT_FRONTEND"):
            ScanLog()
