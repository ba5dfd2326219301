"""What a device remembers over a restart, where Tango keeps memorised values: beside its attributes in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tango

from scifish.tango_io.database import DEVICE, TIMEOUT, raw, text

MEMORISED = "__value"
"""The property of an attribute that Tango itself keeps a memorised value in."""


class Memory:
    """Of one device. What is kept has a name as attribute and property. All calls may raise `tango.DevFailed`."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._database: tango.DeviceProxy | None = None

    def recall(self, names: Sequence[tuple[str, str]]) -> list[str]:
        """Their values, "" where there is none. For the start: all of the server waits for the answer."""
        database = tango.Util.instance().get_database()
        attributes = list(dict.fromkeys(attribute for attribute, _ in names))
        found = database.get_device_attribute_property(self._device, attributes)
        return [text("".join(found[attribute].get(name, []))).strip() for attribute, name in names]

    def keep(self, values: Mapping[tuple[str, str], str]) -> None:
        """Replace these. Clients are answered while the database is being waited for."""
        # By a command of its device: `tango.Database` keeps the interpreter's lock while it waits.
        if self._database is None:
            database = tango.DeviceProxy(DEVICE)
            database.ping()  # else setting the time-out would connect it, with that lock held
            database.set_timeout_millis(int(TIMEOUT * 1000))
            self._database = database
        attributes = dict.fromkeys(attribute for attribute, _ in values)
        words = [self._device, str(len(attributes))]
        for attribute in attributes:
            theirs = [(name, value) for (of, name), value in values.items() if of == attribute]
            words += [attribute, str(len(theirs))]
            for name, value in theirs:
                words += [name, "1", raw(value)]
        self._database.command_inout("DbPutDeviceAttributeProperty2", words)
