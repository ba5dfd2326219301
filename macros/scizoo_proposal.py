"""Macros on PathFixer: whose experiment it is, and of what."""

from __future__ import annotations

import time
from typing import Any

from sardana.macroserver.macro import Optional, Type, macro

from macros._output import table
from scifish import clients

__all__ = ["setproposal", "setsample"]

HAND_OVER = 5.0
"""Seconds that Sardana and the detectors have to take the new path."""


@macro(
    [
        ["proposal", Type.String, Optional, "Its number; without one the proposals are listed"],
        ["visit", Type.String, Optional, "YYYYMMDD, or auto for today's (default)"],
    ]
)
def setproposal(self: Any, proposal: str | None, visit: str | None) -> None:
    """Set the proposal, and with it the path of the data. Without a parameter it shows what there is."""
    device = clients.pathfixer(clients.read_now())
    if proposal is None:
        _list(self, device, "Proposal", "setproposal NUMBER [VISIT] sets one.")
        return
    clients.write(device, "Proposal", proposal)
    clients.write(device, "Visit", visit or "auto")
    _show(self, device)


@macro([["sample", Type.String, Optional, "Its name; without one the samples of the proposal are listed"]])
def setsample(self: Any, sample: str | None) -> None:
    """Set the sample, and with it the folder of its data. Without a parameter it shows what there is."""
    device = clients.pathfixer(clients.read_now())
    if sample is None:
        _list(self, device, "Sample", "setsample NAME sets one; it need not be in this list.")
        return
    clients.write(device, "Sample", sample)
    _show(self, device)


def _list(self: Any, device: Any, what: str, hint: str) -> None:
    current = clients.read(device, what)
    known = list(clients.read(device, f"{what}s"))
    if current and current not in known:
        known.append(current)
    table(self, ["Now", what], [["->" if name == current else "", name] for name in known])
    self.output(hint)


def _show(self: Any, device: Any) -> None:
    """What is in use now, once Sardana and the detectors have it: a scan may follow at once."""
    deadline = time.monotonic() + HAND_OVER
    while pending := clients.read(device, "PendingDevices"):
        if time.monotonic() > deadline:
            self.warning("not handed the path yet: %s", ", ".join(pending))
            break
        time.sleep(0.05)
    for name in clients.read(device, "BadDevices"):
        self.warning("%s refused the path: see the Status of %s", name, device.dev_name())
    names = ("Proposal", "Visit", "Sample", "SamplePath")
    table(self, ["", "Now"], [[name, clients.read(device, name)] for name in names])
