"""SciDog with a running control system: what it reads, what it finds, and that other clients are answered meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tango

from deploy.demo.stack import PATHFIXER, SCIDOG, Stack
from scifish.companion import scidog_reports
from scifish.companion.scidog_reports import ScidogReporter
from scifish.recording.session import RecordingSession
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from tests.servers.attribute_kinds import PLAIN
from tests.servers.tango_system import FACILITY, Events, control_system, patient, refusal
from tests.waiting import eventually

pytestmark = pytest.mark.first

KINDS = "test/kinds/1"
CALLS = ("Validate", "Preview", "BrowseAttributes", "all at once")
HANGING = {what: tuple(f"test/hanging/{number}-{other}" for other in range(5)) for number, what in enumerate(CALLS)}
"""Devices that each test has to itself: one that hangs is not asked again for a while."""

MANY_READS = 10
"""Who had to wait for a command would be answered a few times before it comes, and then when it is over."""

DEAD = "test/dead/1"
MANY = tuple(f"test/plain/{number}" for number in range(20))
COMMAND = [sys.executable, "-m", "tests.servers.attribute_kinds"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("scidog"), FACILITY) as system:
        system.add_device("PathFixer/demo", "PathFixer", PATHFIXER)
        system.add_device("Kinds/dead", "Kinds", DEAD)
        devices = {KINDS: ("Kinds", {}), **{name: ("Plain", {}) for name in MANY}}
        system.start_server("Kinds/alive", devices, COMMAND)
        system.start_server(
            "Kinds/hanging", {name: ("Plain", {}) for names in HANGING.values() for name in names}, COMMAND
        )
        system.start_scidog("127.0.0.1:9092")
        system.db.put_device_property(SCIDOG, {"AlwaysConfigs": ["none"], "Config.none": ["# nothing"]})
        yield system


@pytest.fixture
def scidog(stack: Stack) -> tango.DeviceProxy:
    return patient(stack.name(SCIDOG))


@contextmanager
def hanging(stack: Stack) -> Iterator[None]:
    """The server of `HANGING` is stopped: its connections are open, and nothing answers."""
    server = [process for process in stack.processes.running if process.name == "kinds"][-1]
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def lines_of(**sources: str) -> str:
    """A request with lines of these names and sources; further fields may follow the source."""
    lines = [f"- {{name: {name}, source: {source}}}" for name, source in sources.items()]
    return json.dumps({"name": "try", "lines": lines})


def validated(scidog: tango.DeviceProxy, **sources: str) -> dict[str, list[str]]:
    """The findings by the entry's name."""
    found: dict[str, list[str]] = {}
    for finding in json.loads(scidog.Validate(lines_of(**sources)))["findings"]:
        found.setdefault(finding["name"], []).append(f"{finding['level']}: {finding['text']}")
    return found


def test_correct_entries_have_no_findings(scidog: tango.DeviceProxy) -> None:
    sources = {"Enum": f"{KINDS}/Enum, map: {{GREEN: go, 0: stop}}", "Gate": f"{KINDS}/gate, map: {{OPEN: open, 2: x}}"}
    sources |= {"Number": f"{KINDS}/Alarm, map: {{2: x, 0.1: y}}"}
    sources |= {name: f"{MANY[0]}/{name}" for name in PLAIN}
    report = json.loads(scidog.Validate(lines_of(**sources)))
    assert report["findings"] == []
    assert report["ok"] is True
    assert set(report["devices"]) == {KINDS, MANY[0]}
    assert all(seconds > 0 for seconds in report["devices"].values())


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("test/nowhere/1/State", "error: unknown device: the Tango database has no test/nowhere/1"),
        (f"{MANY[0]}/Vaule1", f"error: unknown attribute: {MANY[0]} has no Vaule1; did you mean Value1?"),
        (f"{DEAD}/State", "warning: cannot be read now: the device does not answer"),
        (f"{KINDS}/Invalid", "warning: cannot be read now: no value: its quality is INVALID"),
        (f"{MANY[0]}/Value1, unit: furlong", "note: SciCat cannot convert the unit 'furlong'"),
        (f"{MANY[0]}/Value1, unit: m", "warning: the unit 'm' replaces the attribute's own unit, 'mm'"),
        (
            f"{KINDS}/Enum, map: {{GREEN: go, BLUE: x}}",
            "warning: map: 'blue' matches none of its labels: RED, GREEN",
        ),
        (
            f"{KINDS}/Gate, map: {{OPEN: open, 1: closed, CLOSED: closed}}",
            "warning: map: 'closed' matches none of Tango's states: ON, OFF, CLOSE, OPEN, INSERT, ",
        ),
        (f"{KINDS}/aDevBoolean, map: {{0: x}}", "warning: map: '0' never matches: its value is true or false"),
        (f"{KINDS}/aDevShort, map: {{-3: x, 40000: y}}", "warning: map: '40000' never matches"),
        (f"{KINDS}/aDevUShort, map: {{60000: x, 4.5: y}}", "warning: map: '4.5' never matches"),
        (f"{KINDS}/Alarm, map: {{2: x, two: y}}", "warning: map: 'two' never matches"),
        (f"{KINDS}/aDevFloat, map: {{0.5: x, 0.1: y}}", "warning: map: '0.1' never matches: its value is a number"),
        (f"{KINDS}/Gate, unit: mm", "warning: the unit 'mm' is probably a mistake: its value is a state"),
        (f"{KINDS}/Enum, unit: mm", "warning: the unit 'mm' is probably a mistake: its value is a label"),
        (f"{KINDS}/Enum, map: {{RED: stop}}", "warning: map: its value now, GREEN, is not in the map"),
        (f"{MANY[0]}/Value1, map: {{4: insert}}", "warning: map: its value now, 1.5, is not in the map"),
        (
            f"{MANY[0]}/Spectrum, map: {{4: insert}}",
            "warning: map: only single values can be mapped, and this is an array",
        ),
        (f"{MANY[0]}/Text, record: [statistics]", "note: statistics need a single number, but this is not one"),
    ],
)
def test_the_findings_of_wrong_entries(scidog: tango.DeviceProxy, source: str, says: str) -> None:
    (found,) = validated(scidog, x=source)["x"][:1] if "furlong" in source else [validated(scidog, x=source)["x"][0]]
    assert found.startswith(says)


