"""The class SciFish, called as contrast, MXCuBE and anybody else may call it: on a session that only notes.

How a session handles its commands is tested with the real one, in tests/integration/scifish/test_fish.py.
"""

from __future__ import annotations

import datetime as dt
import functools
import gc
import itertools
import json
import math
import pickle
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from scifish.dataset import compose
from scifish.dataset.compose import Observed, Record
from scifish.dataset.files import describe
from scifish.message import MAX_MESSAGE_BYTES, STATUSES, Message, bounded, check, decode, encode, leaves
from scifish.recording import fields
from scifish.recording import scifish as scifish_module
from scifish.recording.scifish import SciFish
from scifish.recording.session import NotRecorded
from scifish.settings import Settings, SettingsError

SETTINGS = Settings(beamline="lab", topic="scifish-lab")
ORIGIN = {"host": "h", "program": "test", "version": "1", "run": "r"}


class Noting:
    """A replacement of a session: it reads its commands as the real one does, and notes them."""

    origin = ORIGIN

    def __init__(self) -> None:
        self.settings = self
        self.datasets: list[NotedDataset] = []
        self.closed = False

    def known(self) -> Settings:
        return SETTINGS

    def begin(
        self, said: Message, announce: bool, latest: Callable[[], Message | None], points: int | None
    ) -> NotedDataset:
        assert announce is False
        assert points is None
        self.datasets.append(NotedDataset(said, latest))
        return self.datasets[-1]

    def observed(self, uuid: str, timeout: float) -> None:
        """Nothing is on its disk."""

    def close(self) -> None:
        self.closed = True

    @property
    def messages(self) -> list[Message]:
        return [message for dataset in self.datasets for message in dataset.messages]

    @property
    def last(self) -> Message:
        """The last message, which is the end of a dataset."""
        assert self.messages[-1]["type"] == "ended"
        return self.messages[-1]


class NotedDataset:
    def __init__(self, said: Message, latest: Callable[[], Message | None]) -> None:
        self.uuid = str(uuid4())
        self.record = Record(
            self.uuid, time.time(), compose.as_given(said, 1.8e9, "test"), observed=Observed(values={})
        )
        self.points: int | None = None
        self.latest = latest
        self.messages: list[Message] = []

    def pulse(self) -> Message | None:
        """What a session does each second."""
        found = self.latest()
        if found is not None:
            self.record.given = compose.as_given(found, 1.8e9, "test")
        return found

    def announce(self, said: Message) -> None:
        self.record.given = compose.as_given(said, 1.8e9, "test")
        self.messages.append(_sent(compose.began(self.record, SETTINGS, ORIGIN)))

    def end(self, status: str, said: Message) -> None:
        self.record.given = compose.as_given(said, 1.8e9, "test")
        self.record.ending = compose.ending(status, self.record.started, self.points)
        files = [describe(file) for file in compose.as_list(self.record.given.get("files"))]
        self.messages.append(_sent(compose.ended(self.record, files, SETTINGS, ORIGIN)))


def _sent(message: Message) -> Message:
    """As it comes out of Kafka, after the check against the schema."""
    parts = bounded({**message, "seq": 1})
    for part in parts:
        assert len(encode(part)) <= MAX_MESSAGE_BYTES
        decode(encode(part))
    return decode(encode(parts[0]))


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Noting:
    noting = Noting()
    monkeypatch.setattr(scifish_module, "recording_session", lambda settings, program, pathfixer: noting)
    monkeypatch.setattr(fields, "_warned", set())
    return noting


def values(message: Message) -> dict[str, Any]:
    return {path: leaf["value"] for path, leaf in leaves(message["scientificMetadata"])}


# ------------------------------------------------------------------------- contrast


class Recorder:
    """A recorder as those of contrast: one SciFish for each scan, which gets what the scan's header has."""

    SciFish: Callable[[], SciFish] = SciFish

    def header(self, scannr: int, description: str, snapshot: dict[str, Any]) -> None:
        self.entry = self.SciFish()
        self.entry.start_scan()
        self.entry.scicat_data.datasetName = scannr
        self.entry.scicat_data.sampleId = scannr
        self.entry.environment_data.title = description
        self.entry.environment_data.scanID = scannr
        self.entry.scicat_data.scientificMetadata.update(snapshot)
        self.entry.scicat_data.scientificMetadata.update({"ptycho": True})
        self.entry.send_start()

    def data(self, point: dict[str, Any]) -> None:
        self.entry.environment_data.detectors = sorted(point.keys())

    def footer(self) -> str:
        shown = self.entry.show()
        self.entry.end_scan()
        return shown


