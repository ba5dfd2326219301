"""SciFly without Tango: programs write files, and each measurement becomes one dataset in Kafka, whatever happens."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from uuid import uuid4

import pytest

from scifish.message import Message
from scifish.message.identity import files_uuid
from scifish.recording.session import RecordingSession
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from scifly.journal import Journal
from scifly.model import ProposalContext
from scifly.profiles import profiles_from
from scifly.service import FlyService, FlySettings
from tests.servers.kafka import Kafka
from tests.servers.topic import Topic
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first

PLACE = ProposalContext("20250001", "fibre_A", "visitors")
SECRET = ProposalContext("20250007", "chip", "proprietary")
METHODS = ("inotify", "polling")

MARK = "{name: marks, pattern: '*.mark', settle: 0.5}"
"""A file of this kind is finished after all others that were written before it."""

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


class House:
    """A session, and the topic that it sends to."""

    def __init__(self, folder: Path, kafka: Kafka) -> None:
        name = f"scifish-fly-{uuid4().hex[:8]}"
        self.settings = Settings(
            beamline="lab", topic=name, kafka_bootstrap_servers=kafka.bootstrap, spool_directory=str(folder / "spool")
        )
        self.topic = Topic(kafka.bootstrap, name)
        self._sessions: list[RecordingSession] = []

    @property
    def session(self) -> RecordingSession:
        """The session, started when it is needed."""
        if not self._sessions:
            self._sessions.append(RecordingSession(FixedSettings(self.settings), program="SciFly"))
        return self._sessions[0]

    def close(self) -> None:
        for session in self._sessions:
            session.close()
        self.topic.close()


@contextmanager
def house_in(folder: Path, kafka: Kafka) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        found = House(folder, kafka)
        yield found
        found.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("house"), kafka) as found:
        yield found


class Lab:
    """A folder for files, and the datasets that come out of it."""

    def __init__(self, folder: Path, house: House) -> None:
        self.folder = folder
        self.root = folder / "raw"
        self.root.mkdir()
        self.journal = folder / "lab.journal"
        self.house = house
        self.topic = house.topic
        self.fly_services: list[FlyService] = []
        self._marks = itertools.count()

    @property
    def messages(self) -> list[Message]:
        """The messages of its own files so far."""
        ours = [one for one in self.topic.messages if Path(one["sourceFolder"]).is_relative_to(self.folder)]
        return [one for one in ours if not one["datasetName"].endswith(".mark")]

    def start(self, *lines: str, **more: object) -> FlyService:
        profiles, problems = profiles_from([*(lines or ["{name: ses, settle: 0.3}"]), MARK])
        assert problems == ()
        settings = replace(FlySettings("lab", zone=UTC), **more)  # type: ignore[arg-type]
        fly_service = FlyService(settings, profiles, Journal(self.journal), lambda: self.house.session)
        self.fly_services.append(fly_service)
        return fly_service

    def follow(self, *lines: str, **more: object) -> FlyService:
        fly_service = self.start(*lines, **more)
        fly_service.follow(str(self.root), PLACE)
        assert eventually(lambda: fly_service.seen().method != "")
        return fly_service

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

    def tick(self) -> None:
        """Wait until a new file has a later time than existing ones: file times have the resolution of the kernel's
        ticks.
        """
        last = time.time_ns()
        made = self.root.parent / "clock"

        def later() -> bool:
            made.write_text("x")
            return made.stat().st_mtime_ns > last

        assert eventually(later)

    def mark(self) -> None:
        """Wait until all files written before have been checked."""
        path = os.path.join(self.fly_services[-1].seen().watched, f"{next(self._marks)}.mark")
        Path(path).touch()
        self.topic.wait_for(lambda message: message["uuid"] == files_uuid("lab", path, 0))

    def all(self) -> list[Message]:
        """The messages of all files written before, when no more will follow."""
        self.mark()
        assert eventually(lambda: self.fly_services[-1].seen().pending == 0)
        assert eventually(lambda: self.house.session.waiting(PATIENCE) == 0)
        self.topic.take_what_is_there()
        return self.messages

    def close(self) -> None:
        for fly_service in self.fly_services:
            fly_service.stop()


@pytest.fixture
def lab(tmp_path: Path, house: House) -> Iterator[Lab]:
    found = Lab(tmp_path, house)
    yield found
    found.close()


def names(message: Message) -> list[str]:
    return [os.path.basename(file["path"]) for file in message["files"]]


@pytest.mark.parametrize("method", METHODS)
def test_the_files_of_a_measurement_are_one_dataset(lab: Lab, method: str) -> None:
    fly_service = lab.follow(method=method)
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
    assert eventually(lambda: fly_service.seen().counts.recorded == 1)
    seen = fly_service.seen()
    assert (seen.pending, seen.method, seen.trouble) == (0, method, "")
    assert seen.counts.last_file.endswith(".ibw")
    assert lab.all() == [found]


def test_a_file_that_cannot_be_read_is_a_dataset_with_the_reason(lab: Lab) -> None:
    lab.follow("{name: ses, settle: 0.2, patience: 1}")
    name = os.fsdecode(b"A\xe5 \xff 1.txt")
    (lab.root / name).write_bytes(os.urandom(3000))
    lab.write("notes.txt", "remember the milk")
    found = lab.wait_for(os.fsdecode(b"A\xe5 \xff 1"))
    assert found["files"][0]["path"].endswith("A\\xe5 \\xff 1.txt")
    assert found["warnings"]
    assert lab.wait_for("notes")["warnings"]


@pytest.mark.parametrize("year", [-1200, 2400, 40_000])
def test_a_file_with_any_date_is_recorded_and_delays_no_other(lab: Lab, year: int) -> None:
    lab.follow("{name: ses, settle: 0.2}")
    wrong = lab.write(".Ag_0001.txt")
    seconds = int((year - 1970) * 365.2425 * 86_400)
    os.utime(wrong, (seconds, seconds))  # some file systems keep it, others the nearest that they can
    wrong.rename(lab.root / "Ag_0001.txt")
    lab.write("Ag_0002.txt")
    lab.wait_for("Ag_0002")
    lab.wait_for("Ag_0001")


def test_a_late_file_belongs_to_the_same_dataset(lab: Lab) -> None:
    fly_service = lab.follow()
    lab.write("Ag_0001.txt")
    first = lab.wait_for("Ag_0001")
    lab.write("Ag_0001Ag__001.ibw", "no wave")
    second = lab.wait_for("Ag_0001", revision=1)
    assert names(first) == ["Ag_0001.txt"]
    assert names(second) == ["Ag_0001.txt", "Ag_0001Ag__001.ibw"]
    assert first["startTime"] == second["startTime"]
    assert eventually(lambda: fly_service.seen().counts.recorded == 2)


def test_a_change_after_the_recording_is_ignored_and_reported_unless_modified_is_set(lab: Lab) -> None:
    fly_service = lab.follow("{name: ses, settle: 0.2}", "{name: more, pattern: '*.dat', settle: 0.2, modified: true}")
    lab.write("Ag_0001.txt")
    lab.write("x.dat", "1")
    lab.wait_for("Ag_0001")
    lab.wait_for("x.dat")
    with (lab.root / "Ag_0001.txt").open("a") as file:
        file.write("12 3.0\n")
    with (lab.root / "x.dat").open("a") as file:
        file.write("more")
    assert lab.wait_for("x.dat", revision=1)["files"][0]["size"] == 5
    assert eventually(lambda: fly_service.seen().counts.ignored == 1)
    fly_service.stop()
    # It is reported once, and not with each start.
    again = lab.follow("{name: ses, settle: 0.2}")
    assert len(lab.all()) == 3
    assert again.seen().counts.ignored == 0


def test_an_editor_that_saves_it_again_makes_no_second_dataset(lab: Lab) -> None:
    fly_service = lab.follow()
    path = lab.write("Ag_0001.txt")
    lab.wait_for("Ag_0001")
    beside = lab.root / ".Ag.swp"
    beside.write_text(path.read_text() + "a comment\n")
    beside.rename(path)
    assert eventually(lambda: fly_service.seen().counts.ignored == 1)
    assert fly_service.seen().counts.recorded == len(lab.messages) == 1


def test_a_file_that_is_replaced_repeatedly_is_one_dataset_if_modified_is_set(lab: Lab) -> None:
    fly_service = lab.follow("{name: log, pattern: '*.csv', settle: 0.2, modified: true}")
    for revision in range(3):
        lab.write("log.csv.tmp", "hour\n" * (revision + 1)).rename(lab.root / "log.csv")
        assert lab.wait_for("log.csv", revision)["files"][0]["size"] == 5 * (revision + 1)
    assert eventually(lambda: fly_service.seen().counts.recorded == 3)
    assert {message["uuid"] for message in lab.all()} == {lab.uuid("log.csv")}


@pytest.mark.parametrize("how", ["deleted", "written over"])
def test_a_deleted_or_overwritten_measurement_becomes_another_dataset(lab: Lab, how: str) -> None:
    lab.follow()
    path = lab.write("Ag_0001.txt")
    lab.write("Ag_0001Ag__001.ibw", "no wave")
    first = lab.wait_for("Ag_0001")
    if how == "deleted":
        path.unlink()
        (lab.root / "Ag_0001Ag__001.ibw").unlink()
        lab.mark()  # that they are gone is seen
    lab.write("Ag_0001.txt", clock="11:00:00")
    lab.write("Ag_0001Ag__001.ibw", "no wave either")
    second = lab.wait_for("Ag_0001", generation=1)
    assert first["uuid"] != second["uuid"]
    assert second["startTime"] == "2025-11-23T11:00:00.000Z"
    assert names(second) == ["Ag_0001.txt", "Ag_0001Ag__001.ibw"]


def test_recreated_files_without_a_date_are_another_dataset(lab: Lab) -> None:
    lab.follow("{name: any, settle: 0.2}")
    path = lab.write("a.dat", "1")
    lab.wait_for("a.dat")
    path.unlink()
    lab.mark()  # that it is gone is seen
    lab.write("a.dat", "2 is another one")
    assert lab.wait_for("a.dat", generation=1)["files"][0]["size"] == 16


def test_a_measurement_whose_header_announces_more_is_waited_for(lab: Lab) -> None:
    fly_service = lab.follow("{name: ses, settle: 0.2}")
    two = SES.format(name="Ag3d", clock="10:00:00").replace("Regions=1", "Regions=2")
    lab.write("Ag_0001.txt", two)
    lab.mark()
    assert (fly_service.seen().pending, lab.topic.of(lab.uuid("Ag_0001"))) == (1, [])
    more = SES.format(name="C1s", clock="10:05:00").partition("\n\n")[2]
    with (lab.root / "Ag_0001.txt").open("a") as file:
        file.write(more.replace("Region 1]", "Region 2]").replace("Info 1]", "Info 2]").replace("Data 1]", "Data 2]"))
    assert lab.wait_for("Ag_0001")["status"] == "completed"
    fly_service.stop()
    # Another file is never finished: its program was killed.
    lab.follow("{name: ses, settle: 0.2, patience: 0.5}")
    lab.write("Ag_0002.txt", two)
    found = lab.wait_for("Ag_0002")
    assert found["status"] == "interrupted"
    # Or so it seemed.
    with (lab.root / "Ag_0002.txt").open("a") as file:
        file.write(more.replace("Region 1]", "Region 2]").replace("Info 1]", "Info 2]").replace("Data 1]", "Data 2]"))
    assert lab.wait_for("Ag_0002", revision=1)["status"] == "completed"


def test_a_folder_of_frames_is_one_dataset(lab: Lab) -> None:
    fly_service = lab.follow("{name: frames, pattern: 'eiger/**/*.h5', group: folder, settle: 0.5}")
    for number in range(300):
        lab.write(f"eiger/scan_7/frame_{number:05}.h5", "x" * number)
    found = lab.wait_for("eiger/scan_7")
    assert len(found["files"]) == 300
    assert (found["datasetName"], found["sourceFolder"]) == ("scan_7", str(lab.root / "eiger/scan_7"))
    assert lab.all() == [found]
    assert fly_service.seen().counts.recorded == 2  # with the mark


def test_a_series_is_one_dataset_and_its_name_has_no_number(lab: Lab) -> None:
    lab.follow("{name: series, pattern: '*.tif', group: series, settle: 0.5}")
    for number in range(20):
        lab.write(f"img_2_{number:04}.tif", "x")
    found = lab.wait_for("img_2_#.tif")
    assert (found["datasetName"], len(found["files"])) == ("img_2", 20)


def test_a_measurement_started_under_one_proposal_keeps_it_when_the_path_changes(lab: Lab, tmp_path: Path) -> None:
    fly_service = lab.follow("{name: ses, settle: 0.5}")
    lab.write("Ag_0001.txt")
    other = tmp_path / "secret"
    other.mkdir()
    fly_service.follow(str(other), SECRET)
    lab.write("Ag_0002.txt")  # the program continues where it was
    (other / "Si_0001.txt").write_text(SES.format(name="Si2p", clock="10:00:00"))
    for name in ("Ag_0001", "Ag_0002"):
        assert lab.wait_for(name)["proposalId"] == "20250001"
    assert eventually(lambda: fly_service.seen().counts.recorded == 3)
    fly_service.follow(str(lab.root), PLACE)
    lab.all()
    # A proprietary measurement stays, even after the proposal has changed again.
    assert {message["proposalId"] for message in lab.messages} == {"20250001"}
    assert "secret" not in str(lab.messages)
    assert "Si" not in [message["datasetName"][:2] for message in lab.messages]


def test_the_sample_is_the_one_that_was_active_when_the_file_was_made(lab: Lab) -> None:
    fly_service = lab.follow()
    path = lab.root / "Ag_0001.txt"
    with path.open("w") as file:
        file.write(SES.format(name="Ag3d", clock="10:00:00"))
        file.flush()
        lab.tick()
        fly_service.follow(str(lab.root), replace(PLACE, sample="fibre_B"))
        lab.tick()
    lab.write("Ag_0002.txt")
    assert lab.wait_for("Ag_0001")["sampleId"] == "fibre_A"
    assert lab.wait_for("Ag_0002")["sampleId"] == "fibre_B"


@pytest.mark.parametrize("method", METHODS)
def test_the_sample_is_right_without_creation_times_of_the_file_server(
    lab: Lab, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scifly.collector.birth", lambda path: None)  # like NFS
    monkeypatch.setattr("scifly.proposal_periods.CHANGE_NOTICED_SECONDS", 0.0)
    fly_service = lab.follow(method=method)
    lab.mark()
    assert eventually(lambda: fly_service.seen().pending == 0)  # not even the mark
    path = lab.root / "Ag_0001.txt"
    with path.open("w") as file:
        file.write("[Info]")
        file.flush()
        assert eventually(lambda: fly_service.seen().pending == 1)
        fly_service.confirm(time.time())
        fly_service.follow(str(lab.root), SECRET)
        file.seek(0)
        file.write(SES.format(name="Ag3d", clock="10:00:00"))
    lab.wait_for("Ag_0001")
    assert lab.messages[-1]["proposalId"] == PLACE.proposal


def test_a_folder_inside_the_former_one_is_not_recorded_twice(lab: Lab) -> None:
    fly_service = lab.follow()
    for number in range(20):
        lab.write(f"deep/Ag_{number:04}.txt")
    fly_service.follow(str(lab.root / "deep"), replace(PLACE, sample="fibre_B"))
    for number in range(20, 40):
        lab.write(f"deep/Ag_{number:04}.txt")
    for number in range(40):
        lab.wait_for(f"deep/Ag_{number:04}")
    assert len(lab.all()) == 40


def test_a_former_path_may_not_exist(lab: Lab, tmp_path: Path) -> None:
    fly_service = lab.start()
    fly_service.follow(str(tmp_path / "mistyped"), PLACE)
    assert eventually(lambda: "mistyped does not exist (yet)" in fly_service.seen().trouble)
    fly_service.follow(str(lab.root), PLACE)
    assert eventually(lambda: fly_service.seen().works and fly_service.seen().trouble == "")
    assert fly_service.seen().others == (str(tmp_path / "mistyped"),)


def test_a_former_root_is_watched_for_a_limited_time(lab: Lab, tmp_path: Path) -> None:
    lab.write("Ag_0000.txt")
    lab.tick()
    fly_service = lab.follow(linger=0.0, catch_up=0.0)
    assert eventually(lambda: fly_service.seen().counts.skipped == 1)
    with (lab.root / "Ag_0001.txt").open("w") as file:
        file.write(SES.format(name="Ag3d", clock="10:00:00"))
        file.flush()
        assert eventually(lambda: fly_service.seen().pending == 1)
        fly_service.follow(str(tmp_path / "not there yet"), PLACE)
        fly_service.pulse()
        assert fly_service.seen().others == (str(lab.root),)
    lab.wait_for("Ag_0001")

    def left() -> bool:
        fly_service.pulse()
        return not fly_service.seen().others

    assert eventually(left)
    assert fly_service.seen().counts.skipped == 1  # also of a root that is watched no more


@pytest.mark.parametrize("method", METHODS)
def test_files_still_being_written_at_a_former_root_are_waited_for(lab: Lab, tmp_path: Path, method: str) -> None:
    profile = "{name: dat, pattern: '*.dat', settle: 0.3, patience: 60, modified: true}"
    fly_service = lab.follow(profile, linger=60.0, method=method)
    lab.mark()  # for files that exist at the first check, size and time decide
    path = lab.root / "a.dat"
    with path.open("w", buffering=1) as file:
        file.write("begun\n")
        assert eventually(lambda: fly_service.seen().pending == 1)
        fly_service.follow(str(tmp_path / "not there yet"), PLACE)
        left = fly_service._followings[str(lab.root)]
        left.left = time.monotonic() - 3600.0
        changed = left.watch.changed
        file.write("and gone on with\n")
        if method == "inotify":
            assert eventually(lambda: left.watch.changed > changed)
        fly_service.pulse()
        assert fly_service.seen().others == (str(lab.root),)
    # With polling it may have been quiet for long enough in the meantime, and is then reported once more.
    lab.topic.wait_for(
        lambda m: m["uuid"] == lab.uuid("a.dat") and m["files"][0]["size"] == path.stat().st_size,
    )


def test_files_written_while_it_was_stopped_are_recorded_unless_they_are_too_old(lab: Lab) -> None:
    lab.write("Ag_0001.txt")
    lab.follow(catch_up=3600.0).stop()
    lab.write("Ag_0002.txt")
    fly_service = lab.follow(catch_up=3600.0, fresh=0.0)
    found = lab.wait_for("Ag_0002")
    assert any("the Tango attributes were not read" in warning for warning in found["warnings"])
    lab.wait_for("Ag_0001")
    assert len(lab.all()) == 2
    fly_service.stop()
    # A test cannot set the time of a file's last change, so it requests nothing from before.
    lab.write("Ag_0003.txt")
    lab.tick()
    other = lab.follow("{name: ses, settle: 0.2}", catch_up=0.0)
    assert eventually(lambda: other.seen().counts.skipped == 1)
    lab.write("Ag_0004.txt")
    lab.wait_for("Ag_0004")
    assert len(lab.all()) == 3


def test_record_now_records_a_file_at_once(lab: Lab, tmp_path: Path) -> None:
    fly_service = lab.follow("{name: ses, settle: 60}")
    path = lab.write("Ag_0001.txt")
    assert fly_service.record_now(str(path)) == lab.uuid("Ag_0001")
    lab.wait_for("Ag_0001")
    assert fly_service.record_now(str(path)) == lab.uuid("Ag_0001")
    lab.wait_for("Ag_0001", revision=1)
    plain = lab.write("notes.md", "none of the profiles wants it")
    fly_service.record_now(str(plain))
    assert lab.wait_for("notes.md")["datasetName"] == "notes.md"
    with pytest.raises(ValueError, match="is not below the watched folder"):
        fly_service.record_now(str(tmp_path / "elsewhere.txt"))
    (lab.root / "folder.txt").mkdir()
    with pytest.raises(ValueError, match="is not a file"):
        fly_service.record_now(str(lab.root / "folder.txt"))
    with pytest.raises(FileNotFoundError):
        fly_service.record_now(str(lab.root / "none.txt"))
    (tmp_path / "other_proposal").mkdir()
    (tmp_path / "other_proposal" / "Ag_0001.txt").write_text("of others")
    for name, target in (("out", tmp_path / "other_proposal"), ("round", lab.root)):
        (lab.root / name).symlink_to(target)
        with pytest.raises(ValueError, match="is behind a symbolic link, which is not followed"):
            fly_service.record_now(str(lab.root / name / "Ag_0001.txt"))


def test_a_timed_out_record_now_says_that_the_file_will_be_recorded(lab: Lab) -> None:
    fly_service = lab.follow("{name: ses, settle: 60}")
    path = lab.write("Ag_0001.txt")
    reason = r"Ag_0001.txt is not recorded after 0.01 s; it will be"
    with fly_service._journal._lock, pytest.raises(TimeoutError, match=reason):  # like a hanging disk
        fly_service.record_now(str(path), timeout=0.01)
    lab.wait_for("Ag_0001")


def test_files_deleted_before_the_recording_are_reported(lab: Lab) -> None:
    lab.follow("{name: ses, settle: 0.2}")
    path = lab.write("Ag_0001.txt", SES.format(name="x", clock="10:00:00").replace("Regions=1", "Regions=2"))
    lab.mark()
    path.unlink()
    lab.write("Ag_0001Ag__001.ibw", "no wave")
    found = lab.wait_for("Ag_0001")
    assert names(found) == ["Ag_0001Ag__001.ibw"]


def test_a_full_disk_of_the_journal_is_reported_and_nothing_is_lost(lab: Lab) -> None:
    fly_service = lab.follow()
    fly_service._journal._db.execute("PRAGMA max_page_count=1")  # SQLite refuses like a full disk
    for number in range(30):
        lab.write(f"{'long name ' * 20}{number}.txt")
    assert eventually(lambda: "the journal refuses writes" in fly_service.seen().trouble)
    assert "database or disk is full" in fly_service.seen().trouble
    assert fly_service.seen().counts.recorded < 30
    fly_service._journal._db.execute("PRAGMA max_page_count=1000000")
    for number in range(30):
        lab.wait_for(f"{'long name ' * 20}{number}")
    assert eventually(lambda: fly_service.seen().trouble == "")
    assert len(lab.all()) == 30


def test_nothing_is_lost_if_the_journal_is_damaged_in_use(lab: Lab) -> None:
    fly_service = lab.follow("{name: ses, settle: 0.5}")
    for number in range(300):
        lab.write(f"Ag_{number:04}.txt")
        if number == 150:
            size = lab.journal.stat().st_size
            db = fly_service._journal._db
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with lab.journal.open("r+b") as file:
                file.seek(4096)
                file.write(os.urandom(max(size - 4096, 4096)))
    for number in range(300):
        lab.wait_for(f"Ag_{number:04}")
    assert eventually(lambda: fly_service.seen().pending == 0)


PROGRAM = """
import sys, threading
from datetime import UTC
from pathlib import Path
from scifly.service import FlyService, FlySettings
from scifly.journal import Journal
from scifly.model import ProposalContext
from scifly.profiles import profiles_from
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from scifish.recording.session import RecordingSession
root, journal, topic, bootstrap, spool, method = sys.argv[1:]
settings = Settings(beamline="lab", topic=topic, kafka_bootstrap_servers=bootstrap, spool_directory=spool)
session = RecordingSession(FixedSettings(settings), program="SciFly")
profiles, _ = profiles_from(["{name: ses, settle: 0.2}"])
fly_service = FlyService(FlySettings("lab", zone=UTC, method=method), profiles, Journal(Path(journal)), lambda: session)
fly_service.follow(root, ProposalContext("20250001", "fibre_A", "visitors"))
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.long
@pytest.mark.parametrize("method", ["inotify", "polling"])
def test_killed_again_and_again_in_a_burst_each_measurement_is_one_dataset(
    tmp_path: Path, kafka: Kafka, method: str
) -> None:
    # The spool of a killed program is taken over by the next session.
    with house_in(tmp_path, kafka) as house:
        lab = Lab(tmp_path, house)
        killed_again_and_again(lab, method)
        lab.close()


