"""The spool: what is on disk stays there, whatever happens to the program."""

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scifish.companion.scidog_reports import shortage
from scifish.dataset.compose import Observed, Record
from scifish.settings.identity import Identity
from scifish.spool import database as database_module
from scifish.spool import executor as executor_module
from scifish.spool import unconfirmed
from scifish.spool.database import OpenDatasetRow, Spool, SpoolLocked, as_text, orphans, rename_damaged
from scifish.spool.executor import SpoolExecutor
from scifish.spool.inspection import summarise
from tests.paths import ROOT
from tests.spools import adopted
from tests.waiting import PATIENCE, eventually

ORIGIN = {"host": "h", "program": "p", "version": "1", "run": "run-1"}
IDENTITY = Identity("/etc/scifish.yaml", "lab", "scifish-lab", "127.0.0.1:9")


def message(uuid: str = "u1", **more: Any) -> dict[str, Any]:
    return {"uuid": uuid, "type": "ended", "scientificMetadata": {}, **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run-1.spool"


def test_seq_has_no_gap_and_goes_on_in_the_next_program(path: Path) -> None:
    spool = Spool(path, ORIGIN)
    assert spool.put("t", message()) == [1]
    assert spool.put("t", message()) == [2]
    spool.delivered([1, 2])
    spool.begin(OpenDatasetRow.of(Record("u2", 1.0, {})))  # so that it is not empty, and stays
    spool.close()
    again = Spool(path)
    assert again.origin == ORIGIN
    assert again.put("t", message()) == [3]
    assert [json.loads(waiting.message)["seq"] for waiting in again.waiting(10)] == [3]
    again.delivered([3])
    again.forget("u2")
    again.close()
    assert list(path.parent.iterdir()) == []


def test_the_parts_of_a_long_message_are_put_together_or_not_at_all(path: Path) -> None:
    spool = Spool(path, ORIGIN)
    files = [{"path": f"/{'x' * 90}{n}", "time": "T", "size": 1} for n in range(10_000)]
    spool.begin(OpenDatasetRow.of(Record("u1", 1.0, {})))
    seqs = spool.put("t", message(files=files), closes="u1")
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) > 1
    assert spool.open_datasets() == []
    spool.close()


def test_a_failure_in_the_middle_changes_nothing(path: Path) -> None:
    spool = Spool(path, ORIGIN)
    spool.begin(OpenDatasetRow.of(Record("u1", 1.0, {})))
    with pytest.raises(ValueError, match="Out of range float"):
        spool.put("t", message(value=float("nan")), closes="u1")
    assert spool.count() == 0
    assert len(spool.open_datasets()) == 1
    assert spool.put("t", message()) == [1]
    spool.close()


def test_an_open_dataset_comes_back_as_it_was_kept(path: Path) -> None:
    spool = Spool(path, ORIGIN)
    spool.begin(OpenDatasetRow.of(Record("u1", 5.0, {"datasetName": "a"})))
    spool.save_observed("u1", as_text({"place": {"proposalId": "2025"}, "values": None, "warnings": ["w"]}))
    spool.progress({"u1": (7, None)})
    (left,) = spool.open_datasets()
    assert (left.record.given, left.record.observed.place) == ({"datasetName": "a"}, {"proposalId": "2025"})
    assert (left.record.ending, left.points) == (None, 7)
    spool.end("u1", None, as_text({"status": "completed", "endTime": 6.0, "points": 8}))
    (left,) = spool.open_datasets()
    assert left.record.ending == {"status": "completed", "endTime": 6.0, "points": 8}
    spool.close()


def test_what_kafka_refuses_is_set_aside_and_does_not_hold_up_the_others(path: Path) -> None:
    spool = Spool(path, ORIGIN)
    spool.put("t", message("u1"))
    spool.put("t", message("u2"))
    spool.refuse({1: "too large"})
    assert [waiting.uuid for waiting in spool.waiting(10)] == ["u2"]
    assert summarise(path).refused == [(1, "u1", "too large")]
    spool.close()
    assert path.exists()


