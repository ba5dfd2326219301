"""What differs between versions, and how two changes are combined."""

from __future__ import annotations

from scifish.configurations.diff import Difference
from taurus_widgets.scidog.data.comparison import MOVED, between, clashes, combined, own_changes
from taurus_widgets.scidog.data.draft import Draft, new_row

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

    def test_comments_and_lines_that_cannot_be_read_beside_other_changes(self) -> None:
        edited = Draft("saxs", ["# above", LINES[0], "- {name: B", *LINES[1:], "# below"], "0123456789ab")
        edited.replace_all([LINES[0], *LINES[1:], "- {name: D, source: a/b/c/d}", "# new"], "import")
        assert own_changes(edited) == [
            Difference("added", "", "D", "", "a/b/c/d"),
            Difference("removed", "", "", "- {name: B", ""),
            Difference("comments", "", "", "# above", ""),
            Difference("comments", "", "", "# below", ""),
            Difference("comments", "", "", "", "# new"),
        ]

    def test_a_comment_that_stays_when_its_entry_is_removed_is_no_change(self) -> None:
        edited = Draft("saxs", ["# machine", *LINES], "0123456789ab")
        edited.remove([edited.rows[0].key])
        assert own_changes(edited) == [Difference("removed", "G", "A", "a/b/c/a", "")]


def test_moves_are_shown_between_versions() -> None:
    assert between(LINES, [LINES[2], *LINES[:2]]) == [Difference(MOVED, "H", "C", "below B", "first")]


class TestConflict:
    def test_different_entries_are_combined(self) -> None:
        mine = draft()
        mine.edit([mine.rows[0].key], {"unit": "mm"})
        mine.add([new_row("D", "a/b/c/d", "H")])
        theirs = [LINES[0], "# theirs", LINES[2].replace("a/b/c/c", "x/y/z/c"), "- {name: E, source: a/b/c/e}"]
        assert clashes(mine.base_lines, mine.lines(), theirs) == []
        assert combined(mine.base_lines, mine.lines(), theirs) == [
            "- {name: A, source: a/b/c/a, group: G, unit: mm}",
            "# theirs",
            "- {name: C, source: x/y/z/c, group: H}",
            "- {name: D, source: a/b/c/d, group: H}",
            "- {name: E, source: a/b/c/e}",
        ]

    def test_what_both_have_changed_is_named(self) -> None:
        mine = draft()
        mine.edit([mine.rows[0].key], {"unit": "mm"})
        theirs = [LINES[0].replace("}", ", unit: um}"), *LINES[1:]]
        assert clashes(mine.base_lines, mine.lines(), theirs) == ["G: A"]
        assert clashes(mine.base_lines, mine.lines(), mine.lines()) == []

    def test_what_one_removed_and_the_other_changed_clashes(self) -> None:
        mine = draft()
        mine.remove([mine.rows[1].key])
        theirs = [LINES[0], LINES[1].replace("}", ", unit: um}"), LINES[2]]
        assert clashes(mine.base_lines, mine.lines(), theirs) == ["G: B"]

    def test_my_order_and_the_last_comments_of_both_are_kept(self) -> None:
        mine = [LINES[2], *LINES[:2], "# mine"]
        theirs = [*LINES, "- {name: E, source: a/b/c/e}", "# theirs"]
        assert clashes(LINES, mine, theirs) == []
        assert combined(LINES, mine, theirs) == [
            LINES[2],
            "- {name: E, source: a/b/c/e}",
            *LINES[:2],
            "# theirs",
            "# mine",
        ]

    def test_a_last_comment_that_one_removed_stays_removed(self) -> None:
        base = [*LINES, "# old"]
        assert combined(base, [*LINES, "# mine"], base) == [*LINES, "# mine"]

    def test_two_orders_clash(self) -> None:
        assert clashes(LINES, LINES[::-1], [LINES[1], LINES[0], LINES[2]]) == ["the order"]
        assert clashes(LINES, LINES[::-1], LINES[::-1]) == []

    def test_lines_that_cannot_be_read_are_kept_each(self) -> None:
        wrong = [*LINES, "- {name: X", "- {name: Y"]
        assert combined(wrong, [*wrong, "- {name: D, source: a/b/c/d}"], wrong)[:5] == wrong
