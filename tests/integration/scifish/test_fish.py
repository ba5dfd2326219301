"""The class SciFish, as the programs at MAX IV call it, and the command `scifish`, with a real Kafka."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import numpy
import pytest
import yaml

from scifish import SciFish, settings
from scifish.message import leaves
from scifish.recording.session import RecordingSession, recording_session
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from tests.servers.kafka import Kafka
from tests.servers.topic import Topic
from tests.spools import left_in
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first

SCIFISH = str(Path(sys.executable).with_name("scifish"))


@dataclass
class Lab:
    """A place that records without a Tango database."""

    settings: Settings
    topic: Topic
    state: Path

    def fish(self) -> SciFish:
        return SciFish(self.settings, program="test")


@pytest.fixture
def lab(tmp_path: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    name = f"scifish-lab-{uuid4().hex[:8]}"
    made = Settings(
        beamline="lab",
        topic=name,
        kafka_bootstrap_servers=kafka.bootstrap,
        spool_directory=str(tmp_path / "spool"),
    )
    topic = Topic(kafka.bootstrap, name)
    yield Lab(made, topic, tmp_path / "state")
    topic.close()


def test_one_fish_a_scan_as_contrast_does(lab: Lab, tmp_path: Path) -> None:
    data = tmp_path / "scan_17.h5"
    data.write_bytes(b"x" * 10)
    fish = lab.fish()
    fish.start_scan()
    fish.scicat_data.datasetName = 17
    fish.scicat_data.sampleId = numpy.int64(3)
    fish.scicat_data.sourceFolder = str(tmp_path)
    fish.scicat_data.scientificMetadata.update({"energy": {"value": numpy.float32(12.5), "unit": "keV"}, "plain": 3})
    fish.environment_data.title = "ascan x 0 1"
    fish.environment_data.scanID = 17
    fish.environment_data.detectors = ["eiger", "pilatus"]
    fish.send_start()
    began = lab.topic.wait_for(lambda m: m["type"] == "began")
    assert (began["datasetName"], began["sampleId"], began["environment"]["detectors"]) == (
        "17",
        "3",
        ["eiger", "pilatus"],
    )
    assert '"energy"' in fish.show()
    fish.scicat_data.files = [str(data), {"path": "/gone.h5", "time": "2021-11-27T14:29:06.900250", "size": 1234}]
    fish.scicat_data.files.append("/never/there.h5")
    fish.end_scan()
    ended = lab.topic.wait_for(lambda m: m["type"] == "ended")
    assert (ended["uuid"], ended["status"]) == (began["uuid"], "completed")
    first, second, third = ended["files"]
    assert (first["path"], first["size"]) == (str(data), 10)
    assert second == {"path": "/gone.h5", "time": "2021-11-27T14:29:06.900Z", "size": 1234}
    assert (third["size"], third["error"]) == (0, "No such file or directory")
    assert ended["scientificMetadata"]["energy"] | {"time": ""} == {
        "value": 12.5,
        "unit": "keV",
        "human_name": "energy",
        "source": "test",
        "time": "",
    }
    fish.close()


def test_one_fish_for_all_as_mxcube_does(lab: Lab) -> None:
    fish = lab.fish()
    for number in (1, 2):
        fish.start_scan(datasetName=f"lysozyme_{number}")
        fish.scicat_data.proposalId = 20250001
        fish.scicat_data.sourceFolder = "/data/visitors/biomax/20250001/20251123/raw"
        fish.sampleId = "lysozyme"
        fish.scicat_data.files.append({"path": "a.h5", "time": dt.datetime(2025, 1, 1, tzinfo=dt.UTC), "size": 5})
        fish.scicat_data.scientificMetadata["photon flux"] = {"value": 1e12, "unit": "s^-1"}
        fish.scicat_data.scientificMetadata["beam"] = {"size": {"x": 10, "y": 5.0}, "shape": "ellipse"}
        fish.end_scan()
    lab.topic.wait_for(lambda m: m["datasetName"] == "lysozyme_1")
    second = lab.topic.wait_for(lambda m: m["datasetName"] == "lysozyme_2")
    assert [m["type"] for m in lab.topic.messages] == ["ended", "ended"]
    assert (second["proposalId"], second["sampleId"], len(second["files"])) == ("20250001", "lysozyme", 1)
    assert {path for path, _ in leaves(second["scientificMetadata"])} == {
        "photon flux",
        "beam/size/x",
        "beam/size/y",
        "beam/shape",
    }
    fish.close()


def test_a_program_says_which_pathfixer_it_means(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """As contrast's recorder of a beamline that has two. Both are away: the datasets say of which one."""
    monkeypatch.setenv("TANGO_HOST", "127.0.0.1:1")
    with_pathfixer = replace(lab.settings, path_fixer="b303a-e01/ctl/sdm-01", send_without_proposal=True)
    without = replace(with_pathfixer, path_fixer="")
    recorders = {
        "b303a-e01/ctl/sdm-01": SciFish(with_pathfixer, program="test"),
        "b303a-e02/ctl/sdm-01": SciFish(with_pathfixer, program="test", pathfixer="b303a-e02/ctl/sdm-01"),
        "b303a-e03/ctl/sdm-01": SciFish(without, program="test", pathfixer="b303a-e03/ctl/sdm-01"),
    }
    for name, fish in recorders.items():
        fish.start_scan(name)
        fish.end_scan()
    for name in recorders:
        ended = lab.topic.wait_for(lambda m, name=name: m["type"] == "ended" and m["datasetName"] == name)
        (warning,) = (one for one in ended["warnings"] if "does not answer" in one)
        assert warning.startswith(f"{name} does not answer")
    for fish in recorders.values():
        fish.close()


