"""The index of attributes, and the search in it, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from taurus_widgets.scidog.data.tango_names import MAX_HITS, AttributeIndex, Hit, Names, matching

NAMES = Names(
    ("b311a-e/dia/lakeshore-01", "b311a-o/opt/mono-01", "motor/ctrl/1"),
    frozenset({"b311a-e/dia/lakeshore-01", "b311a-o/opt/mono-01", "motor/ctrl/1"}),
    {"mot01": "motor/ctrl/1"},
)


@pytest.fixture
def index(tmp_path: Path) -> AttributeIndex:
    found = AttributeIndex("", tmp_path / "index.json")
    found.know(NAMES)
    found.put("b311a-e/dia/lakeshore-01", ["T1", "T2", "Heater1"])
    found.put("b311a-o/opt/mono-01", ["Energy", "CrystalTemperature"])
    found.put("motor/ctrl/1", ["Position", "State"])
    return found


def found(index: AttributeIndex, text: str) -> list[str]:
    return [hit.attribute for hit in index.search(text, NAMES).attributes]


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("lakeshore t*", ["T1", "T2"]),
        ("LAKE heat", ["Heater1"]),
        ("temperature", ["CrystalTemperature"]),
        ("t1", ["T1"]),
        ("*temperature", ["CrystalTemperature"]),
        ("temper*", []),
        ("b311a-o/*/energy", ["Energy"]),
        ("mot01", ["Position", "State"]),
        ("mot01/position", ["Position"]),
        ("mot*/pos*", ["Position"]),
        ("*ea*r1", ["Heater1"]),
        ("t*1", ["T1"]),
        ("*r*t*u*", ["CrystalTemperature"]),
        ("b*-o/*/e*", ["Energy"]),
        ("p*", ["Position"]),
        ("* t2", ["T2"]),
        ("(", []),
    ],
)
def test_search(index: AttributeIndex, text: str, attributes: Sequence[str]) -> None:
    assert found(index, text) == list(attributes)


def test_a_device_is_found_that_has_not_said_its_attributes(tmp_path: Path) -> None:
    empty = AttributeIndex("", tmp_path / "index.json")
    empty.know(NAMES)
    result = empty.search("mono", NAMES)
    assert result.attributes == ()
    assert result.devices == ("b311a-o/opt/mono-01",)
    assert empty.search("mot01", NAMES).devices == ("motor/ctrl/1",)


def test_many_are_counted_and_some_are_listed(index: AttributeIndex) -> None:
    index.put("b311a-e/dia/many", [f"Channel{number}" for number in range(MAX_HITS + 50)])
    result = index.search("channel", NAMES)
    assert len(result.attributes) == MAX_HITS
    assert result.total == MAX_HITS + 50
    assert result.attributes[0] == Hit("b311a-e/dia/many", "Channel0")


@pytest.mark.parametrize("content", ["", "[1]", '{"a/b/c": [1]}', '{"a/b/c": 5}', "null"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: str) -> None:
    file = tmp_path / "index.json"
    file.write_text(content, "utf-8")
    index = AttributeIndex("", file)
    index.fill(Names())
    assert index.count == 0
    assert "written anew" in index.trouble
    assert found(index, "t1") == []


def test_matching() -> None:
    assert matching(["r3/dia/DCCT-01", "r3/dia/bpm-01"], "*/*/dcct*") == ["r3/dia/DCCT-01"]


def test_the_file_is_read_by_the_first_search_or_fill_and_not_before(tmp_path: Path) -> None:
    """It may have megabytes, and the window makes the index."""
    file = tmp_path / "index.json"
    index = AttributeIndex("", file)
    file.write_text('{"motor/ctrl/1": [0, ["Position"]]}', "utf-8")
    index.put("b311a-o/opt/mono-01", ["Energy"])
    assert found(index, "position") == ["Position"]
    assert found(index, "energy") == ["Energy"]
