"""The device SciFly in its own server, with files of other vendors' programs."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import tango
from tango import DevState

from deploy.demo import analysers
from deploy.demo.stack import BEAMLINE, PATHFIXER, SCIDOG, SCIFLY, Stack
from scifish.message import Message
from scifish.message.identity import files_uuid
from scifly.journal import Journal, journal_file
from tests.servers.kafka import Kafka
from tests.servers.tango_system import Events, control_system, refusal
from tests.servers.topic import Topic
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first

SES = "{name: ses, settle: 0.3}"
PRODIGY = "{name: prodigy, settle: 0.3}"
DAT = "{name: dat, pattern: '*.dat', settle: 0.3}"
FIRST, SECOND = "20250001", "20250117"


class System:
    """A beamline with a SciFly, and what arrives in its topic."""

    def __init__(self, stack: Stack, kafka: Kafka) -> None:
        self.stack = stack
        self.kafka = kafka
        stack.use_own_topic()
        self.pathfixer_server = stack.start_pathfixer()
        stack.start_scidog(kafka.bootstrap)
        self.server = stack.start_scifly(Profiles=[SES, PRODIGY, DAT])
        self.topic = Topic(kafka.bootstrap, stack.topic)

    @property
    def fly(self) -> tango.DeviceProxy:
        proxy = tango.DeviceProxy(self.stack.name(SCIFLY))
        proxy.set_timeout_millis(int(PATIENCE * 1000))  # a hanging call hangs until the test releases it
        return proxy

    @property
    def pathfixer(self) -> tango.DeviceProxy:
        return tango.DeviceProxy(self.stack.name(PATHFIXER))

    def restart(self, number: int) -> None:
        """Stop SciFly with this signal, and start it again."""
        os.kill(self.server.pid, number)
        assert self.server.wait(PATIENCE) is not None
        self.server = self.stack.run_server("SciFly/demo", [SCIFLY], SCIFLY_COMMAND)

    def with_properties(self, **properties: Sequence[str]) -> tango.DeviceProxy:
        """The device after an Init with these properties."""
        names = list(self.stack.db.get_device_property_list(SCIFLY, "*").value_string)
        self.stack.db.delete_device_property(SCIFLY, {name: [] for name in names})
        self.stack.db.put_device_property(SCIFLY, {"Profiles": [SES, PRODIGY, DAT], **properties})
        self.fly.Init()
        return self.fly

    def at(self, proposal: str, sample: str = "") -> Path:
        """The path of the data, as soon as SciFly watches it."""
        self.pathfixer.Proposal = proposal
        self.pathfixer.Sample = sample
        assert is_in(self.fly, DevState.ON, f"proposal {proposal}")
        assert eventually(lambda: sample == self.fly.Sample)
        return Path(self.pathfixer.SamplePath)

    def record_now(self, path: str | Path) -> str:
        """Call RecordNow. On a busy machine it may time out, with a text that says so; then it is repeated."""
        answers: list[str] = []

        def answered() -> bool:
            try:
                answers.append(self.fly.RecordNow(str(path)))
            except tango.DevFailed as failed:
                if failed.args[0].reason != "SciFly_TimeoutError":
                    raise
            return bool(answers)

        assert eventually(answered)
        return answers[0]

    def snapshot(self, path: Path) -> Message:
        """The message of the measurement of this file."""
        uuid = files_uuid(BEAMLINE, str(path), 0)
        return self.topic.wait_for(lambda message: message["uuid"] == uuid)


SCIFLY_COMMAND = (sys.executable, "-m", "tango_servers.SciFly")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka) -> Iterator[System]:
    with control_system(tmp_path_factory.mktemp("scifly")) as stack:
        found = System(stack, kafka)
        yield found
        found.topic.close()


def is_in(proxy: tango.DeviceProxy, state: DevState, sentence: str = "") -> bool:
    return eventually(lambda: proxy.state() == state and sentence in proxy.status())


def test_it_records_what_the_analysers_write(system: System) -> None:
    fly = system.fly
    assert is_in(fly, DevState.STANDBY, f"{PATHFIXER} has no active proposal: there is nothing to watch")
    folder = system.at(FIRST, "fibre_A")
    assert (fly.WatchedPath, fly.Method, fly.Proposal) == (system.pathfixer.Path, "inotify", FIRST)
    events = Events(fly, "Recorded", "LastFile", "Pending")
    ses = analysers.write_ses(folder, "Ag_0001", pace=0.05)
    prodigy = analysers.write_prodigy(folder, "Survey", pace=0.05)

    found = system.snapshot(ses.with_suffix(""))
    assert (found["type"], found["status"], found["datasetName"]) == ("snapshot", "completed", "Ag_0001")
    assert (found["proposalId"], found["sampleId"], found["sourceFolder"]) == (FIRST, "fibre_A", str(folder))
    assert [(file["path"], file["size"]) for file in found["files"]] == [(str(ses), ses.stat().st_size)]
    region = found["scientificMetadata"]["Region 2 O1s"]
    assert (region["Pass energy"]["value"], region["Pass energy"]["unit"]) == (50, "eV")
    assert found["scientificMetadata"]["Machine"]  # what SciDog configures, too
    found = system.snapshot(prodigy.with_suffix(""))
    assert found["dataFormat"].startswith("SPECS Prodigy")

    assert eventually(lambda: (fly.Recorded, fly.Pending) == (2, 0))
    assert fly.LastRecorded.endswith("Z")
    assert f"The last file, at {fly.LastRecorded}: {os.path.basename(fly.LastFile)}" in fly.status()
    assert fly.LastError == ""
    assert eventually(lambda: fly.Problems == ())
    assert eventually(lambda: ("recorded", 2) in events.seen and ("lastfile", str(prodigy)) in events.seen)
    events.close()


def test_a_file_that_cannot_be_read_is_a_dataset_with_the_reason(system: System) -> None:
    folder = system.at(FIRST, "fibre_A")
    broken = folder / "Ag_0009.txt"
    broken.write_text("Notes of the night shift\n")
    found = system.snapshot(broken.with_suffix(""))
    assert "Ag_0009.txt" in found["warnings"][-1]
    assert eventually(lambda: "Ag_0009.txt" in system.fly.LastError)
    assert (found["status"], len(found["files"])) == ("completed", 1)


def test_a_measurement_started_under_the_old_proposal_keeps_it(system: System) -> None:
    old = system.at(FIRST, "fibre_A")
    (old / "first.dat").write_text("x")
    system.snapshot(old / "first.dat")  # for files that exist when the watch starts, size and time decide
    with (old / "long.dat").open("w") as file:
        file.write("begun")
        file.flush()
        assert eventually(lambda: system.fly.Pending == 1)
        new = system.at(SECOND, "cell_01")
        assert str(old.parent) in system.fly.status()  # it is still being finished
        (new / "short.dat").write_text("x")
        assert system.snapshot(new / "short.dat")["proposalId"] == SECOND
        file.write("and done")
    found = system.snapshot(old / "long.dat")
    assert (found["proposalId"], found["sampleId"], found["files"][0]["size"]) == (FIRST, "fibre_A", 13)


def test_it_continues_without_pathfixer_also_after_a_restart(system: System) -> None:
    folder, fly = system.at(FIRST, "fibre_B"), system.fly
    sentence = f"Its last answer is in use: proposal {FIRST}, sample fibre_B"
    system.pathfixer_server.kill()
    killed = time.time()
    try:
        assert is_in(fly, DevState.ALARM, sentence)
        assert fly.Problems[0].startswith(f"{PATHFIXER}: the device does not answer")
        (folder / "alone.dat").write_text("x")
        assert system.snapshot(folder / "alone.dat")["sampleId"] == "fibre_B"
        (folder / "meanwhile.dat").write_text("x")
        system.restart(signal.SIGKILL)
        assert is_in(system.fly, DevState.ALARM, sentence)
        assert system.fly.WatchedPath == str(folder.parent)
        assert system.snapshot(folder / "meanwhile.dat")["proposalId"] == FIRST
        # Its answer is as old as before: RememberProposalDays do not begin again with each start.
        with closing(Journal(system.stack.folder / "state/scifish/scifly" / journal_file(BEAMLINE).name)) as journal:
            (seen,) = (stay.seen for stay in journal.stays() if stay.left is None)
        assert seen <= killed
    finally:
        system.pathfixer_server = system.stack.run_server("PathFixer/demo", [PATHFIXER])
    assert is_in(system.fly, DevState.ON, FIRST)


@pytest.mark.parametrize("restarted", [False, True], ids=["while it runs", "after a restart"])
def test_nothing_is_recorded_for_a_proposal_that_is_remembered_for_too_long(system: System, restarted: bool) -> None:
    """The rule of SciFish: nothing of an unknown proposal leaves the machine."""
    folder = system.at(FIRST, "fibre_C")
    system.stack.db.put_device_property(SCIDOG, {"RememberProposalDays": ["0"]})
    os.kill(system.pathfixer_server.pid, signal.SIGSTOP)
    file = folder / f"unknown-{restarted}.dat"
    try:
        assert is_in(
            system.fly, DevState.FAULT, f"Nothing is recorded: it is not known whose the files are. {PATHFIXER}"
        )
        assert f"its last answer (proposal {FIRST}, sample fibre_C) is older than 0 days" in system.fly.status()
        if restarted:
            system.restart(signal.SIGTERM)
            assert is_in(system.fly, DevState.FAULT, "it is not known whose the files are")
        file.write_text("x")
        assert (system.fly.WatchedPath, system.fly.Recorded) == ("", 0 if restarted else system.fly.Recorded)
        with pytest.raises(tango.DevFailed) as refused:
            system.fly.RecordNow(str(file))
        assert refusal(refused)[1] == "nothing is watched at the moment: the Status shows the reason"
    finally:
        os.kill(system.pathfixer_server.pid, signal.SIGCONT)
        system.stack.db.delete_device_property(SCIDOG, {"RememberProposalDays": []})
    assert is_in(system.fly, DevState.ON, FIRST)
    assert system.snapshot(file)["proposalId"] == FIRST


def test_clients_do_not_wait_while_pathfixer_hangs(system: System) -> None:
    system.at(FIRST, "fibre_A")
    os.kill(system.pathfixer_server.pid, signal.SIGSTOP)
    try:
        fly = system.fly

        def is_told() -> bool:
            assert (fly.Proposal, fly.Sample) == (FIRST, "fibre_A")
            return bool(fly.state() == DevState.ALARM)

        assert eventually(is_told)
        assert PATHFIXER in fly.Problems[0]
        fly.Stop()
        fly.Start()
        fly.Rescan()
    finally:
        os.kill(system.pathfixer_server.pid, signal.SIGCONT)
    fly.Init()  # otherwise the hanging device is asked again after ten seconds
    assert is_in(fly, DevState.ON, FIRST)


def test_stop_start_and_record_now(system: System) -> None:
    folder, fly = system.at(FIRST, "fibre_A"), system.fly
    fly.Stop()
    assert is_in(fly, DevState.OFF, "Start continues, and records the files written in the meantime")
    assert eventually(lambda: (fly.WatchedPath, fly.Method) == ("", ""))
    (folder / "stopped.dat").write_text("x")
    with pytest.raises(tango.DevFailed) as refused:
        fly.Rescan()
    assert refusal(refused) == ("SciFly_ValueError", "it is stopped: Start checks all files")
    with pytest.raises(tango.DevFailed) as refused:
        fly.RecordNow(str(folder / "stopped.dat"))
    assert refusal(refused) == ("SciFly_ValueError", "nothing is watched at the moment: the Status shows the reason")
    fly.Start()
    assert is_in(fly, DevState.ON)
    assert system.snapshot(folder / "stopped.dat")
    # A file that is still being written, and one that no profile matches.
    with (folder / "open.dat").open("w") as file:
        file.write("half")
        file.flush()
        assert system.record_now(folder / "open.dat") == files_uuid(BEAMLINE, str(folder / "open.dat"), 0)
        assert fly.LastFile == str(folder / "open.dat")
    assert system.snapshot(folder / "open.dat")["files"][0]["size"] == 4
    (folder / "notes.pdf").write_text("x")
    assert system.record_now(folder / "notes.pdf")
    assert system.snapshot(folder / "notes.pdf")["datasetName"] == "notes.pdf"
    for path, reason in {
        "/etc/passwd": "SciFly_ValueError",
        str(folder / "none.dat"): "SciFly_FileNotFoundError",
    }.items():
        with pytest.raises(tango.DevFailed) as refused:
            system.record_now(path)
        assert refusal(refused)[0] == reason
        assert path in refusal(refused)[1]


def test_mistakes_in_the_properties_are_reported(system: System, tmp_path: Path) -> None:
    folder = system.at(FIRST, "fibre_A")
    fly = system.with_properties(Profiles=[DAT, "{name: x}"], Methd=["polling"], CatchUp=["soon"])
    assert is_in(fly, DevState.ALARM, "Profiles, line 2: x: pattern is missing")
    assert "property CatchUp: 'soon' is not a number of seconds" in fly.status()
    assert eventually(lambda: "Methd: a property of this name is not known" in fly.status())
    (folder / "right.dat").write_text("x")
    assert system.snapshot(folder / "right.dat")

    fly = system.with_properties(Folder=["data"])
    assert is_in(fly, DevState.FAULT, "property Folder: 'data' is not the full path of a folder")
    assert "Correct the properties in the Tango database (with jive), then run Init" in fly.status()
    fly = system.with_properties(SciDog=["a/b/c"])
    assert is_in(fly, DevState.FAULT, "property SciDog: a/b/c is in use after a restart of the server")
    away = tmp_path / "away"
    fly = system.with_properties(Folder=[str(away)], Method=["polling"])
    assert is_in(fly, DevState.FAULT, f"{away} does not exist (yet)")
    away.mkdir()
    assert is_in(fly, DevState.ON, f"Watched by polling: {away}\nFiles belong to proposal {FIRST}, sample fibre_A")
    (away / "fixed.dat").write_text("x")
    assert system.snapshot(away / "fixed.dat")["proposalId"] == FIRST
    system.with_properties()
    assert is_in(fly, DevState.ON, str(folder.parent))


def test_jive_can_show_what_each_property_and_attribute_is_for(system: System) -> None:
    server = tango.DeviceProxy(system.stack.name("dserver/SciFly/demo"))
    answer = iter(server.QueryWizardDevProperty("SciFly"))
    documented = {name: text for name, text, _ in zip(answer, answer, answer, strict=True)}
    assert set(documented) == {"Profiles", "PathFixer", "SciDog", "Folder", "Method", "CatchUp", "TimeZone"}
    assert all(len(text) > 20 for text in documented.values())
    infos = [info for info in system.fly.attribute_list_query() if info.name not in ("State", "Status")]
    assert len(infos) == 12
    assert all(len(info.description) > 15 for info in infos)


# ------------------------------------------------------------------------------ faults

OPEN = 10


class Writer(threading.Thread):
    """Writes measurements like a fast program, some by renaming, into the current folder, until `done` is set."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.done = threading.Event()
        self.written: list[Path] = []

    def run(self) -> None:
        while not self.done.wait(0.01):
            number = len(self.written)
            path = self.folder / f"burst_{number:04}.dat"
            first = path.with_suffix(".tmp") if number % 2 else path
            first.write_text("x" * number)
            first.rename(path)
            self.written.append(path)


