"""Reads many Tango attributes at once: one call for each device, all devices in parallel, with a deadline.

What hangs or is dead costs only itself: its attributes get an error instead of a value. A value has the unit and the
label that were valid when it was read (`ConfigSource`).
"""

from __future__ import annotations

import enum
import functools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy
import tango

from scifish.attributes.configuration import AttributeConfig, ConfigEvents, config_of
from scifish.attributes.encoded import EncodedPicture, decoded_value
from scifish.message import Message, Metadata, Value, array_fields, is_leaf, iso, leaf, leaves, plain
from scifish.message import as_metadata as given_metadata
from scifish.message.types import Image
from scifish.native import threading
from scifish.settings.entries import Entry, map_key
from scifish.tango_io.database import TangoDatabase, decoded, reason, text
from scifish.tango_io.executors import MAX_THREADS, SerialExecutor, ThreadPool

log = logging.getLogger(__name__)

MAX_CONFIG_READS = 3
"""How often values are read at most until their units and labels are the same before and after the read."""

CONFIG_CHECK_SECONDS = 10.0
"""Seconds after which configurations are read although events report their changes.

A device that removes an attribute and adds it again ends the subscriptions to it without an event. There is no
INTERFACE_CHANGE_EVENT either: Tango sends it for other names and types, not for another unit.
"""

CONFIG_EVENT_SECONDS = 0.05
"""Seconds in which an event arrives: a change before a read is known so long after it. Mostly it takes 1 ms."""

CONFIG_THREADS = 4
"""Threads that subscribe to configurations: a device that hangs must not stop the subscriptions to others."""

MAX_KNOWN_DEVICES = 5_000
"""Devices that a reader without events keeps a connection to: SciDog's clients name ever new ones."""

MAX_PICTURES = 10
"""Maximum number of pictures of one dataset."""

CONFIG_CHANGING = "no value: its unit or labels changed each time that it was read"

HANGING_DEVICE_RETRY_SECONDS = 10.0
"""Seconds until a device that did not answer in time is read again: earlier reads would delay each dataset."""

READER_CLOSE_SECONDS = 3.5
"""Seconds for pending calls at the end: PyTango aborts a program that exits during a call."""

_HANGS_FRACTION = 0.9
"""A device that has not answered after this fraction of the time-out hangs: the clocks do not start together."""

_QUALITIES = {
    quality: "" if quality == tango.AttrQuality.ATTR_VALID else name.removeprefix("ATTR_")
    for name, quality in tango.AttrQuality.names.items()  # PyTango 10.0 has no `__members__`
}

_SCALAR = (float, int, str)

_NO_CONFIG = AttributeConfig()

_ATTRIBUTE_ALIAS = "alias "
"""In place of a device's name: an attribute that is known by its alias alone. No device has a blank in its name."""


def device_of(source: str) -> str:
    """The name in lower case by which a `Reader` knows the device of a source."""
    device, _, attribute = source.lower().rpartition("/")
    return device or _ATTRIBUTE_ALIAS + attribute


class ConfigSource(enum.Enum):
    """Where the units and labels come from."""

    READ = "read with the values: one more call for each device"
    EVENTS = "from events, which are subscribed in the background; read with the values until then, or without events"
    NONE = "from nowhere: the values have no units, and enums are numbers"


class Reading(NamedTuple):
    """One attribute as it was read. `time` is in seconds since 1970; `value` is None if there is an `error`.

    `raw` is the number behind an enum's label or a state's name. `source` is the full name where it was read by an
    alias, which may be another attribute's later.
    """

    value: Any
    time: float
    unit: str = ""
    quality: str = ""
    error: str = ""
    raw: Any = None
    source: str = ""


class DeviceDescription(NamedTuple):
    """The names of a device's attributes; and by name in lower case the labels of enums, the types and the units."""

    names: tuple[str, ...]
    labels: Mapping[str, Sequence[str]]
    types: Mapping[str, tango.CmdArgType] = MappingProxyType({})
    units: Mapping[str, str] = MappingProxyType({})


class _Call(NamedTuple):
    """One call of a device: its attributes, and for each one the sources that ask for it."""

    device: str
    attributes: tuple[str, ...]
    sources: tuple[tuple[str, ...], ...]


