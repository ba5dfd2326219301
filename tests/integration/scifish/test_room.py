"""A spool that gets full while Kafka is away: said in time, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import tango

from deploy.demo.stack import SCIDOG
from scifish.recording.session import RecordingSession
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from scifish.spool.inspection import summarise
from tests.servers.kafka import Kafka
from tests.servers.tango_system import control_system
from tests.servers.topic import Topic
from tests.waiting import eventually


@pytest.fixture
def topic(kafka: Kafka) -> Iterator[Topic]:
    if not kafka.restartable:
        pytest.skip(f"the Kafka of these tests cannot be stopped: {kafka.kind}")
    found = Topic(kafka.bootstrap, f"scifish-room-{uuid4().hex[:8]}")
    yield found
    found.close()


def test_a_full_spool_is_reported_before_it_is_full_and_what_did_not_fit_is_sent_later(
    tmp_path: Path, kafka: Kafka, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    settings = Settings(
        beamline="lab",
        topic=topic.name,
        kafka_bootstrap_servers=kafka.bootstrap,
        spool_directory=str(tmp_path / "spool"),
        spool_limit=4,
    )
    session = RecordingSession(FixedSettings(settings), program="test")
    (file,) = (tmp_path / "spool").glob("*.spool")
    uuids: list[str] = []

    def record(count: int) -> None:
        """So many more, of about 0.1 MB each: a text longer than 20,000 characters would be cut."""
        for _ in range(count):
            metadata = {f"text {n}": "x" * 19_000 for n in range(5)}
            said = {"datasetName": f"s{len(uuids)}", "scientificMetadata": metadata}
            uuids.append(session.record_snapshot(said).uuid)

    kafka.stop()
    try:
        for count in range(1, 35):
            record(1)
            assert eventually(lambda count=count: summarise(file).waiting == count)  # type: ignore[misc]
        assert eventually(lambda: "SpoolLimit" in session.trouble())
        assert summarise(file).waiting == len(uuids)  # all of it has had room
        record(10)
        assert eventually(lambda: "in memory only" in session.trouble() and "is full" in session.trouble())
        record(1)
        assert "is full" in session.trouble()  # it is full as before, and nobody has waited for it
    finally:
        kafka.start()
    for uuid in uuids:
        topic.wait_for(lambda m, uuid=uuid: m["uuid"] == uuid and m["type"] == "snapshot")  # type: ignore[misc]
    assert eventually(lambda: session.trouble() == "")
    session.close()
    assert sorted(m["seq"] for m in topic.messages) == list(range(1, len(topic.messages) + 1))


def test_what_is_wrong_with_a_spool_is_seen_in_scidog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with control_system(tmp_path) as system:
        system.start_scidog("127.0.0.1:9")  # a broker that is not there
        scidog = tango.DeviceProxy(system.name(SCIDOG))
        system.db.delete_device_property(SCIDOG, {"PathFixer": []})  # there is none here
        scidog.Reload()
        assert scidog.state() == tango.DevState.ON
        settings = Settings(
            scidog=system.name(SCIDOG),
            beamline="lab",
            topic="t",
            kafka_bootstrap_servers="127.0.0.1:9",
            spool_directory=str(tmp_path / "spool"),
        )
        session = RecordingSession(FixedSettings(settings), program="test")
        session.record_snapshot({"datasetName": "waits"})
        try:
            assert eventually(lambda: scidog.state() == tango.DevState.ALARM)
            assert "test on " in scidog.Problems[0]
            assert "until Kafka accepts them" in scidog.Problems[0]
        finally:
            session.close()
