"""The beamline under test: all its servers, each of which can be stopped, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import tango
from confluent_kafka import KafkaException

from deploy.demo.door import Door
from deploy.demo.processes import Process, Processes
from deploy.demo.session import Session
from deploy.demo.stack import DOOR, MACROSERVER, PATHFIXER, POOL, SCIDOG, Stack
from ingest.scicat import SciCat
from scifish.message import Message
from tests.faults import processes
from tests.faults.arrived import read_topic
from tests.faults.clock import JUMPS, Clock
from tests.faults.disk import Disk
from tests.faults.importable import importable
from tests.faults.ledger import SUFFIX
from tests.faults.program import STYLES
from tests.faults.verdict import Finding
from tests.servers.catalogue import start_catalogue
from tests.servers.kafka import SecuredKafka, delete_messages, delete_topic, kafka_jars, make_topic
from tests.servers.scicow import PASSWORD, start_scicow, write_settings
from tests.waiting import eventually

RECORDERS = ("LedgerBefore", "SciFishRecorder", "LedgerAfter")

PROGRAMS = 4

AS_MXCUBE = ("gevent.monkey", "--no-thread", "--module")
"""How a program starts that gevent has patched as MXCuBE's front ends do."""

PARTITIONS = 4

CLIENT_LINES = ("security.", "sasl.")
"""How the lines of a config file begin that are about the account."""

START = 240.0
"""Seconds that a server may take to start: the machine may be busy with other things."""


class Beamline(Stack):
    """A stack whose MacroServer has the recorder of the ledger, too, and whose database comes back at its port."""

    def __init__(self, folder: Path, processes: Processes, clock: Clock) -> None:
        super().__init__(folder, processes)
        self.clock = clock
        self.ledgers = folder / "ledgers"
        self.ledgers.mkdir()
        self.recorder_folders.append(str(Path(__file__).with_name("recorders")))
        self.kafka_client_file = folder / "kafka-client.properties"
        self.env |= {"SCIFISH_FAULTS_LEDGERS": str(self.ledgers), "PYTHONPATH": str(importable(folder))}

    def scidog_properties(self, kafka: str) -> dict[str, Sequence[str]]:
        return {**super().scidog_properties(kafka), "KafkaConfigFile": [str(self.kafka_client_file)]}

    def start_server(
        self,
        server: str,
        devices: Mapping[str, tuple[str, Mapping[str, Sequence[str]]]],
        command: Sequence[str] = (),
        timeout: float = 30.0,
    ) -> Process:
        return super().start_server(server, devices, command, max(timeout, START))

    @property
    def sardana_command(self) -> list[str]:
        return [*self.clock.command, *super().sardana_command]

    def start_database(self) -> None:
        """At the same port each time."""
        if not self.tango_host:
            self.tango_host = f"127.0.0.1:{_own_port()}"
            self.env["TANGO_HOST"] = os.environ["TANGO_HOST"] = self.tango_host
            self.env["PYTANGO_DATABASE_NAME"] = str(self.folder / "tango.db")
        _, _, port = self.tango_host.partition(":")
        argv = [str(Path(sys.executable).with_name("PyDatabaseds")), "--host", "127.0.0.1", "--port", port, "2"]
        self.processes.start("tango-database", argv, self.env).wait_for(self._database_answers, START)

    def _database_answers(self) -> bool:
        try:
            self.db.get_info()
        except tango.DevFailed:
            return False
        return True


