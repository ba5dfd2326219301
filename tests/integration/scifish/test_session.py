"""What must hold when the world around a program that records hangs, or was killed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.stack import SCIDOG
from scifish.dataset.compose import Observed, Record, ending
from scifish.dataset.proprietary import stays_here
from scifish.message import Message
from scifish.recording.session import NotRecorded, RecordingSession
from scifish.settings import Settings, read_properties, save_last_good
from scifish.settings.sources import FixedSettings, TangoSettings
from scifish.spool.database import OpenDatasetRow, Spool
from scifish.spool.inspection import summarise
from tests.servers.stopped import stopped
from tests.servers.tango_system import control_system
from tests.spools import under
from tests.waiting import PATIENCE, eventually

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
        monkeypatch.setattr("scifish.tango_io.database.DATABASE_DEVICE", stack.name("sys/database/2"))
        monkeypatch.setenv("SCIDOG_DEVICE", SCIDOG)
        stack.db.put_device_property(SCIDOG, {"Beamline": ["cosaxs"]})
        source = TangoSettings()
        known = source.now(PATIENCE)
        assert known is not None
        assert known.beamline == "cosaxs"
        called, turns = threading.Event(), 0

        def read(*given: Any) -> Mapping[str, Sequence[str]]:
            called.set()
            try:
                return read_properties(*given)
            finally:
                called.clear()

        def goes_on() -> bool:
            """Whether this program has had three turns within one call of the database: 3 s, until it is given up."""
            nonlocal turns
            turns = turns + 1 if called.is_set() else 0
            source.now(0.0)  # asks again when that was over
            return turns >= 3

        monkeypatch.setattr("scifish.settings.sources.read_properties", read)
        (database,) = (p for p in stack.processes.running if p.name == "tango-database")
        with stopped(database.pid):
            assert source.now(0.5) == known
            # A call that keeps the interpreter's lock would leave no turn to this thread.
            assert eventually(goes_on)


PLACES: list[Message] = [
    {"proposalId": "20250001", "category": "visitors"},
    {"proposalId": "20250002", "category": "proprietary"},
    {"proposalId": "IN20250042", "category": ""},
]


def killed(folder: Path, number: int, place: Message) -> Path:
    """The spool of a program that was killed in the middle of a dataset, before any value was read."""
    who = {**ORIGIN, "run": f"killed-{number}"}
    spool = Spool(folder / f"killed-{number}.spool", who, identity=under(settings(folder)))
    given = {"datasetName": "x", "scientificMetadata": {}}
    record = Record(f"0d1c950f-5492-5d5f-b66c-f788b18d1ef{number}", 1.0, given, observed=Observed(place=place))
    spool.begin(OpenDatasetRow.of(record))
    spool.close()
    return spool.path


def test_killed_datasets_are_ended_and_proprietary_ones_stay(tmp_path: Path) -> None:
    sent, *stay = (killed(tmp_path, number, place) for number, place in enumerate(PLACES))
    session = RecordingSession(FixedSettings(settings(tmp_path)), program="next")
    try:
        assert eventually(lambda: summarise(sent).waiting == 1)
        assert summarise(sent).recording == 0
        assert eventually(lambda: not any(path.exists() for path in stay))  # nothing of these is of use to anybody
    finally:
        session.close()
    assert eventually(lambda: list(tmp_path.glob("*.spool")) == [sent])


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
    session = RecordingSession(FixedSettings(settings(tmp_path)), program="test")
    records = [
        Record(f"0d1c950f-5492-5d5f-b66c-f788b18d1e{n:02}", 1.0, {}, single=True, ending=ending("completed", 2.0, 0))
        for n in range(50)
    ]
    session.record(records).result(PATIENCE)
    (file,) = tmp_path.glob("*.spool")
    assert eventually(lambda: summarise(file).waiting == 50)
    assert summarise(file).recording == 0
    session.close()


def test_a_comment_of_a_proprietary_proposal_stays(tmp_path: Path) -> None:
    session = RecordingSession(FixedSettings(settings(tmp_path)), program="test")
    with pytest.raises(NotRecorded, match="proprietary"):
        session.annotate("0d1c950f-5492-5d5f-b66c-f788b18d1ef1", {"comment": "a secret"}, "IN20250042")
    session.close()


def test_what_a_program_says_while_the_disk_is_full_is_kept_when_it_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scifish.recording.session.PROGRESS_SECONDS", 0.05)
    session = RecordingSession(FixedSettings(settings(tmp_path)), program="test")
    said: list[Message] = []
    pulses: list[int] = []
    store_progress = session._store_progress

    def pulse() -> None:
        store_progress()
        pulses.append(1)

    monkeypatch.setattr(session, "_store_progress", pulse)
    dataset = session.begin({}, latest=lambda: said.pop() if said else None)
    full = threading.Event()
    full.set()

    def refuse(_: OpenDatasetRow) -> None:
        if full.is_set():
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(session._spool, "begin", refuse)
    session.begin({})
    dataset.point()
    said.append({"datasetName": "said when the disk was full"})
    so_far = len(pulses)
    assert eventually(lambda: len(pulses) > so_far + 2)
    assert said  # not asked for, as it could not be kept
    full.clear()
    (file,) = tmp_path.glob("*.spool")
    db = sqlite3.connect(file)
    statement = "SELECT points, given FROM datasets WHERE uuid = ?"
    assert eventually(lambda: "was full" in db.execute(statement, (dataset.uuid,)).fetchone()[1])
    assert db.execute(statement, (dataset.uuid,)).fetchone()[0] == 1
    db.close()
    session.close()


def test_a_disk_that_refuses_the_spool_at_the_start_costs_no_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    refuses = threading.Event()
    refuses.set()
    tried: list[Path] = []

    def opened(path: Path, *arguments: Any, **named: Any) -> Spool:
        tried.append(path)
        if refuses.is_set():
            raise sqlite3.OperationalError("disk I/O error")
        return Spool(path, *arguments, **named)

    monkeypatch.setattr("scifish.recording.session.Spool", opened)
    session = RecordingSession(FixedSettings(settings(tmp_path / "spool")), program="test")
    dataset = session.begin({"datasetName": "open"})
    for number in range(8):
        session.begin({"datasetName": f"d{number}"}).end("completed")
    assert eventually(lambda: f"no spool can be created in {tmp_path / 'spool'}: disk I/O error" in session.trouble())
    assert "kept in memory" in session.trouble()
    with pytest.raises(TimeoutError):
        session.waiting(PATIENCE)
    assert eventually(lambda: len(tried) >= 6)  # two folders at a time
    refuses.clear()
    assert eventually(lambda: session.trouble() == "" and bool(list((tmp_path / "spool").glob("*.spool"))))
    (file,) = (tmp_path / "spool").glob("*.spool")
    assert eventually(lambda: summarise(file).waiting >= 8 and summarise(file).recording == 1)
    dataset.end("completed")
    assert eventually(lambda: summarise(file).recording == 0)
    session.close()


def test_a_folder_that_a_person_has_to_change_is_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"no spool can be created in .*file/spool: .*Not a directory"):
        RecordingSession(FixedSettings(settings(tmp_path / "file" / "spool")), program="test")


def test_the_last_good_settings_are_there_before_the_database_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_last_good(settings(tmp_path))
    assert TangoSettings().known() == settings(tmp_path)
