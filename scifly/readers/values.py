"""Parses the values of a header: numbers, units and dates."""

from __future__ import annotations

import datetime as dt
import math
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from scifish.message.units import convertible, mathjs_spelling


def local_zone() -> tzinfo:
    """The local zone, with its summer time.

    It is that of the environment variable TZ, else of /etc/localtime, else the present UTC offset.
    """
    try:
        name = os.environ.get("TZ", "").removeprefix(":")
        if name and not name.startswith("/"):
            return ZoneInfo(name)
        with open(name or "/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError, KeyError):  # KeyError: a zone that this machine does not have
        return datetime.now().astimezone().tzinfo or UTC


MAX_FIELD_NAME_LENGTH = 100
"""Maximum number of characters of a field's name; longer names are cut."""

MAX_FIELD_TEXT_LENGTH = 4_000
"""Maximum number of characters of a field's text; longer texts are cut."""


_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)


_WITH_UNIT = re.compile(r"(?P<number>[+-]?[\d.,]+(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\W\d][^\d\s]{0,9}|%)", re.ASCII)


_UNIT_IN_NAME = re.compile(r"(?P<name>[^\[(]*?)\s*(?:\[(?P<square>[^\]]*)\]|\((?P<round>[^)]*)\))\s*(?P<rest>.*)")


@dataclass(frozen=True)
class HeaderField:
    """Our name for a program's field;

    "" leaves the field out. With `unit` or `number` its text is parsed as a number.
    """

    name: str
    unit: str = ""
    number: bool = False


def number(text: str) -> int | float | None:
    """Parse a number with a decimal point or comma; None if it is not a number."""
    text = text.strip()
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        return None
    if text.lstrip("+-").isdigit():
        return int(text)
    found = float(text.replace(",", "."))
    return found if math.isfinite(found) else None


def value(text: str, field: HeaderField) -> Any:
    """The value of a known field, or None if it has none."""
    text = cleaned(text)
    if not field.unit and not field.number:
        return text or None
    found = number(text)
    if found is None:
        return _with_unit(text) or text or None
    return {"value": found, "unit": field.unit} if field.unit else found


def guessed(name: str, text: str) -> tuple[str, Any]:
    """The name and value of an unknown field, whose unit is in its name or after its value."""
    text = cleaned(text)
    whole = cleaned(name)[:MAX_FIELD_NAME_LENGTH]
    name, unit = split_unit(whole)
    name = name or whole
    # 0012 is a name, not the number twelve.
    found = None if re.match(r"[+-]?0\d", text) else number(text)
    if found is None:
        return name, _with_unit(text) or text or None
    return name, {"value": found, "unit": unit} if unit else found


def split_unit(name: str) -> tuple[str, str]:
    """Split `Y-Scale [deg]` into name and unit; the name stays whole if SciCat does not know the unit."""
    name = cleaned(name)[:MAX_FIELD_NAME_LENGTH]
    found = _UNIT_IN_NAME.fullmatch(name)
    if found:
        unit = known_unit(found["square"] or found["round"] or "")
        if unit:
            return f"{found['name']} {found['rest']}".strip(), unit
    return name, ""


def known_unit(text: str) -> str:
    """The unit in SciCat's spelling; "" if SciCat cannot convert it."""
    unit = mathjs_spelling(text.strip())
    if unit in ("d", "°"):
        unit = "deg"
    return unit if convertible(unit) else ""


def _with_unit(text: str) -> dict[str, Any] | None:
    found = _WITH_UNIT.fullmatch(text) if len(text) < 60 else None
    if found is None:
        return None
    amount, unit = number(found["number"]), known_unit(found["unit"])
    return {"value": amount, "unit": unit} if amount is not None and unit else None


def rounded(place: float | None) -> float | None:
    """Remove the rounding error of a sum of many steps: 10.000000000000002 becomes 10. None if it is not finite."""
    return None if place is None or not math.isfinite(place) else float(f"{place:.9g}")


def cleaned(text: str) -> str:
    """Remove surrounding blanks and unprintable characters;

    "" for a text without letters and digits (SES writes `;`).
    """
    text = "".join(
        letter if letter.isprintable() or letter == "\n" else " " for letter in text[:MAX_FIELD_TEXT_LENGTH]
    ).strip()
    return text if any(letter.isalnum() for letter in text) else ""


# ------------------------------------------------------------------------------ dates

_DATE = re.compile(
    r"""(?:(?P<year>\d{4})[-/.](?P<month>\d{1,2}|[A-Za-z]{3})[-/.](?P<day>\d{1,2})
        |(?P<a>\d{1,2})(?P<between>[-/.])(?P<b>\d{1,2})[-/.](?P<short>\d{4}|\d{2}))
        [\sT]+(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?
        \s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>.*)""",
    re.VERBOSE | re.ASCII,
)


_ZONE = re.compile(r"(?P<utc>UTC|GMT|Z)?\s*(?:(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d{2}))?)?", re.ASCII)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def moment(text: str, zone: dt.tzinfo) -> dt.datetime | None:
    """Parse a date with a time, in `zone` if it has no offset. None if it is not a date.

    Examples: 2023-03-08 15:24:35, 08/24/23 14:19:47 UTC (Prodigy: month first), 2023-Aug-24 14:19:47.25, 24.08.2023,
    8/24/2023 2:19:47 PM, 2023-03-08T15:24:35+01:00. If both the first and the second number may be the day, points
    between them mean that the day is first.
    """
    found = _DATE.fullmatch(text.strip()[:60])
    if found is None:
        return None
    try:
        year, month, day = _day(found)
        hour = int(found["hour"])
        if found["half"]:
            hour = hour % 12 + (12 if found["half"][0] in "pP" else 0)
        part = int((found["part"] or "0")[:6].ljust(6, "0"))
        return dt.datetime(
            year, month, day, hour, int(found["minute"]), int(found["second"] or 0), part, _zone(found["zone"], zone)
        )
    except ValueError:
        return None


def _day(found: re.Match[str]) -> tuple[int, int, int]:
    if found["year"]:
        month = found["month"]
        return (
            int(found["year"]),
            int(month) if month.isdigit() else _MONTHS.index(month.lower()) + 1,
            int(found["day"]),
        )
    first, second, year = int(found["a"]), int(found["b"]), int(found["short"])
    day_first = found["between"] == "." or first > 12
    return year + (2000 if year < 100 else 0), second if day_first else first, first if day_first else second


def _zone(text: str, otherwise: dt.tzinfo) -> dt.tzinfo:
    """The zone of `UTC`, `UTC+2` or `+01:00`; a name such as CEST means the instrument's own zone."""
    found = _ZONE.fullmatch(text.strip())
    if found is None or not text.strip():
        return otherwise
    if not found["sign"]:
        return dt.UTC
    offset = dt.timedelta(hours=int(found["hours"]), minutes=int(found["minutes"] or 0))
    return dt.timezone(-offset if found["sign"] == "-" else offset)


def seconds(when: dt.datetime | None) -> float | None:
    """Seconds since 1970; None for earlier dates, or dates out of range."""
    if when is None:
        return None
    try:
        found = when.timestamp()
    except (OverflowError, ValueError, OSError):
        return None
    return found if found >= 0 else None
