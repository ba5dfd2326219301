"""SciDog against a live control system: what it reads, what it finds, and that others are answered meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import tango

from deploy.demo.stack import PATHFIXER, SCIDOG, Stack
from scifish.notice import Notices
from scifish.settings import Settings
from scifish.source import FixedSettings
from scifish.station import Station
from tests.kinds import PLAIN
from tests.tango_system import FACILITY, Events, control_system, refusal
from tests.waiting import eventually

KINDS = "test/kinds/1"
CALLS = ("Validate", "Preview", "BrowseAttributes", "all at once")
HANGING = {what: tuple(f"test/hanging/{number}-{other}" for other in range(5)) for number, what in enumerate(CALLS)}
"""Devices that each test has to itself: one that hangs is not asked again for a while."""

DEAD = "test/dead/1"
MANY = tuple(f"test/plain/{number}" for number in range(20))
COMMAND = [sys.executable, "-m", "tests.kinds"]


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
    """With Tango's own time-out of three seconds."""
    return tango.DeviceProxy(stack.name(SCIDOG))


@contextmanager
def hanging(stack: Stack) -> Iterator[None]:
    """The server of `HANGING` stands still: its connections are open, and nothing answers."""
    server = [process for process in stack.processes.running if process.name == "kinds"][-1]
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def lines_of(**sources: str) -> str:
    """A request with lines of these names and sources; what follows the source is more of the entry."""
    lines = [f"- {{name: {name}, source: {source}}}" for name, source in sources.items()]
    return json.dumps({"name": "try", "lines": lines})


def validated(scidog: tango.DeviceProxy, **sources: str) -> dict[str, list[str]]:
    """What is found, by the entry's name."""
    found: dict[str, list[str]] = {}
    for finding in json.loads(scidog.Validate(lines_of(**sources)))["findings"]:
        found.setdefault(finding["name"], []).append(f"{finding['level']}: {finding['text']}")
    return found


def test_what_is_right_has_no_findings(scidog: tango.DeviceProxy) -> None:
    sources = {"Enum": f"{KINDS}/Enum, map: {{GREEN: go, 0: stop}}", "Gate": f"{KINDS}/gate, map: {{OPEN: open, 2: x}}"}
    sources |= {"Number": f"{KINDS}/Alarm, map: {{2: x, 0.1: y}}"}
    sources |= {name: f"{MANY[0]}/{name}" for name in PLAIN}
    report = json.loads(scidog.Validate(lines_of(**sources)))
    assert report["findings"] == []
    assert report["ok"] is True
    assert set(report["devices"]) == {KINDS, MANY[0]}
    assert all(0 < seconds < 2 for seconds in report["devices"].values())


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("test/nowhere/1/State", "error: unknown device: the Tango database has no test/nowhere/1"),
        (f"{MANY[0]}/Vaule1", f"error: unknown attribute: {MANY[0]} has no Vaule1; did you mean Value1?"),
        (f"{DEAD}/State", "warning: cannot be read now: the device does not answer"),
        (f"{KINDS}/Invalid", "warning: cannot be read now: no value: its quality is INVALID"),
        (f"{MANY[0]}/Value1, unit: furlong", "note: SciCat cannot convert the unit 'furlong'"),
        (f"{MANY[0]}/Value1, unit: m", "warning: the unit 'm' takes the place of the attribute's own, 'mm'"),
        (
            f"{KINDS}/Enum, map: {{GREEN: go, BLUE: x}}",
            "warning: map: 'blue' is none of its labels, which are RED, GREEN",
        ),
        (
            f"{KINDS}/Gate, map: {{OPEN: open, 1: closed, CLOSED: closed}}",
            "warning: map: 'closed' is none of Tango's states, which are ON, OFF, CLOSE, OPEN, INSERT, ",
        ),
        (f"{KINDS}/aDevBoolean, map: {{0: x}}", "warning: map: '0' is never its value, which is true or false"),
        (f"{KINDS}/aDevShort, map: {{-3: x, 40000: y}}", "warning: map: '40000' is never its value"),
        (f"{KINDS}/aDevUShort, map: {{60000: x, 4.5: y}}", "warning: map: '4.5' is never its value"),
        (f"{KINDS}/Alarm, map: {{2: x, two: y}}", "warning: map: 'two' is never its value"),
        (f"{KINDS}/aDevFloat, map: {{0.5: x, 0.1: y}}", "warning: map: '0.1' is never its value, which is a number"),
        (f"{KINDS}/Gate, unit: mm", "warning: the unit 'mm' is hardly meant: its value is a state"),
        (f"{KINDS}/Enum, unit: mm", "warning: the unit 'mm' is hardly meant: its value is a label"),
        (f"{KINDS}/Enum, map: {{RED: stop}}", "warning: map: its value now, GREEN, is not in the map"),
        (f"{MANY[0]}/Value1, map: {{4: insert}}", "warning: map: its value now, 1.5, is not in the map"),
        (f"{MANY[0]}/Spectrum, map: {{4: insert}}", "warning: map: it is for single values, and this is an array"),
        (f"{MANY[0]}/Text, record: [statistics]", "note: statistics are of single numbers, and this is none"),
    ],
)
def test_what_is_found(scidog: tango.DeviceProxy, source: str, says: str) -> None:
    (found,) = validated(scidog, x=source)["x"][:1] if "furlong" in source else [validated(scidog, x=source)["x"][0]]
    assert found.startswith(says)


