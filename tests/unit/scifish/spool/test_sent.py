"""What is kept of messages that Kafka has: for some days, within a limit, and readable after a kill."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import resource
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from scifish.cli import main
from scifish.settings import Settings
from scifish.settings.identity import Identity
from scifish.spool import sent
from scifish.spool.requests import request_resend
from scifish.spool.sent import SentLog, SentMessage, prune, send_again, sent_messages

WEEK = 7.0
MEGABYTE = 1_000_000


def messages(count: int, since: float = 1000.0, of: Identity | None = None) -> list[SentMessage]:
    texts = [f'{{"seq": {n}, "text": "20 °C"}}' for n in range(count)]
    return [SentMessage(since + n, "topic", f"uuid-{n}", text, of) for n, text in enumerate(texts)]


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


@pytest.mark.parametrize(("folders", "files"), [(0o2770, 0o660), (0o700, 0o600)])
def test_in_a_folder_of_a_group_its_accounts_may_read_it(tmp_path: Path, folders: int, files: int) -> None:
    tmp_path.chmod(folders)
    log = SentLog()
    log.keep(tmp_path, [SentMessage(1.0, "t", "u", "{}")], 7, 10**9)
    log.close()
    request_resend(tmp_path / "x.spool")
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [files, files]


def test_a_large_file_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent, "MAX_SENT_FILE_BYTES", 10)
    log = SentLog()
    for _ in range(3):
        log.keep(tmp_path, messages(1), WEEK, MEGABYTE)
    log.close()
    assert len(list(tmp_path.glob("*.sent"))) == 3


@contextlib.contextmanager
def disk_that_takes(size: int) -> Iterator[None]:
    """No file may become larger than `size` bytes: a write is cut there, and the next one refused."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_after_a_disk_that_refused_the_next_messages_are_kept(tmp_path: Path) -> None:
    log = SentLog()
    with disk_that_takes(30):
        log.keep(tmp_path, messages(3), WEEK, MEGABYTE)  # raises nothing
        log.keep(tmp_path, messages(3), WEEK, MEGABYTE)
        log.close()
    log.keep(tmp_path, messages(2), WEEK, MEGABYTE)
    assert kept(tmp_path) == messages(2)
    log.close()


def test_old_files_are_deleted_before_the_write_and_when_the_disk_refuses_it(tmp_path: Path) -> None:
    def old_file() -> Path:
        path = tmp_path / "old.sent"
        path.write_bytes(bytes(10))
        os.utime(path, (1000.0, 1000.0))
        return path

    log = SentLog()
    path = old_file()
    with disk_that_takes(30):
        log.keep(tmp_path, messages(3), WEEK, MEGABYTE)
        assert not path.exists()
        old_file()
        log.keep(tmp_path, messages(3), WEEK, MEGABYTE)
        assert not path.exists()


def test_a_quota_that_is_full_deletes_all_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = SentLog()
    log.keep(tmp_path, messages(3), WEEK, MEGABYTE)

    def refuse(*_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(log, "_write", refuse)
    log.keep(tmp_path, messages(3), WEEK, MEGABYTE)
    assert not list(tmp_path.iterdir())


def test_what_is_deleted_takes_no_room_any_more(tmp_path: Path) -> None:
    log = SentLog()
    log.keep(tmp_path, messages(3), WEEK, MEGABYTE)
    log.delete_all(tmp_path)
    links = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path)]
    assert not [link for link in links if link.startswith(str(tmp_path))]


def test_a_file_that_another_companion_has_deleted_is_followed_by_a_new_one(tmp_path: Path) -> None:
    log = SentLog()
    log.keep(tmp_path, messages(3), WEEK, MEGABYTE)
    (path,) = tmp_path.glob("*.sent")
    path.unlink()
    log.keep(tmp_path, messages(2), WEEK, MEGABYTE)
    assert kept(tmp_path) == messages(2)
    log.close()


# ------------------------------------------------------------------ sent again


def settings_of(folder: Path, *lines: str) -> Settings:
    """Settings whose KafkaConfigFile has these lines."""
    config = folder / "kafka.properties"
    config.write_text("\n".join(lines))
    config.chmod(0o600)
    return Settings(topic="t", kafka_config_file=str(config))


def test_what_kafka_does_not_accept_in_time_is_left(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "bootstrap.servers=127.0.0.1:1", "queue.buffering.max.messages=2")
    done = send_again(settings, messages(5), 0.3)
    assert (done.sent, done.refused, done.left) == (0, [], 5)


def test_resend_sends_the_files_that_it_can_read_by_one_producer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spools = tmp_path / "spools"
    spools.mkdir()
    mine = Identity(str(tmp_path / "scifish.yaml"))
    for since, of in ((1000.0, mine), (2000.0, mine), (3000.0, None), (4000.0, Identity("/etc/other.yaml", "other"))):
        log = SentLog()
        log.keep(spools, messages(2, since, of), WEEK, MEGABYTE)
        log._count = 0
        log.close()
        (path,) = spools.glob(f"*-{os.getpid()}-1.sent")
        path.rename(spools / f"{since}.sent")
    (spools / "1.sent").mkdir()  # cannot be read
    (spools / "2.sent").symlink_to(spools / "deleted")
    settings = settings_of(tmp_path, "test.mock.num.brokers=1")
    config = {"Beamline": "lab", "Topic": "t", "SpoolDirectory": str(spools)}
    (tmp_path / "scifish.yaml").write_text(json.dumps({**config, "KafkaConfigFile": settings.kafka_config_file}))
    monkeypatch.setenv("SCIFISH_CONFIG", str(tmp_path / "scifish.yaml"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    producers = []
    monkeypatch.setattr(sent, "Producer", lambda config: producers.append(config) or Producer(config))
    assert main(["--spool", str(spools), "resend", "--since", "1970-01-01T00:00"]) == 1
    text = capsys.readouterr().out
    assert "4 messages that were sent before are sent again" in text
    assert "2 messages are not sent with the settings of" in text
    assert "they were recorded under unknown settings" in text
    assert "they were recorded under the settings of /etc/other.yaml (Beamline: other" in text
    assert "4 messages are left" in text
    assert f"{spools / '1.sent'}: cannot be read: Is a directory" in text
    assert "2.sent" not in text
    assert len(producers) == 1


@pytest.mark.parametrize("line", ["sasl.passwrod=s3cret", "linger.ms=soon"])
def test_resend_with_a_configuration_that_kafkas_library_does_not_take_names_file_and_property(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    spools = tmp_path / "spools"
    spools.mkdir()
    log = SentLog()
    log.keep(spools, messages(3, time.time(), Identity(str(tmp_path / "scifish.yaml"))), WEEK, MEGABYTE)
    log.close()
    settings = settings_of(tmp_path, line)
    config = {"Beamline": "lab", "Topic": "t", "KafkaConfigFile": settings.kafka_config_file}
    (tmp_path / "scifish.yaml").write_text(json.dumps(config))
    monkeypatch.setenv("SCIFISH_CONFIG", str(tmp_path / "scifish.yaml"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert main(["--spool", str(spools), "resend", "--since", "1h"]) == 1
    text = capsys.readouterr().out
    assert (
        f"3 messages that were sent before are left: Kafka's client cannot be made with KafkaConfigFile {tmp_path}"
        in text
    )
    assert re.search(r'configuration property:? "(sasl.passwrod|queue.buffering.max.ms)"', text)
    assert "3 messages are left" in text
    assert "s3cret" not in text