@pytest.mark.long
def test_killed_in_a_burst_while_kafka_is_away_and_the_path_changes(system: System) -> None:
    """Each measurement is exactly one dataset, of the proposal under which it was started."""
    chance = random.Random(7)
    old = system.at(FIRST, "fibre_A")
    if system.kafka.restartable:
        system.kafka.stop()
    begun = [(old / f"begun_{number}.dat").open("w") for number in range(OPEN)]
    for file in begun:
        file.write("half")
        file.flush()
    writer = Writer(old)
    writer.start()
    for turn in range(3):
        time.sleep(chance.uniform(0.1, 0.8))
        system.restart(signal.SIGKILL)
        if turn == 1:
            system.pathfixer.Proposal = SECOND
            writer.folder = Path(system.pathfixer.SamplePath)
    for file in begun:
        file.close()
    writer.done.set()
    writer.join()
    if system.kafka.restartable:
        system.kafka.start()
    expected = {files_uuid(BEAMLINE, str(path), 0): path for path in [*writer.written, *(Path(f.name) for f in begun)]}
    assert eventually(lambda: system.fly.Pending == 0)
    # The next start sends the spool of a killed server; a running one checks for it every five minutes.
    system.restart(signal.SIGTERM)
    system.topic.wait_until(lambda messages: expected.keys() <= {message["uuid"] for message in messages}, 3 * PATIENCE)
    folder = Path(system.pathfixer.SamplePath)
    (folder / "after it all.dat").write_text("x")
    system.snapshot(folder / "after it all.dat")
    system.topic.take_what_is_there()
    found: dict[str, list[Message]] = {}
    for message in system.topic.messages:
        if {"burst", "begun"} & {message.get("datasetName", "")[:5]}:
            found.setdefault(message["uuid"], []).append(message)
    assert [path for uuid, path in expected.items() if uuid not in found] == [], system.fly.status()
    assert found.keys() == expected.keys()
    for uuid, messages in found.items():
        path = expected[uuid]
        proposal = FIRST if path.is_relative_to(old) else SECOND
        for message in messages:  # the same dataset again, if it was killed between sending it and noting that
            assert (message["proposalId"], message["files"][0]["path"]) == (proposal, str(path))
            assert message["files"][0]["size"] == path.stat().st_size
            assert message.get("revision", 0) == 0
    assert {message["proposalId"] for messages in found.values() for message in messages} == {FIRST, SECOND}
    assert sum(map(len, found.values())) <= len(expected) + 3 * 200  # at most one batch per kill


def test_a_restarted_server_continues_where_it_stopped(system: System) -> None:
    folder = system.at(FIRST, "fibre_A")
    (folder / "before.dat").write_text("x")
    system.snapshot(folder / "before.dat")
    system.restart(signal.SIGTERM)
    (folder / "after.dat").write_text("x")
    system.snapshot(folder / "after.dat")
    system.topic.take_what_is_there()
    for name in ("before.dat", "after.dat"):
        assert len(system.topic.of(files_uuid(BEAMLINE, str(folder / name), 0))) == 1
    assert "Traceback" not in system.server.text
