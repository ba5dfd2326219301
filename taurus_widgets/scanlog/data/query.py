"""Which datasets the scan log shows, in which order, and how SciCat is asked for them.

No Qt here. What is written for SciCat's `where` holds for the real server (v3) and the embedded one:

- names are those under which it stores (`proposalIds`, URL-encoded metadata keys), as the real server translates
  the old ones at the top level only;
- all conditions are in one `$and`: a `$or` at the top is overwritten for whoever is no administrator;
- texts are in lists (`$in`), since a text alone that looks like a date (`lysozyme-3`) is made one.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from dataclasses import dataclass, replace
from urllib.parse import quote

from ingest.scicat.si_values import to_si
from taurus_widgets.scanlog.data.columns import Json, LogColumn

NEWEST_FIRST = "creationTime"
"""The field of the default order."""

EQUAL_TOLERANCE = 1e-9
"""Numbers are the same for `=` if they differ by no more than this part of them."""

CONVERTED_TOLERANCE = 1e-7
"""The same of two that were converted, each by its own program: an electronvolt of another year differs by 4e-8."""


class Relation(enum.Enum):
    """How the value of a dataset relates to that of a condition."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="
    CONTAINS = "~"
    HAS = "has"
    """One of the names in a text as `mot01, mot02` is exactly this one."""
    HAS_NOT = "has not"
    """None of them is."""


@dataclass(frozen=True)
class QueryCondition:
    """`field relation value unit`, as `scientificMetadata.Optics.Energy > 7.1 keV`.

    `field` is a field of the dataset by its name in v3 (`sampleId`), or what `metadata_field` makes of a path.
    A text is compared with `EQUAL`, `NOT_EQUAL` or `CONTAINS` (which ignores case), a number with all but the last.
    With a unit a value counts in any unit that can be converted to it.
    """

    field: str
    relation: Relation
    value: str | float | bool
    unit: str = ""


@dataclass(frozen=True)
class DatasetQuery:
    """A dataset must match all parts. `begin` and `end` (exclusive) limit the start of the scan, with a time zone.

    `text` is words that must all be in the dataset; several words in double quotes are one. `status` is the words
    that a scan's status may be; none means all. `order` is a field as in `QueryCondition`, with `.value` for metadata:
    what `order_of` says of a column.
    """

    where: tuple[QueryCondition, ...] = ()
    text: str = ""
    order: str = NEWEST_FIRST
    descending: bool = True
    proposal: str = ""
    begin: dt.datetime | None = None
    end: dt.datetime | None = None
    status: tuple[str, ...] = ()

    @property
    def newest_first(self) -> bool:
        return self.order == NEWEST_FIRST and self.descending

    @property
    def filtered(self) -> bool:
        """Whether less is shown than the proposal, or the catalogue, has."""
        return self != DatasetQuery(order=self.order, descending=self.descending, proposal=self.proposal)

    def sorted_by(self, order: str, descending: bool) -> DatasetQuery:
        return replace(self, order=order, descending=descending)


# --------------------------------------------------------------------------------- names


def metadata_field(path: tuple[str, ...]) -> str:
    """The field of a value of the metadata, `("Optics", "Energy")`: its names as SciCat stores them."""
    return ".".join(["scientificMetadata", *(quote(name, safe="!~*'()").replace(".", "%2E") for name in path)])


_ORDERS = {
    "status": "scientificMetadata.scan.status.value",
    "runNumber": "scientificMetadata.scan.scan_id.value",  # the dataset's own is a text: 10 would be before 9
    "title": "scientificMetadata.scan.title.value",
    "points": "scientificMetadata.scan.points.value",
    "duration": "",
    "page": "",
    "picture": "",
}
_STORED = {
    "proposalId": "proposalIds",
    "sampleId": "sampleIds",
    "instrumentId": "instrumentIds",
    "principalInvestigator": "principalInvestigators",
}


def order_of(column: LogColumn) -> str:
    """What the catalogue sorts by for this column; "" if it can't: a duration is stored nowhere."""
    if column.path:
        return f"{metadata_field(column.path)}.value"
    return _ORDERS.get(column.key, _stored(column.key))


def _stored(field: str) -> str:
    return _STORED.get(field, field)


def stored_fields(fields: list[str]) -> list[str]:
    """What to ask for to get these fields from v3: under a new name it stores what it shows under an old one."""
    return sorted({*fields, *map(_stored, fields)})


def with_order(fields: list[str], query: DatasetQuery) -> list[str]:
    """These fields and the one of the order: SciCat does not sort by a field that it does not return."""
    # The whole value with its unit, and not the number alone: a row is not to know half of it.
    place = query.order.removesuffix(".value") if query.order.startswith("scientificMetadata.") else query.order
    if any(f"{place}.".startswith(f"{field}.") for field in fields):
        return fields
    # No field within another: MongoDB refuses that.
    return sorted([*(field for field in fields if not field.startswith(f"{place}.")), place])


# ------------------------------------------------------------------------------ for SciCat


def where(query: DatasetQuery, *more: Json) -> Json:
    """The `where` of `GET /api/v3/datasets`. `more` are further conditions that must hold, in SciCat's own form."""
    parts = [*_parts(query), *more]
    return {"$and": parts} if parts else {}


