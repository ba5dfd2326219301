"""Macros for PathFixer: the proposal, the sample and the path."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import tango
from sardana.macroserver.macro import Optional, Type, macro

from macros._output import printable, table
from scifish.settings import devices
from scifish.tango_io.database import reason

__all__ = ["pathinfo", "setproposal", "setsample"]

HANDOVER_SECONDS = 5.0
"""Seconds that Sardana and the detectors have to accept the new path."""

PATHFIXER_COMMAND_SECONDS = 15.0
"""Seconds for a command of PathFixer: the user office and the storage may be slow."""


@macro(
    [
        ["proposal", Type.String, Optional, "Its number; without one the proposals are listed"],
        ["visit", Type.String, Optional, "YYYYMMDD, or auto for today's (default)"],
        ["force", Type.Boolean, False, "True: also while a scan runs; its last files may go to the new folder"],
    ]
)
def setproposal(self: Any, proposal: str | None, visit: str | None, force: bool) -> None:
    """Set the proposal, and with it the path of the data. Without a parameter, list the proposals."""
    device = _pathfixer()
    if proposal is None:
        _list(self, device, "Proposal", "setproposal NUMBER [VISIT] [FORCE] sets one.")
        return
    _run(device, "SetProposal", [proposal, visit or "auto", *(["force"] if force else [])])
    _show(self, device)


@macro([["sample", Type.String, Optional, "Its name; without one the samples of the proposal are listed"]])
def setsample(self: Any, sample: str | None) -> None:
    """Set the sample, and with it the folder of its data. Without a parameter, list the samples."""
    device = _pathfixer()
    if sample is None:
        _list(self, device, "Sample", "setsample NAME sets one; it need not be in this list.")
        return
    devices.write(device, "Sample", sample)
    _show(self, device)


@macro()
def pathinfo(self: Any) -> None:
    """Show what PathFixer has in use: the proposal, the folders and their modes, and the consumers of the path."""
    device = _pathfixer()
    described = json.loads(_run(device, "Describe"))
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
    table(self, [device.dev_name(), "Now"], rows)
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


def _pathfixer() -> Any:
    """NotReachable if PathFixer does not answer."""
    device = devices.pathfixer(devices.read_now())
    devices.read(device, "State")
    device.set_timeout_millis(int(PATHFIXER_COMMAND_SECONDS * 1000))
    return device


def _run(device: Any, command: str, *value: list[str]) -> Any:
    """NotReachable if the device does not answer; Refused, with its reason, if it refuses the command."""
    try:
        return device.command_inout(command, *value)
    except tango.DevFailed as failed:
        kind = devices.NotReachable if str(failed.args[0].reason).startswith("API_") else devices.Refused
        raise kind(f"{device.dev_name()}: {reason(failed)}") from failed
    except UnicodeError as error:
        raise devices.Refused(f"{value!r}: {error}") from error


def _list(self: Any, device: Any, what: str, hint: str) -> None:
    current = devices.read(device, what)
    known = list(devices.read(device, f"{what}s"))
    if current and current not in known:
        known.append(current)
    table(self, ["Now", what], [["->" if name == current else "", name] for name in known])
    self.output(hint)


def _show(self: Any, device: Any) -> None:
    """Show what is in use, once Sardana and the detectors have it (a scan may follow at once), and problems."""
    deadline = time.monotonic() + HANDOVER_SECONDS
    while pending := devices.read(device, "PendingDevices"):
        if time.monotonic() > deadline:
            self.warning("these do not have the path yet: %s", ", ".join(pending))
            break
        time.sleep(0.05)
    names = ("Proposal", "Visit", "Sample", "SamplePath")
    table(self, ["", "Now"], [[name, devices.read(device, name)] for name in names])
    described = json.loads(_run(device, "Describe"))  # the State itself may be older
    if described["state"] in ("ALARM", "FAULT"):
        self.warning(
            "%s is in %s: %s", device.dev_name(), described["state"], printable("; ".join(described["problems"]))
        )
