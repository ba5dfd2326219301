"""What differs between versions of a configuration, and how two changes of one version are combined."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scifish.configurations.diff import Difference, differences
from scifish.settings.entries import Entry
from taurus_widgets.scidog.data.draft import Draft, DraftRow, rows_of

MOVED = "order"
"""`Difference.what` of an entry that stands elsewhere."""

COMMENTS = "comments"
"""`Difference.what` of a line that is no entry."""


def own_changes(draft: Draft) -> list[Difference]:
    """What Save would write, compared with the device's version. A renamed entry is one change, not two."""
    found = _changes(draft.base, draft.rows, draft.base_tail, draft.tail)
    if not found and draft.changed:
        found.append(Difference(COMMENTS, "", "", "", "the spelling of lines"))
    return found


def _changes(
    base: Sequence[DraftRow], rows: Sequence[DraftRow], base_tail: Sequence[str], tail: Sequence[str]
) -> list[Difference]:
    """Changes of entries, of lines that cannot be read, of the order and of comments. A row has one key in both."""
    before, now = ({row.key: row for row in version} for version in (base, rows))
    found: list[Difference] = []
    earlier: list[Entry] = []
    for row in base:
        entry, after = row.entry, now.get(row.key)
        if entry is None:
            continue
        if after is not None and after.entry is not None:
            for field in ("name", "group"):
                was, is_now = getattr(row, field), getattr(after, field)
                if was != is_now:
                    found.append(Difference(field, after.group, after.name, was, is_now))
            entry = replace(entry, name=after.name, group=after.group)
        earlier.append(entry)
    found += differences(earlier, [row.entry for row in rows if row.entry is not None])
    old_lines, new_lines = (
        {key: _wrong_line(row) for key, row in version.items() if row.entry is None} for version in (before, now)
    )
    found += [Difference("added", "", "", "", text) for key, text in new_lines.items() if old_lines.get(key) != text]
    found += [Difference("removed", "", "", text, "") for key, text in old_lines.items() if new_lines.get(key) != text]
    for key in _moved([row.key for row in base], [row.key for row in rows]):
        row = now[key]
        found.append(Difference(MOVED, row.group, row.name, _place(base, before[key]), _place(rows, row)))
    old, new = (Counter(_comments(*version)) for version in ((base, base_tail), (rows, tail)))
    found += [Difference(COMMENTS, "", "", text, "") for text in (old - new).elements()]
    found += [Difference(COMMENTS, "", "", "", text) for text in (new - old).elements()]
    return found


def _wrong_line(row: DraftRow) -> str:
    """A line that is no entry, without the comments above it."""
    return " ".join(row.lines[len(row.above) :])


def _comments(rows: Sequence[DraftRow], tail: Sequence[str]) -> list[str]:
    lines = [line for row in rows for line in (*row.above, row.note)]
    return [line.strip() for line in (*lines, *tail) if line.strip()]


def _moved(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """The fewest keys that were moved to get the one order from the other."""
    common = set(before) & set(after)
    old, new = [key for key in before if key in common], [key for key in after if key in common]
    stayed: set[int] = set()
    for block in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        stayed |= set(old[block.a : block.a + block.size])
    return [key for key in new if key not in stayed]


def _place(rows: Sequence[DraftRow], row: DraftRow) -> str:
    place = next(place for place, other in enumerate(rows) if other.key == row.key)
    return f"below {rows[place - 1].name}" if place else "first"


def between(before: Sequence[str], after: Sequence[str]) -> list[Difference]:
    """The differences between the lines of two versions, or configurations. Group and name identify an entry."""
    (base, base_tail), (rows, tail) = rows_of(before), rows_of(after)
    return _changes(base, _with_keys_of(base, rows), base_tail, tail)


def _with_keys_of(base: Sequence[DraftRow], rows: Sequence[DraftRow]) -> list[DraftRow]:
    keys = {_name(row): row.key for row in base}
    return [replace(row, key=keys.pop(_name(row), row.key)) for row in rows]


def clashes(base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """The names of the entries that both have changed, and not in the same way; also the order, if both have."""
    old, own, other = (_by_name(rows_of(lines)[0]) for lines in (base, mine, theirs))
    found = [
        f"{name[0]}: {name[1]}" if name[0] else name[1]
        for name in {**old, **own, **other}
        if old.get(name) != own.get(name) and old.get(name) != other.get(name) and own.get(name) != other.get(name)
    ]
    if _reordered(old, own) and _reordered(old, other) and _reordered(own, other):
        found.append("the order")
    return found


def _reordered(before: Mapping[_Name, DraftRow], after: Mapping[_Name, DraftRow]) -> bool:
    return [name for name in before if name in after] != [name for name in after if name in before]


def combined(base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """Lines of both versions, which do not clash. The order is that of who has changed it, else theirs.

    New entries of the other one are below those above them. Comments below the last entry are those of both.
    """
    (old_rows, old_tail), (own_rows, own_tail), (other_rows, other_tail) = map(rows_of, (base, mine, theirs))
    old, own, other = (_by_name(rows) for rows in (old_rows, own_rows, other_rows))
    if _reordered(old, own) and not _reordered(old, other):
        own, other = other, own
    kept = [
        own.get(name, row) if old.get(name) != own.get(name) else row
        for name, row in other.items()
        if name in own or name not in old
    ]
    above: DraftRow | None = None
    for name, row in own.items():
        if name not in other and name not in old:
            place = next((place for place, there in enumerate(kept) if above and _name(there) == _name(above)), None)
            kept.insert(len(kept) if place is None else place + 1, row)
        above = row
    gone = {line for line in old_tail if line not in own_tail or line not in other_tail}
    tail = [*other_tail, *(line for line in own_tail if line not in other_tail)]
    return [*(line for row in kept for line in row.lines), *(line for line in tail if line not in gone)]


_Name = tuple[str, str]


def _name(row: DraftRow) -> _Name:
    """Group and name; of a line that cannot be read, its text."""
    return row.group, row.name or _wrong_line(row)


def _by_name(rows: Sequence[DraftRow]) -> dict[_Name, DraftRow]:
    return {_name(row): row for row in rows}
