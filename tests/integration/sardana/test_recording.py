"""A scan on a real Sardana, up to the messages in a real Kafka."""

from __future__ import annotations

import base64
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import tango

from deploy.demo.beamline import DEAD_DEVICE, FAILING_ATTRIBUTE
from deploy.demo.door import MacroFailed
from deploy.demo.stack import MACROSERVER, SCIDOG
from deploy.demo.summary import expected_scans
from scifish.message import Message, leaves
from scifish.message.types import MAX_RECORDED_PICTURE_BYTES
from scifish.spool.database import SPOOL_SUFFIX
from scifish.spool.inspection import summarise
from tests.integration.sardana.recording import System
from tests.servers.kafka import Kafka
from tests.servers.tango_system import control_system
from tests.waiting import eventually

pytestmark = pytest.mark.first


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka) -> Iterator[System]:
    with control_system(tmp_path_factory.mktemp("recording")) as stack:
        found = System(stack, kafka)
        yield found
        found.close()


@pytest.fixture(autouse=True)
def mended(system: System, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    system.sardana.mend(request.node)


def configured(found: Message) -> dict[str, Message]:
    """The values of SciDog's configurations, by attribute."""
    return {leaf["source"]: leaf for _, leaf in leaves(found["scientificMetadata"]) if "/" in leaf["source"]}


def test_a_scan_is_reported_when_it_begins_and_when_it_ends(system: System) -> None:
    ended = system.scan("ascan", "mot01", "0", "1", "3", "0.05")
    began, also_ended = system.topic.of(ended["uuid"])
    assert (began["type"], also_ended) == ("began", ended)
    assert began["creationTime"] == ended["creationTime"] == ended["startTime"] < ended["endTime"]
    assert (ended["status"], ended["numberOfPoints"], ended["proposalId"]) == ("completed", 4, "20250001")
    assert ended["datasetName"] == ended["environment"]["title"] == "ascan mot01 0.0 1.0 3 0.05"
    assert ended["environment"]["scanID"] == system.history()[-1]["serialno"]
    assert ended["environment"]["detectors"] == ["ct01", "ct02", "ct03", "ct04"]
    assert (ended["environment"]["motors"], ended["environment"]["user"]) == (["mot01"], "astlin")
    assert ended["sourceFolder"].endswith("/data/visitors/cosaxs/20250001/" + time.strftime("%Y%m%d") + "/raw/fibre_A")
    (file,) = ended["files"]
    assert file["path"] == f"{ended['sourceFolder']}/cosaxs.dat"
    assert file["size"] == os.stat(file["path"]).st_size > 0
    assert ended["sampleId"] == "fibre_A"
    assert "warnings" not in ended


def test_all_configured_attributes_are_there_also_those_that_cannot_be_read(system: System) -> None:
    ended = system.scan("ascan", "mot01", "0", "1", "1", "0.05")
    metadata = ended["scientificMetadata"]
    by_source = configured(ended)
    assert len(by_source) == 35
    assert {source for source, leaf in by_source.items() if "error" in leaf} == {
        FAILING_ATTRIBUTE,
        f"{DEAD_DEVICE.name}/Current1",
    }
    failed = by_source[FAILING_ATTRIBUTE]
    assert failed["value"] is None
    assert "calibration of the screen has not been loaded" in failed["error"]
    assert "is its server running?" in by_source[f"{DEAD_DEVICE.name}/Current1"]["error"]
    current = metadata["Machine"]["Ring current"]
    assert (current["unit"], current["human_name"]) == ("mA", "Ring current")
    assert 0 < current["value"] < 1000
    assert 0 < current["end"] < 1000
    assert metadata["Machine"]["Mode"]["value"] == "DELIVERY"
    assert (metadata["Front end"]["Safety shutter"]["value"], metadata["Vacuum"]["Valve"]["value"]) == ("open", "open")
    assert metadata["Diagnostics"]["Beam viewer"] | {"time": ""} == {
        "value": "extract",
        "raw": False,
        "unit": "",
        "human_name": "Beam viewer",
        "source": "b311a-e/dia/viewer-01/Inserted",
        "time": "",
    }
    image = metadata["Diagnostics"]["Beam image"]
    assert (image["value"], image["shape"]) == (None, [120, 160])
    assert image["min"] <= image["mean"] <= image["max"]


def test_a_scan_whose_channel_fails(system: System) -> None:
    system.door.run("senv", "ActiveMntGrp", "mntgrp02")
    with pytest.raises(MacroFailed):
        system.door.run("ascan", "mot01", "0", "1", "6", "0.05")
    system.door.run("senv", "ActiveMntGrp", "mntgrp01")
    ended = system.last_message()
    assert (ended["status"], ended["numberOfPoints"]) == ("failed", 3)


def test_a_scan_has_its_results_and_a_picture(system: System) -> None:
    ended = system.scan("ascan", "mot01", "0", "1", "4", "0.05")
    counter = ended["scientificMetadata"]["Scan results"]["ct01"]
    assert counter["points"]["value"] == 5
    assert counter["min"]["value"] <= counter["mean"]["value"] <= counter["max"]["value"]
    assert 0.0 <= counter["position of max"]["mot01"]["value"] <= 1.0
    picture = system.topic.wait_for(lambda m: m["uuid"] == ended["uuid"] and m["type"] == "annotation")
    image = picture["annotation"]["image"]
    assert image["caption"] == f"#{ended['environment']['scanID']} {ended['datasetName']}"
    drawn = base64.b64decode(image["uri"].removeprefix("data:image/png;base64,"))
    assert drawn.startswith(b"\x89PNG")
    assert len(drawn) < MAX_RECORDED_PICTURE_BYTES


def test_statistics_are_those_of_the_whole_scan(system: System) -> None:
    current = system.scan("ascan", "mot01", "0", "1", "3", "0.8")["scientificMetadata"]["Machine"]["Ring current"]
    assert current["samples"] >= 3
    assert current["min"] <= current["value"] <= current["max"]
    assert current["min"] <= current["end"] <= current["max"]
    assert current["min"] <= current["mean"] <= current["max"]
    assert 0 < current["std"] <= current["max"] - current["min"]


def test_another_configuration_is_in_effect_for_the_next_scan(system: System) -> None:
    system.door.run("scidog_use", "SPECTROSCOPY")
    metadata = system.scan("ascan", "mot01", "0", "1", "1", "0.05")["scientificMetadata"]
    assert "Bragg angle" in metadata["Optics"]
    assert "Sample environment" in metadata
    assert "Shield" not in metadata["Sample environment"]
    # As jive does it: the property itself.
    system.stack.db.put_device_property(SCIDOG, {"ActiveConfig": ["saxs"]})
    metadata = system.scan("ascan", "mot01", "0", "1", "1", "0.05")["scientificMetadata"]
    assert "Shield" in metadata["Sample environment"]


def test_another_configuration_in_the_middle_of_a_scan_is_for_the_next_one(system: System) -> None:
    system.door.start("ascan", "mot01", "0", "2", "999", "0.3")
    began = system.topic.wait_for(lambda m: m["type"] == "began" and m["datasetName"].endswith(" 999 0.3"))
    system.stack.db.put_device_property(SCIDOG, {"ActiveConfig": ["spectroscopy"]})
    try:
        system.door.wait_for_point(6)
        system.door.stop()
        system.door.wait()
        ended = system.last_message()
        assert configured(ended).keys() == configured(began).keys()
        temperature = ended["scientificMetadata"]["Sample environment"]["Sample temperature"]
        assert "end" in temperature
        assert temperature["samples"] >= 2
    finally:
        system.stack.db.put_device_property(SCIDOG, {"ActiveConfig": ["saxs"]})


def test_a_snapshot_a_comment_and_a_rating_by_macro(system: System) -> None:
    scan = system.scan("ascan", "mot01", "0", "1", "1", "0.05")
    number = scan["environment"]["scanID"]
    system.door.run("scicomment", "a", "good", "one")
    system.door.run("scirate", "2.5", str(number))
    system.door.run("scisnap", "Before", "the", "night")
    snapshot = system.topic.wait_for(lambda m: m["type"] == "snapshot")
    assert (snapshot["datasetName"], snapshot["status"]) == ("Before the night", "completed")
    assert len(configured(snapshot)) == len(list(leaves(snapshot["scientificMetadata"]))) == 35
    system.door.run("scicomment", "of", "the", "snapshot")
    system.door.run("scicomment", f"#{number}", "of", "the", "scan")
    for comment in ("of the snapshot", "of the scan"):
        system.topic.wait_for(lambda m, comment=comment: m.get("annotation") == {"comment": comment})
    annotations: dict[str, list[Message]] = {scan["uuid"]: [], snapshot["uuid"]: []}
    for each in system.topic.messages:
        if each["type"] == "annotation" and "image" not in each["annotation"]:
            annotations[each["uuid"]].append(each["annotation"])
    assert annotations == {
        scan["uuid"]: [{"comment": "a good one"}, {"rating": 2.5}, {"comment": "of the scan"}],
        snapshot["uuid"]: [{"comment": "of the snapshot"}],
    }


def test_a_comment_is_on_the_last_scan_of_its_own_door(system: System) -> None:
    scan = system.scan("ascan", "mot01", "0", "1", "1", "0.05")
    system.other_door.run("ascan", "mot01", "0", "2", "1", "0.05")
    of_other = system.last_message()
    system.other_door.run("scisnap")
    system.said.clear()
    system.door.run("scicomment", "of", "the", "first", "Door")
    number, title = scan["environment"]["scanID"], scan["datasetName"]
    assert any(f"Comment on scan {number} ({title}) of 20" in line for _, line in system.said)
    system.other_door.run("scirate", "1.5", str(of_other["environment"]["scanID"]))
    system.other_door.run("scicomment", "of", "the", "second", "Door's", "snapshot")
    snapshot = annotated(system, "of the second Door's snapshot")
    assert system.topic.wait_for(lambda m: m["uuid"] == snapshot)["datasetName"] == "snapshot"
    assert (annotated(system, "of the first Door"), annotated(system, 1.5)) == (scan["uuid"], of_other["uuid"])


def annotated(system: System, change: object) -> str:
    """The uuid of the dataset with this comment or rating."""
    found = system.topic.wait_for(lambda m: change in m.get("annotation", {}).values())
    return str(found["uuid"])


@pytest.mark.long
def test_a_comment_finds_its_scan_where_tango_host_is_spelt_otherwise_since(system: System) -> None:
    scan = system.scan("ascan", "mot01", "0", "1", "1", "0.05")
    spelling = system.stack.env["TANGO_HOST"]
    host, _, port = spelling.rpartition(":")
    assert host == "127.0.0.1"
    system.stack.env["TANGO_HOST"] = f"localhost:{port}"
    try:
        system.sardana.restart()
        system.door.run("scicomment", f"#{scan['environment']['scanID']}", "after", "the", "restart")
        assert annotated(system, "after the restart") == scan["uuid"]
        # Where a program is killed before it knows that Kafka has a message, that is sent again.
        spools = Path(system.stack.scidog_properties("")["SpoolDirectory"][0])
        assert eventually(lambda: not any(summarise(spool).waiting for spool in spools.glob(f"*{SPOOL_SUFFIX}")))
    finally:
        system.stack.env["TANGO_HOST"] = spelling
        system.sardana.restart()


def test_a_second_scidog_in_the_database_is_reported_everywhere(system: System) -> None:
    scidog = tango.DeviceProxy(system.stack.name(SCIDOG))
    system.stack.add_device("SciDog/second", "SciDog", "test/scidog/2")
    try:
        ended = system.scan("ascan", "mot01", "0", "1", "1", "0.05")
        (warning,) = ended["warnings"]
        assert "there are several SciDog devices" in warning
        assert warning.endswith("the last good settings are in use")
        assert eventually(lambda: any("there are several SciDog devices" in one for one in scidog.Problems))
        assert scidog.state() == tango.DevState.ALARM
        assert "there are several SciDog devices" in scidog.status()
        system.said.clear()
        system.scan("ascan", "mot01", "0", "1", "1", "0.05")
        assert any(level == "warning" and "there are several SciDog" in line for level, line in system.said)
    finally:
        system.stack.db.delete_device("test/scidog/2")
    assert "warnings" not in system.scan("ascan", "mot01", "0", "1", "1", "0.05")
    assert eventually(lambda: scidog.state() == tango.DevState.ON)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("scirate", "2.7"), "2.7 is not a rating: it is from 0.5 to 3 stars in halves"),
        (("scirate", "5"), "5 is not a rating: it is from 0.5 to 3 stars in halves"),
        (("scirate", "2", "99999"), "scan 99999 is not in the ScanHistory"),
        (("scidog_use", "nothing"), "there is no configuration 'nothing'; there are: beamline, saxs, spectroscopy"),
        (("setproposal", "99999999"), "99999999"),
        (("scicomment", "#12"), "the comment is empty"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_at_the_door_is_reported(system: System, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(MacroFailed) as caught:
        system.door.run(*words)
    assert says in str(caught.value)


def test_the_lists_read_well(system: System) -> None:
    system.said.clear()
    for words in (("scidog_list",), ("scidog_show", "spectroscopy"), ("setproposal",), ("setsample",)):
        system.door.run(*words)
    text = "\n".join(line for _, line in system.said)
    assert "->    saxs            14" in text
    assert "b311a-o/opt/mono-01/BraggAngle" in text
    assert "10 attributes" in text
    assert "->    20250001" in text
    assert "->    fibre_A" in text


def test_a_device_that_hangs_costs_only_itself_and_is_read_again_when_it_comes_back(system: System) -> None:
    scan = ("ascan", "mot01", "0", "1", "3", "0.05")
    system.scan(*scan)
    beamline = system.process("simbeamline")
    # A scan that waited for a read would take as long as this for its begin, and again for its end.
    system.stack.db.put_device_property(SCIDOG, {"SnapshotTimeout": ["60"]})
    system.scan(*scan)  # from here on it is in effect
    os.kill(beamline.pid, signal.SIGSTOP)
    try:
        system.door.run(*scan, timeout=60.0)
    finally:
        os.kill(beamline.pid, signal.SIGCONT)
        system.stack.db.delete_device_property(SCIDOG, "SnapshotTimeout")
    system.last_message()
    system.scan(*scan)
    os.kill(beamline.pid, signal.SIGSTOP)
    try:
        hung = system.scan(*scan)
    finally:
        os.kill(beamline.pid, signal.SIGCONT)
    errors = {leaf["error"] for leaf in configured(hung).values()}
    assert any("answer" in error for error in errors)
    assert all("answer" in error or "running?" in error for error in errors)
    assert (hung["status"], hung["proposalId"]) == ("completed", "20250001")
    assert eventually(lambda: _failed(system.scan(*scan)) == 2)


def kept_points(spool: Path, uuid: str) -> int:
    """How many of its points are on disk."""
    for file in spool.glob(f"*{SPOOL_SUFFIX}"):
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as db:
            found = db.execute("SELECT points FROM datasets WHERE uuid = ?", [uuid]).fetchone()
        if found:
            return int(found[0])
    return 0


def _failed(found: Message) -> int:
    return sum("error" in leaf for _, leaf in leaves(found["scientificMetadata"]))


def test_without_scidog_and_pathfixer_a_scan_is_still_recorded(system: System) -> None:
    system.process("scidog").stop()
    system.process("pathfixer").stop()
    try:
        ended = system.scan("ascan", "mot01", "0", "1", "1", "0.05")
        assert (ended["status"], ended["proposalId"], ended["sampleId"]) == ("completed", "20250001", "fibre_A")
        assert len(configured(ended)) == 35
        assert "from its last answer" in ended["warnings"][0]
    finally:
        system.stack.run_server("SciDog/demo", [SCIDOG])
        system.stack.run_server("PathFixer/demo", ["b311a-e/ctl/sdm-01"])


def test_a_proprietary_proposal_stays_at_the_beamline(system: System) -> None:
    system.door.run("setproposal", "IN20250042")
    try:
        system.door.run("ascan", "mot01", "0", "1", "1", "0.05")
        with pytest.raises(MacroFailed) as caught:
            system.door.run("scicomment", "a", "secret")
        assert "its metadata stay at the beamline" in str(caught.value)
        system.said.clear()
        system.door.run("scisnap", "secret")
        assert any("stays at the beamline" in line for level, line in system.said if level == "warning")
    finally:
        system.door.run("setproposal", "20250001")
        system.door.run("setsample", "fibre_A")
    secret = expected_scans(system.history(), system.stack.name(MACROSERVER))[-1].uuid
    system.scan("ascan", "mot01", "0", "1", "1", "0.05")
    assert system.topic.of(secret) == []
    assert not any("secret" in str(found) or "IN20250042" in str(found) for found in system.topic.messages)


def test_a_macroserver_that_is_killed_leaves_an_interrupted_dataset(system: System) -> None:
    system.door.start("ascan", "mot01", "0", "1", "1000", "0.1")
    began = system.topic.wait_for(lambda m: m["type"] == "began" and m["datasetName"].endswith(" 1000 0.1"))
    spool = Path(system.stack.scidog_properties("")["SpoolDirectory"][0])
    system.door.wait_for_point(5)
    assert eventually(lambda: kept_points(spool, began["uuid"]) >= 5)  # on disk, every second
    system.sardana.process.kill()
    system.sardana.restart()
    ended = system.topic.wait_for(lambda m: m["uuid"] == began["uuid"] and m["type"] == "ended")
    assert ended["status"] == "interrupted"
    assert 5 <= ended["numberOfPoints"] < 1000
    assert ended["endTime"] > ended["startTime"]
    assert configured(ended).keys() == configured(began).keys()
    assert configured(ended)["r3-319s2/dia/dcct-01/Lifetime"] == configured(began)["r3-319s2/dia/dcct-01/Lifetime"]
    # Also the results are kept each second.
    assert ended["scientificMetadata"]["Scan results"]["ct01"]["points"]["value"] >= 5
    # It speaks for the program that is gone, with the next of its numbers.
    assert ended["origin"] == began["origin"]
    system.scan("ascan", "mot01", "0", "1", "1", "0.05")


def test_scans_without_kafka_are_caught_up_in_order(system: System) -> None:
    if not system.kafka.restartable:
        pytest.skip(f"the Kafka of these tests cannot be stopped: {system.kafka.kind}")
    system.kafka.stop()
    system.said.clear()
    try:
        before = len(system.history())

        def another_says_so() -> bool:
            system.door.run("ascan", "mot01", "0", "1", "1", "0.05")
            return any("Kafka" in line for level, line in system.said if level == "warning")

        another_says_so()
        another_says_so()
        assert eventually(another_says_so)
        scans = expected_scans(system.history()[before:], system.stack.name(MACROSERVER))
    finally:
        system.kafka.start()
    for scan in scans:
        system.topic.wait_for(lambda m, scan=scan: m["uuid"] == scan.uuid and m["type"] == "ended")  # type: ignore[misc]


@pytest.mark.long
def test_a_spool_that_gets_full_is_reported_at_the_door_and_by_scidog_before_anything_is_lost(system: System) -> None:
    if not system.kafka.restartable:
        pytest.skip(f"the Kafka of these tests cannot be stopped: {system.kafka.kind}")
    scidog = tango.DeviceProxy(system.stack.name(SCIDOG))
    long = "x" * 19_000
    comments = 0
    system.scan("ascan", "mot01", "0", "1", "1", "0.05")
    system.kafka.stop()
    system.said.clear()
    try:
        system.stack.db.put_device_property(SCIDOG, {"SpoolLimit": ["3"]})  # MB
        system.door.run("ascan", "mot01", "0", "1", "1", "0.05")  # from here on it is in effect
        while not any("SpoolLimit" in problem for problem in scidog.Problems) and comments < 180:
            system.door.run("scicomment", long)
            comments += 1
        assert scidog.state() == tango.DevState.ALARM
        system.said.clear()
        system.door.run("ascan", "mot01", "0", "1", "1", "0.05")
        warnings = [line for level, line in system.said if level == "warning"]
        assert any("of the 3.0 MB that SpoolLimit allows" in line for line in warnings)
        assert not any("in memory only: the disk" in line for line in warnings)
    finally:
        system.kafka.start()
        system.stack.db.delete_device_property(SCIDOG, "SpoolLimit")
    last = system.last_message()
    assert last["status"] == "completed"
    assert eventually(lambda: scidog.state() == tango.DevState.ON)
    system.topic.take_all()
    assert sum(m.get("annotation") == {"comment": long} for m in system.topic.messages) == comments


def test_at_the_end_no_number_is_missing_and_the_spool_is_empty(system: System) -> None:
    system.topic.take_all()
    by_run: dict[str, list[int]] = {}
    for found in system.topic.messages:
        by_run.setdefault(found["origin"]["run"], []).append(found["seq"])
    assert len(by_run) >= 2
    for numbers in by_run.values():
        assert sorted(numbers) == list(range(1, max(numbers) + 1))
    spool = Path(system.stack.scidog_properties("")["SpoolDirectory"][0])
    assert eventually(lambda: len(list(spool.glob("*.spool"))) == 1)
