"""Whose datasets are, with a real catalogue, user offices that come and go, and SciCow as it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from deploy.demo.processes import Process, Processes
from ingest.scicat import SciCat
from ingest.scicow.catalogue.references import ReferenceRegistry
from ingest.scicow.mapping.ownership import Ownership
from scifish.message import Message
from sdm.office import Proposal
from tests.builders.messages import message
from tests.integration.scicow.test_scicow import Beamline
from tests.servers.catalogue import Account, Catalogue
from tests.servers.kafka import Kafka
from tests.servers.user_office import (
    DUO_PROPOSAL,
    UserOffice,
    dripping,
    dripping_headers,
    endless,
    html,
    hung,
    redirect,
    user_office,
)
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first

# ----------------------------------------------------------- against the catalogue alone


def client_of(catalogue: Catalogue, account: Account | None = None) -> SciCat:
    account = account or catalogue.ingestor
    return SciCat(catalogue.url, account.username, account.password)


def whose(group: str) -> Ownership:
    return Ownership("Astrid Lindqvist", "astrid@example.org", "Astrid Lindqvist", group, ("cosaxs",))


def test_threads_and_replicas_make_each_once_and_without_an_error(catalogue: Catalogue) -> None:
    run = uuid4().hex[:8]
    replicas = [ReferenceRegistry(client_of(catalogue)) for _ in range(4)]
    proposal = Proposal(run, "Fibres", "cosaxs", abstract="Slowly.", pi_name="Astrid Lindqvist")

    def all_of_it(number: int) -> str:
        registry = replicas[number % 4]
        registry.proposal(proposal, whose(f"{run}-group"))
        registry.sample(f"{run}/fibre A", run, whose(f"{run}-group"))
        return registry.instrument(f"b{run}")

    with ThreadPoolExecutor(16) as pool:
        pids = set(pool.map(all_of_it, range(64)))
    assert all(pids)
    scicat = client_of(catalogue)
    made, sample = scicat.proposal(run), scicat.sample(f"{run}/fibre A")
    assert made is not None
    assert sample is not None
    assert (made["title"], made["pi_lastname"], made["accessGroups"]) == ("Fibres", "Lindqvist", ["cosaxs"])
    assert (sample["proposalId"], sample["ownerGroup"]) == (run, f"{run}-group")
    # Another SciCow, later, on what is there.
    later = ReferenceRegistry(client_of(catalogue))
    later.proposal(Proposal(run, "Renamed", "cosaxs"), whose("other"))
    later.sample(f"{run}/fibre A", "", whose("other"))
    assert {later.instrument(f"B{run}")} == pids
    assert scicat.proposal(run) == made


def test_an_account_that_is_not_an_administrator_creates_what_it_may(
    catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    user = catalogue.user1
    if user is None:
        pytest.skip("SCIZOO_SCICAT_USER is not set")
    run, group = uuid4().hex[:8], user.groups[0]
    registry = ReferenceRegistry(client_of(catalogue, user))
    for _ in range(2):
        registry.proposal(Proposal(run, "Fibres", "cosaxs"), whose(group))
        registry.sample(f"s{run}", run, whose(group))
        assert registry.instrument(f"b{run}") == ""
    made = client_of(catalogue).sample(f"s{run}") is not None  # its own group's
    assert caplog.text.count("an account in SciCat's ADMIN_GROUPS may do this") == 2 + (not made)
    assert made or catalogue.process is None  # a given SciCat may have other SAMPLE_GROUPS


@pytest.mark.parametrize("sample", ["../x", "a?b#c%2F", "å {proposal} '\"<b>", "x" * 255, "a/../b", "$where"])
def test_samples_of_any_name_are_found_again(catalogue: Catalogue, sample: str) -> None:
    ReferenceRegistry(client_of(catalogue)).sample(sample, "", whose("g"))
    scicat = client_of(catalogue)
    found = scicat.sample(sample)
    assert found is not None
    assert found["sampleId"] == sample
    ReferenceRegistry(scicat).sample(sample, "", whose("g"))


# ---------------------------------------------------------------------- SciCow as it runs


class WithOffice(Beamline):
    """A SciCow that asks a user office, by default a YAML file. Its proposals are this run's own."""

    def proposal(self, number: int) -> str:
        return f"{int(self.run, 16)}{number:03d}"

    @property
    def fibres(self) -> dict[str, Any]:
        return {
            "id": self.proposal(1),
            "title": "Swelling of fibres",
            "abstract": "Time-resolved scattering.",
            "principal_investigator": {"name": "Astrid Lindqvist", "email": "astrid@example.org"},
            "beamline": "cosaxs",
        }

    def message(self, kind: str, number: int = 1, **changes: Any) -> Message:
        return message(kind, **{"proposalId": self.proposal(number), **changes})

    @property
    def file(self) -> Path:
        return self.folder / "proposals.yaml"

    def tell(self, *proposals: dict[str, Any]) -> None:
        self.folder.mkdir(exist_ok=True)
        new = self.file.with_suffix(".new")
        new.write_text(yaml.safe_dump({"proposals": list(proposals)}))
        new.rename(self.file)

    def start_scicow(self, **settings: Any) -> Process:
        if not self.file.exists():
            self.tell(self.fibres)
        memory = str(self.folder / "memory.json")
        return super().start_scicow(**{"user_office": f"yaml:{self.file}", "office_memory": memory, **settings})