def changeable(query: DatasetQuery) -> bool:
    """Whether a matching dataset may no longer match after a change."""
    return bool(query.where or query.text or query.status)


def order(query: DatasetQuery) -> str:
    """The `order` of SciCat's limits."""
    return f"{query.order}:{'desc' if query.descending else 'asc'}"


def _parts(query: DatasetQuery) -> list[Json]:
    parts: list[Json] = []
    if query.proposal:
        parts.append({"proposalIds": {"$in": [query.proposal]}})
    times = {name: _utc(time) for name, time in (("$gte", query.begin), ("$lt", query.end)) if time is not None}
    if times:
        parts.append({"creationTime": times})
    if query.status:
        parts.append({"scientificMetadata.scan.status.value": {"$in": list(query.status)}})
    if search := _search(query.text):
        parts.append({"$text": {"$search": search}})
    return [*parts, *map(_condition, query.where)]


def _utc(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _search(text: str) -> str:
    """MongoDB's text search takes any of the words, but all of the phrases: so each word becomes a phrase."""
    phrases = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|([^\s"]+)', text)]
    phrases = [phrase.strip() for phrase in phrases if re.search(r"\w", phrase)]
    if not phrases:
        return ""
    # The extra word has no effect beside phrases, but with it SciCat takes no text for a date.
    return " ".join([*(f'"{phrase}"' for phrase in phrases), "text"])


def _condition(condition: QueryCondition) -> Json:
    place = (
        f"{condition.field}.value" if condition.field.startswith("scientificMetadata.") else _stored(condition.field)
    )
    value, relation = condition.value, condition.relation
    if isinstance(value, str):
        return {place: _text_test(relation, value)}
    if isinstance(value, bool):
        return {place: {"$nin" if relation is Relation.NOT_EQUAL else "$in": [value], "$exists": True}}
    tests = [{place: test} for test in _number_tests(relation, value)]
    if not condition.unit:
        return _any(tests)
    same_unit = [{f"{condition.field}.unit": {"$in": [condition.unit]}, **test} for test in tests]
    value_si, unit_si = to_si(value, condition.unit)
    if value_si is None:
        return _any(same_unit)
    # SciCat copies a value that it cannot convert to `valueSI`; `unitSI` shows which ones were converted.
    converted = [
        {f"{condition.field}.unitSI": {"$in": [unit_si]}, f"{condition.field}.valueSI": test}
        for test in _converted_tests(relation, value_si)
    ]
    return _any(same_unit + converted)


def _any(tests: list[Json]) -> Json:
    return tests[0] if len(tests) == 1 else {"$or": tests}


def _text_test(relation: Relation, value: str) -> Json:
    if relation is Relation.EQUAL:
        return {"$in": [value]}
    if relation is Relation.NOT_EQUAL:
        return {"$nin": [value], "$exists": True}  # what has no such value at all is not different
    if relation is Relation.CONTAINS:
        return {"$regex": _pattern(value), "$options": "i"}
    if relation in (Relation.HAS, Relation.HAS_NOT):
        name = _pattern(value)
        found = {"$regex": f"^{name}$|^{name},|, {name}$|, {name},"}
        return found if relation is Relation.HAS else {"$not": found, "$exists": True}
    raise ValueError(f"a text is not {relation.value} another")


def _pattern(text: str) -> str:
    """A regular expression for this text. No two digits are side by side: nothing is taken for a date."""
    return re.sub(r"[0-9]", r"[\g<0>]", re.sub(r"[\\^$.|?*+()\[\]{}]", r"\\\g<0>", text))


def _number_tests(relation: Relation, value: float) -> list[Json]:
    """One of them must hold."""
    low, high = _around(value, EQUAL_TOLERANCE)
    tests: dict[Relation, list[Json]] = {
        Relation.EQUAL: [{"$gte": low, "$lte": high}],
        Relation.NOT_EQUAL: [{"$lt": low}, {"$gt": high}],
        Relation.LESS: [{"$lt": value}],
        Relation.AT_MOST: [{"$lte": value}],
        Relation.GREATER: [{"$gt": value}],
        Relation.AT_LEAST: [{"$gte": value}],
    }
    if relation not in tests:
        raise ValueError("a number cannot contain another")
    return tests[relation]


def _converted_tests(relation: Relation, value: float) -> list[Json]:
    """The same of a number that was converted: what is as good as equal is neither more nor less."""
    low, high = _around(value, CONVERTED_TOLERANCE)
    tests: dict[Relation, list[Json]] = {
        Relation.EQUAL: [{"$gte": low, "$lte": high}],
        Relation.NOT_EQUAL: [{"$lt": low}, {"$gt": high}],
        Relation.LESS: [{"$lt": low}],
        Relation.AT_MOST: [{"$lte": high}],
        Relation.GREATER: [{"$gt": high}],
        Relation.AT_LEAST: [{"$gte": low}],
    }
    return tests[relation]


def _around(value: float, part: float) -> tuple[float, float]:
    return value - abs(value) * part, value + abs(value) * part
