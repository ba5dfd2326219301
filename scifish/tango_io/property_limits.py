"""The limits of the Tango database: which property names and lines it refuses or changes.

Measured on the C++ database (9.3.4 on MariaDB): a line of more than 65,535 bytes is refused after the old value was
deleted; a backslash before a quote is dropped; names that differ only in case or accents are one property. Everything
else is stored as it was written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MAX_PROPERTY_LINE_BYTES = 65_535
"""Maximum length of a property's line, in UTF-8."""

MAX_NAME_CHARACTERS = 255
"""Maximum length of a property's name."""


_DROPPED = re.compile(r"\\['\"]")


def loses_backslash(line: str) -> bool:
    """Whether the line has a backslash that the database drops: one before a double or single quote."""
    return bool(_DROPPED.search(line))


def folded(name: str) -> str:
    """The same result for names that are one to the database: they differ only in case, accents or trailing blanks."""
    decomposed = unicodedata.normalize("NFD", name.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).rstrip(" ")


def storage_problems(name: str, lines: Sequence[str]) -> list[str]:
    """A sentence for each reason why the database cannot store this property as it is; [] if it can."""
    problems = []
    if len(name) > MAX_NAME_CHARACTERS:
        problems.append(
            f"the property's name {name[:40]!r}... has {len(name)} characters; {MAX_NAME_CHARACTERS} are possible"
        )
    for number, line in enumerate(lines, start=1):
        problems += [f"line {number}: {problem}" for problem in _of_line(line)]
    return problems


def _of_line(line: str) -> list[str]:
    try:
        size = len(line.encode("utf-8"))
    except UnicodeEncodeError:
        return ["it has half a character (a lone surrogate), which no database can store"]
    problems = []
    if size > MAX_PROPERTY_LINE_BYTES:
        problems.append(f"it has {size} bytes; the Tango database allows {MAX_PROPERTY_LINE_BYTES} in a line")
    if loses_backslash(line):
        problems.append(
            "the Tango database drops a backslash before a quote: write the text in 'single quotes', or in "
            "double quotes with \\x5c for the backslash"
        )
    if any(c in line for c in "\0\n\r"):
        problems.append("it contains a line break or a zero byte")
    return problems
