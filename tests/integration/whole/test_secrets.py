"""No secret is shown: each is put where it belongs, what needs it is made to fail, and all that is said is searched.

Looked at are output, logs also at the level DEBUG, files, messages and errors, and what `ps` shows of each process.
"""

from __future__ import annotations

import base64
import os
import re
import resource
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from deploy.demo.processes import Processes
from tests.servers.http_script import Server, say
from tests.waiting import PATIENCE, eventually

SECRET = f"pä:ss@word-{secrets.token_hex(8)}"
"""With characters that URLs escape."""

SHOWN_AS = {
    SECRET,
    SECRET[-16:],
    quote(SECRET),
    *(base64.b64encode(f"someone:{SECRET}".encode(code)).decode().rstrip("=")[-24:] for code in ("utf-8", "latin-1")),
}

KAFKA = f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=someone\nsasl.password={SECRET}\n"

PROXY = f"http://someone:{quote(SECRET)}@127.0.0.1:"


SCIFISH, SCICOW = (str(Path(sys.executable).with_name(name)) for name in ("scifish", "scicow"))


def check(what: str, said: str) -> None:
    for shown in SHOWN_AS:
        assert shown not in said, f"{what}: {said[max(said.index(shown) - 300, 0) : said.index(shown) + 100]}"


def check_files(folder: Path, known: set[Path]) -> None:
    """All files of a folder but those that a person has put there."""
    for path in folder.rglob("*"):
        if path.is_file() and path not in known:
            check(str(path), path.read_bytes().decode("utf-8", "replace"))


def check_process(pid: int) -> None:
    """What `ps` shows of it, and that it leaves no core."""
    check("ps", Path(f"/proc/{pid}/cmdline").read_text())
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (cores,) = (line.split()[4] for line in limits if line.startswith("Max core file size"))
    assert cores == "0", "a crash would write its memory, with the secrets, into a file"


