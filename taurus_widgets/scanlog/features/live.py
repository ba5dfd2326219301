"""Scans of a Sardana Door before they are in the catalogue, and the active proposal of PathFixer."""

from __future__ import annotations

import datetime as dt
import math
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from scifish.message import iso
from taurus_widgets.qt.connection import ConnectionState
from taurus_widgets.qt.painting import colours
from taurus_widgets.qt.tango_listener import TangoListener
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import PROVISIONAL, Json
from taurus_widgets.scanlog.data.door_scans import DOOR_ATTRIBUTES, DoorScan, DoorScans
from taurus_widgets.scanlog.data.pages import TABLE_FIELDS, checked
from taurus_widgets.scanlog.data.query import DatasetQuery, stored_fields
from taurus_widgets.scanlog.view import LogView

TICK_MS = 200
"""Time between two checks of the expected scans."""

FIRST_QUERY_SECONDS = 2.0
"""Time until the catalogue is queried for a scan that is not among the rows (the table may be filtered). Then twice
that, and so on."""

MAX_QUERY_PAUSE_SECONDS = 60.0

LATE_AFTER_SECONDS = 30.0
"""A scan that a working catalogue does not have after this time is reported as late."""

MISSING_AFTER_SECONDS = 600.0
"""After this time since its end, a scan that is not in the catalogue loses its row."""

MAX_MISSING_SCANS = 50
"""Maximum number of missing scans that are remembered."""

ROW_WAIT_SECONDS = 2.0
"""How long the row of a scan found in the catalogue is awaited; if it does not appear, it is filtered out."""

DEFAULT_PID_PREFIX = "scizoo"
"""SciCow's default `pid_prefix`, until a row shows another."""

