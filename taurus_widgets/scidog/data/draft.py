"""A configuration that is edited: its rows in order, with undo and redo. Neither Qt nor Tango.

The lines that nobody has changed are saved as they were, with the comments above them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from scifish.settings.entries import TEXT_KEYS, Entry, checked, fields_of, items, line_of, map_key

_keys = itertools.count(1)

_NOTE = re.compile(r"\}\s*(#.*)$")
"""A comment behind an entry in its line."""

EDITED_FIELDS = ("name", "source", "group", "unit", "map", "record")


@dataclass(frozen=True)
class DraftRow:
    """One entry as it is written, also a wrong one.

    `map` has keys and values as written. `above` has the comments and blank lines above the entry, `written` the
    entry's own lines as long as nobody has changed it. `text` is a line that cannot be read; the other fields are
    empty then. `mistakes` has a sentence each. `key` stays the same when the row is edited or moved.
    """

    name: str = ""
    source: str = ""
    group: str = ""
    unit: str = ""
    map: tuple[tuple[Any, Any], ...] = ()
    record: tuple[str, ...] = ("start",)
    text: str = ""
    above: tuple[str, ...] = field(default=(), compare=False)
    written: tuple[str, ...] = field(default=(), compare=False)
    note: str = field(default="", compare=False)
    mistakes: tuple[str, ...] = field(default=(), compare=False)
    key: int = field(default=0, compare=False)

    @property
    def fields(self) -> dict[str, Any]:
        """As `line_of` takes them; `record` only if it is not the default."""
        found: dict[str, Any] = {name: getattr(self, name) for name in TEXT_KEYS}
        found["map"] = dict(self.map)
        found["record"] = [] if self.record == ("start",) else list(self.record)
        return found

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines to save."""
        if self.written:
            return (*self.above, *self.written)
        line = self.text or line_of(self.fields)
        return (*self.above, f"{line}  {self.note}" if self.note else line)

    @cached_property
    def entry(self) -> Entry | None:
        """What is recorded of it; None if it is wrong."""
        if self.text:
            return None
        return checked({key: value for key, value in self.fields.items() if value})[0]

    @property
    def map_text(self) -> str:
        return ", ".join(f"{map_key(key)} → {value}" for key, value in self.map)


def new_row(name: str, source: str, group: str = "", unit: str = "", **more: Any) -> DraftRow:
    """A row that is in no property yet."""
    return _with_mistakes(DraftRow(name, source, group, unit, key=next(_keys), **more))


def edited(row: DraftRow, changes: Mapping[str, Any]) -> DraftRow:
    """The row with other values of some `EDITED_FIELDS`, or another `text`, which is read as a line of the property."""
    if "text" in changes:
        return _read_row([str(changes["text"])], row.above, row.key)
    after = replace(row, **changes)
    return row if after == row else _with_mistakes(replace(after, written=()))


def rows_of(lines: Sequence[str]) -> tuple[tuple[DraftRow, ...], tuple[str, ...]]:
    """The rows of a configuration, and the comments and blank lines below the last one."""
    starts = [number - 1 for number, _ in items(lines)]
    rows = []
    above = tuple(lines[: starts[0]] if starts else lines)
    for start, end in itertools.pairwise([*starts, len(lines)]):
        own = list(lines[start:end])
        below: list[str] = []
        while len(own) > 1 and (not own[-1].strip() or own[-1].lstrip().startswith("#")):
            below.insert(0, own.pop())
        rows.append(_read_row(own, above, next(_keys)))
        above = tuple(below)
    return tuple(rows), above


def _read_row(own: Sequence[str], above: Sequence[str], key: int) -> DraftRow:
    text = "\n".join(own)
    fields, why = fields_of(text.replace("\t", "    "))
    common: dict[str, Any] = {"above": tuple(above), "written": tuple(own), "key": key}
    if fields is None:
        return DraftRow(text=text, mistakes=(why,), **common)
    entry, mistakes = checked(fields)
    written_map = fields.get("map")
    if entry is None and any(isinstance(value, dict | list) for value in map(fields.get, TEXT_KEYS)):
        return DraftRow(text=text, mistakes=tuple(mistakes), **common)
    texts: dict[str, Any] = {name: "" if fields.get(name) is None else str(fields[name]).strip() for name in TEXT_KEYS}
    note = _NOTE.search(text) if len(own) == 1 else None
    return DraftRow(
        **texts,
        map=tuple(written_map.items()) if isinstance(written_map, dict) else (),
        record=entry.record if entry else ("start",),
        note=note[1] if note else "",
        mistakes=tuple(mistakes),
        **common,
    )