def killed_again_and_again(lab: Lab, method: str) -> None:
    settings = lab.house.settings
    argv = [str(lab.root), str(lab.journal), settings.topic, settings.kafka_bootstrap_servers]
    written = 0
    for pause in (0.05, 0.35, 0.5, 0.7, 0.9, 1.3):
        command = [sys.executable, "-c", PROGRAM, *argv, settings.spool_directory, method]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            end = time.monotonic() + pause
            while time.monotonic() < end:
                for _ in range(10):
                    lab.write(f"Ag_{written:04}.txt")
                    lab.write(f"Ag_{written:04}Ag__001.ibw", "no wave")
                    written += 1
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
        for _ in range(10):  # while nobody watches
            lab.write(f"Ag_{written:04}.txt")
            written += 1
    fly_service = lab.follow("{name: ses, settle: 0.2}", method=method)
    for number in range(written):
        lab.wait_for(f"Ag_{number:04}", revision=0)
    messages = lab.all()
    assert {message["uuid"] for message in messages} == {lab.uuid(f"Ag_{n:04}") for n in range(written)}
    last = {message["uuid"]: message for message in sorted(messages, key=lambda m: m.get("revision", 0))}
    for number in range(written):
        there = sorted(path.name for path in lab.root.glob(f"Ag_{number:04}*"))
        assert names(last[lab.uuid(f"Ag_{number:04}")]) == there
    # Only measurements in progress at one of the kills are recorded twice.
    assert len(messages) < written + 6 * 250
    assert fly_service.seen().trouble == ""
