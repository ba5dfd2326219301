"""The filters of the scan log: the bar above the table, and the query that follows from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from taurus.external.qt import Qt

from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.available_fields import proposals
from taurus_widgets.scanlog.data.conditions import ConditionError, NamedValue, TypedCondition, is_condition, parse
from taurus_widgets.scanlog.data.feed import problem_text
from taurus_widgets.scanlog.data.query import DatasetQuery, QueryCondition, Relation
from taurus_widgets.scanlog.data.timerange import Span, TimeRange
from taurus_widgets.scanlog.features.columns import Columns
from taurus_widgets.scanlog.parts.filter_bar import FilterBar, FromToDialog, now
from taurus_widgets.scanlog.view import LogView

TIME_CHECK_MS = 30_000
"""Time between checks whether the range of the last hours has moved."""


FIRST_ROWS_MS = 1_500
"""Delay of the list of proposals, so that the catalogue first answers with the rows."""


LAST_HOURS_STEP = dt.timedelta(minutes=10)
"""The last hours start at a multiple of this, so that the table is not read again all the time."""


class Filters(Qt.QObject):
    """Makes the query of the scan log from the bar, and shows the query in the bar."""

    def __init__(self, log: LogView, columns: Columns) -> None:
        super().__init__(log)
        self._log = log
        self._columns = columns
        self._range = TimeRange()
        self._typed: tuple[TypedCondition, ...] = ()
        self._set_times: tuple[dt.datetime | None, dt.datetime | None] = (None, None)  # of the last query
        self._current = self._visit = ""
        self._following = False
        self._proposalTimer = Qt.QTimer(self)
        self._proposalTimer.setSingleShot(True)
        self._proposalTimer.setInterval(FIRST_ROWS_MS)
        self._proposalTimer.timeout.connect(self._readProposals)
        self.bar = FilterBar(log)
        layout = log.layout()
        layout.insertWidget(layout.indexOf(log.toolBar) + 1, self.bar)
        self._fillProposals([])
        self._fillStatus()
        self._connect()
        self._key("Ctrl+F", lambda: (self.bar.search.setFocus(Qt.Qt.ShortcutFocusReason), self.bar.search.selectAll()))
        self._key("Ctrl+Shift+F", self.clearAll)
        self._key("Alt+T", self.bar.time.showPopup)
        self._key("Alt+P", lambda: (self.bar.proposal.setFocus(), self.bar.proposal.lineEdit().selectAll()))
        self._key("Alt+U", self.bar.status.showMenu)
        self.clock = Qt.QTimer(self)
        self.clock.timeout.connect(self._lookAtClock)
        self.clock.start(TIME_CHECK_MS)
        self._showQuery(log.query)

    def _connect(self) -> None:
        bar, log = self.bar, self._log
        bar.time.activated.connect(self._timeChosen)
        bar.proposal.activated.connect(self._proposalChosen)
        bar.proposal.lineEdit().returnPressed.connect(self._proposalTyped)
        bar.proposal.lineEdit().editingFinished.connect(self._showProposal)
        bar.search.returnPressed.connect(self._searchEntered)
        bar.cleared.connect(self.clearAll)
        bar.search.textEdited.connect(lambda: bar.say(""))
        log.queryChanged.connect(self._showQuery)
        log.proposalInUse.connect(self.setCurrentProposal)
        log.catalogueChanged.connect(lambda: self._fillProposals([]))
        log.catalogueChanged.connect(self._proposalTimer.start)

    def _key(self, keys: str, slot: Callable[[], object]) -> None:
        shortcut = Qt.QShortcut(Qt.QKeySequence(keys), self._log)
        shortcut.setContext(Qt.Qt.WidgetWithChildrenShortcut)
        shortcut.activated.connect(lambda: slot())

    # ------------------------------------------------------------------------- outside

    def setCurrentProposal(self, proposal: str, visit: str = "") -> None:
        """Set the active proposal of PathFixer, "" for none. A filter by the current proposal follows it."""
        if (proposal, visit) == (self._current, self._visit):
            return
        self._current, self._visit = proposal, visit
        self._fillProposals(self._proposals)
        self._proposalTimer.start()
        range_ = self._range
        if range_.span is Span.VISIT:
            range_ = replace(range_, visit=visit) if visit else TimeRange()
        following = self._following and bool(proposal)
        if following or range_ != self._range:
            self._range = range_
            self._apply(proposal=proposal if following else self._log.query.proposal)
            self._following = following
        self._showQuery(self._log.query)

    def clearAll(self) -> None:
        """Remove all filters. The order stays."""
        self._range, self._typed, self._following = TimeRange(), (), False
        self.bar.search.clear()
        self.bar.say("")
        self._apply(proposal="", status=(), text="")

    # ----------------------------------------------------------------------- the query

    def _apply(self, **changes: Any) -> None:
        where = tuple(typed.condition for typed in self._typed)
        self._set_times = begin, end = self._times()
        query = replace(self._log.query, where=(*where, *self._folder()), begin=begin, end=end, **changes)
        if query != self._log.query:
            self._log.setQuery(query)
        else:
            self._showQuery(query)

    def _times(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        time = now()
        return self._range.times(time - (time - dt.datetime.min.replace(tzinfo=time.tzinfo)) % LAST_HOURS_STEP)

    def _folder(self) -> tuple[QueryCondition, ...]:
        folder = self._range.folder
        return (QueryCondition("sourceFolder", Relation.CONTAINS, f"/{folder}/"),) if folder else ()

    def _lookAtClock(self) -> None:
        """Update the range only while the table is at the top without a selection: otherwise rows would disappear."""
        table = self._log.table
        busy = table.verticalScrollBar().value() or table.selectionModel().hasSelection()
        if self._range.moves and not busy and self._times()[0] != self._log.query.begin:
            self._apply()

    def _showQuery(self, query: DatasetQuery) -> None:
        """Show this query in the bar, also if something else has set it."""
        own = {typed.condition: typed for typed in self._typed}
        wanted = [condition for condition in query.where if condition not in self._folder()]
        self._typed = tuple(own.get(condition) or TypedCondition(condition, condition.field) for condition in wanted)
        if len(wanted) == len(query.where) and self._range.folder:
            self._range = TimeRange()
        if (query.begin, query.end) != self._set_times:
            span = Span.FROM_TO if query.begin or query.end else Span.ALL
            self._range = TimeRange(span, query.begin, query.end)
            self._set_times = query.begin, query.end
        self._following = self._following and query.proposal == self._current
        self.bar.time.setCurrentIndex(list(Span).index(self._range.span))
        visit = self.bar.time.model().item(list(Span).index(Span.VISIT))
        visit.setEnabled(bool(self._visit))
        visit.setToolTip(f"Visit {self._visit}" if self._visit else "PathFixer has no visit")
        self._showProposal()
        self._showStatus(query.status)
        self.bar.showChips(self._chips(query))

    def _chips(self, query: DatasetQuery) -> list[tuple[str, Callable[[], None]]]:
        chips: list[tuple[str, Callable[[], None]]] = []
        if self._range.span is not Span.ALL:
            chips.append((self._range.text, self._clearTime))
        if query.proposal:
            current = " (the current one)" if self._following else ""
            chips.append((f"Proposal {query.proposal}{current}", self._clearProposal))
        if query.status:
            chips.append((f"Status {' or '.join(query.status)}", lambda: self._apply(status=())))
        if query.text:
            chips.append((f"Text: {query.text}", lambda: self._apply(text="")))
        chips += [(typed.text, partial(self._removeTyped, typed)) for typed in self._typed]
        return chips

    def _removeTyped(self, typed: TypedCondition) -> None:
        self._typed = tuple(other for other in self._typed if other != typed)
        self._apply()

    # ---------------------------------------------------------------------------- time

    def _timeChosen(self, place: int) -> None:
        span = self.bar.time.itemData(place)
        if span is Span.FROM_TO:
            known = self._range if self._range.span is Span.FROM_TO else TimeRange()
            dialog = FromToDialog(known.begin, known.end, self._log)
            dialog.setAttribute(Qt.Qt.WA_DeleteOnClose)
            dialog.accepted.connect(lambda: self._setRange(dialog.range()))
            dialog.rejected.connect(lambda: self._showQuery(self._log.query))
            dialog.open()
        elif span is Span.VISIT:
            self._range = TimeRange(span, visit=self._visit)
            self._following = True
            self._apply(proposal=self._current)
            self._following = True
            self._showQuery(self._log.query)
        else:
            self._setRange(TimeRange(span))

    def _setRange(self, range_: TimeRange) -> None:
        self._range = range_
        self._apply()

    def _clearTime(self) -> None:
        self._setRange(TimeRange())

    # ------------------------------------------------------------------------ proposal

    def _readProposals(self) -> None:
        scicat = self._log.scicat
        if scicat is not None:
            self._log.calls.run(lambda: proposals(scicat), self._fillProposals, self._proposalsUnknown, key="proposals")

    def _proposalsUnknown(self, error: Exception) -> None:
        self.bar.proposal.setToolTip(tooltip(f"{problem_text(error)}: type the number of a proposal (Alt+P)"))

    def _fillProposals(self, listed: list[str]) -> None:
        self._proposals = listed
        box, typed = self.bar.proposal, self.bar.proposal.currentText()
        box.clear()
        box.addItem("All proposals", "")
        if self._current:
            box.addItem(f"Current: {self._current}", None)
        for proposal in listed:
            box.addItem(proposal, proposal)
        self._showProposal()
        if box.lineEdit().hasFocus():
            box.setEditText(typed)  # the user is typing

    def _showProposal(self) -> None:
        box, proposal = self.bar.proposal, self._log.query.proposal
        place = box.findData(None) if self._following else box.findData(proposal)
        box.setCurrentIndex(place)
        if place < 0:
            box.setEditText(proposal)

    def _proposalChosen(self, place: int) -> None:
        chosen = self.bar.proposal.itemData(place)
        self._setProposal(self._current if chosen is None else chosen, following=chosen is None)

    def _proposalTyped(self) -> None:
        typed = self.bar.proposal.currentText().strip()
        place = self.bar.proposal.findText(typed)
        if place >= 0:
            self._proposalChosen(place)
        else:
            self._setProposal(typed)
        self._log.table.setFocus()

    def _setProposal(self, proposal: str, following: bool = False) -> None:
        self._following = following
        self._apply(proposal=proposal)

    def _clearProposal(self) -> None:
        if self._range.span is Span.VISIT:
            self._range = TimeRange()
        self._setProposal("")

    # -------------------------------------------------------------------------- status

    def _fillStatus(self) -> None:
        menu = self.bar.status.menu()
        for word in cols.GLYPHS:
            action = menu.addAction(f"{cols.GLYPHS[word]} {word}")
            action.setData(word)
            action.setCheckable(True)
            action.triggered.connect(self._statusChosen)
        menu.addSeparator()
        menu.addAction("All").triggered.connect(lambda: self._apply(status=()))

    def _statusChosen(self) -> None:
        chosen = [action.data() for action in self.bar.status.menu().actions() if action.isChecked()]
        self._apply(status=tuple(chosen) if len(chosen) < len(cols.GLYPHS) else ())

    def _showStatus(self, status: tuple[str, ...]) -> None:
        for action in self.bar.status.menu().actions():
            if action.isCheckable():
                action.setChecked(action.data() in status)
        some = status[0] if len(status) == 1 else f"{len(status)} of {len(cols.GLYPHS)}"
        self.bar.status.setText(f"Status: {some}" if status else "Any status")

    # -------------------------------------------------------------------------- search

    def _searchEntered(self) -> None:
        text = self.bar.search.text().strip()
        if not text:
            self._log.table.setFocus()
            return
        if not is_condition(text):
            self.bar.search.clear()
            self._apply(text=text)
            return
        try:
            found = parse(self.bar.search.text(), self._namedValues())
        except ConditionError as error:
            wrong = self.bar.search.text()[error.begin : error.end]
            self.bar.say(f"At \u201c{wrong}\u201d: {error}.")
            self.bar.search.setSelection(error.begin, error.end - error.begin)
            return
        self.bar.search.clear()
        self._typed = (*self._typed, *(typed for typed in found if typed not in self._typed))
        self._apply()

    def _namedValues(self) -> list[NamedValue]:
        """The catalogue's values except the default fields, which `parse` already knows."""
        usual = {column.key for column in cols.default_columns()}
        return [found.known for found in self._columns.available.found.values() if found.key not in usual]
