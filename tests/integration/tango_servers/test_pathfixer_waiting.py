"""PathFixer while the storage or the user office hangs: who must wait, and who is answered."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tango
from tango import DevState

from deploy.demo.stack import Stack
from tests.integration.tango_servers.pathfixer import cleared, proxy_of, start
from tests.servers.tango_system import control_system, refusal
from tests.waiting import PATIENCE, eventually

DEFAULT = 3.0
"""Seconds: Tango's own time-out."""


class Storage:
    """The storage of the tested PathFixer, which can hang."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.switch = folder / "hang"
        self._held = folder / "hang.held"
        here = Path(__file__).with_name("hanging")
        self.environment = {
            "PYTHONPATH": f"{here}:{os.environ.get('PYTHONPATH', '')}",
            "SCIZOO_HANG": str(self.switch),
        }

    @contextlib.contextmanager
    def hanging(self, where: Path | None = None) -> Iterator[None]:
        self._held.unlink(missing_ok=True)
        part = self.switch.with_suffix(".new")
        part.write_text(str(where or self.data), "utf-8")
        part.rename(self.switch)
        try:
            yield
        finally:
            self.switch.unlink()

    def holds_a_client(self) -> bool:
        """Whether a client's call is waiting for the storage: Python has no name for the threads of such calls."""
        return self._held.exists() and "Dummy-" in self._held.read_text("utf-8")


class Writer(threading.Thread):
    """A client that writes an attribute, with a time-out in seconds; `failed` is the error that it gets."""

    def __init__(self, stack: Stack, attribute: str, value: str, timeout: float = PATIENCE) -> None:
        super().__init__()
        self._attribute, self._value = attribute, value
        self._proxy = proxy_of(stack)
        self._proxy.set_timeout_millis(int(timeout * 1000))
        self.failed: tango.DevFailed | None = None
        self.start()

    def run(self) -> None:
        with tango.EnsureOmniThread():
            try:
                self._proxy.write_attribute(self._attribute, self._value)
            except tango.DevFailed as failed:
                self.failed = failed


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("waiting")) as system:
        system.env.update(Storage(system.folder).environment)
        start(system)
        yield system


@pytest.fixture
def storage(stack: Stack) -> Storage:
    return Storage(stack.folder)


@pytest.fixture
def pathfixer(stack: Stack) -> tango.DeviceProxy:
    proxy = cleared(stack)
    proxy.Proposal = "20250001"
    assert eventually(lambda: proxy.state() == DevState.STANDBY)
    return proxy


