"""docs/reference/user-office.md: its examples are loaded, and do what the page describes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sdm.cli import main
from sdm.layout import FolderRule, Layout, layout_from
from sdm.names import DataLocation
from sdm.office import Visit, office_from
from sdm.office.rest_settings import COMMON_SETTINGS, DEFAULT_TIMEOUT_SECONDS, PROPOSAL_FIELDS
from tests.paths import DOCS
from tests.servers.user_office import user_office

PAGE = (DOCS / "reference" / "user-office.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


EXAMPLES = {text.splitlines()[0].removeprefix("# "): text for text in blocks("yaml")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all the examples as files, and their tokens."""
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text)
        for token in re.findall(r"^token_file: (\S+)", text, re.MULTILINE):
            (tmp_path / token).touch(0o600)
            (tmp_path / token).write_text("the-token")
    return tmp_path


def test_all_examples_are_known() -> None:
    assert set(EXAMPLES) == {"proposals.yaml", "duo.yaml", "other-office.yaml", "scicat.yaml", "layout.yaml"}


def test_the_yaml_office(folder: Path) -> None:
    found = office_from(f"yaml:{folder}/proposals.yaml").proposal("20250001")
    assert found.visits == (
        Visit("20250310"),
        Visit("20250922", "2025-09-22", "2025-09-25"),
        Visit("2025100108", "2025-10-01", "2025-10-02", "formax"),
    )
    assert (found.type, found.also_at, found.samples) == ("N", ("formax",), ("fibre_A", "batch_1/cell_2"))


@pytest.mark.parametrize("address", ["duo:duo.yaml", "duo:other-office.yaml", "scicat:scicat.yaml"])
def test_settings_of_offices_are_taken(folder: Path, address: str) -> None:
    kind, _, name = address.partition(":")
    office_from(f"{kind}:{folder}/{name}")


def test_the_other_office_is_understood_as_the_page_says(folder: Path) -> None:
    (answer,) = map(json.loads, blocks("json"))
    file = folder / "other-office.yaml"
    with user_office() as server:
        file.write_text(file.read_text().replace("https://office.example.org", server.url))
        server.says("/api.php/v1/ProposalInfos/details", answer)
        found = office_from(f"duo:{file}").proposal("20265353")
        assert server.asked == ["/api.php/v1/ProposalInfos/details?propid=20265353"]
        assert server.headers["X-API-SECRET"] == "the-token"
    assert (found.id, found.title, found.type, found.beamline) == ("20265353", "Calibration", "Regular", "csaxs")
    assert (found.pi_name, found.members, found.group) == ("Peter Mueller", ("Peter Mueller",), "p20265353")
    assert found.visits == (Visit("20260304", "2026-03-04", "2026-03-05"),)


def test_the_layout(folder: Path) -> None:
    layout = layout_from(str(folder / "layout.yaml"), Path("/data"))
    assert layout.path == Layout().path
    assert layout.siblings == ("process", "macros", "logs", "notebooks", "photos")
    assert layout.rules["logs"] == FolderRule(0o2750, "{beamline}")
    assert f"By default `{Layout().path}`" in PAGE
    place = DataLocation("staff", "cosaxs", "commissioning", "20250310")
    assert f"{Layout().raw(place)}\n" in PAGE


def test_the_command_prints_what_the_page_shows(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    (shown,) = blocks("console")
    line, _, output = shown.partition("\n")
    main(line.removeprefix("$ scizoo-sdm ").split())  # its status says whether this machine has the storage
    assert capsys.readouterr().out == output


def test_each_setting_is_on_the_page() -> None:
    for name in (
        *COMMON_SETTINGS,
        *PROPOSAL_FIELDS,
        "proposal",
        "proposals",
        "answer",
        "answers",
        "path",
        "siblings",
        "folders",
    ):
        assert f"`{name}`" in PAGE
    assert f"up to 300 | {DEFAULT_TIMEOUT_SECONDS:g} |" in PAGE
