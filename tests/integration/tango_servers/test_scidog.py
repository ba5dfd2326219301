"""SciDog as a device server: its properties, seen from jive and from its clients."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import tango

from deploy.demo.beamline import CONFIGURATIONS
from deploy.demo.stack import PATHFIXER, SCIDOG, Stack
from tests.paths import DOCS
from tests.servers.tango_system import FACILITY, Events, control_system, patient, refusal
from tests.ui.pictures import scidog_properties
from tests.waiting import PATIENCE, eventually

REPORT = {"uuid": "u", "name": "ascan", "time": "2026-01-01T00:00:00.000Z", "program": "p", "host": "h"}
REPORT |= {"values": 1, "failedCount": 0, "failed": []}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("scidog"), FACILITY) as system:
        system.add_device("PathFixer/demo", "PathFixer", PATHFIXER)
        system.start_scidog("127.0.0.1:9092")
        yield system


@pytest.fixture
def scidog(stack: Stack) -> tango.DeviceProxy:
    """The device with the properties of the demo."""
    names = list(stack.db.get_device_property_list(SCIDOG, "*").value_string)
    properties = stack.scidog_properties("127.0.0.1:9092")
    stack.db.delete_device_property(SCIDOG, {name: [] for name in names if name not in properties})
    edit(stack, **properties)
    proxy = patient(stack.name(SCIDOG))
    proxy.Reload()
    return proxy


def edit(stack: Stack, **properties: Sequence[str]) -> None:
    """Edit a property like jive."""
    stack.db.put_device_property(SCIDOG, {name: list(lines) for name, lines in properties.items()})


def names(scidog: tango.DeviceProxy) -> list[str]:
    return [entry["name"] for entry in json.loads(scidog.Entries)]


def test_it_shows_its_properties(scidog: tango.DeviceProxy) -> None:
    assert scidog.state() == tango.DevState.ON
    assert scidog.Beamline == "cosaxs"
    assert scidog.Configs == ("beamline", "saxs", "spectroscopy")
    assert scidog.ActiveConfig == "saxs"
    assert scidog.KafkaBootstrapServers == "127.0.0.1:9092"
    assert scidog.Topic == "scifish-cosaxs"
    assert scidog.Problems == ()
    assert "35 attributes are recorded" in scidog.status()


def test_entries_are_the_beamlines_defaults_and_the_active_configuration(scidog: tango.DeviceProxy) -> None:
    entries = {entry["name"]: entry for entry in json.loads(scidog.Entries)}
    assert {entry["config"] for entry in entries.values()} == {"beamline", "saxs"}
    assert entries["Ring current"]["source"] == "r3-319s2/dia/dcct-01/InstantaneousCurrent"
    assert entries["Ring current"]["record"] == ["start", "end", "statistics"]
    assert "Bragg angle" not in entries


def test_the_active_configuration_is_the_property(stack: Stack, scidog: tango.DeviceProxy) -> None:
    before = scidog.Revision
    events = Events(scidog, "ActiveConfig", "Revision", "Entries")
    scidog.ActiveConfig = "Spectroscopy"
    assert scidog.ActiveConfig == "spectroscopy"
    assert stack.db.get_device_property(SCIDOG, "ActiveConfig")["ActiveConfig"][0] == "spectroscopy"
    assert "Bragg angle" in names(scidog)
    assert scidog.Revision != before
    assert eventually(lambda: {name for name, _ in events.seen} == {"activeconfig", "revision", "entries"})
    events.close()
    scidog.ActiveConfig = "saxs"
    assert scidog.Revision == before


def test_subscribers_get_the_new_value_of_each_attribute(stack: Stack, scidog: tango.DeviceProxy) -> None:
    attributes = ("Configs", "ActiveConfig", "Entries", "Problems", "Revision", "LastSnapshot")
    before = {name: scidog.read_attribute(name).value for name in attributes}
    events = Events(scidog, *attributes)
    edit(stack, ActiveConfig=["mine"], **{"Config.mine": ["- {name: Mine, source: a/b/c/d}", "- {name: Bad"]})
    scidog.ReportSnapshot(json.dumps({**REPORT, "uuid": "of the events"}))
    try:
        assert eventually(lambda: {name for name, _ in events.seen} == {name.lower() for name in attributes})
    finally:
        events.close()
    pushed = dict(events.seen)
    for name in attributes:
        assert pushed[name.lower()] == scidog.read_attribute(name).value != before[name]


def test_the_docs_list_the_properties_as_jive_reads_them(stack: Stack, scidog: tango.DeviceProxy) -> None:
    scidog_properties.put(stack)
    page = DOCS / "how-to" / "change-what-is-recorded.md"
    assert f"```\n{scidog_properties.listing(stack.db, SCIDOG)}```\n" in page.read_text("utf-8")


def test_no_active_configuration_leaves_the_defaults(scidog: tango.DeviceProxy) -> None:
    scidog.ActiveConfig = ""
    assert scidog.state() == tango.DevState.ON
    assert len(names(scidog)) == 21


def test_a_configuration_that_does_not_exist_is_refused(scidog: tango.DeviceProxy) -> None:
    with pytest.raises(tango.DevFailed) as error:
        scidog.ActiveConfig = "waxs"
    assert refusal(error) == (
        "SciDog_UnknownConfig",
        "there is no configuration 'waxs'; there are: beamline, saxs, spectroscopy",
    )
    assert scidog.ActiveConfig == "saxs"


def test_an_edit_in_jive_is_noticed_within_five_seconds(stack: Stack, scidog: tango.DeviceProxy) -> None:
    edit(stack, ActiveConfig=["mine"], **{"Config.mine": ["- {name: Mine, source: a/b/c/d}"]})
    assert eventually(lambda: scidog.ActiveConfig == "mine")
    assert names(scidog)[-1] == "Mine"


def test_a_configuration_added_a_moment_ago_can_be_chosen(stack: Stack, scidog: tango.DeviceProxy) -> None:
    edit(stack, **{"Config.new": ["- {name: New, source: a/b/c/d}"]})
    scidog.ActiveConfig = "new"
    assert names(scidog)[-1] == "New"


def test_a_mistake_costs_only_its_own_line_and_is_reported(stack: Stack, scidog: tango.DeviceProxy) -> None:
    lines = ["# mine", "- {name: Good, source: a/b/c/d}", "- {name: Bad", "- {name: No source}"]
    edit(stack, SnapshotTimeout=["soon"], **{"Config.saxs": lines})
    scidog.Reload()
    assert scidog.state() == tango.DevState.ALARM
    assert "Good" in names(scidog)
    problems = scidog.Problems
    assert [problem.split(":")[0] for problem in problems] == ["SnapshotTimeout", "saxs, line 3", "saxs, line 4"]
    assert all(problem in scidog.status() for problem in problems)
    edit(stack, SnapshotTimeout=["3"], **{"Config.saxs": CONFIGURATIONS["saxs"]})
    assert eventually(lambda: scidog.state() == tango.DevState.ON)


PROGRAM = """
from scifish.settings.sources import EXIT_WAIT_SECONDS, TangoSettings
entries, problems = TangoSettings().now(EXIT_WAIT_SECONDS).entries()
print(len(entries), *problems, sep="\\n")
"""


def test_the_last_good_configuration_is_used_by_all_where_the_active_one_cannot_be_read(
    stack: Stack, scidog: tango.DeviceProxy, tmp_path: Path
) -> None:
    good = names(scidog)
    starts = ["saxs, line 1: not YAML", "saxs: no line of it can be read; the last good one is in use"]

    def shown() -> tuple[list[str], list[bool], bool]:
        says = [problem.startswith(start) for problem, start in zip(scidog.Problems, starts, strict=True)]
        return names(scidog), says, "35 attributes are recorded. Active configuration: saxs;" in scidog.status()

    edit(stack, **{"Config.saxs": ["{" + line for line in CONFIGURATIONS["saxs"][1:2]]})
    scidog.Reload()
    assert shown() == (good, [True, True], True)
    assert json.loads(scidog.Preview(""))["values"] == json.loads(scidog.Validate(""))["entries"] == 35
    assert json.loads(scidog.GetConfig("saxs"))["entries"] == []  # as it is in the database, to be corrected
    # An account that has never recorded here, so it has to ask.
    env = {**stack.env, "XDG_STATE_HOME": str(tmp_path)}
    program = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=PATIENCE)
    count, *says = program.stdout.splitlines()
    assert (count, [line.startswith(start) for line, start in zip(says, starts, strict=True)]) == ("35", [True, True])
    server = next(process for process in stack.processes.running if process.name == "scidog")
    server.stop()
    stack.processes.running.remove(server)
    stack.run_server("SciDog/demo", [SCIDOG])
    assert shown() == (good, [True, True], True)
    edit(stack, **{"Config.saxs": CONFIGURATIONS["saxs"]})
    scidog.Reload()
    assert (names(scidog), scidog.Problems) == (good, ())


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ({"ActiveConfig": ["sacs"]}, "ActiveConfig: there is no configuration 'sacs'; there are: beamline, saxs, spec"),
        ({"Config.saxs": []}, "ActiveConfig: there is no configuration 'saxs'; there are: beamline, spectroscopy; its"),
    ],
    ids=["a wrong name", "deleted"],
)
def test_the_last_good_configuration_is_used_where_the_active_one_is_not_there(
    stack: Stack, scidog: tango.DeviceProxy, edits: dict[str, list[str]], says: str
) -> None:
    good = names(scidog)
    for name, lines in edits.items():
        stack.db.delete_device_property(SCIDOG, {name: []})
        edit(stack, **{name: lines} if lines else {})
    scidog.Reload()
    assert (names(scidog), scidog.ActiveConfig) == (good, "saxs")
    (problem,) = scidog.Problems
    assert problem.startswith(says)
    assert problem in scidog.status()
    assert scidog.state() == tango.DevState.ALARM
    scidog.ActiveConfig = "spectroscopy"
    assert scidog.Problems == ()
    assert "Bragg angle" in names(scidog)


def test_a_configuration_in_use_instead_of_a_wrong_name_cannot_be_deleted(
    stack: Stack, scidog: tango.DeviceProxy
) -> None:
    edit(stack, ActiveConfig=["saxx"])
    with pytest.raises(tango.DevFailed) as error:
        scidog.DeleteConfig(["saxs"])
    assert refusal(error)[0] == "SciDog_InUse"
    assert "saxs" in scidog.Configs


def test_an_active_configuration_that_records_nothing_is_reported(stack: Stack, scidog: tango.DeviceProxy) -> None:
    edit(stack, **{"Config.saxs": ["# not now", ""]})
    scidog.Reload()
    assert scidog.state() == tango.DevState.ALARM
    (problem,) = scidog.Problems
    assert problem.startswith("saxs: it is the active configuration and has no entry, so nothing of it is recorded")
    assert problem in scidog.status()
    assert len(names(scidog)) > 0  # what is always recorded
    scidog.ActiveConfig = ""
    assert scidog.Problems == ()


def test_a_recording_program_reports_what_it_has_read_for_a_dataset(scidog: tango.DeviceProxy) -> None:
    failed = [{"group": "", "name": "波長", "source": "a/b/c/d", "error": "no answer"}]
    report = REPORT | {"values": 7, "failedCount": 1, "failed": failed}
    scidog.ReportSnapshot(json.dumps(report))
    assert json.loads(scidog.LastSnapshot) == {"from": "dataset", **report}
    for wrong, says in (
        ({**report, "values": "7"}, "values is missing, or not of type int"),
        ({**report, "more": 1}, "unknown: more"),
    ):
        with pytest.raises(tango.DevFailed) as caught:
            scidog.ReportSnapshot(json.dumps(wrong))
        assert says in refusal(caught)[1]
    assert json.loads(scidog.LastSnapshot)["uuid"] == "u"


def test_names_may_be_in_any_script(stack: Stack, scidog: tango.DeviceProxy) -> None:
    edit(stack, **{"Config.saxs": ["- {name: 波長 λ, source: a/b/c/d, unit: Å}"]})
    scidog.Reload()
    assert names(scidog)[-1] == "波長 λ"
    assert json.loads(scidog.GetConfig("saxs"))["lines"] == ["- {name: 波長 λ, source: a/b/c/d, unit: Å}"]


def test_a_configuration_is_returned_as_it_was_written(scidog: tango.DeviceProxy) -> None:
    found = json.loads(scidog.GetConfig("SAXS"))
    assert (found["name"], found["lines"], found["problems"]) == ("saxs", list(CONFIGURATIONS["saxs"]), [])
    assert [entry["name"] for entry in found["entries"]] == names(scidog)[-len(found["entries"]) :]
    with pytest.raises(tango.DevFailed) as error:
        scidog.GetConfig("waxs")
    assert refusal(error)[0] == "SciDog_UnknownConfig"


def test_without_any_property_it_starts_and_says_what_to_do(stack: Stack) -> None:
    device = "b311a-e/ctl/scidog-02"
    stack.start_server("SciDog/bare", {device: ("SciDog", {})})
    proxy = patient(stack.name(device))
    assert proxy.state() == tango.DevState.ALARM
    assert "Beamline" in proxy.Problems[0]
    assert json.loads(proxy.Entries) == []


def test_jive_can_show_what_each_property_is_for(stack: Stack) -> None:
    server = tango.DeviceProxy(stack.name("dserver/SciDog/demo"))
    answer = iter(server.QueryWizardDevProperty("SciDog"))
    documented = {name: text for name, text, _ in zip(answer, answer, answer, strict=True)}
    assert set(documented) == {
        *("Beamline", "ActiveConfig", "AlwaysConfigs", "PathFixer", "KafkaBootstrapServers", "Topic"),
        *("KafkaConfigFile", "SpoolDirectory", "SpoolLimit", "KeepSentDays", "SnapshotTimeout", "MaxArraySize"),
        *("SendProprietary", "SendWithoutProposal", "RememberProposalDays"),
    }
    assert all(documented.values())


def test_a_programs_trouble_is_shown_until_it_is_over(scidog: tango.DeviceProxy) -> None:
    trouble = "the spool has 1700 of the 2000 MB that SpoolLimit allows"
    scidog.ReportTrouble(["run-1", "Sardana demo on host", trouble])
    assert scidog.state() == tango.DevState.ALARM
    assert scidog.Problems == (f"Sardana demo on host: {trouble}",)
    assert trouble in scidog.status()
    scidog.ReportTrouble(["run-1", "Sardana demo on host", ""])
    assert scidog.state() == tango.DevState.ON
    with pytest.raises(tango.DevFailed) as caught:
        scidog.ReportTrouble(["run-1"])
    assert refusal(caught)[0] == "SciDog_WrongReport"
