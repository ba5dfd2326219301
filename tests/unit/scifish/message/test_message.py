"""The message: what JSON carries of a value, and the bounds of the whole."""

import datetime as dt
import enum
import json
import math
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scifish import message
from scifish.dataset import compose
from scifish.dataset.compose import Observed, Record
from scifish.dataset.files import describe
from scifish.settings import Settings

ORIGIN = {"host": "h", "program": "p", "version": "1", "run": "r"}
SETTINGS = Settings(beamline="cosaxs", topic="scifish-cosaxs")
NOW = 1_800_000_000.25
UUID = "0d1c950f-5492-5d5f-b66c-f788b18d1ef1"


class Mode(enum.Enum):
    AUTO = 2


def test_times_are_utc_with_z() -> None:
    assert message.iso(0) == "1970-01-01T00:00:00.000Z"
    assert message.iso_of("2021-11-27T14:29:06.900250") == "2021-11-27T14:29:06.900Z"
    assert message.iso_of("2021-11-27T14:29:06+01:00") == "2021-11-27T13:29:06.000Z"
    assert message.iso_of(dt.datetime(2021, 1, 1, tzinfo=dt.UTC)) == "2021-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (numpy.float32(0.5), 0.5),
        (numpy.int64(7), 7),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (numpy.array([1.0, numpy.nan]), [1.0, "NaN"]),
        (numpy.bool_(True), True),
        (Mode.AUTO, "AUTO"),
        (b"ab\xff", "ab\N{REPLACEMENT CHARACTER}"),
        ("file\udcff", "file\\udcff"),
        ((1, None), [1, None]),
        ({1: {"a": 2}}, {"1": {"a": 2}}),
        (dt.datetime(2021, 1, 1, tzinfo=dt.UTC), "2021-01-01T00:00:00.000Z"),
    ],
)
def test_what_json_carries(value: Any, carried: Any) -> None:
    assert message.plain(value) == carried
    assert type(message.plain(value)) is type(carried)


def test_long_arrays_are_summarised() -> None:
    assert message.array_fields(numpy.arange(64)) == {"value": list(range(64))}
    found = message.array_fields(numpy.arange(10_000.0).reshape(100, 100))
    assert found == {"value": None, "shape": [100, 100], "min": 0.0, "max": 9999.0, "mean": 4999.5}
    assert message.array_fields(numpy.array([1, 5, 255], dtype="uint8"), 2) == {
        "value": None,
        "shape": [3],
        "min": 1,
        "max": 255,
        "mean": 87.0,
    }
    some = message.array_fields(numpy.array([numpy.nan, 1.0, numpy.inf, 3.0]), 2)
    assert some == {"value": None, "shape": [4], "min": 1.0, "max": 3.0, "mean": 2.0}
    assert message.array_fields(numpy.array([numpy.nan] * 3), 2) == {"value": ["NaN", "NaN"], "shape": [3]}
    assert message.array_fields([1, 2.5, None, True], 2)["max"] == 2.5
    texts = message.array_fields(["a"] * 100, 10)
    assert texts == {"value": ["a"] * 10, "shape": [100]}


def test_metadata_of_a_program_become_values_and_groups() -> None:
    found = message.as_metadata(
        {"energy": {"value": 12.4, "unit": "keV"}, "plain": 3, "a group": {"x": {"value": None}}}, "mxcube", "T"
    )
    assert found["energy"] == {"value": 12.4, "unit": "keV", "human_name": "energy", "source": "mxcube", "time": "T"}
    assert found["plain"]["unit"] == ""
    assert found["a group"]["x"]["value"] is None
    assert [path for path, _ in message.leaves(found)] == ["energy", "plain", "a group/x"]


def record(**said: Any) -> Record:
    return Record(UUID, NOW, compose.as_given(said, NOW, "p"), observed=Observed(values={}))


def ended(files: list[message.Message], **given: Any) -> message.Message:
    done = record(**given)
    done.ending = compose.ending("completed", NOW + 1, 3)
    return {**compose.ended(done, files, SETTINGS, ORIGIN), "seq": 1}


