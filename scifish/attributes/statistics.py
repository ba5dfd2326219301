"""min, max, mean and std of Tango attributes over a dataset: `record: statistics`.

The samples are the values of change events, or of a slow poll if an attribute pushes no events. Each
sample counts once, however long the value lasted: there is no weight by time. The values at the start and
at the end are samples, too. NaN, infinity and values of quality INVALID are not.
"""

from __future__ import annotations

import enum
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import tango

from scifish.attributes.reader import Reader, Reading, device_of
from scifish.message import Message, is_leaf, iso, leaf, plain
from scifish.native import threading
from scifish.settings.entries import Entry
from scifish.tango_io.database import reason
from scifish.tango_io.executors import SerialExecutor, ThreadPool

log = logging.getLogger(__name__)

POLL_PERIOD_SECONDS = 1.0
"""Seconds between two polls of an attribute without change events."""

SUBSCRIPTION_SETTLE_SECONDS = 0.5
"""Seconds after which a new subscription delivers every event: Tango may miss earlier changes."""

POLL_TIMEOUT_SECONDS = 3.0
"""Seconds for the answer of a device to a poll."""

UNSUBSCRIBE_SECONDS = 3.0
"""Seconds to end the remaining subscriptions when all is closed."""


class Samples:
    """Statistics of numbers that arrive one by one, by Welford's method. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._min, self._max = math.inf, -math.inf
        self._mean = self._squares = 0.0

    def add(self, value: float) -> bool:
        """Add a sample. False for NaN and infinity, which are left out."""
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
        """min, max, mean, std, samples; only `samples` if there are none.

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
    NO_NUMBER = "it is not a number"


class _SampledAttribute:
    """One attribute of one dataset: its samples, or why there are none."""

    def __init__(self, source: str, device: _SampledDevice) -> None:
        self.source = source
        self.attribute = source.rpartition("/")[2].lower()
        self.device = device
        self.samples = Samples()
        self.state = _State.NEW
        self.ended = False
        self._last: float | None = None
        self._settled_at: float | None = None
        self._subscription: int | None = None
        self._unit: str | None = None
        self._other_unit: str | None = None
        self._reason = "it was not read before the dataset ended"

    @property
    def needs_poll(self) -> bool:
        """Whether the next poll has to read it."""
        if self.ended or self.state is _State.NO_NUMBER:
            return False
        if self.state is _State.EVENTS:
            return self._settled_at is not None and time.monotonic() > self._settled_at
        return True

    @property
    def settled(self) -> bool:
        """Whether its subscription delivers every event."""
        return self._subscription is not None and self._settled_at is None

    def take(self, reading: Reading) -> None:
        """Add the reading as a sample if it is a number."""
        self._check_unit(reading)
        if reading.error:
            self._reason = reading.error
        elif reading.raw is not None or isinstance(reading.value, bool) or not isinstance(reading.value, int | float):
            self.state, self._reason = _State.NO_NUMBER, "it is not a number"
        elif not self.samples.add(reading.value):
            self._reason = f"its value is {plain(reading.value)}"

    def answered(self, reading: Reading) -> None:
        """Handle the answer to a poll. After the first number, a subscription to events is tried."""
        if not self.needs_poll:
            return
        if self.state is _State.EVENTS:
            self._settled_at = None
            if reading.value != self._last:
                self.take(reading)
            return
        self.take(reading)
        if self.state is _State.NEW and not reading.error:
            self.state, self._last = _State.EVENTS, reading.value
            self.device.executor.submit(self._subscribe)

    def end(self) -> None:
        """Take no more samples. The subscription is ended in the background, also one that is just being made."""
        self.ended = True
        self.device.executor.submit(self._unsubscribe)

    def summary(self) -> Message:
        if self._other_unit is not None:
            units = f"from {self._unit or 'none'} to {self._other_unit or 'none'}"
            return {"samples": 0, "error": f"no statistics: its unit changed {units} during the dataset"}
        found = self.samples.summary()
        if not found["samples"]:
            found["error"] = f"no statistics: {self._reason}"
        return found

    def _check_unit(self, reading: Reading) -> None:
        """Samples in different units are not comparable. Events carry no unit; the last reading comes after them."""
        if reading.error:
            return
        if self._unit is None:
            self._unit = reading.unit
        elif reading.unit != self._unit:
            self._other_unit = reading.unit

    def _subscribe(self) -> None:
        if self.ended:
            return
        try:
            self._subscription = self.device.proxy().subscribe_event(
                self.attribute, tango.EventType.CHANGE_EVENT, self._on_event
            )
            self._settled_at = time.monotonic() + SUBSCRIPTION_SETTLE_SECONDS
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
        """Called by a thread of Tango, so it must be short."""
        if self.ended:
            return
        if event.err:
            self._reason = reason(tango.DevFailed(*event.errors))
        elif event.attr_value.quality == tango.AttrQuality.ATTR_INVALID:
            self._reason = "no value: its quality is INVALID"
        else:
            value = event.attr_value.value
            begins = self._subscription is None
            if not (begins and value == self._last):  # the first event repeats the value that was just read
                self.samples.add(value)
            self._last = value


