"""An office's JSON as proposals: which of its fields is what, and what is refused.

Facilities name things differently, so that the names are settings: dotted paths into the answer.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdm.names import (
    LONGEST_NAME,
    LONGEST_SAMPLE,
    NameRefused,
    check_name,
    check_sample,
    check_visit,
    is_windows_device,
)
from sdm.office.model import CATEGORY_OF, LONGEST_ABSTRACT, Proposal, Visit, category_of, one_line

_log = logging.getLogger(__name__)

RULES = ("lower", "upper", "split")

_STEP = re.compile(r"[^\[\]{}.]+|\[\d*\]")
_PATH = re.compile(r"[^\[\]{}.]+(\[\d*\])*(\.[^\[\]{}.]+(\[\d*\])*)*")
_FIELD = re.compile(r"\{([^{}]*)\}")


class Unreadable(ValueError):
    """An answer that cannot be used. The text names the field."""


@dataclass(frozen=True)
class Dotted:
    """A path: `principal.fullname`, `participants[].name` (of each), `participants[0].name` (of the first)."""

    text: str

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.text):
            raise ValueError(f"{self.text!r} is not of the form name.name, name[].name or name[0].name")

    def values(self, answer: Any) -> list[Any]:
        """What is there, lists at the end taken apart; nothing where there is none. Raises Unreadable."""
        found = [answer]
        for step in _STEP.findall(self.text):
            found = [inner for one in found for inner in self._below(one, step) if inner is not None]
        return [inner for one in found for inner in (one if isinstance(one, list) else [one]) if inner is not None]

    def _below(self, value: Any, step: str) -> list[Any]:
        if value in ("", [], {}):  # PHP's empty object is a list, and its nothing a text
            return []
        if not step.startswith("["):
            if not isinstance(value, dict):
                hint = f": write {step}[] for each" if isinstance(value, list) else ""
                raise Unreadable(f"{self.text}: {_kind(value)} is there where {step!r} was to be looked up{hint}")
            return [value.get(step)]
        if not isinstance(value, list):
            raise Unreadable(f"{self.text}: {_kind(value)} is there in place of a list")
        number = step[1:-1]
        return value if not number else value[int(number) : int(number) + 1]


@dataclass(frozen=True)
class Template:
    """`{firstname} {lastname}`: a text with paths in it."""

    text: str

    def __post_init__(self) -> None:
        if "{" in _FIELD.sub("", self.text) or "}" in _FIELD.sub("", self.text):
            raise ValueError(f"{self.text!r} has a brace without its partner")
        for path in _FIELD.findall(self.text):
            Dotted(path)

    def values(self, answer: Any) -> list[Any]:
        """One text, or none if nothing of what it names is there."""
        parts = {path: " ".join(_text(one, path) for one in Dotted(path).values(answer)) for path in self.paths}
        if not any(parts.values()):
            return []
        return [_FIELD.sub(lambda found: parts[found[1]], self.text)]

    @property
    def paths(self) -> list[str]:
        return _FIELD.findall(self.text)


def part(text: str) -> Dotted | Template:
    """What a setting names. Raises ValueError."""
    return Template(text) if "{" in text or "}" in text else Dotted(text)


@dataclass(frozen=True)
class Field:
    """Where a field is found: `part`, below each of `path` if there is one; then one of RULES, or none."""

    part: Dotted | Template
    path: Dotted | None = None
    rule: str = ""

    def texts(self, answer: Any) -> list[str]:
        places = self.path.values(answer) if self.path else [answer]
        found = [_text(value, self.part.text) for place in places for value in self.part.values(place)]
        if self.rule == "split":
            found = [piece for one in found for piece in re.split(r"[,;\n]", one)]
        elif self.rule:
            found = [getattr(one, self.rule)() for one in found]
        return [one.strip() for one in found if one.strip()]


@dataclass(frozen=True)
class VisitFields:
    """Where visits are found: each of `path`, with the parts that are named; without any it is a start or a name."""

    path: Dotted
    parts: Mapping[str, Dotted | Template] = field(default_factory=dict)

    def found(self, answer: Any) -> list[dict[str, str]]:
        """Of each visit its texts, by the names of `Visit`. Without a name and a start it is not planned yet."""
        values = self.path.values(answer)
        if not self.parts:
            return [{"": _text(value, self.path.text)} for value in values if value != ""]
        found = [
            {
                name: " ".join(_text(one, place.text) for one in place.values(value))
                for name, place in self.parts.items()
            }
            for value in values
        ]
        return [one for one in found if one.get("name") or one.get("start")]


@dataclass(frozen=True)
class Reading:
    """How an office's answers are read. Of several places for a field the first that has something counts.

    `dates` is strptime's format of dates that are not ISO 8601; `categories` and `beamlines`
    map the office's words to ours; `group` is used where the answer names none.
    """

    fields: Mapping[str, tuple[Field, ...]]
    visits: tuple[VisitFields, ...] = ()
    dates: str = ""
    categories: Mapping[str, str] = field(default_factory=lambda: CATEGORY_OF)
    beamlines: Mapping[str, str] = field(default_factory=dict)
    group: str = "{proposal}-group"

    def asked(self, answer: Any, proposal_id: str) -> Proposal | None:
        """The proposal that was asked for, alone or in a list; None if it is not there. Raises Unreadable."""
        if isinstance(answer, list):
            answer = next((one for one in answer if self._number(one) == proposal_id), None)
        if not answer:
            return None
        found = self.proposal(answer)
        if found.id != proposal_id:
            raise Unreadable(f"it is about the proposal {found.id}, not {proposal_id}")
        return found

    def _number(self, answer: Any) -> str:
        number = self._one(answer, "id")
        if not number:
            raise Unreadable(f"it has no id ({self._places('id')})")
        return _named("id", number, check_name, "id")

    def proposal(self, answer: Any, beamline: str = "") -> Proposal:
        """The proposal that is told; `beamline` is taken where the answer names none. Raises Unreadable."""
        if not isinstance(answer, dict):
            raise Unreadable(f"{_kind(answer)} is there in place of a proposal")
        number = self._number(answer)
        kind = one_line(self._one(answer, "type"))
        beamlines = self._beamlines(answer) or ((beamline,) if beamline else ())
        if not beamlines:
            raise Unreadable(f"proposal {number} has no beamline ({self._places('beamline')})")
        return Proposal(
            id=number,
            title=one_line(self._one(answer, "title")),
            beamline=beamlines[0],
            also_at=beamlines[1:],
            category="proprietary" if self._is_proprietary(answer) else category_of(kind, number, self.categories),
            abstract=one_line(self._one(answer, "abstract"), LONGEST_ABSTRACT),
            pi_name=one_line(self._one(answer, "pi_name")),
            pi_email=one_line(self._one(answer, "pi_email")),
            members=tuple(one_line(one) for one in self._all(answer, "members")),
            group=self._group(self._one(answer, "group"), number),
            visits=self._visits(answer),
            samples=samples_of(self._all(answer, "samples")),
            type=kind,
        )

    def listed(self, answer: Any, beamline: str) -> list[Proposal]:
        """The proposals of a list that are at this beamline, by their number. Plain numbers will do.

        One that cannot be used does not cost the others, and is told in the log. Raises Unreadable.
        """
        found: dict[str, Proposal] = {}
        wrong: list[Unreadable] = []
        for one in members_of(answer):
            try:
                plain = isinstance(one, str | int) and not isinstance(one, bool)
                proposal = self._only(one, beamline) if plain else self.proposal(one, beamline)
                found[proposal.id] = proposal
            except Unreadable as error:
                wrong.append(error)
        if wrong and not found:
            raise wrong[0]
        if wrong:
            _log.warning("%d of the user office's %d proposals cannot be used: %s", len(wrong), len(answer), wrong[0])
        return sorted((one for one in found.values() if one.is_at(beamline)), key=lambda one: one.id)

    def _only(self, number: str | int, beamline: str) -> Proposal:
        name = _named("id", str(number), check_name, "id")
        return Proposal(name, "", beamline, category_of("", name, self.categories), group=self._group("", name))

    def _group(self, said: str, number: str) -> str:
        return _named("group", said or self.group.format(proposal=number), check_name, "group")

    def _all(self, answer: Any, name: str) -> list[str]:
        wrong: Unreadable | None = None
        for place in self.fields.get(name, ()):
            try:
                found = place.texts(answer)
            except Unreadable as error:
                wrong = wrong or error
                continue
            if found:
                return list(dict.fromkeys(found))
        if wrong:
            raise Unreadable(f"{name}: {wrong}") from wrong
        return []

    def _one(self, answer: Any, name: str) -> str:
        found = self._all(answer, name)
        if len(found) > 1:
            raise Unreadable(f"{name}: there are {len(found)} of it")
        return found[0] if found else ""

    def _places(self, name: str) -> str:
        return ", ".join(place.part.text for place in self.fields.get(name, ()))

    def _is_proprietary(self, answer: Any) -> bool:
        said = self._one(answer, "proprietary").lower()
        if said not in ("", "true", "yes", "1", "false", "no", "0"):
            raise Unreadable(f"proprietary: {one_line(said, 20)!r} is neither true nor false")
        return said in ("true", "yes", "1")

    def beamline(self, said: str) -> str:
        """Ours for the office's; "" if it cannot be one, as the identifier of an instrument elsewhere."""
        ours = {name.lower(): beamline for name, beamline in self.beamlines.items()}.get(said.lower(), said.lower())
        try:
            return check_name(ours, "beamline")
        except NameRefused:
            return ""

    def _beamlines(self, answer: Any) -> tuple[str, ...]:
        said = self._all(answer, "beamline")
        ours = tuple(dict.fromkeys(name for name in map(self.beamline, said) if name))
        if said and not ours:
            raise Unreadable(f"beamline: {one_line(said[0], 50)!r} is no beamline's name; map it in `beamlines`")
        return ours

    def _visits(self, answer: Any) -> tuple[Visit, ...]:
        try:
            for place in self.visits:
                found = place.found(answer)
                if found:
                    return tuple(dict.fromkeys(self._visit(said) for said in found))
        except Unreadable as error:
            raise Unreadable(f"visits: {error}") from error
        return ()

    def _visit(self, said: dict[str, str]) -> Visit:
        if "" in said:
            day = self._day(said[""])
            said = {"start": said[""]} if day else {"name": said[""]}
        days = {name: self._day(said.get(name, "")) for name in ("start", "end")}
        for name, day in days.items():
            if said.get(name) and not day:
                raise Unreadable(f"{name} {one_line(said[name], 40)!r} is no date; set `dates`")
        start, end = days["start"], days["end"]
        if start and end and end < start:
            raise Unreadable(f"the end {end} is before the start {start}")
        name = usable(said.get("name", ""), between="_", longest=LONGEST_NAME) or start.replace("-", "")
        beamline = one_line(said.get("beamline", ""))
        return Visit(_named("name", name, check_visit), start, end, self.beamline(beamline) or beamline)

    def _day(self, said: str) -> str:
        """The day at this place, YYYY-MM-DD; "" for what is no date."""
        try:
            if self.dates:
                with_format = dt.datetime.strptime(said, self.dates)
                return with_format.date().isoformat()
            moment = dt.datetime.fromisoformat(said)
            return (moment.astimezone() if moment.tzinfo else moment).date().isoformat()
        except (ValueError, OverflowError):
            return ""


