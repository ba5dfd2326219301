"""The scan log as users see it, on a real catalogue."""

from __future__ import annotations

import datetime as dt
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from deploy.demo.processes import Processes
from ingest.scicat import SciCat
from taurus_widgets.qt.connection import ConnectionState
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.details import pane
from tests.builders.scicat_datasets import Json, scan, scan_group
from tests.servers.catalogue import Catalogue, start_catalogue
from tests.waiting import PATIENCE

Shown = Callable[[int], None]


def text(log: ScanLog, row: int, column: str) -> str:
    """The text of the cell in the column with this header."""
    titles = [column.title for column in log.scans.columns]
    return str(log.scans.index(row, titles.index(column)).data())


def leaves(tree: Qt.QTreeWidget) -> dict[str, Qt.QTreeWidgetItem]:
    """The lines of the detail pane by `group/name`."""
    found = {}
    for place in range(tree.topLevelItemCount()):
        group = tree.topLevelItem(place)
        for inner in range(group.childCount()):
            item = group.child(inner)
            found[f"{group.text(pane.NAME)}/{item.text(pane.NAME)}"] = item
    return found


def fill(scicat: SciCat, proposal: str, count: int) -> list[Json]:
    """Add this number of completed scans, one per minute, the last one a minute ago."""
    made = [scan(number, time.time() - 60 * (count - number), proposal=proposal) for number in range(count)]
    for dataset in made:
        scicat.create_dataset(dataset)
    return made