def test_a_name_that_is_used_twice_and_a_line_that_is_wrong(scidog: tango.DeviceProxy) -> None:
    lines = [f"- {{name: {name}, source: {MANY[0]}/Value1}}" for name in ("x", "X", "x")]
    report = json.loads(scidog.Validate(json.dumps({"lines": [*lines, "- {name"]})))
    assert report["ok"] is False
    assert [finding["text"] for finding in report["findings"]] == [
        "configuration, line 3: the name 'x' is taken by line 1; this line is not recorded",
        "configuration, line 4: not YAML (expected ',' or '}', but got '<stream end>'): '- {name'",
        "the name is used twice, with different upper and lower case",
        "the name is used twice, with different upper and lower case",
    ]


def test_a_configuration_by_name_and_what_is_recorded_now(stack: Stack, scidog: tango.DeviceProxy) -> None:
    lines = [f"- {{name: One, source: {MANY[0]}/Value1}}", f"- {{name: Dead, source: {DEAD}/State}}"]
    stack.db.put_device_property(SCIDOG, {"ActiveConfig": ["live"], "Config.live": lines})
    assert json.loads(scidog.Validate("LIVE"))["entries"] == 2
    assert json.loads(scidog.Validate(""))["entries"] == 2
    with pytest.raises(tango.DevFailed) as error:
        scidog.Validate("nothing")
    assert refusal(error)[0] == "SciDog_UnknownConfig"


def test_a_preview_is_the_snapshot_and_how_long_each_device_took(stack: Stack, scidog: tango.DeviceProxy) -> None:
    lines = [
        f"- {{name: One, source: {MANY[0]}/Value1, group: G}}",
        f"- {{name: Dead, source: {DEAD}/State}}",
        f"- {{name: Unit, source: {KINDS}/Forwardable}}",
    ]
    stack.db.put_device_property(SCIDOG, {"ActiveConfig": ["live"], "Config.live": lines})
    events = Events(scidog, "LastSnapshot")
    found: dict[str, Any] = {}

    def is_pushed() -> bool:
        nonlocal found
        found = json.loads(scidog.Preview("live"))
        # Tango may lose an event while a subscription is still connecting.
        return eventually(lambda: found["time"] in [json.loads(str(value))["time"] for _, value in events.seen], 1.0)

    assert eventually(is_pushed)
    assert found["scientificMetadata"]["G"]["One"]["value"] == 1.5
    assert found["scientificMetadata"]["Unit"]["unit"] == "µm"
    assert [(failed["name"], failed["source"]) for failed in found["failed"]] == [("Dead", f"{DEAD}/State")]
    assert set(found["devices"]) == {KINDS, MANY[0], DEAD}
    assert (found["values"], found["problems"]) == (3, [])
    last = json.loads(scidog.LastSnapshot)
    shown = {key: found[key] for key in ("time", "seconds", "values", "failed", "devices")}
    assert last == {"from": "preview", "failedCount": 1, **shown}
    events.close()
    assert json.loads(str(events.seen[-1][1])) == last