def test_earlier_values_are_kept_where_a_program_gives_none(session: Noting, caplog: pytest.LogCaptureFixture) -> None:
    fish = SciFish()
    fish.start_scan(datasetName="x")
    fish.scicat_data.sampleId = "s"
    fish.scicat_data = None
    fish.environment_data = None
    fish.end_scan()
    assert (session.last["datasetName"], session.last["sampleId"]) == ("x", "s")
    assert "scicat_data is set to None: the fields set before are kept" in caplog.text


def test_contrast_as_it_is_now(session: Noting) -> None:
    recorder = Recorder()
    snapshot = {"energy": 12_000.0, "samx": numpy.float64(0.5), "shutter": False, "eiger": None, "seastar": "closed"}
    for number in (17, 18):
        recorder.header(number, "npointflyscan samx -5 5 10 ptycho=True", snapshot)
        recorder.data({"samx": 0.0, "eiger": Path("x.h5"), "alba": {1: 0.1}})
        assert f'"datasetName": "{number}"' in recorder.footer()
    began, first, _, second = session.messages
    assert [message["type"] for message in session.messages] == ["began", "ended", "began", "ended"]
    assert began["uuid"] == first["uuid"] != second["uuid"]
    assert (second["datasetName"], second["sampleId"], second["environment"]["scanID"]) == ("18", "18", 18)
    assert second["environment"]["title"] == "npointflyscan samx -5 5 10 ptycho=True"
    assert second["environment"]["detectors"] == ["alba", "eiger", "samx"]
    assert values(second) == {**snapshot, "samx": 0.5, "ptycho": True}


def test_contrasts_class_is_given_a_pathfixer_by_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the how-to. Its process is begun by pickling the recorder, and makes a SciFish for each scan."""
    asked: list[str] = []
    noting = Noting()

    def session(settings: Any, program: str, pathfixer: str) -> Noting:
        asked.append(pathfixer)
        return noting

    monkeypatch.setattr(scifish_module, "recording_session", session)
    recorder = Recorder()
    recorder.SciFish = functools.partial(SciFish, pathfixer="B303A-E02/CTL/SDM-01")
    spawned = pickle.loads(pickle.dumps(recorder))
    spawned.header(17, "ascan x 0 1", {})
    spawned.footer()
    assert set(asked) == {"B303A-E02/CTL/SDM-01"}
    assert noting.last["datasetName"] == "17"


def test_contrast_as_it_was_at_first(session: Noting, caplog: pytest.LogCaptureFixture) -> None:
    fish = SciFish()
    fish.start_scan()
    fish.scicat_data.datasetName = 17
    fish.scicat_data.scanID = 17
    fish.scicat_data.title = "ascan x 0 1"
    fish.scicat_data.detectors = sorted(["pilatus", "eiger"])
    fish.end_scan()
    assert session.last["environment"] == {"title": "ascan x 0 1", "scanID": 17, "detectors": ["eiger", "pilatus"]}
    assert values(session.last) == {}
    assert caplog.text == ""


def test_contrasts_files_are_looked_at_for_it(session: Noting, tmp_path: Path) -> None:
    there = tmp_path / "scan_000017.h5"
    there.write_bytes(b"x" * 10)
    when = dt.datetime.fromtimestamp(there.stat().st_mtime, dt.UTC).replace(tzinfo=None)
    fish = SciFish()
    fish.start_scan()
    fish.scicat_data.files = [{"path": str(there), "time": when.isoformat(), "size": 10}]
    fish.scicat_data.files.append(there)
    fish.scicat_data.files.append({"path": tmp_path / "never.h5"})
    fish.end_scan()
    first, second, third = session.last["files"]
    assert first == second
    assert (third["size"], third["error"]) == (0, "No such file or directory")


def test_a_scan_whose_recorder_raised_is_not_running_forever(session: Noting, caplog: pytest.LogCaptureFixture) -> None:
    """One version of contrast's raises before it calls `end_scan`, and makes another SciFish for the next scan."""
    recorder = Recorder()
    recorder.header(17, "ascan x 0 1", {"energy": 12.0})
    recorder.entry.scicat_data.sourceFolder = "/data/17"
    recorder.header(18, "ascan x 0 1", {})
    gc.collect()
    first, second = session.datasets
    first.pulse()
    second.pulse()
    assert (session.datasets[0].messages[-1]["status"], first.messages[-1]["sourceFolder"]) == (
        "interrupted",
        "/data/17",
    )
    assert "without end_scan" in caplog.text
    assert first.pulse() is None
    assert [message["type"] for message in second.messages] == ["began"]