class System:
    """Database, simulated beamline, PathFixer, SciDog, Kafka, Sardana, programs that use the class SciFish, and SciCow
    with its catalogue."""

    def __init__(self, folder: Path, processes: Processes, seed: int) -> None:
        self.folder = folder
        self.processes = processes
        self.random = random.Random(seed)
        (folder / "clocks").mkdir()
        self.clocks = [Clock(folder / "clocks" / str(number)) for number in range(PROGRAMS)]
        # Where SciDog's SpoolDirectory is, see `Stack.scidog_properties`.
        self.disk = Disk(folder / "spool")
        self.stack = Beamline(folder, processes, Clock(folder / "clocks" / "sardana"))
        self.kafka = SecuredKafka(folder / "kafka", processes, kafka_jars())
        self.collected: list[Message] = []
        self.wrong: list[Finding] = []
        self._cows = 0
        self._cow: Process | None = None
        self._http_port = _own_port()
        self.programs: list[Process | None] = [None] * PROGRAMS
        self._started = 0
        self.door: Door | None = None

    def start(self) -> None:
        self.kafka.start()
        stack = self.stack
        stack.use_own_topic()
        self.write_client_files()
        make_topic(self.kafka.bootstrap, stack.topic, PARTITIONS)
        self.start_catalogue()
        self.start_database()
        self.simulation = stack.start_beamline()
        self.pathfixer = stack.start_pathfixer([f"{{device: {MACROSERVER}, environment: ScanDir}}"])
        self.scidog = stack.start_scidog(self.kafka.secured)
        self.sardana = stack.start_sardana()
        self.door = Door(stack.name(DOOR))
        Session(self.door, print).prepare(stack.folder / "data")
        self.door.run("senv", "DataRecorder", str(list(RECORDERS)))
        self.door.run("setproposal", "20250001")
        self.door.run("setsample", "fibre_A")

    # ---------------------------------------------------- Kafka, SciCow and the catalogue

    def write_client_files(self) -> None:
        """The account of Kafka as it is now, for all who use it."""
        for path in (self.stack.kafka_client_file, self.folder / "scicow" / "kafka.properties"):
            path.parent.mkdir(exist_ok=True)
            path.touch(mode=0o600)
            own = [line for line in path.read_text().splitlines(keepends=True) if not line.startswith(CLIENT_LINES)]
            path.write_text("".join(own) + self.kafka.client_properties())

    def start_catalogue(self) -> None:
        self.catalogue = start_catalogue(self.processes, self.folder / "catalogue")
        self._run = self.stack.topic.removeprefix("scifish-")
        self.scicow_config = write_settings(
            self.folder / "scicow",
            self.kafka.secured,
            self.catalogue,
            self._run,
            session=6,
            creation_location=f"/{self._run}",
            http={"port": self._http_port},
        )
        self.write_client_files()
        self.start_cow()

    @property
    def scicow_url(self) -> str:
        return f"http://127.0.0.1:{self._http_port}"

    def start_cow(self) -> None:
        self._cows += 1
        self._cow = start_scicow(self.processes, f"scicow-{self._cows}", self.scicow_config, self.catalogue)

    def stop_cow(self) -> None:
        cow, self._cow = self._cow, None
        assert cow is not None
        self.end(cow, signal.SIGTERM, timeout=START)

    def look_after_cow(self) -> None:
        """Start it again if nobody stopped it: it must not exit by itself."""
        if self._cow is not None and not self._cow.running:
            self.wrong.append(Finding(self._cow.name, f"SciCow exited by itself: {self._cow.text[-300:]}"))
            self._forget(self._cow)
            self.start_cow()

    def run_scicow(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [str(Path(sys.executable).with_name("scicow")), *words, "--config", str(self.scicow_config)]
        env = {**os.environ, PASSWORD: self.catalogue.ingestor.password}
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=START)

    def ended_in_catalogue(self) -> set[str]:
        """The uuids of the datasets that the catalogue has, with their end."""
        account = self.catalogue.ingestor
        scicat = SciCat(self.catalogue.url, account.username, account.password, timeout=START)
        found = scicat.datasets(
            {"creationLocation": f"/{self._run}"}, fields=["pid", "scientificMetadata.scan"], limit=1_000_000
        )
        return {
            each["pid"].rpartition("/")[2]
            for each in found
            if each["scientificMetadata"]["scan"]["status"]["value"] != "running"
        }

    def collect(self) -> None:
        """Keep what the topic has, before a fault deletes it."""
        messages, wrong = read_topic(self.kafka.bootstrap, self.stack.topic)
        self.collected += messages
        self.wrong += wrong

    def delete_messages(self) -> None:
        """As retention does, of what is `collected`."""
        self.collect()
        delete_messages(self.kafka.bootstrap, self.stack.topic)

    def make_topic_again(self) -> None:
        self.collect()
        delete_topic(self.kafka.bootstrap, self.stack.topic)

        def is_made() -> bool:
            try:
                make_topic(self.kafka.bootstrap, self.stack.topic, PARTITIONS)
            except KafkaException:
                return False  # the old one is still being deleted
            return True

        assert eventually(is_made)

    def bring_back(self) -> str:
        """As a person does who has seen that messages are lost: send again, and drop the letters that said it."""
        argv = [str(Path(sys.executable).with_name("scifish")), "resend", "--since", "10d"]
        done = subprocess.run(argv, env=self.stack.env, capture_output=True, text=True, timeout=START)
        self.run_scicow("dead-letters", "drop", "--all", "--yes")
        return done.stdout.splitlines()[0] if done.stdout else done.stderr

    # ------------------------------------------------------------------ Sardana

    def leave_door(self) -> None:
        """Its events end. One that comes while Python ends would end the process with a signal."""
        if self.door is not None:
            self.door.close()
            self.door = None

    def kill_sardana(self) -> None:
        self.leave_door()
        self.end(self.sardana, signal.SIGKILL)

    def start_sardana(self) -> None:
        """Its clock is another each time. Not while it runs: Sardana's own scans hang then."""
        self.stack.clock.jump(self.random.choice(JUMPS))
        self.sardana = self.stack.run_server(
            "Sardana/demo", (POOL, MACROSERVER, DOOR), self.stack.sardana_command, START
        )
        self.door = Door(self.stack.name(DOOR))

    def start_scidog(self) -> None:
        self.scidog = self.stack.run_server("SciDog/demo", [SCIDOG], timeout=START)

    def start_pathfixer(self) -> None:
        self.pathfixer = self.stack.run_server("PathFixer/demo", [PATHFIXER], timeout=START)

    def start_database(self) -> None:
        self.stack.start_database()
        self.database = self.processes.running[-1]

    # ----------------------------------------------------------------- programs

    def look_after_programs(self) -> list[Process]:
        """Start one for each that has ended; those that were started."""
        started = []
        for slot, program in enumerate(self.programs):
            if program is None or not program.running:
                if program is not None:
                    self._forget(program)
                self.programs[slot] = new = self._start_program(slot)
                started.append(new)
        return started

    def _start_program(self, slot: int) -> Process:
        self._started += 1
        name = f"program-{self._started:03}"
        style = STYLES[slot % len(STYLES)]
        argv = [*self.clocks[slot].command, sys.executable, "-m"]
        argv += [*AS_MXCUBE, "tests.faults.program"] if style == "mxcube" else ["tests.faults.program"]
        argv += [str(self.stack.ledgers / f"{name}{SUFFIX}"), name, str(self.random.randrange(10**6))]
        argv.append(style)
        if style == "settings":
            argv.append(self._settings)
        return self.processes.start(name, argv, self.stack.env)

    @property
    def _settings(self) -> str:
        known = {
            "beamline": "cosaxs",
            "topic": self.stack.topic,
            "kafka_bootstrap_servers": self.kafka.secured,
            "kafka_config_file": str(self.stack.kafka_client_file),
            "spool_directory": str(self.folder / "spool"),
        }
        return json.dumps(known)

    def recording(self) -> list[Process]:
        """The processes that record now."""
        return [each for each in (self.sardana, *self.programs) if each is not None and each.running]

    # ---------------------------------------------------------------- processes

    def end(self, process: Process, how: signal.Signals, group: bool = False, timeout: float = 20.0) -> None:
        """Signal the process alone, as a crash would; with `group` its children too. Wait until it is gone.

        What `Process.stop` does is more than that: it leaves no child.
        """
        if process.running:
            (os.killpg if group else os.kill)(process.pid, how)
            if process.wait(timeout) is None:
                process.kill()
                raise RuntimeError(f"{process.name} did not end within {timeout:g} s of signal {how.name}")
        self._forget(process)

    def _forget(self, process: Process) -> None:
        # Else its number would be signalled in the end, when it may be another's.
        if process in self.processes.running:
            self.processes.running.remove(process)

    def companions(self) -> list[int]:
        """Children of the processes that record."""
        return [child for parent in self.recording() for child in processes.children(parent.pid)]


def _own_port() -> int:
    """A free one that no client is given: it must be free again when the server comes back."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.SystemRandom().sample(range(10_000, lowest), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no free port below those of the clients")
