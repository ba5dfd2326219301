"""Hostile clients: a device refuses with words what it cannot use, writes and reads nowhere else, and goes on.

The devices themselves say what there is to attack, so that a new command, attribute or property is attacked, too.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tango
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.processes import Process
from deploy.demo.stack import PATHFIXER, SCIDOG, SCIFLY, Stack
from tests.paths import ROOT
from tests.servers.tango_system import control_system, patient
from tests.waiting import eventually

pytestmark = pytest.mark.first

SCICOW = "b311a-e/ctl/scicow-01"
DEVICES = {PATHFIXER: "PathFixer", SCIDOG: "SciDog", SCIFLY: "SciFly", SCICOW: "SciCow"}

MARK = f"hostile-{secrets.token_hex(6)}"
"""In the name of each file that an attack tries to make."""

SECRET = f"secret-{secrets.token_hex(6)}"
"""The content of a file that no client may read."""

MAX_MEGABYTES = 600
"""That a server may have more than before: some of what clients have sent may still be in its hands."""

MAX_THREADS = 150
"""Of a server: omniORB's for twenty clients, and those that still wait for devices that do not exist."""

MAX_REFUSAL = 20_000
"""Characters of a refusal, whatever was refused."""


@dataclass
class Target:
    """One device, and its server."""

    name: str
    proxy: tango.DeviceProxy
    server: Process

    @property
    def commands(self) -> dict[str, tango.CmdArgType]:
        """All of its commands, with the types of their arguments."""
        return {info.cmd_name: info.in_type for info in self.proxy.command_list_query()}

    @property
    def writable(self) -> dict[str, tango.AttributeInfoEx]:
        return {info.name: info for info in self.proxy.attribute_list_query_ex() if str(info.writable) != "READ"}

    def status(self, field: str) -> int:
        """A number in Linux's status of its server's process."""
        found = re.search(rf"^{field}:\s*(\d+)", Path(f"/proc/{self.server.pid}/status").read_text(), re.MULTILINE)
        assert found
        return int(found[1])


@dataclass
class System:
    stack: Stack
    targets: dict[str, Target]
    canary: Path
    """A file with `SECRET`, beside the folder of the data."""

    @functools.cached_property
    def shapes(self) -> dict[str, list[str]]:
        """The names in the JSON objects that SciDog's commands take, by command: a refusal lists them."""
        found = {}
        for command, kind in self.targets[SCIDOG].commands.items():
            if kind == tango.CmdArgType.DevString:
                try:
                    self.targets[SCIDOG].proxy.command_inout(command, '{"?": 1}')
                except tango.DevFailed as refused:
                    if names := re.search(r"unknown: \?; allowed are (.*)", refused.args[0].desc):
                        found[command] = names[1].split(", ")
        return found

    def texts(self) -> list[str]:
        """What people should not send."""
        data = self.stack.folder / "data"
        paths = [f"../../../../../../../../tmp/{MARK}", f"/tmp/{MARK}", f"{data}/../{MARK}", f"x/../../../{MARK}"]
        paths += [f"{data}/visitors/cosaxs/20250001/../../../../../{MARK}", str(self.canary), f"yaml:{self.canary}"]
        shell = [f"$(touch /tmp/{MARK})", f"'; touch /tmp/{MARK}; '", "--help"]
        formats = ["%s%n%x%99999999d", "{0.__class__}{:>999999999}", "*", "' OR 1=1 --"]
        characters = ["", "\n", "a\r\nX: y", "\x01\x1b[2J\x7f", "\x85\xa0\xad", "\xff\xfe", "'\"\\"]
        numbers = ["#-1", "#" + "9" * 5000, "9" * 5000, "1e999"]
        names = ["saxs", "Config.saxs", "a/b/c/d", "tango://127.0.0.1:9/a/b/c", "sys/database/2", "20250001"]
        bombs = ["[" * 100_000, '{"a":' * 50_000, "- " * 50_000, f"- {{name: &a [x], {ALIASES}}}"]
        large = ["é" * 1_000_000, "x\n" * 500_000, "x" * 10_000_000]
        return [*paths, *shell, *formats, *characters, *numbers, *names, *bombs, *large]


ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine levels of nine aliases: 400 million texts, if they are written out."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("hostile")
    with control_system(folder / "beamline") as stack:
        canary = stack.folder / "canary"
        canary.write_text(f"{SECRET}\n")
        servers = {
            PATHFIXER: stack.start_pathfixer(),
            SCIDOG: stack.start_scidog("127.0.0.1:9"),
            SCIFLY: stack.start_scifly(Profiles=["ses", "{name: dat, pattern: '*.dat', settle: 0.3}"]),
            SCICOW: stack.start_server(
                "SciCow/demo",
                {SCICOW: ("SciCow", {"Urls": ["http://127.0.0.1:9"], "Period": ["0.2"]})},
                [sys.executable, "-m", "tango_servers.SciCow"],
            ),
        }
        targets = {name: Target(name, patient(stack.name(name)), server) for name, server in servers.items()}
        targets[PATHFIXER].proxy.Proposal = "20250001"
        yield System(stack, targets, canary)


