"""Any order of a dataset's messages, some of them more than once, a call failing anywhere: the same dataset."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.scicat import SciCatError
from ingest.scicow.catalogue import datablocks
from ingest.scicow.catalogue.ingestor import Ingestor
from ingest.scicow.errors import DatasetMissing
from ingest.scicow.mapping.ownership import by_settings
from ingest.scicow.settings import load
from tests.builders.messages import file, message, value
from tests.paths import DOCS
from tests.servers.fake_scicat import PNG, FakeServer, Killed, at

SETTINGS = load(DOCS / "scicow.example.yaml", secrets=False)
UUID = "0b5f9d8e-4c1f-4b33-8a52-3c2f3f2f8a11"
FOLDER = "/data/visitors/cosaxs/20250001/raw"
FILES = [file(f"{FOLDER}/{number:04}.h5", number) for number in range(30)]


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Of twenty files, so that two blocks are few files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datablocks, "FILES_PER_BLOCK", 20)
        yield


def annotation(seq, **said):
    when = f"2026-11-22T10:01:0{seq}.000Z"
    return message("annotation", UUID, seq=seq, creationTime=when, annotation=said)


GAP = {"Optics": {"a.b": value(1, "mm"), "Ring current": value(2, "mA")}}
FIRST = message("ended", UUID, files=FILES[:22], part={"number": 1, "of": 2}, scientificMetadata=GAP)
MESSAGES = [
    message("began", UUID, scientificMetadata={"Optics": {"a.b": value(1, "mm"), "old": value(None, error="no")}}),
    FIRST,
    FIRST | {"files": FILES[22:], "part": {"number": 2, "of": 2}, "scientificMetadata": {}},
    message("ended", UUID, status="interrupted", endTime="2026-11-22T10:00:05.000Z", files=FILES[:3]),
    annotation(2, comment="one", rating=1),
    annotation(3, comment="two", image={"caption": "plot", "uri": PNG}),
    annotation(4, scientificMetadata={"Custom": {"centre": value(0.5, "mm")}}),
]

KINDS = "500,500 after,503 after,lost,lost after,cut after,page,halfjson after,kill,kill after,expire,429"
faults = st.tuples(st.integers(1, 60), st.sampled_from(KINDS.split(",")))


def deliver(server: FakeServer, messages: list[dict], failing: tuple[int, str]) -> None:
    """As the consumer does it: in this order, each until it is done; what lacks its dataset waits for it."""
    server.fault = at(*failing)
    ingestor = Ingestor(server.client(), SETTINGS, partial(by_settings, settings=SETTINGS))
    waiting = messages
    while waiting:
        left = []
        for each in waiting:
            for _ in range(4):
                try:
                    ingestor.ingest(each)
                except DatasetMissing:
                    left.append(each)
                except Killed:
                    ingestor = Ingestor(server.client(), SETTINGS, partial(by_settings, settings=SETTINGS))
                    continue
                except SciCatError as error:
                    if not error.temporary:  # it would be a dead letter
                        raise
                    continue
                break
            else:
                raise AssertionError("one failure, and never done")
        assert len(left) < len(waiting)
        waiting = left


@given(
    st.booleans(),
    st.permutations(range(len(MESSAGES))),
    st.lists(st.integers(0, len(MESSAGES) - 1), max_size=4),
    faults,
)
def test_the_same_dataset_in_the_end(v4: bool, order: list[int], again: list[int], failing: tuple[int, str]) -> None:
    server = FakeServer(v4=v4)
    deliver(server, [MESSAGES[index] for index in (*order, *again)], failing)

    found = server.shown(f"scizoo/{UUID}")
    metadata = found["scientificMetadata"]
    assert len(server.sets) == 1
    assert metadata["scan"]["status"]["value"] == "completed"
    assert found["endTime"] == "2026-11-22T10:00:11.000Z"
    assert (found["comment"], found["dataQualityMetrics"]) == ("two", 1)
    assert {"run-1:2", "run-1:3", "run-1:4"} == set(metadata["scan"]["annotations"]["value"].split())
    assert metadata["Optics"]["a.b"]["valueSI"] == 0.001
    assert metadata["Optics"]["Ring current"]["value"] == 2
    assert metadata["Custom"]["centre"]["value"] == 0.5
    paths = [each["path"] for block in server.blocks for each in block["dataFileList"]]
    assert sorted(paths) == [f"{number:04}.h5" for number in range(30)]
    assert (found["size"], found["numberOfFiles"]) == (sum(range(30)), 30)
    assert [each["caption"] for each in server.pictures] == ["plot"]


def snapshot(revision: int, **changes) -> dict:
    given = message("snapshot", UUID, seq=revision + 1, **changes)
    return given | ({"revision": revision} if revision else {})


def part(given: dict, number: int, files: list[dict]) -> dict:
    more = {} if number == 1 else {"scientificMetadata": {}}
    return given | {"files": files, "part": {"number": number, "of": 2}} | more


GROWN = [file(f"{FOLDER}/{number:04}.h5", number + 5) for number in range(24)]
LAST = snapshot(2, scientificMetadata={"Header": {"sweeps": value(3)}}, endTime="2026-11-22T10:00:30.000Z")
RECORDINGS = [
    snapshot(0, status="interrupted", files=FILES[:3], scientificMetadata=GAP | {"Header": {"sweeps": value(1)}}),
    snapshot(1, files=FILES[:22], scientificMetadata={"Header": {"sweeps": value(2)}}),
    part(LAST, 1, GROWN[:21]),
    part(LAST, 2, GROWN[21:]),
    annotation(9, comment="mine"),
]


@given(
    st.booleans(),
    st.permutations(range(len(RECORDINGS))),
    st.lists(st.integers(0, len(RECORDINGS) - 1), max_size=4),
    faults,
)
def test_the_last_recording_in_the_end(v4: bool, order: list[int], again: list[int], failing: tuple[int, str]) -> None:
    server = FakeServer(v4=v4)
    deliver(server, [RECORDINGS[index] for index in (*order, *again)], failing)

    found = server.shown(f"scizoo/{UUID}")
    metadata = found["scientificMetadata"]
    assert (metadata["scan"]["status"]["value"], metadata["scan"]["revision"]["value"]) == ("completed", 2)
    assert (found["endTime"], found["comment"]) == ("2026-11-22T10:00:30.000Z", "mine")
    assert metadata["Header"]["sweeps"]["value"] == 3
    assert metadata["Optics"]["Ring current"]["value"] == 2
    there = {each["path"]: each["size"] for block in server.blocks for each in block["dataFileList"]}
    assert there == {f"{number:04}.h5": number + 5 for number in range(24)}
    assert (found["size"], found["numberOfFiles"]) == (sum(there.values()), 24)
