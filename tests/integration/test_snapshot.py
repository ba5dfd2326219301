"""Every kind of Tango attribute, read from a real device."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deploy.demo.stack import Stack
from scifish.config import Entry
from scifish.message import Message, iso
from scifish.snapshot import Reader, Reading, as_metadata
from tests.kinds import SCALARS
from tests.tango_system import control_system

DEVICE = "test/kinds/1"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("snapshot")) as found:
        found.start_server("Kinds/test", {DEVICE: ("Kinds", {})}, [sys.executable, "-m", "tests.kinds"])
        yield found


@pytest.fixture
def reader() -> Iterator[Reader]:
    found = Reader()
    yield found
    found.close()


def leaf(stack: Stack, reader: Reader, name: str, entry: Entry | None = None) -> Message:
    entry = replace(entry or Entry("x", ""), source=f"{stack.name(DEVICE)}/{name}")
    readings = reader.read([entry.source], 3.0)
    found: Message = as_metadata([entry], readings, 64)["x"]
    return found


@pytest.mark.parametrize(("kind", "value"), SCALARS.items())
def test_scalars(stack: Stack, reader: Reader, kind: str, value: Any) -> None:
    found = leaf(stack, reader, f"a{kind}")
    assert "error" not in found
    assert found["value"] == value
    assert type(found["value"]) is type(value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NotANumber", {"value": "NaN", "unit": ""}),
        ("Infinite", {"value": "-Infinity", "unit": "mm"}),
        ("Enum", {"value": "GREEN", "raw": 1}),
        ("EnumSpectrum", {"value": ["GREEN", "RED"]}),
        ("Gate", {"value": "OPEN"}),
        ("Gates", {"value": ["OPEN", "FAULT"]}),
        ("State", {"value": "MOVING"}),
        ("Encoded", {"value": "json, 8 bytes"}),
        ("Short", {"value": [1.0, "NaN"]}),
        ("Empty", {"value": []}),
        ("Texts", {"value": ["a", ""]}),
        ("Mask", {"value": [[True, False], [False, True]]}),
        ("NoText", {"value": ""}),
        ("Alarm", {"value": 2.0, "quality": "ALARM", "time": iso(1_700_000_000)}),
        ("Changing", {"value": 3.0, "quality": "CHANGING"}),
        ("Polled", {"value": 4.0}),
        ("WriteOnly", {"value": 0.0}),
    ],
)
def test_what_is_special(stack: Stack, reader: Reader, name: str, expected: Message) -> None:
    found = leaf(stack, reader, name)
    assert "error" not in found
    assert found | expected == found


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Invalid", "no value: its quality is INVALID"),
        ("Missing", "Missing"),
    ],
)
def test_what_has_no_value_says_why(stack: Stack, reader: Reader, name: str, says: str) -> None:
    found = leaf(stack, reader, name)
    assert found["value"] is None
    assert says in found["error"]


def test_a_missing_attribute_costs_only_itself(stack: Stack, reader: Reader) -> None:
    missing, there = f"{stack.name(DEVICE)}/Missing", f"{stack.name(DEVICE)}/Enum"
    readings = reader.read([missing, there], 3.0)
    assert readings[missing].error
    assert readings[there].value == "GREEN"


def test_names_without_regard_to_case(stack: Stack, reader: Reader) -> None:
    device = stack.name(DEVICE)
    sources = [f"{device}/Enum", f"{device}/ENUM", f"{stack.name(DEVICE.upper())}/eNum"]
    readings = reader.read(sources, 3.0)
    assert [readings[source].value for source in sources] == ["GREEN"] * 3


@pytest.mark.parametrize(
    ("name", "value_map", "shown", "raw"),
    [
        ("Enum", {"green": "go"}, "go", 1),
        ("Enum", {"1": "go"}, "go", 1),
        ("Gate", {"open": "beam"}, "beam", 1),
        ("Gate", {"3": "beam"}, "beam", 3),
        ("aDevBoolean", {"true": "in"}, "in", True),
        ("aDevShort", {"-3": "third"}, "third", -3),
        ("Alarm", {"2": "two"}, "two", 2.0),
        ("aDevString", {"malm\u00f6": "town"}, "town", "Malm\u00f6"),
    ],
)
def test_a_map_finds_numbers_labels_states_and_booleans(
    stack: Stack, reader: Reader, name: str, value_map: dict[str, Any], shown: str, raw: Any
) -> None:
    found = leaf(stack, reader, name, Entry("x", "", map=value_map))
    assert found["value"] == shown
    assert found["raw"] == (3 if name == "Gate" else raw)


def test_the_configurations_unit_goes_before_the_attributes_own(stack: Stack, reader: Reader) -> None:
    assert leaf(stack, reader, "Infinite", Entry("x", "", unit="um"))["unit"] == "um"


def test_a_device_that_is_not_there_and_one_that_comes_later(stack: Stack, reader: Reader) -> None:
    source = f"{stack.name('test/kinds/2')}/Enum"
    start = time.monotonic()
    assert reader.read([source], 3.0)[source].error
    assert time.monotonic() - start < 3.0
    stack.start_server("Kinds/late", {"test/kinds/2": ("Kinds", {})}, [sys.executable, "-m", "tests.kinds"])
    assert reader.read([source], 3.0)[source].value == "GREEN"


def test_values_at_the_end_stand_beside_those_at_the_start() -> None:
    from scifish.snapshot import add_end_values

    entry = Entry("x", "a/b/c/d", group="g", record=("start", "end"))
    metadata = as_metadata([entry], {entry.source: Reading(1.0, 5.0, "mm")}, 64)
    add_end_values(metadata, [entry], {entry.source: Reading(2.0, 6.0, "mm")}, 64)
    assert (metadata["g"]["x"]["value"], metadata["g"]["x"]["end"]) == (1.0, 2.0)
    add_end_values(metadata, [entry], {entry.source: Reading(None, 7.0, error="gone")}, 64)
    assert metadata["g"]["x"]["end"] is None
    assert metadata["g"]["x"]["error"] == "at the end: gone"
    assert not math.isnan(metadata["g"]["x"]["value"])
