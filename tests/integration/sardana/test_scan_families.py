"""All of Sardana's scan families, and all the ways in which a scan ends, on a real Sardana."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import tango

from deploy.demo.door import MacroFailed
from deploy.demo.stack import DOOR, MACROSERVER
from deploy.demo.summary import expected_scans
from scifish.message import Message, leaves
from scifish.spool.database import SPOOL_SUFFIX
from scifish.spool.inspection import summarise
from scifish.tango_io.database import raw
from tests.integration.sardana.recording import System
from tests.servers.kafka import Kafka
from tests.servers.tango_system import control_system
from tests.waiting import eventually

pytestmark = pytest.mark.first


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka) -> Iterator[System]:
    with control_system(tmp_path_factory.mktemp("families")) as stack:
        found = System(stack, kafka)
        for words in (
            ("defctrl", "FailingMotorController", "failmotctrl"),
            ("defelem", "failmot", "failmotctrl", "1"),
            ("defctrl", "PeakCounterTimerController", "peakctrl"),
            ("defelem", "peak", "peakctrl", "1"),
            ("defmeas", "mntgrp_peak", "ct01", "peak"),
            ("defmeas", "mntgrp_alone", "peak"),
            ("defmeas", "mntgrp_image", "ct01", "oned01", "twod01"),
            ("set_meas_conf", "ValueRefEnabled", "True", "twod01", "mntgrp_image"),
            (
                "set_meas_conf",
                "ValueRefPattern",
                f"file://{stack.folder}/img_{{index:04d}}.tif",
                "twod01",
                "mntgrp_image",
            ),
        ):
            found.door.run(*words)
        _set_unit(found, "motor/motctrl01/1/Position", "mm")
        # In UTF-8, as jive writes them.
        _set_unit(found, "motor/motctrl01/2/Position", raw("µm"))
        _set_unit(found, "expchan/peakctrl/1/Value", raw("µA"))
        yield found
        found.close()


def _set_unit(system: System, attribute: str, unit: str) -> None:
    proxy = tango.AttributeProxy(system.stack.name(attribute))
    config = proxy.get_config()
    config.unit = unit
    proxy.set_config(config)


@pytest.fixture(autouse=True)
def mended(system: System, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    system.sardana.mend(request.node)


@pytest.fixture
def peak(system: System) -> Iterator[System]:
    system.door.run("senv", "ActiveMntGrp", "mntgrp_peak")
    yield system
    system.door.run("senv", "ActiveMntGrp", "mntgrp01")


@pytest.fixture
def image(system: System) -> Iterator[System]:
    system.door.run("senv", "ActiveMntGrp", "mntgrp_image")
    yield system
    system.door.run("senv", "ActiveMntGrp", "mntgrp01")


def results(message: Message) -> Message:
    found: Message = message["scientificMetadata"]["Scan results"]
    return found


def warnings(system: System) -> str:
    return "\n".join(line for level, line in system.said if level == "warning")


# ------------------------------------------------------------------ the families


@pytest.mark.parametrize(
    ("words", "points", "motors"),
    [
        (("ascan", "mot01", "0", "1", "3", "0.05"), 4, ["mot01"]),
        (("dscan", "mot01", "-1", "1", "3", "0.05"), 4, ["mot01"]),
        (("a2scan", "mot01", "0", "1", "mot02", "0", "1", "3", "0.05"), 4, ["mot01", "mot02"]),
        (("mesh", "mot01", "0", "1", "1", "mot02", "0", "1", "1", "0.05"), 4, ["mot01", "mot02"]),
        (("meshct", "mot01", "0", "1", "2", "mot02", "0", "1", "1", "0.1"), 6, ["mot01", "mot02"]),
        (("ascanct", "mot01", "0", "1", "3", "0.1"), 4, ["mot01"]),
        (("timescan", "4", "0.05"), 4, []),
        (("fscan", "x=arange(1,4)", "0.05", "mot01", "x", "mot02", "x**2"), 3, ["mot01", "mot02"]),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
def test_each_family_is_one_dataset_with_its_points_and_results(
    system: System, words: tuple[str, ...], points: int, motors: list[str]
) -> None:
    system.said.clear()
    ended = system.scan(*words)
    assert (ended["status"], ended["numberOfPoints"]) == ("completed", points)
    assert ended["datasetName"].startswith(words[0])
    assert ended["environment"]["motors"] == motors
    # One that is over within a quarter of a second has no `began`.
    assert [found["type"] for found in system.topic.of(ended["uuid"])] in (["began", "ended"], ["ended"])
    assert set(results(ended)) == {"ct01", "ct02", "ct03", "ct04"}
    counter = results(ended)["ct02"]
    assert 1 <= counter["points"]["value"] <= points  # a continuous scan may miss some
    assert counter["max"]["value"] == pytest.approx(counter["mean"]["value"])
    assert set(counter["position of max"]) == set(motors or ["time"])
    assert "SciFish" not in warnings(system)


def test_a_continuous_scan_without_an_end_position_in_points(system: System) -> None:
    """ascanc has as many points as it gets."""
    ended = system.scan("ascanc", "mot01", "0", "10", "0.05")
    assert ended["status"] == "completed"
    assert ended["environment"]["motors"] == ["mot01"]


def test_scans_inside_a_macro_are_datasets_of_their_own(system: System) -> None:
    system.door.run("scitest_two")
    scans = expected_scans(system.history(), system.stack.name(MACROSERVER))[-2:]
    ended = [system.topic.wait_for(lambda m, u=scan.uuid: m["uuid"] == u and m["type"] == "ended") for scan in scans]  # type: ignore[misc]
    assert [found["datasetName"] for found in ended] == ["ascan mot01 0.0 1.0 2 0.05", "ascan mot01 0.0 2.0 2 0.05"]
    assert [(found["status"], found["numberOfPoints"]) for found in ended] == [("completed", 3)] * 2


def test_a_scan_in_the_hook_of_another_leaves_that_one_alone(system: System) -> None:
    before = len(system.history())
    system.door.run("scitest_nested")
    scans = expected_scans(system.history()[before:], system.stack.name(MACROSERVER))
    ended = [system.topic.wait_for(lambda m, u=scan.uuid: m["uuid"] == u and m["type"] == "ended") for scan in scans]  # type: ignore[misc]
    found = [(each["datasetName"].split()[0], each["status"], each["numberOfPoints"]) for each in ended]
    assert found == [("timescan", "completed", 2), ("timescan", "completed", 2), ("ascan", "completed", 2)]


def test_a_scan_without_a_file(system: System) -> None:
    system.door.run("usenv", "ScanFile")
    try:
        ended = system.scan("ascan", "mot01", "0", "1", "1", "0.05")
    finally:
        system.door.run("senv", "ScanFile", "cosaxs.dat")
    assert (ended["status"], ended["files"], ended["dataFormat"]) == ("completed", [], "")
    assert ended["sourceFolder"].endswith("/raw/fibre_A")  # as PathFixer has it


# ------------------------------------------------------------------ how they end


@pytest.mark.parametrize(("how", "status"), [("stop", "stopped"), ("abort", "aborted")])
@pytest.mark.parametrize(
    "words",
    [("mesh", "mot01", "0", "9", "9", "mot02", "0", "9", "9", "0.1"), ("ascanct", "mot01", "0", "40", "200", "0.1")],
    ids=lambda words: str(words[0]),
)
def test_a_scan_that_the_user_ends(system: System, words: tuple[str, ...], how: str, status: str) -> None:
    system.door.start(*words)
    system.door.wait_for_point(1)
    getattr(system.door, how)()
    with suppress(MacroFailed):  # an abort stops the motors, too: what the scan says of them may come first
        system.door.wait()
    ended = system.last_message()
    assert ended["status"] == status
    assert ended["numberOfPoints"] >= 1
    assert results(ended)["ct01"]["points"]["value"] >= 1


@pytest.mark.parametrize(("how", "status"), [("stop", "stopped"), ("abort", "aborted")])
def test_a_scan_that_the_user_ends_while_it_begins(system: System, how: str, status: str) -> None:
    """Sardana calls no recorder's end, and the next macro runs when the dataset is ended."""
    spool = Path(system.stack.folder / "spool")
    words = ("ascan", "mot01", "0", "0.71" if how == "stop" else "0.72", "3", "0.05")
    system.door.run("senv", "DataRecorder", "['SciFishRecorder', 'EndlessStart']")
    try:
        system.door.start(*words)
        assert eventually(lambda: any(summarise(path).recording for path in spool.glob(f"*{SPOOL_SUFFIX}")))
        getattr(system.door, how)()
        with suppress(MacroFailed):
            system.door.wait()
    finally:
        system.door.run("senv", "DataRecorder", "['SciFishRecorder']")
    assert system.scan("ascan", "mot01", "0", "1", "1", "0.05")["status"] == "completed"
    ended = system.topic.wait_for(lambda m: m["type"] == "ended" and f" {words[3]} " in m["datasetName"])
    assert (ended["status"], ended["numberOfPoints"]) == (status, 0)