def test_every_type_is_of_the_schema() -> None:
    message.check({**compose.began(record(datasetName=17), SETTINGS, ORIGIN), "seq": 1})
    message.check(ended([{"path": "/a", "time": message.iso(NOW), "size": 0}]))
    single = record()
    single.single, single.ending = True, compose.ending("completed", NOW, 0)
    message.check({**compose.ended(single, [], SETTINGS, ORIGIN), "seq": 2})
    message.check({**compose.annotation(UUID, {"rating": 2.5}, NOW, "", SETTINGS, ORIGIN), "seq": 3})


def test_a_wrong_message_is_reported_by_its_field() -> None:
    with pytest.raises(message.MessageError, match=r'^status: "over" is not one of'):
        message.check({**ended([]), "status": "over"})
    with pytest.raises(message.MessageError, match=r"^annotation/rating"):
        message.check({**compose.annotation(UUID, {"rating": 9}, NOW, "", SETTINGS, ORIGIN), "seq": 3})
    for wrong in (b"{", b'{"seq": NaN}', b"\xff", b'{"seq": 1e999}'):
        with pytest.raises(message.MessageError, match="not JSON"):
            message.decode(wrong)
    with pytest.raises(message.MessageError, match="not JSON"):
        message.decode(b"[" * 100_000)


def test_what_the_program_says_goes_before_pathfixer() -> None:
    said = record(sampleId="mine")
    said.observed = Observed(place={"sampleId": "theirs", "proposalId": "20250001"}, values={})
    found = compose.began(said, SETTINGS, ORIGIN)
    assert (found["sampleId"], found["proposalId"]) == ("mine", "20250001")


def test_no_value_is_lost_to_a_name_that_is_taken() -> None:
    both = record(scientificMetadata={"Machine": {"current": 1, "other": 2}, "x": 3})
    both.observed = Observed(
        values=message.as_metadata({"Machine": {"current": 5}, "x": {"deeper": 6}}, "tango", message.iso(NOW))
    )
    found = compose.began(both, SETTINGS, ORIGIN)["scientificMetadata"]
    values = {path: leaf["value"] for path, leaf in message.leaves(found)}
    assert values == {"Machine/current": 5, "Machine/current (p)": 1, "Machine/other": 2, "x/deeper": 6, "x (p)": 3}


def test_a_long_list_of_files_goes_in_parts_that_fit() -> None:
    files = [{"path": f"/data/{'x' * 100}/{n}.h5", "time": message.iso(NOW), "size": n} for n in range(20_000)]
    whole = ended(files, scientificMetadata={"a": 1})
    parts = message.bounded(whole)
    assert len(parts) > 1
    assert [part["part"] for part in parts] == [{"number": n + 1, "of": len(parts)} for n in range(len(parts))]
    assert [file for part in parts for file in part["files"]] == files
    assert parts[0]["scientificMetadata"] == whole["scientificMetadata"]
    assert all(part["scientificMetadata"] == {} for part in parts[1:])
    for part in parts:
        message.check(part)
        assert len(message.encode(part)) <= message.MAX_MESSAGE_BYTES


def test_metadata_that_do_not_fit_say_so() -> None:
    huge = {f"text {n}": "é" * 19_000 for n in range(60)}
    (found,) = message.bounded(ended([], scientificMetadata={**huge, "small": 1}))
    assert len(message.encode(found)) <= message.MAX_MESSAGE_BYTES
    message.check(found)
    assert found["scientificMetadata"]["small"]["value"] == 1
    assert len(found["scientificMetadata"]) == 61
    left_out = [path for path, leaf in message.leaves(found["scientificMetadata"]) if "error" in leaf]
    assert left_out
    assert len(left_out) == len(found["warnings"])


def test_many_small_values_that_do_not_fit_say_so_too() -> None:
    many = {f"value number {n}": n for n in range(12_000)}
    said = ended([], scientificMetadata={"group": many}, environment={"title": "t", "log": ["x" * 100] * 9_000})
    (found,) = message.bounded(said)
    assert len(message.encode(found)) <= message.MAX_MESSAGE_BYTES
    message.check(found)
    kept = len(list(message.leaves(found["scientificMetadata"])))
    assert 0 < kept < 12_000
    assert found["environment"]["title"] == "t"
    assert len(found["warnings"]) == 2
    assert found["warnings"][1].startswith(f"{12_000 - kept} of 12000 values are left out")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


