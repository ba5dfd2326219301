"""Data files on a file server that does not answer: SciCow goes on, with any number of workers."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from scifish.message import Message
from tests.builders.messages import file, message
from tests.integration.scicow.test_scicow import Beamline
from tests.integration.scicow.test_scicow import beamline as beamline
from tests.servers.hanging_files import CONTENT, HangingFiles, hanging_files, why_no_fuse
from tests.waiting import PATIENCE, eventually


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[tuple[Path, HangingFiles]]:
    if reason := why_no_fuse():
        pytest.skip(reason)
    folder = tmp_path / "data"
    with ExitStack() as stack:
        try:
            files = stack.enter_context(hanging_files(folder))
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            pytest.skip(f"no file system may be mounted here: {error}")
        yield folder, files


def snapshot_of(folder: Path, name: str) -> Message:
    return message("snapshot", sourceFolder=str(folder), files=[file(f"{folder}/{name}.h5", len(CONTENT))])


def files_of(beamline: Beamline, given: Message) -> list[dict[str, Any]]:
    return beamline.scicat.files(f"scizoo/{given['uuid']}") if beamline.dataset(given) else []


@pytest.mark.parametrize(
    "workers", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(8, marks=pytest.mark.long)]
)
def test_a_file_server_that_hangs_holds_up_only_the_lists_of_its_files(
    beamline: Beamline, mounted: tuple[Path, HangingFiles], workers: int
) -> None:
    folder, files = mounted
    files.hang()  # also at the start
    beamline.start_scicow(checksums="sha256", checksum_folders=[str(folder)], workers=workers)
    hanging = [snapshot_of(folder, f"{number}") for number in range(12)]
    others = [message("snapshot", files=[]) for _ in range(12)]
    beamline.send(*[each for pair in zip(hanging, others, strict=True) for each in pair])
    assert eventually(lambda: all(beamline.status(each) == "completed" for each in [*hanging, *others]))
    assert files.hung

    files.release()
    for each in hanging:
        assert eventually(lambda each=each: len(files_of(beamline, each)) == 1)
    # What has waited for longer than a minute, on a busy machine, has none.
    last = []

    def has_checksum() -> bool:
        last.append(snapshot_of(folder, "last"))
        beamline.send(last[-1])
        assert eventually(lambda: files_of(beamline, last[-1]))
        return files_of(beamline, last[-1])[0].get("chk") == hashlib.sha256(CONTENT).hexdigest()

    assert eventually(has_checksum)


def test_it_can_be_stopped_while_a_file_server_hangs_and_goes_on_afterwards(
    beamline: Beamline, mounted: tuple[Path, HangingFiles]
) -> None:
    folder, files = mounted
    files.hang()
    settings: dict[str, Any] = {"checksums": "sha256", "checksum_folders": [str(folder)], "session": 6}
    scicow = beamline.start_scicow(**settings)
    given = snapshot_of(folder, "one")
    beamline.send(given)
    assert eventually(lambda: files.hung and beamline.status(given) == "completed")
    scicow.terminate()
    scicow.wait_for(r"\bstopped\b")
    files.release()  # no process ends while a thread of it is in such a call
    assert scicow.wait(PATIENCE) == 0
    beamline.start_scicow(**settings)
    assert eventually(lambda: len(files_of(beamline, given)) == 1)
