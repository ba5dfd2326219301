"""Whether a scan is running: Sardana's Doors say which macros run, and their MacroServer which macros are scans.

Found with Sardana 3.7: a Door is RUNNING while it runs any macro, and STANDBY while the macro is paused. Its
Status then has a line for each macro of the stack, outermost first: `    -[step]\tascan mot01 0.0 1.0 5 0.3`.
The answer of GetMacroInfo for a scan, also for a class that inherits from one, has `scan` among its `hints`.

A macro that makes its own scan without this hint is not seen. Sardana's other signs are no better: measurement
groups also move for `ct`; RecordData is sent only with the JsonRecorder; and if a MacroServer was killed in a scan, the
environment's ScanID stays ahead of ScanHistory, so that every macro would look like a scan until the next one.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import tango

from scifish.tango_io.database import reason
from tango_servers.common.background import call_all

DOOR_ANSWER_SECONDS = 1.5
"""For the answers of all Doors together: a client that changes the proposal waits for them, and gives up after 3 s.

On a heavily overloaded machine, the answers about a scan took a quarter of a second.
"""

NO_DOORS = "none"
"""In the property Doors: no Door is asked."""

_MACRO = re.compile(r"^\s*-\[\w*\]\t((\S+).*)$", re.MULTILINE)


@dataclass(frozen=True)
class RunningScans:
    """`running`: which scans are running, and where. `unanswered`: which devices could not be asked, and why."""

    running: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()


def door_lines(doors: Sequence[str]) -> list[tuple[int, str]]:
    """The Doors in the property, with their line numbers."""
    lines = enumerate(map(str.strip, doors), start=1)
    return [(number, line) for number, line in lines if line.lower() not in ("", NO_DOORS)]


class Doors:
    """The Doors in the property; without any, all Doors of the MacroServers. Threads may share it."""

    def __init__(self, doors: Sequence[str], macroservers: Sequence[str]) -> None:
        self._doors = [door for _, door in door_lines(doors)]
        self._macroservers = [] if any(map(str.strip, doors)) else list(macroservers)
        self._sardana = _Sardana()

    def query(self) -> RunningScans:
        """The scans running now. Devices that hang delay it by no more than `DOOR_ANSWER_SECONDS`."""
        sardana = self._sardana
        calls = {door: functools.partial(sardana.scan_at, door) for door in self._doors}
        calls |= {one: functools.partial(sardana.scans_of, one) for one in self._macroservers}
        running: list[str] = []
        unanswered = []
        for name, answer in zip(calls, call_all(list(calls.values()), DOOR_ANSWER_SECONDS), strict=True):
            if isinstance(answer, tango.DevFailed):
                unanswered.append(f"{name}: {reason(answer)}")
            elif isinstance(answer, Exception):
                unanswered.append(f"{name}: {str(answer) or f'no answer within {DOOR_ANSWER_SECONDS:g} s'}")
            else:
                running += answer
        if unanswered:
            self._sardana = _Sardana()  # calls that still hang use the old connections and delay no later query
        return RunningScans(tuple(running), tuple(unanswered))


class _Sardana:
    """Asks Sardana's devices. Connections are kept: a new connection needs more calls than the question itself."""

    def __init__(self) -> None:
        self._proxies: dict[str, tango.DeviceProxy] = {}

    def scans_of(self, macroserver: str) -> list[str]:
        names = self._proxy(macroserver).read_attribute("DoorList").value or ()
        return [scan for name in names for scan in self.scan_at(_beside(macroserver, name))]

    def scan_at(self, door: str) -> list[str]:
        """The scan that is running there, or none. Raises DevFailed, LookupError."""
        proxy = self._proxy(door)
        if proxy.command_inout("State") not in (tango.DevState.RUNNING, tango.DevState.STANDBY):
            return []
        stack = [(found[1], found[2]) for found in _MACRO.finditer(proxy.command_inout("Status"))]
        if not stack:  # the macro has just ended, or this Sardana has another format
            raise LookupError("its Status does not say which macro is running")
        scans = self._scans_among(_beside(door, proxy.adm_name()), {name for _, name in stack})
        return [f"{command.strip()} ({door})" for command, name in stack if name in scans][:1]

    def _scans_among(self, server: str, macros: set[str]) -> set[str]:
        # A Door and its MacroServer are always in the same server; the Door's property may have an alias of it.
        classes = [device.partition("::") for device in self._proxy(server).command_inout("QueryDevice")]
        found = set()
        for _, _, name in (one for one in classes if one[0] == "MacroServer"):
            # Otherwise PyTango asks the device for the type of the argument, each time.
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
    """The name of `other` in the Tango system that `device` is in."""
    system = re.match(r"tango://[^/]+/", device)
    return f"{system[0]}{other}" if system and not other.startswith("tango:") else other
