"""Turns an office's JSON into proposals, and refuses what cannot be used.

Facilities use different field names, so the names are settings: dotted paths into the answer.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import PlainValidator

from sdm.names import (
    MAX_FOLDER_NAME_LENGTH,
    MAX_SAMPLE_LENGTH,
    NameRefused,
    check_name,
    check_sample,
    check_visit,
    is_windows_device,
)
from sdm.office.model import CATEGORY_OF, MAX_ABSTRACT_LENGTH, Proposal, Visit, category_of, one_line
from sdm.yaml_document import check

_log = logging.getLogger(__name__)

RULES = ("lower", "upper", "split")

_STEP = re.compile(r"[^\[\]{}.]+|\[\d*\]")
_PATH = re.compile(r"[^\[\]{}.]+(\[\d*\])*(\.[^\[\]{}.]+(\[\d*\])*)*")
_FIELD = re.compile(r"\{([^{}]*)\}")


class UnusableAnswer(ValueError):
    """An answer that cannot be used. The text names the field."""


@dataclass(frozen=True)
class AnswerPath:
    """A path: `principal.fullname`, `participants[].name` (of each), `participants[0].name` (of the first)."""

    text: str

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.text):
            raise ValueError(f"{self.text!r} is not of the form name.name, name[].name or name[0].name")

    def values(self, answer: Any) -> list[Any]:
        """The values at this path, and of a list at its end the elements. Raises UnusableAnswer."""
        found = [answer]
        for step in _STEP.findall(self.text):
            found = [inner for one in found for inner in self._below(one, step) if inner is not None]
        return [inner for one in found for inner in (one if isinstance(one, list) else [one]) if inner is not None]

    def _below(self, value: Any, step: str) -> list[Any]:
        if value in ("", [], {}):  # PHP writes an empty object as a list, and null as an empty text
            return []
        if not step.startswith("["):
            if not isinstance(value, dict):
                hint = f": write {step}[] for each" if isinstance(value, list) else ""
                raise UnusableAnswer(f"{self.text}: {step!r} cannot be looked up in {_type_name(value)}{hint}")
            return [value.get(step)]
        if not isinstance(value, list):
            raise UnusableAnswer(f"{self.text}: expected a list, got {_type_name(value)}")
        number = step[1:-1]
        return value if not number else value[int(number) : int(number) + 1]


@dataclass(frozen=True)
class Template:
    """`{firstname} {lastname}`: a text that contains paths."""

    text: str

    def __post_init__(self) -> None:
        if "{" in _FIELD.sub("", self.text) or "}" in _FIELD.sub("", self.text):
            raise ValueError(f"{self.text!r} has an unmatched brace")
        for path in _FIELD.findall(self.text):
            AnswerPath(path)

    def values(self, answer: Any) -> list[Any]:
        """One text, or none if none of its paths has a value."""
        parts = {path: " ".join(_text(one, path) for one in AnswerPath(path).values(answer)) for path in self.paths}
        if not any(parts.values()):
            return []
        return [_FIELD.sub(lambda found: parts[found[1]], self.text)]

    @property
    def paths(self) -> list[str]:
        return _FIELD.findall(self.text)


def parse_part(given: object) -> AnswerPath | Template:
    """The path or template of a setting, a text. Raises ValueError."""
    if not isinstance(given, str):
        raise ValueError("must be one value")
    return Template(given) if "{" in given or "}" in given else AnswerPath(given)


def _dotted(given: object) -> AnswerPath:
    found = parse_part(given)
    if isinstance(found, Template):
        raise ValueError("a path without braces is needed")
    return found


# As a setting: a text.
DottedPath = Annotated[AnswerPath, PlainValidator(_dotted)]
Part = Annotated[AnswerPath | Template, PlainValidator(parse_part)]


@dataclass(frozen=True)
class FieldSource:
    """Where a field is found: at `path`, or as `text` below each of `path`. Then `rule` (of RULES) is applied."""

    path: Part
    text: Part | None = None
    rule: Annotated[str, check(lambda rule: "" if rule in ("", *RULES) else f"must be one of {', '.join(RULES)}")] = ""

    def __post_init__(self) -> None:
        if self.text and isinstance(self.path, Template):
            raise ValueError("with text, a path without braces is needed")

    @property
    def part(self) -> AnswerPath | Template:
        return self.text or self.path

    def texts(self, answer: Any) -> list[str]:
        parents = self.path.values(answer) if self.text else [answer]
        found = [_text(value, self.part.text) for parent in parents for value in self.part.values(parent)]
        if self.rule == "split":
            found = [piece for one in found for piece in re.split(r"[,;\n]", one)]
        elif self.rule:
            found = [getattr(one, self.rule)() for one in found]
        return [one.strip() for one in found if one.strip()]


@dataclass(frozen=True)
class VisitSource:
    """Where visits are found: each of `path`, with these parts; without parts, each is a start or a name."""

    path: DottedPath
    name: Part | None = None
    start: Part | None = None
    end: Part | None = None
    beamline: Part | None = None

    def found(self, answer: Any) -> list[dict[str, str]]:
        """The texts of each visit, by the names of `Visit`. Without a name and a start it is not planned yet."""
        values = self.path.values(answer)
        parts = {name: part for name, part in vars(self).items() if name != "path" and part}
        if not parts:
            return [{"": _text(value, self.path.text)} for value in values if value != ""]
        found = [
            {name: " ".join(_text(one, part.text) for one in part.values(value)) for name, part in parts.items()}
            for value in values
        ]
        return [one for one in found if one.get("name") or one.get("start")]


@dataclass(frozen=True)
class AnswerMapping:
    """How an office's answers are read. Of several sources of a field, the first one with a value is used.

    `dates` is strptime's format of dates that are not ISO 8601; `categories` and `beamlines`
    map the office's words to ours; `group` is used if the answer has none.
    """

    fields: Mapping[str, tuple[FieldSource, ...]]
    visits: tuple[VisitSource, ...] = ()
    dates: str = ""
    categories: Mapping[str, str] = field(default_factory=lambda: CATEGORY_OF)
    beamlines: Mapping[str, str] = field(default_factory=dict)
    group: str = "{proposal}-group"

    def requested(self, answer: Any, proposal_id: str) -> Proposal | None:
        """The requested proposal, from an object or a list; None if it is missing. Raises UnusableAnswer."""
        if isinstance(answer, list):
            answer = next((one for one in answer if self._proposal_id(one) == proposal_id), None)
        if not answer:
            return None
        found = self.proposal(answer)
        if found.id != proposal_id:
            raise UnusableAnswer(f"it is for proposal {found.id}, not {proposal_id}")
        return found

    def _proposal_id(self, answer: Any) -> str:
        number = self._single(answer, "id")
        if not number:
            raise UnusableAnswer(f"it has no id ({self._source_names('id')})")
        return _checked("id", number, check_name, "id")

    def proposal(self, answer: Any, beamline: str = "") -> Proposal:
        """The proposal of an object; `beamline` is used if the object has none. Raises UnusableAnswer."""
        if not isinstance(answer, dict):
            raise UnusableAnswer(f"expected a proposal, got {_type_name(answer)}")
        number = self._proposal_id(answer)
        kind = one_line(self._single(answer, "type"))
        beamlines = self._beamlines(answer) or ((beamline,) if beamline else ())
        if not beamlines:
            raise UnusableAnswer(f"proposal {number} has no beamline ({self._source_names('beamline')})")
        return Proposal(
            id=number,
            title=one_line(self._single(answer, "title")),
            beamline=beamlines[0],
            also_at=beamlines[1:],
            category="proprietary" if self._is_proprietary(answer) else category_of(kind, number, self.categories),
            abstract=one_line(self._single(answer, "abstract"), MAX_ABSTRACT_LENGTH),
            pi_name=one_line(self._single(answer, "pi_name")),
            pi_email=one_line(self._single(answer, "pi_email")),
            members=tuple(one_line(one) for one in self._texts(answer, "members")),
            group=self._group(self._single(answer, "group"), number),
            visits=self._visits(answer),
            samples=samples_of(self._texts(answer, "samples")),
            type=kind,
        )

    def listed(self, answer: Any, beamline: str) -> list[Proposal]:
        """The proposals of a list that are for this beamline, sorted by number. Plain numbers are enough.

        One that cannot be used is logged, and the others are returned. Raises UnusableAnswer.
        """
        found: dict[str, Proposal] = {}
        wrong: list[UnusableAnswer] = []
        for one in as_list(answer):
            try:
                plain = isinstance(one, str | int) and not isinstance(one, bool)
                proposal = self._from_number(one, beamline) if plain else self.proposal(one, beamline)
                found[proposal.id] = proposal
            except UnusableAnswer as error:
                wrong.append(error)
        if wrong and not found:
            raise wrong[0]
        if wrong:
            _log.warning("%d of the user office's %d proposals cannot be used: %s", len(wrong), len(answer), wrong[0])
        return sorted((one for one in found.values() if one.is_at(beamline)), key=lambda one: one.id)

    def _from_number(self, number: str | int, beamline: str) -> Proposal:
        name = _checked("id", str(number), check_name, "id")
        return Proposal(name, "", beamline, category_of("", name, self.categories), group=self._group("", name))

    def _group(self, given: str, number: str) -> str:
        return _checked("group", given or self.group.format(proposal=number), check_name, "group")

    def _texts(self, answer: Any, name: str) -> list[str]:
        wrong: UnusableAnswer | None = None
        for source in self.fields.get(name, ()):
            try:
                found = source.texts(answer)
            except UnusableAnswer as error:
                wrong = wrong or error
                continue
            if found:
                return list(dict.fromkeys(found))
        if wrong:
            raise UnusableAnswer(f"{name}: {wrong}") from wrong
        return []

    def _single(self, answer: Any, name: str) -> str:
        found = self._texts(answer, name)
        if len(found) > 1:
            raise UnusableAnswer(f"{name}: expected one value, got {len(found)}")
        return found[0] if found else ""

    def _source_names(self, name: str) -> str:
        return ", ".join(source.part.text for source in self.fields.get(name, ()))

    def _is_proprietary(self, answer: Any) -> bool:
        given = self._single(answer, "proprietary").lower()
        if given not in ("", "true", "yes", "1", "false", "no", "0"):
            raise UnusableAnswer(f"proprietary: {one_line(given, 20)!r} is neither true nor false")
        return given in ("true", "yes", "1")

    def beamline(self, office_name: str) -> str:
        """Our name for the office's; "" if it cannot be a beamline, e.g. the identifier of another instrument."""
        key = office_name.lower()
        ours = {name.lower(): beamline for name, beamline in self.beamlines.items()}.get(key, key)
        try:
            return check_name(ours, "beamline")
        except NameRefused:
            return ""

    def _beamlines(self, answer: Any) -> tuple[str, ...]:
        given = self._texts(answer, "beamline")
        ours = tuple(dict.fromkeys(name for name in map(self.beamline, given) if name))
        if given and not ours:
            raise UnusableAnswer(
                f"beamline: {one_line(given[0], 50)!r} is not a valid beamline name; map it in `beamlines`"
            )
        return ours

    def _visits(self, answer: Any) -> tuple[Visit, ...]:
        try:
            for source in self.visits:
                found = source.found(answer)
                if found:
                    return tuple(dict.fromkeys(self._visit(texts) for texts in found))
        except UnusableAnswer as error:
            raise UnusableAnswer(f"visits: {error}") from error
        return ()

    def _visit(self, texts: dict[str, str]) -> Visit:
        if "" in texts:
            day = self._day(texts[""])
            texts = {"start": texts[""]} if day else {"name": texts[""]}
        days = {name: self._day(texts.get(name, "")) for name in ("start", "end")}
        for name, day in days.items():
            if texts.get(name) and not day:
                raise UnusableAnswer(f"{name} {one_line(texts[name], 40)!r} is not a date; set `dates`")
        start, end = days["start"], days["end"]
        if start and end and end < start:
            raise UnusableAnswer(f"the end {end} is before the start {start}")
        name = folder_name(texts.get("name", ""), between="_", longest=MAX_FOLDER_NAME_LENGTH) or start.replace("-", "")
        beamline = one_line(texts.get("beamline", ""))
        return Visit(_checked("name", name, check_visit), start, end, self.beamline(beamline) or beamline)

    def _day(self, given: str) -> str:
        """The local day, YYYY-MM-DD; "" for what is not a date."""
        try:
            if self.dates:
                with_format = dt.datetime.strptime(given, self.dates)
                return with_format.date().isoformat()
            moment = dt.datetime.fromisoformat(given)
            return (moment.astimezone() if moment.tzinfo else moment).date().isoformat()
        except (ValueError, OverflowError):
            return ""