# --------------------------------------------------------------------------- MXCuBE


def collect(fish: SciFish, number: int, parameters: dict[str, Any], files: list[str]) -> None:
    """A collection as MXCuBE's plugin records it, on the one SciFish that it made when it started."""
    fish.start_scan(datasetName=f"lysozyme_{number}_master.h5")
    fish.scicat_data.proposalId = 20250001
    fish.scicat_data.sourceFolder = "/data/visitors/biomax/20250001/20251123/raw"
    fish.sampleId = parameters["blSampleId"]
    metadata = fish.scicat_data.scientificMetadata
    for name, value in parameters.items():
        if isinstance(value, dict):
            metadata.update({name: {}})
            for inner, found in value.items():
                metadata[name].update({inner: found})
        elif isinstance(value, list):  # of which it can take dictionaries only: a list of numbers leaves an empty group
            metadata.update({name: {}})
            for inner in value:
                if isinstance(inner, dict):
                    metadata[name].update(inner)
        else:
            unit = {"energy": "keV", "photon flux": "s^-1"}.get(name)
            metadata.update({name: {"value": value, "unit": unit} if unit else value})
    for path in set(files):
        fish.scicat_data.files.append({"path": path, "time": "2025-11-23T10:00:00.123456+00:00", "size": 5})
    fish.end_scan()


PARAMETERS = {
    "blSampleId": 4711,
    "energy": 12.398,
    "photon flux": 1.2e12,
    "oscillation_sequence": [{"start": 0.0, "range": 0.1, "number_of_images": 3600, "kappaStart": None}],
    "motors": {"phi": 12.5, "sampx": numpy.float32(0.25), "kappa": None},
    "ROI": [1, 2, 3],
    "sample_reference": {"cell": ",,,,,", "spacegroup": "P1", "blSampleId": -1},
    "in_queue": False,
    "comments": "",
    "collection_start_time": dt.datetime(2025, 11, 23, 10, 0, tzinfo=dt.UTC),
}


def test_mxcube_as_it_is_now(session: Noting) -> None:
    fish = SciFish()
    for number in (1, 2):
        collect(fish, number, PARAMETERS, [f"/a/{number}_master.h5", f"/a/{number}_data_000001.h5"] * 2)
    assert [message["type"] for message in session.messages] == ["ended", "ended"], "it never calls send_start"
    ended = session.last
    assert (ended["datasetName"], ended["sampleId"], ended["proposalId"]) == (
        "lysozyme_2_master.h5",
        "4711",
        "20250001",
    )
    assert sorted(file["path"] for file in ended["files"]) == ["/a/2_data_000001.h5", "/a/2_master.h5"]
    assert ended["files"][0]["time"] == "2025-11-23T10:00:00.123Z"
    assert ended["scientificMetadata"]["photon flux"]["unit"] == "s^-1"
    assert ended["scientificMetadata"]["ROI"] == {}
    found = values(ended)
    assert (found["oscillation_sequence/range"], found["motors/sampx"], found["motors/kappa"]) == (0.1, 0.25, None)
    assert found["collection_start_time"] == "2025-11-23T10:00:00.000Z"


def test_a_collection_that_failed_before_its_end_is_interrupted_by_the_next(session: Noting) -> None:
    fish = SciFish()
    fish.start_scan(datasetName="failed")
    fish.scicat_data.proposalId = 20250001
    collect(fish, 2, PARAMETERS, [])
    failed, done = session.messages
    assert (failed["datasetName"], failed["status"], failed["proposalId"]) == ("failed", "interrupted", "20250001")
    assert done["status"] == "completed"


