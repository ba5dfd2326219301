"""`sdm.storage` as MXCuBE calls it."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from sdm import storage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for category in ("visitors", "staff"):
        (tmp_path / category / "biomax").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("number", ["20250001", 20250001])
def test_the_calls_of_a_session(root: Path, number: str | int) -> None:
    beamline = storage.Storage(user_type="visitors", beamline="biomax", prefix=str(root))
    group = beamline.get_proposal_group(number)
    assert group == "20250001-group"
    raw = beamline.create_path(number, group, "20250310")
    assert raw == f"{root}/visitors/biomax/20250001/20250310/raw"
    assert stat.S_IMODE(os.stat(raw).st_mode) == 0o2770
    assert beamline.create_path(number, group, "20250310") == raw
    assert f"{beamline.beamline_path}/{number}" == str(Path(raw).parents[1])


def test_the_older_call_by_position_with_a_name_in_capitals(root: Path) -> None:
    beamline = storage.Storage("staff", "BIOMAX", None, str(root))
    assert beamline.get_proposal_group("commissioning", admin=True) == "biomax"
    raw = beamline.create_path("commissioning", "biomax", "20250310")
    assert raw == f"{root}/staff/biomax/commissioning/20250310/raw"


def test_modes_that_could_not_be_set_are_logged(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "sdm.storage"):
        storage.Storage("visitors", "biomax", "no-such-account", str(root)).create_path("1", "1-group", "20250310")
    assert "no account 'no-such-account'" in caplog.text
    assert "no group '1-group'" in caplog.text


def test_an_invalid_group_or_account_is_logged(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage.Storage("visitors", "biomax", None, str(root)).create_path("1", "a\0b", "20250310", "\ud800")
    assert "no group 'a\\x00b'" in caplog.text
    assert "no account '\\ud800'" in caplog.text


@pytest.mark.parametrize(("proposal", "group", "visit"), [(None, "g", "v"), ("1", None, "v"), ("1", "g", None)])
def test_missing_values_of_a_session_do_not_become_folders(root: Path, proposal: Any, group: Any, visit: Any) -> None:
    with pytest.raises(storage.StorageException, match="None refused"):
        storage.Storage("visitors", "biomax", None, str(root)).create_path(proposal, group, visit)
    assert not list((root / "visitors" / "biomax").iterdir())


@pytest.mark.parametrize(
    ("user_type", "beamline"), [("users", "biomax"), ("visitors", "../biomax"), ("visitors", None)]
)
def test_wrong_names_are_refused_at_once(user_type: str, beamline: Any) -> None:
    with pytest.raises(storage.StorageException):
        storage.Storage(user_type, beamline)


@pytest.mark.parametrize(("proposal", "visit"), [("..", "20250310"), ("1", "../../2"), ("1", "")])
def test_nobody_gets_out_of_the_beamlines_folder(root: Path, proposal: str, visit: str) -> None:
    with pytest.raises(storage.StorageException):
        storage.Storage("visitors", "biomax", prefix=str(root)).create_path(proposal, "g", visit)


def test_a_missing_storage_is_a_storage_exception(tmp_path: Path) -> None:
    with pytest.raises(storage.StorageException, match="mounted"):
        storage.Storage("visitors", "biomax", prefix=str(tmp_path)).create_path("1", "1-group", "20250310")


def test_another_layout_is_taken_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDM_LAYOUT", "{category}/{beamline}/{year}/{proposal}/{visit}/RAW_DATA")
    raw = storage.Storage("visitors", "biomax", prefix=str(root)).create_path("1", "1-group", "20250310")
    assert raw == f"{root}/visitors/biomax/2025/1/20250310/RAW_DATA"
    monkeypatch.setenv("SDM_LAYOUT", "/nowhere.yaml")
    with pytest.raises(storage.StorageException, match="cannot be read"):
        storage.Storage("visitors", "biomax", prefix=str(root))
