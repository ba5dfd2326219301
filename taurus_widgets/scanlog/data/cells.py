"""The texts of cells in exports, and the sheet that describes an export. No Qt here."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json, Kind, LogColumn
from taurus_widgets.value_text import exact_text

PLAIN_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""A plain number, as spreadsheets write it where the decimal sign is a point."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Characters at which a spreadsheet starts a formula (OWASP, CSV injection), also in East Asian full width."""

EXACT_DIGITS = 15
"""Significant digits that a double reliably has; the table shows six."""

MAX_CELL_VALUES = 64
"""Longer lists are summarised as in the table."""


@dataclass(frozen=True)
class Sheet:
    """An export without its rows: the columns in their order, and the catalogue."""

    columns: Sequence[LogColumn]
    title: str
    catalogue: str
    """SciCat's address."""
    made: dt.datetime = field(default_factory=lambda: dt.datetime.now().astimezone())

    @property
    def headings(self) -> list[str]:
        """The headings of the columns, with their groups. If two are equal, the path in the metadata is added."""
        names = [f"{column.group} / {column.title}" if column.group else column.title for column in self.columns]
        times = Counter(names)
        return [
            f"{name} [{' / '.join(column.path)}]" if times[name] > 1 and column.path else name
            for name, column in zip(names, self.columns, strict=True)
        ]

    @property
    def has_pictures(self) -> bool:
        """Whether one of the columns has the pictures."""
        return any(column.kind is Kind.PICTURE for column in self.columns)

    def without_pictures(self) -> Sheet:
        """The sheet without the column of pictures, which would be empty if they are stored elsewhere or not read."""
        return replace(self, columns=[column for column in self.columns if column.kind is not Kind.PICTURE])


def exact(column: LogColumn, dataset: Json) -> str:
    """The value for programs: numbers with all digits, dates and times in full, the rating as a number.

    Times are local, such as `2026-11-22 10:00:00`, which spreadsheets of any language read as a time.
    """
    if column.kind is Kind.RATING:
        return cols.number(cols.rating(dataset)) if cols.rating(dataset) else ""
    return readable(column, dataset, EXACT_DIGITS, MAX_CELL_VALUES)


def stays_on_one_line(column: LogColumn) -> bool:
    """Whether its cells are times or numbers, which nobody can read in parts."""
    return column.kind is Kind.NUMBER or _is_time(column)


def _is_time(column: LogColumn) -> bool:
    return column.key.endswith(("Time", "At")) and not column.path


def readable(column: LogColumn, dataset: Json, digits: int = 6, longest: int = 4) -> str:
    """The value for people: as in the table, but times with their date, and comments with their line breaks."""
    if _is_time(column):
        found = cols.moment(dataset.get(column.key))
        return f"{found:%Y-%m-%d %H:%M:%S}" if found else column.text(dataset)
    if column.key == "comment":
        return "\n".join(map(cols.line, str(dataset.get("comment") or "").splitlines()))
    shown = column.text(dataset)
    if column.path:
        # The text, followed by the unit if it differs from the header's, but with the full value.
        leaf = cols.leaf_at(dataset, column.path)
        short = cols.leaf_text(leaf)
        if shown.startswith(short):
            return cols.leaf_text(leaf, digits, longest) + shown[len(short) :]
    return shown


def plain_value(column: LogColumn, dataset: Json) -> Any:
    """The value for programs with types: a number if the metadata has one, else the text of `exact`."""
    leaf = cols.leaf_at(dataset, column.path) if column.path else None
    if isinstance(leaf, Mapping) and leaf.get("end") is None:
        digits = exact_text(leaf)
        value = int(digits) if digits else leaf.get("value")
    else:
        value = leaf
    if isinstance(value, int | float) and PLAIN_NUMBER.fullmatch(str(value)):
        return value
    return exact(column, dataset)


def guarded(text: str) -> str:
    """The text in a form that no spreadsheet executes.

    A `'` is put before a text that starts like a formula and is not a plain number.
    """
    if text.startswith(FORMULA_STARTS) and not PLAIN_NUMBER.fullmatch(text):
        return f"'{text}"
    return text
