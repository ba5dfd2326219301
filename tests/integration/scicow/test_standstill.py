"""Each way in which SciCow stands still, or Kafka loses what it has not read: who says so, and what brings it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewPartitions,
    ResourcePatternType,
    ResourceType,
)
from prometheus_client.parser import text_string_to_metric_families as parse

from deploy.demo.processes import Process, Processes
from ingest.scicat import SciCat
from ingest.scicow.kafka.partition_inspector import Answer, PartitionFacts, PartitionInspector
from ingest.scicow.settings import KafkaSettings
from scifish.message import Message, encode
from tests.alerts import Metrics, firing
from tests.builders.messages import message
from tests.servers.catalogue import Catalogue, start_catalogue
from tests.servers.kafka import (
    ACCOUNT,
    Kafka,
    KafkaServer,
    SecuredKafka,
    delete_messages,
    delete_topic,
    free_ports,
    kafka_jars,
    make_topic,
    send,
)
from tests.servers.scicow import PASSWORD, start_scicow, write_settings
from tests.servers.stopped import stopped
from tests.waiting import PATIENCE, eventually

CLUSTER = "kafka-cluster"
"""The name of the resource that stands for the whole cluster: who may CREATE in it may create any topic."""

SCICOW = str(Path(sys.executable).with_name("scicow"))


@dataclass
class Site:
    """A topic, a SciCow that reads it and serves its status, and the catalogue where it arrives."""

    folder: Path
    processes: Processes
    bootstrap: str
    """Where the tests reach Kafka."""
    catalogue: Catalogue
    scicow_bootstrap: str = ""
    client_properties: str = ""
    run: str = field(default_factory=lambda: uuid4().hex[:8])
    port: int = field(default_factory=lambda: free_ports(1)[0])
    config: Path = Path()
    starts: int = 0

    @property
    def topic(self) -> str:
        return f"scifish-{self.run}"

    @property
    def group(self) -> str:
        return f"scicow-{self.run}"

    @property
    def properties(self) -> Path:
        return self.folder / "kafka.properties"

    def start(self, **settings: Any) -> Process:
        self.starts += 1
        own = {"creation_location": f"/{self.run}", "http": {"port": self.port}, **settings}
        self.config = write_settings(
            self.folder, self.scicow_bootstrap or self.bootstrap, self.catalogue, self.run, session=6, **own
        )
        with self.properties.open("a") as file:
            file.write(self.client_properties)
        return start_scicow(self.processes, f"scicow-{self.starts}", self.config, self.catalogue)

    def send(self, count: int) -> list[Message]:
        given = [message("snapshot") for _ in range(count)]
        send(self.bootstrap, self.topic, [(each["uuid"], encode(each)) for each in given])
        return given

    def count(self) -> int:
        account = self.catalogue.ingestor
        scicat = SciCat(self.catalogue.url, account.username, account.password)
        return len(scicat.datasets({"creationLocation": f"/{self.run}"}, fields=["pid"], limit=10_000))

    def ran(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, PASSWORD: self.catalogue.ingestor.password}
        argv = [SCICOW, *words, "--config", str(self.config)]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=4 * PATIENCE)

    def status(self) -> dict[str, Any]:
        """The parts that are wrong, by name: what `scicow status` says of them."""
        done = self.ran("status", "--json", "--timeout", "10", "--max-lag", "5")
        parts: dict[str, Any] = json.loads(done.stdout)["parts"]
        wrong = {name: part["text"] for name, part in parts.items() if not part["ok"]}
        assert done.returncode == bool(wrong)
        return wrong

    def audit(self) -> tuple[int, str]:
        done = self.ran("audit", "--from", "1h")
        return done.returncode, done.stdout

    def get(self, path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE)

    def seen(self) -> dict[str, Any]:
        """Its status; empty while it does not serve yet."""
        try:
            found: dict[str, Any] = self.get("/status").json()
        except requests.ConnectionError:
            return {}
        return found

    def of_topic(self) -> dict[str, Any]:
        found: dict[str, Any] = self.seen().get("beamlines", {}).get(self.topic, {})
        return found

    def metrics(self) -> Metrics:
        families = parse(self.get("/metrics").text)
        return {(each.name, each.labels.get("topic", "")): each.value for one in families for each in one.samples}

    def alerts(self, before: Metrics | None = None) -> set[str]:
        return firing(self.metrics(), before)


@pytest.fixture
def site(tmp_path: Path, kafka: Kafka, catalogue: Catalogue) -> Iterator[Site]:
    if not isinstance(kafka, KafkaServer):
        pytest.skip(f"a real Kafka of our own is needed, not {kafka.kind}")
    with Processes(tmp_path / "logs") as processes:
        yield Site(tmp_path / "run", processes, kafka.bootstrap, catalogue)


@pytest.fixture(scope="module")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka) -> Iterator[SecuredKafka]:
    if not isinstance(kafka, KafkaServer):
        pytest.skip(f"a real Kafka of our own is needed, not {kafka.kind}")
    folder = tmp_path_factory.mktemp("secured")
    with Processes(folder / "logs") as processes:
        server = SecuredKafka(folder / "server", processes, kafka_jars())
        server.start()
        yield server


@pytest.fixture
def secured(tmp_path: Path, secured_kafka: SecuredKafka, catalogue: Catalogue) -> Iterator[Site]:
    with Processes(tmp_path / "logs") as processes:
        site = Site(tmp_path / "run", processes, secured_kafka.bootstrap, catalogue)
        site.scicow_bootstrap, site.client_properties = secured_kafka.secured, secured_kafka.client_properties()
        make_topic(site.bootstrap, site.topic)
        yield site


def deny(site: Site, topic: str, operation: AclOperation) -> None:
    """Take this right away from SciCow's account, in a topic or in `CLUSTER`.

    Where there is no such rule, everybody has every right.
    """
    client = AdminClient({"bootstrap.servers": site.bootstrap})
    rule = AclBinding(*_rule(topic, operation))
    client.create_acls([rule])[rule].result(PATIENCE)


def give_back(site: Site, topic: str, operation: AclOperation) -> None:
    client = AdminClient({"bootstrap.servers": site.bootstrap})
    rule = AclBindingFilter(*_rule(topic, operation))
    client.delete_acls([rule])[rule].result(PATIENCE)


def _rule(topic: str, operation: AclOperation) -> tuple[Any, ...]:
    who = (f"User:{ACCOUNT}", "*")
    kind = ResourceType.BROKER if topic == CLUSTER else ResourceType.TOPIC
    return kind, topic, ResourcePatternType.LITERAL, *who, operation, AclPermissionType.DENY


def test_what_was_deleted_while_scicow_was_stopped_is_counted_and_shown_until_somebody_drops_it(site: Site) -> None:
    make_topic(site.bootstrap, site.topic, partitions=2)
    process = site.start()
    first = site.send(3)
    assert eventually(lambda: site.count() == len(first))
    assert eventually(lambda: not site.status())
    process.stop()
    lost = site.send(20)
    delete_messages(site.bootstrap, site.topic)
    later = site.send(10)
    assert "20 messages were deleted by Kafka" in site.status()["Kafka"]
    code, text = site.audit()
    assert code == 1
    assert text.count("were deleted by Kafka before SciCow had read them") >= 1
    site.start()
    assert eventually(lambda: site.count() == 13)
    assert eventually(lambda: site.of_topic().get("lost") == 20)
    assert eventually(lambda: (site.seen().get("dead_letters") or 0) >= 1)
    letters = json.loads(site.ran("dead-letters", "list", "--json").stdout)
    assert {"SciCowDeadLetters"} <= site.alerts()
    assert "SciCowLost" in site.alerts({("scicow_messages_lost_total", site.topic): 0.0})
    assert "SciCowLost" in site.alerts()  # also as the counter's first value
    assert "Dead letters" in site.status()
    code, text = site.audit()
    assert (code, "20 messages" in text or text.count("deleted by Kafka") >= 2) == (1, True)
    # Sent again, by `scifish resend` of the beamline's machine.
    send(site.bootstrap, site.topic, [(each["uuid"], encode(each)) for each in lost])
    assert eventually(lambda: site.count() == len(first) + len(lost) + len(later))
    assert site.ran("dead-letters", "replay", "--all", "--yes").returncode != 0
    assert len(letters) >= 1
    assert site.ran("dead-letters", "drop", "--all", "--yes").returncode == 0
    assert eventually(lambda: not site.status())
    assert site.audit()[0] == 0


@pytest.mark.long
def test_what_is_deleted_while_scicat_is_away_is_counted_to_the_message(site: Site, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    site.catalogue = start_catalogue(site.processes, tmp_path / "own", port=port, name="scicat-1")
    make_topic(site.bootstrap, site.topic)
    site.start(max_waiting=5)
    site.send(1)
    assert eventually(lambda: site.count() == 1)
    assert site.catalogue.process is not None
    site.catalogue.process.stop()
    site.send(60)
    assert eventually(lambda: site.seen().get("held"))
    assert "SciCowHeld" in site.alerts()
    delete_messages(site.bootstrap, site.topic)
    site.send(4)
    start_catalogue(site.processes, tmp_path / "own", port=port, name="scicat-2")
    assert eventually(lambda: site.of_topic().get("lag") == 0 and site.of_topic().get("lost", 0) > 0)
    assert eventually(lambda: site.count() + site.of_topic()["lost"] == 65)
    assert eventually(lambda: "Dead letters" in site.status())


@pytest.mark.long
def test_a_partition_that_is_emptied_unread_is_counted_without_a_further_message(site: Site) -> None:
    make_topic(site.bootstrap, site.topic)
    process = site.start()
    site.send(2)
    assert eventually(lambda: site.count() == 2)
    process.stop()
    site.send(7)
    delete_messages(site.bootstrap, site.topic)
    site.start()
    assert eventually(lambda: site.of_topic().get("lost") == 7)
    assert eventually(lambda: site.seen().get("dead_letters") == 1)


def test_a_topic_that_is_made_again_is_read_from_its_beginning(site: Site) -> None:
    make_topic(site.bootstrap, site.topic, partitions=4)
    site.start()
    site.send(60)
    assert eventually(lambda: site.count() == 60)
    for tries in range(1, 4):
        delete_topic(site.bootstrap, site.topic)
        # With fewer partitions, too.
        assert eventually(lambda tries=tries: make_again(site, 4 - tries))  # type: ignore[misc]
        site.send(60)
        assert eventually(lambda tries=tries: site.count() == 60 * (tries + 1))  # type: ignore[misc]
    assert eventually(lambda: "Dead letters" in site.status())  # what SciCow has not seen of it is not known
    assert "the topic was deleted and created again" in site.ran("dead-letters", "list").stdout
    # librdkafka may keep a partition that the topic no longer has, until SciCow reconnects.
    assert eventually(
        lambda: site.ran("dead-letters", "drop", "--all", "--yes").returncode == 0 and not site.status(), 3 * PATIENCE
    )


def make_again_with_messages_read(site: Site, folder: Path, port: int) -> Process:
    """Returns a SciCow that has read 30 messages of a topic which was then deleted and created again, with 5 others.

    Its catalogue, whose state is in `folder`, was stopped before it could have the 30.
    """
    site.catalogue = start_catalogue(site.processes, folder / "own", port=port, name="scicat-1")
    make_topic(site.bootstrap, site.topic)
    process = site.start()
    site.send(1)
    assert eventually(lambda: site.count() == 1)
    assert site.catalogue.process is not None
    site.catalogue.process.stop()
    site.send(30)
    assert eventually(lambda: site.of_topic().get("waiting") == 30)
    delete_topic(site.bootstrap, site.topic)
    assert eventually(lambda: make_again(site, 1))
    site.send(5)
    return process


@pytest.mark.long
def test_what_was_read_of_a_topic_that_is_deleted_is_not_lost(site: Site, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    make_again_with_messages_read(site, tmp_path, port)
    start_catalogue(site.processes, tmp_path / "own", port=port, name="scicat-2")
    assert eventually(lambda: site.count() == 36)


@pytest.mark.long
def test_a_scicow_that_is_killed_with_messages_of_a_deleted_topic_leaves_a_trace(site: Site, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    process = make_again_with_messages_read(site, tmp_path, port)
    process.wait_for("the topic was deleted and created again")
    # Kafka has deleted what was committed, with the topic; SciCow commits it again, for whoever comes after it.
    assert eventually(lambda: 0 <= committed(site) <= 1)
    process.kill()
    start_catalogue(site.processes, tmp_path / "own", port=port, name="scicat-2")
    site.start()
    assert eventually(lambda: site.of_topic().get("lost", 0) >= 1)
    assert eventually(lambda: site.count() == 6)
    assert eventually(lambda: committed(site) == 5)


def committed(site: Site) -> int:
    """The offset that SciCow's group has committed of partition 0; negative if none."""
    admin = AdminClient({"bootstrap.servers": site.bootstrap})
    wanted = [ConsumerGroupTopicPartitions(site.group, [TopicPartition(site.topic, 0)])]
    offset: int = admin.list_consumer_group_offsets(wanted)[site.group].result(PATIENCE).topic_partitions[0].offset
    return offset


