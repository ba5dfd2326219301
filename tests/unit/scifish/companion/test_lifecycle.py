"""What is done behind a measurement, with a spool on disk and a Kafka that is away."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scifish.attributes.reader import Reading
from scifish.attributes.snapshot import AttributeSnapshot, SnapshotCache
from scifish.cli import describe
from scifish.companion.supervisor import Supervisor
from scifish.dataset import compose
from scifish.dataset.compose import Observed, Record, ending
from scifish.message import Message, check
from scifish.message.types import Image
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from scifish.spool.database import OpenDatasetRow, Spool, SpoolBroken
from scifish.spool.inspection import summarise
from scifish.spool.protocol import Begin, DamageReport, End, Report, SnapshotReport
from scifish.spool.sender import Sender
from tests.spools import under
from tests.waiting import PATIENCE, eventually

ORIGIN = {"host": "h", "program": "p", "version": "1", "run": "run-1"}
UUIDS = [f"0d1c950f-5492-5d5f-b66c-f788b18d1ef{n}" for n in range(10)]
SETTINGS = Settings(beamline="lab", topic="scifish-lab", kafka_bootstrap_servers="127.0.0.1:9")

Start = Callable[[], Supervisor]


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("scifish.companion.supervisor.SUPERVISION_SECONDS", 0.05)
    monkeypatch.setattr("scifish.companion.supervisor.THREAD_STOP_SECONDS", 0.1)
    return Spool(tmp_path / "run-1.spool", ORIGIN)


@pytest.fixture
def reports() -> list[Report]:
    return []


@pytest.fixture
def start(spool: Spool, reports: list[Report]) -> Iterator[Start]:
    supervisors: list[Supervisor] = []

    def begin() -> Supervisor:
        supervisors.append(Supervisor(FixedSettings(SETTINGS), spool, [], reports.append))
        return supervisors[-1]

    yield begin
    for supervisor in supervisors:
        supervisor.shut_down(0.0, finish=False)


def turns(supervisor: Supervisor, count: int = 3) -> bool:
    """Whether it looks so often at what is to be done."""
    seen: list[int] = []
    really = supervisor._supervise

    def beat() -> None:
        really()
        seen.append(1)

    supervisor._supervise = beat  # type: ignore[method-assign]
    return eventually(lambda: len(seen) >= count)


MALFORMED = "database disk image is malformed"
COMPLETED = json.dumps(ending("completed", 2.0, 5))


def kept(uuid: str, over: bool = False, announced: bool = False) -> OpenDatasetRow:
    end = ending("completed", 2.0, 5) if over else None
    given = {"datasetName": "x", "scientificMetadata": {}}
    return OpenDatasetRow.of(Record(uuid, 1.0, given, ending=end), announced)


def messages(spool: Spool) -> list[Message]:
    found = [json.loads(waiting.message) for waiting in spool.waiting(100)]
    for one in found:
        check(one)
    return found


def said(supervisor: Supervisor, spool: Spool, count: int) -> list[tuple[str, str]]:
    """Type and uuid of the messages, when there are `count` of them."""
    assert eventually(lambda: supervisor.executor.submit(spool.count).result() >= count)
    return [(found["type"], found["uuid"]) for found in supervisor.executor.submit(lambda: messages(spool)).result()]


def test_its_commands_become_messages(start: Start, spool: Spool, reports: list[Report]) -> None:
    supervisor = start()
    begun = kept(UUIDS[0], announced=True)
    supervisor.executor.submit_retrying(lambda: spool.begin(begun)).result()
    supervisor.handle(Begin(begun))
    assert said(supervisor, spool, 1) == [("began", UUIDS[0])]
    supervisor.handle(End(begun.uuid, json.dumps(ending("stopped", 3.0, 7)), None))
    assert said(supervisor, spool, 2)[1] == ("ended", UUIDS[0])
    assert supervisor.executor.submit(spool.open_states).result() == []
    assert any(isinstance(report, SnapshotReport) and report.uuid == UUIDS[0] for report in reports)


def test_what_is_over_at_once_is_one_message(start: Start, spool: Spool) -> None:
    supervisor = start()
    begun = kept(UUIDS[0], announced=True)
    supervisor.executor.submit_retrying(lambda: spool.begin(begun)).result()
    supervisor.handle(Begin(begun))
    supervisor.handle(End(begun.uuid, json.dumps(ending("stopped", 3.0, 7)), None))
    assert said(supervisor, spool, 1) == [("ended", UUIDS[0])]
    # A later report about another one comes after all reports about this one.
    supervisor.handle(Begin(kept(UUIDS[1], announced=True)))
    assert said(supervisor, spool, 2) == [("ended", UUIDS[0]), ("began", UUIDS[1])]


def test_attributes_that_are_pictures_are_the_datasets_pictures(
    start: Start, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    image: Image = {"caption": "Cameras: x", "uri": "data:image/png;base64,AAAA"}
    monkeypatch.setattr("scifish.companion.lifecycle.read_snapshot", lambda *_: AttributeSnapshot(pictures=[image]))
    supervisor = start()
    over = kept(UUIDS[0], over=True)
    supervisor.executor.submit_retrying(lambda: spool.begin(over)).result()
    supervisor.handle(Begin(over))
    assert said(supervisor, spool, 2) == [("ended", UUIDS[0]), ("annotation", UUIDS[0])]
    (_, annotation) = supervisor.executor.submit(lambda: messages(spool)).result()
    assert annotation["annotation"] == {"image": image}


def test_lost_commands_are_found_in_the_spool(start: Start, spool: Spool) -> None:
    spool.begin(kept(UUIDS[0], over=True))
    supervisor = start()
    assert said(supervisor, spool, 1) == [("ended", UUIDS[0])]
    # Later, with the line lost on its way.
    supervisor.executor.submit_retrying(lambda: spool.begin(kept(UUIDS[1], announced=True))).result()
    assert said(supervisor, spool, 2)[1] == ("began", UUIDS[1])
    supervisor.executor.submit_retrying(lambda: spool.end(UUIDS[1], None, COMPLETED)).result()
    assert said(supervisor, spool, 3)[2] == ("ended", UUIDS[1])


def test_an_annotation_and_a_later_recording_of_its_dataset_do_not_wait_for_each_other(
    start: Start, spool: Spool
) -> None:
    place = {"proposalId": "20260001"}
    for uuid, given in {
        UUIDS[1]: {"annotation": {"comment": "one"}},
        UUIDS[2]: {"revision": 1, "datasetName": "x", "scientificMetadata": {}, "place": place},
        UUIDS[3]: {"annotation": {"comment": "two"}},
    }.items():
        over = ending("completed", 2.0, None)
        spool.begin(OpenDatasetRow.of(Record(uuid, 1.0, {"dataset": UUIDS[0], **given}, single=True, ending=over)))
    supervisor = start()
    about = [("snapshot", UUIDS[0]), ("annotation", UUIDS[0]), ("annotation", UUIDS[0])]
    assert said(supervisor, spool, 3) == about
    found = supervisor.executor.submit(lambda: messages(spool)).result()
    assert [each["annotation"]["comment"] for each in found[1:]] == ["one", "two"]


@pytest.mark.parametrize("access", ["delivered", "waiting"])
def test_damage_of_an_adopted_spool_puts_it_aside_and_holds_up_nothing(
    start: Start, spool: Spool, reports: list[Report], access: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = spool.path.with_name("run-0.spool")
    left = Spool(path, {**ORIGIN, "run": "run-0"}, identity=under(SETTINGS))
    left.put("t", {"uuid": UUIDS[0], "type": "ended", "scientificMetadata": {}})
    left.close()
    inode = spool.path.stat().st_ino
    supervisor = start()
    supervisor._orphans.take_over()
    adopted = next(each for each in supervisor._sender.spools if each is not spool)

    def damage() -> None:
        adopted._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = adopted._db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'outbox'").fetchone()
        spoil(path, (page - 1) * 4096, b"no page of a table")
        adopted._db.execute("PRAGMA shrink_memory")

    supervisor.executor.submit(damage).result()
    # The sender, which has read it before, meets it first, or the tasks here.
    if access == "delivered":
        freed = supervisor.executor.submit_urgent(lambda: adopted.delivered([1]))
        assert isinstance(freed.exception(PATIENCE), SpoolBroken)
    else:
        supervisor._sender.read_again()
    assert eventually(lambda: supervisor._sender.spools == [spool])
    assert path.with_suffix(".broken").exists()
    assert not path.exists()
    assert "malformed" in caplog.text
    supervisor.executor.submit_retrying(lambda: spool.begin(kept(UUIDS[1], over=True))).result(PATIENCE)
    assert said(supervisor, spool, 1) == [("ended", UUIDS[1])]
    assert eventually(lambda: [each.path.name for each in supervisor.left] == ["run-0.broken"])
    assert not supervisor.executor.trouble + supervisor.executor.lost
    assert spool.path.stat().st_ino == inode
    assert not [report for report in reports if isinstance(report, DamageReport)]


def spoil(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_a_comment_on_what_another_program_cannot_send_is_said_to_wait(start: Start, spool: Spool) -> None:
    other = Spool(spool.path.with_name("run-0.spool"), ORIGIN)  # its program runs
    other.put("t", {"uuid": UUIDS[0], "type": "ended", "scientificMetadata": {}})
    other.refuse({1: "too large"})
    comment = Record(UUIDS[1], 1.0, {"dataset": UUIDS[0], "annotation": {"comment": "x"}}, True)
    spool.begin(OpenDatasetRow.of(replace(comment, ending=ending("completed", 1.0, None))))
    start()
    assert eventually(lambda: "1 annotations wait until" in summarise(spool.path).trouble)
    found = summarise(spool.path)
    assert (found.recording, found.annotations, found.unsent) == (0, 1, 1)
    lines = "\n".join(describe(found, time.time()))
    assert "1 annotations wait until their datasets are sent" in lines
    assert "being recorded" not in lines
    other.leave()


def test_what_waits_is_saved_also_while_another_trouble_is_shown_and_in_a_new_file(
    start: Start, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scifish.companion.supervisor.shortage", lambda *_: "the disk is nearly full")
    monkeypatch.setattr(Sender, "_set_trouble", lambda *_: None)  # what librdkafka says changes
    supervisor = start()
    assert eventually(lambda: supervisor._reported_trouble == "the disk is nearly full")
    monkeypatch.setattr(supervisor, "_unknown_proposals", lambda: "1 datasets wait on this machine")
    assert eventually(lambda: "1 datasets wait" in summarise(spool.path).trouble)
    malformed = sqlite3.DatabaseError(MALFORMED)
    supervisor.executor.submit(lambda: spool.start_new_file(malformed)).result(PATIENCE)
    assert eventually(lambda: "1 datasets wait" in summarise(spool.path).trouble)


def test_damage_that_a_check_does_not_find_is_reported_to_the_program(
    spool: Spool, tmp_path: Path, reports: list[Report]
) -> None:
    for uuid in UUIDS[:2]:
        spool.begin(kept(uuid))
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # The index names row 99 in place of row 2: SQLite notices that when it looks for the uuid.
    entry = spool.path.read_bytes().index(UUIDS[1].encode() + b"\2")
    spoil(spool.path, entry, UUIDS[1].encode() + b"\x63")
    spool._db.execute("PRAGMA shrink_memory")
    assert spool._db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    spool.shared = True
    supervisor = Supervisor(FixedSettings(SETTINGS), spool, [], reports.append)
    try:
        supervisor.handle(End(UUIDS[1], COMPLETED, None))
        assert eventually(lambda: DamageReport(MALFORMED, spool.path.stat().st_ino) in reports)
    finally:
        supervisor.shut_down(0.0, finish=False)


def test_a_spool_that_is_let_go_of_a_little_later_is_taken_over_soon(
    spool: Spool, tmp_path: Path, reports: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scifish.companion.supervisor.FIRST_ORPHAN_CHECK_SECONDS", 0.5)
    (tmp_path / "left").mkdir()
    left = Spool(
        tmp_path / "left" / "run-0.spool", ORIGIN, identity=under(SETTINGS)
    )  # a killed program's, with its companion still at it
    left.begin(kept(UUIDS[0]))
    supervisor = Supervisor(FixedSettings(SETTINGS), spool, [left.path.parent], reports.append)
    try:
        assert eventually(supervisor._orphans.checked.is_set)
        left.close()
        assert eventually(lambda: summarise(left.path).recording == 0)
    finally:
        supervisor.shut_down(0.0, finish=False)


def test_what_an_earlier_companion_has_seen_is_not_seen_again(start: Start, spool: Spool) -> None:
    values = compose.as_given({"scientificMetadata": {"energy": 12.4}}, 1.0, "p")["scientificMetadata"]
    record = Record(UUIDS[0], 1.0, {"datasetName": "x"}, observed=Observed({}, values, []))
    spool.begin(OpenDatasetRow.of(record))
    supervisor = start()
    supervisor.executor.submit_retrying(lambda: spool.end(UUIDS[0], None, COMPLETED)).result()
    said(supervisor, spool, 1)
    (ended,) = supervisor.executor.submit(lambda: messages(spool)).result()
    assert ended["scientificMetadata"]["energy"]["value"] == 12.4


def test_a_repeated_command_that_is_on_disk_too_makes_one_dataset(start: Start, spool: Spool) -> None:
    supervisor = start()
    begun = kept(UUIDS[0])
    supervisor.executor.submit_retrying(lambda: spool.begin(begun)).result()
    for _ in range(3):
        supervisor.handle(Begin(begun))
        supervisor.handle(End(begun.uuid, json.dumps(ending("stopped", 3.0, 7)), None))
    # A disk that takes the beginning only when all is over.
    said(supervisor, spool, 1)
    supervisor.executor.submit_retrying(lambda: spool.begin(begun)).result()
    assert eventually(lambda: supervisor.executor.submit(spool.open_states).result() == [])
    assert said(supervisor, spool, 1) == [("ended", UUIDS[0])]


def test_what_cannot_be_composed_stays_on_disk_and_holds_up_nothing(
    start: Start, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    really = compose.ended

    def ended(record: Record, *more: object) -> Message:
        if record.uuid == UUIDS[0]:
            raise KeyError("a mistake of ours")
        return really(record, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(compose, "ended", ended)
    spool.begin(kept(UUIDS[0], over=True))
    spool.begin(kept(UUIDS[1], over=True))
    supervisor = start()
    assert said(supervisor, spool, 1) == [("ended", UUIDS[1])]
    assert eventually(lambda: f"dataset {UUIDS[0]} cannot be finished" in caplog.text)
    assert turns(supervisor)
    assert UUIDS[0] in str(supervisor.executor.submit(spool.open_states).result())


def test_when_the_program_is_gone_what_is_open_is_interrupted(
    start: Start, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.begin(kept(UUIDS[0]))
    spool.progress({UUIDS[0]: (4, json.dumps({"datasetName": "y"}))})
    supervisor = start()
    monkeypatch.setattr(supervisor._sender, "waiting", lambda timeout: 0)  # what waits for Kafka is not waited for
    monkeypatch.setattr("scifish.companion.supervisor.SPOOL_REPLY_SECONDS", PATIENCE)
    supervisor.shut_down(PATIENCE, finish=True)
    again = Spool(tmp_path / "run-1.spool", lock=spool.lock)
    (ended,) = messages(again)
    assert (ended["status"], ended["numberOfPoints"], ended["datasetName"]) == ("interrupted", 4, "y")
    assert again.open_states() == []


DATASET = "5f6a1a52-3c0f-5d6b-9a63-1c7d0f0f4a11"


def of_files(uuid: str, revision: int, values: Message | None) -> OpenDatasetRow:
    """One recording of a dataset that is recorded again when a file comes late."""
    place = {"proposalId": "20250001", "sampleId": "", "category": "visitors"}
    given = {"dataset": DATASET, "revision": revision, "place": place, "datasetName": f"x{revision}"}
    record = Record(uuid, 1.0, given, single=True, observed=Observed(values=values), ending=ending("completed", 2.0, 0))
    return OpenDatasetRow.of(record)


def test_a_dataset_that_is_recorded_again_is_sent_in_that_order(
    start: Start, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = start()
    slow = threading.Event()
    monkeypatch.setattr(supervisor._lifecycle._snapshots, "read", lambda settings: slow.wait() and AttributeSnapshot())
    first, second = of_files(UUIDS[0], 0, None), of_files(UUIDS[1], 1, {})
    for begun in (first, second):
        supervisor.executor.submit_retrying(lambda begun=begun: spool.begin(begun)).result()  # type: ignore[misc]
        supervisor.handle(Begin(begun))
    # The second has nothing to read, and waits all the same.
    assert turns(supervisor)
    assert supervisor.executor.submit(spool.count).result() == 0
    slow.set()
    assert said(supervisor, spool, 2) == [("snapshot", DATASET), ("snapshot", DATASET)]
    found = supervisor.executor.submit(lambda: messages(spool)).result()
    assert [(one["datasetName"], one.get("revision")) for one in found] == [("x0", None), ("x1", 1)]
    assert supervisor.executor.submit(spool.open_states).result() == []
    assert supervisor._lifecycle._latest == {}


def test_what_the_program_knows_of_the_place_is_not_mixed_with_what_pathfixer_says_now(
    start: Start, spool: Spool
) -> None:
    supervisor = start()
    begun = of_files(UUIDS[0], 0, {})
    begun = replace(begun, observed=json.dumps({"place": {"proposalId": "IN20250002", "sampleId": "secret"}}))
    supervisor.executor.submit_retrying(lambda: spool.begin(begun)).result()
    supervisor.handle(Begin(begun))
    said(supervisor, spool, 1)
    (found,) = supervisor.executor.submit(lambda: messages(spool)).result()
    assert (found["proposalId"], found["sampleId"]) == ("20250001", "")


class SilentPathFixer:
    """In place of the reader of Tango attributes. `says` is a proposal and a category when it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.says: tuple[str, str] | None = None
        self.away = ""
        """A PathFixer that does not answer, whatever this one says."""
        monkeypatch.setattr("scifish.attributes.reader.Reader.read", self.read)

    def read(self, sources: Collection[str], timeout: float) -> dict[str, Reading]:
        if self.says is None or (self.away and all(source.startswith(self.away) for source in sources)):
            return {source: Reading(None, 0.0, error="no answer") for source in sources}
        values = dict(zip(("Proposal", "Type"), self.says, strict=True))
        return {source: Reading(values.get(source.rsplit("/", 1)[1], ""), 0.0) for source in sources}


