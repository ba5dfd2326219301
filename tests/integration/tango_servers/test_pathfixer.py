"""PathFixer as a device server: whose data is being taken, and where it goes."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import tango
from tango import AttrMemorizedType, AttrWriteType, DevState

from deploy.demo.stack import PATHFIXER, Stack, proposals
from scifish.tango_io.database import raw
from sdm.names import today
from tango_servers.pathfixer.consumers import Consumer, parse_consumers
from tests.integration.tango_servers.pathfixer import cleared, configure, initialise, restart, start
from tests.servers.tango_system import FACILITY, Events, control_system, patient, refusal
from tests.waiting import eventually

pytestmark = pytest.mark.first

DETECTOR = "b311a-e/ctl/sdm-99"  # another PathFixer: it has writable texts


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("pathfixer"), FACILITY) as system:
        start(system)
        configure(system)
        yield system


@pytest.fixture
def pathfixer(stack: Stack) -> tango.DeviceProxy:
    proxy = cleared(stack)
    initialise(stack)
    return proxy


# ----------------------------------------------------------------------- interface


TEXT, TEXTS, FLAG = (
    (tango.DevString, tango.AttrDataFormat.SCALAR, 1),
    (tango.DevString, tango.AttrDataFormat.SPECTRUM, 1000),
    (tango.DevBoolean, tango.AttrDataFormat.SCALAR, 1),
)
MEMORISED = (AttrWriteType.READ_WRITE, AttrMemorizedType.MEMORIZED_WRITE_INIT)
WRITTEN = (AttrWriteType.READ_WRITE, AttrMemorizedType.NONE)
READ = (AttrWriteType.READ, AttrMemorizedType.NONE)

INTERFACE = {
    **{
        name: (*TEXTS, *READ)
        for name in ("Proposals", "Visits", "Samples", "ConfiguredDevices", "BadDevices", "PendingDevices")
    },
    **{name: (*TEXT, *MEMORISED) for name in ("Proposal", "Visit", "Sample")},
    **{name: (*TEXT, *READ) for name in ("SamplePath", "Type")},
    # PersistentState, too, but not by Tango itself: see tests/integration/tango_servers/test_pathfixer_restart.py.
    **{name: (*TEXT, *WRITTEN) for name in ("Path", "UserName", "Endstation")},
    "RawPathReadonly": (*FLAG, *READ),
}


def test_the_interface_is_the_one_that_clients_know(pathfixer: tango.DeviceProxy) -> None:
    found = {
        info.name: (info.data_type, info.data_format, info.max_dim_x, info.writable, info.memorized)
        for info in map(pathfixer.get_attribute_config, pathfixer.get_attribute_list())
        if info.name not in ("State", "Status")
    }
    assert found == INTERFACE
    assert {"TurnOn", "TurnOff"} <= set(pathfixer.get_command_list())


def test_it_starts_in_standby_without_a_proposal(pathfixer: tango.DeviceProxy) -> None:
    assert pathfixer.state() == DevState.STANDBY
    assert (pathfixer.Proposal, pathfixer.Path, pathfixer.SamplePath, pathfixer.Type) == ("", "", "", "")
    assert "write Proposal" in pathfixer.status()
    assert eventually(lambda: pathfixer.Proposals == ("20250001", "20250117", "IN20250042", "commissioning"))


def test_jive_can_show_what_each_property_is_for(stack: Stack) -> None:
    answer = iter(tango.DeviceProxy(stack.name("dserver/PathFixer/demo")).QueryWizardDevProperty("PathFixer"))
    documented = {name: text for name, text, _ in zip(answer, answer, answer, strict=True)}
    assert set(documented) == {
        *(
            "Beamline",
            "Office",
            "OfficeMemory",
            "Prefix",
            "StorageLayout",
            "PathConsumers",
            "Doors",
            "Raw_path_readonly",
        ),
    }
    assert all(documented.values())


# ------------------------------------------------------------------------ the path


def test_proposal_and_visit_can_be_set_together(pathfixer: tango.DeviceProxy, data: Path) -> None:
    pathfixer.Proposal = "20250001"
    folder = data / "visitors" / "cosaxs" / "20250117"
    shutil.rmtree(folder, ignore_errors=True)
    pathfixer.SetProposal(["20250117", "20251014"])
    assert [one.name for one in folder.iterdir()] == ["20251014"]
    assert pathfixer.Path == f"{folder}/20251014/raw"
    pathfixer.Sample = "a"
    pathfixer.SetProposal([" 20250117", "Auto", "force"])
    assert (pathfixer.Visit, pathfixer.Sample) == (today(), "a")
    before = sorted(os.walk(data))
    for given, says in (
        (["20250117"], "expected a proposal's number, a visit and optionally force, but got 1 texts"),
        (["20250117", "20251014", "now"], "the third text must be force, not 'now'"),
        (["../x", "20251014"], "refused: "),
        (["20250001", "../x"], "refused: "),
        (["20259999", "20251014"], "has no proposal '20259999'"),
    ):
        with pytest.raises(tango.DevFailed, match=re.escape(says)):
            pathfixer.SetProposal(given)
    assert sorted(os.walk(data)) == before
    assert (pathfixer.Proposal, pathfixer.Visit) == ("20250117", today())
    pathfixer.TurnOff()
    with pytest.raises(tango.DevFailed, match="not allowed"):
        pathfixer.SetProposal(["20250001", "auto"])


def test_the_path_follows_proposal_visit_and_sample(pathfixer: tango.DeviceProxy, data: Path) -> None:
    pathfixer.Proposal = "20250001"
    raw = data / "visitors" / "cosaxs" / "20250001" / today() / "raw"
    assert (pathfixer.Path, pathfixer.SamplePath) == (str(raw), str(raw))
    assert pathfixer.Type == "visitors"
    assert pathfixer.Visits == ("20250310", "20250922", today())
    pathfixer.Visit = "2025031012"
    pathfixer.Sample = "0000_setup"
    raw = data / "visitors" / "cosaxs" / "20250001" / "2025031012" / "raw"
    assert (pathfixer.Path, pathfixer.SamplePath) == (str(raw), str(raw / "0000_setup"))
    assert pathfixer.Samples == ("0000_setup", "empty_cell", "fibre_A", "fibre_B")
    assert stat.S_IMODE(os.stat(pathfixer.SamplePath).st_mode) == 0o2770
    assert stat.S_IMODE(raw.parent.parent.stat().st_mode) == 0o2750
    assert (raw.parent / "process").is_dir()
    assert "Swelling of cellulose fibres" in pathfixer.status()


@pytest.mark.parametrize(
    ("proposal", "where"), [("IN20250042", "proprietary"), ("commissioning", "staff"), ("20250117", "visitors")]
)
def test_each_category_has_its_folder(pathfixer: tango.DeviceProxy, data: Path, proposal: str, where: str) -> None:
    pathfixer.Proposal = proposal
    assert pathfixer.Type == where
    assert pathfixer.Path == str(data / where / "cosaxs" / proposal / today() / "raw")


@pytest.mark.parametrize("visit", ["", "auto", "Auto"])
def test_the_visit_is_todays_by_default(pathfixer: tango.DeviceProxy, visit: str) -> None:
    pathfixer.Proposal = "20250001"
    pathfixer.Visit = "20250310"
    pathfixer.Visit = visit
    assert pathfixer.Visit == today()


def test_another_proposal_starts_without_the_previous_sample_and_visit(
    stack: Stack, pathfixer: tango.DeviceProxy
) -> None:
    pathfixer.Proposal = "20250001"
    pathfixer.Visit = "20250310"
    pathfixer.Sample = "fibre_A"
    pathfixer.Proposal = "20250001"
    assert (pathfixer.Visit, pathfixer.Sample) == ("20250310", "fibre_A")
    pathfixer.Proposal = "20250117"
    assert (pathfixer.Visit, pathfixer.Sample) == (today(), "")
    assert pathfixer.read_attribute("Sample").w_value == ""
    restart(stack)
    assert (pathfixer.Proposal, pathfixer.Visit, pathfixer.Sample) == ("20250117", today(), "")


def test_without_a_proposal_there_is_no_path(pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Proposal = "20250001"
    pathfixer.Proposal = ""
    assert (pathfixer.Proposal, pathfixer.Path, pathfixer.SamplePath, pathfixer.Type) == ("", "", "", "")
    assert pathfixer.state() == DevState.STANDBY


@pytest.mark.parametrize("proposal", ["", "20250117"])
def test_a_sample_written_without_a_proposal_is_not_used_for_the_next_one(
    pathfixer: tango.DeviceProxy, proposal: str
) -> None:
    pathfixer.Visit = "20250310"
    pathfixer.Sample = "left_over"
    assert (pathfixer.Visit, pathfixer.Sample, pathfixer.Path) == ("20250310", "left_over", "")
    assert "A new proposal starts with the visit of today and no sample" in pathfixer.status()
    pathfixer.Proposal = proposal
    assert (pathfixer.Visit, pathfixer.Sample) == (today(), "")


def test_a_restart_restores_the_selection_and_makes_no_other_folder(
    stack: Stack, pathfixer: tango.DeviceProxy, data: Path
) -> None:
    pathfixer.Proposal = "20250001"
    pathfixer.Visit = "20250310"
    pathfixer.Sample = "fibre_A"
    pathfixer.UserName = "Åsa"
    before = (pathfixer.Proposal, pathfixer.Visit, pathfixer.SamplePath, pathfixer.UserName)
    shutil.rmtree(data / "visitors" / "cosaxs" / "20250001")
    restart(stack)
    assert (pathfixer.Proposal, pathfixer.Visit, pathfixer.SamplePath, pathfixer.UserName) == before
    assert [path.name for path in (data / "visitors" / "cosaxs" / "20250001").iterdir()] == ["20250310"]
    initialise(stack)
    assert (pathfixer.Proposal, pathfixer.Visit, pathfixer.SamplePath, pathfixer.UserName) == before
    assert [path.name for path in (data / "visitors" / "cosaxs" / "20250001").iterdir()] == ["20250310"]


def test_a_folder_of_the_proposal_can_be_set_by_hand(pathfixer: tango.DeviceProxy, data: Path, tmp_path: Path) -> None:
    with pytest.raises(tango.DevFailed, match="write Proposal first"):
        pathfixer.Path = str(data)
    pathfixer.Proposal = "20250001"
    pathfixer.Sample = "a"
    usual = pathfixer.Path
    other = Path(usual) / "alignment"
    with pytest.raises(tango.DevFailed, match="No such file"):
        pathfixer.Path = str(other)
    other.mkdir()
    pathfixer.Path = str(other)
    assert (pathfixer.Path, pathfixer.SamplePath) == (str(other), str(other / "a"))
    (Path(usual) / "led_out").mkdir()
    (Path(usual) / "led_out" / "a").symlink_to(tmp_path)
    with pytest.raises(tango.DevFailed, match="its a is a link to a folder outside"):
        pathfixer.Path = str(Path(usual) / "led_out")
    (other / "link").symlink_to(tmp_path)
    for outside in ("/etc", str(data), f"{usual}/../../../..", str(other / "link"), "raw", ""):
        with pytest.raises(tango.DevFailed, match="PathFixer_NameRefused"):
            pathfixer.Path = outside
    pathfixer.Sample = "b"
    assert pathfixer.Path == usual


def test_a_folder_whose_name_tango_cannot_carry_is_refused_also_through_a_link(pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Proposal = "20250001"
    raw_folder = Path(pathfixer.Path)
    (raw_folder / "λ").mkdir()
    (raw_folder / "link").symlink_to("λ")
    with pytest.raises(tango.DevFailed) as error:
        pathfixer.Path = str(raw_folder / "link")
    assert refusal(error)[0] == "PathFixer_NameRefused"
    assert "Tango cannot send" in refusal(error)[1]
    assert pathfixer.Path == str(raw_folder)
    (raw_folder / "ä").mkdir()
    pathfixer.Path = str(raw_folder / "ä")
    assert pathfixer.Path == str(raw_folder / "ä")


def test_raw_can_be_kept_from_users(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    assert not pathfixer.RawPathReadonly
    configure(stack, Raw_path_readonly=["true"])
    assert pathfixer.RawPathReadonly
    pathfixer.Proposal = "20250001"
    assert stat.S_IMODE(os.stat(pathfixer.Path).st_mode) == 0o2750


# ------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("attribute", "value", "reason", "says"),
    [
        ("Proposal", "7", "PathFixer_UnknownProposal", "has no proposal '7'"),
        ("Proposal", "../20250001", "PathFixer_NameRefused", "proposal '../20250001' refused"),
        ("Proposal", "30000001", "PathFixer_WrongBeamline", "for the beamline balder, not cosaxs"),
        ("Visit", "../..", "PathFixer_NameRefused", "visit '../..' refused"),
        ("Sample", "../other", "PathFixer_NameRefused", "the part '..' refused"),
        ("Sample", "/absolute", "PathFixer_NameRefused", "absolute path"),
        ("Sample", "fibre A", "PathFixer_NameRefused", "use letters, digits"),
        ("Sample", "linked", "PathFixer_FolderError", "symbolic link"),
    ],
)
def test_a_refused_write_gives_the_reason_and_changes_nothing(
    stack: Stack, pathfixer: tango.DeviceProxy, attribute: str, value: str, reason: str, says: str
) -> None:
    office = stack.folder / "more.yaml"
    office.write_text(proposals() + "  - {id: 30000001, title: other, beamline: balder}\n")
    configure(stack, Office=[f"yaml:{office}"])
    pathfixer.Proposal = "20250001"
    pathfixer.Sample = "fibre_A"
    link = Path(pathfixer.Path) / "linked"
    if not link.is_symlink():
        link.symlink_to("/tmp")
    before = (pathfixer.Proposal, pathfixer.Visit, pathfixer.Sample, pathfixer.SamplePath)
    with pytest.raises(tango.DevFailed) as error:
        pathfixer.write_attribute(attribute, value)
    assert refusal(error)[0] == reason
    assert says in refusal(error)[1]
    assert (pathfixer.Proposal, pathfixer.Visit, pathfixer.Sample, pathfixer.SamplePath) == before
    assert pathfixer.state() == DevState.STANDBY


def test_when_switched_off_it_refuses_writes(pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Proposal = "20250001"
    pathfixer.TurnOff()
    assert pathfixer.state() == DevState.OFF
    assert pathfixer.status().splitlines()[1].endswith("TurnOn switches it on")
    for attribute in ("Proposal", "Visit", "Sample", "Path"):
        with pytest.raises(tango.DevFailed, match="currently not allowed"):
            pathfixer.write_attribute(attribute, "x")
    assert pathfixer.Path.endswith("/raw")
    pathfixer.TurnOn()
    assert pathfixer.state() == DevState.ON
    assert "TurnOn" not in pathfixer.status()
    pathfixer.Sample = "fibre_A"


def test_wrong_properties_are_reported_in_the_status(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Proposal = "20250001"
    for wrong, state, says in (
        ({"Office": ["duo"]}, DevState.FAULT, "property Office: user office 'duo' is not of the form"),
        ({"Beamline": [""]}, DevState.FAULT, "property Beamline: the beamline's name '' refused"),
        ({"Prefix": ["data"]}, DevState.FAULT, "property Prefix: root 'data' is not an absolute path"),
        ({"StorageLayout": ["raw"]}, DevState.FAULT, "property StorageLayout: raw cannot be read"),
        ({"OfficeMemory": ["m.json"]}, DevState.FAULT, "property OfficeMemory: 'm.json' is not the full path"),
        ({"Raw_path_readonly": ["maybe"]}, DevState.FAULT, "property Raw_path_readonly: 'maybe' is neither true nor"),
        ({"Beamline": ["cosaxs", " ", "b2"]}, DevState.FAULT, "it has 2 lines, but must have one: 'cosaxs', 'b2'"),
        (
            {"OfficeMemory": ["/proc/no/x"]},
            DevState.ALARM,
            "The user office's answers cannot be stored in /proc/no/x: ",
        ),
        (
            {"PathConsumers": [f"{{device: {PATHFIXER}, environment: ScanDir}}"]},
            DevState.ALARM,
            f"{PATHFIXER} refused the path: it has no attribute Environment: is it a MacroServer? Retrying",
        ),
        ({"PathConsumers": ["{device: a/b/c}"]}, DevState.ALARM, "PathConsumers, line 1: name either"),
        (
            {"Doors": ["None", f"tango://{stack.tango_host}/a/b/c", PATHFIXER, "", "door/no/1"]},
            DevState.ALARM,
            "Doors, line 5: the Tango database has no device door/no/1, so its scans are not seen",
        ),
        ({"Doors": ["nobody"]}, DevState.ALARM, "Doors, line 1: the Tango database has no device nobody, so"),
    ):
        configure(stack, **wrong)
        reported = eventually(lambda says=says: says in pathfixer.status())  # a silent device is asked every 10 s
        assert reported, (wrong, pathfixer.status())
        assert (pathfixer.state(), pathfixer.Proposal) == (state, "20250001")
        if state == DevState.FAULT:
            assert "Correct it in the Tango database (with jive), then run Init" in pathfixer.status()
            assert "Proposal 20250001 is not in use until then" in pathfixer.status()


def test_several_wrong_properties_are_reported_together_and_do_not_prevent_the_start(
    stack: Stack, pathfixer: tango.DeviceProxy
) -> None:
    pathfixer.Proposal = "20250001"
    path = pathfixer.Path
    configure(stack, Office=[""], Raw_path_readonly=["maybe"], Prefix=["x"], Ofice=["yaml:/x"], Mine=["x"])
    restart(stack)
    assert pathfixer.state() == DevState.FAULT
    assert [line.partition(":")[0] for line in pathfixer.status().splitlines()[1:4]] == [
        "property Office",
        "property Prefix",
        "property Raw_path_readonly",
    ]
    misspelt = "Ofice: a property of this name is not known and is ignored; did you mean Office?"
    assert eventually(lambda: misspelt in pathfixer.status().splitlines())
    assert "Mine" not in pathfixer.status()  # devices have properties of others, too
    assert (pathfixer.Path, pathfixer.RawPathReadonly) == ("", False)
    with pytest.raises(tango.DevFailed, match="property Raw_path_readonly: 'maybe"):
        pathfixer.Proposal = "20250117"
    configure(stack)
    assert eventually(lambda: misspelt in pathfixer.status().splitlines())
    assert (pathfixer.state(), pathfixer.Path) == (DevState.ALARM, path)
    stack.db.delete_device_property(PATHFIXER, ["Ofice", "Mine"])
    configure(stack)
    assert (pathfixer.state(), pathfixer.Path) == (DevState.STANDBY, path)


def test_a_root_with_any_letters_and_one_that_is_blank_can_be_set(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    root = stack.folder / "Åre"
    (root / "visitors" / "cosaxs").mkdir(parents=True)
    configure(stack, Prefix=[f" {raw(str(root))} "], Raw_path_readonly=["Yes"])
    pathfixer.Proposal = "20250001"
    assert pathfixer.Path == f"{root}/visitors/cosaxs/20250001/{today()}/raw"
    assert pathfixer.RawPathReadonly
    configure(stack, Prefix=[""])
    assert "/data" in pathfixer.status()


def test_a_missing_storage_is_reported(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    configure(stack, Prefix=["/nowhere"])
    with pytest.raises(tango.DevFailed, match="Is the storage mounted"):
        pathfixer.Proposal = "20250001"
    assert pathfixer.Proposal == ""
    assert eventually(lambda: pathfixer.state() == DevState.FAULT)
    assert "/nowhere does not exist. Is the storage mounted?" in pathfixer.status()


# --------------------------------------------------------------------- the office


def test_while_the_office_is_down_its_stored_answer_is_used(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    office = stack.user_office("office.yaml")
    configure(stack, Office=[f"yaml:{office}"], OfficeMemory=[str(stack.folder / "memory.json")])
    pathfixer.Proposal = "20250001"
    assert eventually((stack.folder / "memory.json").exists)
    office.unlink()
    pathfixer.Sample = "fibre_B"
    assert pathfixer.state() == DevState.ALARM
    assert "Its answer of " in pathfixer.status()
    restart(stack)
    assert pathfixer.SamplePath.endswith("/raw/fibre_B")
    with pytest.raises(tango.DevFailed) as error:
        pathfixer.Proposal = "20259999"
    assert refusal(error)[0] == "PathFixer_OfficeUnavailable"


def test_it_starts_without_the_office_and_restores_the_proposal_when_it_is_back(
    stack: Stack, pathfixer: tango.DeviceProxy
) -> None:
    office = stack.user_office("away.yaml")
    memory = stack.folder / "lost.json"
    configure(stack, Office=[f"yaml:{office}"], OfficeMemory=[str(memory)])
    pathfixer.Proposal = "20250001"
    pathfixer.Visit = "20250310"
    office.unlink()
    assert eventually(memory.exists)
    pathfixer.TurnOn()  # it checks at once: the office's answer is stored by now
    assert eventually(lambda: pathfixer.state() == DevState.ALARM)
    memory.unlink()
    restart(stack)
    assert pathfixer.state() == DevState.FAULT
    assert "Proposal 20250001 is not in use" in pathfixer.status()
    assert pathfixer.Proposal == "20250001"
    assert pathfixer.Path == ""
    stack.user_office("away.yaml")
    assert eventually(lambda: pathfixer.Path.endswith("20250001/20250310/raw"))
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY), pathfixer.status()


# -------------------------------------------------------------------------- events


def test_changes_are_pushed(pathfixer: tango.DeviceProxy) -> None:
    events = Events(pathfixer, "Proposal", "Visit", "Sample", "Path", "SamplePath", "Type", "Status")
    pathfixer.Proposal = "20250001"
    path = pathfixer.Path
    assert eventually(lambda: {("proposal", "20250001"), ("path", path), ("samplepath", path)} <= set(events.seen))
    events.seen.clear()
    pathfixer.Sample = "fibre_A"
    assert eventually(lambda: ("samplepath", f"{path}/fibre_A") in events.seen)
    assert "path" not in dict(events.seen)
    events.close()


# ----------------------------------------------------------------------- consumers


def test_each_line_of_the_property_is_a_consumer() -> None:
    consumers, problems = parse_consumers(
        [
            "# Sardana",
            "{device: macroserver/x/1, environment: ScanDir}",
            "",
            '- {device: b311a/ea/eiger, attribute: FilePath, template: "{sample_path}/eiger"}',
        ]
    )
    assert problems == []
    assert consumers == [
        Consumer("macroserver/x/1", environment="ScanDir"),
        Consumer("b311a/ea/eiger", attribute="FilePath", template="{sample_path}/eiger"),
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{device: a/b/c", "not YAML"),
        ("device", "not of the form"),
        ("{device: 3, attribute: x}", "not of the form"),
        ("{attribute: x}", "device is missing"),
        ("{device: a/b/c}", "name either"),
        ("{device: a/b/c, attribute: x, environment: y}", "name either"),
        ("{device: a/b/c, attribut: x}", "unknown: attribut"),
        ("{device: a/b/c, attribute: x, template: '{pth}'}", "template: {pth} is not known"),
        ("{device: a/b/c, attribute: x, template: '{path.__class__}'}", "is not known"),
        ("{device: a/b/c, attribute: x, template: '{path'}", "template '{path'"),
        ("{device: a/b/c, attribute: x, template: '{sample:d}'}", "template '{sample:d}'"),
        ("{device: a/b/c, attribute: x, template: '{sample!x}'}", "template '{sample!x}'"),
        ("{device: a/b/c, attribute: x, template: '{path:>999999999}'}", "only a name can be in braces"),
        pytest.param("[" * 5_000, "not YAML", id="deep"),
    ],
)
def test_a_wrong_consumer_is_reported_with_its_line(line: str, says: str) -> None:
    consumers, problems = parse_consumers(["", line])
    assert consumers == []
    assert problems[0].startswith("PathConsumers, line 2: ")
    assert says in problems[0]


def test_the_path_is_sent_to_a_detector_that_starts_later(stack: Stack, pathfixer: tango.DeviceProxy) -> None:
    configure(
        stack,
        PathConsumers=[
            f'{{device: {DETECTOR}, attribute: Endstation, template: "{{sample_path}}/eiger"}}',
            f"{{device: {DETECTOR}, attribute: UserName, template: '{{proposal}} {{sample}}'}}",
        ],
    )
    pathfixer.Proposal = "20250001"
    pathfixer.Sample = "fibre_A"
    assert pathfixer.ConfiguredDevices == (DETECTOR,)
    assert eventually(lambda: pathfixer.BadDevices == (DETECTOR,))
    assert eventually(lambda: pathfixer.state() == DevState.ALARM)
    assert f"{DETECTOR} refused the path: device {DETECTOR} not defined in the database" in pathfixer.status()

    stack.start_server("PathFixer/detector", {DETECTOR: ("PathFixer", {})})
    detector = patient(stack.name(DETECTOR))
    assert eventually(lambda: detector.Endstation == f"{pathfixer.SamplePath}/eiger")
    assert eventually(lambda: detector.UserName == "20250001 fibre_A")
    assert eventually(lambda: pathfixer.BadDevices == ())
    assert eventually(lambda: pathfixer.state() == DevState.STANDBY)


def test_the_folders_are_those_of_the_layout(stack: Stack, pathfixer: tango.DeviceProxy, data: Path) -> None:
    configure(stack, StorageLayout=["{category}/{beamline}/{proposal}/{visit}/data/raw"])
    pathfixer.Proposal = "20250001"
    pathfixer.Visit = "20250310"
    assert pathfixer.Path == str(data / "visitors/cosaxs/20250001/20250310/data/raw")
    assert Path(pathfixer.Path).is_dir()
    configure(stack, StorageLayout=["siblings: [process, logs]", "folders:", "  logs: {mode: 02750}"])
    assert (Path(pathfixer.Path).parent / "logs").is_dir()
    configure(stack, StorageLayout=["{category}/{beamline}/{nonsense}"])
    assert pathfixer.state() == DevState.FAULT
    assert "nonsense" in pathfixer.status()
