"""The user office as a YAML file, and the stored answers of an office."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import re
import stat
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import deploy.demo
import sdm.office.cache
from sdm.office import (
    OfficeError,
    OfficeRefused,
    OfficeUnavailable,
    Proposal,
    RememberingOffice,
    UnknownProposal,
    Visit,
    WrongBeamline,
    YamlOffice,
    ago,
    memory_file,
    office_from,
    proposal_at,
    visit_on,
)
from sdm.office.yaml import proposals_of
from tests.homeless import without_home
from tests.waiting import PATIENCE

DEMO = Path(deploy.demo.__file__).with_name("proposals.yaml")

ONE = """\
proposals:
  - id: 20250001
    title: Swelling of fibres
    beamline: cosaxs
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "proposals.yaml"
    path.write_text(ONE)
    return path


def test_a_proposal_has_all_fields_of_the_file() -> None:
    found = YamlOffice(DEMO).proposal("20250001")
    assert found.title == "Swelling of cellulose fibres during drying"
    assert (found.pi_name, found.pi_email) == ("Astrid Lindqvist", "astrid.lindqvist@example.org")
    assert (found.category, found.beamline, found.group) == ("visitors", "cosaxs", "20250001-group")
    assert found.visit_names == ("20250310", "20250922")
    assert found.samples == ("fibre_A", "fibre_B", "empty_cell")
    assert found.as_of == ""


def test_the_rest_of_the_fields_have_defaults(file: Path) -> None:
    found = YamlOffice(file).proposal("20250001")
    assert found == Proposal("20250001", "Swelling of fibres", "cosaxs", group="20250001-group")
    assert found.category == "visitors"


def test_visits_have_dates_and_a_proposal_its_type(file: Path) -> None:
    file.write_text(
        ONE
        + """\
    type: H
    also_at: [formax]
    visits:
      - "20250310"
      - {start: 2025-03-11, end: 2025-03-13}
      - {name: night, start: 2025-03-12}
      - {name: there, start: 2025-03-12, beamline: formax}
"""
    )
    found = YamlOffice(file).proposal("20250001")
    assert found.type == "H"
    assert found.visits == (
        Visit("20250310"),
        Visit("20250311", "2025-03-11", "2025-03-13"),
        Visit("night", "2025-03-12"),
        Visit("there", "2025-03-12", beamline="formax"),
    )
    office = YamlOffice(file)
    assert proposal_at(office, "20250001", "formax").visit_names == ("20250310", "20250311", "night", "there")
    assert proposal_at(office, "20250001", "cosaxs").visit_names == ("20250310", "20250311", "night")
    assert [one.id for one in office.proposals("formax")] == ["20250001"]


@pytest.mark.parametrize(
    ("day", "visit"),
    [
        (date(2025, 3, 9), "20250309"),
        (date(2025, 3, 10), "20250310"),
        (date(2025, 3, 11), "first"),
        (date(2025, 3, 12), "second"),
        (date(2025, 3, 13), "first"),
        (date(2025, 3, 14), "20250314"),
    ],
)
def test_the_visit_of_a_day_is_the_one_that_began_last(day: date, visit: str) -> None:
    visits = (Visit("first", "2025-03-11", "2025-03-13"), Visit("second", "2025-03-12"), Visit("20250310"))
    assert visit_on(Proposal("1", "", "cosaxs", visits=visits), day) == visit


@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        ("2025-03-10T12:00:00Z", "just now"),
        ("2025-03-10T12:00:20Z", "just now"),
        ("2025-03-10T11:55:00Z", "5 min ago"),
        ("2025-03-10T09:00:00Z", "3 h ago"),
        ("2025-03-08T12:00:00Z", "2 days ago"),
    ],
)
def test_the_age_of_an_answer_in_words(as_of: str, words: str) -> None:
    assert ago(as_of, datetime(2025, 3, 10, 12, 0, 10, tzinfo=UTC)) == words


def test_every_beamline_has_its_commissioning(file: Path) -> None:
    office = YamlOffice(file)
    found = proposal_at(office, "commissioning", "cosaxs")
    assert (found.category, found.group, found.proprietary) == ("staff", "cosaxs", False)
    file.write_text(ONE + "  - {id: commissioning, title: ours, beamline: cosaxs}\n")
    assert proposal_at(office, "commissioning", "cosaxs").title == "ours"
    assert proposal_at(office, "commissioning", "cosaxs").category == "staff"
    assert proposal_at(office, "commissioning", "balder").beamline == "balder"
    file.unlink()
    assert proposal_at(office, "commissioning", "cosaxs").category == "staff"


