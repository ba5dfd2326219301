"""SciDog's properties as settings, and the last good ones on disk."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tango.server import device_property

from scifish import settings as settings_module
from scifish.cli import main
from scifish.settings import Settings, SettingsError, paths, settings_from_properties, sources
from scifish.settings.sources import (
    CONFIG_VARIABLE,
    FixedSettings,
    TangoSettings,
    check_pathfixer,
    check_settings,
    settings_source,
    source_of,
)
from scifish.spool.kafka_config import producer_config, read_config_file
from tango_servers.SciDog import SciDog
from tests.homeless import without_home
from tests.waiting import PATIENCE

PROPERTIES = {
    "Beamline": ["cosaxs"],
    "Config.beamline": ["- {name: I, source: a/b/c/I}"],
    "config.saxs": ["- {name: T, source: a/b/c/T}"],
    "ActiveConfig": ["saxs"],
    "PathFixer": ["a/b/pathfixer"],
    "KafkaBootstrapServers": ["kafka:9092"],
}


def test_defaults() -> None:
    found = settings_from_properties("a/b/scidog", PROPERTIES)
    assert found.problems == ()
    assert found.topic == "scifish-cosaxs"
    assert (found.snapshot_timeout, found.max_array_size, found.send_proprietary) == (3.0, 64, False)
    assert found.always_configs == ("beamline",)
    entries, problems = found.entries()
    assert [entry.name for entry in entries] == ["I", "T"]
    assert problems == []


def test_without_a_configuration_named_beamline_nothing_is_wrong() -> None:
    some = {name: lines for name, lines in PROPERTIES.items() if name != "Config.beamline"}
    assert settings_from_properties("d", some).entries()[1] == []
    named = settings_from_properties("d", {**some, "AlwaysConfigs": ["machine"]})
    assert "AlwaysConfigs: there is no configuration 'machine'" in named.entries()[1][0]


def test_a_device_without_any_configuration_is_reported_as_it_may_not_be_a_scidog(
    source: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCIDOG_DEVICE", "a/b/pathfixer")
    source._db.given = {"Beamline": ["cosaxs"], "Office": ["yaml:/proposals.yaml"]}
    [problem] = source.now().entries()[1]
    assert problem.startswith("a/b/pathfixer has no configuration (a property Config.<name>), so no attribute is")
    assert "SCIDOG_DEVICE" in problem
    monkeypatch.setattr("scifish.cli.settings_source", lambda: source)
    monkeypatch.setattr(paths, "SYSTEM_SPOOL", Path("/not there"))
    assert main(["status"]) == 0
    assert f"settings of a/b/pathfixer: {problem}\n" in capsys.readouterr().out
    assert Settings().entries() == ([], [])  # a program may want none


@pytest.mark.parametrize(
    ("name", "value", "field", "default"),
    [
        ("SnapshotTimeout", "soon", "snapshot_timeout", 3.0),
        ("SnapshotTimeout", "-1", "snapshot_timeout", 3.0),
        ("SnapshotTimeout", "nan", "snapshot_timeout", 3.0),
        ("MaxArraySize", "1e9", "max_array_size", 64),
        ("SendProprietary", "perhaps", "send_proprietary", False),
        ("SendWithoutProposal", "perhaps", "send_without_proposal", False),
        ("RememberProposalDays", "a week", "remember_proposal_days", 7.0),
        ("Topic", "scifish cosaxs", "topic", "scifish-cosaxs"),
        ("Topic", "..", "topic", "scifish-cosaxs"),
        ("Topic", "t" * 250, "topic", "scifish-cosaxs"),
    ],
)
def test_a_wrong_property_is_reported_and_its_default_is_in_use(
    name: str, value: str, field: str, default: Any
) -> None:
    found = settings_from_properties("d", {**PROPERTIES, name: [value]})
    assert getattr(found, field) == default
    assert len(found.problems) == 1
    assert found.problems[0].startswith(f"{name}: ")


@pytest.mark.parametrize("name", ["ActiveConfig", "Beamline", "PathFixer", "SnapshotTimeout", "SendProprietary"])
def test_more_lines_than_one_are_reported_where_one_is_in_use(name: str) -> None:
    given = {**PROPERTIES, "SnapshotTimeout": ["2"], "SendProprietary": ["true"]}
    found = settings_from_properties("d", {**given, name: [*given[name], "", " more "]})
    assert replace(found, problems=()) == settings_from_properties("d", given)
    assert found.problems == (f"{name}: it has 3 lines; only the first is in use, {given[name][0]!r}",)
    assert settings_from_properties("d", {**given, name: [*given[name], "", " "]}).problems == ()


def test_a_beamline_that_cannot_name_a_topic_is_reported() -> None:
    found = settings_from_properties("d", {**PROPERTIES, "Beamline": ["Co SAXS/1"]})
    assert found.topic == "scifish-Co-SAXS-1"
    assert "Beamline" in found.problems[0]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_the_last_good_settings_come_back(state: Path) -> None:
    found = settings_from_properties("a/b/scidog", PROPERTIES)
    assert settings_module.load_last_good() is None
    settings_module.save_last_good(found)
    assert settings_module.load_last_good() == found


def test_a_damaged_file_of_last_good_settings_is_as_good_as_none(state: Path) -> None:
    settings_module.save_last_good(Settings(beamline="x"))
    file = settings_module.last_good_file()
    file.write_text(file.read_text()[:20])
    assert settings_module.load_last_good() is None


def test_the_spool_is_where_it_is_set_or_in_the_users_state(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_module.spool_directory(Settings(spool_directory="/somewhere")) == Path("/somewhere")
    monkeypatch.setattr(paths, "SYSTEM_SPOOL", state / "not there")
    assert settings_module.spool_directory(Settings()) == state / "scifish" / "spool"


def test_without_a_home_the_spool_is_where_it_is_set_and_nothing_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_home(monkeypatch)
    set_here = Settings(spool_directory=str(tmp_path))
    assert settings_module.spool_directory(set_here) == tmp_path
    assert tmp_path in settings_module.spool_folders(set_here)
    assert settings_module.state_directory().is_absolute()
    assert settings_module.load_last_good() is None


@pytest.mark.parametrize("relative", ["state", "~/state", ""])
def test_a_state_folder_that_is_not_absolute_does_not_count(
    relative: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", relative)
    assert settings_module.state_directory() == tmp_path / ".local" / "state" / "scifish"


class FakeDatabase:
    """As `scifish.tango_io.database.TangoDatabase`."""

    def __init__(self, properties: dict[str, list[str]]) -> None:
        self.given = properties
        self.away = False
        self.scidogs = ["a/b/scidog"]

    def devices_of_class(self, device_class: str) -> list[str]:
        if self.away:
            raise RuntimeError("the database is away")
        return self.scidogs

    def properties(self, device: str) -> dict[str, list[str]]:
        return {name: list(lines) for name, lines in self.given.items()}


@pytest.fixture
def source(state: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("SCIDOG_DEVICE", raising=False)
    monkeypatch.setattr(sources, "TangoDatabase", lambda: fake)
    monkeypatch.setattr("scifish.settings.fallback.ask_scidog", lambda device: None)  # its server is stopped
    fake = FakeDatabase({name: list(lines) for name, lines in PROPERTIES.items()})
    found = TangoSettings()
    found._db = fake  # type: ignore[assignment]
    now = found.now
    found.now = lambda timeout=PATIENCE: now(timeout)  # type: ignore[method-assign]
    return found


def test_an_edit_is_in_effect_at_the_next_reading(source: Any) -> None:
    assert source.now() == settings_from_properties("a/b/scidog", PROPERTIES)
    source._db.given["ActiveConfig"] = ["beamline"]
    found = source.now()
    assert found is not None
    assert found.active_config == "beamline"


def test_with_the_database_away_the_last_good_settings_are_used_also_by_the_next_program(
    source: Any,
) -> None:
    good = source.now()
    source._db.away = True
    assert source.now() == good
    assert TangoSettings().known() == good


def test_a_second_scidog_is_a_trouble_at_once_and_a_database_that_is_away_after_some_time(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.now()
    assert source.trouble == ""
    source._db.scidogs = ["a/b/scidog", "x/y/z"]
    db = source._db
    source.now()
    assert source.trouble == (
        "the settings cannot be read from the Tango database (there are several SciDog devices (a/b/scidog, x/y/z): "
        "set SCIDOG_DEVICE to one of them); the last good settings are in use"
    )
    assert sources.WithPathFixer(source, "a/b/pathfixer").trouble == source.trouble
    db.scidogs = ["a/b/scidog"]
    source.now()
    assert source.trouble == ""
    db.away = True
    source.now()
    assert source.trouble == ""
    monkeypatch.setattr(sources, "LASTING_TROUBLE_SECONDS", 0.0)
    assert "the database is away" in source.trouble


def test_a_configuration_that_cannot_be_read_at_all_is_replaced_by_its_last_good_one(source: Any) -> None:
    good = source.now()
    source._db.given["config.saxs"] = ["- {name: T, source: a/b/c}", "- {{"]
    found = source.now()
    assert good is not None
    assert found is not None
    assert found.entries()[0] == good.entries()[0]
    assert found.replaced == (
        "saxs, line 1: T: source 'a/b/c' is not of the form domain/family/member/attribute, nor an alias",
        "saxs, line 2: not YAML (expected the node content, but found '<stream end>'): '- {{'",
        "saxs: no line of it can be read; the last good one is in use",
    )
    source._db.given["config.saxs"] = ["- {name: T2, source: a/b/c/d}", "- {{"]
    found = source.now()
    assert found is not None
    assert [entry.name for entry in found.entries()[0]] == ["I", "T2"]


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        (
            {"ActiveConfig": ["sacs"]},
            "ActiveConfig: there is no configuration 'sacs'; there are: beamline, saxs; "
            "the previous value (saxs) is in use",
        ),
        (
            {"config.saxs": None},
            "ActiveConfig: there is no configuration 'saxs'; there are: beamline; its last good lines are in use: "
            "restore it, or name another",
        ),
        (
            {"AlwaysConfigs": ["beamlin", "saxs"]},
            "AlwaysConfigs: there is no configuration 'beamlin'; there are: beamline, saxs; "
            "the previous value (beamline) is in use",
        ),
    ],
)
def test_what_was_in_use_stays_so_where_a_name_is_wrong_and_is_reported(
    source: Any, edits: dict[str, list[str] | None], says: str
) -> None:
    good, _ = source.now().entries()
    for name, lines in edits.items():
        source._db.given[name] = lines
    source._db.given = {name: lines for name, lines in source._db.given.items() if lines is not None}
    found = source.now()
    assert found.entries() == (good, [says])
    assert TangoSettings().known() == found  # so also the next program here, and another reading
    assert source.now() == found
    source._db.given |= {"ActiveConfig": ["waxs"], "AlwaysConfigs": [], "Config.waxs": ["- {name: W, source: a/b/c/W}"]}
    entries, problems = source.now().entries()
    assert ([entry.name for entry in entries], problems) == (["I", "W"], [])


@pytest.mark.parametrize(
    ("edits", "which", "before"),
    [({"ActiveConfig": ["Bad"]}, "ActiveConfig", "saxs"), ({"AlwaysConfigs": ["bad"]}, "AlwaysConfigs", "beamline")],
)
def test_what_was_in_use_stays_so_where_the_configuration_named_now_was_never_good(
    source: Any, edits: dict[str, list[str]], which: str, before: str
) -> None:
    good, _ = source.now().entries()
    source._db.given |= edits | {"Config.bad": ["- {{"]}
    entries, problems = source.now().entries()
    assert entries == good
    assert problems[0].startswith("bad, line 1: not YAML")
    assert problems[1:] == [f"{which}: no line of bad can be read; the previous value ({before}) is in use"]
    assert source.now().entries() == (entries, problems)
    source._db.given["Config.bad"] = ["- {name: B, source: a/b/c/B}"]
    entries, problems = source.now().entries()
    assert ("B" in [entry.name for entry in entries], problems) == (True, [])


def test_nothing_active_stays_so_where_the_name_is_wrong(source: Any) -> None:
    source._db.given["ActiveConfig"] = [""]
    good, _ = source.now().entries()
    source._db.given["ActiveConfig"] = ["sacs"]
    entries, problems = source.now().entries()
    assert entries == good
    assert problems[0].endswith("the previous value (none) is in use")


def test_what_is_always_recorded_and_was_deleted_stays_if_its_name_was_written(source: Any) -> None:
    assert len(source.now().entries()[0]) == 2
    beamline = source._db.given.pop("Config.beamline")
    entries, problems = source.now().entries()
    assert (len(entries), problems) == (1, [])  # the default need not be there
    source._db.given |= {"Config.beamline": beamline, "AlwaysConfigs": ["Beamline"]}
    assert len(source.now().entries()[0]) == 2
    del source._db.given["Config.beamline"]
    entries, problems = source.now().entries()
    assert len(entries) == 2
    assert problems[0].startswith("AlwaysConfigs: there is no configuration 'Beamline'; there are: saxs; its last good")


def test_a_program_that_has_seen_nothing_asks_scidog_and_again_until_it_answers(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = settings_from_properties("a/b/scidog", PROPERTIES)
    source._db.given |= {"config.saxs": ["- {{"], "ActiveConfig": ["saxs"]}
    asked = []

    def answer(device: str) -> Settings | None:
        asked.append(device)
        return good if len(asked) > 1 else None

    monkeypatch.setattr("scifish.settings.fallback.ask_scidog", answer)
    assert len(source.now().entries()[0]) == 1
    for _ in range(3):
        assert source.now().entries()[0] == good.entries()[0]
    assert asked == ["a/b/scidog", "a/b/scidog"]


def test_a_configuration_whose_lines_are_all_taken_out_is_not_replaced(source: Any) -> None:
    good = source.now()
    source._db.given["config.saxs"] = ["# not now", ""]
    found = source.now()
    assert [entry.name for entry in found.entries()[0]] == ["I"] != [entry.name for entry in good.entries()[0]]
    assert found.problems == good.problems
    (problem,) = found.entries()[1]
    assert problem.startswith("saxs: it is the active configuration and has no entry")
    source._db.given["ActiveConfig"] = [""]
    assert source.now().entries() == (found.entries()[0], [])


def test_kafkas_secrets_are_refused_in_a_file_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# SASL\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n")
    file.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        read_config_file(file)
    file.chmod(0o600)
    assert read_config_file(file) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}


def test_a_wrong_line_in_kafkas_file_is_named_but_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.touch(mode=0o600)
    file.write_text("a=b\nhunter2\n")
    with pytest.raises(SettingsError, match="line 2") as caught:
        read_config_file(file)
    assert "hunter2" not in str(caught.value)


def test_a_producer_needs_brokers() -> None:
    with pytest.raises(SettingsError, match="KafkaBootstrapServers"):
        producer_config(Settings(scidog="a/b/c"))
    given = replace(Settings(), kafka_bootstrap_servers="kafka:9092")
    assert producer_config(given)["enable.idempotence"] is True


def test_every_setting_has_its_property() -> None:
    """So that what SciDog shows in jive can also be in a YAML file."""
    of_scidog = {name for name, value in vars(SciDog).items() if isinstance(value, device_property)}
    assert of_scidog == set(settings_module.PROPERTIES)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"snapshot_timeout": "x"}, "snapshot_timeout is 'x'; it must be int or float"),
        ({"kafka_bootstrap_servers": 5}, "kafka_bootstrap_servers is 5; it must be str"),
        ({"send_proprietary": 1}, "send_proprietary is 1; it must be bool"),
        ({"spool_limit": True}, "spool_limit is True; it must be int"),
        ({"configs": {"a": "- {name: x, source: a/b/c/d}"}}, "configs['a'] is '- {name: x, source: a/b/c/d}'"),
        ({"beamline": "my lab"}, "beamline 'my lab'"),
    ],
)
def test_settings_of_a_program_are_checked(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        FixedSettings(Settings(**{"beamline": "lab", **wrong}))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "brokers",
    [
        "kafka:9092",
        "kafka-1.example.org:9092, kafka-2:9093",
        "10.0.0.1:9092",
        "[fe80::1]:9092",
        "kafka:9092,",
        "SASL_SSL://kafka:9094",
        "",
    ],
)
def test_brokers_that_kafka_can_use(brokers: str) -> None:
    found = settings_from_properties("d", {**PROPERTIES, "KafkaBootstrapServers": [brokers]})
    assert found.problems == ()
    assert found.kafka_bootstrap_servers == brokers


@pytest.mark.parametrize(
    ("brokers", "wrong"),
    [
        ("kafka", "kafka"),
        ("kafka:9092;kafka-2:9092", "kafka:9092;kafka-2:9092"),
        ("kafka:9092 kafka-2:9092", "kafka:9092 kafka-2:9092"),
        ("kafka:70000", "kafka:70000"),
        ("kafka:port", "kafka:port"),
        ("http://kafka:9092/", "http://kafka:9092/"),
    ],
)
def test_brokers_that_it_cannot_use_are_reported_and_block_nothing(brokers: str, wrong: str) -> None:
    found = settings_from_properties("d", {**PROPERTIES, "KafkaBootstrapServers": [brokers]})
    (problem,) = found.problems
    assert problem.startswith(f"KafkaBootstrapServers: {wrong!r} is not of the form host:port")
    assert found.entries()[0]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SnapshotTimout", "SnapshotTimeout"),
        ("activeconfigs", "ActiveConfig"),
        ("Kafka_Bootstrap_Servers", "KafkaBootstrapServers"),
        ("Configs.saxs", "Config.<name>"),
        ("Config_saxs", "Config.<name>"),
        ("Confg.saxs", "Config.<name>"),
        ("cofnig.saxs", "Config.<name>"),
        ("Cfg.saxs", "Config.<name>"),
        ("Konfig.saxs", "Config.<name>"),
        ("Config.", "Config.<name>"),
    ],
)
def test_a_property_that_is_probably_a_mistake_is_reported(name: str, meant: str) -> None:
    (problem,) = settings_from_properties("d", {**PROPERTIES, name: ["5"]}).problems
    assert problem == f"{name}: a property of this name is not known and is ignored; did you mean {meant}?"


@pytest.mark.parametrize(
    "name", ["polled_attr", "__SubDevices", "doc_url", "min_poll_period", "logging_level", "conf_path", "doc.url"]
)
def test_properties_of_others_are_theirs(name: str) -> None:
    assert settings_from_properties("d", {**PROPERTIES, name: ["5"]}).problems == ()


@pytest.mark.parametrize("name", ["pathfixer", "a/b", "a/b/c/d", "a/b c/d"])
def test_a_pathfixer_that_is_not_a_device_name_is_reported(name: str) -> None:
    (problem,) = settings_from_properties("d", {**PROPERTIES, "PathFixer": [name]}).problems
    assert problem.startswith(f"PathFixer: {name!r} is not the name of a device")


def test_a_pathfixer_may_be_of_another_tango_system() -> None:
    named = {**PROPERTIES, "PathFixer": ["tango://host:10000/a/b/c"]}
    assert settings_from_properties("d", named).problems == ()


def test_a_device_as_settings_says_what_to_do_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "b303a-e02/ctl/sdm-01"
    with pytest.raises(SettingsError) as caught:
        check_settings(name)
    assert f"SciFish(pathfixer={name!r})" in str(caught.value)
    assert f"SCIDOG_DEVICE={name}" in str(caught.value)
    monkeypatch.setenv(CONFIG_VARIABLE, name)
    for look in (check_settings, settings_source):  # the latter is what the commands call
        with pytest.raises(SettingsError, match=f"SCIFISH_CONFIG={name}: there is no such file, .* a device") as caught:
            look(None)
        assert f"SciFish(pathfixer={name!r})" in str(caught.value)
    (tmp_path / "b303a-e02" / "ctl").mkdir(parents=True)
    (tmp_path / name).write_text("Beamline: lab\nKafkaBootstrapServers: kafka:9092\n")
    monkeypatch.chdir(tmp_path)
    assert check_settings(name) == tmp_path / name
    found = settings_source().known()
    assert found is not None
    assert found.file == str(tmp_path / name)


def test_a_pathfixer_that_a_program_names_is_used_in_the_companion_too() -> None:
    source = settings_source(Settings(beamline="lab", path_fixer="a/b/c"), check_pathfixer("b303a-e02/ctl/sdm-01"))
    for one in (source, source_of(json.loads(json.dumps(source.described())))):
        assert [found.path_fixer for found in (one.known(), one.now()) if found] == ["b303a-e02/ctl/sdm-01"] * 2


@pytest.mark.parametrize("name", ["b303a", 5, "scifish.yaml", "a/b/c/d"])
def test_a_pathfixer_that_is_not_a_device_is_reported(name: object) -> None:
    with pytest.raises(SettingsError, match="is not a device's name"):
        check_pathfixer(name)
