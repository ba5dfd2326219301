"""Sends the path to its consumers: Sardana's environment, and attributes of detectors and other devices.

Each line of the property `PathConsumers` is a YAML flow mapping:

    {device: macroserver/cosaxs/1, environment: ScanDir}
    {device: b311a/ea/eiger, attribute: FilePath, template: "{sample_path}/eiger"}
"""

from __future__ import annotations

import string
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tango
import yaml

from scifish.settings.entries import YAML_ERRORS
from scifish.tango_io.database import reason
from tango_servers.common.background import PeriodicThread
from tango_servers.pathfixer import sardana_environment

CONSUMER_TIMEOUT_SECONDS = 3.0
"""Within which a consumer must answer."""

CONSUMER_CHECK_SECONDS = 10.0
"""Time between checks whether a consumer still has the path, and between attempts after it has refused the path."""

MAX_REMEMBERED_VALUES = 200
"""Earlier values of a consumer that are recognised as ours."""

TEMPLATE_FIELDS = ("path", "sample_path", "category", "beamline", "proposal", "visit", "sample")
"""The names that a template may use."""

DEFAULT_TEMPLATE = "{sample_path}"

_KEYS = ("device", "environment", "attribute", "template")


@dataclass(frozen=True)
class Consumer:
    """Receives the path: a MacroServer (`environment` names the variable) or a device's attribute."""

    device: str
    environment: str = ""
    attribute: str = ""
    template: str = DEFAULT_TEMPLATE

    @property
    def target(self) -> str:
        """The variable or attribute that the path is written to."""
        return self.environment or self.attribute


def parse_consumers(lines: Sequence[str]) -> tuple[list[Consumer], list[str]]:
    """The valid consumers, and a sentence for each wrong line. Blank lines and comments are skipped."""
    consumers = []
    problems = []
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("- ")
        if not text or text.startswith("#"):
            continue
        try:
            fields = yaml.safe_load(text)
        except (yaml.YAMLError, *YAML_ERRORS):
            problems.append(f"PathConsumers, line {number}: not YAML: {text[:80]!r}")
            continue
        try:
            consumers.append(_consumer(fields))
        except ValueError as error:
            problems.append(f"PathConsumers, line {number}: {error}")
    return consumers, problems


def _consumer(fields: Any) -> Consumer:
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("not of the form {device: ..., attribute: ...} or {device: ..., environment: ...}")
    unknown = [str(key) for key in fields if key not in _KEYS]
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; allowed are {', '.join(_KEYS)}")
    consumer = Consumer(**fields) if "device" in fields else Consumer("")
    if not consumer.device:
        raise ValueError("device is missing")
    if bool(consumer.attribute) == bool(consumer.environment):
        raise ValueError("name either an attribute or an environment variable")
    try:
        parts = list(string.Formatter().parse(consumer.template))
    except ValueError as error:
        raise ValueError(f"template {consumer.template!r}: {error}") from error
    for _, name, spec, conversion in parts:
        if name is not None and name not in TEMPLATE_FIELDS:
            raise ValueError(f"template: {{{name}}} is not known; allowed are {', '.join(TEMPLATE_FIELDS)}")
        if spec or conversion:  # `{path:>999999999}` would take gigabytes
            raise ValueError(f"template {consumer.template!r}: only a name can be in braces")
    return consumer


@dataclass(frozen=True)
class ConsumersReport:
    """The state of all consumers.

    `devices` are their names. `refused`: the devices that do not have the newest path, with the reason. `foreign`
    has a sentence for each value that somebody else has written over ours. `pending`: the devices that the newest path
    is still being sent to. `report`: of each consumer its device, its target, its state, and the value or the reason.
    """

    devices: tuple[str, ...]
    refused: Mapping[str, str]
    foreign: tuple[str, ...]
    pending: tuple[str, ...]
    report: tuple[tuple[str, str, str, str], ...]


