"""All fields and metadata of a dataset, line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taurus_widgets.scanlog.data.detail_lines import DetailLine, detail_lines, is_cut, size_text, whole_text

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
LEAF = st.fixed_dictionaries(
    {"value": JSON},
    optional=dict.fromkeys(("unit", "human_name", "error", "end", "min", "max", "shape", "source", "time"), JSON),
)
GROUP = st.dictionaries(st.text(), LEAF | JSON, max_size=4)
METADATA = st.dictionaries(st.text(), LEAF | JSON | GROUP, max_size=4) | JSON


def lines(detail: DetailLine) -> list[DetailLine]:
    return [detail, *(line for inner in detail.inside for line in lines(inner))]


@given(METADATA)
def test_any_metadata_has_entries_of_one_line_each(metadata: object) -> None:
    for detail in detail_lines({"scientificMetadata": metadata, "keywords": metadata}):
        for each in lines(detail):
            for text in (each.name, each.value, each.unit):
                assert text == "" or text.isprintable()
            assert isinstance(is_cut(each), bool)


@given(JSON)
def test_any_value_is_shown_in_full_without_control_characters(value: object) -> None:
    assert all(char.isprintable() or char in "\n\t" for char in whole_text(value))


def test_a_list_has_one_value_per_line_and_a_table_has_tabs() -> None:
    assert whole_text([1, 2.5, 0.1 + 0.2, True]) == "1\n2.5\n0.30000000000000004\ntrue"
    assert whole_text([[1, 2], [3, 4]]) == "1\t2\n3\t4"
    assert whole_text({"a": [1]}) == '{\n "a": [\n  1\n ]\n}'
    assert whole_text("two\nlines\x1b[31m") == "two\nlines [31m"


def test_a_long_list_is_cut_and_a_short_one_is_not() -> None:
    found = detail_lines({"scientificMetadata": {"Spectrum": {"value": list(range(65)), "unit": "ct"}, "Two": [1, 2]}})
    spectrum, two = found[1], found[2]
    assert (spectrum.value, spectrum.unit, is_cut(spectrum)) == ("65 values, 0 to 64", "ct", True)
    assert (two.value, is_cut(two)) == ("1, 2", False)
    assert spectrum.whole == list(range(65))


def test_the_extras_of_a_value_have_its_unit() -> None:
    leaf = {"value": 293.1, "unit": "K", "end": 318.7, "mean": 306, "samples": 12}
    temperature = detail_lines({"scientificMetadata": {"Temperature": leaf}})[1]
    assert [(inner.name, inner.value, inner.unit) for inner in temperature.inside] == [
        ("end", "318.7", "K"),
        ("mean", "306", "K"),
        ("samples", "12", ""),
    ]


@pytest.mark.parametrize(
    ("words", "fits"),
    [("ring", True), ("500.1 ma", True), ("MACHINE ring", True), ("dcct", True), ("kev", False), ("", True)],
)
def test_all_words_are_somewhere_in_the_line(words: str, fits: bool) -> None:
    detail = DetailLine("Ring current", "500.12", "mA", tip="r3-319s2/dia/dcct-01/InstantaneousCurrent")
    assert detail.fits(words.casefold().split(), "Machine") is fits


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1_234_567, "1.23 MB"),
        (999_600_000, "1 GB"),
        (5e12, "5 TB"),
        (2e15, "2,000 TB"),
        (-1, ""),
        ("12", ""),
        (True, ""),
        (None, ""),
    ],
)
def test_sizes(size: object, text: str) -> None:
    assert size_text(size) == text
