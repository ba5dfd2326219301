"""The command scicow, but for `run`: see tests/integration."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.scicow.cli import main
from scifish.message import encode
from tests.builders.messages import message, value
from tests.paths import DOCS
from tests.waiting import PATIENCE

EXAMPLE = str(DOCS / "scicow.example.yaml")


@pytest.fixture
def check(tmp_path):
    def run(data, *options):
        path = tmp_path / "message.json"
        path.write_bytes(data)
        return main(["check-mapping", "--config", EXAMPLE, *options, str(path)])

    return run


def test_config_show_hides_the_password(capsys, monkeypatch):
    monkeypatch.setenv("SCIZOO_SCICAT_PASSWORD", "s3cret")
    assert main(["config", "show", "--config", EXAMPLE]) == 0
    shown = capsys.readouterr().out
    assert "password: '***'" in shown
    assert "group_id: scicow" in shown


def test_a_mistake_in_the_settings_is_status_2(capsys, tmp_path):
    assert main(["run", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_check_mapping_shows_the_dataset_in_both_versions(check, capsys):
    given = message("ended")
    assert check(encode(given)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["v3"]["dataset"]["pid"] == found["v4"]["dataset"]["pid"] == f"scizoo/{given['uuid']}"
    assert found["v3"]["dataset"]["proposalId"] == "20250001"
    assert found["v4"]["dataset"]["proposalIds"] == ["20250001"]
    assert [len(block) for block in found["v4"]["blocks"]] == [1]


def test_check_mapping_shows_one_version_and_what_will_be_different(check, capsys):
    entries = {"language": value(1, "µm"), "b": value(1, "steps"), "c": value(None, error="no answer"), "d": value({})}
    assert check(encode(message("ended", scientificMetadata=entries)), "--api", "v4") == 0
    found = capsys.readouterr()
    assert list(json.loads(found.out)) == ["v4"]
    assert found.err.splitlines() == [
        "warning: language: is named '_language' in SciCat",
        "warning: language: unit 'µm' is written as 'um'",
        "warning: b: unit 'steps' cannot be converted by SciCat: searches must use it unchanged",
        "warning: c: has no value (no answer)",
        "warning: d: is an object, written as JSON text",
    ]


def test_check_mapping_tries_a_page(check, capsys, tmp_path):
    page = tmp_path / "mapping.yaml"
    page.write_text('fields: {keywords: ["{beamline}"]}\n')
    assert check(encode(message("ended")), "--mapping", str(page)) == 0
    assert json.loads(capsys.readouterr().out)["v3"]["dataset"]["keywords"] == ["cosaxs"]
    page.write_text("fields: {keyword: [x]}\n")
    assert check(encode(message("ended")), "--mapping", str(page)) == 2
    assert f"{page}, line 1: fields.keyword: is not known: did you mean keywords?" in capsys.readouterr().err


def test_check_mapping_shows_what_an_annotation_changes(check, capsys):
    assert check(encode(message("annotation"))) == 0
    assert json.loads(capsys.readouterr().out)["v3"]["change"]["comment"] == "fine"


def test_check_mapping_says_what_is_wrong(check, capsys):
    assert check(encode(message(beamline=""))) == 1
    assert "beamline" in capsys.readouterr().err


def test_check_mapping_reads_stdin(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(message()))))
    assert main(["check-mapping", "--config", EXAMPLE, "-"]) == 0


@pytest.mark.parametrize("command", [[], ["run"], ["config"], ["config", "show"], ["check-mapping"]])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as raised:
        main([*command, "--help"])
    assert raised.value.code == 0
    assert "scicow" in capsys.readouterr().out


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The example's settings, with something else in it."""
    monkeypatch.setenv("SCIZOO_SCICAT_PASSWORD", "s3cret")

    def write(old, new):
        path = tmp_path / "scicow.yaml"
        path.write_text(Path(EXAMPLE).read_text("utf-8").replace(old, new, 1), "utf-8")
        return str(path)

    return write


@pytest.mark.parametrize(
    "command", [["run"], ["status"], ["dead-letters", "list"], ["audit", "--from", "1d"]], ids=lambda words: words[0]
)
def test_what_kafkas_library_does_not_know_is_a_mistake_in_the_settings(command, written, capsys, tmp_path):
    file = tmp_path / "kafka.properties"
    file.touch(0o600)
    file.write_text("sasl.passwrod=s3cret\n")
    config = written("# config_file: /etc/scizoo/kafka.properties", f"config_file: {file}")
    assert main([*command, "--config", config]) == 2
    said = capsys.readouterr().err
    assert "kafka.config_file: Kafka's client library refuses it: No such configuration property" in said
    assert "s3cret" not in said


def test_status_tells_a_page_with_which_scicow_does_not_start(written, capsys, tmp_path):
    page = tmp_path / "mapping.yaml"
    page.write_text("fields: {keyword: [x]}\n")
    assert main(["status", "--config", written("# mapping: /etc/scizoo/mapping.yaml", f"mapping: {page}")]) == 2
    assert f"{page}, line 1: fields.keyword" in capsys.readouterr().err


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ingest.scicow.commands.config.load", interrupted)
    assert main(["config", "show", "--config", EXAMPLE]) == 130
    assert capsys.readouterr().err == "\nscicow: interrupted\n"


def test_nobody_may_read_the_rest():
    command = [sys.executable, "-m", "ingest.scicow.cli", "config", "show", "--config", EXAMPLE]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("given", ["x", "nan", "0", "-1", "inf"])
@pytest.mark.parametrize("command", [["status", "--timeout"], ["audit", "--from", "1d", "--running-hours"]])
def test_an_invalid_number_is_reported(command, given, capsys):
    with pytest.raises(SystemExit) as raised:
        main([*command, given])
    assert raised.value.code == 2
    assert f"{given!r} is not a number of" in capsys.readouterr().err
