"""What is missing in the catalogue at a moment, and what every status says then: nothing may be missing in silence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import requests
import tango

from deploy.demo.stack import SCIDOG
from ingest.scicat import SciCatError
from tests.faults.processes import COMMAND_SECONDS
from tests.faults.system import System
from tests.faults.verdict import Finding

GRACE = 10.0
"""Seconds from the end of a dataset until it should be in the catalogue, or something should say that it is not."""

LOOKS = 3
BETWEEN_LOOKS = 5.0
"""Seconds. What is on its way at one look must be there at the next; else it is reported as late."""


class Watch:
    """`silent` has the datasets that were missing while every status said that all was well."""

    def __init__(self, system: System, note: Callable[[str], None]) -> None:
        self._system = system
        self._note = note
        self._there: set[str] = set()
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
        """The datasets whose end returned `grace` seconds ago or earlier, and that the catalogue does not have so.

        Those that SciCow does not read, that must stay at the beamline, and that are lost with a damaged spool are not.
        """
        until = time.monotonic() - grace
        read = {place[:2] for place in self._system.ingestion.places}
        over = {
            uuid
            for uuid, one in self._system.known.datasets.items()
            if one.ended
            and one.ended["monotonic"] < until
            and one.place[:2] in read
            and not one.proprietary
            and not any(damage.excuses(one) for damage in self._system.damages)
        }
        try:
            self._there |= self._system.ingestion.ended(over - self._there)
        except SciCatError as error:
            self._note(f"the catalogue does not answer: {error}")
        return over - self._there

    def said(self) -> list[str]:
        """What says that something is wrong; empty if all is well."""
        return self._scifish() or self._scidog() or self._scicow()

    def _scifish(self) -> list[str]:
        done = self._system.scifish("status")
        return [f"scifish status: {done.stdout.splitlines()[-1:]}"] if done.returncode else []

    def _scidog(self) -> list[str]:
        try:
            device = tango.DeviceProxy(self._system.stack.name(SCIDOG))
            state = device.state()
            return [f"SciDog is in {state}: {device.status()}"] if state != tango.DevState.ON else []
        except tango.DevFailed as failed:
            return [f"SciDog does not answer: {failed.args[0].desc}"]

    def _scicow(self) -> list[str]:
        done = self._system.ingestion.scicow("status", "--json", "--max-lag", f"{GRACE / 2:g}")
        found = []
        if done.returncode:
            parts = json.loads(done.stdout)["parts"] if done.stdout else {}
            found += [f"scicow status: {name}: {part['text']}" for name, part in parts.items() if not part["ok"]]
            found = found or [f"scicow status: {done.stderr}"]
        try:
            ready = requests.get(f"{self._system.ingestion.url}/readyz", timeout=COMMAND_SECONDS)
        except requests.RequestException as error:
            return [*found, f"SciCow does not answer: {error}"]
        return found if ready.ok else [*found, f"SciCow is not ready: {ready.text}"]
