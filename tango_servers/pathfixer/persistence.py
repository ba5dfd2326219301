"""What a PathFixer restores after a restart: what is in use, the user's name and the endstation.

`AttributeProperties` reads and writes properties of attributes in the Tango database; `PersistentState` says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tango

from scifish.tango_io.database import DEVICE, TIMEOUT, raw, reason, text
from sdm.layout import AUTO_VISIT, CATEGORIES
from tango_servers.common.replies import sendable
from tango_servers.pathfixer.selection import InUse

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


IN_USE = (
    *(("Proposal", MEMORISED), ("Visit", MEMORISED), ("Sample", MEMORISED)),
    *(("Visit", "in_use"), ("Path", "by_hand"), ("Type", "in_use")),
)
"""What is kept of it. `in_use` is the visit that "auto" was last, and the category, for a restart while a scan runs."""


NAMES = (("UserName", MEMORISED), ("Endstation", MEMORISED))
"""Kept by themselves: what is in use may just be changing."""


@dataclass(frozen=True)
class Recalled:
    """`in_use` has no proposal and no path yet. `memorised` is what Tango itself has of Proposal, Visit and Sample."""

    in_use: InUse
    memorised: Mapping[str, str]
    user_name: str
    endstation: str


class Remembered:
    """Of one device, in the Tango database. `trouble` says why something could not be kept, "" if it was."""

    def __init__(self, device: str) -> None:
        self._memory = Memory(device)
        self.trouble = ""

    def recall(self) -> Recalled:
        """Raises DevFailed."""
        # Somebody may have put letters into the database that no client could read.
        found = [sendable(value) for value in self._memory.recall((*IN_USE, *NAMES))]
        number, wanted, sample, last, by_hand, category, user_name, endstation = found
        auto = wanted in ("", AUTO_VISIT)
        known = category if number and category in CATEGORIES else ""
        in_use = InUse(number, last if auto else wanted, auto, sample, by_hand=by_hand, remembered=known)
        return Recalled(in_use, {"Proposal": number, "Visit": wanted, "Sample": sample}, user_name, endstation)

    def keep(self, found: InUse) -> None:
        """A restart is not to bring back what was before. Tango itself only keeps what is written."""
        self._put(dict(zip(IN_USE, _kept(found), strict=True)))

    def keep_names(self, user_name: str, endstation: str) -> None:
        self._put(dict(zip(NAMES, (user_name, endstation), strict=True)))

    def _put(self, values: Mapping[tuple[str, str], str]) -> None:
        try:
            self._memory.keep(values)
            self.trouble = ""
        except tango.DevFailed as failed:
            self.trouble = reason(failed)


def differ(one: InUse, other: InUse) -> bool:
    """Whether a restart would have to know."""
    return _kept(one) != _kept(other)


def _kept(found: InUse) -> tuple[str, ...]:
    return found.number, found.wanted_visit, found.sample, found.visit, found.by_hand, found.category
