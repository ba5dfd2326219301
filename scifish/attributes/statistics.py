"""min, max, mean and std of Tango attributes over a dataset: `record: statistics`.

The samples are the values of change events, or of a slow poll where an attribute pushes none. Each
counts once, however long it stood: these are plain samples, not weighted by time. The value at the
start and the one at the end are samples, too. NaN, infinity and values of quality INVALID are not.
"""

from __future__ import annotations

import enum
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import tango

from scifish.attributes.reader import Reader, Reading
from scifish.message import Message, iso, leaf, plain
from scifish.settings.entries import Entry
from scifish.tango_io.database import reason
from scifish.tango_io.executors import SerialExecutor, ThreadPool

log = logging.getLogger(__name__)

POLL_PERIOD_SECONDS = 1.0
"""Seconds between two polls of an attribute without change events."""

SUBSCRIPTION_SETTLE_SECONDS = 0.5
"""Seconds after which a new subscription surely brings every event: what changes before may be missed by Tango."""

POLL_TIMEOUT_SECONDS = 3.0
"""Seconds that a device has for its answer to a poll."""

UNSUBSCRIBE_SECONDS = 3.0
"""Seconds for ending the subscriptions that there still are when all is closed."""


class Samples:
    """The statistics of numbers that come one by one, by Welford's method. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._min, self._max = math.inf, -math.inf
        self._mean = self._squares = 0.0

    def add(self, value: float) -> bool:
        """False for NaN and infinity: they are left out."""
        if not math.isfinite(value):
            return False
        with self._lock:
            self._count += 1
            self._min, self._max = min(self._min, value), max(self._max, value)
            off = value - self._mean
            self._mean += off / self._count
            self._squares += off * (value - self._mean)
        return True

    def summary(self) -> Message:
        """min, max, mean, std, samples; only samples where there are none.

        std is that of the samples themselves (the root of their mean squared distance from the
        mean, divided by n, not by n - 1): 0 for a single one.
        """
        with self._lock:
            if not self._count:
                return {"samples": 0}
            return {
                "min": self._min,
                "max": self._max,
                "mean": self._mean,
                "std": math.sqrt(self._squares / self._count),
                "samples": self._count,
            }


class _State(enum.Enum):
    NEW = "not known to be a number: no answer yet"
    EVENTS = "its changes come by events, or are about to"
    POLLED = "it pushes no change events"
    HOPELESS = "it is not a number"


class _SampledAttribute:
    """One attribute of one dataset: its samples, or why there are none."""

    def __init__(self, source: str, device: _SampledDevice) -> None:
        self.source = source
        self.attribute = source.rpartition("/")[2].lower()
        self.device = device
        self.samples = Samples()
        self.state = _State.NEW
        self.over = False
        self._last: float | None = None
        self._look_again: float | None = None
        self._subscription: int | None = None
        self._why = "it was not read before the dataset ended"

    @property
    def asks(self) -> bool:
        """Whether it is to be read when others are polled."""
        if self.over or self.state is _State.HOPELESS:
            return False
        if self.state is _State.EVENTS:
            return self._look_again is not None and time.monotonic() > self._look_again
        return True

    @property
    def settled(self) -> bool:
        """Whether its events come for sure."""
        return self._subscription is not None and self._look_again is None

    def take(self, reading: Reading) -> None:
        """A sample, if the reading is a number."""
        if reading.error:
            self._why = reading.error
        elif reading.raw is not None or isinstance(reading.value, bool) or not isinstance(reading.value, int | float):
            self.state, self._why = _State.HOPELESS, "it is not a number"
        elif not self.samples.add(reading.value):
            self._why = f"its value is {plain(reading.value)}"

    def answered(self, reading: Reading) -> None:
        """Take what a poll has found. The first number leads to a try with events."""
        if not self.asks:
            return
        if self.state is _State.EVENTS:
            self._look_again = None
            if reading.value != self._last:
                self.take(reading)
            return
        self.take(reading)
        if self.state is _State.NEW and not reading.error:
            self.state, self._last = _State.EVENTS, reading.value
            self.device.turn.submit(self._subscribe)

    def end(self) -> None:
        """No more samples. A subscription is ended in the background, when one that is being made is there."""
        self.over = True
        self.device.turn.submit(self._unsubscribe)

    def summary(self) -> Message:
        found = self.samples.summary()
        if not found["samples"]:
            found["error"] = f"no statistics: {self._why}"
        return found

    def _subscribe(self) -> None:
        if self.over:
            return
        try:
            self._subscription = self.device.proxy().subscribe_event(
                self.attribute, tango.EventType.CHANGE_EVENT, self._on_event
            )
            self._look_again = time.monotonic() + SUBSCRIPTION_SETTLE_SECONDS
        except tango.DevFailed as failed:
            log.debug("%s is polled: %s", self.source, reason(failed))
            self.state = _State.POLLED

    def _unsubscribe(self) -> None:
        if self._subscription is None:
            return
        try:
            self.device.proxy().unsubscribe_event(self._subscription)
        except (tango.DevFailed, KeyError) as error:
            log.warning("the subscription to %s cannot be ended: %s", self.source, error)
        self._subscription = None

    def _on_event(self, event: Any) -> None:
        """Called by Tango's own thread, and so short."""
        if self.over:
            return
        if event.err:
            self._why = reason(tango.DevFailed(*event.errors))
        elif event.attr_value.quality == tango.AttrQuality.ATTR_INVALID:
            self._why = "no value: its quality is INVALID"
        else:
            value = event.attr_value.value
            begins = self._subscription is None
            if not (begins and value == self._last):  # a subscription begins with the value that was just read
                self.samples.add(value)
            self._last = value


