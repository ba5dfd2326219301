"""What a device tells its clients: errors, states and change events."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

import tango
from tango.server import Device


def sendable(text: str) -> str:
    """The text as Tango can carry it: its strings are Latin-1; other characters become `\\u03bb`."""
    return text.encode("latin-1", "backslashreplace").decode("latin-1")


@contextlib.contextmanager
def refusing(origin: str, *errors: type[Exception]) -> Iterator[None]:
    """These errors reach the client as a DevFailed with their text, and their class as its reason."""
    try:
        yield
    except errors as error:
        # PyTango sends an error's text as UTF-8, and reads it as Latin-1.
        text = str(error).encode("ascii", "backslashreplace").decode("ascii")
        tango.Except.throw_exception(f"{origin}_{type(error).__name__}", text, origin)


class Announcer:
    """Sets a device's State and Status, and pushes change events for what is new."""

    def __init__(self, device: Device, names: Sequence[str]) -> None:
        self._device = device
        self._told: dict[str, object] = {}
        for name in (*names, "State", "Status"):
            device.set_change_event(name, True, False)

    def announce(
        self,
        state: tango.DevState,
        status: str,
        values: Mapping[str, object],
        qualities: Mapping[str, tango.AttrQuality] | None = None,
    ) -> None:
        """`values`: those of the attributes that events are pushed for; valid, if `qualities` says nothing else."""
        status = sendable(status)
        self._device.set_state(state)
        self._device.set_status(status)
        now: dict[str, object] = {"State": state, "Status": status}
        for name, value in values.items():
            quality = (qualities or {}).get(name, tango.AttrQuality.ATTR_VALID)
            now[name] = value, quality
            if self._told.get(name) != now[name]:
                self._device.push_change_event(name, value, time.time(), quality)
        for name in ("State", "Status"):
            if self._told.get(name) != now[name]:
                self._device.push_change_event(name)
        self._told = now
