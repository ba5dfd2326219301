"""A disk whose quota is used up: reported as that, and what was sent gives way to what waits."""

from __future__ import annotations

import contextlib
import errno
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from scifish.spool import disk, sender
from scifish.spool import executor as executor_module
from scifish.spool.database import Spool
from scifish.spool.disk import QUOTA_USED_UP, why_refused
from tests.builders.messages import message
from tests.spools import adopted
from tests.unit.scifish.spool.test_sender import Lab
from tests.waiting import eventually

MOCK_BROKER = "test.mock.num.brokers=1"


class Refusing:
    """A folder's disk that SQLite cannot write to: its files may not grow, which is an I/O error for SQLite, too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    @contextlib.contextmanager
    def because(self, number: int) -> Iterator[None]:
        """Other programs get the error `number`."""

        def refuse(*_: object, **__: object) -> None:
            raise OSError(number, "")

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        with self._monkeypatch.context() as patch:
            patch.setattr(disk.tempfile, "TemporaryFile", refuse)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    monkeypatch.setattr(executor_module, "DISK_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(sender, "SEND_RETRY_SECONDS", 0.05)
    return Refusing(monkeypatch)


@pytest.mark.parametrize(
    ("number", "says", "kept"),
    [(errno.EDQUOT, QUOTA_USED_UP, 0), (errno.EIO, "disk I/O error", 2)],
    ids=["quota", "broken disk"],
)
def test_a_quota_that_is_used_up_is_reported_and_all_that_was_sent_gives_way(
    tmp_path: Path, refusing: Refusing, number: int, says: str, kept: int
) -> None:
    lab = Lab(tmp_path, MOCK_BROKER)
    folder = lab.spool.path.parent
    for name in ("1.sent", "2.sent"):
        (folder / name).write_bytes(bytes(10))
    lab.sender.start()
    with refusing.because(number):
        written = lab.executor.submit_retrying(lambda: lab.spool.put("t", message()))
        assert eventually(lambda: lab.executor.trouble == says)
        assert eventually(lambda: len(list(folder.glob("*.sent"))) == kept)
        assert f"the disk of the spool refuses writes ({says})" in lab.executor.warning
    assert eventually(written.done)
    assert eventually(lambda: lab.executor.trouble == "")
    assert eventually(lambda: lab.counts() == (0, 0))
    lab.close()


def test_a_new_spool_and_one_that_is_left_say_the_same(
    tmp_path: Path, refusing: Refusing, caplog: pytest.LogCaptureFixture
) -> None:
    origin = message()["origin"]
    with refusing.because(errno.EDQUOT):
        with pytest.raises(sqlite3.OperationalError) as caught:
            Spool(tmp_path / "a.spool", origin)
        assert why_refused(caught.value, tmp_path) == QUOTA_USED_UP
        assert adopted(tmp_path) == []
    assert f"cannot be opened: {QUOTA_USED_UP}" in caplog.text


def test_other_failures_keep_their_words(tmp_path: Path, refusing: Refusing) -> None:
    with refusing.because(errno.EDQUOT):
        assert why_refused(OSError(errno.EROFS, "Read-only file system"), tmp_path).endswith("Read-only file system")
        assert why_refused(sqlite3.OperationalError("database is locked"), tmp_path) == "database is locked"
