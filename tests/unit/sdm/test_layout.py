"""Where data is stored, and which names may become part of a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdm.layout import FolderRule, Layout, LayoutError, layout_from
from sdm.names import DataLocation, NameRefused, check_name, check_sample, today

ROOT = Path("/data")
PLACE = DataLocation("visitors", "cosaxs", "20250001", "20250310", "0000_setup")

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
    place = DataLocation("visitors", "cosaxs", "20250001", "20250310")
    assert Layout(ROOT).sample(place) == Layout(ROOT).raw(place)


def test_commissioning_lies_with_the_staff() -> None:
    place = DataLocation("staff", "cosaxs", "commissioning", "20250310")
    assert str(Layout(ROOT).visit(place)) == "/data/staff/cosaxs/commissioning/20250310"


@pytest.mark.parametrize("sample", ["", "a", "0000_setup", "Fe2O3", "a-b", "v1.2", "batch/cell_01", "_x"])
def test_samples_that_beamlines_use_are_accepted(sample: str) -> None:
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
def test_samples_that_leave_the_folder_or_break_a_shell_or_windows_are_refused(sample: str) -> None:
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
        DataLocation(*names)


@pytest.mark.parametrize("root", ["data", "./data", "/data/../etc", ""])
def test_the_root_is_absolute(root: str) -> None:
    with pytest.raises(NameRefused):
        Layout(Path(root))


@given(st.text())
def test_any_accepted_sample_stays_inside_raw(sample: str) -> None:
    try:
        place = DataLocation("visitors", "cosaxs", "20250001", "20250310", sample)
    except NameRefused:
        return
    layout = Layout(ROOT)
    path = layout.sample(place)
    assert path == layout.raw(place) or layout.raw(place) in path.parents
    assert ".." not in path.parts


@given(st.lists(good_names, min_size=1, max_size=4).filter(lambda parts: not any(map(_windows, parts))))
def test_good_names_make_a_good_sample_and_its_path_ends_with_it(parts: list[str]) -> None:
    sample = "/".join(parts)
    place = DataLocation("visitors", "cosaxs", "20250001", "20250310", sample)
    assert str(Layout(ROOT).sample(place)).endswith("/raw/" + sample)


@given(st.text().filter(lambda name: not name.isascii()))
def test_an_error_names_the_refused_name(name: str) -> None:
    with pytest.raises(NameRefused, match=r"^visit "):
        check_name(name, "visit")


SETTINGS = """\
path: "{beamline}/{year}/{proposal}/{visit}/RAW_DATA"
siblings: [process, macros, logs]
folders:
  "{proposal}": {mode: 02710}
  RAW_DATA: {mode: "0o2750"}
  logs: {mode: 0700, group: "{beamline}-staff"}
  macros: {group: "{beamline}"}
