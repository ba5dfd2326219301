"""Tango's database and devices, PathFixer and SciDog stop or hang."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

from deploy.demo.processes import Process
from tests.faults.chaos import Fault
from tests.faults.kinds.names import DATABASE
from tests.faults.system import System


def faults(system: System, _: random.Random) -> list[Fault]:
    def end(process: Callable[[], Process], how: signal.Signals) -> Callable[[], str]:
        def begin() -> str:
            system.end(process(), how)
            return how.name

        return begin

    def freeze() -> str:
        os.kill(system.simulation.pid, signal.SIGSTOP)
        return ""

    def thaw() -> None:
        os.kill(system.simulation.pid, signal.SIGCONT)

    stop = signal.SIGTERM
    without_database = (DATABASE,)
    return [
        Fault("SciDog stopped", end(lambda: system.scidog, stop), system.start_scidog, (2, 10), after=without_database),
        Fault(
            "PathFixer stopped",
            end(lambda: system.pathfixer, stop),
            system.start_pathfixer,
            (2, 10),
            after=without_database,
        ),
        Fault(DATABASE, end(lambda: system.database, signal.SIGKILL), system.start_database, (2, 12)),
        Fault("devices hang", freeze, thaw, (2, 10)),
    ]
