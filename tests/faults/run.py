"""One run: everything is started, things go wrong, everything is let finish, and the verdict is found."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deploy.demo.processes import Processes
from scifish.spool.database import SPOOL_SUFFIX
from scifish.spool.inspection import summarise
from tests.faults.chaos import MACROSERVER, Chaos, all_faults
from tests.faults.events import EventLog
from tests.faults.ledger import read_ledgers
from tests.faults.processes import MARK, marked
from tests.faults.scans import Hung, Scans
from tests.faults.system import System
from tests.faults.verdict import Finding, Verdict, judge, known_datasets
from tests.faults.watch import Watch
from tests.spools import left_in

LEAVE = 30.0
"""Seconds in which what the programs have started must be gone."""

INGEST = 300.0
"""Seconds in which SciCow must have ingested what is in Kafka, when nothing more comes."""

SAY = 5.0
"""Seconds from one line of progress to the next."""

STALLED = 300.0
"""Seconds without a new dataset or scan after which nothing goes on any more."""


@dataclass(frozen=True)
class Wanted:
    """How long it goes on: until all of these are reached, and each fault was there once."""

    scans: int
    datasets: int
    minutes: float = 0.0
    without: tuple[str, ...] = ()
    """Names of faults that are left out."""


@dataclass
class Outcome:
    verdict: Verdict
    minutes: float
    faults: Mapping[str, int]
    skipped: list[str]
    """Faults that this machine does not allow, and why."""
    hung: list[Hung] = field(default_factory=list)
    silent: list[Finding] = field(default_factory=list)
    """What was missing in the catalogue while every status said that all was well."""
    looks: int = 0
    """How often something was missing at the end of a fault."""

    @property
    def good(self) -> bool:
        return self.verdict.good and not self.silent and not any(hung.in_recorder for hung in self.hung)


class Run:
    """`folder` gets all state, all logs, and events.log with what happened when."""

    def __init__(self, folder: Path, wanted: Wanted, seed: int) -> None:
        self.folder = folder
        self.wanted = wanted
        self.seed = seed
        self._events = EventLog(folder)
        self.note = self._events.note

    def run(self) -> Outcome:
        mark = os.environ[MARK] = f"{os.getpid()}-{self.seed}"
        with Processes(self.folder / "logs") as processes:
            system = System(self.folder, processes, self.seed)
            self.note("starting all servers")
            system.start()
            scans = Scans(lambda: system.door, system.stack.ledgers, self.seed, self.note)
            faults, skipped = all_faults(system, random.Random(self.seed))
            if unknown := set(self.wanted.without) - {fault.name for fault in faults}:
                raise ValueError(f"there is no fault {', '.join(sorted(unknown))}")
            faults = [fault for fault in faults if fault.name not in self.wanted.without]
            skipped += [f"{name}: left out by --without" for name in self.wanted.without]
            for line in skipped:
                self.note(f"NOT TESTED here: {line}")
            watch = Watch(system, self.note)
            chaos = Chaos(faults, random.Random(self.seed), self.note, look=watch.look)
            chaos.bring_back = partial(self._bring_back, system, watch)
            scans.start()
            try:
                self._go_on(system, chaos, scans)
                self.note("all faults are healed; the programs end")
                chaos.heal_all()
            finally:
                scans.stop()
            if scans.stuck:
                system.kill_sardana()
            system.leave_door()
            verdict = self._finish(system, watch, mark)
            outcome = Outcome(verdict, 0.0, chaos.counts, skipped, scans.hung, watch.silent, watch.looks)
        outcome.verdict.running += self._left_processes(mark, set())
        system.disk.close()
        outcome.minutes = self._events.minutes
        return outcome

    def _go_on(self, system: System, chaos: Chaos, scans: Scans) -> None:
        progress = time.monotonic()
        say = progress + SAY
        before = (0, 0)
        while True:
            system.look_after_programs()
            system.look_after_cow()
            if scans.stuck:
                chaos.demand(MACROSERVER)
            chaos.step()
            now = time.monotonic()
            if now > say:
                done = self._done(system)
                # Reading the ledgers of a long run takes its time.
                say = now + max(SAY, 20 * (time.monotonic() - now))
                self.note(f"{done[0]} scans, {done[1]} datasets")
                if done != before:
                    before, progress = done, now
                if now - progress > STALLED:
                    raise RuntimeError(f"nothing goes on: no new scan and no new dataset for {STALLED:g} s")
                if chaos.all_had and self._enough(done):
                    return
            time.sleep(0.1)

    def _enough(self, done: tuple[int, int]) -> bool:
        minutes = self._events.minutes
        return done[0] >= self.wanted.scans and done[1] >= self.wanted.datasets and minutes >= self.wanted.minutes

    def _done(self, system: System) -> tuple[int, int]:
        """Scans and datasets that have begun."""
        known, _ = known_datasets(read_ledgers(system.stack.ledgers))
        started = [one for one in known.values() if one.started]
        scans = sum(one.scan for one in started)
        return scans, len(started) - scans

    def _bring_back(self, system: System, watch: Watch, fault: str) -> None:
        """What Kafka has lost is missing until a person has sent it again; that it is lost must be seen until then."""
        deadline = time.monotonic() + LEAVE
        while not (said := watch.said()) and time.monotonic() < deadline:
            time.sleep(1.0)
        self.note(f"{fault}: {said[0] if said else 'nothing was lost'}")
        watch.look(f"{fault}, after it")
        self.note(f"{fault}: {system.bring_back()}")

    def _not_in_catalogue(self, watch: Watch) -> list[Finding]:
        """What SciCow has not ingested, when all has been sent."""
        deadline = time.monotonic() + INGEST
        while (missing := watch.missing(0.0)) and time.monotonic() < deadline:
            time.sleep(1.0)
        return [Finding(uuid, "is not in the catalogue, or not ended there") for uuid in sorted(missing)]

    def _finish(self, system: System, watch: Watch, mark: str) -> Verdict:
        """Everything ends as a person would end it, and what waits is sent."""
        for program in (*system.programs, system.sardana):
            if program is not None:
                system.end(program, signal.SIGTERM, timeout=60.0)
        others = {process.pid for process in system.processes.running}
        self._left_processes(mark, others)  # what they have started may still send
        self.note("sending what waits (scifish flush)")
        done = subprocess.run(
            [str(Path(sys.executable).with_name("scifish")), "flush", "--timeout", "120"],
            env=system.stack.env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.note(f"{done.stdout.strip()} {done.stderr.strip()}")
        left = self._left_processes(mark, others) + self._left_in_spools()
        # The disk goes with this process.
        shutil.copytree(self.folder / "spool", self.folder / "spool-at-the-end")
        not_in_catalogue = self._not_in_catalogue(watch)
        system.collect()
        self.note(f"{len(system.collected)} messages have arrived")
        verdict = judge(read_ledgers(system.stack.ledgers), system.collected)
        verdict.lost += system.wrong + not_in_catalogue
        verdict.running += left
        return verdict

    def _spools(self) -> list[Path]:
        """SciDog's, and the one that programs use where that disk refuses."""
        return [self.folder / "spool", *(self.folder / "state").rglob("spool")]

    def _left_in_spools(self) -> list[Finding]:
        found = []
        for path in sorted(path for folder in self._spools() for path in left_in(folder)):
            if path.suffix == SPOOL_SUFFIX:
                content = summarise(path)
                what = f"{content.recording} being recorded, {content.waiting} wait, refused: {content.refused}"
            else:
                what = f"{path.stat().st_size} bytes"
            found.append(Finding(str(path), f"left over: {what}"))
        return found

    def _left_processes(self, mark: str, others: set[int]) -> list[Finding]:
        """Of this run, but for `others`."""
        deadline = time.monotonic() + LEAVE
        while (left := {pid: command for pid, command in marked(mark).items() if pid not in others}) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.2)
        return [Finding(f"process {pid}", f"is still there: {command}") for pid, command in left.items()]
