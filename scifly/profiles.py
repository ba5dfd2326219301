"""Profiles: which files are measurements, which belong together, and who can read them.

A profile is a line of a device property: one YAML flow mapping, or the name of one that is shipped,
as it is or with what is to be another way:

    prodigy
    {name: ses, settle: 5, modified: true}
    {name: frames, pattern: "eiger/*.{h5,cbf}", group: folder, settle: 10}
"""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import yaml

from scifish.settings.entries import YAML_ERRORS, ConfigurationLoader
from scifly.patterns import Pattern, PatternError
from scifly.readers import READERS

GROUPS = ("stem", "folder", "series", "file")

MAX_PROFILE_SECONDS = 7 * 86_400.0
"""Seconds: more than this is hardly meant."""


@dataclass(frozen=True)
class Profile:
    """One sort of measurements. Times in seconds.

    `group` says which files make one: `stem` those whose names begin alike, by the reader's rule;
    `folder` all of a folder; `series` those that differ in their running number; `file` each by
    itself. A file is finished when nothing happened to it for `settle`. A measurement whose header
    says that more is to come is waited for, for `patience`; then it is recorded as interrupted.
    With `modified`, a change of what was recorded is recorded too.
    """

    name: str
    pattern: str
    group: str = "file"
    settle: float = 2.0
    modified: bool = False
    reader: str = "none"
    patience: float = 3600.0

    @cached_property
    def compiled(self) -> Pattern:
        return Pattern(self.pattern)

    def wants(self, relative_path: str) -> bool:
        """Whether this path below the root is of this profile."""
        return self.compiled.matches(relative_path)


SHIPPED_PROFILES = {
    profile.name: profile
    for profile in (
        Profile("ses", "*.{txt,ibw,pxt,zip}", "stem", reader="ses"),
        Profile("prodigy", "*.{xy,xml,sle}", "stem", reader="prodigy"),
        Profile("any", "*", "file", settle=5.0),
    )
}

DEFAULT_PROFILES = ("ses", "prodigy")
"""The lines of a device that has none."""

PROFILE_KEYS = tuple(one.name for one in fields(Profile))


def profiles_from(lines: Sequence[str]) -> tuple[tuple[Profile, ...], tuple[str, ...]]:
    """The profiles that are right, in their order, and a sentence for each mistake.

    A line with a mistake is not in use: files recorded the wrong way would stay so in the catalogue,
    while those of a line that is put right are caught up with. A key that is not known is only told.
    """
    found: dict[str, Profile] = {}
    problems: list[str] = []
    # A property edited in one text field may come as one string with line breaks.
    pieces = [piece.strip() for line in lines for piece in (line.splitlines() or [""])]
    for number, text in enumerate(pieces, start=1):
        if not text or text.startswith("#"):
            continue
        profile, mistakes = _profile(text.removeprefix("- "))
        if profile is not None and profile.name in found:
            mistakes.append(f"there is a profile {profile.name!r} above; give this one another name")
        elif profile is not None:
            found[profile.name] = profile
        problems += [f"line {number}: {mistake}" for mistake in mistakes]
    return tuple(found.values()), tuple(problems)


def profile_of(profiles: Sequence[Profile], relative_path: str) -> Profile | None:
    """The first that wants it."""
    return next((profile for profile in profiles if profile.wants(relative_path)), None)


def _profile(text: str) -> tuple[Profile | None, list[str]]:
    try:
        # The project's own SafeLoader: it makes nothing but plain values.
        given = yaml.load(text, Loader=ConfigurationLoader)  # noqa: S506
    except (yaml.YAMLError, *YAML_ERRORS) as error:
        why = getattr(error, "problem", None) or "it cannot be read"
        hint = "; put a pattern into quotes" if "pattern" in text else ""
        return None, [f"not YAML ({why}){hint}: {text[:80]!r}"]
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, dict):
        return None, [f"{text[:80]!r} is neither {{name: ..., pattern: ...}} nor one of {_listed(SHIPPED_PROFILES)}"]
    return _checked(given)


def _checked(given: Mapping[Any, Any]) -> tuple[Profile | None, list[str]]:
    problems = []
    for key in given:
        if key not in PROFILE_KEYS:
            near = difflib.get_close_matches(str(key), PROFILE_KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed are {_listed(PROFILE_KEYS)}"
            problems.append(f"the key {reprlib.repr(key)} is not known and is ignored; {hint}")
    name = given.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > 60 or not name.isprintable():
        return None, [*problems, f"name: a short text is needed, not {reprlib.repr(name)}"]
    shipped = SHIPPED_PROFILES.get(name.strip().lower())
    if shipped is None and given.get("pattern") is None:
        near = difflib.get_close_matches(name.lower(), SHIPPED_PROFILES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f", as it is not one of {_listed(SHIPPED_PROFILES)}"
        return None, [*problems, f"{name}: pattern is missing{hint}"]
    values: dict[str, Any] = {}
    wrong = []
    for key, check in _CHECKS.items():
        if given.get(key) is None:
            continue
        try:
            values[key] = check(given[key])
        except (ValueError, TypeError) as error:
            wrong.append(f"{name}: {key}: {error}; this line is not used")
    if wrong:
        return None, [*problems, *wrong]
    return replace(shipped or Profile(name.strip(), ""), **values), problems


def _pattern(given: Any) -> str:
    try:
        return Pattern(_text(given)).text
    except PatternError as error:
        raise ValueError(str(error)) from error


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"{reprlib.repr(given)} is not a text; put it into quotes")
    return given


def _one_of(known: Sequence[str]) -> Any:
    def check(given: Any) -> str:
        text = _text(given).strip().lower()
        if text not in known:
            raise ValueError(f"{reprlib.repr(given)} is not one of {_listed(known)}")
        return text

    return check


def _seconds(given: Any) -> float:
    good = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    if not good or not 0 <= given <= MAX_PROFILE_SECONDS:
        raise ValueError(f"{reprlib.repr(given)} is not a number of seconds from 0 to {MAX_PROFILE_SECONDS:g}")
    return float(given)


def _flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise ValueError(f"{reprlib.repr(given)} is neither true nor false")
    return given


_CHECKS = {
    "pattern": _pattern,
    "group": _one_of(GROUPS),
    "settle": _seconds,
    "modified": _flag,
    "reader": _one_of(READERS),
    "patience": _seconds,
}


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(names)
