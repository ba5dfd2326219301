"""The beamline under test: all its servers, each of which can be stopped, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import tango
from confluent_kafka import KafkaException

from deploy.demo.door import Door
from deploy.demo.processes import Process, Processes
from deploy.demo.session import Session
from deploy.demo.stack import BEAMLINE, DOOR, MACROSERVER, PATHFIXER, POOL, SCIDOG, Stack
from scifish.message import Message
from scifish.spool.database import SPOOL_SUFFIX
from scifish.spool.inspection import SpoolSummary, summarise
from tests.faults import processes
from tests.faults.arrived import read_topic
from tests.faults.clock import JUMPS, Clock
from tests.faults.disk import Disk
from tests.faults.importable import importable
from tests.faults.ingestion import Ingestion
from tests.faults.known import Knowledge
from tests.faults.ledger import PLACE, SUFFIX, LedgerReader, Place
from tests.faults.processes import COMMAND_SECONDS
from tests.faults.program import STYLES
from tests.faults.strangers import Silent, Stranger, other_settings
from tests.faults.verdict import Damage, Finding
from tests.servers.kafka import SecuredKafka, delete_messages, delete_topic, kafka_jars, make_topic
from tests.waiting import eventually

RECORDERS = ("LedgerBefore", "SciFishRecorder", "LedgerAfter")

PROGRAMS = 4

AS_MXCUBE = ("gevent.monkey", "--no-thread", "--module")
"""How a program starts that gevent has patched as MXCuBE's front ends do."""

PARTITIONS = 4

CLIENT_LINES = ("security.", "sasl.")
"""How the lines of a config file begin that are about the account."""