@pytest.fixture(autouse=True)
def unharmed(system: System) -> Iterator[None]:
    """Each server lives, with bounded memory and threads, and has written and read nothing that it should not."""
    before = {name: target.status("VmRSS") for name, target in system.targets.items()}
    yield
    for name, target in system.targets.items():
        target.proxy.state()
        assert target.server.running, f"{name} has ended"
        assert target.status("VmRSS") < before[name] + MAX_MEGABYTES * 1000, name
        assert eventually(lambda target=target: target.status("Threads") < MAX_THREADS), name  # type: ignore[misc]
        shown = "".join(str(target.proxy.read_attribute(one).value) for one in target.proxy.get_attribute_list())
        assert SECRET not in shown
    places = [
        system.stack.folder,
        system.stack.folder.parent,
        ROOT,
        Path.home(),
        Path(tempfile.gettempdir()),
        Path("/"),
    ]
    assert [path for place in places for path in place.glob(f"*{MARK}*")] == []
    inside = [system.stack.folder / "data", system.stack.folder / "state", system.stack.folder / "logs"]
    made = [
        Path(top) / name
        for top, folders, files in os.walk(system.stack.folder)
        for name in (*folders, *files)
        if MARK in name
    ]
    assert [path for path in made if not any(path.is_relative_to(one) for one in inside)] == []


def call(target: Target, command: str, argument: Any = None) -> str:
    """The answer, or "" if it is refused with words."""
    try:
        answer = target.proxy.command_inout(command, argument)
    except tango.DevFailed as failed:
        check_refusal(failed, f"{target.name} {command} {argument!r:.200}")
        return ""
    assert SECRET not in str(answer)
    return str(answer)


def check_refusal(failed: tango.DevFailed, what: str) -> None:
    """That the device has meant to refuse it, and says something that a person can read."""
    cause = failed.args[0]
    assert cause.reason != "PyDs_PythonError", f"{what}: {cause.desc}"
    assert cause.reason != "API_DeviceTimedOut", what
    assert len(cause.desc.strip()) > 5, what
    assert len(cause.desc) < MAX_REFUSAL, what
    assert SECRET not in cause.desc
    assert "Traceback" not in cause.desc, f"{what}: {cause.desc}"


def arguments(system: System, kind: tango.CmdArgType) -> Sequence[Any]:
    """What to call a command with, by the type that it takes."""
    texts = system.texts()
    if kind == tango.CmdArgType.DevVoid:
        return [None]
    if kind == tango.CmdArgType.DevString:
        return texts
    if kind == tango.CmdArgType.DevVarStringArray:
        lists = [[], [""], ["", "", ""], ["x"] * 100_000, [texts[-1]] * 3, ["saxs", "saxs"], ["saxs", "yaml", "x"]]
        return [
            *lists,
            *([text] for text in texts),
            *([first, text] for text in texts if len(text) < 1_000_000 for first in (text, "saxs")),
        ]
    if kind in (tango.CmdArgType.DevLong64, tango.CmdArgType.DevLong):
        return [0, 1, -1, 2**31 - 1, -(2**31)] + ([2**63 - 1, -(2**63)] if kind == tango.CmdArgType.DevLong64 else [])
    raise AssertionError(f"say here what a command with an argument of the type {kind} is attacked with")


