"""The command `scicat-embedded`: its errors, how it stops, and what outlives a crash."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy.demo.processes import Processes
from tests.catalogue import INGESTOR, start_catalogue, write_accounts
from tests.contract.api import Api

COMMAND = Path(sys.executable).with_name("scicat-embedded")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path / "logs") as found:
        yield found


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=30)


def _dataset(pid: str) -> dict:
    return {
        "pid": pid,
        "type": "raw",
        "owner": "Ada",
        "contactEmail": "ada@example.org",
        "sourceFolder": "/data",
        "creationTime": "2026-11-22T10:00:00Z",
        "ownerGroup": "g",
        "principalInvestigator": "Ada",
        "creationLocation": "/SITE/BL",
    }


def test_help() -> None:
    done = _run("--help")
    assert done.returncode == 0
    for option in ("--host", "--port", "--database", "--accounts", "--token-hours"):
        assert option in done.stdout


def test_no_accounts_file(tmp_path: Path) -> None:
    done = _run("--database", tmp_path / "db", "--accounts", tmp_path / "none.yaml")
    assert done.returncode == 1
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "db").exists()


@pytest.mark.parametrize("kind", ["not a database", "a folder", "in no folder"])
def test_a_database_that_cannot_be_used(tmp_path: Path, kind: str) -> None:
    database = tmp_path / ("none/db" if kind == "in no folder" else "db")
    if kind == "a folder":
        database.mkdir()
    elif kind == "not a database":
        database.write_bytes(b"x" * 10_000)
    done = _run("--port", 0, "--database", database, "--accounts", write_accounts(tmp_path / "accounts.yaml"))
    assert done.returncode == 1
    assert str(database) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _run("--port", port, "--database", tmp_path / "db", "--accounts", write_accounts(tmp_path / "a.yaml"))
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "option", [("--port", "70000"), ("--port", "x"), ("--token-hours", "0"), ("--token-hours", "nan")]
)
def test_wrong_usage(tmp_path: Path, option: tuple[str, str]) -> None:
    assert _run("--database", tmp_path / "db", "--accounts", tmp_path / "a", *option).returncode == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly(processes: Processes, tmp_path: Path, number: signal.Signals) -> None:
    catalogue = start_catalogue(processes, tmp_path)
    assert catalogue.process is not None
    with Api(catalogue.url, INGESTOR) as api:  # a connection that is kept open does not hold it up
        api.create(_dataset("a"))
        catalogue.process._signal(number)
        assert catalogue.process.wait(10) == 0
    assert "Traceback" not in catalogue.process.text
    assert INGESTOR.password not in catalogue.process.text


def test_what_was_answered_outlives_sigkill(processes: Processes, tmp_path: Path) -> None:
    catalogue = start_catalogue(processes, tmp_path)
    assert catalogue.process is not None
    created: list[str] = []
    enough = threading.Event()

    def write() -> None:
        with Api(catalogue.url, INGESTOR) as api:
            for number in range(100_000):
                try:
                    answer = api.post("/api/v3/datasets", _dataset(f"p/{number}"))
                except requests.RequestException:
                    return
                assert answer.status_code == 201
                created.append(f"p/{number}")
                if number == 50:
                    enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(30)
    catalogue.process.kill()
    writer.join()
    again = start_catalogue(processes, tmp_path, name="again")
    with Api(again.url, INGESTOR) as api:
        found = {one["pid"] for one in api.find({}, fields=["pid"], limits={"limit": 100_000})}
    assert found >= set(created)
    assert len(found) <= len(created) + 1


def test_a_token_outlives_a_restart(processes: Processes, tmp_path: Path) -> None:
    catalogue = start_catalogue(processes, tmp_path)
    with Api(catalogue.url, INGESTOR) as api:
        token = api.token
    assert catalogue.process is not None
    catalogue.process.kill()
    again = start_catalogue(processes, tmp_path, name="again")
    with Api(again.url, token=token) as api:
        assert api.get("/api/v3/auth/whoami").status_code == 200


def test_a_token_expires(processes: Processes, tmp_path: Path) -> None:
    catalogue = start_catalogue(processes, tmp_path, options=("--token-hours", "1e-9"))
    with Api(catalogue.url, INGESTOR) as api:
        assert api.find({}) == []
        assert api.post("/api/v3/datasets", _dataset("a")).status_code == 403


def test_a_file_of_passwords_that_others_can_read_is_warned_of(processes: Processes, tmp_path: Path) -> None:
    write_accounts(tmp_path / "accounts.yaml").chmod(0o644)
    catalogue = start_catalogue(processes, tmp_path)
    assert catalogue.process is not None
    assert "chmod 600" in catalogue.process.text


def test_nasty_bodies_and_queries_are_400(processes: Processes, tmp_path: Path) -> None:
    catalogue = start_catalogue(processes, tmp_path)
    with Api(catalogue.url, INGESTOR) as api:
        deep = b'{"scientificMetadata":' + b'{"a":' * 200 + b"1" + b"}" * 201
        huge = b'{"size": 1e999}'
        for body in (deep, huge, b'{"size": ' + b"9" * 5000 + b"}", b'{"owner": "\\ud800"}'):
            answer = api.post("/api/v3/datasets", body)
            assert (answer.status_code, answer.json()["error"]) == (400, "Bad Request"), body[:20]
        for query in (
            "{",
            "[]",
            '{"where": 1}',
            '{"limits": {"limit": -1}}',
            '{"limits": {"order": "a:up"}}',
            '{"fields": [1]}',
        ):
            assert api.get("/api/v3/datasets", filter=query).status_code == 400, query
        unknown = api.get("/api/v3/nonsense")
        assert (unknown.status_code, unknown.json()["statusCode"]) == (404, 404)