@pytest.fixture
def pathfixer(monkeypatch: pytest.MonkeyPatch) -> SilentPathFixer:
    monkeypatch.setattr("scifish.companion.late_proposals.ASK_AGAIN_SECONDS", 0.1)
    return SilentPathFixer(monkeypatch)


def record_one(supervisor: Supervisor, spool: Spool, settings: Settings, started: float, **given: str) -> None:
    supervisor._settings = supervisor._lifecycle._settings = FixedSettings(settings)
    record = Record(UUIDS[0], started, {"datasetName": "x", "scientificMetadata": {}, **given})  # type: ignore[typeddict-item]
    row = OpenDatasetRow.of(record, announced=True)
    supervisor.executor.submit_retrying(lambda: spool.begin(row)).result()
    supervisor.handle(Begin(row))
    supervisor.handle(End(row.uuid, json.dumps(ending("completed", started + 1, 5)), None))


WITH_PATHFIXER = replace(SETTINGS, path_fixer="b/ctl/pathfixer")


@pytest.mark.parametrize(
    ("says", "sent"),
    [(("20250001", "visitors"), True), (("IN20250042", ""), False), (("20250003", "proprietary"), False)],
)
def test_a_dataset_whose_proposal_is_not_known_waits_until_pathfixer_answers(
    start: Start, spool: Spool, pathfixer: SilentPathFixer, reports: list[Report], says: tuple[str, str], sent: bool
) -> None:
    supervisor = start()
    record_one(supervisor, spool, WITH_PATHFIXER, time.time())
    assert eventually(lambda: "1 datasets wait on this machine until b/ctl/pathfixer answers" in supervisor.trouble())
    assert turns(supervisor, 10)
    assert supervisor.executor.submit(spool.count).result() == 0
    assert any(isinstance(report, SnapshotReport) and report.waits for report in reports)
    # Also somebody who does not see the program's log.
    assert eventually(lambda: "until b/ctl/pathfixer answers" in summarise(spool.path).trouble)
    assert summarise(spool.path).unsent == 1
    assert "until b/ctl/pathfixer answers" in describe(summarise(spool.path), 0.0)[1]
    pathfixer.says = says
    assert eventually(lambda: supervisor.executor.submit(spool.open_states).result() == [])
    found = supervisor.executor.submit(lambda: messages(spool)).result()
    assert [(one["type"], one["proposalId"]) for one in found] == ([("ended", says[0])] if sent else [])
    assert not sent or "b/ctl/pathfixer did not answer then" in found[0]["warnings"][-1]


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        (replace(WITH_PATHFIXER, send_without_proposal=True), {}),
        (SETTINGS, {}),  # a beamline without PathFixer
        (WITH_PATHFIXER, {"proposalId": "20250001"}),
    ],
    ids=["as it is set", "without PathFixer", "as the program knows it"],
)
def test_a_dataset_does_not_wait_for_a_proposal_that_it_does_not_need(
    start: Start, spool: Spool, pathfixer: SilentPathFixer, settings: Settings, given: dict[str, str]
) -> None:
    supervisor = start()
    record_one(supervisor, spool, settings, time.time(), **given)
    assert ("ended", UUIDS[0]) in said(supervisor, spool, 1)


