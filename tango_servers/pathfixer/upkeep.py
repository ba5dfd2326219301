"""What PathFixer does without a client's request: after a restart, at midnight, and when office or storage are back."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sdm.folders import FolderError
from sdm.names import AUTO_VISIT, NameRefused
from sdm.office import OfficeError
from tango_servers.common.condition import join_sentences
from tango_servers.pathfixer.locking import Busy
from tango_servers.pathfixer.running_scans import RunningScans
from tango_servers.pathfixer.selection import Selection, Selector

UPKEEP_RETRY_SECONDS = 10.0
"""Time between attempts while something is wrong."""

UPKEEP_CHECK_SECONDS = 60.0
"""Time between checks of the storage, and between questions to the office, while all is well."""

SCAN_CHECK_SECONDS = 5.0
"""Time between checks whether the scan that delays a new visit has finished."""

REFUSALS = (OfficeError, NameRefused, FolderError, Busy)


@dataclass(frozen=True)
class UpkeepReport:
    """What is wrong with what is in use, all at the same moment: each "" or a sentence.

    `not_restored`: why it could not be restored after a restart. `unwritable`: folders that cannot be written to.
    `listing`: why the proposals could not be listed. `visit`: why today's visit could not be started.
    `visit_waits` and `path_waits`: what a change of the visit, or of the path, waits for.
    `unanswered_doors` are sentences on the Doors that did not answer when the visit or the path changed.
    `proposals` are those of the beamline, as the office lists them.
    """

    not_restored: str = ""
    storage: str = ""
    unwritable: str = ""
    office: str = ""
    listing: str = ""
    visit: str = ""
    visit_waits: str = ""
    path_waits: str = ""
    unanswered_doors: tuple[str, ...] = ()
    proposals: tuple[str, ...] = ()


class Upkeep:
    """Keeps what is in use valid, and says in `report` what is wrong. One thread calls `run` every second.

    `in_use` returns what is in use, `scans` what is running. `replace` puts another selection in its place, unless it
    has changed in the meantime, and calls `selection_replaced` at the same moment. `warn` gets a sentence for each
    Door that does not answer.
    """

    def __init__(
        self,
        selector: Selector,
        scans: Callable[[], RunningScans],
        in_use: Callable[[], Selection],
        replace: Callable[[Selection, Selection], None],
        warn: Callable[[str], None],
    ) -> None:
        self._selector = selector
        self._scans = scans
        self._in_use = in_use
        self._replace = replace
        self._warn = warn
        self._next_check = self._next_visit_check = 0.0
        self._next_listing = 0.0
        self._report_lock = threading.Lock()
        self.report = UpkeepReport()

    def update_report(self, **fields: Any) -> None:
        """Change these fields of the report, all at the same moment."""
        with self._report_lock:
            self.report = replace(self.report, **fields)

    def restore(self, now: Selection) -> Selection:
        """Prepare again what was in use before a restart. Raises one of REFUSALS."""
        if now.by_hand:  # it stays until a client writes another one, and so does the visit
            return self._selector.change_path(
                self._selector.change_sample(now, now.sample).prepare(), now.by_hand
            ).prepare()
        change = self._selector.change_to(now, now.number, now.wanted_visit, now.sample)
        unanswered: tuple[str, ...] = ()
        if now.visit and (change.moves or change.visit != now.visit):
            scans = self._scans()
            unanswered = scans.unanswered
            if scans.running:
                return self._selector.as_before(now)  # the scan's files are there
        found = change.prepare()
        what = f"the path became {found.path}" if found.visit == now.visit else f"the visit became {found.visit}"
        self._report_unanswered(what, unanswered)
        return found

    def selection_written(self) -> None:
        """A client has changed what is in use: earlier problems no longer apply."""
        self.update_report(not_restored="", storage="", visit="", visit_waits="", path_waits="", unanswered_doors=())
        self._next_check = time.monotonic() + self._check_interval()
        self._next_listing = 0.0

    def selection_replaced(self, now: Selection) -> None:
        """The selection that `replace` was called with is in use: what had delayed it no longer applies."""
        self.update_report(not_restored="", storage="", path_waits="")
        if now.visit == self._selector.visit_due(now):
            self.update_report(visit="", visit_waits="")

    def check_soon(self) -> None:
        """Check again with the next call of `run`."""
        self._next_check = self._next_visit_check = 0.0

    def run(self) -> None:
        if time.monotonic() >= self._next_check:
            self._next_check = math.inf  # not at the end: what `check_soon` says meanwhile is for the next check
            self._check()
        if not self.report.not_restored:
            self._follow_date()
        if time.monotonic() >= self._next_listing:
            self._next_listing = math.inf
            self._list_proposals()

    def _check(self) -> None:
        now = self._in_use()
        restoring = bool(self.report.not_restored)
        not_restored = storage = unwritable = office = path_waits = ""
        try:
            if restoring:
                self._replace(now, self.restore(now))
            else:
                path_waits = self._refresh(now)
        except REFUSALS as error:
            if restoring:
                not_restored = str(error)
            elif isinstance(error, FolderError):
                storage = str(error)
            elif not isinstance(error, Busy):
                office = str(error)
        try:
            if not storage and not not_restored:
                unwritable = self._selector.unwritable(self._in_use())
        except FolderError as error:
            storage = str(error)
        if self._in_use().number == now.number:  # otherwise it concerns the proposal before
            self.update_report(
                not_restored=not_restored, storage=storage, unwritable=unwritable, office=office, path_waits=path_waits
            )
        self._next_check = min(self._next_check, time.monotonic() + self._check_interval())

    def _refresh(self, now: Selection) -> str:
        """Use the office's current answer; returns why not yet, if a running scan's data would go to two places."""
        change = self._selector.refresh(now)
        scans = self._scans() if change.moves else RunningScans()
        if scans.running:
            return (
                f"The user office has changed the category of proposal {now.number}: its path changes when the scan "
                f"has finished: {'; '.join(scans.running)}"
            )
        found = change.prepare()
        if found != now:
            self._replace(now, found)
        if change.moves:
            self._report_unanswered(f"the path became {found.path}", scans.unanswered)
        return ""

    def _check_interval(self) -> float:
        """Seconds until the next check of the office and the storage."""
        proposal, report = self._in_use().proposal, self.report
        trouble = (report.not_restored, report.storage, report.unwritable, report.office, report.path_waits)
        return UPKEEP_RETRY_SECONDS if any(trouble) or (proposal and proposal.as_of) else UPKEEP_CHECK_SECONDS

    def _follow_date(self) -> None:
        now = self._in_use()
        due = self._selector.visit_due(now)
        if due == now.visit:
            self.update_report(visit="", visit_waits="")
            return
        if now.by_hand:
            self.update_report(
                visit_waits=f"The visit stays {now.visit} because Path was set by hand: write Visit or Sample to "
                f"change to {due}"
            )
            return
        if time.monotonic() < self._next_visit_check:
            return
        self._next_visit_check = time.monotonic() + SCAN_CHECK_SECONDS
        scans = self._scans()
        if scans.running:
            self.update_report(
                visit_waits=f"The visit becomes {due} when the scan has finished: {'; '.join(scans.running)}"
            )
            return
        try:
            self._replace(now, self._selector.change_to(now, now.number, AUTO_VISIT, now.sample).prepare())
            self.update_report(visit="", visit_waits="")
            self._report_unanswered(f"the visit became {due}", scans.unanswered)
        except REFUSALS as error:
            why = f"The visit of today, {due}, cannot be started: {error}"
            self.update_report(visit=join_sentences(why, f"Retrying every {SCAN_CHECK_SECONDS:.0f} s"))

    def _report_unanswered(self, what: str, doors: tuple[str, ...]) -> None:
        sentences = tuple(f"When {what}, it was unknown whether a scan was running: {one}" for one in doors)
        self.update_report(unanswered_doors=sentences)
        for sentence in sentences:
            self._warn(sentence)

    def _list_proposals(self) -> None:
        """The list of proposals only helps people, so nothing waits for it."""
        try:
            self.update_report(proposals=tuple(self._selector.proposals()), listing="")
        except OfficeError as error:
            self.update_report(listing=str(error))
        wait = UPKEEP_RETRY_SECONDS if self.report.listing else UPKEEP_CHECK_SECONDS
        self._next_listing = min(self._next_listing, time.monotonic() + wait)
