# ruff: noqa: S608 - the SQL is made of constants and of paths that `json_path` has checked
"""SciCat's filters as SQL: where, order and fields.

Nothing that a client sends becomes SQL text: values are parameters, and the parts of a path
must consist of the few characters that stored keys can have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ingest.embedded.javascript import is_date
from ingest.embedded.models import utc

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


Json = dict[str, Any]


TIME_FIELDS = frozenset({"creationTime", "createdAt", "updatedAt", "startTime", "endTime"})


_SEGMENT = re.compile(r"[A-Za-z0-9_%~!*()'-]{1,1000}")


# SQLite's parser takes expressions of a depth of 1000, nested about 50 times.
_MAX_TERMS = 400


_MAX_DEPTH = 10


_MAX_WORDS = 50


_NUMBERS = "'integer', 'real'"


_ALIASES = {"inq": "in", "neq": "ne", "like": "regex", "regexp": "regex"}


class FilterError(ValueError):
    """A filter that can't be understood. The text is for the client."""


@dataclass(frozen=True)
class SqlCondition:
    """A piece of SQL that is true or false for a row, and its parameters."""

    sql: str
    values: tuple[Any, ...] = ()
    terms: int = 1


NO_LIMIT = -1
"""SQLite's word for it."""


TRUE_CONDITION = SqlCondition("1")


FALSE_CONDITION = SqlCondition("0")


@dataclass(frozen=True)
class FilterQuery:
    """What a list asks for. `order` holds (path, descending); `fields` of None means all."""

    condition: SqlCondition = TRUE_CONDITION
    order: tuple[tuple[str, bool], ...] = ()
    limit: int = 100
    skip: int = 0
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TableShape:
    """What the filters must know of a table: its name and its fields that are lists of text.

    `names` are other names of fields, as v3 has them.
    """

    table: str
    lists: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)

    def path(self, path: str) -> str:
        head, dot, rest = path.partition(".")
        return self.names.get(head, head) + dot + rest


class DateText(str):
    """A text that is a date by the time the real server compares it: no text is equal to it."""


Test = Callable[[str, Any, TableShape, str], SqlCondition]
"""(path, operand, shape, options) of one operator."""


def all_of(conditions: Iterable[SqlCondition]) -> SqlCondition:
    return _joined(conditions, " AND ", "1")


def any_of(conditions: Iterable[SqlCondition]) -> SqlCondition:
    return _joined(conditions, " OR ", "0")


def _joined(conditions: Iterable[SqlCondition], word: str, empty: str) -> SqlCondition:
    parts = list(conditions)
    terms = sum(part.terms for part in parts)
    if terms > _MAX_TERMS:
        raise FilterError(f"more than {_MAX_TERMS} conditions")
    sql = word.join(f"({part.sql})" for part in parts) or empty
    return SqlCondition(sql, tuple(value for part in parts for value in part.values), max(1, terms))


# ------------------------------------------------------------------------------ paths


def json_path(path: str) -> str | None:
    """SQLite's path of a dotted one, as a quoted SQL text, or None if no document can have it."""
    segments = path.split(".")
    if not all(_SEGMENT.fullmatch(segment) for segment in segments) or len(segments) > 20:
        return None
    joined = ".".join(f'"{segment}"' for segment in segments).replace("'", "''")
    return f"'$.{joined}'"


def value_of(path: str) -> str:
    """The SQL of the value at a dotted path: NULL where there is none."""
    found = json_path(path)
    return f"json_extract(document, {found})" if found else "NULL"


def _type_of(path: str) -> str:
    found = json_path(path)
    return f"json_type(document, {found})" if found else "NULL"


def order_by(order: Any, shape: TableShape) -> tuple[tuple[str, bool], ...]:
    """`"field:desc"`, or a list of such, as (path, descending)."""
    result = []
    for part in order if isinstance(order, list) else [order]:
        if not isinstance(part, str):
            raise FilterError("order: text like creationTime:desc is needed")
        path, _, direction = part.partition(":")
        if direction not in ("", "asc", "desc"):
            raise FilterError(f"order: {direction[:20]!r} is neither asc nor desc")
        result.append((shape.path(path), direction == "desc"))
    return tuple(result[:4])


def order_value(path: str, shape: TableShape) -> str:
    """The SQL of what is sorted by: of a list its first member."""
    return f"json_extract(document, '$.{path}[0]')" if path in shape.lists else value_of(path)


def order_sql(order: Sequence[tuple[str, bool]], shape: TableShape) -> str:
    """ORDER BY's terms. The id is the last of them, so that pages never overlap."""
    terms = [f"{order_value(path, shape)} {'DESC' if descending else 'ASC'}" for path, descending in order]
    last = "DESC" if order and order[-1][1] else "ASC"
    return ", ".join([*terms, f"id {last}"])


