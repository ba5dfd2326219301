"""A PathFixer of a test's own, and what it is told to use."""

from __future__ import annotations

import grp
import os
import time
from pathlib import Path

import tango

import deploy.demo
from deploy.demo.stack import PATHFIXER, Stack
from tests.tango_system import eventually

OURS = grp.getgrgid(os.getgid()).gr_name  # a group that there is, as on a machine that knows the beamline's accounts
PROPOSALS = (
    Path(deploy.demo.__file__)
    .with_name("proposals.yaml")
    .read_text("utf-8")
    .replace("beamline: cosaxs", f"beamline: cosaxs\n    group: {OURS}")
)


def proxy_of(stack: Stack) -> tango.DeviceProxy:
    return tango.DeviceProxy(stack.name(PATHFIXER))


def configure(stack: Stack, **properties: list[str]) -> None:
    """These properties beside the demo's own, taken up at once."""
    usual = {
        "Beamline": ["cosaxs"],
        "Office": [f"yaml:{office_file(stack)}"],
        "Prefix": [str(stack.folder / "data")],
        "OfficeMemory": [str(stack.folder / "memory" / "proposals.json")],
        "PathConsumers": [""],
        "Doors": [""],
        "Raw_path_readonly": ["false"],
        "StorageLayout": [""],
    }
    stack.db.put_device_property(PATHFIXER, {**usual, **properties})
    proxy_of(stack).Init()


def office_file(stack: Stack, name: str = "proposals.yaml") -> Path:
    path = stack.folder / name
    path.write_text(PROPOSALS, "utf-8")
    return path


def restart(stack: Stack) -> None:
    tango.DeviceProxy(stack.name("dserver/PathFixer/demo")).RestartServer()
    time.sleep(0.2)  # it is still the old one for a moment
    proxy = proxy_of(stack)

    def answers() -> bool:
        try:
            proxy.ping()
        except tango.DevFailed:
            return False
        return True

    assert eventually(answers)
