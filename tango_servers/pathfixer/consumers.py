"""Handing the path on: to Sardana's environment, and to attributes of detectors and other devices.

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

from scifish.tango_io.database import reason
from tango_servers.common.background import Background
from tango_servers.pathfixer import sardana_environment as environment

TIMEOUT = 3.0
"""Seconds that a consumer has for its answer."""

RETRY = 10.0
"""Seconds between looks whether a consumer still has what it was given, and between tries with one that refused it."""

REMEMBERED = 200
"""Values that a consumer was given before and that are known again."""

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

    @property
    def target(self) -> str:
        """What is written there."""
        return self.environment or self.attribute


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
    try:
        consumer.template.format_map(dict.fromkeys(FIELDS, "name"))
    except (ValueError, LookupError) as error:  # what follows a ':' or a '!' is looked at only now
        raise ValueError(f"template {consumer.template!r}: {error}") from error
    return consumer


@dataclass(frozen=True)
class Handed:
    """How those stand that are handed the path.

    `devices` are their names, `refused` those that do not have the newest path, with why. `foreign` is a sentence for
    each value that somebody else has written over ours. `pending` have not been tried yet with the newest path.
    `report`: of each consumer its device, what is written there, how it stands, and the value or why not.
    """

    devices: tuple[str, ...]
    refused: Mapping[str, str]
    foreign: tuple[str, ...]
    pending: tuple[str, ...]
    report: tuple[tuple[str, str, str, str], ...]


class HandOver:
    """Writes the newest path to all consumers, and again to those that refused it or have lost it.

    Each device has a thread of its own, so that one that hangs delays no other. `changed` is called
    from those threads whenever there is something new to be shown.
    """

    def __init__(self, consumers: Sequence[Consumer], changed: Callable[[], None]) -> None:
        by_device: dict[str, list[Consumer]] = {}
        for consumer in consumers:
            by_device.setdefault(consumer.device.lower(), []).append(consumer)
        self._recipients = [_Recipient(theirs, changed) for theirs in by_device.values()]

    def seen(self) -> Handed:
        """How all of them stand; each device as it is at one moment."""
        standings = [recipient.seen() for recipient in self._recipients]
        return Handed(
            devices=tuple(one.device for one in standings),
            refused={one.device: one.refused for one in standings if one.refused},
            foreign=tuple(sentence for one in standings for sentence in one.foreign),
            pending=tuple(one.device for one in standings if one.pending),
            report=tuple(line for one in standings for line in one.report),
        )

    def start(self) -> None:
        for recipient in self._recipients:
            recipient.background.start()

    def stop(self) -> None:
        """It does not wait for one that hangs."""
        for recipient in self._recipients:
            recipient.background.stop()

    def hand_on(self, fields: Mapping[str, str]) -> None:
        """From now on this is the path; `fields` are those of `FIELDS`. Returns at once."""
        for recipient in self._recipients:
            recipient.hand_on(fields)

    def let_go(self) -> None:
        """There is no path any more: what the consumers have is theirs."""
        for recipient in self._recipients:
            recipient.let_go()


def _in_short(failed: tango.DevFailed) -> str:
    return reason(failed).rstrip(" .!")


def _first(gifts: Sequence[_Gift], name: str) -> str:
    return next((found for gift in gifts if (found := getattr(gift, name))), "")


@dataclass
class _Gift:
    """What one consumer is given. `accepted`: the value, and how the consumer itself then shows it."""

    consumer: Consumer
    value: str | None = None  # before there is a path
    due: bool = False
    untried: bool = False
    refused: str = ""
    foreign: str = ""
    accepted: tuple[str, ...] = ()
    before: dict[str, None] = field(default_factory=dict)  # a set that knows its order

    @property
    def standing(self) -> tuple[str, str]:
        if self.value is None:
            return "nothing yet", ""
        if self.untried:
            return "being handed", self.value
        if self.refused:
            return "refused", self.refused
        return ("other", self.foreign) if self.foreign else ("has it", self.value)


@dataclass(frozen=True)
class _Standing:
    """One device of `Handed`."""

    device: str
    refused: str
    foreign: tuple[str, ...]
    pending: bool
    report: tuple[tuple[str, str, str, str], ...]


class _Recipient:
    """One device, with all that it is given."""

    def __init__(self, consumers: Sequence[Consumer], changed: Callable[[], None]) -> None:
        self.device = consumers[0].device
        self.gifts = [_Gift(consumer) for consumer in consumers]
        self.background = Background(f"{self.device} is handed the path", self._work, RETRY)
        self._changed = changed
        self._lock = threading.Lock()
        self._proxy: tango.DeviceProxy | None = None

    def hand_on(self, fields: Mapping[str, str]) -> None:
        with self._lock:
            for gift in self.gifts:
                gift.value = gift.consumer.template.format_map(fields)
                gift.due = gift.untried = True
        self.background.now()

    def let_go(self) -> None:
        with self._lock:
            for gift in self.gifts:
                gift.value, gift.due, gift.untried, gift.refused, gift.foreign = None, False, False, "", ""

    def seen(self) -> _Standing:
        with self._lock:
            return _Standing(
                self.device,
                refused=_first(self.gifts, "refused"),
                foreign=tuple(
                    f"{self.device}: {gift.consumer.target} is {gift.foreign!r}, written by somebody else; it is left "
                    "so until the next change of the path or TurnOn"
                    for gift in self.gifts
                    if gift.foreign
                ),
                pending=any(gift.untried for gift in self.gifts),
                report=tuple((self.device, gift.consumer.target, *gift.standing) for gift in self.gifts),
            )

    def _work(self) -> None:
        news = False
        for gift in self.gifts:
            if gift.due:
                news = True
                self._give(gift)
            elif gift.value is not None:
                news |= self._look(gift)
        if news:
            self._changed()

    def _give(self, gift: _Gift) -> None:
        value = gift.value
        if value is None:
            return
        refused = self._why_not(gift.consumer, value)
        echo = "" if refused else self._seen(gift.consumer) or ""
        with self._lock:
            if gift.value != value:
                return  # a newer one came in the meantime: this one is moot
            gift.untried, gift.due, gift.refused, gift.foreign = False, bool(refused), refused, ""
            if not refused:
                # A detector may show the path in its own way, with a slash at the end.
                gift.accepted = (value, echo)
                for one in (value, echo):
                    gift.before.pop(one, None)
                    gift.before[one] = None
                while len(gift.before) > REMEMBERED:
                    del gift.before[next(iter(gift.before))]

    def _look(self, gift: _Gift) -> bool:
        """Whether there is news: it cannot be reached, has lost its value, or got another one."""
        was = (gift.refused, gift.foreign)
        try:
            seen = self._read(gift.consumer)
            refused, known = "", seen is None or seen in gift.accepted
        except tango.DevFailed as error:
            refused, known, seen = _in_short(error), True, None
        with self._lock:
            if gift.due or gift.value is None:
                return True  # it has changed in the meantime
            if known and seen:  # what it showed right after it was written may have been what it had before
                gift.accepted = (gift.accepted[0], seen)
            # One that was away and shows nothing may have been restarted.
            lost = (not known and (not seen or seen in gift.before)) or bool(was[0] and not refused and not seen)
            gift.refused = refused
            gift.foreign = "" if known or lost else (seen or "")
        if lost:
            gift.due = True
            self._give(gift)
        return lost or (gift.refused, gift.foreign) != was

    def _why_not(self, consumer: Consumer, value: str) -> str:
        """ "" or why it was refused."""
        try:
            if consumer.environment:
                self._connected().write_attribute("Environment", environment.setting(consumer.environment, value))
            else:
                self._connected().write_attribute(consumer.attribute, value)
        except tango.DevFailed as error:
            return _in_short(error)
        except (TypeError, ValueError) as error:  # of an attribute that is not there, or takes no text, or not this one
            return self._unfit(consumer) or f"{consumer.target}: {error}".rstrip(" .")
        return ""

    def _unfit(self, consumer: Consumer) -> str:
        """Of an attribute that is not there PyTango says something else."""
        name = "Environment" if consumer.environment else consumer.attribute
        try:
            if name.lower() in map(str.lower, self._connected().get_attribute_list()):
                return ""
        except tango.DevFailed as error:
            return _in_short(error)
        return f"it has no attribute {name}{': is it a MacroServer?' if consumer.environment else ''}"

    def _seen(self, consumer: Consumer) -> str | None:
        try:
            return self._read(consumer)
        except tango.DevFailed:
            return None  # it was written; `_look` tells if it cannot be reached later

    def _read(self, consumer: Consumer) -> str | None:
        """What it has, or None if that cannot be read. Raises DevFailed if it is not to be reached."""
        proxy = self._connected()
        try:
            found = proxy.read_attribute("Environment" if consumer.environment else consumer.attribute).value
        except tango.DevFailed:
            proxy.ping()
            return None  # it is there, and does not want to be read
        try:
            value = environment.value(found, consumer.environment) if consumer.environment else found
            return value if isinstance(value, str) else "" if value is None else repr(value)
        except (ValueError, RecursionError):
            return None  # of a Sardana that is not the one that we know

    def _connected(self) -> tango.DeviceProxy:
        if self._proxy is None:
            proxy = tango.DeviceProxy(self.device)
            # Of a proxy that is not connected, setting the time-out connects it with the interpreter's lock held.
            proxy.ping()
            proxy.set_timeout_millis(int(TIMEOUT * 1000))
            self._proxy = proxy
        return self._proxy
