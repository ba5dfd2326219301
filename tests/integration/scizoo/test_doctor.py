"""`scizoo doctor` on a whole beamline of real servers, with one part broken in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_server
from typing import Any
from uuid import uuid4

import pytest
import tango
import yaml
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from deploy.demo.beamline import DEAD_DEVICE
from deploy.demo.door import Door
from deploy.demo.processes import Processes
from deploy.demo.stack import DOOR, MACROSERVER, PATHFIXER, SCIDOG, Stack
from scifish.settings import Settings, save_last_good
from tests.servers.catalogue import USER1, Catalogue, start_catalogue
from tests.servers.kafka import Kafka, KafkaServer
from tests.servers.scicow import PASSWORD, start_scicow, write_settings
from tests.servers.stopped import stopped
from tests.servers.tango_system import control_system, patient
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first

COMMAND = str(Path(sys.executable).with_name("scizoo"))

LINES = [
    "- {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, group: Machine}",
    "- {name: Energy, source: b311a-o/opt/mono-01/Energy, group: Optics}",
]

ALL_PARTS = [
    *("Tango database", "SciDog", "PathFixer", "Path consumers", "Sardana", "Snapshot", "Spool", "Kafka", "Topic"),
    *("SciCow", "SciCow's replica", "Dead letters", "SciCat", "User office"),
]


@dataclass
class Beamline:
    """All servers, and what is asked of them."""

    stack: Stack
    kafka: Kafka
    catalogue: Catalogue
    scicow: Path
    env: dict[str, str]
    outputs: list[str] = field(default_factory=list)

    def run(self, *options: str, scicow: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """The command as a person types it."""
        given = ["--scicow", str(self.scicow)] if scicow else []
        done = subprocess.run(
            [COMMAND, "doctor", *given, *options], env={**self.env, **env}, capture_output=True, text=True, timeout=300
        )
        assert "Traceback" not in done.stderr
        self.outputs.append(done.stdout + done.stderr)
        return done

    def parts(self, *options: str, scicow: bool = True, **env: str) -> dict[str, dict[str, Any]]:
        done = self.run("--json", *options, scicow=scicow, **env)
        found = json.loads(done.stdout)
        wrong = [name for name, part in found["parts"].items() if part["state"] == "wrong"]
        assert (done.returncode, found["ok"]) == ((1, False) if wrong else (0, True))
        parts: dict[str, dict[str, Any]] = found["parts"]
        return parts

    def wrong(self, *options: str, scicow: bool = True, **env: str) -> dict[str, str]:
        """Text and advice of the parts that are wrong."""
        parts = self.parts(*options, scicow=scicow, **env)
        return {name: f"{part['text']}\n{part['advice']}" for name, part in parts.items() if part["state"] == "wrong"}

    def process(self, name: str) -> Any:
        return next(one for one in reversed(self.stack.processes.running) if one.name == name)

    @contextmanager
    def properties(self, device: str, **changes: list[str]) -> Iterator[None]:
        """Other properties for a time. PathFixer reads its own at Init."""
        before = {name: list(lines) for name, lines in self.stack.db.get_device_property(device, list(changes)).items()}
        try:
            self._put(device, changes)
            yield
        finally:
            self._put(device, before)

    def _put(self, device: str, properties: Mapping[str, list[str]]) -> None:
        self.stack.db.put_device_property(device, dict(properties))
        proxy = patient(self.stack.name(device))
        if device == PATHFIXER:
            proxy.Init()
            assert eventually(lambda: proxy.state() in (tango.DevState.STANDBY, tango.DevState.ALARM))
        else:
            proxy.Reload()


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka) -> Iterator[Beamline]:
    folder = tmp_path_factory.mktemp("doctor")
    run = uuid4().hex[:8]
    with Processes(folder / "catalogue-log") as others, control_system(folder / "stack") as stack:
        catalogue = start_catalogue(others, folder / "catalogue")
        stack.topic = f"scifish-{run}"
        if isinstance(kafka, KafkaServer):
            create_topic(kafka, stack.topic)
            create_topic(kafka, f"dead-{run}")
        stack.start_beamline()
        stack.start_pathfixer([f"{{device: {MACROSERVER}, environment: ScanDir}}"])
        properties = {**stack.scidog_properties(kafka.bootstrap), "Config.saxs": LINES, "Config.beamline": []}
        secret = stack.write_secret("kafka.properties", f"sasl.password={KAFKA_PASSWORD}\n")
        properties["KafkaConfigFile"] = [str(secret)]
        stack.start_server("SciDog/demo", {SCIDOG: ("SciDog", properties)})
        stack.start_sardana()
        door = Door(stack.name(DOOR))
        door.run("senv", "DataRecorder", "['SciFishRecorder']")
        door.run("setproposal", "20250001")
        door.close()
        scicow = write_settings(folder / "scicow", kafka.bootstrap, catalogue, run)
        start_scicow(others, "scicow", scicow, catalogue)
        env = {**stack.env, PASSWORD: catalogue.ingestor.password, "XDG_STATE_HOME": str(folder / "state-of-the-user")}
        yield Beamline(stack, kafka, catalogue, scicow, env)


KAFKA_PASSWORD = "the-secret-of-kafka"


def create_topic(kafka: Kafka, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    (answer,) = admin.create_topics([NewTopic(name, num_partitions=2)]).values()
    answer.result(PATIENCE)


def test_all_is_well(beamline: Beamline) -> None:
    assert eventually(lambda: not beamline.wrong())  # SciCow joins its group within seconds
    done = beamline.run()
    assert done.returncode == 0
    for part in ALL_PARTS:
        assert f"  {part}  " in done.stdout
    parts = beamline.parts()
    assert list(parts) == ALL_PARTS
    assert "2 of 2 attributes can be read from this machine" in parts["Snapshot"]["text"]
    assert f"{MACROSERVER} (ScanDir): has it" in parts["Path consumers"]["text"]
    assert parts["SciCat"]["administrator"] is True
    if isinstance(beamline.kafka, KafkaServer):
        assert {part["state"] for part in parts.values()} == {"ok"}
        assert parts["Topic"]["text"].endswith("partitions: 2; messages are kept for 7 days")


def test_nothing_is_written_and_no_secret_is_shown(beamline: Beamline) -> None:
    before = beamline.stack.db.get_device_property_list(SCIDOG, "*").value_string
    beamline.run()
    beamline.run("--json")
    assert list(beamline.stack.db.get_device_property_list(SCIDOG, "*").value_string) == list(before)
    assert not Path(beamline.env["XDG_STATE_HOME"]).exists()
    for output in beamline.outputs:
        assert KAFKA_PASSWORD not in output
        assert beamline.catalogue.ingestor.password not in output


@contextmanager
def broken(beamline: Beamline, what: str) -> Iterator[None]:
    """One part of the beamline is broken, and mended afterwards."""
    stack = beamline.stack
    with ExitStack() as stack_of_repairs:
        use = stack_of_repairs.enter_context
        if what == "consumers":
            use(beamline.properties(PATHFIXER, PathConsumers=[""]))
        elif what == "consumer":
            line = "{device: b311a-o/opt/mono-01, attribute: NoSuchAttribute}"
            use(beamline.properties(PATHFIXER, PathConsumers=[line]))
        elif what == "line":
            use(beamline.properties(SCIDOG, **{"Config.saxs": [*LINES, "- {name: Gap, surce: a/b/c/d}"]}))
        elif what == "attribute":
            source = f"- {{name: Current, source: {DEAD_DEVICE.name}/Current1}}"
            use(beamline.properties(SCIDOG, **{"Config.saxs": [*LINES, source]}))
        elif what == "kafka address":
            use(beamline.properties(SCIDOG, KafkaBootstrapServers=[""], KafkaConfigFile=[""]))
        elif what == "kafka address beside a file":
            use(beamline.properties(SCIDOG, KafkaBootstrapServers=[""]))
        elif what == "kafka away":
            use(beamline.properties(SCIDOG, KafkaBootstrapServers=["127.0.0.1:9"]))
        elif what == "kafka hangs":
            server = use(create_server(("127.0.0.1", 0)))
            use(beamline.properties(SCIDOG, KafkaBootstrapServers=[f"127.0.0.1:{server.getsockname()[1]}"]))
        elif what == "kafka file":
            secret = stack.folder / "readable.properties"
            secret.write_text(f"sasl.password={KAFKA_PASSWORD}\n")
            use(beamline.properties(SCIDOG, KafkaConfigFile=[str(secret)]))
        elif what in ("pathfixer hangs", "scidog hangs", "sardana hangs"):
            use(stopped(beamline.process(what.split()[0]).pid))
        yield


@pytest.mark.parametrize(
    ("what", "part", "sentences"),
    [
        (
            "consumers",
            "Path consumers",
            ["no device gets the path", f"{{device: {MACROSERVER}, environment: ScanDir}}"],
        ),
        pytest.param(
            "consumer", "Path consumers", ["b311a-o/opt/mono-01, NoSuchAttribute: refused"], marks=pytest.mark.long
        ),
        pytest.param("line", "SciDog", ["saxs, line 3", "surce"], marks=pytest.mark.long),
        ("attribute", "Snapshot", ["2 of 3 attributes", f"{DEAD_DEVICE.name}/Current1: "]),
        pytest.param("kafka address", "Kafka", [f"KafkaBootstrapServers of {SCIDOG} is empty"], marks=pytest.mark.long),
        pytest.param(
            "kafka address beside a file",
            "Kafka",
            ["KafkaBootstrapServers", "no bootstrap.servers either"],
            marks=pytest.mark.long,
        ),
        ("kafka away", "Kafka", ["127.0.0.1:9 does not answer", "metadata waits on disk"]),
        pytest.param("kafka hangs", "Kafka", ["does not answer"], marks=pytest.mark.long),
        pytest.param("kafka file", "Kafka", ["can be read by other accounts", "chmod 600"], marks=pytest.mark.long),
        ("pathfixer hangs", "PathFixer", [PATHFIXER]),
        pytest.param("scidog hangs", "SciDog", [SCIDOG], marks=pytest.mark.long),
        pytest.param("sardana hangs", "Sardana", [MACROSERVER], marks=pytest.mark.long),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(beamline: Beamline, what: str, part: str, sentences: list[str]) -> None:
    with broken(beamline, what):
        seen: dict[str, str] = {}

        def is_seen() -> bool:
            seen.clear()
            seen.update(beamline.wrong(scicow=False))
            return all(sentence in seen.get(part, "") for sentence in sentences)

        assert eventually(is_seen), seen
        # What depends on it is not wrong as well; PathFixer itself reports its consumers, and SciDog its entries.
        allowed = {"Path consumers": {"PathFixer"}, "Sardana": {"PathFixer", "Path consumers"}}.get(part, set())
        assert set(seen) <= {part} | allowed
    assert eventually(lambda: not beamline.wrong(scicow=False))


def test_a_short_retention_is_wrong(beamline: Beamline) -> None:
    if not isinstance(beamline.kafka, KafkaServer):
        pytest.skip("needs a Kafka whose topics can be configured")
    admin = AdminClient({"bootstrap.servers": beamline.kafka.bootstrap})

    def configure(**settings: str) -> None:
        entries = [
            ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, beamline.stack.topic, incremental_configs=entries)
        (answer,) = admin.incremental_alter_configs([resource]).values()
        answer.result(PATIENCE)

    configure(retention_ms="3600000", max_message_bytes="3000", cleanup_policy="compact")
    assert eventually(lambda: len(beamline.wrong(scicow=False).get("Topic", "").splitlines()) == 4)
    text = beamline.wrong(scicow=False)["Topic"]
    assert "messages are kept for 1 hours only" in text
    assert "--add-config retention.ms=2592000000,cleanup.policy=delete,max.message.bytes=1048588" in text
    configure(retention_ms="-1", max_message_bytes="1048588", cleanup_policy="delete")
    assert eventually(lambda: beamline.parts(scicow=False)["Topic"]["text"].endswith("messages are kept for ever"))


@pytest.mark.long
def test_what_waits_in_the_spool_is_wrong(beamline: Beamline, tmp_path: Path) -> None:
    program = "\n".join(
        [
            "from scifish import SciFish",
            "from scifish.settings import Settings",
            "settings = Settings(beamline='lab', kafka_bootstrap_servers='127.0.0.1:9', spool_directory=FOLDER)",
            "fish = SciFish(settings)",
            "fish.start_scan('first')",
            "fish.end_scan()",
            "fish.close()",
        ]
    ).replace("FOLDER", repr(str(tmp_path)))
    subprocess.run([sys.executable, "-c", program], env=beamline.env, check=True, timeout=PATIENCE)
    with beamline.properties(SCIDOG, SpoolDirectory=[str(tmp_path)]):
        assert eventually(lambda: "Spool" in beamline.wrong(scicow=False))
        text = beamline.wrong(scicow=False)["Spool"]
    assert str(tmp_path) in text
    assert "messages wait, the oldest for" in text
    assert "scifish flush" in text


def test_scicow_and_scicat_are_checked_as_scicow_status_does(beamline: Beamline) -> None:
    wrong_account = yaml.safe_load(beamline.scicow.read_text())
    wrong_account["scicat"]["username"] = USER1.username
    file = beamline.scicow.with_name("user.yaml")
    file.write_text(yaml.safe_dump(wrong_account))
    seen = beamline.wrong("--scicow", str(file), scicow=False, **{PASSWORD: USER1.password})
    assert list(seen) == ["SciCat"]
    assert "user1, which is not in its ADMIN_GROUPS" in seen["SciCat"]
    seen = beamline.wrong(**{PASSWORD: "wrong-password"})
    assert "check scicat.username and scicat.password" in seen["SciCat"]
    assert "wrong-password" not in beamline.outputs[-1]
    with stopped(beamline.catalogue.process.pid if beamline.catalogue.process else 0):
        assert list(beamline.wrong("--timeout", "10")) == ["SciCat"]


def test_settings_of_scicow_that_cannot_be_used(beamline: Beamline, tmp_path: Path) -> None:
    env = {name: value for name, value in beamline.env.items() if name != PASSWORD}
    done = subprocess.run(
        [COMMAND, "doctor", "--scicow", str(beamline.scicow)], env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "scicow.env" in done.stdout
    file = tmp_path / "scicow.yaml"
    file.write_text("kafka: {}\n")
    seen = beamline.wrong("--scicow", str(file), scicow=False)
    assert list(seen) == ["SciCow"]
    assert f"{file}, line 1" in seen["SciCow"]


@pytest.mark.long
def test_only_the_beamline_side_is_installed(beamline: Beamline, tmp_path: Path) -> None:
    """Without the packages of the extra `ingest`, and without settings of SciCow."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules.update(dict.fromkeys(['jsonschema_rs', 'prometheus_client']))\n"
    )
    parts = beamline.parts(scicow=False, PYTHONPATH=str(tmp_path))
    assert parts["SciCow"]["state"] == "not checked"
    assert "scizoo doctor --scicow" in parts["SciCow"]["advice"]