ACTIVE_BEFORE = 180.0
"""Seconds before a loss in Kafka from which on messages may not have been read."""


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
        return super().start_server(server, devices, command, max(timeout, COMMAND_SECONDS))

    @property
    def sardana_command(self) -> list[str]:
        return [*self.clock.command, *super().sardana_command]

    def start_database(self) -> None:
        """At the same port each time."""
        if not self.tango_host:
            self.tango_host = f"127.0.0.1:{processes.own_port()}"
            self.env["TANGO_HOST"] = os.environ["TANGO_HOST"] = self.tango_host
            self.env["PYTANGO_DATABASE_NAME"] = str(self.folder / "tango.db")
        _, _, port = self.tango_host.partition(":")
        argv = [str(Path(sys.executable).with_name("PyDatabaseds")), "--host", "127.0.0.1", "--port", port, "2"]
        self.processes.start("tango-database", argv, self.env).wait_for(self._database_answers, COMMAND_SECONDS)

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
        self.spools = folder / "spool"
        self.disk = Disk(self.spools)
        self.stack = Beamline(folder, processes, Clock(folder / "clocks" / "sardana"))
        self.kafka = SecuredKafka(folder / "kafka", processes, kafka_jars())
        self.collected: list[Message] = []
        self.lies = 0
        """How many messages were sent to a topic of another beamline, or about a dataset of another one."""
        self.damages: list[Damage] = []
        self.wrong: list[Finding] = []
        self._known = Knowledge()
        self._ledgers = LedgerReader(self.stack.ledgers)
        self.programs: list[Process | None] = [None] * PROGRAMS
        self.held: set[int] = set()
        """The places of programs that are not started now."""
        self._started = 0
        self.door: Door | None = None

    def start(self) -> None:
        self.kafka.start()
        stack = self.stack
        stack.use_own_topic()
        self.home = Place("kafka", stack.topic, BEAMLINE)
        stack.env[PLACE] = json.dumps(self.home)
        self.bootstraps = {"kafka": self.kafka.bootstrap, "other": stack.start_mock_kafka()}
        mine = {"KafkaBootstrapServers": self.kafka.secured, "KafkaConfigFile": str(stack.kafka_client_file)}
        elsewhere = {"KafkaBootstrapServers": self.bootstraps["other"]}
        self.strangers = other_settings(self.folder, self.spools, self.home, mine, elsewhere)
        self.other_beamline = self.strangers[0].place
        for topic in {place.topic for place in self.places}:
            make_topic(self.kafka.bootstrap, topic, PARTITIONS)
        self.ingestion = Ingestion(self.folder, self.processes, self.kafka.secured, (self.home, self.other_beamline))
        self.write_client_files()
        self.ingestion.start_cow()
        self.start_database()
        self.simulation = stack.start_beamline()
        self.pathfixer = stack.start_pathfixer([f"{{device: {MACROSERVER}, environment: ScanDir}}"])
        self.scidog = stack.start_scidog(self.kafka.secured)
        self.silent = Silent(stack, self.random, self.spools, self.home, mine)
        self.end(self.silent.pathfixer, signal.SIGTERM)
        self.sardana = stack.start_sardana()
        self.door = Door(stack.name(DOOR))
        Session(self.door, print).prepare(stack.folder / "data")
        self.door.run("senv", "DataRecorder", str(list(RECORDERS)))
        self.door.run("setproposal", "20250001")
        self.door.run("setsample", "fibre_A")

    @property
    def known(self) -> Knowledge:
        """What the ledgers say by now."""
        self._known.learn(self._ledgers.new())
        return self._known

    # ------------------------------------------------------------------- Kafka

    def write_client_files(self) -> None:
        """The account of Kafka as it is now, for all who use it."""
        for path in (self.stack.kafka_client_file, self.ingestion.client_file):
            path.touch(mode=0o600)
            own = [line for line in path.read_text().splitlines(keepends=True) if not line.startswith(CLIENT_LINES)]
            path.write_text("".join(own) + self.kafka.client_properties())

    @property
    def places(self) -> list[Place]:
        """All where messages may be."""
        return [self.home, *(stranger.place for stranger in self.strangers)]

    def collect(self, *places: Place) -> None:
        """Keep what the topics have, before a fault deletes it."""
        for broker, topic in dict.fromkeys((place.broker, place.topic) for place in places):
            messages, wrong = read_topic(broker, self.bootstraps[broker], topic)
            self.collected += messages
            self.wrong += wrong

    def delete_messages(self) -> None:
        """As retention does, of what is `collected`."""
        self.collect(self.home)
        delete_messages(self.kafka.bootstrap, self.home.topic)

    def make_topic_again(self) -> None:
        self.collect(self.home)
        delete_topic(self.kafka.bootstrap, self.home.topic)

        def is_made() -> bool:
            try:
                make_topic(self.kafka.bootstrap, self.home.topic, PARTITIONS)
            except KafkaException:
                return False  # the old one is still being deleted
            return True

        assert eventually(is_made)

    def bring_back(self, begun: float, missing: Collection[str]) -> str:
        """As a person does who has seen that messages are lost: send again what was recorded lately, or is missing.

        `begun` is when they could first be lost (monotonic).
        """
        since, datasets = begun - ACTIVE_BEFORE, self.known.datasets
        active = {uuid for uuid, one in datasets.items() if one.place == self.home and one.seen > since}
        uuids = [word for uuid in sorted(active | set(missing)) for word in ("--uuid", uuid)]
        senders = [each for each in (*self.strangers, self.silent.stranger) if each.place == self.home]
        said = []
        for env in (self.stack.env, *(each.environment(self.stack.env) for each in senders)):
            done = self.scifish("resend", "--timeout", "15", *uuids, env=env)
            said += [line for line in (done.stdout or done.stderr).splitlines() if "sent again" in line]
        self.ingestion.settle_letters()
        return "; ".join(said)

    def letters_about_lies(self) -> int:
        """How many lies are dead letters."""
        letters = list(filter(self.is_lie, self.ingestion.read_letters()))
        return len({(letter["partition"], letter["offset"]) for letter in letters})

    def is_lie(self, letter: Mapping[str, str]) -> bool:
        """Whether this dead letter is one of the messages that were sent to be one."""
        one = self.known.datasets.get(letter["uuid"])
        return letter["topic"] == self.other_beamline.topic and one is not None and one.place == self.home

    # ------------------------------------------------------------------ spools

    def summaries(self) -> list[SpoolSummary]:
        """Of the spools that are there now."""
        found = []
        for path in sorted(self.spools.glob(f"*{SPOOL_SUFFIX}")):
            with contextlib.suppress(OSError, sqlite3.Error):  # it is gone, or just being made
                found.append(summarise(path))
        return found

    def scifish(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """The command, of a person at the beamline or with another environment."""
        argv = [str(Path(sys.executable).with_name("scifish")), *words]
        return subprocess.run(argv, env=env or self.stack.env, capture_output=True, text=True, timeout=COMMAND_SECONDS)

    def salvage(self) -> None:
        """As a person does at the beamline when the status names a damaged spool."""
        if list(self.spools.glob("*.broken")):
            self.scifish("salvage", "--timeout", "30")
            self.scifish("flush", "--timeout", "30", "--unidentified")
            for path in self.spools.glob("*.salvaged*"):
                path.unlink()

    def send_all_of(self, stranger: Stranger) -> None:
        """As a person does when its last program has ended."""

        def is_sent() -> bool:
            if stranger.left(self.spools):
                self.scifish("flush", "--timeout", "20", env=stranger.environment(self.stack.env))
            return not stranger.left(self.spools)

        if not eventually(is_sent):
            left = ", ".join(path.name for path in stranger.left(self.spools))
            self.wrong.append(Finding(stranger.name, f"its spools are not sent by `scifish flush`: {left}"))

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
            "Sardana/demo", (POOL, MACROSERVER, DOOR), self.stack.sardana_command, COMMAND_SECONDS
        )
        self.door = Door(self.stack.name(DOOR))

    def start_scidog(self) -> None:
        self.scidog = self.stack.run_server("SciDog/demo", [SCIDOG], timeout=COMMAND_SECONDS)

    def start_pathfixer(self) -> None:
        self.pathfixer = self.stack.run_server("PathFixer/demo", [PATHFIXER], timeout=COMMAND_SECONDS)

    def start_database(self) -> None:
        self.stack.start_database()
        self.database = self.processes.running[-1]

    # ----------------------------------------------------------------- programs

    def look_after_programs(self) -> list[Process]:
        """Start one for each that has ended; those that were started."""
        started = []
        for slot, program in enumerate(self.programs):
            if slot not in self.held and (program is None or not program.running):
                if program is not None:
                    processes.forget(self.processes, program)
                self.programs[slot] = new = self._start_program(slot)
                started.append(new)
        return started

    def start_stranger(self, stranger: Stranger) -> Process:
        self._started += 1
        name = f"program-{self._started:03}"
        argv = [sys.executable, "-m", "tests.faults.program", str(self.stack.ledgers / f"{name}{SUFFIX}")]
        argv += [name, str(self.random.randrange(10**6)), "contrast"]
        argv += ["--asks", stranger.asks] if stranger.asks else []
        argv += ["--public"] if stranger.public else []
        return self.processes.start(name, argv, stranger.environment(self.stack.env))

    def _start_program(self, slot: int) -> Process:
        self._started += 1
        name = f"program-{self._started:03}"
        style = STYLES[slot % len(STYLES)]
        argv = [*self.clocks[slot].command, sys.executable, "-m"]
        argv += [*AS_MXCUBE, "tests.faults.program"] if style == "mxcube" else ["tests.faults.program"]
        argv += [str(self.stack.ledgers / f"{name}{SUFFIX}"), name, str(self.random.randrange(10**6))]
        argv.append(style)
        if style == "settings":
            argv += ["--settings", self._settings]
        return self.processes.start(name, argv, self.stack.env)

    @property
    def _settings(self) -> str:
        known = {
            "beamline": BEAMLINE,
            "topic": self.stack.topic,
            "kafka_bootstrap_servers": self.kafka.secured,
            "kafka_config_file": str(self.stack.kafka_client_file),
            "spool_directory": str(self.spools),
        }
        return json.dumps(known)

    def running_programs(self) -> list[tuple[int, Process]]:
        """With their places."""
        return [(slot, each) for slot, each in enumerate(self.programs) if each is not None and each.running]

    def recording(self) -> list[Process]:
        """The processes that record now."""
        return [each for each in (self.sardana, *self.programs) if each is not None and each.running]

    # ---------------------------------------------------------------- processes

    def end(self, process: Process, how: signal.Signals, group: bool = False, timeout: float = 20.0) -> None:
        """As `tests.faults.processes.end`."""
        processes.end(self.processes, process, how, group, timeout)

    def companions(self) -> list[int]:
        """Children of the processes that record."""
        return [child for parent in self.recording() for child in processes.children(parent.pid)]
