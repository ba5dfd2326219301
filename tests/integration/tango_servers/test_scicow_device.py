"""The device SciCow, which queries a real SciCow over HTTP."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import tango
from tango import AttrQuality, DevState

from deploy.demo.processes import Processes
from deploy.demo.stack import Stack
from ingest.scicow.monitoring.server import MonitoringServer
from ingest.scicow.monitoring.status import ReplicaStatus
from ingest.scicow.pipeline.counters import Progress
from ingest.scicow.settings import HttpSettings
from scifish.message import encode
from tests.builders.messages import message
from tests.integration.scicow.test_scicow_seen import Site
from tests.servers.catalogue import Catalogue
from tests.servers.kafka import Kafka, send
from tests.servers.tango_system import Events, control_system
from tests.servers.user_office import Answer, body, dripping, endless, html, hung, redirect, user_office
from tests.waiting import PATIENCE, eventually

DEVICE = "b311a-e/ctl/scicow-01"
COSAXS, FEMTOMAX = "scifish-cosaxs", "scifish-femtomax"
COMMAND = [sys.executable, "-m", "tango_servers.SciCow"]


class Replica:
    """A replica with the counts that the test sets. Only its consumer is not real."""

    def __init__(self) -> None:
        self.last_poll = time.monotonic()
        self.assigned = True
        self.stopping = False
        self.behind: dict[tuple[str, int], tuple[int, float]] = {(COSAXS, 0): (0, 0.0)}
        self.letters: int | None = 0
        self.progress = Progress()
        self.progress.count(COSAXS, "ingested", 10)
        self._server = ExitStack()
        self._port = 0
        self.start()

    def lag_by_partition(self) -> dict[tuple[str, int], tuple[int, float]]:
        return self.behind

    def start(self) -> None:
        state = ReplicaStatus(self, self.progress, lambda: self.letters)
        server = self._server.enter_context(MonitoringServer(HttpSettings(port=self._port), state))
        self.url = server.url
        self._port = int(server.url.rpartition(":")[2])

    def stop(self) -> None:
        self._server.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("scicow")) as system:
        system.start_server("SciCow/demo", {DEVICE: ("SciCow", {"Period": ["0.2"]})}, COMMAND)
        yield system


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    found = [Replica(), Replica()]
    yield found
    for each in found:
        each.stop()


def with_properties(stack: Stack, **properties: Sequence[str]) -> tango.DeviceProxy:
    """The device after an Init with these properties."""
    names = list(stack.db.get_device_property_list(DEVICE, "*").value_string)
    stack.db.delete_device_property(DEVICE, {name: [] for name in names})
    stack.db.put_device_property(DEVICE, {"Period": ["0.2"], "Timeout": ["60"], **properties})
    proxy = tango.DeviceProxy(stack.name(DEVICE))
    proxy.set_timeout_millis(int(PATIENCE * 1000))
    proxy.Init()
    return proxy


def is_in(proxy: tango.DeviceProxy, state: DevState, sentence: str = "") -> bool:
    return eventually(lambda: proxy.state() == state and sentence in proxy.status())


def quality(proxy: tango.DeviceProxy, name: str) -> AttrQuality:
    return proxy.read_attribute(name).quality


def test_it_adds_the_replicas_up(stack: Stack, replicas: list[Replica]) -> None:
    one, two = replicas
    one.behind = {(COSAXS, 0): (3, 12.0)}
    two.behind = {(COSAXS, 1): (4, 20.0), (FEMTOMAX, 0): (1, 1.5)}
    two.progress.count(FEMTOMAX, "retried", 2)
    cow = with_properties(stack, Urls=[one.url, f"{two.url}/status", one.url, ""])
    assert is_in(cow, DevState.ON, "Replicas that answer: 2 of 2.")
    assert (cow.Lag, cow.LagSeconds, cow.DeadLetters, cow.Ingested, cow.Retried) == (8, 20.0, 0, 20, 2)
    assert (cow.Missing, cow.Held, cow.Beamlines) == (0, "", (COSAXS, FEMTOMAX))
    assert {quality(cow, name) for name in ("Lag", "LagSeconds", "DeadLetters", "Held")} == {AttrQuality.ATTR_VALID}


@pytest.mark.parametrize("property_", [{"Beamline": ["femtomax"]}, {"Topic": [FEMTOMAX]}])
def test_it_can_show_one_beamline(stack: Stack, replicas: list[Replica], property_: dict[str, list[str]]) -> None:
    one, two = replicas
    one.behind = {(COSAXS, 0): (5, 1e4)}
    one.progress.count(COSAXS, "missing", 1)
    two.behind = {(FEMTOMAX, 0): (1, 1.5)}
    two.progress.count(FEMTOMAX, "ingested", 7)
    cow = with_properties(stack, Urls=[one.url, two.url], **property_)
    assert is_in(cow, DevState.ON)
    assert (cow.Lag, cow.LagSeconds, cow.Ingested, cow.Beamlines) == (1, 1.5, 7, (FEMTOMAX,))


def test_it_alarms_when_a_message_waits_for_too_long(stack: Stack, replicas: list[Replica]) -> None:
    one, _ = replicas
    cow = with_properties(stack, Urls=[one.url], MaxLag=["60"])
    assert is_in(cow, DevState.ON)
    events = Events(cow, "State", "LagSeconds")
    one.behind = {(COSAXS, 0): (5, 61.0)}
    assert is_in(cow, DevState.ALARM, "A message is waiting for 61 s (MaxLag is 60)")
    assert quality(cow, "LagSeconds") == AttrQuality.ATTR_ALARM
    one.behind = {(COSAXS, 0): (0, 0.0)}
    assert is_in(cow, DevState.ON)
    assert eventually(lambda: ("lagseconds", 61.0) in events.seen and ("state", DevState.ALARM) in events.seen)
    events.close()


def test_it_alarms_when_dead_letters_wait(stack: Stack, replicas: list[Replica]) -> None:
    one, two = replicas
    one.letters = two.letters = 3  # both replicas count the same topic
    cow = with_properties(stack, Urls=[one.url, two.url])
    assert is_in(cow, DevState.ALARM, "Waiting dead letters: 3. See the reasons with `scicow dead-letters list`.")
    assert cow.DeadLetters == 3
    one.letters = two.letters = None
    assert is_in(cow, DevState.ON)
    assert quality(cow, "DeadLetters") == AttrQuality.ATTR_INVALID


def test_it_alarms_when_scicow_is_held(stack: Stack, replicas: list[Replica]) -> None:
    one, two = replicas
    one.progress.held = two.progress.held = "SciCat does not answer\nλ\x1b"
    cow = with_properties(stack, Urls=[one.url, two.url])
    assert is_in(cow, DevState.ALARM, "SciCow is held: SciCat does not answer \\u03bb. It resumes by itself")
    assert cow.Held == "SciCat does not answer \\u03bb"
    assert quality(cow, "Held") == AttrQuality.ATTR_ALARM


def test_missing_messages_alarm_until_they_are_acknowledged(stack: Stack, replicas: list[Replica]) -> None:
    one, two = replicas
    one.progress.count(COSAXS, "missing", 2)
    cow = with_properties(stack, Urls=[one.url, two.url])
    assert is_in(cow, DevState.ALARM, "Missing messages: 2. `scicow audit` names their datasets")
    cow.AcknowledgeMissing()
    assert is_in(cow, DevState.ON)
    assert cow.Missing == 2
    two.progress.count(COSAXS, "missing")
    assert is_in(cow, DevState.ALARM, "Missing messages: 1.")
    cow.AcknowledgeMissing()
    assert is_in(cow, DevState.ON)
    one.progress.topics.clear()  # like after its restart
    assert eventually(lambda: cow.Missing == 1)
    one.progress.count(COSAXS, "missing")
    assert is_in(cow, DevState.ALARM, "Missing messages: 1.")


def test_it_is_in_alarm_without_one_replica_and_in_fault_without_all(stack: Stack, replicas: list[Replica]) -> None:
    one, two = replicas
    cow = with_properties(stack, Urls=[one.url, two.url])
    assert is_in(cow, DevState.ON)
    two.stop()
    assert is_in(cow, DevState.ALARM, f"{two.url} does not answer: is that SciCow running")
    assert cow.Ingested == 10
    one.stop()
    assert is_in(cow, DevState.FAULT, "No replica of SciCow answers.")
    assert quality(cow, "Lag") == quality(cow, "Beamlines") == AttrQuality.ATTR_INVALID
    one.start()
    two.start()
    assert is_in(cow, DevState.ON)
    assert quality(cow, "Lag") == AttrQuality.ATTR_VALID


STATUS = {"version": "1", "started": "", "state": "running", "held": "", "beamlines": {}, "dead_letters": None}
NAN = {"lag": float("nan"), "lag_seconds": 0, "ingested": 0, "retried": 0, "missing": 0}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (hung, "has not answered within 1 s"),
        (dripping, "does not end its answer"),
        (endless, "does not end its answer"),
        (html(), "does not answer with SciCow's status"),
        (body(b"[" * 100_000), "does not answer with SciCow's status"),
        (body(b"{}"), "does not answer with SciCow's status"),
        (body(json.dumps({**STATUS, "beamlines": {"a": NAN}}).encode()), "does not answer with SciCow's status"),
        (body(json.dumps({**STATUS, "dead_letters": 10**30}).encode()), "does not answer with SciCow's status"),
        (body(json.dumps({**STATUS, "held": ["x"]}).encode()), "does not answer with SciCow's status"),
        (redirect("http://example.org/"), "answers with status 302"),
        (html(503), "answers with status 503"),
    ],
)
def test_an_address_that_is_not_a_replica_does_no_harm(
    stack: Stack, replicas: list[Replica], answer: Answer, why: str
) -> None:
    with user_office() as server:
        server.does("/status", answer)
        cow = with_properties(stack, Urls=[replicas[0].url, server.url], Timeout=["1"])
        assert is_in(cow, DevState.ALARM, f"{server.url} {why}")
        assert eventually(lambda: cow.read_attribute("Ingested").value == 10)


def test_reading_and_init_are_instant_while_a_replica_hangs(stack: Stack) -> None:
    answers = threading.Event()
    with user_office() as server:
        server.does("/status", lambda request: answers.wait() and html(503)(request))
        cow = with_properties(stack, Urls=[server.url])
        assert eventually(lambda: server.asked)
        for _ in range(2):
            assert cow.state() == DevState.UNKNOWN
            assert "SciCow has not been asked yet." in cow.status()
            assert quality(cow, "Lag") == AttrQuality.ATTR_INVALID
            cow.Init()
        answers.set()
        assert is_in(cow, DevState.FAULT, "answers with status 503")


def test_mistakes_in_the_properties_are_reported(stack: Stack, replicas: list[Replica]) -> None:
    cow = with_properties(stack)
    assert is_in(cow, DevState.FAULT, "The property Urls is empty: write the address of SciCow's status")
    cow = with_properties(stack, Urls=["scicow:9404", "http://ingestor:s3cret@scicow:9404"])
    assert is_in(cow, DevState.FAULT, "'scicow:9404' is not like http://host:9404")
    assert "s3cret" not in cow.status()
    cow = with_properties(stack, Urls=[replicas[0].url], MaxLag=["soon"], Period=["nan"], Timeout=["1000"])
    assert is_in(cow, DevState.ALARM, "MaxLag must be a number of seconds from 0.1 to 1e+09; 300 is used")
    assert "Period must be" in cow.status()
    assert "Timeout must be" in cow.status()
    assert cow.Ingested == 10


@pytest.mark.long
def test_a_topic_without_a_reader_is_reported_after_a_while(stack: Stack, replicas: list[Replica]) -> None:
    cow = with_properties(stack, Urls=[replicas[0].url], Beamline=["cosax"])
    assert is_in(cow, DevState.ON)
    assert quality(cow, "Lag") == AttrQuality.ATTR_INVALID
    assert cow.Beamlines == ()
    assert eventually(lambda: "No replica in Urls reads the topic scifish-cosax" in cow.status())
    assert cow.state() == DevState.ALARM


def test_it_continues_after_a_restart(stack: Stack, replicas: list[Replica]) -> None:
    cow = with_properties(stack, Urls=[replicas[0].url])
    assert is_in(cow, DevState.ON)
    tango.DeviceProxy(stack.name("dserver/SciCow/demo")).RestartServer()
    assert eventually(lambda: _state(cow) == DevState.ON and _ingested(cow) == 10)


def _state(cow: tango.DeviceProxy) -> DevState | None:
    try:
        return cow.state()
    except tango.DevFailed:  # it is just starting
        return None


def _ingested(cow: tango.DeviceProxy) -> int | None:
    try:
        return int(cow.read_attribute("Ingested").value or 0)
    except tango.DevFailed:
        return None


def test_jive_can_show_what_each_property_and_attribute_is_for(stack: Stack) -> None:
    server = tango.DeviceProxy(stack.name("dserver/SciCow/demo"))
    answer = iter(server.QueryWizardDevProperty("SciCow"))
    documented = {name: text for name, text, _ in zip(answer, answer, answer, strict=True)}
    assert set(documented) == {"Urls", "Beamline", "Topic", "MaxLag", "Period", "Timeout"}
    assert all(len(text) > 20 for text in documented.values())
    cow = tango.DeviceProxy(stack.name(DEVICE))
    ours = [info for info in cow.attribute_list_query() if info.name not in ("State", "Status")]
    assert len(ours) == 8
    assert all(len(info.description) > 15 for info in ours)


def test_it_shows_a_real_scicow(stack: Stack, kafka: Kafka, catalogue: Catalogue, tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        site = Site(tmp_path, processes, kafka, catalogue.url, catalogue.ingestor)
        site.start(site.config())
        cow = with_properties(stack, Urls=[site.url], Topic=[site.topic])
        given = message("snapshot")
        send(kafka.bootstrap, site.topic, [(given["uuid"], encode(given)), ("b", b"no JSON")])
        assert eventually(lambda: cow.read_attribute("Ingested").value == 1)
        assert eventually(lambda: cow.read_attribute("DeadLetters").value == 1)
        assert is_in(cow, DevState.ALARM, "Waiting dead letters: 1.")
        assert cow.Lag == 0
