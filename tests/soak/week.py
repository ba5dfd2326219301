"""A week of a facility. 16 beamlines send a seventh of all messages each day, as fast as the machine allows.

Each night all is restarted while a few beamlines go on: one SciCow by SIGKILL, the other, Kafka and the catalogue as an
administrator does it.
"""

from __future__ import annotations

from collections import Counter

from tests.faults.verdict import Finding
from tests.soak.run import Run
from tests.soak.system import REPLICAS, System

DAYS = 7

DATASETS = 20_000

MESSAGES_OF_DATASET = 3.7
"""In the mean, a little more than the plan has."""

OVERNIGHT = 0.02
"""The part of a day's messages that is sent while all is restarted."""


class Week(Run):
    def _go_on(self, system: System) -> list[Finding]:
        wrong: list[Finding] = []
        restarts: Counter[str] = Counter()
        sent, count = self._plan.sent, len(self._plan.sent)
        for day in range(DAYS):
            messages = sent[day * count // DAYS : (day + 1) * count // DAYS]
            evening = round(len(messages) * (1 - OVERNIGHT))
            self.note(f"day {day + 1}: {len(messages)} messages")
            wrong += self._send(system, messages[:evening])
            for each in messages[evening:]:
                system.send(each)
            self.note("night: all is restarted")
            self._restart_all(system, killed=day % REPLICAS)
            restarts.update(("SciCow killed", "SciCow stopped", "Kafka stopped", "catalogue stopped"))
        self.faults = restarts
        return wrong

    @staticmethod
    def _restart_all(system: System, killed: int) -> None:
        for slot in range(REPLICAS):
            system.end_cow(slot, lambda process, slot=slot: process.kill() if slot == killed else process.stop(20))  # type: ignore[misc]
        system.kafka.stop()
        system.end_catalogue(lambda process: process.stop(timeout=20))
        system.start_catalogue()
        system.kafka.start()
        for slot in range(REPLICAS):
            system.start_cow(slot)