def test_a_topic_that_is_deleted_is_left_out_of_what_kafka_says_of_partitions(site: Site) -> None:
    make_topic(site.bootstrap, site.topic)
    key, kept = (site.topic, 0), (f"{site.topic}-kept", 0)
    make_topic(site.bootstrap, kept[0])
    inspector = PartitionInspector(KafkaSettings(site.bootstrap, group_id=site.group))
    answers: list[Answer] = []

    def answered() -> set[tuple[str, int]]:
        inspector.ask([key, kept])
        assert eventually(lambda: (answer := inspector.answer()) is not None and not answers.append(answer))
        return {each for each, facts in answers[-1].items() if isinstance(facts, PartitionFacts)}

    try:
        assert eventually(lambda: answered() == {key, kept})
        delete_topic(site.bootstrap, site.topic)
        assert eventually(lambda: answered() == {kept} == set(answers[-1]))
    finally:
        inspector.close()


def make_again(site: Site, partitions: int) -> bool:
    """False while the old one is still being deleted."""
    try:
        make_topic(site.bootstrap, site.topic, partitions=partitions)
    except Exception:  # noqa: BLE001 - it exists still
        return False
    return True


def test_an_offset_that_was_committed_in_another_topic_of_this_name_is_not_used(site: Site) -> None:
    make_topic(site.bootstrap, site.topic)
    site.send(10)
    admin = AdminClient({"bootstrap.servers": site.bootstrap})
    stale = TopicPartition(site.topic, 0, 8, "an id that is another topic's")
    wanted = [ConsumerGroupTopicPartitions(site.group, [stale])]
    admin.alter_consumer_group_offsets(wanted)[site.group].result(PATIENCE)
    site.start()
    assert eventually(lambda: site.count() == 10)


