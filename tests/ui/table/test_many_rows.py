"""More rows than are read: the rows on the screen are there, and they do not move."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from deploy.demo.processes import Processes
from ingest.scicat import SciCat, SciCatError
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.pages import ROWS_PER_PAGE, Pages
from taurus_widgets.scanlog.data.query import DatasetQuery, QueryCondition, Relation
from taurus_widgets.scanlog.table import loader
from tests.benchmarks.filled import dataset, fill
from tests.builders.scicat_datasets import Json, scan, scan_group
from tests.servers.catalogue import Catalogue, start_catalogue
from tests.ui.held_catalogue import Held
from tests.waiting import PATIENCE

pytestmark = pytest.mark.first

COUNT = 6000
END = 1_750_000_000.0
RUNNUMBER, POINTS, SAMPLE = "Scan", "Points", "Sample"


class Counting(Held):
    """A client that counts its calls, and can be held or unavailable."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(catalogue)
        self.skips: list[int] = []
        self.away = False

    def datasets(
        self,
        where: Json | None = None,
        fields: list[str] | None = None,
        order: str = "creationTime:desc",
        limit: int = 100,
        skip: int = 0,
    ) -> list[Json]:
        if limit == ROWS_PER_PAGE:
            self.skips.append(skip)
        if self.away:
            raise SciCatError("GET", 0, "no answer")
        return super().datasets(where, fields, order, limit, skip)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A catalogue of its own with this number of datasets."""
    folder = tmp_path_factory.mktemp("full")
    fill(folder, COUNT, END)
    with Processes(tmp_path_factory.mktemp("logs")) as processes:
        yield start_catalogue(processes, folder)


@pytest.fixture
def counting(catalogue: Catalogue) -> Counting:
    return Counting(catalogue)


@pytest.fixture
def log(qtbot: QtBot, scanLog: ScanLog, counting: Counting) -> ScanLog:
    """A log with all rows of the catalogue."""
    scanLog.setCatalogue(counting)
    qtbot.waitUntil(lambda: scanLog.scans.rowCount() >= COUNT)
    return scanLog


_number = iter(range(COUNT, 10**6))


def new(back: float = 0.0, **fields: object) -> Json:
    """A new scan, later than all others, or this number of seconds earlier."""
    number = next(_number)
    return dataset(number, END + number - back, "20300001", **fields)


def cell(log: ScanLog, row: int, title: str) -> str | None:
    place = next((place for place, column in enumerate(log.scans.columns) if column.title == title), -1)
    text = log.scans.index(row, place).data()
    return None if text is None else str(text)


def top(log: ScanLog) -> int:
    return int(log.table.verticalScrollBar().value())


def onScreen(log: ScanLog) -> list[str | None]:
    return [cell(log, row, RUNNUMBER) for row in log.table.shownRows()]


def waitForRows(qtbot: QtBot, log: ScanLog) -> list[str | None]:
    qtbot.waitUntil(lambda: log.table.shownRows() and None not in onScreen(log))
    return onScreen(log)


def header(log: ScanLog, title: str) -> Qt.QPoint:
    place = [column.title for column in log.scans.columns].index(title)
    bar = log.table.horizontalHeader()
    return Qt.QPoint(bar.sectionViewportPosition(place) + bar.sectionSize(place) // 2, bar.height() // 2)


def clickHeader(qtbot: QtBot, log: ScanLog, title: str) -> None:
    qtbot.mouseClick(log.table.horizontalHeader().viewport(), Qt.Qt.LeftButton, pos=header(log, title))


def sorts(qtbot: QtBot, log: ScanLog) -> None:
    """Wait until the requested order is shown."""

    def done() -> bool:
        pages = log.loader.pages
        return pages is not None and pages.query is log.query and log.scans.rowCount() >= pages.count()

    qtbot.waitUntil(done)
    waitForRows(qtbot, log)


class TestPlaces:
    def test_all_are_counted_and_few_are_read(self, qtbot: QtBot, log: ScanLog) -> None:
        numbers = waitForRows(qtbot, log)
        assert numbers == [str(int(numbers[0] or 0) - row) for row in range(len(numbers))]
        assert len(log.scans.loadedRows()) <= 3 * ROWS_PER_PAGE
        assert log.statusBar.rows.text().startswith(f"{log.scans.rowCount():,} scans")

    def test_the_status_bar_shows_that_rows_are_being_counted(
        self, qtbot: QtBot, log: ScanLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counted = threading.Event()

        def slow(pages: Pages, bound: Json | None = None) -> int:
            counted.wait(PATIENCE)
            return 300

        monkeypatch.setattr(Pages, "count", slow)
        log.setQuery(replace(log.query, status=("failed",)))
        qtbot.waitUntil(lambda: log.statusBar.rows.text().startswith(f"more than {ROWS_PER_PAGE} scans"))
        assert log.scans.rowCount() == ROWS_PER_PAGE
        counted.set()
        qtbot.waitUntil(lambda: log.statusBar.rows.text().startswith("300 scans"))
        assert log.scans.rowCount() == 300

    def test_any_position_is_there_at_once_and_filled_soon(
        self, qtbot: QtBot, log: ScanLog, counting: Counting
    ) -> None:
        first = int(waitForRows(qtbot, log)[0] or 0)
        with counting.held():
            log.table.verticalScrollBar().setValue(3456)
            log.table.repaint()
            assert set(onScreen(log)) == {None}
        assert waitForRows(qtbot, log)[0] == str(first - 3456)

    def test_the_end_by_keyboard(self, qtbot: QtBot, log: ScanLog) -> None:
        waitForRows(qtbot, log)
        log.table.setFocus()
        qtbot.keyClick(log.table, Qt.Qt.Key_End)
        assert waitForRows(qtbot, log)[-1] == "0"
        qtbot.waitUntil(lambda: log.details.tree.topLevelItemCount() > 0)
        qtbot.keyClick(log.table, Qt.Qt.Key_Home)
        assert top(log) == 0

    def test_rows_scrolled_past_are_not_requested(self, qtbot: QtBot, log: ScanLog, counting: Counting) -> None:
        waitForRows(qtbot, log)
        counting.skips.clear()
        with counting.held():
            for place in range(200, 5800, 50):
                log.table.verticalScrollBar().setValue(place)
                Qt.QApplication.processEvents()
            qtbot.waitUntil(lambda: len(counting.skips) >= loader.MAX_PAGE_CALLS)
        waitForRows(qtbot, log)
        assert top(log) == 5750
        # Those in progress, and the pages at the end and one screen further.
        assert len(counting.skips) <= loader.MAX_PAGE_CALLS + 3

    def test_memory_is_bounded(self, qtbot: QtBot, log: ScanLog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loader, "MAX_PAGES", 4)
        first = int(waitForRows(qtbot, log)[0] or 0)
        for place in range(0, 1000, ROWS_PER_PAGE):
            log.table.verticalScrollBar().setValue(place)
            assert waitForRows(qtbot, log)[0] == str(first - place)
        assert len(log.scans.loadedRows()) <= loader.MAX_PAGES * ROWS_PER_PAGE
        log.table.verticalScrollBar().setValue(0)
        assert waitForRows(qtbot, log)[0] == str(first)

    def test_selected_rows_are_kept(self, qtbot: QtBot, log: ScanLog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loader, "MAX_PAGES", 4)
        first = int(waitForRows(qtbot, log)[0] or 0)
        middle = log.table.visualRect(log.scans.index(3, 4)).center()
        qtbot.mouseClick(log.table.viewport(), Qt.Qt.LeftButton, pos=middle)
        log.table.verticalScrollBar().setValue(4000)
        waitForRows(qtbot, log)
        far = log.table.visualRect(log.scans.index(4002, 4)).center()
        qtbot.mouseClick(log.table.viewport(), Qt.Qt.LeftButton, Qt.Qt.ControlModifier, pos=far)
        for place in range(1000, 2000, ROWS_PER_PAGE):
            log.table.verticalScrollBar().setValue(place)
            waitForRows(qtbot, log)
        assert len(log.scans.loadedRows()) < 1000
        assert [one["runNumber"] for one in log.selectedDatasets()] == [str(first - 3), str(first - 4002)]
        assert log.selectedRanges() == [range(3, 4), range(4002, 4003)]

    def test_all_can_be_selected(self, qtbot: QtBot, log: ScanLog) -> None:
        waitForRows(qtbot, log)
        qtbot.keyClick(log.table, Qt.Qt.Key_A, Qt.Qt.ControlModifier)
        assert log.selectedRanges() == [range(log.scans.rowCount())]

    def test_another_column_is_filled_for_the_rows_on_the_screen(self, qtbot: QtBot, log: ScanLog) -> None:
        waitForRows(qtbot, log)
        log.table.verticalScrollBar().setValue(2000)
        waitForRows(qtbot, log)
        log.addColumn("Machine/Lifetime")
        qtbot.waitUntil(lambda: bool(cell(log, 2001, "Lifetime (h)")))
        assert top(log) == 2000

    def test_failed_requests_are_retried(
        self, qtbot: QtBot, log: ScanLog, counting: Counting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = int(waitForRows(qtbot, log)[0] or 0)
        counting.away = True
        log.table.verticalScrollBar().setValue(2500)
        qtbot.waitUntil(lambda: "does not answer" in log.statusBar.connection.text())
        assert set(onScreen(log)) == {None}
        counting.away = False
        assert waitForRows(qtbot, log)[0] == str(first - 2500)


class TestLive:
    def test_new_rows_do_not_move_what_is_far_below(self, qtbot: QtBot, log: ScanLog, scicat: SciCat) -> None:
        waitForRows(qtbot, log)
        log.table.verticalScrollBar().setValue(3000)
        looked_at, count = waitForRows(qtbot, log), log.scans.rowCount()
        for _ in range(3):
            scicat.create_dataset(new())
        qtbot.waitUntil(lambda: log.scans.rowCount() == count + 3)
        assert onScreen(log) == looked_at
        assert log.statusBar.news.text() == "3 new"
        log.table.verticalScrollBar().setValue(3600)  # pages read later must match those read before
        later = [int(number or 0) for number in waitForRows(qtbot, log)]
        assert later[0] == int(looked_at[0] or 0) - 597
        qtbot.mouseClick(log.statusBar.news, Qt.Qt.LeftButton)
        assert top(log) == 0
        assert log.statusBar.news.isHidden()

    def test_a_late_older_row_does_not_move_it_either(self, qtbot: QtBot, log: ScanLog, scicat: SciCat) -> None:
        waitForRows(qtbot, log)
        log.table.verticalScrollBar().setValue(4500)
        looked_at, count = waitForRows(qtbot, log), log.scans.rowCount()
        for number in (2000, 2500):  # between rows that were never on the screen
            late = dataset(number, END - 90 * (COUNT - number) + 45, "20300002")
            scicat.create_dataset(late)
        qtbot.waitUntil(lambda: log.scans.rowCount() == count + 2)
        assert waitForRows(qtbot, log) == looked_at
        bar = log.table.verticalScrollBar()
        bar.setValue(bar.maximum())
        assert waitForRows(qtbot, log)[-1] == "0"

    def test_with_a_filter(self, qtbot: QtBot, log: ScanLog, scicat: SciCat) -> None:
        waitForRows(qtbot, log)
        log.setQuery(replace(log.query, status=("failed",)))
        sorts(qtbot, log)
        log.table.verticalScrollBar().setValue(100)
        looked_at, count = waitForRows(qtbot, log), log.scans.rowCount()
        assert count < COUNT / 10
        other, fits = new(), new()
        for one, status in ((other, "completed"), (fits, "failed")):
            one["scientificMetadata"]["scan"] = scan_group(1, "ascan", status, 11)
            scicat.create_dataset(one)
        qtbot.waitUntil(lambda: log.scans.rowCount() == count + 1)
        assert onScreen(log) == looked_at
        assert log.statusBar.news.text() == "1 new"

    def test_a_row_that_no_longer_matches_is_completed_and_stays(
        self, qtbot: QtBot, log: ScanLog, scicat: SciCat
    ) -> None:
        running = scan(next(_number), END + 10**6, "timescan", "running", proposal="20300003")
        scicat.create_dataset(running)
        log.setQuery(DatasetQuery(proposal="20300003", status=("running",)))
        sorts(qtbot, log)
        scicat.merge_dataset(running["pid"], {"scientificMetadata": {"scan": scan_group(1, "timescan", "aborted", 3)}})
        qtbot.waitUntil(lambda: cell(log, 0, "Status") == "aborted")
        assert log.scans.rowCount() == 1

    def test_a_row_watched_before_a_filter_does_not_reappear(
        self, qtbot: QtBot, log: ScanLog, scicat: SciCat, counting: Counting, proposal: str
    ) -> None:
        waitForRows(qtbot, log)
        fits = [scan(next(_number), END + number, "ascan", "failed", proposal=proposal) for number in range(2)]
        other = new()
        for one in (other, fits[0]):
            scicat.create_dataset(one)
        qtbot.waitUntil(lambda: log.scans.isLoaded(other["pid"]))
        with counting.held():
            log.setQuery(DatasetQuery(proposal=proposal, status=("failed",)))
            log._clock.timeout.emit()  # the rows on the screen are those without the filter
            log._clock.stop()
        sorts(qtbot, log)
        scicat.create_dataset(fits[1])
        qtbot.waitUntil(lambda: log.scans.isLoaded(fits[1]["pid"]))
        assert log.scans.rowCount() == 2

    def test_with_another_order_new_rows_are_counted(self, qtbot: QtBot, log: ScanLog, scicat: SciCat) -> None:
        waitForRows(qtbot, log)
        clickHeader(qtbot, log, POINTS)
        sorts(qtbot, log)
        looked_at, count = onScreen(log), log.scans.rowCount()
        first = new()
        first["scientificMetadata"]["scan"]["points"]["value"] = 1
        scicat.create_dataset(first)
        qtbot.waitUntil(lambda: log.statusBar.news.text() == "1 new")
        assert not log.statusBar.news.isHidden()
        assert onScreen(log) == looked_at
        assert log.scans.rowCount() == count
        bar = log.table.verticalScrollBar()
        bar.setValue(ROWS_PER_PAGE)  # rows read later must match those read before
        numbers = [cell(log, row, RUNNUMBER) for row in range(ROWS_PER_PAGE)]
        waitForRows(qtbot, log)
        assert cell(log, ROWS_PER_PAGE, RUNNUMBER) not in numbers
        qtbot.mouseClick(log.statusBar.news, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: cell(log, 0, RUNNUMBER) == first["runNumber"])
        assert log.statusBar.news.isHidden()

    def test_very_many_new_rows_are_read_again_when_looked_at(
        self, qtbot: QtBot, log: ScanLog, scicat: SciCat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(loader, "MAX_NEW_ROWS", 4)
        monkeypatch.setattr(loader, "MAX_PAGES", 3)
        waitForRows(qtbot, log)
        log.table.verticalScrollBar().setValue(2000)
        looked_at, count = waitForRows(qtbot, log), log.scans.rowCount()
        made = [new() for _ in range(9)]
        for one in made:
            scicat.create_dataset(one)
        qtbot.waitUntil(lambda: log.scans.rowCount() == count + 9)
        assert onScreen(log) == looked_at
        for place in (2500, 3000, 3500, 4000, 0):
            log.table.verticalScrollBar().setValue(place)
            waitForRows(qtbot, log)
        numbers = [one["runNumber"] for one in reversed(made)]
        assert [number for number in onScreen(log) if number in numbers] == numbers  # another test's may be above


class TestOrder:
    def test_a_header_sorts_up_then_down_then_the_newest_are_on_top(self, qtbot: QtBot, log: ScanLog) -> None:
        newest = waitForRows(qtbot, log)
        clickHeader(qtbot, log, POINTS)
        sorts(qtbot, log)
        points = [int(cell(log, row, POINTS) or 0) for row in log.table.shownRows()]
        assert points == sorted(points)
        clickHeader(qtbot, log, POINTS)
        sorts(qtbot, log)
        points = [int(cell(log, row, POINTS) or 0) for row in log.table.shownRows()]
        assert points == sorted(points, reverse=True)
        assert log.table.horizontalHeader().isSortIndicatorShown()
        clickHeader(qtbot, log, POINTS)
        sorts(qtbot, log)
        assert onScreen(log) == newest
        assert not log.table.horizontalHeader().isSortIndicatorShown()

    def test_by_keyboard_and_by_a_value_of_the_metadata(self, qtbot: QtBot, log: ScanLog) -> None:
        waitForRows(qtbot, log)
        log.addColumn("Optics/Energy")
        qtbot.waitUntil(lambda: cell(log, 0, "Energy (keV)") is not None)
        log.table.setFocus()
        qtbot.keyClick(log.table, Qt.Qt.Key_S, Qt.Qt.AltModifier)
        menu = Qt.QApplication.activePopupWidget()
        assert menu is not None
        while menu.activeAction() is None or not menu.activeAction().text().startswith("Energy"):
            qtbot.keyClick(menu, Qt.Qt.Key_Down)
        qtbot.keyClick(menu, Qt.Qt.Key_Return)
        assert log.query.order == "scientificMetadata.Optics.Energy.value"
        sorts(qtbot, log)
        energies = [float((cell(log, row, "Energy (keV)") or "").split(" ")[0]) for row in log.table.shownRows()]
        assert energies == sorted(energies)

    def test_sorting_by_duration_is_refused_with_the_reason(self, qtbot: QtBot, log: ScanLog) -> None:
        waitForRows(qtbot, log)
        clickHeader(qtbot, log, "Duration")
        assert log.query.newest_first
        assert "cannot sort by Duration" in log.statusBar.rows.text()

    def test_only_the_last_of_several_queries_is_shown(self, qtbot: QtBot, log: ScanLog, counting: Counting) -> None:
        waitForRows(qtbot, log)
        with counting.held():
            for sample in ("lysozyme-3", "ferritin", "thaumatin"):
                log.setQuery(DatasetQuery(where=(QueryCondition("sampleId", Relation.EQUAL, sample),)))
        sorts(qtbot, log)
        assert {cell(log, row, SAMPLE) for row in log.table.shownRows()} == {"thaumatin"}

    def test_a_filter_that_the_catalogue_refuses_is_reported_and_the_rows_stay(
        self, qtbot: QtBot, log: ScanLog
    ) -> None:
        numbers = waitForRows(qtbot, log)
        before = log.query
        log.setQuery(replace(log.query, where=(QueryCondition("sampleId", Relation.CONTAINS, "x" * 600),)))
        qtbot.waitUntil(lambda: log.query is before)
        assert "refuses this filter" in log.statusBar.rows.text()
        qtbot.waitUntil(lambda: onScreen(log) == numbers)  # once the table is as high again as without the filter


def inked(log: ScanLog, row: int) -> int:
    """The number of pixels of the row that differ from its background."""
    place = log.table.visualRect(log.scans.index(row, 0))
    drawn = log.table.viewport().grab(Qt.QRect(0, place.y(), 800, place.height())).toImage()
    background = drawn.pixel(1, 1)
    return sum(drawn.pixel(x, y) != background for x in range(drawn.width()) for y in range(drawn.height()))


def with_status(dataset: Json, status: str) -> Json:
    metadata = dataset["scientificMetadata"]
    return {
        **dataset,
        "scientificMetadata": {**metadata, "scan": scan_group(int(dataset["runNumber"]), "a scan", status, points=3)},
    }


class TestExpected:
    @pytest.fixture
    def expected(self) -> Json:
        number = next(_number)
        return scan(number, END + number, "ascan mot01 0 1 5 0.1", "running", proposal="20300001")

    def test_it_is_shown_until_the_catalogue_has_it(
        self, qtbot: QtBot, log: ScanLog, scicat: SciCat, expected: Json
    ) -> None:
        waitForRows(qtbot, log)
        count = log.scans.rowCount()
        log.scans.expect({**expected, "provisional": True})
        assert log.scans.rowCount() == count + 1
        assert cell(log, 0, RUNNUMBER) == expected["runNumber"]
        assert inked(log, 0) > 500
        scicat.create_dataset(expected)
        qtbot.waitUntil(lambda: "provisional" not in (log.scans.dataset(0) or {"provisional": 1}))
        assert log.scans.rowCount() == count + 1
        log.scans.expect({**expected, "provisional": True})  # too late to count
        assert "provisional" not in (log.scans.dataset(0) or {})

    def test_an_end_that_the_catalogue_does_not_have_yet_is_kept(
        self, qtbot: QtBot, log: ScanLog, scicat: SciCat, expected: Json
    ) -> None:
        waitForRows(qtbot, log)
        pid = expected["pid"]
        rows: list[str] = []

        def row() -> Json:
            return (log.scans.isLoaded(pid) and log.scans.dataset(log.scans.rowOf(pid))) or {}

        log.rowShown.connect(lambda shown, status: rows.append(status) if shown == pid else None)
        ended = {**with_status(expected, "completed"), "endTime": expected["creationTime"]}
        log.scans.expect({**ended, "provisional": True})
        scicat.create_dataset(expected)  # it is running there
        qtbot.waitUntil(lambda: row() and "provisional" not in row())
        log.scans.unexpect(pid)  # like Live for a row that is
        log.setQuery(replace(log.query, order="comment", descending=False))
        sorts(qtbot, log)
        log.setQuery(DatasetQuery())
        sorts(qtbot, log)
        assert cols.status(row()) == "completed"
        assert row()["endTime"] == expected["creationTime"]
        tip = log.scans.index(log.scans.rowOf(pid), 0).data(Qt.Qt.ToolTipRole)
        assert "completed, its end is not in the catalogue yet" in tip
        scicat.merge_dataset(pid, {"scientificMetadata": with_status(expected, "failed")["scientificMetadata"]})
        qtbot.waitUntil(lambda: cols.status(row()) == "failed")  # the catalogue's state takes precedence
        assert "running" not in rows

    def test_it_survives_another_query_and_can_be_removed(self, qtbot: QtBot, log: ScanLog, expected: Json) -> None:
        waitForRows(qtbot, log)
        log.scans.expect({**expected, "provisional": True})
        log.setQuery(replace(log.query, order="comment", descending=False))
        sorts(qtbot, log)
        assert not log.scans.isLoaded(expected["pid"])
        log.setQuery(DatasetQuery())
        sorts(qtbot, log)
        assert log.scans.rowOf(expected["pid"]) == 0
        count = log.scans.rowCount()
        log.scans.unexpect(expected["pid"])
        assert log.scans.rowCount() == count - 1
        assert not log.scans.isLoaded(expected["pid"])


class TestAll:
    def test_all_rows_are_read_in_another_thread(self, qtbot: QtBot, log: ScanLog) -> None:
        waitForRows(qtbot, log)
        found: list[Json] = []
        pages = log.allRows(fields=["runNumber"])
        thread = threading.Thread(target=lambda: found.extend(row for page in pages for row in page))
        thread.start()
        qtbot.waitUntil(lambda: not thread.is_alive())
        assert len({row["pid"] for row in found}) == log.scans.rowCount()
        assert [row["runNumber"] for row in found][: len(onScreen(log))] == onScreen(log)
        assert "datasetName" not in found[0]

    def test_ranges_of_rows_with_new_ones_on_top(self, qtbot: QtBot, log: ScanLog, scicat: SciCat) -> None:
        waitForRows(qtbot, log)
        count = log.scans.rowCount()
        for _ in range(2):
            scicat.create_dataset(new())
        qtbot.waitUntil(lambda: log.scans.rowCount() == count + 2)
        rows = [row for page in log.allRows([range(1, 4), range(700, 702)]) for row in page]
        assert [row["runNumber"] for row in rows[:3]] == [cell(log, row, RUNNUMBER) for row in (1, 2, 3)]
        log.table.verticalScrollBar().setValue(699)
        waitForRows(qtbot, log)
        assert [row["runNumber"] for row in rows[3:]] == [cell(log, row, RUNNUMBER) for row in (700, 701)]

    def test_scans_not_yet_in_the_catalogue_are_included(self, qtbot: QtBot, log: ScanLog) -> None:
        waitForRows(qtbot, log)
        expected = scan(1, END + 10**6, proposal="20300001", status="running")
        log.scans.expect({**expected, "provisional": True})
        rows = [row for page in log.allRows([range(3)]) for row in page]
        assert [row["runNumber"] for row in rows] == [cell(log, row, RUNNUMBER) for row in range(3)]
        assert rows[0]["pid"] == expected["pid"]


class TestTrouble:
    def test_a_hanging_catalogue_does_not_block_the_window(
        self, qtbot: QtBot, log: ScanLog, counting: Counting
    ) -> None:
        waitForRows(qtbot, log)
        with counting.held():
            qtbot.waitUntil(lambda: counting.waiting > 0)
            for place in range(ROWS_PER_PAGE, 5000, 25):
                log.table.verticalScrollBar().setValue(place)
                Qt.QApplication.processEvents()
            qtbot.waitUntil(lambda: counting.waiting > loader.MAX_PAGE_CALLS)  # for rows, and for what is new
            assert set(onScreen(log)) == {None}
        waitForRows(qtbot, log)

    def test_a_query_made_while_it_is_unavailable_is_answered_later(
        self, qtbot: QtBot, log: ScanLog, counting: Counting
    ) -> None:
        numbers = waitForRows(qtbot, log)
        counting.away = True
        log.setQuery(replace(log.query, status=("failed",)))
        qtbot.waitUntil(lambda: "does not answer" in log.statusBar.connection.text())
        shown = onScreen(log)  # the filter that is active takes a row's place
        assert shown
        assert shown == numbers[: len(shown)]
        counting.away = False
        sorts(qtbot, log)
        assert {cell(log, row, "Status") for row in log.table.shownRows()} == {"failed"}
