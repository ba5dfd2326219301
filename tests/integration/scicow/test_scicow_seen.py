"""What people and programs see of a real SciCow, and that they see no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse

from deploy.demo.processes import Process, Processes
from ingest.scicow.kafka.group_lag import GroupQueries
from ingest.scicow.settings import load
from scifish.message import encode
from tests.builders.messages import message
from tests.servers.catalogue import Account, Catalogue
from tests.servers.kafka import Kafka, free_ports, send
from tests.servers.scicow import topics_of_run
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first

NOBODY = "127.0.0.1:1"
"""Where nothing listens."""

SCICOW = str(Path(sys.executable).with_name("scicow"))
HOSTILE = "x\n2026-01-01 00:00:00,000 INFO ingest: forged\x1b[2J\r\u2028"


@dataclass
class Site:
    """Settings of a SciCow, its catalogue, and what is asked of both."""

    folder: Path
    processes: Processes
    kafka: Kafka
    scicat: str
    account: Account
    run: str = field(default_factory=lambda: uuid4().hex[:8])
    port: int = field(default_factory=lambda: free_ports(1)[0])

    @property
    def topic(self) -> str:
        return f"scifish-{self.run}-one"

    @property
    def dead_letter_topic(self) -> str:
        return f"dead-{self.run}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "SCIZOO_SCICAT_PASSWORD": self.account.password}

    def config(self, kafka: dict[str, Any] | None = None, **changes: Any) -> str:
        librdkafka = {"bootstrap_servers": self.kafka.bootstrap, "group_id": f"scicow-{self.run}"}
        settings = {
            "kafka": librdkafka | topics_of_run(self.run) | (kafka or {}),
            "dead_letter_topic": self.dead_letter_topic,
            "scicat": {"url": self.scicat, "username": self.account.username, "password": "${SCIZOO_SCICAT_PASSWORD}"},
            "contact": {"owner": "D", "contact_email": "data@example.org", "principal_investigator": "D"},
            "http": {"port": self.port},
            **changes,
        }
        path = self.folder / "scicow.yaml"
        path.write_text(yaml.safe_dump(settings))
        return str(path)

    def start(self, config: str, *arguments: str, name: str = "scicow") -> Process:
        return self.processes.start(name, [SCICOW, "run", "--config", config, *arguments], self.env)

    def status(self, config: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [SCICOW, "status", "--config", config, "--timeout", str(PATIENCE), *arguments]
        return subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=2 * PATIENCE)

    def parts(self, config: str, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.status(config, "--json", *arguments).stdout)["parts"]
        return found

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=PATIENCE)

    def serves(self) -> bool:
        try:
            return self.get("/healthz").ok
        except requests.ConnectionError:
            return False

    def seen(self) -> dict[str, Any]:
        """Its status; empty while it does not serve yet."""
        found: dict[str, Any] = self.get("/status").json() if self.serves() else {}
        return found

    def of_topic(self) -> dict[str, Any]:
        """The status of the topic; empty while that is not known yet."""
        found: dict[str, Any] = self.seen().get("beamlines", {}).get(self.topic, {})
        return found

    def metrics(self) -> dict[tuple[str, str], float]:
        """By name and topic."""
        families = parse(self.get("/metrics").text)
        return {(each.name, each.labels.get("topic", "")): each.value for one in families for each in one.samples}


@pytest.fixture
def site(tmp_path: Path, kafka: Kafka, catalogue: Catalogue) -> Iterator[Site]:
    with Processes(tmp_path / "logs") as processes:
        yield Site(tmp_path, processes, kafka, catalogue.url, catalogue.ingestor)


def test_a_running_scicow_is_seen_from_everywhere(site: Site) -> None:
    config = site.config()
    scicow = site.start(config, "--log-format", "json")
    given = [message("snapshot", datasetName=HOSTILE, proposalId="20250001") for _ in range(3)]
    send(site.kafka.bootstrap, site.topic, [(each["uuid"], encode(each)) for each in given])
    assert eventually(lambda: site.of_topic().get("ingested") == 3)
    send(site.kafka.bootstrap, site.topic, [("b", b"no JSON " + HOSTILE.encode())])
    assert eventually(lambda: site.seen()["dead_letters"] == 1)
    seen = site.seen()
    assert (seen["state"], seen["held"]) == ("running", "")
    assert seen["beamlines"][site.topic] == {
        **{
            "lag": 0,
            "lag_seconds": 0.0,
            "read": 4,
            "ingested": 3,
            "retried": 0,
            "dead": 1,
            "foreign": 0,
            "missing": 0,
            "lost": 0,
        },
        "waiting": 0,
    }
    assert [site.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    found = site.metrics()
    assert found["scicow_messages_ingested_total", site.topic] == 3
    assert found["scicow_messages_dead_total", site.topic] == 1
    assert found["scicow_lag_messages", site.topic] == 0
    assert found["scicow_dead_letters", ""] == 1

    lines = [json.loads(line) for line in scicow.text.splitlines()]
    of_datasets = {line["uuid"]: line for line in lines if line["logger"] == "ingest.scicow.catalogue.ingestor"}
    assert set(of_datasets) == {each["uuid"] for each in given}
    for line in of_datasets.values():
        assert (line["topic"], line["beamline"], line["proposal"]) == (site.topic, "cosaxs", "20250001")
        assert line["partition"] >= 0
        assert line["offset"] >= 0
        assert line["message"].isprintable()

    done = {"lag": 0, "lag_seconds": 0.0}
    assert eventually(lambda: site.parts(config)["Kafka"]["beamlines"].get(site.topic) == done)
    parts = site.parts(config)
    assert {part: found["ok"] for part, found in parts.items()} == {
        **{"Settings": True, "Kafka": True, "Dead letters": False},
        **{"SciCat": True, "User office": True, "Replica": True},
    }
    assert parts["Kafka"]["members"] == (1 if site.kafka.restartable else parts["Kafka"]["members"])
    assert parts["Dead letters"]["waiting"] == 1
    assert parts["SciCat"]["accepted"] is True
    assert parts["Replica"]["status"]["state"] == "running"
    told = site.status(config)
    assert told.returncode == 1
    assert f"1 waiting in {site.dead_letter_topic}: see the reasons with `scicow dead-letters list`" in told.stdout
    assert [line.split() for line in told.stdout.splitlines()[-1:]] == [[site.topic, "0", "0", "s"]]

    scicow.terminate()
    assert scicow.wait(PATIENCE) == 0


def test_all_well_is_exit_status_0(site: Site) -> None:
    config = site.config()
    site.start(config)
    given = message("snapshot")
    send(site.kafka.bootstrap, site.topic, [(given["uuid"], encode(given))])
    assert eventually(lambda: site.of_topic().get("ingested") == 1)
    told = site.status(config)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "WRONG" not in told.stdout


def test_text_lines_have_the_uuid_and_cannot_be_broken(site: Site) -> None:
    scicow = site.start(site.config())
    given = message("snapshot", datasetName=HOSTILE, proposalId="p\n2")
    send(site.kafka.bootstrap, site.topic, [(given["uuid"], encode(given))])
    scicow.wait_for(given["uuid"])
    send(site.kafka.bootstrap, site.topic, [("b", encode(message(uuid=HOSTILE)))])
    assert eventually(lambda: site.of_topic().get("dead") == 1)
    for line in scicow.text.splitlines():
        assert line.isprintable()
        assert not line.startswith("2026-01-01 00:00:00")


def test_with_scicat_away_it_is_alive_ready_and_held(site: Site) -> None:
    site.scicat = f"http://{NOBODY}"
    config = site.config()
    site.start(config)
    given = message("snapshot")
    send(site.kafka.bootstrap, site.topic, [(given["uuid"], encode(given))])
    assert eventually(lambda: site.seen().get("state") == "held")
    assert site.seen()["held"] == "SciCat does not answer"
    assert site.get("/healthz").status_code == 200
    ready = site.get("/readyz")
    assert (ready.status_code, ready.text) == (200, "ok; held: SciCat does not answer\n")
    assert site.metrics()["scicow_held", ""] == 1
    assert site.of_topic()["lag"] == 1
    assert eventually(lambda: site.of_topic()["lag_seconds"] > 1)
    told = site.status(config, "--max-lag", "1")
    assert told.returncode == 1
    assert "held: SciCat does not answer" in told.stdout
    assert f"{site.topic}: behind by more than 1 s" in told.stdout


def test_a_port_that_is_taken_is_reported_at_the_start(site: Site) -> None:
    config = site.config()
    site.start(config)
    assert eventually(site.serves)
    second = site.start(config, name="second")
    assert second.wait(PATIENCE) == 2
    assert f"http: metrics and health cannot be served at 127.0.0.1:{site.port} (Address already in use)" in second.text
    assert "Traceback" not in second.text


def test_status_with_everything_away(site: Site) -> None:
    site.scicat = f"http://{NOBODY}"
    silent = ThreadingHTTPServer(("127.0.0.1", 0), _Silent)
    Thread(target=silent.serve_forever, args=(0.05,), daemon=True).start()
    site.port = silent.server_address[1]
    config = site.config(kafka={"bootstrap_servers": NOBODY}, user_office="yaml:/none/proposals.yaml")
    told = site.status(config, "--timeout", "1")  # ends while the replica is still silent
    silent.shutdown()
    silent.server_close()
    assert told.returncode == 1
    wrong = {line.split()[1] for line in told.stdout.splitlines() if line.startswith("WRONG")}
    assert wrong == {"Kafka", "Dead", "SciCat", "User"}
    assert "is it running" in told.stdout
    assert "/none/proposals.yaml cannot be read" in told.stdout
    assert "Traceback" not in told.stdout + told.stderr


def test_status_with_no_scicow_in_the_group(site: Site) -> None:
    if not site.kafka.restartable:
        pytest.skip("the mock cluster does not tell who is in a group")
    before = time.time()
    given = message("snapshot")
    send(site.kafka.bootstrap, site.topic, [(given["uuid"], encode(given))])
    found = site.parts(site.config())["Kafka"]
    assert not found["ok"]
    assert "start one with `scicow run`" in found["text"]
    assert found["beamlines"][site.topic]["lag"] == 1
    assert 0 <= found["beamlines"][site.topic]["lag_seconds"] < time.time() - before + 1


def test_the_age_of_many_beamlines_is_known_in_time(site: Site) -> None:
    before = time.time()
    topics = [f"scifish-{site.run}-{number}" for number in range(8)]
    for topic in topics:
        send(site.kafka.bootstrap, topic, [(str(uuid4()), encode(message("snapshot"))) for _ in range(20)])
    group = GroupQueries(load(Path(site.config()), {}, secrets=False).kafka, PATIENCE)
    lag = group.lag_by_topic(topics)
    assert {each.messages for each in lag.values()} == {20}
    assert all(each.seconds is not None and each.seconds < time.time() - before + 1 for each in lag.values())


def test_a_mistake_in_the_settings_is_exit_status_2(site: Site) -> None:
    assert site.status(site.config(http={"port": "many"})).returncode == 2
    properties = site.folder / "kafka.properties"
    properties.touch(mode=0o600)
    properties.write_text("sasl.password s3cret\n")
    told = site.status(site.config(kafka={"config_file": str(properties)}))
    assert told.returncode == 2
    assert "line 1: must be name=value" in told.stderr
    assert "s3cret" not in told.stderr


def test_no_secret_is_seen_anywhere(site: Site) -> None:
    """With servers that repeat in their errors what they were sent, and a Kafka that wants no password."""
    secrets = ('pass"word\u00e5-1234', "token-5678", "sasl-9012")
    site.account = replace(site.account, password=secrets[0])
    echo = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    Thread(target=echo.serve_forever, args=(0.05,), daemon=True).start()
    site.scicat = f"http://127.0.0.1:{echo.server_address[1]}"
    properties = site.folder / "kafka.properties"
    properties.touch(mode=0o600)
    sasl = f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=cow\nsasl.password={secrets[2]}\n"
    given = message("snapshot")
    send(site.kafka.bootstrap, site.topic, [(given["uuid"], encode(given))])
    seen = []
    # The second Kafka never answers, so there is no use in waiting for it.
    for name, kafka, timeout in (("plain", {}, PATIENCE), ("sasl", {"config_file": str(properties)}, 1.0)):
        properties.write_text(sasl)
        config = site.config(kafka=kafka)
        scicow = site.start(config, "--log-level", "debug", name=name)
        assert eventually(site.serves)
        if name == "plain":
            _Echo.status = 401  # at first no login, then one after which nothing is allowed
            assert eventually(lambda: site.seen()["held"])
            _Echo.status = 201
            scicow.wait_for("403")
        else:
            scicow.wait_for("Kafka at .* Is it running")
        told = [site.status(config, "--timeout", str(timeout), *options) for options in ([], ["--json"])]
        shown = subprocess.run([SCICOW, "config", "show", "--config", config], capture_output=True, text=True)
        seen += [scicow.text, *(site.get(path).text for path in ("/metrics", "/status", "/readyz", "/healthz"))]
        seen += [each.stdout + each.stderr for each in (*told, shown)]
        scicow.kill()
    echo.shutdown()
    echo.server_close()
    everything = "\n".join(seen)
    assert "You sent" in everything  # so they were repeated to us
    for secret in secrets:
        assert secret not in everything
        assert json.dumps(secret)[1:-1] not in everything


class _Silent(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        while self.rfile.read(1):  # until who asked gives up
            pass

    def log_message(self, *_: Any) -> None:
        """Not on the terminal."""


class _Echo(BaseHTTPRequestHandler):
    """A SciCat that lets in with `status` 201, and answers everything else with what it was sent."""

    status = 401

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path.endswith("/login") and self.status == 201:
            self._say(201, json.dumps({"access_token": "token-5678"}))
        else:
            status = self.status if self.path.endswith("/login") else 403
            self._say(status, f"You sent {self.headers} {sent}")

    def do_GET(self) -> None:
        self._say(403, f"You sent {self.headers}")

    do_PATCH = do_POST

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Not on the terminal."""