class TestLive:
    def test_rows_appear_newest_on_top(self, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown) -> None:
        fill(scicat, proposal, 3)
        scanLog.setCatalogue(scicat, proposal)
        shown(3)
        assert [text(scanLog, row, "Scan") for row in range(3)] == ["2", "1", "0"]
        scicat.create_dataset(scan(3, time.time(), proposal=proposal, status="running"))
        shown(4)
        assert text(scanLog, 0, "Scan") == "3"
        assert text(scanLog, 0, "Status") == "running"

    def test_a_scan_that_ends_changes_its_row_in_place(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        running = scan(1, time.time() - 30, proposal=proposal, status="running")
        scicat.create_dataset(running)
        scanLog.setCatalogue(scicat, proposal)
        shown(1)
        assert text(scanLog, 0, "Duration").endswith(" s")
        with qtbot.waitSignal(scanLog.rowShown) as signal:
            scicat.merge_dataset(
                running["pid"],
                {
                    "endTime": "2099-01-01T00:00:00.000Z",
                    "scientificMetadata": {"scan": scan_group(1, "ascan", "failed", 17)},
                },
            )
        assert signal.args == [running["pid"], "failed"]
        assert scanLog.scans.rowCount() == 1
        assert text(scanLog, 0, "Status") == "failed"
        assert text(scanLog, 0, "Points") == "17"

    def test_a_row_is_announced_once_for_each_status(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        shown_rows: list[tuple[str, str]] = []
        scanLog.rowShown.connect(lambda pid, status: shown_rows.append((pid, status)))
        made = fill(scicat, proposal, 1)[0]
        scanLog.setCatalogue(scicat, proposal)
        shown(1)
        scicat.patch_dataset(made["pid"], {"comment": "no new status"})
        qtbot.waitUntil(lambda: text(scanLog, 0, "Comment") == "no new status")
        assert shown_rows == [(made["pid"], "completed")]

    def test_a_burst_is_shown_completely(self, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown) -> None:
        fill(scicat, proposal, 1)
        scanLog.setCatalogue(scicat, proposal)
        shown(1)
        for number in range(1, 60):
            scicat.create_dataset(scan(number, time.time(), proposal=proposal))
        shown(60)

    def test_other_proposals_are_left_out(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        fill(scicat, proposal, 2)
        fill(scicat, proposal + "-other", 3)
        scanLog.setCatalogue(scicat, proposal)
        shown(2)
        qtbot.waitUntil(lambda: scanLog.statusBar.connection.text() == f"Proposal {proposal} in {scicat.base_url}")

    def test_a_late_older_scan_is_inserted_in_order(
        self, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        fill(scicat, proposal, 3)
        scanLog.setCatalogue(scicat, proposal)
        shown(3)
        scicat.create_dataset(scan(99, time.time() - 90, proposal=proposal))
        shown(4)
        assert [text(scanLog, row, "Scan") for row in range(4)] == ["2", "99", "1", "0"]

    def test_a_column_of_metadata_has_name_and_unit_in_its_header(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        fill(scicat, proposal, 1)
        scanLog.setCatalogue(scicat, proposal)
        shown(1)
        scanLog.addColumn("Machine/Ring current")
        scanLog.addColumn("Sample environment/Pressure")
        qtbot.waitUntil(lambda: text(scanLog, 0, "Pressure") == "not read")
        assert text(scanLog, 0, "Ring current (mA)") == "500.12"
        assert scanLog.shownColumns()[-1].key == "comment"


class TestNothingMoves:
    def test_the_newest_rows_are_followed_at_the_top(
        self, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        fill(scicat, proposal, 60)
        scanLog.setCatalogue(scicat, proposal)
        shown(60)
        scicat.create_dataset(scan(60, time.time(), proposal=proposal))
        shown(61)
        assert scanLog.table.verticalScrollBar().value() == 0
        assert scanLog.statusBar.news.isHidden()

    def test_after_scrolling_the_visible_rows_stay(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        fill(scicat, proposal, 60)
        scanLog.setCatalogue(scicat, proposal)
        shown(60)
        scanLog.table.verticalScrollBar().setValue(20)
        top = scanLog.table.indexAt(Qt.QPoint(5, 5))
        assert text(scanLog, top.row(), "Scan") == "39"
        for number in (60, 61):
            scicat.create_dataset(scan(number, time.time() + number, proposal=proposal))
        shown(62)
        top = scanLog.table.indexAt(Qt.QPoint(5, 5))
        assert text(scanLog, top.row(), "Scan") == "39"
        assert scanLog.statusBar.news.text() == "2 new"
        qtbot.mouseClick(scanLog.statusBar.news, Qt.Qt.LeftButton)
        assert scanLog.table.verticalScrollBar().value() == 0
        assert scanLog.statusBar.news.isHidden()

    def test_a_selected_row_stays_selected_and_in_place(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        made = fill(scicat, proposal, 60)
        scanLog.setCatalogue(scicat, proposal)
        shown(60)
        cell = scanLog.table.visualRect(scanLog.scans.index(2, 4)).center()
        qtbot.mouseClick(scanLog.table.viewport(), Qt.Qt.LeftButton, pos=cell)
        scicat.create_dataset(scan(60, time.time(), proposal=proposal))
        shown(61)
        selected = scanLog.table.selectionModel().selectedRows()
        assert [index.row() for index in selected] == [3]
        assert text(scanLog, 3, "Scan") == made[57]["runNumber"]
        assert scanLog.table.indexAt(cell).row() == 3
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_Escape)
        assert not scanLog.table.selectionModel().hasSelection()
        assert scanLog.table.verticalScrollBar().value() == 0


class TestSelection:
    """The selection follows the datasets, not their positions."""

    def chosen(self, log: ScanLog) -> list[str]:
        return [text(log, index.row(), "Scan") for index in log.table.selectionModel().selectedRows()]

    def test_it_stays_when_the_rows_are_sorted_and_filtered(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        fill(scicat, proposal, 60)
        scanLog.setCatalogue(scicat, proposal)
        shown(60)
        for row, held in ((2, Qt.Qt.NoModifier), (5, Qt.Qt.ControlModifier)):
            cell = scanLog.table.visualRect(scanLog.scans.index(row, 4)).center()
            qtbot.mouseClick(scanLog.table.viewport(), Qt.Qt.LeftButton, held, cell)
        assert self.chosen(scanLog) == ["57", "54"]
        for query in (
            replace(scanLog.query, order="creationTime", descending=False),
            replace(scanLog.query, begin=dt.datetime.now().astimezone() - dt.timedelta(minutes=10)),
        ):
            with qtbot.waitSignal(scanLog.scans.modelReset):
                scanLog.setQuery(query)
            assert sorted(self.chosen(scanLog)) == ["54", "57"]
            current = scanLog.table.currentIndex().row()
            assert text(scanLog, current, "Scan") == "54"
            assert current in scanLog.table.shownRows()
        with qtbot.waitSignal(scanLog.scans.modelReset):
            scanLog.setQuery(replace(scanLog.query, status=("failed",)))
        assert self.chosen(scanLog) == []
        assert not scanLog.details.isVisible()

    def test_it_is_found_again_when_its_row_is_read(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        fill(scicat, proposal, 120)
        scanLog.setCatalogue(scicat, proposal)
        shown(120)
        scanLog.table.selectRow(1)
        with qtbot.waitSignal(scanLog.scans.modelReset):
            scanLog.setQuery(replace(scanLog.query, descending=False))
        shown(120)
        assert self.chosen(scanLog) == []
        scanLog.table.verticalScrollBar().setValue(scanLog.table.verticalScrollBar().maximum())
        qtbot.waitUntil(lambda: self.chosen(scanLog) == ["118"])

    def test_escape_in_a_sorted_table_shows_the_new_rows(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        fill(scicat, proposal, 3)
        scanLog.setCatalogue(scicat, proposal)
        shown(3)
        with qtbot.waitSignal(scanLog.scans.modelReset):
            scanLog.setQuery(replace(scanLog.query, descending=False))
        scicat.create_dataset(scan(9, time.time(), proposal=proposal))
        qtbot.waitUntil(lambda: scanLog.statusBar.news.text() == "1 new")
        qtbot.keyClick(scanLog, Qt.Qt.Key_Escape)
        shown(4)
        assert scanLog.statusBar.news.isHidden()


class TestDetails:
    @pytest.fixture
    def tree(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> dict[str, Qt.QTreeWidgetItem]:
        scicat.create_dataset(scan(7, time.time(), proposal=proposal, description="at the <b>third</b> spot"))
        scanLog.setCatalogue(scicat, proposal)
        shown(1)
        assert not scanLog.details.isVisible()
        scanLog.table.selectRow(0)
        qtbot.waitUntil(lambda: scanLog.details.tree.topLevelItemCount() > 0)
        assert scanLog.details.isVisible()
        return leaves(scanLog.details.tree)

    def test_all_metadata_is_there_with_units(self, tree: dict[str, Qt.QTreeWidgetItem]) -> None:
        current = tree["Machine/Ring current"]
        assert (current.text(pane.VALUE), current.text(pane.UNIT)) == ("500.12", "mA")
        assert tree["Optics/Energy"].text(pane.VALUE) == "12.4 → 12.65"
        assert tree["Machine/Orbit"].text(pane.VALUE) == "200 values, -3.1 to 2.9, mean 0.02"
        assert tree["Dataset/Proposal"].text(pane.VALUE).startswith("P-")

    def test_a_value_that_could_not_be_read_says_why(self, tree: dict[str, Qt.QTreeWidgetItem]) -> None:
        pressure = tree["Sample environment/Pressure"]
        assert pressure.text(pane.VALUE) == "not read: DEVICE_TIMEOUT: no answer after 3 s"
        assert pressure.foreground(pane.VALUE).color() != tree["Optics/Energy"].foreground(pane.VALUE).color()

    def test_texts_that_look_like_html_are_shown_as_text(self, tree: dict[str, Qt.QTreeWidgetItem]) -> None:
        description = tree["Dataset/Description"]
        assert description.text(pane.VALUE) == "at the <b>third</b> spot"
        assert "&lt;b&gt;third" in description.toolTip(pane.VALUE)

    def test_they_follow_the_dataset_and_close(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, tree: dict[str, Qt.QTreeWidgetItem]
    ) -> None:
        scicat.patch_dataset(scanLog.details.pid, {"comment": "looks good"})
        qtbot.waitUntil(lambda: "Dataset/Comment" in leaves(scanLog.details.tree))
        qtbot.keyClick(scanLog, Qt.Qt.Key_Escape)
        assert not scanLog.details.isVisible()

    def test_they_stay_open_when_the_rows_are_sorted(
        self, qtbot: QtBot, scanLog: ScanLog, tree: dict[str, Qt.QTreeWidgetItem]
    ) -> None:
        with qtbot.waitSignal(scanLog.scans.modelReset):
            scanLog.setQuery(replace(scanLog.query, order="runNumber", descending=False))
        assert scanLog.details.isVisible()

    def test_escape_in_another_panel_leaves_them_open(
        self, qtbot: QtBot, scanLog: ScanLog, tree: dict[str, Qt.QTreeWidgetItem]
    ) -> None:
        window = Qt.QMainWindow()
        qtbot.addWidget(window)
        other = Qt.QLineEdit()
        dock = Qt.QDockWidget()
        dock.setWidget(scanLog)
        window.addDockWidget(Qt.Qt.LeftDockWidgetArea, dock)
        window.setCentralWidget(other)
        with qtbot.waitActive(window):
            window.show()
            window.activateWindow()
        other.setFocus()
        qtbot.keyClick(other, Qt.Qt.Key_Escape)
        assert scanLog.details.isVisible()
        scanLog.table.setFocus()
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_Escape)
        assert not scanLog.details.isVisible()
        dock.setWidget(None)
        scanLog.setParent(None)


class TestText:
    COMMENT = "<b>bold</b> & <img src=x onerror=alert(1)> µm Å 試料\nsecond line\x1b[31m\u202e"

    def test_users_texts_are_shown_unchanged(
        self, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
    ) -> None:
        scicat.create_dataset(scan(1, time.time(), proposal=proposal, comment=self.COMMENT))
        scanLog.setCatalogue(scicat, proposal)
        shown(1)
        assert text(scanLog, 0, "Comment") == ("<b>bold</b> & <img src=x onerror=alert(1)> µm Å 試料 second line [31m")
        comment = scanLog.scans.index(0, scanLog.scans.columnCount() - 1)
        tip = Qt.QTextDocument()
        tip.setHtml(comment.data(Qt.Qt.ToolTipRole))
        assert tip.toPlainText() == "<b>bold</b> & <img src=x onerror=alert(1)> µm Å 試料\nsecond line [31m"

    def test_labels_interpret_nothing(self, scanLog: ScanLog) -> None:
        labels = scanLog.findChildren(Qt.QLabel)
        assert labels
        assert all(label.textFormat() == Qt.Qt.PlainText for label in labels)


class Trying(SciCat):
    """Counts the calls."""

    tries = 0

    def call(self, *what: Any, **more: Any) -> Any:
        self.tries += 1
        return super().call(*what, **more)

    def whoami(self) -> Json | None:
        self.tries += 1
        return super().whoami()


class TestTrouble:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[tuple[Processes, Catalogue]]:
        with Processes(tmp_path / "logs") as running:
            yield running, start_catalogue(running, tmp_path / "catalogue")

    def test_a_lost_catalogue_is_reported_and_reconnected(
        self, qtbot: QtBot, scanLog: ScanLog, own: tuple[Processes, Catalogue], tmp_path: Path, shown: Shown
    ) -> None:
        processes, catalogue = own
        scicat = Trying(catalogue.url, catalogue.ingestor.username, catalogue.ingestor.password, timeout=PATIENCE)
        fill(scicat, "20250001", 2)
        scanLog.setCatalogue(scicat)
        shown(2)
        assert catalogue.process is not None
        catalogue.process.kill()
        bar = scanLog.statusBar
        qtbot.waitUntil(lambda: "does not answer (connection refused) since " in bar.connection.text())
        text_before, tries = bar.connection.text(), scicat.tries
        qtbot.waitUntil(lambda: scicat.tries > tries + 2)
        assert bar.connection.text() == text_before  # the start of the problem stays
        assert scanLog.scans.rowCount() == 2
        scanLog.table.selectRow(0)
        qtbot.waitUntil(lambda: "does not answer" in scanLog.details.message.text())

        port = int(catalogue.url.rsplit(":", 1)[1])
        start_catalogue(processes, tmp_path / "catalogue", port=port, name="again")
        scicat.create_dataset(scan(3, time.time()))
        shown(3)
        qtbot.waitUntil(lambda: bar.connection.text() == f"All proposals in {catalogue.url}")

    def test_a_catalogue_unavailable_from_the_start_is_reported(self, qtbot: QtBot, scanLog: ScanLog) -> None:
        scanLog.setCatalogue(SciCat("http://127.0.0.1:9"))
        qtbot.waitUntil(lambda: "does not answer" in scanLog.statusBar.connection.text())

    def test_a_wrong_password_is_reported(self, qtbot: QtBot, scanLog: ScanLog, catalogue: Catalogue) -> None:
        scanLog.setCatalogue(SciCat(catalogue.url, catalogue.ingestor.username, "wrong"))
        qtbot.waitUntil(lambda: "refuses this user" in scanLog.statusBar.connection.text())

    def test_stop_does_not_wait_for_a_server_that_does_not_answer(self, scanLog: ScanLog) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(PATIENCE)
            scanLog.setCatalogue(SciCat(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=3600))
            asking, _ = silent.accept()
            with asking:
                assert asking.recv(1).startswith(b"G")
                scanLog.stop()

    def test_the_tool_tip_of_the_link_shows_the_problem_as_text(self, scanLog: ScanLog) -> None:
        scanLog.statusBar.showConnection(ConnectionState(problem="no", detail="<b>why</b>"), "there")
        assert "&lt;b&gt;why" in scanLog.statusBar.connection.toolTip()


def test_qt_designer_finds_it() -> None:
    info = ScanLog.getQtDesignerPluginInfo()
    assert (info["module"], info["group"], info["container"]) == ("taurus_widgets.scanlog", "SciZoo", False)


def test_there_is_a_font_to_draw_with(scanLog: ScanLog) -> None:
    # Qt without a font draws nothing and says nothing; the packages that bring fontconfig bring a font.
    metrics = Qt.QFontMetrics(scanLog.table.font())
    assert all(metrics.inFont(letter) for letter in "Aa0µÅ→…")
