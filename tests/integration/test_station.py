"""What must hold when the world around a program that records hangs, or was killed."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from deploy.demo.stack import SCIDOG
from scifish.compose import Observed, Record, ending
from scifish.message import Message
from scifish.place import stays_here
from scifish.settings import Settings, save_last_good
from scifish.source import FixedSettings, TangoSettings
from scifish.spool import Kept, Spool, look
from scifish.station import NotRecorded, Station
from tests.tango_system import control_system
from tests.waiting import eventually

ORIGIN = {"host": "h", "program": "killed", "version": "1", "run": "killed-1"}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def settings(tmp_path: Path) -> Settings:
    """Of a beamline whose Kafka is away, so that what is to be sent stays to be looked at."""
    return Settings(
        beamline="lab", topic="scifish-lab", kafka_bootstrap_servers="127.0.0.1:9", spool_directory=str(tmp_path)
    )


def test_a_database_that_hangs_delays_nothing_and_the_program_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with control_system(tmp_path / "system") as stack:
        # By its full name, since another test may have made this process know another database.
        monkeypatch.setattr("scifish.tangodb.DEVICE", stack.name("sys/database/2"))
        monkeypatch.setenv("SCIDOG_DEVICE", SCIDOG)
        stack.db.put_device_property(SCIDOG, {"Beamline": ["cosaxs"]})
        source = TangoSettings()
        known = source.now(5.0)
        assert known is not None
        assert known.beamline == "cosaxs"
        ticks: list[float] = []
        stop = threading.Event()

        def tick() -> None:
            while not stop.wait(0.01):
                ticks.append(time.monotonic())

        ticking = threading.Thread(target=tick)
        (database,) = (p for p in stack.processes.running if p.name == "tango-database")
        os.kill(database.pid, signal.SIGSTOP)
        ticking.start()
        try:
            start = time.monotonic()
            assert source.now(0.5) == known
            assert time.monotonic() - start < 2.0
            time.sleep(1.0)
        finally:
            stop.set()
            ticking.join()
            os.kill(database.pid, signal.SIGCONT)
        # A call that keeps the interpreter's lock would leave a hole as long as its time-out.
        assert max(after - before for before, after in itertools.pairwise(ticks)) < 1.0


def killed(folder: Path, place: Message) -> None:
    """The spool of a program that was killed in the middle of a dataset, before any value was read."""
    spool = Spool(folder / "killed-1.spool", ORIGIN)
    given = {"datasetName": "x", "scientificMetadata": {}}
    record = Record("0d1c950f-5492-5d5f-b66c-f788b18d1ef1", 1.0, given, observed=Observed(place=place))
    spool.begin(Kept.of(record))
    spool.close()


@pytest.mark.parametrize(
    ("place", "sent"),
    [
        ({"proposalId": "20250001", "category": "visitors"}, 1),
        ({"proposalId": "20250002", "category": "proprietary"}, 0),
        ({"proposalId": "IN20250042", "category": ""}, 0),
    ],
)
def test_a_killed_dataset_is_ended_and_a_proprietary_one_stays(tmp_path: Path, place: Message, sent: int) -> None:
    killed(tmp_path, place)
    station = Station(FixedSettings(settings(tmp_path)), program="next")
    orphan = tmp_path / "killed-1.spool"
    try:
        if sent:
            assert eventually(lambda: look(orphan).waiting == 1)
            assert look(orphan).recording == 0
        else:
            assert eventually(lambda: not orphan.exists())  # nothing of it is of use to anybody
    finally:
        station.close()
    assert eventually(lambda: len(list(tmp_path.glob("*.spool"))) == sent)


@pytest.mark.parametrize("given", ["IN20250042", " in20250042", 20250002, "20250002 "])
def test_a_proprietary_proposal_is_known_however_a_program_writes_it(tmp_path: Path, given: object) -> None:
    place = {"proposalId": "20250002", "category": "proprietary"}
    record = Record("u", 1.0, {"proposalId": given}, observed=Observed(place=place))
    assert stays_here(record, settings(tmp_path))


@pytest.mark.parametrize(
    ("place", "stays"),
    [
        ({"proposalId": "20250002", "category": "proprietary"}, True),
        ({"proposalId": "20250002", "category": "visitors"}, False),
        ({"proposalId": "IN20250042", "category": "visitors"}, True),
    ],
)
def test_what_was_measured_before_the_proposal_changed_has_the_category_of_its_own(
    tmp_path: Path, place: Message, stays: bool
) -> None:
    now = {"proposalId": "20250001", "category": "proprietary" if not stays else "visitors"}
    record = Record("u", 1.0, {"place": place}, observed=Observed(place=now))
    assert stays_here(record, settings(tmp_path)) is stays


def test_many_datasets_that_are_over_are_on_disk_together(tmp_path: Path) -> None:
    station = Station(FixedSettings(settings(tmp_path)), program="test")
    records = [
        Record(f"0d1c950f-5492-5d5f-b66c-f788b18d1e{n:02}", 1.0, {}, single=True, ending=ending("completed", 2.0, 0))
        for n in range(50)
    ]
    station.record(records).result(5)
    (file,) = tmp_path.glob("*.spool")
    assert eventually(lambda: look(file).waiting == 50)
    assert look(file).recording == 0
    station.close()


def test_a_comment_of_a_proprietary_proposal_stays(tmp_path: Path) -> None:
    station = Station(FixedSettings(settings(tmp_path)), program="test")
    with pytest.raises(NotRecorded, match="proprietary"):
        station.annotate("0d1c950f-5492-5d5f-b66c-f788b18d1ef1", {"comment": "a secret"}, "IN20250042")
    station.close()


def test_what_a_program_says_while_the_disk_is_full_is_kept_when_it_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = Station(FixedSettings(settings(tmp_path)), program="test")
    said: list[Message] = []
    dataset = station.begin({}, latest=lambda: said.pop() if said else None)
    full = threading.Event()
    full.set()

    def refuse(_: Kept) -> None:
        if full.is_set():
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(station._spool, "begin", refuse)
    station.begin({})
    dataset.point()
    said.append({"datasetName": "said when the disk was full"})
    time.sleep(1.5)  # longer than a pulse
    full.clear()
    (file,) = tmp_path.glob("*.spool")
    db = sqlite3.connect(file)
    statement = "SELECT points, given FROM datasets WHERE uuid = ?"
    assert eventually(lambda: "was full" in db.execute(statement, (dataset.uuid,)).fetchone()[1])
    assert db.execute(statement, (dataset.uuid,)).fetchone()[0] == 1
    db.close()
    station.close()


def test_the_last_good_settings_are_there_before_the_database_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_last_good(settings(tmp_path))
    assert TangoSettings().known() == settings(tmp_path)
