"""Tango attributes, read all at once: one call a device, all devices side by side, with a deadline.

What hangs or is dead costs only itself: its attributes get an error instead of a value.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any

import numpy
import tango

from scifish.config import Entry, map_key
from scifish.message import Message, array_fields, iso, leaf, plain
from scifish.tangodb import reason
from scifish.workers import Workers

log = logging.getLogger(__name__)

WORKERS = 64
"""Devices read at the same time. The threads only wait, and are made when needed."""

CONFIG_AGE = 600.0
"""Seconds after which units and labels of a device are asked for again: they can be edited in jive."""

AGAIN = 10.0
"""Seconds until a device that did not answer in time is asked again: until then it would delay each dataset."""

_TIMED_OUT = {"API_DeviceTimedOut"}

_NO_UNIT = {"", "no unit", "not specified", "no standard unit", "no display unit"}


@dataclass(frozen=True)
class Reading:
    """One attribute as it was read. `time` in seconds since 1970; `value` None where there is an `error`.

    `raw` is the number behind an enum's label or a state's name.
    """

    value: Any
    time: float
    unit: str = ""
    quality: str = ""
    error: str = ""
    raw: Any = None


_Answer = Future[list[Reading]]


@dataclass
class _Device:
    """A device as this process knows it."""

    name: str
    proxy: Any = None
    timeout: float = 0.0
    units: dict[str, str] = field(default_factory=dict)
    labels: dict[str, Sequence[str]] = field(default_factory=dict)
    config_time: float = 0.0
    hangs_until: float = 0.0
    answer: _Answer | None = None
    since: float = 0.0


class Reader:
    """Reads attributes by their full names. Threads may share it; it keeps its proxies."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._devices: dict[str, _Device] = {}
        self._lock = threading.Lock()
        # Not an executor of the standard library: those refuse work when the interpreter ends,
        # and the values of a short program's only dataset would be lost.
        self._pool = Workers(workers, "scifish-read")

    def read(self, sources: Collection[str], timeout: float) -> dict[str, Reading]:
        """A Reading for each full attribute name, after at most `timeout` seconds. Never raises."""
        # By device and attribute, in lower case: Tango does not care, and one call must not name one twice.
        wanted: dict[str, dict[str, str]] = {}
        for source in sources:
            device, _, attribute = source.rpartition("/")
            wanted.setdefault(device.lower(), {})[attribute.lower()] = attribute
        deadline = time.monotonic() + timeout
        found: dict[str, Reading] = {}
        asked: dict[str, _Answer] = {}
        for device, attributes in wanted.items():
            names = list(attributes.values())
            answer = self._ask(device, names, timeout)
            if answer is None:
                error = f"not read: {device} has not answered an earlier read, and is asked again after {AGAIN:g} s"
                found |= _named_readings(device, names, _failed(names, error))
            else:
                asked[device] = answer
        wait(asked.values(), timeout=max(deadline - time.monotonic(), 0.0))
        for device, answer in asked.items():
            names = list(wanted[device].values())
            late = not answer.done()
            readings = _failed(names, f"no answer within {timeout:g} s") if late else answer.result()
            found |= _named_readings(device, names, readings)
        return {source: found[source.lower()] for source in sources}

    def close(self) -> None:
        """Read no more; what hangs is left to itself."""
        self._pool.stop(0.0)

    def _ask(self, name: str, attributes: list[str], timeout: float) -> _Answer | None:
        """None if the device is known to hang: it would only cost time."""
        with self._lock:
            device = self._devices.setdefault(name, _Device(name))
            before = device.answer
            busy = before is not None and not before.done()
            if time.monotonic() < device.hangs_until or (busy and time.monotonic() - device.since > timeout):
                return None
            answer: _Answer = Future()
            device.answer, device.since = answer, time.monotonic()
        # Two scans at once: the second has its turn after the first.
        first = before if busy else None
        self._pool.give(lambda: answer.set_result(_read_in_turn(first, device, attributes, timeout)))
        return answer


def _named_readings(device: str, names: Sequence[str], readings: Sequence[Reading]) -> dict[str, Reading]:
    return {f"{device}/{name.lower()}": reading for name, reading in zip(names, readings, strict=True)}


def _read_in_turn(before: _Answer | None, device: _Device, attributes: list[str], timeout: float) -> list[Reading]:
    # Never two calls on one proxy: setting its time-out waits for the other call with the
    # interpreter's lock held, and all of the program would stand still.
    if before is not None and wait([before], timeout).not_done:
        return _failed(attributes, f"not read: {device.name} has not yet answered an earlier read")
    return _read_device(device, attributes, timeout)


