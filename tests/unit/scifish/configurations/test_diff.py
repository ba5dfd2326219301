"""What differs between two configurations."""

from __future__ import annotations

from scifish.configurations.diff import differences
from scifish.settings.entries import parse_entries


def test_each_difference_is_reported_with_what_was_and_what_is() -> None:
    before, _ = parse_entries(
        [
            "- {name: Same, source: a/b/c/d}",
            "- {name: Gone, source: a/b/c/e, group: G}",
            "- {name: Changed, source: a/b/c/f, unit: mm, map: {4: insert}}",
        ]
    )
    after, _ = parse_entries(
        [
            "- {name: Changed, source: a/b/c/F2, unit: µm, record: [start, end]}",
            "- {name: Same, source: a/b/c/d}",
            "- {name: Same, source: a/b/c/x, group: G}",
        ]
    )
    assert differences(before, after) == [
        ("source", "", "Changed", "a/b/c/f", "a/b/c/F2"),
        ("unit", "", "Changed", "mm", "µm"),
        ("map", "", "Changed", "{'4': insert}", ""),
        ("record", "", "Changed", "start", "start, end"),
        ("added", "G", "Same", "", "a/b/c/x"),
        ("removed", "G", "Gone", "a/b/c/e", ""),
    ]
    assert differences(after, after) == []