def test_what_is_set_later_is_sent_each_second_and_only_if_it_is_new(session: Noting) -> None:
    fish = SciFish()
    fish.start_scan(datasetName="x")
    (dataset,) = session.datasets
    assert dataset.pulse() is None
    fish.scicat_data.proposalId = 20250001
    fish.scicat_data.scientificMetadata["group"] = {"a": [1, {"b": 2}]}
    first = dataset.pulse()
    assert first is not None
    assert dataset.record.given["proposalId"] == "20250001"
    assert dataset.pulse() is None
    fish.scicat_data.scientificMetadata["group"]["a"][1]["b"] = 3
    assert dataset.pulse() is not None
    assert dataset.record.given["scientificMetadata"]["group"]["a"]["value"] == [1, {"b": 3}]
    assert first["scientificMetadata"]["group"]["a"] == [1, {"b": 2}], "what was told does not change any more"
    fish.scicat_data.files.append("/a.h5")
    assert dataset.pulse() is not None
    fish.environment_data.user = "ada"
    assert dataset.pulse() is not None
    fish.send_start()
    assert dataset.pulse() is None


def test_fields_may_be_read_while_the_program_fills_them(session: Noting) -> None:
    fish = SciFish()
    fish.start_scan()
    (dataset,) = session.datasets
    over = threading.Event()
    wrong: list[Exception] = []

    def pulses() -> None:
        try:
            while not over.is_set():
                dataset.pulse()
        except Exception as error:  # noqa: BLE001 - whatever it is
            wrong.append(error)

    reader = threading.Thread(target=pulses)
    reader.start()
    metadata = fish.scicat_data.scientificMetadata
    try:
        for number in range(3000):
            metadata[f"n{number % 500}"] = {"value": number}
            metadata.setdefault("group", {})[f"{number % 300}"] = number
            fish.scicat_data.files.append(f"/{number}")
            setattr(fish.environment_data, f"more{number % 50}", number)
            if number % 7 == 0:
                metadata.pop(f"n{number % 400}", None)
    finally:
        over.set()
        reader.join()
    assert wrong == []
    fish.end_scan()
    assert len(session.last["files"]) == 3000
    assert "warnings" not in session.last


# ------------------------------------------------------------------------ any program


def test_names_that_are_not_fields_are_recorded_too(session: Noting, caplog: pytest.LogCaptureFixture) -> None:
    fish = SciFish()
    for _ in range(2):
        fish.start_scan()
        fish.scicat_data.exposure = {"value": 0.1, "unit": "s"}
        fish.scicat_data.owner = numpy.array(["ada"])
        fish.scicat_data.scientificMetadata["owner"] = "grace"
        fish.environment_data.humidity = numpy.float64(40)
        fish.environment_data.motors = ("x", "y")
        fish.end_scan()
    assert values(session.last) == {"exposure": 0.1, "owner": "grace", "owner (scicat_data)": ["ada"]}
    assert session.last["scientificMetadata"]["exposure"]["unit"] == "s"
    assert session.last["environment"] == {"humidity": 40.0, "motors": ["x", "y"], "detectors": []}
    assert caplog.text.count("scicat_data has no field 'exposure'") == 1


def test_all_of_it_may_be_replaced(session: Noting) -> None:
    fish = SciFish()
    fish.start_scan("first")
    fish.scicat_data = {"datasetName": "mine", "files": "/one.h5", "scientificMetadata": {"a": 1}, 5: 6}
    fish.environment_data = {"title": "t", "scanID": numpy.int64(5)}
    fish.sampleId = "s"
    assert fish.sampleId is not None
    fish.end_scan()
    ended = session.last
    assert (ended["datasetName"], ended["sampleId"], ended["files"][0]["path"]) == ("mine", "s", "/one.h5")
    assert (ended["environment"], values(ended)) == ({"title": "t", "scanID": 5}, {"a": 1, "5": 6})
    fish.start_scan("second")
    fish.scicat_data.scientificMetadata = [1, 2]
    fish.environment_data = "only a text"
    fish.end_scan()
    assert values(session.last) == {"scientificMetadata": [1, 2]}
    assert session.last["environment"] == {"environment_data": "only a text"}


def test_iterators_are_read_once_and_not_forever(session: Noting, caplog: pytest.LogCaptureFixture) -> None:
    fish = SciFish()
    fish.start_scan()
    fish.scicat_data.files = (f"/{n}.h5" for n in range(3))
    fish.environment_data.detectors = map(str.upper, ["a", "b"])
    fish.environment_data.endless = itertools.count()
    assert session.datasets[0].pulse() is not None
    fish.send_start()
    fish.end_scan()
    assert [file["path"] for file in session.last["files"]] == ["/0.h5", "/1.h5", "/2.h5"]
    assert session.last["environment"]["detectors"] == ["A", "B"]
    assert "only the first 100000 values of endless are recorded" in caplog.text


