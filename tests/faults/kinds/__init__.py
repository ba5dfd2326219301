"""The kinds of faults, one module for each part that fails."""

from __future__ import annotations

import random

from tests.faults.chaos import Fault
from tests.faults.kinds import catalogue, kafka, others, programs, servers, spools
from tests.faults.kinds.names import FULL
from tests.faults.system import System


def all_faults(system: System, chance: random.Random) -> tuple[list[Fault], list[str]]:
    """Those that this machine allows; and in words those that it does not."""
    modules = (servers, programs, kafka, catalogue, spools, others)
    faults = [fault for module in modules for fault in module.faults(system, chance)]
    if not system.disk.refused:
        return faults, []
    skipped = [f"{fault.name}: {system.disk.refused}" for fault in faults if fault.name in FULL]
    return [fault for fault in faults if fault.name not in FULL], skipped
