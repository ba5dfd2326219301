"""Names in a PathFixer's properties that mean nothing in the Tango database."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import tango

from scifish.settings import nearly_known
from scifish.tango_io.database import TangoDatabase, reason, text
from tango_servers.common.condition import then
from tango_servers.pathfixer.running_scans import named
from tango_servers.pathfixer.upkeep import RETRY


class Misnamed:
    """Looks once, when the database answers. `work` is to be called every second, by one thread.

    `known` are the device's properties, `doors` the lines of the property Doors. `problems` are sentences.
    """

    def __init__(self, device: str, known: Sequence[str], doors: Sequence[str]) -> None:
        self._device = device
        self._known = known
        self._doors = doors
        self._look_at = 0.0
        self.problems: list[str] = []

    def work(self) -> None:
        if time.monotonic() < self._look_at:
            return
        try:
            self.problems = self._look(TangoDatabase())
            self._look_at = math.inf  # what is changed then is in effect after Init
        except tango.DevFailed as failed:
            why = f"The properties cannot be checked, as the Tango database does not answer: {reason(failed)}"
            self.problems = [then(why, f"Trying again every {RETRY:.0f} s")]
            self._look_at = time.monotonic() + RETRY

    def _look(self, database: TangoDatabase) -> list[str]:
        problems = nearly_known(database.properties(self._device), self._known)
        for line, door in named(self._doors):
            # Of another Tango system this database knows nothing.
            if "://" not in door and not database.has_device(text(door)):
                problems.append(
                    f"Doors, line {line}: the Tango database has no device {text(door)}, so no scan there is seen"
                )
        return problems