LEFT_OUT = ("State", "Status", "Init")
"""Tango's own: they take nothing, and Init is called with each property."""


@pytest.mark.parametrize("device", DEVICES)
def test_each_command_refuses_what_it_cannot_use(system: System, device: str) -> None:
    target = system.targets[device]
    for command, kind in target.commands.items():
        for argument in arguments(system, kind) if command not in LEFT_OUT else ():
            call(target, command, argument)
    go_on(system)


@pytest.mark.parametrize("device", DEVICES)
def test_a_wrong_type_is_refused(system: System, device: str) -> None:
    target = system.targets[device]
    wrong = {
        tango.CmdArgType.DevDouble: 1.5,
        tango.CmdArgType.DevVarDoubleArray: [1.5] * 100_000,
        tango.CmdArgType.DevString: "text",
        tango.CmdArgType.DevVarStringArray: ["text"] * 3,
        tango.CmdArgType.DevVarCharArray: list(b"\xff\x00\xfe"),
    }
    for command, right in target.commands.items():
        for kind, value in wrong.items():
            if kind in (right, {tango.CmdArgType.DevString: tango.CmdArgType.DevVarStringArray}.get(right)):
                continue
            data = tango.DeviceData()
            data.insert(kind, value)
            with contextlib.suppress(tango.DevFailed):  # Tango ignores what a command without an argument gets
                target.proxy.command_inout(command, data)
                assert right == tango.CmdArgType.DevVoid, f"{command} took {kind}"


@pytest.mark.parametrize("device", DEVICES)
def test_each_attribute_refuses_what_it_cannot_use(system: System, device: str) -> None:
    target = system.targets[device]
    for name, info in target.writable.items():
        assert info.data_type == tango.CmdArgType.DevString, "say here what another type is attacked with"
        assert info.data_format == tango.AttrDataFormat.SCALAR
        for value in system.texts():
            try:
                target.proxy.write_attribute(name, value)
            except tango.DevFailed as failed:
                check_refusal(failed, f"{device}/{name} = {value!r:.200}")
        with pytest.raises((tango.DevFailed, TypeError)):
            target.proxy.write_attribute(name, [1.5, 2.5])
    if device == PATHFIXER:
        target.proxy.Proposal = "20250001"


@pytest.mark.long
@pytest.mark.parametrize("device", DEVICES)
def test_a_wrong_property_is_reported_and_the_device_goes_on(system: System, device: str) -> None:
    target, db = system.targets[device], system.stack.db
    server = tango.DeviceProxy(system.stack.name(f"dserver/{DEVICES[device]}/demo"))
    names = [str(name) for name in server.QueryWizardDevProperty(DEVICES[device])[::3]]
    assert names
    before = {name: list(db.get_device_property(device, name)[name]) for name in names}
    for name in names:
        for lines in PROPERTY_LINES:
            db.put_device_property(device, {name: [line.format(canary=system.canary, mark=MARK) for line in lines]})
            target.proxy.Init()
            target.proxy.state()
            assert SECRET not in target.proxy.status()
        db.delete_device_property(device, {name: []})
        if before[name]:
            db.put_device_property(device, {name: before[name]})
    target.proxy.Init()


PROPERTY_LINES = (
    ["{canary}"],
    ["yaml:{canary}", "{canary}"],
    ["\xff\x01 {{0}} %s ../{mark}", "[" * 5_000, "x" * 60_000],
    ["-1e999"],
    ["- {{name: &a [x,x], source: *a}}"] * 3,
)
"""To be formatted."""


TEXT = st.text() | st.sampled_from(["saxs", "", "\ud800", "\0", f"../{MARK}", "a/b/c/d", "2025-01-01", "YQ==", "é"])
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


@given(data=st.data())
def test_any_json_is_answered_or_refused(system: System, data: st.DataObject) -> None:
    target = system.targets[SCIDOG]
    known = system.shapes
    assert {"SaveConfig", "ImportConfig", "ReportSnapshot", "Validate", "Preview"} <= known.keys()
    command = data.draw(st.sampled_from(sorted(known)))
    entry = st.fixed_dictionaries(
        {}, optional={key: VALUE for key in ("name", "source", "group", "unit", "map", "record")}
    )
    fields = {name: VALUE | TEXT | st.lists(TEXT | entry, max_size=4) for name in known[command]}
    request = data.draw(st.fixed_dictionaries({}, optional=fields))
    call(target, command, json.dumps(request))


