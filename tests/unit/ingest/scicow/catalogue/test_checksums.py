"""Checksums: of what can be seen, in a bounded time."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from ingest.scicow.catalogue import checksums
from ingest.scicow.catalogue.checksums import Checksums
from sdm.beneath import open_beneath
from tests.waiting import PATIENCE, eventually


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"x" * 3_000_000)
    return path


@pytest.mark.parametrize("algorithm", ["blake2b", "sha256"])
def test_of_a_file(data, algorithm):
    found = Checksums(algorithm, [str(data.parent)], 8).of({str(data): 3_000_000}, "uuid")
    assert found == {str(data): hashlib.new(algorithm, data.read_bytes()).hexdigest()}


def test_none_is_none(data):
    assert Checksums("none", [str(data.parent)], 8).of({str(data): 3_000_000}, "uuid") == {}


def test_what_cannot_be_read_is_reported(data, tmp_path, caplog):
    os.mkfifo(tmp_path / "pipe")
    files = {str(tmp_path / "gone"): 1, str(data): 2, str(tmp_path): 0, str(tmp_path / "pipe"): 0, "a.h5": 3}
    for path, size in files.items():
        caplog.clear()
        assert Checksums("sha256", [str(data.parent)], 8).of({path: size}, "uuid-1") == {}
        assert "uuid-1: 1 of 1 files have no checksum" in caplog.text
        assert path in caplog.text


def test_only_files_of_the_given_folders_are_read_wherever_links_lead(data, tmp_path, caplog):
    inside = tmp_path / "inside"
    inside.mkdir()
    link = inside / "link"
    link.symlink_to(data)
    for path in (str(data), str(link), f"{inside}/../{data.name}", f"{inside}x"):
        caplog.clear()
        assert Checksums("sha256", [str(inside)], 8).of({path: 3_000_000}, "uuid") == {}
        assert "is not below one of the checksum_folders" in caplog.text
    (inside / "own").write_bytes(b"")
    assert len(Checksums("sha256", [str(inside)], 8).of({str(inside / "own"): 0}, "uuid")) == 1


def test_a_file_that_is_too_large_for_the_time_costs_no_more_than_that(data, monkeypatch, caplog):
    monkeypatch.setattr(checksums, "CHECKSUM_SECONDS", 0.0)
    assert Checksums("sha256", [str(data.parent)], 8).of({str(data): 3_000_000}, "uuid") == {}
    assert "takes" in caplog.text


@pytest.mark.parametrize(("workers", "at_once"), [(1, 1), (2, 1), (5, 2), (64, checksums.MAX_CHECKSUM_THREADS)])
def test_files_that_take_long_or_hang_take_half_of_the_workers_at_most(data, monkeypatch, caplog, workers, at_once):
    answers = threading.Event()
    opening = threading.Semaphore(0)

    def hanging(folder, path):
        opening.release()
        assert answers.wait(PATIENCE)
        return open_beneath(folder, path)

    monkeypatch.setattr(checksums, "open_beneath", hanging)
    one = Checksums("sha256", [str(data.parent)], workers)
    one._budget = PATIENCE
    found = []
    busy = [
        threading.Thread(target=lambda: found.append(one.of({str(data): 3_000_000}, "uuid"))) for _ in range(at_once)
    ]
    for each in busy:
        each.start()
        assert opening.acquire(timeout=PATIENCE)
    assert one.of({str(data): 3_000_000}, "the next") == {}
    assert f"the files of {at_once} other messages are being read, or their file system does not answer" in caplog.text
    answers.set()
    for each in busy:
        each.join()
    assert [len(each) for each in found] == [1] * at_once
    assert eventually(lambda: one.of({str(data): 3_000_000}, "uuid"))


def test_a_file_system_that_hangs_is_given_up_after_a_time(data, monkeypatch, caplog):
    monkeypatch.setattr(checksums, "CHECKSUM_SECONDS", 0.05)
    monkeypatch.setattr(checksums, "READ_GRACE_SECONDS", 0.05)
    answers = threading.Event()
    monkeypatch.setattr(checksums, "open_beneath", lambda *args: answers.wait() and open_beneath(*args))
    one = Checksums("sha256", [str(data.parent)], 8)
    assert one.of({str(data): 3_000_000}, "uuid") == {}
    assert "the file system does not answer" in caplog.text
    answers.set()


def test_a_folder_that_becomes_a_link_after_it_was_looked_at_leads_to_no_file_outside(
    data, monkeypatch, tmp_path, caplog
):
    """What is hashed must not be a file that the sender may not see."""
    inside, folder = tmp_path / "inside", tmp_path / "inside" / "raw"
    folder.mkdir(parents=True)
    (folder / data.name).write_bytes(data.read_bytes())
    one = Checksums("sha256", [str(inside)], 8)
    real = os.path.realpath

    def swapping(path):
        found = real(path)
        folder.rename(tmp_path / "away")
        folder.symlink_to(tmp_path)
        return found

    monkeypatch.setattr(checksums.os.path, "realpath", swapping)
    assert one.of({str(folder / data.name): 3_000_000}, "uuid") == {}
    assert "Not a directory" in caplog.text