@dataclass
class _Device:
    """A device as this process knows it. Only one thread at a time uses its proxy.

    Setting the time-out of a proxy waits for its running call with the interpreter's lock held, so the whole
    program would stop.
    """

    name: str
    executor: SerialExecutor
    source: ConfigSource
    events: ConfigEvents | None = None
    proxy: Any = None
    timeout: float = 0.0
    configs: dict[str, AttributeConfig] | None = None
    """As they were read last; None if that is not known."""
    no_configs: str = ""
    """Why they could not be read the last time; "" if they could."""
    config_time: float = 0.0
    types: dict[str, tango.CmdArgType] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    hangs_until: float = 0.0
    busy_since: float | None = None
    full_name: str = ""
    """If `name` has an alias: the device's name."""
    attribute: str = ""
    """If `name` is the alias of an attribute: its name."""

    def connect(self) -> None:
        """Make the proxy. Raises `tango.DevFailed`."""
        name = self.name
        host, _, path = name.rpartition(":")
        host = f"{host}:{path.partition('/')[0]}/" if host else ""
        if name.startswith(_ATTRIBUTE_ALIAS):
            full = TangoDatabase().attribute_of_alias(name.removeprefix(_ATTRIBUTE_ALIAS))
            name, _, self.attribute = full.rpartition("/")
        proxy = tango.DeviceProxy(name)
        # Tango would reconnect to a server that was started again without a sign: it may be of another version.
        proxy.set_transparency_reconnection(False)
        if name.removeprefix(host).count("/") != 2 or self.attribute:
            self.full_name = host + str(proxy.dev_name())
        if self.events is not None:
            self.events.device = name
        self.proxy = proxy

    def current(self, attributes: Sequence[str]) -> list[AttributeConfig]:
        """The configurations as they are known, by events or as they were read last."""
        known: Mapping[str, AttributeConfig] = self.events.known if self.events is not None else {}
        configs = self.configs or {}
        return [known.get(attribute) or configs.get(attribute, _NO_CONFIG) for attribute in attributes]

    def follows(self, attributes: Iterable[str]) -> bool:
        """Whether nothing has to be read to know the present configurations."""
        if self.events is not None:
            return self.events.known.keys() >= set(attributes)
        return self.source is ConfigSource.NONE

    def lost(self) -> None:
        """The connection was lost: the server may be another one now."""
        self.configs = None
        if self.events is not None:
            self.events.lost()


