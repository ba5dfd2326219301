"""Configurations as tables: what spreadsheets write, and what they may be given."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scifish.configurations.table_file import TableError, csv_from_lines, decoded, lines_from_csv, lines_from_text
from scifish.settings.entries import ENTRY_KEYS, RECORD_WHEN, checked, line_of, parse_entries
from scifish.tango_io.property_limits import storage_problems

ROWS = [
    ["name", "source", "group", "unit", "map", "record"],
    ["Ring current", "r3-319s2/dia/dcct-01/InstantaneousCurrent", "Machine", "mA", "", ""],
    ["Shutter", "b311a/o/shutter-01/State", "Optics", "", "OPEN: open, CLOSE: closed", "start, end"],
    ["Motor å", "b311a/o/mot-01/Position", "Optics", "µm", "{4: insert}", "start end statistics"],
]
LINES = [
    "- {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, group: Machine, unit: mA}",
    "- {name: Shutter, source: b311a/o/shutter-01/State, group: Optics, "
    "map: {OPEN: open, CLOSE: closed}, record: [start, end]}",
    "- {name: Motor å, source: b311a/o/mot-01/Position, group: Optics, unit: µm, "
    "map: {4: insert}, record: [start, end, statistics]}",
]


def as_csv(rows: list[list[str]], separator: str = ",", end: str = "\r\n") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=end).writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_as_excel_and_others_write_it(separator: str, encoding: str, end: str) -> None:
    data = as_csv(ROWS, separator, end).encode(encoding)
    assert lines_from_csv(decoded(data)) == LINES


def test_columns_in_any_order_with_others_between_and_blank_rows() -> None:
    order = [3, 1, 5, 0, 2, 4]
    rows = [[*(row[place] for place in order), "a remark, for people"] for row in ROWS]
    rows[0] = [*(f" {name.upper()} " for name in rows[0][:-1]), "Remark"]
    rows[2:2] = [[""] * 7, []]
    assert lines_from_csv("\r\n" + as_csv(rows)) == LINES


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_excels_own_hint_for_the_separator(separator: str) -> None:
    assert lines_from_csv(f"sep={separator}\r\n" + as_csv(ROWS, separator)) == LINES


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the table is empty"),
        ("name,group\r\nx,y\r\n", "line 1: source not found; the first line names the columns"),
        ("x,a/b/c/d\r\n", "line 1: name and source not found"),
        ("name,source,naem\r\nx,a/b/c/d,\r\n", "line 1: column 'naem': did you mean name?"),
        ("name,source,name\r\nx,a/b/c/d,y\r\n", "line 1: several columns have the name name"),
        ("name,source\r\nx,a/b/c\r\n\r\ny,\r\n", "line 2: x: source 'a/b/c' is not of the form"),
        ("name,source\r\nx,a/b/c\r\n\r\ny,\r\n", "line 4: y: source is missing"),
        ("name,source\r\nx,a/b/c/d\r\nx,a/b/c/e\r\n", "line 3: the name 'x' is taken by line 2"),
        ("name,source\r\nx,a/b/c/d,mm\r\n", "line 2: there are 3 cells, and 2 columns"),
        ("name,source,map\r\nx,a/b/c/d,4 insert\r\n", "line 2: map '4 insert' is not of the form"),
        ('name,source,map\r\nx,a/b/c/d,"{4: [insert"\r\n', "line 2: map '{4: [insert' is not of the form"),
        ("name,source,record\r\nx,a/b/c/d,stop\r\n", "line 2: x: record 'stop' is not one of start, end, statistics"),
        ("name,source\r\n", "there is no entry below the line with the names of the columns"),
    ],
)
def test_each_mistake_is_reported_with_its_line(text: str, says: str) -> None:
    with pytest.raises(TableError) as caught:
        lines_from_csv(text)
    assert says in str(caught.value)


def test_a_file_that_is_not_text() -> None:
    with pytest.raises(TableError, match="not a text of UTF-8 or Windows-1252"):
        decoded(b"\x81\x8d\xff\xfe")
    with pytest.raises(TableError, match="utf-16"):
        decoded(b"\xff\xfea")


NOT_FIRST = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"
"""What a spreadsheet takes for the begin of a formula."""


@pytest.mark.parametrize(
    "name", ["=1+1", "+HV", "-5", "@SUM(A1)", "'=1+1", "''-5", "\uff1d1", "'tis", "=cmd|' /C calc'!A0"]
)
def test_no_cell_is_a_formula_and_names_come_back(name: str) -> None:
    lines = [line_of({"name": name, "source": "a/b/c/d", "unit": name, "map": {4: name}})]
    text = csv_from_lines(lines)
    cells = [cell for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"))) for cell in row]
    assert not [cell for cell in cells if cell and cell[0] in NOT_FIRST]
    assert parse_entries(lines_from_csv(text)) == parse_entries(lines)


def test_a_table_has_the_entries_and_nothing_else() -> None:
    text = csv_from_lines(["# a remark", LINES[0], "- {name: wrong}", "", LINES[1]], ";")
    assert text.startswith('\ufeff"name";"source";"group";"unit";"map";"record"\r\n"Ring current";')
    assert lines_from_csv(text) == LINES[:2]


def test_yaml_is_taken_as_it_is() -> None:
    text = "---\n# a remark\n" + "\n".join(LINES) + "\n- name: Block\n  source: a/b/c/d\n"
    lines = lines_from_text(text)
    assert lines == ["# a remark", *LINES, "- name: Block", "  source: a/b/c/d"]
    assert [entry.name for entry in parse_entries(lines)[0]][-1] == "Block"


def test_json_is_yaml_and_written_so_that_the_database_keeps_it() -> None:
    lines = lines_from_text('- {"name": "a \\"b\\"", "source": "a/b/c/d"}\n')
    assert lines == ["- {name: 'a \"b\"', source: a/b/c/d}"]


@pytest.mark.parametrize("form", ["{}", "[{}]", '{{"saxs": [{}]}}', "- {}"])
def test_characters_that_json_writes_in_two_halves_are_read(form: str) -> None:
    fields = {"name": "a 😀", "source": "a/b/c/d", "group": "\\ud83d\\ude00", "map": {"4 𝛌": "😀😀"}}
    lines = lines_from_text(form.format(json.dumps(fields)))
    [entry], problems = parse_entries(lines)
    assert (entry.name, entry.group, entry.map, problems) == ("a 😀", "\\ud83d\\ude00", {"4 𝛌": "😀😀"}, [])
    assert csv_from_lines(lines).count("😀") == 3


def test_half_a_character_is_a_mistake() -> None:
    entries, problems = parse_entries(lines_from_text('- {"name": "a \\ud83d", "source": "a/b/c/d"}'))
    assert (entries, len(problems)) == ([], 1)


TWO = ["# a remark", "- {name: a, source: a/b/c/a}", "", "- name: b", "  source: a/b/c/b"]


@pytest.mark.parametrize(
    ("head", "indent"),
    [
        ("", "  "),
        ("%YAML 1.2\n--- # saxs\n", "\t"),
        ("saxs:\n", "  "),
        ("saxs:\n", ""),
        ("# mine\n\nConfig.saxs:   # too\n", "    "),
        ("Config.saxs: |\n", "  "),
        ("Beamline: lab\nAlwaysConfigs: [beamline]\nConfig:\n  saxs:\n", "    "),
    ],
)
def test_yaml_that_is_indented_or_below_a_name_is_yaml(head: str, indent: str) -> None:
    text = head + "\n".join(indent + line if line else "" for line in TWO) + "\n"
    lines = lines_from_text(text)
    assert lines[-4:] == TWO[1:]
    assert [entry.name for entry in parse_entries(lines)[0]] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        '[\n {"name": "a", "source": "a/b/c/a"},\n {"name": "b",\n"source": "a/b/c/b"}]',
        "saxs: [{name: a, source: a/b/c/a},\n  {name: b, source: a/b/c/b}]",
        "  {name: a, source: a/b/c/a}\n  {name: b, source: a/b/c/b}",
    ],
)
def test_so_are_entries_in_brackets(text: str) -> None:
    entries, problems = parse_entries(lines_from_text(text))
    assert ([entry.name for entry in entries], problems) == (["a", "b"], [])


def test_one_entry_may_be_a_mapping() -> None:
    assert lines_from_text("name: a\nsource: a/b/c/a\n") == ["- name: a", "  source: a/b/c/a"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a:\n- {name: x, source: a/b/c/d}\nb:\n- {name: x, source: a/b/c/d}\n", "configurations, a, b: leave one"),
        ("saxs:\n  - {name: x\n", "not YAML, line 2: expected ',' or '}'"),
        ("saxs: 5", "has no list of"),
        ("[" * 1500, "not YAML: cannot be read"),
        ("[a]: b", "has no list of"),
        ("Config: &a {Config: *a}", "has no list of"),
    ],
    ids=range(6),
)
def test_yaml_that_is_not_a_configuration_is_reported(text: str, says: str) -> None:
    with pytest.raises(TableError) as caught:
        lines_from_text(text)
    assert says in str(caught.value)


ANY = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=15)
NAME = ANY.filter(lambda text: bool(text.strip())) | st.sampled_from(["=1", "'=1", "+", "a;b,c\td", '"', "'"])
KEY = st.booleans() | st.integers() | ANY | st.sampled_from(ENTRY_KEYS)
VALUE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY.map(str.strip)
FIELDS = st.fixed_dictionaries(
    {"name": NAME, "source": st.sampled_from(["a/b/c/d", "tango://host:10000/a/b/c/d"])},
    optional={
        "unit": ANY,
        "group": ANY,
        "record": st.lists(st.sampled_from(RECORD_WHEN), unique=True, min_size=1),
        "map": st.dictionaries(KEY, VALUE, max_size=3),
    },
).filter(lambda fields: checked(fields)[0] is not None and not checked(fields)[1])


def identity(fields: dict[str, Any]) -> tuple[str, str]:
    return fields.get("group", "").strip(), fields["name"].strip()


@given(st.lists(FIELDS, min_size=1, max_size=6, unique_by=identity), st.sampled_from(",;\t"))
def test_what_is_exported_is_imported_as_the_same_entries(entries: list[dict[str, Any]], separator: str) -> None:
    lines = [line_of(fields) for fields in entries]
    text = csv_from_lines(lines, separator)
    for encoding in ("utf-8", "utf-16"):
        again = lines_from_text(decoded(text.encode(encoding)))
        assert parse_entries(again) == parse_entries(lines)
        assert storage_problems("", again) == []
    assert parse_entries(lines_from_text("\n".join(lines))) == parse_entries(lines)


@given(
    st.lists(FIELDS, min_size=1, max_size=3, unique_by=identity),
    st.sampled_from([None, "saxs", "Config"]),
    st.fixed_dictionaries(
        {
            "default_flow_style": st.sampled_from([True, False, None]),
            "default_style": st.sampled_from([None, '"', "'"]),
            "indent": st.integers(2, 6),
            "width": st.sampled_from([40, 1000]),
        }
    ),
)
def test_what_other_programs_write_as_yaml_is_imported(
    entries: list[dict[str, Any]], name: str | None, style: dict[str, Any]
) -> None:
    whole = {None: entries, "saxs": {"saxs": entries}, "Config": {"Config": {"saxs": entries}}}[name]
    expected = parse_entries([line_of(fields) for fields in entries])
    assert parse_entries(lines_from_text(yaml.safe_dump(whole, allow_unicode=True, **style))) == expected
    text = json.dumps(whole, ensure_ascii=False, indent=style["indent"])
    # JSON has no infinity; and what YAML 1.1 takes for a number has a point.
    if not re.search(r": (-?Infinity|-?\d+e)", text):
        assert parse_entries(lines_from_text(text)) == expected


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"name,source\n{text}".encode()))
def test_any_file_is_lines_that_can_be_kept_or_a_mistake(data: bytes) -> None:
    with contextlib.suppress(TableError):
        lines = lines_from_csv(decoded(data))
        assert parse_entries(lines)[1] == storage_problems("", lines) == []


@given(st.text(max_size=60) | st.text("saxs:[]{}-\n ,|&*!?a", max_size=60))
def test_any_text_is_lines_or_a_mistake(text: str) -> None:
    for head in ("", "saxs:\n"):
        with contextlib.suppress(TableError):
            parse_entries(lines_from_text(head + text))


SCALAR = st.sampled_from(
    ["0", "007", "1.0", "1e3", "0x1f", "1:30", "ON", "yes", "True", "null", "~", "'0'", '"a"', "2026-01-01", "", "a b"]
)
MAP = st.lists(st.tuples(SCALAR | st.sampled_from(ENTRY_KEYS), SCALAR), min_size=1, max_size=3).map(
    lambda pairs: ", ".join(f"{key}: {value}" for key, value in pairs)
)


@pytest.mark.parametrize("key", [*ENTRY_KEYS, "4"])
def test_a_number_in_a_map_is_the_same_by_a_table_and_by_yaml(key: str) -> None:
    (by_table,), _ = parse_entries(lines_from_csv(f'name,source,map\nx,a/b/c/d,"{key}: 0, 5: extract"\n'))
    assert by_table.map == {key: 0, "5": "extract"}


@given(MAP)
def test_a_map_is_the_same_by_a_table_and_by_yaml(cell: str) -> None:
    by_yaml, problems = parse_entries(["- {name: x, source: a/b/c/d, map: {" + cell + "}}"])
    try:
        lines = lines_from_csv(as_csv([["name", "source", "map"], ["x", "a/b/c/d", cell]]))
    except TableError:  # a key without a value, which is probably a mistake in a table
        assert problems or None in by_yaml[0].map.values()
    else:
        assert parse_entries(lines) == (by_yaml, problems)


@pytest.mark.parametrize(
    "cell",
    [
        *("{4: in}, name: y", "{4: in}\nname: y", "{4: in}\n\nmap: {5: out}", "{4: in}\rname: y"),
        *("{4: in}\u2028name: y", "{4: in}\n---\n{5: out}", "{4: in}\n...\nname: y", "&a {4: *a}", "[4, 5]"),
    ],
)
def test_a_cell_of_a_map_is_nothing_but_a_map(cell: str) -> None:
    with pytest.raises(TableError, match="line"):
        lines_from_csv(as_csv([["name", "source", "map"], ["x", "a/b/c/d", cell]]))


def test_a_cell_of_a_map_may_have_several_lines() -> None:
    (found,), _ = parse_entries(lines_from_csv('name,source,map\nx,a/b/c/d,"4: in,\r\n5: out"\n'))
    assert found.map == {"4": "in", "5": "out"}


@given(st.text(max_size=200) | st.lists(SCALAR | ANY, max_size=8).map(lambda parts: "- {name: " + ": ".join(parts)))
def test_any_text_is_lines_that_are_kept_or_a_mistake(text: str) -> None:
    with contextlib.suppress(TableError):
        lines = lines_from_text(text)
        again = lines_from_text("\n".join(lines))
        assert parse_entries(again) == parse_entries(lines)
