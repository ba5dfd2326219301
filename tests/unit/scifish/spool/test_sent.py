"""What is kept of messages that Kafka has: for some days, within a limit, and readable after a kill."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from scifish.spool import sent
from scifish.spool.sent import SentLog, SentMessage, prune, sent_messages

WEEK = 7.0
MEGABYTE = 1_000_000


def messages(count: int, since: float = 1000.0) -> list[SentMessage]:
    return [SentMessage(since + n, "topic", f"uuid-{n}", f'{{"seq": {n}, "text": "20 °C"}}') for n in range(count)]


def kept(folder: Path, since: float = 0.0, until: float = 1e12, *uuids: str) -> list[SentMessage]:
    return [each for path in sorted(folder.glob("*.sent")) for each in sent_messages(path, since, until, uuids)]


def test_what_is_kept_is_read_as_it_was_by_time_and_uuid(tmp_path: Path) -> None:
    log = SentLog()
    log.keep(tmp_path, messages(3), WEEK, MEGABYTE)
    log.keep(tmp_path, messages(2, 2000.0), WEEK, MEGABYTE)
    assert kept(tmp_path) == messages(3) + messages(2, 2000.0)
    assert kept(tmp_path, 1001.0, 1002.0) == messages(3)[1:2]
    assert kept(tmp_path, 0.0, 1e12, "uuid-2") == messages(3)[2:]
    (path,) = tmp_path.glob("*.sent")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    log.close()


def test_a_file_whose_program_was_killed_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    log = SentLog()
    log.keep(tmp_path, messages(3), WEEK, MEGABYTE)
    log.keep(tmp_path, messages(2, 2000.0), WEEK, MEGABYTE)
    log.close()
    (path,) = tmp_path.glob("*.sent")
    path.write_bytes(path.read_bytes()[:-10])
    assert kept(tmp_path)[:3] == messages(3)


def test_nothing_is_kept_for_no_days_and_a_disk_that_refuses_costs_nothing(tmp_path: Path) -> None:
    log = SentLog()
    log.keep(tmp_path, messages(3), 0.0, MEGABYTE)
    assert not list(tmp_path.iterdir())
    log.keep(tmp_path / "not there", messages(3), WEEK, MEGABYTE)  # raises nothing
    log.keep(tmp_path, messages(3), WEEK, MEGABYTE)
    assert len(kept(tmp_path)) == 3
    log.close()


def test_old_files_and_those_beyond_the_limit_are_deleted_oldest_first(tmp_path: Path) -> None:
    now = time.time()
    for age in range(10):
        path = tmp_path / f"{age}.sent"
        path.write_bytes(bytes(1000))
        os.utime(path, (now - age * 86_400 + 60, now - age * 86_400 + 60))
    prune(tmp_path, WEEK, MEGABYTE)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{age}.sent" for age in range(8)]
    prune(tmp_path, WEEK, 3000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.sent", "1.sent", "2.sent"]


def test_where_the_disk_is_nearly_full_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.sent").write_bytes(bytes(1000))
    monkeypatch.setattr(sent, "SENT_FREE_BYTES", 1 << 62)
    monkeypatch.setattr(sent, "SENT_FREE_FRACTION", 1.0)
    prune(tmp_path, WEEK, MEGABYTE)
    assert not list(tmp_path.iterdir())


def test_a_large_file_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent, "MAX_SENT_FILE_BYTES", 10)
    log = SentLog()
    for _ in range(3):
        log.keep(tmp_path, messages(1), WEEK, MEGABYTE)
    log.close()
    assert len(list(tmp_path.glob("*.sent"))) == 3
