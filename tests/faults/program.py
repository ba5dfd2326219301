"""A program that measures: it records datasets by the class SciFish, and keeps a ledger of its own.

`python -m tests.faults.program LEDGER NAME SEED STYLE [SETTINGS]`: one dataset after the other, until
SIGTERM, or until it is killed at any moment.
"""

from __future__ import annotations

import json
import logging
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from scifish import SciFish
from scifish.settings import Settings
from tests.faults.ledger import Ledger

STYLES = ("contrast", "mxcube", "settings")
"""One SciFish for each dataset; one for all, in a program that gevent has patched; one for all, with its own
settings and without a Tango database."""

ENDINGS = ("completed",) * 6 + ("stopped", "aborted", "failed")


class Program:
    def __init__(self, ledger: Ledger, name: str, seed: int, style: str, settings: Settings | None) -> None:
        self.ledger = ledger
        self.name = name
        self.style = style
        self.settings = settings
        self.random = random.Random(seed)
        self.fish = SciFish(settings)
        self.stopping = False
        self.count = 0
        self.open = False

    def run(self) -> None:
        while not self.stopping:
            self.count += 1
            self.record(f"{self.name}-{self.count:04}")
        if self.open:
            self.end(self.random.choice(ENDINGS))
        if self.settings is not None:
            self.fish.close()
        self.ledger.note("closed", name=self.name)

    def record(self, name: str) -> None:
        if self.open:  # MXCuBE prepares one that it never measures: the next ends it
            before = {"uuid": self.fish.uuid, "status": "interrupted", "points": None, "said": self.said}
            self.ledger.note("ending", **before)
        if self.style == "contrast":
            self.fish = SciFish()
        self.ledger.note("starting", name=name)
        if self.open:
            self.fish.start_scan(name)
            self.ledger.note("ended", uuid=before["uuid"])
        else:
            self.fish.start_scan(name)
        self.open = True
        self.ledger.note("started", uuid=self.fish.uuid, name=name)
        self.measure()
        if self.style == "contrast" or self.random.random() > 0.1:
            self.end(self.random.choice(ENDINGS))

    def measure(self) -> None:
        time.sleep(self.random.uniform(0, 0.6))
        self.said: dict[str, Any] = {"energy": round(self.random.uniform(5, 20), 3), "filter": f"Al {self.count}"}
        data = self.fish.scicat_data
        data.proposalId = 20250001
        data.sampleId = f"sample_{self.count}"
        data.scientificMetadata.update(
            {"energy": {"value": self.said["energy"], "unit": "keV"}, "filter": self.said["filter"]}
        )
        data.files.append(f"/data/{self.name}/{self.count:04}.h5")
        self.fish.environment_data.title = f"collect {self.count}"
        self.fish.environment_data.scanID = self.count
        if self.random.random() < 0.7:
            self.fish.send_start()
            self.ledger.note("announced", uuid=self.fish.uuid, said=self.said)
        time.sleep(self.random.uniform(0, 0.8))

    def end(self, status: str) -> None:
        points = self.random.randrange(1000)
        uuid = self.fish.uuid
        self.ledger.note("ending", uuid=uuid, status=status, points=points, said=self.said)
        self.fish.end_scan(status, points)
        self.ledger.note("ended", uuid=uuid)
        self.open = False


def main() -> None:
    ledger, name, seed, style, *settings = sys.argv[1:]
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    known = Settings(**json.loads(settings[0])) if settings else None
    program = Program(Ledger(Path(ledger)), name, int(seed), style, known)

    def stop(*_: object) -> None:
        program.stopping = True

    signal.signal(signal.SIGTERM, stop)
    program.run()


if __name__ == "__main__":
    main()
