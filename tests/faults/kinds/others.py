"""Programs of other settings, a topic that lies, a PathFixer that does not answer."""

from __future__ import annotations

import random
import signal
from typing import Any
from uuid import uuid4

from deploy.demo.processes import Process
from scifish.message import encode
from tests.builders.messages import message
from tests.faults.chaos import Fault
from tests.faults.kinds.names import CATALOGUE, COW, DATABASE, FULL, KAFKA
from tests.faults.strangers import OTHER_BEAMLINE, Stranger
from tests.faults.system import System
from tests.servers.kafka import send
from tests.waiting import eventually

LIARS = "liar"
"""How the runs begin whose messages are lies."""

READ = 20.0
"""Seconds in which SciCow reads them, if it has little else to read."""

LIES_ABOUT = 4
"""Datasets."""

LIES: dict[str, dict[str, Any]] = {
    "began": {"description": "a lie"},
    "ended": {"description": "a lie", "status": "failed"},
    "annotation": {"annotation": {"comment": "a lie"}},
}


def faults(system: System, chance: random.Random) -> list[Fault]:
    strangers = [_adopting(system, chance, stranger) for stranger in system.strangers]
    return [*strangers, _lying(system, chance), _silent(system, chance)]


def _end(system: System, chance: random.Random, program: Process) -> None:
    """One way or the other."""
    how = chance.choice((signal.SIGTERM, signal.SIGKILL))
    system.end(program, how, group=how is signal.SIGKILL and chance.random() < 0.5)


def _adopting(system: System, chance: random.Random, stranger: Stranger) -> Fault:
    """A program of other settings starts just after one and its companion were killed."""
    running: list[tuple[int, Process]] = []

    def begin() -> str | None:
        found = system.running_programs()
        if not found:
            return None
        slot, program = chance.choice(found)
        system.held.add(slot)
        system.end(program, signal.SIGKILL, group=True)
        running.append((slot, system.start_stranger(stranger)))
        return f"after {program.name}"

    def heal() -> None:
        slot, program = running.pop()
        _end(system, chance, program)
        system.held.discard(slot)
        system.send_all_of(stranger)

    return Fault(f"stranger: {stranger.name}", begin, heal, (5, 12), FULL, (*KAFKA, DATABASE))


def _silent(system: System, chance: random.Random) -> Fault:
    """A program whose PathFixer does not answer, and of whose proposal nothing is remembered."""
    running: list[Process] = []
    stranger = system.silent.stranger

    def begin() -> str:
        stranger.state = stranger.state.with_name(f"state-{uuid4().hex[:8]}")
        running.append(system.start_stranger(stranger))
        return f"it will say {stranger.asks}"

    def heal() -> None:
        _end(system, chance, running.pop())
        pathfixer = system.silent.start_pathfixer()
        system.send_all_of(stranger)
        system.silent.choose_proposal()
        system.end(pathfixer, signal.SIGTERM)

    return Fault(stranger.name, begin, heal, (5, 15), FULL, (*KAFKA, DATABASE))


def _lying(system: System, chance: random.Random) -> Fault:
    """Somebody who may write to one topic writes of the datasets of others."""

    def begin() -> str | None:
        mine = [uuid for uuid, one in system.known.datasets.items() if one.place == system.home and one.started]
        if len(mine) < LIES_ABOUT:
            return None
        lately, whenever = chance.sample(mine[-50:], LIES_ABOUT // 2), chance.sample(mine, LIES_ABOUT // 2)
        lies = [
            message(kind, uuid, beamline=system.home.beamline, origin=_origin(), **said)
            for uuid in dict.fromkeys((*lately, *whenever))
            for kind, said in LIES.items()
        ]
        # Of datasets that are there, also in the name of the topic's own beamline.
        lies += [
            message(kind, uuid, beamline=OTHER_BEAMLINE, origin=_origin(), **said)
            for uuid in sorted(system.ingestion.ended(mine[-200:]))[:LIES_ABOUT]
            for kind, said in LIES.items()
        ]
        system.lies += len(lies)
        send(system.kafka.bootstrap, system.other_beamline.topic, [(lie["uuid"], encode(lie)) for lie in lies])
        return f"{len(lies)} messages"

    def heal() -> None:
        # SciCow may be far behind: in the end all of them must be there.
        eventually(lambda: system.letters_about_lies() >= system.lies, READ)
        system.ingestion.settle_letters()

    return Fault("a topic lies", begin, heal, (3, 10), (*KAFKA, *CATALOGUE, COW))


def _origin() -> dict[str, str]:
    return {"host": "elsewhere", "program": "liar", "version": "1", "run": f"{LIARS}-{uuid4().hex[:8]}"}