class Reader:
    """Reads attributes by their full names, with cached proxies. Threads may share it."""

    def __init__(self, threads: int = MAX_THREADS, config_source: ConfigSource = ConfigSource.READ) -> None:
        self._config_source = config_source
        self._devices: dict[str, _Device] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPool("scifish-read", threads)
        self._config_pool = ThreadPool("scifish-config", CONFIG_THREADS)
        self._closing = threading.Event()

    def read(
        self, sources: Collection[str], timeout: float, took: dict[str, float | None] | None = None
    ) -> dict[str, Reading]:
        """A Reading for each full attribute name, after at most `timeout` seconds. Never raises.

        `took` gets, for each device in lower case, the seconds until its answer; None for no answer.
        """
        began = time.monotonic()
        deadline = began + timeout
        calls = _calls(tuple(sources))
        answers = _Answers(len(calls))
        for call in calls:
            self.ask(call.device, call.attributes, timeout, functools.partial(answers.put, call.device))
        answered = answers.wait(deadline - time.monotonic())
        if took is not None:
            for call in calls:
                answer = call.device in answered and not self._hangs(call.device, began)
                took[call.device] = answers.when[call.device] - began if answer else None
        found: dict[str, Reading] = {}
        for call in calls:
            readings = answered.get(call.device) or _failed(call.attributes, f"no answer within {timeout:g} s")
            for names, reading in zip(call.sources, readings, strict=True):
                found.update(dict.fromkeys(names, reading))
        return found

    def ask(self, name: str, attributes: Sequence[str], timeout: float, done: Callable[[list[Reading]], None]) -> None:
        """Read attributes of one device, and give `done` a Reading for each, in their order. Never raises.

        `done` is called by another thread, when the device has answered, or by this one if the
        device is known to hang: to wait for it would only cost time.
        """
        now = time.monotonic()
        with self._lock:
            device = self._devices.get(name)
            if device is None:
                if len(self._devices) >= MAX_KNOWN_DEVICES and self._config_source is not ConfigSource.EVENTS:
                    del self._devices[next(iter(self._devices))]  # a running read goes on
                device = self._devices[name] = self._new_device(name)
        busy_since = device.busy_since
        if now < device.hangs_until or (busy_since is not None and now - busy_since >= _HANGS_FRACTION * timeout):
            wait = HANGING_DEVICE_RETRY_SECONDS
            error = f"not read: {name} has not answered an earlier read, and is asked again after {wait:g} s"
            done(_failed(attributes, error))
        else:
            device.executor.submit(lambda: done(_read_serially(device, attributes, timeout, now + timeout)))

    def read_settled(self, sources: Collection[str], timeout: float) -> dict[str, Reading]:
        """As `read`, and also waits for events that are under way, where units and labels are known by events.

        What has another configuration then than when it was read is read again: this takes `timeout` and
        `CONFIG_EVENT_SECONDS`, and that up to `MAX_CONFIG_READS` times where configurations change.
        """
        found: dict[str, Reading] = {}
        wanted = list(sources)
        for _ in range(MAX_CONFIG_READS):
            began = time.monotonic()
            found.update(self.read(wanted, timeout))
            if not any(device.events is not None for device in list(self._devices.values())):
                return found
            self._closing.wait(CONFIG_EVENT_SECONDS)
            wanted = [source for source in wanted if self._config_changed(source, began)]
            if not wanted:
                return found
        return found | {source: Reading(None, time.time(), error=CONFIG_CHANGING) for source in wanted}

    def _config_changed(self, source: str, since: float) -> bool:
        device = self._devices.get(device_of(source))
        return device is not None and device.events is not None and device.events.changed >= since

    def _new_device(self, name: str) -> _Device:
        found = _Device(name, SerialExecutor(self._pool), self._config_source)
        if self._config_source is ConfigSource.EVENTS:
            found.events = ConfigEvents(name, SerialExecutor(self._config_pool))
        return found

    def _hangs(self, name: str, since: float) -> bool:
        device = self._devices.get(name)  # None if other reads needed the room
        return device is None or device.hangs_until > since or device.busy_since is not None

    def described(self, device: str) -> DeviceDescription | None:
        """The description of a device; None if it has never answered."""
        found = self._devices.get(device.lower())
        if found is None or not found.names:
            return None
        labels = {name: config.labels for name, config in (found.configs or {}).items() if config.labels}
        units = {name: config.unit for name, config in (found.configs or {}).items() if config.unit}
        return DeviceDescription(found.names, labels, found.types, units)

    def without_units(self, sources: Iterable[str]) -> list[str]:
        """A warning for each device of these sources whose units could not be read."""
        with self._lock:
            devices = [self._devices.get(name) for name in dict.fromkeys(map(device_of, sources))]
        return [
            f"the units of {device.name} could not be read: {device.no_configs}"
            for device in devices
            if device is not None and device.no_configs
        ]

    def close(self) -> None:
        """Stop reading. Calls that hang are abandoned after `READER_CLOSE_SECONDS`."""
        deadline = time.monotonic() + READER_CLOSE_SECONDS
        self._closing.set()
        for device in list(self._devices.values()):
            if device.events is not None:
                device.events.close()
        self._pool.stop(READER_CLOSE_SECONDS)
        self._config_pool.stop(max(deadline - time.monotonic(), 0.0))


@functools.lru_cache(maxsize=64)  # datasets read the same sources again and again
def _calls(sources: tuple[str, ...]) -> tuple[_Call, ...]:
    # By device and attribute in lower case: Tango ignores case, and a call must not have an attribute twice.
    wanted: dict[str, dict[str, list[str]]] = {}
    for source in dict.fromkeys(sources):
        device, attribute = device_of(source), source.lower().rpartition("/")[2]
        wanted.setdefault(device, {}).setdefault(attribute, []).append(source)
    return tuple(
        _Call(
            device,
            tuple(names[0].rpartition("/")[2] for names in attributes.values()),
            tuple(tuple(names) for names in attributes.values()),
        )
        for device, attributes in wanted.items()
    )


class _Answers:
    """The answers of `count` devices; the last one wakes the thread that waits for all of them."""

    def __init__(self, count: int) -> None:
        self._found: dict[str, list[Reading]] = {}
        self.when: dict[str, float] = {}
        self._missing = count
        self._lock = threading.Lock()
        self._all = threading.Event()
        if not count:
            self._all.set()

    def put(self, device: str, readings: list[Reading]) -> None:
        with self._lock:
            self.when[device] = time.monotonic()
            self._found[device] = readings
            self._missing -= 1
            complete = not self._missing
        if complete:
            self._all.set()

    def wait(self, timeout: float) -> dict[str, list[Reading]]:
        """The answers after at most `timeout` seconds."""
        self._all.wait(max(timeout, 0.0))
        with self._lock:
            return dict(self._found)