class _SampledDevice:
    """A device with sampled attributes. Its subscriptions are made and ended one after the other."""

    def __init__(self, name: str, executor: SerialExecutor) -> None:
        self.name = name
        self.executor = executor
        self.sampled: list[_SampledAttribute] = []
        self.polling = False
        self._proxy: Any = None

    def proxy(self) -> Any:
        """The cached proxy, which owns the subscriptions. May raise `tango.DevFailed`, and may be slow."""
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
        """Start the statistics of a dataset for the entries that want them. Returns at once."""
        sources = dict.fromkeys(entry.source for entry in entries if "statistics" in entry.record)
        by_device: dict[str, list[_SampledAttribute]] = {}
        with self._lock:
            for source in sources:
                name = device_of(source)
                if name not in self._devices:
                    self._devices[name] = _SampledDevice(name, SerialExecutor(self._pool))
                by_device.setdefault(name, []).append(_SampledAttribute(source, self._devices[name]))
            for name, sampled in by_device.items():
                self._devices[name].sampled += sampled
                self._watched.setdefault(uuid, []).extend(sampled)
        # In the background: waking the thread of each device takes time.
        self._pool.submit(lambda: self._begin(by_device.values()))

    def finish(
        self, uuid: str, timeout: float, seen: Mapping[str, Sequence[float]] | None = None
    ) -> dict[str, Message]:
        """The statistics of a dataset by full attribute name, after `Reader.read_settled`; then they are forgotten.

        `seen` are values of the dataset that were read elsewhere: they are samples, too.
        Each has `min`, `max`, `mean`, `std` and `samples`. An attribute without any sample has
        `samples` 0 and `error`, which says why. Never raises.
        """
        sampled = self._end([uuid])
        at_end = self._reader.read_settled([one.source for one in sampled], timeout)
        for one in sampled:
            one.take(at_end[one.source])
            for value in (seen or {}).get(one.source, ()):
                one.samples.add(value)
        return {one.source: one.summary() for one in sampled}

    def close(self) -> None:
        """Forget all datasets and end all subscriptions, in `UNSUBSCRIBE_SECONDS`; where a device hangs, not at all."""
        self._stopping.set()
        deadline = time.monotonic() + UNSUBSCRIBE_SECONDS
        self._end(list(self._watched))
        ended = threading.Semaphore(0)
        devices = list(self._devices.values())
        for device in devices:
            device.executor.submit(ended.release)
        for _ in devices:
            if not ended.acquire(timeout=max(deadline - time.monotonic(), 0.0)):
                log.warning("a subscription cannot be ended: its device hangs")
                break
        self._pool.stop(max(deadline - time.monotonic(), 0.0))

    def _begin(self, by_device: Iterable[list[_SampledAttribute]]) -> None:
        for sampled in by_device:
            self._ask(sampled[0].device, sampled, lambda: None)

    def _end(self, uuids: Iterable[str]) -> list[_SampledAttribute]:
        with self._lock:
            sampled = [one for uuid in uuids for one in self._watched.pop(uuid, [])]
            for one in sampled:
                one.device.sampled.remove(one)
        for one in sampled:
            one.end()
        return sampled

    def _poll(self) -> None:
        while not self._stopping.wait(POLL_PERIOD_SECONDS):
            with self._lock:
                wanted = [
                    (device, [one for one in device.sampled if one.needs_poll])
                    for device in self._devices.values()
                    if not device.polling
                ]
            for device, sampled in wanted:
                if sampled:
                    device.polling = True
                    self._ask(device, sampled, partial(setattr, device, "polling", False))

    def _ask(self, device: _SampledDevice, sampled: Sequence[_SampledAttribute], then: Callable[[], None]) -> None:
        """Read the attributes of one device in one call, in the background."""
        attributes = list(dict.fromkeys(one.attribute for one in sampled))

        def done(readings: list[Reading]) -> None:
            found = dict(zip(attributes, readings, strict=True))
            for one in sampled:
                one.answered(found[one.attribute])
            then()

        self._reader.ask(device.name, attributes, POLL_TIMEOUT_SECONDS, done)


def values_of(metadata: Message, entries: Iterable[Entry]) -> dict[str, list[float]]:
    """The start and end values of the entries that want statistics, by full attribute name."""
    found: dict[str, list[float]] = {}
    for entry in entries:
        shown = (metadata.get(entry.group, {}) if entry.group else metadata).get(entry.name, {})
        if "statistics" in entry.record and "raw" not in shown:
            numbers = [shown.get(name) for name in ("value", "end")]
            found[entry.source] = [x for x in numbers if isinstance(x, int | float) and not isinstance(x, bool)]
    return found


def add_statistics(metadata: Message, entries: Iterable[Entry], found: Mapping[str, Message]) -> None:
    """Add the results of `Statistics.finish` to the values read at the start of the dataset.

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
        if not is_leaf(group[entry.name]):
            continue  # JSON: a group of values
        statistics = dict(found[entry.source])
        error = statistics.pop("error", "")
        group[entry.name].update(statistics)
        if error:
            group[entry.name].setdefault("error", error)
