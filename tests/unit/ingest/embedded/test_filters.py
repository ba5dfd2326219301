"""Filters as SQL: that they say what MongoDB would, and that nothing gets through them."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.embedded import search
from ingest.embedded.access import COLLECTIONS, DATASETS, V3_DATASETS
from ingest.embedded.filters import FilterError, FilterQuery, globs, order_by, where
from ingest.embedded.store import Store
from tests.waiting import PATIENCE

VALUES = [None, 0, 1, 2.5, -1, "", "a", "b", "1", True, False, "'", '"; DROP TABLE datasets; --']
SCALARS = st.sampled_from([value for value in VALUES if value is not None and not isinstance(value, bool)])
NASTY = st.sampled_from(
    ["'", '"', "a'b", "$where", "a b", "proposalId", "document", "x') OR 1 --", "", ".", "a..b", "%00"]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            NASTY | st.sampled_from(["and", "or", "$in", "like", "gt", "ne", "nin", "$exists", "keywords"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One dataset for each of VALUES: its x, its name, and its keywords where it is text."""
    found = Store(tmp_path_factory.mktemp("store") / "db", COLLECTIONS)
    with found.write() as connection:
        for number, value in enumerate(VALUES):
            document = {"pid": str(number), "scientificMetadata": {"x": value}, "number": number}
            document["keywords"] = [value] if isinstance(value, str) else []
            DATASETS.insert(connection, {key: inner for key, inner in document.items() if inner is not None})
    yield found
    found.close()


def _found(store: Store, wanted) -> list:
    documents = DATASETS.find(store, FilterQuery(where(wanted, V3_DATASETS), limit=1000))
    return [VALUES[document["number"]] for document in documents]


def test_not_is_all_that_the_test_in_it_is_not(store: Store) -> None:
    name = "scientificMetadata.x"
    matching = _found(store, {name: {"$regex": "^a$|^b$"}})
    assert matching == ["a", "b"]
    others = _found(store, {name: {"$not": {"$regex": "^a$|^b$"}}})
    assert others == [value for value in VALUES if value not in ("a", "b")]
    with pytest.raises(FilterError, match="needs an operator"):
        where({name: {"$not": "a"}}, V3_DATASETS)
    deep: dict[str, object] = {"$regex": "a"}
    for _ in range(2000):
        deep = {"$not": deep}
    with pytest.raises(FilterError):
        where({name: deep}, V3_DATASETS)


def _same_kind(one, other) -> bool:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other)]
    return all(numbers) or (isinstance(one, str) and isinstance(other, str))


@given(SCALARS)
def test_comparisons_are_as_mongodbs(store: Store, operand) -> None:
    name = "scientificMetadata.x"
    comparable = [value for value in VALUES if _same_kind(value, operand) and value is not None]
    assert _found(store, {name: {"gt": operand}}) == [value for value in comparable if value > operand]
    assert _found(store, {name: {"lte": operand}}) == [value for value in comparable if value <= operand]
    assert _found(store, {name: operand}) == [operand]
    different = _found(store, {name: {"ne": operand}})
    assert [repr(value) for value in different] == [repr(value) for value in VALUES if repr(value) != repr(operand)]


@given(st.lists(SCALARS, max_size=4))
def test_one_of_and_none_of_share_out_everything(store: Store, operands: list) -> None:
    name = "scientificMetadata.x"
    inside, outside = _found(store, {name: {"inq": operands}}), _found(store, {name: {"nin": operands}})
    assert len(inside) + len(outside) == len(VALUES)
    assert set(map(repr, inside)) == set(map(repr, operands))


def test_booleans_and_null(store: Store) -> None:
    assert _found(store, {"scientificMetadata.x": True}) == [True]
    assert _found(store, {"scientificMetadata.x": None}) == [None]
    assert _found(store, {"scientificMetadata.x": {"$in": [False, "a"]}}) == ["a", False]


def test_a_list_contains(store: Store) -> None:
    assert _found(store, {"keywords": "a"}) == ["a"]
    assert _found(store, {"keywords": {"inq": ["a", "b"]}}) == ["a", "b"]
    assert _found(store, {"keywords": {"like": "^[ab]$"}}) == ["a", "b"]


@given(JSON)
def test_any_filter_is_answered_or_refused(store: Store, wanted) -> None:
    try:
        _found(store, wanted)
    except FilterError:
        return


@given(st.dictionaries(st.sampled_from(["text", "scientific", "creationTime", "mode", "userGroups", "x"]), JSON))
def test_any_search_is_answered_or_refused(store: Store, fields) -> None:
    try:
        DATASETS.find(store, FilterQuery(search.condition(fields, DATASETS)))
    except FilterError:
        return