def test_proprietary_is_by_category_or_by_number() -> None:
    assert YamlOffice(DEMO).proposal("IN20250042").proprietary
    assert not YamlOffice(DEMO).proposal("20250001").proprietary
    assert Proposal("IN1", "", "cosaxs").proprietary
    assert Proposal("1", "", "cosaxs", category="proprietary").proprietary


def test_a_beamline_has_its_own_proposals(file: Path) -> None:
    file.write_text(ONE + "  - {id: 2, title: other, beamline: balder}\n")
    office = YamlOffice(file)
    assert [one.id for one in office.proposals("cosaxs")] == ["20250001"]
    assert proposal_at(office, "2", "Balder").id == "2"
    with pytest.raises(WrongBeamline, match="for the beamline balder, not cosaxs"):
        proposal_at(office, "2", "cosaxs")
    with pytest.raises(UnknownProposal, match="no proposal '3'"):
        office.proposal("3")


def test_a_changed_file_is_read_again(file: Path) -> None:
    office = YamlOffice(file)
    assert len(office.proposals("cosaxs")) == 1
    file.write_text(ONE + "  - {id: 2, title: new, beamline: cosaxs}\n")
    assert office.proposal("2").title == "new"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (
            "proposals:\n  - {id: 1, title: a, beamline: b}\n  - {id: 2, title: a}\n",
            3,
            "beamline: is missing: add it",
        ),
        (
            "proposals:\n  - {id: 1, title: a, beamline: b, pi: x}\n",
            2,
            "pi: is not known: allowed are id, title",
        ),
        ("proposals:\n  - {id: ../1, title: a, beamline: b}\n", 2, "proposals.id: id '../1' refused"),
        (
            "proposals:\n  - {id: 1, title: a, beamline: b,\n     category: guests}\n",
            3,
            "category: category 'guests'",
        ),
        (
            "proposals:\n  - {id: 1, title: a, beamline: b, samples: [x,\n    /y]}\n",
            3,
            "samples: sample '/y' refused",
        ),
        ("proposals:\n  - {id: 1, title: a, beamline: b, visits: x}\n", 2, "proposals.visits: must be a list"),
        ("proposals:\n  - {id: 1, title: [a], beamline: b}\n", 2, "proposals.title: must be one value"),
        ("proposals:\n  - just a text\n", 2, "proposals: must be 'name: value' lines"),
        (
            "proposals:\n  - {id: 1, title: a, beamline: b}\n  - {id: 1, title: a, beamline: b}\n",
            3,
            "id: proposal 1 is given twice",
        ),
        ("proposal: []\n", 1, "proposal: is not known: did you mean proposals?"),
        ("proposals:\n  - {id: 1\n  - x", 3, "not YAML"),
        ("[]\n", 1, "must be 'name: value' lines"),
        ("proposals:\n  - {id: 1, title: a, beamline: b, beamline: c}\n", 2, "proposals.beamline: is set twice"),
        (
            "proposals:\n  - {id: 1, title: a, beamline: b, visits:\n    [{start: soon}]}\n",
            3,
            "start: 'soon' is not a date",
        ),
        (
            "proposals:\n  - {id: 1, title: a, beamline: b, visits:\n    [{end: 2025-03-10}]}\n",
            3,
            "visits: a visit needs a name",
        ),
        (
            "proposals:\n  - {id: 1, title: a, beamline: b, visits:\n    [{start: 2025-03-10, end: 2025-03-09}]}\n",
            *(3, "proposals.visits.end: the end 2025-03-09 is before the start 2025-03-10"),
        ),
        ("? [x]\n: y\n", 1, "?: a name must be plain text"),
    ],
)
def test_a_mistake_is_reported_with_file_line_and_field(file: Path, text: str, line: int, says: str) -> None:
    file.write_text(text)
    with pytest.raises(OfficeUnavailable) as caught:
        YamlOffice(file).proposals("cosaxs")
    assert str(caught.value).startswith(f"{file}, line {line}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"proposals: \x00", b"\x80"])
def test_a_binary_file_is_an_unavailable_office(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    with pytest.raises(OfficeUnavailable):
        YamlOffice(file).proposals("cosaxs")


@given(st.text(max_size=200))
def test_any_file_raises_only_our_errors(text: str) -> None:
    try:
        proposals_of("proposals.yaml", text)
    except OfficeError:
        return


def test_an_empty_file_has_no_proposals(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert YamlOffice(file).proposals("cosaxs") == []


def test_an_office_is_named_by_its_address(file: Path) -> None:
    assert office_from(f"yaml:{file}").proposal("20250001").title == "Swelling of fibres"
    with pytest.raises(OfficeError, match="is not set"):
        office_from("")
    for wrong in ("yaml:", "duo:https://me:secret@example.org", str(file), "scicat:", "duo", "imap:x"):
        with pytest.raises(OfficeError, match="not of the form yaml:") as caught:
            office_from(wrong)
        assert "secret" not in str(caught.value)


# --------------------------------------------------------------------------- memory


class FakeOffice:
    """An office that answers, or is down."""

    def __init__(self, name: str = "the office") -> None:
        self.name = name
        self.trouble: OfficeError | None = None
        self.known = {"1": Proposal("1", "first", "cosaxs", samples=("a",)), "2": Proposal("2", "second", "balder")}

    def proposal(self, proposal_id: str) -> Proposal:
        self._answer()
        if proposal_id not in self.known:
            raise UnknownProposal(proposal_id)
        return self.known[proposal_id]

    def proposals(self, beamline: str) -> list[Proposal]:
        self._answer()
        return [one for one in self.known.values() if one.beamline == beamline]

    def _answer(self) -> None:
        if self.trouble:
            raise self.trouble


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "proposals.json"


def test_stored_answers_are_used_while_the_office_is_down(memory: Path) -> None:
    fake = FakeOffice()
    first = RememberingOffice(fake, memory).proposal("1")
    assert first.as_of == ""
    fake.trouble = OfficeUnavailable("down for maintenance")
    after_restart = RememberingOffice(fake, memory)
    kept = after_restart.proposal("1")
    assert kept.as_of.endswith("Z")
    assert kept.trouble == "down for maintenance"
    assert replace(kept, as_of="", trouble="") == first
    assert [one.id for one in after_restart.proposals("cosaxs")] == ["1"]
    with pytest.raises(OfficeUnavailable, match="maintenance"):
        after_restart.proposal("2")
    with pytest.raises(OfficeUnavailable):
        after_restart.proposals("balder")


def test_a_proposal_that_the_office_no_longer_has_is_unknown(memory: Path) -> None:
    fake = FakeOffice()
    office = RememberingOffice(fake, memory)
    office.proposals("cosaxs")
    del fake.known["1"]
    with pytest.raises(UnknownProposal):
        office.proposal("1")


def test_a_proposal_missing_at_the_office_is_unknown_but_stays_stored(memory: Path) -> None:
    fake = FakeOffice()
    office = RememberingOffice(fake, memory)
    office.proposal("1")
    gone = fake.known.pop("1")
    for _ in range(2):
        with pytest.raises(UnknownProposal, match=r"the office had it just now: is the office's address right\?"):
            office.proposal("1")
    fake.trouble = OfficeUnavailable("down")
    kept = office.proposal("1")
    assert kept.title == "first"
    assert re.fullmatch(r"down; at 20\S+Z the office reported that it does not have it", kept.trouble)
    assert [one.trouble for one in office.proposals("cosaxs")] == [kept.trouble]
    fake.trouble = None
    fake.known["1"] = replace(gone, samples=())
    office.proposals("cosaxs")  # it has fewer fields, but shows that the proposal exists again
    fake.trouble = OfficeUnavailable("down")
    assert (office.proposal("1").trouble, office.proposal("1").samples) == ("down", ("a",))


def _remember(memory: Path, number: int) -> None:
    sdm.office.cache.LOCK_WAIT_SECONDS = PATIENCE  # for this process only
    fake = FakeOffice()
    office = RememberingOffice(fake, memory)
    for turn in range(20):
        one = f"{number}-{turn}"
        fake.known[one] = Proposal(one, "x", "cosaxs")
        office.proposal(one)


def test_processes_that_share_a_memory_lose_nothing(memory: Path) -> None:
    # Not forked: this process has threads.
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_remember, args=(memory, number)) for number in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0]
    assert len(json.loads(memory.read_text())["the office"]) == 40


def test_a_file_locked_by_another_process_is_not_waited_for(
    memory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdm.office.cache.LOCK_WAIT_SECONDS", 0.1)
    office = RememberingOffice(FakeOffice(), memory)
    office.proposal("1")
    with (memory.parent / f".{memory.name}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert office.proposal("2").title == "second"
    assert "another process has held its lock for 0.1 s" in caplog.text
    assert list(json.loads(memory.read_text())["the office"]) == ["1"]
    office.proposal("2")
    assert list(json.loads(memory.read_text())["the office"]) == ["1", "2"]


def test_a_refusal_is_reported_with_the_stored_answer(memory: Path) -> None:
    fake = FakeOffice()
    office = RememberingOffice(fake, memory)
    fake.trouble = OfficeRefused("look at /etc/token")
    with pytest.raises(OfficeRefused, match="/etc/token"):
        office.proposal("1")
    fake.trouble = None
    office.proposals("cosaxs")
    fake.trouble = OfficeRefused("look at /etc/token")
    assert office.proposal("1").trouble == "look at /etc/token"
    assert office.proposals("cosaxs")[0].trouble == "look at /etc/token"
    assert "token" not in memory.read_text()


def test_visits_are_remembered_with_their_dates(memory: Path) -> None:
    fake = FakeOffice()
    visits = (Visit("a", "2025-03-10", "2025-03-11"), Visit("b"))
    fake.known["1"] = replace(fake.known["1"], visits=visits, type="H", also_at=("formax",))
    RememberingOffice(fake, memory).proposal("1")
    fake.trouble = OfficeUnavailable("down")
    after_restart = RememberingOffice(fake, memory)
    assert after_restart.proposal("1").visits == visits
    assert [one.id for one in after_restart.proposals("formax")] == ["1"]


def test_the_memory_is_the_owners_alone(memory: Path) -> None:
    RememberingOffice(FakeOffice(), memory).proposal("1")
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    assert stat.S_IMODE(memory.parent.stat().st_mode) == 0o700


def kept_as(**changes: object) -> str:
    fields = {"id": "1", "title": "old", "beamline": "cosaxs", "as_of": "2026-01-01T00:00:00Z"}
    return json.dumps({"the office": {"1": fields | changes}})


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"1": 3}', '{"1": {"unknown": 1}}', "\x00"),
        *(kept_as(as_of="then"), kept_as(as_of="2026-01-01"), kept_as(beamline=3), kept_as(members=[None])),
        *(kept_as(visits=[3]), kept_as(visits=[{"name": None}]), kept_as(visits=None)),
    ],
)
def test_an_unreadable_file_counts_as_empty(memory: Path, text: str) -> None:
    memory.parent.mkdir()
    memory.write_text(text)
    fake = FakeOffice()
    fake.trouble = OfficeUnavailable("down")
    with pytest.raises(OfficeUnavailable, match="down"):
        RememberingOffice(fake, memory).proposal("1")
    fake.trouble = None
    assert RememberingOffice(fake, memory).proposal("1").title == "first"
    assert list(json.loads(memory.read_text())["the office"]) == ["1"]


