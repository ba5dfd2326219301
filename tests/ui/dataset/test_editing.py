"""Ratings and comments that users write in the cells, on a real catalogue."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.dialogs.edits import ConflictDialog, WaitingDialog
from taurus_widgets.scanlog.editing.delegates import CommentField
from taurus_widgets.scanlog.editing.edits import EditState, QueuedEdit
from tests.builders.scicat_datasets import scan
from tests.servers.catalogue import Catalogue
from tests.ui.accounts import INGESTOR, USER1, USER2, need_users
from tests.ui.catalogue_faults import failing
from tests.ui.cell_steps import cell, comment, editing, editor, outbox, place, rate, there
from tests.ui.held_catalogue import Held
from tests.waiting import PATIENCE

pytestmark = pytest.mark.first

Shown = Callable[[int], None]

KILLED = """
import json, sys
from taurus.external.qt import Qt
from ingest.scicat import SciCat
from taurus_widgets.scanlog.editing.edits import EditQueue
from taurus_widgets.scanlog.data.state_folder import stateFolder
application = Qt.QCoreApplication([])
edits = EditQueue(stateFolder() / "outbox")
silent = SciCat(sys.argv[1], sys.argv[3], "unknown", timeout=0.001)  # it never gets an answer
edits.setAccount(silent)
edits.change(json.loads(sys.argv[2]), "comment", "before it was killed", "as it was")
edits.unsent[0].kept.wait()
print("kept", flush=True)
application.exec_()
"""
"""A window that has written a comment, and nothing else."""


@pytest.fixture
def made(scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown) -> Json:
    """The one dataset in the log."""
    dataset = scan(1, time.time() - 60, proposal=proposal, comment="as it was", dataQualityMetrics=1)
    scicat.create_dataset(dataset)
    scanLog.setCatalogue(SciCat(scicat.base_url, INGESTOR.username, INGESTOR.password), proposal)
    shown(1)
    return dataset


class TestRating:
    @pytest.mark.parametrize("rating", [0.5, 1.5, 2.0, 3.0])
    def test_a_click_on_the_stars_is_in_scicat_at_once(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json, rating: float
    ) -> None:
        rate(qtbot, scanLog, rating)
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["dataQualityMetrics"] == rating)
        assert not scanLog.table.selectionModel().hasSelection()

    def test_the_same_click_again_removes_it(self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json) -> None:
        rate(qtbot, scanLog, 1.0)
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["dataQualityMetrics"] == 0)

    @pytest.mark.parametrize(("key", "rating"), [("+", 1.5), ("-", 0.5), ("3", 3), ("0", 0)])
    def test_keys_rate_in_the_cell(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json, key: str, rating: float
    ) -> None:
        scanLog.table.setCurrentIndex(cell(scanLog, "dataQualityMetrics"))
        qtbot.keyClicks(scanLog.table, key)
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["dataQualityMetrics"] == rating)

    def test_delete_removes_it(self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json) -> None:
        scanLog.table.setCurrentIndex(cell(scanLog, "dataQualityMetrics"))
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_Delete)
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["dataQualityMetrics"] == 0)

    def test_a_click_beside_the_stars_selects_the_row(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json
    ) -> None:
        area = place(scanLog, "dataQualityMetrics")
        qtbot.mouseClick(scanLog.table.viewport(), Qt.Qt.LeftButton, pos=Qt.QPoint(area.x() + 1, area.center().y()))
        assert scanLog.table.selectionModel().hasSelection()
        assert not editing(scanLog).edits.unsent

    def test_the_menu_of_a_row_has_it(self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json) -> None:
        scanLog.table.setCurrentIndex(scanLog.scans.index(0, 0))
        menu = next(action.menu() for action in scanLog.table.actions() if action.text() == "Rating")
        next(action for action in menu.actions() if action.text() == "★★½").trigger()
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["dataQualityMetrics"] == 2.5)


class TestComment:
    def test_it_is_typed_in_the_cell(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json, state_home: Path
    ) -> None:
        before = there(scicat, made["pid"])["scientificMetadata"]
        comment(qtbot, scanLog, "a better one")
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == "a better one")
        assert there(scicat, made["pid"])["scientificMetadata"] == before
        qtbot.waitUntil(lambda: cell(scanLog, "comment").data() == "a better one")
        qtbot.waitUntil(lambda: outbox(state_home) == [])

    def test_it_may_have_lines(self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json) -> None:
        where = place(scanLog, "comment").center()
        qtbot.mouseClick(scanLog.table.viewport(), Qt.Qt.LeftButton, pos=where)
        qtbot.mouseDClick(scanLog.table.viewport(), Qt.Qt.LeftButton, pos=where)
        assert scanLog.details.isHidden()  # otherwise they would be under the second
        field = editor(scanLog)
        qtbot.keyClick(field, Qt.Qt.Key_Return, Qt.Qt.ShiftModifier)
        qtbot.keyClicks(field, "and <b>more</b>")
        qtbot.keyClick(field, Qt.Qt.Key_Return)
        wanted = "as it was\nand <b>more</b>"
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == wanted)

    def test_a_single_click_selects_the_row(self, qtbot: QtBot, scanLog: ScanLog, made: Json) -> None:
        where = place(scanLog, "comment").center()
        qtbot.mouseClick(scanLog.table.viewport(), Qt.Qt.LeftButton, pos=where)
        qtbot.waitUntil(lambda: scanLog.table.selectionModel().hasSelection())
        assert scanLog.details.isVisible()

    def test_escape_keeps_the_comment(self, qtbot: QtBot, scanLog: ScanLog, made: Json) -> None:
        scanLog.table.setCurrentIndex(cell(scanLog, "comment"))
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_Return)
        qtbot.keyClicks(editor(scanLog), "nothing")
        qtbot.keyClick(editor(scanLog), Qt.Qt.Key_Escape)
        qtbot.waitUntil(lambda: not scanLog.table.findChildren(CommentField))
        assert not editing(scanLog).edits.unsent

    def test_typed_text_stays_when_the_row_changes(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json
    ) -> None:
        scanLog.table.setCurrentIndex(cell(scanLog, "comment"))
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_F2)
        qtbot.keyClicks(editor(scanLog), " and is")
        scicat.patch_dataset(made["pid"], {"dataQualityMetrics": 3})
        qtbot.waitUntil(lambda: "★★★" in str(cell(scanLog, "dataQualityMetrics").data()))
        assert editor(scanLog).toPlainText() == "as it was and is"

    def test_typed_text_is_kept_when_all_rows_are_read_again(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json
    ) -> None:
        scanLog.table.setCurrentIndex(cell(scanLog, "comment"))
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_F2)
        qtbot.keyClicks(editor(scanLog), " too")
        scanLog.scans.clear()
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == "as it was too")

    def test_of_several_quick_edits_the_last_stays(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json, state_home: Path
    ) -> None:
        for number in range(5):
            comment(qtbot, scanLog, f"number {number}")
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == "number 4")
        qtbot.waitUntil(lambda: outbox(state_home) == [])
        assert editing(scanLog).conflict is None


class TestAway:
    def test_an_edit_is_kept_and_sent_when_scicat_is_back(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, catalogue: Catalogue, made: Json, state_home: Path
    ) -> None:
        with failing(catalogue, {"do": "cut", "method": "PATCH"}):
            comment(qtbot, scanLog, "while it was away")
            qtbot.waitUntil(lambda: "does not answer" in editing(scanLog).notice.label.text())
            files = outbox(state_home)
            assert [json.loads(file.read_text("utf-8"))["value"] for file in files] == ["while it was away"]
            assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
            assert editing(scanLog).edits.unsent[0].state is EditState.WAITING
            assert there(scicat, made["pid"])["comment"] == "as it was"
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == "while it was away")
        qtbot.waitUntil(lambda: editing(scanLog).notice.isHidden())

    @pytest.mark.parametrize("deed", ["answer_after", "cut_after", "hang", "html"])
    def test_it_is_written_in_the_end_after_any_error(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, catalogue: Catalogue, made: Json, deed: str
    ) -> None:
        timeout = 2.0 if deed == "hang" else PATIENCE
        scanLog.setCatalogue(
            SciCat(catalogue.url, INGESTOR.username, INGESTOR.password, timeout=timeout), made["proposalId"]
        )
        qtbot.waitUntil(lambda: scanLog.scans.rowCount() == 1)
        with failing(catalogue, {"do": deed, "method": "PATCH", "times": 2}):
            comment(qtbot, scanLog, "in spite of all")
            qtbot.waitUntil(lambda: not editing(scanLog).edits.unsent)
        assert there(scicat, made["pid"])["comment"] == "in spite of all"
        assert editing(scanLog).conflict is None

    def test_an_edit_survives_the_window(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, catalogue: Catalogue, made: Json
    ) -> None:
        with failing(catalogue, {"do": "cut", "method": "PATCH"}):
            comment(qtbot, scanLog, "from an earlier window")
            qtbot.waitUntil(lambda: "does not answer" in editing(scanLog).notice.label.text())
            scanLog.close()
        assert there(scicat, made["pid"])["comment"] == "as it was"
        again = ScanLog()
        qtbot.addWidget(again)
        again.setCatalogue(SciCat(catalogue.url, INGESTOR.username, INGESTOR.password), made["proposalId"])
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == "from an earlier window")
        again.close()

    def test_an_edit_survives_a_killed_process(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json, state_home: Path
    ) -> None:
        script = [sys.executable, "-c", KILLED, scicat.base_url, json.dumps(made), INGESTOR.username]
        with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "kept\n"
            process.kill()
        assert len(outbox(state_home)) == 1
        again = ScanLog()
        qtbot.addWidget(again)
        again.setCatalogue(SciCat(scicat.base_url, INGESTOR.username, INGESTOR.password))
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == "before it was killed")
        again.close()

    def test_an_edit_that_cannot_be_saved_on_disk_is_still_sent(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json, state_home: Path
    ) -> None:
        (state_home / "scanlog").mkdir(parents=True, exist_ok=True)
        (state_home / "scanlog" / "outbox").write_text("in the way", "utf-8")
        comment(qtbot, scanLog, "from memory")
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == "from memory")


class TestUndone:
    def test_a_comment_undone_by_a_write_of_metadata_is_written_again(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json
    ) -> None:
        undone: list[object] = []

        def undo(queued: QueuedEdit) -> None:
            """Like the real server: restore the comment of an earlier read."""
            undone.append(there(scicat, made["pid"])["comment"])
            scicat.patch_dataset(made["pid"], {"comment": "as it was"})

        editing(scanLog).edits.arrived.connect(undo)
        comment(qtbot, scanLog, "it stays")
        qtbot.waitUntil(lambda: undone == ["it stays"])
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == "it stays")


class TestTwoPeople:
    @pytest.fixture
    def conflict(self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json) -> ConflictDialog:
        """Two users have edited one comment."""
        scanLog.table.setCurrentIndex(cell(scanLog, "comment"))
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_F2)
        scicat.patch_dataset(made["pid"], {"comment": "theirs"})
        editor(scanLog).selectAll()
        qtbot.keyClicks(editor(scanLog), "mine")
        qtbot.keyClick(editor(scanLog), Qt.Qt.Key_Return)
        qtbot.waitUntil(lambda: editing(scanLog).conflict is not None)
        dialog = editing(scanLog).conflict
        assert dialog is not None
        assert there(scicat, made["pid"])["comment"] == "theirs"
        return dialog

    @pytest.mark.parametrize(("button", "left"), [("mine", "mine"), ("others", "theirs"), ("both", "theirs\nmine")])
    def test_the_later_one_is_asked(
        self,
        qtbot: QtBot,
        scanLog: ScanLog,
        scicat: SciCat,
        made: Json,
        state_home: Path,
        conflict: ConflictDialog,
        button: str,
        left: str,
    ) -> None:
        qtbot.mouseClick(getattr(conflict, button), Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == left)
        qtbot.waitUntil(lambda: outbox(state_home) == [])
        assert not editing(scanLog).edits.unsent

    def test_the_decision_can_be_postponed(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json, state_home: Path, conflict: ConflictDialog
    ) -> None:
        qtbot.keyClick(conflict, Qt.Qt.Key_Escape)
        notice = editing(scanLog).notice
        assert f"{INGESTOR.username} has changed it as well" in notice.label.text()
        assert len(outbox(state_home)) == 1
        qtbot.mouseClick(notice.button, Qt.Qt.LeftButton)
        again = editing(scanLog).conflict
        assert again is not None
        qtbot.mouseClick(again.mine, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == "mine")

    def test_a_conflict_of_ratings_offers_both(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, catalogue: Catalogue, made: Json
    ) -> None:
        # so that the other user's value is not shown before
        with failing(catalogue, {"do": "answer", "status": 503, "method": "GET", "path": "/datasets$"}):
            scicat.patch_dataset(made["pid"], {"dataQualityMetrics": 2})
            rate(qtbot, scanLog, 3.0)
            qtbot.waitUntil(lambda: editing(scanLog).conflict is not None)
        dialog = editing(scanLog).conflict
        assert dialog is not None
        assert dialog.both is None
        qtbot.mouseClick(dialog.mine, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["dataQualityMetrics"] == 3)

    def test_a_change_of_another_field_is_not_a_conflict(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json
    ) -> None:
        scanLog.table.setCurrentIndex(cell(scanLog, "comment"))
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_F2)
        scicat.patch_dataset(made["pid"], {"dataQualityMetrics": 2.5})
        qtbot.keyClicks(editor(scanLog), "!")
        qtbot.keyClick(editor(scanLog), Qt.Qt.Key_Return)
        qtbot.waitUntil(lambda: there(scicat, made["pid"])["comment"] == "as it was!")
        assert there(scicat, made["pid"])["dataQualityMetrics"] == 2.5


class TestRights:
    def test_without_the_right_to_write_the_reason_is_shown(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, catalogue: Catalogue, proposal: str, shown: Shown
    ) -> None:
        need_users(USER1, USER2)
        group = {"ownerGroup": USER2.groups[0], "accessGroups": [USER1.groups[0]]}
        made = scan(1, time.time() - 60, proposal=proposal, **group)
        scicat.create_dataset(made)
        scanLog.setCatalogue(SciCat(catalogue.url, USER1.username, USER1.password), proposal)
        shown(1)
        comment(qtbot, scanLog, "not mine to write")
        notice = editing(scanLog).notice
        qtbot.waitUntil(lambda: f"does not let {USER1.username} change" in notice.label.text())
        qtbot.mouseClick(notice.button, Qt.Qt.LeftButton)
        dialog = editing(scanLog).waiting
        assert isinstance(dialog, WaitingDialog)
        qtbot.mouseClick(dialog.copy, Qt.Qt.LeftButton)
        assert Qt.QApplication.clipboard().text() == "not mine to write"
        qtbot.mouseClick(dialog.drop, Qt.Qt.LeftButton)
        assert not editing(scanLog).edits.unsent
        assert notice.isHidden()
        dialog.close()
        assert "comment" not in there(scicat, made["pid"])

    @pytest.mark.parametrize("pid", ["its own", "another"])
    def test_a_scan_that_is_not_in_the_catalogue_yet_gets_its_comment_when_it_is(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, made: Json, proposal: str, pid: str, state_home: Path
    ) -> None:
        coming = scan(2, time.time(), proposal=proposal)
        expected = coming["pid"] if pid == "its own" else "door/a-scan"
        scanLog.scans.expect({**coming, "pid": expected, "provisional": True})
        comment(qtbot, scanLog, "early", 0)
        queued = editing(scanLog).edits.unsent[0]
        assert queued.state is EditState.EARLY
        assert "not in the catalogue yet. The edit is kept" in editing(scanLog).notice.label.text()
        qtbot.waitUntil(lambda: queued.tries > 0)
        assert queued.state is EditState.EARLY
        assert json.loads(outbox(state_home)[0].read_text("utf-8"))["early"]
        scicat.create_dataset(coming)
        scanLog.scanConfirmed.emit(expected, coming["pid"])  # like Live
        qtbot.waitUntil(lambda: there(scicat, coming["pid"]).get("comment") == "early")


class TestNobodyWaits:
    def test_the_window_answers_while_scicat_hangs(
        self, qtbot: QtBot, scanLog: ScanLog, catalogue: Catalogue, proposal: str, shown: Shown
    ) -> None:
        scicat = Held(catalogue)
        scicat.create_dataset(scan(1, time.time() - 60, proposal=proposal))
        scanLog.setCatalogue(scicat, proposal)
        shown(1)
        with scicat.held():
            comment(qtbot, scanLog, "quick")
            rate(qtbot, scanLog, 2.0)
            qtbot.waitUntil(lambda: scicat.waiting > 1)  # for what is new, and with the first of them
            assert len(editing(scanLog).edits.unsent) == 2
        qtbot.waitUntil(lambda: not editing(scanLog).edits.unsent)
