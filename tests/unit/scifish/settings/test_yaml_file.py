"""Settings as a YAML file, for a machine without a Tango database."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scifish.settings import Settings, SettingsError
from scifish.settings.entries import parse_entries
from scifish.settings.sources import (
    CONFIG_VARIABLE,
    FileSettings,
    FixedSettings,
    TangoSettings,
    check_settings,
    settings_source,
)
from scifish.settings.yaml_file import read_settings_file
from tests.paths import DOCS

EXAMPLE = DOCS / "scifish.example.yaml"
FULL = """\
beamline: lab
KafkaBootstrapServers: [kafka-1:9092, kafka-2:9092]
Topic: 007
SnapshotTimeout: 1.5
SendProprietary: true
ActiveConfig: SAXS
AlwaysConfigs:
  - machine
  - optics
Config.machine: [{name: I, source: a/b/c/I}, {name: J, source: a/b/c/J}]
Config:
  optics: |
    # as in jive
    - {name: Shutter, source: a/b/c/State, map: {ON: open, 4: closed}}
  SAXS:
  - name: T
    source: a/b/c/T
    record: [start, end]
"""


@pytest.fixture(autouse=True)
def no_other_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "scifish.yaml"
    file.write_text(text)
    return file


def test_the_example_is_right_and_shows_the_defaults(tmp_path: Path) -> None:
    found = read_settings_file(EXAMPLE)
    entries, problems = found.entries()
    assert (found.problems, problems) == ((), [])
    assert [(entry.name, entry.unit) for entry in entries] == [
        ("Ring current", "mA"),
        ("Shutter", ""),
        ("Sample temperature", ""),
    ]
    assert entries[1].map == {"open": "open", "close": "closed"}
    shown = [line.removeprefix("# ") for line in EXAMPLE.read_text().splitlines()]
    wanted = ("Beamline:", "Topic:", "SnapshotTimeout:", "MaxArraySize:")
    defaults = [line for line in shown if line.startswith(wanted)]
    assert len(defaults) == 4
    bare = read_settings_file(written(tmp_path, "Beamline: lab\nSendProprietary: false\n"))
    full = read_settings_file(written(tmp_path, "\n".join(defaults)))
    assert bare.__dict__ == full.__dict__


def test_all_ways_of_writing_are_read(tmp_path: Path) -> None:
    found = read_settings_file(written(tmp_path, FULL))
    assert found.problems == ()
    assert (found.beamline, found.topic, found.snapshot_timeout) == ("lab", "007", 1.5)
    assert found.kafka_bootstrap_servers == "kafka-1:9092,kafka-2:9092"
    assert found.send_proprietary is True
    assert found.always_configs == ("machine", "optics")
    entries, problems = found.entries()
    assert problems == []
    assert [(entry.name, entry.record) for entry in entries] == [
        ("I", ("start",)),
        ("J", ("start",)),
        ("Shutter", ("start",)),
        ("T", ("start", "end")),
    ]
    assert entries[2].map == {"on": "open", "4": "closed"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Beamline is ''; give it a line such as 'Beamline: lab'"),
        ("Beamline: My Lab", "Beamline is 'My Lab'"),
        ("- Beamline: lab", "line 1: not of the form 'Name: value'"),
        ("Beamline: lab\nTopic: [a, {b: c}]", "line 2: Topic: not a plain text"),
        ("Beamline: lab\nTopic: a\ntopic: b", "line 3: topic is also on line 2: delete one of them"),
        ("Beamline: lab\nConfig: saxs", "line 2: Config: not of the form {saxs: [...], waxs: [...]}"),
        ("Beamline: lab\nConfig.saxs: {name: x}", "line 2: Config.saxs: not a list of"),
        ("Beamline: lab\nTopic: 'a", "line 2: found unexpected end of stream"),
        ("Beamline: \x07", "special characters are not allowed"),
        ("Beamline: lab\nConfig.saxs: [{[a, b]: c}]", "line 2: found unhashable key"),
        ("Beamline: lab\nConfig.saxs: [&a {name: *a}]", "not YAML that can be used"),
    ],
)
def test_what_cannot_be_used_is_reported_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        read_settings_file(file)
    assert str(caught.value).startswith(str(file))
    assert says in str(caught.value)


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml cannot be read: No such file"):
        read_settings_file(tmp_path / "none.yaml")
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"Beamline: \xe5")
    with pytest.raises(SettingsError, match="it is not UTF-8"):
        read_settings_file(file)


def test_a_small_mistake_is_reported_with_the_files_line_and_costs_only_itself(tmp_path: Path) -> None:
    text = "Beamline: lab\nBeamLime: x\nSnapshotTimeout: soon\nActiveConfig: saxs\nConfig:\n  saxs:\n"
    text += "    - {name: T, source: a/b/c/T}\n\n    - {name: U}\n    - just words\n"
    found = read_settings_file(written(tmp_path, text))
    assert found.problems[0] == "line 2: 'BeamLime' is not known and is ignored; did you mean Beamline?"
    assert found.problems[1].startswith("SnapshotTimeout: 'soon' is not a number")
    entries, problems = found.entries()
    assert [entry.name for entry in entries] == ["T"]
    assert problems[0] == "saxs, line 9: U: source is missing"
    assert problems[1].startswith("saxs, line 10: not of the form")


def test_an_edit_is_in_effect_at_the_next_reading_and_a_wrong_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = written(tmp_path, "Beamline: lab\nTopic: one\n")
    source = FileSettings(file)
    file.write_text("Beamline: lab\nTopic: other\n")
    found = source.now()
    assert found is not None
    assert found.topic == "other"
    assert source.known() == found
    file.write_text("Beamline: lab\nTopic: [oth\n")
    kept = source.now()
    assert kept is not None
    assert kept.topic == "other"
    assert kept.problems[-1].endswith("; the last good settings are in use")
    assert source.trouble == kept.problems[-1]
    assert "line 2" in caplog.text  # where the bracket is that is not closed
    caplog.clear()
    assert source.now() == kept
    assert caplog.text == "", "it is said once"
    file.unlink()
    gone = source.now()
    assert gone is not None
    assert (gone.topic, len(gone.problems)) == ("other", 1)
    assert "No such file" in gone.problems[0]
    file.write_text("Beamline: lab\nTopic: back\n")
    back = source.now()
    assert back is not None
    assert (back.topic, back.problems) == ("back", ())


def test_a_program_says_its_settings_or_the_environment_names_a_file_or_tango_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, file = Settings(beamline="said"), written(tmp_path, "Beamline: file")
    assert isinstance(settings_source(), TangoSettings)
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    for settings, beamline in ((said, "said"), (None, "file"), (file, "file"), (str(file), "file")):
        found = settings_source(settings).known()
        assert found is not None
        assert (found.beamline, found.topic) == (beamline, f"scifish-{beamline}")
    monkeypatch.chdir(tmp_path)
    assert check_settings("scifish.yaml") == file
    assert check_settings(None) is None
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.yaml"))
    for settings in (None, "other.yaml"):
        with pytest.raises(SettingsError, match=r"(none|other)\.yaml cannot be read"):
            check_settings(settings)
    with pytest.raises(SettingsError, match="beamline 'a b'"):
        FixedSettings(Settings(beamline="a b"))


DAMAGED = st.sampled_from(FULL.splitlines()).map(lambda line: FULL.replace(line, ":"))


@given(st.text(max_size=200) | DAMAGED)
def test_whatever_is_written_is_settings_or_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text, encoding="utf-8", errors="replace")
    told = beamline = ""
    try:
        beamline = read_settings_file(file).beamline
    except SettingsError as error:
        told = str(error)
    assert beamline or told.startswith((str(file), f"the settings {file}"))


NAME = st.text("abcdefghijklmnopqrstuvwxyzåäö0123456789:#'\"{}[],&*!|>%@\\ -😀", min_size=1, max_size=20).filter(
    lambda text: text == text.strip()
)


@given(st.lists(st.fixed_dictionaries({"name": NAME}, optional={"unit": NAME, "group": NAME}), max_size=8))
def test_entries_as_yaml_are_those_of_the_lines(
    tmp_path_factory: pytest.TempPathFactory, named: list[dict[str, str]]
) -> None:
    import yaml

    entries = [{**fields, "source": f"a/b/c/{number}"} for number, fields in enumerate(named)]
    file = tmp_path_factory.getbasetemp() / "entries.yaml"
    text = {"Beamline": "lab", "ActiveConfig": "x", "Config.x": entries}
    for flow in (True, False):
        file.write_text(yaml.safe_dump(text, default_flow_style=flow, allow_unicode=True), encoding="utf-8")
        found, problems = parse_entries(read_settings_file(file).configs["x"])
        unique = {(one.get("group", ""), one["name"]) for one in entries}
        assert {(one.group, one.name) for one in found} == unique
        assert len(problems) == len(entries) - len(unique)
