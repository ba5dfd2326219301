"""A spool that gets full while Kafka is away: said in time, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import tango

from deploy.demo.stack import SCIDOG
from scifish.settings import Settings
from scifish.source import FixedSettings
from scifish.station import Station
from tests.kafka import Kafka
from tests.tango_system import control_system
from tests.topic import Topic
from tests.waiting import eventually


@pytest.fixture
def topic(kafka: Kafka) -> Iterator[Topic]:
    if not kafka.restartable:
        pytest.skip(f"the Kafka of these tests cannot be stopped: {kafka.kind}")
    found = Topic(kafka.bootstrap, f"scifish-room-{uuid4().hex[:8]}")
    yield found
    found.close()


@pytest.mark.timeout(240)
def test_a_full_spool_is_said_before_it_is_full_and_what_did_not_fit_is_sent_later(
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
    station = Station(FixedSettings(settings), program="test")
    kafka.stop()
    try:
        said: list[str] = []
        uuids: list[str] = []
        for number in range(45):
            # Each is about 0.1 MB: a text longer than 20,000 characters would be cut.
            metadata = {f"text {n}": "x" * 19_000 for n in range(5)}
            uuids.append(station.record_snapshot({"datasetName": f"s{number}", "scientificMetadata": metadata}).uuid)
            time.sleep(0.3)
            if station.trouble() and station.trouble() not in said:
                said.append(station.trouble())
        assert eventually(lambda: "in memory only" in station.trouble())
        before = [text for text in said if "SpoolLimit" in text]
        assert before, said
        assert not any("in memory only, the disk" in text for text in said[: said.index(before[0])])
        start = time.monotonic()
        last = station.record_snapshot({"datasetName": "one more"})
        assert time.monotonic() - start < 1.0
    finally:
        kafka.start()
    for uuid in (*uuids, last.uuid):
        topic.wait_for(lambda m, uuid=uuid: m["uuid"] == uuid and m["type"] == "snapshot")  # type: ignore[misc]
    assert eventually(lambda: station.trouble() == "")
    station.close()
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
        station = Station(FixedSettings(settings), program="test")
        station.record_snapshot({"datasetName": "waits"})
        try:
            assert eventually(lambda: scidog.state() == tango.DevState.ALARM)
            assert "test on " in scidog.Problems[0]
            assert "until Kafka takes them" in scidog.Problems[0]
        finally:
            station.close()
