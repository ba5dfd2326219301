"""Scans from a Sardana Door, before the catalogue has them; and the proposal that PathFixer has in use."""

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
"""Milliseconds between two looks at what is waited for."""

FIRST_QUERY_SECONDS = 2.0
"""Seconds until the catalogue is asked for a scan that is not among the rows: the table may be filtered. Then twice
that, and so on."""

MAX_QUERY_PAUSE_SECONDS = 60.0

LATE_AFTER_SECONDS = 30.0
"""Seconds without a scan in a catalogue that answers, after which that is said."""

MISSING_AFTER_SECONDS = 600.0
"""Seconds after its end until a scan that is not in the catalogue is no row any more."""

MAX_MISSING_SCANS = 50
"""Scans of which it is remembered that they are missing."""

ROW_WAIT_SECONDS = 2.0
"""Seconds after a scan is found in the catalogue in which its row comes from there, else it does not fit the filter."""

DEFAULT_PID_PREFIX = "scizoo"
"""SciCow's default `pid_prefix`, until a row shows another."""

_OURS = re.compile(r"^(.+)/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

NO_RECORDER = "SciFishRecorder has not told of it: is it in the environment variable DataRecorder?"
UNDERWAY = "Its metadata may be kept at the beamline until Kafka, SciCow and SciCat are there: see scifish status."


@dataclass
class ExpectedScan:
    """A scan that is not in the catalogue, as far as is known. Times are time.monotonic's."""

    scan: DoorScan
    pid: str
    proposal: str
    heard: float
    ask_at: float
    pause: float = FIRST_QUERY_SECONDS
    found: float = math.inf
    late: bool = False
    over: float = math.inf
    noted: dt.datetime = field(default_factory=dt.datetime.now)

    def dataset(self) -> Json:
        """As SciCow would write it, of what is known."""
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
    """One quiet line that takes no more room than there is. The whole of it, and more, is in its tool tip."""

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.whole = ""
        self.setAutoRaise(True)
        self.setFocusPolicy(Qt.Qt.StrongFocus)
        self.setSizePolicy(Qt.QSizePolicy.Preferred, Qt.QSizePolicy.Fixed)
        self.hide()

    def say(self, text: str, details: str) -> None:
        """Nothing is shown for ""."""
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
    """Rows for the scans that a Door tells of, until the catalogue has them; what is wrong is said below the table."""

    def __init__(self, log: LogView) -> None:
        super().__init__(log)
        self._log = log
        self._scans = DoorScans()
        self._door: TangoListener | None = None
        self._pathfixer: TangoListener | None = None
        self._in_use: dict[str, str] = {}
        self._links: dict[str, ConnectionState] = {}
        self._waiting: dict[str, ExpectedScan] = {}  # by DoorScan.key
        self._missing: dict[str, ExpectedScan] = {}
        self._prefix = ""
        self._back = 0.0  # since when the catalogue answers
        self.notice = BarNotice(log)
        self.notice.clicked.connect(self._forgetMissing)
        log.statusBar.layout().insertWidget(2, self.notice)
        log.queryChanged.connect(self._fit)
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
            self._door.heard.connect(self._heard)
            self._begin(self._door)
        self._say()

    def setPathFixer(self, device: str) -> None:
        """Follow the proposal and visit of this PathFixer; "" for none."""
        if self._pathfixer is not None:
            self._end(self._pathfixer)
        self._pathfixer = None
        self._in_use = {}
        if device:
            self._pathfixer = TangoListener(device, ("Proposal", "Visit"), self)
            self._pathfixer.heard.connect(self._fixed)
            self._begin(self._pathfixer)
        self._say()

    @property
    def listens(self) -> bool:
        """Whether the Door is there and tells of its scans."""
        return self._door is not None and self._links.get(self._door.device, ConnectionState()).connected

    def stop(self) -> None:
        """Listen no more. Where a device hangs that takes a moment."""
        watches = [watch for watch in (self._door, self._pathfixer) if watch is not None]
        self._clock.stop()
        for watch in watches:
            watch.stop()
        for watch in watches:
            watch.join()

    def _resume(self) -> None:
        """The window is shown again."""
        self.setDoor(self._door.device if self._door is not None else "")
        self.setPathFixer(self._pathfixer.device if self._pathfixer is not None else "")
        self._clock.start(TICK_MS)

    def _begin(self, watch: TangoListener) -> None:
        watch.linkChanged.connect(lambda link: self._linked(watch, link))
        watch.start()

    def _end(self, watch: TangoListener) -> None:
        watch.stop()
        watch.deleteLater()
        self._links.pop(watch.device, None)

    def _linked(self, watch: TangoListener, link: ConnectionState) -> None:
        self._links[watch.device] = link
        self._say()

    def _fixed(self, attribute: str, value: object, _at: float, _first: bool) -> None:
        self._in_use[attribute.lower()] = str(value)
        if len(self._in_use) == 2:
            self._log.proposalInUse.emit(self._in_use["proposal"], self._in_use["visit"])

    # --------------------------------------------------------------------------- scans

    def _heard(self, attribute: str, value: object, at: float, first: bool) -> None:
        # What the Door said last, before we listened, is in the catalogue or comes there; but whether it runs counts.
        if not first or attribute.lower() == "state":
            self._scanned(self._scans.heard(attribute, value, at))

    def _scanned(self, scans: Iterable[DoorScan]) -> None:
        for scan in scans:
            if scan.status == "running":
                self._began(scan)
            elif scan.key in self._waiting:
                self._ended(scan)
            elif not scan.uuid:
                self._began(scan)
                self._ended(scan)

    def _began(self, scan: DoorScan) -> None:
        now = time.monotonic()
        replaced: list[str] = []
        if scan.uuid:  # its recorder was slower than our patience
            for key, known in list(self._waiting.items()):
                if not known.scan.uuid and known.scan.number == scan.number:
                    self._drop(key)
                    replaced.append(known.pid)
        pid = f"{self._prefix or self._usedPrefix()}/{scan.uuid}" if scan.uuid else f"door/{scan.key}"
        waiting = ExpectedScan(scan, pid, self._in_use.get("proposal", ""), now, now + FIRST_QUERY_SECONDS)
        self._waiting[scan.key] = waiting
        self._show(waiting)
        for earlier in replaced:
            self._log.scanConfirmed.emit(earlier, pid)

    def _ended(self, scan: DoorScan) -> None:
        waiting = self._waiting[scan.key]
        waiting.scan, waiting.over = scan, time.monotonic()
        self._show(waiting)

    def _show(self, waiting: ExpectedScan) -> None:
        scans = self._log.scans
        if not _fits(waiting, self._log.query):
            return
        scans.expect(waiting.dataset())
        if self._isProvisional(waiting.pid):
            self._log.rowShown.emit(waiting.pid, waiting.scan.status)

    def _usedPrefix(self) -> str:
        """That of the newest row that SciCow has written."""
        for row in self._log.scans.here():
            dataset = self._log.scans.dataset(row)
            found = _OURS.match(dataset["pid"]) if dataset and cols.status(dataset) else None
            if found:
                return found[1]
        return DEFAULT_PID_PREFIX

    def _isProvisional(self, pid: str) -> bool:
        scans = self._log.scans
        return scans.isHere(pid) and scans.isProvisional(scans.rowOf(pid))

    def _drop(self, key: str) -> None:
        waiting = self._waiting.pop(key)
        self._log.scans.unexpect(waiting.pid)

    def _fit(self, query: DatasetQuery) -> None:
        for waiting in self._waiting.values():
            if _fits(waiting, query):
                self._show(waiting)
            else:
                self._log.scans.unexpect(waiting.pid)

    def _forgetAll(self) -> None:
        for key in list(self._waiting):
            self._drop(key)
        self._missing.clear()
        self._prefix = ""
        self._say()

    def _forgetMissing(self) -> None:
        self._missing.clear()
        self._say()

    # ----------------------------------------------------------------------- confirming

    def _tick(self) -> None:
        if self._scans.waits:
            self._scanned(self._scans.unannounced(time.time()))
        now = time.monotonic()
        for key, waiting in list(self._waiting.items()):
            here = self._log.scans.isHere(waiting.pid) and not self._isProvisional(waiting.pid)
            if here or now > waiting.found + ROW_WAIT_SECONDS:
                self._drop(key)
                self._log.scanConfirmed.emit(waiting.pid, waiting.pid)
                self._say()
        due = [one for one in (*self._waiting.values(), *self._missing.values()) if now >= one.ask_at]
        scicat = self._log.scicat
        if due and scicat is not None:
            waiting = due[0]
            waiting.ask_at = math.inf
            self._log.calls.run(
                lambda: _find(scicat, waiting.scan),
                lambda dataset: self._answered(scicat, waiting, dataset),
                lambda _error: self._unanswered(waiting),
            )

    def _unanswered(self, waiting: ExpectedScan) -> None:
        """The catalogue is away, which the poller says."""
        self._back = math.inf
        waiting.ask_at = time.monotonic() + FIRST_QUERY_SECONDS

    def _answered(self, scicat: SciCat, waiting: ExpectedScan, dataset: Json | None) -> None:
        now = time.monotonic()
        key = waiting.scan.key
        if scicat is not self._log.scicat or (key not in self._waiting and key not in self._missing):
            return
        self._back = min(self._back, now)
        if dataset is not None:
            self._missing.pop(key, None)
            self._arrived(waiting, dataset)
        else:
            waiting.pause = min(2 * waiting.pause, MAX_QUERY_PAUSE_SECONDS)
            waiting.ask_at = now + waiting.pause
            waiting.late = now - max(waiting.heard, self._back) >= LATE_AFTER_SECONDS
            if now - max(waiting.over, self._back) >= MISSING_AFTER_SECONDS and key in self._waiting:
                self._drop(key)
                self._missing[key] = waiting
                for oldest in list(self._missing)[:-MAX_MISSING_SCANS]:
                    del self._missing[oldest]
        self._say()

    def _arrived(self, waiting: ExpectedScan, dataset: Json) -> None:
        waiting.late, waiting.found = False, time.monotonic()
        self._log.scanConfirmed.emit(waiting.pid, dataset["pid"])
        if dataset["pid"] == waiting.pid:
            return
        if waiting.scan.uuid:
            self._prefix = dataset["pid"].rpartition("/")[0]
        if waiting.scan.key in self._waiting:  # the feed brings it under its own pid
            self._drop(waiting.scan.key)

    # -------------------------------------------------------------------------- what is said

    def _say(self) -> None:
        wrong = [link for link in self._links.values() if link.problem]
        texts = [f"{link.problem} since {link.since:%H:%M:%S}" for link in wrong]
        details = [f"{link.problem}: {link.detail}. It is tried again every second." for link in wrong]
        late = [*self._missing.values(), *(waiting for waiting in self._waiting.values() if waiting.late)]
        if late:
            numbers = f"Scan {late[0].scan.number} has" if len(late) == 1 else f"{len(late)} scans have"
            texts.append(f"{numbers} not come into the catalogue since {min(one.noted for one in late):%H:%M:%S}")
            details += [waiting.why() for waiting in late]
        if self._missing:
            details.append("A click forgets those that are no rows any more.")
        self.notice.say("   ".join(texts), "\n".join(details))


def _fits(waiting: ExpectedScan, query: DatasetQuery) -> bool:
    """Whether it belongs to the rows, as far as that can be known of a scan that is not in the catalogue."""
    scan = waiting.scan
    return not (
        query.where
        or query.text
        or (query.status and scan.status not in query.status)
        or (query.begin and scan.start < query.begin.timestamp())
        or (query.end and scan.start >= query.end.timestamp())
        or (query.proposal and waiting.proposal and query.proposal != waiting.proposal)
    )


def _find(scicat: SciCat, scan: DoorScan) -> Json | None:
    """The scan's dataset in the catalogue: of the same time, and by its uuid; by its number where that is not known."""
    when = {"creationTime": {"$gte": iso(math.floor(scan.start - 1)), "$lte": iso(math.ceil(scan.start + 1))}}
    fields = stored_fields([*TABLE_FIELDS, "runNumber", "scientificMetadata.scan"])
    for dataset in checked(scicat.datasets({"$and": [when]}, fields, "creationTime:desc", 50)):
        if scan.uuid:
            if dataset["pid"].endswith(f"/{scan.uuid}"):
                return dataset
        elif cols.scan_number(dataset) == str(scan.number):
            return dataset
    return None
