"""The searches of v3 that SciCat's frontend uses: fullquery, fullfacet, metadataKeys."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from ingest.embedded.filters import (
    FALSE_CONDITION,
    TIME_FIELDS,
    FilterError,
    SqlCondition,
    TableShape,
    all_of,
    any_of,
    text,
    where,
)
from ingest.embedded.metadata import encode_key, key_paths
from ingest.embedded.store import READER, Collection
from ingest.scicat.si_values import to_si

Json = dict[str, Any]

_RELATIONS = {
    "EQUAL_TO": "eq",
    "EQUAL_TO_STRING": "eq",
    "EQUAL_TO_NUMERIC": "eq",
    "GREATER_THAN": "gt",
    "GREATER_THAN_OR_EQUAL": "gte",
    "LESS_THAN": "lt",
    "LESS_THAN_OR_EQUAL": "lte",
}
_MAX_FACETS = 50
_MAX_KEYS = 100


def condition(fields: Mapping[str, Any], collection: Collection) -> SqlCondition:
    """`{"proposalIds": [...], "creationTime": {"begin", "end"}, "text": ..., "scientific": [...]}`.

    The names are those of the store, so `proposalId` finds nothing, as on the real server.
    """
    return all_of(_field(name, value, collection) for name, value in fields.items())


def _field(name: str, value: Any, collection: Collection) -> SqlCondition:
    shape = collection.shape
    if name == "text":
        return text(value, shape)
    if name == "scientific":
        if not isinstance(value, list):
            raise FilterError("scientific: a list is needed")
        return all_of(_scientific(one, shape) for one in value)
    if name == "mode":
        return where(value, shape)
    if name == "userGroups":
        groups = where({READER: {"in": value}}, TableShape(shape.table, frozenset({READER})))
        return groups if value else FALSE_CONDITION
    if isinstance(value, list):
        return where({name: {"in": value}}, shape)
    if name in TIME_FIELDS and isinstance(value, dict):
        range_ = {"gte": value.get("begin"), "lte": value.get("end")}
        return where({name: {sign: time for sign, time in range_.items() if time is not None}}, shape)
    return where({name: value}, shape)


def _scientific(wanted: Any, shape: TableShape) -> SqlCondition:
    """`{"lhs": "energy", "relation": "GREATER_THAN", "rhs": 0.5, "unit": "keV"}`: with a unit SI values count."""
    if not isinstance(wanted, dict) or not isinstance(wanted.get("lhs"), str):
        raise FilterError("scientific: lhs, relation and rhs are needed")
    path = ".".join(["scientificMetadata", *map(encode_key, wanted["lhs"].split("."))])
    relation, rhs, unit = wanted.get("relation"), wanted.get("rhs"), wanted.get("unit")
    if relation == "RANGE":
        if not isinstance(rhs, list) or len(rhs) != 2:
            raise FilterError("scientific: RANGE needs two numbers as rhs")
        ends = (("gt", rhs[0]), ("lt", rhs[1]))
    elif relation in _RELATIONS:
        ends = ((_RELATIONS[relation], rhs),)  # type: ignore[assignment]
    else:
        raise FilterError(f"scientific: the relation must be RANGE or one of {', '.join(_RELATIONS)}")
    if not unit or relation == "EQUAL_TO_STRING":
        tests = {operator: operand for operator, operand in ends}
        return any_of(where({path + below: tests}, shape) for below in ("", ".value", ".v"))
    converted = {operator: to_si(operand, unit) for operator, operand in ends}
    tests = {operator: value for operator, (value, _) in converted.items()}
    unit_si = next(iter(converted.values()))[1]
    return where({f"{path}.valueSI": tests, f"{path}.unitSI": unit_si}, shape)


def facets(
    connection: sqlite3.Connection, collection: Collection, fields: Mapping[str, Any], names: Any, allowed: SqlCondition
) -> list[Json]:
    """`[{"all": [{"totalSets": 4}], "type": [{"_id": "raw", "count": 4}]}]`.

    A facet counts without the filter on its own field, so that one can choose another value.
    """
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FilterError("facets: a list of names is needed")
    total = collection.count(connection, all_of([allowed, condition(fields, collection)]))
    result: Json = {"all": [{"totalSets": total}] if total else []}
    for name in names[:_MAX_FACETS]:
        others = {field: value for field, value in fields.items() if field != name}
        found = collection.counts(connection, name, all_of([allowed, condition(others, collection)]))
        result[name] = [{"_id": _facet_id(name, value), "count": count} for value, count in found]
    return [result]


def _facet_id(name: str, value: Any) -> Any:
    if name not in TIME_FIELDS or value is None:
        return value
    return dict(zip(("year", "month", "day"), map(int, value.split("-")), strict=True))


def metadata_keys(documents: Iterable[Json]) -> list[str]:
    """The first paths of the values in the metadata of these documents."""
    keys: dict[str, None] = {}
    for document in documents:
        keys.update(dict.fromkeys(key_paths(document.get("scientificMetadata") or {})))
    return list(keys)[:_MAX_KEYS]