def _read_device(device: _Device, attributes: list[str], timeout: float) -> list[Reading]:
    """A Reading for each attribute, in their order. Never raises."""
    try:
        if device.proxy is None:
            device.proxy = tango.DeviceProxy(device.name)
        if device.timeout != timeout:
            device.proxy.set_timeout_millis(max(int(timeout * 1000), 1))
            device.timeout = timeout
        results = device.proxy.read_attributes(attributes)
        if not device.config_time or time.monotonic() - device.config_time > CONFIG_AGE:
            _read_config(device)
    except tango.DevFailed as failed:
        if any(error.reason in _TIMED_OUT for error in failed.args):
            device.hangs_until = time.monotonic() + AGAIN
        # Units and labels may be others when it comes back.
        device.config_time = 0.0
        return _failed(attributes, reason(failed))
    except Exception as error:
        log.exception("reading %s", device.name)
        return _failed(attributes, f"{type(error).__name__}: {error}")
    return [_reading(device, name, result) for name, result in zip(attributes, results, strict=True)]


def _read_config(device: _Device) -> None:
    try:
        infos = device.proxy.attribute_list_query_ex()
    except tango.DevFailed as failed:  # its values are there all the same
        log.warning("the units of %s cannot be read: %s", device.name, reason(failed))
        return
    device.units = {info.name.lower(): info.unit for info in infos}
    device.labels = {info.name.lower(): tuple(info.enum_labels) for info in infos if len(info.enum_labels)}
    device.config_time = time.monotonic()


def _reading(device: _Device, name: str, result: Any) -> Reading:
    now = time.time()
    if result.has_failed:
        return Reading(None, now, error=reason(tango.DevFailed(*result.get_err_stack())))
    unit = device.units.get(name.lower(), "")
    unit = "" if unit.strip().lower() in _NO_UNIT else unit
    quality = "" if result.quality == tango.AttrQuality.ATTR_VALID else str(result.quality).removeprefix("ATTR_")
    moment = result.time.totime()
    if result.value is None and not quality and result.data_format != tango.AttrDataFormat.SCALAR:
        return Reading([], moment, unit)  # an empty spectrum or image
    if result.value is None:
        error = f"no value: its quality is {quality}" if quality else "no value: it is empty"
        return Reading(None, moment, unit, quality, error)
    value, raw = _named(result.value, result.type, device.labels.get(name.lower()))
    return Reading(value, moment, unit, quality, raw=raw)


def _named(value: Any, kind: Any, labels: Sequence[str] | None) -> tuple[Any, Any]:
    """An enum by its label, a state by its name, with the number behind; all else as it is."""
    if kind == tango.CmdArgType.DevEncoded:
        return f"{value[0]}, {len(value[1])} bytes", None  # its format, and how much there is
    if kind == tango.CmdArgType.DevState:
        name = _state
    elif labels:
        name = functools.partial(_label, labels)
    else:
        return value, None
    if numpy.ndim(value) == 0:
        return name(value), int(value)
    return numpy.vectorize(name, otypes=[object])(value), None


def _state(value: Any) -> str:
    return str(tango.DevState.values[int(value)])


def _label(labels: Sequence[str], value: Any) -> str:
    number = int(value)
    return labels[number] if 0 <= number < len(labels) else str(number)


def _failed(attributes: Sequence[str], error: str) -> list[Reading]:
    now = time.time()
    return [Reading(None, now, error=error) for _ in attributes]


# ----------------------------------------------------------------------- as metadata


def as_metadata(entries: Iterable[Entry], readings: dict[str, Reading], max_array: int) -> Message:
    """The readings in the message's form, by group and friendly name."""
    metadata: Message = {}
    for entry in entries:
        group = metadata.setdefault(entry.group, {}) if entry.group else metadata
        group[entry.name] = entry_leaf(entry, readings[entry.source], max_array)
    return metadata


def entry_leaf(entry: Entry, reading: Reading, max_array: int) -> Message:
    """One reading as a value of the message."""
    found = leaf(
        None,
        unit=entry.unit or reading.unit,
        human_name=entry.name,
        source=entry.source,
        time=iso(reading.time),
        **({"quality": reading.quality} if reading.quality else {}),
    )
    if reading.error:
        return found | {"error": reading.error}
    shown = mapped(entry, reading)
    found |= array_fields(shown, max_array)
    if reading.raw is not None or shown is not reading.value:
        found["raw"] = plain(reading.value if reading.raw is None else reading.raw)
    return found


def mapped(entry: Entry, reading: Reading) -> Any:
    """The value as the entry's map shows it: found by number, label, state name or boolean."""
    for candidate in (reading.value, reading.raw):
        if hasattr(candidate, "item"):  # a numpy scalar
            candidate = candidate.item() if candidate.ndim == 0 else None
        if isinstance(candidate, bool | int | float | str) and map_key(candidate) in entry.map:
            return entry.map[map_key(candidate)]
    return reading.value


def add_end_values(metadata: Message, entries: Iterable[Entry], readings: dict[str, Reading], max_array: int) -> None:
    """Put what was read when the dataset ended beside what was read at its start, as `end`."""
    for entry in entries:
        group = metadata.setdefault(entry.group, {}) if entry.group else metadata
        at_end = entry_leaf(entry, readings[entry.source], max_array)
        found = group.setdefault(entry.name, {**at_end, "value": None})
        found["end"] = at_end["value"]
        if "error" in at_end:
            found.setdefault("error", f"at the end: {at_end['error']}")
