"""The sender, with librdkafka's own broker in memory: what is refused, and a disk that refuses, block nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from scifish.settings import Settings
from scifish.spool.database import OutboxMessage, Spool
from scifish.spool.executor import SpoolExecutor
from scifish.spool.sender import Sender
from tests.builders.messages import message
from tests.waiting import PATIENCE, eventually

LARGE = {"scientificMetadata": {"text": {"value": "x" * 5000}}}


class Lab:
    """A sender and its spool."""

    def __init__(self, folder: Path, *config: str) -> None:
        file = folder / "kafka.properties"
        file.write_text("\n".join(config))
        file.chmod(0o600)
        self.settings = Settings(topic="t", kafka_config_file=str(file))
        self.executor = SpoolExecutor(folder / "spools")
        (folder / "spools").mkdir()
        self.spool = Spool(folder / "spools" / "a.spool", message()["origin"])
        self.sender = Sender(self.executor, lambda: self.settings, self.spool)

    def put(self, *messages: object) -> None:
        self.executor.submit(lambda: self.spool.put("t", *messages)).result()  # type: ignore[arg-type]

    def counts(self) -> tuple[int, int]:
        """How many messages wait, and how many are refused."""
        return self.sender.waiting(), self.sender.refused()

    def close(self) -> None:
        if self.sender.is_alive():
            self.sender.stop(PATIENCE)
        assert not self.sender.is_alive()
        self.executor.stop(PATIENCE, self.spool.leave)


@pytest.fixture
def mock_broker(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, "test.mock.num.brokers=1", "message.max.bytes=4000")
    yield lab
    lab.close()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sasl.passwrod=s3cret", 'No such configuration property: "sasl.passwrod"'),
        ("security.protocol=tls", 'Invalid value for configuration property "security.protocol"'),
        ("acks=1", "`acks` must be set to `all`"),
        ("stats_cb=s3cret", "expected stats_cb property as a callable function"),
    ],
)
def test_what_kafkas_library_does_not_take_is_a_trouble_that_names_file_and_property(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, says: str
) -> None:
    lab = Lab(tmp_path, line)
    lab.put(message())
    lab.sender.start()
    assert eventually(lambda: says in lab.sender.trouble)
    assert lab.sender.trouble.startswith(
        f"Kafka's client cannot be made with KafkaConfigFile {tmp_path}/kafka.properties"
    )
    lab.sender.stop(PATIENCE)
    assert lab.counts() == (1, 0)
    lab.close()
    assert "Traceback" not in caplog.text
    assert "s3cret" not in caplog.text + lab.sender.trouble


def test_a_message_that_librdkafka_refuses_at_once_is_moved_aside(mock_broker: Lab) -> None:
    mock_broker.put(message(), message(**LARGE), message())
    mock_broker.sender.start()
    assert eventually(lambda: mock_broker.counts() == (0, 1))
    assert eventually(lambda: "message.max.bytes" in mock_broker.sender.refusal)


def test_a_disk_that_does_not_take_the_refused_one_blocks_no_message(
    mock_broker: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = True
    refuse = mock_broker.spool.refuse

    def refuse_if_there_is_room(reasons: Mapping[int, str]) -> None:
        if full:
            raise sqlite3.OperationalError("database or disk is full")
        refuse(reasons)

    monkeypatch.setattr(mock_broker.spool, "refuse", refuse_if_there_is_room)
    mock_broker.put(message(**LARGE), message())
    mock_broker.sender.start()
    assert eventually(lambda: mock_broker.counts() == (1, 0))
    mock_broker.put(message())
    mock_broker.sender.wake()
    assert eventually(lambda: mock_broker.counts() == (1, 0))
    full = False
    assert eventually(lambda: mock_broker.counts() == (0, 1))


def test_a_spool_that_cannot_be_read_holds_up_no_other(mock_broker: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Spool(mock_broker.spool.path.with_name("0.spool"), message()["origin"])
    rounds: list[int] = []

    def malformed(*_: object) -> list[OutboxMessage]:
        rounds.append(1)
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(mock_broker.spool, "waiting", malformed)
    mock_broker.executor.submit(lambda: other.put("t", message())).result()
    mock_broker.sender.add(other)
    mock_broker.sender.start()
    assert eventually(lambda: len(rounds) > 3)
    assert eventually(lambda: mock_broker.sender.spools == [mock_broker.spool])  # its message is sent, it is closed
    assert f"the messages of the spool {mock_broker.spool.path} cannot be read: database" in mock_broker.sender.trouble
    monkeypatch.undo()
    assert eventually(lambda: not mock_broker.sender.trouble)


def test_while_kafka_is_down_old_kept_messages_are_deleted(tmp_path: Path) -> None:
    lab = Lab(tmp_path, "bootstrap.servers=127.0.0.1:1")
    old = tmp_path / "spools" / "1.sent"
    old.write_bytes(bytes(10))
    os.utime(old, (1000.0, 1000.0))
    lab.put(message())
    lab.sender.start()
    assert eventually(lambda: not old.exists())
    lab.sender._stopping = True
    lab.settings = Settings()  # without a broker the producer is dropped
    lab.put(message())
    lab.close()


def test_kafka_does_not_accept_messages_again_because_some_have_timed_out(tmp_path: Path) -> None:
    lab = Lab(tmp_path, "bootstrap.servers=127.0.0.1:1", "message.timeout.ms=100")
    lab.sender.start()
    assert eventually(lambda: lab.sender.trouble != "")
    said: list[str] = []
    set_trouble = lab.sender._set_trouble

    def noted(trouble: str) -> None:
        said.append(trouble)
        set_trouble(trouble)

    lab.sender._set_trouble = noted  # type: ignore[method-assign]
    lab.put(message())
    lab.sender.wake()
    assert eventually(lambda: sum("timed out" in each for each in said) > 2)
    assert "" not in said
    lab.sender._stopping = True
    lab.settings = Settings()  # without a broker the producer is dropped
    lab.close()


def test_what_is_refused_is_counted_without_the_spools_that_are_closed_meanwhile(mock_broker: Lab) -> None:
    executor, sender = mock_broker.executor, mock_broker.sender
    orphan = Spool(mock_broker.spool.path.with_name("b.spool"), message()["origin"])
    sender.add(orphan)
    submit = executor.submit

    def submit_late(work):  # type: ignore[no-untyped-def]
        sender._spools.remove(orphan)
        submit(orphan.close).result()
        return submit(work)

    executor.submit = submit_late  # type: ignore[method-assign]
    try:
        assert sender.refused() == 0
    finally:
        executor.submit = submit  # type: ignore[method-assign]
