"""What the scan log asks for, and that the catalogue finds and sorts what a person means by it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from ingest.scicat import SciCat
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.available_fields import AvailableFields, read_newest, search
from taurus_widgets.scanlog.data.pages import Pages
from taurus_widgets.scanlog.data.query import DatasetQuery, QueryCondition, Relation, metadata_field, order_of
from tests.builders.scicat_datasets import Json, scan
from tests.servers.catalogue import Catalogue

Found = Callable[..., list[str]]

ENERGY = metadata_field(("Optics", "Energy"))


def leaf(value: object, unit: str = "") -> Json:
    return {"value": value, "unit": unit}


def _client(catalogue: Catalogue) -> SciCat:
    return SciCat(catalogue.url, catalogue.ingestor.username, catalogue.ingestor.password)


@pytest.fixture(scope="module")
def query(catalogue: Catalogue) -> DatasetQuery:
    """Of a proposal with four scans: numbers 8 to 11, a minute apart, the last one runs."""
    scicat = _client(catalogue)
    proposal = f"Q-{time.time_ns() % 10**8:08d}"
    begin = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC).timestamp()
    energies = [leaf(7.0, "keV"), leaf(7200.0, "eV"), leaf(7.3, "keV"), leaf(None, "keV")]
    samples = ["lysozyme-3", "2025", "a.b (wet)", ""]
    statuses = ["completed", "failed", "completed", "running"]
    for number in range(4):
        made = scan(8 + number, begin + 60 * number, f"ascan mot0{number} 0 1 10 0.1", statuses[number])
        made |= {"proposalId": proposal, "pid": f"{made['pid']}-{proposal}", "comment": f"spot {number} of the wafer"}
        if samples[number]:
            made["sampleId"] = samples[number]
        made["scientificMetadata"] |= {
            "Optics": {"Energy": energies[number]},
            "Ö.x": {"a b": leaf(-number)},
            "Gap": {"Width": leaf(number, "µm"), "Open": leaf(number % 2 == 0)},
        }
        scicat.create_dataset(made)
    return DatasetQuery(proposal=proposal)


@pytest.fixture
def found(catalogue: Catalogue, query: DatasetQuery) -> Found:
    """The numbers of the scans, the newest first, for conditions or other changes of the query."""

    def find(*conditions: QueryCondition, **changes: object) -> list[str]:
        wanted = replace(query, where=conditions, **changes)  # type: ignore[arg-type]
        pages = Pages(_client(catalogue), wanted, ("runNumber",))
        rows = pages.page(0)
        assert pages.count() == len(rows)
        return [row["runNumber"] for row in rows]

    return find


def test_everything_the_newest_first(found: Found) -> None:
    assert found() == ["11", "10", "9", "8"]


def test_times(found: Found) -> None:
    begin = dt.datetime(2026, 11, 21, 13, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert found(begin=begin) == ["11", "10", "9"]
    assert found(begin=begin, end=begin + dt.timedelta(minutes=1)) == ["9"]


def test_status(found: Found) -> None:
    assert found(status=("failed",)) == ["9"]
    assert found(status=("failed", "running")) == ["11", "9"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("wafer", ["11", "10", "9", "8"]),
        ("WAFER mot03", ["11"]),
        ("mot03 mot00", []),
        ('"spot 2"', ["10"]),
        ('"2 spot"', []),
        ("lysozyme-3", ["8"]),
        ("2025 wafer", ["9"]),
        ("  ", ["11", "10", "9", "8"]),
        ('"', ["11", "10", "9", "8"]),
        ("- & ()", ["11", "10", "9", "8"]),
    ],
)
@pytest.mark.usefixtures("whole_mongodb")
def test_text_has_all_the_words(found: Found, text: str, numbers: list[str]) -> None:
    assert found(text=text) == numbers


@pytest.mark.parametrize(
    ("relation", "value", "unit", "numbers"),
    [
        (Relation.GREATER, 7.1, "keV", ["10", "9"]),
        (Relation.GREATER, 7100.0, "eV", ["10", "9"]),
        (Relation.LESS, 7.1, "keV", ["8"]),
        (Relation.EQUAL, 7.2, "keV", ["9"]),
        (Relation.EQUAL, 7300, "eV", ["10"]),
        (Relation.NOT_EQUAL, 7.2, "keV", ["10", "8"]),
        (Relation.AT_LEAST, 7.3, "keV", ["10"]),
        (Relation.AT_MOST, 7.0, "keV", ["8"]),
        (Relation.GREATER, 7.1, "mm", []),
        (Relation.GREATER, 7.1, "", ["10", "9"]),
        (Relation.GREATER, 0.0, "nonsense", []),
    ],
)
def test_a_number_with_a_unit(found: Found, relation: Relation, value: float, unit: str, numbers: list[str]) -> None:
    assert found(QueryCondition(ENERGY, relation, value, unit)) == numbers


def test_a_unit_that_scicat_cannot_convert(found: Found) -> None:
    width = metadata_field(("Gap", "Width"))
    assert found(QueryCondition(width, Relation.GREATER, 1.5, "µm")) == ["11", "10"]
    assert found(QueryCondition(width, Relation.LESS, 1.5, "mm")) == []


@pytest.mark.parametrize(
    ("relation", "value", "numbers"),
    [
        (Relation.EQUAL, "lysozyme-3", ["8"]),
        (Relation.EQUAL, "lysozyme", []),
        (Relation.EQUAL, "2025", ["9"]),
        (Relation.CONTAINS, "LYSO", ["8"]),
        (Relation.CONTAINS, "02", ["9"]),
        (Relation.CONTAINS, "a.b (", ["10"]),
        (Relation.CONTAINS, "a*b", []),
        (Relation.NOT_EQUAL, "2025", ["10", "8"]),
    ],
)
def test_a_text(found: Found, relation: Relation, value: str, numbers: list[str]) -> None:
    assert [number for number in found(QueryCondition("sampleId", relation, value)) if number != "11"] == numbers


def test_yes_or_no(found: Found) -> None:
    assert found(QueryCondition(metadata_field(("Gap", "Open")), Relation.EQUAL, True)) == ["10", "8"]
    assert found(QueryCondition(metadata_field(("Gap", "Open")), Relation.NOT_EQUAL, True)) == ["11", "9"]


@pytest.mark.usefixtures("whole_mongodb")
def test_all_conditions_hold(found: Found) -> None:
    above = QueryCondition(ENERGY, Relation.GREATER, 7.1, "keV")
    sample = QueryCondition("sampleId", Relation.CONTAINS, "b")
    assert found(above, sample, text="wafer", status=("completed",)) == ["10"]


@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        ("creationTime", ["8", "9", "10", "11"]),
        ("status", ["8", "10", "9", "11"]),
        ("runNumber", ["8", "9", "10", "11"]),
        ("title", ["8", "9", "10", "11"]),
        ("sampleId", ["11", "9", "10", "8"]),
        ("comment", ["8", "9", "10", "11"]),
        ("Ö.x/a b", ["11", "10", "9", "8"]),
    ],
)
def test_the_catalogue_sorts_by_any_column(found: Found, key: str, numbers: list[str]) -> None:
    known = {column.key: column for column in cols.default_columns()}
    order = order_of(known.get(key) or cols.metadata_column(key))
    assert found(order=order, descending=False) == numbers
    if key not in ("status",):
        assert found(order=order) == numbers[::-1]


@pytest.mark.parametrize(
    ("relation", "value", "numbers"),
    [
        (Relation.EQUAL, 7000.0, ["8"]),
        (Relation.AT_LEAST, 7300.0, ["10"]),
        (Relation.AT_MOST, 7000.0, ["8"]),
        (Relation.GREATER, 7300.0, []),
        (Relation.LESS, 7000.0, []),
        (Relation.NOT_EQUAL, 7000.0, ["10", "9"]),
    ],
)
def test_the_same_energy_in_another_unit(found: Found, relation: Relation, value: float, numbers: list[str]) -> None:
    """7 keV is neither more nor less than 7000 eV, whatever rounding says."""
    assert found(QueryCondition(ENERGY, relation, value, "eV")) == numbers


@pytest.mark.parametrize("proposal", ["2025-1", "P-123", "2026"])
def test_values_and_their_names_of_a_proposal_that_javascript_takes_for_a_date(
    catalogue: Catalogue, proposal: str
) -> None:
    made = scan(1, 1e9, "ascan mot01 0 1 10 0.1", "completed")
    name = f"Gauge {time.time_ns()}"
    pid = f"{made['pid']}-{time.time_ns()}"
    metadata = {"Vacuum": {name: leaf(1.5, "mbar")}}
    scicat = _client(catalogue)
    scicat.create_dataset(made | {"pid": pid, "proposalId": proposal, "scientificMetadata": metadata})
    assert f"Vacuum/{name}" in read_newest(scicat, proposal).found
    found = search(scicat, AvailableFields(), proposal, name[-9:].upper()).found
    assert [(one.key, one.unit) for one in found.values()] == [(f"Vacuum/{name}", "mbar")]
    rows = Pages(scicat, DatasetQuery(proposal=proposal), ("runNumber",)).page(0)
    assert pid in [row["pid"] for row in rows]
