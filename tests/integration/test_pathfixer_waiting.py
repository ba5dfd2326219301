"""PathFixer while the storage or the user office hangs, and how long reading takes."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tango
from tango import DevState

from deploy.demo.stack import Stack
from tests.integration.pathfixer import configure, none_waited, proxy_of, times_of
from tests.tango_system import control_system, refusal
from tests.waiting import eventually

DETECTOR = "b311a/ea/detector"


class Storage:
    """The one of the PathFixer under test, which can hang."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.switch = folder / "hang"
        here = Path(__file__).with_name("hanging")
        self.environment = {
            "PYTHONPATH": f"{here}:{os.environ.get('PYTHONPATH', '')}",
            "SCIZOO_HANG": str(self.switch),
        }

    @contextlib.contextmanager
    def hanging(self, where: Path | None = None) -> Iterator[None]:
        part = self.switch.with_suffix(".new")
        part.write_text(str(where or self.data), "utf-8")
        part.rename(self.switch)
        try:
            yield
        finally:
            self.switch.unlink()


class Writer(threading.Thread):
    """A client that writes an attribute; `failed` is what it was told."""

    def __init__(self, stack: Stack, attribute: str, value: str) -> None:
        super().__init__()
        self._stack, self._attribute, self._value = stack, attribute, value
        self.failed: tango.DevFailed | None = None
        self.seconds = 0.0
        self.start()

    def run(self) -> None:
        with tango.EnsureOmniThread():
            begin = time.monotonic()
            try:
                proxy_of(self._stack).write_attribute(self._attribute, self._value)
            except tango.DevFailed as failed:
                self.failed = failed
            self.seconds = time.monotonic() - begin


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("waiting")) as system:
        system.env.update(Storage(system.folder).environment)
        system.start_pathfixer()
        yield system


@pytest.fixture
def storage(stack: Stack) -> Storage:
    return Storage(stack.folder)


@pytest.fixture
def pathfixer(stack: Stack) -> tango.DeviceProxy:
    proxy = proxy_of(stack)
    configure(stack)
    for attribute in ("Proposal", "Visit", "Sample"):
        proxy.write_attribute(attribute, "")
    proxy.Proposal = "20250001"
    assert eventually(lambda: proxy.state() == DevState.STANDBY)
    return proxy