def test_answers_of_another_office_are_not_used(memory: Path) -> None:
    fake, another = FakeOffice(), FakeOffice("another")
    another.known["1"] = replace(another.known["1"], title="another's")
    RememberingOffice(another, memory).proposal("1")
    fake.trouble = another.trouble = OfficeUnavailable("down")
    with pytest.raises(OfficeUnavailable):
        RememberingOffice(fake, memory).proposal("1")
    fake.trouble = None
    RememberingOffice(fake, memory).proposal("1")
    assert RememberingOffice(another, memory).proposal("1").title == "another's"


def test_an_incomplete_list_still_makes_a_proposal_proprietary(memory: Path) -> None:
    fake = FakeOffice()
    office = RememberingOffice(fake, memory)
    office.proposal("1")
    fake.known["1"] = replace(fake.known["1"], samples=(), category="proprietary")
    office.proposals("cosaxs")
    fake.trouble = OfficeUnavailable("down")
    kept = office.proposal("1")
    assert kept.proprietary
    assert kept.samples == ("a",)


def test_a_wrong_beamline_by_an_old_answer_says_how_old_it_is(memory: Path) -> None:
    fake = FakeOffice()
    office = RememberingOffice(fake, memory)
    office.proposal("1")
    fake.trouble = OfficeUnavailable("down")
    with pytest.raises(WrongBeamline, match="for the beamline cosaxs, not balder, as the office reported just now"):
        proposal_at(office, "1", "balder")


def test_a_pipe_or_a_device_is_not_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert RememberingOffice(FakeOffice(), pipe).proposal("1").title == "first"
    assert pipe.is_fifo()
    assert "not a regular file" in caplog.text


def test_a_disk_that_refuses_does_not_matter_while_the_office_answers(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a folder")
    office = RememberingOffice(FakeOffice(), tmp_path / "state" / "proposals.json")
    assert office.trouble == ""
    assert office.proposal("1").title == "first"
    assert office.trouble.startswith(f"the user office's answers cannot be stored in {tmp_path}/state/proposals.json: ")
    (tmp_path / "state").unlink()
    office.proposal("1")
    assert office.trouble == ""


def test_the_memory_lies_in_the_users_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert memory_file() == Path("/somewhere/state/sdm/proposals.json")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert memory_file() == Path.home() / ".local" / "state" / "sdm" / "proposals.json"
    without_home(monkeypatch)
    with pytest.raises(OfficeError, match="no home folder"):
        memory_file()
