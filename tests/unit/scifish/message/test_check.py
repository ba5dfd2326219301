"""The check accepts what jsonschema accepts."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scifish.message import MessageError, check, schema
from tests.builders.messages import file, message
from tests.fuzz.messages import mutated
from tests.paths import ROOT

FORMATS = jsonschema.FormatChecker(())


@FORMATS.checks("date-time", raises=ValueError)
def is_date_time(text: Any) -> bool:
    return not isinstance(text, str) or bool(dt.datetime.fromisoformat(text))


VALIDATOR = jsonschema.Draft202012Validator(schema(), format_checker=FORMATS)


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
    "2026-02-30T10:00:00Z",
    "2026-11-22T24:00:00Z",
    "0000-11-22T10:00:00Z",
    "\u0662026-11-22T10:00:00Z",
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


@pytest.mark.parametrize(
    ("field", "good", "wrong"),
    [
        ("uuid", "8bd0c3a5-27c3-4e5a-9f0c-111111111111", ["8bd0c3a5-27c3-4e5a-9f0c-111111111111\n"]),
        ("beamline", "b311a", ["b311a\n", "\nb311a", "b311a\u2028"]),
        (
            "creationTime",
            "2024-02-29T23:59:59.123456789Z",
            [
                *("2024-02-29T23:59:59Z\n", "2023-02-29T10:00:00Z", "2026-04-31T10:00:00Z", "2026-13-01T10:00:00Z"),
                *("2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z", "2026-11-22T10:00:60Z", "0000-01-01T00:00:00Z"),
                *("2026-00-01T10:00:00Z", "2026-01-00T10:00:00Z", "\u0662026-11-22T10:00:00Z", "2026-11-22T10:00:00"),
            ],
        ),
    ],
)
def test_identities_and_times_are_such_from_end_to_end(field: str, good: str, wrong: list[str]) -> None:
    check(message(**{field: good}))
    for each in wrong:
        with pytest.raises(MessageError, match=f"^{field}: "):
            check(message(**{field: each}))


COSTS = """
import json, resource, time
from scifish.message import MAX_MESSAGE_BYTES, MessageError, check
from tests.builders.messages import file, message, value

def cost(said):
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        check(said)
        text = ""
    except MessageError as error:
        text = str(error)
    used = time.process_time() - began
    return text, used, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

good = {f"n{number}": value(number) for number in range(8000)}
wrong = {f"n{number}": {"value": 1} for number in range(38_000)}
check(message())
print(json.dumps([cost(said) for said in (
    message(scientificMetadata=good),
    message(scientificMetadata=wrong),
    message(scientificMetadata={"a": {"b": {"c": wrong}}}),
    message(scientificMetadata={**good, "z": {"value": 1}}),
    message(scientificMetadata=[[]] * 300_000),
    message("ended", files=[file("/a") | {"size": -1}] * 10_000),
    message(uuid="x" * MAX_MESSAGE_BYTES),
    message(scientificMetadata={"x" * MAX_MESSAGE_BYTES: {"value": 1}}),
)]))
"""


def test_a_wrong_message_costs_hardly_more_than_a_good_one_of_its_size() -> None:
    ended = subprocess.run([sys.executable, "-c", COSTS], capture_output=True, text=True, check=True, cwd=ROOT)
    (_, good, _), *wrong = json.loads(ended.stdout)
    for text, seconds, megabytes in wrong:
        assert text
        assert len(text) < 1000
        assert seconds < 20 * good + 0.05
        assert megabytes < 50
