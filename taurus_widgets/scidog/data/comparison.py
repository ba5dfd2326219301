"""What differs between versions of a configuration, and how two changes of one version are combined."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from scifish.configurations.diff import Difference, differences
from scifish.settings.entries import Entry
from taurus_widgets.scidog.data.draft import Draft, DraftRow

MOVED = "order"
"""`Difference.what` of an entry that stands elsewhere."""


def own_changes(draft: Draft) -> list[Difference]:
    """What Save would write, compared with the device's version. A renamed entry is one change, not two."""
    before = {row.key: row for row in draft.base}
    found: list[Difference] = []
    earlier: list[Entry] = []
    now = {row.key: row for row in draft.rows}
    for row in draft.base:
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
    found += differences(earlier, [row.entry for row in draft.rows if row.entry is not None])
    for key in _moved([row.key for row in draft.base], [row.key for row in draft.rows]):
        row = now[key]
        found.append(Difference(MOVED, row.group, row.name, _place(draft.base, before[key]), _place(draft.rows, row)))
    if not found and draft.changed:
        found.append(Difference("comments", "", "", "", "comments or the spelling of lines"))
    return found


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


def between(before: Sequence[DraftRow], after: Sequence[DraftRow]) -> list[Difference]:
    """The differences between two versions, or two configurations. Group and name identify an entry."""
    return differences(*([row.entry for row in rows if row.entry is not None] for rows in (before, after)))


def clashes(base: Sequence[DraftRow], mine: Sequence[DraftRow], theirs: Sequence[DraftRow]) -> list[str]:
    """The names of the entries that both have changed, and not in the same way."""
    old, own, other = (_by_name(rows) for rows in (base, mine, theirs))
    return [
        f"{group}: {name}" if group else name
        for group, name in {**old, **own, **other}
        if old.get((group, name)) != own.get((group, name))
        and old.get((group, name)) != other.get((group, name))
        and own.get((group, name)) != other.get((group, name))
    ]


def combined(base: Sequence[DraftRow], mine: Sequence[DraftRow], theirs: Sequence[DraftRow]) -> list[str]:
    """Lines of their version with my changes in it: the order is theirs, my new entries are below those above them."""
    old, own, other = (_by_name(rows) for rows in (base, mine, theirs))
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
    return [line for row in kept for line in row.lines]


def _name(row: DraftRow) -> tuple[str, str]:
    return row.group, row.name


def _by_name(rows: Sequence[DraftRow]) -> dict[tuple[str, str], DraftRow]:
    return {_name(row): row for row in rows}
