"""Which texts JavaScript takes for dates: the real server runs on it, and makes dates of them in v3's filters.

`new Date("list 1")` is 1 January 2001: V8, the JavaScript of Node.js, reads what looks like no date in its own
way. Words before the first number do not count, nor does what is in parentheses; then come up to three numbers as
month, day, year, a month by its name, a time, a zone. This says what it says of names that people give; of odd
times and zones it may differ.
"""

from __future__ import annotations

import re

_ISO = re.compile(
    r"(?:\d{4}|[+-]\d{6})(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01]))?)?"
    r"(?:T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?)?",
    re.ASCII,
)
_TOKEN = re.compile(r"(?P<number>[0-9]+)|(?P<word>(?:(?!\s)[A-\U0010ffff])+)|(?P<space>\s+)|(?P<sign>[^\s])")
_MONTHS = frozenset(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
_ZONES = frozenset(["utc", "ut", "gmt", "z", "est", "edt", "cst", "cdt", "mst", "mdt", "pst", "pdt"])
_LAST_YEAR = 275_759


def is_date(text: str) -> bool:
    """Whether `new Date(text)` is a valid date."""
    return bool(_ISO.fullmatch(text)) or _Legacy(text).takes()


class _Legacy:
    """One text that is not in the form of ISO 8601."""

    def __init__(self, text: str) -> None:
        tokens = [(str(found.lastgroup), found[0]) for found in _TOKEN.finditer(_without_parentheses(text))]
        self._tokens = tokens[::-1]
        self._days: list[int] = []
        self._time: list[int] = []
        self._timed = self._zoned = self._named = False

    def takes(self) -> bool:
        kind, text = self._peek()
        if kind == "number" and len(text) == 4:  # a year, also before a colon
            self._days.append(int(self._next()[1]))
            self._skip("-")
        return all(self._read(kind, text) for kind, text in iter(self._next, ("", ""))) and self._is_valid()

    def _next(self) -> tuple[str, str]:
        return self._tokens.pop() if self._tokens else ("", "")

    def _peek(self) -> tuple[str, str]:
        return self._tokens[-1] if self._tokens else ("", "")

    def _skip(self, sign: str) -> bool:
        if self._peek() == ("sign", sign):
            self._tokens.pop()
            return True
        return False

    def _read(self, kind: str, text: str) -> bool:
        """Whether it may still become a date after this token."""
        if kind == "number":
            return self._number(int(text[:10]))
        if kind == "word":
            return self._word(text[:3].lower(), text.lower())
        if kind == "sign" and text in "+-":
            if self._zoned or self._time:
                return self._offset()
            return not self._days
        return not (text == ")" and self._days)

    def _number(self, number: int) -> bool:
        if not self._timed and self._skip(":"):
            self._time.append(number)
            return len(self._time) < 4
        if not self._timed and self._skip(".") and self._time:
            self._time.append(number)
            self._timed = True
            return self._next()[0] == "number"
        if self._time and not self._timed and number < 60:
            self._time.append(number)
            self._timed = True
            kind, text = self._peek()
            return kind in ("", "space") or text in ("Z", "z", "+", "-")
        self._days.append(number)
        self._skip("-")
        return len(self._days) <= 3

    def _word(self, short: str, whole: str) -> bool:
        if whole in ("am", "pm") and self._time:
            return True
        if short in _MONTHS:
            self._named = True
            self._skip("-")
            return True
        if whole in _ZONES and (self._days or self._time):
            self._zoned = True
            return True
        return not (self._days or self._time) and self._peek()[0] != "number"

    def _offset(self) -> bool:
        if self._peek()[0] == "number":
            digits = self._next()[1]
            if self._skip(":"):
                return self._peek()[0] != "number" or self._next()[0] == "number"
            return len(digits) <= 4
        return True

    def _is_valid(self) -> bool:
        hour, minute, second = [*self._time, 0, 0, 0][:3]
        return bool(self._days) and self._is_day() and hour < 25 and minute < 60 and second < 60

    def _is_day(self) -> bool:
        first, second, third = [*self._days, 1, 1][:3]
        if self._named:
            day, year = (first, second) if _day(first) else (second, first)
            return _day(day) and year <= _LAST_YEAR
        # A year is the first where it can be nothing else.
        month, day, year = (first, second, third) if _day(first) else (second, third, first)
        return 1 <= month <= 12 and _day(day) and year <= _LAST_YEAR


def _day(number: int) -> bool:
    return 1 <= number <= 31


def _without_parentheses(text: str) -> str:
    """An unclosed one goes on to the end."""
    kept, depth = [], 0
    for char in text:
        depth += char == "("
        if not depth:
            kept.append(char)
        elif char == ")":
            depth -= 1
            if not depth:
                kept.append("!")  # what was before is not one with what comes after
    return "".join(kept)
