"""The companion process of a program that records: killed, hung, left alone, and found damaged."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest

from scifish import native
from scifish.message import iso
from scifish.recording import companion_process
from scifish.recording.session import RecordingSession
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings, settings_source
from scifish.spool.database import Spool
from scifish.spool.inspection import summarise
from tests.builders.messages import message
from tests.servers.kafka import Kafka
from tests.servers.topic import Topic
from tests.spools import left_in, under
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first


@dataclass
class Lab:
    settings: Settings
    topic: Topic

    @property
    def spool(self) -> Path:
        return Path(self.settings.spool_directory)

    def session(self) -> RecordingSession:
        return RecordingSession(FixedSettings(self.settings), program="test")


@pytest.fixture
def lab(tmp_path: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(companion_process, "FIRST_RESTART_SECONDS", 0.1)
    monkeypatch.setattr(companion_process, "MAX_RESTART_SECONDS", 0.1)
    topic = Topic(kafka.bootstrap, f"scifish-companion-{uuid4().hex[:8]}")
    yield Lab(
        Settings(
            beamline="lab",
            topic=topic.name,
            kafka_bootstrap_servers=kafka.bootstrap,
            spool_directory=str(tmp_path / "spool"),
        ),
        topic,
    )
    topic.close()


def companion(of: int) -> int:
    """The process id of the companion of a process; it is waited for."""
    found: list[int] = []
    assert eventually(lambda: bool(found.extend(_children(of)) or found))
    return found[0]


def command_line(pid: int) -> bytes:
    """b"" of one that has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _children(of: int) -> list[int]:
    found = []
    for file in Path(f"/proc/{of}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            found += [int(pid) for pid in file.read_text().split()]
    return [pid for pid in found if b"scifish.companion.process" in command_line(pid)]


def kept(file: Path, uuid: str) -> tuple[int, str]:
    """On disk, of a dataset that is being recorded: its points, and what its program has said."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as db:
        found: tuple[int, str] = db.execute("SELECT points, given FROM datasets WHERE uuid = ?", (uuid,)).fetchone()
    return found


def wait_for_last(topic: Topic, uuid: str) -> dict[str, object]:
    return topic.wait_for(lambda m: m["uuid"] == uuid and m["type"] in ("ended", "snapshot"))


def test_a_companion_that_is_killed_again_and_again_loses_nothing(lab: Lab) -> None:
    session = lab.session()
    uuids = []
    for number in range(12):
        dataset = session.begin({"datasetName": f"d{number}"})
        if number % 4 == 1:
            os.kill(companion(os.getpid()), signal.SIGKILL)
        dataset.point()
        if number % 4 == 2:
            companion(os.getpid())  # there is another one
        dataset.end("completed", {"datasetName": f"d{number}", "files": [f"/data/{number}.h5"]})
        uuids.append(dataset.uuid)
    for number, uuid in enumerate(uuids):
        ended = wait_for_last(lab.topic, uuid)
        assert (ended["status"], ended["numberOfPoints"], ended["datasetName"]) == ("completed", 1, f"d{number}")
        assert len(ended["files"]) == 1  # type: ignore[arg-type]
    assert eventually(lambda: session.trouble() == "")
    session.close()
    assert eventually(lambda: left_in(lab.spool) == [])
    numbers = sorted({m["seq"] for m in lab.topic.messages})
    assert numbers == list(range(1, len(numbers) + 1))
    assert len({(m["uuid"], m["seq"]) for m in lab.topic.messages if m["type"] == "ended"}) == 12


BROKEN_PIPE = """
import os, signal, sys, time
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from scifish.recording.session import RecordingSession
from tests.integration.scifish.test_companion import companion
signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as in a program that embeds Python
settings = Settings(beamline="lab", topic="t", kafka_bootstrap_servers="127.0.0.1:9", spool_directory=sys.argv[1])
session = RecordingSession(FixedSettings(settings), program="test")
for _ in range(3):
    os.kill(companion(os.getpid()), signal.SIGKILL)
    for _ in range(40):
        session.begin({}).end("completed")
        time.sleep(0.01)
os._exit(0)
"""


def test_one_that_is_killed_takes_no_program_with_it_that_dies_of_broken_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done = subprocess.run([sys.executable, "-c", BROKEN_PIPE, str(tmp_path / "spool")], check=False)
    assert done.returncode == 0


def test_one_that_hangs_costs_the_measurement_nothing_and_is_replaced(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion_process, "MAX_SILENCE_SECONDS", 3600.0)
    session = lab.session()
    first = companion(os.getpid())
    assert session.record_snapshot({"datasetName": "before"}).observed.wait(PATIENCE)
    os.kill(first, signal.SIGSTOP)
    try:
        # More than a pipe takes.
        said = {"scientificMetadata": {f"text {n}": "x" * 10_000 for n in range(10)}}
        uuids = []
        for number in range(20):
            dataset = session.begin({"datasetName": f"d{number}", **said})
            dataset.end("completed")
            uuids.append(dataset.uuid)
        assert first in _children(os.getpid())  # nobody has waited for it
        monkeypatch.setattr(companion_process, "MAX_SILENCE_SECONDS", 0.1)
        assert eventually(lambda: first not in _children(os.getpid()))
        monkeypatch.setattr(companion_process, "MAX_SILENCE_SECONDS", 3600.0)
    finally:
        if Path(f"/proc/{first}").exists():
            os.kill(first, signal.SIGCONT)
    for uuid in uuids:
        assert wait_for_last(lab.topic, uuid)["status"] == "completed"
    session.close()


def test_one_whose_log_file_cannot_be_opened_sends_all_the_same(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """As with a quota that is used up. What is sent makes room."""
    session = lab.session()
    first = companion(os.getpid())
    (log,) = lab.spool.glob("*.log")
    log.unlink()
    log.mkdir()
    os.kill(first, signal.SIGKILL)
    dataset = session.begin({"datasetName": "sent"})
    dataset.end("completed")
    assert wait_for_last(lab.topic, dataset.uuid)["status"] == "completed"
    assert f"what the companion process logs is not kept: [Errno 21] Is a directory: '{log}'" in caplog.text
    log.rmdir()
    session.close()


def test_without_a_companion_a_program_says_so_and_the_next_one_sends(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(companion_process, "_python", lambda: "/no/such/python")
        session = lab.session()
        dataset = session.begin({"datasetName": "alone"})
        dataset.end("stopped")
        assert eventually(lambda: "no companion process can be started" in session.trouble())
        session.close()
    other = lab.session()
    assert wait_for_last(lab.topic, dataset.uuid)["status"] == "stopped"
    other.close()


def test_a_failure_of_the_thread_that_starts_it_is_reported_as_that_and_tried_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native, "RESTART_SECONDS", 0.0)
    failures = [TypeError("child watchers are only available on the default loop")]
    really = companion_process.CompanionProcess._start

    def start(process: companion_process.CompanionProcess) -> object:
        if failures:
            raise failures.pop()
        return really(process)

    monkeypatch.setattr(companion_process.CompanionProcess, "_start", start)
    session = lab.session()
    assert session.record_snapshot({}).observed.wait(PATIENCE)
    assert "the thread scifish-link failed (TypeError: child watchers are only available" in caplog.text
    assert eventually(lambda: session.trouble() == "")
    session.close()


def test_a_child_that_is_forked_while_it_is_started_does_not_keep_it_waiting(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion_process, "FORK_WAIT_SECONDS", PATIENCE)
    begun = threading.Event()
    really = native.subprocess._fork_exec  # type: ignore[attr-defined]

    def slow(*arguments: object) -> int:
        begun.set()
        time.sleep(0.2)
        return int(really(*arguments))

    monkeypatch.setattr(native.subprocess, "_fork_exec", slow)
    session = lab.session()
    assert begun.wait(PATIENCE)
    child = os.fork()
    if child == 0:
        time.sleep(3600.0)
        os._exit(0)
    try:
        assert session.record_snapshot({}).observed.wait(PATIENCE)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    session.close()


def test_commands_are_unicode_whatever_the_language_of_the_machine(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    session = lab.session()
    assert session.record_snapshot({}).observed.wait(PATIENCE)  # the companion is there: the next is heard, not read
    uuid = session.record_snapshot({"datasetName": "20 °C, 3 Å"}).uuid
    assert wait_for_last(lab.topic, uuid)["datasetName"] == "20 °C, 3 Å"
    session.close()


def test_messages_of_a_topic_that_kafka_does_not_allow_hold_up_no_others(lab: Lab) -> None:
    lab.spool.mkdir()
    who = {"host": "h", "program": "gone", "version": "1", "run": "gone-1"}
    spool = Spool(lab.spool / "gone-1.spool", who, identity=under(lab.settings))
    spool.put("not allowed", message(origin=spool.origin))
    spool.put(lab.topic.name, message(origin=spool.origin, datasetName="behind"))
    spool.close()
    session = lab.session()
    uuid = session.record_snapshot({"datasetName": "mine"}).uuid
    assert wait_for_last(lab.topic, uuid)
    lab.topic.wait_for(lambda m: m["datasetName"] == "behind")
    assert eventually(lambda: "the topic not allowed" in session.trouble())
    assert summarise(lab.spool / "gone-1.spool").waiting == 1
    session.close()


def test_one_that_cannot_start_tells_why(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "confluent_kafka.py").write_text("raise ImportError('librdkafka.so.1: not found')")
    monkeypatch.setattr(
        companion_process, "_environment", lambda: {**os.environ, "PYTHONPATH": str(tmp_path / "broken")}
    )
    session = lab.session()
    assert eventually(lambda: "librdkafka.so.1: not found" in session.trouble())
    session.close()


PROGRAM = """
import os, sys, time
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from scifish.recording.session import RecordingSession
session = RecordingSession(FixedSettings(Settings(**{settings!r})), program="test")
said = {{"datasetName": "cut off"}}
dataset = session.begin(said, latest=lambda: {{**said, "description": "late"}})
dataset.point()
if {fork}:
    if os.fork() == 0:
        time.sleep(3600)
print(dataset.uuid, flush=True)
time.sleep(3600)
"""


@pytest.mark.parametrize("fork", [False, True], ids=["alone", "with a forked child that lives on"])
def test_a_program_that_is_killed_is_finished_by_its_companion(lab: Lab, fork: bool) -> None:
    program = PROGRAM.format(settings=asdict(lab.settings), fork=fork)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None
        uuid = running.stdout.readline().strip()
        lab.topic.wait_for(lambda m: m["uuid"] == uuid and m["type"] == "began")
        (file,) = lab.spool.glob("*.spool")
        assert eventually(lambda: kept(file, uuid)[0] == 1 and "late" in kept(file, uuid)[1])
        helper = companion(running.pid)
        try:
            running.kill()
            ended = wait_for_last(lab.topic, uuid)
            assert (ended["status"], ended["numberOfPoints"]) == ("interrupted", 1)
            assert ended["description"] == "late"
            assert eventually(lambda: not Path(f"/proc/{helper}").exists())
            assert eventually(lambda: left_in(lab.spool) == [])
        finally:
            os.killpg(running.pid, signal.SIGKILL)


IDLE = """
import sys, time
from scifish import SciFish
from scifish.settings import Settings
fish = SciFish(Settings(**{settings!r}), program="test")
fish.start_scan("idle")
fish.send_start()
print(fish.uuid, flush=True)
time.sleep(3600)
"""


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "together with its companion"])
def test_the_dataset_of_a_killed_program_ends_when_the_program_was_last_known_to_live(lab: Lab, alone: bool) -> None:
    """Not when something was last written of it. Nobody counted its points."""
    program = IDLE.format(settings=asdict(lab.settings))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        uuid = running.stdout.readline().strip()
        lab.topic.wait_for(lambda m: m["uuid"] == uuid and m["type"] == "began")
        (lock,) = lab.spool.glob("*.lock")
        idle = time.time()
        assert eventually(lambda: lock.stat().st_mtime > idle + 1.0)  # two signs of life later
        if not alone:
            os.kill(companion(running.pid), signal.SIGKILL)
        running.kill()
    following = lab.session() if not alone else None  # it takes the spool over
    ended = wait_for_last(lab.topic, uuid)
    if following is not None:
        following.close()
    assert ended["status"] == "interrupted"
    assert "numberOfPoints" not in ended
    assert iso(idle + 1.0) < str(ended["endTime"]) <= iso(time.time())


def test_a_file_that_gets_damaged_is_put_aside_and_a_new_one_begun(lab: Lab) -> None:
    session = lab.session()
    session.record_snapshot({"datasetName": "first"}).observed.wait(PATIENCE)
    lab.topic.wait_for(lambda m: m["datasetName"] == "first")
    (file,) = lab.spool.glob("*.spool")
    os.kill(companion(os.getpid()), signal.SIGSTOP)
    for path in (file, file.with_name(f"{file.name}-wal")):
        if path.exists():
            with path.open("r+b") as handle:
                handle.write(b"\xff" * max(path.stat().st_size, 4096))
    os.kill(companion(os.getpid()), signal.SIGCONT)
    uuid = session.record_snapshot({"datasetName": "second"}).uuid
    assert wait_for_last(lab.topic, uuid)
    (broken,) = lab.spool.glob("*.broken")
    assert eventually(lambda: f"the spool {broken} is not sent: it is damaged; `scifish salvage`" in session.trouble())
    session.close()


@pytest.mark.parametrize("at_end", [True, False], ids=["found when it ends", "found before"])
def test_a_dataset_is_not_lost_with_a_file_that_gets_damaged_while_it_is_recorded(lab: Lab, at_end: bool) -> None:
    session = lab.session()
    dataset = session.begin({"datasetName": "long"})
    lab.topic.wait_for(lambda m: m["uuid"] == dataset.uuid)
    # SQLite's error is then of the class that says of a file that it is damaged.
    deny = lambda: session._spool._db.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)  # noqa: E731
    dataset.point()
    first = companion(os.getpid())
    session._executor.submit_retrying(deny).result()
    if not at_end:
        assert eventually(lambda: bool(list(lab.spool.glob("*.broken"))))
    dataset.end("completed")
    ended = wait_for_last(lab.topic, dataset.uuid)
    assert (ended["status"], ended["numberOfPoints"], ended["datasetName"]) == ("completed", 1, "long")
    assert "warnings" not in ended  # the companion knows what was read
    assert companion(os.getpid()) == first
    assert list(lab.spool.glob("*.broken"))
    assert session._open == {}
    session.close()


def test_what_a_killed_program_of_another_beamline_has_left_goes_nowhere_else(lab: Lab, tmp_path: Path) -> None:
    """As with the YAML file of a test beside a beamline's program: one account, one folder."""
    others = replace(lab.settings, beamline="other", topic="scifish-other", kafka_bootstrap_servers="127.0.0.1:9")
    program = PROGRAM.format(settings=asdict(others), fork=False)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        uuid = running.stdout.readline().strip()
        (file,) = lab.spool.glob("*.spool")
        assert eventually(lambda: summarise(file).waiting == 1)
        os.kill(companion(running.pid), signal.SIGKILL)
        running.kill()
    session = lab.session()
    assert wait_for_last(lab.topic, session.record_snapshot({"datasetName": "mine"}).uuid)
    assert eventually(lambda: f"the spool {file} is not sent" in session.trouble())
    assert (summarise(file).waiting, summarise(file).recording) == (1, 1)
    assert not [m for m in lab.topic.messages if m["uuid"] == uuid]
    session.close()
    # With the same settings from a file it is finished, and waits for its own Kafka.
    settings = tmp_path / "other.yaml"
    settings.write_text(
        f"Beamline: other\nTopic: scifish-other\nKafkaBootstrapServers: 127.0.0.1:9\nSpoolDirectory: {lab.spool}\n"
    )
    flush = [str(Path(sys.executable).with_name("scifish")), "flush", "--timeout", "3"]
    done = subprocess.run(
        flush, env={**os.environ, "SCIFISH_CONFIG": str(settings)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.count("2 messages of exited programs are left")) == (1, 1), done.stdout
    assert (summarise(file).waiting, summarise(file).recording) == (2, 0)


@pytest.mark.parametrize("how", ["removed", "truncated"])
def test_a_spool_that_somebody_removes_or_truncates_while_its_program_runs_is_noticed(lab: Lab, how: str) -> None:
    session = lab.session()
    dataset = session.begin({"datasetName": "long"})
    lab.topic.wait_for(lambda m: m["uuid"] == dataset.uuid)
    dataset.point()
    (file,) = lab.spool.glob("*.spool")
    inode = file.stat().st_ino
    first = companion(os.getpid())
    if how == "removed":
        for path in lab.spool.iterdir():
            path.unlink()
        # The lock file, too: another companion has to hold the new one.
        assert eventually(lambda: first not in _children(os.getpid()))
    else:
        os.truncate(file, 0)
    assert eventually(lambda: file.exists() and inode != file.stat().st_ino == session._spool.inode)
    uuid = session.record_snapshot({"datasetName": "after"}).uuid
    dataset.end("completed")
    assert wait_for_last(lab.topic, uuid)
    ended = wait_for_last(lab.topic, dataset.uuid)
    assert (ended["status"], ended["numberOfPoints"], ended["datasetName"]) == ("completed", 1, "long")
    assert {m["origin"]["run"] for m in lab.topic.messages} == {session.origin["run"]}
    session.close()
    assert eventually(lambda: not list(lab.spool.glob("*.spool")))


def damage(folder: Path, how: str) -> None:
    """Do this to the one spool in a folder."""
    (file,) = folder.glob("*.spool")
    if how == "removed":
        file.unlink()
    elif how == "truncated":
        os.truncate(file, 0)
    else:
        for path in (file, *(file.with_name(f"{file.name}-{part}") for part in ("wal", "shm"))):
            with path.open("r+b") as handle:
                handle.write(b"\xff" * path.stat().st_size)


@pytest.mark.parametrize("how", ["removed", "truncated", "overwritten"])
def test_what_has_ended_and_is_not_sent_yet_survives_its_spool(lab: Lab, tmp_path: Path, how: str) -> None:
    """Kafka is away, the spool is damaged, and Kafka comes back: everything arrives once, as it was recorded."""
    file = tmp_path / "lab.yaml"

    def configure(bootstrap: str) -> None:
        file.write_text(
            f"Beamline: lab\nTopic: {lab.topic.name}\nKafkaBootstrapServers: {bootstrap}\nSpoolDirectory: {lab.spool}\n"
        )

    configure("127.0.0.1:9")
    session = RecordingSession(settings_source(file), program="test")
    over = session.begin({"datasetName": "over", "scientificMetadata": {"answer": {"value": 42, "unit": "K"}}})
    session.annotate(over.uuid, {"comment": "a comment"}, proposal="20260001")
    over.point()
    over.end("completed")
    still_open = session.begin({"datasetName": "open"})
    (spool,) = lab.spool.glob("*.spool")
    assert eventually(lambda: summarise(spool).waiting >= 3)  # one of them is a `began`
    inode = spool.stat().st_ino
    with spool.open("rb"):  # so that the new file has another inode
        damage(lab.spool, how)
        assert eventually(lambda: spool.exists() and inode != spool.stat().st_ino)
    still_open.end("completed")
    configure(lab.settings.kafka_bootstrap_servers)
    ended = [wait_for_last(lab.topic, each.uuid) for each in (over, still_open)]
    session.close(PATIENCE)
    lab.topic.wait_until(lambda messages: any(m["type"] == "annotation" for m in messages))
    assert ended[0]["numberOfPoints"] == 1
    assert ended[0]["scientificMetadata"]["answer"]["value"] == 42
    assert all("warnings" not in each for each in ended)
    kinds = sorted((str(m.get("datasetName", "")), str(m["type"])) for m in lab.topic.messages)
    assert len(set(kinds)) == len(kinds)
    # What is announced before it ends depends on how fast the machine is.
    assert [kind for kind in kinds if kind[1] != "began"] == [("", "annotation"), ("open", "ended"), ("over", "ended")]
    assert sorted(m["seq"] for m in lab.topic.messages) == list(range(1, len(kinds) + 1))
    assert not list(lab.spool.glob("*.spool"))
    assert bool(list(lab.spool.glob("*.broken"))) == (how != "removed")


def test_a_spool_that_is_damaged_after_the_end_of_its_program_is_written_anew_by_its_companion(lab: Lab) -> None:
    program = IDLE.format(settings=asdict(lab.settings))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        uuid = running.stdout.readline().strip()
        lab.topic.wait_for(lambda m: m["uuid"] == uuid and m["type"] == "began")
        left = companion(running.pid)
        os.kill(left, signal.SIGSTOP)
        running.kill()
        running.wait()
        damage(lab.spool, "overwritten")
        os.kill(left, signal.SIGCONT)
    assert wait_for_last(lab.topic, uuid)["status"] == "interrupted"
    assert list(lab.spool.glob("*.broken"))


def test_an_annotation_follows_a_dataset_that_waits_in_the_spool_of_another_program(lab: Lab, tmp_path: Path) -> None:
    """PathFixer does not answer, so the dataset waits; a person comments it meanwhile, in another program."""
    file = tmp_path / "lab.yaml"
    known = f"Beamline: lab\nTopic: {lab.topic.name}\nKafkaBootstrapServers: {lab.settings.kafka_bootstrap_servers}\n"
    known += f"SpoolDirectory: {lab.spool}\nPathFixer: tango://127.0.0.1:9/b303a-e01/ctl/sdm-01\n"
    file.write_text(known)
    first, second = (RecordingSession(settings_source(file), program=name) for name in ("first", "second"))
    dataset = first.record_snapshot({"datasetName": "waits"})
    assert dataset.observed.wait(PATIENCE)
    assert dataset.snapshot.waits
    second.annotate(dataset.uuid, {"comment": "one"})
    second.annotate(dataset.uuid, {"rating": 2.5})
    first.annotate(dataset.uuid, {"comment": "two"})
    passes = second.record_snapshot({"datasetName": "passes", "proposalId": "20260001"})
    assert wait_for_last(lab.topic, passes.uuid)
    assert not [m for m in lab.topic.messages if m["uuid"] == dataset.uuid]
    os.kill(companion(os.getpid()), signal.SIGKILL)  # what waits is on disk
    file.write_text(f"{known}SendWithoutProposal: true\n")
    for each in (first, second):  # a change is seen with the next dataset
        each.record_snapshot({"datasetName": "next", "proposalId": "20260001"})
    lab.topic.wait_until(lambda messages: sum(m["uuid"] == dataset.uuid for m in messages) == 4)
    about = [(m["type"], m.get("annotation")) for m in lab.topic.messages if m["uuid"] == dataset.uuid]
    assert about[0] == ("snapshot", None)
    assert [each for _, each in about if each in ({"comment": "one"}, {"rating": 2.5})] == [
        {"comment": "one"},
        {"rating": 2.5},
    ]
    assert ("annotation", {"comment": "two"}) in about
    for each in (first, second):
        each.close(PATIENCE)
    assert left_in(lab.spool) == []
    assert sum(m["uuid"] == dataset.uuid for m in lab.topic.messages) == 4
