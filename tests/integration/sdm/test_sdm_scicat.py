"""SciCat's proposals as the user office: the embedded catalogue, and a server that behaves like real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from deploy.demo.processes import Processes
from ingest.scicat import SciCat
from sdm.office import (
    OfficeError,
    OfficeRefused,
    OfficeUnavailable,
    RememberingOffice,
    UnknownProposal,
    Visit,
    WrongBeamline,
    office_from,
    proposal_at,
)
from tests.servers.catalogue import INGESTOR, Catalogue, start_catalogue
from tests.servers.user_office import UserOffice, body, html, user_office

PROPOSAL = {
    "proposalId": "20250001",
    "title": "Swelling of fibres",
    "abstract": "Scattering.",
    "email": "proposer@example.org",
    "firstname": "Jon",
    "lastname": "Berg",
    "pi_firstname": "Astrid",
    "pi_lastname": "Lindqvist",
    "pi_email": "astrid@example.org",
    "ownerGroup": "20250001-group",
    "type": "Regular",
    "instrumentIds": ["CoSAXS", "20.500.12269/formax"],
    "MeasurementPeriodList": [
        {"instrument": "CoSAXS", "start": "2025-03-10T08:00:00.000Z", "end": "2025-03-12T15:00:00.000Z"},
        {"instrument": "20.500.12269/formax", "start": "2025-03-11T08:00:00.000Z", "end": "2025-03-11T15:00:00.000Z"},
    ],
}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    folder = tmp_path_factory.mktemp("catalogue")
    with Processes(folder / "logs") as processes:
        running = start_catalogue(processes, folder / "scicat")
        client = SciCat(running.url, INGESTOR.username, INGESTOR.password)
        client.call("POST", "/api/v3/proposals", PROPOSAL)
        other = {"email": "a@example.org", "title": "x", "ownerGroup": "g", "instrumentIds": ["balder"]}
        client.call("POST", "/api/v3/proposals", {**other, "proposalId": "IN20250042"})
        for sample in ("fibre_A", "empty cell"):
            fields = {"sampleId": sample, "proposalId": "20250001", "ownerGroup": "g"}
            client.call("POST", "/api/v3/samples", fields)
        yield running


def settings(folder: Path, url: str, token: str, more: str = "") -> Path:
    (folder / "token").touch(0o600)
    (folder / "token").write_text(token)
    file = folder / "scicat.yaml"
    file.write_text(f"url: {url}\ntoken_file: token\n{more}")
    return file


@pytest.fixture
def token(catalogue: Catalogue) -> str:
    client = SciCat(catalogue.url)
    account = {"username": INGESTOR.username, "password": INGESTOR.password}
    return str(client.call("POST", "/api/v3/auth/login", account)["access_token"])


def test_a_proposal_has_all_fields_that_scicat_has(catalogue: Catalogue, token: str, tmp_path: Path) -> None:
    found = office_from(f"scicat:{settings(tmp_path, catalogue.url, token)}").proposal("20250001")
    assert (found.title, found.abstract, found.type) == ("Swelling of fibres", "Scattering.", "Regular")
    assert (found.pi_name, found.pi_email) == ("Astrid Lindqvist", "astrid@example.org")
    assert (found.members, found.group, found.category) == (("Jon Berg",), "20250001-group", "visitors")
    assert found.beamline == "cosaxs"
    assert found.visits[0] == Visit("20250310", "2025-03-10", "2025-03-12", "cosaxs")
    assert sorted(found.samples) == ["empty_cell", "fibre_A"]


def test_an_instruments_identifier_is_mapped_to_its_beamline(catalogue: Catalogue, token: str, tmp_path: Path) -> None:
    more = 'beamlines: {"20.500.12269/formax": formax}\n'
    office = office_from(f"scicat:{settings(tmp_path, f'{catalogue.url}/api/v3', token, more)}")
    assert [one.id for one in office.proposals("formax")] == ["20250001"]
    found = proposal_at(office, "20250001", "formax")
    assert (found.beamline, found.also_at, found.visit_names) == ("formax", ("cosaxs",), ("20250311",))
    with pytest.raises(WrongBeamline):
        proposal_at(office, "20250001", "balder")


def test_a_beamlines_list(catalogue: Catalogue, token: str, tmp_path: Path) -> None:
    office = office_from(f"scicat:{settings(tmp_path, catalogue.url, token, 'beamlines: {CoSAXS: cosaxs}')}")
    assert [one.id for one in office.proposals("cosaxs")] == ["20250001"]
    listed = office.proposals("balder")
    assert [(one.id, one.category, one.proprietary) for one in listed] == [("IN20250042", "proprietary", True)]
    assert office.proposals("nanomax") == []


def test_an_unknown_proposal(catalogue: Catalogue, token: str, tmp_path: Path) -> None:
    office = office_from(f"scicat:{settings(tmp_path, catalogue.url, token)}")
    with pytest.raises(UnknownProposal, match="no proposal '7'"):
        office.proposal("7")
    with pytest.raises(UnknownProposal):
        office.proposal("../datasets")


def test_without_a_token_a_private_proposal_is_refused(catalogue: Catalogue) -> None:
    for address in (catalogue.url, f"{catalogue.url}/api/v3", f"{catalogue.url}/api/v3/"):
        with pytest.raises(OfficeRefused, match="token_file"):
            office_from(f"scicat:{address}").proposal("20250001")


def test_an_expired_token_is_reported_and_not_taken_for_an_empty_catalogue(
    catalogue: Catalogue, token: str, tmp_path: Path
) -> None:
    file = settings(tmp_path, catalogue.url, token)
    office = RememberingOffice(office_from(f"scicat:{file}"), tmp_path / "memory.json")
    known = office.proposal("20250001")
    (tmp_path / "token").write_text("of-yesterday")
    assert office.proposal("20250001").samples == known.samples
    assert str(tmp_path / "token") in office.proposal("20250001").trouble
    assert "of-yesterday" not in office.proposal("20250001").trouble
    assert [one.id for one in office.proposals("cosaxs")] == ["20250001"]
    with pytest.raises(OfficeRefused, match=str(tmp_path / "token")):
        office.proposals("balder")
    with pytest.raises(OfficeRefused):  # unknown, or only hidden from us: the answer does not say
        office.proposal("7")


# ------------------------------------------------------- as real servers have it


@pytest.fixture
def server() -> Iterator[UserOffice]:
    with user_office() as running:
        running.says("/api/v3/auth/whoami", {"username": "us"})
        running.says("/api/v3/samples", [])
        yield running


def test_an_empty_200_is_an_unknown_proposal(server: UserOffice, tmp_path: Path) -> None:
    server.does("/api/v3/proposals/7", body(b""))
    with pytest.raises(UnknownProposal):
        office_from(f"scicat:{settings(tmp_path, server.url, 'token')}").proposal("7")
    with pytest.raises(UnknownProposal):
        office_from(f"scicat:{server.url}").proposal("7")


def test_an_empty_200_with_a_dead_token_is_a_refusal(server: UserOffice, tmp_path: Path) -> None:
    office = office_from(f"scicat:{settings(tmp_path, server.url, 'token')}")
    server.says("/api/v3/auth/whoami", {"message": "Unauthorized"}, 401)
    server.does("/api/v3/proposals/7", body(b""))
    server.says("/api/v3/proposals", [])
    for ask in (lambda: office.proposal("7"), lambda: office.proposals("cosaxs")):
        with pytest.raises(OfficeRefused):
            ask()


def test_lists_are_read_in_pages_with_both_names_of_the_filter(server: UserOffice, tmp_path: Path) -> None:
    def pages(request) -> None:
        query = parse_qs(urlsplit(request.path).query)
        assert query["filter"] == query["filters"]
        limits = json.loads(query["filters"][0])["limits"]
        numbers = range(limits["skip"], min(limits["skip"] + limits["limit"], 700))
        one = {"title": "x", "instrumentIds": ["cosaxs"]}
        body(json.dumps([{**one, "proposalId": f"{number:04}"} for number in numbers]).encode())(request)

    server.does("/api/v3/proposals", pages)
    listed = office_from(f"scicat:{server.url}").proposals("cosaxs")
    assert [one.id for one in listed] == [f"{number:04}" for number in range(700)]


def test_unreadable_samples_do_not_cost_the_proposal(server: UserOffice) -> None:
    server.says("/api/v3/proposals/20250001", PROPOSAL)
    server.says("/api/v3/samples", {}, 403)
    assert office_from(f"scicat:{server.url}").proposal("20250001").samples == ()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (html(), "a web page"),
        (body(b"", 500), "status 500"),
        (body(b'{"proposalId": "../x", "instrumentIds": ["cosaxs"]}'), "id: .* refused"),
        (body(b'{"proposalId": "8", "instrumentIds": ["cosaxs"]}'), "for proposal 8"),
        (body(b'{"proposalId": "7", "instrumentIds": "../x"}'), "map it in `beamlines`|expected a list"),
        (body(b'{"proposalId": "7", "instrumentIds": ["20.500/x"]}'), "map it in `beamlines`"),
        (body(b'{"proposalId": "7"}'), "no beamline"),
        (body(b'{"proposalId": "7", "instrumentIds": ["cosaxs"], "ownerGroup": "a b"}'), "group: .* refused"),
    ],
)
def test_a_broken_catalogue(server: UserOffice, answer, says: str) -> None:
    server.does("/api/v3/proposals/7", answer)
    with pytest.raises(OfficeUnavailable, match=says):
        office_from(f"scicat:{server.url}").proposal("7")


def test_a_wrong_address_is_reported() -> None:
    with pytest.raises(OfficeError, match="password") as caught:
        office_from("scicat:https://me:secret@example.org/api/v3")
    assert "secret" not in str(caught.value)


def test_an_empty_200_to_whoami_is_a_refusal(server: UserOffice, tmp_path: Path) -> None:
    """This is how the real server reports an invalid token."""
    office = office_from(f"scicat:{settings(tmp_path, server.url, 'token')}")
    server.does("/api/v3/auth/whoami", body(b""))
    server.does("/api/v3/proposals/7", body(b""))
    server.says("/api/v3/proposals", [])
    for ask in (lambda: office.proposal("7"), lambda: office.proposals("cosaxs")):
        with pytest.raises(OfficeRefused, match=str(tmp_path / "token")):
            ask()
