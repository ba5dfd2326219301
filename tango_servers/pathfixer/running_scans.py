"""Whether a scan runs: Sardana's Doors say which macros do, and their MacroServer which macros are scans.

Found with Sardana 3.7: a Door is RUNNING while it runs any macro, and STANDBY while that is paused. Its
Status then has a line for each macro of the stack, outermost first: `    -[step]\tascan mot01 0.0 1.0 5 0.3`.
What GetMacroInfo answers for a scan, also for a class that inherits from one, has `scan` among its `hints`.

A macro that makes a scan of its own without that hint is not seen. What else Sardana tells is no better: measurement
groups move for `ct`, too; RecordData is sent only with the JsonRecorder; and the environment's ScanID stays ahead of
ScanHistory where a MacroServer was killed in a scan, so that every macro would be one until the next.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import tango

from scifish.tango_io.database import reason
from tango_servers.common.background import answers

PATIENCE = 1.5
"""Seconds for the answers of all Doors together: whoever changes a proposal waits for them, and for no more than 3 s.

On a machine with far more to do than it can, the answers about a scan took a quarter of a second.
"""

NO_DOORS = "none"
"""In the property Doors: nobody is asked."""

_MACRO = re.compile(r"^\s*-\[\w*\]\t((\S+).*)$", re.MULTILINE)


@dataclass(frozen=True)
class Scans:
    """`running`: what runs, and where. `silent`: who could not be asked, and why."""

    running: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


def named(doors: Sequence[str]) -> list[tuple[int, str]]:
    """The Doors that the property names, with the numbers of their lines."""
    lines = enumerate(map(str.strip, doors), start=1)
    return [(number, line) for number, line in lines if line.lower() not in ("", NO_DOORS)]


class Doors:
    """The Doors that are named; else all Doors of the MacroServers. Threads may share it."""

    def __init__(self, doors: Sequence[str], macroservers: Sequence[str]) -> None:
        self._doors = [door for _, door in named(doors)]
        self._macroservers = [] if any(map(str.strip, doors)) else list(macroservers)
        self._sardana = _Sardana()

    def look(self) -> Scans:
        """What is so at this moment. One that hangs or is dead costs no more than `PATIENCE`."""
        sardana = self._sardana
        calls = {door: functools.partial(sardana.scan_at, door) for door in self._doors}
        calls |= {one: functools.partial(sardana.scans_of, one) for one in self._macroservers}
        running: list[str] = []
        silent = []
        for name, answer in zip(calls, answers(list(calls.values()), PATIENCE), strict=True):
            if isinstance(answer, tango.DevFailed):
                silent.append(f"{name}: {reason(answer)}")
            elif isinstance(answer, Exception):
                silent.append(f"{name}: {str(answer) or f'no answer within {PATIENCE:g} s'}")
            else:
                running += answer
        if silent:
            self._sardana = _Sardana()  # whoever still waits for the connections of this one holds up nobody else
        return Scans(tuple(running), tuple(silent))


class _Sardana:
    """Asks Sardana's devices, with connections that stay: to make them anew takes more answers than the question."""

    def __init__(self) -> None:
        self._proxies: dict[str, tango.DeviceProxy] = {}

    def scans_of(self, macroserver: str) -> list[str]:
        names = self._proxy(macroserver).read_attribute("DoorList").value or ()
        return [scan for name in names for scan in self.scan_at(_beside(macroserver, name))]

    def scan_at(self, door: str) -> list[str]:
        """The scan that runs there, or none. Raises DevFailed, LookupError."""
        proxy = self._proxy(door)
        if proxy.command_inout("State") not in (tango.DevState.RUNNING, tango.DevState.STANDBY):
            return []
        stack = [(found[1], found[2]) for found in _MACRO.finditer(proxy.command_inout("Status"))]
        if not stack:  # the macro has just ended, or it is a Sardana that is not the one that we know
            raise LookupError("its Status does not say which macro runs")
        scans = self._scans_among(_beside(door, proxy.adm_name()), {name for _, name in stack})
        return [f"{command.strip()} ({door})" for command, name in stack if name in scans][:1]

    def _scans_among(self, server: str, macros: set[str]) -> set[str]:
        # A Door's MacroServer always is in its own server; the Door has its name only as a property, by name or alias.
        classes = [device.partition("::") for device in self._proxy(server).command_inout("QueryDevice")]
        found = set()
        for _, _, name in (one for one in classes if one[0] == "MacroServer"):
            # PyTango would ask the device for the type of the argument, each time.
            data = tango.DeviceData()
            data.insert(tango.CmdArgType.DevVarStringArray, sorted(macros))
            for described in self._proxy(_beside(server, name)).command_inout("GetMacroInfo", data):
                info = json.loads(described)
                if "scan" in (info.get("hints") or ()):
                    found.add(info["name"])
        return found

    def _proxy(self, device: str) -> tango.DeviceProxy:
        if device not in self._proxies:
            self._proxies[device] = tango.DeviceProxy(device)
        return self._proxies[device]


def _beside(device: str, other: str) -> str:
    """The other's name in the Tango system that the first one's full name says."""
    system = re.match(r"tango://[^/]+/", device)
    return f"{system[0]}{other}" if system and not other.startswith("tango:") else other