def test_one_program_has_a_spool_and_an_orphan_is_taken_once(path: Path) -> None:
    spool = Spool(path, ORIGIN)
    spool.put("t", message())
    with pytest.raises(SpoolLocked):
        Spool(path)
    assert adopted(path.parent) == []
    assert summarise(path).alive
    spool.close()
    assert not summarise(path).alive
    (taken,) = adopted(path.parent)
    assert adopted(path.parent) == []
    taken.close()


def test_a_damaged_spool_is_put_aside_and_a_new_one_takes_what_comes(path: Path) -> None:
    spool = Spool(path, ORIGIN, identity=IDENTITY)
    spool.put("t", message())
    path.write_bytes(b"this is not a database" * 500)
    path.with_name(f"{path.name}-wal").unlink()
    spool._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    assert spool.put("t", message()) == [2]  # so that the first one is missed
    assert path.with_suffix(".broken").exists()
    assert (spool.origin, spool.identity) == (ORIGIN, IDENTITY)
    spool.close()
    (again,) = adopted(path.parent)
    assert (again.origin, again.identity, again.count()) == (ORIGIN, IDENTITY, 1)
    again.close()


def test_no_number_is_used_twice_by_an_account_that_cannot_note_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(path, ORIGIN)
    spool.put("t", message())
    spool.close()
    (left,) = adopted(path.parent)
    owner = path.stat().st_uid
    monkeypatch.setattr(database_module.os, "geteuid", lambda: owner + 1)
    assert left.put("t", message()) == [2]
    left.leave()
    (again,) = adopted(path.parent)
    damage(again)
    assert again.put("t", message()) == [3]
    again.leave()


def test_a_late_report_of_damage_concerns_no_newer_file(path: Path) -> None:
    spool = Spool(path, ORIGIN)
    reported = spool.inode
    assert reported == path.stat().st_ino
    spool.start_new_file(sqlite3.DatabaseError("malformed"))
    assert spool.inode != reported  # also before the next access
    spool.put("t", message())
    assert spool.inode == path.stat().st_ino
    spool.leave()


def damage(spool: Spool) -> None:
    """SQLite's error is then of the class that says of a file that it is damaged."""
    spool._db.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)


