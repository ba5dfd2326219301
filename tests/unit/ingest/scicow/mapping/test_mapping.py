"""What a message is in SciCat."""

import json
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingest.embedded.metadata import stored
from ingest.scicow import mapping
from ingest.scicow.mapping import Mapping
from ingest.scicow.mapping.definition import load_page
from ingest.scicow.mapping.merge_patch import difference, merged, missing, undone, united
from ingest.scicow.mapping.metadata import MAX_GROUP_DEPTH, Metadata, _free
from ingest.scicow.mapping.ownership import by_settings
from ingest.scicow.settings import load
from scifish.message import check
from scifish.message.units import mathjs_spelling
from tests.builders.messages import file, message, value
from tests.paths import DOCS

SETTINGS = load(DOCS / "scicow.example.yaml", secrets=False)
MAPPING = Mapping(SETTINGS)
UUID = "0b5f9d8e-4c1f-4b33-8a52-3c2f3f2f8a11"


def dataset(kind="ended", **changes):
    given = message(kind, UUID, **changes)
    check(given)
    return mapped(given)


def mapped(given):
    return MAPPING.dataset(given, by_settings(given, SETTINGS), "v3")


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


def test_a_program_that_counts_no_points_has_no_number_of_them():
    given = message("ended", UUID)
    del given["numberOfPoints"]
    check(given)
    assert "points" not in mapped(given)["scientificMetadata"]["scan"]


def test_warnings_are_one_text():
    found = dataset(warnings=["no PathFixer", "cut"])
    assert found["scientificMetadata"]["scan"]["warnings"]["value"] == "no PathFixer; cut"


def test_files_are_relative_to_the_source_folder_and_have_no_further_fields():
    files = [file("/data/raw/a/b.h5", 3), file("/elsewhere/c.h5") | {"error": "not there"}]
    assert mapping.files(message("ended", sourceFolder="/data/raw/", files=files)) == [
        {"path": "a/b.h5", "size": 3, "time": "2026-11-22T10:00:11.000Z"},
        {"path": "/elsewhere/c.h5", "size": 10, "time": "2026-11-22T10:00:11.000Z"},
    ]


def annotated(first, found=None, **said):
    given = message("annotation", UUID, seq=7, annotation=said)
    return MAPPING.annotation(given, first, first if found is None else found)


def test_an_annotation_changes_its_own_fields_only_and_leaves_its_mark():
    marks = {"value": "run-1:7", "unit": "", "human_name": "Annotations"}
    when = "2026-11-22T10:00:00.000Z"
    found = annotated({}, comment="a", rating=2.5)
    leaf = found["scientificMetadata"]["scan"]["annotations"]
    assert len({leaf.pop("comment_print"), leaf.pop("rating_print")}) == 2
    assert found == {
        "comment": "a",
        "dataQualityMetrics": 2.5,
        "scientificMetadata": {"scan": {"annotations": marks | {"comment": when, "rating": when}}},
    }
    assert annotated({}, rating=0)["dataQualityMetrics"] == 0


def test_an_annotation_whose_mark_is_there_changes_nothing():
    first = {"comment": "by a person", "scientificMetadata": {"scan": {"annotations": {"value": "run-1:6 run-1:7"}}}}
    assert annotated(first, comment="a") == {}


def test_a_comment_that_was_put_back_is_written_again_but_none_of_somebody_else():
    first = {"comment": "old"}
    marked = {"scientificMetadata": {"scan": {"annotations": {"value": "run-1:7", "unit": ""}}}}
    assert annotated(first, {"comment": "old"} | marked, comment="a")["comment"] == "a"
    assert annotated(first, {"comment": "by a person"} | marked, comment="a") == {}
    assert "comment" not in annotated(first, {"comment": "by a person"}, comment="a")


EARLIER, LATER = "2026-11-22T09:59:59.000Z", "2026-11-22T10:05:00.000Z"  # than the annotation was said


def test_what_a_person_wrote_before_it_was_said_is_replaced():
    there = {"comment": "by a person", "dataQualityMetrics": 1, "updatedAt": EARLIER}
    found = annotated(there, comment="a", rating=2)
    assert (found["comment"], found["dataQualityMetrics"]) == ("a", 2)


def test_what_a_person_may_have_written_after_it_was_said_is_not_lost():
    there = {"comment": "by a person", "dataQualityMetrics": 1, "updatedAt": LATER}
    found = annotated(there, comment="a", rating=2)
    assert found["comment"] == "by a person\na"
    assert "dataQualityMetrics" not in found
    # The next one of a macro, said later but written late as well, knows that the rating is still theirs.
    after = there | found | {"updatedAt": "2026-11-22T11:00:00.000Z"}
    leaf = after["scientificMetadata"]["scan"]["annotations"]
    assert leaf["rating_print"] != leaf["comment_print"]
    later = message("annotation", UUID, seq=8, annotation={"comment": "b", "rating": 3}, creationTime=LATER)
    next_one = MAPPING.annotation(later, after, after)
    assert next_one["comment"] == "by a person\na\nb"
    assert "dataQualityMetrics" not in next_one


