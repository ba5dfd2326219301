"""The check accepts what jsonschema accepts."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scifish.message import MessageError, check, schema
from tests.builders.messages import file, message
from tests.fuzz.messages import mutated

VALIDATOR = jsonschema.Draft202012Validator(schema())


def accepts(said: Any) -> bool:
    try:
        check(said)
    except MessageError:
        return False
    return True


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
    assert accepts(said) == VALIDATOR.is_valid(said)
    for place in places(said):
        for new in ([], *([each] for each in WRONG)):
            if place or new:
                wrong = changed(said, place, new)
                assert accepts(wrong) == VALIDATOR.is_valid(wrong), (place, new)


@settings(suppress_health_check=list(HealthCheck))
@given(mutated)
def test_messages_with_anything_in_them(data: bytes) -> None:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return
    assert accepts(said) == VALIDATOR.is_valid(said)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=5))
def test_invalid_messages(said: Any) -> None:
    assert not accepts(said)