@pytest.fixture
def beamline(tmp_path: Path, kafka: Kafka, catalogue: Catalogue) -> Iterator[WithOffice]:
    """Without a SciCow yet."""
    with Processes(tmp_path / "logs") as processes:
        yield WithOffice(tmp_path / "run", processes, kafka, catalogue)


@pytest.mark.long
def test_an_unknown_proposal_is_held_until_the_office_has_it_and_others_go_on(beamline: WithOffice) -> None:
    beamline.start_scicow()
    began = beamline.message("began", 99)
    ended = beamline.message("ended", 99, uuid=began["uuid"])
    samples = [f"S-{beamline.run}-{number}" for number in range(3)]
    others = [beamline.message("snapshot", sampleId=samples[number % 3]) for number in range(20)]
    beamline.send(began, ended, *others)
    assert eventually(lambda: all(beamline.status(other) == "completed" for other in others))
    assert beamline.dataset(began) is None
    found = beamline.dataset(others[0])
    assert found is not None
    assert (found["principalInvestigator"], found["contactEmail"]) == ("Astrid Lindqvist", "astrid@example.org")
    fibres = beamline.proposal(1)
    assert (found["ownerGroup"], found["accessGroups"]) == (f"{fibres}-group", ["cosaxs"])
    assert (found["proposalId"], found["sampleId"]) == (fibres, samples[0])
    instrument = beamline.scicat.instrument(found["instrumentId"])
    assert instrument is not None
    assert instrument["uniqueName"] == "cosaxs"
    proposal = beamline.scicat.proposal(fibres)
    assert proposal is not None
    assert (proposal["title"], proposal["abstract"]) == ("Swelling of fibres", "Time-resolved scattering.")
    assert proposal["email"] == "astrid@example.org"
    for name in samples:
        sample = beamline.scicat.sample(name)
        assert sample is not None
        assert sample["ownerGroup"] == f"{fibres}-group"
    assert beamline.scicat.proposal(beamline.proposal(99)) is None

    beamline.tell(beamline.fibres, {"id": beamline.proposal(99), "title": "New", "beamline": "cosaxs"})
    assert eventually(lambda: beamline.status(began) == "completed", timeout=2 * PATIENCE)
    new = beamline.dataset(began)
    assert new is not None
    # The office names nobody for this one.
    assert (new["ownerGroup"], new["principalInvestigator"]) == (f"{beamline.proposal(99)}-group", "Data manager")


def test_foreign_and_proprietary_proposals_are_dead_letters_and_leave_no_trace(beamline: WithOffice) -> None:
    number, other = f"IN{beamline.proposal(42)}", beamline.proposal(2)
    secret = {"id": number, "title": "Formulation study 7", "beamline": "cosaxs"}
    beamline.tell(beamline.fibres, secret, {"id": other, "title": "Elsewhere", "beamline": "veritas"})
    beamline.start_scicow()
    foreign, proprietary = beamline.message("snapshot", 2), beamline.message("snapshot", proposalId=number)
    hostile = beamline.message("snapshot", proposalId="../{beamline}\n")
    good = beamline.message("snapshot")
    beamline.send(foreign, proprietary, hostile, good)
    assert eventually(lambda: beamline.status(good) == "completed")
    letters = {json.loads(data or b"")["uuid"]: headers for data, headers in beamline.dead_letters(3)}
    said = {uuid: headers["__connect.errors.exception.message"] for uuid, headers in letters.items()}
    assert f"{other} is for the beamline veritas, not cosaxs" in said[foreign["uuid"]]
    assert f"'{number}' is proprietary" in said[proprietary["uuid"]]
    assert "cannot be the number of a proposal" in said[hostile["uuid"]]
    assert {headers["__connect.errors.exception.class.name"] for headers in letters.values()} == {
        "ingest.failures.Refused"
    }
    assert beamline.count() == 1
    for refused in (other, number, "../{beamline}\n"):
        assert beamline.scicat.proposal(refused) is None
    assert "Formulation study" not in beamline.scicow.text