def secret_file(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def run(*command: object, **environment: str) -> str:
    """All that a command says."""
    argv = list(map(str, command))
    done = subprocess.run(
        argv, env={**os.environ, **environment}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout + done.stderr, argv
    return done.stdout + done.stderr


@pytest.fixture(autouse=True)
def cores() -> Iterator[None]:
    """A process that is started may write a core, unless it does not want to."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from scifish.recording.session import recording_session
session = recording_session(program="secret")
dataset = session.record_snapshot({"datasetName": "x"})
dataset.observed.wait()
print("recorded", flush=True)
sys.stdin.readline()
print(session.trouble(), repr(session.settings.known()), vars(session))
"""


@pytest.mark.parametrize(
    "kafka",
    [
        pytest.param(KAFKA, id="unreachable", marks=pytest.mark.long),
        pytest.param(f"{KAFKA}debug=all\nlog_level=7\n", id="debugged"),
        pytest.param(f"{KAFKA}sasl.passwort {SECRET}\n", id="a line that cannot be read", marks=pytest.mark.long),
        pytest.param(f"{KAFKA}security.protocol={SECRET}\n", id="a value in the wrong line", marks=pytest.mark.long),
    ],
)
def test_a_recording_program_and_its_companion_show_no_secret(tmp_path: Path, kafka: str) -> None:
    spool = tmp_path / "spool"
    properties = secret_file(tmp_path / "kafka.properties", kafka)
    config = tmp_path / "scifish.yaml"
    config.write_text(
        f"Beamline: lab\nKafkaBootstrapServers: 127.0.0.1:9\nKafkaConfigFile: {properties}\nSpoolDirectory: {spool}\n"
    )
    environment = {"SCIFISH_CONFIG": str(config), "XDG_STATE_HOME": str(tmp_path / "state")}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        assert program.stdout is not None
        said = ""
        while not said.endswith("recorded\n"):
            said += program.stdout.readline()
        (companion,) = (
            int(pid)
            for file in Path(f"/proc/{program.pid}/task").glob("*/children")
            for pid in file.read_text().split()
        )
        check_process(companion)
        assert eventually(lambda: re.search("wait, the oldest for .*: ", run(SCIFISH, "status", **environment)))
        said += program.communicate("\n", timeout=PATIENCE)[0]
    check("the program", said)
    for command in (["status"], ["list", "--json"], ["flush", "--timeout", "1"]):
        check(f"scifish {command}", run(SCIFISH, *command, **environment))
    check_files(tmp_path, {properties})


@pytest.fixture
def catalogue() -> Iterator[Server]:
    """A server in the place of SciCat."""
    server = Server()
    yield server
    server.close()


def answer(status: str, content: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def scicow_settings(folder: Path, url: str, **kafka: Any) -> Path:
    path = folder / "scicow.yaml"
    found = {
        "kafka": {"bootstrap_servers": "127.0.0.1:9", "group_id": "scicow", "topics": "^scifish-.*", **kafka},
        "scicat": {"url": url, "username": "someone", "password": "${SCIZOO_SCICAT_PASSWORD}"},
        "contact": {"owner": "x", "contact_email": "x@example.org", "principal_investigator": "x"},
        "http": {"port": 0},
    }
    path.write_text(yaml.safe_dump(found))
    return path


def test_scicow_shows_no_secret_while_it_runs(tmp_path: Path, catalogue: Server) -> None:
    """SciCat refuses the login, then gives pages that are not SciCat's, and Kafka does not answer."""
    catalogue.scripts = [say(answer("401 Unauthorized", b'{"message":"Unauthorized"}'))] * 100
    properties = secret_file(tmp_path / "kafka.properties", f"{KAFKA}debug=all\n")
    config = scicow_settings(tmp_path, catalogue.url, config_file=str(properties))
    environment = {"SCIZOO_SCICAT_PASSWORD": SECRET}
    with Processes(tmp_path / "logs") as processes:
        argv = [SCICOW, "run", "--config", str(config), "--log-level", "debug"]
        scicow = processes.start("scicow", argv, {**os.environ, **environment})
        scicow.wait_for("check scicat.username and scicat.password", PATIENCE)
        check_process(scicow.pid)
    catalogue.scripts = [say(answer("200 OK", b"<html>")), say(answer("500 Wrong"))] * 50
    check("scicow status", run(SCICOW, "status", "--config", config, **environment))
    check("scicow config show", run(SCICOW, "config", "show", "--config", config, **environment))
    check_files(tmp_path, {properties})


@pytest.mark.parametrize(
    ("change", "environment"),
    [
        pytest.param({}, {"HTTPS_PROXY": f"{PROXY}1", "HTTP_PROXY": f"{PROXY}1", "NO_PROXY": ""}, id="proxy away"),
        pytest.param({}, {"HTTP_PROXY": f"{PROXY}port", "NO_PROXY": ""}, id="proxy malformed"),
        pytest.param({"url": f"http://someone:{quote(SECRET)}@127.0.0.1:9"}, {}, id="in the address"),
        pytest.param({"password": [SECRET]}, {}, id="a list"),
        pytest.param({"passwort": SECRET}, {}, id="a name that is none"),
        pytest.param({"timeout": SECRET}, {}, id="in the place of a number"),
    ],
)
@pytest.mark.parametrize("command", [["run"], pytest.param(["config", "show"], marks=pytest.mark.long)], ids=" ".join)
def test_mistakes_in_scicows_settings_show_no_secret(
    tmp_path: Path, command: list[str], change: Mapping[str, Any], environment: Mapping[str, str]
) -> None:
    config = scicow_settings(tmp_path, "http://scicat.example.org", topics="(")  # a mistake, with which it does not run
    found = yaml.safe_load(config.read_text())
    found["scicat"] |= change
    if "_PROXY" in "".join(environment):
        found["kafka"]["topics"] = "^scifish-.*"
        command = ["status"]
    config.write_text(yaml.safe_dump(found))
    said = run(SCICOW, *command, "--config", config, **{"SCIZOO_SCICAT_PASSWORD": SECRET, **environment})
    check(f"scicow {command}", said)


def test_what_is_printed_of_settings_and_clients_has_no_secret(tmp_path: Path) -> None:
    from ingest.scicat import SciCat
    from ingest.scicow.settings import load
    from sdm.office.rest import RestClient, Token
    from taurus_widgets.scanlog.data.token_file import StoredLogin

    config = scicow_settings(tmp_path, "http://scicat.example.org")
    os.environ["SCIZOO_SCICAT_PASSWORD"], before = SECRET, os.environ.get("SCIZOO_SCICAT_PASSWORD")
    try:
        settings = load(config)
    finally:
        os.environ.pop("SCIZOO_SCICAT_PASSWORD")
        if before is not None:
            os.environ["SCIZOO_SCICAT_PASSWORD"] = before
    token = Token(secret_file(tmp_path / "token", SECRET[-16:]))
    assert token() == SECRET[-16:]
    office = RestClient(
        "https://duo.example.org", settings_name="x", header="Authorization: {token}", timeout=1.0, token=token
    )
    shown = (
        settings,
        settings.scicat,
        SciCat("http://x", "someone", SECRET, SECRET),
        token,
        office,
        StoredLogin("someone", SECRET),
    )
    for each in shown:
        for text in (repr(each), f"{each}", f"{[each]}", f"{ {'x': each} }"):
            check(type(each).__name__, text)
