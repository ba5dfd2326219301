"""Proposals, samples and instruments in SciCat: made once, whoever else makes them, and never at a dataset's cost."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.scicat import NotAllowed, SciCatError
from ingest.scicow.catalogue.references import RETRY_REFUSED_SECONDS, ReferenceRegistry
from ingest.scicow.mapping.ownership import Ownership
from sdm.office import Proposal
from tests.unit.ingest.scicow.catalogue.test_office_cache import Clock

WHOSE = Ownership("Astrid Lindqvist", "astrid@example.org", "Astrid Lindqvist", "20250001-group", ("cosaxs",))
PROPOSAL = Proposal(
    "20250001", "Fibres", "cosaxs", abstract="Slowly.", pi_name="Astrid Maria Lindqvist", pi_email="astrid@example.org"
)


class FakeSciCat:
    """What ReferenceRegistry needs of SciCat. `fail` has errors by call, `failures` of them."""

    def __init__(self):
        self.proposals, self.samples, self.all_instruments = {}, {}, []
        self.calls = []
        self.fail = {}
        self.lock = threading.Lock()

    def _called(self, name):
        with self.lock:
            self.calls.append(name)
        errors = self.fail.get(name)
        if errors:
            raise errors.pop(0)

    def proposal(self, proposal_id):
        self._called("proposal")
        return self.proposals.get(proposal_id)

    def create_proposal(self, fields):
        self._called("create_proposal")
        with self.lock:
            return self.proposals.setdefault(fields["proposalId"], fields) is fields

    def sample(self, sample_id):
        self._called("sample")
        return self.samples.get(sample_id)

    def create_sample(self, fields):
        self._called("create_sample")
        with self.lock:
            return self.samples.setdefault(fields["sampleId"], fields) is fields

    def create_instrument(self, fields):
        self._called("create_instrument")
        with self.lock:
            there = any(one["uniqueName"] == fields["uniqueName"] for one in self.all_instruments)
            if not there:
                self.all_instruments.append({**fields, "pid": f"pid of {fields['uniqueName']}"})
            return not there

    def instruments(self):
        self._called("instruments")
        return list(self.all_instruments)


@pytest.fixture
def scicat():
    return FakeSciCat()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def registry(scicat, clock):
    return ReferenceRegistry(scicat, clock=clock)


def test_all_three_are_made_and_then_remembered(registry, scicat):
    for _ in range(3):
        registry.proposal(PROPOSAL, WHOSE)
        registry.sample("fibre_A", "20250001", WHOSE)
        assert registry.instrument("cosaxs") == "pid of cosaxs"
    assert scicat.calls == [
        *("proposal", "create_proposal", "sample", "create_sample", "instruments", "create_instrument"),
        "instruments",  # its pid is SciCat's
    ]
    assert scicat.proposals["20250001"] == {
        "proposalId": "20250001",
        "title": "Fibres",
        "abstract": "Slowly.",
        "email": "astrid@example.org",
        "pi_firstname": "Astrid Maria",
        "pi_lastname": "Lindqvist",
        "pi_email": "astrid@example.org",
        "ownerGroup": "20250001-group",
        "accessGroups": ["cosaxs"],
    }
    assert scicat.samples["fibre_A"] == {
        "sampleId": "fibre_A",
        "description": "fibre_A",
        "owner": "Astrid Lindqvist",
        "proposalId": "20250001",
        "ownerGroup": "20250001-group",
        "accessGroups": ["cosaxs"],
    }


def test_what_is_there_is_left_as_it_is(registry, scicat):
    scicat.proposals["20250001"] = before = {"title": "By hand"}
    scicat.samples["fibre_A"] = {}
    registry.proposal(PROPOSAL, WHOSE)
    registry.sample("fibre_A", "", WHOSE)
    assert scicat.proposals == {"20250001": before}


@pytest.mark.parametrize("field", ["pid", "uniqueName", "name"])
def test_an_instrument_of_the_facility_is_found(registry, scicat, field):
    other = {"pid": "x", "uniqueName": "veritas", "name": "Veritas"}
    scicat.all_instruments = [other, {"pid": "20.500/1", "uniqueName": "one", "name": "One", field: "CoSAXS"}]
    assert registry.instrument("cosaxs") == scicat.all_instruments[1]["pid"]
    assert "create_instrument" not in scicat.calls


def test_an_instrument_that_is_made_meanwhile_is_found(registry, scicat, monkeypatch):
    def late(_fields):
        scicat.all_instruments.append({"pid": "theirs", "uniqueName": "cosaxs", "name": "CoSAXS"})
        return False

    monkeypatch.setattr(scicat, "create_instrument", late)
    assert registry.instrument("cosaxs") == "theirs"


def test_without_create_only_instruments_are_looked_for(scicat):
    registry = ReferenceRegistry(scicat, create=False)
    registry.proposal(PROPOSAL, WHOSE)
    registry.sample("fibre_A", "", WHOSE)
    assert registry.instrument("cosaxs") == ""
    assert scicat.calls == ["instruments"]


def test_threads_make_each_once(registry, scicat):
    def all_of_it(number):
        registry.proposal(PROPOSAL, WHOSE)
        registry.sample(f"sample_{number % 5}", "20250001", WHOSE)
        return registry.instrument("cosaxs")

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(all_of_it, range(200))) == {"pid of cosaxs"}
    assert sorted(set(scicat.samples)) == [f"sample_{number}" for number in range(5)]
    counted = {name: scicat.calls.count(name) for name in ("create_proposal", "create_sample", "create_instrument")}
    assert counted == {"create_proposal": 1, "create_sample": 5, "create_instrument": 1}


def test_a_failure_that_passes_is_raised_and_tried_again(registry, scicat):
    scicat.fail = {"proposal": [SciCatError("GET", 0, "no answer"), SciCatError("GET", 503)]}
    scicat.fail["create_proposal"] = [SciCatError("POST", 500)]
    for status in (0, 503, 500):
        with pytest.raises(SciCatError) as raised:
            registry.proposal(PROPOSAL, WHOSE)
        assert raised.value.status == status
    registry.proposal(PROPOSAL, WHOSE)
    assert "20250001" in scicat.proposals


@pytest.mark.parametrize("error", [SciCatError("POST", 400, "bad title"), NotAllowed("POST", 403)])
def test_what_scicat_refuses_is_reported_once_and_retried_only_later(registry, scicat, clock, caplog, error):
    caplog.set_level(logging.INFO)
    for name in ("create_proposal", "create_sample", "create_instrument"):
        scicat.fail[name] = [error, error]
    for _ in range(3):
        registry.proposal(PROPOSAL, WHOSE)
        registry.sample("fibre_A", "", WHOSE)
        assert registry.instrument("cosaxs") == ""
    assert [one.levelname for one in caplog.records] == ["WARNING"] * 3
    assert ("ADMIN_GROUPS" in caplog.text) == isinstance(error, NotAllowed)
    for _ in range(2):
        clock.now += RETRY_REFUSED_SECONDS + 1
        registry.proposal(PROPOSAL, WHOSE)
    assert "20250001" in scicat.proposals
    assert sum(one.levelname == "WARNING" for one in caplog.records) == 3


def test_a_server_error_that_stays_does_not_cost_the_dataset(registry, scicat, caplog):
    scicat.fail["create_sample"] = [SciCatError("POST", 500)] * 3
    for _ in range(2):
        with pytest.raises(SciCatError):
            registry.sample("fibre_A", "", WHOSE)
    registry.sample("fibre_A", "", WHOSE)
    assert "Datasets are written without it" in caplog.text


def test_a_sample_that_only_others_may_see_is_there(registry, scicat, caplog):
    scicat.fail["sample"] = [NotAllowed("GET", 403)]
    registry.sample("fibre_A", "", WHOSE)
    registry.sample("fibre_A", "", WHOSE)
    assert scicat.calls == ["sample"]


@pytest.mark.parametrize("sample", ["", ".", "..", ". .", "a\nb", "a\x00", "x" * 256, "\u202eevil"])
def test_what_can_be_no_sample_is_not_asked_for(registry, scicat, sample):
    registry.sample(sample, "", WHOSE)
    assert scicat.calls == []


@pytest.mark.parametrize("sample", ["fibre A (dry)", "batch_1/cell_2", "å {proposal}", "../x", "%2e", "0.5 M NaCl"])
def test_what_people_call_a_sample_is_one(registry, scicat, sample):
    registry.sample(sample, "", WHOSE)
    assert scicat.samples[sample]["sampleId"] == sample


@pytest.mark.parametrize("email", ["", "astrid@localhost", "a@b.c;d@e.f"])
def test_fields_that_scicat_would_refuse_are_left_out(registry, scicat, email):
    registry.proposal(Proposal("7", "", "cosaxs", pi_name="Lindqvist", pi_email=email), WHOSE)
    made = scicat.proposals["7"]
    assert not {"abstract", "pi_firstname", "pi_email"} & set(made)
    assert (made["title"], made["pi_lastname"], made["email"]) == ("Proposal 7", "Lindqvist", "astrid@example.org")


def test_what_is_remembered_is_bounded(registry, monkeypatch):
    monkeypatch.setattr("ingest.scicow.catalogue.references.MAX_REMEMBERED", 100)
    for number in range(110):
        registry.sample(f"s{number}", "", WHOSE)
    assert len(registry._known) == 100
