"""`record: statistics`, on real devices: by events, by a slow poll, and with nothing left behind."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import tango
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.processes import Process
from deploy.demo.stack import Stack
from scifish.attributes.reader import Reader
from scifish.attributes.statistics import Samples, Statistics, add_statistics
from scifish.message import Message, iso, leaf
from scifish.settings.entries import Entry
from tests.servers.stopped import stopped
from tests.servers.tango_system import control_system
from tests.waiting import PATIENCE, eventually

DEVICE = "test/counts/1"
COMMAND = [sys.executable, "-m", "tests.servers.attribute_kinds"]
A, B = "a", "b"  # datasets


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("statistics")) as found:
        found.start_server("Kinds/counts", {DEVICE: ("Counts", {})}, COMMAND)
        yield found


@pytest.fixture
def reader() -> Iterator[Reader]:
    found = Reader()
    yield found
    found.close()


@pytest.fixture
def statistics(reader: Reader) -> Iterator[Statistics]:
    found = Statistics(reader)
    yield found
    found.close()


@pytest.fixture
def device(stack: Stack) -> tango.DeviceProxy:
    found = tango.DeviceProxy(stack.name(DEVICE))
    found.Pushed = found.Quiet = 1.0
    return found


def entries(stack: Stack, *names: str, device: str = DEVICE) -> list[Entry]:
    return [Entry(name, f"{stack.name(device)}/{name}", record=("start", "statistics")) for name in names]


def subscriptions(statistics: Statistics) -> int:
    """As PyTango itself counts them."""
    proxies = [device._proxy for device in statistics._devices.values() if device._proxy is not None]
    return sum(len(proxy.__dict__.get("_subscribed_events", {})) for proxy in proxies)


def settled(statistics: Statistics, count: int) -> bool:
    """So many subscriptions are there, and bring every event."""
    tallies = [tally for watched in statistics._watched.values() for tally in watched]
    return eventually(lambda: subscriptions(statistics) == count == sum(tally.settled for tally in tallies))


def samples(statistics: Statistics, uuid: str) -> int:
    """So far, of all attributes of a dataset."""
    return sum(tally.samples.summary()["samples"] for tally in statistics._watched[uuid])


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_samples_are_what_numpy_says(values: list[float]) -> None:
    found = Samples()
    for value in [math.nan, *values, math.inf]:
        found.add(value)
    summary = found.summary()
    scale = max(map(abs, values))
    assert (summary["min"], summary["max"], summary["samples"]) == (min(values), max(values), len(values))
    assert summary["mean"] == pytest.approx(np.mean(values), abs=1e-12 * scale)
    assert summary["std"] == pytest.approx(np.std(values), abs=1e-7 * scale)


def test_a_small_change_on_a_large_value_is_seen() -> None:
    found = Samples()
    for value in (1e9, 1e9 + 1, 1e9 + 2):  # a sum of squares would lose it
        found.add(value)
    assert found.summary()["std"] == pytest.approx(math.sqrt(2 / 3))


def test_by_change_events(stack: Stack, statistics: Statistics, device: tango.DeviceProxy) -> None:
    statistics.watch(A, entries(stack, "Pushed"))
    assert settled(statistics, 1)
    for value in (2.0, 9.0, 4.0):
        device.Pushed = value
    device.PushUseless()
    device.Pushed = 4.0
    assert eventually(lambda: samples(statistics, A) == 5)
    (found,) = statistics.finish(A, PATIENCE).values()
    values = [1.0, 2.0, 9.0, 4.0, 4.0, 4.0]  # the last is the value at the end
    assert found == pytest.approx(
        {"min": 1.0, "max": 9.0, "mean": np.mean(values), "std": np.std(values), "samples": len(values)}
    )
    assert eventually(lambda: subscriptions(statistics) == 0)


def test_a_change_is_seen_that_comes_before_its_subscription_works(
    stack: Stack, statistics: Statistics, device: tango.DeviceProxy
) -> None:
    for number in range(10):
        statistics.watch(str(number), entries(stack, "Pushed"))
        assert eventually(lambda: subscriptions(statistics) > 0)
        device.Pushed = 100.0 + number
        # Now and then Tango brings no event for this.
        assert eventually(lambda number=number: samples(statistics, str(number)) == 2), number
        device.Pushed = 1.0
        (found,) = statistics.finish(str(number), PATIENCE).values()
        assert found["max"] == 100.0 + number
        assert eventually(lambda: subscriptions(statistics) == 0)


def test_by_a_slow_poll_where_there_are_no_events(
    stack: Stack, reader: Reader, device: tango.DeviceProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scifish.attributes.statistics.POLL_PERIOD_SECONDS", 0.1)
    statistics = Statistics(reader)
    statistics.watch(A, entries(stack, "Quiet", "Count"))
    assert eventually(lambda: samples(statistics, A) >= 2)
    device.Quiet = 3.0
    so_far = samples(statistics, A)
    assert eventually(lambda: samples(statistics, A) >= so_far + 4)
    found = statistics.finish(A, PATIENCE)
    quiet, count = found.values()
    assert (quiet["min"], quiet["max"]) == (1.0, 3.0)
    assert (count["mean"], count["std"]) == (3, 0)
    reads = device.Reads
    turns: list[float] = []
    wait = statistics._stopping.wait

    def turn(period: float) -> bool:
        turns.append(period)
        return wait(period)

    monkeypatch.setattr(statistics._stopping, "wait", turn)
    assert eventually(lambda: len(turns) > 2)
    assert device.Reads == reads
    statistics.close()


def test_a_scan_of_no_duration_has_its_start_and_end(
    stack: Stack, reader: Reader, device: tango.DeviceProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scifish.attributes.statistics.POLL_PERIOD_SECONDS", 3600.0)  # none of the samples is a poll's
    statistics = Statistics(reader)
    for number in range(20):
        statistics.watch(str(number), entries(stack, "Pushed", "Quiet"))
        for found in statistics.finish(str(number), PATIENCE).values():
            assert found["min"] == found["max"] == found["mean"] == 1.0
            assert found["std"] == 0.0
            assert found["samples"] in (1, 2)
    assert eventually(lambda: subscriptions(statistics) == 0)
    assert statistics.finish("0", PATIENCE) == {}
    statistics.close()


def test_two_datasets_that_overlap_have_each_their_own(
    stack: Stack, statistics: Statistics, device: tango.DeviceProxy
) -> None:
    statistics.watch(A, entries(stack, "Pushed"))
    assert settled(statistics, 1)
    device.Pushed = 5.0
    assert eventually(lambda: samples(statistics, A) == 2)
    statistics.watch(B, entries(stack, "Pushed"))
    assert settled(statistics, 2)
    device.Pushed = 7.0
    assert eventually(lambda: samples(statistics, A) == 3)
    (a,) = statistics.finish(A, PATIENCE).values()
    device.Pushed = 9.0
    assert eventually(lambda: samples(statistics, B) == 3)
    (b,) = statistics.finish(B, PATIENCE).values()
    assert (a["min"], a["max"]) == (1.0, 7.0)
    assert (b["min"], b["max"]) == (5.0, 9.0)
    assert eventually(lambda: subscriptions(statistics) == 0)


@pytest.mark.parametrize("name", ["Text", "Switch", "Enum", "Spectrum", "State", "Missing"])
def test_what_is_not_a_number_has_a_reason(stack: Stack, statistics: Statistics, name: str) -> None:
    wanted = entries(stack, name)
    statistics.watch(A, wanted)
    found = statistics.finish(A, PATIENCE)
    why = "Missing" if name == "Missing" else "it is not a number"
    assert found[wanted[0].source]["samples"] == 0
    assert why in found[wanted[0].source]["error"]


def test_only_entries_that_want_it_are_watched(stack: Stack, statistics: Statistics) -> None:
    statistics.watch(A, [Entry("x", f"{stack.name(DEVICE)}/Pushed", record=("start", "end"))])
    assert statistics.finish(A, PATIENCE) == {}


def start_other(stack: Stack, instance: str) -> tuple[Process, str]:
    name = f"test/counts/{instance}"
    return stack.start_server(f"Kinds/{instance}", {name: ("Counts", {})}, COMMAND), name


def test_a_device_that_hangs_costs_neither_the_caller_nor_the_others(
    stack: Stack, statistics: Statistics, device: tango.DeviceProxy
) -> None:
    server, hanging = start_other(stack, "hanging")
    both = [*entries(stack, "Pushed", "Quiet", device=hanging), *entries(stack, "Pushed")]
    with stopped(server.pid):
        statistics.watch(A, both)
        assert settled(statistics, 1)
        device.Pushed = 2.0
        assert eventually(lambda: samples(statistics, A) == 2)
        found = statistics.finish(A, 5.0)
    assert [found[entry.source]["samples"] for entry in both] == [0, 0, 3]
    assert "no statistics" in found[both[0].source]["error"]
    assert eventually(lambda: subscriptions(statistics) == 0)


def test_a_subscription_that_hangs_is_ended_when_it_is_there(
    stack: Stack, statistics: Statistics, device: tango.DeviceProxy
) -> None:
    server, hanging = start_other(stack, "subscribing")
    (entry,) = entries(stack, "Pushed", device=hanging)
    statistics.watch(A, [entry])
    assert eventually(lambda: subscriptions(statistics) == 1)
    with stopped(server.pid):
        statistics.finish(A, 0.5)
        statistics.watch(B, [entry])
        statistics.finish(B, 0.5)
    assert eventually(lambda: subscriptions(statistics) == 0)


def test_a_device_that_dies_keeps_what_it_had_and_one_that_comes_later_is_found(
    stack: Stack, statistics: Statistics
) -> None:
    server, name = start_other(stack, "dying")
    (entry,) = entries(stack, "Pushed", device=name)
    statistics.watch(A, [entry])
    assert eventually(lambda: subscriptions(statistics) == 1)
    server.kill()
    assert statistics.finish(A, PATIENCE)[entry.source]["samples"] == 1
    assert eventually(lambda: subscriptions(statistics) == 0)
    statistics.watch(B, [entry])
    stack.run_server("Kinds/dying", [name], COMMAND)
    assert eventually(lambda: subscriptions(statistics) == 1)
    assert statistics.finish(B, PATIENCE)[entry.source]["samples"] == 2


def test_closing_ends_all_subscriptions(stack: Stack, reader: Reader, device: tango.DeviceProxy) -> None:
    statistics = Statistics(reader)
    statistics.watch(A, entries(stack, "Pushed"))
    assert eventually(lambda: subscriptions(statistics) == 1)
    statistics.close()
    assert subscriptions(statistics) == 0


def test_statistics_stand_beside_the_value() -> None:
    record = ("start", "statistics")
    wanted = [Entry("x", "a/b/c/x", "g", record=record), Entry("y", "a/b/c/y", record=record), Entry("z", "a/b/c/z")]
    found: dict[str, Message] = {
        "a/b/c/x": {"min": 1.0, "max": 3.0, "mean": 2.0, "std": 1.0, "samples": 2},
        "a/b/c/y": {"samples": 0, "error": "no statistics: it is not a number"},
        "a/b/c/z": {"samples": 5},
    }
    values: Sequence[str] = ("x", "y", "z")
    x, y, z = (leaf(name, human_name=name, source=f"a/b/c/{name}", time=iso(0.0)) for name in values)
    metadata = {"g": {"x": dict(x)}, "y": dict(y), "z": dict(z)}
    add_statistics(metadata, wanted, found)
    assert metadata == {"g": {"x": x | found["a/b/c/x"]}, "y": y | found["a/b/c/y"], "z": z}