def test_a_damaged_spool_is_replaced_only_when_a_new_one_is_complete(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that takes no new file for a while: nothing of what is given meanwhile is dropped."""
    monkeypatch.setattr(executor_module, "DISK_RETRY_SECONDS", 0.05)
    spool = Spool(path, ORIGIN, identity=IDENTITY)
    executor = SpoolExecutor(path.parent)
    executor.submit_retrying(lambda: spool.put("t", message("u1"))).result(PATIENCE)
    full = threading.Event()
    full.set()
    steps = itertools.count()
    really = Spool._fill

    def fill(*arguments: Any) -> bool:
        if full.is_set():
            next(steps)
            raise sqlite3.OperationalError("database or disk is full")
        return really(*arguments)

    monkeypatch.setattr(Spool, "_fill", fill)
    executor.submit(lambda: damage(spool)).result(PATIENCE)
    written = [executor.submit_retrying(lambda n=n: spool.put("t", message(f"u{n}"))) for n in (2, 3)]  # type: ignore[misc]
    assert eventually(lambda: "disk is full" in executor.trouble)
    assert eventually(lambda: next(steps) > 6)
    assert not any(future.done() for future in written)
    assert not list(path.parent.glob("*.broken"))
    full.clear()
    assert [future.result(PATIENCE) for future in written] == [[2], [3]]
    assert executor.submit(lambda: [waiting.uuid for waiting in spool.waiting(9)]).result() == ["u2", "u3"]
    assert executor.trouble == executor.lost == ""
    assert executor.stop(PATIENCE, spool.close)


def test_a_new_file_that_cannot_be_opened_at_once_is_opened_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "DISK_RETRY_SECONDS", 0.05)
    spool = Spool(path, ORIGIN)
    executor = SpoolExecutor(path.parent)
    executor.submit(lambda: damage(spool)).result(PATIENCE)
    errors = [sqlite3.OperationalError("disk I/O error")] * 3
    really = Spool._connect

    def connect(spool: Spool) -> sqlite3.Connection:
        if errors:
            raise errors.pop()
        return really(spool)

    monkeypatch.setattr(Spool, "_connect", connect)
    assert executor.submit_retrying(lambda: spool.put("t", message("u1"))).result(PATIENCE) == [1]
    assert errors == []
    assert executor.submit(spool.count).result(PATIENCE) == 1
    assert executor.stop(PATIENCE, spool.close)


@pytest.mark.parametrize("gone", ["", "-wal", "both"])
def test_a_spool_that_is_removed_under_its_program_is_written_anew_with_all_that_was_in_it(
    path: Path, gone: str
) -> None:
    spool = Spool(path, ORIGIN, identity=IDENTITY)
    spool.put("t", message("u1"), message("u1"))
    spool.delivered([1])
    spool.begin(OpenDatasetRow.of(Record("open", 1.0, {"datasetName": "x"})))
    spool.check_file()
    first = path.stat().st_ino
    for name in ("", "-wal") if gone == "both" else (gone,):
        path.with_name(path.name + name).unlink()
    spool.check_file()
    second = path.stat().st_ino
    spool.check_file()
    assert first != second == path.stat().st_ino
    assert spool.put("t", message("u2")) == [3]
    spool.close()
    (again,) = adopted(path.parent)
    assert [waiting.seq for waiting in again.waiting(9)] == [2, 3]
    assert [dataset.record.given for dataset in again.open_datasets()] == [{"datasetName": "x"}]
    assert (again.origin, again.identity) == (ORIGIN, IDENTITY)
    assert not list(path.parent.glob("*.broken"))
    again.close()


def test_a_spool_that_is_truncated_is_written_anew_with_what_is_open_and_a_gap(path: Path) -> None:
    spool = Spool(path, ORIGIN)
    row = OpenDatasetRow.of(Record("open", 1.0, {"datasetName": "x"}))
    spool.open_rows = lambda: [row]
    spool.begin(row)
    spool.put("t", message("u1"), message("u1"))
    spool.check_file()
    with path.open("r+b") as file:
        file.truncate(0)
    spool.check_file()
    assert spool.put("t", message("u2")) == [3]
    assert [dataset.record.uuid for dataset in spool.open_datasets()] == ["open"]
    assert path.with_suffix(".broken-wal").exists()  # all that can be salvaged
    spool.close()


@pytest.fixture
def pair(path: Path) -> Iterator[tuple[Spool, Spool]]:
    """One file as a program and its companion have it."""
    mine = Spool(path, ORIGIN)
    companion = Spool(path, lock=os.dup(mine.lock))
    mine.check_file()
    yield mine, companion
    companion.leave()
    mine.close()


@pytest.mark.parametrize("how", ["truncated", "removed"])
def test_the_companion_writes_into_a_new_file_what_only_it_knows(pair: tuple[Spool, Spool], how: str) -> None:
    mine, companion = pair
    values = {"Ring current": {"value": 250.0, "unit": "mA", "human_name": "", "source": "", "time": ""}}
    began, ended = Record("open", 1.0, {}), Record("over", 1.0, {}, ending={"status": "completed", "endTime": 2.0})
    mine.open_rows = lambda: [OpenDatasetRow.of(began)]
    companion.open_rows = lambda: [
        OpenDatasetRow.of(replace(each, observed=Observed(values=values))) for each in (began, ended)
    ]
    mine.put("t", message("comment of a user"))
    for uuid in ("first", "second", "confirmed"):
        companion.put("t", message(uuid))
    companion.delivered([4])
    companion.refuse({2: "too large"})
    assert not companion.follow()
    if how == "truncated":
        os.truncate(mine.path, 0)
    else:
        mine.path.unlink()
    for each in (mine, companion):
        each.set_limit(10_000_000)
    mine.check_file()
    companion.put("t", message("into the file that is gone"))
    assert companion.follow()
    assert not companion.follow()
    assert mine.put("t", message("later")) == [6]
    for each in (mine, companion):
        assert each._db.execute("PRAGMA max_page_count").fetchone() == (10_000_000 // 4096,)
    has = [(each.seq, each.uuid) for each in (*companion.waiting(9), *companion.refused(9))]
    first = [(1, "comment of a user"), (2, "first"), (3, "second"), (5, "into the file that is gone"), (6, "later")]
    assert sorted(has) == first
    assert {each.record.uuid: each.record.observed.values for each in mine.open_datasets()} == {
        "open": values,
        "over": values,
    }
    companion.delivered([1, 2, 3, 5, 6])
    for each in ("open", "over"):
        companion.forget(each)


def test_the_messages_beyond_what_is_kept_in_memory_follow_when_some_are_confirmed(
    pair: tuple[Spool, Spool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unconfirmed, "MAX_UNCONFIRMED_BYTES", 3_000)
    _, companion = pair
    companion.put("t", *(message(str(number), text="x" * 900) for number in range(6)))
    companion.put("t", message("last", text="x" * 900))
    kept = lambda: [row[0] for row in companion._unconfirmed or ()]  # noqa: E731
    assert kept() == [1, 2, 3]
    assert caplog.text.count("from number 4 on they are on disk only") == 1
    companion.delivered([1, 2, 3])
    companion.follow()
    assert kept() == [4, 5, 6]
    companion.delivered([4, 5, 6])
    companion.follow()
    assert kept() == [7]
    companion.delivered([7])
    assert kept() == []


def test_an_orphan_with_a_damaged_page_is_put_aside_when_it_is_found(path: Path) -> None:
    spool = Spool(path, ORIGIN)
    spool.put("t", *(message(f"u{n}", text="x" * 3000) for n in range(50)))
    spool.close()
    content = bytearray(path.read_bytes())
    content[100_000:110_000] = b"\xff" * 10_000
    path.write_bytes(content)
    assert adopted(path.parent) == []
    assert path.with_suffix(".broken").exists()


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_lock_file_that_is_removed_or_replaced_lets_nobody_adopt_the_spool(path: Path, how: str) -> None:
    spool = Spool(path, ORIGIN)
    spool.put("t", message())
    lock, first = path.with_suffix(".lock"), spool.lock
    lock.unlink()
    if how == "replaced":
        lock.write_text("")
    # Before it is noticed: SQLite's locks are those of a process, so it takes another one to ask for them.
    adopt = f"from pathlib import Path; from tests.spools import adopted; print(adopted(Path({str(path.parent)!r})))"
    done = subprocess.run([sys.executable, "-c", adopt], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    spool.check_file()
    assert spool.lock != first
    with pytest.raises(SpoolLocked):
        Spool(path)
    assert spool.put("t", message()) == [2]
    spool.delivered([1, 2])
    spool.close()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("how", ["emptied", "without its -wal"])
def test_an_orphan_that_has_lost_what_was_written_is_put_aside_and_not_deleted(path: Path, how: str) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.kill()
    if how == "emptied":
        os.truncate(path, 0)
    path.with_name(f"{path.name}-wal").unlink()
    assert adopted(path.parent) == []
    assert path.with_suffix(".broken").exists()


def test_what_is_put_aside_is_whole_and_not_put_over_what_was(path: Path) -> None:
    for count in (1, 2):
        path.write_bytes(b"damaged %d" % count)
        path.with_name(f"{path.name}-wal").write_bytes(b"newest %d" % count)
        rename_damaged(path)
    found = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    first, second = path.stem, f"{path.stem}-2"
    assert found == {
        f"{first}.broken": b"damaged 1",
        f"{first}.broken-wal": b"newest 1",
        f"{second}.broken": b"damaged 2",
        f"{second}.broken-wal": b"newest 2",
    }


def test_one_bad_orphan_does_not_hide_the_others(path: Path) -> None:
    for name in ("a", "c"):
        spool = Spool(path.with_name(f"{name}.spool"), ORIGIN)
        spool.put("t", message())
        spool.close()
    path.with_name("b.spool").write_bytes(b"this is not a database" * 500)
    found = adopted(path.parent)
    assert [spool.path.stem for spool in found] == ["a", "c"]
    assert path.with_name("b.broken").exists()
    for spool in found:
        spool.close()


def test_a_spool_of_another_account_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        spool = Spool(path.with_name(f"{name}.spool"), ORIGIN)
        spool.put("t", message())
        spool.close()
    really = database_module._take_lock

    def take(lock: Path) -> int:
        if lock.stem == "a":  # root, as whom tests may run, is refused nothing
            raise PermissionError(13, "Permission denied", str(lock))
        return really(lock)

    monkeypatch.setattr(database_module, "_take_lock", take)
    monkeypatch.setattr(database_module.os, "geteuid", lambda: os.stat(path.parent).st_uid + 1)
    (found,), (left,) = orphans(path.parent, lambda spool: "")
    assert (found.path.stem, left.path.stem) == ("b", "a")
    assert "belongs to the account" in left.why
    found.close()
    running = really(left.path.with_suffix(".lock"))  # its program has it: it is no orphan
    assert [each.path.stem for each in orphans(path.parent, lambda spool: "no")[1]] == ["b"]
    os.close(running)


WRITER = """
import sys
from pathlib import Path
from scifish.spool.database import Spool
spool = Spool(Path(sys.argv[1]), {"host": "h", "program": "p", "version": "1", "run": "r"})
for number in range(1_000_000):
    spool.put("t", {"uuid": str(number), "scientificMetadata": {}})
    print(number, flush=True)
"""


def test_what_a_call_returned_from_survives_sigkill(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = -1
        while said < 50:
            said = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            said = int(line)
    (spool,) = adopted(path.parent)
    waiting = spool.waiting(10_000)
    assert [entry.uuid for entry in waiting[: said + 1]] == [str(number) for number in range(said + 1)]
    assert [entry.seq for entry in waiting] == list(range(1, len(waiting) + 1))
    spool.close()


class SpoolMachine(RuleBasedStateMachine):
    """Any order of puts, deliveries, refusals and crashes: nothing is lost, and no seq is used twice."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "r.spool"
        self.spool = Spool(self.path, ORIGIN)
        self.expected: dict[int, str] = {}
        self.last = 0

    @rule(uuid=st.text("abc", min_size=1, max_size=3))
    def put(self, uuid: str) -> None:
        (seq,) = self.spool.put("t", message(uuid))
        assert seq == self.last + 1
        self.last = seq
        self.expected[seq] = uuid

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        if self.expected:
            some = data.draw(st.lists(st.sampled_from(sorted(self.expected)), unique=True))
            self.spool.delivered(some)
            for seq in some:
                del self.expected[seq]

    @rule()
    def close_and_open(self) -> None:
        self.spool.begin(OpenDatasetRow.of(Record("keeps the file", 1.0, {})))
        self.spool.close()
        self.spool = Spool(self.path)

    @invariant()
    def all_is_there_in_order(self) -> None:
        found = [(entry.seq, entry.uuid) for entry in self.spool.waiting(1000)]
        assert found == sorted(self.expected.items())

    def teardown(self) -> None:
        self.spool.close()
        self.folder.cleanup()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=15, stateful_step_count=15)


