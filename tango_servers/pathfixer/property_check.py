"""Checks the names in a device's properties against the Tango database."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import tango

from scifish.settings import nearly_known
from scifish.tango_io.database import TangoDatabase, reason, text
from tango_servers.common.condition import join_sentences
from tango_servers.pathfixer.running_scans import door_lines
from tango_servers.pathfixer.upkeep import UPKEEP_RETRY_SECONDS


class PropertyCheck:
    """Checks once, when the database answers. One thread calls `run` every second.

    `property_names` are the device's properties, `doors` the lines of the property Doors. `problems` are sentences.
    """

    def __init__(self, device: str, property_names: Sequence[str], doors: Sequence[str]) -> None:
        self._device = device
        self._property_names = property_names
        self._doors = doors
        self._next_check = 0.0
        self.problems: list[str] = []

    def run(self) -> None:
        if time.monotonic() < self._next_check:
            return
        try:
            self.problems = self._check(TangoDatabase())
            self._next_check = math.inf  # later changes of properties are in effect after Init only
        except tango.DevFailed as failed:
            why = f"The properties cannot be checked, because the Tango database does not answer: {reason(failed)}"
            self.problems = [join_sentences(why, f"Retrying every {UPKEEP_RETRY_SECONDS:.0f} s")]
            self._next_check = time.monotonic() + UPKEEP_RETRY_SECONDS

    def _check(self, database: TangoDatabase) -> list[str]:
        problems = nearly_known(database.properties(self._device), self._property_names)
        for line, door in door_lines(self._doors):
            # This database does not know the devices of another Tango system.
            if "://" not in door and not database.has_device(text(door)):
                problems.append(
                    f"Doors, line {line}: the Tango database has no device {text(door)}, so its scans are not seen"
                )
        return problems
