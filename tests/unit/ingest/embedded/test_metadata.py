"""How the embedded catalogue keeps and merges metadata: what the contract can't ask a server for."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingest.embedded.metadata import encode_key, key_paths, merge_patch, merged, shown, stored

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
NO_SURROGATES = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(NO_SURROGATES, NO_SURROGATES, max_size=5))
def test_keys_survive_being_stored(metadata: dict) -> None:
    assume(not any(re.search("%[0-9A-Fa-f]{2}", key) for key in metadata))
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
