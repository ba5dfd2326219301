"""A PathFixer of a test's own, and what it is told to use."""

from __future__ import annotations

import sys

import tango

from deploy.demo.processes import Process
from deploy.demo.stack import BEAMLINE, PATHFIXER, Stack
from tests.servers.tango_system import patient
from tests.waiting import eventually

COMMAND = [sys.executable, "-m", "tests.integration.tango_servers.hasty_pathfixer"]
"""PathFixer, that looks again in tenths of a second at what was wrong."""


def start(stack: Stack) -> Process:
    """One that is told what to use by `configure`."""
    return stack.start_server("PathFixer/demo", {PATHFIXER: ("PathFixer", {"Beamline": [BEAMLINE]})}, COMMAND)


def proxy_of(stack: Stack) -> tango.DeviceProxy:
    return patient(stack.name(PATHFIXER))


def configure(stack: Stack, **properties: list[str]) -> None:
    """These properties beside the demo's own, taken up at once."""
    usual = {
        "Beamline": ["cosaxs"],
        "Office": [f"yaml:{stack.user_office()}"],
        "Prefix": [str(stack.folder / "data")],
        "OfficeMemory": [str(stack.folder / "memory" / "proposals.json")],
        "PathConsumers": [""],
        "Doors": [""],
        "Raw_path_readonly": ["false"],
        "StorageLayout": [""],
    }
    stack.db.put_device_property(PATHFIXER, {**usual, **properties})
    initialise(stack)


def initialise(stack: Stack) -> None:
    """Run Init, and wait until it is over."""
    proxy = proxy_of(stack)
    proxy.Init()
    _wait_until_restored(proxy)


def restart(stack: Stack) -> None:
    """As jive and Astor do it, in the same process."""
    proxy = proxy_of(stack)
    proxy.TurnOff()  # which is not remembered, so that the old one can be told from the new one
    tango.DeviceProxy(stack.name("dserver/PathFixer/demo")).RestartServer()

    def is_new() -> bool:
        try:
            return bool(proxy.state() != tango.DevState.OFF)
        except tango.DevFailed:
            return False

    assert eventually(is_new)
    _wait_until_restored(proxy)


def kill(stack: Stack) -> None:
    stack.processes.running.pop(_place(stack)).kill()


def start_again(stack: Stack) -> None:
    """After `kill`."""
    stack.run_server("PathFixer/demo", [PATHFIXER], COMMAND)
    _wait_until_restored(proxy_of(stack))


def _place(stack: Stack) -> int:
    return max(number for number, one in enumerate(stack.processes.running) if one.name == "pathfixer")


def _wait_until_restored(proxy: tango.DeviceProxy) -> None:
    """On a busy machine Init may be over before the office has answered: it waits for two seconds."""
    assert eventually(lambda: "the user office or the storage has not answered within" not in proxy.status())
