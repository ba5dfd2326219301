"""Profiles of SciFly: what users write in jive, and which files it matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scifly.patterns import Pattern, PatternError
from scifly.profiles import DEFAULT_PROFILES, SHIPPED_PROFILES, Profile, profile_of, profiles_from


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.{txt,ibw}", "Ag_0001.txt", True),
        ("*.{txt,ibw}", "day 1/Ag 3d/Ag_0001.IBW", True),
        ("*.{txt,ibw}", "Ag_0001.txt.gz", False),
        ("*.{txt,t}", "a.txt", True),
        ("*.{t{xt,iff},h5}", "a.tiff", True),
        ("*.{,h5}", "a.", True),
        ("scans/*.h5", "scans/a.h5", True),
        ("scans/*.h5", "SCANS/A.H5", True),
        ("scans/*.h5", "old/scans/a.h5", False),
        ("scans/*.h5", "scans/deep/a.h5", False),
        ("**/scans/*.h5", "scans/a.h5", True),
        ("**/scans/*.h5", "x/y/scans/a.h5", True),
        ("scans/**/*.h5", "scans/x/y/a.h5", True),
        ("scans/**", "scans/x/y/a.h5", True),
        ("img_????.tif", "img_0001.tif", True),
        ("img_[0-4].tif", "img_5.tif", False),
        ("*", "no suffix", True),
        ("*.txt", "not \udcff UTF-8.txt", True),
        ("a.b", "axb", False),
    ],
)
def test_a_pattern_means_these_files(pattern: str, path: str, fits: bool) -> None:
    assert Pattern(pattern).matches(path) is fits


@pytest.mark.parametrize(
    "pattern", ["", "  ", "/data/*.h5", "../*.h5", "a//b", "*.{txt", "*.txt}", "{a,b}" * 8, "{" * 2000, "a/./b"]
)
def test_an_invalid_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        Pattern(pattern)


def test_a_pattern_with_many_stars_does_not_hang() -> None:
    assert not Pattern("*a" * 40 + "/" + "**/" * 20 + "*b").matches("a" * 200 + "/" + "a/" * 60 + "a" * 200)


@given(st.text(), st.text(min_size=1))
def test_any_text_is_a_pattern_or_is_refused(pattern: str, path: str) -> None:
    try:
        found = Pattern(pattern)
    except PatternError:
        return
    assert found.matches(path) in (True, False)


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_a_star_means_every_name(name: str) -> None:
    assert Pattern("*").matches(name)
    assert Pattern("*.txt").matches(f"{name}.TXT")


def test_a_name_alone_is_the_shipped_profile() -> None:
    profiles, problems = profiles_from(list(DEFAULT_PROFILES))
    assert profiles == (SHIPPED_PROFILES["ses"], SHIPPED_PROFILES["prodigy"])
    assert problems == ()


def test_a_profile_is_one_line() -> None:
    lines = [
        "# of the electron analyser",
        "",
        '{name: ses, pattern: "*.{txt,ibw,pxt,zip}", group: stem, settle: 2, modified: false, reader: ses}',
        "- {name: prodigy, settle: 0.5, modified: true}",
        '{name: frames, pattern: "eiger/*.{h5,cbf}", group: folder, settle: 10, patience: 60}\nany',
    ]
    profiles, problems = profiles_from(lines)
    assert problems == ()
    assert profiles == (
        SHIPPED_PROFILES["ses"],
        Profile("prodigy", "*.{xy,xml,sle}", "stem", 0.5, True, "prodigy"),
        Profile("frames", "eiger/*.{h5,cbf}", "folder", 10.0, patience=60.0),
        SHIPPED_PROFILES["any"],
    )
    assert profile_of(profiles, "eiger/a.CBF") is profiles[2]
    assert profile_of(profiles, "eiger/a.txt") is profiles[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("sees", "line 2: sees: pattern is missing; did you mean 'ses'?"),
        ("{name: mine}", "line 2: mine: pattern is missing, as it is not one of ses, prodigy, any"),
        ("{pattern: '*.h5'}", "line 2: name: a short text is needed, not None"),
        ("{name: x, pattern: /data/*.h5}", "line 2: x: pattern: '/data/*.h5' is not below the watched path"),
        ("{name: x, pattern: '*.{h5'}", "line 2: x: pattern: '*.{h5': the braces are not closed"),
        ("{name: x, pattern: *.h5}", "put a pattern into quotes"),
        ("{name: x, pattern: '*', group: stems}", "group: 'stems' is not one of stem, folder, series, file"),
        ("{name: ses, settle: soon}", "line 2: ses: settle: 'soon' is not a number of seconds from 0 to 604800"),
        ("{name: ses, settle: -1}", "settle: -1 is not a number"),
        ("{name: ses, settle: .nan}", "settle: nan is not a number"),
        ("{name: ses, modified: yes}", "modified: 'yes' is neither true nor false"),
        ("{name: ses, reader: igor}", "reader: 'igor' is not one of ses, prodigy, none"),
        ("[ses]", "line 2: '[ses]' is neither {name: ..., pattern: ...} nor one of ses, prodigy, any"),
        ("{name: ses", "line 2: not YAML"),
        ("prodigy", "line 2: there is a profile 'prodigy' above; give this one another name"),
    ],
)
def test_a_mistake_costs_only_its_own_line_and_is_reported(line: str, reason: str) -> None:
    profiles, problems = profiles_from(["prodigy", line, "any"])
    assert [profile.name for profile in profiles] == ["prodigy", "any"]
    (problem,) = problems
    assert reason in problem


def test_an_unknown_key_is_reported_and_the_rest_is_used() -> None:
    profiles, problems = profiles_from(["{name: ses, setle: 5}"])
    assert profiles == (SHIPPED_PROFILES["ses"],)
    assert problems == ("line 1: the key 'setle' is not known and is ignored; did you mean 'settle'?",)


@given(st.lists(st.one_of(st.text(), st.text(alphabet="{}[],:*&!|>%@`'\"- \nabc019"))))
def test_any_text_is_read_or_reported(lines: list[str]) -> None:
    profiles, problems = profiles_from(lines)
    assert all(profile.wants("a.txt") in (True, False) for profile in profiles)
    entries = [piece for line in lines for piece in line.splitlines() if piece.strip() and piece.strip()[0] != "#"]
    assert len(profiles) <= len(entries)
    assert problems or len(profiles) == len(entries)
