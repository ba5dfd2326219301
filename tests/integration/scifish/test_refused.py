"""What Kafka refuses: a clock that is ahead, a limit of the size that was lowered. And what Kafka loses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import tango
import yaml

from deploy.demo.stack import SCIDOG
from scifish.recording.session import RecordingSession
from scifish.settings import Settings
from scifish.settings.sources import FileSettings, FixedSettings, TangoSettings
from scifish.spool.database import Spool
from scifish.spool.inspection import summarise
from tests.builders.messages import message
from tests.faults.clock import Clock
from tests.servers.kafka import Kafka, configure_topic, delete_messages, free_ports
from tests.servers.tango_system import control_system
from tests.servers.topic import Topic
from tests.spools import under
from tests.waiting import PATIENCE, eventually

SCIFISH = str(Path(sys.executable).with_name("scifish"))


@dataclass
class Lab:
    """A place that records without a Tango database, and whose companions have the clock `clock`."""

    settings: Settings
    topic: Topic
    clock: Clock
    folder: Path

    @property
    def spool(self) -> Path:
        return Path(self.settings.spool_directory)

    def session(self) -> RecordingSession:
        return RecordingSession(FixedSettings(self.settings), program="test")

    def record(self, session: RecordingSession, count: int, **given: object) -> list[str]:
        return [session.record_snapshot({"datasetName": f"d{number}", **given}).uuid for number in range(count)]

    def arrive(self, uuids: list[str]) -> None:
        for uuid in uuids:
            self.topic.wait_for(lambda m, uuid=uuid: m["uuid"] == uuid)  # type: ignore[misc]

    def summary(self) -> tuple[int, int]:
        """How many messages wait, and how many are refused."""
        (file,) = self.spool.glob("*.spool")
        found = summarise(file)
        return found.waiting, len(found.refused)

    def run(self, *words: str, status: int = 0) -> str:
        """What `scifish` prints with these settings."""
        done = self.ran(*words)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def ran(self, *words: str) -> subprocess.CompletedProcess[str]:
        config = self.folder / "scifish.yaml"
        names = {"Beamline": "lab", "Topic": self.topic.name, "SpoolDirectory": str(self.spool)}
        names["KafkaBootstrapServers"] = self.settings.kafka_bootstrap_servers
        config.write_text(yaml.safe_dump(names))
        env = {**os.environ, "SCIFISH_CONFIG": str(config)}
        return subprocess.run([SCIFISH, *words], env=env, capture_output=True, text=True, timeout=4 * PATIENCE)


@pytest.fixture
def lab(tmp_path: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    if not kafka.restartable:
        pytest.skip(f"a real Kafka is needed, not {kafka.kind}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "clock").mkdir()
    clock = Clock(tmp_path / "clock" / "ahead")
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    topic = Topic(kafka.bootstrap, f"scifish-refused-{uuid4().hex[:8]}")
    settings = Settings(
        beamline="lab",
        topic=topic.name,
        kafka_bootstrap_servers=kafka.bootstrap,
        spool_directory=str(tmp_path / "spool"),
    )
    yield Lab(settings, topic, clock, tmp_path)
    topic.close()


def test_what_is_refused_for_a_clock_that_is_ahead_is_reported_and_sent_when_the_clock_is_right(lab: Lab) -> None:
    lab.clock.jump(7200)
    session = lab.session()
    uuids = lab.record(session, 10)
    assert eventually(lambda: lab.summary() == (0, 10))
    assert eventually(lambda: "10 messages are refused by Kafka" in session.trouble())
    assert "is the clock of this machine right?" in session.trouble()
    assert "10 refused by Kafka" in lab.run("status", status=1)
    assert "10 messages of test are refused" in lab.run("flush", "--timeout", "5", status=1)
    lab.clock.jump(0)
    lab.arrive(uuids)
    assert eventually(lambda: session.trouble() == "")
    assert lab.summary() == (0, 0)
    session.close()


def test_of_an_exited_program_they_are_sent_by_the_next_flush(lab: Lab) -> None:
    lab.spool.mkdir()
    who = {"host": "h", "program": "gone", "version": "1", "run": "gone-1"}
    spool = Spool(lab.spool / "gone-1.spool", who, identity=under(lab.settings))
    spool.put(lab.topic.name, *(message(origin=spool.origin) for _ in range(50)))
    spool.refuse(dict.fromkeys(range(1, 51), "Broker: Invalid timestamp"))
    spool.close()
    lab.clock.jump(7200)
    text = lab.run("flush", "--timeout", "60", status=1)
    assert "50 messages of exited programs are left" in text
    assert "is the clock of this machine right?" in text
    lab.clock.jump(0)
    assert "0 messages of exited programs are left" in lab.run("flush")
    assert not list(lab.spool.glob("*.spool"))


def test_small_messages_are_not_held_by_a_large_one_and_that_one_is_sent_when_the_limit_is_raised(
    lab: Lab, kafka: Kafka
) -> None:
    session = lab.session()
    lab.arrive(lab.record(session, 1))
    configure_topic(kafka.bootstrap, lab.topic.name, max_message_bytes="3000")
    large = lab.record(session, 1, scientificMetadata={"text": "x" * 10_000})
    small = lab.record(session, 20)
    lab.arrive(small)
    assert eventually(lambda: lab.summary() == (0, 1))
    assert eventually(lambda: "max.message.bytes" in session.trouble())
    configure_topic(kafka.bootstrap, lab.topic.name, max_message_bytes=None)
    assert eventually(lambda: lab.ran("resend").stdout == "all messages are in Kafka\n")
    lab.arrive(large)
    assert eventually(lambda: session.trouble() == "")
    session.close()


@pytest.mark.long
def test_a_corrected_address_is_used_while_messages_wait(lab: Lab, kafka: Kafka, tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"

    def write(bootstrap: str) -> None:
        names = {"Beamline": "lab", "Topic": lab.topic.name, "SpoolDirectory": str(lab.spool)}
        config.write_text(yaml.safe_dump({**names, "KafkaBootstrapServers": bootstrap}))

    write(f"127.0.0.1:{free_ports(1)[0]}")
    session = RecordingSession(FileSettings(config), program="test")
    uuids = lab.record(session, 3)
    assert eventually(lambda: "until Kafka accepts them" in session.trouble())
    write(kafka.bootstrap)
    lab.arrive(uuids)
    assert eventually(lambda: session.trouble() == "")
    session.close()


def test_scidog_is_in_alarm_and_an_address_that_is_corrected_there_is_used_at_once(
    lab: Lab, kafka: Kafka, tmp_path: Path
) -> None:
    with control_system(tmp_path) as system:
        system.topic = lab.topic.name
        system.start_scidog(f"127.0.0.1:{free_ports(1)[0]}")  # nobody is there
        system.db.delete_device_property(SCIDOG, {"PathFixer": []})  # there is none here
        scidog = tango.DeviceProxy(system.name(SCIDOG))
        scidog.Reload()
        session = RecordingSession(TangoSettings(), program="test")
        try:
            waiting = lab.record(session, 2)
            assert eventually(lambda: scidog.state() == tango.DevState.ALARM)
            system.db.put_device_property(SCIDOG, {"KafkaBootstrapServers": [kafka.bootstrap]})
            lab.arrive(waiting)
            scidog.Reload()
            assert eventually(lambda: scidog.state() == tango.DevState.ON)
            configure_topic(kafka.bootstrap, lab.topic.name, max_message_bytes="3000")
            large = lab.record(session, 1, scientificMetadata={"text": "x" * 10_000})
            assert eventually(lambda: scidog.state() == tango.DevState.ALARM)
            assert "1 messages are refused by Kafka" in scidog.Problems[0]
            assert "max.message.bytes" in scidog.Status()
            configure_topic(kafka.bootstrap, lab.topic.name, max_message_bytes=None)
            lab.arrive(large)
            assert eventually(lambda: scidog.state() == tango.DevState.ON)
        finally:
            session.close()


def test_what_kafka_has_lost_is_sent_again_from_what_is_kept(lab: Lab, kafka: Kafka) -> None:
    begin = time.time()
    session = lab.session()
    uuids = lab.record(session, 5)
    lab.arrive(uuids)
    assert eventually(lambda: lab.summary() == (0, 0))
    session.close()
    first = {uuid: lab.topic.of(uuid) for uuid in uuids}
    delete_messages(kafka.bootstrap, lab.topic.name)
    assert "1 messages that were sent before are sent again" in lab.run("resend", "--uuid", uuids[0])
    assert eventually(lambda: lab.topic.take_all(0.2) or len(lab.topic.of(uuids[0])) == 2)
    assert "5 messages that were sent before are sent again" in lab.run(
        "resend", "--since", f"{begin - time.time() + 120:.0f}s"
    )
    for uuid in uuids:
        assert eventually(lambda uuid=uuid: lab.topic.take_all(0.2) or len(lab.topic.of(uuid)) >= 2)  # type: ignore[misc]
        assert lab.topic.of(uuid)[-1] == first[uuid][0]
    assert "0 messages that were sent before" in lab.run("resend", "--until", "1d", "--since", "2d")
    assert json.loads(lab.run("list", "--json"))["spools"] == []
