"""What becomes of scientificMetadata."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.api import Api
from tests.servers.catalogue import Catalogue


def _created(api: Api, dataset: dict, version: str = "v3") -> dict:
    api.create(dataset)
    return api.dataset(dataset["pid"], version)["scientificMetadata"]


@pytest.mark.parametrize(
    ("value", "unit", "value_si", "unit_si"),
    [
        (2, "mm", 0.002, "m"),
        (5, "um", 5e-6, "m"),
        (1, "angstrom", 1e-10, "m"),
        (20, "degC", 293.15, "K"),
        (180, "deg", 3.141592653589793, "rad"),
        (10, "s^-1", 10, "s^-1"),
        (1, "keV", 1.602176634e-16, "(kg m^2) / s^2"),
        (1, "mbar", 100, "kg / (m s^2)"),
        (3, "ohm", 3, "(kg m^2) / (s^3 A^2)"),
        (60, "l/min", 0.001, "m^3 / s"),
        (1, "C", 1, "s A"),
    ],
)
def test_quantities_get_an_si_value(api: Api, new_dataset, value, unit, value_si, unit_si) -> None:
    got = _created(api, new_dataset(scientificMetadata={"x": {"value": value, "unit": unit}}))["x"]
    assert got["valueSI"] == pytest.approx(value_si)
    assert got["unitSI"] == unit_si
    assert (got["value"], got["unit"]) == (value, unit)


@pytest.mark.parametrize("unit", ["µm", "°C", "°", "%", "counts", "ph/s", "Torr", "G", "steps", "a.u.", "Ω", "rpm"])
def test_a_unit_that_cannot_be_converted_is_kept(api: Api, new_dataset, unit: str) -> None:
    got = _created(api, new_dataset(scientificMetadata={"x": {"value": 1, "unit": unit}}))["x"]
    assert (got["value"], got["unit"], got["valueSI"], got["unitSI"]) == (1, unit, 1, unit)


def test_groups_are_gone_through(api: Api, new_dataset) -> None:
    metadata = {
        "Optics": {"Undulator gap": {"value": 2, "unit": "mm"}, "Vacuum": {"value": 1, "unit": "mbar"}},
        "plain": 3,
        "text": {"value": "open", "unit": ""},
        "unread": {"value": None, "unit": "mm", "error": "no answer"},
    }
    got = _created(api, new_dataset(scientificMetadata=metadata))
    assert got["Optics"]["Undulator gap"]["valueSI"] == pytest.approx(0.002)
    assert got["Optics"]["Vacuum"]["valueSI"] == pytest.approx(100)
    assert got["plain"] == 3
    assert got["text"] == {"value": "open", "unit": ""}
    assert got["unread"]["value"] is None
    assert got["unread"]["error"] == "no answer"


def test_more_keys_in_a_leaf_are_kept(api: Api, new_dataset) -> None:
    leaf = {"value": 1, "unit": "mm", "human_name": "Gap", "source": "a/b/c/d", "end": 2, "mean": 1.5, "samples": 3}
    got = _created(api, new_dataset(scientificMetadata={"x": leaf}))["x"]
    assert {name: got[name] for name in leaf} == leaf


def test_a_value_whose_si_value_overflows(api: Api, new_dataset) -> None:
    got = _created(api, new_dataset(scientificMetadata={"x": {"value": 1e308, "unit": "km"}}))["x"]
    assert got["valueSI"] is None
    assert got["value"] == 1e308


def test_any_key_with_u_and_v_makes_a_quantity(api: Api, new_dataset) -> None:
    """Why a leaf must have no other key that starts with u or v beside `unit` and `value`."""
    metadata = {
        "leaf": {"value": 5, "unit": "mm", "value_label": "open"},
        "group": {"user": "ab", "version": 3, "gap": {"value": 2, "unit": "mm"}},
    }
    got = _created(api, new_dataset(scientificMetadata=metadata))
    assert got["leaf"]["valueSI"] == "open"
    assert got["group"]["valueSI"] == 3
    assert "valueSI" not in got["group"]["gap"]


@pytest.mark.parametrize("key", ["a.b", "$x", "Röhre 1", "a/b", "50%", "x[1]", '"', "'"])
def test_v3_shows_keys_as_they_were_sent(api: Api, new_dataset, key: str) -> None:
    metadata = {key: {"value": 1, "unit": ""}, "group": {key: {"value": 2, "unit": ""}}}
    got = _created(api, new_dataset(scientificMetadata=metadata))
    assert got[key]["value"] == 1
    assert got["group"][key]["value"] == 2


def test_a_key_that_looks_encoded_is_shown_decoded(api: Api, new_dataset) -> None:
    metadata = {"a%2Eb": {"value": 1, "unit": ""}, "c%20d": {"value": 2, "unit": ""}}
    pid = api.create(new_dataset(scientificMetadata=metadata))["pid"]
    assert list(api.dataset(pid)["scientificMetadata"]) == ["a.b", "c d"]
    assert list(api.dataset(pid, "v4")["scientificMetadata"]) == list(metadata)


def test_v4_shows_keys_as_they_are_stored(api: Api, new_dataset) -> None:
    got = _created(api, new_dataset(scientificMetadata={"a.b c": {"value": 1, "unit": ""}}), "v4")
    assert list(got) == ["a%2Eb%20c"]


def test_a_top_level_null_is_refused(api: Api, new_dataset, embedded_only: None) -> None:
    """It kills the real server, so nobody may come to rely on it."""
    sent = new_dataset(scientificMetadata={"x": None})
    assert api.post("/api/v3/datasets", sent).status_code == 500
    pid = api.create(new_dataset(scientificMetadata={"x": 1}))["pid"]
    answer = api.patch(pid, {"scientificMetadata": {"x": None}})
    assert answer.status_code == 500
    assert "'x'" in answer.json()["message"]
    assert api.dataset(pid)["scientificMetadata"] == {"x": 1}


@pytest.mark.parametrize("wrong", [{"value": 1, "unit": ""}, ["a"]])
def test_a_human_name_that_is_no_text_is_refused(api: Api, new_dataset, wrong: object, embedded_only: None) -> None:
    """It kills the real server, too: as a value of a group for one, or a list."""
    sent = new_dataset(scientificMetadata={"Machine": {"human_name": wrong}})
    answer = api.post("/api/v3/datasets", sent)
    assert answer.status_code == 500
    assert "human_name in 'Machine'" in answer.json()["message"]


@pytest.mark.parametrize("version", ["v3", "v4"])
@pytest.mark.parametrize("name", ["constructor", "_bsontype"])
def test_a_name_that_is_a_500(api: Api, new_dataset, name: str, version: str) -> None:
    pid = api.create(new_dataset())["pid"]
    for metadata in ({name: {"value": 1, "unit": ""}}, {"x": {"value": 1, "unit": "", name: "y"}}):
        assert api.patch(pid, {"scientificMetadata": metadata}, version).status_code == 500


@pytest.mark.parametrize("name", ["toString", "valueOf", "prototype", "hasOwnProperty", "__proto__"])
def test_a_name_that_is_lost_without_a_word(api: Api, new_dataset, name: str) -> None:
    leaf = {"value": 1, "unit": ""}
    sent = new_dataset(scientificMetadata={name: leaf, "Group": {name: leaf, "x": leaf}, "y": {**leaf, name: "z"}})
    assert _created(api, sent) == {"Group": {"x": leaf}, "y": leaf}


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_a_patch_replaces_all_metadata(api: Api, new_dataset, version: str) -> None:
    pid = api.create(new_dataset(scientificMetadata={"old": 1}))["pid"]
    assert api.patch(pid, {"scientificMetadata": {"only": 1}}, version).status_code == 200
    assert api.dataset(pid)["scientificMetadata"] == {"only": 1}


def test_a_merge_patch_merges_and_null_deletes(api: Api, new_dataset) -> None:
    metadata = {"kept": {"value": 1, "unit": "mm"}, "gone": 1, "Optics": {"a": {"value": 1, "unit": "mm"}}}
    pid = api.create(new_dataset(scientificMetadata=metadata))["pid"]
    changes = {"new": {"value": 2, "unit": "mm"}, "gone": None, "Optics": {"b": {"value": 3, "unit": ""}}}
    assert api.merge(pid, {"scientificMetadata": changes, "description": "x"}).status_code == 200
    got = api.dataset(pid)
    assert got["description"] == "x"
    assert got["scientificMetadata"].keys() == {"kept", "new", "Optics"}
    assert got["scientificMetadata"]["new"]["valueSI"] == pytest.approx(0.002)
    assert got["scientificMetadata"]["Optics"].keys() == {"a", "b"}


def test_merges_at_once_lose_nothing(catalogue: Catalogue, api: Api, new_dataset, embedded_only: None) -> None:
    """The real server loses some of them: there, one writer for each dataset at a time."""
    pid = api.create(new_dataset())["pid"]

    def merge(number: int) -> int:
        with Api(catalogue.url, token=api.token) as own:
            return own.merge(pid, {"scientificMetadata": {f"k{number}": number}}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(merge, range(24))) == {200}
    assert len(api.dataset(pid)["scientificMetadata"]) == 24


def test_a_charset_behind_the_content_type_makes_it_replace(api: Api, new_dataset) -> None:
    pid = api.create(new_dataset(scientificMetadata={"old": 1}))["pid"]
    answer = api.merge(pid, {"scientificMetadata": {"new": 1}}, "application/merge-patch+json; charset=utf-8")
    assert answer.status_code == 200
    assert api.dataset(pid)["scientificMetadata"] == {"new": 1}


def test_units_have_the_constants_of_the_servers_own_library(api: Api, new_dataset) -> None:
    given = {"energy": {"value": 12.4, "unit": "keV"}, "pressure": {"value": 1, "unit": "mmHg"}}
    pid = api.create(new_dataset(scientificMetadata=given))["pid"]
    metadata = api.dataset(pid)["scientificMetadata"]
    assert metadata["energy"]["valueSI"] == pytest.approx(12400 * 1.602176565e-19, rel=1e-9)
    assert metadata["pressure"]["valueSI"] == pytest.approx(133.3223684, rel=1e-5)
