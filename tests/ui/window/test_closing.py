"""A scan log that is closed, shown again, or removed from its window while work is in progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.outbox import Outbox
from taurus_widgets.scanlog.exporting import save_dialog
from taurus_widgets.scanlog.exporting.progress import ExportProgress
from taurus_widgets.scanlog.exporting.save_dialog import SaveDialog
from taurus_widgets.scanlog.features import picture_import
from tests.builders.scicat_datasets import Json, scan
from tests.servers.catalogue import Catalogue
from tests.ui.accounts import INGESTOR
from tests.ui.cell_steps import cell, editor, outbox, rate, there
from tests.waiting import PATIENCE

Shown = Callable[[int], None]


@pytest.fixture
def made(scanLog: ScanLog, catalogue: Catalogue, scicat: SciCat, proposal: str, shown: Shown) -> Json:
    """The one dataset in the log."""
    dataset = scan(1, time.time() - 60, proposal=proposal, comment="as it was")
    scicat.create_dataset(dataset)
    scanLog.setCatalogue(SciCat(catalogue.url, INGESTOR.username, INGESTOR.password), proposal)
    shown(1)
    return dataset


def test_a_closed_log_that_is_shown_again_continues(
    qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown, made: Json
) -> None:
    scanLog.close()
    scicat.create_dataset(scan(2, time.time(), proposal=proposal))
    scanLog.show()
    shown(2)
    scicat.create_dataset(scan(3, time.time() + 1, proposal=proposal))
    shown(3)
    scanLog.table.selectRow(2)
    qtbot.waitUntil(lambda: scanLog.details.tree.topLevelItemCount() > 0)
    rate(qtbot, scanLog, 2.0, 2)  # by mouse: offscreen, a window that was hidden never gets the focus again
    qtbot.waitUntil(lambda: there(scicat, made["pid"]).get("dataQualityMetrics") == 2)


def test_a_catalogue_set_while_closed_is_shown_afterwards(
    scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown, made: Json
) -> None:
    for number in range(3):
        scicat.create_dataset(scan(number, time.time(), proposal=f"{proposal}-other"))
    scanLog.close()
    scanLog.setCatalogue(scicat, f"{proposal}-other")
    scanLog.show()
    shown(3)


def test_a_closed_dock_that_is_shown_again_continues(
    qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown, made: Json
) -> None:
    window = Qt.QMainWindow()
    qtbot.addWidget(window)
    dock = Qt.QDockWidget()
    dock.setWidget(scanLog)
    window.addDockWidget(Qt.Qt.LeftDockWidgetArea, dock)
    window.show()
    for count, close, show in ((2, dock.close, dock.show), (3, window.close, window.show)):
        close()
        assert not scanLog.isVisible()
        show()
        scicat.create_dataset(scan(count, time.time(), proposal=proposal))
        shown(count)
    dock.setWidget(None)
    scanLog.setParent(None)


def test_a_comment_that_is_being_written_is_not_lost_at_close(
    qtbot: QtBot, scanLog: ScanLog, state_home: Path, made: Json
) -> None:
    with qtbot.waitActive(scanLog):
        scanLog.activateWindow()
    scanLog.table.setCurrentIndex(cell(scanLog, "comment"))
    qtbot.keyClick(scanLog.table, Qt.Qt.Key_F2)
    editor(scanLog).selectAll()
    qtbot.keyClicks(editor(scanLog), "half a sentence")
    scanLog.close()
    assert ['"half a sentence"' in file.read_text("utf-8") for file in outbox(state_home)] == [True]


def test_a_picture_that_is_being_read_is_not_lost_at_close(
    qtbot: QtBot, scanLog: ScanLog, state_home: Path, made: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: Path) -> str:
        time.sleep(0.3)  # like a slow disk
        return "data:image/png;base64,AAAA"

    monkeypatch.setattr(picture_import.imaging, "fromFile", slow)
    scanLog.editing.pictureImport.addFiles(made, [tmp_path / "plot.png"])
    scanLog.close()
    assert ["plot.png" in file.read_text("utf-8") for file in outbox(state_home)] == [True]


def removed(qtbot: QtBot, log: ScanLog) -> None:
    """Remove the panel like TaurusGui.removePanel, which does not notify it."""
    dock = Qt.QDockWidget()
    dock.setAttribute(Qt.Qt.WA_DeleteOnClose)
    dock.setWidget(log)
    with qtbot.waitSignal(dock.destroyed):
        dock.close()


@pytest.fixture
def panel(qtbot: QtBot, scicat: SciCat, proposal: str) -> ScanLog:
    scicat.create_dataset(scan(1, time.time() - 60, proposal=proposal))
    log = ScanLog()
    log.setCatalogue(SciCat(scicat.base_url, INGESTOR.username, INGESTOR.password), proposal)
    qtbot.waitUntil(lambda: log.scans.rowCount() == 1)
    return log


def test_an_edit_of_a_removed_panel_is_saved_on_disk(
    qtbot: QtBot, panel: ScanLog, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Outbox.put
    may_write = threading.Event()
    monkeypatch.setattr(Outbox, "put", lambda *of: may_write.wait(PATIENCE) and put(*of))
    editing = panel.editing
    for text in ("the first", "the second, which has not begun"):
        editing.write(panel.scans.dataset(0), "comment", text, "")
    removed(qtbot, panel)
    may_write.set()
    qtbot.waitUntil(lambda: any("the second" in file.read_text("utf-8") for file in outbox(state_home)))


@pytest.mark.parametrize("how", ["removed", "closed"])
def test_an_export_stops_with_its_panel(
    qtbot: QtBot, panel: ScanLog, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[ExportProgress] = []
    write = save_dialog.save

    def slow(path: Path, sheet: object, pages: object, progress: ExportProgress, *more: object) -> int:
        began.append(progress)
        progress.pause(PATIENCE)
        return write(path, sheet, pages, progress, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(save_dialog, "save", slow)
    panel.exporting.save.trigger()
    dialog = panel.exporting.dialog
    assert isinstance(dialog, SaveDialog)
    dialog.file.setText(str(tmp_path / "rows.csv"))
    qtbot.mouseClick(dialog.go, Qt.Qt.LeftButton)
    qtbot.waitUntil(lambda: bool(began))
    if how == "removed":
        removed(qtbot, panel)
    else:
        panel.close()
    assert began[0].ended.wait(PATIENCE)
    assert not list(tmp_path.glob("*rows*"))