def project(document: Json, fields: Sequence[str] | None) -> Json:
    """The document with these fields only, and its `_id`. An object on the way to one stays, as in MongoDB."""
    if fields is None:
        return document
    result: Json = {"_id": document["_id"]} if "_id" in document else {}
    for path in fields:
        source, target = document, result
        *above, last = path.split(".")
        for segment in above:
            if not isinstance(source.get(segment), dict):
                break
            source, target = source[segment], target.setdefault(segment, {})
        else:
            if last in source:
                target[last] = source[last]
    return result


def is_within(path: str, fields: Sequence[str] | None) -> bool:
    """Whether a document with these fields only still has what is at this path, or a part of it."""
    if fields is None or path == "_id":
        return True
    return any(f"{path}.".startswith(f"{field}.") or field.startswith(f"{path}.") for field in fields)


# ------------------------------------------------------------------------------ where


def with_dates(wanted: Any) -> Any:
    """A `where` as v3 takes it: each text that JavaScript takes for a date is one, but for the members of lists."""
    if isinstance(wanted, Mapping):
        return {name: with_dates(value) for name, value in wanted.items()}
    if isinstance(wanted, list):
        return [value if isinstance(value, str) else with_dates(value) for value in wanted]
    return DateText(wanted) if isinstance(wanted, str) and is_date(wanted) else wanted


def where(wanted: Any, shape: TableShape, depth: int = 0) -> SqlCondition:
    """SciCat's `where`: loopback's operators and MongoDB's. Raises FilterError.

    The other names of fields count at the top only, as on the real server.
    """
    if not isinstance(wanted, Mapping):
        raise FilterError("where: an object is needed")
    if depth > _MAX_DEPTH:
        raise FilterError(f"where: more than {_MAX_DEPTH} levels of and, or")
    return all_of(_entry(name, value, shape, depth) for name, value in wanted.items())


def _entry(name: str, value: Any, shape: TableShape, depth: int) -> SqlCondition:
    if name.lstrip("$") in ("and", "or"):
        if not isinstance(value, list):
            raise FilterError(f"{name}: a list is needed")
        return (all_of if name.endswith("and") else any_of)(where(part, shape, depth + 1) for part in value)
    if name == "$text":
        if not isinstance(value, Mapping):
            raise FilterError('$text: {"$search": text} is needed')
        return text(value.get("$search"), shape)
    if name.startswith("$"):
        raise FilterError(f"{name[:50]}: this operator is not known")
    path = name if depth else shape.path(name)
    if not isinstance(value, Mapping):
        return _test(path, "eq", value, shape)
    options = value.get("$options", value.get("options", ""))
    tests = []
    for operator, operand in value.items():
        plain = operator.lstrip("$")
        if plain == "options":
            continue
        if plain == "not":
            tests.append(_none_of(path, operand, shape, depth))
            continue
        if plain == "ilike":
            plain, options = "regex", "i"
        tests.append(_test(path, _ALIASES.get(plain, plain), operand, shape, str(options)))
    return all_of(tests)


