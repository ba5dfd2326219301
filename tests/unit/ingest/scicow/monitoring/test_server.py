"""What a SciCow shows over HTTP, from a consumer that the test makes up."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse

from ingest.scicow.kafka.topics import TopicError
from ingest.scicow.monitoring import service
from ingest.scicow.monitoring.metrics import COUNTER_HELP
from ingest.scicow.monitoring.server import MAX_CONNECTIONS, MonitoringServer, _RequestHandler
from ingest.scicow.monitoring.service import LetterCount
from ingest.scicow.monitoring.status import MAX_POLL_AGE_SECONDS, ReplicaStatus
from ingest.scicow.pipeline.counters import Progress, TopicCounters
from ingest.scicow.settings import HttpSettings, SciCowSettingsError
from tests.paths import DOCS
from tests.waiting import PATIENCE, eventually

COSAXS, FEMTOMAX = "scifish-cosaxs", "scifish-femtomax"


class MadeUp:
    """A consumer with two partitions of one topic."""

    def __init__(self) -> None:
        self.last_poll = time.monotonic()
        self.assigned = True
        self.stopping = False
        self.behind = {(COSAXS, 0): (3, 12.5), (COSAXS, 1): (1, 80.0)}

    def lag_by_partition(self) -> dict[tuple[str, int], tuple[int, float]]:
        return self.behind


class System:
    def __init__(self) -> None:
        self.cow = MadeUp()
        self.progress = Progress()
        self.letters: int | None = 2
        self.state = ReplicaStatus(self.cow, self.progress, lambda: self.letters)
        self.server = MonitoringServer(HttpSettings(port=0), self.state)
        self.host = self.server.url.removeprefix("http://")

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): it for name, it in answer.getheaders()}, answer.read().decode()
        connection.close()
        return found

    def connect(self) -> socket.socket:
        name, _, port = self.host.partition(":")
        return socket.create_connection((name, int(port)), timeout=PATIENCE)


@pytest.fixture
def system() -> Iterator[System]:
    found = System()
    with found.server:
        yield found


def samples(text: str) -> dict[str, dict[str, float]]:
    """By name, then by topic."""
    return {
        sample.name: {each.labels.get("topic", ""): each.value for each in family.samples if each.name == sample.name}
        for family in parse(text)
        for sample in family.samples
    }


def test_metrics_are_by_topic(system: System) -> None:
    system.progress.count(COSAXS, "read", 7)
    system.progress.count(FEMTOMAX, "dead", 1)
    status, headers, text = system.ask("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(text)
    assert found["scicow_lag_messages"] == {COSAXS: 4}
    assert found["scicow_lag_seconds"] == {COSAXS: 80.0}
    assert found["scicow_messages_read_total"] == {COSAXS: 7, FEMTOMAX: 0}
    assert found["scicow_messages_dead_total"] == {COSAXS: 0, FEMTOMAX: 1}
    assert found["scicow_messages_waiting"] == {COSAXS: 0, FEMTOMAX: 0}
    assert found["scicow_held"] == {"": 0}
    assert found["scicow_dead_letters"] == {"": 2}
    assert found["process_resident_memory_bytes"][""] > 1e6


def test_what_is_not_known_is_not_a_number(system: System) -> None:
    system.letters = None
    system.progress.held = "SciCat does not answer"
    found = samples(system.ask("/metrics")[2])
    assert "scicow_dead_letters" not in found
    assert found["scicow_held"] == {"": 1}
    assert json.loads(system.ask("/status")[2])["dead_letters"] is None


def test_metrics_can_be_had_as_openmetrics(system: System) -> None:
    status, headers, text = system.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert status == 200
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_the_page_names_each_metric_and_alarms_on_no_other(system: System) -> None:
    page = (DOCS / "reference" / "scicow.md").read_text("utf-8")
    page = page.partition("## Monitoring")[2].partition("\n## ")[0]
    ours = {name for name in samples(system.ask("/metrics")[2]) if name.startswith("scicow_")}
    assert set(re.findall(r"^\| `(scicow_\w+)(?:\{topic\})?` \|", page, re.MULTILINE)) == ours
    assert set(re.findall(r"scicow_\w+", page)) == ours
    scrape, rules = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    assert scrape["scrape_configs"][0]["job_name"] == "scicow"
    assert all({"alert", "expr", "annotations"} <= set(rule) for rule in rules["groups"][0]["rules"])


def test_every_count_is_a_metric() -> None:
    assert {*COUNTER_HELP, "waiting"} == set(vars(TopicCounters()))


def test_the_status_says_all(system: System) -> None:
    system.progress.count(FEMTOMAX, "waiting", 2)
    status, headers, text = system.ask("/status?x=1")
    assert (status, headers["content-type"]) == (200, "application/json")
    found = json.loads(text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.pop("started"))
    none = {"read": 0, "ingested": 0, "retried": 0, "dead": 0, "foreign": 0, "missing": 0, "lost": 0, "waiting": 0}
    assert found == {
        "version": system.state.version,
        "state": "running",
        "held": "",
        "beamlines": {
            COSAXS: {"lag": 4, "lag_seconds": 80.0, **none},
            FEMTOMAX: {"lag": None, "lag_seconds": None, **none, "waiting": 2},
        },
        "dead_letters": 2,
    }


def test_it_is_alive_as_long_as_kafka_is_looked_at(system: System) -> None:
    assert system.ask("/healthz")[0] == 200
    system.progress.held = "SciCat does not answer"
    assert system.ask("/healthz")[0] == 200  # a restart would not help
    system.state._started = system.cow.last_poll = time.monotonic() - MAX_POLL_AGE_SECONDS - 1
    status, _, text = system.ask("/healthz")
    assert status == 503
    assert "the consumer hangs" in text


def test_it_is_ready_when_it_takes_part(system: System) -> None:
    assert system.ask("/readyz")[0] == 200
    system.cow.assigned = False
    assert system.ask("/readyz")[::2] == (503, "waiting for Kafka to assign partitions\n")
    assert json.loads(system.ask("/status")[2])["state"] == "starting"
    system.cow.assigned, system.cow.behind = True, {}  # another replica has them all
    system.progress.held = "SciCat does not answer"
    assert system.ask("/readyz")[::2] == (200, "ok; held: SciCat does not answer\n")
    assert json.loads(system.ask("/status")[2])["state"] == "held"
    system.cow.stopping = True
    assert system.ask("/readyz")[::2] == (503, "stopping\n")


def test_nothing_but_get_and_head(system: System) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        status, headers, _ = system.ask("/metrics", method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")
    status, headers, text = system.ask("/status", "HEAD")
    assert (status, text) == (200, "")
    assert int(headers["content-length"]) > 0


@pytest.mark.parametrize("path", ["/", "/metrics/", "/../etc/passwd", "/status/%2e%2e/", "/favicon.ico"])
def test_there_is_nothing_else(system: System, path: str) -> None:
    status, headers, text = system.ask(path)
    assert (status, headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert text == "there are /metrics, /healthz, /readyz, /status\n"
    assert "Python" not in headers["server"]


@pytest.mark.parametrize("sent", [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\xfe\0\r\n\r\n", b"GET /" + b"x" * 70_000])
def test_an_invalid_request_harms_no_other(system: System, sent: bytes) -> None:
    with system.connect() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(PATIENCE)
        while connection.recv(65_536):
            pass
    assert system.ask("/healthz")[0] == 200


def test_who_holds_connections_open_keeps_nobody_out(system: System) -> None:
    with ExitStack() as held:
        connections = [held.enter_context(system.connect()) for _ in range(4 * MAX_CONNECTIONS)]
        assert system.ask("/healthz")[0] == 200
        assert connections[0].recv(1) == b""


def test_a_port_that_is_taken_is_reported(system: System) -> None:
    port = int(system.host.rpartition(":")[2])
    with pytest.raises(
        SciCowSettingsError, match=rf"127.0.0.1:{port} \(Address already in use\); set http.host and http.port"
    ):
        MonitoringServer(HttpSettings(port=port), system.state)
    with pytest.raises(SciCowSettingsError, match=r"ä:1 \("):
        MonitoringServer(HttpSettings("ä" * 70, 1), system.state)
    with pytest.raises(SciCowSettingsError, match=r"no-such-host\.invalid:1 \("):
        MonitoringServer(HttpSettings("no-such-host.invalid", 1), system.state)


def test_it_ends_while_a_client_is_silent_and_gives_the_port_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_RequestHandler, "timeout", None)  # nobody gives up the one that is silent
    system = System()
    with system.server:
        silent = system.connect()
        assert system.ask("/healthz")[0] == 200  # so the connection before it was taken, too
    with MonitoringServer(HttpSettings(port=int(system.host.rpartition(":")[2])), system.state):
        assert system.ask("/healthz")[0] == 200
    silent.close()


def test_the_address_may_be_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with MonitoringServer(HttpSettings("::1", 0), ReplicaStatus(MadeUp(), Progress(), lambda: None)) as server:
        port = int(server.url.removeprefix("http://[::1]:"))
        with socket.create_connection(("::1", port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.0 200")


def test_dead_letters_are_counted_again_and_again() -> None:
    answers: list[int | None] = [4, None, 5]

    def count() -> int:
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if found is None:
            raise TopicError("no answer")
        return found

    letters = LetterCount(count, Progress(), every=0.01)
    assert letters() is None
    with letters:
        assert eventually(lambda: letters() == 5)


@pytest.mark.parametrize("error", [SciCowSettingsError("kafka.config_file: is empty"), BufferError("full")])
def test_the_letters_are_counted_again_whatever_error_came_before(error: Exception) -> None:
    answers = iter([error, 5])

    def count() -> int:
        answer = next(answers, 5)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with LetterCount(count, Progress(), every=0.01) as letters:
        assert eventually(lambda: letters() == 5)


@pytest.mark.parametrize("counter", ["dead", "lost"])
def test_a_dead_letter_of_our_own_is_counted_soon(counter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LETTER_POLL_SECONDS", 0.01)
    progress = Progress()

    def count() -> int:
        number: int = getattr(progress.snapshot().get(COSAXS, TopicCounters()), counter)
        return number

    with LetterCount(count, progress, every=3600.0) as letters:
        assert eventually(lambda: letters() == 0)
        progress.count(COSAXS, counter)
        assert eventually(lambda: letters() == 1)
