"""A value has the unit and the label that were valid when it was read, whoever changes them and when."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest
import tango

from deploy.demo.processes import Process
from deploy.demo.stack import Stack
from scifish.attributes import reader as attribute_reader
from scifish.attributes.reader import ConfigSource, Reader, Reading, add_end_values, as_metadata
from scifish.attributes.snapshot import read_snapshot
from scifish.attributes.statistics import Statistics
from scifish.message import Message
from scifish.settings import Settings
from scifish.settings.entries import Entry
from tests.servers.tango_system import control_system
from tests.waiting import PATIENCE, eventually

DEVICE = "test/versions/1"
COMMAND = [sys.executable, "-m", "tests.servers.attribute_kinds"]
SERVER = "Kinds/versions"


class Versions:
    """A device server whose version decides the unit of its `Position` and the labels of its `Material`."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.position, self.material = (f"{stack.name(DEVICE)}/{name}" for name in ("Position", "Material"))
        self.server: Process = stack.start_server(SERVER, {DEVICE: ("Versions", {"Unit": ["mm"]})}, COMMAND)

    def start(self, unit: str, labels: Sequence[str]) -> None:
        """Another version, in place of the one that runs. Nothing is left in the database of what was edited."""
        self.server.kill()
        for name in ("Position", "Material"):
            self.stack.db.delete_device_attribute_property(DEVICE, {name: ["unit", "enum_labels"]})
        self.stack.db.put_device_property(DEVICE, {"Unit": [unit], "Labels": list(labels)})
        self.server = self.stack.run_server(SERVER, [DEVICE], COMMAND)

    def edit(self, unit: str = "", labels: Sequence[str] = ()) -> None:
        """As jive does it, at run time."""
        proxy = tango.DeviceProxy(self.stack.name(DEVICE))
        info = proxy.get_attribute_config("Position" if unit else "Material")
        if unit:
            info.unit = unit
        else:
            info.enum_labels = list(labels)
        proxy.set_attribute_config(info)

    def unit(self) -> str:
        """What the device itself says now; "" while it does not answer."""
        try:
            return str(tango.DeviceProxy(self.stack.name(DEVICE)).get_attribute_config("Position").unit)
        except tango.DevFailed:
            return ""

    def calls(self, work: Callable[[], object]) -> list[str]:
        """What the device is asked meanwhile, by its black box, which has the newest first."""
        proxy = tango.DeviceProxy(self.stack.name(DEVICE))
        proxy.ping()
        work()
        newest = itertools.takewhile(lambda line: "ping" not in line, proxy.black_box(50))
        return [name for line in newest for name in ("read_attributes", "get_attribute_config") if name in line]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Versions]:
    with control_system(tmp_path_factory.mktemp("versions")) as stack:
        yield Versions(stack)


@pytest.fixture(autouse=True)
def first_version(versions: Versions) -> None:
    versions.start("mm", ["Cu", "Ni"])


@pytest.fixture(params=ConfigSource, ids=lambda source: source.name)
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    found = Reader(config_source=request.param)
    yield found
    found.close()


@pytest.fixture
def by_events(versions: Versions) -> Iterator[Reader]:
    found = Reader(config_source=ConfigSource.EVENTS)
    follow(found, versions)
    yield found
    found.close()


def follow(reader: Reader, versions: Versions) -> None:
    """Read until the configurations come by events."""

    def followed() -> bool:
        look(reader, versions)
        device = next(iter(reader._devices.values()))
        return device.follows(["position", "material"])

    assert eventually(followed)


def look(reader: Reader, versions: Versions) -> tuple[str, object]:
    """The unit and the label, as a dataset has them."""
    settings = Settings(beamline="b", configs={"c": config(versions)}, active_config="c", snapshot_timeout=PATIENCE)
    values = read_snapshot(reader, settings).values
    assert not [leaf["error"] for leaf in values.values() if "error" in leaf]
    return values["Position"]["unit"], values["Material"]["value"]


def config(versions: Versions) -> tuple[str, ...]:
    return (
        f"- {{name: Position, source: {versions.position}, record: [start, end, statistics]}}",
        f"- {{name: Material, source: {versions.material}}}",
    )


@pytest.mark.parametrize("reader", [ConfigSource.READ, ConfigSource.EVENTS], indirect=True)
def test_a_unit_and_labels_that_are_edited_at_run_time(versions: Versions, reader: Reader) -> None:
    assert look(reader, versions) == ("mm", "Ni")
    versions.edit(unit="um")
    assert look(reader, versions) == ("um", "Ni")
    versions.edit(labels=["Au", "Al"])
    assert look(reader, versions) == ("um", "Al")