def seen_by_all(site: Site, given: list[Message]) -> bool:
    """Whether all of them are done and each is there once, with its file once."""
    account = site.catalogue.ingestor
    scicat = SciCat(site.catalogue.url, account.username, account.password)
    found = scicat.datasets({"creationLocation": f"/{site.run}"}, fields=["pid", "numberOfFiles"], limit=10_000)
    done = {each["pid"]: each["numberOfFiles"] for each in found} == {f"scizoo/{each['uuid']}": 1 for each in given}
    return done and site.of_topic().get("lag") == 0


def delete_group(site: Site) -> None:
    admin = AdminClient({"bootstrap.servers": site.bootstrap})
    (answer,) = admin.delete_consumer_groups([site.group]).values()
    answer.result(PATIENCE)


def set_offset(site: Site, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": site.bootstrap})
    place = [ConsumerGroupTopicPartitions(site.group, [TopicPartition(site.topic, 0, offset)])]
    (answer,) = admin.alter_consumer_group_offsets(place).values()
    answer.result(PATIENCE)


def has_no_members(site: Site) -> bool:
    admin = AdminClient({"bootstrap.servers": site.bootstrap})
    (answer,) = admin.describe_consumer_groups([site.group]).values()
    return answer.result(PATIENCE).state == ConsumerGroupState.EMPTY


def test_a_group_that_is_deleted_or_set_back_while_scicow_is_down_loses_and_doubles_nothing(site: Site) -> None:
    make_topic(site.bootstrap, site.topic)
    given = site.send(5)
    process = site.start()
    assert eventually(lambda: seen_by_all(site, given))
    for change in (delete_group, lambda site: set_offset(site, 2)):
        process.stop(PATIENCE)
        assert eventually(lambda: has_no_members(site))
        change(site)
        given += site.send(2)
        process = site.start()
        assert eventually(lambda given=given: seen_by_all(site, given))
    assert site.of_topic()["lost"] == 0


@pytest.mark.long
def test_an_offset_beyond_the_end_of_the_topic_is_not_believed(site: Site) -> None:
    make_topic(site.bootstrap, site.topic)
    given = site.send(5)
    process = site.start()
    assert eventually(lambda: seen_by_all(site, given))
    process.stop(PATIENCE)
    assert eventually(lambda: has_no_members(site))
    set_offset(site, 1000)
    given += site.send(2)
    site.start()
    assert eventually(lambda: seen_by_all(site, given))
    assert site.of_topic()["lost"] == 1  # there may have been others, which somebody should know


@pytest.mark.long
def test_a_group_that_is_deleted_under_a_scicow_that_was_thought_dead_loses_and_doubles_nothing(site: Site) -> None:
    make_topic(site.bootstrap, site.topic)
    given = site.send(5)
    process = site.start()
    assert eventually(lambda: seen_by_all(site, given))
    with stopped(process.pid):
        assert eventually(lambda: has_no_members(site))
        delete_group(site)
        given += site.send(2)
    assert eventually(lambda: seen_by_all(site, given))
    assert site.of_topic()["lost"] == 0


@pytest.mark.long
def test_more_partitions_are_read_as_they_come(site: Site) -> None:
    make_topic(site.bootstrap, site.topic)
    site.start()
    site.send(10)
    assert eventually(lambda: site.count() == 10)
    admin = AdminClient({"bootstrap.servers": site.bootstrap})
    admin.create_partitions([NewPartitions(site.topic, 3)])[site.topic].result(PATIENCE)
    site.send(30)
    assert eventually(lambda: site.count() == 40)
    assert eventually(lambda: not site.status())


@pytest.mark.long  # `make faults` changes it, too
def test_a_changed_password_is_reported_and_its_file_is_read_again(secured: Site, secured_kafka: SecuredKafka) -> None:
    process = secured.start()
    secured.send(2)
    assert eventually(lambda: secured.count() == 2)
    assert eventually(lambda: not secured.status())
    assert secured.get("/readyz").status_code == 200
    secured_kafka.stop()
    secured_kafka.set_password(f"changed-{uuid4().hex}")
    secured_kafka.start()
    secured.send(3)
    assert eventually(lambda: "uthentication" in secured.seen()["held"])
    assert secured.get("/readyz").status_code == 503
    assert "config_file" in secured.get("/readyz").text
    assert "SciCowHeld" in secured.alerts()
    assert "Replica" in secured.status()
    before = secured.properties.read_text()
    own = before[: before.index("security.protocol")]
    secured.properties.write_text(own + secured_kafka.client_properties())
    assert eventually(lambda: secured.count() == 5)
    assert eventually(lambda: not secured.status())
    assert secured.get("/readyz").status_code == 200
    assert not secured.alerts()
    assert process.running


@pytest.mark.long
def test_a_missing_dead_letter_topic_that_it_may_not_create_is_reported(secured: Site) -> None:
    dead_letters = f"dead-{secured.run}"
    for where in (dead_letters, CLUSTER):
        deny(secured, where, AclOperation.CREATE)
    process = secured.start()
    process.wait_for("the dead-letter topic dead-.* does not exist, and Kafka does not let this account make it")
    assert "does not exist" in secured.status()["Dead letters"]
    send(secured.bootstrap, secured.topic, [("b", b"no JSON")])
    secured.send(1)
    assert eventually(lambda: "does not let this account make it" in secured.seen().get("held", ""))
    assert "SciCowHeld" in secured.alerts()
    assert "does not let this account make it" in secured.status()["Replica"]
    for where in (dead_letters, CLUSTER):
        give_back(secured, where, AclOperation.CREATE)
    assert eventually(lambda: secured.seen().get("dead_letters") == 1, 2 * PATIENCE)
    assert eventually(lambda: secured.seen().get("held") == "")


def test_before_there_is_a_topic_status_does_not_ask_for_another_scicow(site: Site) -> None:
    site.start()
    assert eventually(lambda: site.seen().get("state") == "running")
    assert eventually(lambda: not site.status())


def test_a_scicow_that_has_exited_or_is_stopped_is_reported(site: Site) -> None:
    process = site.start()
    site.send(1)
    assert eventually(lambda: site.count() == 1)
    process.stop()
    assert "start one with `scicow run`" in site.status()["Kafka"]
    assert firing(None) == {"SciCowAway"}


@pytest.mark.long
def test_a_topic_that_may_not_be_read_is_reported(secured: Site) -> None:
    secured.start()
    secured.send(1)
    assert eventually(lambda: secured.count() == 1)
    deny(secured, secured.topic, AclOperation.READ)
    secured.send(1)
    assert eventually(lambda: "Topic authorization failed" in secured.seen()["held"], 2 * PATIENCE)
    assert secured.get("/readyz").status_code == 503
    assert "SciCowHeld" in secured.alerts()
    assert "Topic authorization failed" in secured.status()["Replica"]
    give_back(secured, secured.topic, AclOperation.READ)
    assert eventually(lambda: secured.count() == 2)
    assert eventually(lambda: secured.seen()["held"] == "")
