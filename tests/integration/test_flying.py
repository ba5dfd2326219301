"""SciFly without Tango: programs write files, and each measurement is one dataset in Kafka, whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from uuid import uuid4

import pytest

from scifish.fly.flyer import Flyer, FlySettings
from scifish.fly.journal import Journal
from scifish.fly.places import Place
from scifish.fly.profiles import profiles_from
from scifish.ids import files_uuid
from scifish.message import Message
from scifish.settings import Settings
from scifish.source import FixedSettings
from scifish.station import Station
from tests.kafka import Kafka
from tests.tango_system import eventually
from tests.topic import Topic

PLACE = Place("20250001", "fibre_A", "visitors")
SECRET = Place("20250007", "chip", "proprietary")
METHODS = ("inotify", "polling")

SES = """\
[Info]
Number of Regions=1
Version=1.3.1

[Region 1]
Region Name={name}
Dimension 1 name=Kinetic Energy [eV]
Dimension 1 size=2
Dimension 1 scale=10 11

[Info 1]
Region Name={name}
Lens Mode=Angular30
Pass Energy=20
Excitation Energy=100
Date=2025-11-23
Time={clock}

[Data 1]
 10 1.0
 11 2.0
"""


class Lab:
    """A place where files are written, and what comes out of it."""

    def __init__(self, folder: Path, kafka: Kafka) -> None:
        self.root = folder / "raw"
        self.root.mkdir()
        self.journal = folder / "lab.journal"
        name = f"scifish-fly-{uuid4().hex[:8]}"
        self.settings = Settings(
            beamline="lab", topic=name, kafka_bootstrap_servers=kafka.bootstrap, spool_directory=str(folder / "spool")
        )
        self.topic = Topic(kafka.bootstrap, name)
        self.flyers: list[Flyer] = []
        self._stations: list[Station] = []

    @property
    def station(self) -> Station:
        if not self._stations:
            self._stations.append(Station(FixedSettings(self.settings), program="SciFly"))
        return self._stations[0]

    def start(self, *lines: str, **more: object) -> Flyer:
        profiles, problems = profiles_from(lines or ["{name: ses, settle: 0.3}"])
        assert problems == ()
        settings = replace(FlySettings("lab", zone=UTC), **more)  # type: ignore[arg-type]
        flyer = Flyer(settings, profiles, Journal(self.journal), lambda: self.station)
        self.flyers.append(flyer)
        return flyer

    def follow(self, *lines: str, **more: object) -> Flyer:
        flyer = self.start(*lines, **more)
        flyer.follow(str(self.root), PLACE)
        assert eventually(lambda: flyer.method != "")
        return flyer

    def write(self, name: str, content: str | None = None, clock: str = "10:00:00") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SES.format(name="Ag3d", clock=clock) if content is None else content)
        return path

    def uuid(self, name: str, generation: int = 0) -> str:
        return files_uuid("lab", str(self.root / name), generation)

    def wait_for(self, name: str, revision: int = 0, generation: int = 0) -> Message:
        wanted = self.uuid(name, generation)
        return self.topic.wait_for(lambda m: m["uuid"] == wanted and m.get("revision", 0) == revision)

    def close(self) -> None:
        for flyer in self.flyers:
            flyer.stop()
        for station in self._stations:
            station.close()
        self.topic.close()


@pytest.fixture
def lab(tmp_path: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = Lab(tmp_path, kafka)
    yield found
    found.close()


def names(message: Message) -> list[str]:
    return [os.path.basename(file["path"]) for file in message["files"]]


@pytest.mark.parametrize("method", METHODS)
def test_the_files_of_a_measurement_are_one_dataset(lab: Lab, method: str) -> None:
    flyer = lab.follow(method=method)
    lab.write("day 1/Ag_0001.txt")
    lab.write("day 1/Ag_0001Ag__001.ibw", "no wave")
    found = lab.wait_for("day 1/Ag_0001")
    assert found["type"] == "snapshot"
    assert names(found) == ["Ag_0001.txt", "Ag_0001Ag__001.ibw"]
    assert (found["datasetName"], found["sourceFolder"]) == ("Ag_0001", str(lab.root / "day 1"))
    assert (found["proposalId"], found["sampleId"], found["status"]) == ("20250001", "fibre_A", "completed")
    assert found["startTime"] == "2025-11-23T10:00:00.000Z"
    assert "SES" in found["dataFormat"]
    assert any("Ag_0001Ag__001.ibw" in warning for warning in found["warnings"])
    lab.topic.take_all()
    assert len(lab.topic.messages) == 1
    assert (flyer.recorded, flyer.pending, flyer.method) == (1, 0, method)
    assert flyer.last_file.endswith(".ibw")
    assert flyer.trouble == ""