def test_a_change_just_before_the_read_when_events_report_it(
    versions: Versions, by_events: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribute_reader, "CONFIG_EVENT_SECONDS", 2.0)  # as long as an event takes on a busy machine
    for number in range(5):
        versions.edit(unit=f"u{number}")
        assert look(by_events, versions)[0] == f"u{number}"


@pytest.mark.parametrize("reader", [ConfigSource.READ, ConfigSource.EVENTS], indirect=True)
def test_a_server_that_is_started_with_another_version(versions: Versions, reader: Reader) -> None:
    assert look(reader, versions) == ("mm", "Ni")
    versions.start("um", ["Au", "Al"])
    assert look(reader, versions) == ("um", "Al")


def test_a_server_of_another_version_while_events_report_changes(versions: Versions, by_events: Reader) -> None:
    versions.start("um", ["Au", "Al"])
    assert look(by_events, versions) == ("um", "Al")
    versions.edit(unit="nm")
    assert look(by_events, versions) == ("nm", "Al")
    follow(by_events, versions)
    versions.edit(unit="pm")
    assert look(by_events, versions) == ("pm", "Al")


@pytest.mark.parametrize("command", ["DevRestart", pytest.param("RestartServer", marks=pytest.mark.long)])
def test_a_device_that_is_made_again_in_its_server(versions: Versions, by_events: Reader, command: str) -> None:
    versions.stack.db.put_device_attribute_property(DEVICE, {"Position": {"unit": ["um"]}})
    admin = tango.DeviceProxy(versions.stack.name(f"dserver/{SERVER.lower()}"))
    admin.command_inout(command, *([DEVICE] if command == "DevRestart" else []))

    def made_again() -> bool:  # RestartServer answers before it is done
        before = versions.unit()
        found = by_events.read_settled([versions.position], PATIENCE)[versions.position]
        assert found.error or found.unit in (before, versions.unit())
        return found.unit == "um"

    assert eventually(made_again)


def test_an_attribute_that_is_removed_and_added_with_another_unit(
    versions: Versions, by_events: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribute_reader, "CONFIG_CHECK_SECONDS", 0.0)  # there is no event: it is seen so late
    tango.DeviceProxy(versions.stack.name(DEVICE)).Rebuild("um")
    assert versions.unit() == "um"
    assert look(by_events, versions)[0] == "um"
    follow(by_events, versions)
    versions.edit(unit="pm")
    assert look(by_events, versions)[0] == "pm"


def test_a_snapshot_costs_one_call_for_each_device_when_events_report_changes(
    versions: Versions, by_events: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [versions.position, versions.material]
    monkeypatch.setattr(attribute_reader, "CONFIG_CHECK_SECONDS", PATIENCE)
    assert versions.calls(lambda: by_events.read(sources, PATIENCE)) == ["read_attributes"]
    with closing(Reader()) as reader:
        reader.read(sources, PATIENCE)
        asked = versions.calls(lambda: reader.read(sources, PATIENCE))
    assert asked == ["get_attribute_config", "read_attributes"]


def test_a_value_at_the_end_in_another_unit_is_not_one_in_the_first_unit() -> None:
    entry = Entry("x", "a/b/c/d", record=("start", "end"))
    metadata: Message = as_metadata([entry], {entry.source: Reading(1.0, 5.0, "mm")}, 64)
    add_end_values(metadata, [entry], {entry.source: Reading(2000.0, 6.0, "um")}, 64)
    assert (metadata["x"]["value"], metadata["x"]["unit"], metadata["x"]["end"]) == (1.0, "mm", None)
    assert "2000.0 um" in metadata["x"]["error"]


def test_statistics_are_not_of_two_units(versions: Versions, by_events: Reader) -> None:
    statistics = Statistics(by_events)
    entry = Entry("x", versions.position, record=("statistics",))
    try:
        statistics.watch("a", [entry])
        assert eventually(lambda: statistics._watched["a"][0].samples.summary()["samples"])
        versions.edit(unit="um")
        found = statistics.finish("a", PATIENCE)[entry.source]
    finally:
        statistics.close()
    assert found == {"samples": 0, "error": "no statistics: its unit changed from mm to um during the dataset"}