LEAFLIKE = st.dictionaries(
    st.sampled_from(["value", "unit", "time", "human_name", "source", "error", "samples", "shape", "min", "quality"]),
    ANYTHING,
)
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "datasetName": ANYTHING,
        "proposalId": ANYTHING,
        "sampleId": ANYTHING,
        "sourceFolder": ANYTHING,
        "scientificMetadata": ANYTHING | st.dictionaries(st.text(max_size=8), ANYTHING | LEAFLIKE, max_size=6),
        "environment": ANYTHING
        | st.dictionaries(st.sampled_from(["title", "scanID", "detectors", "motors", "user", "x"]), ANYTHING),
        "files": ANYTHING | st.lists(st.dictionaries(st.sampled_from(["path", "time", "size", "error"]), ANYTHING)),
    },
)


@given(GIVEN)
@example({"datasetName": "x", "files": [{"path": "a", "time": 67_768_036_191_676_796}]})
def test_whatever_a_program_gives_becomes_a_message_of_the_schema(given: dict[str, Any]) -> None:
    said = record(**given)
    files = [describe(file, NOW) for file in compose.as_list(said.given.get("files"))]
    said.ending = compose.ending("failed", NOW, 0)
    for made in (compose.began(said, SETTINGS, ORIGIN), compose.ended(said, files, SETTINGS, ORIGIN)):
        whole = {**made, "seq": 1}
        assert message.decode(message.encode(whole)) == json.loads(message.encode(whole))
        assert all("value" in leaf for _, leaf in message.leaves(whole["scientificMetadata"]))