_OURS = re.compile(r"^(.+)/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

NO_RECORDER = "SciFishRecorder did not report it. Check that it is in the environment variable DataRecorder."
UNDERWAY = "Its metadata may be waiting in the spool until Kafka, SciCow and SciCat work: see scifish status."


@dataclass
class ExpectedScan:
    """A scan that is expected in the catalogue. Times are of time.monotonic."""

    scan: DoorScan
    pid: str
    proposal: str
    first_seen: float
    ask_at: float
    pause: float = FIRST_QUERY_SECONDS
    found_at: float = math.inf
    late: bool = False
    ended_at: float = math.inf
    noted: dt.datetime = field(default_factory=dt.datetime.now)

    def dataset(self) -> Json:
        """The dataset as SciCow would write it, with what is known."""
        scan = self.scan
        values: Json = {
            "status": {"value": scan.status, "unit": "", "human_name": "Status"},
            "title": {"value": scan.title, "unit": "", "human_name": "Title"},
            "scan_id": {"value": scan.number, "unit": "", "human_name": "Scan ID"},
            "program": {"value": "sardana", "unit": "", "human_name": "Program"},
        }
        made: Json = {
            "pid": self.pid,
            PROVISIONAL: True,
            "type": "raw",
            "datasetName": scan.title,
            "creationTime": iso(scan.start),
            "runNumber": str(scan.number),
            "scientificMetadata": {"scan": values},
        }
        if self.proposal:
            made["proposalId"] = self.proposal
        if scan.end is not None:
            made["endTime"] = iso(scan.end)
        return made

    def why(self) -> str:
        """A line for the tool tip."""
        command = (
            f"Scan {self.scan.number}, {cols.line(self.scan.title)}, started {cols.full_time(iso(self.scan.start))}."
        )
        return f"{command} {UNDERWAY if self.scan.uuid else NO_RECORDER}"


class BarNotice(Qt.QToolButton):
    """A line of text that is shortened to the available width. The tool tip has the whole text, with details."""

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.whole = ""
        self.setAutoRaise(True)
        self.setFocusPolicy(Qt.Qt.StrongFocus)
        self.setSizePolicy(Qt.QSizePolicy.Preferred, Qt.QSizePolicy.Fixed)
        self.hide()

    def say(self, text: str, details: str) -> None:
        """Show a text; "" hides the line."""
        self.whole = text
        self.setToolTip(tooltip(f"{text}\n{details}"))
        palette = self.palette()
        palette.setColor(Qt.QPalette.ButtonText, Qt.QColor(colours(palette).problem))
        self.setPalette(palette)
        self.setAccessibleName(text)
        self._elide()
        self.updateGeometry()
        self.setVisible(bool(text))

    def sizeHint(self) -> Qt.QSize:
        room = self.fontMetrics().horizontalAdvance(self.whole) + 4 * self.fontMetrics().averageCharWidth()
        return Qt.QSize(room, super().sizeHint().height())

    def minimumSizeHint(self) -> Qt.QSize:
        return Qt.QSize(12 * self.fontMetrics().averageCharWidth(), super().minimumSizeHint().height())

    def resizeEvent(self, event: Qt.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        room = self.width() - 2 * self.fontMetrics().averageCharWidth()
        self.setText(self.fontMetrics().elidedText(self.whole, Qt.Qt.ElideRight, room))


class Live(Qt.QObject):
    """Shows rows for the scans of a Door until the catalogue has them, and reports late scans below the table."""

    def __init__(self, log: LogView) -> None:
        super().__init__(log)
        self._log = log
        self._scans = DoorScans()
        self._door: TangoListener | None = None
        self._pathfixer: TangoListener | None = None
        self._in_use: dict[str, str] = {}
        self._connections: dict[str, ConnectionState] = {}
        self._expected: dict[str, ExpectedScan] = {}  # by DoorScan.key
        self._missing: dict[str, ExpectedScan] = {}
        self._prefix = ""
        self._answering_since = 0.0  # time since when the catalogue answers
        self.notice = BarNotice(log)
        self.notice.clicked.connect(self._forgetMissing)
        log.statusBar.layout().insertWidget(2, self.notice)
        log.queryChanged.connect(self._queryChanged)
        log.catalogueChanged.connect(self._forgetAll)
        log.closing.connect(self.stop)
        log.reopened.connect(self._resume)
        self._clock = Qt.QTimer(self)
        self._clock.timeout.connect(self._tick)
        self._clock.start(TICK_MS)

    # ------------------------------------------------------------------------- outside

    def setDoor(self, device: str) -> None:
        """Show the scans of this Door from now on; "" for none."""
        if self._door is not None:
            self._end(self._door)
        self._door = None
        self._scans = DoorScans()
        if device:
            self._door = TangoListener(device, DOOR_ATTRIBUTES, self)
            self._door.eventReceived.connect(self._eventReceived)
            self._begin(self._door)
        self._showNotice()

    def setPathFixer(self, device: str) -> None:
        """Follow the proposal and visit of this PathFixer; "" for none."""
        if self._pathfixer is not None:
            self._end(self._pathfixer)
        self._pathfixer = None
        self._in_use = {}
        if device:
            self._pathfixer = TangoListener(device, ("Proposal", "Visit"), self)
            self._pathfixer.eventReceived.connect(self._pathFixerChanged)
            self._begin(self._pathfixer)
        self._showNotice()

    @property
    def listens(self) -> bool:
        """Whether the Door is connected."""
        return self._door is not None and self._connections.get(self._door.device, ConnectionState()).connected

    def stop(self) -> None:
        """Stop listening. This takes a moment if a device hangs."""
        listeners = [listener for listener in (self._door, self._pathfixer) if listener is not None]
        self._clock.stop()
        for listener in listeners:
            listener.stop()
        for listener in listeners:
            listener.join()

    def _resume(self) -> None:
        """The window is shown again."""
        self.setDoor(self._door.device if self._door is not None else "")
        self.setPathFixer(self._pathfixer.device if self._pathfixer is not None else "")
        self._clock.start(TICK_MS)

    def _begin(self, listener: TangoListener) -> None:
        listener.connectionChanged.connect(lambda state: self._connectionChanged(listener, state))
        listener.start()

    def _end(self, listener: TangoListener) -> None:
        listener.stop()
        listener.deleteLater()
        self._connections.pop(listener.device, None)

    def _connectionChanged(self, listener: TangoListener, state: ConnectionState) -> None:
        self._connections[listener.device] = state
        self._showNotice()

    def _pathFixerChanged(self, attribute: str, value: object, _at: float, _first: bool) -> None:
        self._in_use[attribute.lower()] = str(value)
        if len(self._in_use) == 2:
            self._log.proposalInUse.emit(self._in_use["proposal"], self._in_use["visit"])

    # --------------------------------------------------------------------------- scans

    def _eventReceived(self, attribute: str, value: object, at: float, first: bool) -> None:
        # Events from before the subscription are in the catalogue already; only the State matters.
        if not first or attribute.lower() == "state":
            self._scanned(self._scans.receive(attribute, value, at))

    def _scanned(self, scans: Iterable[DoorScan]) -> None:
        for scan in scans:
            if scan.status == "running":
                self._began(scan)
            elif scan.key in self._expected:
                self._ended(scan)
            elif not scan.uuid:
                self._began(scan)
                self._ended(scan)

    def _began(self, scan: DoorScan) -> None:
        now = time.monotonic()
        replaced: list[str] = []
        if scan.uuid:  # the report of its recorder came later than RECORDER_WAIT_SECONDS
            for key, known in list(self._expected.items()):
                if not known.scan.uuid and known.scan.number == scan.number:
                    self._drop(key)
                    replaced.append(known.pid)
        pid = f"{self._prefix or self._usedPrefix()}/{scan.uuid}" if scan.uuid else f"door/{scan.key}"
        expected = ExpectedScan(scan, pid, self._in_use.get("proposal", ""), now, now + FIRST_QUERY_SECONDS)
        self._expected[scan.key] = expected
        self._show(expected)
        for earlier in replaced:
            self._log.scanConfirmed.emit(earlier, pid)

    def _ended(self, scan: DoorScan) -> None:
        expected = self._expected[scan.key]
        expected.scan, expected.ended_at = scan, time.monotonic()
        self._show(expected)

    def _show(self, expected: ExpectedScan) -> None:
        scans = self._log.scans
        if not _fits(expected, self._log.query):
            return
        scans.expect(expected.dataset())
        if self._isProvisional(expected.pid):
            self._log.rowShown.emit(expected.pid, expected.scan.status)

    def _usedPrefix(self) -> str:
        """The prefix of the newest row that was written by SciCow."""
        for row in self._log.scans.loadedRows():
            dataset = self._log.scans.dataset(row)
            found = _OURS.match(dataset["pid"]) if dataset and cols.status(dataset) else None
            if found:
                return found[1]
        return DEFAULT_PID_PREFIX

    def _isProvisional(self, pid: str) -> bool:
        scans = self._log.scans
        return scans.isLoaded(pid) and scans.isProvisional(scans.rowOf(pid))

    def _drop(self, key: str) -> None:
        expected = self._expected.pop(key)
        self._log.scans.unexpect(expected.pid)

    def _queryChanged(self, query: DatasetQuery) -> None:
        for expected in self._expected.values():
            if _fits(expected, query):
                self._show(expected)
            else:
                self._log.scans.unexpect(expected.pid)

    def _forgetAll(self) -> None:
        for key in list(self._expected):
            self._drop(key)
        self._missing.clear()
        self._prefix = ""
        self._showNotice()

    def _forgetMissing(self) -> None:
        self._missing.clear()
        self._showNotice()

    # ----------------------------------------------------------------------- confirming

    def _tick(self) -> None:
        if self._scans.has_pending:
            self._scanned(self._scans.unrecorded(time.time()))
        now = time.monotonic()
        for key, expected in list(self._expected.items()):
            here = self._log.scans.isLoaded(expected.pid) and not self._isProvisional(expected.pid)
            if here or now > expected.found_at + ROW_WAIT_SECONDS:
                self._drop(key)
                self._log.scanConfirmed.emit(expected.pid, expected.pid)
                self._showNotice()
        due = [one for one in (*self._expected.values(), *self._missing.values()) if now >= one.ask_at]
        scicat = self._log.scicat
        if due and scicat is not None:
            expected = due[0]
            expected.ask_at = math.inf
            self._log.calls.run(
                lambda: _find_dataset(scicat, expected.scan),
                lambda dataset: self._answered(scicat, expected, dataset),
                lambda _error: self._unanswered(expected),
            )

    def _unanswered(self, expected: ExpectedScan) -> None:
        """The catalogue is not available. The poller reports it."""
        self._answering_since = math.inf
        expected.ask_at = time.monotonic() + FIRST_QUERY_SECONDS

    def _answered(self, scicat: SciCat, expected: ExpectedScan, dataset: Json | None) -> None:
        now = time.monotonic()
        key = expected.scan.key
        if scicat is not self._log.scicat or (key not in self._expected and key not in self._missing):
            return
        self._answering_since = min(self._answering_since, now)
        if dataset is not None:
            self._missing.pop(key, None)
            self._arrived(expected, dataset)
        else:
            expected.pause = min(2 * expected.pause, MAX_QUERY_PAUSE_SECONDS)
            expected.ask_at = now + expected.pause
            expected.late = now - max(expected.first_seen, self._answering_since) >= LATE_AFTER_SECONDS
            if now - max(expected.ended_at, self._answering_since) >= MISSING_AFTER_SECONDS and key in self._expected:
                self._drop(key)
                self._missing[key] = expected
                for oldest in list(self._missing)[:-MAX_MISSING_SCANS]:
                    del self._missing[oldest]
        self._showNotice()

    def _arrived(self, expected: ExpectedScan, dataset: Json) -> None:
        expected.late, expected.found_at = False, time.monotonic()
        self._log.scanConfirmed.emit(expected.pid, dataset["pid"])
        if dataset["pid"] == expected.pid:
            return
        if expected.scan.uuid:
            self._prefix = dataset["pid"].rpartition("/")[0]
        if expected.scan.key in self._expected:  # the feed reads it with its own pid
            self._drop(expected.scan.key)

    # ------------------------------------------------------------------------------- notice

    def _showNotice(self) -> None:
        wrong = [state for state in self._connections.values() if state.problem]
        texts = [f"{state.problem} since {state.since:%H:%M:%S}" for state in wrong]
        details = [f"{state.problem}: {state.detail}. Retrying every second." for state in wrong]
        late = [*self._missing.values(), *(expected for expected in self._expected.values() if expected.late)]
        if late:
            numbers = f"Scan {late[0].scan.number} has" if len(late) == 1 else f"{len(late)} scans have"
            texts.append(f"{numbers} not reached the catalogue since {min(one.noted for one in late):%H:%M:%S}")
            details += [expected.why() for expected in late]
        if self._missing:
            details.append("Click to dismiss the scans that have no row any more.")
        self.notice.say("   ".join(texts), "\n".join(details))


def _fits(expected: ExpectedScan, query: DatasetQuery) -> bool:
    """Whether the scan matches the query, as far as is known before it is in the catalogue."""
    scan = expected.scan
    return not (
        query.where
        or query.text
        or (query.status and scan.status not in query.status)
        or (query.begin and scan.start < query.begin.timestamp())
        or (query.end and scan.start >= query.end.timestamp())
        or (query.proposal and expected.proposal and query.proposal != expected.proposal)
    )


def _find_dataset(scicat: SciCat, scan: DoorScan) -> Json | None:
    """The scan's dataset in the catalogue: the one at that time with its uuid, or with its number if it has no uuid."""
    when = {"creationTime": {"$gte": iso(math.floor(scan.start - 1)), "$lte": iso(math.ceil(scan.start + 1))}}
    fields = stored_fields([*TABLE_FIELDS, "runNumber", "scientificMetadata.scan"])
    for dataset in checked(scicat.datasets({"$and": [when]}, fields, "creationTime:desc", 50)):
        if scan.uuid:
            if dataset["pid"].endswith(f"/{scan.uuid}"):
                return dataset
        elif cols.scan_number(dataset) == str(scan.number):
            return dataset
    return None