def as_list(answer: Any) -> list[Any]:
    """Raises UnusableAnswer if it is not a list."""
    if not isinstance(answer, list):
        raise UnusableAnswer(f"expected a list, got {_type_name(answer)}")
    return answer


def samples_of(names: Iterable[str]) -> tuple[str, ...]:
    """Samples with names that folders can have. Raises UnusableAnswer."""
    return tuple(dict.fromkeys(_checked("samples", folder_name(name), check_sample) for name in names))


def folder_name(name: str, between: str = "/", longest: int = MAX_SAMPLE_LENGTH) -> str:
    """A sample's or visit's name as the name of a folder: other characters become `_`, and long names are cut.

    Names with `..`, a full path or control characters stay as they are, and the check refuses them.
    """
    if not name.isprintable() or name.startswith("/") or ".." in name.split("/"):
        return name
    parts = (re.sub(r"[^A-Za-z0-9_.-]+", "_", part)[:MAX_FOLDER_NAME_LENGTH] for part in name.split("/") if part)
    named = (f"_{part}" if is_windows_device(part) else re.sub(r"^[-.]|[.]$", "_", part) for part in parts)
    return re.sub(r"[./]+$", "_", between.join(named)[:longest])


def _checked(what: str, name: str, check: Any, *more: str) -> str:
    try:
        return str(check(name, *more))
    except NameRefused as error:
        raise UnusableAnswer(f"{what}: {one_line(str(error))}") from error


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    hint = f"; give a field of it, such as {where}.name" if isinstance(value, dict) else ""
    raise UnusableAnswer(f"{where}: expected a text, got {_type_name(value)}{hint}")


def _type_name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")