class PathDistributor:
    """Writes the newest path to all consumers, and writes it again to those that refused or lost it.

    Each device has its own thread, so that a device that hangs does not delay the others. These threads call
    `changed` when there is something new to show.
    """

    def __init__(self, consumers: Sequence[Consumer], changed: Callable[[], None]) -> None:
        by_device: dict[str, list[Consumer]] = {}
        for consumer in consumers:
            by_device.setdefault(consumer.device.lower(), []).append(consumer)
        self._devices = [_ConsumerDevice(group, changed) for group in by_device.values()]

    def report(self) -> ConsumersReport:
        """The state of all consumers; of each device all at the same moment."""
        reports = [device.report() for device in self._devices]
        return ConsumersReport(
            devices=tuple(one.device for one in reports),
            refused={one.device: one.refused for one in reports if one.refused},
            foreign=tuple(sentence for one in reports for sentence in one.foreign),
            pending=tuple(one.device for one in reports if one.pending),
            report=tuple(line for one in reports for line in one.report),
        )

    def start(self) -> None:
        for device in self._devices:
            device.background.start()

    def stop(self) -> None:
        """Does not wait for a device that hangs."""
        for device in self._devices:
            device.background.stop()

    def distribute(self, fields: Mapping[str, str]) -> None:
        """Send a new path; `fields` are those of `TEMPLATE_FIELDS`. Returns at once."""
        for device in self._devices:
            device.distribute(fields)

    def clear(self) -> None:
        """There is no path any more: leave the consumers as they are."""
        for device in self._devices:
            device.clear()


def _short_reason(failed: tango.DevFailed) -> str:
    return reason(failed).rstrip(" .!")


def _first_nonempty(deliveries: Sequence[_Delivery], name: str) -> str:
    return next((found for delivery in deliveries if (found := getattr(delivery, name))), "")


@dataclass
class _Delivery:
    """The value for one consumer. `accepted`: the value, and what the consumer showed after it was written."""

    consumer: Consumer
    value: str | None = None  # None before there is a path
    due: bool = False
    pending: bool = False
    refused: str = ""
    foreign: str = ""
    accepted: tuple[str, ...] = ()
    earlier: dict[str, None] = field(default_factory=dict)  # used as an ordered set

    @property
    def state(self) -> tuple[str, str]:
        if self.value is None:
            return "nothing yet", ""
        if self.pending:
            return "being handed", self.value
        if self.refused:
            return "refused", self.refused
        return ("other", self.foreign) if self.foreign else ("has it", self.value)


@dataclass(frozen=True)
class _DeviceReport:
    """One device in `ConsumersReport`."""

    device: str
    refused: str
    foreign: tuple[str, ...]
    pending: bool
    report: tuple[tuple[str, str, str, str], ...]


