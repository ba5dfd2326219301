"""SI values: what the contract can't ask a server for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.scicat.si_values import to_si


@given(st.text() | st.text("mkgsAK^-0123456789*/() .", max_size=20), st.floats(allow_nan=False))
def test_any_unit_text_is_converted_or_kept(unit: str, value: float) -> None:
    value_si, unit_si = to_si(value, unit)
    assert isinstance(unit_si, str)
    assert value_si is None or isinstance(value_si, float)


@pytest.mark.parametrize(
    "unit", ["m^9^9^9^9", "m**9", "2 mm", "1000", "(m", "m)", "m//s", "", " ", "m^999999999", "as*"]
)
def test_what_is_not_a_unit_is_kept(unit: str) -> None:
    assert to_si(3, unit) == (3, unit)


@pytest.mark.parametrize(("value", "expected"), [("2", 0.002), (True, 0.001), ("open", "open"), (None, None)])
def test_values_that_are_not_numbers(value, expected) -> None:
    assert to_si(value, "mm")[0] == expected


def test_a_list_is_not_converted() -> None:
    assert to_si([1, 2], "mm") == ([1, 2], "mm")