def test_a_name_that_is_used_twice_and_a_line_that_is_wrong(scidog: tango.DeviceProxy) -> None:
    lines = [f"- {{name: {name}, source: {MANY[0]}/Value1}}" for name in ("x", "X", "x")]
    report = json.loads(scidog.Validate(json.dumps({"lines": [*lines, "- {name"]})))
    assert report["ok"] is False
    assert [finding["text"] for finding in report["findings"]] == [
        "configuration, line 3: the name 'x' is taken by line 1; this line is not recorded",
        "configuration, line 4: not YAML (expected ',' or '}', but got '<stream end>'): '- {name'",
        "the name is used twice, and differs in its case only",
        "the name is used twice, and differs in its case only",
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
    found = json.loads(scidog.Preview("live"))
    assert found["scientificMetadata"]["G"]["One"]["value"] == 1.5
    assert found["scientificMetadata"]["Unit"]["unit"] == "µm"
    assert [(failed["name"], failed["source"]) for failed in found["failed"]] == [("Dead", f"{DEAD}/State")]
    assert set(found["devices"]) == {KINDS, MANY[0], DEAD}
    assert (found["values"], found["problems"]) == (3, [])
    last = json.loads(scidog.LastSnapshot)
    shown = {key: found[key] for key in ("time", "seconds", "values", "failed", "devices")}
    assert last == {"from": "preview", "failedCount": 1, **shown}
    events.close()
    assert [json.loads(str(value)) for _, value in events.seen] == [last]


@pytest.fixture
def station(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
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
    found = Station(FixedSettings(settings), program="test")
    yield found
    found.close(1.0)


def test_the_last_snapshot_is_also_what_was_recorded_last(
    stack: Stack, scidog: tango.DeviceProxy, station: Station
) -> None:
    def shown() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(scidog.LastSnapshot or "{}")
        return found

    first = station.begin({"datasetName": "ascan λ"})
    assert eventually(lambda: shown().get("uuid") == first.uuid)
    last = shown()
    assert (last["from"], last["name"], last["program"], last["values"]) == ("dataset", "ascan λ", "test", 2)
    assert abs(time.time() - datetime.fromisoformat(last["time"]).timestamp()) < 20
    assert last["failedCount"] == 1
    assert [(one["name"], one["source"]) for one in last["failed"]] == [("Dead", f"{stack.name(DEAD)}/State")]
    assert "does not answer" in last["failed"][0]["error"]
    for number in range(5):  # of those that come faster than they are told it is the latest
        latest = station.record_snapshot({"datasetName": f"s{number}"})
    assert eventually(lambda: shown().get("uuid") == latest.uuid)
    scidog.Preview("")
    assert shown()["from"] == "preview"
    proprietary = station.record_snapshot({"datasetName": "secret", "proposalId": "IN20250042"})
    assert eventually(lambda: shown().get("uuid") == proprietary.uuid)
    assert shown()["name"] == ""


def test_what_records_does_not_wait_for_a_scidog_that_is_away_and_tells_it_later(
    stack: Stack, scidog: tango.DeviceProxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scifish.notice.AGAIN", 1.0)
    caplog.set_level("INFO", "scifish.notice")
    notices = Notices({"program": "test", "host": "h", "run": "r"})
    scidog.Preview("")  # so that something else is there
    before = scidog.LastSnapshot
    failed = [{"group": "", "name": str(n), "source": "a/b/c/d", "error": "e" * 1000} for n in range(150)]
    later = {"uuid": "later", "name": "n", "time": "t", "values": 200, "failed": failed}
    notices.remember(2, later)
    notices.remember(1, {**later, "uuid": "begun before it, and read after it"})
    began = time.monotonic()
    notices.show(stack.name(DEAD))
    assert time.monotonic() - began < 0.1
    assert eventually(lambda: "cannot be told" in caplog.text)
    time.sleep(0.3)
    notices.show(stack.name(SCIDOG))  # nobody is asked again so soon
    time.sleep(0.3)
    assert scidog.LastSnapshot == before
    time.sleep(1.0)
    notices.show(stack.name(SCIDOG))
    assert eventually(lambda: scidog.LastSnapshot != before)
    last = json.loads(scidog.LastSnapshot)
    assert (last["uuid"], last["failedCount"], len(last["failed"]), len(last["failed"][0]["error"])) == (
        *("later", 150, 100, 300),
    )


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


class Second:
    """Another client, in a process of its own, that reads again and again until it is told to stop."""

    def __init__(self, device: str) -> None:
        program = (
            "import sys, time, threading, tango\n"
            f"d = tango.DeviceProxy({device!r})\n"
            "d.ping()\n"
            "stop = threading.Event()\n"
            "threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()\n"
            "print('ready', flush=True)\n"
            "took = []\n"
            "while not stop.is_set():\n"
            "    for name in ('State', 'Entries', 'Problems', 'ActiveConfig'):\n"
            "        began = time.perf_counter()\n"
            "        d.read_attribute(name)\n"
            "        took.append(time.perf_counter() - began)\n"
            "    time.sleep(0.01)\n"
            "print(len(took), max(took), flush=True)\n"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def stop(self) -> tuple[int, float]:
        """How many reads there were, and the seconds of the longest."""
        said, _ = self._process.communicate(timeout=30)
        count, longest = said.split()
        return int(count), float(longest)


@pytest.mark.parametrize("what", CALLS)
def test_others_are_answered_while_devices_hang(stack: Stack, scidog: tango.DeviceProxy, what: str) -> None:
    devices = HANGING[what]
    sources = [*(f"{device}/{name}" for device in devices for name in PLAIN), f"{MANY[0]}/Value1"]
    lines = [f"- {{name: n{number}, source: {source}}}" for number, source in enumerate(sources)]
    request = json.dumps({"lines": lines})

    def call(name: str) -> dict[str, Any]:
        began = time.monotonic()
        if name == "BrowseAttributes":
            with pytest.raises(tango.DevFailed) as error:
                scidog.BrowseAttributes(devices[0])
            assert refusal(error) == ("SciDog_NoAnswer", f"{devices[0]} has not answered within 2.5 s")
            found = {}
        else:
            found = json.loads(scidog.command_inout(name, request))
        assert time.monotonic() - began < 3.0
        return found

    with hanging(stack):
        second = Second(stack.name(SCIDOG))
        if what == "all at once":
            with ThreadPoolExecutor() as pool:
                found, *_ = pool.map(call, CALLS[:3])
        else:
            found = call(what)
        count, longest = second.stop()
    assert count > 100
    assert longest < 0.1
    if what == "Validate":
        assert {finding["name"] for finding in found["findings"]} == {f"n{number}" for number in range(50)}
        assert {device: found["devices"][device] for device in devices} == dict.fromkeys(devices)
    if what == "Preview":
        assert len(found["failed"]) == 50
        assert found["scientificMetadata"]["n50"]["value"] == 1.5
    time.sleep(0.5)  # what was sent to the devices is answered now


def test_a_thousand_entries_are_no_burden_for_others(stack: Stack, scidog: tango.DeviceProxy) -> None:
    lines = [
        f"- {{name: {name} of {device} {turn}, source: {device}/{name}, group: Group {turn}, record: [start, end]}}"
        for turn in range(5)
        for device in MANY
        for name in PLAIN
    ]
    assert len(lines) == 1000
    second = Second(stack.name(SCIDOG))
    request = json.dumps({"name": "large", "revision": "", "lines": lines})
    assert len(json.loads(scidog.SaveConfig(request))["entries"]) == 1000
    scidog.ActiveConfig = "large"
    assert len(json.loads(scidog.Entries)) == 1000
    report = json.loads(scidog.Validate("large"))
    assert (report["ok"], report["entries"], report["findings"]) == (True, 1000, [])
    found = json.loads(scidog.Preview(""))
    assert (found["values"], found["failed"]) == (1000, [])
    _, longest = second.stop()
    assert longest < 0.5  # the machine may be busy; each of these calls would block for longer
