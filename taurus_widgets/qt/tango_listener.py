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
"""Seconds that the device has for an answer."""

PING_INTERVAL_SECONDS = 1.0
"""Seconds between two looks whether it is still there, and between two tries to find it again."""

SILENT_AFTER_SECONDS = 5.0
"""Seconds after which a call that has not come back is said: with a database that hangs, none ends by itself."""

TANGO_JOIN_SECONDS = 1.0
"""Seconds that a program that ends waits for a call under way; the thread then ends by itself."""


class TangoListener(Qt.QObject):
    """Says what the attributes of a device are, as change events, and how it stands with it.

    Tango would subscribe again by itself, but only every ten seconds, and says nothing of a device that hangs.
    """

    eventReceived = Qt.Signal(str, object, float, bool)
    """Name of the attribute, its value, its time in seconds since 1970, and whether that was so before we listened."""
    connectionChanged = Qt.Signal(object)
    """A Link."""

    def __init__(self, device: str, attributes: Sequence[str], parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self.device = device
        self._attributes = tuple(attributes)
        self._connection = ConnectionState()
        self._lost = threading.Event()
        self._end = threading.Event()
        self._emit_lock = threading.RLock()
        self._answered_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=device, daemon=True)
        self._clock = Qt.QTimer(self)
        self._clock.timeout.connect(self._checkAnswer)
        # Also where the widget that this is in is deleted and was never closed. No method of ours: it would be gone.
        end, speaking = self._end, self._emit_lock

        def end_it() -> None:
            with speaking:
                end.set()

        self.destroyed.connect(end_it)

    def start(self) -> None:
        self._answered_at = time.monotonic()
        self._thread.start()
        self._clock.start(int(PING_INTERVAL_SECONDS * 1000))

    def stop(self) -> None:
        """Nothing is emitted any more when this returns, at once."""
        self._clock.stop()
        with self._emit_lock:
            self._end.set()

    def join(self) -> None:
        """Wait a little for the thread that has been stopped: Tango takes it ill if a program ends in a call."""
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
                except Exception as error:  # noqa: BLE001 - whatever it is, the window must say it and go on
                    self._report_problem(str(error))
                self._answered_at = time.monotonic()
                self._end.wait(PING_INTERVAL_SECONDS)

    def _listen(self) -> None:
        """Until it does not answer any more. Raises DevFailed."""
        proxy = tango.DeviceProxy(self.device)
        # Of a proxy that is not connected, setting the time-out connects it with the interpreter's lock held.
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
        """In a thread of Tango's."""
        if event.err:
            # Other errors are of the value: that of RecordData cannot be read before there is any.
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
            if not self._end.is_set():  # else the object may be gone, and its signals with it
                getattr(self, signal).emit(*what)