"""


def made(layout: Layout, place: DataLocation = PLACE) -> dict[str, tuple[int, str]]:
    return {
        str(path.relative_to(layout.root)): (rule.mode, layout.group(rule, place, "20250001-group"))
        for path, rule in layout.folders(place)
    }


def test_the_folders_of_the_usual_layout() -> None:
    group = "20250001-group"
    above = "visitors/cosaxs/20250001"
    assert made(Layout(ROOT)) == {
        above: (0o2750, group),
        f"{above}/20250310": (0o2770, group),
        f"{above}/20250310/process": (0o2770, group),
        f"{above}/20250310/raw": (0o2770, group),
        f"{above}/20250310/raw/0000_setup": (0o2770, group),
    }
    assert layout_from("", ROOT) == Layout(ROOT)


@pytest.mark.parametrize("inline", [True, False])
def test_a_layout_is_a_setting(tmp_path: Path, inline: bool) -> None:
    file = tmp_path / "layout.yaml"
    file.write_text(SETTINGS)
    layout = layout_from(SETTINGS if inline else str(file), ROOT)
    group = "20250001-group"
    above = "cosaxs/2025/20250001"
    assert layout.beamline(PLACE) == ROOT / "cosaxs"
    assert layout.proposal(PLACE) == ROOT / above
    assert made(layout) == {
        "cosaxs/2025": (0o2750, group),
        above: (0o2710, group),
        f"{above}/20250310": (0o2770, group),
        f"{above}/20250310/process": (0o2770, group),
        f"{above}/20250310/macros": (0o2770, "cosaxs"),
        f"{above}/20250310/logs": (0o700, "cosaxs-staff"),
        f"{above}/20250310/RAW_DATA": (0o2750, group),
        f"{above}/20250310/RAW_DATA/0000_setup": (0o2750, group),
    }


def test_a_path_may_end_with_the_name_of_a_usual_sibling() -> None:
    layout = layout_from('path: "{proposal}/{visit}/process"\nsiblings: [raw]')
    assert layout.siblings == ("raw",)


def test_raw_is_raw_also_below_a_folder_of_that_name() -> None:
    layout = Layout(path="raw/{proposal}/{visit}/raw", siblings=("process", "data"))
    modes = {path.name: rule.mode for path, rule in layout.folders(PLACE)}
    assert modes.pop(PLACE.proposal) == 0o2750
    assert layout.raw(PLACE).name in modes
    assert set(modes.values()) == {0o2770}
    with pytest.raises(LayoutError, match="two have the same name"):
        Layout(path="{proposal}/raw/{visit}/raw")


def test_a_template_alone_is_a_layout() -> None:
    layout = layout_from("data/{proposal}-{visit}/raw", ROOT)
    assert layout.raw(PLACE) == ROOT / "data" / "20250001-20250310" / "raw"
    assert layout.beamline(PLACE) == ROOT / "data"
    assert layout == Layout(ROOT, "data/{proposal}-{visit}/raw")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{category}/{beamline}/raw", "does not contain {proposal}"),
        ("{proposal}/{visit}", "must end with a plain name"),
        ("/{proposal}/raw", "the part '' refused"),
        ("{proposal}/../raw", "refused"),
        ("{proposal}//raw", "refused"),
        ("{proposal}/{user}/raw", "contains {user}; allowed are category"),
        ("{proposal!r}/raw", "contains {proposal!r}"),
        ("{proposal/raw", "refused"),
        ("{proposal}/raw data", "refused"),
        ("{proposal}/process", "two have the same name"),
        ("~{proposal}/raw", "refused"),
    ],
)
def test_a_template_that_leads_elsewhere_or_mixes_data_is_refused(template: str, says: str) -> None:
    with pytest.raises(LayoutError, match=says):
        layout_from(template, ROOT)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("paths: x\n", 1, "paths: is not known: did you mean path?"),
        ("path: '{beamline}/raw'\n", 1, "does not contain {proposal}"),
        ("siblings: process\n", 1, "siblings: must be a list"),
        ("siblings: [process, process]\n", 1, "two have the same name"),
        ("siblings: [raw]\n", 1, "two have the same name"),
        ("siblings:\n  - ../x\n", 2, "sibling '../x' refused"),
        ("folders:\n  log: {mode: 0750}\n", 2, "folder 'log' is not one of the folders to make: {proposal}, {visit}"),
        ("folders:\n  '{beamline}': {mode: 0750}\n", 2, "is not one of the folders to make"),
        ("folders:\n  raw: {mode: 1488}\n", 2, "mode '1488' is not of the form 02770"),
        ("folders:\n  raw: {mode: 0070}\n", 2, "does not give all rights to its owner"),
        ("folders:\n  raw: {mode: rwx}\n", 2, "mode 'rwx'"),
        ("folders:\n  raw: {group: '{user}'}\n", 2, "contains {user}"),
        ("folders:\n  raw: {group: 'a b'}\n", 2, "refused"),
        ("folders:\n  raw: {owner: me}\n", 2, "folders.raw.owner: is not known: allowed are mode, group"),
        ("folders:\n  raw: 2770\n", 2, "folders.raw: must be 'name: value' lines"),
        ("path: {\n", 2, "not YAML"),
        ("# only this\n", 1, "is empty"),
    ],
)
def test_a_mistake_in_a_layout_is_reported_with_file_line_and_field(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    file = tmp_path / "layout.yaml"
    file.write_text(text)
    with pytest.raises(LayoutError) as caught:
        layout_from(str(file), ROOT)
    assert str(caught.value).startswith(f"{file}, line {line}: ")
    assert says in str(caught.value)


def test_a_missing_layout_file() -> None:
    with pytest.raises(LayoutError, match=r"/nowhere\.yaml cannot be read"):
        layout_from("/nowhere.yaml", ROOT)
    with pytest.raises(LayoutError, match="root 'data' is not an absolute path"):
        layout_from("", Path("data"))
    with pytest.raises(LayoutError, match="mode 10000"):
        Layout(ROOT, rules={"raw": FolderRule(0o10000)})


def test_a_year_is_that_of_the_visit() -> None:
    layout = Layout(ROOT, "{year}/{proposal}/raw")
    with pytest.raises(NameRefused, match="does not begin with a year"):
        layout.raw(DataLocation("visitors", "cosaxs", "20250001", "autumn"))


def test_good_names_that_are_too_long_together_are_refused() -> None:
    place = DataLocation("visitors", "cosaxs", "p" * 90, "v" * 90)
    with pytest.raises(NameRefused, match="more than 100"):
        Layout(ROOT, "{proposal}-{visit}/raw").raw(place)


@given(st.text(alphabet="{}abproposalvisit/._- \n", max_size=40))
def test_with_any_template_the_path_stays_below_the_root(template: str) -> None:
    try:
        path = Layout(ROOT, template).raw(PLACE)
    except NameRefused:
        return
    assert ROOT in path.parents
    assert ".." not in path.parts


def test_today_is_a_visit() -> None:
    assert len(today()) == 8
    assert today().isdigit()


def _windows(part: str) -> bool:
    return part.split(".")[0].lower()[:3] in ("con", "prn", "aux", "nul", "com", "lpt")
