"""All servers of a beamline on this machine, started one by one, each with its real program.

`make demo` starts all of them; a test starts those that it needs.
"""

from __future__ import annotations

import grp
import os
import pwd
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import tango
import yaml

from deploy.demo import beamline
from deploy.demo.processes import STEP_TIMEOUT_SECONDS, Process, Processes
from ingest.scicat import SciCat
from scizoo.sardana_folders import sardana_folders
from sdm.names import CATEGORIES

PATHFIXER = "b311a-e/ctl/sdm-01"
SCIDOG = "b311a-e/ctl/scidog-01"
SCIFLY = "b311a-e/ctl/scifly-01"
POOL, MACROSERVER, DOOR = "pool/demo/1", "macroserver/demo/1", "door/demo/1"
BEAMLINE = "cosaxs"
OFFICE = Path(__file__).with_name("proposals.yaml")
"""Stands for the user office."""


@dataclass(frozen=True)
class Account:
    """The address and login of a catalogue."""

    url: str
    username: str
    password: str

    def client(self) -> SciCat:
        return SciCat(self.url, self.username, self.password)


class Stack:
    """The servers of one beamline. `folder` gets their state and their logs; they write nowhere else."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.processes = processes
        self.env: dict[str, str] = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            "SCIDOG_DEVICE": "",
            "PYTHONUNBUFFERED": "1",
        }
        _make_socket_folder()
        for category in CATEGORIES:  # on a real storage its administrators create these
            (folder / "data" / category / BEAMLINE).mkdir(parents=True, exist_ok=True)
        self.tango_host = ""
        self.topic = ""  # SciDog's default
        folders = sardana_folders()
        self.recorder_folders = [str(folders["RecorderPath"])]
        self.macro_folders = [str(folders["MacroPath"])]
        self.controller_folders = [str(Path(__file__).with_name("controllers"))]

    def use_own_topic(self) -> None:
        """On a shared broker: use topics that no other user or earlier run has."""
        self.topic = f"scifish-{BEAMLINE}-{secrets.token_hex(4)}"

    # ------------------------------------------------------------------ Tango

    def start_database(self) -> None:
        """Start a Tango database, and set TANGO_HOST of this process to it."""
        self.env["PYTANGO_DATABASE_NAME"] = str(self.folder / "tango.db")
        server = self.processes.start(
            "tango-database",
            [_command("PyDatabaseds"), "--host", "127.0.0.1", "--port", "0", "--print-host-port", "2"],
            self.env,
        )
        found = server.wait_for(r"host=127\.0\.0\.1, port=(\d+)")
        self.tango_host = f"127.0.0.1:{found.group(1)}" if found else ""
        self.env["TANGO_HOST"] = os.environ["TANGO_HOST"] = self.tango_host
        server.wait_for(lambda: _works(lambda: self.db.get_info()))

    @property
    def db(self) -> tango.Database:
        host, _, port = self.tango_host.partition(":")
        return tango.Database(host, int(port))

    def name(self, device: str) -> str:
        """The device's full name, which is also valid with another TANGO_HOST."""
        return f"tango://{self.tango_host}/{device}"

    def add_device(self, server: str, device_class: str, device: str) -> None:
        """Add a device to the database, without starting a server."""
        info = tango.DbDevInfo()
        info.server, info._class, info.name = server, device_class, device
        self.db.add_device(info)

    def start_server(
        self,
        server: str,
        devices: Mapping[str, tuple[str, Mapping[str, Sequence[str]]]],
        command: Sequence[str] = (),
        timeout: float = STEP_TIMEOUT_SECONDS,
    ) -> Process:
        """Register `devices` (name: class, properties) for `server` (`Name/instance`), and start it."""
        db = self.db
        for device, (device_class, properties) in devices.items():
            self.add_device(server, device_class, device)
            if properties:
                db.put_device_property(device, {name: list(lines) for name, lines in properties.items()})
        return self.run_server(server, tuple(devices), command, timeout)

    def run_server(
        self, server: str, devices: Sequence[str], command: Sequence[str] = (), timeout: float = STEP_TIMEOUT_SECONDS
    ) -> Process:
        """Start a server that is in the database, and wait for its devices."""
        program, instance = server.split("/")
        process = self.processes.start(
            program.lower(),
            [*(command or [_command(program)]), instance, "-ORBendPoint", "giop:tcp:127.0.0.1:0"],
            self.env,
        )
        proxies = [tango.DeviceProxy(self.name(device)) for device in devices]
        process.wait_for(lambda: all(_works(proxy.ping) for proxy in proxies), timeout)
        return process

    def start_beamline(self) -> Process:
        """Start the simulated devices, of which one is dead."""
        alive = [name for name in beamline.register(self.db) if name != beamline.DEAD_DEVICE.name]
        return self.run_server(f"{beamline.SERVER}/demo", alive, [sys.executable, "-m", "deploy.demo.beamline"])

    def start_pathfixer(self, consumers: Sequence[str] = ()) -> Process:
        """Start PathFixer, with `proposals.yaml` as the user office and data below the folder."""
        properties = {
            "Beamline": [BEAMLINE],
            "Office": [f"yaml:{self.user_office()}"],
            "Prefix": [str(self.folder / "data")],
            "PathConsumers": consumers,
        }
        return self.start_server("PathFixer/demo", {PATHFIXER: ("PathFixer", properties)})

    def user_office(self, name: str = "proposals.yaml") -> Path:
        """Write the file that replaces the user office."""
        path = self.folder / name
        path.write_text(proposals(), "utf-8")
        return path

    def scidog_properties(self, kafka: str) -> dict[str, Sequence[str]]:
        return {
            "Beamline": [BEAMLINE],
            **{f"Config.{name}": lines for name, lines in beamline.CONFIGURATIONS.items()},
            "ActiveConfig": ["saxs"],
            "PathFixer": [PATHFIXER],
            "KafkaBootstrapServers": [kafka],
            "Topic": [self.topic] if self.topic else [],
            "SpoolDirectory": [str(self.folder / "spool")],
        }

    def start_scidog(self, kafka: str) -> Process:
        return self.start_server("SciDog/demo", {SCIDOG: ("SciDog", self.scidog_properties(kafka))})

    def start_scifly(self, **properties: Sequence[str]) -> Process:
        """Start SciFly, which watches PathFixer's path. SciDog and PathFixer should run."""
        command = [sys.executable, "-m", "tango_servers.SciFly"]
        return self.start_server("SciFly/demo", {SCIFLY: ("SciFly", properties)}, command)

    def start_sardana(self) -> Process:
        """Start Pool, MacroServer and Door, with the recorder and the macros on their paths."""
        properties = {
            POOL: ("Pool", {"PoolPath": self.controller_folders}),
            MACROSERVER: (
                "MacroServer",
                {
                    "PoolNames": [POOL],
                    "RecorderPath": self.recorder_folders,
                    "MacroPath": self.macro_folders,
                    "EnvironmentDb": [str(self.folder / "macroserver" / "environment")],
                },
            ),
            DOOR: ("Door", {"MacroServerName": [MACROSERVER]}),
        }
        (self.folder / "macroserver").mkdir(exist_ok=True)
        return self.start_server("Sardana/demo", properties, self.sardana_command)

    @property
    def sardana_command(self) -> list[str]:
        """Without its own log file, which would be in /tmp: its output goes to our log."""
        return [_command("Sardana"), "--without-log-file=True"]

    # -------------------------------------------------------- Kafka and SciCat

    def start_mock_kafka(self) -> str:
        """Start librdkafka's mock cluster, and return its bootstrap servers."""
        server = self.processes.start("mock-kafka", [sys.executable, "-m", "deploy.demo.mock_kafka"], self.env)
        found = server.wait_for(r"mock-kafka: (\S+)")
        return found.group(1) if found else ""

    def start_catalogue(self) -> Account:
        """Start the embedded catalogue with one account and a generated password."""
        account = Account("", "scicow", secrets.token_urlsafe(16))
        entry = {
            "username": account.username,
            "password": account.password,
            "email": "scicow@example.org",
            "groups": [f"{BEAMLINE}-staff"],
            "admin": True,
        }
        accounts = self.write_secret("accounts.yaml", yaml.safe_dump([entry]))
        arguments = ["--port", "0", "--database", str(self.folder / "catalogue.db"), "--accounts", str(accounts)]
        server = self.processes.start("scicat-embedded", [_command("scicat-embedded"), *arguments], self.env)
        found = server.wait_for(r"scicat-embedded: (http://\S+)")
        return replace(account, url=found.group(1) if found else "")

    def start_scicow(self, kafka: str, catalogue: Account) -> Process:
        """Start SciCow. Its password is passed in the environment, as recommended."""
        config = self.folder / "scicow.yaml"
        brokers = {"bootstrap_servers": kafka, "group_id": f"scicow-{self.topic}" if self.topic else "scicow"}
        settings = {
            "kafka": brokers | (self._own_topic() if self.topic else {}),
            "scicat": {
                "url": catalogue.url,
                "username": catalogue.username,
                "password": "${SCIZOO_SCICAT_PASSWORD}",
            },
            "contact": {
                "owner": "Beamline staff",
                "contact_email": f"{BEAMLINE}@example.org",
                "principal_investigator": "Beamline staff",
            },
            "user_office": f"yaml:{OFFICE}",
            "office_memory": str(self.folder / "scicow" / "proposals.json"),
            "http": {"port": 0},  # another SciCow may run on this machine
        }
        config.write_text(yaml.safe_dump(settings), "utf-8")
        return self.processes.start(
            "scicow",
            [_command("scicow"), "run", "--config", str(config)],
            {**self.env, "SCIZOO_SCICAT_PASSWORD": catalogue.password},
        )

    def _own_topic(self) -> dict[str, object]:
        return {"topics": f"^{self.topic}$", "beamline_topics": {BEAMLINE: [self.topic]}}

    def write_secret(self, name: str, text: str) -> Path:
        """Write a file in the stack's folder that only its owner can read."""
        path = self.folder / name
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        return path


def proposals() -> str:
    """The contents of the user office: `proposals.yaml`, with this user's group for the folders.

    On a beamline each proposal has a group of its own, which does not exist on this machine.
    """
    group = own_group() or str(os.getegid())
    office = OFFICE.read_text("utf-8")
    return office.replace("beamline: cosaxs", f'beamline: cosaxs\n    group: "{group}"')


def own_group() -> str:
    """The group of this user; "" if it has no name, as in a container: PathFixer then reports that."""
    try:
        return grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        return ""


def _make_socket_folder() -> None:
    """Create omniORB's folder of Unix sockets (its default, /tmp/omni-USER).

    If two servers create it at the same time, like a user's first ones, one of them ends with an error.
    """
    with suppress(KeyError):  # an account without a name
        Path("/tmp", f"omni-{pwd.getpwuid(os.getuid()).pw_name}").mkdir(mode=0o700, exist_ok=True)


def _command(name: str) -> str:
    """A command of this Python environment, whether it is activated or not."""
    return str(Path(sys.executable).parent / name)


def _works(call: Callable[[], object]) -> bool:
    try:
        call()
    except tango.DevFailed:
        time.sleep(0.05)
        return False
    return True
