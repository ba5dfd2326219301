"""The login, and what happens when it expires."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import Expired, SciCat
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.token_file import StoredLogin, TokenFile
from taurus_widgets.scanlog.dialogs.login import LoginDialog
from taurus_widgets.scanlog.features.login import Login
from tests.builders.scicat_datasets import scan
from tests.servers.catalogue import Catalogue
from tests.ui.accounts import INGESTOR, USER1, need_users
from tests.ui.catalogue_faults import failing
from tests.ui.cell_steps import cell, comment, editing, outbox, rate, there

Shown = Callable[[int], None]


def login(log: ScanLog) -> Login:
    return log.login


def dialog(log: ScanLog) -> LoginDialog:
    found = login(log).dialog
    assert found is not None
    return found


def enter(qtbot: QtBot, log: ScanLog, username: str, password: str) -> None:
    qtbot.waitUntil(lambda: login(log).dialog is not None)
    form = dialog(log)
    form.name.selectAll()
    qtbot.keyClicks(form.name, username)
    qtbot.keyClicks(form.password, password)
    qtbot.keyClick(form.password, Qt.Qt.Key_Return)


def enterToken(qtbot: QtBot, log: ScanLog, token: str) -> None:
    form = dialog(log)
    form.tabs.setCurrentIndex(1)
    form.token.setText(token)
    qtbot.keyClick(form.token, Qt.Qt.Key_Return)


@pytest.fixture
def public(scicat: SciCat, proposal: str) -> Json:
    """A dataset that anybody may read."""
    made = scan(1, time.time() - 60, proposal=proposal, comment="as it was", isPublished=True)
    scicat.create_dataset(made)
    return made


@pytest.fixture
def anonymous(scanLog: ScanLog, catalogue: Catalogue, public: Json, shown: Shown) -> Json:
    scanLog.setCatalogue(SciCat(catalogue.url), public["proposalId"])
    shown(1)
    return public


def test_the_dialog_opens_with_the_expected_users_name(
    qtbot: QtBot, scanLog: ScanLog, catalogue: Catalogue, public: Json
) -> None:
    login(scanLog).expect(INGESTOR.username)
    scanLog.setCatalogue(SciCat(catalogue.url), public["proposalId"])
    qtbot.waitUntil(lambda: login(scanLog).dialog is not None)
    assert dialog(scanLog).name.text() == INGESTOR.username
    qtbot.keyClicks(dialog(scanLog).password, INGESTOR.password)
    qtbot.keyClick(dialog(scanLog).password, Qt.Qt.Key_Return)
    qtbot.waitUntil(lambda: login(scanLog).button.text() == INGESTOR.username)


class TestWithoutLogin:
    def test_public_datasets_are_read(self, scanLog: ScanLog, anonymous: Json) -> None:
        assert login(scanLog).button.text() == "Not logged in"
        assert login(scanLog).dialog is None

    def test_writing_requests_a_login(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, anonymous: Json, shown: Shown
    ) -> None:
        rate(qtbot, scanLog, 2.0)
        qtbot.waitUntil(lambda: login(scanLog).dialog is not None)
        assert "To write to SciCat, log in." in dialog(scanLog).why.text()
        assert not editing(scanLog).edits.unsent
        enter(qtbot, scanLog, INGESTOR.username, INGESTOR.password)
        qtbot.waitUntil(lambda: login(scanLog).button.text() == INGESTOR.username)
        shown(1)
        rate(qtbot, scanLog, 2.0)
        qtbot.waitUntil(lambda: there(scicat, anonymous["pid"]).get("dataQualityMetrics") == 2)

    def test_a_comment_is_not_typed_in_vain(self, qtbot: QtBot, scanLog: ScanLog, anonymous: Json) -> None:
        scanLog.table.setCurrentIndex(cell(scanLog, "comment"))
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_F2)
        qtbot.waitUntil(lambda: login(scanLog).dialog is not None)
        assert scanLog.table.state() != scanLog.table.EditingState


class TestDialog:
    def test_a_wrong_password_is_reported_and_asked_again(
        self, qtbot: QtBot, scanLog: ScanLog, anonymous: Json
    ) -> None:
        login(scanLog).ask("")
        enter(qtbot, scanLog, INGESTOR.username, "wrong")
        qtbot.waitUntil(lambda: "password is wrong" in dialog(scanLog).says.text())
        assert scanLog.scicat is not None
        assert scanLog.scicat.anonymous

    def test_a_token_can_be_used_instead(
        self, qtbot: QtBot, scanLog: ScanLog, catalogue: Catalogue, anonymous: Json
    ) -> None:
        need_users(USER1)
        other = SciCat(catalogue.url, USER1.username, USER1.password)
        other.login()
        login(scanLog).ask("")
        enterToken(qtbot, scanLog, "nonsense")
        qtbot.waitUntil(lambda: "does not accept this token" in dialog(scanLog).says.text())
        enterToken(qtbot, scanLog, f"  Bearer {other.token}\n")
        qtbot.waitUntil(lambda: login(scanLog).button.text() == USER1.username)

    def test_an_unavailable_scicat_is_reported(self, qtbot: QtBot, scanLog: ScanLog) -> None:
        scanLog.setCatalogue(SciCat("http://127.0.0.1:9"))
        login(scanLog).ask("")
        enter(qtbot, scanLog, "ada", "x")
        qtbot.waitUntil(lambda: "does not answer" in dialog(scanLog).says.text())

    def test_the_password_is_nowhere_afterwards(
        self, qtbot: QtBot, scanLog: ScanLog, anonymous: Json, state_home: Path
    ) -> None:
        login(scanLog).ask("")
        typed: list[str] = []
        dialog(scanLog).finished.connect(lambda: typed.append(dialog(scanLog).password.text()))
        enter(qtbot, scanLog, INGESTOR.username, INGESTOR.password)
        qtbot.waitUntil(lambda: typed == [""])
        assert scanLog.scicat is not None
        assert not scanLog.scicat.renewable
        assert INGESTOR.password not in repr(vars(scanLog.scicat))
        assert not list(state_home.rglob("login-*"))

    def test_a_remembered_login_is_renewed_automatically(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, catalogue: Catalogue, anonymous: Json, shown: Shown
    ) -> None:
        login(scanLog).ask("")
        dialog(scanLog).stay.setChecked(True)
        enter(qtbot, scanLog, INGESTOR.username, INGESTOR.password)
        qtbot.waitUntil(lambda: login(scanLog).button.text() == INGESTOR.username)
        shown(1)
        expire(catalogue)
        comment(qtbot, scanLog, "no question")
        qtbot.waitUntil(lambda: there(scicat, anonymous["pid"])["comment"] == "no question")
        assert login(scanLog).dialog is None


def expire(catalogue: Catalogue) -> None:
    """Invalidate every token that was issued so far."""
    with failing(catalogue, {"do": "expire", "path": "/health", "times": 1}):
        assert SciCat(catalogue.url).call("GET", "/api/v3/health")["status"] == "ok"


class TestExpired:
    @pytest.fixture
    def logged(self, scanLog: ScanLog, catalogue: Catalogue, public: Json, shown: Shown) -> Json:
        """Logged in by a token only, like after the dialog."""
        ingestor = SciCat(catalogue.url, INGESTOR.username, INGESTOR.password)
        ingestor.login()
        scanLog.setCatalogue(SciCat(catalogue.url, INGESTOR.username, token=ingestor.token), public["proposalId"])
        shown(1)
        return public

    def test_an_edit_is_kept_and_sent_after_the_login(
        self,
        qtbot: QtBot,
        scanLog: ScanLog,
        scicat: SciCat,
        catalogue: Catalogue,
        logged: Json,
        state_home: Path,
    ) -> None:
        expire(catalogue)
        comment(qtbot, scanLog, "written too late")
        qtbot.waitUntil(lambda: login(scanLog).dialog is not None)
        assert "Your edit is kept" in dialog(scanLog).why.text()
        assert dialog(scanLog).name.text() == INGESTOR.username
        assert len(outbox(state_home)) == 1
        rows = scanLog.scans.rowCount()
        enter(qtbot, scanLog, INGESTOR.username, INGESTOR.password)
        qtbot.waitUntil(lambda: there(scicat, logged["pid"])["comment"] == "written too late")
        assert scanLog.scans.rowCount() == rows

    def test_another_users_login_does_not_send_the_edit(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, catalogue: Catalogue, logged: Json, shown: Shown
    ) -> None:
        need_users(USER1)
        expire(catalogue)
        comment(qtbot, scanLog, "by the ingestor")
        enter(qtbot, scanLog, USER1.username, USER1.password)
        qtbot.waitUntil(lambda: login(scanLog).button.text() == USER1.username)
        notice = editing(scanLog).notice
        qtbot.waitUntil(lambda: f"as soon as {INGESTOR.username} logs in" in notice.label.text())
        login(scanLog).ask("")
        enter(qtbot, scanLog, INGESTOR.username, INGESTOR.password)
        qtbot.waitUntil(lambda: there(scicat, logged["pid"])["comment"] == "by the ingestor")
        assert there(scicat, logged["pid"])["updatedBy"] == INGESTOR.username

    def test_an_edit_in_progress_at_a_logout_belongs_to_the_previous_user(
        self, qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, logged: Json, shown: Shown
    ) -> None:
        scanLog.table.setCurrentIndex(scanLog.scans.index(0, 0))
        scanLog.table.setFocus()
        qtbot.keyClick(scanLog.table, Qt.Qt.Key_F2)
        qtbot.keyClicks(Qt.QApplication.focusWidget(), ", half a sentence")
        login(scanLog).logOut.trigger()
        qtbot.waitUntil(lambda: bool(editing(scanLog).edits.unsent))
        (queued,) = editing(scanLog).edits.unsent
        assert queued.edit.username == INGESTOR.username
        assert queued.edit.value.endswith(", half a sentence")

    def test_it_is_noticed_without_an_edit(
        self, qtbot: QtBot, scanLog: ScanLog, catalogue: Catalogue, logged: Json
    ) -> None:
        expire(catalogue)
        login(scanLog).check()
        qtbot.waitUntil(lambda: "has expired" in login(scanLog).notice.label.text())
        assert login(scanLog).dialog is None
        qtbot.mouseClick(login(scanLog).notice.button, Qt.Qt.LeftButton)
        enter(qtbot, scanLog, INGESTOR.username, INGESTOR.password)
        qtbot.waitUntil(lambda: login(scanLog).notice.isHidden())

    def test_the_client_reports_it_and_never_repeats_a_login(self, catalogue: Catalogue, public: Json) -> None:
        client = SciCat(catalogue.url, "ada", token="expired")
        with pytest.raises(Expired, match="ada has expired"):
            client.patch_dataset(public["pid"], {"comment": "x"})
        with pytest.raises(Expired):
            client.attachments(public["pid"])


class TestKept:
    def test_the_token_is_kept_for_the_next_window(
        self, qtbot: QtBot, scanLog: ScanLog, catalogue: Catalogue, anonymous: Json, state_home: Path
    ) -> None:
        login(scanLog).ask("")
        dialog(scanLog).keep.setChecked(True)
        enter(qtbot, scanLog, INGESTOR.username, INGESTOR.password)
        qtbot.waitUntil(lambda: bool(list(state_home.rglob("login-*"))))
        file = next(state_home.rglob("login-*"))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert INGESTOR.password not in file.read_text("utf-8")
        again = ScanLog()
        qtbot.addWidget(again)
        again.setCatalogue(SciCat(catalogue.url))
        qtbot.waitUntil(lambda: login(again).button.text() == INGESTOR.username)
        login(again).logOut.trigger()
        qtbot.waitUntil(lambda: login(again).button.text() == "Not logged in")
        assert not file.exists()
        again.close()

    def test_a_file_that_others_can_read_is_refused(
        self, qtbot: QtBot, scanLog: ScanLog, catalogue: Catalogue, public: Json, state_home: Path
    ) -> None:
        kept = TokenFile(state_home / "scanlog", catalogue.url)
        kept.write(StoredLogin("ada", "secret-token"))
        kept.path.chmod(0o644)
        scanLog.setCatalogue(SciCat(catalogue.url))
        notice = login(scanLog).notice
        qtbot.waitUntil(lambda: "can be read by others" in notice.label.text())
        assert "secret-token" not in notice.label.text()

    @pytest.mark.parametrize("text", ["", "[]", '{"url": "http://other"}', '{"token": "secret-token"}'])
    def test_a_file_with_something_else_in_it_is_refused_without_quoting_it(self, tmp_path: Path, text: str) -> None:
        kept = TokenFile(tmp_path, "http://scicat.example.org")
        kept.path.touch(mode=0o600)
        kept.path.write_text(text, "utf-8")
        with pytest.raises(OSError, match="remove it") as refused:
            kept.read()
        assert "secret" not in str(refused.value)

    def test_the_token_is_shown_nowhere(self, tmp_path: Path) -> None:
        kept = TokenFile(tmp_path, "http://scicat.example.org")
        assert kept.read() is None
        kept.write(StoredLogin("ada", "secret-token"))
        assert kept.read() == StoredLogin("ada", "secret-token")
        assert "secret" not in repr(kept.read())
        assert json.loads(kept.path.read_text("utf-8"))["username"] == "ada"
        assert "secret" not in repr(SciCat("http://x", "ada", token="secret-token"))