def members_of(answer: Any) -> list[Any]:
    """Raises Unreadable if it is no list."""
    if not isinstance(answer, list):
        raise Unreadable(f"{_kind(answer)} is there in place of a list")
    return answer


def samples_of(names: Iterable[str]) -> tuple[str, ...]:
    """Samples as folders can be named after them. Raises Unreadable."""
    return tuple(dict.fromkeys(_named("samples", usable(name), check_sample) for name in names))


def usable(name: str, between: str = "/", longest: int = LONGEST_SAMPLE) -> str:
    """People's names of samples and visits as names of folders: what is none in a path becomes `_`, or is cut off.

    What nobody calls a sample (`..`, a full path, control characters) is left for the check to refuse.
    """
    if not name.isprintable() or name.startswith("/") or ".." in name.split("/"):
        return name
    parts = (re.sub(r"[^A-Za-z0-9_.-]+", "_", part)[:LONGEST_NAME] for part in name.split("/") if part)
    named = (f"_{part}" if is_windows_device(part) else re.sub(r"^[-.]|[.]$", "_", part) for part in parts)
    return re.sub(r"[./]+$", "_", between.join(named)[:longest])


def _named(what: str, name: str, check: Any, *more: str) -> str:
    try:
        return str(check(name, *more))
    except NameRefused as error:
        raise Unreadable(f"{what}: {one_line(str(error))}") from error


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    hint = f"; name a field of it, as {where}.name" if isinstance(value, dict) else ""
    raise Unreadable(f"{where}: {_kind(value)} is there in place of a text{hint}")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")
