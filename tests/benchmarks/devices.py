"""Instruments that are not there: fifty Tango devices of ten attributes, one that is dead, one that hangs.

    python -m tests.benchmarks.devices INSTANCE

is their server. What they answer costs them nothing, so that the time is that of asking.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Sequence

import numpy as np
import tango
from tango import DevState
from tango.server import Device, attribute, run

from deploy.demo.beamline import DEAD_ADDRESS
from deploy.demo.processes import PR_SET_PDEATHSIG, Process
from deploy.demo.stack import Stack

SERVER = "BenchInstruments"
LIVE = tuple(f"bench/ins/{number:02}" for number in range(1, 51))
DEAD = "bench/ins/dead"
HUNG = "bench/ins/hung"
ATTRIBUTES = (
    "Current",
    "Voltage",
    "Temperature",
    "Pressure",
    "Position",
    "Angle",
    "Counts",
    "Enabled",
    "Message",
    "Profile",
)


class Instrument(Device):
    """Ten attributes of the usual types: numbers, a counter, a boolean, a text and a short spectrum."""

    def init_device(self) -> None:
        super().init_device()
        self.set_state(DevState.ON)

    @attribute(dtype=float, unit="mA", format="%.3f")
    def Current(self) -> float:
        return 400 + math.sin(time.time())

    @attribute(dtype=float, unit="V")
    def Voltage(self) -> float:
        return 4.7

    @attribute(dtype=float, unit="K", format="%.2f")
    def Temperature(self) -> float:
        return 92.4

    @attribute(dtype=float, unit="mbar", format="%.2e")
    def Pressure(self) -> float:
        return 2.1e-9

    @attribute(dtype=float, unit="mm", min_alarm="-100", max_alarm="100")
    def Position(self) -> float:
        return 12.5

    @attribute(dtype=float, unit="deg")
    def Angle(self) -> float:
        return 11.4

    @attribute(dtype=int)
    def Counts(self) -> int:
        return 12_041

    @attribute(dtype=bool)
    def Enabled(self) -> bool:
        return True

    @attribute(dtype=str)
    def Message(self) -> str:
        return "Delivery"

    @attribute(dtype=(float,), max_dim_x=32)
    def Profile(self) -> np.ndarray:
        return np.linspace(0.0, 1.0, 32)


def configuration(devices: Sequence[str]) -> list[str]:
    """All attributes of these devices, one entry a line."""
    return [
        f"- {{name: {name}, source: {device}/{name}, group: {device.rpartition('/')[2]}}}"
        for device in devices
        for name in ATTRIBUTES
    ]


def prescan_snapshot(stack: Stack, devices: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The same for Sardana's own environment variable `PreScanSnapshot`: pairs of source and label."""
    return tuple((f"{stack.name(device)}/{name}", f"{device}/{name}") for device in devices for name in ATTRIBUTES)


def start_live(stack: Stack) -> Process:
    return _start(stack, "live", LIVE)


def start_hung(stack: Stack) -> Process:
    """A device whose machine takes the connection and then never answers: its process is stopped by a signal."""
    process = _start(stack, "hung", (HUNG,))
    os.kill(process.pid, signal.SIGSTOP)
    return process


def add_dead(stack: Stack) -> None:
    """A device that the database takes for running, though nothing answers at its address."""
    stack.add_device(f"{SERVER}/dead", Instrument.__name__, DEAD)
    exported = tango.DbDevExportInfo()
    exported.name, exported.ior, exported.host, exported.version, exported.pid = DEAD, DEAD_ADDRESS, "127.0.0.1", "6", 1
    stack.db.export_device(exported)


def _start(stack: Stack, instance: str, devices: Sequence[str]) -> Process:
    properties: dict[str, Sequence[str]] = {}
    return stack.start_server(
        f"{SERVER}/{instance}",
        {device: (Instrument.__name__, properties) for device in devices},
        [sys.executable, "-m", "tests.benchmarks.devices"],
    )


if __name__ == "__main__":
    # Not SIGTERM, as of the demo's processes: one that a signal has stopped would wait with it for ever.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    run((Instrument,), args=[SERVER, *sys.argv[1:]])
