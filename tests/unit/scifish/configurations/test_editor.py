"""Edits of the properties, on a database that has the ways of the C++ one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import tango

from scifish.configurations.editor import (
    Conflict,
    Editor,
    InUse,
    NotWritten,
    UnknownChange,
    UnknownConfig,
    WrongContent,
    WrongName,
    revision_of,
)
from scifish.configurations.history import History
from scifish.settings import settings_from_properties

GOOD = "- {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent}"
OTHER = "- {name: Shutter, source: b311a/o/shutter-01/State}"
NEW = "- {name: T, source: a/b/c/T}"


class Database:
    """Properties as the C++ database has them: a refused write has already destroyed what was there."""

    def __init__(self, **properties: Sequence[str]) -> None:
        self.kept = {name.replace("_", "."): list(lines) for name, lines in properties.items()}
        self.before_write: Callable[[], None] = lambda: None
        self.alter: Callable[[str], str] = lambda line: line.replace('\\"', '"').replace("\\'", "'")
        self.limit = 65_535
        self.away = 0
        self.writes = 0

    def properties(self, device: str) -> dict[str, list[str]]:
        if self.away == 1:
            raise failure("away")
        self.away = max(self.away - 1, 0)
        return {name: list(lines) for name, lines in self.kept.items() if lines}

    def put_property(self, device: str, name: str, lines: Sequence[str]) -> None:
        self.before_write()
        self.writes += 1
        self.delete_property(device, name)
        kept = self.kept[name] = []
        for line in lines:
            if len(line.encode()) > self.limit:
                raise failure("Data too long for column 'value'")
            kept.append(self.alter(line))

    def delete_property(self, device: str, name: str) -> None:
        self.kept = {found: lines for found, lines in self.kept.items() if found.lower() != name.lower()}


def failure(text: str) -> tango.DevFailed:
    error = tango.DevError()
    error.reason, error.desc, error.origin = "DB_SQLError", text, "test"
    return tango.DevFailed(error)


@pytest.fixture
def db() -> Database:
    return Database(
        Beamline=["cosaxs"],
        Config_saxs=["# mine", GOOD],
        Config_beamline=[OTHER],
        ActiveConfig=["saxs"],
        AlwaysConfigs=["beamline"],
    )


@pytest.fixture
def editor(db: Database, tmp_path: Path) -> Editor:
    return Editor(db, "a/b/scidog", History(tmp_path / "history.jsonl"))


def last(editor: Editor) -> tuple[str, str, str]:
    change = editor.history.changes[-1]
    return change.who, change.what, change.property


def test_saving_what_was_read(db: Database, editor: Editor) -> None:
    found = editor.save("SAXS", ["# mine", GOOD, NEW, "", ""], revision_of(db.kept["Config.saxs"]), "astlin")
    assert db.kept["Config.saxs"] == ["# mine", GOOD, NEW]
    assert (found.name, found.revision) == ("saxs", revision_of(db.kept["Config.saxs"]))
    assert last(editor) == ("astlin", "saved", "Config.saxs")


def test_a_new_one_is_based_on_nothing(db: Database, editor: Editor) -> None:
    editor.save("waxs", [NEW], "", "astlin")
    assert db.kept["Config.waxs"] == [NEW]
    with pytest.raises(Conflict, match="there is a configuration waxs already"):
        editor.save("Waxs", [GOOD], "", "another")
    with pytest.raises(Conflict, match="somebody has deleted or renamed it"):
        editor.save("gone", [GOOD], "0123456789ab", "another")


def test_the_second_of_two_people_gets_an_error_and_nothing_is_lost(db: Database, editor: Editor) -> None:
    both_read = revision_of(db.kept["Config.saxs"])
    editor.save("saxs", [GOOD, NEW], both_read, "astlin")
    with pytest.raises(Conflict, match="changed in the meantime by astlin"):
        editor.save("saxs", [OTHER], both_read, "another")
    assert db.kept["Config.saxs"] == [GOOD, NEW]


def test_also_when_it_was_jive_that_wrote_in_between(db: Database, editor: Editor) -> None:
    read = revision_of(db.kept["Config.saxs"])
    editor.look()
    db.kept["Config.saxs"] = [OTHER]
    with pytest.raises(Conflict, match="changed in the meantime by the database"):
        editor.save("saxs", [GOOD], read, "astlin")
    assert db.kept["Config.saxs"] == [OTHER]
    assert last(editor) == ("the database", "edited", "Config.saxs")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("- {name: " + "µ" * 32_760 + ", source: a/b/c/d}", "line 2: it has 65547 bytes"),
        ('- {name: "a \\"b\\"", source: a/b/c/d}', "line 2: the Tango database drops a backslash"),
        ("- {name: a\0b, source: a/b/c/d}", "line 2: it contains a line break or a zero byte"),
        ("- {name: \ud800, source: a/b/c/d}", "line 2: it has half a character"),
        ("- {name: x}", "saxs, line 2: x: source is missing"),
        ("- {name: Ring current, source: a/b/c/d}", "line 2: the name 'Ring current' is taken by line 1"),
    ],
    ids=range(6),
)
def test_what_the_database_would_destroy_or_is_wrong_is_never_written(
    db: Database, editor: Editor, line: str, says: str
) -> None:
    with pytest.raises(WrongContent, match="nothing was saved") as caught:
        editor.save("saxs", [GOOD, line], revision_of(db.kept["Config.saxs"]), "astlin")
    assert says in str(caught.value)
    assert db.writes == 0


def test_an_empty_configuration_is_refused(db: Database, editor: Editor) -> None:
    with pytest.raises(WrongContent, match="delete it"):
        editor.save("saxs", ["", " "], revision_of(db.kept["Config.saxs"]), "astlin")


def test_what_a_refused_write_has_destroyed_is_put_back(db: Database, editor: Editor) -> None:
    db.limit = 100  # another database than the one that we know
    with pytest.raises(NotWritten, match=r"Data too long.*; the old value is in place"):
        editor.save("saxs", [GOOD, "# " + "x" * 100], revision_of(db.kept["Config.saxs"]), "astlin")
    assert db.kept["Config.saxs"] == ["# mine", GOOD]


def test_what_the_database_has_changed_is_put_back(db: Database, editor: Editor) -> None:
    db.alter = lambda line: line.replace("µ", "?")
    with pytest.raises(NotWritten, match=r"line 1 was not stored as it was written: '# µ' became '# [?]'"):
        editor.save("saxs", ["# µ", GOOD], revision_of(db.kept["Config.saxs"]), "astlin")
    assert db.kept["Config.saxs"] == ["# mine", GOOD]
    kept = [change.lines for change in editor.history.changes if change.property == "Config.saxs"]
    assert kept == [("# mine", GOOD), ("# ?", GOOD), ("# mine", GOOD)]


def test_a_new_one_that_the_database_does_not_keep_is_gone_again(db: Database, editor: Editor) -> None:
    db.limit = 10
    with pytest.raises(NotWritten):
        editor.save("waxs", [NEW], "", "astlin")
    assert "Config.waxs" not in db.properties("a/b/scidog")


def test_a_database_that_stops_in_between_is_reported(db: Database, editor: Editor) -> None:
    db.away = 3  # after the look, and before the reading back
    editor.look()
    with pytest.raises(NotWritten, match=r"does not answer any more \(away\).*change \d+ of the history"):
        editor.save("saxs", [GOOD], revision_of(db.kept["Config.saxs"]), "astlin")
    assert ("# mine", GOOD) in [change.lines for change in editor.history.changes]


def test_deleting(db: Database, editor: Editor) -> None:
    editor.save("waxs", [NEW], "", "astlin")
    with pytest.raises(Conflict):
        editor.delete("waxs", "astlin", "0123456789ab")
    editor.delete("WAXS", "astlin", revision_of([NEW]))
    assert "Config.waxs" not in db.kept
    assert last(editor) == ("astlin", "deleted", "Config.waxs")
    with pytest.raises(UnknownConfig, match="there is no configuration 'waxs'; there are: beamline, saxs"):
        editor.delete("waxs", "astlin")


def test_what_is_in_use_is_not_deleted(db: Database, editor: Editor) -> None:
    with pytest.raises(InUse, match="active"):
        editor.delete("saxs", "astlin")
    with pytest.raises(InUse, match="AlwaysConfigs"):
        editor.delete("Beamline", "astlin")
    assert {"Config.saxs", "Config.beamline"} <= set(db.kept)


@pytest.mark.parametrize(("which", "wrong"), [("ActiveConfig", "saxx"), ("AlwaysConfigs", "broken")])
def test_what_stands_in_for_a_wrong_name_is_in_use_too(db: Database, tmp_path: Path, which: str, wrong: str) -> None:
    db.kept["Config.waxs"] = [NEW]
    db.kept[which] = ["waxs"]
    good = settings_from_properties("a/b/scidog", db.kept)
    editor = Editor(db, "a/b/scidog", History(tmp_path / "history.jsonl"), lambda: good)
    db.kept["Config.broken"] = ["- {name: x}"]
    db.kept[which] = [wrong]  # by jive
    with pytest.raises(InUse, match=rf"waxs is in use, as {which} \({wrong}\) is wrong: correct {which} first"):
        editor.delete("WAXS", "astlin")
    db.kept[which] = ["saxs"]
    editor.delete("waxs", "astlin")
    assert "Config.waxs" not in db.kept


def test_what_is_always_recorded_by_default_is_not_deleted_either(db: Database, editor: Editor) -> None:
    del db.kept["AlwaysConfigs"]
    with pytest.raises(InUse, match="as the property AlwaysConfigs names no other: name others there first"):
        editor.delete("Beamline", "astlin")
    assert db.kept["Config.beamline"] == [OTHER]
    db.kept["AlwaysConfigs"] = ["saxs"]
    editor.delete("beamline", "astlin")
    assert "Config.beamline" not in db.kept


def test_a_name_that_stands_for_others_deletes_none_of_them(db: Database, editor: Editor) -> None:
    db.kept["Config.*"] = [NEW]
    with pytest.raises(WrongName, match="is a pattern that matches others"):
        editor.delete("*", "astlin")
    assert {"Config.saxs", "Config.beamline", "Config.*"} <= set(db.kept)


def test_copying(db: Database, editor: Editor) -> None:
    editor.copy("saxs", "waxs", "astlin")
    assert db.kept["Config.waxs"] == db.kept["Config.saxs"]
    assert last(editor) == ("astlin", "copied from saxs", "Config.waxs")
    with pytest.raises(WrongName, match="there is a configuration waxs already"):
        editor.copy("saxs", "WAXS", "astlin")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "*", "a*", "a%", "våg", "-a", ".a", "a\n", "a" * 249])
def test_a_name_has_letters_digits_and_little_else(editor: Editor, name: str) -> None:
    with pytest.raises(WrongName):
        editor.copy("saxs", name, "astlin")


def test_renaming_goes_wherever_the_name_is(db: Database, editor: Editor) -> None:
    editor.rename("saxs", "waxs", "astlin")
    editor.rename("beamline", "always", "astlin")
    assert db.kept == {
        "Beamline": ["cosaxs"],
        "ActiveConfig": ["waxs"],
        "Config.waxs": ["# mine", GOOD],
        "AlwaysConfigs": ["always"],
        "Config.always": [OTHER],
    }
    with pytest.raises(WrongName):
        editor.rename("waxs", "always", "astlin")


def test_what_is_always_recorded_by_default_is_so_under_its_new_name(db: Database, editor: Editor) -> None:
    del db.kept["AlwaysConfigs"]
    editor.rename("beamline", "always", "astlin")
    assert db.kept["AlwaysConfigs"] == ["always"]


def test_renaming_that_changes_only_the_case(db: Database, editor: Editor) -> None:
    editor.rename("saxs", "SAXS", "astlin")
    assert db.kept["Config.SAXS"] == ["# mine", GOOD]
    assert db.kept["ActiveConfig"] == ["SAXS"]
    assert "Config.saxs" not in db.kept
    with pytest.raises(WrongName, match="already"):
        editor.rename("saxs", "SAXS", "astlin")


def test_renaming_that_fails_in_the_midst_loses_nothing(db: Database, editor: Editor) -> None:
    def refuse_once() -> None:
        db.before_write = lambda: None
        raise failure("no")

    db.before_write = refuse_once
    with pytest.raises(NotWritten):
        editor.rename("saxs", "SAXS", "astlin")
    assert db.kept["Config.saxs"] == ["# mine", GOOD]


def test_choosing_the_active_one(db: Database, editor: Editor) -> None:
    assert editor.activate("BEAMLINE", "astlin") == "beamline"
    assert db.kept["ActiveConfig"] == ["beamline"]
    assert editor.activate("", "astlin") == ""
    assert last(editor) == ("astlin", "made none active", "ActiveConfig")
    with pytest.raises(UnknownConfig):
        editor.activate("waxs", "astlin")


def test_going_back_is_one_command_and_can_itself_be_undone(db: Database, editor: Editor) -> None:
    first = db.kept["Config.saxs"]
    editor.look()
    begin = editor.history.now()["config.saxs"].number
    editor.save("saxs", [NEW], revision_of(first), "astlin")
    editor.restore(begin, "astlin")
    assert db.kept["Config.saxs"] == first
    assert last(editor) == ("astlin", f"restored {begin}", "Config.saxs")
    editor.restore(editor.history.changes[-2].number, "astlin")
    assert db.kept["Config.saxs"] == [NEW]
    with pytest.raises(UnknownChange):
        editor.restore(999, "astlin")


def test_what_was_deleted_comes_back_and_what_was_not_there_goes(db: Database, editor: Editor) -> None:
    editor.save("waxs", [NEW], "", "astlin")
    saved = editor.history.changes[-1].number
    editor.delete("waxs", "astlin")
    deleted = editor.history.changes[-1].number
    editor.restore(saved, "astlin")
    assert db.kept["Config.waxs"] == [NEW]
    editor.restore(deleted, "astlin")
    assert "Config.waxs" not in db.kept
    assert editor.restore(deleted, "astlin").lines is None


@pytest.mark.parametrize("name", ["Config_é", "Config_E\u0301 "], ids=["accent", "combining accent, blank"])
def test_a_name_that_is_another_one_to_the_database_takes_its_place_never(tmp_path: Path, name: str) -> None:
    db = Database(**{name: [GOOD], "Config_saxs": [OTHER]})
    editor = Editor(db, "a/b/scidog", History(tmp_path / "history.jsonl"))
    for change in (lambda: editor.save("e", [NEW], "", "x"), lambda: editor.copy("saxs", "e", "x")):
        with pytest.raises(WrongName, match="are the same property"):
            change()
    there = name.removeprefix("Config_")
    assert db.kept == {f"Config.{there}": [GOOD], "Config.saxs": [OTHER]}
    editor.rename(there, "e", "x")
    assert db.kept == {"Config.e": [GOOD], "Config.saxs": [OTHER]}
    gone = next(change for change in editor.history.changes if change.property == f"Config.{there}")
    with pytest.raises(WrongName, match="are the same property"):
        editor.restore(gone.number, "x")
    assert db.kept == {"Config.e": [GOOD], "Config.saxs": [OTHER]}


def test_what_is_in_use_is_not_restored_away(db: Database, editor: Editor) -> None:
    editor.save("waxs", [NEW], "", "x")
    editor.activate("waxs", "x")
    was_active = editor.history.changes[-1].number
    editor.activate("saxs", "x")
    editor.delete("waxs", "x")
    deleted = editor.history.changes[-1].number
    with pytest.raises(UnknownConfig, match="no configuration 'waxs'"):
        editor.restore(was_active, "x")
    editor.save("waxs", [NEW], "", "x")
    editor.activate("waxs", "x")
    with pytest.raises(InUse, match="make another one active first"):
        editor.restore(deleted, "x")
    assert (db.kept["Config.waxs"], db.kept["ActiveConfig"]) == ([NEW], ["waxs"])


def test_lines_with_mistakes_are_not_restored_as_they_are_not_saved(db: Database, editor: Editor) -> None:
    wrong = ["# mine", "- {name: x}"]
    db.kept["Config.saxs"] = wrong  # by jive, in which anything can be written
    editor.look()
    by_jive = editor.history.now()["config.saxs"].number
    editor.save("saxs", [GOOD], revision_of(wrong), "astlin")
    with pytest.raises(WrongContent, match="nothing was saved: saxs, line 2: x: source is missing"):
        editor.restore(by_jive, "astlin")
    assert db.kept["Config.saxs"] == [GOOD]
    assert editor.history.change(by_jive).lines == tuple(wrong)  # type: ignore[union-attr]


def test_comments_alone_can_be_saved_also_as_the_active_one(db: Database, editor: Editor) -> None:
    editor.save("saxs", ["# not now", f"# {GOOD}"], revision_of(db.kept["Config.saxs"]), "astlin")
    assert db.kept["Config.saxs"] == ["# not now", f"# {GOOD}"]