def test_what_is_set_too_early_or_too_late_is_reported(session: Noting, caplog: pytest.LogCaptureFixture) -> None:
    fish = SciFish()
    fish.scicat_data.datasetName = "early"
    fish.start_scan("first")
    assert "fields set before it are not recorded: datasetName" in caplog.text
    fish.end_scan()
    caplog.clear()
    fish.start_scan("second")
    fish.scicat_data.description = "in time"
    fish.end_scan()
    assert caplog.text == ""
    fish.scicat_data.files.append("/late.h5")
    fish.start_scan("third")
    assert "fields set before it are not recorded: files" in caplog.text


def test_calls_in_the_wrong_order_are_reported_and_change_nothing(
    session: Noting, caplog: pytest.LogCaptureFixture
) -> None:
    fish = SciFish()
    assert fish.show() == "no dataset is being recorded"
    fish.send_start()
    fish.end_scan()
    assert caplog.text.count("start_scan was not called") == 2
    fish.start_scan("x")
    fish.end_scan("stopped", 5)
    fish.end_scan("completed", 7)
    assert "has ended already" in caplog.text
    assert [(m["status"], m["numberOfPoints"]) for m in session.messages] == [("stopped", 5)]
    fish.start_scan("y")
    fish.end_scan(numpy.array([1, 2]), points=[])  # type: ignore[arg-type]
    assert (session.last["status"], "numberOfPoints" in session.last) == ("failed", False)
    fish.start_scan("z")
    fish.end_scan(points=10**5000)
    assert (session.last["datasetName"], "numberOfPoints" in session.last) == ("z", False)
    fish.start_scan("w")
    fish.end_scan(points=0)
    assert session.last["numberOfPoints"] == 0
    fish.start_scan("v")
    fish.end_scan()
    assert "numberOfPoints" not in session.last


def test_closing_ends_what_is_open_and_leaves_what_others_use(session: Noting) -> None:
    first, second = SciFish(SETTINGS), SciFish(SETTINGS)
    first.start_scan("first")
    second.start_scan("second")
    first.close()
    assert (session.last["datasetName"], session.last["status"], session.closed) == ("first", "interrupted", False)
    second.end_scan()
    second.close()
    assert session.closed is True
    second.close()
    second.start_scan("third")
    second.end_scan()
    assert session.last["datasetName"] == "third"


def test_the_shared_session_is_not_closed_by_one_of_its_users(session: Noting) -> None:
    fish = SciFish()
    fish.start_scan()
    fish.close()
    assert (session.last["status"], session.closed) == ("interrupted", False)


def test_a_machine_that_cannot_record_is_reported_and_retried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    noting, broken = Noting(), True

    def session(settings: Any, program: str, pathfixer: str) -> Noting:
        if broken:
            raise NotRecorded("the disk is read-only")
        return noting

    monkeypatch.setattr(scifish_module, "recording_session", session)
    fish = SciFish()
    fish.start_scan("lost")
    fish.sampleId = "s"
    fish.send_start()
    assert fish.show() == "no dataset is being recorded"
    fish.end_scan()
    assert caplog.text.count("the disk is read-only") == 2
    assert "or failed (see the log above)" in caplog.text
    assert fish.uuid == ""
    broken = False
    fish.start_scan("recorded")
    fish.end_scan()
    assert [message["datasetName"] for message in noting.messages] == ["recorded"]
    with pytest.raises(SettingsError):
        SciFish(Settings(beamline=""))


# -------------------------------------------------------------------- weird, in any order


class Unspeakable:
    """Of which nothing can be had."""

    def __str__(self) -> str:
        raise ValueError("no text")

    def __repr__(self) -> str:
        return "Unspeakable()"  # for hypothesis

    def __eq__(self, other: object) -> bool:
        raise ValueError("not to be compared")

    __hash__ = object.__hash__


class Endless:
    def __iter__(self) -> Iterator[int]:
        return itertools.count()


class Breaking(dict[Any, Any]):
    def items(self) -> Any:
        raise RuntimeError("dictionary changed size during iteration")

    def copy(self) -> Any:
        raise OSError("no copy")