@given(st.text() | NASTY)
def test_any_order_is_answered_or_refused(store: Store, order: str) -> None:
    try:
        found = DATASETS.find(store, FilterQuery(order=order_by(order, V3_DATASETS)))
    except FilterError:
        return
    assert len(found) == len(VALUES)


def test_a_name_is_never_sql(store: Store) -> None:
    for name in ("x') = 1 OR ('1' = '1", "pid' OR 1 --", 'a" b'):
        assert _found(store, {name: "a"}) == []
    with store.read() as connection:
        assert DATASETS.count(connection) == len(VALUES)


def test_readers_cannot_write(store: Store) -> None:
    with store.read() as connection, pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM datasets")


@pytest.mark.parametrize(
    "wanted",
    [
        {"or": [{"pid": "x"}] * 1000},
        json.loads('{"and": [' * 40 + "{}" + "]}" * 40),
        {"pid": {"nonsense": 1}},
        {"$where": "sleep(1000)"},
        {"pid": {"gt": None}},
        {"pid": {"inq": "x"}},
        {"creationTime": {"gte": "yesterday"}},
        {"pid": {"like": "(a+)+$"}},
        {"and": {}},
        [],
    ],
    ids=lambda wanted: str(wanted)[:30],
)
def test_what_is_refused(wanted) -> None:
    with pytest.raises(FilterError):
        where(wanted, V3_DATASETS)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("scan", "a scan b", True),
        ("^scan", "a scan", False),
        ("^scan.*b$", "scan ab", True),
        ("a.c", "abc", True),
        (r"a\.c", "abc", False),
        (r"a\.c", "a.c", True),
        ("a.+c", "ac", False),
        ("a|b$", "xb", True),
        ("[0-9]x", "7x", True),
        (r"\dx", "7x", True),
        ("a\\*b\\?", "a*b?", True),
        ("a\\*b", "axb", False),
        ("", "anything", True),
    ],
)
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    connection = sqlite3.connect(":memory:")
    found = [connection.execute("SELECT ? GLOB ?", (text, glob)).fetchone()[0] for glob in globs(pattern)]
    connection.close()
    assert any(found) is expected


@pytest.mark.parametrize("pattern", ["(a)", "a{9}", "a+", "a*", "a?", "(?i)x", "\\", "x" * 501, "[[:alpha:]]"])
def test_patterns_that_are_not_supported_say_so(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        globs(pattern)


def test_no_pattern_takes_long() -> None:
    connection = sqlite3.connect(":memory:")
    (glob,) = globs(".*a" * 100 + "$")
    begin = time.monotonic()
    connection.execute("SELECT ? GLOB ?", ("a" * 20_000 + "b", glob))
    connection.close()
    assert time.monotonic() - begin < PATIENCE  # where one begins anew at each letter it is for ever


def test_text_search_follows_changes(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", COLLECTIONS)

    def found(text: str) -> list[str]:
        documents = DATASETS.find(store, FilterQuery(search.condition({"text": text}, DATASETS)))
        return [document["pid"] for document in documents]

    with store.write() as connection:
        DATASETS.insert(connection, {"pid": "1", "description": "crystals of lysozyme"})
        DATASETS.insert(connection, {"pid": "2", "description": "dark"})
    assert found("crystal") == ["1"]
    assert found('"; DROP') == found("description") == []
    with store.write() as connection:
        DATASETS.replace(connection, {"pid": "1", "description": "powder"})
        DATASETS.delete(connection, "2")
    assert (found("crystal"), found("dark"), found("powder")) == ([], [], ["1"])
    with store.write() as connection:
        connection.execute("INSERT INTO datasets_words (datasets_words) VALUES ('integrity-check')")
    store.close()


def test_a_failed_change_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", COLLECTIONS)

    def half() -> None:
        with store.write() as connection:
            DATASETS.insert(connection, {"pid": "1"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    with store.write() as connection:
        assert DATASETS.get(connection, "1") is None
    store.close()


def test_an_order_that_was_slow_gets_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.embedded.store.SLOW_QUERY_SECONDS", -1.0)
    store = Store(tmp_path / "db", COLLECTIONS)
    order = order_by("scientificMetadata.x.value:desc", V3_DATASETS)
    with store.write() as connection:
        for number in range(5):
            DATASETS.insert(connection, {"pid": str(number), "scientificMetadata": {"x": {"value": number}}})
    before = DATASETS.find(store, FilterQuery(order=order))
    store.indexes.stop()
    with store.read() as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")]
    assert "datasets_order_1" in names
    assert DATASETS.find(store, FilterQuery(order=order)) == before
    assert [document["pid"] for document in before] == list("43210")
    store.close()
