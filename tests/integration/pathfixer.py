"""A PathFixer of a test's own, and what it is told to use."""

from __future__ import annotations

import statistics
import time

import tango

from deploy.demo.stack import PATHFIXER, Stack
from tests.waiting import eventually

WAITED = 1.0
"""Seconds: on a busy machine a read may take a tenth of it; one that waits for what hangs takes three."""


def proxy_of(stack: Stack) -> tango.DeviceProxy:
    return tango.DeviceProxy(stack.name(PATHFIXER))


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
    proxy_of(stack).Init()


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


def times_of(proxy: tango.DeviceProxy, attribute: str, number: int, pause: float = 0.0) -> list[float]:
    """Seconds that reading takes, as the client sees it."""
    found = []
    for _ in range(number):
        begin = time.perf_counter()
        proxy.read_attribute(attribute)
        found.append(time.perf_counter() - begin)
        time.sleep(pause)
    return found


def none_waited(times: list[float]) -> bool:
    """Whether no read waited for what hangs, and they were quick but for what else the machine does."""
    return statistics.median(times) < 0.05 and max(times) < WAITED
