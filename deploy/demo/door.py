"""Runs macros on a Sardana Door like spock: macros in, their output on the terminal."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import tango

ASK_AFTER = 5.0
"""Seconds without an event until the Door is asked: events are lost while a subscription's connection is made."""

MACRO_TIMEOUT_SECONDS = 120.0
"""Seconds that a macro has, where its caller says nothing: only one that hangs takes them."""

_POINT = re.compile(r"\s*(\d+)\s")

OUTPUTS = ("Output", "Info", "Warning", "Error", "Critical")


class MacroFailed(RuntimeError):
    """A macro ended with an error. The text is the Door's message."""


class Door:
    """Runs macros one after the other. `say(level, line)` gets each line of their output."""

    def __init__(self, name: str, say: Callable[[str, str], None] = lambda level, line: None) -> None:
        self.proxy = tango.DeviceProxy(name)
        self.proxy.set_timeout_millis(60_000)  # on a busy machine a Door may answer late
        self.say = say
        self._changed = threading.Condition()
        self._state = tango.DevState.UNKNOWN
        self._runs = 0
        self._started = False
        self._point = -1
        self._errors: list[str] = []
        self._events = [self.proxy.subscribe_event("State", tango.EventType.CHANGE_EVENT, self._on_state)]
        for output in OUTPUTS:
            self._events.append(self.proxy.subscribe_event(output, tango.EventType.CHANGE_EVENT, self._on_output))

    def start(self, *words: str) -> None:
        """Start a macro with its parameters, and return at once."""
        with self._changed:
            self._errors = []
            self._runs = 0
            self._started = True
            self._point = -1
        self.proxy.command_inout("RunMacro", list(words))

    def wait(self, timeout: float = MACRO_TIMEOUT_SECONDS) -> None:
        """Wait until the macro ends. Raises MacroFailed if it reported an error, TimeoutError if it takes too long."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (self._runs and self._state != tango.DevState.RUNNING):
                if self._changed.wait(min(deadline - time.monotonic(), ASK_AFTER)):
                    continue
                if self._is_idle():
                    break
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"the macro is still running after {timeout:g} s")
        if self.proxy.state() == tango.DevState.ALARM:
            raise MacroFailed("\n".join(self._errors) or "the macro failed")

    def wait_for_point(self, number: int = 1, timeout: float = MACRO_TIMEOUT_SECONDS) -> None:
        """Wait until the running scan has shown this point (the first is 0), or is over.

        Always call it before an abort: Sardana raises the abort in the macro's thread, wherever that is. If the scan is
        still being set up, the abort leaves a state that no later scan recovers from.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._point < number and not (self._runs and self._state != tango.DevState.RUNNING):
                if not self._changed.wait(min(max(deadline - time.monotonic(), 0.0), ASK_AFTER)) and (
                    time.monotonic() >= deadline
                ):
                    raise TimeoutError(f"the scan has not shown its point {number} after {timeout:g} s")

    def run(self, *words: str, timeout: float = MACRO_TIMEOUT_SECONDS) -> None:
        """Run a macro to its end."""
        self.start(*words)
        self.wait(timeout)

    @property
    def errors(self) -> list[str]:
        """The errors that the last macro has reported."""
        return list(self._errors)

    def stop(self) -> None:
        """Ctrl-C, once."""
        self.proxy.command_inout("StopMacro")

    def abort(self) -> None:
        """Ctrl-C, twice."""
        self.proxy.command_inout("AbortMacro")

    def close(self) -> None:
        for event in self._events:
            self.proxy.unsubscribe_event(event)

    def _is_idle(self) -> bool:
        try:
            return bool(self.proxy.state() != tango.DevState.RUNNING)
        except tango.DevFailed:
            return False  # the Door is gone: `wait` times out and reports it

    def _on_state(self, event: Any) -> None:
        if event.err:
            return  # the Door is gone: `wait` times out and says so
        with self._changed:
            self._state = event.attr_value.value
            self._runs += self._state == tango.DevState.RUNNING
            self._changed.notify_all()

    def _on_output(self, event: Any) -> None:
        # The first event of a subscription is the Door's last output, which may be of another client.
        if event.err or not event.attr_value.value or not self._started:
            return
        level = event.attr_value.name.lower()
        lines: Sequence[str] = event.attr_value.value
        if level in ("error", "critical"):
            self._errors += lines
        points = [int(found[1]) for line in lines if (found := _POINT.match(line))] if level == "output" else []
        if points:
            with self._changed:
                self._point = max(self._point, *points)
                self._changed.notify_all()
        for line in lines:
            self.say(level, line)


def main() -> int:
    """`python -m deploy.demo.door DOOR MACRO [PARAMETER ...]`: run one macro and show its output."""
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        print(main.__doc__, file=sys.stderr)
        return 0 if "--help" in sys.argv or "-h" in sys.argv else 2
    try:
        door = Door(sys.argv[1], lambda level, line: print(line, flush=True))
    except tango.DevFailed as failed:
        print(f"{sys.argv[1]}: {str(failed.args[0].desc).strip()} (is TANGO_HOST set?)", file=sys.stderr)
        return 1
    try:
        door.run(*sys.argv[2:], timeout=86_400.0)
    except tango.DevFailed as failed:
        print(str(failed.args[0].desc).strip(), file=sys.stderr)
        return 1
    except UnicodeError as error:
        print(f"Tango's commands take Latin-1 only: {error}", file=sys.stderr)
        return 1
    except MacroFailed:
        return 1  # the Door has shown the reason
    except KeyboardInterrupt:
        door.stop()
        return 130
    finally:
        door.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
