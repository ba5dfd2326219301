"""`scizoo doctor` on a whole beamline of real servers, with one part broken in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import tango
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.demo.door import Door
from deploy.demo.processes import Processes
from deploy.demo.stack import DOOR, MACROSERVER, PATHFIXER, SCIDOG, Stack
from tests.servers.catalogue import Catalogue, start_catalogue
from tests.servers.kafka import Kafka, KafkaServer
from tests.servers.scicow import PASSWORD, start_scicow, write_settings
from tests.servers.tango_system import control_system, patient
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first

COMMAND = str(Path(sys.executable).with_name("scizoo"))

LINES = [
    "- {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, group: Machine}",
    "- {name: Energy, source: b311a-o/opt/mono-01/Energy, group: Optics}",
]

ALL_PARTS = [
    *("Tango database", "SciDog", "PathFixer", "Path consumers", "Sardana", "Snapshot", "Spool", "Kafka", "Topic"),
    *("SciCow", "SciCow's replica", "Dead letters", "SciCat", "User office"),
]


@dataclass
class Beamline:
    """All servers, and what is asked of them."""

    stack: Stack
    kafka: Kafka
    catalogue: Catalogue
    scicow: Path
    env: dict[str, str]
    outputs: list[str] = field(default_factory=list)

    def run(self, *options: str, scicow: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """The command as a person types it."""
        given = ["--scicow", str(self.scicow)] if scicow else []
        done = subprocess.run(
            [COMMAND, "doctor", *given, *options], env={**self.env, **env}, capture_output=True, text=True, timeout=300
        )
        assert "Traceback" not in done.stderr
        self.outputs.append(done.stdout + done.stderr)
        return done

    def parts(self, *options: str, scicow: bool = True, **env: str) -> dict[str, dict[str, Any]]:
        done = self.run("--json", *options, scicow=scicow, **env)
        found = json.loads(done.stdout)
        wrong = [name for name, part in found["parts"].items() if part["state"] == "wrong"]
        assert (done.returncode, found["ok"]) == ((1, False) if wrong else (0, True))
        parts: dict[str, dict[str, Any]] = found["parts"]
        return parts

    def wrong(self, *options: str, scicow: bool = True, **env: str) -> dict[str, str]:
        """Text and advice of the parts that are wrong."""
        parts = self.parts(*options, scicow=scicow, **env)
        return {name: f"{part['text']}\n{part['advice']}" for name, part in parts.items() if part["state"] == "wrong"}

    def process(self, name: str) -> Any:
        return next(one for one in reversed(self.stack.processes.running) if one.name == name)

    @contextmanager
    def properties(self, device: str, **changes: list[str]) -> Iterator[None]:
        """Other properties for a time. PathFixer reads its own at Init."""
        before = {name: list(lines) for name, lines in self.stack.db.get_device_property(device, list(changes)).items()}
        try:
            self._put(device, changes)
            yield
        finally:
            self._put(device, before)

    def _put(self, device: str, properties: Mapping[str, list[str]]) -> None:
        self.stack.db.put_device_property(device, dict(properties))
        proxy = patient(self.stack.name(device))
        if device == PATHFIXER:
            proxy.Init()
            assert eventually(lambda: proxy.state() in (tango.DevState.STANDBY, tango.DevState.ALARM))
        else:
            proxy.Reload()


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka) -> Iterator[Beamline]:
    folder = tmp_path_factory.mktemp("doctor")
    run = uuid4().hex[:8]
    with Processes(folder / "catalogue-log") as others, control_system(folder / "stack") as stack:
        catalogue = start_catalogue(others, folder / "catalogue")
        stack.topic = f"scifish-{run}"
        if isinstance(kafka, KafkaServer):
            create_topic(kafka, stack.topic)
            create_topic(kafka, f"dead-{run}")
        stack.start_beamline()
        stack.start_pathfixer([f"{{device: {MACROSERVER}, environment: ScanDir}}"])
        properties = {**stack.scidog_properties(kafka.bootstrap), "Config.saxs": LINES, "Config.beamline": []}
        secret = stack.write_secret("kafka.properties", f"sasl.password={KAFKA_PASSWORD}\n")
        properties["KafkaConfigFile"] = [str(secret)]
        stack.start_server("SciDog/demo", {SCIDOG: ("SciDog", properties)})
        stack.start_sardana()
        door = Door(stack.name(DOOR))
        door.run("senv", "DataRecorder", "['SciFishRecorder']")
        door.run("setproposal", "20250001")
        door.close()
        scicow = write_settings(folder / "scicow", kafka.bootstrap, catalogue, run)
        start_scicow(others, "scicow", scicow, catalogue)
        env = {**stack.env, PASSWORD: catalogue.ingestor.password, "XDG_STATE_HOME": str(folder / "state-of-the-user")}
        yield Beamline(stack, kafka, catalogue, scicow, env)


KAFKA_PASSWORD = "the-secret-of-kafka"


def create_topic(kafka: Kafka, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    (answer,) = admin.create_topics([NewTopic(name, num_partitions=2)]).values()
    answer.result(PATIENCE)


def test_all_is_well(beamline: Beamline) -> None:
    assert eventually(lambda: not beamline.wrong())  # SciCow joins its group within seconds
    done = beamline.run()
    assert done.returncode == 0
    for part in ALL_PARTS:
        assert f"  {part}  " in done.stdout
    parts = beamline.parts()
    assert list(parts) == ALL_PARTS
    assert "2 of 2 attributes can be read from this machine" in parts["Snapshot"]["text"]
    assert f"{MACROSERVER} (ScanDir): has it" in parts["Path consumers"]["text"]
    assert parts["SciCat"]["administrator"] is True
    if isinstance(beamline.kafka, KafkaServer):
        assert {part["state"] for part in parts.values()} == {"ok"}
        assert parts["Topic"]["text"].endswith("partitions: 2; messages are kept for 7 days")


def test_nothing_is_written_and_no_secret_is_shown(beamline: Beamline) -> None:
    before = beamline.stack.db.get_device_property_list(SCIDOG, "*").value_string
    beamline.run()
    beamline.run("--json")
    assert list(beamline.stack.db.get_device_property_list(SCIDOG, "*").value_string) == list(before)
    assert not Path(beamline.env["XDG_STATE_HOME"]).exists()
    for output in beamline.outputs:
        assert KAFKA_PASSWORD not in output
        assert beamline.catalogue.ingestor.password not in output
