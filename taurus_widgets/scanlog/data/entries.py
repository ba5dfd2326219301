"""Everything that is known of a dataset, line by line: what the detail pane shows and what a comparison looks at.

No Qt here. As in `columns`, nothing raises for any JSON that a catalogue may hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scifish.message import is_leaf
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json, line

DIGITS = 15
"""Significant digits of a number: all that a double surely has."""

LONGEST = 64
"""Values of a list that are shown in one line; a longer one is summed up, and is whole on demand."""

_EXTRAS = ("quality", "end", "min", "max", "mean", "std", "samples", "shape")
_UNITLESS = frozenset({"quality", "samples", "shape"})


@dataclass(frozen=True)
class Entry:
    """One line: a group has `inside`, a value has the rest. `whole` is the value as it is in the catalogue."""

    name: str
    value: str = ""
    unit: str = ""
    problem: bool = False
    tip: str = ""
    inside: tuple[Entry, ...] = ()
    whole: Any = None

    @property
    def is_group(self) -> bool:
        return bool(self.inside) and not self.value

    def fits(self, words: list[str], above: str = "") -> bool:
        """Whether each word, in small letters, is in its name, value, unit or source, or in the names `above` it."""
        text = f"{above} {self.name} {self.value} {self.unit} {self.tip}".casefold()
        return all(word in text for word in words)


def entries(dataset: Json) -> list[Entry]:
    """A dataset's own fields, then its metadata group by group."""
    return [Entry("Dataset", inside=tuple(own_entries(dataset))), *metadata_entries(dataset)]


def own_entries(dataset: Json) -> Iterator[Entry]:
    """The fields that are not empty."""
    known = (
        Entry("Status", cols.status(dataset)),
        Entry("Started", cols.full_time(dataset.get("creationTime"))),
        Entry("Ended", cols.full_time(dataset.get("endTime"))),
        Entry("Duration", cols.duration_text(dataset)),
        *(_field(dataset, title, name) for title, name in _FIRST),
        Entry("Rating", cols.stars(dataset)),
        *(_field(dataset, title, name) for title, name in _SECOND),
        Entry("Size", size_text(dataset.get("size")), whole=dataset.get("size")),
        *(_field(dataset, title, name) for title, name in _LAST),
    )
    return (entry for entry in known if entry.value)


_FIRST = (("Proposal", "proposalId"), ("Sample", "sampleId"), ("Folder", "sourceFolder"))
_SECOND = (("Comment", "comment"), ("Description", "description"), ("Keywords", "keywords"), ("Files", "numberOfFiles"))
_LAST = (
    ("Data format", "dataFormat"),
    ("Name", "datasetName"),
    ("Beamline", "creationLocation"),
    ("Instrument", "instrumentId"),
    ("Principal investigator", "principalInvestigator"),
    ("Owner", "owner"),
    ("Owner group", "ownerGroup"),
    ("Access groups", "accessGroups"),
    ("Published", "isPublished"),
    ("Pid", "pid"),
)


def _field(dataset: Json, title: str, name: str) -> Entry:
    value = dataset.get(name)
    return Entry(title, cols.value_text(value, DIGITS, LONGEST), whole=value)


def metadata_entries(dataset: Json) -> list[Entry]:
    metadata = dataset.get("scientificMetadata")
    return list(_group(metadata)) if isinstance(metadata, Mapping) else []


def _group(metadata: Mapping[str, Any]) -> tuple[Entry, ...]:
    return tuple(_entry(str(name), inner) for name, inner in metadata.items())


def _entry(name: str, inner: Any) -> Entry:
    if not is_leaf(inner):
        if isinstance(inner, Mapping):
            return Entry(cols.group_name(name), inside=_group(inner))
        return Entry(line(name), cols.value_text(inner, DIGITS, LONGEST), whole=inner)
    source = [line(inner.get("source")), cols.full_time(inner.get("time"))]
    tip = "\n".join(text for text in source if text)
    label = line(inner.get("human_name")) or line(name)
    unit = line(inner.get("unit"))
    if inner.get("error"):
        return Entry(label, f"{cols.NOT_READ}: {line(inner['error'])}", unit, True, tip, whole=inner["error"])
    extras = tuple(_extra(key, inner[key], unit) for key in _EXTRAS if inner.get(key) is not None)
    return Entry(label, cols.leaf_text(inner, DIGITS, LONGEST), unit, False, tip, extras, inner["value"])


def _extra(key: str, value: Any, unit: str) -> Entry:
    return Entry(key, cols.value_text(value, DIGITS, LONGEST), "" if key in _UNITLESS else unit, whole=value)


def size_text(size: Any) -> str:
    """`512 B`, `1.2 GB`; "" for what is no number of bytes."""
    if isinstance(size, bool) or not isinstance(size, int | float) or size < 0:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB" if size < 999.5 else f"{size:,.0f} TB"


# ----------------------------------------------------------------------- whole, on demand


def whole_text(value: Any) -> str:
    """All of a value: a list one entry a line, a table with tabs between its columns, anything else as JSON."""
    if isinstance(value, list) and value and all(isinstance(row, list) and _plain(row) for row in value):
        return "\n".join("\t".join(map(_exact, row)) for row in value)
    if isinstance(value, list) and _plain(value):
        return "\n".join(map(_exact, value))
    if isinstance(value, list | Mapping):
        return "\n".join(map(line_of, json.dumps(value, ensure_ascii=False, indent=1).splitlines()))
    return "\n".join(map(line_of, value.splitlines())) if isinstance(value, str) else _exact(value)


def line_of(text: str) -> str:
    """Without control characters, but with the spaces before and the tabs in it."""
    return "".join(char if char.isprintable() or char == "\t" else " " for char in text).rstrip()


def _plain(values: list[Any]) -> bool:
    return not any(isinstance(value, list | Mapping) for value in values)


def _exact(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return line_of(value) if isinstance(value, str) else line(value)


def is_cut(entry: Entry) -> bool:
    """Whether its line does not show all of it: a list that is summed up, or a text of several lines."""
    if isinstance(entry.whole, list | Mapping):
        return len(entry.whole) > LONGEST or any(isinstance(inner, list | Mapping) for inner in entry.whole)
    return isinstance(entry.whole, str) and "\n" in entry.whole.strip()
