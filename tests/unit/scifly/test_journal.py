"""The journal of SciFly, after kills, on a full disk, and damaged."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scifly.journal import Journal, journal_file
from scifly.model import JournalFile, Measurement, ProposalContext, ProposalPeriod

PLACE = ProposalContext("20250001", "A", "visitors")
NAME = os.fsdecode(b"/raw/not \xff UTF-8")
MEASUREMENT = Measurement("u1", NAME, 0, "/raw", "ses", PLACE)


def file(
    name: str = f"{NAME}.txt", size: int = 1, inode: int = 7, uuid: str = "u1", settled: bool = False
) -> JournalFile:
    return JournalFile(name, uuid, size, 2_000_000_000, inode, 2.0, settled)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lab.journal"


def test_found_files_are_still_to_be_recorded_after_a_crash(path: Path) -> None:
    Journal(path).found([(MEASUREMENT, [file(), file(f"{NAME}.ibw")])])
    journal = Journal(path)
    ((measurement, files),) = journal.unfinished()
    assert measurement == MEASUREMENT
    assert {known.path for known in files} == {f"{NAME}.txt", f"{NAME}.ibw"}
    assert journal.known([f"{NAME}.txt", "/raw/other"]) == {f"{NAME}.txt": file()}
    journal.close()


def test_recorded_files_are_in_the_journal(path: Path) -> None:
    journal = Journal(path)
    journal.found([(MEASUREMENT, [file()])])
    journal.recorded([(replace(MEASUREMENT, started=5.0), [file()])])
    assert journal.unfinished() == []
    assert journal.latest(NAME) == replace(MEASUREMENT, started=5.0, recordings=1)
    assert journal.known([f"{NAME}.txt"])[f"{NAME}.txt"].settled
    journal.close()


@pytest.mark.parametrize("mtime_ns", [-(2**70), 2**63, 2**70])
def test_a_file_may_have_any_time_and_any_inode(path: Path, mtime_ns: int) -> None:
    file = JournalFile.of("/raw/x.txt", 1, mtime_ns, 2**64 - 1)
    journal = Journal(path)
    journal.found([(MEASUREMENT, [file])])
    assert journal.known([file.path])[file.path].is_like(file)
    journal.close()


def test_a_late_file_is_to_be_recorded_and_the_recorded_ones_are_kept(path: Path) -> None:
    journal = Journal(path)
    journal.found([(MEASUREMENT, [file()])])
    journal.recorded([(MEASUREMENT, [file()])])
    # The first has changed meanwhile; what it was is needed to tell what has become of it.
    journal.found([(MEASUREMENT, [file(size=9, inode=8), file(f"{NAME}.ibw")])])
    ((_, files),) = journal.unfinished()
    assert {known.path: (known.size, known.settled) for known in files} == {
        f"{NAME}.txt": (1, True),
        f"{NAME}.ibw": (1, False),
    }
    journal.close()


def test_a_new_generation_takes_the_files(path: Path) -> None:
    journal = Journal(path)
    journal.found([(MEASUREMENT, [file()])])
    journal.recorded([(MEASUREMENT, [file()])])
    second = replace(MEASUREMENT, uuid="u2", generation=1)
    journal.renewed([(second, [file(inode=8)])])
    assert journal.latest(NAME) == second
    assert journal.files_of("u1") == []
    assert [known.inode for known in journal.files_of("u2")] == [8]
    assert [found for found, _ in journal.unfinished()] == [second]
    journal.close()


def test_files_deleted_before_the_recording_are_forgotten(path: Path) -> None:
    journal = Journal(path)
    journal.found([(MEASUREMENT, [file(), file(f"{NAME}.ibw")])])
    journal.forget("u1", [f"{NAME}.txt"])
    assert journal.latest(NAME) is not None
    journal.forget("u1", [f"{NAME}.ibw"])
    assert journal.latest(NAME) is None
    assert journal.unfinished() == []
    journal.close()


def test_the_proposal_periods(path: Path) -> None:
    journal = Journal(path)
    journal.stay(ProposalPeriod("/raw", PLACE, 10.0, 10.0))
    journal.seen(15.0)
    journal.stay(ProposalPeriod("/raw", ProposalContext("20250001", "B", "visitors"), 20.0, 20.0))
    journal.stay(ProposalPeriod(NAME, PLACE, 25.0, 25.0))
    journal.leave("/raw", 28.0, 30.0)
    journal.seen(40.0)
    assert [(stay.root, stay.place.sample, stay.since, stay.seen, stay.left) for stay in journal.stays()] == [
        ("/raw", "A", 10.0, 15.0, 20.0),
        ("/raw", "B", 20.0, 28.0, 30.0),
        (NAME, "A", 25.0, 40.0, None),
    ]
    journal.close()


def test_a_damaged_journal_is_renamed_and_reported(path: Path) -> None:
    path.write_bytes(b"this was a database once" * 500)
    journal = Journal(path)
    assert "was damaged" in journal.trouble
    assert "it is kept as lab.broken" in journal.trouble
    assert (path.parent / "lab.broken").read_bytes().startswith(b"this was")
    journal.found([(MEASUREMENT, [file()])])
    assert len(journal.unfinished()) == 1
    journal.close()


def test_a_journal_damaged_in_use_is_renamed_and_reported(path: Path) -> None:
    journal = Journal(path)
    journal.found([(replace(MEASUREMENT, uuid=f"u{n}", path=f"/raw/{n}"), []) for n in range(2000)])
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    journal = Journal(path)
    age = journal.age
    journal.found([(MEASUREMENT, [file()])])
    assert journal.age == age + 1
    assert [measurement.uuid for measurement, _ in journal.unfinished()] == ["u1"]
    journal.close()


def test_a_full_disk_changes_nothing_and_is_raised(path: Path) -> None:
    journal = Journal(path)
    journal.found([(MEASUREMENT, [file()])])
    journal._db.execute("PRAGMA max_page_count=1")  # SQLite refuses as a full disk does
    many = [(replace(MEASUREMENT, uuid=f"v{n}", path=f"/raw/{n}"), [file(f"/raw/{n}.txt")]) for n in range(500)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        journal.found(many)
    assert [measurement.uuid for measurement, _ in journal.unfinished()] == ["u1"]
    journal._db.execute("PRAGMA max_page_count=1000000")
    journal.found(many)
    assert len(journal.unfinished()) == 501
    journal.close()


WRITER = """
import sys
from pathlib import Path
from scifly.journal import Journal
from scifly.model import JournalFile, Measurement
from scifly.model import ProposalContext
journal = Journal(Path(sys.argv[1]))
for n in range(1_000_000):
    one = Measurement(f"u{n}", f"/raw/{n}", 0, "/raw", "ses", ProposalContext())
    file = JournalFile(f"/raw/{n}.txt", one.uuid, 1, 2, 3, None, False)
    journal.found([(one, [file])])
    journal.recorded([(one, [file])])
    print(n, flush=True)
"""


def test_a_confirmed_write_is_there_after_a_kill(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) > 50:
                break
        process.send_signal(signal.SIGKILL)
        last = [int(line), *map(int, process.stdout.read().split())][-1]
    journal = Journal(path)
    recorded = [n for n in range(last + 3) if (one := journal.latest(f"/raw/{n}")) is not None and one.recordings]
    assert len(recorded) in (last + 1, last + 2)
    assert journal.trouble == ""
    journal.close()


def test_two_processes_have_it_open(path: Path) -> None:
    first, second = Journal(path), Journal(path)
    first.found([(MEASUREMENT, [file()])])
    second.recorded([(MEASUREMENT, [file()])])
    assert first.latest(NAME) == second.latest(NAME) == replace(MEASUREMENT, recordings=1)
    first.close()
    second.close()


def test_it_is_in_the_accounts_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert journal_file("cosaxs") == tmp_path / "scifish" / "scifly" / "cosaxs.journal"