# --------------------------------------------------------------------------- the executor


def test_the_executor_keeps_order_and_answers() -> None:
    executor = SpoolExecutor()
    done: list[int] = []
    for number in range(100):
        executor.submit_retrying(lambda number=number: done.append(number))  # type: ignore[misc]
    executor.submit_and_wait(lambda: done.append(100))
    assert done == list(range(101))
    assert executor.stop(PATIENCE)


def test_a_disk_that_refuses_costs_the_caller_no_time_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "DISK_RETRY_SECONDS", 0.01)
    full = threading.Event()
    full.set()
    written: list[str] = []

    def write(what: str) -> None:
        if full.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        written.append(what)

    executor = SpoolExecutor()
    monkeypatch.setattr(executor_module, "DISK_WAIT_SECONDS", 0.01)
    executor.submit_and_wait(lambda: write("first"))
    monkeypatch.setattr(executor_module, "DISK_WAIT_SECONDS", 3600.0)  # waited for once
    executor.submit_and_wait(lambda: write("second"))
    assert eventually(lambda: "disk is full" in executor.trouble)
    full.clear()
    executor.submit_retrying(lambda: None).result(PATIENCE)
    assert written == ["first", "second"]
    assert executor.trouble == ""
    assert executor.stop(PATIENCE)


