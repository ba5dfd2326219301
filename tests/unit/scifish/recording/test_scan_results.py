"""What a scan's points come to."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pint
import pytest

from scifish.message import as_metadata, leaves
from scifish.recording.sardana_options import RecorderOptions, options_from
from scifish.recording.sardana_scan import SardanaScan
from scifish.recording.scan_results import MAX_COUNTERS, MAX_PLOT_POINTS, Column, ScanResults
from scifish.tango_io.database import raw
from tests.waiting import eventually

COUNTS = Column("tango://h:1/expchan/ctrl/1", "ct01", "counts")
TIMER = Column("tango://h:1/expchan/ctrl/2", "timer", "s")
MOTOR = Column("mot01", "mot01", "mm")
SECOND = Column("mot02", "mot02")


def peak(points: int = 11) -> ScanResults:
    found = ScanResults([TIMER, COUNTS], [MOTOR], "#1 ascan")
    for number in range(points):
        values = {MOTOR.name: number / 10, TIMER.name: 0.1, COUNTS.name: np.float64(100 - (number - 5) ** 2)}
        found.add(values)
    return found


def test_the_results_of_a_counter() -> None:
    found = peak().as_metadata()["Scan results"]["ct01"]
    assert found == {
        "first": {"value": 75, "unit": "counts"},
        "last": {"value": 75, "unit": "counts"},
        "min": {"value": 75, "unit": "counts"},
        "max": {"value": 100, "unit": "counts"},
        "mean": {"value": 90, "unit": "counts"},
        "points": {"value": 11},
        "position of max": {"mot01": {"value": 0.5, "unit": "mm"}},
    }


def test_what_is_not_a_number_is_left_out() -> None:
    found = ScanResults([COUNTS], [MOTOR])
    for value in (math.nan, None, "h5file:///a.h5", np.zeros(1024), [1.0], math.inf, np.int32(4), True, 2, object()):
        found.add({MOTOR.name: None, COUNTS.name: value})
    found.add({})
    numbers = found.as_metadata()["Scan results"]["ct01"]
    assert (numbers["points"]["value"], numbers["min"]["value"], numbers["max"]["value"]) == (3, 1, 4)
    assert "position of max" not in numbers
    assert ScanResults([COUNTS], [MOTOR]).as_metadata() == {}
    assert ScanResults([], []).plot() is None


def test_names_that_would_be_taken_for_something_else() -> None:
    columns = [Column("a", "value"), Column("b", "same"), Column("c", "same")]
    found = ScanResults(columns, [Column("m", "value")])
    found.add({"a": 1, "b": 2, "c": 3, "m": 4})
    metadata = as_metadata(found.as_metadata(), "test", "2026-01-01T00:00:00.000Z")
    assert set(metadata["Scan results"]) == {"value ", "same", "c"}
    assert len(list(leaves(metadata))) == 3 * 7


def test_the_plot_is_of_the_first_counter_that_changes() -> None:
    plot = peak().plot()
    assert plot is not None
    assert (plot["y_label"], plot["x_label"], plot["title"]) == ("ct01 (counts)", "mot01 (mm)", "#1 ascan")
    assert plot["y"][5] == 100
    assert plot["x"][5] == 0.5


def test_the_plot_that_a_user_asks_for() -> None:
    results = peak()
    asked = results.plot("timer", "mot01")
    assert asked is not None
    assert asked["y_label"] == "timer (s)"
    other = ScanResults([COUNTS, Column("x", "x")], [MOTOR])
    for number in range(3):
        other.add({COUNTS.name: number, "x": number, MOTOR.name: number})
    marked = other.plot(marked=["x"])
    assert marked is not None
    assert marked["y_label"] == "x"


def test_a_mesh_is_an_area_and_an_a2scan_is_a_line() -> None:
    mesh, line = ScanResults([COUNTS], [MOTOR, SECOND]), ScanResults([COUNTS], [MOTOR, SECOND])
    for number in range(20):
        mesh.add({MOTOR.name: number % 5, SECOND.name: number // 5, COUNTS.name: number})
        line.add({MOTOR.name: number, SECOND.name: -3.0 * number, COUNTS.name: number})
    area, along = mesh.plot(), line.plot()
    assert area is not None
    assert along is not None
    assert (area["z_label"], area["y_label"], len(area["z"])) == ("ct01 (counts)", "mot02", 20)
    assert "z" not in along
    asked = mesh.plot(axis="mot02")
    assert asked is not None
    assert "z" not in asked
    at = mesh.as_metadata()["Scan results"]["ct01"]["position of max"]
    assert {name: leaf["value"] for name, leaf in at.items()} == {"mot01": 4, "mot02": 3}


def test_a_motor_that_is_not_known_gives_way_to_the_points_number() -> None:
    found = ScanResults([COUNTS], [MOTOR])
    for number in range(3):
        found.add({COUNTS.name: number})
    plot = found.plot()
    assert plot is not None
    assert (plot["x_label"], plot["x"]) == ("point", [0, 1, 2])


def test_a_million_points_take_no_more_room() -> None:
    columns = [Column(f"c{number}", f"c{number}") for number in range(18)]
    found = ScanResults(columns, [MOTOR, SECOND])
    values = {column.name: np.float64(1.5) for column in columns} | {MOTOR.name: 1.0, SECOND.name: 2.0}
    for number in range(20_000):
        values[MOTOR.name] = float(number)
        found.add(values)
    plot = found.plot()
    assert plot is not None
    assert MAX_PLOT_POINTS / 2 <= len(plot["x"]) <= MAX_PLOT_POINTS
    assert plot["x"][:2] in ([0, 16], [0, 32])
    assert len(ScanResults([Column(str(n), str(n)) for n in range(1000)], [MOTOR]).labels[0]) == MAX_COUNTERS


def test_another_thread_may_look_while_points_come() -> None:
    found = ScanResults([COUNTS], [MOTOR])
    done = threading.Event()
    seen: list[int] = []

    def look() -> None:
        while not done.is_set():
            seen.extend(group["points"]["value"] for group in found.as_metadata().get("Scan results", {}).values())
            found.plot()

    other = threading.Thread(target=look)
    other.start()
    for number in range(30_000):
        found.add({MOTOR.name: number, COUNTS.name: number})
    assert eventually(lambda: len(seen) > 0)
    done.set()
    other.join()
    assert seen == sorted(seen)


# ------------------------------------------------------------------------ a scan


def column(name: str, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"name": name, "label": name, "shape": [], "data_units": "", **more})


def environment(**more: Any) -> dict[str, Any]:
    detector = column("tango://h:1/det", label="det", shape=[1024, 1024], dtype="str", value_ref_enabled=True)
    columns = [
        column("point_nb"),
        column("mot01", moveable=None),
        column("mot02", moveable=None),
        column("tango://h:1/ct01", label="ct01", plot_type=0),
        column("tango://h:1/oned", label="oned", shape=[1024]),
        detector,
        column("timestamp", label="dt"),
    ]
    return {
        "serialno": 7,
        "title": "mesh mot01 mot02",
        "user": "astlin",
        "counters": ["tango://h:1/ct01", "tango://h:1/oned", "tango://h:1/det"],
        "ref_moveables": ["mot01"],
        "datadesc": columns,
        "preScanSnapShot": [column("sys/tg_test/1/double", label="energy", pre_scan_value=12.4, source="tango://e")],
        "ScanFile": ["a.h5", "a.dat"],
        "ScanDir": "/data",
        **more,
    }


def record(number: int) -> dict[str, Any]:
    return {
        "point_nb": number,
        "mot01": float(number),
        "mot02": 0.0,
        "tango://h:1/ct01": float(number),
        "tango://h:1/oned": np.zeros(1024),
        "tango://h:1/det": f"file:///data/img_{number:04d}.tif",
        "timestamp": 0.1,
    }


def test_a_scan_in_the_words_of_a_dataset() -> None:
    scan = SardanaScan(environment(), RecorderOptions())
    for number in range(1000):
        scan.point(record(number))
    said = scan.fields()
    assert said["files"] == [
        "/data/a.h5",
        "/data/a.dat",
        {"pattern": "/data/img_{index:04d}.tif", "first": 0, "count": 1000},
    ]
    assert (said["dataFormat"], said["sourceFolder"]) == ("HDF5", "/data")
    assert said["environment"] == {
        "title": "mesh mot01 mot02",
        "scanID": 7,
        "user": "astlin",
        "detectors": ["ct01", "det", "oned"],
        "motors": ["mot01", "mot02"],
    }
    assert set(said["scientificMetadata"]) == {"Scan results", "Sardana snapshot"}
    assert set(said["scientificMetadata"]["Scan results"]) == {"ct01"}
    assert said["scientificMetadata"]["Sardana snapshot"] == {"energy": {"value": 12.4, "source": "tango://e"}}
    plot = scan.plot()
    assert plot is not None
    assert (plot["title"], plot["x_label"]) == ("#7 mesh mot01 mot02", "mot01")


@pytest.mark.parametrize("sent", [raw, str], ids=["UTF-8", "Latin-1"])
def test_units_labels_and_texts_of_the_scan_arrive_as_they_were_written(sent: Callable[[str], str]) -> None:
    """Sardana has them from Tango, as PyTango decodes them; it cannot parse a unit in UTF-8."""
    position = SimpleNamespace(_units=pint.Unit(""), _pytango_attrinfoex=SimpleNamespace(unit=sent("µm")))
    mirror = SimpleNamespace(getPositionObj=lambda: position)
    found = environment(counters=["a/b/c/1", "a/b/c/2"], ref_moveables=["m"])
    found["datadesc"] = [
        column("m", label=sent("Höhe"), moveable=mirror),
        column("a/b/c/1", label=sent("Röntgen"), data_units=sent("µA")),
        column("a/b/c/2", data_units="No unit"),
    ]
    found["preScanSnapShot"] = [column("a/b/c/3", label=sent("Spalt für A"), pre_scan_value=sent("25 °C"))]
    scan = SardanaScan(found, RecorderOptions())
    scan.point({"m": 1.0, "a/b/c/1": 2.0, "a/b/c/2": 3.0})
    said = scan.fields()
    counter = said["scientificMetadata"]["Scan results"]["Röntgen"]
    assert counter["max"] == {"value": 2.0, "unit": "µA"}
    assert counter["position of max"] == {"Höhe": {"value": 1.0, "unit": "µm"}}
    assert said["scientificMetadata"]["Scan results"]["a/b/c/2"]["max"] == {"value": 3.0, "unit": ""}
    assert said["scientificMetadata"]["Sardana snapshot"]["Spalt für A"]["value"] == "25 °C"
    assert (said["environment"]["motors"], said["environment"]["detectors"]) == (["Höhe"], ["Röntgen", "a/b/c/2"])
    plot = scan.plot()
    assert plot is not None
    assert plot["x_label"] == "Höhe (µm)"


def test_a_scan_in_time_goes_along_its_time() -> None:
    found = environment(ref_moveables=[], ScanFile=None)
    found["datadesc"] = [each for each in found["datadesc"] if not hasattr(each, "moveable")]
    scan = SardanaScan(found, RecorderOptions())
    scan.point(record(3))
    said = scan.fields()
    at = said["scientificMetadata"]["Scan results"]["ct01"]["position of max"]
    assert at == {"time": {"value": 0.1, "unit": "s"}}
    assert (said["environment"]["motors"], said["sourceFolder"], said["dataFormat"]) == ([], "", "")
    assert said["files"] == ["/data/img_0003.tif"]


def test_each_part_can_be_switched_off() -> None:
    scan = SardanaScan(
        environment(), RecorderOptions(results=False, plot=False, detector_files=False, description="Night shift")
    )
    scan.point(record(1))
    said = scan.fields()
    assert said["files"] == ["/data/a.h5", "/data/a.dat"]
    assert "Scan results" not in said["scientificMetadata"]
    assert said["description"] == "Night shift"
    assert scan.plot() is None
    no_results = SardanaScan(environment(), RecorderOptions(results=False))
    no_results.point(record(1))
    assert "Scan results" not in no_results.fields()["scientificMetadata"]
    assert no_results.plot() is not None


def test_latest_is_asked_once_a_second_and_says_only_what_is_new() -> None:
    scan = SardanaScan(environment(), RecorderOptions())
    assert scan.latest() is None
    scan.point(record(1))
    assert scan.latest() is not None
    assert scan.latest() is None
    scan.add_custom("a", 1)
    found = scan.latest()
    assert found is not None
    assert found["scientificMetadata"]["Custom data"] == {"a": 1}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("text", "text"),
        (3, 3),
        ([1, 2, 3], [1, 2, 3]),
        (("a", "b"), ["a", "b"]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        (["a"] * 100, [*["a"] * 64, "... (100 in all)"]),
        ([True, False], [True, False]),
        ({"value": 1, "unit": "mm"}, {"value": 1, "unit": "mm"}),
        ({"deep": {"list": [1]}}, {"deep": {"list": [1]}}),
        (None, None),
        (np.float64(2.5), 2.5),
    ],
)
def test_custom_data_are_copied(value: Any, kept: Any) -> None:
    scan = SardanaScan(environment(), RecorderOptions())
    scan.add_custom("a", value)
    found = scan.fields()["scientificMetadata"]["Custom data"]["a"]
    if isinstance(found, dict) and "deep" in found:
        found = {"deep": {"list": found["deep"]["list"].tolist()}}
    assert (found.tolist() if hasattr(found, "tolist") else found) == kept


def test_an_endless_iterator_is_not_run_through() -> None:
    scan = SardanaScan(environment(), RecorderOptions())
    scan.add_custom("a", iter(int, 1))
    assert "callable_iterator" in scan.fields()["scientificMetadata"]["Custom data"]["a"]


# --------------------------------------------------------------------- the options


def test_options_with_their_defaults() -> None:
    assert options_from(None) == (RecorderOptions(), [])
    given = {"enabled": False, "description": "Night shift", "plot_counter": "ct02"}
    assert options_from(given) == (RecorderOptions(enabled=False, description="Night shift", plot_counter="ct02"), [])


def test_what_is_right_stays_in_use() -> None:
    options, wrong = options_from({"results": False, "plots": True, "plot": 1, "colour": "red", 3: 4})
    assert options == RecorderOptions(results=False)
    assert wrong[0] == "the variable SciFish: there is no option 'plots'; did you mean 'plot'?"
    assert wrong[1] == "the variable SciFish: plot is 1; it must be True or False"
    assert "there are: enabled, results, plot, plot_counter, plot_axis, detector_files, description" in wrong[2]
    assert len(wrong) == 4


@pytest.mark.parametrize(("asked", "hint"), [("ct1", "did you mean 'ct01'?"), ("xyz", "there are: ct01")])
def test_a_counter_that_the_scan_has_not(asked: str, hint: str) -> None:
    (said,) = SardanaScan(environment(), RecorderOptions(plot_counter=asked)).mistakes()
    assert said == f"the variable SciFish: this scan has no {asked!r} to plot; {hint}"
    assert SardanaScan(environment(), RecorderOptions(plot_counter="ct01", plot_axis="mot02")).mistakes() == []
