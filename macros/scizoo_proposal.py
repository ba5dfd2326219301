"""Macros for PathFixer: the proposal, the sample and the path."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from sardana.macroserver.macro import Optional, Type, macro

from scifish.recording.spock import printable, table
from scifish.settings import devices

__all__ = ["pathinfo", "setproposal", "setsample"]

NOTHING = "nothing"
"""What is written for no proposal, and for no sample: Sardana itself takes the word none for a missing parameter."""

HANDOVER_SECONDS = 5.0
"""Seconds that Sardana and the detectors have to accept the new path."""

PATHFIXER_COMMAND_SECONDS = 15.0
"""Seconds for a command of PathFixer: the user office and the storage may be slow."""


@macro(
    [
        ["proposal", Type.String, Optional, "Its number, or nothing; without one the proposals are listed"],
        ["visit", Type.String, Optional, "YYYYMMDD, or auto for today's (default)"],
        ["force", Type.Boolean, False, "True: also while a scan runs; its last files may go to the new folder"],
    ]
)
def setproposal(self: Any, proposal: str | None, visit: str | None, force: bool) -> None:
    """Set the proposal, and with it the path of the data. Without a parameter, list the proposals.

    `setproposal nothing` ends the use of a proposal.
    """
    device = _pathfixer()
    if proposal is None:
        _list(
            self, device, "Proposal", "setproposal NUMBER [VISIT] [FORCE] sets one; setproposal nothing: no proposal."
        )
        return
    device.command("SetProposal", [_or_empty(proposal), visit or "auto", *(["force"] if force else [])])
    _show(self, device)


@macro(
    [
        [
            "words",
            [["word", Type.String, "", "A word"], {"min": 0}],
            None,
            "Its name, or nothing; without one the samples of the proposal are listed",
        ]
    ]
)
def setsample(self: Any, words: list[str]) -> None:
    """Set the sample, and with it the folder of its data. Without a parameter, list the samples.

    `setsample nothing` ends the use of a sample. All words belong to the name: PathFixer refuses a name with blanks.
    """
    device = _pathfixer()
    sample = " ".join(filter(None, words))  # Sardana gives no word as one empty word
    if not sample:
        _list(
            self,
            device,
            "Sample",
            "setsample NAME sets one; it need not be in this list; setsample nothing: no sample.",
        )
        return
    device.write("Sample", _or_empty(sample))
    _show(self, device)


@macro()
def pathinfo(self: Any) -> None:
    """Show what PathFixer has in use: the proposal, the folders and their modes, and the consumers of the path."""
    device = _pathfixer()
    described = json.loads(device.command("Describe"))
    office = described["office"]
    rows = [
        ["Proposal", described["proposal"] or "none"],
        ["Title", described["title"]],
        ["Visit", described["visit"] + (" (auto)" if described["auto"] else "")],
        ["Sample", described["sample"] or "none"],
        ["Path", described["path"] + (" (set by hand)" if described["by_hand"] else "")],
        ["SamplePath", described["sample_path"]],
        ["User office", _age(office["answered"], office["old"])],
        ["State", described["state"]],
    ]
    table(self, [device.name, "Now"], rows)
    if described["folders"]:
        rows = [[one["mode"] or "missing", _mode_is(one), one["path"]] for one in described["folders"]]
        table(self, ["Mode", "", "Folder"], rows)
    if described["consumers"]:
        rows = [[one["device"], one["target"], one["state"], one["detail"]] for one in described["consumers"]]
        table(self, ["Consumer", "As", "State", "Value, or why not"], rows)
    for problem in described["problems"]:
        self.warning("%s", problem)


def _mode_is(folder: dict[str, str]) -> str:
    return "" if folder["mode"] == folder["wanted"] else f"should be {folder['wanted']}"


def _age(answered: str, old: bool) -> str:
    if not answered:
        return "not asked"
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(answered)).total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            age = f"{seconds // size} {unit}"
            break
    else:
        age = f"{max(seconds, 0)} s"
    return f"answered {age} ago" + (", does not answer now" if old else "")


def _pathfixer() -> devices.PartDevice:
    """NotReachable if PathFixer does not answer."""
    device = devices.pathfixer(devices.read_now())
    device.read("State")
    device.proxy.set_timeout_millis(int(PATHFIXER_COMMAND_SECONDS * 1000))
    return device


def _or_empty(given: str) -> str:
    """PathFixer's own form: "" is none."""
    return "" if given.lower() == NOTHING else given


def _list(self: Any, device: devices.PartDevice, what: str, hint: str) -> None:
    current = device.read(what)
    known = list(device.read(f"{what}s"))
    if current and current not in known:
        known.append(current)
    table(self, ["Now", what], [["->" if name == (current or NOTHING) else "", name] for name in [*known, NOTHING]])
    self.output(hint)


def _show(self: Any, device: devices.PartDevice) -> None:
    """Show what is in use, once Sardana and the detectors have it (a scan may follow at once), and problems."""
    deadline = time.monotonic() + HANDOVER_SECONDS
    while pending := device.read("PendingDevices"):
        if time.monotonic() > deadline:
            self.warning("these do not have the path yet: %s", ", ".join(pending))
            break
        time.sleep(0.05)
    names = ("Proposal", "Visit", "Sample", "SamplePath")
    shown = {name: device.read(name) or ("none" if name in ("Proposal", "Sample") else "") for name in names}
    table(self, ["", "Now"], shown.items())
    described = json.loads(device.command("Describe"))  # the State itself may be older
    if described["state"] in ("ALARM", "FAULT"):
        self.warning("%s is in %s: %s", device, described["state"], printable("; ".join(described["problems"])))
