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
from tango.utils import PyTangoThreadPoolExecutor

from scifish.config import Entry, map_key
from scifish.message import Message, array_fields, iso, leaf, plain

log = logging.getLogger(__name__)

WORKERS = 64
"""Devices read at the same time. The threads only wait, and are made when needed."""

CONFIG_AGE = 600.0
"""Seconds after which units and labels of a device are asked for again: they can be edited in jive."""

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
    answer: _Answer | None = None
    since: float = 0.0


class Reader:
    """Reads attributes by their full names. Threads may share it; it keeps its proxies."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._devices: dict[str, _Device] = {}
        self._lock = threading.Lock()
        # Tango wants its own kind of thread; a plain one may crash at its end.
        self._pool = PyTangoThreadPoolExecutor(max_workers=workers, thread_name_prefix="scifish-read")

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
                error = f"not read: {device} has not yet answered an earlier read"
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
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, name: str, attributes: list[str], timeout: float) -> _Answer | None:
        """None if the device still hangs in an earlier read: a second thread would hang with it."""
        with self._lock:
            device = self._devices.setdefault(name, _Device(name))
            before = device.answer
            if before is not None and not before.done():
                if time.monotonic() - device.since > timeout:
                    return None
                # Two scans at once: the second has its turn after the first.
                device.answer = self._pool.submit(_after, before, device, attributes, timeout)
            else:
                device.answer = self._pool.submit(_read_device, device, attributes, timeout)
            device.since = time.monotonic()
            return device.answer


def _named_readings(device: str, names: Sequence[str], readings: Sequence[Reading]) -> dict[str, Reading]:
    return {f"{device}/{name.lower()}": reading for name, reading in zip(names, readings, strict=True)}


def _after(before: _Answer, device: _Device, attributes: list[str], timeout: float) -> list[Reading]:
    wait([before], timeout)
    # Never two calls on one proxy: setting its time-out waits for the other call with the
    # interpreter's lock held, and all of the program would stand still.
    if not before.done():
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
        # Units and labels may be others when it comes back.
        device.config_time = 0.0
        return _failed(attributes, _reason(failed))
    except Exception as error:
        log.exception("reading %s", device.name)
        return _failed(attributes, f"{type(error).__name__}: {error}")
    return [_reading(device, name, result) for name, result in zip(attributes, results, strict=True)]


def _read_config(device: _Device) -> None:
    infos = device.proxy.attribute_list_query_ex()
    device.units = {info.name.lower(): info.unit for info in infos}
    device.labels = {info.name.lower(): tuple(info.enum_labels) for info in infos if len(info.enum_labels)}
    device.config_time = time.monotonic()


def _reading(device: _Device, name: str, result: Any) -> Reading:
    now = time.time()
    if result.has_failed:
        return Reading(None, now, error=_reason(tango.DevFailed(*result.get_err_stack())))
    unit = device.units.get(name.lower(), "")
    unit = "" if unit.strip().lower() in _NO_UNIT else unit
    quality = "" if result.quality == tango.AttrQuality.ATTR_VALID else str(result.quality).removeprefix("ATTR_")
    moment = result.time.totime()
    if result.is_empty or result.value is None:
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
    return [name(one) for one in numpy.asarray(value).ravel().tolist()], None


def _state(value: Any) -> str:
    return str(tango.DevState.values[int(value)])


def _label(labels: Sequence[str], value: Any) -> str:
    number = int(value)
    return labels[number] if 0 <= number < len(labels) else str(number)


def _failed(attributes: Sequence[str], error: str) -> list[Reading]:
    now = time.time()
    return [Reading(None, now, error=error) for _ in attributes]


def _reason(failed: tango.DevFailed) -> str:
    # The first of Tango's errors is the cause; the others say through where it came.
    if not failed.args:
        return "failed for no reason given"
    cause = failed.args[0]
    if cause.reason in ("API_CantConnectToDevice", "API_CorbaException", "API_DeviceNotExported"):
        return f"the device does not answer ({cause.reason}): is its server running?"
    return " ".join(str(cause.desc).split())


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
