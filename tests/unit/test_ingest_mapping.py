"""What a message is in SciCat."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import mapping
from ingest.ownership import by_settings
from ingest.settings import load
from scifish.message import check
from scifish.units import readable
from tests.kafka import file, message, value

SETTINGS = load(Path(__file__).parents[2] / "docs" / "scicow.example.yaml", secrets=False)
UUID = "0b5f9d8e-4c1f-4b33-8a52-3c2f3f2f8a11"


def dataset(kind="ended", **changes):
    given = message(kind, UUID, **changes)
    check(given)
    return mapped(given)


def mapped(given):
    return mapping.dataset(given, by_settings(given, SETTINGS), SETTINGS)


# ------------------------------------------------------------------------------ fields


def test_a_completed_scan_is_a_raw_dataset_of_v3():
    found = dataset()
    metadata = found.pop("scientificMetadata")
    assert found == {
        "pid": f"scizoo/{UUID}",
        "type": "raw",
        "owner": "Data manager",
        "contactEmail": "data@example.org",
        "principalInvestigator": "Data manager",
        "ownerGroup": "20250001-group",
        "accessGroups": ["cosaxs"],
        "creationLocation": "/cosaxs",
        "datasetName": "ascan mot01 0 1 10 0.1",
        "description": "a scan",
        "sourceFolder": "/data/visitors/cosaxs/20250001/raw",
        "creationTime": "2026-11-22T10:00:00.000Z",
        "endTime": "2026-11-22T10:00:11.000Z",
        "proposalId": "20250001",
        "sampleId": "S-1",
        "dataFormat": "NXsas",
        "runNumber": "42",
    }
    assert {name: leaf["value"] for name, leaf in metadata["scan"].items()} == {
        "status": "completed",
        "title": "ascan mot01 0 1 10 0.1",
        "scan_id": 42,
        "points": 11,
        "motors": "mot01",
        "detectors": "ct1, ct2",
        "program": "sardana",
        "host": "b311a-cc-0",
        "beamline": "cosaxs",
    }
    assert metadata["scan"]["status"] == {"value": "completed", "unit": "", "human_name": "Status"}
    assert metadata["Machine"]["Ring current"]["value"] == 400.5


def test_a_scan_that_has_begun_is_running_and_has_no_end():
    found = dataset("began")
    assert found["scientificMetadata"]["scan"]["status"]["value"] == "running"
    assert "endTime" not in found
    assert not mapping.is_over(found)
    assert mapping.is_over(dataset("ended", status="aborted"))


def test_what_the_message_does_not_say_is_left_out():
    found = dataset(sampleId="", dataFormat="", description="", proposalId="", sourceFolder="", environment={})
    assert not {"sampleId", "dataFormat", "description", "proposalId", "runNumber"} & set(found)
    assert found["sourceFolder"] == "/unknown"
    assert found["ownerGroup"] == "cosaxs-staff"
    assert set(found["scientificMetadata"]["scan"]) == {"status", "points", "program", "host", "beamline"}


def test_warnings_are_one_text():
    found = dataset(warnings=["no PathFixer", "cut"])
    assert found["scientificMetadata"]["scan"]["warnings"]["value"] == "no PathFixer; cut"


def test_files_are_relative_to_the_source_folder_and_have_no_further_fields():
    files = [file("/data/raw/a/b.h5", 3), file("/elsewhere/c.h5") | {"error": "not there"}]
    assert mapping.files(message("ended", sourceFolder="/data/raw/", files=files)) == [
        {"path": "a/b.h5", "size": 3, "time": "2026-11-22T10:00:11.000Z"},
        {"path": "/elsewhere/c.h5", "size": 10, "time": "2026-11-22T10:00:11.000Z"},
    ]


def test_an_annotation_changes_its_own_fields_only():
    assert mapping.annotation(message("annotation", annotation={"comment": "a", "rating": 2.5})) == {
        "comment": "a",
        "dataQualityMetrics": 2.5,
    }
    assert mapping.annotation(message("annotation", annotation={"rating": 0})) == {"dataQualityMetrics": 0}


# ---------------------------------------------------------------------------- metadata


def metadata(**entries):
    return dataset(scientificMetadata=entries)["scientificMetadata"]


def test_keys_of_a_leaf_that_scicat_would_take_for_its_value_are_renamed():
    leaf = metadata(a=value(5, "mm", value_label="open", User="me", _User="you"))["a"]
    assert (leaf["value"], leaf["unit"]) == (5, "mm")
    assert {leaf["_value_label"], leaf["_User"], leaf["_User_2"]} == {"open", "me", "you"}


def test_groups_may_have_any_names():
    found = metadata(group={"user": value("ab"), "version": value(3), "sub": {"value": value(1), "unit": value(2)}})
    assert set(found["group"]) == {"user", "version", "sub"}
    assert found["group"]["sub"]["value"]["value"] == 1


def test_an_object_as_a_value_becomes_json_text():
    found = metadata(a=value({"u": 1, "v": [2]}), b=value([[1, {"c": 2}]]), c=value([1, 2, 3]))
    assert json.loads(found["a"]["value"]) == {"u": 1, "v": [2]}
    assert json.loads(found["b"]["value"]) == [[1, {"c": 2}]]
    assert found["c"]["value"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("written", "key"),
    [("language", "_language"), ("", "_"), ("$set", "_$set"), ("a.b", "a.b"), ("__proto__", "___proto__")],
)
def test_names_that_would_be_lost_are_changed(written, key):
    found = metadata(**{written: value(1)}, group={written: value(2)})
    assert found[key]["value"] == 1
    assert found["group"][key]["value"] == 2


def test_names_that_clash_get_a_number():
    found = metadata(scan={"x": value(1)}, **{"$a": value(2), "_$a": value(3)})
    assert found["scan"]["status"]["value"] == "completed"
    assert found["scan_2"]["x"]["value"] == 1
    assert {found["_$a"]["value"], found["_$a_2"]["value"]} == {2, 3}


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("µm", "um"),
        ("μrad", "urad"),
        ("°C", "degC"),
        ("°", "deg"),
        ("mm/°", "mm/deg"),
        ("Å", "angstrom"),
        ("Å⁻¹", "angstrom^-1"),
        ("kΩ", "kohm"),
        ("Torr", "torr"),
        ("Torr l/s", "torr l/s"),
        ("mTorr", "mTorr"),
        ("ph/s", "ph/s"),
        ("%", "%"),
        ("C", "C"),
        ("µm/☃", "µm/☃"),
    ],
)
def test_units_are_written_so_that_scicat_can_convert_them(written, known):
    assert readable(written) == known
    leaf = metadata(a=value(1, written))["a"]
    assert leaf["unit"] == known
    assert leaf.get("original_unit", known) == written


names = st.text(max_size=8) | st.sampled_from(
    ["language", "$a", "value", "unit", "user", "v", "scan", "_", "__proto__"]
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
)
plain = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=5
)
leaves = st.builds(
    lambda given, unit, more: {**more, **value(given, unit)},
    plain,
    st.sampled_from(["", "mm", "µm", "°C", "ph/s"]),
    st.dictionaries(st.sampled_from(["end", "user", "Value", "$x", "language", "error1"]), plain, max_size=3),
)
groups = st.recursive(
    st.dictionaries(names, leaves, max_size=4),
    lambda inner: st.dictionaries(names, inner | leaves, max_size=4),
    max_leaves=8,
)


def count(entries, is_leaf):
    return sum(1 if is_leaf(inner) else count(inner, is_leaf) for inner in entries.values())


def assert_safe(entries):
    for name, inner in entries.items():
        assert isinstance(inner, dict)
        assert name not in ("", "language", "__proto__")
        assert not name.startswith("$")
        if not isinstance(inner.get("unit"), str):
            assert_safe(inner)
            continue
        assert not [key for key in inner if key not in ("value", "unit") and key[0].lower() in "uv"]
        assert not any(isinstance(part, dict) for part in inner.values())


@settings(deadline=None)
@given(groups)
def test_any_metadata_is_safe_for_scicat_and_whole(entries):
    given = message("ended", scientificMetadata=entries)
    check(given)
    found = mapping.metadata(given)
    assert_safe(found)
    del found["scan"]
    assert count(found, lambda inner: isinstance(inner.get("unit"), str)) == count(
        entries, lambda inner: isinstance(inner.get("unit"), str)
    )
    json.dumps(found, allow_nan=False)


# ----------------------------------------------------------------------------- merging


def merge_patch(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, inner in patch.items():
        if inner is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), inner)
    return result


def changes(began, **ended):
    end = message("ended", UUID, **ended)
    return mapping.changes(end, mapped(began), by_settings(end, SETTINGS))


def test_the_end_adds_only_what_is_new():
    assert changes(message("began", UUID)) == {
        "endTime": "2026-11-22T10:00:11.000Z",
        "scientificMetadata": {
            "scan": {
                "status": {"value": "completed", "unit": ""},
                "points": {"value": 11, "unit": "", "human_name": "Points"},
            }
        },
    }


def test_the_end_fills_in_what_was_not_known_in_the_beginning():
    began = message("began", UUID, proposalId="", sampleId="", sourceFolder="", description="")
    found = changes(began)
    assert found["proposalIds"] == ["20250001"]
    assert found["ownerGroup"] == "20250001-group"
    assert found["sampleIds"] == ["S-1"]
    assert found["sourceFolder"] == "/data/visitors/cosaxs/20250001/raw"
    assert found["description"] == "a scan"


def test_the_end_takes_nothing_away_that_it_does_not_know():
    found = changes(message("began", UUID), proposalId="", sampleId="", sourceFolder="", scientificMetadata={})
    assert set(found) == {"endTime", "scientificMetadata"}
    assert set(found["scientificMetadata"]) == {"scan"}


def test_an_error_of_the_beginning_goes_when_the_value_comes():
    began = message("began", UUID, scientificMetadata={"a": value(None, error="no answer")})
    assert changes(began, scientificMetadata={"a": value(3)})["scientificMetadata"]["a"] == {
        "error": None,
        "value": 3,
        "unit": "",
    }


def test_a_leaf_keeps_its_value_where_null_would_delete_it():
    new = value(None, error="no answer")
    unread = changes(message("began", UUID, scientificMetadata={"a": new}), scientificMetadata={"a": new | {"end": 2}})
    assert unread["scientificMetadata"]["a"] == {"unit": "", "end": 2}
    late = changes(message("began", UUID, scientificMetadata={}), scientificMetadata={"a": new})
    assert late["scientificMetadata"]["a"]["value"] == ""


@settings(deadline=None)
@given(groups, groups)
def test_after_the_merge_everything_of_the_end_is_there_and_what_only_the_beginning_had(old, new):
    began = mapped(message("began", UUID, scientificMetadata=old))
    ended = message("ended", UUID, scientificMetadata=new)
    patch = mapping.changes(ended, began, by_settings(ended, SETTINGS))
    merged = {**began, "scientificMetadata": merge_patch(began["scientificMetadata"], patch["scientificMetadata"])}
    assert mapping.is_over(merged)
    assert set(merged["scientificMetadata"]) >= set(began["scientificMetadata"]) | set(mapping.metadata(ended))
    assert "scientificMetadata" not in mapping.changes(ended, merged, by_settings(ended, SETTINGS)) or has_null(new)


def has_null(entries):
    return '"value": null' in json.dumps(entries) or "null" in json.dumps(entries)
