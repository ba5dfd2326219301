"""The small parts of PathFixer."""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict, deque
from datetime import datetime

import numpy as np
import pytest
import tango
from hypothesis import given
from hypothesis import strategies as st
from tango import DevState

from sdm.names import NameRefused
from tango_servers.common.background import call_all
from tango_servers.common.condition import Condition
from tango_servers.pathfixer import locking, properties, running_scans, sardana_environment
from tango_servers.pathfixer.locking import Busy, ChangeLock, PendingOperations
from tango_servers.pathfixer.running_scans import Doors
from tests.waiting import PATIENCE

# ------------------------------------------------------------------------- written


@given(st.text())
def test_accepted_texts_are_printable_and_short(value: str) -> None:
    if value.isprintable() and len(value) <= properties.MAX_PATHFIXER_TEXT_LENGTH:
        assert properties.checked_text(value, "sample") == value.strip(" ")
    else:
        with pytest.raises(NameRefused) as refused:
            properties.checked_text(value, "sample")
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 1000


def test_a_text_that_is_far_too_long_is_not_quoted_in_full() -> None:
    with pytest.raises(NameRefused) as refused:
        properties.checked_text("x" * 10_000_000, "sample")
    assert len(str(refused.value)) < 200


# --------------------------------------------------------------------- environment


class Numbers:
    """Any class that Sardana's environment may hold."""

    def __init__(self) -> None:
        self.value = 3


TOUCHED: list[str] = []


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (TOUCHED.append, ("code has run",))


def test_a_variable_is_read_from_an_environment_with_any_objects() -> None:
    content = {
        "ScanDir": "/data",
        "ScanFile": ["a", "b"],
        "Other": Numbers(),
        "Array": np.arange(3.0),
        "Ordered": OrderedDict(a=1),
        "Time": datetime(2025, 3, 10),
        "Mine": deque([1]),
    }
    encoded = ("pickle", pickle.dumps({"new": content}))
    assert sardana_environment.decode_variable(encoded, "ScanDir") == "/data"
    assert sardana_environment.decode_variable(encoded, "ScanFile") == ["a", "b"]
    assert sardana_environment.decode_variable(encoded, "Nothing") is None
    assert repr(sardana_environment.decode_variable(encoded, "Other")) == "an object"


def test_code_in_the_pickle_is_not_run() -> None:
    sardana_environment.decode_variable(("pickle", pickle.dumps({"new": {"ScanDir": "/data", "x": Evil()}})), "ScanDir")
    assert TOUCHED == []


@pytest.mark.parametrize("content", [b"", b"\x80", pickle.dumps([1]), pickle.dumps({"old": {}})])
def test_an_invalid_environment_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        sardana_environment.decode_variable(("pickle", content), "ScanDir")


def test_sardana_reads_the_variable_that_was_written() -> None:
    kind, content = sardana_environment.encode_variable("ScanDir", "/data")
    assert (kind, pickle.loads(content)) == ("pickle", {"new": {"ScanDir": "/data"}})


# ----------------------------------------------------------------------- condition


@pytest.mark.parametrize(
    ("condition", "ready", "state"),
    [
        (Condition(remarks=["r"]), DevState.STANDBY, DevState.STANDBY),
        (Condition(remarks=["r"]), DevState.ON, DevState.ON),
        (Condition(alarms=["l"]), DevState.STANDBY, DevState.ALARM),
        (Condition(faults=["f"], alarms=["l"]), DevState.ON, DevState.FAULT),
        (Condition(faults=["f"]), DevState.OFF, DevState.OFF),
    ],
)
def test_the_worst_makes_the_state(condition: Condition, ready: DevState, state: DevState) -> None:
    assert condition.state(ready) == state
    assert condition.status(ready).startswith(f"The device is in {state} state.")


def test_the_worst_is_reported_first() -> None:
    lines = Condition(["f"], ["l"], ["r"]).status(DevState.STANDBY).splitlines()
    assert lines == ["The device is in FAULT state.", "f", "l", "r"]