class Pretending:
    """Says that it is an array."""

    shape = ("a", -1)
    dtype = None

    def tolist(self) -> Any:
        return self


@dataclass
class Cyclic:
    inner: list[Any] = field(default_factory=list)


def _recursive_list() -> list[Any]:
    found: list[Any] = [1]
    found += [found, found]
    return found


def _recursive_dict() -> dict[str, Any]:
    found: dict[str, Any] = {"value of it": 1}
    found["itself"] = {"deeper": found, "value": [found]}
    return found


def _laughs() -> list[Any]:
    found: list[Any] = ["ha"]
    for _ in range(60):
        found = [found, found]
    return found


def _deep() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(5000):
        found = {"deeper": found}
    return found


MAKERS: list[Callable[[], Any]] = [
    Unspeakable, Breaking, Pretending, Cyclic, _recursive_list, _recursive_dict, _deep, object,
    lambda: 10**5000, lambda: -(2**70), lambda: math.nan, lambda: -math.inf, lambda: complex(1, math.nan),
    lambda: b"\xff\x00", lambda: {1, "a"}, lambda: (n for n in range(3)), lambda: iter([Unspeakable()]),
    itertools.count, lambda: deque([1]), lambda: range(10**12), lambda: Decimal("1e-999"),
    lambda: numpy.array([Unspeakable(), None, {"a": 1}], dtype=object), lambda: numpy.float32("nan"),
    lambda: numpy.zeros((3, 1000)), lambda: numpy.array(["é"] * 100), lambda: numpy.datetime64("NaT"),
    lambda: numpy.array([(1, "a")], dtype=[("x", int), ("y", "U1")]), lambda: numpy.ma.masked,
    lambda: dt.datetime.min, lambda: dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-12))),
    lambda: dt.datetime(2025, 1, 1), lambda: dt.timedelta(days=-1), lambda: "\ud800", lambda: "\x00" * 30_000,
    lambda: {Unspeakable(): 1, 1: 2, "1": 3, None: 4, ("a", b"b"): 5, "\udfff": 6}, lambda: {"value": Unspeakable()},
    lambda: {"value": 1, "unit": Unspeakable(), "time": dt.datetime.min, "samples": Unspeakable(), "error": 3},
    lambda: OrderedDict(value=OrderedDict(value=1)), lambda: {"value": {"value": _recursive_dict()}},
    lambda: Exception, lambda: Path("/x"), lambda: [{"path": Unspeakable(), "time": "soon", "size": math.inf}],
    lambda: {"path": ["/a"], "size": "5", "time": 1e300}, lambda: {}, lambda: None, lambda: "",
]  # fmt: skip
WEIRD = st.sampled_from(MAKERS).map(lambda make: make()) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=5,
)
FIELD = st.sampled_from([*fields.DATASET_FIELDS, *fields.ENVIRONMENT_FIELDS, "other", "_hidden"])
WHERE = st.sampled_from(["scicat_data", "environment_data"])
CALL = st.one_of(
    st.tuples(st.just("start"), WEIRD),
    st.tuples(st.just("send")),
    st.tuples(st.just("end"), st.sampled_from(STATUSES) | WEIRD, st.integers() | WEIRD),
    st.tuples(st.just("show")),
    st.tuples(st.just("pulse")),
    st.tuples(st.just("close")),
    st.tuples(st.just("sample"), WEIRD),
    st.tuples(st.just("set"), WHERE, FIELD, WEIRD),
    st.tuples(st.just("delete"), WHERE, FIELD),
    st.tuples(st.just("update"), st.text(max_size=3), WEIRD),
    st.tuples(st.just("append"), WEIRD),
    st.tuples(st.just("replace"), WHERE, WEIRD),
)


def _call(fish: SciFish, session: Noting, what: str, *how: Any) -> None:
    match what, how:
        case "start", (name,):
            fish.start_scan(datasetName=name)
        case "send", ():
            fish.send_start()
        case "end", (status, points):
            fish.end_scan(status, points)
        case "show", ():
            assert isinstance(fish.show(), str)
        case "pulse", ():
            for dataset in session.datasets[-1:]:
                if dataset.record.ending is None:
                    dataset.pulse()
        case "close", ():
            fish.close()
        case "sample", (sample,):
            fish.sampleId = sample
        case "replace", (where, value):
            setattr(fish, where, value)
        case _:
            _change(fish, what, *how)