class _SampledDevice:
    """A device as the statistics know it. Its subscriptions are made and ended in turn."""

    def __init__(self, name: str, turn: SerialExecutor) -> None:
        self.name = name
        self.turn = turn
        self.tallies: list[_SampledAttribute] = []
        self.polling = False
        self._proxy: Any = None

    def proxy(self) -> Any:
        """Kept, as the subscriptions are the proxy's. May raise `tango.DevFailed`, and take its time."""
        if self._proxy is None:
            self._proxy = tango.DeviceProxy(self.name)
        return self._proxy


class Statistics:
    """The statistics of all datasets that this process records. Threads may share it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._pool = ThreadPool("scifish-events")
        self._devices: dict[str, _SampledDevice] = {}
        self._watched: dict[str, list[_SampledAttribute]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        threading.Thread(target=self._poll, name="scifish-statistics", daemon=True).start()

    def watch(self, uuid: str, entries: Iterable[Entry]) -> None:
        """Begin with those entries of a dataset that want statistics. Returns at once."""
        sources = dict.fromkeys(entry.source for entry in entries if "statistics" in entry.record)
        by_device: dict[str, list[_SampledAttribute]] = {}
        with self._lock:
            for source in sources:
                name = source.rpartition("/")[0].lower()
                if name not in self._devices:
                    self._devices[name] = _SampledDevice(name, SerialExecutor(self._pool))
                by_device.setdefault(name, []).append(_SampledAttribute(source, self._devices[name]))
            for name, tallies in by_device.items():
                self._devices[name].tallies += tallies
                self._watched.setdefault(uuid, []).extend(tallies)
        # Behind the caller's back: to wake up the thread of each device takes its time.
        self._pool.submit(lambda: self._begin(by_device.values()))

    def finish(
        self, uuid: str, timeout: float, seen: Mapping[str, Sequence[float]] | None = None
    ) -> dict[str, Message]:
        """The statistics of a dataset by full attribute name, after at most `timeout` seconds; then they are forgotten.

        `seen` are values that were read by others, and are shown beside: they are samples, too.
        Each has `min`, `max`, `mean`, `std` and `samples`. An attribute without any sample has
        `samples` 0 and `error`, which says why. Never raises.
        """
        tallies = self._end([uuid])
        at_end = self._reader.read([tally.source for tally in tallies], timeout)
        for tally in tallies:
            tally.take(at_end[tally.source])
            for value in (seen or {}).get(tally.source, ()):
                tally.samples.add(value)
        return {tally.source: tally.summary() for tally in tallies}

    def close(self) -> None:
        """Forget all datasets and end all subscriptions, in `UNSUBSCRIBE_SECONDS`; where a device hangs, not at all."""
        self._stopping.set()
        deadline = time.monotonic() + UNSUBSCRIBE_SECONDS
        self._end(list(self._watched))
        ended = threading.Semaphore(0)
        devices = list(self._devices.values())
        for device in devices:
            device.turn.submit(ended.release)
        for _ in devices:
            if not ended.acquire(timeout=max(deadline - time.monotonic(), 0.0)):
                log.warning("a subscription could not be ended: its device hangs")
                break
        self._pool.stop(max(deadline - time.monotonic(), 0.0))

    def _begin(self, by_device: Iterable[list[_SampledAttribute]]) -> None:
        for tallies in by_device:
            self._ask(tallies[0].device, tallies, lambda: None)

    def _end(self, uuids: Iterable[str]) -> list[_SampledAttribute]:
        with self._lock:
            tallies = [tally for uuid in uuids for tally in self._watched.pop(uuid, [])]
            for tally in tallies:
                tally.device.tallies.remove(tally)
        for tally in tallies:
            tally.end()
        return tallies

    def _poll(self) -> None:
        while not self._stopping.wait(POLL_PERIOD_SECONDS):
            with self._lock:
                wanted = [
                    (device, [tally for tally in device.tallies if tally.asks])
                    for device in self._devices.values()
                    if not device.polling
                ]
            for device, tallies in wanted:
                if tallies:
                    device.polling = True
                    self._ask(device, tallies, partial(setattr, device, "polling", False))

    def _ask(self, device: _SampledDevice, tallies: Sequence[_SampledAttribute], then: Callable[[], None]) -> None:
        """Read the attributes of one device in one call, in the background."""
        attributes = list(dict.fromkeys(tally.attribute for tally in tallies))

        def done(readings: list[Reading]) -> None:
            found = dict(zip(attributes, readings, strict=True))
            for tally in tallies:
                tally.answered(found[tally.attribute])
            then()

        self._reader.ask(device.name, attributes, POLL_TIMEOUT_SECONDS, done)


def values_of(metadata: Message, entries: Iterable[Entry]) -> dict[str, list[float]]:
    """The numbers that are shown of those entries that want statistics, by full attribute name."""
    found: dict[str, list[float]] = {}
    for entry in entries:
        shown = (metadata.get(entry.group, {}) if entry.group else metadata).get(entry.name, {})
        if "statistics" in entry.record and "raw" not in shown:
            numbers = [shown.get(name) for name in ("value", "end")]
            found[entry.source] = [x for x in numbers if isinstance(x, int | float) and not isinstance(x, bool)]
    return found


def add_statistics(metadata: Message, entries: Iterable[Entry], found: Mapping[str, Message]) -> None:
    """Put what `Statistics.finish` found beside the values that were read when the dataset began.

    Why an attribute has none is its `error`, if it has no other.
    """
    for entry in entries:
        if "statistics" not in entry.record or entry.source not in found:
            continue
        group = metadata.setdefault(entry.group, {}) if entry.group else metadata
        if entry.name not in group:
            group[entry.name] = leaf(
                None, unit=entry.unit, human_name=entry.name, source=entry.source, time=iso(time.time())
            )
        statistics = dict(found[entry.source])
        error = statistics.pop("error", "")
        group[entry.name].update(statistics)
        if error:
            group[entry.name].setdefault("error", error)