class _ConsumerDevice:
    """One device, with all values that it receives."""

    def __init__(self, consumers: Sequence[Consumer], changed: Callable[[], None]) -> None:
        self.device = consumers[0].device
        self.deliveries = [_Delivery(consumer) for consumer in consumers]
        self.background = PeriodicThread(f"path to {self.device}", self._deliver_all, CONSUMER_CHECK_SECONDS)
        self._changed = changed
        self._lock = threading.Lock()
        self._proxy: tango.DeviceProxy | None = None

    def distribute(self, fields: Mapping[str, str]) -> None:
        with self._lock:
            for delivery in self.deliveries:
                delivery.value = delivery.consumer.template.format_map(fields)
                delivery.due = delivery.pending = True
        self.background.wake()

    def clear(self) -> None:
        with self._lock:
            for delivery in self.deliveries:
                delivery.value, delivery.due, delivery.pending, delivery.refused, delivery.foreign = (
                    None,
                    False,
                    False,
                    "",
                    "",
                )

    def report(self) -> _DeviceReport:
        with self._lock:
            return _DeviceReport(
                self.device,
                refused=_first_nonempty(self.deliveries, "refused"),
                foreign=tuple(
                    f"{self.device}: {delivery.consumer.target} is {delivery.foreign!r}, written by somebody else; it "
                    "is not overwritten until the next change of the path, or TurnOn"
                    for delivery in self.deliveries
                    if delivery.foreign
                ),
                pending=any(delivery.pending for delivery in self.deliveries),
                report=tuple((self.device, delivery.consumer.target, *delivery.state) for delivery in self.deliveries),
            )

    def _deliver_all(self) -> None:
        news = False
        for delivery in self.deliveries:
            if delivery.due:
                news = True
                self._deliver(delivery)
            elif delivery.value is not None:
                news |= self._check(delivery)
        if news:
            self._changed()

    def _deliver(self, delivery: _Delivery) -> None:
        value = delivery.value
        if value is None:
            return
        refused = self._write(delivery.consumer, value)
        echo = "" if refused else self._read_back(delivery.consumer) or ""
        with self._lock:
            if delivery.value != value:
                return  # there is a newer value by now
            delivery.pending, delivery.due, delivery.refused, delivery.foreign = False, bool(refused), refused, ""
            if not refused:
                # A detector may show the path differently, for example with a slash at the end.
                delivery.accepted = (value, echo)
                for one in (value, echo):
                    delivery.earlier.pop(one, None)
                    delivery.earlier[one] = None
                while len(delivery.earlier) > MAX_REMEMBERED_VALUES:
                    del delivery.earlier[next(iter(delivery.earlier))]

    def _check(self, delivery: _Delivery) -> bool:
        """Check the values. Returns whether something has changed: unreachable, value lost, or another value."""
        was = (delivery.refused, delivery.foreign)
        try:
            seen = self._read(delivery.consumer)
            refused, known = "", seen is None or seen in delivery.accepted
        except tango.DevFailed as error:
            refused, known, seen = _short_reason(error), True, None
        with self._lock:
            if delivery.due or delivery.value is None:
                return True  # there is a newer value by now
            if known and seen:  # right after the write it may still have shown the value before
                delivery.accepted = (delivery.accepted[0], seen)
            # A device that was away and shows nothing may have been restarted.
            lost = (not known and (not seen or seen in delivery.earlier)) or bool(was[0] and not refused and not seen)
            delivery.refused = refused
            delivery.foreign = "" if known or lost else (seen or "")
        if lost:
            delivery.due = True
            self._deliver(delivery)
        return lost or (delivery.refused, delivery.foreign) != was

    def _write(self, consumer: Consumer, value: str) -> str:
        """Write the value. Returns "" or why the consumer refused it."""
        try:
            if consumer.environment:
                self._connect().write_attribute(
                    "Environment", sardana_environment.encode_variable(consumer.environment, value)
                )
            else:
                self._connect().write_attribute(consumer.attribute, value)
        except tango.DevFailed as error:
            return _short_reason(error)
        except (TypeError, ValueError) as error:  # the attribute is missing, takes no text, or not this one
            return self._missing_attribute(consumer) or f"{consumer.target}: {error}".rstrip(" .")
        return ""

    def _missing_attribute(self, consumer: Consumer) -> str:
        """A sentence if the attribute is missing, else "". PyTango's own error does not say so."""
        name = "Environment" if consumer.environment else consumer.attribute
        try:
            if name.lower() in map(str.lower, self._connect().get_attribute_list()):
                return ""
        except tango.DevFailed as error:
            return _short_reason(error)
        return f"it has no attribute {name}{': is it a MacroServer?' if consumer.environment else ''}"

    def _read_back(self, consumer: Consumer) -> str | None:
        try:
            return self._read(consumer)
        except tango.DevFailed:
            return None  # it was written; `_check` reports it if it cannot be reached later

    def _read(self, consumer: Consumer) -> str | None:
        """Its current value, or None if it cannot be read. Raises DevFailed if the device cannot be reached."""
        proxy = self._connect()
        try:
            found = proxy.read_attribute("Environment" if consumer.environment else consumer.attribute).value
        except tango.DevFailed:
            proxy.ping()
            return None  # the device runs, but the attribute cannot be read
        try:
            value = sardana_environment.decode_variable(found, consumer.environment) if consumer.environment else found
            return value if isinstance(value, str) else "" if value is None else repr(value)
        except (ValueError, RecursionError):
            return None  # this Sardana has another format

    def _connect(self) -> tango.DeviceProxy:
        if self._proxy is None:
            proxy = tango.DeviceProxy(self.device)
            # Otherwise setting the time-out would connect the proxy with the interpreter's lock held.
            proxy.ping()
            proxy.set_timeout_millis(int(CONSUMER_TIMEOUT_SECONDS * 1000))
            self._proxy = proxy
        return self._proxy
