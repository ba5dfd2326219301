"""The user's session in spock of the demo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from taurus.core.util.codecs import CodecFactory

from deploy.demo.door import Door, MacroFailed

SOME_POINTS = 5

TRIES = 3
"""Of `sar_demo`."""


def make_elements(door: Door) -> None:
    """Create Sardana's demo elements. Raises MacroFailed if it cannot.

    `sar_demo` uses each element as soon as it has created it. On a busy machine the MacroServer knows of one a moment
    later: `sar_demo` then reports an error and stops in the middle, without failing. It is undone and repeated.
    """
    for _ in range(TRIES):
        door.run("sar_demo")
        if not door.errors:
            return
        errors = "\n".join(door.errors)
        door.run("clear_sar_demo")
    raise MacroFailed(errors)


class Session:
    """Runs macros on a Door, and shows each before it runs. `show` gets the line that a user would type."""

    def __init__(self, door: Door, show: Callable[[str], None], measure: Callable[[], None] = lambda: None) -> None:
        """`measure` starts the measurements of other vendors' programs that run during the session."""
        self.door = door
        self._show = show
        self.measure = measure

    def prepare(self, folder: Path) -> None:
        """Create Sardana's demo elements, and set what a beamline sets once."""
        make_elements(self.door)
        self.door.run("defctrl", "FailingCounterTimerController", "failctrl01")
        self.door.run("defelem", "fail01", "failctrl01", "1")
        self.door.run("defmeas", "mntgrp02", "fail01")
        for name, value in {
            "DataRecorder": "['SciFishRecorder']",
            "ActiveMntGrp": "mntgrp01",
            "ScanFile": "cosaxs.dat",
            "ScanUser": "astlin",
        }.items():
            self.door.run("senv", name, value)
        # PathFixer sets Sardana's ScanDir with the first proposal; until then data is written here.
        self.door.run("senv", "ScanDir", str(folder))

    def perform(self) -> None:
        """Run scans that start and end in every possible way."""
        self.type("setproposal 20250001")
        self.type("setsample fibre_A")
        self.type("scidog_list")
        self.type("ascan mot01 0 2 8 0.05")
        self.type("scicomment First look at the fibre, the beam is well centred")
        self.type("scirate 2.5")
        self.type("mesh mot01 0 1 2 mot02 0 1 2 0.05")
        self.type("timescan 5 0.1 0.05")
        self.type("ascanct mot01 0 1 5 0.1")
        self.type("setsample fibre_B")
        self.type("scidog_use spectroscopy")
        self.type("ascan mot02 0 20 400 0.1", then=self.door.stop)
        # With a motor of its own: at its end a dscan moves the motor back, and where that comes before Sardana is done
        # with the abort, the motor is "already in motion" for good.
        self.type("dscan mot03 -1 1 400 0.1", then=self.door.abort)
        self.type("senv ActiveMntGrp mntgrp02", quietly=True)
        self.type("ascan mot01 0 1 6 0.1", fails=True)
        self.type("senv ActiveMntGrp mntgrp01", quietly=True)
        self.measure()
        self.type("scisnap Before the night")
        self.type("scicomment The cryostat is full, shutter closed")
        self.type("scidog_use saxs")
        self.type("a2scan mot01 0 1 mot02 0 2 5 0.05")

    def type(
        self, line: str, then: Callable[[], None] | None = None, fails: bool = False, quietly: bool = False
    ) -> None:
        """Run one line. `then` is called when the scan has shown some points; the scan may fail afterwards."""
        if not quietly:
            self._show(line)
        self.door.start(*words(line))
        if then is not None:
            self.door.wait_for_point(SOME_POINTS)  # like a user who watches and then presses Ctrl-C
            then()
        try:
            self.door.wait()
        except MacroFailed:
            if not fails and then is None:
                raise

    def environment(self, macroserver: Any) -> dict[str, Any]:
        """Sardana's environment, with ScanHistory: serialno, startts, endts, title, endstatus, ..."""
        content = CodecFactory().decode(macroserver.read_attribute("Environment").value)
        found: dict[str, Any] = content["new"]
        return found


def words(line: str) -> list[str]:
    """Split a line like spock: at blanks."""
    return line.split()
