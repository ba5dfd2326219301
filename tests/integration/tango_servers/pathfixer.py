"""Starts, configures, restarts and kills the PathFixer of a test."""

from __future__ import annotations

import sys

import tango

from deploy.demo.processes import Process
from deploy.demo.stack import BEAMLINE, PATHFIXER, Stack
from tests.servers.tango_system import patient
from tests.waiting import eventually

COMMAND = [sys.executable, "-m", "tests.integration.tango_servers.hasty_pathfixer"]
"""A PathFixer that retries after tenths of a second."""


def start(stack: Stack) -> Process:
    """Start PathFixer. Its properties are set by `configure`."""
    return stack.start_server("PathFixer/demo", {PATHFIXER: ("PathFixer", {"Beamline": [BEAMLINE]})}, COMMAND)


def proxy_of(stack: Stack) -> tango.DeviceProxy:
    return patient(stack.name(PATHFIXER))


def configure(stack: Stack, **properties: list[str]) -> None:
    """Set these properties in addition to the demo's, and use them at once."""
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


def cleared(stack: Stack, *further: str) -> tango.DeviceProxy:
    """PathFixer after an Init with the demo's properties, without proposal, visit and sample.

    The attributes `further` are emptied, too.
    """
    configure(stack)
    proxy = proxy_of(stack)
    for attribute in ("Proposal", "Visit", "Sample", *further):
        proxy.write_attribute(attribute, "")
    return proxy


def initialise(stack: Stack) -> None:
    """Run Init, and wait until it is over."""
    proxy = proxy_of(stack)
    proxy.Init()
    _wait_until_restored(proxy)


def restart(stack: Stack) -> None:
    """Restart the server as jive and Astor do: in the same process."""
    proxy = proxy_of(stack)
    proxy.TurnOff()  # this state is not stored, so it distinguishes the old device from the new one
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
    """Start PathFixer after `kill`."""
    stack.run_server("PathFixer/demo", [PATHFIXER], COMMAND)
    _wait_until_restored(proxy_of(stack))


def _place(stack: Stack) -> int:
    return max(number for number, one in enumerate(stack.processes.running) if one.name == "pathfixer")


def _wait_until_restored(proxy: tango.DeviceProxy) -> None:
    """On a busy machine Init may be over before the office has answered: it waits for two seconds."""
    assert eventually(lambda: "the user office or the storage has not answered within" not in proxy.status())