def test_a_scan_whose_motor_fails(system: System) -> None:
    with pytest.raises(MacroFailed):
        system.door.run("ascan", "failmot", "0", "1", "6", "0.05")
    ended = system.last_message()
    assert (ended["status"], ended["environment"]["motors"]) == ("failed", ["failmot"])
    assert 1 <= ended["numberOfPoints"] < 7


def test_a_macro_that_is_killed(system: System) -> None:
    """Neither its stop nor its abort comes to an end; ReleaseMacro raises in the macro's thread."""
    system.said.clear()
    system.door.start("scitest_stuck")
    system.door.wait_for_point(0)
    system.door.abort()
    assert eventually(lambda: any("on_abort hangs" in line for _, line in system.said))
    tango.DeviceProxy(system.stack.name(DOOR)).command_inout("ReleaseMacro")
    system.door.wait()
    ended = system.last_message()
    assert (ended["status"], ended["numberOfPoints"]) == ("aborted", 1)
    # and the Door goes on
    assert system.scan("ascan", "mot01", "0", "1", "1", "0.05")["status"] == "completed"


@pytest.mark.parametrize(
    "words", [("timescan", "2", "0.05"), ("ascanct", "mot01", "0", "1", "3", "0.1")], ids=lambda w: w[0]
)
def test_a_measurement_group_that_an_abort_has_spoilt_is_explained(system: System, words: tuple[str, ...]) -> None:
    """tests/servers/sardana.py says of what; here without the chance that it takes."""
    system.said.clear()
    system.door.run("scitest_spoil")
    try:
        with pytest.raises(MacroFailed):
            system.door.run(*words)
        assert system.last_message()["status"] == "failed"
        assert eventually(lambda: "SciFish: timescan and the continuous scans do not work any more" in warnings(system))
        assert "Restart the MacroServer. Until then step scans and other groups work" in warnings(system)
        assert system.scan("ascan", "mot01", "0", "1", "1", "0.05")["status"] == "completed"
        system.door.run("senv", "ActiveMntGrp", "mntgrp_peak")
        assert system.scan(*words)["status"] == "completed"
    finally:
        system.door.run("senv", "ActiveMntGrp", "mntgrp01")
        system.door.run("scitest_spoil", "False")
    system.sardana.forgive()
    system.said.clear()
    assert system.scan(*words)["status"] == "completed"
    assert "SciFish" not in warnings(system)


