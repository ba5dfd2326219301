"""What goes wrong, when, and for how long."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

from deploy.demo.processes import Process
from tests.faults.clock import JUMPS
from tests.faults.system import System
from tests.servers.kafka import configure_topic

GAP = (0.5, 5.0)
"""Seconds from one fault to the next, unless it is given."""

LONG = (15.0, 25.0)
"""Seconds of a fault that has to be said by somebody."""

SETTLE = 5.0
"""Seconds that a disk which was full stays quiet: what waited in memory is written by then."""


@dataclass(frozen=True)
class Fault:
    """`begin` makes it, and says more of it; None if there is nothing that it could be done to.

    After some seconds between `lasts`, and those of `after`, `heal` takes it away.
    """

    name: str
    begin: Callable[[], str | None]
    heal: Callable[[], None] = lambda: None
    lasts: tuple[float, float] = (0.0, 0.0)
    not_with: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    brings_back: bool = False
    """Whether messages are lost with it, which a person has to send again."""


@dataclass
class Active:
    fault: Fault
    until: float


@dataclass
class Chaos:
    """Each fault once in a random order, then at random. All in the thread that calls: children die with theirs."""

    faults: list[Fault]
    random: random.Random
    note: Callable[[str], None]
    active: list[Active] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    gap: tuple[float, float] = GAP
    look: Callable[[str], None] = lambda _: None
    bring_back: Callable[[str], None] = lambda _: None
    """Both are called with the name of a fault: before it is healed, and after one that `brings_back`."""
    _plan: list[Fault] = field(default_factory=list)
    _next: float = 0.0

    def __post_init__(self) -> None:
        self._plan = self.random.sample(self.faults, len(self.faults))

    @property
    def all_had(self) -> bool:
        return not self._plan

    def step(self) -> None:
        """Heal what is due, and begin the next."""
        self._heal(time.monotonic())
        if time.monotonic() < self._next:
            return
        fault = self._choose()
        if fault is None:
            return
        what = fault.begin()
        now = time.monotonic()
        if what is None:
            return
        self.counts[fault.name] = self.counts.get(fault.name, 0) + 1
        self.note(f"{fault.name}{f' ({what})' if what else ''}")
        self.active.append(Active(fault, now + self.random.uniform(*fault.lasts)))
        self._next = now + self.random.uniform(*self.gap)

    def demand(self, name: str) -> None:
        """Have this fault next, if it is not there already."""
        wanted = next(fault for fault in self.faults if fault.name == name)
        if wanted not in self._plan[:1] and name not in {active.fault.name for active in self.active}:
            self._plan.insert(0, wanted)

    def heal_all(self) -> None:
        while self.active:
            self._heal(float("inf"))

    def _choose(self) -> Fault | None:
        """The first of the plan that may be now; after the plan, any that may."""
        allowed = [fault for fault in self._plan or self.faults if self._may(fault)]
        if not allowed:
            return None
        if self._plan:
            self._plan.remove(allowed[0])
            return allowed[0]
        return self.random.choice(allowed)

    def _may(self, fault: Fault) -> bool:
        names = {active.fault.name for active in self.active}
        hinder = any(
            active.fault.name in fault.not_with or fault.name in active.fault.not_with for active in self.active
        )
        return fault.name not in names and not hinder

    def _heal(self, now: float) -> None:
        for active in list(self.active):
            names = {other.fault.name for other in self.active}
            if active.until <= now and not names.intersection(active.fault.after):
                self.look(active.fault.name)
                active.fault.heal()
                if active.fault.brings_back:
                    self.bring_back(active.fault.name)
                self.active.remove(active)
                self.note(f"{active.fault.name}: over")


def all_faults(system: System, chance: random.Random) -> tuple[list[Fault], list[str]]:
    """Those that this machine allows; and in words those that it does not."""
    skipped = []
    faults = [*_servers(system), *_kills(system, chance), _clock(system, chance), *_kafka_faults(system)]
    if system.disk.refused:
        skipped.append(f"full disk: {system.disk.refused}")
    else:
        faults.append(_full_disk(system, chance))
    return faults, skipped


KAFKA = (
    "Kafka stopped",
    "Kafka killed",
    "message size lowered",
    "retention passed",
    "password changed",
    "topic made again",
)
"""Faults of Kafka, one at a time."""

CLOCK = "clock jumps"

DATABASE, DISK, MACROSERVER = "Tango database away", "spool's disk full", "MacroServer killed"


def _servers(system: System) -> list[Fault]:
    def stop(process: Callable[[], Process], how: signal.Signals) -> Callable[[], str]:
        def begin() -> str:
            system.end(process(), how)
            return how.name

        return begin

    def freeze() -> str:
        os.kill(system.simulation.pid, signal.SIGSTOP)
        return ""

    def thaw() -> None:
        os.kill(system.simulation.pid, signal.SIGCONT)

    def quiet(stop: Callable[[], None]) -> Callable[[], str]:
        def begin() -> str:
            stop()
            return ""

        return begin

    term, kill = signal.SIGTERM, signal.SIGKILL
    return [
        Fault(KAFKA[0], quiet(system.kafka.stop), system.kafka.start, (3, 20), not_with=KAFKA),
        Fault(KAFKA[1], quiet(system.kafka.kill), system.kafka.start, (0, 10), not_with=KAFKA),
        Fault("SciDog stopped", stop(lambda: system.scidog, term), system.start_scidog, (2, 10), after=(DATABASE,)),
        Fault(
            "PathFixer stopped",
            stop(lambda: system.pathfixer, term),
            system.start_pathfixer,
            (2, 10),
            after=(DATABASE,),
        ),
        Fault(DATABASE, stop(lambda: system.database, kill), system.start_database, (2, 12)),
        Fault("devices hang", freeze, thaw, (2, 10)),
    ]


def _kills(system: System, chance: random.Random) -> list[Fault]:
    """Ends of processes. Not with a full disk: then entries are in memory alone, and nobody could keep them."""

    def kill_sardana() -> str:
        system.kill_sardana()
        return "SIGKILL"

    def end_program(how: signal.Signals, group: bool = False) -> Callable[[], str | None]:
        def begin() -> str | None:
            found = [program for program in system.programs if program is not None and program.running]
            if not found:
                return None
            program = chance.choice(found)
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

    return [
        Fault(MACROSERVER, kill_sardana, system.start_sardana, (0, 3), (DISK,), (DATABASE,)),
        Fault("program ended", end_program(signal.SIGTERM), not_with=(DISK,)),
        Fault("program killed", end_program(signal.SIGKILL), not_with=(DISK,)),
        Fault("program and its children killed", end_program(signal.SIGKILL, group=True), not_with=(DISK,)),
        Fault("companion killed", kill_companion, not_with=(DISK,)),
    ]


def _full_disk(system: System, chance: random.Random) -> Fault:
    """One of the programs begins when there is no room for a spool, and is killed later on, when there is again."""
    without_room: list[Process] = []

    def fill() -> str:
        program = chance.choice([each for each in system.programs if each is not None])
        system.end(program, signal.SIGTERM)
        system.disk.fill()
        without_room.extend(system.look_after_programs())
        return ""

    def free() -> None:
        system.disk.free()
        time.sleep(SETTLE)
        while without_room:
            system.end(without_room.pop(), signal.SIGKILL)

    return Fault(DISK, fill, free, (2, 8))


def _clock(system: System, chance: random.Random) -> Fault:
    def jump() -> str:
        by = chance.choice(JUMPS)
        for clock in system.clocks:
            clock.jump(by)
        return f"{by:+d} s"

    def back() -> None:
        for clock in system.clocks:
            clock.jump(0)

    return Fault(CLOCK, jump, back, (2, 15))


def _kafka_faults(system: System) -> list[Fault]:
    """What Kafka refuses, and what it loses before SciCow has read it."""
    bootstrap = system.kafka.bootstrap

    def ahead() -> str:
        for clock in system.clocks:
            clock.jump(7200)
        return "+7200 s"

    def right() -> None:
        for clock in system.clocks:
            clock.jump(0)

    def lower() -> str:
        configure_topic(bootstrap, system.stack.topic, max_message_bytes="1500")
        return "1500 bytes"

    def stop_cow() -> str:
        system.stop_cow()
        return ""

    def pass_retention() -> None:
        system.delete_messages()
        system.start_cow()

    def change_password() -> str:
        system.kafka.stop()
        system.kafka.set_password(uuid4().hex)
        system.kafka.start()
        return ""

    def make_again() -> str:
        system.make_topic_again()
        return ""

    size, retention, password, again = KAFKA[2:]
    without_kept = (*KAFKA, DISK)  # on a full disk nothing is kept of what was sent
    return [
        Fault("clock ahead", ahead, right, LONG, not_with=(CLOCK,)),
        Fault(size, lower, lambda: configure_topic(bootstrap, system.stack.topic, max_message_bytes=None), LONG, KAFKA),
        Fault(retention, stop_cow, pass_retention, LONG, without_kept, brings_back=True),
        Fault(password, change_password, system.write_client_files, LONG, KAFKA),
        Fault(again, make_again, lambda: None, LONG, without_kept, brings_back=True),
    ]
