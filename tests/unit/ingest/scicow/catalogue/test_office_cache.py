"""The user office as SciCow's threads ask it: once for each proposal, and nobody waits for long."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.scicow.catalogue import office_cache
from ingest.scicow.catalogue.office_cache import MAX_ANSWERS, MAX_QUESTIONS, SharedOffice
from sdm.office import OfficeRefused, OfficeUnavailable, Proposal, RememberingOffice, UnknownProposal, as_of_now
from tests.servers.user_office import DUO_PROPOSAL, html, user_office
from tests.waiting import PATIENCE, eventually


class FakeOffice:
    """Answers with `answers`, by number: a Proposal, or an error to raise. Asks wait for `gates`."""

    name = "fake"

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.gates = {}

    def proposal(self, proposal_id):
        self.asked.append(proposal_id)
        if proposal_id in self.gates:
            assert self.gates[proposal_id].wait(PATIENCE)
        answer = self.answers.get(proposal_id) or UnknownProposal(f"no {proposal_id}")
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def proposals(self, beamline):
        return [one for one in self.answers.values() if one.is_at(beamline)]


class Clock:
    now = 1000.0

    def __init__(self):
        self.looks = []

    def __call__(self):
        self.looks.append(self.now)
        return self.now


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """An office that answers does so in time, however busy the machine is."""
    monkeypatch.setattr(office_cache, "ANSWER_WAIT_SECONDS", PATIENCE)


@pytest.fixture
def office():
    fake = FakeOffice()
    fake.answers["1"] = Proposal("1", "One", "cosaxs")
    fake.answers["2"] = Proposal("2", "Two", "cosaxs")
    yield fake
    for gate in fake.gates.values():
        gate.set()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shared(office, clock):
    return SharedOffice(office, clock)


def test_fifty_threads_ask_once(office, clock, shared):
    office.gates["1"] = threading.Event()
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(shared.proposal, "1") for _ in range(50)]
        assert eventually(lambda: len(clock.looks) == 100)  # each looks when it asks and when it begins to wait
        office.gates["1"].set()
        assert {one.result(PATIENCE).title for one in asked} == {"One"}
    assert office.asked == ["1"]


def test_an_answer_is_kept_for_five_minutes(shared, office, clock):
    for passed in (0, 299, 2):
        clock.now += passed
        assert shared.proposal("1").title == "One"
    assert office.asked == ["1", "1"]


def test_an_unknown_proposal_is_asked_for_again_after_half_a_minute(shared, office, clock):
    for passed in (0, 29):
        clock.now += passed
        with pytest.raises(UnknownProposal, match="no 3"):
            shared.proposal("3")
    office.answers["3"] = Proposal("3", "Three", "cosaxs")
    clock.now += 2
    assert shared.proposal("3").title == "Three"
    assert office.asked == ["3", "3"]


@pytest.mark.parametrize("error", [OfficeUnavailable("down"), OfficeRefused("another token"), ValueError("a mistake")])
def test_an_office_that_does_not_answer_is_asked_again_after_ten_seconds_and_reported_once(
    shared, office, clock, caplog, error
):
    caplog.set_level(logging.INFO)
    good, office.answers["1"] = office.answers["1"], error
    expected = type(error) if isinstance(error, OfficeRefused) else OfficeUnavailable
    for passed in (0, 9, 2):
        clock.now += passed
        with pytest.raises(expected, match=str(error)):
            shared.proposal("1")
    assert office.asked == ["1", "1"]
    office.answers["1"] = good
    clock.now += 11
    shared.proposal("1")
    levels = [one.levelname for one in caplog.records if one.name == "ingest.scicow.catalogue.office_cache"]
    assert levels.count("WARNING") == 1
    assert caplog.messages[-1] == "the user office answers again"


def test_an_older_answer_is_good_and_asked_again_soon(shared, office, clock, caplog):
    office.answers["1"] = Proposal("1", "One", "cosaxs", as_of=as_of_now(), trouble="the office is down")
    assert shared.proposal("1").trouble
    clock.now += 5
    assert shared.proposal("1").trouble
    assert ["the office is down (proposal 1 is known from just now)" in one for one in caplog.messages] == [True]
    clock.now += 6
    office.answers["1"] = Proposal("1", "One", "cosaxs")
    assert not shared.proposal("1").trouble


def test_an_office_that_hangs_is_not_waited_for_and_holds_up_nobody_else(office, clock, shared, monkeypatch):
    office.gates["1"] = threading.Event()
    monkeypatch.setattr(office_cache, "ANSWER_WAIT_SECONDS", 0.05)
    with pytest.raises(OfficeUnavailable, match="has not answered yet"):
        shared.proposal("1")
    # Who asks the same once that time is over waits for nothing more.
    monkeypatch.setattr(office_cache, "ANSWER_WAIT_SECONDS", 3600.0)
    clock.now += 3600.0
    with pytest.raises(OfficeUnavailable, match="has not answered yet"):
        shared.proposal("1")
    assert shared.proposal("2").title == "Two"
    office.gates["1"].set()
    assert eventually(lambda: shared._questions["1"].answered.is_set())
    assert shared.proposal("1").title == "One"
    assert office.asked == ["1", "2"]


def test_the_number_of_open_questions_is_limited(office, clock):
    shared = SharedOffice(office, clock)
    gate = threading.Event()
    numbers = [f"n{number}" for number in range(MAX_QUESTIONS)]
    office.gates.update(dict.fromkeys(numbers, gate))
    with ThreadPoolExecutor(MAX_QUESTIONS) as pool:
        waiting = [pool.submit(shared.proposal, number) for number in numbers]
        assert eventually(lambda: len(office.asked) == MAX_QUESTIONS)
        with pytest.raises(OfficeUnavailable, match="questions to the user office are not answered yet"):
            shared.proposal("1")
        gate.set()
        for one in waiting:
            with pytest.raises(UnknownProposal):
                one.result(PATIENCE)
    assert not shared._open
    assert shared.proposal("1").title == "One"


def test_what_is_kept_is_bounded(shared):
    for number in range(MAX_ANSWERS + 50):
        with pytest.raises(UnknownProposal):
            shared.proposal(f"x{number}")
    assert len(shared._questions) == MAX_ANSWERS


def test_a_list_is_asked_for_each_time(shared):
    assert [one.id for one in shared.proposals("cosaxs")] == ["1", "2"]
    assert shared.name == "fake"


@pytest.fixture
def duo(tmp_path):
    from sdm.office import office_from

    with user_office() as server:
        settings = tmp_path / "duo.yaml"
        settings.write_text(f"url: {server.url}\ntimeout: {PATIENCE}\n")
        remembering = RememberingOffice(office_from(f"duo:{settings}"), tmp_path / "memory.json")
        server.says("/proposals/20250001", DUO_PROPOSAL)
        yield server, remembering


def test_a_real_office_that_stops_hangs_or_lies_is_replaced_by_its_last_answer(duo, monkeypatch):
    server, remembering = duo
    clock = Clock()
    shared = SharedOffice(remembering, clock)
    assert shared.proposal("20250001").pi_name == "Astrid Lindqvist"
    for status, answer in ((500, html(500)), (401, html(401)), (200, html())):
        server.does("/proposals/20250001", answer)
        clock.now += 301
        found = shared.proposal("20250001")
        assert (found.pi_name, bool(found.trouble)) == ("Astrid Lindqvist", True), status
        server.does("/proposals/20250002", answer)
        with pytest.raises((OfficeUnavailable, OfficeRefused)):
            shared.proposal("20250002")
        clock.now += 11
    hangs = threading.Event()
    server.does("/proposals/20250003", lambda _: hangs.wait())
    monkeypatch.setattr(office_cache, "ANSWER_WAIT_SECONDS", 0.2)
    with pytest.raises(OfficeUnavailable, match="has not answered yet"):
        SharedOffice(remembering).proposal("20250003")
    hangs.set()
