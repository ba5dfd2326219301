"""Which datasets the scan log shows, in which order, and the query for SciCat.

No Qt here. The `where` for SciCat works with the real server (v3) and the embedded one:

- names are those that SciCat stores (`proposalIds`, URL-encoded metadata keys), because the real server translates the
  old names at the top level only;
- all conditions are in one `$and`, because a `$or` at the top is overwritten for users who are not administrators;
- texts are in lists (`$in`), because a single text that looks like a date (`lysozyme-3`) is converted into one.
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
"""Relative tolerance of `=` for numbers."""

CONVERTED_TOLERANCE = 1e-7
"""Relative tolerance for numbers that different programs converted: electronvolts of two years differ by 4e-8."""


class Relation(enum.Enum):
    """The relation between the value of a dataset and that of a condition."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="
    CONTAINS = "~"
    HAS = "has"
    """One of the names in a text such as `mot01, mot02` is exactly this one."""
    HAS_NOT = "has not"
    """None of the names is this one."""


@dataclass(frozen=True)
class QueryCondition:
    """A condition `field relation value unit`, such as `scientificMetadata.Optics.Energy > 7.1 keV`.

    `field` is a dataset's field by its name in v3 (`sampleId`), or the result of `metadata_field`. Texts can be
    compared with `EQUAL`, `NOT_EQUAL`, `CONTAINS` (which ignores case), `HAS` and `HAS_NOT`, numbers with all but the
    last three. With a unit, values in any convertible unit are compared.
    """

    field: str
    relation: Relation
    value: str | float | bool
    unit: str = ""


@dataclass(frozen=True)
class DatasetQuery:
    """A query; a dataset must match all its parts.

    `begin` and `end` (exclusive) limit the start of the scan, and have a time zone. `text` has words that must all
    occur in the dataset; several words in double quotes count as one. `status` has the allowed statuses of a scan; none
    means all. `order` is a field as in `QueryCondition`, with `.value` for metadata: the result of `order_of` for a
    column.
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
        """Whether fewer datasets are shown than the proposal, or the catalogue, has."""
        return self != DatasetQuery(order=self.order, descending=self.descending, proposal=self.proposal)

    def sorted_by(self, order: str, descending: bool) -> DatasetQuery:
        return replace(self, order=order, descending=descending)


# --------------------------------------------------------------------------------- names


def metadata_field(path: tuple[str, ...]) -> str:
    """The field of a metadata value such as `("Optics", "Energy")`, with its names as SciCat stores them."""
    return ".".join(["scientificMetadata", *(quote(name, safe="!~*'()").replace(".", "%2E") for name in path)])


_ORDERS = {
    "status": "scientificMetadata.scan.status.value",
    "runNumber": "scientificMetadata.scan.scan_id.value",  # the dataset's own field is a text: 10 would be before 9
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
    """The field by which the catalogue sorts for this column; "" if it cannot sort: durations are not stored."""
    if column.path:
        return f"{metadata_field(column.path)}.value"
    return _ORDERS.get(column.key, _stored(column.key))


def _stored(field: str) -> str:
    return _STORED.get(field, field)


def stored_fields(fields: list[str]) -> list[str]:
    """The fields to request from v3 for these fields: it stores some of them under a newer name."""
    return sorted({*fields, *map(_stored, fields)})


def with_order(fields: list[str], query: DatasetQuery) -> list[str]:
    """These fields and that of the order, because SciCat sorts only by fields that it returns."""
    # The whole value with its unit, not only the number, so that the row is complete.
    place = query.order.removesuffix(".value") if query.order.startswith("scientificMetadata.") else query.order
    if any(f"{place}.".startswith(f"{field}.") for field in fields):
        return fields
    # No field is inside another one: MongoDB refuses that.
    return sorted([*(field for field in fields if not field.startswith(f"{place}.")), place])


# ------------------------------------------------------------------------------ for SciCat


def where(query: DatasetQuery, *more: Json) -> Json:
    """The `where` of `GET /api/v3/datasets`. `more` are additional conditions that must hold, in SciCat's own form."""
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
    """MongoDB's text search requires any of the words, but all of the phrases, so each word becomes a phrase."""
    phrases = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|([^\s"]+)', text)]
    phrases = [phrase.strip() for phrase in phrases if re.search(r"\w", phrase)]
    if not phrases:
        return ""
    # The extra word has no effect together with phrases, but prevents SciCat from taking the text for a date.
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
        return {"$nin": [value], "$exists": True}  # a dataset without such a value does not differ
    if relation is Relation.CONTAINS:
        return {"$regex": _pattern(value), "$options": "i"}
    if relation in (Relation.HAS, Relation.HAS_NOT):
        name = _pattern(value)
        found = {"$regex": f"^{name}$|^{name},|, {name}$|, {name},"}
        return found if relation is Relation.HAS else {"$not": found, "$exists": True}
    raise ValueError(f"a text is not {relation.value} another")


def _pattern(text: str) -> str:
    """A regular expression for this text. No two digits are adjacent, so nothing is taken for a date."""
    return re.sub(r"[0-9]", r"[\g<0>]", re.sub(r"[\\^$.|?*+()\[\]{}]", r"\\\g<0>", text))


def _number_tests(relation: Relation, value: float) -> list[Json]:
    """The alternatives, of which one must hold."""
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
    """The alternatives for converted numbers: values within the tolerance are equal, and neither less nor greater."""
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
