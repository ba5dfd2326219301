"""Tells SciDog what is wrong with a spool, so that it is seen in jive and in a panel of the beamline."""

from __future__ import annotations

import logging
import time

import tango

from scifish.crew import Crew
from scifish.message import Message
from scifish.tangodb import reason

log = logging.getLogger(__name__)

AGAIN = 60.0
"""Seconds after which a trouble that lasts is said again: SciDog forgets what nobody repeats."""

TIMEOUT_MS = 2000


class Notices:
    """Of one program. Its methods return at once and never raise."""

    def __init__(self, origin: Message) -> None:
        self._origin = origin
        self._crew = Crew("scifish-notice", 1)
        self._busy = False
        self._said = ""
        self._when = -AGAIN
        self._device: tango.DeviceProxy | None = None
        self._failed = False

    def say(self, scidog: str, trouble: str) -> None:
        """`trouble` is "" if all is well. To be called again and again: it is said when it is new, or old."""
        due = trouble != self._said or (trouble and time.monotonic() - self._when > AGAIN)
        if not scidog or not due or self._busy:
            return
        self._busy = True
        self._said, self._when = trouble, time.monotonic()
        self._crew.give(lambda: self._tell(scidog, trouble))

    def _tell(self, scidog: str, trouble: str) -> None:
        try:
            if self._device is None or self._device.dev_name().lower() != scidog.lower():
                self._device = tango.DeviceProxy(scidog)
                self._device.set_timeout_millis(TIMEOUT_MS)
            who = f"{self._origin['program']} on {self._origin['host']}"
            texts = [self._origin["run"], who, trouble]
            self._device.command_inout("ReportTrouble", [_latin(text) for text in texts])
            self._failed = False
        except tango.DevFailed as failed:
            # SciDog may well be stopped: what is said goes to the door and the log all the same.
            if not self._failed:
                log.info("%s cannot be told: %s", scidog, reason(failed))
            self._failed = True
            self._device = None
        finally:
            self._busy = False


def _latin(text: str) -> str:
    """Tango's texts are Latin-1."""
    return text.encode("latin-1", "replace").decode("latin-1")
