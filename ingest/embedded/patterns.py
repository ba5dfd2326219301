r"""Patterns of `like`, `ilike` and `$regex` as SQLite's GLOB.

Regular expressions from outside are not run as such: Python's engine can be kept busy for years
by a short one. What searching needs has a GLOB, which takes linear time: plain text, `.`, `.*`,
`.+`, `^`, `$`, `\.`, `[a-z]`, `\d` and `|` between whole patterns.
"""

from __future__ import annotations

import re

_MAX_LENGTH = 500
_TOKEN = re.compile(
    r"""(?P<any>\.\*\??) | (?P<some>\.\+\??) | (?P<one>\.(?![*+?{])) | (?P<digit>\\d(?![*+?{]))
      | (?P<class>\[\^?[\w .:,;-]+\](?![*+?{])) | \\(?P<escaped>[^\w])(?![*+?{])
      | (?P<plain>[^\\.\[\](){}*+?|^$](?![*+?{]))""",
    re.VERBOSE | re.DOTALL,
)
_GLOBS = {"any": "*", "some": "?*", "one": "?", "digit": "[0-9]"}


def globs(pattern: str) -> list[str]:
    """GLOBs of which one must match. ValueError for a pattern that has no GLOB."""
    if len(pattern) > _MAX_LENGTH:
        raise ValueError(f"a pattern has at most {_MAX_LENGTH} characters")
    return [_glob(part) for part in re.split(r"(?<!\\)\|", pattern)]


def _glob(pattern: str) -> str:
    start = pattern.startswith("^")
    end = pattern.endswith("$") and not pattern.endswith("\\$")
    rest = pattern[start : len(pattern) - end]
    parts = []
    while rest:
        found = _TOKEN.match(rest)
        if found is None:
            raise ValueError(f"this part of the pattern is not supported: {rest[:50]!r}")
        parts.append(_part(found))
        rest = rest[found.end() :]
    return f"{'' if start else '*'}{''.join(parts)}{'' if end else '*'}"


def _part(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    text = found.group(kind)
    if kind in ("escaped", "plain"):
        return f"[{text}]" if text in "*?[" else text
    return _GLOBS.get(kind, text)