def test_what_stands_there_already_is_not_added_twice():
    there = {"comment": "by a person\na", "updatedAt": LATER}
    assert "comment" not in annotated(there, comment="a")


def test_a_macro_replaces_what_a_macro_wrote_however_late():
    first = annotated({}, comment="a")
    there = first | {"updatedAt": LATER}
    again = message("annotation", UUID, seq=8, annotation={"comment": "b"})
    assert MAPPING.annotation(again, there, there)["comment"] == "b"
    leaf = {"value": "run-1:6", "unit": "", "comment": EARLIER}  # as an earlier version of SciCow has left it
    old = {"comment": "a", "updatedAt": LATER, "scientificMetadata": {"scan": {"annotations": leaf}}}
    assert MAPPING.annotation(again, old, old)["comment"] == "b"


def test_the_run_of_a_mark_has_no_space():
    given = message("annotation", UUID, origin={"host": "h", "program": "p", "version": "1", "run": "a b:c"})
    mark = MAPPING.annotation(given, {}, {})["scientificMetadata"]["scan"]["annotations"]["value"]
    assert mark == "a%20b%3Ac:1"


# ---------------------------------------------------------------------------- metadata


def metadata(**entries):
    return dataset(scientificMetadata=entries)["scientificMetadata"]


def test_keys_of_a_leaf_that_scicat_would_take_for_its_value_are_renamed():
    leaf = metadata(a=value(5, "mm", value_label="open", User="me", _User="you"))["a"]
    assert (leaf["value"], leaf["unit"]) == (5, "mm")
    assert {leaf["_value_label"], leaf["_User"], leaf["_User_2"]} == {"open", "me", "you"}


def test_groups_may_have_any_names():
    found = metadata(group={"user": value("ab"), "version": value(3), "sub": {"value": value(1), "units": value(2)}})
    assert set(found["group"]) == {"user", "version", "sub"}
    assert found["group"]["sub"]["value"]["value"] == 1


@pytest.mark.parametrize("name", ["u", "unit"])
def test_no_name_in_a_group_keeps_the_others_from_being_converted(name):
    found = stored(metadata(group={name: value(1), "gap": value(2, "mm")}))
    assert found["group"][f"_{name}"]["value"] == 1
    assert found["group"]["gap"]["valueSI"] == 0.002


def test_an_object_as_a_value_becomes_json_text():
    found = metadata(a=value({"u": 1, "v": [2]}), b=value([[1, {"c": 2}]]), c=value([1, 2, 3]))
    assert json.loads(found["a"]["value"]) == {"u": 1, "v": [2]}
    assert json.loads(found["b"]["value"]) == [[1, {"c": 2}]]
    assert found["c"]["value"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        *(("language", "_language"), ("", "_"), ("$set", "_$set"), ("a.b", "a.b"), ("__proto__", "___proto__")),
        *(("constructor", "_constructor"), ("toString", "_toString"), ("_bsontype", "__bsontype")),
        ("human_name", "_human_name"),
    ],
)
def test_names_that_would_be_lost_are_changed(written, key):
    found = metadata(**{written: value(1)}, group={written: value(2)})
    assert found[key]["value"] == 1
    assert found["group"][key]["value"] == 2


class Counted(dict):
    """Counts how often it is asked for a key."""

    asked = 0

    def __contains__(self, key):
        self.asked += 1
        return super().__contains__(key)


@pytest.mark.parametrize("layout", ["nested", "flat"])
def test_thousands_of_names_that_become_one_key_cost_no_more_than_others(tmp_path, layout):
    page = tmp_path / "page.yaml"
    page.write_text(f"metadata: {{layout: {layout}}}")
    bits = [f"{number:013b}".replace("0", "%20").replace("1", "_20") for number in range(6000)]
    found = Metadata(load_page(str(page))).added({name: value(name) for name in bits}, Counted())
    assert {leaf["value"] for leaf in found.values()} == set(bits)
    assert found.keys() == set(numbered("_20" * 13, 6000))
    assert found.asked < 5 * 6000