# ------------------------------------------------------ what is recorded of them


def test_the_results_have_units_and_the_position_of_the_maximum(peak: System) -> None:
    ended = peak.scan("ascan", "mot01", "0", "4", "4", "0.05")
    found = results(ended)["peak"]
    values = {name: (found[name]["value"], found[name]["unit"]) for name in ("min", "max", "mean", "points")}
    assert values == {"min": (10, "µA"), "max": (50, "µA"), "mean": (22, "µA"), "points": (5, "")}
    first, last, at = found["first"]["value"], found["last"]["value"], found["position of max"]["mot01"]
    assert {first, last} <= {10, 20, 50}
    assert (at["value"] in range(5), at["unit"]) == (True, "mm")


def test_the_position_of_the_maximum_of_a_mesh_has_all_motors(peak: System) -> None:
    ended = peak.scan("mesh", "mot01", "0", "2", "2", "mot02", "5", "6", "1", "0.05")
    at = results(ended)["peak"]["position of max"]
    assert (at["mot01"]["value"] in (0, 1, 2), at["mot01"]["unit"]) == (True, "mm")
    assert (at["mot02"]["value"] in (5, 6), at["mot02"]["unit"]) == (True, "µm")


def test_detector_files_are_listed_once_each(image: System) -> None:
    ended = image.scan("ascan", "mot01", "0", "1", "4", "0.05")
    paths = [file["path"] for file in ended["files"]]
    assert paths[0].endswith("/cosaxs.dat")
    assert paths[1:] == [f"{image.stack.folder}/img_{index:04d}.tif" for index in range(5)]
    assert all(file["error"] == "No such file or directory" for file in ended["files"][1:])
    assert set(results(ended)) == {"ct01"}  # images and spectra have no first and last
    continuous = image.scan("ascanct", "mot01", "0", "1", "3", "0.1")
    assert continuous["status"] == "completed"
    assert f"{image.stack.folder}/img_0000.tif" in [file["path"] for file in continuous["files"]]


