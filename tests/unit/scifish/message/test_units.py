"""Units as SciCat has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scifish.message import units
from scifish.message.units import convertible, mathjs_spelling


@pytest.mark.parametrize("unit", ["mm", "µm", "°C", "Å", "Å⁻¹", "keV", "mbar", "l/min", "Torr", "kΩ", "kg m^2 / s^2"])
def test_what_scicat_converts_once_it_is_spelled_its_way(unit: str) -> None:
    assert convertible(mathjs_spelling(unit))


@pytest.mark.parametrize(
    "unit", ["", "%", "counts", "ph/s", "mTorr", "G", "steps", "a.u.", "rpm", "m^9^9", "m" * 65, "☃"]
)
def test_what_it_keeps_as_it_is_written(unit: str) -> None:
    assert not convertible(mathjs_spelling(unit))


@given(st.text())
def test_any_text_has_a_spelling(unit: str) -> None:
    assert mathjs_spelling(mathjs_spelling(unit)) == mathjs_spelling(unit)
    assert isinstance(convertible(unit), bool)


def test_what_may_be_of_any_size_is_not_remembered() -> None:
    known = units._spelled.cache_info().currsize, units._converts.cache_info().currsize
    assert mathjs_spelling("µ" * 100_000) == "µ" * 100_000
    assert not convertible("m" * 100_000)
    assert (units._spelled.cache_info().currsize, units._converts.cache_info().currsize) == known
