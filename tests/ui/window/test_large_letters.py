"""With a font 1.6 times as large as usual, every dialog fits on a screen of 1280 by 800 pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.qt.application import OFFSCREEN_POINTS
from taurus_widgets.qt.calls import Calls
from taurus_widgets.qt.picture_viewer import PictureViewer
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.available_fields import gathered
from taurus_widgets.scanlog.data.cells import Sheet
from taurus_widgets.scanlog.data.columns import default_columns
from taurus_widgets.scanlog.data.outbox import Edit
from taurus_widgets.scanlog.dialogs.columns import ColumnChooser
from taurus_widgets.scanlog.dialogs.compare import CompareDialog
from taurus_widgets.scanlog.dialogs.edits import ConflictDialog, WaitingDialog
from taurus_widgets.scanlog.dialogs.login import LoginDialog
from taurus_widgets.scanlog.editing.edits import EditQueue, QueuedEdit
from taurus_widgets.scanlog.exporting.dialog import Rows, Table
from taurus_widgets.scanlog.exporting.elogy import Attribute
from taurus_widgets.scanlog.exporting.elogy_dialog import ElogyDialog
from taurus_widgets.scanlog.exporting.save_dialog import SaveDialog
from taurus_widgets.scanlog.exporting.settings import ExportSettings
from taurus_widgets.scanlog.parts.filter_bar import FromToDialog
from taurus_widgets.scanlog.parts.whole_value import WholeValue
from tests.builders.scicat_datasets import scan

SCREEN = Qt.QSize(1280, 800)
WANTS = tuple(Attribute(f"Question {number}", "multioption", True, ("yes", "no")) for number in range(6))


@pytest.fixture
def large() -> Iterator[None]:
    app = Qt.QApplication.instance()
    before = app.font()
    font = Qt.QFont(before)
    font.setPointSizeF(OFFSCREEN_POINTS * 1.6)
    app.setFont(font)
    yield
    app.setFont(before)


@pytest.fixture
def calls() -> Iterator[Calls]:
    found = Calls()
    yield found
    found.stop()


@pytest.fixture
def table(calls: Calls) -> Table:
    sheet = Sheet(default_columns(), "Scan log", "https://scicat.example.org")
    return Table(lambda: sheet, [Rows("Selected rows", lambda: 3, list)], calls, SciCat("http://127.0.0.1:9"))


Made = dict[str, Callable[[Qt.QWidget], Qt.QDialog]]


@pytest.fixture
def dialogs(qtbot: QtBot, table: Table, calls: Calls, tmp_path: Path) -> Iterator[Made]:
    dataset = scan(1, time.time())
    edits = EditQueue(tmp_path / "outbox")
    edit = Edit("c", "ada", dataset["pid"], "comment", "a comment\n" * 9, title="Scan 1: ascan mot01 0 10 20 0.1")
    queued = QueuedEdit(
        edit, theirs={"comment": "another\n" * 20, "updatedBy": "grace"}, why="grace has changed it as well."
    )
    yield {
        "save": lambda parent: SaveDialog(table, ExportSettings(), parent),
        "Elogy": lambda parent: ElogyDialog(table, ExportSettings(), "", {}, parent),
        "columns": lambda parent: ColumnChooser(gathered([dataset]), default_columns(), parent),
        "log in": lambda parent: LoginDialog(calls, "https://scicat.example.org", "ada", "It has expired.", parent),
        "clash": lambda parent: ConflictDialog(edits, queued, parent),
        "waiting": lambda parent: WaitingDialog(edits, parent),
        "compare": lambda parent: CompareDialog(calls, SciCat("http://127.0.0.1:9"), parent),
        "pictures": lambda parent: PictureViewer("Pictures of scan 1", calls, parent),
        "value": lambda parent: WholeValue("Orbit", list(range(2000)), "mm", parent),
        "from to": lambda parent: FromToDialog(None, None, parent),
    }
    edits.stop()


@pytest.mark.parametrize(
    "which",
    ["save", "Elogy", "columns", "log in", "clash", "waiting", "compare", "pictures", "value", "from to"],
)
def test_a_dialog_fits(qtbot: QtBot, large: None, dialogs: Made, which: str) -> None:
    parent = Qt.QWidget()
    qtbot.addWidget(parent)
    dialog = dialogs[which](parent)
    if isinstance(dialog, ElogyDialog):
        dialog.attributes.setAttributes(WANTS, {})
        dialog.attributes.show()
    with qtbot.waitExposed(dialog):
        dialog.show()
    Qt.QApplication.processEvents()  # its layout follows
    room = SCREEN - Qt.QSize(20, 40)
    assert dialog.size().boundedTo(room) == dialog.size()
    assert dialog.minimumSizeHint().boundedTo(room) == dialog.minimumSizeHint()


def test_the_widget_with_the_focus_is_scrolled_into_view(qtbot: QtBot, large: None, dialogs: Made) -> None:
    parent = Qt.QWidget()
    qtbot.addWidget(parent)
    dialog = dialogs["Elogy"](parent)
    assert isinstance(dialog, ElogyDialog)
    dialog.attributes.setAttributes(WANTS, {})
    dialog.attributes.show()
    with qtbot.waitActive(dialog):
        dialog.show()
    dialog.title.setFocus()
    for _ in range(20):
        qtbot.keyClick(Qt.QApplication.focusWidget(), Qt.Qt.Key_Tab)
        found = Qt.QApplication.focusWidget()
        assert not found.visibleRegion().isEmpty()
        if found is dialog.pictures:
            return
    pytest.fail("Tab does not come to the last field")


def test_the_scan_log_itself_fits_into_a_panel(qtbot: QtBot, large: None) -> None:
    log = ScanLog()
    qtbot.addWidget(log)
    log.resize(800, 500)
    log.show()
    assert (log.width(), log.height()) == (800, 500)
