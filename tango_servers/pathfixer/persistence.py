"""What a PathFixer restores after a restart: what is in use, the user's name and the endstation.

`AttributeProperties` reads and writes properties of attributes in the Tango database; `PersistentState` knows which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tango

from scifish.tango_io.database import DATABASE_DEVICE, DATABASE_TIMEOUT_SECONDS, raw, reason, text
from sdm.names import AUTO_VISIT, CATEGORIES
from tango_servers.common.replies import sendable
from tango_servers.pathfixer.selection import Selection

MEMORISED = "__value"
"""The property of an attribute in which Tango itself stores a memorised value."""


class AttributeProperties:
    """Of one device. A value is named by its attribute and property. All methods may raise `tango.DevFailed`."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._database: tango.DeviceProxy | None = None

    def read(self, names: Sequence[tuple[str, str]]) -> list[str]:
        """Their values, "" where there is none. Only for the start: the whole server waits for the answer."""
        database = tango.Util.instance().get_database()
        attributes = list(dict.fromkeys(attribute for attribute, _ in names))
        found = database.get_device_attribute_property(self._device, attributes)
        return [text("".join(found[attribute].get(name, []))).strip() for attribute, name in names]

    def write(self, values: Mapping[tuple[str, str], str]) -> None:
        """Replace these values. Clients are answered while this waits for the database."""
        # By a command of its device: `tango.Database` holds the interpreter's lock while it waits.
        if self._database is None:
            database = tango.DeviceProxy(DATABASE_DEVICE)
            database.ping()  # otherwise setting the time-out would connect it, with that lock held
            database.set_timeout_millis(int(DATABASE_TIMEOUT_SECONDS * 1000))
            self._database = database
        attributes = dict.fromkeys(attribute for attribute, _ in values)
        arguments = [self._device, str(len(attributes))]
        for attribute in attributes:
            properties = [(name, value) for (of, name), value in values.items() if of == attribute]
            arguments += [attribute, str(len(properties))]
            for name, value in properties:
                arguments += [name, "1", raw(value)]
        self._database.command_inout("DbPutDeviceAttributeProperty2", arguments)


SELECTION_PROPERTIES = (
    *(("Proposal", MEMORISED), ("Visit", MEMORISED), ("Sample", MEMORISED)),
    *(("Visit", "in_use"), ("Path", "by_hand"), ("Type", "in_use")),
)
"""What is stored of a selection. `in_use` is the visit that "auto" was last, and the category: both are needed for a
restart while a scan is running."""


NAME_PROPERTIES = (("UserName", MEMORISED), ("Endstation", MEMORISED))
"""Stored separately, because the selection may be changing at the same time."""


@dataclass(frozen=True)
class RestoredState:
    """`in_use` has no proposal and no path yet. `memorised`: Tango's own values of Proposal, Visit and Sample."""

    in_use: Selection
    memorised: Mapping[str, str]
    user_name: str
    endstation: str


class PersistentState:
    """Of one device, in the Tango database. `trouble` says why the last save failed, "" if it succeeded."""

    def __init__(self, device: str) -> None:
        self._properties = AttributeProperties(device)
        self.trouble = ""

    def load(self) -> RestoredState:
        """Raises DevFailed."""
        # The database may hold letters that no client could read.
        found = [sendable(value) for value in self._properties.read((*SELECTION_PROPERTIES, *NAME_PROPERTIES))]
        number, wanted, sample, last_visit, by_hand, category, user_name, endstation = found
        auto = wanted in ("", AUTO_VISIT)
        last_category = category if number and category in CATEGORIES else ""
        visit = last_visit if auto else wanted
        in_use = Selection(number, visit, auto, sample, by_hand=by_hand, last_category=last_category)
        return RestoredState(in_use, {"Proposal": number, "Visit": wanted, "Sample": sample}, user_name, endstation)

    def save(self, selection: Selection) -> None:
        """Store also what no client has written: Tango itself stores only what is written."""
        self._write(dict(zip(SELECTION_PROPERTIES, _stored_values(selection), strict=True)))

    def save_names(self, user_name: str, endstation: str) -> None:
        self._write(dict(zip(NAME_PROPERTIES, (user_name, endstation), strict=True)))

    def _write(self, values: Mapping[tuple[str, str], str]) -> None:
        try:
            self._properties.write(values)
            self.trouble = ""
        except tango.DevFailed as failed:
            self.trouble = reason(failed)


def stored_values_differ(one: Selection, other: Selection) -> bool:
    """Whether a restart would restore something else."""
    return _stored_values(one) != _stored_values(other)


def _stored_values(selection: Selection) -> tuple[str, ...]:
    return (
        selection.number,
        selection.wanted_visit,
        selection.sample,
        selection.visit,
        selection.by_hand,
        selection.category,
    )
