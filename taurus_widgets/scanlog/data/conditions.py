"""Parses search conditions: `motor = mot01`, `energy > 7.1 keV and points >= 20`.

No Qt here. Names are searched in the actual catalogue, so that users need not know a value's group; a unit is checked
against the recorded one. Errors are reported with their position in the text.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from tokenize import TokenError

import pint

from scifish.message.units import convertible, mathjs_spelling
from taurus_widgets.scanlog.data.columns import key_of, number, path_of
from taurus_widgets.scanlog.data.query import QueryCondition, Relation, metadata_field

NUMERIC = frozenset({Relation.LESS, Relation.AT_MOST, Relation.GREATER, Relation.AT_LEAST})


@dataclass(frozen=True)
class TypedCondition:
    """A condition, and the text that would produce it."""

    condition: QueryCondition
    label: str

    @property
    def text(self) -> str:
        wanted = self.condition
        value = wanted.value if isinstance(wanted.value, str) else number(wanted.value, 15)
        sign = {Relation.HAS: "=", Relation.HAS_NOT: "!="}.get(wanted.relation, wanted.relation.value)
        return " ".join(filter(None, (self.label, sign, value, wanted.unit)))


@dataclass(frozen=True)
class NamedValue:
    """A value in the catalogue that a condition can name. `numeric` is None if unknown."""

    key: str
    name: str = ""
    unit: str = ""
    numeric: bool | None = None

    @property
    def label(self) -> str:
        return self.name or (path_of(self.key) or (self.key,))[-1]

    @property
    def names(self) -> set[str]:
        """All names by which it can be typed."""
        path = path_of(self.key) or (self.key,)
        return {_plain(name) for name in (self.name, path[-1], "/".join(path))}


class ConditionError(ValueError):
    """The typed text cannot be parsed. The wrong part is `text[begin:end]`."""

    def __init__(self, message: str, begin: int, end: int) -> None:
        super().__init__(message)
        self.begin = begin
        self.end = end


ALWAYS_KNOWN = (
    NamedValue("scan/motors", "motor", numeric=False),
    NamedValue("scan/detectors", "detector", numeric=False),
    NamedValue("scan/scan_id", "scan", numeric=True),
    NamedValue("scan/status", "status", numeric=False),
    NamedValue("scan/title", "command", numeric=False),
    NamedValue("scan/title", "title", numeric=False),
    NamedValue("scan/points", "points", numeric=True),
    NamedValue("scan/user", "user", numeric=False),
    NamedValue("scan/program", "program", numeric=False),
    NamedValue("sampleId", "sample", numeric=False),
    NamedValue("proposalId", "proposal", numeric=False),
    NamedValue("numberOfFiles", "files", numeric=True),
    NamedValue("dataQualityMetrics", "rating", numeric=True),
    NamedValue("comment", "comment", numeric=False),
    NamedValue("description", "description", numeric=False),
    NamedValue("sourceFolder", "folder", numeric=False),
    NamedValue("datasetName", "name", numeric=False),
    NamedValue("owner", "owner", numeric=False),
    NamedValue("size", "size", numeric=True),
)
"""The values that every dataset of SciCow has, with short names."""

_LISTS = frozenset({"scan/motors", "scan/detectors"})
_NOT_STORED = {
    "duration": "How long a scan took is not stored in the catalogue, so it cannot be searched",
    **dict.fromkeys(("time", "started", "creationtime"), "Choose the time at the left of the bar instead"),
}

_RELATION = re.compile(r"!=|<=|>=|==|≠|≤|≥|=|<|>|~")
_SAME = {"==": "=", "≠": "!=", "≤": "<=", "≥": ">="}
_BETWEEN = re.compile(r"\s+and\s+|[,;]", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"?')
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def is_condition(text: str) -> bool:
    """Whether the text contains a comparison outside quotes. Otherwise it is a text to search for."""
    return bool(_RELATION.search(_without_quotes(text)))


def parse(text: str, known: Iterable[NamedValue] = ()) -> tuple[TypedCondition, ...]:
    """The conditions in a line, which must all hold. Raises ConditionError.

    `known` are the values in the catalogue in addition to `ALWAYS_KNOWN`.
    """
    names = (*ALWAYS_KNOWN, *known)
    found, begin = [], 0
    for mark in [*_BETWEEN.finditer(_without_quotes(text)), None]:
        end = mark.start() if mark else len(text)
        if text[begin:end].strip():
            found.append(_condition(text, begin, end, names))
        begin = mark.end() if mark else end
    return tuple(found)


def _condition(text: str, begin: int, end: int, known: Sequence[NamedValue]) -> TypedCondition:
    found = _RELATION.search(_without_quotes(text), begin, end)
    if found is None:
        if begin and text[begin - 1] == "," and _NUMBER.match(text[begin:end].strip()):
            raise _mistake("The decimal sign is a point", text, begin, end)
        raise _mistake("A comparison is missing here, for example = or >", text, begin, end)
    relation = Relation(_SAME.get(found.group(), found.group()))
    if not text[begin : found.start()].strip():
        raise ConditionError(f"Before {found.group()} the name of a value is missing", *found.span())
    if not text[found.end() : end].strip():
        raise ConditionError(f"After {found.group()} a value is missing", *found.span())
    left = _known(text, begin, found.start(), known)
    return _compared(left, relation, text, found.end(), end)


def _without_quotes(text: str) -> str:
    """The text, of the same length, with quoted parts masked: signs in quotes are not relations."""
    return _QUOTED.sub(lambda quoted: "_" * len(quoted.group()), text)


def _compared(left: NamedValue, relation: Relation, text: str, begin: int, end: int) -> TypedCondition:
    right = text[begin:end].strip()
    quoted = len(right) > 1 and right[0] == right[-1] == '"'
    label = left.label
    if relation is Relation.CONTAINS or quoted or left.numeric is False:
        if relation in NUMERIC:
            what = f"{label} is text" if left.numeric is False else "What is in quotes is text"
            raise _mistake(f"{what}: compare it with =, != or ~ (contains)", text, begin, end)
        if left.key in _LISTS:
            relation = {Relation.EQUAL: Relation.HAS, Relation.NOT_EQUAL: Relation.HAS_NOT}.get(relation, relation)
        return _typed(left, relation, right.strip('"') if quoted else right)
    figure = _NUMBER.match(right)
    if figure is None or not math.isfinite(float(figure.group())):
        if relation in NUMERIC or left.numeric:
            raise _mistake(f"{label} must be compared with a number, but {right!r} is not one", text, begin, end)
        truth = {"true": True, "false": False}.get(right.lower(), right)
        return _typed(left, relation, truth)
    rest = right[figure.end() :]
    unit_begin = text.index(right, begin) + figure.end()
    if not rest.strip():
        return _typed(left, relation, _figure(figure.group()), mathjs_spelling(left.unit))
    if (
        left.numeric is None
        and relation not in NUMERIC
        and not left.unit
        and not convertible(mathjs_spelling(rest.strip()))
    ):
        return _typed(left, relation, right)  # as 25-A
    unit = _unit(left, rest.strip(), text, unit_begin, end)
    return _typed(left, relation, _figure(figure.group()), unit)


def _typed(left: NamedValue, relation: Relation, value: str | float | bool, unit: str = "") -> TypedCondition:
    path = path_of(left.key)
    return TypedCondition(QueryCondition(metadata_field(path) if path else left.key, relation, value, unit), left.label)


def _figure(text: str) -> float:
    """The number; a whole number as an int."""
    return int(text) if re.fullmatch(r"[+-]?\d{1,15}", text) else float(text)


def _unit(left: NamedValue, typed: str, text: str, begin: int, end: int) -> str:
    label, unit, recorded = left.label, mathjs_spelling(typed), mathjs_spelling(left.unit)
    if unit == recorded:
        return unit
    if typed[:1] in ".,0123456789":
        raise _mistake(f"{typed!r} does not belong to a number: the decimal sign is a point", text, begin, end)
    if left.numeric and not recorded:
        raise _mistake(f"{label} is recorded without a unit", text, begin, end)
    if not convertible(unit):
        hint = f": {label} is recorded in {left.unit}" if recorded else ""
        raise _mistake(f"SciCat does not know the unit {typed!r}{hint}", text, begin, end)
    if recorded and not convertible(recorded):
        raise _mistake(f"{label} is recorded in {left.unit}, which SciCat cannot convert", text, begin, end)
    if recorded and _dimension(unit) != _dimension(recorded):
        raise _mistake(f"{typed} cannot be converted into {left.unit}, the unit of {label}", text, begin, end)
    return unit


@cache
def _dimension(unit: str) -> str:
    """The dimension of a unit that SciCat can convert, the same for keV and J;

    "" if pint, which converts, does not know it.
    """
    try:
        return str(pint.get_application_registry().Unit(unit).dimensionality)
    except (pint.PintError, ArithmeticError, AttributeError, TypeError, ValueError, TokenError):
        return ""


def _known(text: str, begin: int, end: int, known: Sequence[NamedValue]) -> NamedValue:
    typed = text[begin:end].strip().strip('"').strip()
    plain = _plain(typed)
    if plain in _NOT_STORED:
        raise _mistake(_NOT_STORED[plain], text, begin, end)
    exact = [one for one in known if typed in (one.key, "/".join(path_of(one.key)))]
    # A short name means the scan's value, even if a counter has a result of the same name.
    exact = exact or [one for one in ALWAYS_KNOWN if plain == _plain(one.name)]
    found = {one.key: one for one in reversed(exact or [one for one in known if plain in one.names])}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        keys = sorted(found)
        raise _mistake(f"{typed!r} can mean {' or '.join(keys[:4])}: write one of these", text, begin, end)
    if "/" in typed:
        try:
            return NamedValue(key_of(part.strip() for part in typed.split("/")))
        except ValueError as error:
            raise _mistake(str(error), text, begin, end) from error
    names = {name: one for one in known for name in one.names if name}
    near = difflib.get_close_matches(plain, names, 1, 0.6) or sorted(name for name in names if plain in name)[:1]
    hint = f": did you mean {names[near[0]].name or names[near[0]].key}?" if near else ". Write its path, as GROUP/NAME"
    raise _mistake(f"There is no value with the name {typed!r}{hint}", text, begin, end)


def _plain(name: str) -> str:
    """The name without differences in spelling: spaces, hyphens, underscores, capitals."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def _mistake(message: str, text: str, begin: int, end: int) -> ConditionError:
    """The error at the position of the words, without the spaces around them."""
    part = text[begin:end]
    stripped = part.strip()
    start = begin + (len(part) - len(part.lstrip()) if stripped else 0)
    return ConditionError(message, start, start + (len(stripped) or len(part)))
