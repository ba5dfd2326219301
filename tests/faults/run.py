"""One run: everything is started, things go wrong, everything is let finish, and the verdict is found."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deploy.demo.processes import Processes
from scifish.spool.database import SPOOL_SUFFIX
from scifish.spool.inspection import summarise
from tests.faults.catalogue import judge_catalogue, whole_catalogue
from tests.faults.chaos import GAP, Chaos
from tests.faults.events import EventLog
from tests.faults.ingestion import EARLY
from tests.faults.kinds import all_faults
from tests.faults.kinds.names import MACROSERVER
from tests.faults.kinds.others import LIARS
from tests.faults.processes import MARK, marked
from tests.faults.scans import Hung, Scans
from tests.faults.system import System
from tests.faults.verdict import Finding, Verdict, judge
from tests.faults.watch import Watch
from tests.spools import left_in

MEAN_GAP = sum(GAP) / 2

LEAVE = 30.0
"""Seconds in which what the programs have started must be gone."""

INGEST = 300.0
"""Seconds without progress after which SciCow does not ingest what is in Kafka, when nothing more comes."""

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
    faults: int = 0
    gap: float = MEAN_GAP
    """Seconds from one fault to the next in the mean."""
    at_most: float = float("inf")
    """Minutes after which it ends, whatever is reached."""
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
            scale = self.wanted.gap / MEAN_GAP
            gap = (GAP[0] * scale, GAP[1] * scale)
            chaos = Chaos(faults, random.Random(self.seed), self.note, gap=gap, look=watch.look)
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
            skipped += [f"{fault.name}: not reached in time" for fault in faults if fault.name not in chaos.counts]
            outcome = Outcome(verdict, 0.0, chaos.counts, skipped, scans.hung, watch.silent, watch.looks)
        outcome.verdict.running += self._left_processes(mark, set())
        system.disk.close()
        outcome.minutes = self._events.minutes
        return outcome

    def _go_on(self, system: System, chaos: Chaos, scans: Scans) -> None:
        progress = time.monotonic()
        say = progress + SAY
        before = (0, 0, 0)
        while True:
            system.look_after_programs()
            if wrong := system.ingestion.look_after_cow():
                system.wrong.append(Finding("SciCow", wrong))
            if scans.stuck:
                chaos.demand(MACROSERVER)
            chaos.step()
            now = time.monotonic()
            if now > say:
                done = (system.known.scans, system.known.programs, sum(chaos.counts.values()))
                say = now + SAY
                self.note(f"{done[0]} scans, {done[1]} datasets, {done[2]} faults")
                if done[:2] != before[:2]:
                    before, progress = done, now
                if now - progress > STALLED:
                    raise RuntimeError(f"nothing goes on: no new scan and no new dataset for {STALLED:g} s")
                if (chaos.all_had and self._enough(done)) or self._events.minutes > self.wanted.at_most:
                    return
            time.sleep(0.1)

    def _enough(self, done: tuple[int, int, int]) -> bool:
        """Of scans, datasets and faults."""
        wanted = self.wanted
        return self._events.minutes >= wanted.minutes and all(
            there >= least for there, least in zip(done, (wanted.scans, wanted.datasets, wanted.faults), strict=True)
        )

    def _bring_back(self, system: System, watch: Watch, fault: str, begun: float) -> None:
        """What Kafka has lost is missing until a person has sent it again; that it is lost must be seen until then."""
        deadline = time.monotonic() + LEAVE
        while not (said := watch.said()) and time.monotonic() < deadline:
            time.sleep(1.0)
        self.note(f"{fault}: {said[0] if said else 'nothing was lost'}")
        watch.look(f"{fault}, after it")
        self.note(f"{fault}: {system.bring_back(begun, watch.missing(0.0))}")

    def _not_in_catalogue(self, system: System, watch: Watch) -> list[Finding]:
        """What SciCow has not ingested, when all has been sent."""
        missing = watch.missing(0.0)
        deadline = time.monotonic() + INGEST
        while missing and time.monotonic() < deadline:
            time.sleep(1.0)
            before, missing = missing, watch.missing(0.0)
            deadline = time.monotonic() + INGEST if len(missing) < len(before) else deadline
        while system.ingestion.behind and time.monotonic() < deadline:  # comments, too
            system.ingestion.settle_letters()
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
        for stranger in system.strangers:
            system.send_all_of(stranger)
        done = system.scifish("flush", "--timeout", "120")
        self.note(f"{done.stdout.strip()} {done.stderr.strip()}")
        left = self._left_processes(mark, others) + self._left_in_spools()
        # The disk goes with this process.
        shutil.copytree(system.spools, self.folder / "spool-at-the-end")
        not_in_catalogue = self._not_in_catalogue(system, watch)
        system.collect(*system.places)
        self.note(f"{len(system.collected)} messages have arrived")
        honest = [each for each in system.collected if not each["origin"]["run"].startswith(LIARS)]
        verdict = judge(system.known, honest, system.damages)
        verdict.lost += system.wrong + not_in_catalogue
        verdict.running += left
        read = {place[:2] for place in system.ingestion.places}
        sent = {each["uuid"] for each in honest if each["found"] in read}
        pictures = {uuid for uuid, one in system.known.datasets.items() if "image" in one.annotating}
        found = whole_catalogue(system.ingestion.scicat, pictures)
        judge_catalogue(system.known, found, sent, read, system.damages, verdict)
        verdict.lost += self._wrong_letters(system)
        return verdict

    def _wrong_letters(self, system: System) -> list[Finding]:
        """Dead letters but for lies, losses in Kafka that were seen, and what could be ingested later; lies without."""
        found = []
        if (letters := system.letters_about_lies()) < system.lies:
            what = f"{letters} of {system.lies} messages of a topic that lies are dead letters"
            found.append(Finding(system.other_beamline.topic, what))
        for letter in system.ingestion.letters.values():
            if letter["type"] != "lost" and not system.is_lie(letter) and EARLY not in letter["reason"]:
                found.append(Finding(letter["uuid"] or letter["id"], f"is a dead letter: {letter['reason']}"))
        return found

    def _spools(self) -> list[Path]:
        """SciDog's, and the one that programs use where that disk refuses."""
        return [self.folder / "spool", *self.folder.glob("**/state*/**/spool")]

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
