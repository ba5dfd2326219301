"""Configuration lines: what is read, and how a mistake is reported."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scifish.settings.entries import (
    RECORD_WHEN,
    Entry,
    checked,
    effective_entries,
    entries_as_json,
    line_of,
    map_key,
    parse_entries,
    written_fields,
)
from scifish.tango_io.property_limits import loses_backslash, storage_problems

RING = "- {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, unit: mA, group: Machine}"


def test_a_line_is_an_entry() -> None:
    entries, problems = parse_entries([RING], "beamline")
    assert problems == []
    assert entries == [
        Entry(
            "Ring current",
            "r3-319s2/dia/dcct-01/InstantaneousCurrent",
            group="Machine",
            unit="mA",
            config="beamline",
        )
    ]
    assert (entries[0].device, entries[0].attribute) == ("r3-319s2/dia/dcct-01", "InstantaneousCurrent")


def test_blank_lines_comments_and_block_style_are_read() -> None:
    lines = [
        "# the machine",
        "",
        RING,
        "- name: T",
        "  source: a/b/c/T",
        "  record: [end, start]",
        "- {name: U,",
        "   source: a/b/c/U",
        "  }",
    ]
    entries, problems = parse_entries(lines)
    assert problems == []
    assert [(entry.name, entry.record) for entry in entries] == [
        ("Ring current", ("start",)),
        ("T", ("start", "end")),
        ("U", ("start",)),
    ]


@pytest.mark.parametrize("indent", ["  ", "    ", "\t"])
def test_a_list_below_record_belongs_to_its_entry(indent: str) -> None:
    below = ["name: T", "record:", "- start", "# later", "- 'statistics'  # all", "source: a/b/c/T"]
    lines = ["-", *(indent + line for line in below), RING, "  - {name: U, source: a/b/c/U}", "  - name: V"]
    entries, problems = parse_entries(lines)
    assert [(entry.name, entry.record) for entry in entries] == [
        ("T", ("start", "statistics")),
        ("Ring current", ("start",)),
        ("U", ("start",)),
    ]
    assert problems == ["configuration, line 10: V: source is missing"]


def test_states_and_other_yaml_traps_stay_text() -> None:
    """YAML 1.1 would make booleans of ON, OFF, yes and no, and a date of 2026-01-01."""
    entries, problems = parse_entries(
        ["- {name: No, source: a/b/c/d, group: 2026-01-01, map: {ON: yes, off: 0, 4: x}}"]
    )
    assert problems == []
    assert (entries[0].name, entries[0].group) == ("No", "2026-01-01")
    assert entries[0].map == {"on": "yes", "off": 0, "4": "x"}


@pytest.mark.parametrize(
    ("source", "device", "attribute"),
    [
        ("a/b/c/d", "a/b/c", "d"),
        ("tango://h:10000/a/b/c/d", "tango://h:10000/a/b/c", "d"),
        ("ring/Current", "ring", "Current"),
        ("tango://h:10000/ring/Current", "tango://h:10000/ring", "Current"),
        ("ringcurrent", "", "ringcurrent"),
    ],
)
def test_a_source_is_a_full_name_or_an_alias(source: str, device: str, attribute: str) -> None:
    (entry,), problems = parse_entries([f"- {{name: x, source: '{source}'}}"])
    assert problems == []
    assert (entry.device, entry.attribute) == (device, attribute)


@pytest.mark.parametrize(
    "source", ["a/b/c", "a/b/c/d/e", "tango://h:10000/a/b/c", "h:10000/a/b/c/d", "a b", "/a", "a/"]
)
def test_what_is_neither_is_not_a_source(source: str) -> None:
    entries, (problem,) = parse_entries([f"- {{name: x, source: '{source}'}}"])
    assert entries == []
    assert "is not of the form domain/family/member/attribute, nor an alias" in problem


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("- {name: x, source: a/b/c/d", "line 2: not YAML"),
        ("- [1, 2]", "line 2: not of the form"),
        ("just words", "line 2: not of the form"),
        ("- {source: a/b/c/d}", "line 2: name is missing"),
        ("- {name: x}", "line 2: x: source is missing"),
        ("- {name: x, source: a/b/c}", "'a/b/c' is not of the form domain/family/member/attribute"),
        ("- {name: [x], source: a/b/c/d}", "name: \"['x']\" is not a plain text"),
        ('- {name: "a\\nb", source: a/b/c/d}', "is not a plain text"),
        ("- {name: Ring current, group: Machine, source: a/b/c/d}", "the name 'Ring current' is taken by line 1"),
    ],
)
def test_a_mistake_costs_its_own_line_only(line: str, says: str) -> None:
    entries, problems = parse_entries([RING, line, "- {name: after, source: a/b/c/e}"], "saxs")
    assert [entry.name for entry in entries] == ["Ring current", "after"]
    assert len(problems) == 1
    assert problems[0].startswith("saxs, line 2: ")
    assert says in problems[0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("- {name: x, source: a/b/c/d, uint: mm}", "'uint' is not known and is ignored; did you mean 'unit'?"),
        ("- {name: x, source: a/b/c/d, record: [start, stop]}", "record 'stop' is not one of start, end, statistics"),
        ("- {name: x, source: a/b/c/d, map: [1, 2]}", "values are not mapped"),
    ],
)
def test_a_small_mistake_is_reported_and_the_entry_is_recorded(line: str, says: str) -> None:
    entries, problems = parse_entries([line])
    assert [entry.name for entry in entries] == ["x"]
    assert len(problems) == 1
    assert says in problems[0]


def test_the_active_configuration_wins_over_those_always_recorded() -> None:
    configs = {
        "beamline": ["- {name: E, source: a/b/c/old}", "- {name: F, source: a/b/c/f}"],
        "SAXS": ["- {name: E, source: a/b/c/new}"],
    }
    entries, problems = effective_entries(configs, ["beamline"], "saxs")
    assert problems == []
    assert {entry.name: entry.source for entry in entries} == {"E": "a/b/c/new", "F": "a/b/c/f"}


def test_a_configuration_that_is_not_there_is_reported() -> None:
    entries, problems = effective_entries({"a": [RING]}, ["a"], "b")
    assert len(entries) == 1
    assert problems == ["ActiveConfig: there is no configuration 'b'; there are: a"]


def test_a_name_that_is_also_a_group_hides_nothing() -> None:
    lines = ["- {name: Valve, source: a/b/c/d}", "- {name: State, source: a/b/c/State, group: Valve}"]
    entries, problems = effective_entries({"x": lines}, [], "x")
    assert [(entry.group, entry.name) for entry in entries] == [("", "Valve (value)"), ("Valve", "State")]
    assert "'Valve' is also a group" in problems[0]


@given(st.lists(st.text(max_size=60), max_size=12))
def test_whatever_people_write_is_an_entry_or_a_problem_and_never_an_exception(lines: list[str]) -> None:
    entries, problems = parse_entries(lines)
    assert [entry["source"] for entry in json.loads(entries_as_json(entries))] == [e.source for e in entries]
    assert all(isinstance(problem, str) and "line" in problem for problem in problems)


WORD = st.text("abcdefghijklmnopqrstuvwxyzåäö0123456789 -_", min_size=1, max_size=20).map(str.strip).filter(bool)


@given(st.lists(st.tuples(WORD, WORD), unique=True, max_size=20))
def test_what_is_written_properly_is_read_back(named: list[tuple[str, str]]) -> None:
    lines = [f"- {{name: 'n {name}', group: 'g {group}', source: a/b/c/d}}" for name, group in named]
    entries, problems = parse_entries(lines)
    assert problems == []
    assert [(entry.name, entry.group) for entry in entries] == [(f"n {name}", f"g {group}") for name, group in named]


# What YAML takes as it stands: U+FFFE and U+FFFF are no characters to it.
PLAIN = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=20,
).filter(lambda text: text == text.strip())
MAPPED = st.dictionaries(st.integers(0, 99) | WORD, st.integers() | st.booleans() | PLAIN, max_size=3)
ENTRY = st.fixed_dictionaries(
    {"name": PLAIN, "source": st.sampled_from(["a/b/c/d", "tango://host:10000/a/b/c/d", "r3-319s2/dia/dcct-01/I_1.x"])},
    optional={
        "unit": PLAIN,
        "group": PLAIN,
        "record": st.lists(st.sampled_from(RECORD_WHEN), unique=True, min_size=1) | st.sampled_from(RECORD_WHEN),
        "map": MAPPED,
    },
)
WRONG = st.sampled_from(["- {name: x", "- {name: x}", "just words", "- [1, 2]", "- {{}: 1}", "- {source: a/b/c/d}"])


def _line(entry: dict[str, object]) -> str:
    """JSON is YAML, too; as people write it, with a dash."""
    return "- " + json.dumps(entry, ensure_ascii=False)


@given(st.lists(ENTRY, max_size=8, unique_by=lambda entry: (entry.get("group", ""), entry["name"])))
def test_every_field_of_an_entry_is_read_back(entries: list[dict[str, Any]]) -> None:
    found, problems = parse_entries([_line(entry) for entry in entries], "saxs")
    mapped = [{map_key(key): value for key, value in entry.get("map", {}).items()} for entry in entries]
    # 4 and '4' are the same in JSON, too; on and ON only for us.
    written = [set(map(str, entry.get("map", {}))) for entry in entries]
    same = [one for one, keys in zip(mapped, written, strict=True) if len(one) < len(keys)]
    assert len(problems) == len(same)
    for one, entry, value_map in zip(found, entries, mapped, strict=True):
        record = entry.get("record", ["start"])
        wanted = tuple(when for when in RECORD_WHEN if when in record or when == record)
        assert one == Entry(
            entry["name"],
            entry["source"],
            entry.get("group", ""),
            entry.get("unit", ""),
            value_map,
            wanted,
            "saxs",
        )


@given(st.lists(st.tuples(st.booleans(), ENTRY, WRONG), max_size=8))
def test_a_wrong_line_is_reported_with_its_number_and_those_around_it_are_read(
    given_lines: list[tuple[bool, dict[str, Any], str]],
) -> None:
    lines, right, wrong = [], [], []
    for number, (good, entry, mistake) in enumerate(given_lines, start=1):
        # The number makes each name another.
        named = {**entry, "name": f"{number} {entry['name']}", "map": None}
        lines.append(_line(named) if good else mistake)
        if good:
            right.append(named["name"])
        else:
            wrong.append(number)
    found, problems = parse_entries(lines, "saxs")
    assert [entry.name for entry in found] == right
    assert sorted({int(problem.split(":")[0].removeprefix("saxs, line ")) for problem in problems}) == wrong


@pytest.mark.parametrize(
    "line",
    [
        "- " + "[" * 5000,
        "- {name: x, source: a/b/c/d, map: {" + "1" * 5000 + ": x}}",
        "- {name: x, source: a/b/c/d, map: {!!int x: y}}",
        "- {name: x, source: a/b/c/d, map: !!timestamp x}",
        "- {name: x, source: a/b/c/d, map: {4: !!bool x}}",
    ],
    ids=lambda line: line[:60],
)
def test_what_yaml_itself_stumbles_over_costs_its_own_line(line: str) -> None:
    entries, problems = parse_entries([RING, line, "- {name: after, source: a/b/c/e}"], "saxs")
    assert [entry.name for entry in entries] == ["Ring current", "after"]
    assert [problem.split(":")[0] for problem in problems] == ["saxs, line 2"]


def test_a_line_that_would_be_gigabytes_when_written_out_is_reported_briefly() -> None:
    levels = ["name: &a [x,x,x,x,x,x,x,x,x,x]"]
    for before, this in zip("abcdefgh", "bcdefghi", strict=True):
        levels.append(f"k{this}: &{this} [{','.join([f'*{before}'] * 10)}]")
    entries, problems = parse_entries(["- {" + ", ".join(levels) + ", source: *i, group: x}"])
    assert entries == []
    assert all(len(problem) < 300 for problem in problems)


@pytest.mark.parametrize("text", ["1:30", "007", "08", "2.50", "1_000", "true", "0x10", ".5", "1e3"])
def test_a_name_that_looks_like_a_number_stays_as_it_was_written(text: str) -> None:
    entries, problems = parse_entries([f"- {{name: {text}, source: a/b/c/d, group: {text}, unit: {text}}}"])
    assert problems == []
    assert (entries[0].name, entries[0].group, entries[0].unit) == (text, text, text)


def test_what_is_not_a_plain_value_is_not_in_the_map() -> None:
    line = "- {name: x, source: a/b/c/d, map: {1: !!binary aGk=, 2: !!set {a}, 3: .nan, 4: .inf, 5: null, 6: 1.5}}"
    entries, problems = parse_entries([line])
    assert entries[0].map == {"3": "nan", "4": "inf", "5": None, "6": 1.5}
    assert len(problems) == 1
    json.loads(entries_as_json(entries), parse_constant=pytest.fail)


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUE = st.none() | st.booleans() | st.integers() | st.floats() | ANY
FIELDS = st.fixed_dictionaries(
    {"name": ANY, "source": st.sampled_from(["a/b/c/d", "tango://host:10000/a/b/c/d"])},
    optional={
        "unit": ANY,
        "group": ANY,
        "record": st.lists(st.sampled_from(RECORD_WHEN), unique=True),
        "map": st.dictionaries(st.none() | st.booleans() | st.integers() | st.floats() | ANY, VALUE, max_size=3),
    },
)


@given(FIELDS)
def test_a_line_that_is_written_here_is_read_as_the_same_entry(fields: dict[str, Any]) -> None:
    line = line_of(fields)
    wanted, mistakes = checked(fields, "x")
    assert line.isprintable()
    assert storage_problems("Config.x", [line]) == []
    entries, problems = parse_entries([line], "x")
    assert entries == ([wanted] if wanted else [])
    assert len(problems) == len(mistakes)


@pytest.mark.parametrize(
    "line",
    [
        "- {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, group: Machine, unit: mA}",
        "- {name: Shutter, source: b311a/o/shutter-01/State, map: {4: insert, OPEN: open, 'on': 'yes'}}",
        "- {name: '#1: it''s', source: a/b/c/d, unit: µm, record: [start, end]}",
        '- {name: "a\\x5c\\x22b", source: a/b/c/d}',
        "- {name: a\\b, source: a/b/c/d, map: {1: 1.0e-05}}",
    ],
)
def test_lines_are_written_as_people_write_them(line: str) -> None:
    (fields,) = written_fields([line])
    assert line_of(fields) == line.replace("a\\b,", "'a\\b',")


@pytest.mark.parametrize("name", ["a\\'b", "C:\\data\\", '5\\"', "it's \\", "\\\\'"])
def test_a_line_of_ours_has_no_backslash_that_the_database_drops(name: str) -> None:
    line = line_of({"name": name, "source": "a/b/c/d", "map": {name: name}})
    assert not loses_backslash(line)
    (entry,), problems = parse_entries([line])
    assert (entry.name, list(entry.map.values()), problems) == (name, [name], [])


def test_a_line_that_says_gigabytes_costs_nothing() -> None:
    merged = ", ".join(f"x{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 60))
    nested = ", ".join(f"y{n}: &b{n} [*b{n - 1}, *b{n - 1}]" for n in range(1, 60))
    line = (
        f"- {{x0: &a0 {{k: 1}}, {merged}, y0: &b0 [k], {nested}, "
        "name: n, source: a/b/c/d, map: {4: *b59, 5: on}, record: [end, *b59]}"
    )
    (entry,), problems = parse_entries([line])
    assert (entry.map, entry.record) == ({"5": "on"}, ("end",))
    assert any("map has keys" in problem for problem in problems)
    assert written_fields([line]) == [{"name": "n", "source": "a/b/c/d", "map": {5: "on"}, "record": ["end"]}]


def test_half_a_character_is_not_text() -> None:
    """It could be in no message, and none of the scan's could be sent."""
    entries, problems = parse_entries(['- {name: "a\\ud800b", source: a/b/c/d}'])
    assert entries == []
    assert "is not a plain text" in problems[0]


def test_what_a_map_has_is_not_taken_for_the_entry_s_own_fields() -> None:
    (entry,), _ = parse_entries(["- {name: 007, source: a/b/c/d, map: {unit: 0, name: 1}}"])
    assert (entry.name, entry.map) == ("007", {"unit": 0, "name": 1})