@pytest.mark.parametrize("layout", ["nested", "flat"])
def test_a_long_name_of_a_group_is_not_in_memory_once_for_each_of_its_values(tmp_path, layout):
    page = tmp_path / "page.yaml"
    page.write_text(f"metadata: {{layout: {layout}, leave_out: [nothing]}}")
    leaves = {f"{number}": value(None, "furlong", error="no answer") for number in range(2000)}
    given = {"x" * 300_000: leaves}
    metadata = Metadata(load_page(str(page)))
    tracemalloc.start()
    found = metadata.added(given, {})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20_000_000
    kept = found if layout == "flat" else found["x" * 300_000]
    assert len(kept) == 2000
    assert len(metadata.notes) >= 4000


def test_thousands_of_keys_of_a_value_that_become_one_cost_no_more_than_others():
    taken, numbers = Counted(), {}
    for number in range(6000):
        taken[_free("same", taken, numbers)] = number
    assert taken.keys() == set(numbered("same", 6000))
    assert taken.asked < 5 * 6000


def numbered(name, count):
    return [name, *(f"{name}_{number}" for number in range(2, count + 1))]


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
    assert mathjs_spelling(written) == known
    leaf = metadata(a=value(1, written))["a"]
    assert leaf["unit"] == known
    assert leaf.get("original_unit", known) == written


def test_more_spellings_of_units_by_the_page(tmp_path):
    page = tmp_path / "mapping.yaml"
    page.write_text("units: {'Grad C': degC}\n")
    given = message("began", scientificMetadata={"a": value(1, "Grad C")})
    own = Mapping(replace(SETTINGS, mapping=str(page)))
    leaf = own.dataset(given, by_settings(given, SETTINGS), "v3")["scientificMetadata"]["a"]
    assert (leaf["unit"], leaf["original_unit"]) == ("degC", "Grad C")


def test_groups_that_are_too_deep_become_text():
    entries = {"a": value(1)}
    for _ in range(MAX_GROUP_DEPTH + 5):
        entries = {"g": entries}
    found = metadata(**entries)
    for _ in range(MAX_GROUP_DEPTH):
        found = found["g"]
    assert found["g"]["unit"] == ""
    assert '"a"' in found["g"]["value"]


