"""Programs of other settings that record with this account, in the same folder of spools."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tango
import yaml

from deploy.demo.processes import Process
from deploy.demo.stack import BEAMLINE, Stack
from scifish.spool.database import SPOOL_SUFFIX
from scifish.spool.inspection import summarise
from tests.faults.ledger import PLACE, Place
from tests.faults.processes import COMMAND_SECONDS
from tests.faults.program import PROPRIETARY
from tests.waiting import eventually

OTHER_BEAMLINE = "balder"

DEVICE = "b311a-e/ctl/sdm-02"
"""A PathFixer that runs only for a moment now and then."""


@dataclass
class Stranger:
    """A YAML file of settings, and where messages belong that are recorded under it.

    `state` is the folder of what is remembered between programs. `asks` is the proposal that its PathFixer will say,
    "" for a beamline without PathFixer. `public`: its programs measure nothing proprietary, as all of it is sent.
    """

    name: str
    place: Place
    file: Path
    state: Path
    asks: str = ""
    public: bool = False

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """`env` for a program, or a person, that uses these settings."""
        return {
            **env,
            "SCIFISH_CONFIG": str(self.file),
            "XDG_STATE_HOME": str(self.state),
            PLACE: json.dumps(self.place),
        }

    def left(self, spools: Path) -> list[Path]:
        """The spools of this file's settings. OSError or sqlite3.Error if one cannot be read."""
        found = {path: summarise(path).identity for path in sorted(spools.glob(f"*{SPOOL_SUFFIX}"))}
        return [path for path, identity in found.items() if identity is not None and identity.source == str(self.file)]


def other_settings(
    folder: Path, spools: Path, home: Place, secured: dict[str, str], elsewhere: dict[str, str]
) -> list[Stranger]:
    """Another beamline, topic, broker, and one that may send what is proprietary.

    `secured` are the settings of the Kafka of `home`, `elsewhere` those of another one.
    """
    kinds: dict[str, tuple[Place, dict[str, Any]]] = {
        "another beamline": (home._replace(topic=f"{home.topic}-{OTHER_BEAMLINE}", beamline=OTHER_BEAMLINE), secured),
        "another topic": (home._replace(topic=f"{home.topic}-test"), secured),
        "another broker": (home._replace(broker="other"), elsewhere),
        "SendProprietary": (home, {**secured, "SendProprietary": True}),
    }
    return [_write(folder, name, place, spools, settings) for name, (place, settings) in kinds.items()]


class Silent:
    """A program's settings whose PathFixer does not answer, so that nobody knows its proposal."""

    def __init__(self, stack: Stack, chance: random.Random, spools: Path, home: Place, kafka: dict[str, str]) -> None:
        self._stack = stack
        self._chance = chance
        properties = {
            "Beamline": [BEAMLINE],
            "Office": [f"yaml:{stack.user_office()}"],
            "Prefix": [str(stack.folder / "data")],
            "OfficeMemory": [str(stack.folder / "office-memory.json")],
        }
        self.pathfixer = stack.start_server("PathFixer/silent", {DEVICE: ("PathFixer", properties)})
        settings = {**kafka, "PathFixer": stack.name(DEVICE)}
        self.stranger = _write(stack.folder, "PathFixer silent", home, spools, settings)
        self.choose_proposal()

    def start_pathfixer(self) -> Process:
        return self._stack.run_server("PathFixer/silent", [DEVICE], timeout=COMMAND_SECONDS)

    def choose_proposal(self) -> None:
        """That PathFixer will have from now on. It must run."""
        proposal = self.stranger.asks = self._chance.choice(("20250117", PROPRIETARY))

        def is_chosen() -> bool:
            try:
                tango.DeviceProxy(self._stack.name(DEVICE)).write_attribute("Proposal", proposal)
            except tango.DevFailed:
                return False  # it is still starting
            return True

        assert eventually(is_chosen)


def _write(folder: Path, name: str, place: Place, spools: Path, settings: Mapping[str, Any]) -> Stranger:
    own = folder / name.lower().replace(" ", "-")
    own.mkdir()
    known = {"Beamline": place.beamline, "Topic": place.topic, "SpoolDirectory": str(spools), **settings}
    file = own / "scifish.yaml"
    file.write_text(yaml.safe_dump(known), "utf-8")
    return Stranger(name, place, file, own / "state", public="SendProprietary" in settings)
