"""File name patterns as in a shell, with braces; case is ignored."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

MAX_BRACE_ALTERNATIVES = 200
"""Maximum number of alternatives in the braces of one pattern."""


class PatternError(ValueError):
    """The text is not a valid pattern. The message says why, and what to write."""


class Pattern:
    """A file name pattern. Raises PatternError if it is not valid.

    `*.{txt,ibw}` matches the file name in any folder; `scans/*.h5` and `**/raw/*.h5` match a path below the root. `*`
    and `?` stop at a slash, `**` matches any number of folders, `[ab]` matches one of these characters.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        alternatives = [one.split("/") for one in _expanded(self.text)]
        for parts in alternatives:
            if "" in parts or ".." in parts or "." in parts:
                raise PatternError(f"{text!r} is not below the watched path; write it like *.txt or scans/*.h5")
        names = [fnmatch.translate(parts[0]) for parts in alternatives if len(parts) == 1]
        # fnmatch makes atomic groups, so a pattern with many stars does not slow down names that do not match.
        self._name = re.compile("|".join(names), re.IGNORECASE) if names else None
        self._paths = [tuple(map(_part, parts)) for parts in alternatives if len(parts) > 1]

    def matches(self, relative_path: str) -> bool:
        """Whether the pattern matches a path below the root."""
        if self._name is not None and self._name.match(relative_path.rpartition("/")[2]):
            return True
        return bool(self._paths) and any(_fits(path, relative_path.split("/")) for path in self._paths)


def _part(text: str) -> re.Pattern[str] | None:
    return None if text == "**" else re.compile(fnmatch.translate(text), re.IGNORECASE)


def _fits(pattern: Sequence[re.Pattern[str] | None], parts: Sequence[str]) -> bool:
    """Match step by step, so that several `**` cost no more than one. `reached` has the numbers of matched parts."""
    reached = {0}
    for one in pattern:
        if one is None:
            reached = set(range(min(reached), len(parts) + 1))
        else:
            reached = {number + 1 for number in reached if number < len(parts) and one.match(parts[number])}
        if not reached:
            return False
    return len(parts) in reached


def _expanded(text: str) -> list[str]:
    """The pattern expanded: one text without braces for each alternative."""
    if not text:
        raise PatternError("it is empty; write it like *.txt or scans/*.h5")
    found = [""]
    rest = text
    while rest:
        before, brace, rest = _until_brace(rest)
        choices, rest = _choices(rest, text) if brace else ([""], "")
        found = [one + before + choice for one in found for choice in choices]
        if len(found) > MAX_BRACE_ALTERNATIVES:
            raise PatternError(f"{text!r} has more than {MAX_BRACE_ALTERNATIVES} alternatives; use fewer of them")
    return found


def _until_brace(text: str) -> tuple[str, str, str]:
    before, brace, rest = text.partition("{")
    if "}" in before:
        raise PatternError(f"{text!r} has a '}}' without a '{{'")
    return before, brace, rest


def _choices(text: str, whole: str) -> tuple[list[str], str]:
    """The expanded alternatives up to the closing brace, and the text after it."""
    depth, start, choices = 0, 0, []
    for place, letter in enumerate(text):
        if letter == "{":
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
        elif letter in ",}" and not depth:
            choices += _expanded(text[start:place]) if text[start:place] else [""]
            if len(choices) > MAX_BRACE_ALTERNATIVES:
                break
            start = place + 1
            if letter == "}":
                return choices, text[start:]
    raise PatternError(f"{whole!r}: the braces are not closed, or contain too much; write it like *.{{txt,ibw}}")
