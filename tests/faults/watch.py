"""What is missing in the catalogue at a moment, and what every status says then: nothing may be missing in silence."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests
import tango

from deploy.demo.stack import SCIDOG
from tests.faults.ledger import read_ledgers
from tests.faults.system import System
from tests.faults.verdict import Finding, known_datasets

GRACE = 10.0
"""Seconds from the end of a dataset until it should be in the catalogue, or something should say that it is not."""

LOOKS = 3
BETWEEN_LOOKS = 5.0
"""Seconds. What is on its way at one look must be there at the next; else it is reported as late."""

COMMAND_SECONDS = 120.0


class Watch:
    """`silent` has the datasets that were missing while every status said that all was well."""

    def __init__(self, system: System, note: Callable[[str], None]) -> None:
        self._system = system
        self._note = note
        self.silent: list[Finding] = []
        self.looks = 0
        """How often something was missing, and was looked for in the statuses."""

    def look(self, when: str) -> None:
        """At the end of a fault, before it is healed."""
        missing = self.missing(GRACE)
        if not missing:
            return
        self.looks += 1
        for _ in range(LOOKS):
            said = self.said()
            if said:
                self._note(f"{when}: {len(missing)} datasets are missing, and {said[0]}")
                return
            time.sleep(BETWEEN_LOOKS)
            missing &= self.missing(GRACE)
            if not missing:
                return
        self._note(f"{when}: SILENT: {len(missing)} datasets are missing")
        self.silent += [Finding(uuid, f"{when}: it is missing, and every status is well") for uuid in sorted(missing)]

    def missing(self, grace: float) -> set[str]:
        """The datasets whose end returned `grace` seconds ago or earlier, and that the catalogue does not have so."""
        known, _ = known_datasets(read_ledgers(self._system.stack.ledgers))
        until = time.monotonic() - grace
        over = {uuid for uuid, one in known.items() if one.ended and one.ended["monotonic"] < until}
        return over - self._system.ended_in_catalogue()

    def said(self) -> list[str]:
        """What says that something is wrong; empty if all is well."""
        return [*self._scifish(), *self._scidog(), *self._scicow()]

    def _scifish(self) -> list[str]:
        argv = [str(Path(sys.executable).with_name("scifish")), "status"]
        done = subprocess.run(argv, env=self._system.stack.env, capture_output=True, text=True, timeout=COMMAND_SECONDS)
        return [f"scifish status: {done.stdout.splitlines()[-1:]}"] if done.returncode else []

    def _scidog(self) -> list[str]:
        try:
            device = tango.DeviceProxy(self._system.stack.name(SCIDOG))
            state = device.state()
            return [f"SciDog is in {state}: {device.status()}"] if state != tango.DevState.ON else []
        except tango.DevFailed as failed:
            return [f"SciDog does not answer: {failed.args[0].desc}"]

    def _scicow(self) -> list[str]:
        done = self._system.run_scicow("status", "--json", "--max-lag", f"{GRACE / 2:g}")
        found = []
        if done.returncode:
            parts = json.loads(done.stdout)["parts"] if done.stdout else {}
            found += [f"scicow status: {name}: {part['text']}" for name, part in parts.items() if not part["ok"]]
            found = found or [f"scicow status: {done.stderr}"]
        try:
            ready = requests.get(f"{self._system.scicow_url}/readyz", timeout=COMMAND_SECONDS)
        except requests.RequestException as error:
            return [*found, f"SciCow does not answer: {error}"]
        return found if ready.ok else [*found, f"SciCow is not ready: {ready.text}"]
