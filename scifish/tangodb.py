"""What is said to Tango itself: its database, asked through its device; and why it failed.

`tango.Database` keeps the interpreter's lock while it waits: with a database that hangs, all of the
program would stand still, the scan included. A command of the database's device lets go of it.
"""

from __future__ import annotations

import tango

TIMEOUT = 3.0
"""Seconds for each question."""

DEVICE = "sys/database/2"
"""Its name is the same in every Tango system (the server is always started as instance 2)."""


class TangoDatabase:
    """Properties and device names. All calls may raise `tango.DevFailed`."""

    def __init__(self) -> None:
        self._device = tango.DeviceProxy(DEVICE)
        # Of a proxy that is not connected, setting the time-out connects it with the interpreter's lock held.
        self._device.ping()
        self._device.set_timeout_millis(int(TIMEOUT * 1000))

    def devices_of_class(self, device_class: str) -> list[str]:
        """Names of the devices of a class, of whatever server."""
        return [str(name) for name in self._device.command_inout("DbGetDeviceList", ["*", device_class]) if name]

    def properties(self, device: str) -> dict[str, list[str]]:
        """All properties of a device with their lines; none if there is no such device."""
        names = [str(name) for name in self._device.command_inout("DbGetDevicePropertyList", [device, "*"]) if name]
        if not names:
            return {}
        return parse_properties(self._device.command_inout("DbGetDeviceProperty", [device, *names]))


def parse_properties(answer: list[str]) -> dict[str, list[str]]:
    """The answer of DbGetDeviceProperty: device, count, then for each its name, its number of lines, its lines.

    For a property without lines the C++ database gives the number 0 and then one blank text.
    """
    found: dict[str, list[str]] = {}
    place = 2
    for _ in range(int(answer[1])):
        name, lines = _text(answer[place]), int(answer[place + 1])
        found[name] = [_text(line) for line in answer[place + 2 : place + 2 + lines]]
        place += 2 + max(lines, 1)
    return found


def _text(raw: str) -> str:
    """Properties are UTF-8, and PyTango reads a command's texts as Latin-1."""
    return str(raw).encode("latin-1", "replace").decode("utf-8", "replace")


def reason(failed: tango.DevFailed) -> str:
    """Why Tango failed, in one line."""
    # The first of Tango's errors is the cause; the others say through where it came.
    if not failed.args:
        return "failed for no reason given"
    cause = failed.args[0]
    if cause.reason in ("API_CantConnectToDevice", "API_CorbaException", "API_DeviceNotExported"):
        return f"the device does not answer ({cause.reason}): is its server running?"
    return " ".join(str(cause.desc).split())
