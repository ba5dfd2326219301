"""What differs between versions, and how two changes are combined."""

from __future__ import annotations

from scifish.configurations.diff import Difference
from taurus_widgets.scidog.data.comparison import MOVED, clashes, combined, own_changes
from taurus_widgets.scidog.data.draft import Draft, new_row, rows_of

LINES = [
    "- {name: A, source: a/b/c/a, group: G}",
    "- {name: B, source: a/b/c/b, group: G}",
    "- {name: C, source: a/b/c/c, group: H}",
]


def draft() -> Draft:
    return Draft("saxs", LINES, "0123456789ab")


class TestOwnChanges:
    def test_none(self) -> None:
        assert own_changes(draft()) == []

    def test_a_renamed_and_regrouped_entry_is_no_other_entry(self) -> None:
        edited = draft()
        edited.edit([edited.rows[1].key], {"name": "B2", "group": "H", "unit": "mm"})
        assert own_changes(edited) == [
            Difference("name", "H", "B2", "B", "B2"),
            Difference("group", "H", "B2", "G", "H"),
            Difference("unit", "H", "B2", "", "mm"),
        ]

    def test_added_removed_moved(self) -> None:
        edited = draft()
        edited.move([edited.rows[2].key], edited.rows[0].key)
        edited.remove([row.key for row in edited.rows if row.name == "B"])
        edited.add([new_row("D", "a/b/c/d")])
        assert own_changes(edited) == [
            Difference("added", "", "D", "", "a/b/c/d"),
            Difference("removed", "G", "B", "a/b/c/b", ""),
            Difference(MOVED, "H", "C", "below B", "first"),
        ]

    def test_a_comment_alone(self) -> None:
        edited = draft()
        edited.replace_all(["# a comment", *LINES], "import")
        assert [found.what for found in own_changes(edited)] == ["comments"]


class TestConflict:
    def test_different_entries_are_combined(self) -> None:
        mine = draft()
        mine.edit([mine.rows[0].key], {"unit": "mm"})
        mine.add([new_row("D", "a/b/c/d", "H")])
        theirs = rows_of(
            [LINES[0], "# theirs", LINES[2].replace("a/b/c/c", "x/y/z/c"), "- {name: E, source: a/b/c/e}"]
        )[0]
        assert clashes(mine.base, mine.rows, theirs) == []
        assert combined(mine.base, mine.rows, theirs) == [
            "- {name: A, source: a/b/c/a, group: G, unit: mm}",
            "# theirs",
            "- {name: C, source: x/y/z/c, group: H}",
            "- {name: D, source: a/b/c/d, group: H}",
            "- {name: E, source: a/b/c/e}",
        ]

    def test_what_both_have_changed_is_named(self) -> None:
        mine = draft()
        mine.edit([mine.rows[0].key], {"unit": "mm"})
        theirs = rows_of([LINES[0].replace("}", ", unit: um}"), *LINES[1:]])[0]
        assert clashes(mine.base, mine.rows, theirs) == ["G: A"]
        assert clashes(mine.base, mine.rows, mine.rows) == []

    def test_what_one_removed_and_the_other_changed_clashes(self) -> None:
        mine = draft()
        mine.remove([mine.rows[1].key])
        theirs = rows_of([LINES[0], LINES[1].replace("}", ", unit: um}"), LINES[2]])[0]
        assert clashes(mine.base, mine.rows, theirs) == ["G: B"]