@pytest.fixture
def session(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingSession]:
    """A program that records one attribute that can be read and one that cannot, with its companion process."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    lines = (
        f"- {{name: One, source: {stack.name(MANY[0])}/Value1, group: G}}",
        f"- {{name: Dead, source: {stack.name(DEAD)}/State}}",
    )
    settings = Settings(
        scidog=stack.name(SCIDOG),
        beamline="lab",
        topic="scifish-lab",
        configs={"live": lines},
        active_config="live",
        kafka_bootstrap_servers="127.0.0.1:9",
        spool_directory=str(tmp_path / "spool"),
    )
    found = RecordingSession(FixedSettings(settings), program="test")
    yield found
    found.close(1.0)


def test_the_last_snapshot_is_that_of_the_last_recording(
    stack: Stack, scidog: tango.DeviceProxy, session: RecordingSession
) -> None:
    def shown() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(scidog.LastSnapshot or "{}")
        return found

    began = time.time()
    first = session.begin({"datasetName": "ascan λ"})
    assert eventually(lambda: shown().get("uuid") == first.uuid)
    last = shown()
    assert (last["from"], last["name"], last["program"], last["values"]) == ("dataset", "ascan λ", "test", 2)
    assert began - 0.001 <= datetime.fromisoformat(last["time"]).timestamp() <= time.time()
    assert last["failedCount"] == 1
    assert [(one["name"], one["source"]) for one in last["failed"]] == [("Dead", f"{stack.name(DEAD)}/State")]
    assert "does not answer" in last["failed"][0]["error"]
    scidog.Preview("")
    assert shown()["from"] == "preview"
    for number in range(5):  # of reports that come faster than they are sent, the latest one counts
        session.record_snapshot({"datasetName": f"s{number}"})
    proprietary = session.record_snapshot({"datasetName": "secret", "proposalId": "IN20250042"})
    assert eventually(lambda: shown().get("uuid") == proprietary.uuid)
    assert shown()["name"] == ""


def test_a_recording_program_does_not_wait_for_scidog_and_reports_later(
    stack: Stack, scidog: tango.DeviceProxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("scifish.companion.scidog_reports.time", SimpleNamespace(monotonic=lambda: now))
    caplog.set_level("INFO", "scifish.companion.scidog_reports")
    reporter = ScidogReporter({"program": "test", "host": "h", "run": "r"})
    failed = [{"group": "", "name": str(n), "source": "a/b/c/d", "error": "e" * 1000} for n in range(150)]
    soon = {"uuid": "soon", "name": "n", "time": "t", "values": 200, "failed": failed}
    reporter.set_snapshot(1, soon)
    with hanging(stack):
        reporter.report_snapshot(stack.name(HANGING["all at once"][0]))  # it returns while nothing answers
    assert eventually(lambda: "the report to " in caplog.text)
    assert eventually(lambda: not reporter._busy)
    events = Events(scidog, "LastSnapshot")
    reporter.report_snapshot(stack.name(SCIDOG))  # it is not asked again so soon
    reporter.set_snapshot(3, {**soon, "uuid": "later"})
    reporter.set_snapshot(2, {**soon, "uuid": "begun before it, and read after it"})

    def is_told() -> bool:
        nonlocal now
        now += scidog_reports.TROUBLE_REPEAT_SECONDS
        reporter.report_snapshot(stack.name(SCIDOG))  # like the companion; a slow SciDog is asked again
        return "later" in scidog.LastSnapshot

    assert eventually(is_told)
    assert eventually(lambda: not reporter._busy)
    events.close()
    last = json.loads(scidog.LastSnapshot)
    assert (last["uuid"], last["failedCount"], len(last["failed"]), len(last["failed"][0]["error"])) == (
        *("later", 150, 100, 300),
    )
    # Tango may lose an event while a subscription is still connecting.
    assert {json.loads(str(value))["uuid"] for _, value in events.seen} <= {"later"}


def test_devices_and_attributes_can_be_chosen_from(scidog: tango.DeviceProxy) -> None:
    assert {KINDS, "dserver/Kinds/alive"} < set(scidog.BrowseDevices("kinds"))
    assert tuple(scidog.BrowseDevices("test/*/1")) == (DEAD, KINDS, "test/plain/1")
    assert set(MANY) < set(scidog.BrowseDevices(""))
    assert len(scidog.BrowseDevices("nothing of this name")) == 0
    attributes = {found["name"]: found for found in json.loads(scidog.BrowseAttributes(KINDS))}
    assert attributes["Enum"]["labels"] == ["RED", "GREEN"]
    assert attributes["Forwardable"] == {
        "name": "Forwardable",
        "label": "Forwardable",
        "unit": "µm",
        "description": "",
        "type": "DevDouble",
        "format": "SCALAR",
        "writable": False,
        "labels": [],
    }
    assert (attributes["Picture"]["format"], attributes["WriteOnly"]["writable"]) == ("IMAGE", True)
    for device in (DEAD, "test/nowhere/1", "no name"):
        with pytest.raises(tango.DevFailed) as error:
            scidog.BrowseAttributes(device)
        assert refusal(error)[0] == "SciDog_NoAnswer"


def answers_and_reads(
    stack: Stack, calls: Sequence[tuple[str, str]]
) -> tuple[list[dict[str, Any] | tango.DevFailed], int]:
    """The answers of these simultaneous commands, and how often another client was answered before the first."""
    clients = [patient(stack.name(SCIDOG)) for _ in calls]
    other = patient(stack.name(SCIDOG))
    pending = {place: clients[place].command_inout_asynch(*call) for place, call in enumerate(calls)}
    found: dict[int, dict[str, Any] | tango.DevFailed] = {}
    reads = 0
    while pending:
        other.read_attribute(("State", "Entries", "Problems", "ActiveConfig")[reads % 4])
        for place, number in list(pending.items()):
            try:
                found[place] = json.loads(clients[place].command_inout_reply(number))
            except tango.AsynReplyNotArrived:
                continue
            except tango.DevFailed as failed:
                found[place] = failed
            del pending[place]
        reads += not found
    return [found[place] for place in range(len(calls))], reads


@pytest.mark.parametrize("what", [*(pytest.param(each, marks=pytest.mark.long) for each in CALLS[:-1]), CALLS[-1]])
def test_others_are_answered_while_devices_hang(stack: Stack, what: str) -> None:
    devices = HANGING[what]
    sources = [*(f"{device}/{name}" for device in devices for name in PLAIN), f"{MANY[0]}/Value1"]
    lines = [f"- {{name: n{number}, source: {source}}}" for number, source in enumerate(sources)]
    request = json.dumps({"lines": lines})
    calls = [(name, devices[0] if name == "BrowseAttributes" else request) for name in CALLS[:3]]
    calls = [call for call in calls if what in (call[0], "all at once")]
    with hanging(stack):  # until the answers are there
        answers, reads = answers_and_reads(stack, calls)
    assert reads > MANY_READS
    for (name, _), found in zip(calls, answers, strict=True):
        if name == "BrowseAttributes":
            assert isinstance(found, tango.DevFailed)
            refused = ("SciDog_NoAnswer", f"{devices[0]} has not answered within 2.5 s")
            assert (found.args[0].reason, found.args[0].desc) == refused
            continue
        assert isinstance(found, dict)
        if name == "Validate" == what:
            assert {finding["name"] for finding in found["findings"]} == {f"n{number}" for number in range(50)}
            assert {device: found["devices"][device] for device in devices} == dict.fromkeys(devices)
        if name == "Preview" == what:
            assert len(found["failed"]) == 50
            assert found["scientificMetadata"]["n50"]["value"] == 1.5
    for device in devices:
        patient(stack.name(device))  # it answers, so earlier requests are done


def test_a_thousand_entries_do_not_delay_other_clients(stack: Stack, scidog: tango.DeviceProxy) -> None:
    lines = [
        f"- {{name: {name} of {device} {turn}, source: {device}/{name}, group: Group {turn}, record: [start, end]}}"
        for turn in range(5)
        for device in MANY
        for name in PLAIN
    ]
    assert len(lines) == 1000
    request = json.dumps({"name": "large", "revision": "", "lines": lines})
    (saved,), reads = answers_and_reads(stack, [("SaveConfig", request)])
    assert isinstance(saved, dict)
    assert len(saved["entries"]) == 1000
    assert reads > MANY_READS
    scidog.ActiveConfig = "large"
    assert len(json.loads(scidog.Entries)) == 1000

    def validated() -> bool:
        report = json.loads(scidog.Validate("large"))
        assert (report["ok"], report["entries"]) == (True, 1000)
        return report["findings"] == []

    def previewed() -> bool:
        found = json.loads(scidog.Preview(""))
        assert found["values"] == 1000
        return found["failed"] == []

    # A busy machine may not have read all of them within 2.5 s.
    assert eventually(validated)
    assert eventually(previewed)