def test_reading_goes_on_while_a_write_waits_for_the_storage(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    before = pathfixer.SamplePath
    with storage.hanging():
        writer = Writer(stack, "Sample", "slow")
        time.sleep(0.2)
        taken = [time for name in ("SamplePath", "State", "Status") for time in times_of(pathfixer, name, 30, 0.015)]
        assert pathfixer.SamplePath == before
        assert writer.is_alive()
        time.sleep(0.2)
    writer.join(5.0)
    assert writer.failed is None
    assert writer.seconds > 1.5  # it came back when it was done, not before
    assert pathfixer.SamplePath == f"{before}/slow"
    assert none_waited(taken)


def test_reading_goes_on_while_a_write_waits_for_the_office(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    with storage.hanging(stack.user_office()):
        writer = Writer(stack, "Proposal", "20250117")
        time.sleep(0.2)
        taken = times_of(pathfixer, "Proposal", 30, 0.015)
        assert pathfixer.Proposal == "20250001"
        assert writer.is_alive()
        assert eventually(lambda: "The user office has not answered since" in pathfixer.status())
        assert pathfixer.state() == DevState.ALARM
    writer.join(5.0)
    assert eventually(lambda: pathfixer.Proposal == "20250117")
    assert none_waited(taken)


def test_what_is_taken_when_its_client_has_given_up_is_in_use_and_seen(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    with storage.hanging():
        writer = Writer(stack, "Sample", "late")
        writer.join(6.0)
        assert writer.failed is not None
        assert writer.failed.args[-1].reason == "API_DeviceTimedOut" or "imeout" in str(writer.failed)
        assert eventually(lambda: pathfixer.state() == DevState.FAULT)
        assert "The storage has not answered since" in pathfixer.status()
        assert "Sample 'late' since" in pathfixer.status()
        described = json.loads(pathfixer.Describe())
        assert described["folders"] == []
        assert "the folders cannot be looked at: the storage does not answer" in described["problems"]
    assert eventually(lambda: pathfixer.Sample == "late")
    assert pathfixer.SamplePath.endswith("/raw/late")
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY)
    assert stack.db.get_device_attribute_property(pathfixer.dev_name(), "Sample")["Sample"]["__value"] == ["late"]


def test_what_is_refused_when_its_client_has_given_up_is_told_until_the_next_write(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    (Path(pathfixer.Path) / "linked").symlink_to("/tmp")
    with storage.hanging():
        writer = Writer(stack, "Sample", "linked")
        writer.join(6.0)
    assert eventually(lambda: "Sample 'linked' was refused at" in pathfixer.status())
    assert pathfixer.state() == DevState.ALARM
    assert pathfixer.Sample == ""
    pathfixer.Sample = "fibre_A"
    assert pathfixer.state() == DevState.STANDBY


def test_who_writes_meanwhile_is_told_what_is_under_way_and_not_kept_waiting(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    with storage.hanging():
        first = Writer(stack, "Sample", "first")
        time.sleep(0.2)
        second = Writer(stack, "Proposal", "20250117")
        with pytest.raises(tango.DevFailed, match="use letters") as wrong:  # what is wrong in itself needs no turn
            pathfixer.Sample = "fibre A"
        second.join(5.0)
        assert second.failed is not None
        assert second.seconds < 3.0
    first.join(5.0)
    assert refusal(wrong)[0] == "PathFixer_NameRefused"
    assert second.failed.args[0].reason == "PathFixer_Busy"
    assert "still under way: Sample 'first' since" in second.failed.args[0].desc
    assert (pathfixer.Proposal, pathfixer.Sample) == ("20250001", "first")


def test_it_starts_and_answers_while_the_storage_hangs(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    path = pathfixer.Path
    with storage.hanging():
        begin = time.monotonic()
        pathfixer.Init()
        assert time.monotonic() - begin < 2.9
        assert none_waited(times_of(pathfixer, "Path", 20))
        assert (pathfixer.state(), pathfixer.Proposal, pathfixer.Path) == (DevState.FAULT, "20250001", "")
        assert "has not answered" in pathfixer.status()
    assert eventually(lambda: pathfixer.Path == path)
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY)


@pytest.mark.parametrize(("attribute", "value"), [("Sample", "old"), ("Visit", "20250310"), ("Proposal", "20250117")])
def test_init_does_not_wait_for_what_was_being_written(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage, attribute: str, value: str
) -> None:
    pathfixer.Sample = "before"
    used = [pathfixer.read_attribute(name).value for name in ("Proposal", "Visit", "SamplePath")]
    pathfixer.set_timeout_millis(10_000)
    with storage.hanging():
        writer = Writer(stack, attribute, value)
        time.sleep(0.3)
        begin = time.monotonic()
        pathfixer.Init()
        assert time.monotonic() - begin < 2.9
        assert none_waited(times_of(pathfixer, attribute, 20))
        assert [pathfixer.Proposal, pathfixer.Visit, pathfixer.Sample] == [*used[:2], "before"]
    writer.join(6.0)
    assert writer.failed is not None
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY, 15), pathfixer.status()
    assert [pathfixer.read_attribute(name).value for name in ("Proposal", "Visit", "SamplePath")] == used


def test_what_a_client_writes_right_after_init_is_taken(pathfixer: tango.DeviceProxy) -> None:
    for number in range(20):
        pathfixer.Init()
        pathfixer.Sample = f"after{number}"
        assert pathfixer.Sample == f"after{number}"


def test_reading_costs_what_a_plain_attribute_costs(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    stack.start_server(
        "Detector/speed", {DETECTOR: ("Detector", {})}, [sys.executable, "-m", "tests.integration.detector"]
    )
    plain = tango.DeviceProxy(stack.name(DETECTOR))
    more = []
    for _ in range(10):  # side by side, since what else the machine does changes
        theirs = statistics.median(times_of(plain, "FilePath", 50))
        ours = statistics.median(times_of(pathfixer, "SamplePath", 50))
        more.append(ours - theirs)
    assert statistics.median(more) < 0.001
