r"""Profiles define which files are measurements, which files belong together, and which reader reads them.

A profile is a line of a device property: one YAML flow mapping, or the name of a shipped profile, optionally with
changed values:

    prodigy
    {name: ses, settle: 5, modified: true}
    {name: frames, pattern: "eiger/*.{h5,cbf}", group: folder, settle: 10}
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, Strict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from scifish.settings.entries import YAML_ERRORS, ConfigurationLoader
from scifly.patterns import Pattern
from scifly.readers import READERS

GROUPS = ("stem", "folder", "series", "file")

MAX_PROFILE_SECONDS = 7 * 86_400.0
"""Seconds; a longer time is probably a mistake."""


def _one_of(allowed: Sequence[str]) -> AfterValidator:
    def check(given: str) -> str:
        text = given.strip().lower()
        if text not in allowed:
            raise ValueError(f"{reprlib.repr(given)} is not one of {_listed(allowed)}")
        return text

    return AfterValidator(check)


_Text = Annotated[str, Strict()]
_Seconds = Annotated[float, Strict(), Field(ge=0, le=MAX_PROFILE_SECONDS, allow_inf_nan=False)]


@dataclass(frozen=True)
class Profile:
    """One kind of measurement. Times are in seconds.

    `group` defines which files make one measurement: `stem` files with the same beginning of the name, by the reader's
    rule; `folder` all files of a folder; `series` files that differ only in their running number; `file` each file
    alone. A file is finished after `settle` seconds without a change. A measurement whose header announces more is
    waited for, at most `patience` seconds; then it is recorded as interrupted. With `modified`, changes of recorded
    files are recorded too.
    """

    name: str
    pattern: Annotated[_Text, AfterValidator(lambda text: Pattern(text).text)]
    group: Annotated[_Text, _one_of(GROUPS)] = "file"
    settle: _Seconds = 2.0
    modified: Annotated[bool, Strict()] = False
    reader: Annotated[_Text, _one_of(tuple(READERS))] = "none"
    patience: _Seconds = 3600.0

    @cached_property
    def compiled(self) -> Pattern:
        return Pattern(self.pattern)

    def wants(self, relative_path: str) -> bool:
        """Whether the profile matches a path below the root."""
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
"""The profiles of a device whose property is empty."""

PROFILE_KEYS = tuple(one.name for one in fields(Profile))

_CHECKS = TypeAdapter(Profile)


def profiles_from(lines: Sequence[str]) -> tuple[tuple[Profile, ...], tuple[str, ...]]:
    """The valid profiles in order, and a sentence for each mistake.

    A line with a mistake is not used: wrongly recorded files would stay in the catalogue, while the files of a
    corrected line are recorded later. An unknown key is only reported.
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
    """The first profile that matches; None if none does."""
    return next((profile for profile in profiles if profile.wants(relative_path)), None)


def _profile(text: str) -> tuple[Profile | None, list[str]]:
    try:
        # The project's own SafeLoader: it creates only plain values.
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
    base = asdict(shipped or Profile(name.strip(), ""))
    own = {key: given[key] for key in PROFILE_KEYS if key != "name" and given.get(key) is not None}
    try:
        profile = _CHECKS.validate_python(base | own)
    except ValidationError as error:
        wrong = [f"{name}: {one['loc'][0]}: {_why(one)}; this line is not used" for one in error.errors()]
        return None, [*problems, *wrong]
    return profile, problems


def _why(error: ErrorDetails) -> str:
    """A text that says what is wrong with a value, and shows the value."""
    value = reprlib.repr(error["input"])
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "bool_type":
        return f"{value} is neither true nor false"
    if error["type"] == "string_type":
        return f"{value} is not a text; put it into quotes"
    return f"{value} is not a number of seconds from 0 to {MAX_PROFILE_SECONDS:g}"


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(names)