def _read_serially(device: _Device, attributes: Sequence[str], timeout: float, deadline: float) -> list[Reading]:
    """A Reading for each attribute, in their order. Never raises."""
    began = time.monotonic()
    if began >= deadline or began < device.hangs_until:
        return _failed(attributes, f"not read: {device.name} has not yet answered an earlier read")
    device.busy_since = began
    try:
        return _read_device(device, attributes, timeout)
    except tango.DevFailed as failed:
        # By the time and not by the error: Tango has many errors for it, and connecting has a time-out of its own.
        if time.monotonic() - began >= _HANGS_FRACTION * timeout:
            device.hangs_until = time.monotonic() + HANGING_DEVICE_RETRY_SECONDS
        return _failed(attributes, reason(failed))
    except Exception as error:
        log.exception("%s cannot be read", device.name)
        return _failed(attributes, f"{type(error).__name__}: {error}")
    finally:
        device.busy_since = None


def _read_device(device: _Device, attributes: Sequence[str], timeout: float) -> list[Reading]:
    began = time.monotonic()
    if device.proxy is None:
        device.connect()
        if time.monotonic() - began >= timeout:  # the proxy was created, but the next call would hang as long
            tango.Except.throw_exception("API_DeviceTimedOut", f"no answer within {timeout:g} s", "scifish")
    try:
        return _read_connected(device, attributes, timeout)
    except (tango.ConnectionFailed, tango.CommunicationFailed):
        device.lost()
        if time.monotonic() - began >= _HANGS_FRACTION * timeout:
            raise
    return _read_connected(device, attributes, timeout)  # its server was started again, if this succeeds


def _read_connected(device: _Device, attributes: Sequence[str], timeout: float) -> list[Reading]:
    if device.timeout != timeout:
        # Setting the time-out of an unconnected proxy connects it with the interpreter's lock held:
        # the whole program would stop for as long as the device hangs.
        device.proxy.ping()
        device.proxy.set_timeout_millis(max(int(timeout * 1000), 1))
        device.timeout = timeout
    if device.attribute:
        attributes = [device.attribute]
    names = [attribute.lower() for attribute in attributes]
    if device.configs is None and not device.follows(names):
        _read_configs(device)
    before = device.current(names)
    for _ in range(MAX_CONFIG_READS):
        results = device.proxy.read_attributes(attributes)
        valid = [name for name, result in zip(names, results, strict=True) if not result.has_failed]
        if not device.follows(valid) or (
            device.events is not None and time.monotonic() - device.config_time > CONFIG_CHECK_SECONDS
        ):
            _read_configs(device)
        after = device.current(names)
        if after == before:
            break
        before, earlier = after, before  # the values may be of the one or the other: they are read again
    else:
        changing = Reading(None, time.time(), error=CONFIG_CHANGING)
        rows = zip(earlier, after, results, strict=True)
        return [_reading(now, result) if then == now else changing for then, now, result in rows]
    if device.events is not None:
        device.events.follow(valid)
    readings = [_reading(config, result) for config, result in zip(after, results, strict=True)]
    if device.full_name:
        named = zip(readings, results, strict=True)
        return [reading._replace(source=f"{device.full_name}/{result.name}") for reading, result in named]
    return readings


def _read_configs(device: _Device) -> None:
    """Read those of all attributes: this costs less than to read those of some."""
    try:
        infos = device.proxy.attribute_list_query_ex()
    except (tango.ConnectionFailed, tango.CommunicationFailed):
        raise  # the values are read again with their units
    except tango.DevFailed as failed:  # its values are recorded anyway, without units
        if device.configs != {}:
            log.warning("the units of %s cannot be read: %s", device.name, reason(failed))
        device.configs, device.no_configs = {}, reason(failed)
        return
    device.no_configs = ""
    device.configs, device.config_time = {info.name.lower(): config_of(info) for info in infos}, time.monotonic()
    if device.events is not None and not device.events.known.items() <= device.configs.items():
        device.events.lost()  # of one at least there are no events any more
    device.names = tuple(info.name for info in infos)
    device.types = {info.name.lower(): tango.CmdArgType.values[info.data_type] for info in infos}


def _reading(config: AttributeConfig, result: Any) -> Reading:
    if result.has_failed:
        return Reading(None, time.time(), error=reason(tango.DevFailed(*result.get_err_stack())))
    quality = _QUALITIES[result.quality]
    moment = result.time.totime()
    if result.value is None and not quality and result.data_format != tango.AttrDataFormat.SCALAR:
        return Reading([], moment, config.unit)  # an empty spectrum or image
    if result.value is None:
        error = f"no value: its quality is {quality}" if quality else "no value: it is empty"
        return Reading(None, moment, config.unit, quality, error)
    value, raw = _named(result.value, result.type, config.labels)
    return Reading(value, moment, config.unit, quality, "", raw)


