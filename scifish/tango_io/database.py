"""Reads and writes the Tango database through its device, and explains why a Tango call failed.

`tango.Database` holds Python's interpreter lock while it waits: if the database hangs, the whole program stops, the
scan included. A command of the database's device releases the lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tango

DATABASE_TIMEOUT_SECONDS = 3.0
"""Time-out of each call."""

DATABASE_DEVICE = "sys/database/2"
"""The device of the database. Its name is the same in every Tango system: the server always has the instance name 2."""


class TangoDatabase:
    """Properties and device names. All calls may raise `tango.DevFailed`."""

    def __init__(self, host: str = "") -> None:
        """`host` is host:port of the database, "" for that of TANGO_HOST."""
        self._device = tango.DeviceProxy(f"tango://{host}/{DATABASE_DEVICE}" if host else DATABASE_DEVICE)
        # `set_timeout_millis` on an unconnected proxy connects it with the interpreter lock held.
        self._device.ping()
        self._device.set_timeout_millis(int(DATABASE_TIMEOUT_SECONDS * 1000))

    def devices_of_class(self, device_class: str) -> list[str]:
        """Names of the devices of a class, in any server."""
        return [str(name) for name in self._call("DbGetDeviceList", ["*", device_class]) if name]

    def properties(self, device: str) -> dict[str, list[str]]:
        """All properties of a device with their lines; {} if there is no such device."""
        names = [text(name) for name in self._call("DbGetDevicePropertyList", [device, "*"]) if name]
        if not names:
            return {}
        return parse_properties(self._call("DbGetDeviceProperty", [device, *map(raw, names)]))

    def put_property(self, device: str, name: str, lines: Sequence[str]) -> None:
        """Write a property; it replaces one whose name differs only in case."""
        self._call("DbPutDeviceProperty", [device, "1", raw(name), str(len(lines)), *map(raw, lines)])

    def delete_property(self, device: str, name: str) -> None:
        """Delete a property, if there is one. The name is a pattern: `*` and `%` match anything."""
        self._call("DbDeleteDeviceProperty", [device, raw(name)])

    def has_device(self, name: str) -> bool:
        """Whether a device of this name (or alias) is defined."""
        try:
            self._call("DbImportDevice", raw(name))
        except tango.DevFailed as failed:
            if failed.args[0].reason in ("DB_DeviceNotDefined", "DB_AliasNotDefined"):
                return False
            raise
        return True

    def attribute_of_alias(self, alias: str) -> str:
        """The name domain/family/member/attribute. DevFailed if no attribute has this alias."""
        return text(self._call("DbGetAttributeAlias", raw(alias)))

    def device_names(self, pattern: str) -> list[str]:
        """Names of the defined devices that match the pattern; `*` matches anything."""
        return [text(name) for name in self._call("DbGetDeviceWideList", raw(pattern)) if name]

    def running_devices(self) -> list[str]:
        """Names of the devices that a server has exported. It may have died since."""
        return [text(name) for name in self._call("DbGetDeviceExportedList", "*") if name]

    def aliases(self) -> dict[str, str]:
        """The device of each alias: a call for each."""
        found = [text(alias) for alias in self._call("DbGetDeviceAliasList", "*") if alias]
        return {alias: text(self._call("DbGetAliasDevice", raw(alias))) for alias in found}

    def _call(self, command: str, argument: str | list[str]) -> Any:
        # Without DeviceData, PyTango requests the argument's type from the device each time, without a time-out.
        data = tango.DeviceData()
        kind = tango.CmdArgType.DevString if isinstance(argument, str) else tango.CmdArgType.DevVarStringArray
        data.insert(kind, argument)
        return self._device.command_inout(command, data)


def parse_properties(answer: list[str]) -> dict[str, list[str]]:
    """Parse the answer of DbGetDeviceProperty: device, count, then for each property its name, line count and lines.

    For a property without lines the C++ database sends the count 0 and then one empty line.
    """
    found: dict[str, list[str]] = {}
    place = 2
    for _ in range(int(answer[1])):
        name, lines = text(answer[place]), int(answer[place + 1])
        found[name] = [text(line) for line in answer[place + 2 : place + 2 + lines]]
        place += 2 + max(lines, 1)
    return found


def text(received: str) -> str:
    """The right characters of a text that PyTango has decoded as Latin-1: UTF-8 if it is valid, else Latin-1.

    PyTango writes properties as UTF-8. Java programs use their locale: jive writes UTF-8 under a UTF-8 locale, and
    Latin-1 under another (the C++ database refuses it). PyTango's clients send Latin-1. Text in Latin-1 is almost never
    valid UTF-8: `µm`, `Å` and `°C` are not.
    """
    try:
        return str(received).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return str(received)


def decoded(value: Any) -> Any:
    """An attribute's value whose texts are the right characters, see `text`: also those of a spectrum or an image."""
    if isinstance(value, str):
        return text(value)
    return tuple(decoded(one) for one in value) if isinstance(value, tuple | list) else value


def raw(text: str) -> str:
    """A text in the form in which PyTango sends it as UTF-8. UnicodeError for a lone surrogate."""
    return text.encode("utf-8").decode("latin-1")


def reason(failed: tango.DevFailed) -> str:
    """The cause of a Tango error, in one line."""
    # Tango's first error is the cause; the others are the path that it took.
    if not failed.args:
        return "Tango gave no reason"
    cause = failed.args[0]
    if cause.reason in ("API_CantConnectToDevice", "API_CorbaException", "API_DeviceNotExported"):
        return f"the device does not answer ({cause.reason}): is its server running?"
    return " ".join(text(cause.desc).split())