def test_what_makes_room_does_not_wait_for_what_the_disk_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "DISK_RETRY_SECONDS", 3600.0)
    room: list[int] = []
    written: list[str] = []

    def write(what: str) -> None:
        if not room:
            raise sqlite3.OperationalError("database or disk is full")
        written.append(what)

    executor = SpoolExecutor()
    first = executor.submit_retrying(lambda: write("first"))
    second = executor.submit_retrying(lambda: write("second"))
    assert executor.submit(lambda: list(written)).result(PATIENCE) == []
    executor.submit_urgent(lambda: room.append(1)).result(PATIENCE)
    first.result(PATIENCE)
    second.result(PATIENCE)
    assert written == ["first", "second"]
    assert executor.stop(PATIENCE)


def test_what_the_disk_refused_has_another_try_before_the_spool_is_let_go_of() -> None:
    room = threading.Event()
    done: list[str] = []

    def write() -> None:
        if not room.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        done.append("written")

    executor = SpoolExecutor()
    executor.submit_and_wait(write)
    threading.Timer(0.5, room.set).start()
    assert executor.stop(PATIENCE, lambda: done.append("let go"))
    assert done == ["written", "let go"]


def test_room_that_could_not_be_made_at_once_is_not_reported_once_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "DISK_RETRY_SECONDS", 0.01)
    locked = [sqlite3.OperationalError("database is locked")]

    def forget() -> None:
        if locked:
            raise locked.pop()

    executor = SpoolExecutor()
    executor.submit_urgent(forget).result(PATIENCE)
    executor.submit(lambda: None).result(PATIENCE)
    assert executor.trouble == ""
    assert executor.stop(PATIENCE)


