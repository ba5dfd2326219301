"""Every kind of Tango attribute, read from a real device."""

from __future__ import annotations

import base64
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tango

from deploy.demo.processes import Process
from deploy.demo.stack import Stack
from scifish.attributes.reader import Reader, Reading, add_end_values, as_metadata, pictures
from scifish.attributes.statistics import add_statistics
from scifish.message import Message, check, iso
from scifish.message.types import MAX_RECORDED_PICTURE_BYTES
from scifish.settings.entries import Entry
from tests.builders.messages import message
from tests.servers.attribute_kinds import PLAIN, SCALARS
from tests.servers.stopped import stopped
from tests.servers.tango_system import control_system
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first

DEVICE = "test/kinds/1"
COMMAND = [sys.executable, "-m", "tests.servers.attribute_kinds"]

ALIASES = """
import json, sys
from scifish.attributes.reader import Reader, as_metadata
from scifish.settings.entries import Entry
sources = sys.argv[1:]
reader = Reader()
readings = reader.read(sources, 60)
print(json.dumps(as_metadata([Entry(source, source) for source in sources], readings, 64)))
reader.close()
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("snapshot")) as found:
        found.start_server("Kinds/test", {DEVICE: ("Kinds", {})}, COMMAND)
        yield found


@pytest.fixture
def reader() -> Iterator[Reader]:
    found = Reader()
    yield found
    found.close()


def leaf(stack: Stack, reader: Reader, name: str, entry: Entry | None = None) -> Message:
    entry = replace(entry or Entry("x", ""), source=f"{stack.name(DEVICE)}/{name}")
    readings = reader.read([entry.source], PATIENCE)
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
        ("Encoded", {"value": "raw, 8 bytes"}),
        ("BrokenJson", {"value": "json, 6 bytes"}),
        ("DeepJson", {"value": "json, 50000 bytes"}),
        ("LargeJson", {"value": "json, 11794 bytes; at most 1000 values are recorded one by one"}),
        ("Short", {"value": [1.0, "NaN"]}),
        ("Empty", {"value": []}),
        ("Texts", {"value": ["a", ""]}),
        ("Mask", {"value": [[True, False], [False, True]]}),
        ("Picture", {"value": None, "shape": [100, 100], "min": 0, "max": 9999, "mean": 4999.5}),
        ("NoText", {"value": ""}),
        ("Utf8", {"value": "R\u00f6ntgen 25 \u00b0C \u03bb"}),
        ("Utf8Texts", {"value": ["R\u00f6ntgen", "Malm\u00f6"]}),
        ("Status", {"value": "Kammer 3 k\u00fchlt auf 4 \u00b0C"}),
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
        ("Utf8Error", "25 \u00b0C is too hot for the \u03bb plate"),
    ],
)
def test_what_has_no_value_says_why(stack: Stack, reader: Reader, name: str, says: str) -> None:
    found = leaf(stack, reader, name)
    assert found["value"] is None
    assert says in found["error"]


def test_json_is_a_group_of_values(stack: Stack, reader: Reader) -> None:
    found = leaf(stack, reader, "Json")
    source = f"{stack.name(DEVICE)}/Json"
    assert {name: (value["value"], value["unit"]) for name, value in found.items() if name != "none"} == {
        "gain": (2.5, "dB"),
        "label": ("R\u00f6ntgen", ""),
        "list": ([1, 2], ""),
    }
    assert {value["source"] for name, value in found.items() if name != "none"} == {source}
    check(message(scientificMetadata={"x": found}))


def test_json_at_the_end_is_a_group_of_its_own(stack: Stack, reader: Reader) -> None:
    source = f"{stack.name(DEVICE)}/Json"
    entry = Entry("x", source, record=("start", "end", "statistics"))
    readings = reader.read([source], PATIENCE)
    metadata = as_metadata([entry], readings, 64)
    add_end_values(metadata, [entry], readings, 64)
    add_statistics(metadata, [entry], {source: {"samples": 0, "error": "no statistics"}})
    assert metadata["x (end)"] == metadata["x"]


@pytest.mark.parametrize(("name", "kind"), [("SmallPng", "png"), ("LargeJpeg", "jpeg")])
def test_a_picture_is_a_picture_of_bounded_size(stack: Stack, reader: Reader, name: str, kind: str) -> None:
    entry = Entry("x", f"{stack.name(DEVICE)}/{name}", group="Cameras")
    readings = reader.read([entry.source], PATIENCE)
    assert as_metadata([entry], readings, 64)["Cameras"]["x"]["value"].endswith(" bytes")
    (image,) = pictures([entry], readings)
    assert image["caption"] == "Cameras: x"
    begin, _, data = image["uri"].partition(",")
    assert begin == f"data:image/{kind};base64"
    assert len(base64.b64decode(data)) <= MAX_RECORDED_PICTURE_BYTES


def test_a_picture_that_cannot_be_made_smaller_is_described(stack: Stack, reader: Reader) -> None:
    entry = Entry("x", f"{stack.name(DEVICE)}/CutJpeg")
    readings = reader.read([entry.source], PATIENCE)
    assert pictures([entry], readings) == []
    assert as_metadata([entry], readings, 64)["x"]["value"] == "jpeg, 70000 bytes"


def test_aliases_as_sources_and_the_full_name_in_the_dataset(stack: Stack) -> None:
    stack.db.put_device_alias(DEVICE, "kinds")
    stack.db.put_attribute_alias(f"{DEVICE}/Infinite", "endless")
    sources = ["kinds/Enum", f"tango://{stack.tango_host}/Kinds/Enum", "endless", "Endless2"]
    # Tango keeps to the first TANGO_HOST that a process has used without a host's name: this one may have had others.
    program = [sys.executable, "-c", ALIASES, *sources]
    done = subprocess.run(program, env=stack.env, capture_output=True, text=True, check=True, timeout=PATIENCE)
    found = json.loads(done.stdout)
    assert [found[source]["value"] for source in sources] == ["GREEN", "GREEN", "-Infinity", None]
    assert [found[source]["source"] for source in sources] == [
        f"{DEVICE}/Enum",
        f"tango://{stack.tango_host}/{DEVICE}/Enum",
        f"{DEVICE}/Infinite",
        "Endless2",
    ]
    assert found["endless"]["unit"] == "mm"
    assert "endless2" in found["Endless2"]["error"].lower()


def test_a_missing_attribute_costs_only_itself(stack: Stack, reader: Reader) -> None:
    missing, there = f"{stack.name(DEVICE)}/Missing", f"{stack.name(DEVICE)}/Enum"
    readings = reader.read([missing, there], PATIENCE)
    assert readings[missing].error
    assert readings[there].value == "GREEN"


def test_names_without_regard_to_case(stack: Stack, reader: Reader) -> None:
    device = stack.name(DEVICE)
    sources = [f"{device}/Enum", f"{device}/ENUM", f"{stack.name(DEVICE.upper())}/eNum"]
    readings = reader.read(sources, PATIENCE)
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


def test_a_forwarded_attribute(stack: Stack, reader: Reader) -> None:
    forwarding = "test/forwards/1"
    root = {"Forwarded": {"__root_att": [f"{stack.name(DEVICE)}/Forwardable"]}}
    stack.db.put_device_attribute_property(forwarding, root)
    stack.start_server("Kinds/forwards", {forwarding: ("Forwards", {})}, COMMAND)
    source = f"{stack.name(forwarding)}/Forwarded"
    assert eventually(
        lambda: not reader.read([source], PATIENCE)[source].error
    )  # it looks for its root in the background
    reading = reader.read([source], PATIENCE)[source]
    assert (reading.value, reading.unit) == (5.0, "\u00b5m")


def test_attributes_of_two_tango_systems(stack: Stack, reader: Reader, tmp_path: Path) -> None:
    with control_system(tmp_path) as other:
        properties = {"Delay": ["0"]}
        other.start_server("Kinds/other", {DEVICE: ("Plain", properties)}, COMMAND)
        here, there = f"{stack.name(DEVICE)}/Infinite", f"{other.name(DEVICE)}/Value0"
        assert stack.tango_host != other.tango_host
        readings = reader.read([here, there], PATIENCE)
    assert [reading.value for reading in readings.values()] == [float("-inf"), 1.5]


def test_a_device_that_was_dead_is_read_when_it_is_back(stack: Stack, reader: Reader) -> None:
    device = "test/kinds/back"
    source = f"{stack.name(device)}/Enum"
    server = stack.start_server("Kinds/back", {device: ("Kinds", {})}, COMMAND)
    assert reader.read([source], PATIENCE)[source].value == "GREEN"
    server.kill()
    assert "is its server running?" in reader.read([source], PATIENCE)[source].error
    stack.run_server("Kinds/back", [device], COMMAND)
    # Tango itself tries a lost connection once a second.
    assert eventually(lambda: reader.read([source], PATIENCE)[source].value == "GREEN")


def test_a_device_that_is_not_there_and_one_that_comes_later(stack: Stack, reader: Reader) -> None:
    source = f"{stack.name('test/kinds/2')}/Enum"
    assert reader.read([source], PATIENCE)[source].error
    stack.start_server("Kinds/late", {"test/kinds/2": ("Kinds", {})}, COMMAND)
    assert reader.read([source], PATIENCE)[source].value == "GREEN"


def start_plain(stack: Stack, instance: str, count: int) -> tuple[Process, list[str]]:
    """A server of `count` devices, and the full names of all their attributes."""
    devices = [f"test/{instance}/{number}" for number in range(count)]
    server = stack.start_server(f"Kinds/{instance}", {device: ("Plain", {}) for device in devices}, COMMAND)
    return server, [f"{stack.name(device)}/{attribute}" for device in devices for attribute in PLAIN]


@pytest.mark.long
def test_2000_attributes_on_200_devices(stack: Stack, reader: Reader) -> None:
    _, sources = start_plain(stack, "many", 200)
    assert len(sources) == 2000
    for _ in range(2):  # the first time connects, and asks for units
        readings = reader.read(sources, PATIENCE)
        assert not [reading.error for reading in readings.values() if reading.error]
        assert len(readings) == 2000
    box = tango.DeviceProxy(stack.name("test/many/199")).black_box(50)
    assert len([line for line in box if "read_attributes" in line]) == 2


def ask(reader: Reader, sources: Sequence[str], timeout: float) -> list[Reading]:
    """Ask for attributes of different devices, and wait for none: the answers come into the list that is returned."""
    answers: list[Reading] = []
    for source in sources:
        device, _, attribute = source.rpartition("/")
        reader.ask(device.lower(), [attribute], timeout, answers.extend)
    return answers


def test_70_devices_that_hang_hold_up_no_other(stack: Stack, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scifish.attributes.reader.HANGING_DEVICE_RETRY_SECONDS", PATIENCE)
    hanging, hung_sources = start_plain(stack, "hanging", 70)
    _, sources = start_plain(stack, "healthy", 70)
    of_hung, of_healthy = ([one for one in some if one.endswith(f"/{PLAIN[0]}")] for some in (hung_sources, sources))
    connected = ask(reader, of_hung, 3600.0)
    assert eventually(lambda: len(connected) == 70)
    with stopped(hanging.pid):
        hung = ask(reader, of_hung, 3600.0)
        answers = ask(reader, of_healthy, PATIENCE)
        assert eventually(lambda: len(answers) == 70)
        assert hung == []
        assert not [answer.error for answer in answers if answer.error]
    assert eventually(lambda: len(hung) == 70)
    other = Reader()
    with stopped(hanging.pid):
        # To connect to what hangs takes 3 s, whatever the time-out, and what comes then as long again.
        hung = ask(other, of_hung, 4.0)
        assert eventually(lambda: len(hung) == 70)
        # Now they are known to hang, and not waited for.
        readings = other.read([*hung_sources, *sources], 3600.0)
        assert all(readings[source].error for source in hung_sources)
        assert not [readings[source].error for source in sources if readings[source].error]
    for device in other._devices.values():
        device.hangs_until = 0.0  # as if AGAIN were over
    assert eventually(lambda: not other.read(hung_sources, PATIENCE)[hung_sources[0]].error)
    other.close()


def test_the_interpreter_goes_on_while_devices_hang(stack: Stack, reader: Reader) -> None:
    hanging, hung_sources = start_plain(stack, "stalling", 5)
    with stopped(hanging.pid):
        last, longest = time.monotonic(), 0.0
        begin = last
        while last - begin < 8.0:  # to connect takes 3 s, and what comes then as long again
            if last - begin < 1.0:
                reader.read(hung_sources, 0.2)
            else:
                time.sleep(0.01)
            now = time.monotonic()
            last, longest = now, max(longest, now - last)
    assert longest < 2.5  # a call that keeps the interpreter's lock leaves a hole of 3 s, Tango's time to connect


def test_devices_that_cannot_be_connected_hold_up_no_other(stack: Stack, reader: Reader) -> None:
    known = f"{stack.name(DEVICE)}/Enum"
    assert reader.read([known], PATIENCE)[known].value == "GREEN"
    unknown = [f"{stack.name(f'test/unknown/{number}')}/Enum" for number in range(71)]
    database = next(process for process in stack.processes.running if process.name == "tango-database")
    with stopped(database.pid):
        ask(reader, unknown[:70], 3600.0)
        answers = ask(reader, [known], PATIENCE)
        assert eventually(lambda: len(answers) == 1)
        assert answers[0].value == "GREEN"
        reading = reader.read(unknown[70:], 0.5)[unknown[70]]
        assert "no answer within 0.5 s" in reading.error


def test_values_at_the_end_stand_beside_those_at_the_start() -> None:
    entry = Entry("x", "a/b/c/d", group="g", record=("start", "end"))
    metadata = as_metadata([entry], {entry.source: Reading(1.0, 5.0, "mm")}, 64)
    add_end_values(metadata, [entry], {entry.source: Reading(2.0, 6.0, "mm")}, 64)
    assert (metadata["g"]["x"]["value"], metadata["g"]["x"]["end"]) == (1.0, 2.0)
    add_end_values(metadata, [entry], {entry.source: Reading(None, 7.0, error="gone")}, 64)
    assert metadata["g"]["x"]["end"] is None
    assert metadata["g"]["x"]["error"] == "at the end: gone"
    assert not math.isnan(metadata["g"]["x"]["value"])
