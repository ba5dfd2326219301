"""docs/how-to/put-on-a-beamline.md, followed literally on real servers: its files, script, commands and macros."""

from __future__ import annotations

import configparser
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import PyQt5
import pytest
import tango

from deploy.demo.door import Door
from deploy.demo.processes import Processes
from deploy.demo.stack import DOOR, MACROSERVER, Stack, own_group
from ingest.scicat import SciCat
from scizoo.cli import _parser
from tests.integration.scizoo.test_paths import own_macros
from tests.paths import DOCS, ROOT
from tests.servers.kafka import Kafka
from tests.servers.tango_system import control_system, patient
from tests.waiting import PATIENCE, eventually

GUIDE = (DOCS / "how-to" / "put-on-a-beamline.md").read_text("utf-8")
CATALOGUE_PAGE = (DOCS / "how-to" / "run-the-embedded-catalogue.md").read_text("utf-8")

BIN = Path(sys.executable).parent

PASSWORD = "change this"
"""Of the account `scicow` in the example of the accounts."""


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def file_after(page: str, path: str) -> str:
    """The block that the page gives for this file."""
    found = re.search(rf"Write[\s]`{re.escape(path)}`.*?^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert found, path
    return found[1]


@dataclass
class Reader:
    """Who follows the page: with folders, servers and groups of this machine in place of those of the page."""

    stack: Stack
    names: dict[str, str]

    def here(self, text: str) -> str:
        for name, ours in self.names.items():
            text = text.replace(name, ours)
        return text

    def write(self, page: str, path: str) -> Path:
        file = Path(self.here(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(self.here(file_after(page, path)), "utf-8")
        return file

    def shell(self, command: str, **env: str) -> str:
        """The output of a command of the page, which must be one of its blocks."""
        assert any(command in block for block in blocks(GUIDE, "sh")), command
        path = f"{BIN}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euc", self.here(command)],
            env={**self.stack.env, "PATH": path, **env},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def reader(tmp_path: Path, kafka: Kafka) -> Iterator[Reader]:
    with control_system(tmp_path / "stack") as stack:
        stack.start_beamline()
        names = {
            "/etc/scizoo": str(tmp_path / "etc"),
            "/var/lib/scicat": str(tmp_path / "scicat"),
            "/data": str(tmp_path / "data"),
            "/opt/scizoo/bin/": "",
            "kafka.example.org:9092": kafka.bootstrap,
            "macroserver/cosaxs/1": MACROSERVER,
            "group: users ": f"group: {own_group() or os.getegid()} ",
            "cosaxs": BEAMLINE,
        }
        (tmp_path / "scicat").mkdir()
        yield Reader(stack, names)


@pytest.mark.long
def test_the_guide(reader: Reader, kafka: Kafka, tmp_path: Path) -> None:
    stack = reader.stack

    # Proposals and the storage
    reader.shell("mkdir -p /data/visitors/cosaxs /data/proprietary/cosaxs /data/staff/cosaxs")
    reader.write(GUIDE, "/etc/scizoo/proposals.yaml")
    printed = reader.shell(
        "scizoo-sdm --office yaml:/etc/scizoo/proposals.yaml folders 20250001 --prefix /data --dry-run"
    )
    assert {line.split()[0] for line in printed.splitlines()} == {"make"}

    # PathFixer and SciDog
    (script,) = blocks(GUIDE, "python")
    subprocess.run([sys.executable, "-c", reader.here(script)], env=stack.env, check=True, timeout=PATIENCE)
    for page_server, device in (("PathFixer/cosaxs", "b311a-e/ctl/sdm-01"), ("SciDog/cosaxs", "b311a-e/ctl/scidog-01")):
        stack.run_server(reader.here(page_server), [device])
        assert eventually(lambda device=device: patient(stack.name(device)).state() in HEALTHY), device

    # Sardana
    folders = dict(line.split(maxsplit=1) for line in reader.shell("scizoo paths").splitlines())
    stack.recorder_folders, stack.macro_folders = [folders["RecorderPath:"]], [folders["MacroPath:"]]
    stack.env["PYTHONPATH"] = str(
        own_macros(tmp_path / "own")
    )  # "A package `macros` of the beamline's own does not matter"
    stack.start_sardana()
    said: list[str] = []
    door = Door(stack.name(DOOR), lambda level, line: said.append(f"{level} {line}"))
    try:
        for block in blocks(GUIDE, "text"):
            for line in block.splitlines():
                # As spock does: quotes around a parameter are not part of it.
                door.run(*[word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)])
    finally:
        door.close()
    printed = "\n".join(said)
    assert re.search(rf"{MACROSERVER} +ScanDir +has it", printed), printed
    assert "3 of 3 attributes can be read" in printed, printed
    assert "first try is recorded: 3 values, 0 of them could not be read" in printed, printed
    assert "error " not in printed, printed

    # The embedded catalogue, Kafka and SciCow
    with Processes(tmp_path / "log") as processes:
        accounts = reader.write(CATALOGUE_PAGE, "/etc/scizoo/accounts.yaml")
        (start,) = [
            line for block in blocks(CATALOGUE_PAGE, "sh") for line in block.splitlines() if "--accounts" in line
        ]
        command = [str(BIN / "scicat-embedded"), *reader.here(start).split()[1:], "--port", "0"]
        assert str(accounts) in command
        found = processes.start("catalogue", command).wait_for(r"scicat-embedded: (http://\S+)")
        assert found is not None
        reader.names["https://scicat.example.org"] = found[1]
        settings = reader.write(GUIDE, "/etc/scizoo/scicow.yaml")
        env = {**stack.env, "SCIZOO_SCICAT_PASSWORD": PASSWORD}
        servers = f"bootstrap_servers: {kafka.bootstrap}\n"
        own = f"{servers}  group_id: {BEAMLINE}\n  topics: ^scifish-{BEAMLINE}$\n"
        text = settings.read_text("utf-8").replace(servers, own)
        settings.write_text(f"{text}dead_letter_topic: dead-{BEAMLINE}\nhttp: {{port: 0}}\n", "utf-8")
        processes.start("scicow", [str(BIN / "scicow"), "run", "--config", str(settings)], env)
        scicat = SciCat(found[1], "scicow", PASSWORD)
        assert eventually(lambda: scicat.count({"datasetName": "first try"}) == 1)
        (dataset,) = scicat.datasets({"datasetName": "first try"})
        assert dataset["proposalId"] == "20250001"
        assert dataset["sourceFolder"].startswith(reader.here("/data/visitors/cosaxs/20250001/"))
        assert dataset["sampleId"] == "fibre_A"
        assert dataset["principalInvestigator"] == "Astrid Lindqvist"
        assert dataset["scientificMetadata"]["Optics"]["Shutter"]["value"] == "open"

        # All of it at once
        assert own_group(), "PathFixer is in ALARM where this account's group has no name"
        seen: list[str] = []
        assert eventually(lambda: is_well(reader, seen)), seen[-1]


BEAMLINE = f"guide-{secrets.token_hex(4)}"
"""Other tests use the same broker: the topic, and what SciCow reads, are of this test only."""

HEALTHY = (tango.DevState.ON, tango.DevState.STANDBY)


def is_well(reader: Reader, seen: list[str]) -> bool:
    """Whether the last command of the step says that all is well: its status is 0. Else what it prints is in `seen`."""
    try:
        reader.shell("scizoo doctor --scicow /etc/scizoo/scicow.yaml", SCIZOO_SCICAT_PASSWORD=PASSWORD)
    except AssertionError as error:
        seen.append(str(error))
        return False
    return True


# ------------------------------------------------------------------- without servers


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def test_every_pip_install_names_the_clone_and_extras_that_exist() -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    extras = set(settings["options.extras_require"])
    texts = {page: page.read_text("utf-8") for page in pages()}
    for package in ("ingest", "scifly", "taurus_widgets", "scizoo"):
        texts |= {file: file.read_text("utf-8") for file in (ROOT / package).rglob("*.py")}
    commands = [
        (str(file), words)
        for file, text in texts.items()
        for words in re.findall(r"pip install ('[^']*'|[^\s`]+)", text)
    ]
    assert len(commands) > 8
    for file, what in commands:
        if what in (".", "itango") or "`" in what:
            continue
        named = re.fullmatch(r"'?\.\[([a-z,]+)\]'?", what)
        assert named, f"{file}: pip install {what}: there is no such distribution on an index"
        assert set(named[1].split(",")) <= extras, f"{file}: {what}"


def test_the_libraries_that_qt_needs_are_named() -> None:
    """Those of the plugin that draws on X: what is not in PyQt5 itself."""
    qt = Path(PyQt5.__file__).parent / "Qt5"
    plugins = [*(qt / "plugins" / "platforms").glob("libqxcb.so"), *(qt / "lib").glob("libQt5XcbQpa.so*")]
    assert len(plugins) >= 2
    needed = {
        name.decode()
        for file in plugins
        for name in re.findall(rb"lib(?:xcb|xkb|X11)[a-z0-9-]*\.so\.\d+", file.read_bytes())
    }
    (command,) = re.findall(r"^apt install (.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    packages = set(command.replace("\\\n", " ").split())
    for library in needed:
        name, _, number = library.lower().partition(".so.")
        assert packages & {f"{name}{number}", f"{name}-{number}"}, library


@pytest.mark.parametrize("page", ["check-a-beamline.md", "put-on-a-beamline.md"])
def test_each_option_of_scizoo_is_one(page: str) -> None:
    text = (DOCS / "how-to" / page).read_text("utf-8")
    commands = [line for block in blocks(text, "sh") for line in block.splitlines() if line.startswith("scizoo ")]
    assert commands
    for command in commands:
        _parser().parse_args(command.split()[1:])


def test_the_page_of_the_doctor_has_each_part_and_option() -> None:
    from scizoo.doctor.ingest_parts import PARTS

    text = (DOCS / "how-to" / "check-a-beamline.md").read_text("utf-8")
    parts = (
        "Tango database",
        "SciDog",
        "PathFixer",
        "Path consumers",
        "Sardana",
        "Snapshot",
        "Spool",
        "Kafka",
        "Topic",
    )
    for part in (*parts, *PARTS):
        assert f"`{part}`" in text
    for option in ("--scicow FILE", "--json", "--timeout SECONDS"):
        assert f"`{option}`" in text