def test_what_falls_back_is_seen_by_one_group_alone(beamline: WithOffice) -> None:
    secret = {"id": beamline.proposal(4), "title": "Formulation study 7", "category": "proprietary"}
    beamline.tell({**secret, "beamline": "cosaxs"})
    beamline.start_scicow(
        proposals={"unknown": "fallback", "proprietary": "fallback", "fallback_group": "{beamline}-data"}
    )
    unknown = beamline.message("snapshot", 999, sampleId=f"secret_{beamline.run}_1")
    proprietary = beamline.message("snapshot", 4, sampleId=f"secret_{beamline.run}_2")
    beamline.send(unknown, proprietary)
    for sent in (unknown, proprietary):
        assert eventually(lambda sent=sent: beamline.status(sent) == "completed")  # type: ignore[misc]
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


def test_an_office_that_is_down_at_the_start_is_waited_for_and_then_bridged(
    beamline: WithOffice, office: UserOffice
) -> None:
    beamline.folder.mkdir()
    settings = beamline.folder / "duo.yaml"
    settings.write_text(f"url: {office.url}\ntimeout: 60\n")
    first = beamline.proposal(1)
    office.does(f"/proposals/{first}", html(503))
    office.does(f"/proposals/{beamline.proposal(2)}", hung)
    beamline.start_scicow(user_office=f"duo:{settings}", proposals={"unknown": "refuse", "hold_for": 1})
    waiting, hanging = beamline.message("snapshot"), beamline.message("snapshot", 2)
    meanwhile = [message("snapshot", proposalId=proposal) for proposal in ("commissioning", "")]
    beamline.send(waiting, hanging, *meanwhile)
    assert eventually(lambda: all(beamline.status(sent) == "completed" for sent in meanwhile))
    found = beamline.dataset(meanwhile[0])
    assert found is not None
    assert found["ownerGroup"] == "cosaxs-staff"
    assert eventually(lambda: f"/proposals/{first}" in office.asked)
    assert beamline.dataset(waiting) is None

    # It is asked again after ten seconds, of which none count for `hold_for`.
    office.says(f"/proposals/{first}", {**DUO_PROPOSAL, "propid": int(first)})
    assert eventually(lambda: beamline.status(waiting) == "completed", timeout=2 * PATIENCE)
    made = beamline.scicat.proposal(first)
    assert made is not None
    assert made["title"] == DUO_PROPOSAL["title"]
    assert beamline.scicow.text.count("stored answers are used") == 1

    # Down again, and SciCow restarted: what the office said is remembered.
    office.does(f"/proposals/{first}", html(500))
    beamline.scicow.stop()
    beamline.start_scicow(user_office=f"duo:{settings}")
    later = beamline.message("snapshot")
    beamline.send(later)
    assert eventually(lambda: beamline.status(later) == "completed")
    assert beamline.dataset(hanging) is None
    beamline.scicow.wait_for(f"proposal {first} is known from just now")


@pytest.mark.long
def test_an_office_that_does_not_end_its_answers_holds_up_only_the_datasets_that_need_them(
    beamline: WithOffice, office: UserOffice
) -> None:
    beamline.folder.mkdir()
    settings = beamline.folder / "duo.yaml"
    settings.write_text(f"url: {office.url}\ntimeout: 1\n")
    ways = [hung, dripping, dripping_headers, endless, redirect("/proposals/1"), html(429)]
    waiting = [beamline.message("snapshot", number) for number in range(len(ways))]
    for each, way in zip(waiting, ways, strict=True):
        office.does(f"/proposals/{each['proposalId']}", way)
    beamline.start_scicow(user_office=f"duo:{settings}", proposals={"unknown": "refuse"}, workers=1)
    meanwhile = [message("snapshot", proposalId="") for _ in range(20)]
    beamline.send(*waiting, *meanwhile)
    assert eventually(lambda: all(beamline.status(sent) == "completed" for sent in meanwhile))
    assert not any(beamline.dataset(sent) for sent in waiting)
    for each in waiting:
        office.says(f"/proposals/{each['proposalId']}", {**DUO_PROPOSAL, "propid": int(each["proposalId"])})
    assert eventually(lambda: all(beamline.status(sent) == "completed" for sent in waiting))


def test_a_wrong_office_is_reported_at_the_start_with_its_line(beamline: WithOffice) -> None:
    scicow = beamline.start_scicow(user_office="duo:/nowhere/duo.yaml")
    assert scicow.wait(PATIENCE) == 2
    assert "scicow.yaml, line " in scicow.text
    assert "user_office: /nowhere/duo.yaml" in scicow.text
    assert "Traceback" not in scicow.text
