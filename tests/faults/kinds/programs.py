"""Programs that record end, and their clocks jump."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

from tests.faults.chaos import Fault
from tests.faults.clock import JUMPS
from tests.faults.kinds.names import CLOCK, DATABASE, FULL, MACROSERVER
from tests.faults.system import System


def faults(system: System, chance: random.Random) -> list[Fault]:
    def kill_sardana() -> str:
        system.kill_sardana()
        return "SIGKILL"

    def end_program(how: signal.Signals, group: bool = False) -> Callable[[], str | None]:
        def begin() -> str | None:
            found = system.running_programs()
            if not found:
                return None
            _, program = chance.choice(found)
            system.end(program, how, group)
            return program.name

        return begin

    def kill_companion() -> str | None:
        found = system.companions()
        if not found:
            return None
        pid = chance.choice(found)
        os.kill(pid, signal.SIGKILL)
        return f"process {pid}"

    def jump() -> str:
        by = chance.choice(JUMPS)
        for clock in system.clocks:
            clock.jump(by)
        return f"{by:+d} s"

    def back() -> None:
        for clock in system.clocks:
            clock.jump(0)

    return [
        Fault(MACROSERVER, kill_sardana, system.start_sardana, (0, 3), FULL, (DATABASE,)),
        Fault("program ended", end_program(signal.SIGTERM), not_with=FULL),
        Fault("program killed", end_program(signal.SIGKILL), not_with=FULL),
        Fault("program and its children killed", end_program(signal.SIGKILL, group=True), not_with=FULL),
        Fault("companion killed", kill_companion, not_with=FULL),
        Fault(CLOCK, jump, back, (2, 15)),
    ]
