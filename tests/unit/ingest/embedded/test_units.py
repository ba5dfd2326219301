"""SI values of the embedded catalogue: what the contract can't ask a server for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.embedded.metadata import encode_key, key_paths, merge_patch, merged, shown, stored
from ingest.scicat.units import to_si

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
NO_SURROGATES = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.text() | st.text("mkgsAK^-0123456789*/() .", max_size=20), st.floats(allow_nan=False))
def test_any_unit_text_is_converted_or_kept(unit: str, value: float) -> None:
    value_si, unit_si = to_si(value, unit)
    assert isinstance(unit_si, str)
    assert value_si is None or isinstance(value_si, float)


@pytest.mark.parametrize(
    "unit", ["m^9^9^9^9", "m**9", "2 mm", "1000", "(m", "m)", "m//s", "", " ", "m^999999999", "as*"]
)
def test_what_is_no_unit_is_kept(unit: str) -> None:
    assert to_si(3, unit) == (3, unit)


@pytest.mark.parametrize(("value", "expected"), [("2", 0.002), (True, 0.001), ("open", "open"), (None, None)])
def test_values_that_are_no_numbers(value, expected) -> None:
    assert to_si(value, "mm")[0] == expected


def test_a_list_is_not_converted() -> None:
    assert to_si([1, 2], "mm") == ([1, 2], "mm")


@given(st.dictionaries(NO_SURROGATES, NO_SURROGATES, max_size=5))
def test_keys_survive_being_stored(metadata: dict) -> None:
    kept = stored(metadata)
    assert all(key.isascii() and not set(key) & set('."\\ ') for key in kept)
    assert shown(kept) == metadata


def test_key_paths_stop_at_a_quantity() -> None:
    metadata = stored({"group": {"gap": {"value": 1, "unit": "mm"}}, "plain": 3})
    assert list(key_paths(metadata)) == ["group.gap", "plain"]
    assert encode_key("a.b c") == "a%2Eb%20c"


@given(JSON, JSON)
def test_merge_patch_is_idempotent(target, patch) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


def test_a_merge_of_the_value_alone_leaves_an_old_si_value() -> None:
    """Why value and unit must both be sent."""
    kept = stored({"x": {"value": 1, "unit": "mm"}})
    assert merged(kept, {"x": {"value": 5}})["x"]["valueSI"] == pytest.approx(0.001)
    both = merged(kept, {"x": {"value": 5, "unit": "mm"}})["x"]["valueSI"]
    assert math.isclose(both, 0.005)