names = st.text(max_size=8) | st.sampled_from(
    ["language", "$a", "value", "unit", "user", "v", "scan", "_", "__proto__", "human_name", "constructor", "valueOf"]
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
    st.dictionaries(
        st.sampled_from(["end", "user", "Value", "$x", "language", "error1", "toString"]), plain, max_size=3
    ),
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
        assert name not in ("", "language", "__proto__", "constructor", "human_name", "valueOf")
        assert not name.startswith("$")
        if not isinstance(inner.get("unit"), str):
            assert_safe(inner)
            continue
        assert not [key for key in inner if key not in ("value", "unit") and key[0].lower() in "uv"]
        assert not inner.keys() & {"language", "toString"}
        assert not any(isinstance(part, dict) for part in inner.values())


@given(groups)
def test_any_metadata_is_safe_for_scicat_and_whole(entries):
    given = message("ended", scientificMetadata=entries)
    check(given)
    found = mapped(given)["scientificMetadata"]
    assert_safe(found)
    del found["scan"]
    assert count(found, lambda inner: isinstance(inner.get("unit"), str)) == count(
        entries, lambda inner: isinstance(inner.get("unit"), str)
    )
    json.dumps(found, allow_nan=False)


# ----------------------------------------------------------------------------- merging


def changes(began, version="v4", **ended):
    end = message("ended", UUID, **ended)
    return MAPPING.changes(end, mapped(began), by_settings(end, SETTINGS), version)


def test_the_end_adds_only_what_is_new():
    assert changes(message("began", UUID)) == {
        "endTime": "2026-11-22T10:00:11.000Z",
        "scientificMetadata": {
            "scan": {
                "status": {"value": "completed", "unit": "", "human_name": "Status"},
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
    assert changes(began, "v3")["proposalId"] == "20250001"


def test_the_end_takes_nothing_away_that_it_does_not_know():
    found = changes(message("began", UUID), proposalId="", sampleId="", sourceFolder="", scientificMetadata={})
    assert set(found) == {"endTime", "scientificMetadata"}
    assert set(found["scientificMetadata"]) == {"scan"}


def test_what_people_have_changed_meanwhile_stays():
    end = message("ended", UUID)
    found = mapped(message("began", UUID)) | {"description": "theirs", "keywords": ["x"], "proposalId": "other"}
    assert set(MAPPING.changes(end, found, by_settings(end, SETTINGS), "v4")) == {"endTime", "scientificMetadata"}


def test_an_error_of_the_beginning_goes_when_the_value_comes():
    began = message("began", UUID, scientificMetadata={"a": value(None, error="no answer")})
    found = changes(began, scientificMetadata={"a": value(3)})["scientificMetadata"]["a"]
    assert found == value(3) | {"error": None}


def test_a_leaf_keeps_its_value_where_null_would_delete_it():
    new = value(None, error="no answer")
    unread = changes(message("began", UUID, scientificMetadata={"a": new}), scientificMetadata={"a": new | {"end": 2}})
    assert unread["scientificMetadata"]["a"] == new | {"value": "", "end": 2}
    late = changes(message("began", UUID, scientificMetadata={}), scientificMetadata={"a": new})
    assert late["scientificMetadata"]["a"]["value"] == ""
    assert difference({"a": new}, {"a": new | {"value": ""}}) == {}


def test_a_value_may_become_a_group_and_a_group_a_value():
    leaf, group = {"value": 1, "unit": "mm", "valueSI": 0.001, "unitSI": "m"}, {"x": {"value": 2, "unit": ""}}
    assert merged({"a": leaf}, difference({"a": leaf}, {"a": group})) == {"a": group}
    new = {"value": 1, "unit": "mm"}
    assert merged({"a": group}, difference({"a": group}, {"a": new})) == {"a": new}


def test_numbers_are_the_same_as_javascript_has_them():
    old = {"a": {"value": 1.0, "unit": ""}, "b": {"value": float(2**60), "unit": ""}}
    assert difference(old, {"a": {"value": 1, "unit": ""}, "b": {"value": 2**60 + 1, "unit": ""}}) == {}
    assert difference({"a": {"value": 1, "unit": ""}}, {"a": {"value": True, "unit": ""}})


@given(groups, groups)
def test_after_the_merge_everything_of_the_end_is_there_and_what_only_the_beginning_had(old, new):
    began = mapped(message("began", UUID, scientificMetadata=old))
    ended = message("ended", UUID, scientificMetadata=new)
    whose = by_settings(ended, SETTINGS)
    patch = MAPPING.changes(ended, began, whose, "v4")
    both = {**began, **patch, "scientificMetadata": merged(began["scientificMetadata"], patch["scientificMetadata"])}
    assert mapping.is_over(both)
    whole = MAPPING.dataset(ended, whose, "v4")["scientificMetadata"]
    assert set(both["scientificMetadata"]) >= set(began["scientificMetadata"]) | set(whole)
    # There is nothing left to do, but where null would have deleted.
    assert "scientificMetadata" not in MAPPING.changes(ended, both, whose, "v4")


@given(groups, groups)
def test_what_a_write_has_undone_is_known(old, new):
    before = mapped(message("began", UUID, scientificMetadata=old))["scientificMetadata"]
    wanted = mapped(message("ended", UUID, scientificMetadata=new))["scientificMetadata"]
    patch = difference(before, wanted)
    assert undone(patch, before, merged(before, patch)) == {}
    assert merged(before, undone(patch, before, before)) == merged(before, patch)
    assert missing(before, {}) == difference({}, before)
    assert missing(before, before) == {}


def test_whole_numbers_that_javascript_rounds_have_their_digits_beside_them():
    given = {
        "Time": value(2**53 + 1, "ns", end=2**63 - 1),
        "Counts": value([1, -(2**60)], value_max=2**53 + 3),
        "Small": value(2**53, end=True),
    }
    found = mapped(message("ended", UUID, scientificMetadata=given))["scientificMetadata"]
    assert (found["Time"]["value"], found["Time"]["exact"]) == (2**53 + 1, "9007199254740993")
    assert found["Time"]["end_exact"] == "9223372036854775807"
    assert found["Counts"]["exact"] == "[1, -1152921504606846976]"
    assert found["Counts"]["_value_max_exact"] == "9007199254740995"
    assert not [key for key in found["Small"] if "exact" in key]
    # Beside value and unit no key begins with u or v: SciCat would take it for the value.
    assert {key for leaf in found.values() if "value" in leaf for key in leaf if key[0] in "uv"} == {"value", "unit"}


def test_a_name_that_scicat_would_decode_is_another_one():
    given = {"a%2Eb": value(1), "50%": value(2)}
    found = mapped(message("ended", UUID, scientificMetadata=given))["scientificMetadata"]
    assert found.keys() - {"scan"} == {"a_2Eb", "50%"}


# ------------------------------------------------------------------------- merge-patches

patches = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from("abc"), patches.filter(lambda each: each is not None), max_size=3)


@given(documents, st.dictionaries(st.sampled_from("abc"), patches), st.dictionaries(st.sampled_from("abc"), patches))
def test_two_merge_patches_are_one(document, first, second):
    def agree(one, other):  # a value in the place of a group is no patch that is made here
        return all(
            isinstance(one[name], dict) == isinstance(other[name], dict)
            and (not isinstance(one[name], dict) or agree(one[name], other[name]))
            for name in one.keys() & other.keys()
        )

    assume(agree(first, second))
    assert merged(document, united(first, second)) == merged(merged(document, first), second)
