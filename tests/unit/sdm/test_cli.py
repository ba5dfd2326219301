"""`scizoo-sdm`."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import deploy.demo
import sdm
from sdm.cli import main
from sdm.names import today
from tests.waiting import PATIENCE

OFFICE = f"yaml:{Path(deploy.demo.__file__).with_name('proposals.yaml')}"


@pytest.fixture(autouse=True)
def office(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("SDM_OFFICE", OFFICE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


def test_show_prints_what_the_office_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "IN20250042"]) == 0
    shown = capsys.readouterr().out
    assert "Petra Novak <petra.novak@example.com>" in shown
    assert "proprietary:            yes" in shown


def test_show_warns_about_an_unencrypted_token(tmp_path: Path) -> None:
    settings, token = tmp_path / "duo.yaml", tmp_path / "duo.token"
    settings.write_text("url: http://duo.invalid/api\ntoken_file: duo.token\ntimeout: 0.2\n")
    token.touch(0o600)
    token.write_text("very-secret-token\n")
    command = [sys.executable, "-m", "sdm.cli", "--office", f"duo:{settings}", "show", "20250001"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    warning, error = found.stderr.splitlines()
    assert warning == (
        f"scizoo-sdm: the token in {token} is sent to the user office (http://duo.invalid/api) unencrypted, so "
        f"others on the network can read it: set a `url` with https in {settings}"
    )
    assert error.startswith("scizoo-sdm: the user office")
    assert found.returncode == 1


def test_a_dry_run_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "visitors" / "cosaxs").mkdir(parents=True)
    assert main(["folders", "20250001", "--prefix", str(tmp_path), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"make     2770 20250001-group {tmp_path}/visitors/cosaxs/20250001/{today()}/raw" in shown
    assert list((tmp_path / "visitors" / "cosaxs").iterdir()) == []


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
    for state in ("changed ", "is there"):
        assert main(arguments) == 0
        assert f"{state} 2770 {raw}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "7"], "has no proposal '7'"),
        (["--office", "yaml:/nowhere.yaml", "show", "7"], "cannot be read"),
        (["folders", "20250001", "--visit", "../x", "--dry-run"], "visit '../x' refused"),
        (["folders", "20250001", "--prefix", "/nowhere"], "mounted"),
        (["folders", "20250001", "--sample", "a/" * 2000 + "b", "--dry-run"], "has more than 255 characters"),
        (["list", "\udcff"], "beamline '\\udcff' refused"),
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


def test_a_beamlines_proposals_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "cosaxs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["20250001", "20250117", "IN20250042", "commissioning"]
    assert "proprietary  Formulation study 7" in lines[2]
    assert main(["list", "balder"]) == 0
    assert capsys.readouterr().out == ""


def test_another_beamlines_proposal_is_refused_where_the_beamline_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show", "20250001", "--beamline", "balder"]) == 1
    assert "for the beamline cosaxs, not balder" in capsys.readouterr().err
    assert main(["show", "commissioning", "--beamline", "balder"]) == 0


def test_while_the_office_is_down_its_last_answer_is_shown_with_its_age(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, memory = tmp_path / "proposals.yaml", tmp_path / "memory.json"
    file.write_text("proposals: [{id: 1, title: first, beamline: cosaxs}]")
    asked = ["--office", f"yaml:{file}", "--memory", str(memory)]
    assert main([*asked, "show", "1"]) == 0
    assert "known:" not in capsys.readouterr().out
    file.unlink()
    then = datetime.now(UTC) - timedelta(hours=3, minutes=1)
    kept = json.loads(memory.read_text())
    kept[str(file)]["1"]["as_of"] = then.isoformat(timespec="seconds")
    memory.write_text(json.dumps(kept))
    assert main([*asked, "show", "1"]) == 0
    shown = capsys.readouterr()
    assert "known:                  as the office reported 3 h ago" in shown.out
    assert f"{file} cannot be read" in shown.err
    assert main([*asked, "list", "cosaxs"]) == 0
    assert "3 h ago" in capsys.readouterr().err


def test_the_visit_is_the_offices_of_today(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now().date()
    visit = f"{{name: beamtime, start: {now - timedelta(1)}, end: {now + timedelta(1)}}}"
    file = tmp_path / "proposals.yaml"
    file.write_text(f"proposals: [{{id: 1, title: first, beamline: cosaxs, visits: [{visit}]}}]")
    (tmp_path / "visitors" / "cosaxs").mkdir(parents=True)
    assert main(["--office", f"yaml:{file}", "folders", "1", "--prefix", str(tmp_path), "--dry-run"]) == 0
    assert "/visitors/cosaxs/1/beamtime/raw" in capsys.readouterr().out


def test_the_layout_is_a_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cosaxs").mkdir()
    asked = ["folders", "20250001", "--visit", "20250310", "--prefix", str(tmp_path)]
    assert main([*asked, "--layout", "{beamline}/{proposal}/{visit}/RAW"]) == 0
    assert (tmp_path / "cosaxs" / "20250001" / "20250310" / "RAW").is_dir()
    monkeypatch.setenv("SDM_LAYOUT", "{beamline}/{proposal}/{visit}/data")
    assert main([*asked, "--raw-read-only"]) == 0
    shown = capsys.readouterr()
    assert f"made     2750 {tmp_path}/cosaxs/20250001/20250310/data" in shown.out
    assert "scizoo-sdm: there is no group '20250001-group'" in shown.err
    assert main([*asked, "--layout", "{beamline}/{person}/raw"]) == 1
    assert "contains {person}" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "visitors" / "cosaxs").mkdir(parents=True)
    link = tmp_path / "visitors" / "cosaxs" / "20250001"
    link.symlink_to("/etc")
    asked = ["folders", "20250001", "--prefix", str(tmp_path)]
    assert main([*asked, "--dry-run"]) == main(asked) == 1
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()] == ["refuse"] * 4  # what is behind the link as well
    assert f"scizoo-sdm: {link} is not a folder, or is a link to one" in shown.err


def test_a_dry_run_reports_a_missing_storage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["folders", "20250001", "--prefix", str(tmp_path), "--dry-run"]) == 1
    assert f"{tmp_path}/visitors does not exist. Is the storage mounted?" in capsys.readouterr().err


def test_a_dry_run_says_that_the_owner_would_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "visitors" / "cosaxs").mkdir(parents=True)
    asked = ["folders", "20250001", "--prefix", str(tmp_path)]
    assert main(asked) == 0
    capsys.readouterr()
    another = next(one.pw_name for one in pwd.getpwall() if one.pw_uid != os.getuid())
    for owner, state in ((pwd.getpwuid(os.getuid()).pw_name, "is there"), (another, "change")):
        assert main([*asked, "--dry-run", "--owner", owner]) == 0
        assert all(line.startswith(f"{state} ") for line in capsys.readouterr().out.splitlines())


def test_a_dry_run_reports_missing_groups_and_accounts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "visitors" / "cosaxs").mkdir(parents=True)
    asked = ["folders", "20250001", "--prefix", str(tmp_path), "--owner", "nobody-here"]
    errors = []
    for how in (["--dry-run"], []):
        assert main([*asked, *how]) == 0
        errors.append(capsys.readouterr().err.splitlines())
    assert errors[0] == errors[1]
    assert [line.partition(" on this")[0] for line in errors[0]] == [
        "scizoo-sdm: there is no group '20250001-group'",
        "scizoo-sdm: there is no account 'nobody-here'",
    ]


def test_a_beamline_without_proposals_and_commissioning_without_a_beamline_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "proposals.yaml"
    file.write_text("proposals: [{id: 1, title: first, beamline: cosaxs}]")
    asked = ["--office", f"yaml:{file}"]
    assert main([*asked, "list", "nowhere"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "has no proposals of the beamline 'nowhere'" in shown.err
    for command in ("show", "folders"):
        assert main([*asked, command, "commissioning"]) == 1
        assert "each beamline has its own: give --beamline" in capsys.readouterr().err


def test_a_visit_at_another_beamline_is_not_this_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now().date()
    file = tmp_path / "proposals.yaml"
    file.write_text(
        "proposals: [{id: 1, title: first, beamline: cosaxs, also_at: [formax], "
        f"visits: [{{name: there, start: {now}, beamline: formax}}]}}]"
    )
    for beamline in ("cosaxs", "formax"):
        (tmp_path / "visitors" / beamline).mkdir(parents=True)
    asked = ["--office", f"yaml:{file}", "folders", "1", "--prefix", str(tmp_path), "--dry-run"]
    assert main(asked) == 0
    assert f"/visitors/cosaxs/1/{today()}/raw" in capsys.readouterr().out
    assert main([*asked, "--beamline", "formax"]) == 0
    assert "/visitors/formax/1/there/raw" in capsys.readouterr().out
    assert main(["--office", f"yaml:{file}", "show", "1"]) == 0
    assert f"there ({now}, formax)" in capsys.readouterr().out


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sdm.cli", *arguments],
        env={"PYTHONPATH": str(Path(sdm.__file__).parents[1]), "XDG_STATE_HOME": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_characters_that_a_terminal_lacks_are_escaped(tmp_path: Path) -> None:
    file = tmp_path / "proposals.yaml"
    file.write_text("proposals: [{id: 1, title: Väinö, beamline: cosaxs}]", "utf-8")
    asked = command("--office", f"yaml:{file}", "show", "1", HOME=str(tmp_path), PYTHONIOENCODING="ascii")
    out, err = asked.communicate(timeout=PATIENCE)
    assert (asked.returncode, err) == (0, "")
    assert "V\\xe4in\\xf6" in out


def test_the_reader_of_the_list_may_close_the_pipe(tmp_path: Path) -> None:
    file = tmp_path / "proposals.yaml"
    file.write_text("proposals:\n" + "".join(f"- {{id: {n}, title: {'x' * 500}, beamline: b}}\n" for n in range(500)))
    asked = command("--office", f"yaml:{file}", "list", "b", HOME=str(tmp_path))
    assert asked.stdout is not None
    assert asked.stderr is not None
    with asked, asked.stdout, asked.stderr:
        assert asked.stdout.readline().startswith("0 ")
        asked.stdout.close()
        assert asked.stderr.read() == ""
    assert asked.returncode == 0


def test_help_says_what_the_exit_status_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "exit status: 0 done, 1 could not be done" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["shout"])


def test_without_an_office_the_option_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SDM_OFFICE")
    with pytest.raises(SystemExit, match="2"):
        main(["show", "7"])
    assert "--office" in capsys.readouterr().err
