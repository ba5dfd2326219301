"""Comparing rows as a user does it, on a real catalogue and on one that fails."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.dialogs.compare import DIFFERS_ROLE, CompareDialog
from taurus_widgets.scanlog.parts.whole_value import WholeValue
from tests.builders.scicat_datasets import Json, scan
from tests.servers.catalogue import Catalogue
from tests.ui.catalogue_faults import failing
from tests.ui.held_catalogue import Held, answered

Shown = Callable[[int], None]
Open = Callable[[int], CompareDialog]


def made(number: int, proposal: str, energy: float = 12.4, spectrum: int = 0) -> Json:
    dataset = scan(number, time.time() - 60 + number, proposal=proposal, seconds=10)
    dataset |= {"sourceFolder": "/data/same", "datasetName": "same"}
    metadata = dataset["scientificMetadata"]
    metadata["Machine"] = {"Detuning": {"value": [spectrum, *range(99)], "unit": "Hz"}}
    metadata["Optics"]["Energy"] = {"value": energy, "unit": "keV", "human_name": "Energy"}
    return dataset


def action(log: ScanLog) -> Qt.QAction:
    part = log.compare
    return part.action


@pytest.fixture
def compare(qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown) -> Open:
    """Select this number of rows with the keyboard, and compare them by key."""

    def open_(count: int) -> CompareDialog:
        scanLog.setCatalogue(scicat, proposal)
        shown(count)
        scanLog.table.setFocus()
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_A, Qt.Qt.ControlModifier)
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_D, Qt.Qt.ControlModifier)
        (dialog,) = scanLog.findChildren(CompareDialog)
        return dialog

    return open_


def labels(dialog: CompareDialog) -> list[str]:
    return [row.label for row in dialog.model.rows]


def test_only_what_differs_is_shown(qtbot: QtBot, scicat: SciCat, proposal: str, compare: Open) -> None:
    for number, energy in ((1, 12.4), (2, 7.1), (3, 12.4)):
        scicat.create_dataset(made(number, proposal, energy))
    dialog = compare(3)
    qtbot.waitUntil(lambda: dialog.table.isVisible())
    assert labels(dialog) == ["Optics / Energy (keV)"]
    model = dialog.model
    assert [model.index(0, column).data() for column in range(3)] == ["12.4", "7.1", "12.4"]
    assert model.headerData(0, Qt.Qt.Horizontal).startswith("3   ")  # as in the table: newest first
    assert model.index(0, 0).data(Qt.Qt.TextAlignmentRole) & Qt.Qt.AlignRight
    assert [model.index(0, column).data(DIFFERS_ROLE) for column in range(3)] == [False, True, False]
    assert "1 value differs" in dialog.message.text()
    header = dialog.table.horizontalHeader()
    qtbot.mouseClick(
        header.viewport(), Qt.Qt.LeftButton, pos=Qt.QPoint(header.sectionViewportPosition(1) + 20, header.height() // 2)
    )
    assert [model.index(0, column).data(DIFFERS_ROLE) for column in range(3)] == [True, False, True]
    assert "Compared with this one" in model.headerData(1, Qt.Qt.Horizontal)
    dialog.close()


def test_it_reports_that_nothing_differs(qtbot: QtBot, scicat: SciCat, proposal: str, compare: Open) -> None:
    for number in (1, 2):
        scicat.create_dataset(made(number, proposal))
    dialog = compare(2)
    qtbot.waitUntil(lambda: dialog.message.text().startswith("Nothing differs: "))
    assert "in both datasets" in dialog.message.text()
    assert not dialog.table.isVisible()
    assert not dialog.copyAll.isEnabled()
    dialog.close()


def test_it_can_be_copied_and_long_values_are_shown_in_full_on_demand(
    qtbot: QtBot, scicat: SciCat, proposal: str, compare: Open
) -> None:
    scicat.create_dataset(made(1, proposal))
    scicat.create_dataset(made(2, proposal, spectrum=5) | {"comment": "=1+1"})
    dialog = compare(2)
    qtbot.waitUntil(lambda: dialog.table.isVisible())
    assert labels(dialog) == ["Dataset / Comment", "Machine / Detuning (Hz)"]
    qtbot.keyClick(dialog.table, Qt.Qt.Key_A, Qt.Qt.ControlModifier)
    qtbot.keyClick(dialog.table, Qt.Qt.Key_C, Qt.Qt.ControlModifier)
    assert Qt.QApplication.clipboard().text().splitlines()[0] == "Dataset / Comment\t'=1+1\t"
    qtbot.mouseClick(dialog.copyAll, Qt.Qt.LeftButton)
    assert Qt.QApplication.clipboard().text().splitlines()[0].startswith("Group\tName\tUnit\t2   ")
    dialog.table.setCurrentIndex(dialog.model.index(1, 0))
    qtbot.keyClick(dialog.table, Qt.Qt.Key_Return)
    (whole,) = dialog.findChildren(WholeValue)
    assert whole.text.toPlainText().splitlines()[0] == "5"
    whole.close()
    dialog.close()


def test_fifty_rows_with_progress(qtbot: QtBot, scicat: SciCat, proposal: str, compare: Open) -> None:
    for number in range(50):
        scicat.create_dataset(made(number, proposal, energy=7 + number % 3))
    dialog = compare(50)
    seen: set[int] = set()
    dialog.progress.valueChanged.connect(seen.add)
    qtbot.waitUntil(lambda: dialog.table.isVisible())
    assert {1, 25, 50} <= seen
    assert dialog.model.columnCount() == 50
    assert not dialog.progress.isVisible()
    dialog.close()


def test_one_row_or_too_many_cannot_be_compared(
    qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
) -> None:
    for number in range(51):
        scicat.create_dataset(scan(number, time.time() - 60 + number, proposal=proposal))
    scanLog.setCatalogue(scicat, proposal)
    shown(51)
    assert not action(scanLog).isEnabled()
    scanLog.table.selectRow(0)
    assert not action(scanLog).isEnabled()
    assert "Select 2 to 50 rows" in action(scanLog).toolTip()
    scanLog.table.selectAll()
    assert not action(scanLog).isEnabled()
    view = scanLog.table.viewport()
    for row, keys in ((3, Qt.Qt.NoModifier), (5, Qt.Qt.ControlModifier)):
        qtbot.mouseClick(view, Qt.Qt.LeftButton, keys, scanLog.table.visualRect(scanLog.scans.index(row, 1)).center())
    assert action(scanLog).isEnabled()
    assert "the 2 selected datasets" in action(scanLog).toolTip()


def test_an_unreadable_dataset_is_reported_and_retried(
    qtbot: QtBot, scicat: SciCat, catalogue: Catalogue, proposal: str, compare: Open
) -> None:
    for number, energy in ((1, 12.4), (2, 7.1), (3, 12.4)):
        scicat.create_dataset(made(number, proposal, energy))
    pid = made(1, proposal)["pid"].replace("/", ".")
    with failing(catalogue, {"do": "answer", "status": 503, "method": "GET", "path": f"datasets/{pid}"}):
        dialog = compare(3)
        qtbot.waitUntil(lambda: dialog.table.isVisible())
    assert dialog.state.label.text() == "1 of 3 datasets cannot be read: SciCat reports an internal error (status 503)"
    assert dialog.model.columnCount() == 2
    qtbot.mouseClick(dialog.state.button, Qt.Qt.LeftButton)
    qtbot.waitUntil(lambda: dialog.model.columnCount() == 3)
    assert not dialog.state.isVisible()
    dialog.close()


class TestHanging:
    @pytest.fixture
    def scicat(self, catalogue: Catalogue) -> Held:
        return Held(catalogue)

    def test_it_can_be_closed_at_once(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: Held, proposal: str, compare: Open
    ) -> None:
        for number in (1, 2):
            scicat.create_dataset(made(number, proposal))
        with scicat.held(lambda method, path: "/datasets/scizoo" in path):
            dialog = compare(2)
            qtbot.waitUntil(lambda: scicat.waiting >= 2)
            qtbot.keyClick(dialog, Qt.Qt.Key_Escape)
            assert not dialog.isVisible()
        answered(qtbot, scanLog.calls)  # the answers arrive after the dialog is gone


def test_a_scan_that_is_not_in_the_catalogue_yet_is_reported(
    qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
) -> None:
    for number in (1, 2):
        scicat.create_dataset(made(number, proposal, number))
    scanLog.setCatalogue(scicat, proposal)
    shown(2)
    scanLog.scans.expect({**scan(3, time.time(), proposal=proposal, status="running"), "provisional": True})
    scanLog.table.selectAll()
    action(scanLog).trigger()
    (dialog,) = scanLog.findChildren(CompareDialog)
    qtbot.waitUntil(lambda: dialog.table.isVisible())
    assert dialog.model.columnCount() == 2
    assert "1 of 3 datasets cannot be read: it is not in the catalogue" in dialog.state.label.text()
