"""Other settings under which programs of this account record, in the same folder of spools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scifish.spool.database import SPOOL_SUFFIX
from scifish.spool.inspection import summarise
from tests.faults.ledger import PLACE, Place


@dataclass
class Stranger:
    """A YAML file of settings, and where messages belong that are recorded under it.

    `state` is the folder of what is remembered between programs. `asks` is the proposal that its PathFixer will say,
    "" for a beamline without PathFixer.
    """

    name: str
    place: Place
    file: Path
    state: Path
    asks: str = ""

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


def write_stranger(folder: Path, name: str, place: Place, spools: Path, **settings: Any) -> Stranger:
    """With these settings, whose names are those of SciDog's properties, beside the usual ones."""
    folder.mkdir(parents=True)
    known = {"Beamline": place.beamline, "Topic": place.topic, "SpoolDirectory": str(spools), **settings}
    file = folder / "scifish.yaml"
    file.write_text(yaml.safe_dump(known), "utf-8")
    return Stranger(name, place, file, folder / "state")
