"""The columns of the scan log as users arrange them, and how they are stored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data import layouts
from taurus_widgets.scanlog.data.layouts import STANDARD
from taurus_widgets.scanlog.dialogs.columns import KEY_ROLE, NAME, ColumnChooser
from taurus_widgets.scanlog.features.columns import Columns
from taurus_widgets.scanlog.table.header import LogHeader
from tests.builders.scicat_datasets import scan
from tests.servers.catalogue import Catalogue
from tests.ui.catalogue_faults import need_faults
from tests.ui.held_catalogue import Held

Shown = Callable[[int], None]

USUAL = [place.key for place in layouts.default_layout()]


def columns_of(log: ScanLog) -> Columns:
    return log.columns


def header_of(log: ScanLog) -> LogHeader:
    header = log.table.horizontalHeader()
    assert isinstance(header, LogHeader)
    return header


def keys(log: ScanLog) -> list[str]:
    return [column.key for column in log.shownColumns()]


def section(log: ScanLog, key: str) -> int:
    return [column.key for column in log.scans.columns].index(key)


def middle(log: ScanLog, key: str) -> Qt.QPoint:
    header = header_of(log)
    place = section(log, key)
    return Qt.QPoint(header.sectionViewportPosition(place) + header.sectionSize(place) // 2, header.height() // 2)


def drag(qtbot: QtBot, header: LogHeader, start: Qt.QPoint, end: Qt.QPoint) -> None:
    """Drag like a user: press, move in steps, release."""
    view = header.viewport()
    qtbot.mousePress(view, Qt.Qt.LeftButton, pos=start)
    for part in range(1, 11):
        where = start + (end - start) * part / 10
        move = Qt.QMouseEvent(
            Qt.QEvent.MouseMove, where, view.mapToGlobal(where), Qt.Qt.NoButton, Qt.Qt.LeftButton, Qt.Qt.NoModifier
        )
        Qt.QApplication.sendEvent(view, move)
    qtbot.mouseRelease(view, Qt.Qt.LeftButton, pos=end)


@pytest.fixture
def filled(scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown, qtbot: QtBot) -> ScanLog:
    scicat.create_dataset(scan(1, time.time() - 60, proposal=proposal))
    scanLog.setCatalogue(scicat, proposal)
    shown(1)
    qtbot.waitUntil(lambda: "Optics/Energy" in columns_of(scanLog).available.found)
    return scanLog


@pytest.fixture
def again(qtbot: QtBot, scicat: SciCat, proposal: str) -> Iterator[Callable[[], ScanLog]]:
    """Another window of the same user, later."""
    opened = []

    def make() -> ScanLog:
        log = ScanLog()
        qtbot.addWidget(log)
        log.resize(1280, 800)
        log.show()
        log.setCatalogue(scicat, proposal)
        opened.append(log)
        return log

    yield make
    for log in opened:
        log.stop()


class TestHeader:
    def test_the_cross_hides_a_column_and_nothing_else(self, qtbot: QtBot, filled: ScanLog) -> None:
        header = header_of(filled)
        query = filled.query
        cross = header.closeRect(section(filled, "points")).center()
        qtbot.mouseMove(header.viewport(), cross)
        qtbot.mouseClick(header.viewport(), Qt.Qt.LeftButton, pos=cross)
        assert keys(filled) == [key for key in USUAL if key != "points"]
        assert filled.query == query  # the click did not sort

    def test_a_cross_left_before_the_button_is_released_hides_nothing(self, qtbot: QtBot, filled: ScanLog) -> None:
        header = header_of(filled)
        cross = header.closeRect(section(filled, "points")).center()
        qtbot.mousePress(header.viewport(), Qt.Qt.LeftButton, pos=cross)
        qtbot.mouseRelease(header.viewport(), Qt.Qt.LeftButton, pos=cross - Qt.QPoint(40, 0))
        assert keys(filled) == USUAL

    def test_a_column_is_moved_by_dragging(self, qtbot: QtBot, filled: ScanLog) -> None:
        drag(qtbot, header_of(filled), middle(filled, "title"), middle(filled, "runNumber") - Qt.QPoint(15, 0))
        assert keys(filled)[:3] == ["status", "title", "runNumber"]

    def test_group_name_and_unit_are_in_it(self, qtbot: QtBot, filled: ScanLog) -> None:
        header = header_of(filled)
        low = header.height()
        filled.addColumn("Machine/Ring current")
        qtbot.waitUntil(lambda: filled.scans.columns[-1].title == "Ring current (mA)")
        assert filled.scans.columns[-1].group == "Machine"
        assert header.height() > low
        columns_of(filled).resetLayout()
        assert header.height() == low

    def test_a_resized_column_keeps_its_width_when_others_are_added_or_removed(
        self, qtbot: QtBot, filled: ScanLog
    ) -> None:
        header = header_of(filled)
        place = section(filled, "title")
        edge = Qt.QPoint(header.sectionViewportPosition(place) + header.sectionSize(place) - 1, 5)
        before = header.sectionSize(place)
        drag(qtbot, header, edge, edge + Qt.QPoint(60, 0))
        assert header.sectionSize(place) == before + 60
        filled.addColumn("Machine/Ring current")
        qtbot.waitUntil(lambda: filled.scans.columns[-1].title == "Ring current (mA)")
        columns_of(filled).showKeys([key for key in keys(filled) if key != "status"])
        assert header.sectionSize(section(filled, "title")) == before + 60
        assert filled.table.itemDelegateForColumn(section(filled, "dataQualityMetrics")) is not None

    def test_the_last_column_cannot_be_hidden(self, filled: ScanLog) -> None:
        columns_of(filled).showKeys(["title"])
        header_of(filled).hideWanted.emit(0)
        assert keys(filled) == ["title"]


class TestKept:
    def test_another_window_has_the_same_columns(
        self, qtbot: QtBot, filled: ScanLog, settings: Path, again: Callable[[], ScanLog]
    ) -> None:
        drag(qtbot, header_of(filled), middle(filled, "title"), middle(filled, "runNumber") - Qt.QPoint(15, 0))
        filled.addColumn("Optics/Energy")
        qtbot.waitUntil(settings.exists)
        qtbot.waitUntil(lambda: "Optics/Energy" in settings.read_text("utf-8"))
        assert set(json.loads(settings.read_text("utf-8"))["beamlines"]) == {"cosaxs"}
        assert keys(filled) == keys(again())

    def test_each_beamline_has_its_own(self, filled: ScanLog, again: Callable[[], ScanLog]) -> None:
        columns_of(filled).showKeys(["status", "title"])
        columns_of(filled).setBeamline("femtomax")
        assert keys(filled) == USUAL
        columns_of(filled).showKeys(["comment"])
        other = again()
        assert keys(other) == ["status", "title"]
        columns_of(other).setBeamline("femtomax")
        assert keys(other) == ["comment"]

    def test_columns_of_an_option_stay_when_the_beamline_is_known(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str
    ) -> None:
        scicat.create_dataset(scan(1, time.time() - 60, proposal=proposal))
        scanLog.addColumn("Optics/Energy")
        scanLog.setCatalogue(scicat, proposal)
        qtbot.waitUntil(lambda: "Optics/Energy" in columns_of(scanLog).available.found)
        assert keys(scanLog) == [*USUAL[:-1], "Optics/Energy", USUAL[-1]]

    def test_an_invalid_file_is_reported_and_not_changed(
        self, filled: ScanLog, settings: Path, again: Callable[[], ScanLog]
    ) -> None:
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("{oops", "utf-8")
        log = again()
        columns_of(log).showKeys(["title"])
        assert keys(log) == ["title"]
        assert str(settings) in columns_of(log).problem
        assert settings.read_text("utf-8") == "{oops"


class TestLayouts:
    def answer(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        given = iter(answers)
        monkeypatch.setattr(Qt.QInputDialog, "getText", lambda *_, **__: (next(given), True))

    def test_several_have_names(self, filled: ScanLog, monkeypatch: pytest.MonkeyPatch) -> None:
        part = columns_of(filled)
        part.showKeys(["status", "title"])
        self.answer(monkeypatch, "Alignment")
        part.new.trigger()
        part.showKeys(["title"])
        part.useLayout(STANDARD)
        assert keys(filled) == ["status", "title"]
        part.menu.aboutToShow.emit()
        (chosen,) = (action for action in part.menu.actions() if action.text() == "Alignment")
        chosen.trigger()
        assert keys(filled) == ["title"]

    def test_a_used_name_is_asked_for_again(self, filled: ScanLog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer(monkeypatch, STANDARD, " Night  shift ")
        columns_of(filled).new.trigger()
        columns_of(filled).menu.aboutToShow.emit()
        assert "Night shift" in [action.text() for action in columns_of(filled).menu.actions()]

    def test_they_are_renamed_and_deleted(
        self, filled: ScanLog, monkeypatch: pytest.MonkeyPatch, again: Callable[[], ScanLog]
    ) -> None:
        part = columns_of(filled)
        self.answer(monkeypatch, "Alignment", "Beam")
        part.new.trigger()
        part.showKeys(["title"])
        part.menu.aboutToShow.emit()
        part.rename.trigger()
        assert keys(again()) == ["title"]
        part.delete.trigger()
        assert keys(filled) == USUAL
        part.menu.aboutToShow.emit()
        assert not {"Beam", "Alignment"} & {action.text() for action in part.menu.actions()}
        assert not part.delete.isEnabled()

    def test_keys_make_the_column_of_the_current_cell_wider_and_narrower(self, qtbot: QtBot, filled: ScanLog) -> None:
        header, held = header_of(filled), Qt.Qt.AltModifier | Qt.Qt.ShiftModifier
        filled.table.setFocus()
        filled.table.setCurrentIndex(filled.scans.index(0, section(filled, "points")))
        qtbot.keyClick(filled.table, Qt.Qt.Key_Left)
        before = {key: header.sectionSize(section(filled, key)) for key in ("title", "points")}
        for _ in range(3):
            qtbot.keyClick(filled.table, Qt.Qt.Key_Right, held)
        letter = filled.table.fontMetrics().horizontalAdvance("0")
        assert header.sectionSize(section(filled, "title")) == before["title"] + 6 * letter
        for _ in range(100):
            qtbot.keyClick(filled.table, Qt.Qt.Key_Left, held)
        assert header.sectionSize(section(filled, "title")) == header.minimumSectionSize()
        assert header.sectionSize(section(filled, "points")) == before["points"]
        assert "title" in filled.table.chosenWidths()

    def test_reset_restores_the_default_columns_and_widths(self, filled: ScanLog) -> None:
        part, header = columns_of(filled), header_of(filled)
        usual = header.sectionSize(section(filled, "title"))
        header.resizeSection(section(filled, "title"), usual + 80)
        part.showKeys(["title", "status"])
        part.reset.trigger()
        assert keys(filled) == USUAL
        assert header.sectionSize(section(filled, "title")) == usual


class TestChooser:
    @pytest.fixture
    def chooser(self, qtbot: QtBot, filled: ScanLog) -> ColumnChooser:
        qtbot.keyClick(filled.table, Qt.Qt.Key_K, Qt.Qt.ControlModifier)
        chooser = columns_of(filled).chooser
        assert chooser is not None
        qtbot.waitUntil(lambda: len(self.offered(chooser)) > 20)
        return chooser

    def offered(self, chooser: ColumnChooser) -> dict[str, Qt.QTreeWidgetItem]:
        """The visible fields in the list, by key."""
        groups = [chooser.tree.topLevelItem(row) for row in range(chooser.tree.topLevelItemCount())]
        items = [group.child(row) for group in groups for row in range(group.childCount())]
        return {item.data(NAME, KEY_ROLE): item for item in items if not item.isHidden()}

    def test_available_fields_are_searched_ticked_and_shown(
        self, qtbot: QtBot, filled: ScanLog, chooser: ColumnChooser
    ) -> None:
        qtbot.keyClicks(chooser.search, "optics energy")
        assert list(self.offered(chooser)) == ["Optics/Energy"]
        chooser.tree.setCurrentItem(self.offered(chooser)["Optics/Energy"])
        qtbot.keyClick(chooser.tree, Qt.Qt.Key_Space)
        chooser.search.clear()
        qtbot.keyClicks(chooser.search, "folder")
        chooser.tree.setCurrentItem(self.offered(chooser)["sourceFolder"])
        qtbot.keyClick(chooser.tree, Qt.Qt.Key_Space)
        chooser.shown.setFocus()
        qtbot.keyClick(chooser.shown, Qt.Qt.Key_Up, Qt.Qt.AltModifier)
        chooser.accept()
        assert keys(filled) == [*USUAL, "sourceFolder", "Optics/Energy"]
        row = filled.scans.index(0, section(filled, "sourceFolder"))
        qtbot.waitUntil(lambda: "scan-0001" in str(row.data()))

    def test_units_and_examples_are_there(self, chooser: ColumnChooser) -> None:
        current = self.offered(chooser)["Machine/Ring current"]
        assert [current.text(place) for place in range(3)] == ["Ring current", "mA", "500.083"]

    def test_columns_are_removed_by_keyboard(self, qtbot: QtBot, filled: ScanLog, chooser: ColumnChooser) -> None:
        chooser.shown.setFocus()
        chooser.shown.setCurrentRow(0)
        qtbot.keyClick(chooser.shown, Qt.Qt.Key_Delete)
        assert self.offered(chooser)["status"].checkState(NAME) == Qt.Qt.Unchecked
        chooser.accept()
        assert keys(filled) == USUAL[1:]

    def test_cancel_changes_nothing(self, qtbot: QtBot, filled: ScanLog, chooser: ColumnChooser) -> None:
        chooser.shown.setFocus()
        chooser.shown.selectAll()
        qtbot.keyClick(chooser.shown, Qt.Qt.Key_Delete)
        assert not chooser.buttons.button(Qt.QDialogButtonBox.Ok).isEnabled()
        qtbot.keyClick(chooser, Qt.Qt.Key_Escape)
        assert keys(filled) == USUAL

    def test_fields_of_old_datasets_are_found_by_typing(
        self, qtbot: QtBot, filled: ScanLog, scicat: SciCat, proposal: str, chooser: ColumnChooser
    ) -> None:
        old = scan(0, time.time() - 9e6, proposal=proposal)
        old["scientificMetadata"]["Attic"] = {"Vane": {"value": 1, "unit": "deg"}}
        scicat.create_dataset(old)
        assert "Attic/Vane" not in self.offered(chooser)
        qtbot.keyClicks(chooser.search, "vane")
        qtbot.waitUntil(lambda: "Attic/Vane" in self.offered(chooser))

    def test_a_name_with_a_dot_that_only_old_datasets_have_is_shown(
        self, qtbot: QtBot, filled: ScanLog, scicat: SciCat, proposal: str, chooser: ColumnChooser
    ) -> None:
        old = scan(0, time.time() - 9e6, proposal=proposal)
        old["scientificMetadata"]["Attic 1.5"] = {"Weather.vane": {"value": 31, "unit": "deg"}}
        scicat.create_dataset(old)
        qtbot.keyClicks(chooser.search, "weather")
        key = "Attic 1.5/Weather.vane"
        qtbot.waitUntil(lambda: key in self.offered(chooser))
        assert list(self.offered(chooser)) == [key]
        assert [self.offered(chooser)[key].text(place) for place in range(3)] == ["Weather.vane", "deg", "31"]
        chooser.tree.setCurrentItem(self.offered(chooser)[key])
        qtbot.keyClick(chooser.tree, Qt.Qt.Key_Space)
        chooser.accept()
        place = section(filled, key)
        qtbot.waitUntil(
            lambda: "31" in [filled.scans.index(row, place).data() for row in range(filled.scans.rowCount())]
        )


def test_the_chooser_reports_that_the_catalogue_is_unavailable(qtbot: QtBot, scanLog: ScanLog) -> None:
    scanLog.setCatalogue(SciCat("http://127.0.0.1:9"))
    chooser = columns_of(scanLog).openChooser()
    qtbot.waitUntil(lambda: "does not answer" in chooser.message.text())
    assert chooser.keys() == USUAL


class TestFailingCatalogue:
    @pytest.fixture
    def fail(self, catalogue: Catalogue, scicat: SciCat) -> Iterator[Callable[..., None]]:
        """Makes the catalogue fail."""
        need_faults(catalogue)

        def tell(*rules: dict[str, object]) -> None:
            scicat.call("PUT", "/embedded/faults", list(rules))  # type: ignore[arg-type]

        yield tell
        scicat.call("DELETE", "/embedded/faults")

    def test_unreadable_names_are_reported_and_those_of_the_rows_are_there(
        self, qtbot: QtBot, filled: ScanLog, fail: Callable[..., None]
    ) -> None:
        fail({"path": "metadataKeys", "do": "answer", "status": 500})
        chooser = columns_of(filled).openChooser()
        qtbot.waitUntil(lambda: "internal error (status 500)" in chooser.message.text())
        assert "Optics" in [chooser.tree.topLevelItem(row).text(0) for row in range(chooser.tree.topLevelItemCount())]


class TestHangingCatalogue:
    @pytest.fixture
    def scicat(self, catalogue: Catalogue) -> Held:
        return Held(catalogue)

    def test_it_does_not_block_the_window(self, qtbot: QtBot, filled: ScanLog, scicat: Held) -> None:
        with scicat.held():
            chooser = columns_of(filled).openChooser()
            qtbot.keyClicks(chooser.search, "pressure")
            qtbot.waitUntil(lambda: scicat.waiting > 1)  # for what is new, and for the names
            chooser.accept()
            columns_of(filled).showKeys(["title", "Sample environment/Pressure"])
            assert keys(filled) == ["title", "Sample environment/Pressure"]