def _with_mistakes(row: DraftRow) -> DraftRow:
    given = {key: value for key, value in row.fields.items() if value}
    return replace(row, mistakes=tuple(checked(given)[1]))


class Step(NamedTuple):
    """What undo goes back to: rows and the comments below them. `what` is the name of what it undoes."""

    what: str
    rows: tuple[DraftRow, ...]
    tail: tuple[str, ...]


class Draft:
    """The rows of one configuration, and what they are compared with: the version of the device."""

    def __init__(self, name: str, lines: Sequence[str] = (), revision: str = "") -> None:
        self.name = name
        self.rows, self.tail = rows_of(lines)
        self.base = self.rows
        self.base_lines = tuple(lines)
        self.revision = revision
        """Of the device's version; "" if the device has none."""
        self._undo: list[Step] = []
        self._redo: list[Step] = []

    # ----------------------------------------------------------------- what is there

    @property
    def changed(self) -> bool:
        """Whether there is something to save."""
        return tuple(self.lines()) != self.base_lines

    @property
    def base_tail(self) -> tuple[str, ...]:
        """The comments below the last entry of the device's version."""
        return rows_of(self.base_lines)[1]

    def lines(self) -> list[str]:
        return [*(line for row in self.rows for line in row.lines), *self.tail]

    @property
    def groups(self) -> list[str]:
        """In the order in which they are recorded: each where its first entry is."""
        return list(dict.fromkeys(row.group for row in self.rows))

    def row(self, key: int) -> DraftRow:
        """KeyError if there is none."""
        for row in self.rows:
            if row.key == key:
                return row
        raise KeyError(key)

    def mistakes(self) -> dict[int, list[str]]:
        """By key of the row: the mistakes in its line, and names that are taken."""
        found = {row.key: list(row.mistakes) for row in self.rows if row.mistakes}
        names: dict[tuple[str, str], DraftRow] = {}
        for row in self.rows:
            if row.name and names.setdefault((row.group, row.name), row) is not row:
                found.setdefault(row.key, []).append(f"the name {row.name!r} is there twice in this group: rename one")
        return found

    def key_of_line(self, number: int) -> int | None:
        """The key of the row that has this line (from 1) of `lines`."""
        end = 0
        for row in self.rows:
            end += len(row.lines)
            if number <= end:
                return row.key
        return None

    # ----------------------------------------------------------------------- editing

    def edit(self, keys: Collection[int], changes: Mapping[str, Any], what: str = "") -> None:
        """Change fields of these rows."""
        what = what or f"change {' and '.join(changes)}"
        self._do(what, (edited(row, changes) if row.key in keys else row for row in self.rows))

    def add(self, rows: Iterable[DraftRow], before: int | None = None) -> list[int]:
        """Add rows before the row with this key, or at the end; returns their keys."""
        new = [replace(row, key=row.key or next(_keys)) for row in rows]
        self._do(f"add {_number(len(new))}", self._inserted(self.rows, new, before))
        return [row.key for row in new]

    def remove(self, keys: Collection[int]) -> None:
        """Remove rows; the comments above them stay, above the next row."""
        kept: list[DraftRow] = []
        comments: tuple[str, ...] = ()
        for row in self.rows:
            if row.key in keys:
                comments += row.above
            else:
                kept.append(replace(row, above=(*comments, *row.above)) if comments else row)
                comments = ()
        self._do(f"remove {_number(len(self.rows) - len(kept))}", kept, (*comments, *self.tail))

    def move(self, keys: Collection[int], before: int | None, group: str | None = None) -> None:
        """Move rows, in their order, before another row or to the end; `group` also regroups them."""
        moved = [row for row in self.rows if row.key in keys]
        rest = [row for row in self.rows if row.key not in keys]
        while before is not None and before in keys:  # dropped on one of themselves: before the next other row
            place = [row.key for row in self.rows].index(before) + 1
            before = self.rows[place].key if place < len(self.rows) else None
        if group is not None:
            moved = [edited(row, {"group": group}) for row in moved]
        self._do(f"move {_number(len(moved))}", self._inserted(rest, moved, before))

    def move_group(self, group: str, before: str | None) -> None:
        """Move all rows of a group before the first row of another one, or to the end."""
        if group == before:
            return
        keys = {row.key for row in self.rows if row.group == group}
        first = next((row.key for row in self.rows if row.group == before), None) if before is not None else None
        self.move(keys, first)

    def rename_group(self, group: str, name: str) -> None:
        keys = {row.key for row in self.rows if row.group == group}
        self.edit(keys, {"group": name.strip()}, "rename the group")

    def duplicate(self, keys: Collection[int]) -> list[int]:
        """Copies of rows, each below its original with a name of its own; returns their keys."""
        rows: list[DraftRow] = []
        made = []
        for row in self.rows:
            rows.append(row)
            if row.key in keys and not row.text:
                name = self.free_name(row.name, row.group)
                copy = _with_mistakes(replace(row, name=name, key=next(_keys), above=(), written=()))
                rows.append(copy)
                made.append(copy.key)
        self._do(f"duplicate {_number(len(made))}", rows)
        return made

    def free_name(self, name: str, group: str) -> str:
        """The name, with a number behind it if the group has one of this name."""
        taken = {row.name for row in self.rows if row.group == group}
        numbered = (f"{name} {number}" for number in itertools.count(2))
        return next(free for free in itertools.chain([name], numbered) if free not in taken)

    def replace_all(self, lines: Sequence[str], what: str) -> None:
        """Other lines in place of all rows, of a file or of the history; undo brings the rows back.

        Rows with the group and name of one that is there keep its key, so that the difference is that of the fields.
        """
        rows, tail = rows_of(lines)
        keys = {(row.group, row.name): row.key for row in self.rows if row.name}
        self._do(what, (replace(row, key=keys.pop((row.group, row.name), row.key)) for row in rows), tail)

    # ------------------------------------------------------------------ undo and redo

    @property
    def undo_what(self) -> str:
        """What `undo` undoes; "" for nothing."""
        return self._undo[-1].what if self._undo else ""

    @property
    def redo_what(self) -> str:
        return self._redo[-1].what if self._redo else ""

    def undo(self) -> None:
        self._swap(self._undo, self._redo)

    def redo(self) -> None:
        self._swap(self._redo, self._undo)

    def revert(self) -> None:
        """Back to the version of the device; undo brings the changes back."""
        self._do("go back to the saved version", self.base, self.base_tail)

    def saved(self, lines: Sequence[str], revision: str) -> None:
        """The device has these lines now; what differs from them stays as changes. Undo still works."""
        self.base_lines, self.revision = tuple(lines), revision
        theirs, _ = rows_of(lines)
        keys = {(row.group, row.name): row.key for row in self.rows if row.name}
        self.base = tuple(replace(row, key=keys.get((row.group, row.name), row.key)) for row in theirs)

    def _swap(self, source: list[Step], target: list[Step]) -> None:
        if source:
            step = source.pop()
            target.append(Step(step.what, self.rows, self.tail))
            self.rows, self.tail = step.rows, step.tail

    def _do(self, what: str, rows: Iterable[DraftRow], tail: tuple[str, ...] | None = None) -> None:
        before = Step(what, self.rows, self.tail)
        lines = self.lines()
        self.rows, self.tail = tuple(rows), self.tail if tail is None else tail
        if self.lines() == lines:  # nothing to undo
            self.rows, self.tail = before.rows, before.tail
            return
        self._undo.append(before)
        self._redo.clear()

    @staticmethod
    def _inserted(rows: Iterable[DraftRow], new: Iterable[DraftRow], before: int | None) -> list[DraftRow]:
        found = list(rows)
        place = next((place for place, row in enumerate(found) if row.key == before), len(found))
        return [*found[:place], *new, *found[place:]]


def _number(count: int) -> str:
    return f"{count} entry" if count == 1 else f"{count} entries"
