"""The file with a user's column layouts."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taurus_widgets.scanlog.data.layouts import STANDARD, LayoutColumn, LayoutFile, Layouts, default_layout, user_file
from taurus_widgets.scanlog.data.state_folder import NO_HOME_FOLDER, stateFolder
from tests.homeless import without_home
from tests.waiting import PATIENCE


@pytest.fixture
def file(tmp_path: Path) -> LayoutFile:
    return LayoutFile(tmp_path / "config" / "scanlog.json")


def test_a_saved_layout_is_read_back(file: LayoutFile) -> None:
    made = Layouts().with_layout(
        "Alignment", (LayoutColumn("Optics/Energy", 12.5), LayoutColumn("title"), LayoutColumn("50%25 done/more", 8.0))
    )
    file.write("cosaxs", made)
    assert LayoutFile(file.path).read("cosaxs") == made
    assert file.read("femtomax") == Layouts()


def test_without_a_file_the_default_layout_is_used(file: LayoutFile) -> None:
    assert file.read("cosaxs").shown == default_layout()
    assert not file.path.exists()


def test_the_standard_layout_is_always_there() -> None:
    layouts = Layouts().with_layout(STANDARD, (LayoutColumn("title"),)).with_layout("Other", (LayoutColumn("pid"),))
    assert layouts.without("Other").current == STANDARD
    assert layouts.without("Other").shown == (LayoutColumn("title"),)
    assert layouts.without(STANDARD).by_name[STANDARD] == default_layout()


def test_the_beamline_of_a_catalogue_is_remembered(file: LayoutFile) -> None:
    file.write("cosaxs", Layouts())
    file.set_beamline_of("https://scicat", "cosaxs")
    assert file.beamline_of("https://scicat") == "cosaxs"
    assert file.beamline_of("https://other") == ""
    assert file.read("cosaxs") == Layouts()


@pytest.mark.parametrize(
    "text",
    [
        "{oops",
        "[]",
        "3",
        '{"beamlines": []}',
        '{"beamlines": {"cosaxs": 3}}',
        '{"beamlines": {"cosaxs": {"layouts": {"Standard": [3]}}}}',
        '{"beamlines": {"cosaxs": {"layouts": {"Standard": [{"column": "Machine//x"}]}}}}',
        '{"beamlines": {"cosaxs": {"layouts": {"Standard": [{"column": "title", "width": "wide"}]}}}}',
    ],
)
def test_an_invalid_file_is_named_and_not_overwritten(file: LayoutFile, text: str) -> None:
    file.path.parent.mkdir()
    file.path.write_text(text, "utf-8")
    for attempt in (lambda: file.read("cosaxs"), lambda: file.write("cosaxs", Layouts())):
        with pytest.raises(ValueError, match=str(file.path)):
            attempt()
    assert file.path.read_text("utf-8") == text


def test_an_empty_layout_and_a_missing_one_are_the_default(file: LayoutFile) -> None:
    file.path.parent.mkdir()
    kept = {"current": "Gone", "layouts": {STANDARD: []}}
    file.path.write_text(json.dumps({"beamlines": {"cosaxs": kept}}), "utf-8")
    assert file.read("cosaxs") == Layouts()


def test_windows_that_write_at_once_lose_nothing(file: LayoutFile) -> None:
    names = [f"beamline-{number}" for number in range(12)]
    threads = [threading.Thread(target=LayoutFile(file.path).write, args=(name, Layouts())) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert set(json.loads(file.path.read_text("utf-8"))["beamlines"]) == set(names)


@given(st.text(), st.text(min_size=1))
def test_any_name_may_be_given(tmp_path_factory: pytest.TempPathFactory, beamline: str, name: str) -> None:
    file = LayoutFile(tmp_path_factory.mktemp("config") / "scanlog.json")
    made = Layouts().with_layout(name, (LayoutColumn("title", 3.0),))
    file.write(beamline, made)
    assert file.read(beamline) == made


def test_it_is_in_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_file().path == tmp_path / "scizoo" / "scanlog.json"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_file().path == tmp_path / ".config" / "scizoo" / "scanlog.json"


def test_without_a_home_the_users_folders_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    without_home(monkeypatch)
    assert user_file().path == NO_HOME_FOLDER / "scanlog.json"
    assert user_file().read("cosaxs") == Layouts()
    assert stateFolder() == NO_HOME_FOLDER
