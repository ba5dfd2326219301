"""What can be had out of a damaged spool is had, in whatever way it is damaged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scifish.cli import main
from scifish.dataset.compose import Record, ending
from scifish.message import Message
from scifish.settings.identity import Identity
from scifish.spool.database import OpenDatasetRow, Spool, rename_damaged
from scifish.spool.inspection import summarise
from scifish.spool.salvage import Salvaged, salvage
from tests.builders.messages import message
from tests.spools import adopted

ORIGIN = {**message()["origin"], "run": "run-1"}
IDENTITY = Identity("/etc/scifish.yaml", "lab", "scifish-lab", "127.0.0.1:9")
PAGE, FRAME = 4096, 4096 + 24


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """40 messages in the main file; then, in the log alone, 20 more, two open datasets and one that is over."""
    spool = Spool(tmp_path / "run-1.spool", ORIGIN, identity=IDENTITY)
    put(spool, 40)
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spool._db.execute("PRAGMA wal_autocheckpoint=0")
    put(spool, 20)
    for number in range(3):
        spool.begin(OpenDatasetRow.of(Record(f"open-{number}", 1.0, {"datasetName": "x"})))
    spool.end("open-2", None, json.dumps(ending("completed", 2.0, 5)))
    return spool


def put(spool: Spool, count: int) -> None:
    for _ in range(count):
        spool.put("t", unnumbered(scientificMetadata={"text": {"value": "x" * 3000}}))


def unnumbered(kind: str = "began", **changes: Any) -> Message:
    return {name: said for name, said in message(kind, origin=ORIGIN, **changes).items() if name != "seq"}


def broken(spool: Spool, damaged: Path) -> Path:
    """A copy as it was at this moment, put aside: closing a spool would write its log into it."""
    damaged.mkdir()
    for path in spool.path.parent.glob("run-1.spool*"):
        shutil.copy(path, damaged)
    return rename_damaged(damaged / spool.path.name)


def had(found: Salvaged) -> tuple[set[int], set[str]]:
    """The numbers of the messages, and the uuids of the datasets, that the new spools have; checked against it."""
    spools = adopted(found.aside.parent)
    assert [spool.path for spool in spools] == sorted(found.spools)
    assert all(spool.identity == IDENTITY for spool in spools)
    messages = {each.seq: json.loads(each.message) for spool in spools for each in spool.waiting(1000)}
    datasets = {each.record.uuid for spool in spools for each in spool.open_datasets()}
    assert all(content["seq"] == seq and content["origin"]["run"] == "run-1" for seq, content in messages.items())
    for spool in spools:
        if spool.open_states():  # what is composed of them is numbered anew
            assert (spool.origin["run"], spool.put("t", message())) == ("run-1-salvaged", [1])
        spool.close()
    assert (len(messages), len(datasets)) == (found.messages, found.datasets)
    return set(messages), datasets


ALL = set(range(1, 61))
OPEN = {"open-0", "open-1", "open-2"}


def test_a_log_with_a_damaged_frame_is_read_beyond_it(spool: Spool, tmp_path: Path) -> None:
    """SQLite itself would read only what is before it."""
    path = broken(spool, tmp_path / "damaged")
    with path.with_name(f"{path.name}-wal").open("r+b") as wal:
        wal.seek(32 + 10 * FRAME + 24 + 3000)
        wal.write(b"\xff" * 50)
    messages, datasets = had(salvage(path))
    assert len(ALL - messages) <= 3
    assert datasets == OPEN


def test_a_log_that_is_cut_off_is_read_as_far_as_it_goes(spool: Spool, tmp_path: Path) -> None:
    path = broken(spool, tmp_path / "damaged")
    wal = path.with_name(f"{path.name}-wal")
    os.truncate(wal, wal.stat().st_size // 2)
    messages, _ = had(salvage(path))
    assert set(range(1, 48)) <= messages


def test_without_its_log_the_main_file_is_read(spool: Spool, tmp_path: Path) -> None:
    path = broken(spool, tmp_path / "damaged")
    path.with_name(f"{path.name}-wal").unlink()
    assert had(salvage(path)) == (set(range(1, 41)), set())


def test_a_main_file_with_a_damaged_page_is_read_around_it(spool: Spool, tmp_path: Path) -> None:
    path = broken(spool, tmp_path / "damaged")
    with path.open("r+b") as file:
        file.seek(12 * PAGE)
        file.write(b"\xff" * 2 * PAGE)
    messages, datasets = had(salvage(path))
    assert len(ALL - messages) <= 6
    assert datasets == OPEN


def test_without_its_first_page_the_tables_are_where_they_are_in_all_spools(spool: Spool, tmp_path: Path) -> None:
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = broken(spool, tmp_path / "damaged")
    with path.open("r+b") as file:
        file.write(bytes(PAGE))
    assert had(salvage(path)) == (ALL, OPEN)


def test_what_is_no_spool_is_put_aside_and_nothing_is_made_of_it(tmp_path: Path) -> None:
    path = tmp_path / "run-1.broken"
    for number, content in enumerate((b"", b"this is not a database" * 500, os.urandom(100_000))):
        path.write_bytes(content)
        found = salvage(path)
        assert (found.messages, found.datasets, found.spools) == (0, 0, [])
        assert found.aside.name == ("run-1.salvaged" if not number else f"run-1-{number + 1}.salvaged")
        assert found.aside.read_bytes() == content


def test_lock_and_log_of_an_exited_run_go_with_its_damaged_file(spool: Spool, tmp_path: Path) -> None:
    files = [spool.path.with_suffix(suffix) for suffix in (".log", ".lock")]
    files[0].touch()
    path = rename_damaged(spool.path)
    salvage(path)
    assert all(file.exists() for file in files)  # the run goes on with a new file
    path.write_bytes(b"more of it, but no database")
    spool.close()
    for file in files:
        file.touch()
    spool.path.unlink(missing_ok=True)
    salvage(path)
    assert not any(file.exists() for file in files)


def test_refused_messages_stay_refused_and_what_is_over_is_not_open(spool: Spool, tmp_path: Path) -> None:
    spool.refuse({3: "too large"})
    spool.put("t", unnumbered("ended", uuid="open-0"))  # and its row stays, as if it had come back
    path = broken(spool, tmp_path / "damaged")
    found = salvage(path)
    assert summarise(found.spools[0]).refused[0][2] == "too large"
    assert summarise(found.spools[0]).waiting == 60
    assert summarise(found.spools[1]).recording == 2


def test_the_command_says_what_is_damaged_and_what_was_had(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "damaged"
    path = broken(spool, folder)
    settings = tmp_path / "scifish.yaml"
    settings.write_text("Beamline: other\nKafkaBootstrapServers: 127.0.0.1:9\n")
    monkeypatch.setenv("SCIFISH_CONFIG", str(settings))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for words in (["status"], ["flush", "--timeout", "0"]):
        assert main(["--spool", str(folder), *words]) == 1
        assert f"{path}" in (said := capsys.readouterr().out)
        assert "it is damaged; `scifish salvage` gets what can be had out of it" in said
    assert main(["--spool", str(folder), "salvage", "--timeout", "0"]) == 1
    said = capsys.readouterr().out
    assert f"{path}: 60 messages and 3 open datasets; it is run-1.salvaged now" in said
    assert "2 messages of exited programs are left" in said  # both spools are of other settings
    assert "recorded under the settings of /etc/scifish.yaml" in said
    assert not list(folder.glob("*.broken*"))
    assert sorted(each.name for each in folder.glob("*.salvaged*")) == ["run-1.salvaged", "run-1.salvaged-wal"]


def test_a_salvage_that_is_killed_loses_nothing(spool: Spool, tmp_path: Path) -> None:
    path = broken(spool, tmp_path / "damaged")
    program = f"""
import os, pathlib
from scifish.spool import salvage
pathlib.Path.rename = lambda *_: os.kill(os.getpid(), 9)
salvage.salvage(pathlib.Path({str(path)!r}))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    found = salvage(path)
    assert (found.messages, found.datasets) == (60, 3)
