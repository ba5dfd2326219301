"""A thread that listens to a Tango device, so that the window never waits for it."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Sequence
from typing import Any

import tango
from taurus.external.qt import Qt

from scifish.tango_io.database import reason
from taurus_widgets.qt.connection import ConnectionState

TANGO_TIMEOUT_SECONDS = 3.0
"""Time-out of a call to the device."""

PING_INTERVAL_SECONDS = 1.0
"""Time between two checks that the device answers, and between two attempts to reconnect."""

SILENT_AFTER_SECONDS = 5.0
"""A call that takes longer is reported as a problem: while the database hangs, no call times out."""

TANGO_JOIN_SECONDS = 1.0
"""How long an exiting program waits for a call in progress. The thread is a daemon, so it can be left behind."""


class _Ending:
    """Set by `stop`, or when Qt deletes the listener. While `lock` is held it does not change."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.event = threading.Event()

    def set(self, _: object = None) -> None:
        with self.lock:
            self.event.set()


class TangoListener(Qt.QObject):
    """Emits the change events of a device's attributes, and the state of the connection to it.

    Tango itself resubscribes only every ten seconds, and does not report a device that hangs.
    """

    eventReceived = Qt.Signal(str, object, float, bool)
    """Attribute name, value, time in seconds since 1970, and whether it is the first event of a subscription."""
    connectionChanged = Qt.Signal(object)
    """A ConnectionState."""

    def __init__(self, device: str, attributes: Sequence[str], parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self.device = device
        self._attributes = tuple(attributes)
        self._connection = ConnectionState()
        self._lost = threading.Event()
        self._ending = _Ending()
        self._end, self._emit_lock = self._ending.event, self._ending.lock
        self._answered_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=device, daemon=True)
        self._clock = Qt.QTimer(self)
        self._clock.timeout.connect(self._checkAnswer)
        # For a widget that is deleted without being closed. Not a method of this object, which no longer exists by
        # then; and no closure: if Python collects both at once, Qt calls what is already empty, and the program ends.
        self.destroyed.connect(self._ending.set)

    def start(self) -> None:
        self._answered_at = time.monotonic()
        self._thread.start()
        self._clock.start(int(PING_INTERVAL_SECONDS * 1000))

    def stop(self) -> None:
        """Returns at once; nothing is emitted afterwards."""
        self._clock.stop()
        self._ending.set()

    def join(self) -> None:
        """Wait a little for the stopped thread: Tango may crash if the program exits during a call."""
        if self._thread.is_alive():
            self._thread.join(TANGO_JOIN_SECONDS)

    def _checkAnswer(self) -> None:
        if time.monotonic() - self._answered_at > SILENT_AFTER_SECONDS:
            self._report_problem(f"no answer within {SILENT_AFTER_SECONDS:g} s")

    # ---------------------------------------------------------------- in the thread

    def _run(self) -> None:
        with tango.EnsureOmniThread():
            while not self._end.is_set():
                try:
                    self._listen()
                except tango.DevFailed as failed:
                    self._report_problem(reason(failed))
                except Exception as error:  # noqa: BLE001 - any error must be shown, and the thread must continue
                    self._report_problem(str(error))
                self._answered_at = time.monotonic()
                self._end.wait(PING_INTERVAL_SECONDS)

    def _listen(self) -> None:
        """Listen until the device no longer answers. Raises DevFailed."""
        proxy = tango.DeviceProxy(self.device)
        # Setting the time-out of an unconnected proxy would connect it while holding the GIL.
        proxy.ping()
        proxy.set_timeout_millis(int(TANGO_TIMEOUT_SECONDS * 1000))
        self._lost.clear()
        events: list[int] = []
        try:
            for name in self._attributes:
                events.append(proxy.subscribe_event(name, tango.EventType.CHANGE_EVENT, self._tango_event))
            self._answered_at = time.monotonic()
            while not self._lost.is_set():
                self._report(ConnectionState(connected=True))
                if self._end.wait(PING_INTERVAL_SECONDS):
                    return
                proxy.ping()
                self._answered_at = time.monotonic()
        finally:
            for event in events:
                proxy.unsubscribe_event(event)

    def _tango_event(self, event: Any) -> None:
        """Runs in a thread of Tango."""
        if event.err:
            # Other errors concern the value: RecordData cannot be read before the first record.
            if event.errors[0].reason == "API_EventTimeout":
                self._lost.set()
            return
        first = event.event_reason != tango.EventReason.Update
        value = event.attr_value
        self._emit("eventReceived", value.name, value.value, value.time.totime(), first)

    def _report_problem(self, detail: str) -> None:
        with self._emit_lock:
            if not self._connection.problem:
                self._report(
                    ConnectionState(problem=f"{self.device} does not answer", detail=detail, since=dt.datetime.now())
                )

    def _report(self, state: ConnectionState) -> None:
        with self._emit_lock:
            if state != self._connection:
                self._connection = state
                self._emit("connectionChanged", state)

    def _emit(self, signal: str, *what: object) -> None:
        with self._emit_lock:
            if not self._end.is_set():  # otherwise Qt may have deleted this object and its signals
                getattr(self, signal).emit(*what)
