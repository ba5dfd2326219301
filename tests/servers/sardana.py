"""A real Sardana of the tests' own, which one test cannot spoil for the next.

Three things spoil one, all found with Sardana 3.7.1:

- An abort is an exception that Sardana raises in the macro's thread, wherever that is. Where that is the subscription
  to the channels' value buffers (`timescan` and the continuous scans, before their first point), those that were
  subscribed stay so, and each later scan of that kind fails with `Callback ... already reg.`, or hangs, until the
  MacroServer is restarted: https://github.com/sardana-org/sardana/pull/701. So tests abort a scan when it has shown a
  point (`Door.wait_for_point`), and use step scans where the kind does not matter.
- A dscan that is aborted moves its motors back. Where that comes before the abort is done, a motor stays "already in
  motion".
- A test that fails may leave a macro running, or the server dead.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
import tango

from deploy.demo.door import Door
from deploy.demo.processes import Process
from deploy.demo.session import Session
from deploy.demo.stack import DOOR, MACROSERVER, POOL, Stack
from deploy.demo.summary import Expected, expected_scans
from tests import ran_on
from tests.waiting import eventually

SPOILT = {
    "already reg. on": "its measurement group could not be used any more",
    "already in motion": "a motor could not be moved any more",
}
"""By what a scan says: what no later scan can use."""

FAILED = pytest.StashKey[bool]()
"""Of a test: whether it or its set-up has failed. tests/conftest.py notes it."""

BUSY = (tango.DevState.RUNNING, tango.DevState.STANDBY)


class Sardana:
    """Pool, MacroServer and Doors in one server. `said` has (level, line) of all that its Doors say."""

    def __init__(self, stack: Stack, *more_doors: str) -> None:
        self.stack = stack
        self.said: list[tuple[str, str]] = []
        self._errors: list[str] = []
        self._devices = (DOOR, *more_doors)
        for device in more_doors:
            stack.add_device("Sardana/demo", "Door", device)
            stack.db.put_device_property(device, {"MacroServerName": [MACROSERVER]})
        self.process: Process = stack.start_sardana()
        self.doors: list[Door] = []
        self._connect()

    @property
    def door(self) -> Door:
        return self.doors[0]

    def history(self) -> list[dict[str, object]]:
        macroserver = tango.DeviceProxy(self.stack.name(MACROSERVER))
        found: list[dict[str, object]] = Session(self.door, print).environment(macroserver).get("ScanHistory", [])
        return found

    def last_scan(self) -> Expected:
        return expected_scans(self.history(), self.stack.name(MACROSERVER))[-1]

    def restart(self) -> None:
        """Whatever it does, or if it is dead already."""
        self.close()
        self.process.kill()
        devices = (POOL, MACROSERVER, *self._devices)
        self.process = self.stack.run_server("Sardana/demo", devices, self.stack.sardana_command)
        self._connect()

    def close(self) -> None:
        for door in self.doors:
            door.close()
        self.doors = []

    def mend(self, test: pytest.Item) -> None:
        """Called after each test: what the next one gets is alive, does nothing, and can scan."""
        wrong = self._what_is_wrong()
        self._errors.clear()
        if not wrong and test.stash.get(FAILED, False):
            wrong = "the test had failed, and may have left scans that end at once"  # as of an abort that comes late
        if wrong:
            self.restart()
            ran_on.remarks.add(f"Sardana was started anew after {test.nodeid}: {wrong}")

    def forgive(self) -> None:
        """The test has undone what it did."""
        self._errors.clear()

    def _what_is_wrong(self) -> str:
        if not self.process.running:
            return "it had ended"
        for said, why in SPOILT.items():
            if any(said in line for line in self._errors):
                return f"{why} ({said} ...)"
        for door in self.doors:
            try:
                _end_macro(door)
            except (tango.DevFailed, TimeoutError) as error:
                return f"a macro that ran could not be ended: {error}"
        return ""

    def _connect(self) -> None:
        self.doors = [Door(self.stack.name(device), self._hear) for device in self._devices]

    def _hear(self, level: str, line: str) -> None:
        self.said.append((level, line))
        print(f"{level}: {line}")  # for whoever reads why a test failed
        if level == "error":
            self._errors.append(line)


def _end_macro(door: Door) -> None:
    """A stop and no abort, for the reason above. DevFailed or TimeoutError where that does not help."""
    if door.proxy.state() not in BUSY:
        return
    with suppress(tango.DevFailed):  # it is over in the meantime
        if door.proxy.state() == tango.DevState.STANDBY:
            door.proxy.command_inout("ResumeMacro")  # Sardana ends no macro that was paused before its time
        door.stop()
    if not eventually(lambda: door.proxy.state() not in BUSY):
        raise TimeoutError(door.proxy.status())
