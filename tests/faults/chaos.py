"""What goes wrong, when, and for how long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

GAP = (0.5, 5.0)
"""Seconds from one fault to the next, unless it is given."""


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
    begun: float
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
    """Called with the name of a fault, before it is healed."""
    bring_back: Callable[[str, float], None] = lambda _, __: None
    """Called after a fault that `brings_back`, with its name and when it began (monotonic)."""
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
        begun = time.monotonic()
        what = fault.begin()
        now = time.monotonic()
        if what is None:
            if fault.name not in self.counts:
                self._plan.append(fault)
            return
        self.counts[fault.name] = self.counts.get(fault.name, 0) + 1
        self.note(f"{fault.name}{f' ({what})' if what else ''}")
        self.active.append(Active(fault, begun, now + self.random.uniform(*fault.lasts)))
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
                    self.bring_back(active.fault.name, active.begun)
                self.active.remove(active)
                self.note(f"{active.fault.name}: over")