def test_a_scan_that_is_begun_on_top_of_another_ends_that_one(lab: Lab) -> None:
    fish = lab.fish()
    fish.start_scan(datasetName="prepared")
    fish.start_scan(datasetName="measured")
    fish.end_scan("stopped", points=3)
    fish.close()
    measured = lab.topic.wait_for(lambda m: m["datasetName"] == "measured")
    prepared = lab.topic.wait_for(lambda m: m["datasetName"] == "prepared")
    assert (prepared["status"], measured["status"], measured["numberOfPoints"]) == ("interrupted", "stopped", 3)


def test_what_is_wrong_is_reported_in_the_log_and_nothing_is_raised(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    fish = lab.fish()
    fish.send_start()
    fish.end_scan()
    assert "start_scan was not called" in caplog.text
    fish.start_scan(datasetName="x")
    fish.scicat_data.scientificMetadata = None
    fish.scicat_data.files = None
    fish.scicat_data.description = object()
    fish.environment_data.detectors = "eiger"
    fish.environment_data.scanID = numpy.int32(5)
    fish.end_scan("very well", points="many")  # type: ignore[arg-type]
    fish.end_scan("very well")
    assert "'very well' is not one of" in caplog.text
    assert "has ended already" in caplog.text
    ended = lab.topic.wait_for(lambda m: m["type"] == "ended")
    assert (ended["status"], ended["environment"]["scanID"]) == ("failed", 5)
    fish.close()


def test_the_settings_are_those_of_a_yaml_file_that_the_environment_names(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scifish.yaml"
    file.write_text(
        f"Beamline: lab\nTopic: {lab.settings.topic}\nKafkaBootstrapServers: {lab.settings.kafka_bootstrap_servers}\n"
        f"SpoolDirectory: {lab.settings.spool_directory}\n"
    )
    program = (
        "import scifish.spool.executor\n"
        "from scifish import SciFish\n"
        "scifish.spool.executor.DISK_WAIT_SECONDS = 60.0\n"  # a busy machine's slow disk is not to be reported
        "fish = SciFish()\n"
        "fish.start_scan('by the environment')\n"
        "fish.end_scan()\n"
        "fish.close()\n"
    )
    monkeypatch.setenv("SCIFISH_CONFIG", str(file))
    monkeypatch.setenv("TANGO_HOST", "127.0.0.1:1")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    lab.topic.wait_for(lambda m: m["datasetName"] == "by the environment")
    monkeypatch.delenv("SCIFISH_CONFIG")
    fish = SciFish(file, program="test")
    fish.start_scan("by its path")
    fish.end_scan()
    fish.close()
    ended = lab.topic.wait_for(lambda m: m["datasetName"] == "by its path")
    assert (ended["beamline"], ended["origin"]["program"]) == ("lab", "test")


def test_one_fish_after_the_other_is_one_program(lab: Lab) -> None:
    """As contrast's recorders: with equal settings they share what sends, and it opens again after a close."""
    for number in range(3):
        fish = lab.fish()
        fish.start_scan(f"scan {number}")
        fish.end_scan()
    for name in ("scan 0", "scan 1", "scan 2"):
        lab.topic.wait_for(lambda m, name=name: m["datasetName"] == name)
    scans = list(lab.topic.messages)
    assert len({m["origin"]["run"] for m in scans}) == 1
    assert {m["seq"] for m in scans} == {1, 2, 3}
    fish.close()
    fish.start_scan("anew")
    fish.end_scan()
    fish.close()
    assert lab.topic.wait_for(lambda m: m["datasetName"] == "anew")["seq"] == 1
    assert eventually(lambda: left_in(Path(lab.settings.spool_directory)) == [])


def test_weird_values_cost_only_themselves(lab: Lab) -> None:
    fish = lab.fish()
    fish.start_scan("weird")
    recursive: dict[str, object] = {"good": 1}
    recursive["itself"] = recursive
    fish.scicat_data.scientificMetadata = {
        "recursive": recursive,
        "big": 10**5000,
        "nan": numpy.array([numpy.nan]),
        "last": 5,
    }
    fish.environment_data.motors = {"x", "y"}
    fish.end_scan()
    fish.close()
    ended = lab.topic.wait_for(lambda m: m["type"] == "ended")
    metadata = ended["scientificMetadata"]
    assert (metadata["last"]["value"], metadata["recursive"]["good"]["value"]) == (5, 1)
    assert "contains itself" in metadata["recursive"]["itself"]["error"]
    assert "recursive/itself: (dict: it contains itself)" in ended["warnings"]
    assert sorted(ended["environment"]["motors"]) == ["x", "y"]


def test_brokers_that_are_corrected_get_what_waited(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "scifish.yaml"

    def write(brokers: str) -> None:
        names = {"Beamline": "lab", "Topic": lab.settings.topic, "SpoolDirectory": lab.settings.spool_directory}
        file.write_text(yaml.safe_dump({**names, "KafkaBootstrapServers": brokers}))

    write("127.0.0.1:9")
    fish = SciFish(file, program="test")
    session = recording_session(file, "test")
    fish.start_scan(datasetName="first")
    fish.end_scan()
    assert eventually(lambda: "Kafka" in session.trouble())
    write(lab.settings.kafka_bootstrap_servers)
    fish.start_scan(datasetName="second")
    fish.end_scan()
    lab.topic.wait_for(lambda m: m["datasetName"] == "first")
    lab.topic.wait_for(lambda m: m["datasetName"] == "second")
    assert eventually(lambda: session.trouble() == "")
    fish.close()
    assert eventually(lambda: left_in(Path(lab.settings.spool_directory)) == [])


def test_a_message_too_large_for_kafka_is_set_aside_and_shown(lab: Lab) -> None:
    session = RecordingSession(FixedSettings(lab.settings), program="test")
    image = {"caption": "plot", "uri": "data:image/png;base64," + "A" * 1_200_000}
    session.annotate(str(uuid4()), {"image": image})
    session.record_snapshot({"datasetName": "behind it"})
    lab.topic.wait_for(lambda m: m.get("datasetName") == "behind it")
    session.close()
    assert eventually(lambda: "1 refused by Kafka" in _status(lab).stdout)
    status = _status(lab)
    assert status.returncode == 1
    assert re.search("refused: message [12] of dataset", status.stdout)  # each is composed when it can be


def test_a_program_that_is_killed_is_finished_by_the_command(lab: Lab, tmp_path: Path) -> None:
    # Where a beamline is without its database, a program and the command find the last good settings.
    settings.save_last_good(replace(lab.settings, kafka_bootstrap_servers="127.0.0.1:9"))
    program = (
        "import sys, time\n"
        "from scifish import SciFish\n"
        "fish = SciFish()\n"
        "fish.start_scan(datasetName='done')\n"
        "fish.end_scan()\n"
        "fish.start_scan(datasetName='cut off')\n"
        "print('recording', flush=True)\n"
        "time.sleep(3600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "recording\n"
        assert eventually(lambda: "1 messages wait, the oldest" in _status(lab).stdout)
        status = _status(lab)
        assert status.returncode == 1
        assert "(running)" in status.stdout
        assert "1 datasets are being recorded" in status.stdout
        running.kill()
    assert eventually(lambda: "exited; its messages are sent at the next start" in _status(lab).stdout)
    flush = _scifish(lab, "flush", "--timeout", "1")
    assert flush.returncode == 1
    status = _status(lab).stdout
    # What librdkafka says of the broker is said instead, where it has said it by then.
    unsent = r"Kafka has not accepted them within 1 s|metadata are kept on this machine until Kafka accepts them \(.+\)"
    assert re.fullmatch(rf"2 messages of exited programs are left: ({unsent})\n", flush.stdout), flush
    assert re.search(
        r"2 messages wait, the oldest for .*(Kafka has not accepted them within 1 s|127\.0\.0\.1:9)", status
    )
    assert "not a number of seconds" in _scifish(lab, "flush", "--timeout", "inf").stderr
    # The address is corrected.
    settings.save_last_good(lab.settings)
    flush = _scifish(lab, "flush")
    assert (flush.returncode, flush.stdout) == (0, "0 messages of exited programs are left\n"), flush.stderr
    cut = lab.topic.wait_for(lambda m: m["datasetName"] == "cut off")
    done = lab.topic.wait_for(lambda m: m["datasetName"] == "done")
    assert (done["status"], cut["status"]) == ("completed", "interrupted")
    assert done["origin"] == cut["origin"]
    assert {done["seq"], cut["seq"]} == {1, 2}
    assert _status(lab).returncode == 0
    assert list(Path(lab.settings.spool_directory).glob("*.spool")) == []


def _status(lab: Lab) -> subprocess.CompletedProcess[str]:
    return _scifish(lab, "status")


def _scifish(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    command = [SCIFISH, "--spool", lab.settings.spool_directory, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
