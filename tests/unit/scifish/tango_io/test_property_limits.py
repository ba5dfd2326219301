"""What the Tango database keeps, against a model of what was found on the C++ one."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from scifish.settings.entries import line_of, parse_entries
from scifish.tango_io.property_limits import MAX_NAME_CHARACTERS, MAX_PROPERTY_LINE_BYTES, folded, storage_problems

LINE = st.text(max_size=60) | st.lists(st.sampled_from(["\\", "'", '"', "a", "µ", "\0", "\n", "\ud800"])).map("".join)


def kept(line: str) -> str | None:
    """As the C++ database has it afterwards; None if it refuses the line, or ends it early."""
    try:
        size = len(line.encode("utf-8"))
    except UnicodeEncodeError:
        return None
    if size > 65_535 or set(line) & {"\0", "\n", "\r"}:
        return None
    return line.replace('\\"', '"').replace("\\'", "'")


@given(LINE)
def test_what_is_reported_as_kept_is_kept_and_nothing_else(line: str) -> None:
    assert (storage_problems("Config.x", [line]) == []) == (kept(line) == line)


@given(st.integers(-2, 2), st.sampled_from(["a", "µ", "波", "😀"]))
def test_a_line_has_its_bytes_and_no_more(over: int, letter: str) -> None:
    count = MAX_PROPERTY_LINE_BYTES // len(letter.encode()) + over
    line = letter * count
    assert (storage_problems("x", [line]) == []) == (len(line.encode()) <= MAX_PROPERTY_LINE_BYTES)


def test_each_line_is_reported_by_its_number_and_a_name_by_its_length() -> None:
    problems = storage_problems("n" * (MAX_NAME_CHARACTERS + 1), ["good", "bad\0", "good", '\\"'])
    assert [problem.partition(":")[0] for problem in problems[1:]] == ["line 2", "line 4"]
    assert f"{MAX_NAME_CHARACTERS} are possible" in problems[0]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_names_that_are_one_property_are_folded_to_one(name: str) -> None:
    once = folded(name)
    for other in (name + " ", unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)):
        assert folded(other) == once


def test_names_of_another_case_or_accent_are_one() -> None:
    assert folded("Config.\xc9t\xe9 ") == folded("CONFIG.ete") != folded("Config.eta")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(str.strip))
def test_what_we_write_is_kept_whatever_the_name(name: str) -> None:
    line = line_of({"name": name, "source": "a/b/c/d", "map": {name: name}})
    assert kept(line) == line
    assert storage_problems("Config.x", [line]) == []
    assert parse_entries([line])[0][0].name == name.strip()