# By name, so that what hypothesis shows of a case can be read.
TEXTS = {
    "": "",
    "short": "a ü",
    "nulls": "\x00" * 30_000,
    "faces": "😀" * 30_000,
    "long": "x" * 5_000,
    "half": "\ud800",
}
NAMED = st.sampled_from(sorted(TEXTS))
BULKY = st.recursive(
    st.integers() | st.floats() | NAMED,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
SAID = st.fixed_dictionaries(
    {
        "texts": st.fixed_dictionaries(
            {
                name: NAMED
                for name in ("datasetName", "proposalId", "sampleId", "sourceFolder", "dataFormat", "description")
            }
        ),
        "field": BULKY,
        "fields": st.sampled_from([0, 5, 40]),
        "group": NAMED,
        "value": BULKY,
        "values": st.sampled_from([0, 3, 40]),
        "path": NAMED,
        "files": st.sampled_from([0, 1, 20]),
    }
)


def _written_out(value: Any) -> Any:
    if isinstance(value, str):
        return TEXTS[value]
    if isinstance(value, list):
        return [_written_out(inner) for inner in value]
    return {name: _written_out(inner) for name, inner in value.items()} if isinstance(value, dict) else value


@settings(suppress_health_check=list(HealthCheck))
@given(SAID)
def test_every_piece_is_valid_and_bounded_and_nothing_is_missing_unsaid(how: dict[str, Any]) -> None:
    field, value = _written_out(how["field"]), _written_out(how["value"])
    said = {
        **_written_out(how["texts"]),
        "environment": {f"e{n}": field for n in range(how["fields"])},
        "scientificMetadata": {TEXTS[how["group"]]: {f"{n}": value for n in range(how["values"])}, "last": value},
        "files": [f"{TEXTS[how['path']]}/{n}" for n in range(how["files"])],
    }
    done = record(**said)
    done.ending = compose.ending("completed", NOW, 0)
    files = [{"path": str(message.plain(path)), "time": message.iso(NOW), "size": 0} for path in said["files"]]
    whole = {**compose.ended(done, files, SETTINGS, ORIGIN), "seq": 1}
    parts = message.bounded(whole)
    assert [file for part in parts for file in part["files"]] == files
    assert len({part["uuid"] for part in parts}) == 1
    for part in parts:
        message.check(part)
        assert message.decode(message.encode(part)) == part
        assert len(message.encode(part)) <= message.MAX_MESSAGE_BYTES
    first = {**parts[0], "files": [], "warnings": [], "part": None}
    told = parts[0].get("warnings", [])
    if first != {**whole, "files": [], "warnings": [], "part": None}:
        assert told, "something is cut, and that is not said"
    else:
        assert told == whole.get("warnings", [])


@given(st.dictionaries(st.text(max_size=20), BULKY | LEAFLIKE, max_size=6))
def test_all_that_a_program_names_is_there(given: dict[str, Any]) -> None:
    problems: list[str] = []
    found = message.as_metadata(given, "p", message.iso(NOW), problems)
    assert len(found) == len(given), "no name hides another"
    message.encode(found)
    for name, value in given.items():
        if isinstance(value, str) and len(name) < 100 and name.isascii():
            assert found[name]["value"] == message.plain(value)


def test_names_that_read_the_same_do_not_hide_each_other() -> None:
    assert message.plain({1: "a", "1": "b", "1 (2)": "d"}) == {"1": "a", "1 (2)": "b", "1 (2) (2)": "d"}
    assert list(message.as_metadata({None: 1, "None": 2}, "p", "T")) == ["None", "None (2)"]


def test_too_many_small_fields_of_the_environment_are_left_out_and_that_is_reported() -> None:
    environment = {"title": "t", **{f"field number {n}": n for n in range(60_000)}}
    (found,) = message.bounded(ended([], environment=environment, description="é" * 19_000))
    message.check(found)
    assert len(message.encode(found)) <= message.MAX_MESSAGE_BYTES
    assert found["environment"]["title"] == "t"
    missing = len(environment) - len(found["environment"])
    assert f"{missing} of its fields are left out" in " ".join(found["warnings"])


def test_names_that_fit_into_no_message_are_left_out_and_that_is_reported() -> None:
    groups = {f"{n}" + "é" * 15_000: {} for n in range(60)}
    (found,) = message.bounded(ended([], scientificMetadata=groups))
    assert found["scientificMetadata"] == {}
    assert "scientificMetadata: all of it is left out, because it does not fit into the message" in found["warnings"]


def test_an_integer_that_no_reader_of_json_can_take_is_text() -> None:
    assert message.plain(2**1023 - 1) == 2**1023 - 1
    assert message.plain(2**1023) == hex(2**1023)
    assert message.plain(-(10**30_000)).endswith("characters)")


def test_long_texts_make_room_for_the_files_and_that_is_reported() -> None:
    names = ("datasetName", "proposalId", "sampleId", "sourceFolder", "dataFormat", "description")
    files = [{"path": "\x00" * 15_000 + str(n), "time": message.iso(NOW), "size": n} for n in range(10)]
    parts = message.bounded(ended(files, **{name: "\x00" * 19_000 for name in names}))
    assert [file for part in parts for file in part["files"]] == files
    for part in parts:
        message.check(part)
        assert len(message.encode(part)) <= message.MAX_MESSAGE_BYTES
        assert part["description"] == "\x00" * 2000 + "... (19000 characters)"
        assert part["warnings"] == ["long texts are cut, because they do not fit into the message"]


def test_fields_of_a_program_are_normalised_once() -> None:
    given = compose.as_given(
        {
            "proposalId": 20250001,
            "description": "x" * 30_000,
            "environment": {"scanID": 1.5, "detectors": "d", "a": None},
        },
        NOW,
        "p",
    )
    assert given["proposalId"] == "20250001"
    assert given["description"].endswith("... (30000 characters)")
    assert given["environment"] == {"scanID": "1.5", "detectors": ["d"]}
    found = compose.began(Record(UUID, NOW, given, observed=Observed(values={})), SETTINGS, ORIGIN)
    assert [found[name] for name in ("proposalId", "description", "environment")] == [
        given[name] for name in ("proposalId", "description", "environment")
    ]
