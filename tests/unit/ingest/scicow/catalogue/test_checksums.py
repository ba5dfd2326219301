"""Checksums: of what can be seen, in a bounded time."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from ingest.scicow.catalogue import checksums
from ingest.scicow.catalogue.checksums import Checksums
from tests.waiting import PATIENCE, eventually


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"x" * 3_000_000)
    return path


@pytest.mark.parametrize("algorithm", ["blake2b", "sha256"])
def test_of_a_file(data, algorithm):
    found = Checksums(algorithm, [str(data.parent)]).of({str(data): 3_000_000}, "uuid")
    assert found == {str(data): hashlib.new(algorithm, data.read_bytes()).hexdigest()}


def test_none_is_none(data):
    assert Checksums("none", [str(data.parent)]).of({str(data): 3_000_000}, "uuid") == {}


def test_what_cannot_be_read_is_reported(data, tmp_path, caplog):
    os.mkfifo(tmp_path / "pipe")
    files = {str(tmp_path / "gone"): 1, str(data): 2, str(tmp_path): 0, str(tmp_path / "pipe"): 0, "a.h5": 3}
    for path, size in files.items():
        caplog.clear()
        assert Checksums("sha256", [str(data.parent)]).of({path: size}, "uuid-1") == {}
        assert "uuid-1: 1 of 1 files have no checksum" in caplog.text
        assert path in caplog.text


def test_only_files_of_the_given_folders_are_read_wherever_links_lead(data, tmp_path, caplog):
    inside = tmp_path / "inside"
    inside.mkdir()
    link = inside / "link"
    link.symlink_to(data)
    for path in (str(data), str(link), f"{inside}/../{data.name}", f"{inside}x"):
        caplog.clear()
        assert Checksums("sha256", [str(inside)]).of({path: 3_000_000}, "uuid") == {}
        assert "is not below one of the checksum_folders" in caplog.text
    (inside / "own").write_bytes(b"")
    assert len(Checksums("sha256", [str(inside)]).of({str(inside / "own"): 0}, "uuid")) == 1


def test_a_file_that_is_too_large_for_the_time_costs_no_more_than_that(data, monkeypatch, caplog):
    monkeypatch.setattr(checksums, "CHECKSUM_SECONDS", 0.0)
    assert Checksums("sha256", [str(data.parent)]).of({str(data): 3_000_000}, "uuid") == {}
    assert "takes" in caplog.text


def test_a_file_system_that_hangs_is_left_alone(data, monkeypatch, caplog):
    monkeypatch.setattr(checksums, "CHECKSUM_SECONDS", 0.05)
    monkeypatch.setattr(checksums, "READ_GRACE_SECONDS", 0.05)
    answers = threading.Event()
    monkeypatch.setattr(checksums, "_opened", lambda path, flags: answers.wait() and os.open(path, flags))
    one = Checksums("sha256", [str(data.parent)])
    for _ in range(checksums.MAX_HANGING_THREADS + 1):
        assert one.of({str(data): 3_000_000}, "uuid") == {}
    assert "has not answered earlier requests yet" in caplog.text
    answers.set()
    one._budget = PATIENCE
    assert eventually(lambda: one.of({str(data): 3_000_000}, "uuid"))