def _named(value: Any, kind: Any, labels: Sequence[str]) -> tuple[Any, Any]:
    """An enum as its label or a state as its name, with its number; texts decoded; other values as they are."""
    if kind == tango.CmdArgType.DevString:
        return decoded(value), None
    if kind == tango.CmdArgType.DevEncoded:
        return decoded_value(text(value[0]), bytes(value[1])), None
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
        group[entry.name] = _value_or_group(entry, readings[entry.source], max_array)
    return metadata


def pictures(entries: Iterable[Entry], readings: dict[str, Reading]) -> list[Image]:
    """The readings that are pictures, at most `MAX_PICTURES`; their names are the captions."""
    found: list[Image] = []
    for entry in entries:
        value = readings[entry.source].value
        if isinstance(value, EncodedPicture) and len(found) < MAX_PICTURES and (uri := value.data_uri()):
            found.append({"caption": f"{entry.group}: {entry.name}" if entry.group else entry.name, "uri": uri})
    return found


def _value_or_group(entry: Entry, reading: Reading, max_array: int) -> Value | Metadata:
    """A value; or a group of values, where the reading has a structure."""
    if not isinstance(reading.value, Mapping):
        return entry_leaf(entry, reading, max_array)
    found: Metadata = given_metadata({entry.name: reading.value}, reading.source or entry.source, iso(reading.time))[
        entry.name
    ]
    if reading.quality:
        for value in (found,) if is_leaf(found) else (inner for _, inner in leaves(found)):
            value["quality"] = reading.quality
    return found


def unread(entries: Iterable[Entry], readings: dict[str, Reading]) -> list[tuple[Entry, str]]:
    """Entries without a value, and the errors."""
    return [(entry, readings[entry.source].error) for entry in entries if readings[entry.source].error]


def failed(entries: Iterable[Entry], readings: dict[str, Reading]) -> list[Message]:
    """The same as dictionaries {group, name, source, error}, for JSON."""
    return [
        {"group": entry.group, "name": entry.name, "source": entry.source, "error": why}
        for entry, why in unread(entries, readings)
    ]


def entry_leaf(entry: Entry, reading: Reading, max_array: int) -> Value:
    """One reading as a value of the message."""
    value, moment, unit, quality, error, raw, source = reading
    found = leaf(None, unit=entry.unit or unit, human_name=entry.name, source=source or entry.source, time=iso(moment))
    if quality:
        found["quality"] = quality
    if error:
        found["error"] = error
        return found
    shown = mapped(entry, reading) if entry.map else value
    if isinstance(shown, _SCALAR):  # most values; this is fast for 500 of them
        found["value"] = plain(shown)
    else:
        found.update(cast(Value, array_fields(shown, max_array)))
    if raw is not None or shown is not value:
        found["raw"] = plain(value if raw is None else raw)
    return found


def mapped(entry: Entry, reading: Reading) -> Any:
    """The value after the entry's map, which is looked up by number, label, state name or boolean."""
    for candidate in (reading.value, reading.raw):
        if hasattr(candidate, "item"):  # a numpy scalar
            candidate = candidate.item() if candidate.ndim == 0 else None
        if isinstance(candidate, bool | int | float | str) and map_key(candidate) in entry.map:
            return entry.map[map_key(candidate)]
    return reading.value


def add_end_values(metadata: Message, entries: Iterable[Entry], readings: dict[str, Reading], max_array: int) -> None:
    """Add the values read at the end of the dataset, as `end`, to those read at its start.

    A value has one unit: where it is another one at the end, `end` is None, and `error` has the value and its unit. The
    end of a group of values (JSON) is a group of its own.
    """
    for entry in entries:
        group = metadata.setdefault(entry.group, {}) if entry.group else metadata
        structured = isinstance(readings[entry.source].value, Mapping)
        if structured or (entry.name in group and not is_leaf(group[entry.name])):
            group[f"{entry.name} (end)"] = _value_or_group(entry, readings[entry.source], max_array)
            continue
        at_end = entry_leaf(entry, readings[entry.source], max_array)
        found = group.setdefault(entry.name, {**at_end, "value": None})
        found["end"] = at_end["value"]
        if "error" in at_end:
            found.setdefault("error", f"at the end: {at_end['error']}")
        elif found["value"] is None and "shape" not in found:
            found["unit"] = at_end["unit"]  # the one at the start is not known
        elif at_end["unit"] != found["unit"]:
            found["end"] = None
            change = f"its unit changed from {found['unit'] or 'none'} to {at_end['unit'] or 'none'}"
            found.setdefault("error", f"at the end: {at_end['value']} {at_end['unit']}; {change}")
