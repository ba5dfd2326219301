"""The command `scicat-embedded`: its errors, how it stops, and what outlives a crash."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from deploy.demo.processes import Processes
from ingest.embedded import cli
from tests.builders.scicat_datasets import required_fields
from tests.contract.api import Api
from tests.servers.catalogue import COMMAND, INGESTOR, start_catalogue, write_accounts
from tests.waiting import PATIENCE


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path / "logs") as found:
        yield found


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process, for what it does before it serves: exit status, and all that it printed."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["scicat-embedded", *map(str, arguments)])
        try:
            status = cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        return status, "".join(capsys.readouterr())

    return run


def test_help(run: Run) -> None:
    status, said = run("--help")
    assert status == 0
    for option in ("--host", "--port", "--database", "--accounts", "--token-hours"):
        assert option in said


def test_no_accounts_file(tmp_path: Path) -> None:
    arguments = ("--database", str(tmp_path / "db"), "--accounts", str(tmp_path / "none.yaml"))
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "db").exists()


@pytest.mark.parametrize("kind", ["not a database", "a folder", "in no folder"])
def test_a_database_that_cannot_be_used(run: Run, tmp_path: Path, kind: str) -> None:
    database = tmp_path / ("none/db" if kind == "in no folder" else "db")
    if kind == "a folder":
        database.mkdir()
    elif kind == "not a database":
        database.write_bytes(b"x" * 10_000)
    status, said = run("--port", 0, "--database", database, "--accounts", write_accounts(tmp_path / "accounts.yaml"))
    assert status == 1
    assert str(database) in said


def test_a_port_in_use(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        accounts = write_accounts(tmp_path / "a.yaml")
        status, said = run("--port", port, "--database", tmp_path / "db", "--accounts", accounts)
    assert status == 1
    assert str(port) in said
    assert "--port" in said


def test_a_file_of_passwords_that_others_can_read_is_warned_of(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = write_accounts(tmp_path / "accounts.yaml")
    for mode, warned in ((0o600, False), (0o644, True)):
        accounts.chmod(mode)
        run("--port", 0, "--database", tmp_path / "none" / "db", "--accounts", accounts)
        assert ("chmod 600" in caplog.text) == warned


@pytest.mark.parametrize(
    "option", [("--port", "70000"), ("--port", "x"), ("--token-hours", "0"), ("--token-hours", "nan")]
)
def test_wrong_usage(run: Run, tmp_path: Path, option: tuple[str, str]) -> None:
    status, _ = run("--database", tmp_path / "db", "--accounts", tmp_path / "a", *option)
    assert status == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly(processes: Processes, tmp_path: Path, number: signal.Signals) -> None:
    catalogue = start_catalogue(processes, tmp_path)
    assert catalogue.process is not None
    with Api(catalogue.url, INGESTOR) as api:  # a connection that is kept open does not hold it up
        api.create(required_fields("a"))
        catalogue.process._signal(number)
        assert catalogue.process.wait(PATIENCE) == 0
    assert "Traceback" not in catalogue.process.text
    assert INGESTOR.password not in catalogue.process.text


def test_what_was_answered_and_a_token_outlive_sigkill(processes: Processes, tmp_path: Path) -> None:
    catalogue = start_catalogue(processes, tmp_path)
    assert catalogue.process is not None
    with Api(catalogue.url, INGESTOR) as api:
        token = api.token
    created: list[str] = []
    enough = threading.Event()

    def write() -> None:
        with Api(catalogue.url, INGESTOR) as api:
            for number in range(100_000):
                try:
                    answer = api.post("/api/v3/datasets", required_fields(f"p/{number}"))
                except requests.RequestException:
                    return
                assert answer.status_code == 201
                created.append(f"p/{number}")
                if number == 50:
                    enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(PATIENCE)
    catalogue.process.kill()
    writer.join()
    again = start_catalogue(processes, tmp_path, name="again")
    with Api(again.url, token=token) as api:
        assert api.get("/api/v3/auth/whoami").status_code == 200
        found = {one["pid"] for one in api.find({}, fields=["pid"], limits={"limit": 100_000})}
    assert found >= set(created)
    assert len(found) <= len(created) + 1


def test_a_token_expires(processes: Processes, tmp_path: Path) -> None:
    catalogue = start_catalogue(processes, tmp_path, options=("--token-hours", "1e-9"))
    with Api(catalogue.url, INGESTOR) as api:
        assert api.find({}) == []
        assert api.post("/api/v3/datasets", required_fields("a")).status_code == 403
