"""PathFixer sends the path to detectors that are slow, refuse, hang, or restart without it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator

import pytest
import tango
from tango import DevState

from deploy.demo.processes import Process
from deploy.demo.stack import Stack
from tests.integration.tango_servers.pathfixer import cleared, configure, start
from tests.servers.tango_system import Events, control_system, patient
from tests.waiting import eventually

GOOD, OTHER = "b311a/ea/good", "b311a/ea/other"


class Detectors:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._command = [sys.executable, "-m", "tests.integration.tango_servers.detector"]
        self.servers: dict[str, Process] = {}

    def start(self, name: str, **properties: str) -> tango.DeviceProxy:
        """Start the detector again, with nothing written to it."""
        self.stop(name)
        server = f"Detector/{name.rpartition('/')[2]}"
        self._stack.db.delete_device_property(name, ["Delay", "Refuses", "Slash"])
        wanted = {key: [value] for key, value in properties.items()}
        self.servers[name] = self._stack.start_server(server, {name: ("Detector", wanted)}, self._command)
        return patient(self._stack.name(name))

    def stop(self, name: str) -> None:
        if name in self.servers:
            self.servers.pop(name).kill()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("consumers")) as system:
        start(system)
        yield system


@pytest.fixture
def detectors(stack: Stack) -> Iterator[Detectors]:
    found = Detectors(stack)
    yield found
    for name in list(found.servers):
        found.stop(name)


@pytest.fixture
def pathfixer(stack: Stack) -> tango.DeviceProxy:
    """PathFixer that sends the path to two detectors, as soon as it has a proposal."""
    proxy = cleared(stack)
    configure(stack, PathConsumers=[f"{{device: {name}, attribute: FilePath}}" for name in (GOOD, OTHER)])
    return proxy


def test_a_refusing_consumer_is_named_with_its_reason_and_retried(
    stack: Stack, pathfixer: tango.DeviceProxy, detectors: Detectors
) -> None:
    good = detectors.start(GOOD)
    detectors.start(OTHER, Refuses="true", Delay="1.0")
    events = Events(pathfixer, "BadDevices", "PendingDevices", "State", "Status")
    pathfixer.Proposal = "20250001"
    assert eventually(lambda: pathfixer.BadDevices == (OTHER,))
    assert eventually(lambda: good.FilePath == pathfixer.SamplePath)
    assert eventually(lambda: pathfixer.state() == DevState.ALARM)
    assert f"{OTHER} refused the path: it is armed. Retrying every 10 s" in pathfixer.status()

    def pushed(name: str, part: object) -> bool:
        values = [value for seen, value in events.seen if seen == name]
        return any(part == value if name == "state" else part in (value or ()) for value in values)

    assert eventually(lambda: pushed("pendingdevices", OTHER))
    assert eventually(lambda: pushed("baddevices", OTHER))
    assert eventually(lambda: pushed("state", DevState.ALARM))
    assert eventually(lambda: pushed("status", "it is armed"))
    events.close()
    other = detectors.start(OTHER)
    assert eventually(lambda: other.FilePath == pathfixer.SamplePath)
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY)
    assert not pathfixer.BadDevices


@pytest.mark.long
def test_a_hanging_consumer_delays_no_other(stack: Stack, pathfixer: tango.DeviceProxy, detectors: Detectors) -> None:
    good = detectors.start(GOOD)
    other = detectors.start(OTHER)
    pathfixer.Proposal = "20250001"
    assert eventually(lambda: other.FilePath == pathfixer.SamplePath)
    os.kill(detectors.servers[OTHER].pid, signal.SIGSTOP)
    try:
        for sample in ("a", "b", "c"):
            pathfixer.Sample = sample
            assert eventually(lambda: good.FilePath == pathfixer.SamplePath)
        assert set(pathfixer.PendingDevices) | set(pathfixer.BadDevices) == {OTHER}
        assert eventually(lambda: pathfixer.BadDevices == (OTHER,))
        assert eventually(lambda: pathfixer.state() == DevState.ALARM)
    finally:
        os.kill(detectors.servers[OTHER].pid, signal.SIGCONT)
    assert eventually(lambda: other.FilePath == pathfixer.SamplePath)
    assert eventually(lambda: not pathfixer.BadDevices)


def test_a_restarted_consumer_that_has_lost_the_path_gets_it_again(
    stack: Stack, pathfixer: tango.DeviceProxy, detectors: Detectors
) -> None:
    detectors.start(GOOD)
    detectors.start(OTHER, Slash="true")
    pathfixer.Proposal = "20250001"
    assert eventually(lambda: not pathfixer.PendingDevices)
    again = detectors.start(GOOD)
    assert eventually(lambda: again.FilePath == pathfixer.SamplePath)
    again.FilePath = ""
    old = pathfixer.SamplePath
    pathfixer.Sample = "fibre_A"
    assert eventually(lambda: again.FilePath == pathfixer.SamplePath)
    again.FilePath = old  # like a detector that has stored yesterday's file
    assert eventually(lambda: again.FilePath == pathfixer.SamplePath)
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY)


def test_a_consumer_that_was_given_another_path_keeps_it_and_that_is_reported(
    stack: Stack, pathfixer: tango.DeviceProxy, detectors: Detectors
) -> None:
    good = detectors.start(GOOD)
    slashed = detectors.start(OTHER, Slash="true")
    pathfixer.Proposal = "20250001"
    assert eventually(lambda: slashed.FilePath == f"{pathfixer.SamplePath}/")
    assert eventually(lambda: good.FilePath == pathfixer.SamplePath)
    good.FilePath = "/tmp/mine"
    assert eventually(lambda: "FilePath is '/tmp/mine', written by somebody else" in pathfixer.status())
    assert eventually(lambda: pathfixer.state() == DevState.ALARM)
    assert not pathfixer.BadDevices
    consumers = json.loads(pathfixer.Describe())["consumers"]
    assert [(one["device"], one["state"], one["detail"]) for one in consumers] == [
        (GOOD, "other", "/tmp/mine"),
        (OTHER, "has it", pathfixer.SamplePath),
    ]
    assert good.FilePath == "/tmp/mine"
    assert slashed.Written == 1  # it shows the path with a slash, which is no reason to write it again
    pathfixer.TurnOn()
    assert eventually(lambda: good.FilePath == pathfixer.SamplePath)
    assert eventually(lambda: pathfixer.state() == DevState.ON)
