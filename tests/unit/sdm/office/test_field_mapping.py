"""An office's JSON as proposals: any JSON gives a proposal or an error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdm.layout import Layout
from sdm.names import DataLocation
from sdm.office.duo import DUO_DEFAULTS
from sdm.office.field_mapping import AnswerMapping, AnswerPath, UnusableAnswer, VisitSource, folder_name, parse_part
from sdm.office.model import Visit
from sdm.office.rest_settings import RestSettings, default_settings
from tests.servers.user_office import DUO_PROPOSAL

SETTINGS: RestSettings = default_settings("https://duo.example.org", DUO_DEFAULTS)
READING: AnswerMapping = SETTINGS.mapping

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "start", "end", "fullname", "author", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)
names = st.sampled_from([*DUO_PROPOSAL, "schedule", "authors", "members", "proprietary", "group", "pi_firstname"])


@given(st.dictionaries(names, values, max_size=8))
def test_any_answer_gives_a_proposal_or_an_error(answer: dict[str, Any]) -> None:
    try:
        found = READING.proposal({**DUO_PROPOSAL, **answer})
    except UnusableAnswer:
        return
    for text in (found.title, found.abstract, found.pi_name, found.pi_email, *found.members, found.type):
        assert text == "" or text.isprintable()
    for visit in (*found.visit_names, "20250310"):
        for sample in (*found.samples, ""):
            place = DataLocation(found.category, found.beamline, found.id, visit, sample)
            assert ".." not in Layout().sample(place).parts


@given(values)
def test_any_list_gives_proposals_or_an_error(answer: Any) -> None:
    try:
        found = READING.listed(answer, "cosaxs")
    except UnusableAnswer:
        return
    assert all(one.is_at("cosaxs") for one in found)


@given(st.text())
def test_any_text_gives_a_path_or_an_error(text: str) -> None:
    try:
        found = parse_part(text)
    except ValueError:
        return
    assert found.text == text


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", [1]),
        ("b.c", [2]),
        ("d[].e", [3, 4]),
        ("d[1].e", [4]),
        ("d[7].e", []),
        ("d", [{"e": 3}, {"e": 4}, {}]),
        ("f", []),
        ("f.g.h", []),
        ("i[][].j", [5, 6]),
        ("k.c", []),
    ],
)
def test_paths_into_an_answer(path: str, found: list[Any]) -> None:
    answer = {
        "a": 1,
        "b": {"c": 2},
        "d": [{"e": 3}, {"e": 4}, {}],
        "f": None,
        "i": [[{"j": 5}], [{"j": 6}]],
        "k": [],  # PHP's form of an object without fields
    }
    assert AnswerPath(path).values(answer) == found


def test_a_list_inside_a_path_is_reported_with_the_right_form() -> None:
    with pytest.raises(UnusableAnswer, match=r"write e\[\] for each|in a list"):
        AnswerPath("d.e").values({"d": [{"e": 3}]})


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("fibre_A", "fibre_A"),
        ("Fe2 O3 (powder)", "Fe2_O3_powder_"),
        ("batch 1/cell 2", "batch_1/cell_2"),
        ("-20C", "_20C"),
        ("Å", "_"),
        ("a//b", "a/b"),
        ("x" * 200, "x" * 100),
        ("x/" * 200, "x/" * 127 + "x"),
        ("aux", "_aux"),
        ("batch/Com1.a", "batch/_Com1.a"),
        ("../x", "../x"),
        ("/etc", "/etc"),
        ("a\x00b", "a\x00b"),
    ],
)
def test_names_become_folder_names_and_hostile_ones_stay_unchanged(answer: str, name: str) -> None:
    assert folder_name(answer) == name


@pytest.fixture
def stockholm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Stockholm")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("stockholm")
def test_times_of_another_zone_are_days_here() -> None:
    sessions = [{"start": "2025-03-09T23:00:00.000Z", "end": "2025-03-12T16:00:00+01:00"}]
    found = READING.proposal({**DUO_PROPOSAL, "sessions": sessions})
    assert found.visits == (Visit("20250310", "2025-03-10", "2025-03-12"),)


def test_a_long_name_of_a_visit_does_not_cost_the_proposal() -> None:
    sessions = [{"name": f"{'a' * 80}/{'b' * 80}"}]
    (visit,) = READING.proposal({**DUO_PROPOSAL, "sessions": sessions}).visits
    assert visit.name == f"{'a' * 80}_{'b' * 19}"


def test_visits_can_be_starts_or_names_alone() -> None:
    mapping = AnswerMapping(READING.fields, (_alone("sessions[].start"), _alone("times")))
    found = mapping.proposal(DUO_PROPOSAL)
    assert found.visits == (Visit("20250310", "2025-03-10"), Visit("20250922", "2025-09-22"))
    found = mapping.proposal({"propid": 1, "beamline": "x", "times": ["first week", "", "2025-03-10"]})
    assert found.visits == (Visit("first_week"), Visit("20250310", "2025-03-10"))


def _alone(path: str) -> Any:
    return VisitSource(AnswerPath(path))
