"""Ranges of the start of scans: the last hours, today, this visit, or from one time to another.

No Qt here. A range is stored as the user chose it, because "today" changes every day.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from dataclasses import dataclass

SHIFT = dt.timedelta(hours=8)
"""The length of a shift."""


class Span(enum.Enum):
    """The kinds of ranges that a user can choose."""

    ALL = "All times"
    LAST_HOURS = "Last 8 hours"
    TODAY = "Today"
    VISIT = "This visit"
    FROM_TO = "From \u2013 to\u2026"


@dataclass(frozen=True)
class TimeRange:
    """A range. `begin` and `end` belong to FROM_TO, in local time with a zone; either may be None.

    `visit` belongs to VISIT.
    """

    span: Span = Span.ALL
    begin: dt.datetime | None = None
    end: dt.datetime | None = None
    visit: str = ""

    def times(self, now: dt.datetime) -> tuple[dt.datetime | None, dt.datetime | None]:
        """The limits of the scans' start: from (inclusive) and to (exclusive). `now` has a zone."""
        if self.span is Span.LAST_HOURS:
            return now - SHIFT, None
        if self.span is Span.TODAY:
            return _midnight(now.date()), None
        if self.span is Span.VISIT:
            day = day_of(self.visit)
            return (_midnight(day) if day else None), None
        return (self.begin, self.end) if self.span is Span.FROM_TO else (None, None)

    @property
    def folder(self) -> str:
        """The name of a visit that is not a date: it occurs in the folder of its data. "" otherwise."""
        return self.visit if self.span is Span.VISIT and day_of(self.visit) is None else ""

    @property
    def moves(self) -> bool:
        """Whether its times change with the clock."""
        return self.span in (Span.LAST_HOURS, Span.TODAY)

    @property
    def text(self) -> str:
        if self.span is Span.VISIT:
            return f"Visit {self.visit}"
        if self.span is not Span.FROM_TO:
            return self.span.value
        begin, end = (f"{time:%Y-%m-%d %H:%M}" if time else "" for time in (self.begin, self.end))
        if begin and end:
            return f"{begin} to {end}"
        return f"since {begin}" if begin else f"until {end}"


def day_of(visit: str) -> dt.date | None:
    """The day in the name of a visit, for example 20261123; None for another name."""
    found = re.match(r"(\d{4})-?(\d{2})-?(\d{2})(?!\d)", visit)
    try:
        return dt.date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time()).astimezone()
