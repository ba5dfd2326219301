"""The SciCat form of a query. That SciCat accepts it is tested in tests/contract/test_scanlog_queries.py."""

from __future__ import annotations

import datetime as dt

import pytest

from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.query import (
    DatasetQuery,
    QueryCondition,
    Relation,
    changeable,
    metadata_field,
    order_of,
    where,
    with_order,
)

ENERGY = metadata_field(("Optics", "Energy"))


def test_a_text_is_not_less_than_another() -> None:
    with pytest.raises(ValueError, match="a text is not < another"):
        where(DatasetQuery(where=(QueryCondition("sampleId", Relation.LESS, "a"),)))


def test_nothing_is_sorted_by_a_duration() -> None:
    assert order_of(next(column for column in cols.default_columns() if column.key == "duration")) == ""


def test_which_queries_are_changeable() -> None:
    assert not changeable(DatasetQuery(proposal="P", begin=dt.datetime.now(dt.UTC)))
    assert changeable(DatasetQuery(status=("running",)))
    assert DatasetQuery(text="x").filtered
    assert not DatasetQuery(proposal="P", order="comment").filtered


def test_no_text_looks_like_a_date_to_javascript() -> None:
    """The real server converts any text in a filter, except in lists, that JavaScript can parse as a date."""
    wanted = DatasetQuery(
        proposal="2025",
        text="lysozyme-3",
        status=("1",),
        where=(
            QueryCondition("sampleId", Relation.EQUAL, "2025-11"),
            QueryCondition("sampleId", Relation.CONTAINS, "sample 3"),
            QueryCondition(ENERGY, Relation.GREATER, 1.0, "m"),
        ),
    )

    def plain(value: object) -> list[str]:
        if isinstance(value, dict):
            return [text for inner in value.values() for text in ([inner] if isinstance(inner, str) else plain(inner))]
        return (
            [text for inner in value if isinstance(inner, dict) for text in plain(inner)]
            if isinstance(value, list)
            else []
        )

    texts = plain(where(wanted))
    # It refuses a word after a number, and a number in brackets.
    assert texts == ['"lysozyme-3" text', "sample [3]", "i"]


def test_the_field_of_the_order_is_requested() -> None:
    """SciCat sorts only by returned fields, and MongoDB refuses a field within another."""
    points = DatasetQuery(order="scientificMetadata.scan.points.value")
    assert with_order(["pid"], points) == ["pid", "scientificMetadata.scan.points"]
    for fields in (["scientificMetadata.scan.points"], ["scientificMetadata.scan"], ["pid", "scientificMetadata"]):
        assert with_order(fields, points) == fields
    assert with_order(["pid", "scientificMetadata.a.b"], DatasetQuery(order="scientificMetadata.a.value")) == [
        *("pid", "scientificMetadata.a")
    ]
    assert with_order(["pid"], DatasetQuery(order="sampleIds")) == ["pid", "sampleIds"]
    assert with_order(["pid"], DatasetQuery(order="pid")) == ["pid"]