def test_a_spool_takes_no_more_than_its_limit_and_can_still_be_emptied(path: Path) -> None:
    spool = Spool(path, ORIGIN)
    spool.set_limit(200_000)
    taken = []
    while spool.size() < 180_000:
        taken += spool.put("t", message("u1", text="x" * 10_000))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        spool.put("t", message("u1", text="x" * 30_000))
    assert spool.size() <= 200_000
    spool.delivered(taken)
    assert spool.size() < 100_000
    assert spool.put("t", message("next")) == [len(taken) + 1]
    spool.delivered([len(taken) + 1])
    spool.close()
    assert list(path.parent.iterdir()) == []


def test_what_is_getting_short_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scifish.companion.scidog_reports.MIN_FREE_BYTES", 0)
    assert shortage(tmp_path, 79, 100) == ""
    assert "SpoolLimit" in shortage(tmp_path, 80_000_000, 100_000_000)
    monkeypatch.setattr("scifish.companion.scidog_reports.MIN_FREE_BYTES", 1 << 62)
    assert str(tmp_path) in shortage(tmp_path, 0, 100)
    with pytest.raises(OSError, match="No such file"):
        shortage(tmp_path / "gone", 0, 100)


def test_a_disk_that_hangs_costs_the_first_caller_only(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    executor = SpoolExecutor()
    monkeypatch.setattr(executor_module, "DISK_WAIT_SECONDS", 0.01)
    executor.submit_and_wait(hangs.wait)
    assert executor.trouble
    monkeypatch.setattr(executor_module, "DISK_WAIT_SECONDS", 3600.0)
    executor.submit_and_wait(lambda: None)
    hangs.set()
    executor.submit_retrying(lambda: None).result(PATIENCE)
    assert executor.trouble == ""
    assert executor.stop(PATIENCE)


def test_a_question_is_asked_once_and_its_error_is_its_own() -> None:
    def fail() -> None:
        raise OSError("no such folder")

    executor = SpoolExecutor()
    with pytest.raises(OSError, match="no such folder"):
        executor.submit(fail).result(PATIENCE)
    assert executor.trouble == ""
    assert executor.stop(PATIENCE)


def test_a_mistake_of_ours_goes_to_the_caller_and_the_next_entry_is_written() -> None:
    executor = SpoolExecutor()
    with pytest.raises(KeyError):
        executor.submit_retrying(lambda: {}["x"]).result(PATIENCE)
    executor.submit_and_wait(lambda: {}["x"])  # and not to a measurement
    assert executor.submit(lambda: 1).result(PATIENCE) == 1
    assert executor.stop(PATIENCE)
