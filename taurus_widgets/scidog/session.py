"""What the editor's parts share: the device, the drafts, the values of now. It runs all slow calls in threads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from taurus.external.qt import Qt

from scifish.settings.devices import NotReachable, Refused
from taurus_widgets.qt.calls import Calls
from taurus_widgets.qt.connection import ConnectionState
from taurus_widgets.qt.tango_listener import TangoListener
from taurus_widgets.scidog.data.client import HistoryChange, Overview, SavedMeanwhile, ScidogClient, Stored
from taurus_widgets.scidog.data.draft import Draft, DraftRow
from taurus_widgets.scidog.data.findings import RowFinding, device_findings, own_findings
from taurus_widgets.scidog.data.live import LiveReader, LiveValue, mapping_keys

SOURCES_TYPE = "application/x-scidog-sources"
"""What is dragged from the right side to the left: JSON of [source, name] of each attribute."""

LIVE_INTERVAL_SECONDS = 2.0
"""Time between two reads of the values of now."""

CHECK_DELAY_SECONDS = 0.4
"""After the last change, until the device checks the lines."""

RETRY_SECONDS = 2.0
"""Time between two attempts to reach the device."""


@dataclass(frozen=True)
class SaveConflict:
    """Somebody else has saved a configuration since it was read: their version, and who it was as the device says."""

    draft: Draft
    theirs: Stored
    text: str


class EditSession(Qt.QObject):
    """One SciDog that is edited. All methods are for the window's thread, and return at once."""

    overviewChanged = Qt.Signal()
    draftChanged = Qt.Signal()
    """Another configuration, or other rows."""
    liveChanged = Qt.Signal()
    findingsChanged = Qt.Signal()
    connectionChanged = Qt.Signal(object)
    """A ConnectionState."""
    failed = Qt.Signal(str)
    """What somebody wanted was not done: why."""
    done = Qt.Signal(str)
    conflict = Qt.Signal(object)
    """A SaveConflict."""
    changedElsewhere = Qt.Signal(object)
    """Somebody else has changed the configuration that is edited here: a SaveConflict."""

    def __init__(self, parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self.calls = Calls(self)
        self.client = ScidogClient()
        self.overview: Overview | None = None
        self.draft: Draft | None = None
        self.live: dict[int, LiveValue] = {}
        self.liveTime: dt.datetime | None = None
        self.findings: dict[int, list[RowFinding]] = {}
        self.history: list[HistoryChange] = []
        """Of the chosen configuration, newest first."""
        self.prefix = ""
        self._drafts: dict[str, Draft] = {}
        self._reader = LiveReader()
        self.watched: Callable[[], bool] = lambda: True
        """Whether somebody can see the values of now: if not, they are not read."""
        self._reading = False
        self._saves = 0
        self._checked: dict[int, tuple[DraftRow, list[RowFinding]]] = {}
        """By key: the row as the device has checked it, and what it has found."""
        self._listener: TangoListener | None = None
        self._state = ConnectionState()
        self._clock = Qt.QTimer(self)
        self._clock.timeout.connect(self._tick)
        self._check = Qt.QTimer(self)
        self._check.setSingleShot(True)
        self._check.timeout.connect(self._validate)
        self._retry = Qt.QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.timeout.connect(self._connect)
        self._again = Qt.QTimer(self)
        self._again.setSingleShot(True)
        self._again.timeout.connect(self.refresh)

    # -------------------------------------------------------------------- the device

    def setDevice(self, device: str) -> None:
        """Edit this SciDog; "" for the one of SCIDOG_DEVICE, or the only one in the database."""
        self.stop()
        self.calls.restart()
        self.client = ScidogClient(device)
        self.overview, self.draft = None, None
        self._drafts.clear()
        self._connect()

    def stop(self) -> None:
        """Stop reading. The drafts stay."""
        self._clock.stop()
        self._check.stop()
        self._retry.stop()
        self._again.stop()
        self.calls.stop()
        self._reading = False
        self._saves = 0
        self._state = ConnectionState()
        self._reader.close()
        if self._listener is not None:
            self._listener.stop()
            self._listener.deleteLater()
            self._listener = None

    def resume(self) -> None:
        """Go on after `stop`."""
        self.calls.restart()
        self._connect()

    def _connect(self) -> None:
        self.calls.run(self.client.find, self._found, self._notFound, "find")

    def _notFound(self, error: Exception) -> None:
        self._setState(ConnectionState(problem=str(error), detail=str(error), since=dt.datetime.now()))
        self._retry.start(int(RETRY_SECONDS * 1000))

    def _found(self, device: str) -> None:
        host, _, path = device.rpartition(":")
        self.prefix = f"{host}:{path.partition('/')[0]}/" if host else ""
        self._reader = LiveReader(self.prefix)
        self._listener = TangoListener(device, ("Configs", "ActiveConfig", "Revision", "Problems"), self)
        self._listener.connectionChanged.connect(self._setState)
        self._listener.eventReceived.connect(self._event)
        self._listener.start()
        self._clock.start(int(LIVE_INTERVAL_SECONDS * 1000))

    def _setState(self, state: ConnectionState) -> None:
        came_back = state.connected and not self._state.connected
        self._state = state
        self.connectionChanged.emit(state)
        if came_back:
            self.refresh()

    def _event(self, name: str, value: object, moment: float, first: bool) -> None:
        if not first:
            self.refresh()

    @property
    def connection(self) -> ConnectionState:
        return self._state

    # ------------------------------------------------------------------ configurations

    def refresh(self) -> None:
        """Read what the device has now; a configuration without changes here is replaced by its newer version."""
        self.calls.run(self.client.overview, self._overviewRead, self._overviewUnread, "overview")

    def _overviewUnread(self, error: Exception) -> None:
        self._unread(error)
        self._readAgain()

    def _unread(self, error: Exception) -> None:
        if isinstance(error, NotReachable):
            since = self._state.since or dt.datetime.now()
            self._setState(ConnectionState(problem=str(error), detail=str(error), since=since))
            self._readAgain()
        else:
            self.failed.emit(str(error))

    def _readAgain(self) -> None:
        """The device may only have been slow: no event comes then that says that it is well again."""
        self._again.start(int(RETRY_SECONDS * 1000))

    def _overviewRead(self, overview: Overview) -> None:
        self.overview = overview
        if self._state.problem:  # it has answered just now
            self._state = ConnectionState(connected=True)
            self.connectionChanged.emit(self._state)
        self._parted(overview)
        self.overviewChanged.emit()
        if self.draft is None:
            wanted = overview.active or next(iter(overview.configs), "")
            if wanted in overview.configs:
                self.choose(wanted)
        elif self.draft.revision:
            self._readDraft(self.draft.name)

    def _parted(self, overview: Overview) -> None:
        """Drafts of configurations that somebody has deleted or renamed: those with changes are new ones now."""
        there = {name.lower() for name in overview.configs}
        for draft in list(self._drafts.values()):
            if not draft.revision or draft.name.lower() in there:
                continue
            if draft.changed:
                draft.saved((), "")
                self.failed.emit(
                    f"Somebody has deleted or renamed {draft.name}. Your version is still here: Save makes it anew."
                )
                self.draftChanged.emit()
            else:
                self.drop(draft.name)

    def names(self) -> list[str]:
        """The configurations of the device, and those that are only here so far."""
        there = list(self.overview.configs) if self.overview else []
        return [*there, *(name for name, draft in self._drafts.items() if not draft.revision and name not in there)]

    def unsaved(self) -> list[Draft]:
        """All drafts with changes."""
        return [draft for draft in self._drafts.values() if draft.changed]

    def choose(self, name: str) -> None:
        """Edit this configuration; changes in the one before stay."""
        known = self._drafts.get(name)
        if known is not None:
            self._show(known)
        if known is None or known.revision:
            self._readDraft(name)

    def _readDraft(self, name: str) -> None:
        self.calls.run(partial(self.client.config, name), self._draftRead, self._unread, "config")
        self.readHistory(name)

    def readHistory(self, name: str) -> None:
        self.calls.run(partial(self.client.history, name), partial(self._historyRead, name), self._unread, "history")

    def _historyRead(self, name: str, history: list[HistoryChange]) -> None:
        if self.draft is None or self.draft.name == name:
            self.history = history
            self.overviewChanged.emit()

    def _draftRead(self, stored: Stored) -> None:
        known = self._drafts.get(stored.name)
        if known is None or (not known.changed and known.base_lines != stored.lines):
            self._show(self._keep(Draft(stored.name, stored.lines, stored.revision)))
        elif known.base_lines != stored.lines and not self.saving:
            self.changedElsewhere.emit(SaveConflict(known, stored, ""))
        elif self.draft is None:
            self._show(known)

    def _keep(self, draft: Draft) -> Draft:
        self._drafts[draft.name] = draft
        return draft

    def _show(self, draft: Draft) -> None:
        if draft is not self.draft:
            self.history = self.history if self.draft and self.draft.name == draft.name else []
            self.draft = draft
            self.live, self._checked = {}, {}
        self.touched()

    def create(self, name: str, lines: Collection[str] = ()) -> None:
        """A configuration that is only here until it is saved."""
        draft = self._keep(Draft(name))
        if lines:
            draft.replace_all(list(lines), "start")
        self._show(draft)

    def drop(self, name: str) -> None:
        """Forget a draft, for example as its configuration was deleted or renamed."""
        self._drafts.pop(name, None)
        if self.draft is not None and self.draft.name == name:
            self.draft = None
            self.draftChanged.emit()

    # ------------------------------------------------------------------------ editing

    def change(self, call: Callable[[Draft], Any]) -> Any:
        """Change the draft; returns what the call returns."""
        if self.draft is None:
            return None
        found = call(self.draft)
        self.touched()
        return found

    def touched(self) -> None:
        """The rows are other ones: show them, read their values, and let the device check them."""
        draft = self.draft
        if draft is None:
            return
        keys = {row.key for row in draft.rows}
        self.live = {key: value for key, value in self.live.items() if key in keys}
        self._mergeFindings()
        self.draftChanged.emit()
        self._read()
        self._check.start(int(CHECK_DELAY_SECONDS * 1000))

    def mistakes(self) -> int:
        """The number of rows that the device would refuse."""
        return len(self.draft.mistakes()) if self.draft else 0

    def mappingKeys(self, row: DraftRow) -> list[str]:
        """The labels or states that the attribute of a row can have."""
        return mapping_keys(row.source, self._reader.described(row.source)) if row.source else []

    def ownUnit(self, row: DraftRow) -> str:
        """The attribute's own unit; "" if it has none, or it is not known."""
        described = self._reader.described(row.source) if row.source else None
        return described.units.get(row.source.rpartition("/")[2].lower(), "") if described else ""

    # ------------------------------------------------------------------ values and checks

    def _tick(self) -> None:
        if self.watched():
            self._read()

    def _read(self) -> None:
        if self._reading or self.draft is None:
            return
        rows = [(row.key, row.source, entry) for row in self.draft.rows if (entry := row.entry) is not None]
        if not rows:
            self._liveRead([], [])
            return
        self._reading = True
        reader, most = self._reader, self.overview.max_array if self.overview else 64
        self.calls.run(
            lambda: reader.read([entry for _, _, entry in rows], most),
            partial(self._liveRead, [(key, entry) for key, _, entry in rows]),
            self._readFailed,
            "live",
        )

    def _liveRead(self, rows: list[tuple[int, Any]], values: list[LiveValue]) -> None:
        self._reading = False
        if self.draft is None:
            return
        now = {row.key: row.entry for row in self.draft.rows}
        pairs = [(key, entry, value) for (key, entry), value in zip(rows, values, strict=True)]
        self.live = {key: value for key, entry, value in pairs if now.get(key) == entry}
        self.liveTime = dt.datetime.now()
        self.liveChanged.emit()
        if len(self.live) < sum(entry is not None for entry in now.values()):
            self._read()  # rows were changed meanwhile

    def _readFailed(self, error: Exception) -> None:
        self._reading = False
        self.failed.emit(f"the values of now cannot be read: {error}")

    def _validate(self) -> None:
        draft = self.draft
        if draft is None:
            return
        lines = draft.lines()
        if not lines:
            return
        self.calls.run(
            partial(self.client.validate, draft.name, lines),
            partial(self._validated, draft, lines),
            self._notValidated,
            "validate",
        )

    def _validated(self, draft: Draft, lines: list[str], answer: dict[str, Any]) -> None:
        if draft is self.draft and lines == draft.lines():
            found = device_findings(draft, answer)
            self._checked = {row.key: (row, found[row.key]) for row in draft.rows if row.key in found}
            self._mergeFindings()
            self.findingsChanged.emit()

    def _notValidated(self, error: Exception) -> None:
        if not isinstance(error, NotReachable):  # the status bar has the others
            self.failed.emit(f"SciDog cannot check the lines: {error}")

    def _mergeFindings(self) -> None:
        """What the device has found of a row is forgotten when the row changes."""
        rows = self.draft.rows if self.draft else ()
        self._checked = {
            row.key: self._checked[row.key] for row in rows if self._checked.get(row.key, (None,))[0] == row
        }
        self.findings = own_findings(self.draft) if self.draft else {}
        for key, (_, found) in self._checked.items():
            self.findings.setdefault(key, []).extend(found)

    # ---------------------------------------------------------------- the device's commands

    @property
    def saving(self) -> bool:
        """Whether the device has not answered yet to a `save`."""
        return self._saves > 0

    def save(self, draft: Draft, lines: list[str], revision: str | None = None, combined: bool = False) -> None:
        """Save these lines of a draft, over another revision if one is given.

        `combined`: with those of somebody else, so they are also put in place here.
        """
        based_on = draft.revision if revision is None else revision
        self._saves += 1

        def done(stored: Stored) -> None:
            self._saves -= 1
            if combined:
                draft.replace_all(stored.lines, "combine with the version of somebody else")
            draft.saved(stored.lines, stored.revision)
            self.done.emit(f"{draft.name} is saved. It is recorded from the next scan on, where it is in use.")
            self.touched()
            self.refresh()

        def failed(error: Exception) -> None:
            self._saves -= 1
            self.overviewChanged.emit()
            if isinstance(error, SavedMeanwhile):
                self._readTheirs(draft, str(error))
            else:
                self.failed.emit(f"{draft.name} was not saved. {error}")

        self.calls.run(partial(self.client.save, draft.name, lines, based_on), done, failed)
        self.overviewChanged.emit()

    def _readTheirs(self, draft: Draft, text: str) -> None:
        self.calls.run(
            partial(self.client.config, draft.name),
            lambda theirs: self.conflict.emit(SaveConflict(draft, theirs, text)),
            lambda error: self.failed.emit(text),  # it was deleted meanwhile: the text says so
            "theirs",
        )

    def takeTheirs(self, conflict: SaveConflict) -> None:
        """Their version in place of the changes here; undo brings them back."""
        conflict.draft.replace_all(conflict.theirs.lines, "take the version of somebody else")
        conflict.draft.saved(conflict.theirs.lines, conflict.theirs.revision)
        self.touched()

    def ask(self, call: Callable[[], Any], done: Callable[[Any], None], said: str = "") -> None:
        """Run a command of the device in a thread, then `done` with its result, and say this."""

        def answered(found: Any) -> None:
            done(found)
            if said:
                self.done.emit(said)
                self.refresh()

        def failed(error: Exception) -> None:
            expected = isinstance(error, NotReachable | Refused | OSError | ValueError)
            self.failed.emit(str(error) if expected else f"{type(error).__name__}: {error}")

        self.calls.run(call, answered, failed)
