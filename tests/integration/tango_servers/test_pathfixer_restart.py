"""PathFixer is killed, loses its storage or its office, and gets hostile writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import tango
from tango import DevState

import deploy.demo
from deploy.demo.stack import PATHFIXER, Stack
from sdm.names import today
from tests.integration.tango_servers.pathfixer import cleared, configure, initialise, kill, proxy_of, start, start_again
from tests.servers.tango_system import FACILITY, Events, control_system, refusal
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("restart"), FACILITY) as system:
        start(system)
        yield system


@pytest.fixture
def pathfixer(stack: Stack) -> tango.DeviceProxy:
    return cleared(stack, "UserName", "Endstation")


# ------------------------------------------------------------------------ killed


def test_the_selection_is_restored_after_a_kill(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Proposal = "20250001"
    pathfixer.Visit = "20250310"
    pathfixer.Sample = "a/b"
    pathfixer.UserName = "Åsa"
    pathfixer.Endstation = "SAXS"
    names = ("Proposal", "Visit", "Sample", "SamplePath", "UserName", "Endstation", "Type")
    before = [pathfixer.read_attribute(name).value for name in names]
    kill(stack)
    start_again(stack)
    assert [pathfixer.read_attribute(name).value for name in names] == before
    assert pathfixer.state() == DevState.STANDBY


def test_forced_and_derived_values_are_restored_after_a_kill(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Proposal = "20250001"
    pathfixer.Visit = "20250310"
    pathfixer.Sample = "fibre_A"
    pathfixer.ForceProposal("20250117")
    kill(stack)
    start_again(stack)
    assert (pathfixer.Proposal, pathfixer.Visit, pathfixer.Sample) == ("20250117", today(), "")


def test_a_path_set_by_hand_is_restored_until_something_else_is_written(
    stack: Stack, pathfixer: tango.DeviceProxy
) -> None:
    pathfixer.Proposal = "20250001"
    pathfixer.Visit = "20250310"
    pathfixer.Sample = "a"
    usual = pathfixer.Path
    other = Path(usual) / "Å_alignment"
    other.mkdir(exist_ok=True)
    pathfixer.Path = str(other)
    kill(stack)
    start_again(stack)
    for _ in range(2):
        assert (pathfixer.Path, pathfixer.SamplePath) == (str(other), str(other / "a"))
        assert json.loads(pathfixer.Describe())["by_hand"] is True
        assert "(Path was set by hand)" in pathfixer.status()
        assert pathfixer.state() == DevState.STANDBY
        initialise(stack)
    pathfixer.Proposal = "20250001"
    assert pathfixer.Path == usual
    kill(stack)
    start_again(stack)
    assert pathfixer.Path == usual


def test_a_path_set_by_hand_that_is_missing_after_a_kill_is_waited_for(
    stack: Stack, pathfixer: tango.DeviceProxy
) -> None:
    pathfixer.Proposal = "20250001"
    usual = pathfixer.Path
    other = Path(usual) / "by_hand"
    other.mkdir()
    pathfixer.Path = str(other)
    kill(stack)
    other.rmdir()
    start_again(stack)
    assert (pathfixer.state(), pathfixer.Path, pathfixer.SamplePath) == (DevState.FAULT, "", "")
    assert f"Proposal 20250001 is not in use: path {str(other)!r} refused" in pathfixer.status()
    other.mkdir()
    assert eventually(lambda: pathfixer.Path == str(other))
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY), pathfixer.status()
    other.rmdir()
    initialise(stack)
    assert pathfixer.state() == DevState.FAULT
    pathfixer.Proposal = "20250001"
    assert pathfixer.Path == usual
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY), pathfixer.status()


def test_a_path_written_into_the_database_is_checked_too(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Proposal = "20250001"
    stack.db.put_device_attribute_property(PATHFIXER, {"Path": {"by_hand": ["/etc"]}, "Type": {"in_use": ["../.."]}})
    initialise(stack)
    assert (pathfixer.state(), pathfixer.Path, pathfixer.Type) == (DevState.FAULT, "", "")
    assert "path '/etc' refused: it is not a folder inside" in pathfixer.status()


def test_changes_at_the_office_are_used_at_the_next_restart(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Proposal = "20250001"
    path = pathfixer.Path
    kept = stack.db.get_device_attribute_property(PATHFIXER, "Type")["Type"]
    assert list(kept["in_use"]) == ["visitors"]
    office = stack.user_office()
    office.write_text(office.read_text("utf-8").replace("category: visitors", "category: staff", 1), "utf-8")
    initialise(stack)
    assert (pathfixer.Type, pathfixer.Path) == ("staff", path.replace("visitors", "staff"))
    kept = stack.db.get_device_attribute_property(PATHFIXER, "Type")["Type"]
    assert list(kept["in_use"]) == ["staff"]
    stack.user_office()


def test_characters_that_tango_cannot_send_do_not_prevent_the_start(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    for attribute in ("UserName", "Sample"):
        stack.db.put_device_attribute_property(PATHFIXER, {attribute: {"__value": ["λ"]}})
    for begin in (lambda: initialise(stack), lambda: (kill(stack), start_again(stack))):
        begin()
        assert pathfixer.read_attribute("UserName").value
        assert pathfixer.read_attribute("Sample").value
        assert pathfixer.state() == DevState.FAULT, pathfixer.status()
        assert "sample" in pathfixer.status()
    pathfixer.Sample = ""
    pathfixer.UserName = ""
    assert pathfixer.state() == DevState.STANDBY


def test_started_without_office_and_storage_it_restores_the_selection_when_they_are_back(
    stack: Stack, pathfixer: tango.DeviceProxy, data: Path
) -> None:
    pathfixer.Proposal = "20250001"
    pathfixer.Visit = "20250310"
    pathfixer.Sample = "fibre_A"
    path = pathfixer.SamplePath
    away = data.with_name("unmounted")
    kill(stack)
    stack.user_office().unlink()
    data.rename(away)
    start_again(stack)
    assert pathfixer.state() == DevState.FAULT
    assert "Proposal 20250001 is not in use" in pathfixer.status()
    assert "Is the storage mounted?" in pathfixer.status()
    assert (pathfixer.Proposal, pathfixer.Visit, pathfixer.Sample) == ("20250001", "20250310", "fibre_A")
    assert (pathfixer.Path, pathfixer.SamplePath) == ("", "")
    assert not data.exists()  # nothing is made where a disk should be
    events = Events(pathfixer, "SamplePath", "State")
    away.rename(data)
    assert eventually(lambda: pathfixer.SamplePath == path)
    assert eventually(lambda: pathfixer.state() == DevState.ALARM)
    assert "Its answer of " in pathfixer.status()
    stack.user_office()
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY)
    assert eventually(
        lambda: [value for name, value in events.seen if name == "state"] == [DevState.ALARM, DevState.STANDBY]
    )
    assert [value for name, value in events.seen if name == "samplepath"] == [path]
    events.close()


def test_another_proposal_can_be_written_if_the_previous_one_cannot_be_restored(
    stack: Stack, pathfixer: tango.DeviceProxy
) -> None:
    pathfixer.Proposal = "20250001"
    kill(stack)
    memory = stack.folder / "memory" / "proposals.json"
    assert eventually(memory.exists)
    memory.unlink()
    office = stack.user_office()
    office.write_text(office.read_text("utf-8").replace("20250001", "20250002"), "utf-8")
    start_again(stack)
    assert pathfixer.state() == DevState.FAULT
    assert "has no proposal '20250001'" in pathfixer.status()
    pathfixer.Proposal = "20250002"
    assert (pathfixer.state(), pathfixer.Proposal) == (DevState.STANDBY, "20250002")
    assert pathfixer.Path.endswith(f"20250002/{today()}/raw")


@pytest.mark.parametrize(
    ("attribute", "value"), [("Proposal", "../x"), ("Sample", "a\nb"), ("Visit", "x y"), ("Visit", "x" * 5000)]
)
def test_values_written_into_the_database_are_checked_too(
    stack: Stack, pathfixer: tango.DeviceProxy, attribute: str, value: str
) -> None:
    def put(name: str, value: str) -> None:
        stack.db.put_device_attribute_property(PATHFIXER, {name: {"__value": [value]}})

    pathfixer.Proposal = "20250001"
    if attribute == "Sample":  # Tango, too, writes these values when the server starts
        kill(stack)
        put(attribute, value)
        start_again(stack)
    else:
        put(attribute, value)
        initialise(stack)
    assert pathfixer.state() == DevState.FAULT
    assert "is not in use: " in pathfixer.status()
    assert pathfixer.Path == ""
    for name in ("Proposal", "Visit", "Sample"):
        pathfixer.read_attribute(name)
        put(name, "")
    initialise(stack)
    assert pathfixer.state() == DevState.STANDBY, pathfixer.status()


def test_a_lost_storage_is_reported_and_its_folders_are_made_when_it_is_back(
    stack: Stack, pathfixer: tango.DeviceProxy, data: Path
) -> None:
    pathfixer.Proposal = "20250001"
    path = Path(pathfixer.SamplePath)
    away = data.with_name("unmounted")
    data.rename(away)
    pathfixer.TurnOn()  # it checks at once
    assert eventually(lambda: pathfixer.state() == DevState.FAULT)
    assert "Is the storage mounted?" in pathfixer.status()
    assert pathfixer.SamplePath == str(path)
    away.rename(data)
    for folder in (path, path.parent / "process", path.parent):
        folder.rmdir()
    assert eventually(lambda: pathfixer.state() == DevState.ON)
    assert path.is_dir()


def test_a_missing_group_is_an_alarm_until_it_exists(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    demo = Path(deploy.demo.__file__).with_name("proposals.yaml").read_text("utf-8")
    stack.user_office().write_text(demo, "utf-8")
    pathfixer.Proposal = "20250001"
    assert pathfixer.state() == DevState.ALARM
    assert "there is no group '20250001-group' on this machine" in pathfixer.status()
    assert Path(pathfixer.Path).is_dir()
    stack.user_office()
    pathfixer.TurnOn()
    assert eventually(lambda: pathfixer.state() == DevState.ON)


# ------------------------------------------------------------------------- events


def test_everything_that_changes_is_pushed(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    changing = list(pathfixer.get_attribute_list())
    pathfixer.Proposal = "20250117"
    assert eventually(lambda: pathfixer.Proposals is not None and len(pathfixer.Proposals) == 4)
    events = Events(pathfixer, *changing)
    pathfixer.UserName = "Åsa"
    pathfixer.Endstation = "SAXS"
    pathfixer.Proposal = "IN20250042"
    pathfixer.Visit = "20251103"
    pathfixer.Sample = "batch_1"
    configure(stack, PathConsumers=["{device: a/b/nothing, attribute: x}"], Raw_path_readonly=["true"])
    stack.user_office().write_text("proposals: []", "utf-8")
    pathfixer.TurnOn()
    wanted = {name.lower() for name in changing}
    assert eventually(lambda: wanted <= {name for name, _ in events.seen}), wanted - {name for name, _ in events.seen}
    events.close()


# ------------------------------------------------------------------------ hostile

WRITABLE = ("Proposal", "Visit", "Sample", "Path", "UserName", "Endstation")
FORCED = ("ForceProposal", "ForceVisit")
ODD = ["a\nb", "20250001\n", "\t", "a\x1b[2Jb", "a\x7f", "a\x85b", "a\xa0b", "x" * 10_000_000, "\n" * 10_000_000]
FOLDERS = [
    "..",
    "../..",
    "a/../../b",
    "/etc",
    "~root",
    "a b",
    "Åsa",
    "$(reboot)",
    "`id`",
    "a;b",
    "-rf",
    ".hidden",
    "con",
]


def _write(pathfixer: tango.DeviceProxy, name: str, value: str) -> None:
    if name in FORCED:
        pathfixer.command_inout(name, value)
    else:
        pathfixer.write_attribute(name, value)


@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value[:9]))
@pytest.mark.parametrize("name", WRITABLE + FORCED)
def test_unusual_names_are_refused_with_a_clear_text(
    pathfixer: tango.DeviceProxy, name: str, value: str, data: Path
) -> None:
    _refused(pathfixer, name, value, data)


@pytest.mark.parametrize("value", FOLDERS)
@pytest.mark.parametrize("name", ["Proposal", "Visit", "Sample", "Path", *FORCED])
def test_names_that_would_leave_the_folder_are_refused(
    pathfixer: tango.DeviceProxy, name: str, value: str, data: Path
) -> None:
    _refused(pathfixer, name, value, data)


def _refused(pathfixer: tango.DeviceProxy, name: str, value: str, data: Path) -> None:
    pathfixer.Proposal = "20250001"
    before = {each: pathfixer.read_attribute(each).value for each in (*WRITABLE, "SamplePath", "Type")}
    folders = sorted(os.walk(data))
    with pytest.raises(tango.DevFailed) as error:
        _write(pathfixer, name, value)
    reason, text = refusal(error)
    assert reason in ("PathFixer_NameRefused", "PathFixer_UnknownProposal")
    assert "refused: " in text or "has no proposal" in text
    assert len(text) < 600
    assert text.isprintable()
    assert {each: pathfixer.read_attribute(each).value for each in before} == before
    assert sorted(os.walk(data)) == folders
    assert pathfixer.state() == DevState.STANDBY


def test_simultaneous_writes_leave_the_state_that_one_client_requested(
    stack: Stack, pathfixer: tango.DeviceProxy
) -> None:
    pathfixer.Proposal = "20250001"
    numbers = [f"s{number}" for number in range(30)]
    asked = [proxy_of(stack) for _ in numbers]
    ids = [proxy.write_attribute_asynch("Sample", name) for proxy, name in zip(asked, numbers, strict=True)]
    taken, refused = [], []
    for name, proxy, number in zip(numbers, asked, ids, strict=True):
        try:
            proxy.write_attribute_reply(number, int(PATIENCE * 1000))
            taken.append(name)
        except tango.DevFailed as failed:  # on a busy machine its turn may come too late; then the error says so
            refused.append(failed.args[0].reason)
    assert set(refused) <= {"PathFixer_Busy"}
    assert pathfixer.Sample in taken
    assert pathfixer.SamplePath == f"{pathfixer.Path}/{pathfixer.Sample}"
    found = [value.value for value in pathfixer.read_attributes(["Sample", "SamplePath"])]
    kill(stack)
    start_again(stack)
    assert [pathfixer.Sample, pathfixer.SamplePath] == found
