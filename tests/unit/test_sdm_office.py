"""What the user office says: a YAML file, and what is remembered of it."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import deploy.demo
import sdm.office
from sdm.office import (
    OfficeError,
    OfficeUnavailable,
    Proposal,
    RememberingOffice,
    UnknownProposal,
    WrongBeamline,
    YamlOffice,
    memory_file,
    office_from,
    proposal_at,
)

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


def test_a_proposal_has_all_that_the_file_says() -> None:
    found = YamlOffice(DEMO).proposal("20250001")
    assert found.title == "Swelling of cellulose fibres during drying"
    assert (found.pi_name, found.pi_email) == ("Astrid Lindqvist", "astrid.lindqvist@example.org")
    assert (found.category, found.beamline, found.group) == ("visitors", "cosaxs", "20250001-group")
    assert found.visits == ("20250310", "20250922")
    assert found.samples == ("fibre_A", "fibre_B", "empty_cell")
    assert found.as_of == ""


def test_the_rest_of_the_fields_have_defaults(file: Path) -> None:
    found = YamlOffice(file).proposal("20250001")
    assert found == Proposal("20250001", "Swelling of fibres", "cosaxs", group="20250001-group")
    assert found.category == "visitors"


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
        ("proposals:\n  - {id: 1, title: a, beamline: b}\n  - {id: 2, title: a}\n", 3, "beamline is missing"),
        ("proposals:\n  - {id: 1, title: a, beamline: b, pi: x}\n", 2, "'pi' is not a field"),
        ("proposals:\n  - {id: ../1, title: a, beamline: b}\n", 2, "id: id '../1' refused"),
        ("proposals:\n  - {id: 1, title: a, beamline: b,\n     category: guests}\n", 3, "category: category 'guests'"),
        ("proposals:\n  - {id: 1, title: a, beamline: b, samples: [x,\n    /y]}\n", 3, "samples: sample '/y' refused"),
        ("proposals:\n  - {id: 1, title: a, beamline: b, visits: x}\n", 2, "visits is not a list"),
        ("proposals:\n  - {id: 1, title: [a], beamline: b}\n", 2, "title is not a text"),
        ("proposals:\n  - just a text\n", 2, "a proposal is not of the form"),
        ("proposals:\n  - {id: 1, title: a, beamline: b}\n  - {id: 1, title: a, beamline: b}\n", 3, "there twice"),
        ("proposal: []\n", 1, "'proposal' is not a field of the file"),
        ("proposals:\n  - {id: 1\n  - x", 3, "not YAML"),
        ("[]\n", 1, "the file is not of the form"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(file: Path, text: str, line: int, says: str) -> None:
    file.write_text(text)
    with pytest.raises(OfficeUnavailable) as caught:
        YamlOffice(file).proposals("cosaxs")
    assert str(caught.value).startswith(f"{file}, line {line}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"proposals: \x00", b"\x80"])
def test_a_file_that_is_no_text_is_an_office_that_cannot_be_asked(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    with pytest.raises(OfficeUnavailable):
        YamlOffice(file).proposals("cosaxs")


@given(st.text(max_size=200))
def test_whatever_is_in_the_file_only_our_errors_come(text: str) -> None:
    try:
        sdm.office._read(Path("proposals.yaml"), text)
    except OfficeError:
        return


def test_an_empty_file_has_no_proposals(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert YamlOffice(file).proposals("cosaxs") == []


def test_an_office_is_named_by_its_address(file: Path) -> None:
    assert office_from(f"yaml:{file}").proposal("20250001").title == "Swelling of fibres"
    with pytest.raises(OfficeError, match="is not set"):
        office_from("")
    for wrong in ("yaml:", "duo:https://example.org", str(file)):
        with pytest.raises(OfficeError, match="not of the form yaml:"):
            office_from(wrong)


# --------------------------------------------------------------------------- memory


class FakeOffice:
    """Answers, or is down."""

    def __init__(self) -> None:
        self.down = False
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
        if self.down:
            raise OfficeUnavailable("down for maintenance")


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "proposals.json"


def test_what_was_known_before_is_known_while_the_office_is_down(memory: Path) -> None:
    fake = FakeOffice()
    first = RememberingOffice(fake, memory).proposal("1")
    assert first.as_of == ""
    fake.down = True
    after_restart = RememberingOffice(fake, memory)
    kept = after_restart.proposal("1")
    assert kept.as_of.endswith("Z")
    assert replace(kept, as_of="") == first
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


def test_the_memory_is_the_owners_alone(memory: Path) -> None:
    RememberingOffice(FakeOffice(), memory).proposal("1")
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    assert stat.S_IMODE(memory.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["", "[]", '{"1": 3}', '{"1": {"unknown": 1}}', "\x00"])
def test_a_memory_that_cannot_be_read_is_as_good_as_none(memory: Path, text: str) -> None:
    memory.parent.mkdir()
    memory.write_text(text)
    fake = FakeOffice()
    assert RememberingOffice(fake, memory).proposal("1").title == "first"
    assert list(json.loads(memory.read_text())) == ["1"]


def test_a_disk_that_refuses_does_not_matter_while_the_office_answers(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a folder")
    office = RememberingOffice(FakeOffice(), tmp_path / "state" / "proposals.json")
    assert office.proposal("1").title == "first"


def test_the_memory_lies_in_the_users_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert memory_file() == Path("/somewhere/state/sdm/proposals.json")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert memory_file() == Path.home() / ".local" / "state" / "sdm" / "proposals.json"
