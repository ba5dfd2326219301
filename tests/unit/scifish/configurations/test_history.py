"""The history of SciDog's properties, in its file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scifish.configurations.history import History, history_file

SAXS = "Config.saxs"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.jsonl"


def told(history: History) -> list[tuple[int, str, str, str]]:
    return [(change.number, change.who, change.what, change.property) for change in history.changes]


def test_it_begins_with_what_is_there_and_goes_on_with_what_changes(path: Path) -> None:
    history = History(path)
    history.notice({SAXS: ["one"], "Beamline": ["cosaxs"]})
    history.notice({SAXS: ["one"], "Beamline": ["cosaxs"]})
    history.notice({SAXS: ["two"], "Topic": ["t"]})
    history.notice({"config.SAXS": ["two"], "Topic": ["t"]})
    history.add("astlin", [("saved", SAXS, ["three"])])
    assert told(history) == [
        (1, "the database", "was there when the history began", SAXS),
        (2, "the database", "was there when the history began", "Beamline"),
        (3, "the database", "edited", SAXS),
        (4, "the database", "added", "Topic"),
        (5, "the database", "deleted", "Beamline"),
        (6, "the database", "renamed", "config.SAXS"),
        (7, "astlin", "saved", SAXS),
    ]
    third, last = history.change(3), history.change(7)
    assert third is not None
    assert last is not None
    assert (third.lines, last.lines) == (("two",), ("three",))
    before = history.before(third)
    assert before is not None
    assert before.number == 1
    assert history.trouble == ""


def test_it_is_there_after_a_restart(path: Path) -> None:
    first = History(path)
    first.notice({SAXS: ["µ λ", ""]})
    first.notice({})
    assert History(path).changes == first.changes
    assert all(json.loads(line) for line in path.read_text("ascii").splitlines())
    assert path.stat().st_mode & 0o077 == 0


def test_it_is_bounded_but_keeps_the_last_of_each_property(path: Path) -> None:
    history = History(path, most=5)
    history.notice({SAXS: ["0"], "Beamline": ["cosaxs"]})
    for number in range(20):
        history.add("who", [("saved", SAXS, [str(number)])])
    assert [change.number for change in history.changes] == [2, 18, 19, 20, 21, 22]
    assert History(path).changes == history.changes
    large = History(path, most_bytes=1000)
    for _ in range(20):
        large.add("who", [("saved", SAXS, ["x" * 300])])
    assert path.stat().st_size < 1400
    assert set(large.now()) == {"config.saxs", "beamline"}


def test_many_changes_of_one_property_take_no_room_from_another(path: Path) -> None:
    history = History(path, most=5)
    history.notice({SAXS: ["0"], "ActiveConfig": ["saxs"]})
    history.add("who", [("saved", SAXS, ["1"])])
    for number in range(20):
        history.add("who", [("saved", "ActiveConfig", [str(number)])])
    assert [change.lines for change in history.changes if change.property == SAXS] == [("0",), ("1",)]


def test_a_damaged_file_is_set_aside_and_said(path: Path) -> None:
    history = History(path)
    history.notice({SAXS: ["one"]})
    path.write_text(path.read_text() + '{"number": 2, "ti')
    again = History(path)
    assert "cannot be read" in again.trouble
    assert len(list(path.parent.glob("history.damaged-*"))) == 1
    again.notice({SAXS: ["one"]})
    assert [change.what for change in History(path).changes] == ["was there when the history began"]


def test_a_disk_that_refuses_is_reported_and_retried(path: Path) -> None:
    path.parent.write_text("no folder")
    history = History(path)
    history.notice({SAXS: ["one"]})
    assert "cannot be" in history.trouble
    os.unlink(path.parent)
    history.notice({SAXS: ["one"]})
    assert [change.lines for change in History(path).changes] == [("one",)]


def test_each_device_of_each_tango_system_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = {history_file(device, host) for device in ("a/b/c", "A/B/C", "a/b/d") for host in ("h:1", "h:2")}
    assert len(found) == 4
    assert all(file.parent == tmp_path / "scifish" / "scidog" for file in found)
