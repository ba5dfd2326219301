"""Patterns of file names as a shell has them, with braces, without regard to case."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

MAX_BRACE_ALTERNATIVES = 200
"""Alternatives that the braces of one pattern may make."""


class PatternError(ValueError):
    """It is no pattern; the text says why, and what to write."""


class Pattern:
    """`*.{txt,ibw}` matches the name of a file in any folder, `scans/*.h5` and `**/raw/*.h5` a path below the root.

    `*` and `?` stop at a slash, `**` is any number of folders, `[ab]` is one of these. PatternError if it is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        alternatives = [one.split("/") for one in _expanded(self.text)]
        for parts in alternatives:
            if "" in parts or ".." in parts or "." in parts:
                raise PatternError(f"{text!r} is not below the watched path; write it like *.txt or scans/*.h5")
        names = [fnmatch.translate(parts[0]) for parts in alternatives if len(parts) == 1]
        # Each is atomic, so that a pattern of many stars takes no longer for a name that does not match.
        self._name = re.compile("|".join(names), re.IGNORECASE) if names else None
        self._paths = [tuple(map(_part, parts)) for parts in alternatives if len(parts) > 1]

    def matches(self, relative_path: str) -> bool:
        """Whether a file with this path below the root is meant."""
        if self._name is not None and self._name.match(relative_path.rpartition("/")[2]):
            return True
        return bool(self._paths) and any(_fits(path, relative_path.split("/")) for path in self._paths)


def _part(text: str) -> re.Pattern[str] | None:
    return None if text == "**" else re.compile(fnmatch.translate(text), re.IGNORECASE)


def _fits(pattern: Sequence[re.Pattern[str] | None], parts: Sequence[str]) -> bool:
    """By rows, so that several `**` cost no more than one: `reached` are the numbers of parts that fit so far."""
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
    """The pattern without braces, as often as there are alternatives."""
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
    """What is between here and the brace that closes, each of its alternatives expanded; and what is behind it."""
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
