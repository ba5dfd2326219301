"""The files of spools are removed and damaged, and their disk is full."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.processes import Process
from tests.faults.chaos import Fault
from tests.faults.kinds.names import FULL, KAFKA
from tests.faults.system import System
from tests.faults.verdict import Damage, Finding
from tests.waiting import eventually

SETTLE = 5.0
"""Seconds that a disk which was full stays quiet: what waited in memory is written by then."""

NOTICE = 60.0
"""Seconds in which a program must notice that its spool is damaged or gone: it looks every second."""

PAGE = 4096

FULL_DISK, REFUSED_START = FULL


def faults(system: System, chance: random.Random) -> list[Fault]:
    harm = _Harm(system, chance)
    return [
        *_full_disk(system, chance),
        Fault("spool removed", harm.remove, lambda: None, (2, 5), FULL),
        Fault("spool damaged", harm.damage_running, harm.report_and_salvage, (2, 5), FULL, KAFKA),
        Fault("spool of a killed program damaged", harm.damage_killed, harm.report_and_salvage, (2, 8), FULL, KAFKA),
    ]


def _full_disk(system: System, chance: random.Random) -> list[Fault]:
    """A program begins when there is no room for a spool; the one of the longer fault is killed later on."""
    without_room: list[Process] = []

    def fill() -> str | None:
        found = system.running_programs()
        if not found:
            return None
        _, program = chance.choice(found)
        system.end(program, signal.SIGTERM)
        system.disk.fill()
        without_room.extend(system.look_after_programs())
        return program.name

    def free() -> None:
        system.disk.free()
        time.sleep(SETTLE)

    def free_and_kill() -> None:
        free()
        for program in without_room:
            system.end(program, signal.SIGKILL)
        without_room.clear()

    def free_in_time() -> None:
        free()
        without_room.clear()

    return [
        Fault(FULL_DISK, fill, free_and_kill, (2, 8), FULL),
        Fault(REFUSED_START, fill, free_in_time, (0.1, 0.6), FULL),
    ]


@dataclass
class _Damaged:
    """The spool of a process. `noticed` is as that of `Damage`."""

    pid: int
    path: Path
    noticed: float

    @property
    def broken(self) -> list[Path]:
        """What it is renamed to."""
        return sorted(self.path.parent.glob(f"{self.path.stem}*.broken"))


class _Harm:
    def __init__(self, system: System, chance: random.Random) -> None:
        self._system = system
        self._chance = chance
        self._damaged: list[_Damaged] = []

    def remove(self) -> str | None:
        found = self._choose()
        if found is None:
            return None
        program, path = found
        for file in path.parent.glob(f"{path.stem}.*"):
            file.unlink()
        if not eventually(lambda: path.exists() or not program.running, NOTICE):
            finding = Finding(program.name, f"it does not notice that its spool {path.name} is removed")
            self._system.wrong.append(finding)
        return program.name

    def damage_running(self) -> str | None:
        found = self._choose()
        if found is None:
            return None
        program, path = found
        damaged, before = _Damaged(program.pid, path, 0.0), path.stat().st_ino
        how = self._damage(path)
        # One that SQLite does not meet is none.
        eventually(lambda: damaged.broken or not path.exists() or path.stat().st_ino != before, SETTLE)
        damaged.noticed = time.monotonic()
        self._damaged.append(damaged)
        return f"{program.name}: {how}"

    def damage_killed(self) -> str | None:
        found = self._choose()
        if found is None:
            return None
        program, path = found
        self._system.end(program, signal.SIGKILL, group=True)
        self._damaged.append(_Damaged(program.pid, path, -1.0))
        return f"{program.name}: {self._damage(path)}"

    def report_and_salvage(self) -> None:
        """As a person does who has seen it in the status."""
        while self._damaged:
            damaged = self._damaged.pop()
            eventually(lambda damaged=damaged: damaged.broken or not damaged.path.exists(), SETTLE)  # type: ignore[misc]
            if not damaged.broken:
                continue
            status = self._system.scifish("status")
            lines = status.stdout.splitlines() if status.returncode else []
            said = [line for line in lines if any(str(path) in line for path in damaged.broken)]
            damage = Damage(damaged.pid, damaged.path.stem, damaged.noticed, said[0] if said else "")
            self._system.damages.append(damage)
        self._system.salvage()

    def _choose(self) -> tuple[Process, Path] | None:
        """A program that runs, and its spool."""
        found = [
            (program, path)
            for _, program in self._system.running_programs()
            for path in self._system.spools.glob(f"*-{program.pid}-{'[0-9a-f]' * 6}.spool")
        ]
        return self._chance.choice(found) if found else None

    def _damage(self, path: Path) -> str:
        """What was done to the files of a spool."""
        log = path.with_name(f"{path.name}-wal")
        ways = ["emptied", "cut", "overwritten", "log removed", "log overwritten"]
        how = self._chance.choice(ways if log.exists() else ways[:3])
        match how:
            case "emptied":
                os.truncate(path, 0)
            case "cut":
                os.truncate(path, path.stat().st_size // 2)
            case "log removed":
                log.unlink()
            case _:
                self._overwrite(log if how.startswith("log") else path)
        return how

    def _overwrite(self, path: Path) -> None:
        """Some of its pages, as a disk with bad blocks."""
        pages = range(0, max(path.stat().st_size, PAGE), PAGE)
        with path.open("r+b") as file:
            for start in self._chance.sample(pages, max(len(pages) // 5, 1)):
                file.seek(start)
                file.write(self._chance.randbytes(PAGE))
