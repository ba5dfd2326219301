"""How a device answers its clients: errors, State and Status, change events."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

import tango
from tango.server import Device

MAX_LIST_LENGTH = 1000
"""Elements of an attribute that is a list."""


MAX_REFUSAL_CHARACTERS = 5_000
"""Of an error's text, which may quote what a client has sent."""


def sendable(text: str) -> str:
    """The text as Tango can send it: its strings are Latin-1; other characters become `\\u03bb`."""
    return text.encode("latin-1", "backslashreplace").decode("latin-1")


@contextlib.contextmanager
def raising_devfailed(origin: str, *errors: type[Exception]) -> Iterator[None]:
    """Raise these errors as DevFailed, with their text and `<origin>_<class>` as the reason."""
    try:
        yield
    except errors as error:
        # PyTango sends an error's text as UTF-8, but reads it as Latin-1.
        text = str(error)[:MAX_REFUSAL_CHARACTERS].encode("ascii", "backslashreplace").decode("ascii")
        text = text[:MAX_REFUSAL_CHARACTERS]
        tango.Except.throw_exception(f"{origin}_{type(error).__name__}", text, origin)


class AttributePublisher:
    """Sets a device's State and Status, and pushes change events for what has changed."""

    def __init__(self, device: Device, names: Sequence[str]) -> None:
        self._device = device
        self._published: dict[str, object] = {}
        for name in (*names, "State", "Status"):
            device.set_change_event(name, True, False)

    def publish(
        self,
        state: tango.DevState,
        status: str,
        values: Mapping[str, object],
        qualities: Mapping[str, tango.AttrQuality] | None = None,
    ) -> None:
        """`values` are those of the attributes with change events; valid unless `qualities` says otherwise."""
        status = sendable(status)
        self._device.set_state(state)
        self._device.set_status(status)
        now: dict[str, object] = {"State": state, "Status": status}
        for name, value in values.items():
            quality = (qualities or {}).get(name, tango.AttrQuality.ATTR_VALID)
            now[name] = value, quality
            if self._published.get(name) != now[name]:
                self._device.push_change_event(name, value, time.time(), quality)
        for name in ("State", "Status"):
            if self._published.get(name) != now[name]:
                self._device.push_change_event(name)
        self._published = now
