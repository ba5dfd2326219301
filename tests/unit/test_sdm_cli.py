"""`scizoo-sdm`."""

from __future__ import annotations

from pathlib import Path

import pytest

import deploy.demo
from sdm.cli import main
from sdm.layout import today

OFFICE = f"yaml:{Path(deploy.demo.__file__).with_name('proposals.yaml')}"


@pytest.fixture(autouse=True)
def office(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDM_OFFICE", OFFICE)


def test_show_prints_what_the_office_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "IN20250042"]) == 0
    shown = capsys.readouterr().out
    assert "Petra Novak <petra.novak@example.com>" in shown
    assert "proprietary:            yes" in shown


def test_a_dry_run_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["folders", "20250001", "--prefix", str(tmp_path), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"make     2770 20250001-group {tmp_path}/visitors/cosaxs/20250001/{today()}/raw" in shown
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made_and_then_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "visitors" / "cosaxs").mkdir(parents=True)
    arguments = ["folders", "20250001", "--visit", "20250310", "--sample", "cell/1", "--prefix", str(tmp_path)]
    raw = tmp_path / "visitors" / "cosaxs" / "20250001" / "20250310" / "raw"
    assert main(arguments) == 0
    assert f"made     2770 {raw}" in capsys.readouterr().out
    assert (raw / "cell" / "1").is_dir()
    raw.chmod(0o700)
    assert main([*arguments, "--dry-run"]) == 0
    assert f"change   2770 20250001-group {raw}" in capsys.readouterr().out
    assert main(arguments) == 0
    assert f"is there 2770 {raw}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "7"], "has no proposal '7'"),
        (["--office", "yaml:/nowhere.yaml", "show", "7"], "cannot be read"),
        (["folders", "20250001", "--visit", "../x", "--dry-run"], "visit '../x' refused"),
        (["folders", "20250001", "--prefix", "/nowhere"], "mounted"),
    ],
)
def test_a_failure_is_one_sentence_and_status_1(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("scizoo-sdm: ")
    assert says in error
    assert error.count("\n") == 1


def test_without_an_office_the_option_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SDM_OFFICE")
    with pytest.raises(SystemExit, match="2"):
        main(["show", "7"])
    assert "--office" in capsys.readouterr().err
