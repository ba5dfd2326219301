"""Edits on disk until SciCat has them, and how they get there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taurus_widgets.scanlog.data.outbox import COMMENT, RATING, Claim, Edit, Outbox, normal
from taurus_widgets.scanlog.data.send_edit import EditConflict, EditSent, send
from tests.builders.scicat_datasets import scan
from tests.servers.fake_scicat import FakeServer

EDIT = Edit("http://scicat.example.org", "ada", "scizoo/1", COMMENT, "new", ("old",), title="Scan 1")


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


class TestDisk:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(value=st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.floats(0, 3)), title=st.text("aä\n/"))
    def test_a_saved_edit_is_there(self, outbox: Outbox, value: str | float, title: str) -> None:
        edit = Edit(EDIT.catalogue, EDIT.username, EDIT.pid, COMMENT, value, (None, 1.5, "x"), title=title)
        outbox.put(edit)
        assert edit in outbox.edits()
        outbox.drop(edit)
        outbox.drop(edit)
        assert outbox.edits() == []

    def test_only_its_owner_can_read_it(self, outbox: Outbox, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            outbox.put(EDIT)
        finally:
            os.umask(before)
        file = tmp_path / "outbox" / f"{EDIT.key}.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", '{"format": 2}', '{"format": 1, "key": "../x"}', '{"format": 1, "pid": 1, "before": []}'],
    )
    def test_other_files_are_left_alone(self, outbox: Outbox, tmp_path: Path, text: str) -> None:
        outbox.put(EDIT)
        wrong = tmp_path / "outbox" / "wrong.json"
        wrong.write_text(text, "utf-8")
        assert outbox.edits() == [EDIT]
        assert wrong.exists()

    def test_a_file_cannot_name_another_path(self, outbox: Outbox, tmp_path: Path) -> None:
        outbox.put(replace(EDIT, key="mine"))
        (tmp_path / "outbox" / "mine.json").rename(tmp_path / "outbox" / "other.json")
        assert outbox.edits() == []

    def test_without_a_folder_there_are_no_edits(self, outbox: Outbox) -> None:
        assert outbox.edits() == []

    def test_one_window_at_a_time_sends_it(self, outbox: Outbox, tmp_path: Path) -> None:
        outbox.put(EDIT)
        code = (
            "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.flock(file, fcntl.LOCK_EX);"
            "print('locked', flush=True); sys.stdin.read()"
        )
        other = [sys.executable, "-c", code, str(tmp_path / "outbox" / f"{EDIT.key}.json")]
        with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            with outbox.claimed(EDIT) as claim:
                assert claim is Claim.BUSY
            process.kill()
        with outbox.claimed(EDIT) as claim:  # the lock ends with the process
            assert claim is Claim.OURS
        outbox.drop(EDIT)
        with outbox.claimed(EDIT) as claim:
            assert claim is Claim.GONE


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [(COMMENT, None, ""), (COMMENT, "a\r\nb ", "a\nb"), (RATING, None, 0), (RATING, 2, 2.0), (RATING, "x", 0)],
)
def test_the_same_value_in_two_forms(name: str, one: object, other: object) -> None:
    assert normal(name, one) == normal(name, other)


class TestSending:
    @pytest.fixture
    def server(self) -> FakeServer:
        return FakeServer()

    def edit(self, server: FakeServer, value: str = "new", before: tuple[object, ...] = ("old",)) -> Edit:
        dataset = scan(1, 1.7e9, comment="old")
        server.client().create_dataset(dataset)
        server.calls.clear()
        return replace(EDIT, pid=dataset["pid"], value=value, before=before)

    def test_comment_alone_is_patched(self, server: FakeServer) -> None:
        edit = self.edit(server)
        before = server.shown(edit.pid)
        answer = send(server.client(), edit)
        assert isinstance(answer, EditSent)
        assert answer.dataset["comment"] == "new"
        changed = {name for name, value in server.shown(edit.pid).items() if before.get(name) != value}
        assert changed <= {"comment", "updatedAt", "updatedBy"}
        assert len(server.writes()) == 1

    def test_a_value_that_is_there_is_not_written_again(self, server: FakeServer) -> None:
        edit = self.edit(server, value="old")
        assert isinstance(send(server.client(), edit), EditSent)
        assert server.writes() == []

    def test_another_persons_value_is_not_replaced(self, server: FakeServer) -> None:
        edit = self.edit(server, before=("older",))
        answer = send(server.client(), edit)
        assert isinstance(answer, EditConflict)
        assert answer.dataset["comment"] == "old"
        assert server.writes() == []

    @pytest.mark.parametrize("times", [1, 3])
    def test_an_undone_edit_is_written_again(self, server: FakeServer, times: int) -> None:
        edit = self.edit(server)
        left = [times]

        def undo(server: FakeServer, method: str, _: str) -> None:
            if method == "PATCH" and left[0]:
                left[0] -= 1
                server.sets[edit.pid]["comment"] = "old"

        server.after = undo
        assert isinstance(send(server.client(), edit), EditSent)
        assert server.shown(edit.pid)["comment"] == "new"

    def test_a_faster_edit_by_somebody_else_is_noticed(self, server: FakeServer) -> None:
        edit = self.edit(server)
        client, other = server.client(), server.client()

        def meanwhile(server: FakeServer, method: str, _: str) -> None:
            if method == "GET":
                server.after = lambda *_: None
                other.patch_dataset(edit.pid, {"comment": "theirs"})

        server.after = meanwhile
        answer = send(client, edit)
        assert isinstance(answer, EditConflict)
        assert server.shown(edit.pid)["comment"] == "theirs"
