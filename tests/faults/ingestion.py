"""SciCow and its catalogue, each of which can be stopped, killed and started again; and the dead letters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from deploy.demo.processes import Process, Processes
from ingest.scicat import SciCat
from tests.faults.catalogue import ended_in_catalogue
from tests.faults.ledger import Place
from tests.faults.processes import COMMAND_SECONDS, end, forget, own_port
from tests.servers.catalogue import start_catalogue
from tests.servers.scicow import PASSWORD, start_scicow, write_settings

EARLY = "is not in SciCat"
"""What the reason of a dead letter says of a message whose dataset has not come yet."""


class Ingestion:
    def __init__(self, folder: Path, processes: Processes, bootstrap: str, places: tuple[Place, ...]) -> None:
        """`places` are what SciCow reads, the first one the beamline's. Its account of Kafka is in `client_file`."""
        self.places = places
        self.client_file = folder / "scicow" / "kafka.properties"
        self.letters: dict[str, dict[str, str]] = {}
        """The dead letters that were there, by their id."""
        self._folder = folder
        self._processes = processes
        self._ports = {"scicow": own_port(), "scicat": own_port()}
        self._starts = {"scicow": 0, "scicat": 0}
        self._cow: Process | None = None
        self.start_catalogue()
        account = self.catalogue.ingestor
        self.scicat = SciCat(self.catalogue.url, account.username, account.password, timeout=COMMAND_SECONDS)
        self.scicat.login()
        run = places[0].topic.removeprefix("scifish-")
        self._config = write_settings(
            folder / "scicow",
            bootstrap,
            self.catalogue,
            run,
            session=6,
            creation_location=f"/{run}",
            http={"port": self._ports["scicow"]},
            scicat={"timeout": 3},
            kafka={
                "topics": f"^({'|'.join(place.topic for place in places)})$",
                "beamline_topics": {place.beamline: [place.topic] for place in places},
            },
        )

    def _name(self, server: str) -> str:
        self._starts[server] += 1
        return f"{server}-{self._starts[server]:03}"

    # --------------------------------------------------------------- catalogue

    def start_catalogue(self) -> None:
        """At the same port each time, with the same content."""
        self.catalogue = start_catalogue(
            self._processes,
            self._folder / "catalogue",
            port=self._ports["scicat"],
            name=self._name("scicat"),
            failing=True,
        )

    def end_catalogue(self, how: signal.Signals) -> None:
        assert self.catalogue.process is not None
        end(self._processes, self.catalogue.process, how)

    def tell_catalogue(self, rules: list[dict[str, Any]]) -> None:
        """What it is to do wrong: see docs/reference/embedded-faults.md."""
        self.scicat.call("PUT", "/embedded/faults", rules)  # type: ignore[arg-type]

    def ended(self, uuids: Collection[str]) -> set[str]:
        """Those of these datasets that the catalogue has with their end. SciCatError if it does not answer."""
        return ended_in_catalogue(self.scicat, uuids)

    # ------------------------------------------------------------------ SciCow

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['scicow']}"

    def start_cow(self) -> None:
        self._cow = start_scicow(self._processes, self._name("scicow"), self._config, self.catalogue)

    def end_cow(self, how: signal.Signals) -> str:
        """Its name."""
        cow, self._cow = self._cow, None
        assert cow is not None
        end(self._processes, cow, how, timeout=COMMAND_SECONDS)
        return cow.name

    def look_after_cow(self) -> str:
        """Start it again if nobody ended it, and the end of its log: it must not exit by itself. "" if it has not."""
        cow = self._cow
        if cow is None or cow.running:
            return ""
        forget(self._processes, cow)
        self.start_cow()
        return f"{cow.name} exited by itself: {cow.text[-300:]}"

    def scicow(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command."""
        argv = [str(Path(sys.executable).with_name("scicow")), *words, "--config", str(self._config)]
        env = {**os.environ, PASSWORD: self.catalogue.ingestor.password}
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=COMMAND_SECONDS)

    @property
    def behind(self) -> bool:
        """Whether SciCow has something to read, or a dead letter waits."""
        return self.scicow("status", "--json", "--max-lag", "0.001").returncode != 0

    # ------------------------------------------------------------ dead letters

    def read_letters(self) -> Collection[Mapping[str, str]]:
        """Note those that wait; all that ever did."""
        self._note_letters()
        return self.letters.values()

    def _note_letters(self) -> list[dict[str, str]]:
        """Those that wait now."""
        waiting: list[dict[str, str]] = json.loads(self.scicow("dead-letters", "list", "--json").stdout or "[]")
        self.letters |= {letter["id"]: letter for letter in waiting}
        return waiting

    def settle_letters(self) -> None:
        """As a person does: note the dead letters, send again what was too early, and drop the others.

        By their ids: one that comes meanwhile waits for the next time.
        """
        waiting = self._note_letters()
        early = [letter["id"] for letter in waiting if EARLY in letter["reason"]]
        others = [letter["id"] for letter in waiting if EARLY not in letter["reason"]]
        if early:
            self.scicow("dead-letters", "replay", *early)
        if others:
            self.scicow("dead-letters", "drop", "--yes", *others)