def test_an_answer_that_comes_much_later_is_not_the_proposal_of_then(
    start: Start, spool: Spool, pathfixer: SilentPathFixer
) -> None:
    supervisor = start()
    record_one(supervisor, spool, WITH_PATHFIXER, time.time() - 8 * 86_400)
    assert eventually(lambda: "1 datasets wait on this machine" in supervisor.trouble())
    pathfixer.says = ("20250001", "visitors")
    assert eventually(lambda: supervisor._lifecycle.late_proposals._questions[WITH_PATHFIXER.path_fixer].answered > 0)
    assert turns(supervisor)
    assert supervisor.executor.submit(spool.count).result() == 0


def test_a_dataset_that_a_killed_program_has_left_waits_for_its_proposal_too(
    spool: Spool, tmp_path: Path, pathfixer: SilentPathFixer, reports: list[Report]
) -> None:
    (tmp_path / "left").mkdir()
    left = Spool(tmp_path / "left" / "run-0.spool", ORIGIN, identity=under(WITH_PATHFIXER))
    left.begin(OpenDatasetRow.of(Record(UUIDS[0], time.time(), {"datasetName": "x", "scientificMetadata": {}})))
    left.close()
    supervisor = Supervisor(FixedSettings(WITH_PATHFIXER), spool, [left.path.parent], reports.append)
    try:
        assert eventually(lambda: "1 datasets wait on this machine" in supervisor.trouble())
        assert supervisor.flush(0.0, lambda left: None) == 1
        pathfixer.says = ("20250001", "visitors")
        assert eventually(lambda: summarise(left.path).waiting == 1)
        assert summarise(left.path).recording == 0
    finally:
        supervisor.shut_down(0.0, finish=False)