def some_argument(chosen: random.Random, texts: Sequence[str], kind: tango.CmdArgType) -> Any:
    if kind == tango.CmdArgType.DevString:
        return chosen.choice(texts)
    if kind == tango.CmdArgType.DevVarStringArray:
        return chosen.choices(texts, k=2)
    return None if kind == tango.CmdArgType.DevVoid else chosen.randrange(-10, 100)


def go_on(system: System) -> None:
    """After the commands that stop a device."""
    for target in system.targets.values():
        for command in {"TurnOn", "Start"} & target.commands.keys():
            target.proxy.command_inout(command)


@pytest.mark.long
def test_thousands_of_calls_of_twenty_clients_at_once(system: System) -> None:
    texts = [text for text in system.texts() if len(text) < 10_000]
    calls = [
        (target, command, kind)
        for target in system.targets.values()
        for command, kind in target.commands.items()
        if command not in ("Validate", "Preview", "BrowseAttributes")  # these may take seconds each
    ]
    failures: list[BaseException] = []

    def client(number: int) -> None:
        chosen = random.Random(number)
        with tango.EnsureOmniThread():
            for _ in range(100):
                target, command, kind = chosen.choice(calls)
                try:
                    call(target, command, some_argument(chosen, texts, kind))
                except BaseException as failure:  # noqa: BLE001 - it is raised below
                    failures.append(failure)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    answered = 0
    while any(thread.is_alive() for thread in threads):
        for target in system.targets.values():
            target.proxy.state()
            answered += 1
    assert answered
    go_on(system)
    if failures:
        raise failures[0]


def test_what_programs_report_to_scidog_is_bounded(system: System) -> None:
    """Each report is of another program; nobody reports that all is well again."""
    target = system.targets[SCIDOG]
    for number in range(2_000):
        target.proxy.ReportTrouble([f"run-{number}", f"program {number}\nforged line", "the disk is full\n" * 100])
    assert len(target.proxy.Problems) <= 200
    assert len(target.proxy.status()) < 200_000
    assert not any("\n" in problem for problem in target.proxy.Problems)
    target.proxy.Init()
    assert not any("forged" in problem for problem in target.proxy.Problems)


CLIENT = """
import random, sys, time, tango
seen = []
proxies = [tango.DeviceProxy(name) for name in sys.argv[1:]]
for proxy in proxies:
    for name in proxy.get_attribute_list():
        for _ in range(20):  # and never unsubscribes
            proxy.subscribe_event(name, tango.EventType.CHANGE_EVENT, lambda event: seen.append(1), stateless=True)
print("subscribed", flush=True)
while True:
    proxy = random.choice(proxies)
    for name in proxy.get_attribute_list():
        proxy.read_attribute(name)
    time.sleep(0.01)
"""


@pytest.mark.long
def test_clients_that_hang_or_are_killed_disturb_no_other(system: System) -> None:
    names = [system.stack.name(name) for name in DEVICES]
    clients = [
        subprocess.Popen([sys.executable, "-c", CLIENT, *names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(20)
    ]
    try:
        for each in clients:
            assert each.stdout is not None
            assert each.stdout.readline() == b"subscribed\n"
        for number, each in enumerate(clients):
            each.send_signal(signal.SIGKILL if number % 2 else signal.SIGSTOP)
        pathfixer = system.targets[PATHFIXER].proxy
        seen: list[str] = []
        pathfixer.subscribe_event(
            "Sample", tango.EventType.CHANGE_EVENT, lambda event: seen.append(event.attr_value.value)
        )
        for number in range(50):  # each pushes some ten events
            pathfixer.Sample = f"sample_{number}"
        assert eventually(lambda: seen and seen[-1] == "sample_49")
        for target in system.targets.values():
            target.proxy.state()
    finally:
        for each in clients:
            each.kill()
            each.wait()
            assert each.stdout is not None
            each.stdout.close()
