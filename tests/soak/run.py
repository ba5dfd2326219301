"""One run: everything is started, things go wrong while messages come, what is left is done, the verdict is found."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.processes import Processes
from tests.faults.chaos import Chaos
from tests.faults.events import EventLog
from tests.faults.verdict import Finding
from tests.soak.plan import Plan, Sent, make_plan
from tests.soak.system import REPLICAS, System, all_faults
from tests.soak.verdict import Verdict, judge

SAY = 5.0
"""Seconds from one line of progress to the next."""

STALLED = 180.0
"""Seconds without progress, all faults being healed, after which nothing goes on any more."""

ENOUGH = 1000
"""Messages that may wait before no more are sent for now: so the faults meet all of them at work."""


@dataclass
class Outcome:
    verdict: Verdict
    minutes: float
    faults: Mapping[str, int]


class Run:
    """`folder` gets all state, all logs, and events.log with what happened when.

    `rate` is messages a second at most, `gap` seconds from one fault to the next in the mean.
    """

    def __init__(self, folder: Path, messages: int, rate: float, gap: float, seed: int) -> None:
        self.folder = folder
        self._gap = gap
        self._rate = rate
        self._random = random.Random(seed)
        self._run = f"s{seed}"
        self._plan: Plan = make_plan(messages, seed, self._run)
        self._events = EventLog(folder)
        self.note = self._events.note
        self.faults: Mapping[str, int] = {}
        """How often each thing went wrong."""

    def run(self) -> Outcome:
        plan = self._plan
        self.note(f"{len(plan.sent)} messages of {len(plan.datasets)} datasets, {len(plan.planted)} are to be refused")
        with Processes(self.folder / "logs") as processes:
            system = System(self.folder, processes, self._run)
            system.start()
            self.note("Kafka, the catalogue and the SciCows run")
            wrong = self._go_on(system)
            wrong += self._drain(system)
            wrong += self._stop(system)
            self.note("looking at what has arrived")
            verdict = judge(plan, system.found(plan), "scizoo")
            verdict.lost += wrong
        return Outcome(verdict, self._events.minutes, self.faults)

    def _go_on(self, system: System) -> list[Finding]:
        """Send everything while things go wrong."""
        gap = (self._gap / 4, 7 * self._gap / 4)
        chaos = Chaos(all_faults(system, self._random), self._random, self.note, gap=gap)
        wrong = self._send(system, self._plan.sent, chaos.step)
        chaos.heal_all()
        self.note("all faults are healed")
        self.faults = chaos.counts
        return wrong

    def _send(
        self, system: System, messages: Sequence[Sent], meanwhile: Callable[[], None] = lambda: None
    ) -> list[Finding]:
        wrong: list[Finding] = []
        say = time.monotonic()
        sent, waiting, due = 0, 0, 0.0
        before = time.monotonic()
        while sent < len(messages):
            meanwhile()
            wrong += self._look_after(system)
            now = time.monotonic()
            if waiting < ENOUGH:
                due += (now - before) * self._rate
            before = now
            while sent < min(due, len(messages)):
                system.send(messages[sent])
                sent += 1
            if now > say:
                unread = system.unread()
                waiting = sent if unread is None else unread + system.unsent()
                self.note(f"{sent} of {len(messages)} messages are sent, {_shown(unread)} wait")
                say = time.monotonic() + SAY
            time.sleep(0.02)
        return wrong

    def _drain(self, system: System) -> list[Finding]:
        """Until nothing waits any more."""
        wrong: list[Finding] = []
        fewest, since = len(self._plan.sent) + 1, time.monotonic()
        say = 0.0
        while True:
            wrong += self._look_after(system)
            unsent, unread = system.unsent(), system.unread()
            left = None if unread is None else unread + unsent
            if left == 0:
                break
            if left is not None and left < fewest:
                fewest, since = left, time.monotonic()
            if time.monotonic() - since > STALLED:
                return [*wrong, Finding("SciCow", f"{left} messages wait, and nothing has gone on for {STALLED:g} s")]
            if time.monotonic() > say:
                self.note(f"{_shown(left)} messages wait")
                say = time.monotonic() + SAY
            time.sleep(0.5)
        return [*wrong, *(Finding("Kafka", f"a message was refused: {error}") for error in system.refused)]

    def _look_after(self, system: System) -> list[Finding]:
        """A SciCow that ended by itself is a finding; it is started again."""
        found = []
        for slot, name in system.ended_by_themselves():
            found.append(Finding(name, "has ended by itself, see its log"))
            self.note(f"{name} has ended by itself")
            system.end_cow(slot, lambda process: process.stop())
            system.start_cow(slot)
        return found

    def _stop(self, system: System) -> list[Finding]:
        """As an administrator stops them."""
        found = []
        for slot in range(REPLICAS):
            status = system.stop_cow(slot)
            if status != 0:
                found.append(Finding(f"SciCow {slot + 1}", f"ended with status {status} when it was stopped"))
        return found


def _shown(count: int | None) -> str:
    return "?" if count is None else str(count)
