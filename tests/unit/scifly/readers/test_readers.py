"""What SciFly reads in files of SES and Prodigy: tests with files like those of the programs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from scifish.message import as_metadata, encode, leaves
from scifish.message.units import convertible
from scifly.model import Header
from scifly.readers import read, stem
from tests.builders.instrument_files import (
    SCHEDULE,
    info,
    packed,
    prodigy_region,
    prodigy_sle,
    prodigy_xml,
    prodigy_xy,
    ses_text,
    ses_wave,
    ses_zip,
    wave,
)
from tests.paths import SHARED
from tests.unit.scifly.readers.headers import LUND, header_of

SHARED = SHARED / "data"


def at(*when: int, zone: dt.tzinfo = dt.UTC) -> float:
    return dt.datetime(*when, tzinfo=zone).timestamp()  # type: ignore[arg-type]


def ev(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "eV"}


# ---------------------------------------------------------------------------- SES text


def test_a_ses_text(tmp_path: Path) -> None:
    header = header_of(tmp_path, "Ag_0001.txt", ses_text())
    assert header.data_format == "Scienta SES text 1.3.1"
    assert header.title == "Ag3d"
    assert header.started == at(2023, 3, 8, 15, 24, 1, zone=LUND)
    assert header.complete
    assert header.problems == ()
    assert header.metadata["Experiment"] == {
        "Original file": "Z:\\XPS\\Ag_0001.txt,.pxt,.ibw",
        "Instrument": "R3000-6MS014",
        "Location": "MAX IV",
        "Operator": "AN",
        "Sample": "Ag",
        "Number of regions": 1,
        "Regions": "Ag3d",
    }
    region = header.metadata["Region 1 Ag3d"]
    expected = {
        "Lens mode": "Angular30",
        "Pass energy": ev(50),
        "Sweeps": 2,
        "Excitation energy": ev(520),
        "Energy scale": "Binding",
        "Acquisition mode": "Swept",
        "Energy step": ev(0.05),
        "Step time": {"value": 203, "unit": "ms"},
        "Time per spectrum channel": {"value": 45.066, "unit": "s"},
        "Detector first X channel": 43,
        "Began": "2023-03-08T15:24:01+01:00",
        "Axis 1": "Binding Energy",
        "Axis 1 points": 4,
        "Axis 1 first": ev(382),
        "Axis 1 last": ev(380.5),
        "Run mode": {"Name": "Normal"},
    }
    assert {key: region[key] for key in expected} == expected
    assert "Comments" not in region  # SES writes a semicolon where there is none


def test_several_regions_are_groups_and_common_values_are_recorded_once(tmp_path: Path) -> None:
    text = ses_text(("Ag3d", "C1s")).replace("Sample=Ag", "Sample=Pt", 1)
    header = header_of(tmp_path, "a.txt", text)
    assert header.title == "Ag3d, C1s"
    assert list(header.metadata) == ["Experiment", "Analyser", "Region 1 Ag3d", "Region 2 C1s"]
    assert header.metadata["Experiment"]["Operator"] == "AN"
    assert "Sample" not in header.metadata["Experiment"]
    assert [header.metadata[name]["Sample"] for name in ("Region 1 Ag3d", "Region 2 C1s")] == ["Pt", "Ag"]


def test_settings_common_to_all_regions_are_found_without_region_names(tmp_path: Path) -> None:
    text = ses_text(("Ag3d", "C1s")).replace("Number of Sweeps=2", "Number of Sweeps=7", 1)
    analyser = header_of(tmp_path, "a.txt", text).metadata["Analyser"]
    assert (analyser["Lens mode"], analyser["Pass energy"]) == ("Angular30", ev(50))
    assert "Sweeps" not in analyser


def test_three_dimensions_with_a_run_mode(tmp_path: Path) -> None:
    points = "Name=CIS\nPoint 1=570 eV\nPoint 2=571 eV\n"
    more = "[User Interface Information #]\nT=12,5\nDelay(fs)=-3\n[Manipulator #]\nX=-0.975\nPolar=-107.050\n"
    header = header_of(tmp_path, "a.txt", ses_text(run_mode=points, more=more, slices=3, blocks=2))
    region = header.metadata["Region 1 Ag3d"]
    assert header.complete
    assert region["Run mode"] == {"Name": "CIS", "Points": 2, "Point first": ev(570), "Point last": ev(571)}
    assert region["User interface"] == {"T": 12.5, "Delay": {"value": -3, "unit": "fs"}}
    assert region["Manipulator"] == {"X": -0.975, "Polar": -107.05}
    assert (region["Axis 2"], region["Axis 2 points"]) == ("Y-Scale", 3)
    assert region["Axis 2 last"] == {"value": 2, "unit": "deg"}
    assert (region["Axis 3"], region["Axis 3 first"]) == ("Photon Energy", ev(570))


def test_a_table_of_motors_is_summarised_by_its_first_and_last_values(tmp_path: Path) -> None:
    table = "Name=Manipulator Scan\n\vX [mm]\vP\n\v1.0\v5\n\v1.0\v6\n\v1.0\v7\n"
    run = header_of(tmp_path, "a.txt", ses_text(run_mode=table)).metadata["Region 1 Ag3d"]["Run mode"]
    assert run == {
        "Name": "Manipulator Scan",
        "Points": 3,
        "X": {"value": 1.0, "unit": "mm"},
        "P first": 5,
        "P last": 7,
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, end: str) -> None:
    text = ses_text(("Ag3d", "C1s")).replace("User=AN", "User=Åsa Öberg").replace("\n", end)
    header = header_of(tmp_path, "a.txt", text.encode(encoding))
    assert header.metadata["Experiment"]["Operator"] == "Åsa Öberg"
    assert header.problems == ()
    assert header.complete


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (ses_text(("Ag3d",), announced=3), "3 regions are announced, but there are 1"),
        (ses_text()[:-40], "the last region has 3 of 4 lines"),
        (ses_text(blocks=2, slices=2).partition("[Data 1:2]")[0], "of 8 lines"),
        (ses_text().partition("[Data")[0], "the last region has 0 of 4 lines"),
        ("[Info]\nNumber of Reg", "no region yet"),
        ("[Inf", "no region yet"),
        ("[I", "has only 2 bytes"),
        ("", "is empty"),
    ],
)
def test_an_unfinished_text_is_reported(tmp_path: Path, text: str, why: str) -> None:
    header = header_of(tmp_path, "Ag_0001.txt", text)
    assert not header.complete
    assert why in header.problems[0]
    assert header.problems[0].startswith("Ag_0001.txt: ")


def test_a_text_of_another_program(tmp_path: Path) -> None:
    header = header_of(tmp_path, "notes.txt", "we moved the sample\n" * 5000)
    assert header.metadata == {}
    assert header.complete
    why = "is not a text file of Scienta SES: it has no sections [Info] and [Region 1]"
    assert header.problems == (f"notes.txt: {why}",)


def test_names_and_comments_that_look_like_numbers_stay_texts(tmp_path: Path) -> None:
    text = ses_text().replace("Sample=Ag", "Sample=0012").replace("Comments=;", "Comments=42")
    text = text.replace("DetectorMode=ADC", "Batch=0017\nCurrent=1,5 mA\nLength [cm]=3")
    header = header_of(tmp_path, "a.txt", text)
    assert header.metadata["Experiment"]["Sample"] == "0012"
    assert header.metadata["Experiment"]["Comments"] == "42"
    region = header.metadata["Region 1 Ag3d"]
    assert region["Batch"] == "0017"
    assert region["Current"] == {"value": 1.5, "unit": "mA"}
    assert region["Length"] == {"value": 3, "unit": "cm"}


def test_comments_of_several_lines(tmp_path: Path) -> None:
    text = ses_text().replace("Comments=;", "Comments=after sputtering\nat 300 V, 10 min\n\nnicely ordered")
    found = header_of(tmp_path, "a.txt", text).metadata["Experiment"]["Comments"]
    assert found == "after sputtering\nat 300 V, 10 min\nnicely ordered"


def test_a_motor_that_is_called_value_hides_no_other(tmp_path: Path) -> None:
    region = header_of(tmp_path, "a.txt", ses_text(more="[Manipulator #]\nvalue=5\nX=1\n")).metadata["Region 1 Ag3d"]
    assert region["Manipulator"] == {"Value": 5, "X": 1}


# --------------------------------------------------------------------- waves and zips


def test_a_text_and_its_wave_are_one_region(tmp_path: Path) -> None:
    files = [tmp_path / "Ag_0001.txt", tmp_path / "Ag_0001Ag3d_001.ibw", tmp_path / "notes.txt"]
    files[0].write_text(ses_text(("Ag3d", "C1s")))
    files[1].write_bytes(ses_wave("Ag3d"))
    files[2].write_text("hello")
    header = read("ses", [str(file) for file in reversed(files)], LUND, str(tmp_path))
    assert list(header.metadata) == ["Experiment", "Analyser", "Region 1 Ag3d", "Region 2 C1s"]
    assert header.data_format == "Scienta SES text 1.3.1, Igor binary wave of Scienta SES 1.2.5"
    assert header.metadata["Region 1 Ag3d"]["Signal"] == "Counts [a.u.]"
    assert [problem.partition(":")[0] for problem in header.problems] == ["notes.txt"]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_wave_of_ses(tmp_path: Path, order: str) -> None:
    content = ses_wave(order=order, shape=(4, 3), units=("Binding Energy [eV]", "Y-Scale [deg]"))
    region = header_of(tmp_path, "Ag_0001Ag3d_001.ibw", content).metadata["Region 1 Ag3d"]
    assert region["Pass energy"] == ev(50)
    assert (region["Axis 1"], region["Axis 1 first"], region["Axis 1 last"]) == ("Binding Energy", ev(382), ev(380.5))
    assert (region["Axis 2"], region["Axis 2 points"]) == ("Y-Scale", 3)


@pytest.mark.parametrize("version", [2, 5])
def test_a_wave_of_another_program(tmp_path: Path, version: int) -> None:
    content = wave("Gain = 12 dB\ntemperature: 77 K\nhello", version=version, name="wave0")
    header = header_of(tmp_path, "w.ibw", content)
    assert header.problems == ()
    assert header.title == "wave0"
    region = header.metadata["Region 1 wave0"]
    assert region["temperature"] == {"value": 77, "unit": "K"}
    assert region["Note"] == "hello"
    assert region["Axis 1 points"] == 4
    assert header.started is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_packed_experiment(tmp_path: Path, order: str) -> None:
    content = packed([ses_wave("Ag3d", 1, order=order), ses_wave("C1s", 2, order=order)], order)
    header = header_of(tmp_path, "Ag_0001.pxt", content)
    assert list(header.metadata) == ["Experiment", "Analyser", "Region 1 Ag3d", "Region 2 C1s"]
    assert header.data_format == "Igor packed experiment of Scienta SES 1.2.5"
    assert header.started == at(2023, 3, 8, 15, 24, 1, zone=LUND)


@pytest.mark.parametrize("viewer", [False, True])
def test_a_zip_of_a_map(tmp_path: Path, viewer: bool) -> None:
    header = header_of(tmp_path, "map_0001.zip", ses_zip(viewer=viewer))
    assert header.data_format == "Scienta SES zip 1.3.1"
    assert header.problems == ()
    region = header.metadata["Region 1 map1"]
    assert region["Lens mode"] == "Angular30"
    assert region["Run mode"] == {"Name": "DA30 Map"}
    assert (region["Axis 1"], region["Axis 1 first"], region["Axis 1 last"]) == ("Kinetic Energy", ev(16.5), ev(17.098))
    assert (region["Axis 3"], region["Axis 3 last"]) == ("Thetay", {"value": 4, "unit": "deg"})


def test_a_zip_with_several_regions(tmp_path: Path) -> None:
    header = header_of(tmp_path, "map_0001.zip", ses_zip(("one", "two")))
    assert list(header.metadata) == ["Experiment", "Analyser", "Region 1 one", "Region 2 two"]
    assert header.metadata["Region 2 two"]["Axis 2"] == "Thetax"


@pytest.mark.parametrize(
    ("name", "whole"), [("a.ibw", ses_wave()), ("a.pxt", packed([ses_wave()])), ("a.zip", ses_zip())]
)
def test_truncated_files_are_not_complete(tmp_path: Path, name: str, whole: bytes) -> None:
    for length in (1, 10, 100, len(whole) // 2, len(whole) - 1):
        header = header_of(tmp_path, name, whole[:length])
        assert not header.complete, length
        assert header.problems[0].startswith(f"{name}: "), length


# ---------------------------------------------------------------------------- Prodigy


def test_an_xy_of_prodigy(tmp_path: Path) -> None:
    header = header_of(tmp_path, "a.xy", prodigy_xy(), "prodigy")
    assert header.data_format == "SPECS Prodigy XY 4.100.1-r111001"
    assert header.title == "1 as-loaded: Survey"
    assert header.started == at(2023, 8, 24, 14, 19, 47)
    assert header.ended == pytest.approx(at(2023, 8, 24, 14, 19, 47) + 4 * 0.1)
    assert header.complete
    assert header.problems == ()
    assert header.metadata["Experiment"] == {
        "Program": "SpecsLab Prodigy 4.100.1-r111001",
        "Count rate": "Counts per Second",
        "Time zone format": "UTC",
        "Group": "1 as-loaded",
        "Analyser": "Phoibos",
        "Source": "XR 50",
        "Number of regions": 1,
        "Regions": "Survey",
    }
    region = header.metadata["Region 1 Survey"]
    expected = {
        "Lens mode": "LargeArea",
        "Lens voltage range": {"value": 1.5, "unit": "kV"},
        "Entrance slit": "4:7x20c",
        "Exit slit": "C:mesh",
        "Pass energy": ev(100),
        "Excitation energy": ev(1486.61),
        "Dwell time": {"value": 0.1, "unit": "s"},
        "Sweeps": 1,
        "Work function": ev(4.1082),
        "Bias voltage": {"value": 200, "unit": "V"},
        "Energy scale": "Binding",
        "Energy step": ev(0.5),
        "Comments": "fresh sputtered",
    }
    assert {key: region[key] for key in expected} == expected


def test_groups_regions_cycles_and_channels(tmp_path: Path) -> None:
    first = prodigy_region("O1s", "08/24/23 14:00:00 UTC", cycles=3, channel=True)
    second = prodigy_region("C1s", "08/24/23 13:00:00 UTC")
    header = header_of(tmp_path, "a.xy", prodigy_xy(groups=[("one", [first]), ("two", [second])]), "prodigy")
    assert header.started == at(2023, 8, 24, 13)
    assert header.complete
    region = header.metadata["Region 1 O1s"]
    assert (region["Group"], header.metadata["Region 2 C1s"]["Group"]) == ("one", "two")
    assert region["Cycles"] == 3
    assert region["Parameters"] == {"Z": {"value": -2, "unit": "mm", "end": -1.8, "min": -2, "max": -1.8}}
    assert region["External channels"] == {
        "Sample temperature (Laser heater)": {"value": 723, "unit": "K", "end": 725, "min": 723, "max": 725}
    }


@pytest.mark.parametrize(
    ("form", "date", "began"),
    [
        ("UTC", "08/24/23 14:19:47 UTC", at(2023, 8, 24, 14, 19, 47)),
        ("UTC", "08/24/23 14:19:47", at(2023, 8, 24, 14, 19, 47)),
        ("Local", "08/24/23 16:19:47", at(2023, 8, 24, 14, 19, 47)),
        ("Local", "08/24/23 16:19:47 CEST", at(2023, 8, 24, 14, 19, 47)),
        ("Local", "08/24/23 16:19:47 UTC+2", at(2023, 8, 24, 14, 19, 47)),
        ("", "2023-08-24 14:19:47 UTC", at(2023, 8, 24, 14, 19, 47)),
        ("", "2023-08-24T10:19:47-04:00", at(2023, 8, 24, 14, 19, 47)),
        ("", "8/24/2023 4:19:47 PM", at(2023, 8, 24, 14, 19, 47)),
        ("", "24.08.2023 16:19:47", at(2023, 8, 24, 14, 19, 47)),
        ("", "99/99/23 16:19:47", None),
        ("", "yesterday", None),
    ],
)
def test_dates_with_their_zone(tmp_path: Path, form: str, date: str, began: float | None) -> None:
    text = prodigy_xy(form, [("g", [prodigy_region("O1s", date)])])
    assert header_of(tmp_path, "a.xy", text, "prodigy").started == began


def test_another_comment_prefix(tmp_path: Path) -> None:
    text = prodigy_xy(groups=[("g", [prodigy_region("O1s", "08/24/23 14:00:00 UTC", cycles=2)])]).replace("#", ";;")
    header = header_of(tmp_path, "a.xy", text, "prodigy")
    assert header.metadata["Region 1 O1s"]["Cycles"] == 2
    assert header.complete


def test_an_unfinished_xy_file_and_another_text(tmp_path: Path) -> None:
    whole = prodigy_xy().rstrip("\n")
    assert not header_of(tmp_path, "a.xy", whole[: whole.rindex("\n")], "prodigy").complete
    assert not header_of(tmp_path, "a.xy", whole.partition("# Cycle")[0], "prodigy").complete
    assert not header_of(tmp_path, "a.xy", whole[:20], "prodigy").complete
    cycles = prodigy_xy(groups=[("g", [prodigy_region("O1s", "08/24/23 14:00:00 UTC", cycles=2, channel=True)])])
    for cut in (
        "# Cycle: 1\n",
        "# Cycle: 1, Curve",
        "# External Channel",
        "# ColumnLabels: energy Sample",
        "381.0  724",
    ):
        assert not header_of(tmp_path, "a.xy", cycles[: cycles.rindex(cut) + 9], "prodigy").complete, cut
    other = header_of(tmp_path, "a.xy", "1 2\n" * 1000, "prodigy")
    assert other.complete
    assert "is not an XY file of Prodigy" in other.problems[0]


def test_an_xml_of_specslab(tmp_path: Path) -> None:
    header = header_of(tmp_path, "a.xml", prodigy_xml(), "prodigy")
    assert header.problems == ()
    assert header.data_format == "SPECS XML SL 2.53-r17444"
    assert header.title == "as loaded: Survey, O1s"
    assert header.started == 1692886787
    assert header.ended == 1692886887 + 2 * 3 * 0.5  # the last cycle's scans, each of its values
    assert header.metadata["Experiment"] == {
        "Program": "SL 2.53-r17444",
        "Group": "as loaded",
        "Analyser": "PHOIBOS 150",
        "Source": "XR 50",
        "Comments": "clean",
        "Number of regions": 2,
        "Regions": "Survey, O1s",
    }
    region = header.metadata["Region 2 O1s"]
    expected = {
        "Analysis method": "XPS",
        "Lens mode": "MediumArea",
        "Exit slit": "B:open",
        "Scan mode": "FixedAnalyzerTransmission",
        "Sweeps": 2,
        "Dwell time": {"value": 0.5, "unit": "s"},
        "Energy step": ev(0.05),
        "Pass energy": ev(20),
        "Analyser settings": {"Coil Current": {"value": 1.5, "unit": "mA"}},
        "Parameters": {"Sample Temperature": {"value": 300, "unit": "K", "end": 301, "min": 300, "max": 301}},
        "Cycles": 2,
        "Began": "2023-08-24T14:19:47+00:00",
    }
    assert {key: region[key] for key in expected} == expected
    assert "Color" not in region


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [("", "utf-8"), ("", "latin-1"), (' encoding="ISO-8859-1"', "latin-1"), (' encoding="UTF-16"', "utf-16")],
)
def test_an_xml_in_any_encoding(tmp_path: Path, declared: str, encoding: str) -> None:
    header = header_of(tmp_path, "a.xml", prodigy_xml(("Schmeißer",), declared=declared).encode(encoding), "prodigy")
    assert header.title == "as loaded: Schmeißer"


def test_a_truncated_or_damaged_xml_is_read_as_far_as_possible(tmp_path: Path) -> None:
    whole = prodigy_xml()
    cut = header_of(tmp_path, "a.xml", whole[:-100], "prodigy")
    assert not cut.complete
    assert "Region 2 O1s" in cut.metadata
    damaged = header_of(tmp_path, "a.xml", whole[:-100] + "<<" + whole[-100:], "prodigy")
    assert damaged.complete
    assert "Region 2 O1s" in damaged.metadata
    assert "is not XML: not well-formed" in damaged.problems[0]


def test_an_experiment_and_its_export_are_one(tmp_path: Path) -> None:
    prodigy_sle(tmp_path / "a.sle")
    text = prodigy_xy(groups=[("as loaded", [prodigy_region("Sb 3d", "08/24/23 14:19:47 UTC")])])
    (tmp_path / "a.xy").write_text(text)
    header = read("prodigy", [str(tmp_path / name) for name in ("a.sle", "a.xy")], LUND, str(tmp_path))
    assert [name for name in header.metadata if name.startswith("Region")] == ["Region 1 Sb 3d"]


def test_the_schedule_of_an_experiment(tmp_path: Path) -> None:
    header = header_of(tmp_path, "a.xml", SCHEDULE, "prodigy")
    assert header.title == "as loaded: Sb 3d, O 1s"
    region = header.metadata["Region 1 Sb 3d"]
    assert region["Analysis method"] == "XPS"
    assert region["Lens mode"] == "LargeArea"
    assert region["Pass energy"] == ev(20)


def test_an_sle(tmp_path: Path) -> None:
    path = tmp_path / "session.sle"
    prodigy_sle(path)
    header = read("prodigy", [str(path)], LUND, str(tmp_path))
    assert header.problems == ()
    assert header.data_format == "SPECS Prodigy experiment 4.37.2-r68309"
    assert header.started == at(2023, 8, 24, 14, 19, 47) + 0.25
    assert header.ended == pytest.approx(at(2023, 8, 24, 14, 21, 47) + 0.25 + 401 * 0.1)
    assert [name for name in header.metadata if name.startswith("Region")] == ["Region 1 Sb 3d"]
    region = header.metadata["Region 1 Sb 3d"]
    assert region["Excitation energy"] == ev(1486.61)
    assert region["Lens mode"] == "LargeArea"
    assert region["Scans"] == 3
    assert (region["Comments"], header.metadata["Experiment"]["Scans"]) == ("clean", 3)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["session.sle"]  # no journal, no lock


def test_a_truncated_sle_and_one_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "session.sle"
    prodigy_sle(path)
    whole = path.read_bytes()
    for length in (10, 50, 4096, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert not read("prodigy", [str(path)], LUND, str(tmp_path)).complete
    assert "not a .sle file" in header_of(tmp_path, "b.sle", "hello" * 100, "prodigy").problems[0]


# ------------------------------------------------------------------- all of them alike


def test_no_reader_reads_nothing(tmp_path: Path) -> None:
    assert read("none", [str(tmp_path / "missing")], LUND, str(tmp_path)) == Header()
    with pytest.raises(ValueError, match="there is no reader 'sess', there are ses, prodigy, none"):
        read("sess", [], LUND, "/")


def test_headers_fit_into_messages_with_units_that_scicat_converts(tmp_path: Path) -> None:
    text = header_of(tmp_path, "a.txt", ses_text(("Ag3d", "C1s"), slices=3)).metadata
    xml = header_of(tmp_path, "a.xml", prodigy_xml(), "prodigy").metadata
    for given in (text, xml):
        problems: list[str] = []
        metadata = as_metadata(given, "a file", "2023-03-08T14:24:35.000Z", problems)
        assert problems == []
        assert encode(metadata)
        units = {found["unit"] for _, found in leaves(metadata)} - {""}
        assert units
        assert all(convertible(unit) for unit in units), units


def test_many_regions_are_summarised(tmp_path: Path) -> None:
    header = header_of(tmp_path, "a.txt", ses_text([f"R{number}" for number in range(59)] + ["last"] * 20))
    assert len(header.metadata) == 62
    assert header.metadata["Experiment"]["Number of regions"] == 79
    assert "of 79 regions only the first 60 are recorded in full" in header.problems
    assert header.title == "R0, R1, R2, R3, R4 and 55 more"


@pytest.mark.parametrize(
    ("reader", "name", "expected"),
    [
        ("ses", "Ag_0001.txt", "Ag_0001"),
        ("ses", "Ag_0001.pxt", "Ag_0001"),
        ("ses", "Ag_0001Ag__001.ibw", "Ag_0001"),
        ("ses", "Cu-HHTP_0005Cu-HHTP__005.IBW", "Cu-HHTP_0005"),
        ("ses", "X_2023_Ag_0001Ag__001.ibw", "X_2023_Ag_0001"),
        ("ses", "Ag_0001Au_2000_001.ibw", "Ag_0001"),
        ("ses", "scan_00012_001.ibw", "scan_00012_001"),
        ("ses", "day 1/Ag_0001Ag__001.ibw", "day 1/Ag_0001"),
        ("ses", "Ag_0001.v2.txt", "Ag_0001.v2"),
        ("prodigy", "MgFe2O4.xy", "MgFe2O4"),
        ("prodigy", "Ag_0001Ag__001.ibw", "Ag_0001Ag__001"),
        ("none", "frame_0001.tif", "frame_0001"),
    ],
)
def test_the_measurement_that_a_name_belongs_to(reader: str, name: str, expected: str) -> None:
    assert stem(reader, name) == expected


# -------------------------------------------------------------------- real instruments

real = pytest.mark.skipif(not SHARED.is_dir(), reason="the files of real instruments are not here")


@real
def test_real_files_of_ses() -> None:
    header = read("ses", [str(file) for file in (SHARED / "ses").iterdir()], LUND, str(SHARED))
    assert header.problems == ()
    assert header.complete
    assert header.started == at(2023, 3, 8, 15, 24, 35, zone=LUND)
    assert list(header.metadata) == ["Experiment", "Analyser", "Region 1 Ag3d"]
    assert header.metadata["Region 1 Ag3d"]["Excitation energy"] == ev(520)
    assert header.metadata["Region 1 Ag3d"]["Axis 1 last"] == ev(364)


@real
def test_real_file_of_prodigy() -> None:
    header = read("prodigy", [str(SHARED / "prodigy" / "MgFe2O4_small.xy")], LUND, str(SHARED))
    assert header.problems == ()
    assert header.complete
    assert header.started == at(2023, 8, 24, 14, 11, 36)
    assert list(header.metadata) == ["Experiment", "Analyser", "Region 1 Survey", "Region 2 Fe2p"]
    assert header.metadata["Region 2 Fe2p"]["Energy step"] == ev(1)


def test_sections_of_a_note_may_be_repeated(tmp_path: Path) -> None:
    """SES repeats the region's name; the first value is used."""
    text = ses_text().replace(info(second=1), info(second=1) + "Pass Energy=99\n")
    assert header_of(tmp_path, "a.txt", text).metadata["Region 1 Ag3d"]["Pass energy"] == ev(50)
