"""How a dataset becomes the text of the scan log."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taurus_widgets.scanlog.data import columns as cols

Json = dict[str, object]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=12,
)
LEAF = st.dictionaries(
    st.sampled_from(["value", "unit", "human_name", "error", "shape", "min", "max", "mean", "end", "time", "source"]),
    JSON,
    max_size=6,
)
FIELDS = [
    *("pid", "datasetName", "proposalId", "sampleId", "creationTime", "endTime", "comment", "runNumber"),
    *("dataQualityMetrics", "numberOfFiles", "sourceFolder", "owner", "description"),
]
GROUP = st.dictionaries(st.sampled_from(["status", "title", "points", "scan_id", "user"]), LEAF | JSON)
METADATA = JSON | st.dictionaries(st.sampled_from(["scan", "Machine"]), GROUP | JSON)


def local(text: str) -> dt.datetime:
    found = cols.moment(text)
    assert found is not None
    return found


def with_leaf(**leaf: object) -> Json:
    return {"scientificMetadata": {"Machine": {"Ring current": leaf}}}


class TestAnything:
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)), METADATA)
    def test_any_json_becomes_one_line_of_printable_text(self, dataset: Json, metadata: object) -> None:
        dataset["scientificMetadata"] = metadata
        columns = [*cols.default_columns(), cols.metadata_column("Machine/title")]
        for column in columns:
            text = column.named_by(dataset).text(dataset)
            assert text == "" or text.isprintable()
            column.tip(dataset)

    def test_control_and_direction_characters_are_removed(self) -> None:
        assert cols.line("two\nlines\t\x1b[31mred\x00 \u202eleft\ud800") == "two lines [31mred left"


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (499.89742, "499.897"),
            (12.0, "12"),
            (0.1 + 0.2, "0.3"),
            (1.5e-7, "1.5e-07"),
            (123456789, "123456789"),
            (True, "true"),
            ("NaN", "NaN"),
            (None, ""),
        ],
    )
    def test_six_digits(self, value: object, text: str) -> None:
        assert cols.number(value) == text

    def test_a_short_list_is_shown_in_full_and_a_long_one_as_a_summary(self) -> None:
        assert cols.value_text([0.5, 0.25]) == "0.5, 0.25"
        assert cols.value_text([3, 1, 2, 5, 4]) == "5 values, 1 to 5"
        assert cols.value_text(list("abcde")) == "5 values: a, b, …"


class TestTimes:
    TODAY = dt.date(2026, 11, 21)

    def test_today_has_no_date(self) -> None:
        text = "2026-11-21T13:02:11.300Z"
        assert cols.clock(text, local(text).date()) == f"{local(text):%H:%M:%S}"

    def test_other_days_have_one(self) -> None:
        assert cols.clock("2026-11-09T12:02:11Z", self.TODAY) == f"9 Nov {local('2026-11-09T12:02:11Z'):%H:%M:%S}"
        assert cols.clock("2025-11-09T12:02:11Z", self.TODAY) == "9 Nov 2025"

    @pytest.mark.parametrize("text", [None, "", "yesterday", 5, "0001-01-01T00:00:00+14:00"])
    def test_an_invalid_time_is_empty(self, text: object) -> None:
        assert cols.clock(text) == ""

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0.04, "0.0 s"),
            (12.34, "12.3 s"),
            (59.94, "59.9 s"),
            (59.96, "1 min 00 s"),
            (245, "4 min 05 s"),
            (3720, "1 h 02 min"),
            (360_000, "100 h 00 min"),
        ],
    )
    def test_durations(self, seconds: float, text: str) -> None:
        assert cols.duration(seconds) == text

    def test_a_running_scan_has_its_duration_until_now(self) -> None:
        running: Json = {
            "creationTime": "2026-11-21T12:00:00.000Z",
            "scientificMetadata": {"scan": {"status": {"value": "running", "unit": ""}}},
        }
        now = dt.datetime(2026, 11, 21, 12, 0, 41, 900_000, tzinfo=dt.UTC)
        assert cols.duration_text(running, now) == "41 s"
        assert cols.duration_text({**running, "endTime": "2026-11-21T12:00:12.300Z"}, now) == "12.3 s"
        assert cols.duration_text({"creationTime": running["creationTime"]}, now) == ""


class TestRating:
    @pytest.mark.parametrize(
        ("given", "stars"),
        [(None, ""), (0, ""), (0.5, "½☆☆"), (1, "★☆☆"), (1.5, "★½☆"), (3, "★★★"), (99, "★★★"), ("3", ""), (True, "")],
    )
    def test_stars(self, given: object, stars: str) -> None:
        assert cols.stars({"dataQualityMetrics": given}) == stars


class TestMetadataColumns:
    def test_the_header_has_name_and_unit_once_a_dataset_has_them(self) -> None:
        column = cols.metadata_column("Machine/Ring current")
        assert column.title == "Ring current"
        assert column.named_by(with_leaf(value=None, error="no answer")).title == "Ring current"
        named = column.named_by(with_leaf(value=500.1, unit="mA", human_name="Current"))
        assert named.title == "Current (mA)"
        assert named.hint == "Machine / Ring current"
        assert named.key == column.key

    def test_the_unit_is_in_the_cell_only_where_it_is_not_the_headers(self) -> None:
        column = cols.metadata_column("Machine/Ring current").named_by(with_leaf(value=500.1, unit="mA"))
        assert column.text(with_leaf(value=499.5, unit="mA")) == "499.5"
        assert column.text(with_leaf(value=0.4995, unit="A")) == "0.4995 A"

    def test_an_unread_value_is_shown_as_not_read(self) -> None:
        column = cols.metadata_column("Machine/Ring current")
        for value in (None, ""):
            dataset = with_leaf(value=value, unit="mA", error="DEVICE_TIMEOUT")
            assert column.text(dataset) == "not read"
            assert column.tip(dataset) == "Could not be read: DEVICE_TIMEOUT"

    def test_start_and_end_and_arrays(self) -> None:
        column = cols.metadata_column("Machine/Ring current")
        assert column.text(with_leaf(value=1.5, unit="", end=2.5)) == "1.5 → 2.5"
        assert column.text(with_leaf(value=1.5, unit="", end=1.5)) == "1.5"
        image = with_leaf(value=None, unit="", shape=[1024, 768], min=0, max=65535, mean=12.3)
        assert column.text(image) == "1024 by 768 values, 0 to 65535, mean 12.3"

    @pytest.mark.parametrize("path", ["", "/", "Machine/", "Machine//x"])
    def test_a_path_with_an_empty_part_is_refused(self, path: str) -> None:
        with pytest.raises(ValueError, match="GROUP/NAME"):
            cols.metadata_column(path)


class TestFields:
    def test_a_path_is_requested_as_scicat_stores_it(self) -> None:
        fields = cols.fields_of([cols.metadata_column("Machine/Ring current")])
        assert "scientificMetadata.Machine.Ring%20current" in fields
        assert "scientificMetadata.Machine.Ring current" in fields
        assert cols.metadata_column("a.b/c").fields == ("scientificMetadata.a%2Eb.c",)

    def test_no_field_lies_within_another(self) -> None:
        fields = cols.fields_of([*cols.default_columns(), cols.metadata_column("scan")])
        assert "scientificMetadata.scan" in fields
        assert "scientificMetadata.scan.status" not in fields


class TestKeys:
    @pytest.mark.parametrize(
        ("typed", "path"),
        [
            ("Machine/Ring current", ("Machine", "Ring current")),
            (" Machine / Ring current ", ("Machine", "Ring current")),
            ("energy", ("energy",)),
            ("/energy", ("energy",)),
            ("Machine %2F Ring/x", ("Machine / Ring", "x")),
            ("Yield/50%", ("Yield", "50%")),
        ],
    )
    def test_a_typed_path(self, typed: str, path: tuple[str, ...]) -> None:
        column = cols.metadata_column(typed)
        assert column.path == path
        assert cols.column_of(column.key).path == path

    @given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
    def test_any_path_has_a_key_of_its_own(self, path: list[str]) -> None:
        key = cols.key_of(path)
        assert "/" in key
        assert cols.path_of(key) == tuple(path)

    @given(st.text(alphabet=st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1))
    def test_any_other_key_is_a_field(self, key: str) -> None:
        assert cols.column_of(key).path == ()
        assert key in cols.column_of(key).fields or key in {column.key for column in cols.default_columns()}


class TestAnyField:
    DATASET: Json = {
        "ownerGroup": "20250001-group",
        "updatedAt": "2001-02-03T04:05:06.000Z",
        "keywords": ["SAXS", "protein"],
        "datasetlifecycle": {"archivable": True, "id": 3, "a": 1, "b": 2, "c": 3},
        "size": 12345,
    }

    @pytest.mark.parametrize(
        ("key", "title", "text", "kind"),
        [
            ("ownerGroup", "Owner group", "20250001-group", cols.Kind.TEXT),
            ("keywords", "Keywords", "SAXS, protein", cols.Kind.TEXT),
            ("datasetlifecycle", "Datasetlifecycle", "5 entries: archivable: true, id: 3, …", cols.Kind.TEXT),
            ("size", "Size", "12345", cols.Kind.NUMBER),
            ("notThere", "Not there", "", cols.Kind.TEXT),
        ],
    )
    def test_any_field_can_be_a_column(self, key: str, title: str, text: str, kind: cols.Kind) -> None:
        column = cols.column_of(key)
        assert (column.title, column.text(self.DATASET), column.kind) == (title, text, kind)

    def test_times_are_local(self) -> None:
        column = cols.column_of("updatedAt")
        assert "2001" in column.text(self.DATASET)
        assert column.tip(self.DATASET).startswith("2001-02-0")

    def test_the_default_columns_are_found_by_their_keys(self) -> None:
        assert [cols.column_of(column.key).title for column in cols.default_columns()] == [
            column.title for column in cols.default_columns()
        ]


class TestTables:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ([[1, 2, 3], [4, 5, 6.5]], "2 by 3 values, 1 to 6.5"),
            ([[1, 2], [3, 4]], "[1, 2], [3, 4]"),
            ([[1, 2, 3, 4, 5], [1]], "[5 values, 1 to 5], [1]"),
            ([["a", "b", "c"], ["d", "e", "f"]], "2 by 3 values: a, b, …"),
            ([{"x": 1, "y": 2}] * 5, "5 rows of x, y"),
            ({"x": [1, 2, 3, 4, 5], "y": [0.5]}, "x: 5 values, 1 to 5, y: 0.5"),
            ([[[0] * 4] * 3] * 2, "2 by 3 by 4 values, 0 to 0"),
            ([[], []], "[], []"),
        ],
    )
    def test_a_table_is_a_summary(self, value: object, text: str) -> None:
        assert cols.value_text(value) == text

    def test_a_text_is_at_the_left_and_a_number_at_the_right(self) -> None:
        column = cols.metadata_column("Machine/Ring current")
        assert column.named_by(with_leaf(value="open", unit="")).kind is cols.Kind.TEXT
        assert column.named_by(with_leaf(value=1.5, unit="mA")).kind is cols.Kind.NUMBER
        assert column.named_by(with_leaf(value=1.5, unit="mA")).group == "Machine"


def test_a_whole_number_that_scicat_rounds_is_shown_with_its_digits():
    leaf = {"value": 2**53, "unit": "ns", "exact": str(2**53 + 1)}
    assert cols.leaf_text(leaf) == "9007199254740993"
    moved = {**leaf, "end": 2**53, "end_exact": str(2**53 + 3)}  # SciCat has rounded both to the same number
    assert cols.leaf_text(moved) == "9007199254740993 → 9007199254740995"
    assert cols.leaf_text({"value": "a", "unit": "", "exact": "5"}) == "a"
    assert cols.leaf_text({"value": 7, "unit": "", "exact": "yes"}) == "7"
