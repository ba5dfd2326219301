"""The list of units."""

from __future__ import annotations

from scifish.message.units import convertible, mathjs_spelling
from taurus_widgets.scidog.data.units import SCICAT_UNITS


def test_scicat_converts_each() -> None:
    assert [unit for unit in SCICAT_UNITS if not convertible(mathjs_spelling(unit))] == []
