"""Handing the path on: to Sardana's environment, and to attributes of detectors and other devices.

Each line of the property `PathConsumers` is a YAML flow mapping:

    {device: macroserver/cosaxs/1, environment: ScanDir}
    {device: b311a/ea/eiger, attribute: FilePath, template: "{sample_path}/eiger"}
"""

from __future__ import annotations

import pickle
import string
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tango
import yaml
from tango.utils import PyTangoThreadPoolExecutor

TIMEOUT = 3.0
"""Seconds that a consumer has for its answer."""

AT_ONCE = 8
"""Consumers that are written to side by side."""

FIELDS = ("path", "sample_path", "category", "beamline", "proposal", "visit", "sample")
"""What a template may name."""

DEFAULT_TEMPLATE = "{sample_path}"

_KEYS = ("device", "environment", "attribute", "template")


@dataclass(frozen=True)
class Consumer:
    """One that is handed the path: a MacroServer (`environment` names the variable) or a device's attribute."""

    device: str
    environment: str = ""
    attribute: str = ""
    template: str = DEFAULT_TEMPLATE


def parse_consumers(lines: Sequence[str]) -> tuple[list[Consumer], list[str]]:
    """The consumers that are right, and a sentence for each wrong line. Blank lines and comments are skipped."""
    consumers = []
    problems = []
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("- ")
        if not text or text.startswith("#"):
            continue
        try:
            consumers.append(_consumer(yaml.safe_load(text)))
        except yaml.YAMLError:
            problems.append(f"PathConsumers, line {number}: not YAML: {text!r}")
        except ValueError as error:
            problems.append(f"PathConsumers, line {number}: {error}")
    return consumers, problems


def _consumer(fields: Any) -> Consumer:
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("not of the form {device: ..., attribute: ...} or {device: ..., environment: ...}")
    unknown = [str(key) for key in fields if key not in _KEYS]
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; known are {', '.join(_KEYS)}")
    consumer = Consumer(**fields) if "device" in fields else Consumer("")
    if not consumer.device:
        raise ValueError("device is missing")
    if bool(consumer.attribute) == bool(consumer.environment):
        raise ValueError("name either an attribute or an environment variable")
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(consumer.template) if name is not None]
    except ValueError as error:
        raise ValueError(f"template {consumer.template!r}: {error}") from error
    for name in names:
        if name not in FIELDS:
            raise ValueError(f"template: {{{name}}} is not known; known are {', '.join(FIELDS)}")
    return consumer


class HandOver:
    """Writes the newest path to all consumers, and again to those that refused it.

    `hand_on` only notes what is to be written; `work`, to be called in the background, writes.
    """

    def __init__(self, consumers: Sequence[Consumer]) -> None:
        self._consumers = list(consumers)
        self._proxies: dict[str, tango.DeviceProxy] = {}
        self._lock = threading.Lock()
        self._fields: Mapping[str, str] = {}
        self._todo: list[Consumer] = []
        self._untried = False
        self._refused: dict[Consumer, str] = {}

    @property
    def devices(self) -> list[str]:
        """Names of the devices that the path is handed to."""
        return list(dict.fromkeys(consumer.device for consumer in self._consumers))

    @property
    def refused(self) -> dict[str, str]:
        """Devices that do not have the newest path, with why."""
        with self._lock:
            return {consumer.device: reason for consumer, reason in self._refused.items()}

    @property
    def pending(self) -> list[str]:
        """Devices that have not been tried yet with the newest path."""
        return self.devices if self._untried else []

    def hand_on(self, fields: Mapping[str, str]) -> None:
        """From now on this is the path; `fields` are those of `FIELDS`."""
        with self._lock:
            self._fields = dict(fields)
            self._todo = list(self._consumers)
            self._untried = True

    def work(self) -> bool:
        """Write what is still to be written. Whether there was anything."""
        with self._lock:
            fields, todo = self._fields, self._todo
        if not todo:
            return False
        with PyTangoThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            reasons = list(pool.map(lambda consumer: self._write(consumer, fields), todo))
        with self._lock:
            if fields is not self._fields:  # a newer path came in the meantime: what failed is moot
                return True
            self._untried = False
            self._refused = {consumer: reason for consumer, reason in zip(todo, reasons, strict=True) if reason}
            self._todo = list(self._refused)
        return True

    def _write(self, consumer: Consumer, fields: Mapping[str, str]) -> str:
        """ "" or why it was refused."""
        value: Any = consumer.template.format_map(fields)
        attribute = consumer.attribute
        if consumer.environment:
            # What taurus's MacroServer.putEnvironment writes.
            attribute, value = "Environment", ("pickle", pickle.dumps({"new": {consumer.environment: value}}))
        try:
            self._proxy(consumer.device).write_attribute(attribute, value)
        except tango.DevFailed as error:
            return str(error.args[0].desc).strip().splitlines()[0].rstrip(" .!")
        except (TypeError, ValueError) as error:  # of an attribute that takes no text
            return f"{attribute}: {error}"
        return ""

    def _proxy(self, device: str) -> tango.DeviceProxy:
        if device not in self._proxies:
            proxy = tango.DeviceProxy(device)
            proxy.set_timeout_millis(int(TIMEOUT * 1000))
            self._proxies[device] = proxy
        return self._proxies[device]
