"""Whose datasets are, with a real catalogue, user offices that come and go, and SciCow as it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from deploy.demo.processes import Process, Processes
from ingest.ownership import Ownership
from ingest.registry import Registry
from ingest.scicat import SciCat
from sdm.office import Proposal
from tests.catalogue import INGESTOR, USER1, Catalogue, start_catalogue
from tests.integration.test_scicow import Beamline, eventually
from tests.kafka import Kafka, message
from tests.user_office import DUO_PROPOSAL, UserOffice, html, silent, user_office

FIBRES = {
    "id": "20250001",
    "title": "Swelling of fibres",
    "abstract": "Time-resolved scattering.",
    "principal_investigator": {"name": "Astrid Lindqvist", "email": "astrid@example.org"},
    "beamline": "cosaxs",
}


# ----------------------------------------------------------- against the catalogue alone


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    folder = tmp_path_factory.mktemp("catalogue")
    with Processes(folder / "logs") as processes:
        yield start_catalogue(processes, folder)


def client_of(catalogue: Catalogue, account: Any = INGESTOR) -> SciCat:
    return SciCat(catalogue.url, account.username, account.password)


def whose(group: str) -> Ownership:
    return Ownership("Astrid Lindqvist", "astrid@example.org", "Astrid Lindqvist", group, ("cosaxs",))


def test_threads_and_replicas_make_each_once_and_without_an_error(catalogue: Catalogue) -> None:
    run = uuid4().hex[:8]
    replicas = [Registry(client_of(catalogue)) for _ in range(4)]
    proposal = Proposal(run, "Fibres", "cosaxs", abstract="Slowly.", pi_name="Astrid Lindqvist")

    def all_of_it(number: int) -> str:
        registry = replicas[number % 4]
        registry.proposal(proposal, whose(f"{run}-group"))
        registry.sample(f"{run}/fibre A", run, whose(f"{run}-group"))
        return registry.instrument(f"b{run}")

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(all_of_it, range(64))) == {f"b{run}"}
    scicat = client_of(catalogue)
    made, sample = scicat.proposal(run), scicat.sample(f"{run}/fibre A")
    assert made is not None
    assert sample is not None
    assert (made["title"], made["pi_lastname"], made["accessGroups"]) == ("Fibres", "Lindqvist", ["cosaxs"])
    assert (sample["proposalId"], sample["ownerGroup"]) == (run, f"{run}-group")
    # Another SciCow, later, on what is there.
    later = Registry(client_of(catalogue))
    later.proposal(Proposal(run, "Renamed", "cosaxs"), whose("other"))
    later.sample(f"{run}/fibre A", "", whose("other"))
    assert later.instrument(f"B{run}") == f"b{run}"
    assert scicat.proposal(run) == made


def test_an_account_that_is_no_administrator_goes_on_without(
    catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    run = uuid4().hex[:8]
    registry = Registry(client_of(catalogue, USER1))
    for _ in range(2):
        registry.proposal(Proposal(run, "Fibres", "cosaxs"), whose("20250001-group"))
        registry.sample(f"s{run}", run, whose("20250001-group"))
        assert registry.instrument(f"b{run}") == ""
    assert caplog.text.count("an account in its ADMIN_GROUPS may do this") == 2
    assert client_of(catalogue).sample(f"s{run}") is not None  # its own group's


@pytest.mark.parametrize("sample", ["../x", "a?b#c%2F", "å {proposal} '\"<b>", "x" * 255, "a/../b", "$where"])
def test_samples_of_any_name_are_found_again(catalogue: Catalogue, sample: str) -> None:
    Registry(client_of(catalogue)).sample(sample, "", whose("g"))
    scicat = client_of(catalogue)
    found = scicat.sample(sample)
    assert found is not None
    assert found["sampleId"] == sample
    Registry(scicat).sample(sample, "", whose("g"))


# ---------------------------------------------------------------------- SciCow as it runs


class WithOffice(Beamline):
    """A SciCow that asks a user office, by default a YAML file."""

    @property
    def file(self) -> Path:
        return self.folder / "proposals.yaml"

    def tell(self, *proposals: dict[str, Any]) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(yaml.safe_dump({"proposals": list(proposals)}))
        new.rename(self.file)

    def start_scicow(self, **settings: Any) -> Process:
        if not self.file.exists():
            self.tell(FIBRES)
        memory = str(self.folder / "memory.json")
        return super().start_scicow(**{"user_office": f"yaml:{self.file}", "office_memory": memory, **settings})

    def restart(self, **settings: Any) -> None:
        self.scicow.stop()
        self.scicow = self.start_scicow(**settings)


@pytest.fixture
def beamline(tmp_path: Path, kafka: Kafka) -> Iterator[WithOffice]:
    with Processes(tmp_path / "logs") as processes:
        yield WithOffice(tmp_path / "run", processes, kafka, given=False)


@pytest.mark.timeout(240)
def test_an_unknown_proposal_is_held_until_the_office_has_it_and_others_go_on(beamline: WithOffice) -> None:
    began = message("began", proposalId="20250099")
    ended = message("ended", began["uuid"], proposalId="20250099")
    others = [message("snapshot", sampleId=f"S-{number % 3}") for number in range(20)]
    beamline.send(began, ended, *others)
    eventually(lambda: all(beamline.status(other) == "completed" for other in others))
    assert beamline.dataset(began) is None
    found = beamline.dataset(others[0])
    assert found is not None
    assert (found["principalInvestigator"], found["contactEmail"]) == ("Astrid Lindqvist", "astrid@example.org")
    assert (found["ownerGroup"], found["accessGroups"]) == ("20250001-group", ["cosaxs"])
    assert (found["proposalId"], found["sampleId"], found["instrumentId"]) == ("20250001", "S-0", "cosaxs")
    proposal = beamline.scicat.proposal("20250001")
    assert proposal is not None
    assert (proposal["title"], proposal["abstract"]) == ("Swelling of fibres", "Time-resolved scattering.")
    assert proposal["email"] == "astrid@example.org"
    for number in range(3):
        sample = beamline.scicat.sample(f"S-{number}")
        assert sample is not None
        assert sample["ownerGroup"] == "20250001-group"
    assert beamline.scicat.proposal("20250099") is None

    beamline.tell(FIBRES, {"id": "20250099", "title": "New", "beamline": "cosaxs"})
    eventually(lambda: beamline.status(began) == "completed", timeout=100)
    new = beamline.dataset(began)
    assert new is not None
    # The office names nobody for this one.
    assert (new["ownerGroup"], new["principalInvestigator"]) == ("20250099-group", "Data manager")


def test_foreign_and_proprietary_proposals_are_dead_letters_and_leave_no_trace(beamline: WithOffice) -> None:
    secret = {"id": "IN20250042", "title": "Formulation study 7", "beamline": "cosaxs"}
    beamline.tell(FIBRES, secret, {"id": "20250002", "title": "Elsewhere", "beamline": "veritas"})
    foreign, proprietary = message("snapshot", proposalId="20250002"), message("snapshot", proposalId="IN20250042")
    hostile = message("snapshot", proposalId="../{beamline}\n")
    good = message("snapshot")
    beamline.send(foreign, proprietary, hostile, good)
    eventually(lambda: beamline.status(good) == "completed")
    letters = {json.loads(data or b"")["uuid"]: headers for data, headers in beamline.dead_letters(3)}
    said = {uuid: headers["__connect.errors.exception.message"] for uuid, headers in letters.items()}
    assert "20250002 is for the beamline veritas, not cosaxs" in said[foreign["uuid"]]
    assert "'IN20250042' is proprietary" in said[proprietary["uuid"]]
    assert "can be no proposal's number" in said[hostile["uuid"]]
    assert {headers["__connect.errors.exception.class.name"] for headers in letters.values()} == {
        "ingest.failures.Refused"
    }
    assert beamline.count() == 1
    for number in ("20250002", "IN20250042", "../{beamline}\n"):
        assert beamline.scicat.proposal(number) is None
    assert "Formulation study" not in beamline.scicow.text


def test_what_falls_back_is_seen_by_one_group_alone(beamline: WithOffice) -> None:
    beamline.tell({"id": "20250004", "title": "Formulation study 7", "beamline": "cosaxs", "category": "proprietary"})
    beamline.restart(proposals={"unknown": "fallback", "proprietary": "fallback", "fallback_group": "{beamline}-data"})
    unknown = message("snapshot", proposalId="20259999", sampleId="secret_1")
    proprietary = message("snapshot", proposalId="20250004", sampleId="secret_2")
    beamline.send(unknown, proprietary)
    for sent in (unknown, proprietary):
        eventually(lambda sent=sent: beamline.status(sent) == "completed")  # type: ignore[misc]
        found = beamline.dataset(sent)
        assert found is not None
        assert (found["ownerGroup"], found["accessGroups"]) == ("cosaxs-data", [])
        assert found["principalInvestigator"] == "Data manager"
        assert (found["proposalId"], found["sampleId"]) == (sent["proposalId"], sent["sampleId"])
        assert beamline.scicat.proposal(sent["proposalId"]) is None
        assert beamline.scicat.sample(sent["sampleId"]) is None
    assert "Formulation" not in json.dumps(beamline.dataset(proprietary))


@pytest.fixture
def office() -> Iterator[UserOffice]:
    with user_office() as server:
        yield server


@pytest.mark.timeout(240)
def test_an_office_that_is_down_at_the_start_is_waited_for_and_then_bridged(
    beamline: WithOffice, office: UserOffice
) -> None:
    settings = beamline.folder / "duo.yaml"
    settings.write_text(f"url: {office.url}\ntimeout: 4\n")
    office.does("/proposals/20250001", html(503))
    office.does("/proposals/20250002", silent(20))
    beamline.restart(user_office=f"duo:{settings}", proposals={"unknown": "refuse", "hold_for": 1})
    waiting, hanging = message("snapshot"), message("snapshot", proposalId="20250002")
    meanwhile = [message("snapshot", proposalId="commissioning"), message("snapshot", proposalId="")]
    start = time.monotonic()
    beamline.send(waiting, hanging, *meanwhile)
    eventually(lambda: all(beamline.status(sent) == "completed" for sent in meanwhile))
    assert time.monotonic() - start < 20
    found = beamline.dataset(meanwhile[0])
    assert found is not None
    assert found["ownerGroup"] == "cosaxs-staff"
    time.sleep(2)
    assert beamline.dataset(waiting) is None
    assert beamline.scicow.text.count("proposals that it told of before are taken as they were") == 1

    office.says("/proposals/20250001", DUO_PROPOSAL)
    eventually(lambda: beamline.status(waiting) == "completed", timeout=90)
    made = beamline.scicat.proposal("20250001")
    assert made is not None
    assert made["title"] == DUO_PROPOSAL["title"]

    # Down again, and SciCow restarted: what the office said is remembered.
    office.does("/proposals/20250001", html(500))
    beamline.restart(user_office=f"duo:{settings}")
    later = message("snapshot")
    beamline.send(later)
    eventually(lambda: beamline.status(later) == "completed")
    assert beamline.dataset(hanging) is None
    beamline.scicow.wait_for("proposal 20250001 is known from just now")


def test_a_wrong_office_is_told_at_the_start_with_its_line(beamline: WithOffice) -> None:
    beamline.scicow.stop()
    scicow = beamline.start_scicow(user_office="duo:/nowhere/duo.yaml")
    assert scicow.wait(15) == 2
    assert "scicow.yaml, line " in scicow.text
    assert "user_office: /nowhere/duo.yaml" in scicow.text
    assert "Traceback" not in scicow.text