def test_reading_goes_on_while_a_write_waits_for_the_storage(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    before = pathfixer.SamplePath
    with storage.hanging():
        writer = Writer(stack, "Sample", "slow")
        assert eventually(storage.holds_a_client)
        for name in ("SamplePath", "State", "Status"):
            pathfixer.read_attribute(name)
        assert pathfixer.SamplePath == before
        assert writer.is_alive()  # it returns when it is done, not before
    writer.join()
    assert writer.failed is None
    assert pathfixer.SamplePath == f"{before}/slow"


def test_reading_goes_on_while_a_write_waits_for_the_office(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    with storage.hanging(stack.user_office()):
        writer = Writer(stack, "Proposal", "20250117")
        assert eventually(storage.holds_a_client)
        assert eventually(lambda: "The user office has not answered since" in pathfixer.status())
        assert eventually(lambda: pathfixer.state() == DevState.ALARM)
        assert pathfixer.Proposal == "20250001"
        assert writer.is_alive()
    writer.join()
    assert writer.failed is None
    assert pathfixer.Proposal == "20250117"


def test_a_write_that_succeeds_after_its_clients_time_out_is_in_use_and_shown(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    with storage.hanging():
        writer = Writer(stack, "Sample", "late", DEFAULT)
        writer.join()
        assert writer.failed is not None
        assert writer.failed.args[-1].reason == "API_DeviceTimedOut" or "imeout" in str(writer.failed)
        assert eventually(lambda: "Sample 'late' since" in pathfixer.status())
        assert "The storage has not answered since" in pathfixer.status()
        assert pathfixer.state() == DevState.FAULT
        described = json.loads(pathfixer.Describe())
        assert described["folders"] == []
        assert "the folders cannot be checked: the storage does not answer" in described["problems"]
    assert eventually(lambda: pathfixer.Sample == "late")
    assert pathfixer.SamplePath.endswith("/raw/late")
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY)

    def kept() -> list[str]:
        found = stack.db.get_device_attribute_property(pathfixer.dev_name(), "Sample")
        return list(found["Sample"]["__value"])

    assert eventually(lambda: kept() == ["late"])


def test_a_write_refused_after_its_clients_time_out_is_reported_until_the_next_write(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    (Path(pathfixer.Path) / "linked").symlink_to("/tmp")
    with storage.hanging():
        writer = Writer(stack, "Sample", "linked", DEFAULT)
        writer.join()
        assert eventually(lambda: "Sample 'linked' since" in pathfixer.status())
    assert eventually(lambda: "Sample 'linked' was refused at" in pathfixer.status())
    assert eventually(lambda: pathfixer.state() == DevState.ALARM)
    assert pathfixer.Sample == ""
    pathfixer.Sample = "fibre_A"
    assert pathfixer.state() == DevState.STANDBY


def test_a_second_writer_is_refused_at_once_with_the_operation_in_progress(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    with storage.hanging():
        first = Writer(stack, "Sample", "first")
        assert eventually(storage.holds_a_client)
        second = Writer(stack, "Proposal", "20250117")
        # an invalid value is refused without waiting for its turn
        with pytest.raises(tango.DevFailed, match="use letters") as wrong:
            pathfixer.Sample = "fibre A"
        second.join()
        assert first.is_alive()
    first.join()
    assert first.failed is None
    assert second.failed is not None
    assert refusal(wrong)[0] == "PathFixer_NameRefused"
    assert second.failed.args[0].reason == "PathFixer_Busy"
    assert "still in progress: Sample 'first' since" in second.failed.args[0].desc
    assert (pathfixer.Proposal, pathfixer.Sample) == ("20250001", "first")


def test_it_starts_and_answers_while_the_storage_hangs(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage
) -> None:
    path = pathfixer.Path
    with storage.hanging():
        pathfixer.Init()
        assert (pathfixer.state(), pathfixer.Proposal, pathfixer.Path) == (DevState.FAULT, "20250001", "")
        assert "has not answered" in pathfixer.status()
    assert eventually(lambda: pathfixer.Path == path)
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY)


@pytest.mark.parametrize(("attribute", "value"), [("Sample", "old"), ("Visit", "20250310"), ("Proposal", "20250117")])
def test_init_does_not_wait_for_a_write_in_progress(
    stack: Stack, pathfixer: tango.DeviceProxy, storage: Storage, attribute: str, value: str
) -> None:
    pathfixer.Sample = "before"
    used = [pathfixer.read_attribute(name).value for name in ("Proposal", "Visit", "SamplePath")]
    with storage.hanging():
        writer = Writer(stack, attribute, value)
        assert eventually(storage.holds_a_client)
        pathfixer.Init()
        assert [pathfixer.Proposal, pathfixer.Visit, pathfixer.Sample] == [*used[:2], "before"]
        assert writer.is_alive()
    writer.join()
    assert writer.failed is not None
    assert writer.failed.args[0].reason == "PathFixer_Replaced"
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY), pathfixer.status()
    assert [pathfixer.read_attribute(name).value for name in ("Proposal", "Visit", "SamplePath")] == used


def test_a_write_right_after_init_is_accepted(pathfixer: tango.DeviceProxy) -> None:
    for number in range(20):
        pathfixer.Init()
        pathfixer.Sample = f"after{number}"
        assert pathfixer.Sample == f"after{number}"
