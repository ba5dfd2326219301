"""Where data lies, and which names may become part of a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdm.layout import Layout, NameRefused, Place, check_name, check_sample, today

ROOT = Path("/data")
PLACE = Place("visitors", "cosaxs", "20250001", "20250310", "0000_setup")

good_names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}[A-Za-z0-9_]", fullmatch=True)


def test_paths_are_those_of_the_layout() -> None:
    layout = Layout(ROOT)
    assert str(layout.raw(PLACE)) == "/data/visitors/cosaxs/20250001/20250310/raw"
    assert str(layout.process(PLACE)) == "/data/visitors/cosaxs/20250001/20250310/process"
    assert str(layout.sample(PLACE)) == "/data/visitors/cosaxs/20250001/20250310/raw/0000_setup"


def test_analysis_finds_process_from_the_path_as_it_does_today() -> None:
    layout = Layout(ROOT)
    assert str(layout.sample(PLACE)).split("raw")[0] + "process" == str(layout.process(PLACE))


def test_no_sample_is_raw_itself() -> None:
    place = Place("visitors", "cosaxs", "20250001", "20250310")
    assert Layout(ROOT).sample(place) == Layout(ROOT).raw(place)


def test_commissioning_lies_with_the_staff() -> None:
    place = Place("staff", "cosaxs", "commissioning", "20250310")
    assert str(Layout(ROOT).visit(place)) == "/data/staff/cosaxs/commissioning/20250310"


@pytest.mark.parametrize("sample", ["", "a", "0000_setup", "Fe2O3", "a-b", "v1.2", "batch/cell_01", "_x"])
def test_samples_that_beamlines_use_are_taken(sample: str) -> None:
    assert check_sample(sample) == sample


@pytest.mark.parametrize(
    "sample",
    [
        *("..", "../x", "a/../b", "a/..", ".", "a/./b", ".hidden", "a/.hidden"),
        *("/a", "//a", "a//b", "a/"),
        *("a b", "a\n", "a\nb", "a\x00", "a\x1b[0m", "a\\b", "a;b", "a$b", "a*", "~", "-rf", "a/-rf", "å", "٣"),
        *("CON", "con.txt", "LPT1", "a/aux", "a."),
        "x" * 101,
    ],
)
def test_samples_that_lead_elsewhere_or_choke_a_shell_or_windows_are_refused(sample: str) -> None:
    with pytest.raises(NameRefused):
        check_sample(sample)


@pytest.mark.parametrize(
    "names",
    [
        ("guests", "cosaxs", "20250001", "20250310"),
        ("visitors", "", "20250001", "20250310"),
        ("visitors", "co/saxs", "20250001", "20250310"),
        ("visitors", "cosaxs", "..", "20250310"),
        ("visitors", "cosaxs", "2025/0001", "20250310"),
        ("visitors", "cosaxs", "20250001", ""),
        ("visitors", "cosaxs", "20250001", "/etc"),
    ],
)
def test_a_place_checks_each_of_its_names(names: tuple[str, str, str, str]) -> None:
    with pytest.raises(NameRefused):
        Place(*names)


@pytest.mark.parametrize("root", ["data", "./data", "/data/../etc", ""])
def test_the_root_is_absolute(root: str) -> None:
    with pytest.raises(NameRefused):
        Layout(Path(root))


@given(st.text())
def test_whatever_is_taken_stays_inside_raw(sample: str) -> None:
    try:
        place = Place("visitors", "cosaxs", "20250001", "20250310", sample)
    except NameRefused:
        return
    layout = Layout(ROOT)
    path = layout.sample(place)
    assert path == layout.raw(place) or layout.raw(place) in path.parents
    assert ".." not in path.parts


@given(st.lists(good_names, min_size=1, max_size=4).filter(lambda parts: not any(map(_windows, parts))))
def test_good_names_make_a_good_sample_and_its_path_ends_with_it(parts: list[str]) -> None:
    sample = "/".join(parts)
    place = Place("visitors", "cosaxs", "20250001", "20250310", sample)
    assert str(Layout(ROOT).sample(place)).endswith("/raw/" + sample)


@given(st.text().filter(lambda name: not name.isascii()))
def test_an_error_names_what_was_refused(name: str) -> None:
    with pytest.raises(NameRefused, match=r"^visit "):
        check_name(name, "visit")


def test_today_is_a_visit() -> None:
    assert len(today()) == 8
    assert today().isdigit()


def _windows(part: str) -> bool:
    return part.split(".")[0].lower()[:3] in ("con", "prn", "aux", "nul", "com", "lpt")
