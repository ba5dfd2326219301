"""Scans that were recorded are known to the next program, and the file of them does not grow forever."""

from __future__ import annotations

from pathlib import Path

import pytest

from scifish.recording import recorded_scans
from scifish.recording.recorded_scans import RecordedScan, RecordedScans
from tests.waiting import eventually

SCAN = RecordedScan(12, 1796018325.6218896, "11111111-2222-3333-4444-555555555555", "door/demo/1")


def lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines() if file.exists() else []


def test_the_next_program_knows_them_exactly(tmp_path: Path) -> None:
    file = tmp_path / "state" / "scans.jsonl"
    RecordedScans(file).add(SCAN)
    assert eventually(lambda: len(lines(file)) == 1)
    assert RecordedScans(file).known() == {(12, 1796018325.6218896): SCAN}


def test_a_line_that_was_cut_costs_only_itself(tmp_path: Path) -> None:
    file = tmp_path / "scans.jsonl"
    RecordedScans(file).add(SCAN)
    assert eventually(lambda: len(lines(file)) == 1)
    file.write_text('{"serialno": 1\n[]\n{"serialno": "x", "startts": 1, "uuid": "", "door": ""}\n' + file.read_text())
    assert list(RecordedScans(file).known().values()) == [SCAN]


def test_the_file_does_not_grow_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_scans, "MAX_RECORDED_SCANS", 3)
    scans, file = RecordedScans(tmp_path / "scans.jsonl"), tmp_path / "scans.jsonl"
    for number in range(10):
        scans.add(SCAN._replace(serialno=number))
    assert eventually(lambda: lines(file)[-1:] and '"serialno": 9' in lines(file)[-1])
    assert eventually(lambda: 3 <= len(lines(file)) <= 6)
    assert len(scans.known()) == len(lines(file))  # memory has no others


def test_a_disk_that_refuses_costs_nothing_in_this_program(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    scans = RecordedScans(tmp_path / "state" / "scans.jsonl")
    scans.add(SCAN)
    assert list(scans.known().values()) == [SCAN]


def test_the_file_is_not_read_after_each_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read_lines = RecordedScans._lines
    monkeypatch.setattr(RecordedScans, "_lines", lambda self: reads.append(1) or read_lines(self))
    scans, file = RecordedScans(tmp_path / "scans.jsonl"), tmp_path / "scans.jsonl"
    for number in range(20):
        scans.add(SCAN._replace(serialno=number))
    assert eventually(lambda: len(lines(file)) == 20)
    assert len(reads) == 1


def test_a_thread_that_cannot_start_or_fails_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans, file = RecordedScans(tmp_path / "scans.jsonl"), tmp_path / "scans.jsonl"

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(recorded_scans.threading.Thread, "start", fail)
        scans.add(SCAN)
    with monkeypatch.context() as patch:
        patch.setattr(RecordedScans, "_trim", fail)
        scans.add(SCAN._replace(serialno=13))
        assert eventually(lambda: len(lines(file)) == 1)  # the thread fails, and is started again
        assert eventually(lambda: len(lines(file)) == 2)
    scans.add(SCAN._replace(serialno=14))
    assert eventually(lambda: len(lines(file)) == 3)