def test_an_account_without_a_name_a_home_or_rights(beamline: Beamline) -> None:
    home = ("HOME", "XDG_STATE_HOME", "USER", "LOGNAME")
    env = {name: value for name, value in beamline.env.items() if name not in home}
    program = "\n".join(
        [
            "import os",
            # Python itself may be in the home folder of who runs the tests.
            "import ingest.scicow.monitoring.checkup, scizoo.cli, scizoo.doctor.examination",
            "if os.getuid() == 0: os.setgroups([]); os.setgid(54321); os.setuid(54321)",
            "scizoo.cli.run()",
        ]
    )
    command = [sys.executable, "-c", program, "doctor", "--json", "--scicow", str(beamline.scicow)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    assert "internal error" not in done.stdout
    if os.getuid() == 0:
        assert found["about"]["account"] == "54321"
        for part in ("Spool", "Kafka", "SciCow"):  # files of the other account
            assert found["parts"][part]["state"] == "not checked", found["parts"][part]
    for part in ("Tango database", "PathFixer", "Path consumers", "Snapshot"):
        assert found["parts"][part]["state"] == "ok", found["parts"][part]


@pytest.mark.long
def test_settings_of_a_file_without_a_tango_database(beamline: Beamline, tmp_path: Path) -> None:
    file = tmp_path / "scifish.yaml"
    file.write_text(f"Beamline: lab\nKafkaBootstrapServers: {beamline.kafka.bootstrap}\n")
    parts = beamline.parts(scicow=False, SCIFISH_CONFIG=str(file), TANGO_HOST="")
    states = {name: part["state"] for name, part in parts.items()}
    assert (states["Tango database"], states["SciDog"], states["Kafka"]) == ("not checked", "ok", "ok")
    assert str(file) in parts["SciDog"]["text"]
    file.write_text("Beamline: [\n")
    seen = beamline.wrong(scicow=False, SCIFISH_CONFIG=str(file), TANGO_HOST="")
    assert list(seen) == ["SciDog"]
    assert str(file) in seen["SciDog"]


def test_the_machine_of_scicow_has_no_beamline(beamline: Beamline) -> None:
    parts = beamline.parts(TANGO_HOST="")
    assert (parts["Tango database"]["state"], parts["SciDog"]["state"]) == ("not checked", "not checked")
    assert (parts["SciCow"]["state"], parts["SciCat"]["state"]) == ("ok", "ok")
    seen = beamline.wrong(scicow=False, TANGO_HOST="")
    assert list(seen) == ["Tango database"]
    assert "TANGO_HOST is not set" in seen["Tango database"]


def test_several_scidogs(beamline: Beamline) -> None:
    beamline.stack.add_device("SciDog/other", "SciDog", "test/ctl/scidog-02")
    try:
        assert "set SCIDOG_DEVICE" in beamline.wrong(scicow=False)["SciDog"]
        seen = beamline.wrong(scicow=False, SCIDOG_DEVICE=SCIDOG)
        # The Sardana that runs has no SCIDOG_DEVICE, and reports the same to SciDog sooner or later.
        assert "there are several SciDog devices" in seen.pop("SciDog", "there are several SciDog devices")
        assert not seen
    finally:
        beamline.stack.db.delete_device("test/ctl/scidog-02")
    scidog = patient(beamline.stack.name(SCIDOG))
    assert eventually(lambda: "several SciDog devices" not in scidog.status())


def test_the_database_hangs_or_is_away(beamline: Beamline) -> None:
    with stopped(beamline.process("tango-database").pid):
        seen = beamline.wrong("--timeout", "3", scicow=False)
        assert list(seen) == ["Tango database"]
        assert "no answer within 3 s" in seen["Tango database"]
    seen = beamline.wrong(scicow=False, TANGO_HOST="127.0.0.1:9")
    assert list(seen) == ["Tango database"]
    assert "Databaseds" in seen["Tango database"]


@pytest.mark.long
def test_a_last_good_setting_is_used_while_the_database_is_away(beamline: Beamline, tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path), "TANGO_HOST": "127.0.0.1:9"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        save_last_good(Settings(scidog=SCIDOG, beamline="cosaxs", topic="t", kafka_bootstrap_servers="127.0.0.1:9"))
    parts = beamline.parts(scicow=False, **env)
    assert parts["SciDog"]["advice"] == f"Programs of this account record with the last good settings of {SCIDOG}."
    assert parts["Kafka"]["state"] == "wrong"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--scicow", "/no/such/file.yaml"], "--scicow /no/such/file.yaml: this file does not exist"),
        (["--timeout", "0"], "'0' is not a number of seconds above 0"),
        (["--no-such-option"], "unrecognized arguments: --no-such-option"),
    ],
)
def test_wrong_usage(arguments: list[str], sentence: str) -> None:
    done = subprocess.run([COMMAND, "doctor", *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
