"""SciDog's configurations, changed through its commands by real clients, and by jive beside them."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import tango

from deploy.demo.stack import PATHFIXER, SCIDOG, Stack
from scifish.settings.entries import line_of
from tests.servers.tango_system import FACILITY, Events, control_system, patient, refusal
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first

COMMAND = [sys.executable, "-m", "tests.integration.tango_servers.hasty_scidog"]
RING = "- {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, unit: mA, group: Machine}"
GAP = "- {name: Gap, source: r3-311l/opt/ivu/gap, unit: µm}"
SPECIAL = ["# µ Å ° å, 波長 λ 😀", "- {name: 波長 λ, source: a/b/c/d, unit: Å, group: Größe °, map: {4: '😀 \"x\"'}}"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("scidog"), FACILITY) as system:
        system.add_device("PathFixer/demo", "PathFixer", PATHFIXER)
        system.start_server("SciDog/demo", {SCIDOG: ("SciDog", {})}, COMMAND)
        yield system


@pytest.fixture
def scidog(stack: Stack) -> tango.DeviceProxy:
    """The device with two configurations."""
    names = list(stack.db.get_device_property_list(SCIDOG, "*").value_string)
    stack.db.delete_device_property(SCIDOG, {name: [] for name in names})
    edit(
        stack,
        Beamline=["cosaxs"],
        PathFixer=[PATHFIXER],
        ActiveConfig=["saxs"],
        **{"Config.saxs": [RING], "Config.waxs": [GAP]},
    )
    proxy = patient(stack.name(SCIDOG))
    proxy.Reload()
    assert proxy.Problems == ()
    return proxy


def edit(stack: Stack, **properties: Sequence[str]) -> None:
    """Edit a property like jive."""
    stack.db.put_device_property(SCIDOG, {name: list(lines) for name, lines in properties.items()})


def in_database(stack: Stack, name: str) -> list[str]:
    return list(stack.db.get_device_property(SCIDOG, name)[name])


def get(scidog: tango.DeviceProxy, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(scidog.GetConfig(name))
    return found


def save(scidog: tango.DeviceProxy, **request: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(scidog.SaveConfig(json.dumps(request)))
    return found


def history(scidog: tango.DeviceProxy, name: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(scidog.History(name))
    return found


def test_a_configuration_is_read_changed_and_written(stack: Stack, scidog: tango.DeviceProxy) -> None:
    events = Events(scidog, "Entries", "Revision", "Configs", "Problems")
    found = get(scidog, "SAXS")
    assert (found["name"], found["lines"], found["problems"]) == ("saxs", [RING], [])
    assert found["entries"][0]["source"] == "r3-319s2/dia/dcct-01/InstantaneousCurrent"
    saved = save(scidog, name="saxs", revision=found["revision"], lines=[RING, GAP])
    assert in_database(stack, "Config.saxs") == saved["lines"] == [RING, GAP]
    assert get(scidog, "saxs") == saved
    assert [entry["name"] for entry in json.loads(scidog.Entries)] == ["Ring current", "Gap"]
    assert eventually(lambda: {name for name, _ in events.seen} == {"entries", "revision"})
    events.close()


def test_entries_may_be_given_as_objects(stack: Stack, scidog: tango.DeviceProxy) -> None:
    entry = {"name": "Shutter: 1", "source": "b311a/o/shutter-01/State", "map": {"OPEN": "open"}, "record": ["end"]}
    save(scidog, name="new", revision="", entries=[entry])
    assert in_database(stack, "Config.new") == [line_of(entry)]
    assert scidog.Configs == ("new", "saxs", "waxs")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ("nothing", "not JSON"),
        ("[1]", "not a JSON object with name, revision, lines"),
        ('{"name": "saxs", "lines": []}', "revision is missing"),
        ('{"name": "saxs", "revision": "", "line": []}', "unknown: line; allowed are"),
        ('{"name": "saxs", "revision": ""}', "give either lines or entries"),
        ('{"name": "saxs", "revision": "", "lines": "x"}', "lines and entries must be lists"),
        ('{"name": "saxs", "revision": "", "lines": [1]}', "lines must be texts"),
        ('{"name": "saxs", "revision": "", "entries": [1]}', "entry 1 is not of the form"),
        ('{"name": "saxs", "revision": "", "entries": [{"name": "x"}]}', "entry 1: x: source is missing"),
        ('{"name": 1, "revision": "", "lines": []}', "name: 1 is not a text"),
        ("[" * 100_000, "not JSON"),
    ],
    ids=range(11),
)
def test_a_malformed_request_is_refused_with_the_reason(scidog: tango.DeviceProxy, request_: str, says: str) -> None:
    with pytest.raises(tango.DevFailed) as error:
        scidog.SaveConfig(request_)
    kind, text = refusal(error)
    assert kind == "SciDog_WrongArgument"
    assert says in text


def test_the_second_of_two_simultaneous_saves_is_refused(stack: Stack, scidog: tango.DeviceProxy) -> None:
    revision = get(scidog, "saxs")["revision"]
    save(scidog, name="saxs", revision=revision, lines=[RING, GAP], who="astlin")
    with pytest.raises(tango.DevFailed) as error:
        save(scidog, name="saxs", revision=revision, lines=[GAP], who="another")
    kind, text = refusal(error)
    assert kind == "SciDog_Conflict"
    assert "changed in the meantime by astlin (process" in text
    assert in_database(stack, "Config.saxs") == [RING, GAP]


def test_a_save_after_a_change_in_jive_is_refused(stack: Stack, scidog: tango.DeviceProxy) -> None:
    revision = get(scidog, "saxs")["revision"]
    edit(stack, **{"Config.saxs": [GAP]})
    with pytest.raises(tango.DevFailed) as error:
        save(scidog, name="saxs", revision=revision, lines=[RING])
    assert refusal(error)[0] == "SciDog_Conflict"
    assert in_database(stack, "Config.saxs") == [GAP]
    assert history(scidog, "saxs")[0]["who"] == "the database"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([RING, "- {name: x"], "saxs, line 2: not YAML"),
        ([RING, "# " + "x" * 65_534], "line 2: it has 65536 bytes; the Tango database allows 65535 in a line"),
        ([RING, '# a \\" b'], "line 2: the Tango database drops a backslash"),
        ([RING, "- {name: 'C:\\', source: a/b/c/d}"], "line 2: the Tango database drops a backslash"),
        ([], "there is no line"),
    ],
    ids=range(5),
)
def test_a_save_with_mistakes_or_lost_lines_is_refused(
    stack: Stack, scidog: tango.DeviceProxy, lines: list[str], says: str
) -> None:
    with pytest.raises(tango.DevFailed) as error:
        save(scidog, name="saxs", revision=get(scidog, "saxs")["revision"], lines=lines)
    kind, text = refusal(error)
    assert kind == "SciDog_WrongContent"
    assert says in text
    assert in_database(stack, "Config.saxs") == [RING]


def test_copy_rename_delete_and_back(stack: Stack, scidog: tango.DeviceProxy) -> None:
    assert json.loads(scidog.CopyConfig(["saxs", "Third.one_2-b"]))["lines"] == [RING]
    assert json.loads(scidog.RenameConfig(["saxs", "SAXS"]))["name"] == "SAXS"
    assert (scidog.Configs, scidog.ActiveConfig) == (("SAXS", "Third.one_2-b", "waxs"), "SAXS")
    scidog.RenameConfig(["SAXS", "small"])
    assert (scidog.Configs, scidog.ActiveConfig) == (("Third.one_2-b", "small", "waxs"), "small")
    assert in_database(stack, "ActiveConfig") == ["small"]
    with pytest.raises(tango.DevFailed) as error:
        scidog.DeleteConfig(["small"])
    assert refusal(error)[0] == "SciDog_InUse"
    scidog.DeleteConfig(["third.ONE_2-b"])
    assert scidog.Configs == ("small", "waxs")
    saved = next(change for change in history(scidog, "Third.one_2-b") if change["what"].startswith("copied"))
    assert json.loads(scidog.Restore(saved["number"]))["lines"] == [RING]
    assert scidog.Configs == ("Third.one_2-b", "small", "waxs")
    with pytest.raises(tango.DevFailed) as error:
        scidog.RenameConfig(["small", "two words"])
    assert refusal(error)[0] == "SciDog_WrongName"
    with pytest.raises(tango.DevFailed) as error:
        scidog.CopyConfig(["small"])
    assert refusal(error) == (
        "SciDog_WrongArgument",
        "expected a configuration's name and the new one, but got 1 texts",
    )


def test_the_history_has_who_when_and_what(stack: Stack, scidog: tango.DeviceProxy) -> None:
    before = history(scidog)[0]["number"]
    save(scidog, name="saxs", revision=get(scidog, "saxs")["revision"], lines=[RING, GAP], who="Åsa λ")
    scidog.ActiveConfig = "waxs"
    edit(stack, **{"Config.saxs": [GAP], "SnapshotTimeout": ["2"]})
    assert eventually(lambda: len([c for c in history(scidog) if c["number"] > before]) == 4)
    timeout, edited, active, saved = history(scidog)[:4]
    if edited["property"] == "SnapshotTimeout":
        timeout, edited = edited, timeout
    assert (saved["property"], saved["what"], saved["added"], saved["removed"]) == ("Config.saxs", "saved", 1, 0)
    assert saved["who"] == f"Åsa λ (process {os.getpid()} on this machine)"
    assert saved["time"].endswith("Z")
    assert (active["what"], active["who"]) == ("made waxs active", f"process {os.getpid()} on this machine")
    assert (edited["who"], edited["what"], edited["removed"]) == ("the database", "edited", 1)
    assert (timeout["who"], timeout["what"]) == ("the database", "added")
    one = json.loads(scidog.History(f"#{saved['number']}"))
    assert (one["lines"], one["before"]) == ([RING, GAP], [RING])
    assert {change["property"] for change in history(scidog, "ActiveConfig")} == {"ActiveConfig"}
    with pytest.raises(tango.DevFailed) as error:
        scidog.History("#99999")
    assert refusal(error)[0] == "SciDog_UnknownChange"
    scidog.Restore(timeout["number"])
    assert in_database(stack, "SnapshotTimeout") == ["2"]


def test_the_history_of_a_property_is_not_that_of_a_configuration_of_its_name(
    stack: Stack, scidog: tango.DeviceProxy
) -> None:
    edit(stack, **{"Beamline": ["other"], "Config.beamline": [GAP]})
    for given, meant in (
        ("beamline", "Config.beamline"),
        ("BEAMLINE", "Config.beamline"),
        ("config.beamline", "Config.beamline"),
        ("Beamline", "Beamline"),
        ("activeconfig", "ActiveConfig"),
    ):
        assert {change["property"] for change in history(scidog, given)} == {meant}
    assert history(scidog, "Config.Topic") == history(scidog, "nothing") == []


def test_the_history_survives_a_restart_and_has_changes_made_in_between(
    stack: Stack, scidog: tango.DeviceProxy
) -> None:
    before = history(scidog)
    server = next(process for process in stack.processes.running if process.name == "scidog")
    server.stop()
    stack.processes.running.remove(server)
    edit(stack, **{"Config.waxs": [RING, GAP]})
    stack.run_server("SciDog/demo", [SCIDOG], COMMAND)
    now = history(scidog)
    assert now[1:] == before
    assert (now[0]["who"], now[0]["what"], now[0]["property"]) == ("the database", "edited", "Config.waxs")


def test_characters_of_all_kinds_go_both_ways(stack: Stack, scidog: tango.DeviceProxy) -> None:
    save(scidog, name="saxs", revision=get(scidog, "saxs")["revision"], lines=SPECIAL)
    assert in_database(stack, "Config.saxs") == SPECIAL
    found = get(scidog, "saxs")
    assert found["lines"] == SPECIAL
    entry = json.loads(scidog.Entries)[0]
    assert (entry["name"], entry["unit"], entry["group"]) == ("波長 λ", "Å", "Größe °")
    assert entry["map"] == {"4": '😀 "x"'}
    exported = json.loads(scidog.ExportConfig(["saxs"]))["text"]
    again = json.dumps({"name": "copy", "revision": "", "text": exported})
    assert json.loads(scidog.ImportConfig(again))["lines"] == SPECIAL


@pytest.mark.parametrize("how", ["escaped", "latin-1", "utf-8"])
def test_requests_may_have_any_encoding_that_clients_use(stack: Stack, scidog: tango.DeviceProxy, how: str) -> None:
    lines = ["# µ Å ° å", "- {name: Vinkel °, source: a/b/c/d, unit: µm}"]
    request = {"name": "saxs", "revision": get(scidog, "saxs")["revision"], "lines": lines}
    text = json.dumps(request, ensure_ascii=how == "escaped")
    scidog.SaveConfig(text.encode().decode("latin-1") if how == "utf-8" else text)
    assert in_database(stack, "Config.saxs") == lines


def test_a_name_given_in_jive_can_be_used_everywhere(stack: Stack, scidog: tango.DeviceProxy) -> None:
    edit(stack, **{"Config.våg λ": [RING]})
    scidog.Reload()
    shown = next(name for name in scidog.Configs if name.startswith("våg"))
    assert shown == "våg \\u03bb"
    for given in (shown, "våg λ".encode().decode("latin-1"), shown.upper().replace("\\U", "\\u")):
        assert get(scidog, given)["name"] == "våg λ"
    scidog.ActiveConfig = shown
    assert scidog.ActiveConfig == shown
    assert in_database(stack, "ActiveConfig") == ["våg λ"]
    assert [change["property"] for change in history(scidog, shown)] == ["Config.våg λ"]
    scidog.RenameConfig([shown, "vag"])
    assert scidog.ActiveConfig == "vag"
    assert in_database(stack, "Config.vag") == [RING]


def test_a_table_from_a_spreadsheet_and_back(stack: Stack, scidog: tango.DeviceProxy) -> None:
    table = "Unit;Name;Source;Map\r\nµm;Gap;r3-311l/opt/ivu/gap;\r\n;=Lucka;a/b/c/State;OPEN: öppen\r\n"
    request = {"name": "table", "revision": "", "base64": base64.b64encode(table.encode("cp1252")).decode()}
    found = json.loads(scidog.ImportConfig(json.dumps(request)))
    assert [(entry["name"], entry["unit"], entry["map"]) for entry in found["entries"]] == [
        ("Gap", "µm", {}),
        ("=Lucka", "", {"open": "öppen"}),
    ]
    exported = json.loads(scidog.ExportConfig(["table", "csv;"]))
    rows = list(csv.reader(io.StringIO(exported["text"].removeprefix("\ufeff")), delimiter=";"))
    assert rows[0] == ["name", "source", "group", "unit", "map", "record"]
    assert rows[2] == ["'=Lucka", "a/b/c/State", "", "", "{OPEN: öppen}", ""]
    request = {"name": "table", "revision": found["revision"], "text": exported["text"]}
    assert json.loads(scidog.ImportConfig(json.dumps(request)))["lines"] == found["lines"]
    with pytest.raises(tango.DevFailed) as error:
        scidog.ImportConfig(json.dumps({**request, "text": "name,source\r\nx,/y\r\nz,\r\n"}))
    kind, text = refusal(error)
    assert kind == "SciDog_TableError"
    assert "line 2: x: source '/y'" in text
    assert "line 3: z: source is missing" in text
    with pytest.raises(tango.DevFailed) as error:
        scidog.ExportConfig(["table", "xls"])
    assert refusal(error)[0] == "SciDog_WrongArgument"
    good = "name,source\r\nx,a/b/c/d\r\n"
    for wrong in (
        {"base64": "ä"},
        {"text": good, "who": "a\nb"},
        {"text": good, "who": "a" * 101},
        {"text": "x" * 1_000_001},
    ):
        with pytest.raises(tango.DevFailed) as error:
            scidog.ImportConfig(json.dumps({"name": "table", "revision": "", **wrong}))
        assert refusal(error)[0] == "SciDog_WrongArgument"


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"KafkaBootstrapServers": ["kafka"]}, "KafkaBootstrapServers: 'kafka' is not of the form host:port"),
        ({"PathFixer": ["sdm"]}, "PathFixer: 'sdm' is not the name of a device"),
        ({"PathFixer": ["a/b/c"]}, "PathFixer: the Tango database has no device a/b/c"),
        (
            {"SnapshotTimout": ["2"]},
            "SnapshotTimout: a property of this name is not known and is ignored; did you mean",
        ),
        ({"ActiveConfig": ["gone"]}, "ActiveConfig: there is no configuration 'gone'; there are: saxs, waxs"),
        ({"AlwaysConfigs": ["gone"]}, "AlwaysConfigs: there is no configuration 'gone'; there are: saxs, waxs"),
        ({"Config.saxs": ["- {" * 3000]}, "saxs, line 1: not YAML"),
    ],
    ids=range(7),
)
def test_mistakes_in_the_properties_are_reported_and_block_nothing(
    stack: Stack, scidog: tango.DeviceProxy, properties: dict[str, list[str]], says: str
) -> None:
    events = Events(scidog, "Problems", "State")
    edit(stack, **properties)
    assert eventually(lambda: any(problem.startswith(says) for problem in scidog.Problems))
    assert scidog.state() == tango.DevState.ALARM
    assert says in scidog.status()
    assert eventually(lambda: {name for name, _ in events.seen} == {"problems", "state"})
    events.close()
    save(scidog, name="waxs", revision=get(scidog, "waxs")["revision"], lines=[RING])


def test_every_command_and_attribute_has_a_description(scidog: tango.DeviceProxy) -> None:
    for info in scidog.command_list_query():
        if info.in_type != tango.CmdArgType.DevVoid:
            assert info.in_type_desc not in ("", "Uninitialised"), info.cmd_name
        if info.out_type != tango.CmdArgType.DevVoid and info.cmd_name not in ("State", "Status"):
            assert info.out_type_desc not in ("", "Uninitialised"), info.cmd_name
    for name in ("Configs", "ActiveConfig", "Entries", "Problems", "Revision", "LastSnapshot"):
        info = scidog.get_attribute_config(name)
        assert info.description != "No description"
        assert scidog.is_attribute_polled(name) is False
        scidog.unsubscribe_event(scidog.subscribe_event(name, tango.EventType.CHANGE_EVENT, lambda event: None))


def test_a_client_in_another_process_is_identified(stack: Stack, scidog: tango.DeviceProxy) -> None:
    program = (
        f"import tango; d = tango.DeviceProxy({stack.name(SCIDOG)!r}); d.ActiveConfig = 'waxs'; print(d.ActiveConfig)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    output, _ = child.communicate(timeout=PATIENCE)
    assert output.strip() == "waxs"
    assert history(scidog, "ActiveConfig")[0]["who"] == f"process {child.pid} on this machine"


def test_it_can_be_initialised_again(scidog: tango.DeviceProxy) -> None:
    before = history(scidog)
    scidog.Init()
    assert scidog.state() == tango.DevState.ON
    assert history(scidog) == before
    assert save(scidog, name="saxs", revision=get(scidog, "saxs")["revision"], lines=[GAP])["lines"] == [GAP]


def test_a_hanging_database_is_reported_and_other_clients_are_answered(stack: Stack, scidog: tango.DeviceProxy) -> None:
    database = next(process for process in stack.processes.running if process.name == "tango-database")
    os.kill(database.pid, signal.SIGSTOP)
    try:
        answered = 0

        def reported() -> bool:
            nonlocal answered
            assert len(scidog.read_attribute("Entries").value) > 100
            answered += 1
            return bool(scidog.state() == tango.DevState.ALARM)

        assert eventually(reported)
        assert scidog.Problems[0].startswith("the Tango database does not answer; its last answer is in use")
        assert answered > 3  # a client that waited for the database would be answered only once in these seconds
    finally:
        os.kill(database.pid, signal.SIGCONT)
    assert eventually(lambda: scidog.state() == tango.DevState.ON)


def test_a_name_that_differs_only_by_an_accent_replaces_no_other(stack: Stack, scidog: tango.DeviceProxy) -> None:
    edit(stack, **{"Config.é": [GAP]})
    with pytest.raises(tango.DevFailed) as error:
        save(scidog, name="e", revision="", lines=[RING])
    kind, text = refusal(error)
    assert kind == "SciDog_WrongName"
    assert text.startswith("for the Tango database Config.e and Config.")
    assert in_database(stack, "Config.é") == [GAP]
    scidog.RenameConfig(["é", "e"])
    assert in_database(stack, "Config.e") == [GAP]
    assert scidog.Configs == ("e", "saxs", "waxs")


def test_a_backslash_in_an_entry_is_kept(stack: Stack, scidog: tango.DeviceProxy) -> None:
    entry = {"name": "C:\\data\\", "source": "a/b/c/d", "group": "5\\' it's \\\" x"}
    found = save(scidog, name="new", revision="", entries=[entry])["entries"][0]
    assert (found["name"], found["group"]) == (entry["name"], entry["group"])


def test_texts_outside_latin_1_are_answered(scidog: tango.DeviceProxy) -> None:
    letter = "\u03bb".encode().decode("latin-1")
    assert list(scidog.BrowseDevices(letter)) == []
    for call, given, kind in (
        (scidog.BrowseAttributes, f"{letter}/b/c", "NoAnswer"),
        (scidog.History, "#" + "9" * 5000, "UnknownChange"),
    ):
        with pytest.raises(tango.DevFailed) as error:
            call(given)
        assert refusal(error)[0] == f"SciDog_{kind}"