def test_whose_it_is_the_pathfixer_says_that_its_own_program_asked(
    spool: Spool, tmp_path: Path, pathfixer: SilentPathFixer, reports: list[Report]
) -> None:
    """A beamline can have several. All other settings of the two programs are the same."""
    others = replace(WITH_PATHFIXER, path_fixer="b/ctl/pathfixer-2")
    (tmp_path / "left").mkdir()
    left = Spool(tmp_path / "left" / "run-0.spool", ORIGIN, identity=under(others))
    left.begin(OpenDatasetRow.of(Record(UUIDS[0], time.time(), {"datasetName": "x", "scientificMetadata": {}})))
    left.close()
    pathfixer.says, pathfixer.away = ("20250001", "visitors"), others.path_fixer
    supervisor = Supervisor(FixedSettings(WITH_PATHFIXER), spool, [left.path.parent], reports.append)
    try:
        assert eventually(lambda: "1 datasets wait on this machine until b/ctl/pathfixer-2" in supervisor.trouble())
        assert turns(supervisor, 10)
        assert summarise(left.path).waiting == 0
        pathfixer.says, pathfixer.away = ("IN20250042", ""), ""
        assert eventually(lambda: summarise(left.path).recording == 0 if left.path.exists() else True)
        assert not left.path.exists() or summarise(left.path).waiting == 0
    finally:
        supervisor.shut_down(0.0, finish=False)


def test_attributes_are_read_once_for_all_files_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scifish.attributes.snapshot.SNAPSHOT_SHARED_SECONDS", PATIENCE)
    reads: list[list[str]] = []
    all_ask = threading.Event()

    class Slow:
        def read_settled(self, sources: list[str], timeout: float) -> dict[str, Reading]:
            all_ask.wait()
            reads.append(sources)
            return {source: Reading(1.0, 2.0) for source in sources}

        def without_units(self, sources: list[str]) -> list[str]:
            return []

    lately = SnapshotCache(Slow())  # type: ignore[arg-type]
    settings = replace(SETTINGS, configs={"c": ("- {name: current, source: a/b/c/current}",)}, active_config="c")
    found: list[AttributeSnapshot] = []
    threads = [threading.Thread(target=lambda: found.append(lately.read(settings))) for _ in range(20)]
    for thread in threads:
        thread.start()
    all_ask.set()
    for thread in threads:
        thread.join()
    assert reads == [["a/b/c/current"]]
    assert {(seen.values["current"]["value"], seen.count) for seen in found} == {(1.0, 1)}
    lately.read(replace(settings, active_config=""))  # another configuration is in use by now
    assert len(reads) == 2