def _change(fish: SciFish, what: str, *how: Any) -> None:
    """What is the program's own doing may raise: it is not ours."""
    try:
        match what, how:
            case "set", (where, name, value):
                setattr(getattr(fish, where), name, value)
            case "delete", (where, name):
                delattr(getattr(fish, where), name)
            case "update", (name, value):
                fish.scicat_data.scientificMetadata.update({name: value})
            case "append", (value,):
                fish.scicat_data.files.append(value)
    except (AttributeError, TypeError):
        assert not isinstance(fish.scicat_data, fields.ScicatData) or what in ("delete", "update", "append", "set")


@given(st.lists(CALL, max_size=12))
@with_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_is_called_with_whatever_nothing_raises_and_each_dataset_ends_once(
    session: Noting, calls: list[tuple[Any, ...]]
) -> None:
    session.datasets.clear()
    fish = SciFish()
    for what, *how in calls:
        _call(fish, session, what, *how)
    fish.close()
    assert len(session.datasets) == sum(what == "start" for what, *_ in calls)
    for dataset in session.datasets:
        assert [message["type"] for message in dataset.messages].count("ended") == 1
        assert dataset.messages[-1]["type"] == "ended"


@given(WEIRD)
def test_a_weird_value_costs_only_itself(value: Any) -> None:
    given = compose.as_given(
        {
            "datasetName": value,
            "scientificMetadata": {"good": 1, "weird": value, "in a group": {"weird": value, "good": 2}, "last": 3},
            "environment": {"title": "t", "weird": value, "detectors": ["d", value]},
            "files": ["/good", value, "/last"],
        },
        1.8e9,
        "p",
    )
    record = Record(
        str(uuid4()), 1.8e9, given, observed=Observed(values={}), ending=compose.ending("completed", 1.8e9, 0)
    )
    files = [describe(file) for file in compose.as_list(given["files"])]
    message = {**compose.ended(record, files, SETTINGS, ORIGIN), "seq": 1}
    json.dumps(given)
    check(message)
    found = values(message)
    assert (found["good"], found["in a group/good"], found["last"]) == (1, 2, 3)
    assert {"weird", "in a group"} <= set(message["scientificMetadata"])
    assert "weird" in message["scientificMetadata"]["in a group"]
    assert (message["environment"]["title"], message["environment"]["detectors"][0]) == ("t", "d")
    assert (message["files"][0]["path"], message["files"][-1]["path"]) == ("/good", "/last")


@pytest.mark.parametrize("make", [Unspeakable, _recursive_list, lambda: Breaking(a=1), _deep, Endless])
def test_what_cannot_be_read_is_reported_in_the_message(make: Callable[[], Any]) -> None:
    given = compose.as_given({"scientificMetadata": {"group": {"bad": make()}}}, 1.8e9, "p")
    assert given["warnings"]
    assert all(warning.startswith("group/bad") for warning in given["warnings"]), given["warnings"]
    record = Record(str(uuid4()), 1.8e9, given, observed=Observed(warnings=["another"]))
    assert compose.began(record, SETTINGS, ORIGIN)["warnings"] == ["another", *given["warnings"]]


def test_values_of_unlimited_size_are_cut(session: Noting) -> None:
    fish = SciFish()
    fish.start_scan()
    fish.scicat_data.scientificMetadata = {"laughs": _laughs(), "range": range(10**12), "last": 1}
    fish.environment_data.laughs = _laughs()
    fish.end_scan()
    metadata = session.last["scientificMetadata"]
    assert (metadata["laughs"]["value"], metadata["laughs"]["shape"]) == (["ha"] * 64, [2] * 60 + [1])
    assert (metadata["range"]["value"], metadata["range"]["shape"]) == (list(range(64)), [10**12])
    assert metadata["last"]["value"] == 1
    assert any(warning.startswith("environment: (list: more than") for warning in session.last["warnings"])


def test_an_invalid_argument_is_reported_and_the_dataset_begins(
    session: Noting, caplog: pytest.LogCaptureFixture
) -> None:
    SciFish().start_scan("x", 3, dataset="y")
    assert session.datasets[-1].record.given["datasetName"] == "x"
    assert "not recorded: 3, dataset" in caplog.text
    assert "Traceback" not in caplog.text
