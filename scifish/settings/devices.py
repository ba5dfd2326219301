"""Access to the beamline's SciDog and PathFixer devices, for macros and other clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tango

from scifish.settings.fallback import in_use, load_last_good
from scifish.settings.model import Settings, SettingsError
from scifish.settings.properties import find_scidog, read_settings
from scifish.tango_io.database import TangoDatabase, decoded, reason


class NotReachable(RuntimeError):
    """SciDog, PathFixer or the Tango database does not answer; the text is for a person."""


class Refused(RuntimeError):
    """The request cannot be carried out; the text says why, for a person."""


def read_now() -> Settings:
    """The present settings in the Tango database. NotReachable if they cannot be read."""
    try:
        db = TangoDatabase()
        return read_settings(db, find_scidog(db))
    except tango.DevFailed as failed:
        raise NotReachable(f"the Tango database does not answer: {reason(failed)}") from failed
    except SettingsError as error:
        raise NotReachable(str(error)) from error


def used_now(settings: Settings) -> Settings:
    """The settings that programs of this account record with: the last good ones replace what is wrong in these."""
    return in_use(settings, load_last_good())


class PartDevice:
    """The device of a part of the beamline, such as PathFixer. Each error names the part and the device."""

    def __init__(self, part: str, device: str) -> None:
        """NotReachable if the Tango database does not know the device."""
        self.part = part
        self.name = device
        try:
            self.proxy = tango.DeviceProxy(device)
        except tango.DevFailed as failed:
            raise self._error(NotReachable, reason(failed)) from failed

    def __str__(self) -> str:
        return f"{self.part} ({self.name})"

    def read(self, attribute: str) -> Any:
        """An attribute's value; an empty spectrum is an empty tuple. NotReachable if it cannot be read."""
        try:
            found = self.proxy.read_attribute(attribute)
        except tango.DevFailed as failed:
            raise self._error(NotReachable, reason(failed)) from failed
        return decoded(found.value) if found.value is not None else ()

    def write(self, attribute: str, value: Any) -> None:
        """Write an attribute. NotReachable if the device does not answer; Refused if it rejects the value."""
        self._ask(value, lambda: self.proxy.write_attribute(attribute, value))

    def command(self, command: str, *value: Any) -> Any:
        """Run a command. NotReachable if the device does not answer; Refused, with its reason, if it refuses."""
        return self._ask(value, lambda: self.proxy.command_inout(command, *value))

    def _ask(self, value: Any, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except tango.DevFailed as failed:
            kind = NotReachable if str(failed.args[0].reason).startswith("API_") else Refused
            raise self._error(kind, reason(failed)) from failed
        except (TypeError, UnicodeError) as error:
            raise self._error(Refused, f"{value!r}: {error}") from error

    def _error(self, kind: type[NotReachable | Refused], why: str) -> NotReachable | Refused:
        return kind(f"{self}: {why}")


def pathfixer(settings: Settings) -> PartDevice:
    """The PathFixer of these settings. NotReachable if SciDog names none, or the Tango database does not know it."""
    if not settings.path_fixer:
        raise NotReachable(f"the property PathFixer of {settings.where} is empty: set it (in jive)")
    return PartDevice("PathFixer", settings.path_fixer)


def scidog(settings: Settings) -> PartDevice:
    """The SciDog of these settings. NotReachable if the Tango database does not know it."""
    return PartDevice("SciDog", settings.scidog)


def is_defined(device: str) -> bool:
    """Whether the Tango database has a device of this name; True if it does not answer."""
    try:
        return TangoDatabase().has_device(device)
    except tango.DevFailed:
        return True  # the device's own error is shown in any case


def config_named(settings: Settings, name: str) -> str:
    """A configuration's name as it is written in the Tango database. Refused if there is no such configuration."""
    by_name = {known.lower(): known for known in settings.configs}
    if name.lower() not in by_name:
        known = ", ".join(sorted(by_name.values(), key=str.lower)) or "none"
        raise Refused(f"there is no configuration {name!r}; there are: {known}")
    return by_name[name.lower()]


def use_config(settings: Settings, name: str) -> str:
    """Make a configuration the active one; returns its name as it is written in the Tango database.

    If the SciDog server is stopped, the property is written directly, with the same effect. Refused if there is no such
    configuration, NotReachable if neither SciDog nor the database answers.
    """
    chosen = config_named(settings, name)
    try:
        device = scidog(settings)
        device.proxy.ping()
    except (tango.DevFailed, NotReachable):
        try:
            TangoDatabase().put_property(settings.scidog, "ActiveConfig", [chosen])
        except tango.DevFailed as failed:
            raise NotReachable(f"the Tango database does not answer: {reason(failed)}") from failed
    else:
        device.write("ActiveConfig", chosen)
    return chosen
