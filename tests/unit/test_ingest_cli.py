"""The command scicow, but for `run`: see tests/integration."""

import io
import json
import sys
from pathlib import Path

import pytest

from ingest.cli import main
from scifish.message import encode
from tests.kafka import message

EXAMPLE = str(Path(__file__).parents[2] / "docs" / "scicow.example.yaml")


@pytest.fixture
def check(tmp_path):
    def run(data):
        path = tmp_path / "message.json"
        path.write_bytes(data)
        return main(["check-mapping", "--config", EXAMPLE, str(path)])

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


def test_check_mapping_shows_the_dataset(check, capsys):
    given = message("ended")
    assert check(encode(given)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dataset"]["pid"] == f"scizoo/{given['uuid']}"
    assert len(found["files"]) == 1


def test_check_mapping_shows_what_an_annotation_changes(check, capsys):
    assert check(encode(message("annotation"))) == 0
    assert json.loads(capsys.readouterr().out)["change"] == {"comment": "fine"}


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
