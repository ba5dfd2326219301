"""The beamline's SciDog and PathFixer, for programs that speak with them."""

from __future__ import annotations

from typing import Any

import tango

from scifish.settings.fallback import in_use, load_last_good
from scifish.settings.model import Settings, SettingsError
from scifish.settings.properties import find_scidog, read_settings
from scifish.tango_io.database import TangoDatabase, reason


class NotReachable(RuntimeError):
    """A device of ours does not answer, or refuses; the text is for a person."""


class Refused(RuntimeError):
    """What was asked for cannot be; the text says why, for a person."""


def read_now() -> Settings:
    """The settings as they are in the Tango database at this moment. NotReachable if that fails."""
    try:
        db = TangoDatabase()
        return read_settings(db, find_scidog(db))
    except tango.DevFailed as failed:
        raise NotReachable(f"the Tango database does not answer: {reason(failed)}") from failed
    except SettingsError as error:
        raise NotReachable(str(error)) from error


def used_now(settings: Settings) -> Settings:
    """What programs of this account record with: these settings, and the last good ones where they are wrong."""
    return in_use(settings, load_last_good())


def pathfixer(settings: Settings) -> tango.DeviceProxy:
    """NotReachable if SciDog does not name one."""
    if not settings.path_fixer:
        raise NotReachable(f"PathFixer of {settings.where} is empty: set it (in jive)")
    return proxy(settings.path_fixer)


def proxy(device: str) -> tango.DeviceProxy:
    """NotReachable if the database does not know it."""
    try:
        return tango.DeviceProxy(device)
    except tango.DevFailed as failed:
        raise NotReachable(f"{device}: {reason(failed)}") from failed


def read(device: tango.DeviceProxy, attribute: str) -> Any:
    """An attribute's value; an empty spectrum is an empty tuple. NotReachable if it cannot be read."""
    try:
        found = device.read_attribute(attribute)
    except tango.DevFailed as failed:
        raise NotReachable(f"{device.dev_name()}: {reason(failed)}") from failed
    return found.value if found.value is not None else ()


def write(device: tango.DeviceProxy, attribute: str, value: Any) -> None:
    """NotReachable if the device does not answer; Refused, with what it says, if it does not want the value."""
    try:
        device.write_attribute(attribute, value)
    except tango.DevFailed as failed:
        kind = NotReachable if str(failed.args[0].reason).startswith("API_") else Refused
        raise kind(f"{device.dev_name()}: {reason(failed)}") from failed
    except (TypeError, UnicodeError) as error:
        raise Refused(f"{value!r}: {error}") from error


def config_named(settings: Settings, name: str) -> str:
    """A configuration's name as it is written in the database. Refused if there is none of that name."""
    by_name = {known.lower(): known for known in settings.configs}
    if name.lower() not in by_name:
        known = ", ".join(sorted(by_name.values(), key=str.lower)) or "none"
        raise Refused(f"there is no configuration {name!r}; there are: {known}")
    return by_name[name.lower()]


def use_config(settings: Settings, name: str) -> str:
    """Make a configuration the active one; its name as it is written in the database is returned.

    With the SciDog server stopped the property itself is changed, which is in effect all the same.
    Refused if there is no such configuration, NotReachable if nothing answers.
    """
    chosen = config_named(settings, name)
    try:
        device = proxy(settings.scidog)
        device.ping()
    except (tango.DevFailed, NotReachable):
        try:
            tango.Database().put_device_property(settings.scidog, {"ActiveConfig": [chosen]})
        except tango.DevFailed as failed:
            raise NotReachable(f"the Tango database does not answer: {reason(failed)}") from failed
    else:
        write(device, "ActiveConfig", chosen)
    return chosen
