"""What the fast check says is what jsonschema says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scifish.message import schema
from scifish.message.validator import compile_schema
from tests.fuzz.messages import mutated
from tests.messages import file, message

CONFORMS = compile_schema(schema())
VALIDATOR = jsonschema.Draft202012Validator(schema())

WRONG = (
    None,
    True,
    0,
    -1,
    0.5,
    3.5,
    1e300,
    10**400,
    "",
    "x",
    "x" * 65,
    "2026-11-22T10:00:00Z\n",
    [],
    [1],
    {},
    {"a": 1},
)
"""Each of these is wrong somewhere, and right elsewhere."""


def places(part: Any, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return [above] + [place for key, each in inner for place in places(each, (*above, key))]


def changed(part: Any, place: tuple[str | int, ...], new: list[Any]) -> Any:
    """With the first of `new` in this place; without it if there is none."""
    if not place:
        return new[0]
    copy = part.copy()
    if len(place) > 1 or new:
        copy[place[0]] = changed(part[place[0]], place[1:], new)
    else:
        del copy[place[0]]
    return copy


MESSAGES = [
    message("ended", warnings=["cut"], part={"number": 1, "of": 2}, files=[file("/a") | {"error": "gone"}]),
    message("annotation", annotation={"comment": "a", "rating": 1.5, "image": {"caption": "", "uri": "data:x"}}),
    message("annotation", annotation={"image": {"caption": "", "uri": "data:image/png;base64,"}}),
]


@pytest.mark.parametrize("said", MESSAGES, ids=lambda said: said["type"])
def test_each_field_in_turn(said: Any) -> None:
    assert CONFORMS(said) == VALIDATOR.is_valid(said)
    for place in places(said):
        for new in ([], *([each] for each in WRONG)):
            if place or new:
                wrong = changed(said, place, new)
                assert CONFORMS(wrong) == VALIDATOR.is_valid(wrong), (place, new)


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(mutated)
def test_messages_with_anything_in_them(data: bytes) -> None:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return
    assert CONFORMS(said) == VALIDATOR.is_valid(said)


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=5))
def test_what_is_no_message(said: Any) -> None:
    assert not CONFORMS(said)


@pytest.mark.parametrize(
    "unknown", [{"format": "date"}, {"const": 1}, {"enum": [1]}, {"properties": {"a": {"oneOf": []}}}]
)
def test_a_part_of_a_schema_that_is_not_known_is_not_passed_over(unknown: Any) -> None:
    with pytest.raises(ValueError, match=r"validator\.py does not support"):
        compile_schema(unknown)
