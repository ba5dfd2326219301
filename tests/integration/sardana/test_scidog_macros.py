"""The macros on SciDog, on a real Sardana."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
import tango

from deploy.demo.beamline import CONFIGURATIONS, DEAD_DEVICE, FAILING_ATTRIBUTE
from deploy.demo.door import Door, MacroFailed
from deploy.demo.stack import DOOR, MACROSERVER, SCIDOG, Stack
from tests.servers.tango_system import FACILITY, control_system
from tests.waiting import eventually

Spock = Callable[..., str]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("macros"), FACILITY) as system:
        system.start_beamline()
        system.start_pathfixer()
        system.start_scidog("127.0.0.1:9092")
        system.start_sardana()
        yield system


@pytest.fixture(scope="module")
def spock(stack: Stack) -> Iterator[Spock]:
    """Runs a macro, and gives all that it said."""
    said: list[str] = []
    door = Door(stack.name(DOOR), lambda level, line: said.append(line))

    def run(*words: str) -> str:
        said.clear()
        door.run(*words)  # its words come before its end, in one row
        return "\n".join(said)

    assert eventually(lambda: run("lsdef"))  # events are lost while their connection is made
    yield run
    door.close()


@pytest.fixture
def scidog(stack: Stack) -> tango.DeviceProxy:
    return tango.DeviceProxy(stack.name(SCIDOG))


def test_before_a_measurement_what_cannot_be_read_is_seen(spock: Spock) -> None:
    said = spock("scidog_check")
    assert "33 of 35 attributes can be read" in said
    (failing,) = [line for line in said.splitlines() if FAILING_ATTRIBUTE in line]
    assert "calibration of the screen has not been loaded" in failing
    assert any(DEAD_DEVICE.name in line and "is its server running?" in line for line in said.splitlines())
    devices = [line.split() for line in said.splitlines() if line.strip().startswith("b311a-e/dia/lakeshore-01 ")]
    assert len(devices) == 1
    assert float(devices[0][1]) >= 0


def test_before_a_measurement_values_units_and_texts_are_seen(spock: Spock) -> None:
    rows = [line.split() for line in spock("scidog_check").splitlines()]
    (current,) = [row for row in rows if row[:3] == ["Machine", "Ring", "current"]]
    assert 0 < float(current[3]) < 1000
    assert current[4] == "mA"
    (mode,) = [row for row in rows if row[:2] == ["Machine", "Mode"]]
    assert mode[2] == "DELIVERY"
    assert ["Diagnostics", "Beam", "viewer", "extract", "(false)"] in rows
    (image,) = [row for row in rows if row[:3] == ["Diagnostics", "Beam", "image"]]
    assert image[3:7] == ["120", "x", "160", "values,"]


def test_a_configuration_that_is_not_active_and_its_mistakes(stack: Stack, spock: Spock) -> None:
    lines = [
        "- {name: Good, source: b311a-e/dia/lakeshore-01/T1}",
        "- {name: Typo, source: b311a-e/dia/lakeshore-01/T1x}",
        "- {name: Nowhere, source: b311a-e/dia/nowhere-01/T1}",
        "- {name: Unit, source: b311a-e/dia/lakeshore-01/T2, unit: furlong}",
        "- {name: Broken",
    ]
    stack.db.put_device_property(SCIDOG, {"Config.wrong": lines})
    said = spock("scidog_check", "WRONG")
    assert "2 of 4 attributes can be read" in said
    assert "has no T1x; did you mean T1?" in said
    assert "unknown device: the Tango database has no b311a-e/dia/nowhere-01" in said
    assert "SciCat cannot convert the unit 'furlong'" in said
    assert "wrong, line 5" in said
    with pytest.raises(MacroFailed, match="there is no configuration 'nothing'"):
        spock("scidog_check", "nothing")


def test_what_is_recorded_is_shown_where_the_active_configuration_cannot_be_read(stack: Stack, spock: Spock) -> None:
    (count,) = re.findall(r"spectroscopy is active: (\d+) attributes", spock("scidog_use", "spectroscopy"))
    stack.db.put_device_property(SCIDOG, {"Config.spectroscopy": ["- {name: Broken", "- {name"]})
    try:
        said = spock("scidog_show")
        assert f"{count} attributes" in said
        assert "spectroscopy: no line of it can be read; the last good one is in use" in said
        assert "spectroscopy, line 2: not YAML" in said
        said = spock("scidog_list")
        assert ["->", "spectroscopy", "10", "active", "2"] in [line.split() for line in said.splitlines()]
        assert "the last good one is in use" in said
        assert "0 attributes" in spock("scidog_show", "spectroscopy").splitlines()
        said = spock("scidog_use", "spectroscopy")
        assert f"spectroscopy is active: {count} attributes are recorded" in said
        assert "the last good one is in use" in said
        stack.db.put_device_property(SCIDOG, {"Config.never": ["- {name: Broken"]})
        said = spock("scidog_use", "never")
        assert f"spectroscopy is active: {count} attributes are recorded" in said
        assert "ActiveConfig: no line of never can be read; the previous value (spectroscopy) is in use" in said
    finally:
        stack.db.delete_device_property(SCIDOG, {"Config.never": []})
        stack.db.put_device_property(SCIDOG, {"Config.spectroscopy": CONFIGURATIONS["spectroscopy"]})
        spock("scidog_use", "saxs")


def test_what_differs_between_two_configurations(stack: Stack, spock: Spock) -> None:
    lines = ["- {name: T, source: b311a-e/dia/lakeshore-01/T1}", "- {name: U, source: b311a-e/dia/lakeshore-01/T2}"]
    other = ["- {name: T, source: b311a-e/dia/lakeshore-01/T1, unit: mK, map: {4: λ}}"]
    stack.db.put_device_property(SCIDOG, {"Config.first": lines, "Config.second": other})
    said = spock("scidog_diff", "first", "SECOND")
    rows = [line.split() for line in said.splitlines()]
    assert ["What", "Group", "Name", "first", "second"] in rows
    assert ["unit", "T", "mK"] in rows
    assert ["removed", "U", "b311a-e/dia/lakeshore-01/T2"] in rows
    assert ["map", "T", "{'4':", "\\u03bb}"] in rows  # a Door's texts are Latin-1
    assert "3 differences" in said
    assert "0 differences" in spock("scidog_diff", "first", "first")
    with pytest.raises(MacroFailed, match="'third' is neither a configuration nor a revision of first"):
        spock("scidog_diff", "first", "third")


def test_what_has_been_changed_since(stack: Stack, spock: Spock, scidog: tango.DeviceProxy) -> None:
    def write(line: str) -> None:
        found = json.loads(scidog.GetConfig("mine"))
        scidog.SaveConfig(json.dumps({"name": "mine", "revision": found["revision"], "lines": [line], "who": "astlin"}))

    stack.db.put_device_property(SCIDOG, {"Config.mine": ["- {name: T, source: b311a-e/dia/lakeshore-01/T1}"]})
    begun = json.loads(scidog.History("mine"))[0]
    write("- {name: T, source: b311a-e/dia/lakeshore-01/T2}")
    write("- {name: T, source: b311a-e/dia/lakeshore-01/T2, unit: mK}")
    said = spock("scidog_diff", "mine")
    assert f"#{begun['number']}" in said
    assert "astlin (process" in said
    assert "1 differences" in said
    for earlier in (f"#{begun['number']}", begun["revision"]):
        said = spock("scidog_diff", "mine", earlier)
        assert "b311a-e/dia/lakeshore-01/T1" in said
        assert "2 differences" in said
    scidog.Restore(begun["number"])
    assert "0 differences" in spock("scidog_diff", "mine", f"#{begun['number']}")
    scidog.DeleteConfig(["mine"])
    scidog.Restore(begun["number"])
    assert "Before its last change there was no mine." in spock("scidog_diff", "mine")


def test_each_macro_explains_itself(stack: Stack) -> None:
    macroserver = tango.DeviceProxy(stack.name(MACROSERVER))
    found = [json.loads(text) for text in macroserver.GetMacroInfo(["scidog_check", "scidog_diff"])]
    for info in found:
        assert f"{info['name']} NAME" in info["description"]
        assert all(parameter["description"] for parameter in info["parameters"])


def test_the_pre_flight_works_without_the_server_and_what_needs_it_says_so(stack: Stack, spock: Spock) -> None:
    server = next(process for process in stack.processes.running if process.name == "scidog")
    server.stop()
    stack.processes.running.remove(server)
    try:
        assert "33 of 35 attributes can be read" in spock("scidog_check")
        assert "differences" in spock("scidog_diff", "saxs", "spectroscopy")
        with pytest.raises(MacroFailed, match=rf"SciDog \({SCIDOG}\): the device does not answer"):
            spock("scidog_diff", "saxs")
    finally:
        stack.run_server("SciDog/demo", [SCIDOG])
    assert eventually(lambda: "0 differences" in spock("scidog_diff", "saxs"))