def test_custom_data_of_a_macro(system: System) -> None:
    system.door.run("scitest_custom")
    ended = system.last_message()
    custom = ended["scientificMetadata"]["Custom data"]
    assert custom["note"]["value"] == "before"
    assert (custom["spectrum"]["shape"], custom["spectrum"]["max"]) == ([1000], 999)
    # What comes after the scan is a message of its own.
    late = system.topic.wait_for(lambda m: m["uuid"] == ended["uuid"] and m["type"] == "annotation")
    centre = late["annotation"]["scientificMetadata"]["Custom data"]["centre"]
    assert (centre["value"], centre["unit"]) == (0.5, "mm")


def test_sardanas_own_snapshot(system: System) -> None:
    attribute = system.stack.name("motor/motctrl01/2/Velocity")
    system.door.run("senv", "PreScanSnapshot", f"[('{attribute}', 'speed'), ('no/such/one/x', 'nothing')]")
    try:
        ended = system.scan("ascan", "mot01", "0", "1", "1", "0.05")
    finally:
        system.door.run("usenv", "PreScanSnapshot")
    snapshot = ended["scientificMetadata"]["Sardana snapshot"]
    assert set(snapshot) == {"speed"}
    assert snapshot["speed"]["value"] > 0
    assert snapshot["speed"]["source"] == attribute


def test_the_options_are_one_variable_and_a_mistake_is_reported(system: System) -> None:
    scan = ("ascan", "mot01", "0", "1", "1", "0.05")
    system.said.clear()
    system.door.run("senv", "SciFish", "{'results': False, 'plto': True, 'description': 'Night shift'}")
    try:
        ended = system.scan(*scan)
        assert "SciFish: the variable SciFish: there is no option 'plto'; did you mean 'plot'?" in warnings(system)
        assert ended["description"] == "Night shift"
        assert "Scan results" not in ended["scientificMetadata"]
        system.door.run("senv", "ascan.SciFish", "{'enabled': False}")  # for this macro only
        system.door.run(*scan)
        off = expected_scans(system.history(), system.stack.name(MACROSERVER))[-1].uuid
        system.door.run("usenv", "ascan.SciFish")
    finally:
        system.door.run("usenv", "SciFish")
    assert "Scan results" in system.scan(*scan)["scientificMetadata"]
    assert system.topic.of(off) == []


# ----------------------------------------------------------------------- counting


def test_a_count_is_recorded_where_the_user_asks_for_it(peak: System) -> None:
    peak.said.clear()
    peak.door.run("scict", "0.1")
    snapshot = peak.topic.wait_for(lambda m: m["type"] == "snapshot" and m.get("datasetName") == "ct 0.1 mntgrp_peak")
    assert snapshot["status"] == "completed"
    counters = snapshot["scientificMetadata"]["Counters"]
    assert (counters["ct01"]["value"], counters["peak"]["unit"]) == (pytest.approx(0.1), "µA")
    assert counters["peak"]["value"] in (10, 20, 50)
    assert counters["peak"]["source"].endswith("expchan/peakctrl/1")
    assert len(list(leaves(snapshot["scientificMetadata"]))) == 37
    text = "\n".join(line for _, line in peak.said)
    assert "peak  =" in text
    assert "This count is recorded." in text
    peak.door.run("scicomment", "a", "count")
    peak.topic.wait_for(lambda m: m["uuid"] == snapshot["uuid"] and m.get("annotation") == {"comment": "a count"})


def test_a_count_with_a_detector_and_of_one_channel(system: System) -> None:
    system.door.run("scict", "0.1", "mntgrp_image")
    image = system.topic.wait_for(lambda m: m.get("datasetName") == "ct 0.1 mntgrp_image")
    assert [file["path"] for file in image["files"]] == [f"{system.stack.folder}/img_0000.tif"]
    assert image["scientificMetadata"]["Counters"]["oned01"]["shape"] == [1024]
    system.door.run("scict", "0.05", "ct02")
    single = system.topic.wait_for(lambda m: m.get("datasetName") == "ct 0.05 ct02")
    assert set(single["scientificMetadata"]["Counters"]) == {"ct02"}
