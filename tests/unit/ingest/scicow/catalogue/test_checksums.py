"""Checksums: of what can be seen, in a bounded time, and no worker waits for them."""

from __future__ import annotations

import hashlib
import os
import threading
import time

import pytest

from ingest.scicow.catalogue import checksums
from ingest.scicow.catalogue.checksums import CHECKSUM_SECONDS, MAX_CHECKSUM_THREADS, READ_GRACE_SECONDS, Checksums
from ingest.scicow.errors import NotYet
from sdm.beneath import open_beneath
from tests.waiting import PATIENCE, eventually

SIZE = 3_000_000


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"x" * SIZE)
    return path


class Clock:
    """The real one, which a test puts forward."""

    ahead = 0.0

    def __call__(self):
        return time.monotonic() + self.ahead


def of(one, files, dataset="uuid"):
    """As SciCow asks: again and again, as long as they are being computed."""
    found = []

    def asked():
        try:
            found.append(one.of(files, dataset))
        except NotYet:
            return False
        return True

    assert eventually(asked)
    return found[0]


@pytest.mark.parametrize("algorithm", ["blake2b", "sha256"])
def test_of_a_file(data, algorithm):
    found = of(Checksums(algorithm, [str(data.parent)]), {str(data): SIZE})
    assert found == {str(data): hashlib.new(algorithm, data.read_bytes()).hexdigest()}


def test_none_is_none(data):
    assert Checksums("none", [str(data.parent)]).of({str(data): SIZE}, "uuid") == {}


def test_what_cannot_be_read_is_reported(data, tmp_path, caplog):
    os.mkfifo(tmp_path / "pipe")
    files = {str(tmp_path / "gone"): 1, str(data): 2, str(tmp_path): 0, str(tmp_path / "pipe"): 0, "a.h5": 3}
    for path, size in files.items():
        caplog.clear()
        assert of(Checksums("sha256", [str(data.parent)]), {path: size}, "uuid-1") == {}
        assert "uuid-1: 1 of 1 files have no checksum" in caplog.text
        assert path in caplog.text


def test_only_files_of_the_given_folders_are_read_wherever_links_lead(data, tmp_path, caplog):
    inside = tmp_path / "inside"
    inside.mkdir()
    link = inside / "link"
    link.symlink_to(data)
    for path in (str(data), str(link), f"{inside}/../{data.name}", f"{inside}x"):
        caplog.clear()
        assert of(Checksums("sha256", [str(inside)]), {path: SIZE}) == {}
        assert "is not below one of the checksum_folders" in caplog.text
    (inside / "own").write_bytes(b"")
    assert len(of(Checksums("sha256", [str(inside)]), {str(inside / "own"): 0})) == 1


def test_a_file_that_is_too_large_for_the_time_costs_no_more_than_that(data, monkeypatch, caplog):
    monkeypatch.setattr(checksums, "CHECKSUM_SECONDS", 0.0)
    assert of(Checksums("sha256", [str(data.parent)]), {str(data): SIZE}) == {}
    assert "takes" in caplog.text


class Hanging:
    """A file system that answers when the test says so, and to whom."""

    def __init__(self, monkeypatch):
        self.answers = threading.Event()
        self.opening = threading.Semaphore(0)
        monkeypatch.setattr(checksums, "open_beneath", self._open)

    def _open(self, folder, path):
        if "hangs" in path:
            self.opening.release()
            assert self.answers.wait(PATIENCE)
        return open_beneath(folder, path)


@pytest.fixture
def hanging(monkeypatch):
    found = Hanging(monkeypatch)
    yield found
    found.answers.set()


@pytest.fixture
def files(data):
    """One file that hangs, for each message that can be read at a time."""
    for number in range(MAX_CHECKSUM_THREADS):
        (data.parent / f"hangs-{number}.h5").write_bytes(b"")
    return [{str(data.parent / f"hangs-{number}.h5"): 0} for number in range(MAX_CHECKSUM_THREADS)]


def begin(one, files, hanging):
    for number, each in enumerate(files):
        with pytest.raises(NotYet, match="checksums of its 1 files are being computed"):
            one.of(each, f"hangs-{number}")
        assert hanging.opening.acquire(timeout=PATIENCE)


def test_no_worker_waits_for_files_that_take_long_or_hang(data, files, hanging):
    one = Checksums("sha256", [str(data.parent)])
    begin(one, files, hanging)
    with pytest.raises(NotYet):  # no thread is free; it waits for one
        one.of({str(data): SIZE}, "the next")
    hanging.answers.set()
    assert of(one, {str(data): SIZE}, "the next")
    for number, each in enumerate(files):
        assert of(one, each, f"hangs-{number}").keys() == each.keys()
    assert not one._jobs
    assert eventually(lambda: one._threads == 0)


def test_a_file_system_that_hangs_is_given_up_after_a_time_and_what_comes_then_is_not_kept_waiting(
    data, files, hanging, caplog
):
    clock = Clock()
    one = Checksums("sha256", [str(data.parent)], clock)
    begin(one, files, hanging)
    with pytest.raises(NotYet):
        one.of({str(data): SIZE}, "waited")
    clock.ahead = CHECKSUM_SECONDS + READ_GRACE_SECONDS + 1
    assert one.of(files[0], "hangs-0") == {}
    assert "hangs-0: 1 of 1 files have no checksum: their file system does not answer" in caplog.text
    assert one.of({str(data): SIZE}, "waited") == {}
    assert one.of({str(data): SIZE}, "new") == {}
    hanging.answers.set()
    assert eventually(lambda: one._threads == 0)
    assert of(one, {str(data): SIZE}, "at last")


def test_what_nobody_asks_for_any_more_is_forgotten(data, files, hanging):
    clock = Clock()
    one = Checksums("sha256", [str(data.parent)], clock)
    begin(one, files, hanging)
    clock.ahead = 2 * checksums.FORGET_SECONDS
    assert one.of({str(data): SIZE}, "uuid") == {}
    assert not one._jobs


def test_folders_that_hang_do_not_keep_it_from_starting(data, monkeypatch):
    answers, real = threading.Event(), os.path.realpath
    monkeypatch.setattr(checksums.os.path, "realpath", lambda path: answers.wait(PATIENCE) and real(path))
    one = Checksums("sha256", [str(data.parent)])
    with pytest.raises(NotYet):
        one.of({str(data): SIZE}, "uuid")
    answers.set()
    assert of(one, {str(data): SIZE})


def test_a_folder_that_becomes_a_link_after_it_was_looked_at_leads_to_no_file_outside(
    data, monkeypatch, tmp_path, caplog
):
    """What is hashed must not be a file that the sender may not see."""
    inside, folder = tmp_path / "inside", tmp_path / "inside" / "raw"
    folder.mkdir(parents=True)
    (folder / data.name).write_bytes(data.read_bytes())
    one = Checksums("sha256", [str(inside)])
    real = os.path.realpath

    def swapping(path):
        found = real(path)
        if path == str(folder / data.name):
            folder.rename(tmp_path / "away")
            folder.symlink_to(tmp_path)
        return found

    monkeypatch.setattr(checksums.os.path, "realpath", swapping)
    assert of(one, {str(folder / data.name): SIZE}) == {}
    assert "Not a directory" in caplog.text