# --------------------------------------------------------------------------- turns


def test_a_change_waits_for_the_one_before_but_not_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "CHANGE_WAIT_SECONDS", 0.05)
    found, inside, go_on = ChangeLock(), threading.Event(), threading.Event()

    def first() -> None:
        with found.hold("Proposal 'a'"):
            inside.set()
            go_on.wait(PATIENCE)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(PATIENCE)
    with pytest.raises(
        Busy, match="Sample 'b': not done, because another change is still in progress: Proposal 'a' since"
    ):
        found.hold("Sample 'b'").__enter__()
    assert [operation.what for operation in found.older_than(0.0)] == ["Proposal 'a'"]
    go_on.set()
    thread.join()
    with found.hold("Sample 'b'"):
        assert [operation.what for operation in found.older_than(0.0)] == ["Sample 'b'"]


def test_pending_operations_are_known_while_they_last() -> None:
    pending = PendingOperations()

    def asked() -> None:
        with pending.track("the storage"):
            assert [operation.what for operation in pending.older_than(0.0)] == ["the storage"]
            assert pending.older_than(60.0) == []
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        asked()
    assert pending.older_than(0.0) == []


# ------------------------------------------------------------------- side by side


class Hung:
    """A call that does not return before its release."""

    def __init__(self) -> None:
        self.over = False
        self._go_on = threading.Event()

    def __call__(self) -> int:
        self._go_on.wait()
        self.over = True
        return 0

    def release(self) -> None:
        self._go_on.set()


def test_calls_are_made_in_parallel_and_a_hanging_one_is_abandoned() -> None:
    def fails() -> int:
        raise ValueError("no")

    together = threading.Barrier(2)
    one, other, failed = call_all([together.wait, together.wait, fails], PATIENCE)
    assert {one, other} == {0, 1}
    assert isinstance(failed, ValueError)
    hung = Hung()
    late, before = call_all([hung, fails], 0.1)
    assert isinstance(late, TimeoutError)
    assert isinstance(before, ValueError | TimeoutError)  # a busy machine may not come to it
    assert not hung.over
    hung.release()


def test_without_a_door_there_is_no_scan() -> None:
    found = Doors(["none"], ["macroserver/x/1"]).query()
    assert (found.running, found.unanswered) == ((), ())
    assert Doors([" "], []).query().running == ()


class Sardana:
    """Replaces the proxies of Sardana's devices: a Door that runs a scan, its server and its MacroServer."""

    made: list[str]
    away: bool

    def __init__(self, name: str) -> None:
        self._name = name
        Sardana.made.append(name)

    def command_inout(self, command: str, _: object = None) -> object:
        if Sardana.away:
            tango.Except.throw_exception("Away", "it is away", "Sardana")
        return {
            "State": DevState.RUNNING,
            "Status": "Running\n    -[step]\tascan mot01 0 1 5 0.3\n",
            "QueryDevice": ["MacroServer::macroserver/x/1"],
            "GetMacroInfo": ['{"name": "ascan", "hints": ["scan"]}'],
        }[command]

    def adm_name(self) -> str:
        return "dserver/Sardana/x"


def test_connections_to_sardana_are_kept_and_renewed_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_scans.tango, "DeviceProxy", Sardana)
    monkeypatch.setattr(running_scans, "DOOR_ANSWER_SECONDS", PATIENCE)
    Sardana.made, Sardana.away = [], False
    found = Doors(["door/x/1"], [])
    running = ("ascan mot01 0 1 5 0.3 (door/x/1)",)
    for _ in range(2):
        assert found.query().running == running
    assert Sardana.made == ["door/x/1", "dserver/Sardana/x", "macroserver/x/1"]
    Sardana.away = True
    assert found.query().unanswered == ("door/x/1: it is away",)
    Sardana.away = False
    assert found.query().running == running
    assert len(Sardana.made) == 6
