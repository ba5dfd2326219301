"""`duo.UO.RestDuo` as MXCuBE's adapter calls it, on a user office over HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from duo.UO import RestDuo
from sdm.config import DUOPASSWORD, DUOUSER
from sdm.office import OfficeError, OfficeRefused
from tests.servers.user_office import DUO_PROPOSAL, UserOffice, body, user_office
from tests.waiting import PATIENCE


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Iterator[UserOffice]:
    monkeypatch.delenv("SDM_OFFICE", raising=False)
    with user_office() as running:
        running.says("/proposals", [DUO_PROPOSAL, DUO_PROPOSAL | {"propid": "IN20250002"}])
        yield running


def numbers(url: str) -> list[int | str]:
    duo = RestDuo(url)
    duo.login(DUOUSER, DUOPASSWORD)
    return duo.get_beamline_proposals("CoSAXS")


def test_the_proposals_of_a_beamline_are_numbers(office: UserOffice) -> None:
    assert numbers(office.url) == [20250001, "IN20250002"]


def test_the_office_of_the_environment_is_asked_with_its_token(
    office: UserOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "duo.token"
    token.write_text("a-token")
    token.chmod(0o600)
    (tmp_path / "duo.yaml").write_text(f"url: {office.url}\ntoken_file: duo.token\n")
    monkeypatch.setenv("SDM_OFFICE", f"duo:{tmp_path}/duo.yaml")
    assert numbers("https://elsewhere.example.org") == [20250001, "IN20250002"]
    assert office.headers["Authorization"] == "Bearer a-token"


def test_a_refusal_says_what_to_do(office: UserOffice) -> None:
    office.does("/proposals", body(b"{}", 401))
    with pytest.raises(OfficeRefused, match="it needs a token"):
        numbers(office.url)


def test_an_invalid_address_is_reported_at_once(office: UserOffice) -> None:
    with pytest.raises(OfficeError, match="url"):
        RestDuo("duo.example.org")


@pytest.mark.parametrize("patch", ["monkey.patch_all(thread=False)", "monkey.patch_all()"])
def test_it_answers_in_a_program_that_gevent_has_patched(patch: str, office: UserOffice) -> None:
    program = (
        f"from gevent import monkey; {patch}\n"
        "import sys; from duo.UO import RestDuo\n"
        "print([RestDuo(sys.argv[1]).get_beamline_proposals('CoSAXS') for _ in range(3)])\n"
    )
    run = [sys.executable, "-c", program, office.url]
    done = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == (f"{[[20250001, 'IN20250002']] * 3}\n", "")
