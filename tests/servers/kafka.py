"""Kafka for the tests: a real broker where there is a JVM, else librdkafka's mock cluster; and messages."""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from confluent_kafka import KafkaException, Producer, TopicPartition, cimpl
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
)

from deploy.demo.processes import Process, ProcessError, Processes
from tests.paths import ROOT
from tests.waiting import PATIENCE

KAFKA_VERSION = "4.1.2"
LOG4J_VERSION = "2.25.3"  # the one that this Kafka has

POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>scizoo</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""

# The short session lets a killed broker start again at once.
# One node that is broker and controller both (KRaft), with one copy of everything.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}
auto.create.topics.enable=true
num.partitions=4
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
group.initial.rebalance.delay.ms=0
group.coordinator.rebalance.protocols=classic,consumer
"""

# For clients with an account, beside the listener of the tests, who may do anything. No topic makes itself.
SECURED = """\
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{secured}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{secured}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_{account}="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
auto.create.topics.enable=false
"""

ACCOUNT = "scizoo"
"""The account of a secured broker."""

LOGGING = """\
<Configuration status="ERROR">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""

# For tests only: fast to start, small in memory.
JAVA = ("java", "-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


CLASSES = "classes.jsa"
"""Kafka's classes as Java has them in memory: with them a broker starts in half the time."""


class DownloadError(RuntimeError):
    """Maven cannot get Apache Kafka; the text says why."""


class KafkaServer:
    """A real broker of Apache Kafka on loopback, which keeps its data and its port when it is restarted."""

    restartable = True

    def __init__(self, folder: Path, processes: Processes, jars: Path) -> None:
        self._processes = processes
        self._process: Process | None = None
        self._starts = 0
        port, controller = free_ports(2)
        self.bootstrap = f"127.0.0.1:{port}"
        self.kind = f"Apache Kafka {KAFKA_VERSION}"
        folder.mkdir(parents=True)
        (folder / "log4j2.xml").write_text(LOGGING)
        self._properties = folder / "server.properties"
        self._places = {"port": port, "controller": controller, "data": folder / "data"}
        self._properties.write_text(PROPERTIES.format(**self._places))
        archive = jars / CLASSES  # Java ignores that of another version
        self._java = (
            *JAVA,
            *([f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []),
            f"-Dlog4j2.configurationFile={folder / 'log4j2.xml'}",
            *("-cp", f"{jars}/*"),
        )
        self._run_tool("format", "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qg", "--config", str(self._properties))

    def start(self, *java_options: str) -> None:
        """Returns when clients are answered."""
        self._starts += 1
        argv = (*self._java, *java_options, "kafka.Kafka", str(self._properties))
        self._process = self._processes.start(f"kafka-{self._starts}", argv)
        self._process.wait_for(lambda: answers(self.bootstrap))

    def stop(self) -> None:
        """As an administrator stops it."""
        if self._process:
            self._process.stop(timeout=20)

    def kill(self) -> None:
        """As a crash."""
        if self._process:
            self._process.kill()

    def _run_tool(self, *args: str) -> None:
        argv = [*self._java, "kafka.tools.StorageTool", *args]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise RuntimeError(f"Kafka's storage could not be formatted: {done.stdout}{done.stderr}")


class SecuredKafka(KafkaServer):
    """One where clients at `secured` need the account `ACCOUNT` and its password, which can be changed."""

    def __init__(self, folder: Path, processes: Processes, jars: Path) -> None:
        (self._secured,) = free_ports(1)
        self.secured = f"127.0.0.1:{self._secured}"
        super().__init__(folder, processes, jars)
        self.set_password("first")

    def set_password(self, password: str) -> None:
        """From its next start on."""
        self.password = password
        lines = PROPERTIES + SECURED
        self._properties.write_text(
            lines.format(**self._places, secured=self._secured, account=ACCOUNT, password=password)
        )

    def client_properties(self) -> str:
        """What a client's config file says."""
        return (
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n"
            f"sasl.username={ACCOUNT}\nsasl.password={self.password}\n"
        )


class MockKafka:
    """librdkafka's mock cluster: keeps nothing, and has another port each time."""

    restartable = False

    def __init__(self, processes: Processes, reason: str) -> None:
        self._processes = processes
        self.bootstrap = ""
        self.kind = f"librdkafka's mock cluster ({reason})"

    def start(self) -> None:
        self._process = self._processes.start("mock-kafka", [sys.executable, "-m", "deploy.demo.mock_kafka"])
        found = self._process.wait_for(r"mock-kafka: (\S+)")
        assert found is not None
        self.bootstrap = found[1]

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()


class GivenKafka:
    """A broker that was there before: the environment variable SCIZOO_TEST_KAFKA."""

    restartable = False

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.kind = f"{bootstrap} (SCIZOO_TEST_KAFKA)"

    def start(self) -> None:
        if not answers(self.bootstrap):
            raise RuntimeError(f"no Kafka at {self.bootstrap}, which SCIZOO_TEST_KAFKA says")

    def stop(self) -> None:
        raise NotImplementedError("not ours to stop")

    kill = stop


Kafka = KafkaServer | MockKafka | GivenKafka


def make_kafka(folder: Path, processes: Processes) -> Kafka:
    """The best that there is here, not started yet."""
    given = os.environ.get("SCIZOO_TEST_KAFKA")
    if given:
        return GivenKafka(given)
    if reason := why_no_real_kafka():
        return MockKafka(processes, reason)
    return KafkaServer(folder, processes, kafka_jars())


def why_no_real_kafka() -> str:
    """Why a real Kafka cannot be started here; "" if it can. The first time, its jars are downloaded."""
    if not _has_java():
        return "no Java 17 or newer with Maven here"
    try:
        kafka_jars()
    except DownloadError as error:
        return str(error)
    return ""


def _has_java() -> bool:
    """Java 17 or newer, and Maven."""
    if not shutil.which("java") or not shutil.which("mvn"):
        return False
    said = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', said)
    return found is not None and int(found[1]) >= 17


def kafka_jars() -> Path:
    """The folder of Kafka's jars, from Maven Central the first time."""
    jars = ROOT / "build" / "kafka" / KAFKA_VERSION
    jars.parent.mkdir(parents=True, exist_ok=True)
    with (jars.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs at once
        if not jars.is_dir():
            with tempfile.TemporaryDirectory(dir=jars.parent) as folder:
                _download(Path(folder))
                (Path(folder) / "jars").rename(jars)  # whole, or not there
        if not (jars / CLASSES).exists():
            _archive_classes(jars)
    return jars


def _archive_classes(jars: Path) -> None:
    with tempfile.TemporaryDirectory(dir=jars.parent) as folder, Processes(Path(folder) / "logs") as processes:
        broker = KafkaServer(Path(folder) / "broker", processes, jars)
        written = Path(folder) / CLASSES
        with suppress(ProcessError, FileNotFoundError):  # not each Java can do it
            broker.start(f"-XX:ArchiveClassesAtExit={written}")
            broker.stop()
            written.rename(jars / CLASSES)


def _download(folder: Path) -> None:
    (folder / "pom.xml").write_text(POM)
    argv = ["mvn", "-B", "-q", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise DownloadError(
            f"Apache Kafka cannot be had from Maven Central: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        )


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has at the moment.

    They are below those that Linux gives to whoever asks for any (from 32768 on), or any of the many connections that
    the tests make could have one before its server does.
    """
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().randrange(10_000, 32_000)
        if not _reserve(port):
            continue
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue  # somebody's
        found.add(port)
    return list(found)


_reserved: list[int] = []
"""Descriptors of the locks of our ports, held for as long as this process lives."""


def _reserve(port: int) -> bool:
    """Whether no other process of this user's tests has this port for a server that it may not have started yet."""
    path = Path(tempfile.gettempdir()) / f"scizoo-{os.getuid()}-port-{port}"
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _reserved.append(lock)
    atexit.register(path.unlink, missing_ok=True)
    return True


def answers(bootstrap: str) -> bool:
    """Whether a broker takes requests there."""
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return bool(client.list_topics(timeout=1).brokers)
    except KafkaException:
        return False


def configure_topic(bootstrap: str, topic: str, **configs: str | None) -> None:
    """Change settings of a topic, with `_` for each `.` in a name; None is the broker's own value."""
    delete, set_ = AlterConfigOpType.DELETE, AlterConfigOpType.SET
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=delete if value is None else set_)
        for name, value in configs.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.incremental_alter_configs([resource])[resource].result(60)


def make_topic(bootstrap: str, topic: str, partitions: int = 1, **configs: str) -> None:
    """A new topic, with settings as `configure_topic` takes them."""
    known = {name.replace("_", "."): value for name, value in configs.items()}
    new = NewTopic(topic, partitions, 1, config=known)
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    client.create_topics([new])[topic].result(60)


def delete_topic(bootstrap: str, topic: str) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.delete_topics([topic])[topic].result(60)


def delete_messages(bootstrap: str, topic: str) -> None:
    """All that it has now, as retention does."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    partitions = [TopicPartition(topic, number) for number in client.list_topics(topic, 60).topics[topic].partitions]
    latest = client.list_offsets(dict.fromkeys(partitions, OffsetSpec.latest()))
    ends = [TopicPartition(topic, each.partition, answer.result(60).offset) for each, answer in latest.items()]
    for answer in client.delete_records(ends).values():
        answer.result(60)


def send(bootstrap: str, topic: str, messages: list[tuple[str, bytes]]) -> None:
    """Keys and values in this order; returns when Kafka has confirmed all of them."""
    refused: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0})
    for key, value in messages:
        producer.produce(topic, key=key, value=value, on_delivery=lambda error, _: error and refused.append(error))
    left = producer.flush(30)
    assert not left
    assert not refused


def send_with_header(bootstrap: str, topic: str, name: bytes, values: list[bytes]) -> None:
    """With a header of this name, by librdkafka itself: Python's producer takes none that is not UTF-8."""
    library = ctypes.CDLL(cimpl.__file__)  # a symbol is looked for in what it is linked with, too
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = ctypes.c_void_p
    said = ctypes.create_string_buffer(512)
    config = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(config, b"bootstrap.servers", bootstrap.encode(), said, 512)
    producer = ctypes.c_void_p(library.rd_kafka_new(0, config, said, 512))
    for value in values:
        # Of rdkafka.h's rd_kafka_vtype_t: TOPIC, MSGFLAGS (F_COPY), VALUE, HEADER, END.
        refused = library.rd_kafka_producev(
            producer,
            *(1, ctypes.c_char_p(topic.encode())),
            *(7, 2),
            *(4, ctypes.c_char_p(value), ctypes.c_size_t(len(value))),
            *(9, ctypes.c_char_p(name), ctypes.c_char_p(b"x"), ctypes.c_ssize_t(1)),
            0,
        )
        assert not refused
    assert not library.rd_kafka_flush(producer, 30_000)
    library.rd_kafka_destroy(producer)