def text(wanted: Any, shape: TableShape) -> SqlCondition:
    """Documents with any of the words, or with all of the "phrases" if there are any, as MongoDB's text search.

    Words are compared by their stem.
    """
    if not isinstance(wanted, str) or isinstance(wanted, DateText):
        raise FilterError("text: text is needed")
    phrases = [_words(phrase) for phrase in re.findall(r'"([^"]*)"', wanted)]
    words = _words(wanted)[:_MAX_WORDS]
    if any(phrases):
        match = " AND ".join(f'"{" ".join(phrase)}"' for phrase in phrases[:_MAX_WORDS] if phrase)
    else:
        match = " OR ".join(f'"{word}"' for word in words)
    if not match:
        return FALSE_CONDITION
    return SqlCondition(
        f"id IN (SELECT rowid FROM {shape.table}_words WHERE {shape.table}_words MATCH ?)",
        (match,),
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _test(path: str, operator: str, operand: Any, shape: TableShape, options: str = "") -> SqlCondition:
    test = _TESTS.get(operator)
    if test is None:
        raise FilterError(f"{path[:100]}: the operator {operator[:50]!r} is not known; allowed are {', '.join(_TESTS)}")
    if isinstance(operand, DateText) and path not in TIME_FIELDS:
        return _no_date(path, operator)
    return test(path, operand, shape, options)


def _no_date(path: str, operator: str) -> SqlCondition:
    """Where a date is compared with what is none."""
    if operator == "regex":
        raise FilterError(f"{path[:100]}: a pattern as text is needed, and not a date")
    return TRUE_CONDITION if operator == "ne" else FALSE_CONDITION


def _scalar(path: str, value: Any) -> Any:
    """The parameter for a value: numbers and text as they are, times in their stored form."""
    if path in TIME_FIELDS and isinstance(value, str):
        try:
            return utc(value if "T" in value else f"{value}T00:00:00Z")
        except ValueError as error:
            raise FilterError(f"{path}: {value[:50]!r} is not an ISO 8601 time") from error
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise FilterError(f"{path[:100]}: a number, text, true, false or null is needed")


def _equal(path: str, operand: Any, shape: TableShape, _options: str = "") -> SqlCondition:
    value = _scalar(path, operand) if not isinstance(operand, list) else operand
    if isinstance(value, list):
        return SqlCondition(f"{value_of(path)} = json(?)", (json.dumps(value),))
    if value is None:
        return SqlCondition(f"{value_of(path)} IS NULL")
    if isinstance(value, bool):
        return SqlCondition(f"{_type_of(path)} IS '{str(value).lower()}'")
    if path in shape.lists:
        return _member(path, [value], shape)
    if isinstance(value, str):
        return SqlCondition(f"{value_of(path)} IS ?", (value,))
    # json_extract gives 1 for true
    return SqlCondition(f"{value_of(path)} IS ? AND {_type_of(path)} IN ({_NUMBERS})", (value,))


def _member(path: str, values: list[Any], shape: TableShape) -> SqlCondition:
    return SqlCondition(
        f"id IN (SELECT id FROM {shape.table}_members WHERE field = ? AND value IN (SELECT value FROM json_each(?)))",
        (path, json.dumps(values)),
    )


def _one_of(path: str, operand: Any, shape: TableShape, _options: str) -> SqlCondition:
    if not isinstance(operand, list):
        raise FilterError(f"{path[:100]}: a list is needed")
    values = [_scalar(path, value) for value in operand]
    texts = [value for value in values if isinstance(value, str)]
    tests = [_equal(path, value, shape) for value in values if not isinstance(value, str)]
    if path in shape.lists:
        tests.append(_member(path, texts, shape))
    elif texts:
        tests.append(SqlCondition(f"{value_of(path)} IN (SELECT value FROM json_each(?))", (json.dumps(texts),)))
    return any_of(tests)


def _not(test: Test) -> Test:
    def negated(path: str, operand: Any, shape: TableShape, options: str) -> SqlCondition:
        return _negated(test(path, operand, shape, options))

    return negated


def _none_of(name: str, operand: Any, shape: TableShape, depth: int) -> SqlCondition:
    """MongoDB's `{field: {"$not": {operator: ...}}}`."""
    if not isinstance(operand, Mapping) or depth > _MAX_DEPTH:
        raise FilterError(f"{name[:100]}: $not needs an operator in it")
    return _negated(_entry(name, operand, shape, depth + 1))


def _negated(found: SqlCondition) -> SqlCondition:
    # What has no such field is not equal either, as in MongoDB: NULL counts as false.
    return SqlCondition(f"NOT coalesce(({found.sql}), 0)", found.values, found.terms)


def _compare(sign: str, path: str, operand: Any, shape: TableShape, _options: str) -> SqlCondition:
    value = _scalar(path, operand)
    if value is None or isinstance(value, bool):
        raise FilterError(f"{path[:100]}: {sign} needs a number or text")
    if path in shape.lists:
        return SqlCondition(
            f"id IN (SELECT id FROM {shape.table}_members WHERE field = ? AND value {sign} ?)", (path, value)
        )
    found = value_of(path)
    if path in TIME_FIELDS:  # always text, and decided by the index alone
        return SqlCondition(f"{found} {sign} ?", (value,))
    # Only like is compared with like, as in MongoDB; for SQLite any text is more than any number.
    kinds = "'text'" if isinstance(value, str) else _NUMBERS
    return SqlCondition(f"{found} {sign} ? AND {_type_of(path)} IN ({kinds})", (value,))


def _exists(path: str, operand: Any, _shape: TableShape, _options: str) -> SqlCondition:
    return SqlCondition(f"{_type_of(path)} IS {'NOT ' if operand else ''}NULL")


def _regex(path: str, operand: Any, shape: TableShape, options: str) -> SqlCondition:
    if not isinstance(operand, str):
        raise FilterError(f"{path[:100]}: a pattern as text is needed")
    try:
        patterns = globs(operand)
    except ValueError as error:
        raise FilterError(f"{path[:100]}: {error}") from error
    lower = "lower({})" if "i" in options else "{}"
    test = f"{lower.format('{}')} GLOB {lower.format('?')}"
    if path in shape.lists:
        tests = " OR ".join([test.format("value")] * len(patterns))
        return SqlCondition(
            f"id IN (SELECT id FROM {shape.table}_members WHERE field = ? AND ({tests}))", (path, *patterns)
        )
    return any_of(SqlCondition(test.format(value_of(path)), (pattern,)) for pattern in patterns)


_TESTS: dict[str, Test] = {
    "eq": _equal,
    "ne": _not(_equal),
    "in": _one_of,
    "nin": _not(_one_of),
    "gt": partial(_compare, ">"),
    "gte": partial(_compare, ">="),
    "lt": partial(_compare, "<"),
    "lte": partial(_compare, "<="),
    "exists": _exists,
    "regex": _regex,
}
