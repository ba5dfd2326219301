"""One scan after the other at the Door, some of them stopped by the user."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tango

from deploy.demo.door import Door, MacroFailed
from tests.faults.ledger import read_ledgers

SCANS = (
    "ascan mot01 0 1 4 0.02",
    "ascan mot01 0 1 2 0.02",
    "timescan 5 0.02",
    "mesh mot01 0 1 1 mot02 0 1 1 0.02",
    "a2scan mot01 0 1 mot02 0 1 3 0.02",
    "timescan 40 0.05",
)

HUNG = 60.0
"""Seconds after which a scan of some points hangs."""


@dataclass(frozen=True)
class Hung:
    """A scan that did not come to its end."""

    words: str
    in_recorder: bool
    """Whether SciFishRecorder had been called and had not returned. Else it is Sardana's own doing: with the
    Tango database away, its events do not always come."""


class Scans:
    """A thread that scans while `door` gives a Door; None where there is no Sardana at the moment."""

    def __init__(self, door: Callable[[], Door | None], ledgers: Path, seed: int, note: Callable[[str], None]) -> None:
        self._door = door
        self._ledgers = ledgers
        self._random = random.Random(seed)
        self._note = note
        self._stopping = threading.Event()
        self.hung: list[Hung] = []
        self.stuck = False
        """It waits for a new Sardana, since its scan hangs."""
        self._thread = threading.Thread(target=self._run, name="scans")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """When the scan that runs is over."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        taken = time.monotonic()
        while not self._stopping.wait(0.02):
            door = self._door()
            if door is None:
                taken, self.stuck = time.monotonic(), False
                self._stopping.wait(0.2)
                continue
            try:
                self._scan(door, self._random.choice(SCANS))
                taken = time.monotonic()
            except tango.DevFailed:
                # Sardana has been killed, or the Door is still busy: after an abort it may be so for good.
                self._stopping.wait(0.2)
                if time.monotonic() - taken > HUNG and not self.stuck:
                    self._give_up("a scan that the Door does not take", in_recorder=False)
            else:
                self.stuck = False

    def _scan(self, door: Door, words: str) -> None:
        door.start(*words.split())
        begun = time.monotonic()
        how = self._random.choice((None,) * 5 + ("stop", "abort"))
        if how is not None:
            time.sleep(self._random.uniform(0.05, 1.5))
            getattr(door, how)()
        while self._door() is door:
            try:
                door.wait(0.5)
                return
            except MacroFailed:
                return
            except TimeoutError:
                if door.proxy.state() != tango.DevState.RUNNING:
                    return  # its event came too late, or not at all
            if time.monotonic() - begun > HUNG and not self.stuck:
                last = [entry["about"] for entry in read_ledgers(self._ledgers) if entry.get("scan")][-1:]
                self._give_up(words, in_recorder=last in (["starting"], ["ending"]))
            if self.stuck and self._stopping.is_set():
                return

    def _give_up(self, words: str, in_recorder: bool) -> None:
        """It goes on with the next Sardana."""
        self.stuck = True
        self.hung.append(Hung(words, in_recorder))
        self._note(f"hangs in {'SciFishRecorder' if in_recorder else 'Sardana'}: {words}")
