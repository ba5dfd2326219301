"""A configuration that is edited, without a device."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scifish.settings.entries import parse_entries
from taurus_widgets.scidog.data.draft import Draft, DraftRow, new_row

LINES = (
    "# The beamline",
    "- {name: Ring current, source: r3/dia/dcct/Current, group: Machine, record: [start, end]}",
    "",
    "# moved by hand",
    "- {name: Shutter, source: b/pss/bst/State, group: Front end, map: {OPEN: open, 4: 'in'}}  # the new one",
    "- name: Energy",
    "  source: b/opt/mono/Energy",
    "  group: Optics",
    "  # in block style",
    "  unit: keV",
    "- {name: Lifetime, source: r3/dia/dcct/Lifetime, group: Machine}",
    "# the end",
)


def draft() -> Draft:
    return Draft("saxs", LINES, "0123456789ab")


def keys(edited: Draft, *names: str) -> list[int]:
    return [row.key for name in names for row in edited.rows if row.name == name]


def names(edited: Draft) -> list[str]:
    return [row.name for row in edited.rows]


class TestLines:
    def test_what_nobody_has_changed_stays_as_it_was(self) -> None:
        edited = draft()
        assert edited.lines() == list(LINES)
        assert not edited.changed
        assert names(edited) == ["Ring current", "Shutter", "Energy", "Lifetime"]
        assert edited.groups == ["Machine", "Front end", "Optics"]

    def test_only_the_changed_line_is_written_anew_with_its_comments(self) -> None:
        edited = draft()
        edited.edit(keys(edited, "Shutter"), {"name": "Beam shutter"})
        expected = list(LINES)
        expected[4] = (
            "- {name: Beam shutter, source: b/pss/bst/State, group: Front end, map: {OPEN: open, 4: in}}  # the new one"
        )
        assert edited.lines() == expected

    def test_a_block_becomes_one_line(self) -> None:
        edited = draft()
        edited.edit(keys(edited, "Energy"), {"unit": "eV"})
        assert edited.lines()[5] == "- {name: Energy, source: b/opt/mono/Energy, group: Optics, unit: eV}"
        assert parse_entries(edited.lines())[1] == []

    def test_comments_of_a_removed_entry_stay(self) -> None:
        edited = draft()
        edited.remove(keys(edited, "Shutter"))
        assert edited.lines()[2:4] == ["", "# moved by hand"]
        assert edited.lines()[4].startswith("- name: Energy")
        edited.remove([row.key for row in edited.rows])
        assert edited.lines() == ["# The beamline", "", "# moved by hand", "# the end"]

    def test_the_line_of_a_row(self) -> None:
        edited = draft()
        entries = {number: entry.name for entry, number in zip(edited.rows, (2, 5, 6, 11), strict=True)}
        for number, name in entries.items():
            key = edited.key_of_line(number)
            assert key is not None
            assert edited.row(key).name == name
        assert edited.key_of_line(13) is None


class TestMistakes:
    def test_a_line_that_cannot_be_read_is_a_row_of_its_own(self) -> None:
        edited = Draft("saxs", ["- {name: A, source: a/b/c/d}", "- {name: B", "what is this"])
        assert [row.text for row in edited.rows] == ["", "- {name: B", "what is this"]
        assert set(edited.mistakes()) == {row.key for row in edited.rows[1:]}
        assert edited.lines()[1:] == ["- {name: B", "what is this"]
        edited.edit([edited.rows[1].key], {"text": "- {name: B, source: a/b/c/e}"})
        assert edited.rows[1].source == "a/b/c/e"
        assert set(edited.mistakes()) == {edited.rows[2].key}

    def test_a_missing_source_and_an_unknown_key(self) -> None:
        edited = Draft("saxs", ["- {name: A}", "- {name: B, source: a/b/c/d, grup: X}"])
        first, second = edited.mistakes().values()
        assert first == ["A: source is missing"]
        assert second == ["the key 'grup' is not known and is ignored; did you mean 'group'?"]
        edited.edit([edited.rows[0].key], {"source": "a/b/c"})
        assert "is not of the form" in edited.mistakes()[edited.rows[0].key][0]
        edited.edit([edited.rows[0].key], {"source": "a/b/c/e"})
        edited.edit([edited.rows[1].key], {"group": "X"})
        assert edited.mistakes() == {}

    def test_a_name_that_is_there_twice(self) -> None:
        edited = draft()
        edited.add([new_row("Lifetime", "x/y/z/Lifetime", "Machine")])
        (found,) = edited.mistakes().items()
        assert found == (edited.rows[-1].key, ["the name 'Lifetime' is there twice in this group: rename one"])
        assert parse_entries(edited.lines())[1]  # the device finds it, too


class TestEditing:
    def test_several_at_once(self) -> None:
        edited = draft()
        edited.edit(keys(edited, "Energy", "Lifetime"), {"record": ("start", "statistics")})
        entries = {entry.name: entry.record for entry in parse_entries(edited.lines())[0]}
        assert entries["Energy"] == entries["Lifetime"] == ("start", "statistics")
        edited.undo()
        assert edited.lines() == list(LINES)

    def test_move_and_regroup(self) -> None:
        edited = draft()
        edited.move(keys(edited, "Lifetime", "Ring current"), keys(edited, "Energy")[0], "Optics")
        assert names(edited) == ["Shutter", "Ring current", "Lifetime", "Energy"]
        assert edited.rows[1].group == edited.rows[2].group == "Optics"

    def test_dropped_on_itself_nothing_is_to_undo(self) -> None:
        edited = draft()
        edited.move(keys(edited, "Shutter"), keys(edited, "Shutter")[0], "Front end")
        assert names(edited) == ["Ring current", "Shutter", "Energy", "Lifetime"]
        assert edited.undo_what == ""

    def test_a_group_moves_with_all_its_rows(self) -> None:
        edited = draft()
        edited.move_group("Machine", "Optics")
        assert names(edited) == ["Shutter", "Ring current", "Lifetime", "Energy"]
        edited.move_group("Machine", None)
        assert names(edited) == ["Shutter", "Energy", "Ring current", "Lifetime"]
        edited.rename_group("Machine", "Ring")
        assert edited.groups == ["Front end", "Optics", "Ring"]

    def test_duplicates_have_names_of_their_own(self) -> None:
        edited = draft()
        edited.duplicate(keys(edited, "Energy"))
        edited.duplicate(keys(edited, "Energy"))
        assert names(edited) == ["Ring current", "Shutter", "Energy", "Energy 3", "Energy 2", "Lifetime"]
        assert edited.mistakes() == {}

    def test_undo_and_redo(self) -> None:
        edited = draft()
        edited.remove(keys(edited, "Energy"))
        edited.edit(keys(edited, "Lifetime"), {"unit": "h"})
        after = edited.lines()
        assert edited.undo_what == "change unit"
        edited.undo()
        assert edited.undo_what == "remove 1 entry"
        assert edited.redo_what == "change unit"
        edited.undo()
        assert edited.lines() == list(LINES)
        edited.redo()
        edited.redo()
        assert edited.lines() == after
        edited.undo()
        edited.add([new_row("New", "a/b/c/d")])
        assert edited.redo_what == ""

    def test_other_lines_in_place_can_be_undone_with_the_comments_below(self) -> None:
        edited = draft()
        before = keys(edited, "Energy")
        edited.replace_all(["- {name: Energy, source: x/y/z/E, group: Optics}", "# another end"], "import")
        assert edited.lines()[-1] == "# another end"
        assert keys(edited, "Energy") == before
        edited.undo()
        assert edited.lines() == list(LINES)

    def test_after_a_save_there_is_nothing_to_save_and_undo_works(self) -> None:
        edited = draft()
        edited.edit(keys(edited, "Lifetime"), {"unit": "h"})
        edited.saved(edited.lines(), "other")
        assert not edited.changed
        edited.undo()
        assert edited.changed
        edited.revert()
        assert not edited.changed


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=6))
def test_whatever_is_typed_is_what_is_saved_and_read_again(typed: list[tuple[str, str, str]]) -> None:
    edited = Draft("saxs")
    edited.add(
        DraftRow(name=name.strip(), source="a/b/c/d", unit=unit.strip(), group=group.strip())
        for name, unit, group in typed
    )
    again = Draft("saxs", edited.lines())
    assert [(row.name, row.unit, row.group) for row in again.rows] == [
        (row.name, row.unit, row.group) for row in edited.rows
    ]
