"""A program that measures: it records datasets by the class SciFish, and keeps a ledger of its own.

One dataset after the other, until SIGTERM, or until it is killed at any moment.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import time
from pathlib import Path
from typing import Any

from scifish import SciFish
from scifish.message.types import Changes
from scifish.recording.session import NotRecorded, recording_session
from scifish.settings import Settings
from tests.builders.messages import picture
from tests.faults.known import SECRET
from tests.faults.ledger import Ledger, Said

STYLES = ("contrast", "mxcube", "settings")
"""One SciFish for each dataset; one for all, in a program that gevent has patched; one for all, with its own
settings and without a Tango database."""

ENDINGS = ("completed",) * 6 + ("stopped", "aborted", "failed")

PROPOSALS = ("20250001",) * 6 + ("20250117",) * 2
PROPRIETARY = "IN20250042"

VALUES = {
    "energy": (5.0, 20.0, "keV"),
    "wavelength": (0.5, 2.0, "Å"),
    "slit": (10.0, 900.0, "µm"),
    "sample temperature": (-20.0, 90.0, "°C"),
    "cell pressure": (1.0, 700.0, "mTorr"),
    "exposure": (0.001, 2.0, "s"),
}
"""What a program says of each dataset: between which values, and the unit."""


class Program:
    def __init__(self, options: argparse.Namespace) -> None:
        self.ledger = Ledger(options.ledger)
        self.folder: Path = options.ledger.with_suffix(".data")
        self.folder.mkdir(exist_ok=True)
        self.name: str = options.name
        self.style: str = options.style
        self.settings = Settings(**json.loads(options.settings)) if options.settings else None
        self.asks: str = options.asks
        self.proprietary: bool = not (options.asks or options.public)
        self.random = random.Random(options.seed)
        self.fish = SciFish(self.settings)
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
        asked = {"asked": True, "proposal": self.asks} if self.asks else {}
        self.ledger.note("starting", name=name, **asked)
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
        self.said = self.new_values()
        data, fields = self.fish.scicat_data, self.said["fields"]
        self.ledger.note("measuring", uuid=self.fish.uuid, proposal=fields.get("proposalId", self.asks))
        for name, text in fields.items():  # the proposal first: who looks meanwhile must know whose the rest is
            setattr(data, name, int(text) if text.isdigit() else text)
        data.scientificMetadata.update(
            {name: {"value": value, "unit": unit} if unit else value for name, (value, unit) in self.values.items()}
        )
        data.files += self.said["files"]
        for name, value in self.said["environment"].items():
            setattr(self.fish.environment_data, name, value)
        if self.random.random() < 0.7:
            self.fish.send_start()
            self.ledger.note("announced", uuid=self.fish.uuid, said=self.said)
        time.sleep(self.random.uniform(0, 0.8))

    @property
    def values(self) -> dict[str, tuple[object, str]]:
        return self.said["values"]

    def new_values(self) -> Said:
        """Of the next dataset, with a file that is on disk."""
        path = self.folder / f"{self.count:04}.h5"
        path.write_bytes(self.random.randbytes(self.random.randrange(2000)))
        proprietary = self.proprietary and self.random.random() < 0.08
        proposal = PROPRIETARY if proprietary else self.random.choice(PROPOSALS)
        fields: dict[str, str] = {
            **({} if self.asks else {"proposalId": proposal}),
            "sampleId": f"sample_{self.count}",
            "description": f"collect {self.count}, µm",
            "sourceFolder": str(self.folder),
            "dataFormat": "NXmx",
        }
        values: dict[str, tuple[object, str]] = {
            name: (round(self.random.uniform(lowest, highest), 4), unit)
            for name, (lowest, highest, unit) in VALUES.items()
        }
        values["filter"] = (f"Al {self.count}", "")
        if proprietary:
            values[SECRET] = (f"formulation {self.count}", "")
        environment: dict[str, Any] = {"title": f"collect {self.count}", "scanID": self.count}
        files: dict[str, int | None] = {str(path): path.stat().st_size}
        return {"fields": fields, "environment": environment, "values": values, "files": files}

    def end(self, status: str) -> None:
        points = self.random.randrange(1000)
        uuid = self.fish.uuid
        self.values["transmission"] = (self.random.random(), "")  # known at the end only
        self.fish.scicat_data.scientificMetadata["transmission"] = self.values["transmission"][0]
        self.ledger.note("ending", uuid=uuid, status=status, points=points, said=self.said)
        self.fish.end_scan(status, points)
        self.ledger.note("ended", uuid=uuid)
        self.open = False
        if not self.asks and self.random.random() < 0.15:
            self.annotate(uuid)

    def annotate(self, uuid: str) -> None:
        """As a user does after a scan; and some programs attach a picture."""
        changes: Changes = {"comment": f"comment {self.count} of {self.name}", "rating": self.random.choice((0.5, 3.0))}
        if self.random.random() < 0.5:
            changes["image"] = {"caption": f"plot {self.count}", "uri": picture(self.random)}
        self.ledger.note("annotating", uuid=uuid, **changes)
        try:
            recording_session(self.settings).annotate(uuid, changes)
        except NotRecorded as refused:
            logging.info("no comment: %s", refused)
        else:
            self.ledger.note("annotated", uuid=uuid)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.program", description=__doc__)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("name")
    parser.add_argument("seed", type=int)
    parser.add_argument("style", choices=STYLES)
    parser.add_argument("--settings", help="its own settings, as JSON (those of its environment)")
    parser.add_argument("--asks", default="", metavar="PROPOSAL", help="it says none: PathFixer will say this one")
    parser.add_argument("--public", action="store_true", help="it measures nothing that is proprietary")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    program = Program(parser.parse_args())

    def stop(*_: object) -> None:
        program.stopping = True

    signal.signal(signal.SIGTERM, stop)
    program.run()


if __name__ == "__main__":
    main()
