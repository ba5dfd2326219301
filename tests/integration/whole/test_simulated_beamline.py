"""The beamline of the demo: eight devices, forty attributes, and two kinds of trouble."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tango

from deploy.demo import beamline
from deploy.demo.stack import Stack
from scifish.settings.entries import parse_entries
from tests.servers.tango_system import control_system

ALL_DEVICES = (*beamline.DEVICES, beamline.DEAD_DEVICE)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("beamline")) as system:
        system.start_beamline()
        yield system


def declared() -> dict[str, list[str]]:
    """Attributes of each device, by what its class declares."""
    return {device.name: list(device.device_class.TangoClassClass.attr_list) for device in ALL_DEVICES}


def test_it_has_eight_devices_and_forty_attributes() -> None:
    assert len(ALL_DEVICES) == 8
    assert sum(map(len, declared().values())) == 40


def test_the_running_devices_have_the_attributes_that_are_declared(stack: Stack) -> None:
    for device in beamline.DEVICES:
        found = set(tango.DeviceProxy(stack.name(device.name)).get_attribute_list()) - {"State", "Status"}
        assert found == set(declared()[device.name])


def test_the_configurations_have_no_mistake_and_cover_every_attribute() -> None:
    sources = set()
    for name, lines in beamline.CONFIGURATIONS.items():
        entries, problems = parse_entries(lines, name)
        assert problems == []
        sources |= {entry.source for entry in entries}
    states = {"b311a-o01/pss/bst-01/State", "b311a-o/vac/valve-01/State"}
    assert sources == {f"{device}/{name}" for device, names in declared().items() for name in names} | states


def test_every_attribute_but_one_can_be_read(stack: Stack) -> None:
    failing = []
    for device in beamline.DEVICES:
        proxy = tango.DeviceProxy(stack.name(device.name))
        for answer in proxy.read_attributes(list(proxy.get_attribute_list())):
            if answer.has_failed:
                failing.append((f"{device.name}/{answer.name}", answer.get_err_stack()[0].desc.strip()))
    assert [name for name, _ in failing] == [beamline.FAILING_ATTRIBUTE]
    assert "the calibration of the screen has not been loaded" in failing[0][1]


def test_the_dead_device_is_exported_and_does_not_answer(stack: Stack) -> None:
    name = beamline.DEAD_DEVICE.name
    assert stack.db.get_device_info(name).exported
    with pytest.raises(tango.DevFailed, match="Failed to connect"):
        tango.DeviceProxy(stack.name(name)).read_attribute("Current1")


def test_there_is_an_image_a_spectrum_an_enum_and_a_text(stack: Stack) -> None:
    viewer = tango.DeviceProxy(stack.name("b311a-e/dia/viewer-01"))
    assert viewer.read_attribute("Image").value.shape == beamline.IMAGE_SHAPE
    assert viewer.read_attribute("Image").value.max() > 1000
    ring = tango.DeviceProxy(stack.name("r3-319s2/dia/dcct-01"))
    pattern = ring.read_attribute("FillPattern").value
    assert pattern.shape == (beamline.BUNCHES,)
    assert pattern.sum() == pytest.approx(ring.read_attribute("InstantaneousCurrent").value, abs=1)
    assert list(ring.get_attribute_config("OperationMode").enum_labels) == ["SHUTDOWN", "INJECTION", "DELIVERY"]
    assert "Delivery" in ring.read_attribute("OperatorMessage").value


def test_shutters_move_and_what_is_written_is_read(stack: Stack) -> None:
    shutter = tango.DeviceProxy(stack.name("b311a-o01/pss/bst-01"))
    openings = shutter.read_attribute("Openings").value
    shutter.Close()
    assert shutter.state() == tango.DevState.CLOSE
    shutter.Open()
    assert shutter.state() == tango.DevState.OPEN
    assert shutter.read_attribute("Openings").value == openings + 1

    slits = tango.DeviceProxy(stack.name("b311a-o/opt/slits-01"))
    slits.write_attribute("VerticalGap", 1.25)
    assert slits.read_attribute("VerticalGap").value == pytest.approx(1.25, abs=0.01)

    mono = tango.DeviceProxy(stack.name("b311a-o/opt/mono-01"))
    mono.write_attribute("Energy", 8.0)
    assert mono.read_attribute("BraggAngle").value == pytest.approx(14.31, abs=0.01)
    mono.write_attribute("Crystal", int(beamline.Crystal.Si311))
    assert mono.read_attribute("BraggAngle").value == pytest.approx(28.24, abs=0.01)
