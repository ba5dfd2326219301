"""What differs between datasets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.compare import MISSING, Comparison, Row, as_text, compare
from tests.builders.scicat_datasets import scan
from tests.unit.taurus_widgets.scanlog.data.test_detail_lines import METADATA


def of(*metadata: dict[str, Any]) -> Comparison:
    return compare([{"pid": str(place), "scientificMetadata": each} for place, each in enumerate(metadata)])


def leaf(value: Any, unit: str = "", **more: Any) -> Json:
    return {"value": value, "unit": unit, **more}


def texts(row: Row) -> list[str]:
    return [cell.text for cell in row.cells]


def test_only_differences_are_listed_with_group_and_unit() -> None:
    first = {"Optics": {"Energy": leaf(12.4, "keV"), "Shutter": leaf("open")}}
    second = {"Optics": {"Energy": leaf(7.1, "keV"), "Shutter": leaf("open")}}
    found = of(first, second)
    assert [(row.label, texts(row)) for row in found.rows] == [("Optics / Energy (keV)", ["12.4", "7.1"])]
    assert found.compared == 2
    assert all(cell.numeric for cell in found.rows[0].cells)


def test_a_dataset_does_not_differ_from_itself_whenever_it_was_taken() -> None:
    assert compare([scan(1, 0.0, proposal="A"), scan(1, 0.0, proposal="A")]).rows == ()
    again = scan(1, 0.0, proposal="A") | {"pid": "other", "creationTime": "2026-01-01T00:00:00Z"}
    rows = compare([scan(1, 0.0, proposal="A", endTime=None), again | {"endTime": None}]).rows
    assert rows == ()


def test_a_value_that_one_dataset_lacks_differs() -> None:
    (row,) = of({"a": leaf(1, "mm"), "b": leaf(2)}, {"b": leaf(2)}, {"a": leaf(1, "mm"), "b": leaf(2)}).rows
    assert texts(row) == ["1", MISSING, "1"]
    assert [row.differs(place, 0) for place in range(3)] == [False, True, False]
    assert [row.differs(place, 1) for place in range(3)] == [True, False, True]


def test_numbers_are_the_same_to_fifteen_digits_and_as_whole_numbers() -> None:
    assert of({"a": leaf(0.1 + 0.2), "b": leaf(5)}, {"a": leaf(0.3), "b": leaf(5.0)}).rows == ()
    assert of({"a": leaf(True)}, {"a": leaf(1)}).rows != ()
    assert of({"a": leaf(float("nan"))}, {"a": leaf(float("nan"))}).rows == ()


def test_the_same_quantity_in_another_unit_is_the_same() -> None:
    first = {"E": leaf(7.1, "keV", valueSI=1.1375453e-15, unitSI="(kg m^2) / s^2")}
    second = {"E": leaf(7100, "eV", valueSI=1.13754530001e-15, unitSI="(kg m^2) / s^2")}
    assert of(first, second).rows == ()
    third = {"E": leaf(7200, "eV", valueSI=1.15356709e-15, unitSI="(kg m^2) / s^2")}
    (row,) = of(first, third).rows
    assert (row.unit, texts(row)) == ("", ["7.1 keV", "7200 eV"])


def test_arrays_are_compared_whole_and_shown_as_a_summary() -> None:
    one, other = list(range(100)), [*range(50), 50.5, *range(51, 100)]
    (row,) = of({"a": leaf(one, "ct")}, {"a": leaf(other, "ct")}).rows
    assert texts(row) == ["100 values, 0 to 99"] * 2
    assert row.cells[1].whole == other
    assert row.differs(1, 0)


def test_unread_values_are_equal() -> None:
    unread = {"a": leaf(None, error="timeout after 3 s")}
    assert of(unread, {"a": leaf(None, error="timeout after 3.1 s")}).rows == ()
    (row,) = of(unread, {"a": leaf(4)}).rows
    assert texts(row) == ["not read", "4"]


def test_start_and_end_are_compared_separately() -> None:
    (row,) = of({"T": leaf(293, "K", end=294)}, {"T": leaf(293, "K", end=300)}).rows
    assert (row.label, texts(row)) == ("T, end (K)", ["294", "300"])


def test_groups_stay_together() -> None:
    found = of({"A": {"x": leaf(1)}, "B": {"y": leaf(1)}}, {"A": {"z": leaf(2)}, "B": {"y": leaf(2)}})
    assert [row.label for row in found.rows] == ["A / x", "A / z", "B / y"]


@given(st.lists(METADATA, min_size=2, max_size=5))
def test_any_json_can_be_compared(metadata: list[object]) -> None:
    datasets: list[Json] = [{"pid": "x", "scientificMetadata": each} for each in metadata]
    found = compare(datasets)
    for row in found.rows:
        assert len(row.cells) == len(datasets)
        assert all(text == "" or text.isprintable() for text in (row.label, *texts(row)))
    assert len(as_text(found, datasets).split("\n")) == len(found.rows) + 1
    assert compare([datasets[0]] * 3).rows == ()


@pytest.mark.parametrize("text", ["=1+1", "+1 kV", "-cmd", "@SUM(A1)", "\uff1d1+1"])
def test_copied_texts_are_not_formulas(text: str) -> None:
    datasets: list[Json] = [{"pid": "1", "comment": text}, {"pid": "2", "scientificMetadata": {"n": leaf(-3)}}]
    copied = as_text(compare(datasets), datasets).split("\n")
    assert copied[1] == f"Dataset\tComment\t\t'{text}\t"
    assert copied[2] == "\tn\t\t\t-3"
