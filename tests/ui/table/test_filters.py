"""The filter bar of the scan log, by mouse and keyboard, on a real catalogue."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data import timerange
from taurus_widgets.scanlog.data.query import DatasetQuery
from taurus_widgets.scanlog.data.timerange import Span
from taurus_widgets.scanlog.features import filters
from taurus_widgets.scanlog.features.filters import Filters
from taurus_widgets.scanlog.parts.filter_bar import FromToDialog
from tests.builders.scicat_datasets import Json, scan

Shown = Callable[[int], None]


def filters_of(log: ScanLog) -> Filters:
    return log.filters


def chips(log: ScanLog) -> list[str]:
    return [chip.filter for chip in filters_of(log).bar.allChips()]


def scans(log: ScanLog) -> list[str]:
    """The scans that are shown, by number."""
    place = [column.key for column in log.scans.columns].index("runNumber")
    return [str(log.scans.index(row, place).data()) for row in range(log.scans.rowCount())]


def choose_time(log: ScanLog, span: Span) -> None:
    box = filters_of(log).bar.time
    box.setCurrentIndex(list(Span).index(span))
    box.activated.emit(box.currentIndex())


@pytest.fixture
def search(qtbot: QtBot, scanLog: ScanLog) -> Callable[[str], None]:
    """Type into the search line, from wherever the focus is."""

    def type_(text: str) -> None:
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_F, Qt.Qt.ControlModifier)
        line = filters_of(scanLog).bar.search
        qtbot.keyClicks(line, text)
        qtbot.keyClick(line, Qt.Qt.Key_Return)

    return type_


@pytest.fixture
def filled(qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown) -> ScanLog:
    """Four scans: 1 of today, 2 of 9 hours ago (7 keV, only mot01), 3 and 4 of the day before (in eV, and failed)."""
    now = time.time()
    made = [
        scan(1, now - 60, proposal=proposal, comment="a good one"),
        scan(2, now - 9 * 3600, proposal=proposal),
        scan(3, now - 30 * 3600, proposal=proposal, sampleId="lysozyme-3"),
        scan(4, now - 31 * 3600, proposal=proposal, status="failed"),
    ]
    energy(made[1], 7.0, "keV")
    made[1]["scientificMetadata"]["scan"]["motors"]["value"] = "mot01"
    energy(made[2], 7200.0, "eV")
    made[3]["scientificMetadata"]["scan"]["motors"]["value"] = "mot012"
    for dataset in made:
        scicat.create_dataset(dataset)
    scanLog.setCatalogue(scicat, proposal)
    shown(4)
    part = scanLog.columns
    qtbot.waitUntil(lambda: "Optics/Energy" in part.available.found)
    return scanLog


def energy(dataset: Json, value: float, unit: str) -> None:
    dataset["scientificMetadata"]["Optics"]["Energy"].update(value=value, unit=unit)


def wait_for(qtbot: QtBot, log: ScanLog, numbers: list[str]) -> None:
    qtbot.waitUntil(lambda: scans(log) == numbers)


class TestSearch:
    @pytest.mark.parametrize(
        ("text", "numbers"),
        [
            ("motor = mot01", ["1", "2", "3"]),
            ("motor ~ mot012", ["4"]),
            ("motor != mot01", ["4"]),
            ("energy > 7.1 keV", ["1", "3", "4"]),
            ("energy > 7.1 keV and energy < 8000 eV", ["3"]),
            ("energy = 7.2 keV", ["3"]),
            ("energy < 7.1", ["2"]),
            ("status = failed", ["4"]),
            ("sample = lysozyme-3", ["3"]),
            ("comment ~ GOOD", ["1"]),
            ("scan >= 3", ["3", "4"]),
            ("Ring current > 500 mA, points > 20", ["1", "2", "3", "4"]),
        ],
    )
    def test_a_condition(
        self, qtbot: QtBot, filled: ScanLog, search: Callable[[str], None], text: str, numbers: list[str]
    ) -> None:
        search(text)
        wait_for(qtbot, filled, numbers)
        assert filters_of(filled).bar.search.text() == ""

    @pytest.mark.usefixtures("whole_mongodb")
    def test_words_are_searched(self, qtbot: QtBot, filled: ScanLog, search: Callable[[str], None]) -> None:
        search("good")
        wait_for(qtbot, filled, ["1"])
        assert "Text: good" in chips(filled)

    def test_each_filter_is_shown_and_removed_with_one_click(
        self, qtbot: QtBot, filled: ScanLog, search: Callable[[str], None], proposal: str
    ) -> None:
        search("energy < 7.1 keV")
        search("motor = mot012")
        wait_for(qtbot, filled, [])
        assert chips(filled) == [f"Proposal {proposal}", "Energy < 7.1 keV", "motor = mot012"]
        assert filters_of(filled).bar.chips.isVisible()
        bar = filters_of(filled).bar
        qtbot.waitUntil(bar.allChips()[2].isVisible)
        qtbot.mouseClick(bar.allChips()[2], Qt.Qt.LeftButton)
        wait_for(qtbot, filled, ["2"])
        bar.allChips()[1].setFocus()
        qtbot.keyClick(bar.allChips()[1], Qt.Qt.Key_Delete)
        wait_for(qtbot, filled, ["1", "2", "3", "4"])
        assert chips(filled) == [f"Proposal {proposal}"]

    def test_a_mistake_is_reported_and_its_position_is_marked(
        self, qtbot: QtBot, filled: ScanLog, search: Callable[[str], None]
    ) -> None:
        query = filled.query
        search("motor = mot01 and energy > 7.1 kevv")
        bar = filters_of(filled).bar
        assert bar.message.isVisible()
        assert (
            bar.message.text()
            == "At \u201ckevv\u201d: SciCat does not know the unit 'kevv': Energy is recorded in keV."
        )
        assert bar.search.selectedText() == "kevv"
        assert filled.query == query
        qtbot.keyClicks(bar.search, "keV")
        assert not bar.message.isVisible()
        qtbot.keyClick(bar.search, Qt.Qt.Key_Return)
        wait_for(qtbot, filled, ["1", "3"])

    def test_all_are_cleared_by_keyboard(self, filled: ScanLog, search: Callable[[str], None], qtbot: QtBot) -> None:
        search("energy < 7.1 keV")
        search("good")
        choose_time(filled, Span.TODAY)
        qtbot.keyClick(filled.table, Qt.Qt.Key_F, Qt.Qt.ControlModifier | Qt.Qt.ShiftModifier)
        assert filled.query == DatasetQuery()
        assert chips(filled) == []
        assert filters_of(filled).bar.chips.isHidden()

    def test_the_order_stays(self, filled: ScanLog, search: Callable[[str], None]) -> None:
        filled.setQuery(filled.query.sorted_by("comment", descending=False))
        search("good")
        assert (filled.query.order, filled.query.descending) == ("comment", False)


class TestTime:
    def test_the_last_hours(self, qtbot: QtBot, filled: ScanLog) -> None:
        choose_time(filled, Span.LAST_HOURS)
        wait_for(qtbot, filled, ["1"])
        assert "Last 8 hours" in chips(filled)
        choose_time(filled, Span.ALL)
        wait_for(qtbot, filled, ["1", "2", "3", "4"])

    def test_the_last_hours_move_while_nobody_works(
        self, filled: ScanLog, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
    ) -> None:
        part = filters_of(filled)
        choose_time(filled, Span.LAST_HOURS)
        wait_for(qtbot, filled, ["1"])
        begin = filled.query.begin
        assert begin is not None
        filled.table.selectRow(0)
        later = begin + timerange.SHIFT + dt.timedelta(hours=1)
        monkeypatch.setattr(filters, "now", lambda: later)
        part.clock.timeout.emit()
        assert filled.query.begin == begin
        filled.table.clearSelection()
        part.clock.timeout.emit()
        assert filled.query.begin == begin + dt.timedelta(hours=1)
        assert "Last 8 hours" in chips(filled)

    def test_from_to(self, qtbot: QtBot, filled: ScanLog) -> None:
        choose_time(filled, Span.FROM_TO)
        dialog = filled.findChild(FromToDialog)
        now = dt.datetime.now()
        for edit, hours in ((dialog.begin, 10), (dialog.end, 8)):
            edit.setDateTime(Qt.QDateTime.fromSecsSinceEpoch(int(now.timestamp() - hours * 3600)))
        assert dialog.toBox.isChecked()
        qtbot.mouseClick(dialog.buttons.button(Qt.QDialogButtonBox.Ok), Qt.Qt.LeftButton)
        wait_for(qtbot, filled, ["2"])
        assert filters_of(filled).bar.time.currentData() is Span.FROM_TO

    def test_an_end_before_the_start_is_refused(self, qtbot: QtBot, filled: ScanLog) -> None:
        choose_time(filled, Span.FROM_TO)
        dialog = filled.findChild(FromToDialog)
        dialog.end.setDateTime(dialog.begin.dateTime().addSecs(-60))
        assert dialog.message.text() == "The end must be after the start"
        assert not dialog.buttons.button(Qt.QDialogButtonBox.Ok).isEnabled()
        qtbot.mouseClick(dialog.buttons.button(Qt.QDialogButtonBox.Cancel), Qt.Qt.LeftButton)
        assert filters_of(filled).bar.time.currentData() is Span.ALL

    def test_this_visit_is_of_the_current_proposal(self, qtbot: QtBot, filled: ScanLog, proposal: str) -> None:
        part = filters_of(filled)
        part.clearAll()
        yesterday = dt.datetime.now() - dt.timedelta(days=3)
        part.setCurrentProposal(proposal, f"{yesterday:%Y%m%d}")
        choose_time(filled, Span.VISIT)
        wait_for(qtbot, filled, ["1", "2", "3", "4"])
        assert chips(filled) == [f"Visit {yesterday:%Y%m%d}", f"Proposal {proposal} (the current one)"]
        tomorrow = dt.datetime.now() + dt.timedelta(days=1)
        part.setCurrentProposal(proposal, f"{tomorrow:%Y%m%d}")
        wait_for(qtbot, filled, [])

    def test_a_visit_that_is_not_a_date_is_found_by_its_folder(
        self, qtbot: QtBot, filled: ScanLog, scicat: SciCat, proposal: str
    ) -> None:
        folder = f"/data/visitors/cosaxs/{proposal}/visit-2/raw"
        scicat.create_dataset(scan(5, time.time() - 10, proposal=proposal, sourceFolder=folder))
        filters_of(filled).setCurrentProposal(proposal, "visit-2")
        choose_time(filled, Span.VISIT)
        wait_for(qtbot, filled, ["5"])
        assert chips(filled) == ["Visit visit-2", f"Proposal {proposal} (the current one)"]
        chip = filters_of(filled).bar.allChips()[0]
        qtbot.waitUntil(chip.isVisible)
        qtbot.mouseClick(chip, Qt.Qt.LeftButton)
        wait_for(qtbot, filled, ["5", "1", "2", "3", "4"])


class TestProposal:
    def test_one_is_chosen_from_the_list_or_typed(
        self, qtbot: QtBot, filled: ScanLog, scicat: SciCat, proposal: str
    ) -> None:
        other = proposal + "-b"
        scicat.create_dataset(scan(7, time.time(), proposal=other))
        filled.setCatalogue(scicat, proposal)
        box = filters_of(filled).bar.proposal
        qtbot.waitUntil(lambda: box.findText(other) > 0)
        assert box.currentText() == proposal
        box.setCurrentIndex(box.findText(other))
        box.activated.emit(box.currentIndex())
        wait_for(qtbot, filled, ["7"])
        qtbot.keyClick(filled.table, Qt.Qt.Key_P, Qt.Qt.AltModifier)
        qtbot.keyClicks(box.lineEdit(), proposal)
        qtbot.keyClick(box.lineEdit(), Qt.Qt.Key_Return)
        wait_for(qtbot, filled, ["1", "2", "3", "4"])

    def test_the_current_one_is_followed(self, qtbot: QtBot, filled: ScanLog, scicat: SciCat, proposal: str) -> None:
        other = proposal + "-c"
        scicat.create_dataset(scan(8, time.time(), proposal=other))
        part = filters_of(filled)
        part.setCurrentProposal(proposal)
        box = part.bar.proposal
        box.setCurrentIndex(box.findText(f"Current: {proposal}"))
        box.activated.emit(box.currentIndex())
        part.setCurrentProposal(other)
        wait_for(qtbot, filled, ["8"])
        assert chips(filled) == [f"Proposal {other} (the current one)"]

    def test_a_chosen_proposal_is_kept(self, filled: ScanLog, proposal: str) -> None:
        filters_of(filled).setCurrentProposal("20259999", "20251123")
        assert filled.query.proposal == proposal


class TestStatus:
    def test_several_may_be_chosen(self, qtbot: QtBot, filled: ScanLog, proposal: str) -> None:
        button = filters_of(filled).bar.status
        by_word = {action.data(): action for action in button.menu().actions()}
        by_word["failed"].trigger()
        wait_for(qtbot, filled, ["4"])
        assert button.text() == "Status: failed"
        by_word["completed"].trigger()
        wait_for(qtbot, filled, ["1", "2", "3", "4"])
        assert chips(filled) == [f"Proposal {proposal}", "Status completed or failed"]


def test_a_query_set_from_outside_is_shown(filled: ScanLog) -> None:
    begin = dt.datetime.now().astimezone() - dt.timedelta(days=1)
    filled.setQuery(DatasetQuery(text="mesh", begin=begin, status=("failed",)))
    assert chips(filled) == [f"since {begin:%Y-%m-%d %H:%M}", "Status failed", "Text: mesh"]


def test_the_bar_works_while_the_catalogue_is_unavailable(qtbot: QtBot, scanLog: ScanLog) -> None:
    scanLog.setCatalogue(SciCat("http://127.0.0.1:9"))
    bar = filters_of(scanLog).bar
    qtbot.waitUntil(lambda: "does not answer" in bar.proposal.toolTip())
    qtbot.keyClicks(bar.search, "scan > 5")
    qtbot.keyClick(bar.search, Qt.Qt.Key_Return)
    assert chips(scanLog) == ["scan > 5"]
