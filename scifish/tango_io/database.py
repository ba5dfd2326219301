"""What is said to Tango itself: its database, asked and written through its device; and why it failed.

`tango.Database` keeps the interpreter's lock while it waits: with a database that hangs, all of the
program would stand still, the scan included. A command of the database's device lets go of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tango

DATABASE_TIMEOUT_SECONDS = 3.0
"""Seconds for each question."""

DATABASE_DEVICE = "sys/database/2"
"""Its name is the same in every Tango system (the server is always started as instance 2)."""


class TangoDatabase:
    """Properties and device names. All calls may raise `tango.DevFailed`."""

    def __init__(self) -> None:
        self._device = tango.DeviceProxy(DATABASE_DEVICE)
        # Of a proxy that is not connected, setting the time-out connects it with the interpreter's lock held.
        self._device.ping()
        self._device.set_timeout_millis(int(DATABASE_TIMEOUT_SECONDS * 1000))

    def devices_of_class(self, device_class: str) -> list[str]:
        """Names of the devices of a class, of whatever server."""
        return [str(name) for name in self._ask("DbGetDeviceList", ["*", device_class]) if name]

    def properties(self, device: str) -> dict[str, list[str]]:
        """All properties of a device with their lines; none if there is no such device."""
        names = [text(name) for name in self._ask("DbGetDevicePropertyList", [device, "*"]) if name]
        if not names:
            return {}
        return parse_properties(self._ask("DbGetDeviceProperty", [device, *map(raw, names)]))

    def put_property(self, device: str, name: str, lines: Sequence[str]) -> None:
        """Write a property, in place of one of that name in whatever case."""
        self._ask("DbPutDeviceProperty", [device, "1", raw(name), str(len(lines)), *map(raw, lines)])

    def delete_property(self, device: str, name: str) -> None:
        """Delete a property; nothing if there is none. A `*` or `%` in the name would stand for anything."""
        self._ask("DbDeleteDeviceProperty", [device, raw(name)])

    def has_device(self, name: str) -> bool:
        """Whether a device of this name (or alias) is defined."""
        try:
            self._ask("DbImportDevice", raw(name))
        except tango.DevFailed as failed:
            if failed.args[0].reason in ("DB_DeviceNotDefined", "DB_AliasNotDefined"):
                return False
            raise
        return True

    def device_names(self, pattern: str) -> list[str]:
        """Names of the devices that are defined; `*` in the pattern stands for anything."""
        return [text(name) for name in self._ask("DbGetDeviceWideList", raw(pattern)) if name]

    def _ask(self, command: str, argument: str | list[str]) -> Any:
        # PyTango asks the device for the type of a command's argument, each time and without a time-out.
        data = tango.DeviceData()
        kind = tango.CmdArgType.DevString if isinstance(argument, str) else tango.CmdArgType.DevVarStringArray
        data.insert(kind, argument)
        return self._device.command_inout(command, data)


def parse_properties(answer: list[str]) -> dict[str, list[str]]:
    """The answer of DbGetDeviceProperty: device, count, then for each its name, its number of lines, its lines.

    For a property without lines the C++ database gives the number 0 and then one blank text.
    """
    found: dict[str, list[str]] = {}
    place = 2
    for _ in range(int(answer[1])):
        name, lines = text(answer[place]), int(answer[place + 1])
        found[name] = [text(line) for line in answer[place + 2 : place + 2 + lines]]
        place += 2 + max(lines, 1)
    return found


def text(heard: str) -> str:
    """What was meant by a text that PyTango has read as Latin-1: UTF-8, as PyTango writes properties, else Latin-1.

    Java programs write what their locale says: jive writes UTF-8 under a UTF-8 locale. Latin-1 is what one
    under another has written (the C++ database refuses it), and what PyTango's clients send. Words of Latin-1
    are hardly ever UTF-8, too: `µm`, `Å` and `°C` are not.
    """
    try:
        return str(heard).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return str(heard)


def raw(text: str) -> str:
    """A text as PyTango has to be given it, so that it gets to Tango as UTF-8. UnicodeError for half a character."""
    return text.encode("utf-8").decode("latin-1")


def reason(failed: tango.DevFailed) -> str:
    """Why Tango failed, in one line."""
    # The first of Tango's errors is the cause; the others say through where it came.
    if not failed.args:
        return "failed for no reason given"
    cause = failed.args[0]
    if cause.reason in ("API_CantConnectToDevice", "API_CorbaException", "API_DeviceNotExported"):
        return f"the device does not answer ({cause.reason}): is its server running?"
    return " ".join(str(cause.desc).split())
