"""The events of a Door, and the scans that follow from them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from taurus_widgets.scanlog.data.door_scans import DOOR_ATTRIBUTES, RECORDER_WAIT_SECONDS, DoorScan, DoorScans

UUID = "8a9f6a5e-6c11-5f7c-9c83-0f6b8f0f2a11"


def encoded(value: Any, form: str = "utf8_json") -> tuple[str, bytes]:
    return form, json.dumps(value).encode()


def macro(number: int, state: str, line: str = "") -> tuple[str, bytes]:
    status: dict[str, Any] = {"id": number, "state": state, "step": 0.0}
    return encoded([status | ({"macro_line": line} if line else {})])


def record(**data: Any) -> tuple[str, bytes]:
    return encoded({"type": "scifish", "data": {"uuid": UUID, **data}})


STARTED = ("Scan #7 started at Mon Nov 23 15:12:54 2026. It will take at least 0:00:01",)


class TestOurs:
    def test_a_scan_reported_by_the_recorder_has_its_uuid_and_exact_time(self) -> None:
        door = DoorScans()
        assert door.receive("MacroStatus", macro(1, "start", "ascan mot01 0 1 2 0.1"), 10.0) == []
        assert door.receive("Info", STARTED, 10.1) == []
        scan = DoorScan(7, "ascan mot01 0 1 2 0.1", 9.987, UUID)
        begun = record(status="running", serialno=7, startts=9.987, title="ascan mot01 0 1 2 0.1")
        assert door.receive("RecordData", begun, 10.2) == [scan]
        assert door.unrecorded(20.0) == []
        [over] = door.receive("RecordData", record(status="stopped", endts=21.5), 21.6)
        assert (over.key, over.status, over.end) == (UUID, "stopped", 21.5)
        assert door.receive("MacroStatus", macro(1, "stop"), 21.7) == []
        assert door.receive("State", "ON", 21.8) == []

    def test_an_idle_door_has_lost_the_scan(self) -> None:
        door = DoorScans()
        door.receive("RecordData", record(status="running", serialno=7, startts=9.0, title="t"), 10.0)
        assert door.receive("State", "RUNNING", 11.0) == []
        assert door.receive("State", "STANDBY", 12.0) == []
        [lost] = door.receive("State", "ON", 13.0)
        assert (lost.uuid, lost.status, lost.end) == (UUID, "", 13.0)

    def test_the_end_of_a_scan_from_before_the_subscription_is_ignored(self) -> None:
        assert DoorScans().receive("RecordData", record(status="completed", endts=1.0), 1.0) == []


class TestOthers:
    def begun(self, line: str = "ascan(mot01, 0.0, 1.0, 2, 0.1) -> -17") -> DoorScans:
        door = DoorScans()
        door.receive("MacroStatus", macro(1, "start", line), 10.0)
        door.receive("Info", STARTED, 10.1)
        return door

    def test_it_is_returned_after_the_wait_for_the_recorder(self) -> None:
        door = self.begun()
        assert door.has_pending
        assert door.unrecorded(10.1 + RECORDER_WAIT_SECONDS / 2) == []
        assert door.unrecorded(10.2 + RECORDER_WAIT_SECONDS) == [DoorScan(7, "ascan mot01 0.0 1.0 2 0.1", 10.1)]
        assert not door.has_pending

    def test_it_ends_like_its_macro(self) -> None:
        for state, status in {
            "finish": "completed",
            "stop": "stopped",
            "abort": "aborted",
            "exception": "failed",
        }.items():
            door = self.begun()
            door.unrecorded(20.0)
            [over] = door.receive("MacroStatus", macro(1, state), 21.0)
            assert (over.number, over.status, over.end) == (7, status, 21.0)

    def test_a_short_scan_is_over_when_it_is_returned(self) -> None:
        door = self.begun()
        assert door.receive("MacroStatus", macro(1, "finish"), 10.2) == []
        [scan] = door.unrecorded(20.0)
        assert (scan.status, scan.end) == ("completed", 10.2)

    def test_it_belongs_to_the_innermost_macro(self) -> None:
        door = DoorScans()
        door.receive("MacroStatus", macro(1, "start", "two_scans"), 10.0)
        door.receive("MacroStatus", macro(2, "start", "timescan 3 0.1"), 10.0)
        door.receive("Info", STARTED, 10.1)
        [scan] = door.unrecorded(20.0)
        assert scan.title == "timescan 3 0.1"
        [over] = door.receive("MacroStatus", macro(2, "finish"), 21.0)
        assert over.status == "completed"

    def test_the_end_of_the_outer_macro_ends_it_too(self) -> None:
        door = DoorScans()
        door.receive("MacroStatus", macro(1, "start", "two_scans"), 10.0)
        door.receive("MacroStatus", macro(2, "start", "timescan 3 0.1"), 10.0)
        door.receive("Info", STARTED, 10.1)
        door.unrecorded(20.0)
        assert [scan.status for scan in door.receive("MacroStatus", macro(1, "abort"), 21.0)] == ["aborted"]
        assert door.receive("State", "ON", 22.0) == []

    def test_an_idle_door_has_ended_the_scan(self) -> None:
        for state, status in {"ON": "completed", "ALARM": "failed"}.items():
            door = self.begun()
            door.unrecorded(20.0)
            assert [scan.status for scan in door.receive("State", state, 22.0)] == [status]

    def test_a_macro_without_a_scan_is_not_a_scan(self) -> None:
        door = DoorScans()
        door.receive("MacroStatus", macro(1, "start", "wa"), 10.0)
        door.receive("Info", ("all motors", "a Scan #7 started at noon"), 10.1)
        assert door.receive("MacroStatus", macro(1, "finish"), 10.2) == []
        assert door.unrecorded(20.0) == []


def test_pickled_data_is_not_decoded() -> None:
    value = record(status="running", serialno=7, startts=9.0, title="t")
    assert DoorScans().receive("RecordData", ("bz2_pickle", value[1]), 10.0) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "data", "uuid", "status", "id", "state", "serialno"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.lists(st.tuples(st.sampled_from(DOOR_ATTRIBUTES), JSON), max_size=6))
def test_any_value_is_accepted(events: list[tuple[str, Any]]) -> None:
    door = DoorScans()
    for attribute, value in events:
        lines = [str(value)] if attribute == "Info" else encoded(value)
        assert door.receive(attribute, "ON" if attribute == "State" else lines, 1.0) == []


@given(
    st.sampled_from(DOOR_ATTRIBUTES[2:]), st.tuples(st.text(max_size=9), st.binary(max_size=20)) | st.none() | st.text()
)
def test_invalid_json_is_ignored(attribute: str, value: Any) -> None:
    assert DoorScans().receive(attribute, value, 1.0) == []
