"""Processes of this machine: what /proc has of them, how they end, and ports for them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
from pathlib import Path

from deploy.demo.processes import Process, Processes

COMMAND_SECONDS = 600.0
"""Seconds that a server may take to start, and a command to end: the machine may be busy with other things."""

MARK = "SCIFISH_FAULTS"
"""The environment variable that all processes of one run inherit."""


def children(parent: int) -> list[int]:
    """Of this process."""
    return [pid for pid in _all() if _parent(pid) == parent]


def marked(value: str) -> dict[int, str]:
    """The living processes whose environment began with this mark: pid and command."""
    found = {}
    for pid in _all():
        folder = Path("/proc") / str(pid)
        try:
            if f"{MARK}={value}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[pid] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended meanwhile, or is another account's
    return found


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int:
    try:
        # The command's name, in brackets, may have blanks and brackets.
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def end(
    processes: Processes, process: Process, how: signal.Signals, group: bool = False, timeout: float = 20.0
) -> None:
    """Signal the process alone, as a crash would; with `group` its children too. Wait until it is gone.

    What `Process.stop` does is more than that: it leaves no child.
    """
    if process.running:
        (os.killpg if group else os.kill)(process.pid, how)
        if process.wait(timeout) is None:
            process.kill()
            raise RuntimeError(f"{process.name} did not end within {timeout:g} s of signal {how.name}")
    forget(processes, process)


def forget(processes: Processes, process: Process) -> None:
    """One that has ended. Else its number would be signalled in the end, when it may be another's."""
    if process in processes.running:
        processes.running.remove(process)


def own_port() -> int:
    """A free one that no client is given: it must be free again when the server comes back."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.SystemRandom().sample(range(10_000, lowest), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no free port below those of the clients")
