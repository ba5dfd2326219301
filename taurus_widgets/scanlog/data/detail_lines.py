"""All fields and metadata of a dataset as lines, for the detail pane and for comparisons.

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

DETAIL_DIGITS = 15
"""Significant digits of a number: all that a double reliably has."""

MAX_LINE_VALUES = 64
"""Longer lists are summarised in their line; the whole list is shown on demand."""

_EXTRAS = ("quality", "end", "min", "max", "mean", "std", "samples", "shape")
_UNITLESS = frozenset({"quality", "samples", "shape"})


@dataclass(frozen=True)
class DetailLine:
    """One line: a group has `inside`, a value has the other fields. `whole` is the value as it is in the catalogue."""

    name: str
    value: str = ""
    unit: str = ""
    problem: bool = False
    tip: str = ""
    inside: tuple[DetailLine, ...] = ()
    whole: Any = None

    @property
    def is_group(self) -> bool:
        return bool(self.inside) and not self.value

    def fits(self, words: list[str], above: str = "") -> bool:
        """Whether each word (in lower case) occurs in the name, value, unit or source, or in the names `above` it."""
        text = f"{above} {self.name} {self.value} {self.unit} {self.tip}".casefold()
        return all(word in text for word in words)


def detail_lines(dataset: Json) -> list[DetailLine]:
    """A dataset's own fields, then its metadata group by group."""
    return [DetailLine("Dataset", inside=tuple(own_lines(dataset))), *metadata_lines(dataset)]


def own_lines(dataset: Json) -> Iterator[DetailLine]:
    """The fields that are not empty."""
    lines = (
        DetailLine("Status", cols.status(dataset)),
        DetailLine("Started", cols.full_time(dataset.get("creationTime"))),
        DetailLine("Ended", cols.full_time(dataset.get("endTime"))),
        DetailLine("Duration", cols.duration_text(dataset)),
        *(_field(dataset, title, name) for title, name in _FIRST),
        DetailLine("Rating", cols.stars(dataset)),
        *(_field(dataset, title, name) for title, name in _SECOND),
        DetailLine("Size", size_text(dataset.get("size")), whole=dataset.get("size")),
        *(_field(dataset, title, name) for title, name in _LAST),
    )
    return (detail for detail in lines if detail.value)


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


def _field(dataset: Json, title: str, name: str) -> DetailLine:
    value = dataset.get(name)
    return DetailLine(title, cols.value_text(value, DETAIL_DIGITS, MAX_LINE_VALUES), whole=value)


def metadata_lines(dataset: Json) -> list[DetailLine]:
    metadata = dataset.get("scientificMetadata")
    return list(_group(metadata)) if isinstance(metadata, Mapping) else []


def _group(metadata: Mapping[str, Any]) -> tuple[DetailLine, ...]:
    return tuple(_detail(str(name), inner) for name, inner in metadata.items())


def _detail(name: str, inner: Any) -> DetailLine:
    if not is_leaf(inner):
        if isinstance(inner, Mapping):
            return DetailLine(cols.group_name(name), inside=_group(inner))
        return DetailLine(line(name), cols.value_text(inner, DETAIL_DIGITS, MAX_LINE_VALUES), whole=inner)
    source = [line(inner.get("source")), cols.full_time(inner.get("time"))]
    tip = "\n".join(text for text in source if text)
    label = line(inner.get("human_name")) or line(name)
    unit = line(inner.get("unit"))
    if inner.get("error"):
        return DetailLine(label, f"{cols.NOT_READ}: {line(inner['error'])}", unit, True, tip, whole=inner["error"])
    extras = tuple(_extra(key, inner[key], unit) for key in _EXTRAS if inner.get(key) is not None)
    return DetailLine(
        label, cols.leaf_text(inner, DETAIL_DIGITS, MAX_LINE_VALUES), unit, False, tip, extras, inner["value"]
    )


def _extra(key: str, value: Any, unit: str) -> DetailLine:
    return DetailLine(
        key, cols.value_text(value, DETAIL_DIGITS, MAX_LINE_VALUES), "" if key in _UNITLESS else unit, whole=value
    )


def size_text(size: Any) -> str:
    """A size such as `512 B` or `1.2 GB`; "" for a value that is not a number of bytes."""
    if isinstance(size, bool) or not isinstance(size, int | float) or size < 0:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB" if size < 999.5 else f"{size:,.0f} TB"


# ----------------------------------------------------------------------- whole, on demand


def whole_text(value: Any) -> str:
    """The whole value as text: one line for each item of a list, tabs between the columns of a table, else JSON."""
    if isinstance(value, list) and value and all(isinstance(row, list) and _plain(row) for row in value):
        return "\n".join("\t".join(map(_exact, row)) for row in value)
    if isinstance(value, list) and _plain(value):
        return "\n".join(map(_exact, value))
    if isinstance(value, list | Mapping):
        return "\n".join(map(line_of, json.dumps(value, ensure_ascii=False, indent=1).splitlines()))
    return "\n".join(map(line_of, value.splitlines())) if isinstance(value, str) else _exact(value)


def line_of(text: str) -> str:
    """The text without control characters, but with leading spaces and tabs."""
    return "".join(char if char.isprintable() or char == "\t" else " " for char in text).rstrip()


def _plain(values: list[Any]) -> bool:
    return not any(isinstance(value, list | Mapping) for value in values)


def _exact(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return line_of(value) if isinstance(value, str) else line(value)


def is_cut(detail: DetailLine) -> bool:
    """Whether the line shows only a part of the value: a summarised list, or a text of several lines."""
    if isinstance(detail.whole, list | Mapping):
        return len(detail.whole) > MAX_LINE_VALUES or any(isinstance(inner, list | Mapping) for inner in detail.whole)
    return isinstance(detail.whole, str) and "\n" in detail.whole.strip()
