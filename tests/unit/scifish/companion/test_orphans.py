"""Spools of other programs: finished and sent as they were recorded, or left alone, which is reported."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from scifish.cli import main
from scifish.companion.supervisor import Supervisor
from scifish.dataset.compose import GivenFields, Observed, Record, ending
from scifish.settings import Settings
from scifish.settings.identity import Identity
from scifish.settings.sources import FileSettings, FixedSettings, SettingsSource, WithPathFixer, identity_of
from scifish.spool.database import OpenDatasetRow, Spool
from scifish.spool.inspection import summarise
from tests.builders.messages import message
from tests.spools import under
from tests.waiting import eventually

OTHERS = Settings(beamline="other", topic="scifish-other", kafka_bootstrap_servers="127.0.0.1:8")
MINE = Settings(beamline="lab", topic="scifish-lab", kafka_bootstrap_servers="127.0.0.1:9", send_proprietary=True)
UUID = "0d1c950f-5492-5d5f-b66c-f788b18d1ef0"
PROPRIETARY = "0d1c950f-5492-5d5f-b66c-f788b18d1ef1"

Start = Callable[..., Supervisor]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("scifish.companion.supervisor.SUPERVISION_SECONDS", 0.05)
    monkeypatch.setattr("scifish.companion.supervisor.FIRST_ORPHAN_CHECK_SECONDS", 0.2)
    monkeypatch.setattr("scifish.companion.supervisor.THREAD_STOP_SECONDS", 0.1)
    started: list[Supervisor] = []

    def begin(source: SettingsSource, unidentified: bool = False) -> Supervisor:
        started.append(Supervisor(source, None, [tmp_path], lambda report: None, unidentified=unidentified))
        assert eventually(started[-1]._orphans.checked.is_set)
        return started[-1]

    yield begin
    for supervisor in started:
        supervisor.shut_down(0.0, finish=False)


def killed(folder: Path, identity: Identity | None) -> Path:
    """The spool of a killed program: a message, an open dataset, and one of a proprietary proposal."""
    origin = {**message()["origin"], "run": "killed"}
    spool = Spool(folder / "killed.spool", origin, identity=identity)
    spool.put(OTHERS.topic, message(origin=origin))
    for uuid, proposal in ((UUID, "20250001"), (PROPRIETARY, "IN20250042")):
        place = Observed(place={"proposalId": proposal})
        spool.begin(OpenDatasetRow.of(Record(uuid, 1.0, {"datasetName": "x"}, observed=place)))
    spool.close()
    return spool.path


def numbers(path: Path) -> tuple[int, int]:
    """Messages that wait, and open datasets."""
    found = summarise(path)
    return found.waiting, found.recording


def test_a_program_of_other_settings_leaves_it_as_it_is_and_says_so(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = killed(tmp_path, Identity.of("/etc/other.yaml", OTHERS))
    supervisor = start(FixedSettings(MINE))
    assert numbers(path) == (1, 2)
    assert not summarise(path).alive
    (left,) = supervisor.left
    assert left.path == path
    assert "recorded under the settings of /etc/other.yaml (Beamline: other, Topic: scifish-other" in left.why
    assert f"SCIFISH_CONFIG=/etc/other.yaml scifish --spool {tmp_path} flush" in left.why
    assert str(path) in supervisor.trouble()
    assert supervisor.flush(0.1, lambda left: None) == 0
    supervisor._orphans.take_over()
    assert caplog.text.count(f"the spool {path} is left as it is") == 1


def settings_file(folder: Path, brokers: str) -> Path:
    file = folder / "other.yaml"
    file.write_text(f"Beamline: other\nKafkaBootstrapServers: {brokers}\n")
    return file


def test_a_program_of_the_same_file_sends_it_with_the_settings_of_today(start: Start, tmp_path: Path) -> None:
    source = FileSettings(settings_file(tmp_path, "127.0.0.1:9"))
    path = killed(tmp_path, Identity.of(source.name, OTHERS))
    supervisor = start(source)
    assert supervisor.left == []
    assert eventually(lambda: numbers(path) == (2, 0))  # the proprietary one stays here
    (_, ended) = supervisor.executor.submit(lambda: supervisor._sender.spools[0].waiting(9)).result()
    assert (json.loads(ended.message)["beamline"], ended.topic) == ("other", "scifish-other")


def test_a_program_that_has_chosen_a_pathfixer_asks_for_the_datasets_of_others_the_one_of_the_settings(
    start: Start, tmp_path: Path
) -> None:
    file = settings_file(tmp_path, "127.0.0.1:9")
    file.write_text(f"{file.read_text()}PathFixer: other/ctl/pathfixer-1\n")
    source = FileSettings(file)
    origin = {**message()["origin"], "run": "killed"}
    # The second one was gone before it could read the settings.
    for name, identity in (("killed", identity_of(source)), ("early", Identity(source.name))):
        spool = Spool(tmp_path / f"{name}.spool", origin, identity=identity)
        spool.begin(OpenDatasetRow.of(Record(str(uuid4()), 1.0, {"datasetName": "x"})))
        spool.close()
    supervisor = start(WithPathFixer(source, "other/ctl/pathfixer-2"))
    assert eventually(lambda: supervisor._orphans.without_proposal() == {"other/ctl/pathfixer-1": 2})
    assert supervisor.left == []


def test_it_is_let_go_of_when_other_settings_are_in_use(start: Start, tmp_path: Path) -> None:
    file = settings_file(tmp_path, OTHERS.kafka_bootstrap_servers)
    path = killed(tmp_path, under(OTHERS))
    supervisor = start(FileSettings(file))
    assert eventually(lambda: numbers(path) == (2, 0))
    assert summarise(path).alive
    settings_file(tmp_path, "127.0.0.1:9")
    supervisor._settings.now()
    assert eventually(lambda: [left.path for left in supervisor.left] == [path])
    assert not summarise(path).alive
    assert numbers(path) == (2, 0)


def test_one_that_names_no_settings_is_sent_when_a_person_says_so_and_nothing_proprietary_of_it(
    start: Start, tmp_path: Path
) -> None:
    path = killed(tmp_path, None)
    supervisor = start(FixedSettings(MINE))
    assert "flush --unidentified" in supervisor.trouble()
    assert numbers(path) == (1, 2)
    start(FixedSettings(MINE), unidentified=True)
    assert eventually(lambda: numbers(path) == (2, 0))


def test_a_comment_by_another_account_of_a_shared_folder_stays_here_with_its_dataset(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o2770)
    source = FixedSettings(replace(MINE, send_proprietary=False))
    path = killed(tmp_path, identity_of(source))
    start(source)
    assert eventually(lambda: numbers(path) == (2, 0))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state of another account"))
    comments = Spool(tmp_path / "comments.spool", {**message()["origin"], "run": "2"}, identity=identity_of(source))
    for dataset in (str(uuid4()), PROPRIETARY):
        given: GivenFields = {"dataset": dataset, "annotation": {"comment": "good"}}
        ended = ending("completed", 2.0, None)
        comments.begin(OpenDatasetRow.of(Record(str(uuid4()), 1.0, given, single=True, ending=ended)))
    comments.close()
    start(source)
    assert eventually(lambda: numbers(comments.path) in ((1, 0), (2, 0)))
    assert numbers(comments.path) == (1, 0)
    assert stat.S_IMODE((tmp_path / "withheld").stat().st_mode) == 0o660


def test_in_a_folder_of_one_account_there_is_no_list_for_others(start: Start, tmp_path: Path) -> None:
    source = FixedSettings(replace(MINE, send_proprietary=False))
    path = killed(tmp_path, identity_of(source))
    start(source)
    assert eventually(lambda: numbers(path) == (2, 0))
    assert list(tmp_path.rglob("withheld")) == [tmp_path / "state/scifish/withheld"]


def test_without_settings_nothing_is_taken_over(start: Start, tmp_path: Path) -> None:
    path = killed(tmp_path, under(MINE))

    class NoSettings(FixedSettings):
        def known(self) -> None:  # type: ignore[override]
            return None

        def now(self, timeout: float = 0.0) -> None:  # type: ignore[override]
            return None

    assert [left.path for left in start(NoSettings(MINE)).left] == [path]
    assert numbers(path) == (1, 2)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("scifish.settings.paths.SYSTEM_SPOOL", tmp_path / "no such folder")
    file = tmp_path / "scifish.yaml"
    file.write_text(f"Beamline: lab\nKafkaBootstrapServers: 127.0.0.1:9\nSpoolDirectory: {tmp_path}\n")
    monkeypatch.setenv("SCIFISH_CONFIG", str(file))
    return lambda *words: main([*words])


def test_the_command_says_with_which_settings_it_would_be_sent(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = killed(tmp_path, Identity.of("/etc/other.yaml", replace(OTHERS, kafka_config_file="/etc/k.properties")))
    for words in (["status"], ["flush", "--timeout", "0"]):
        assert command(*words) == 1
        said = capsys.readouterr().out
        assert "KafkaBootstrapServers: 127.0.0.1:8, KafkaConfigFile: /etc/k.properties, SendProprietary: false" in said
        assert f"SCIFISH_CONFIG=/etc/other.yaml scifish --spool {tmp_path} flush" in said
    assert numbers(path) == (1, 2)


def test_datasets_that_a_program_has_left_open_are_counted(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = Spool(tmp_path / "killed.spool", message()["origin"], identity=under(replace(MINE, send_proprietary=False)))
    spool.begin(OpenDatasetRow.of(Record(UUID, 1.0, {})))
    assert command("status") == 0  # it is being recorded
    spool.close()
    assert command("status") == 1
    assert "is not sent with" not in capsys.readouterr().out
