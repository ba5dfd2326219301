"""What has to be done without anybody writing anything: after a restart, at midnight, and when something is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sdm.folders import FolderError
from sdm.layout import AUTO_VISIT, NameRefused
from sdm.office import OfficeError
from tango_servers.common.condition import then
from tango_servers.pathfixer.locking import Busy
from tango_servers.pathfixer.running_scans import Scans
from tango_servers.pathfixer.selection import Chooser, InUse

RETRY = 10.0
"""Seconds between tries while something is wrong."""

AGAIN = 60.0
"""Seconds between looks at the storage and questions to the office while all is well."""

SCAN = 5.0
"""Seconds between looks whether the scan is over that keeps the visit from changing."""

REFUSALS = (OfficeError, NameRefused, FolderError, Busy)


@dataclass(frozen=True)
class Said:
    """What is wrong with what is in use, all of one moment: each "" or a sentence.

    `silent` are sentences on the Doors that did not say whether a scan runs when the visit or the path changed.
    `proposals` are those of the beamline, as the office has them.
    """

    not_restored: str = ""
    storage: str = ""
    closed: str = ""
    office: str = ""
    listing: str = ""
    visit: str = ""
    later: str = ""
    moving: str = ""
    silent: tuple[str, ...] = ()
    proposals: tuple[str, ...] = ()


class Upkeep:
    """Keeps right what is in use, and has `said` what is wrong. `work` is to be called every second, by one thread.

    `in_use` says what that is, `scans` what runs. `replace` puts another in its place, unless it has
    changed in the meantime, and calls `took` in the same moment. `warn` is told of Doors that do not answer.
    """

    def __init__(
        self,
        chooser: Chooser,
        scans: Callable[[], Scans],
        in_use: Callable[[], InUse],
        replace: Callable[[InUse, InUse], None],
        warn: Callable[[str], None],
    ) -> None:
        self._chooser = chooser
        self._scans = scans
        self._in_use = in_use
        self._replace = replace
        self._warn = warn
        self._again_at = self._visit_at = 0.0
        self._list_at = 0.0
        self._saying = threading.Lock()
        self.said = Said()

    def say(self, **texts: Any) -> None:
        """Fields of `Said` that are others now, all in one moment."""
        with self._saying:
            self.said = replace(self.said, **texts)

    def restored(self, now: InUse) -> InUse:
        """What was in use before a restart, made anew. Raises one of REFUSALS."""
        if now.by_hand:  # it stays until somebody writes another, and so does the visit
            return self._chooser.by_hand(self._chooser.same_visit(now, now.sample).reach(), now.by_hand).reach()
        target = self._chooser.target(now, now.number, now.wanted_visit, now.sample)
        silent: tuple[str, ...] = ()
        if now.visit and (target.moves or target.visit != now.visit):
            scans = self._scans()
            silent = scans.silent
            if scans.running:
                return self._chooser.as_before(now)  # the scan's files are there
        found = target.reach()
        what = f"the path became {found.path}" if found.visit == now.visit else f"the visit became {found.visit}"
        self._not_known(what, silent)
        return found

    def changed(self) -> None:
        """A client has changed what is in use: what was wrong before is over."""
        self.say(not_restored="", storage="", visit="", later="", moving="", silent=())
        self._again_at = time.monotonic() + self._patience()
        self._list_at = 0.0

    def took(self, now: InUse) -> None:
        """What `replace` was called with is in use: what kept it from being so is over."""
        self.say(not_restored="", storage="", moving="")
        if now.visit == self._chooser.visit_due(now):
            self.say(visit="", later="")

    def soon(self) -> None:
        """Look again with the next call of `work`."""
        self._again_at = self._visit_at = 0.0

    def work(self) -> None:
        if time.monotonic() >= self._again_at:
            self._again()
        if not self.said.not_restored:
            self._follow_the_date()
        if time.monotonic() >= self._list_at:
            self._list()

    def _again(self) -> None:
        now = self._in_use()
        restoring = bool(self.said.not_restored)
        not_restored = storage = closed = office = moving = ""
        try:
            if restoring:
                self._replace(now, self.restored(now))
            else:
                moving = self._renewed(now)
        except REFUSALS as error:
            if restoring:
                not_restored = str(error)
            elif isinstance(error, FolderError):
                storage = str(error)
            elif not isinstance(error, Busy):
                office = str(error)
        try:
            if not storage and not not_restored:
                closed = self._chooser.closed(self._in_use())
        except FolderError as error:
            storage = str(error)
        if self._in_use().number == now.number:  # else it is of what was there before
            self.say(not_restored=not_restored, storage=storage, closed=closed, office=office, moving=moving)
        self._again_at = time.monotonic() + self._patience()

    def _renewed(self, now: InUse) -> str:
        """Use what the office says now; why not yet, if a scan runs whose data would go to two places."""
        target = self._chooser.again(now)
        scans = self._scans() if target.moves else Scans()
        if scans.running:
            return (
                f"The office has given proposal {now.number} another category: its path changes when the scan is "
                f"over: {'; '.join(scans.running)}"
            )
        found = target.reach()
        if found != now:
            self._replace(now, found)
        if target.moves:
            self._not_known(f"the path became {found.path}", scans.silent)
        return ""

    def _patience(self) -> float:
        """Seconds until the office and the storage are looked at again."""
        old, said = self._in_use().proposal, self.said
        trouble = (said.not_restored, said.storage, said.closed, said.office, said.moving, old and old.as_of)
        return RETRY if any(trouble) else AGAIN

    def _follow_the_date(self) -> None:
        now = self._in_use()
        due = self._chooser.visit_due(now)
        if due == now.visit:
            self.say(visit="", later="")
            return
        if now.by_hand:
            self.say(
                later=f"The visit stays {now.visit}, since Path was set by hand: write Visit or Sample to go on to "
                f"{due}"
            )
            return
        if time.monotonic() < self._visit_at:
            return
        self._visit_at = time.monotonic() + SCAN
        scans = self._scans()
        if scans.running:
            self.say(later=f"The visit becomes {due} when the scan is over: {'; '.join(scans.running)}")
            return
        try:
            self._replace(now, self._chooser.target(now, now.number, AUTO_VISIT, now.sample).reach())
            self.say(visit="", later="")
            self._not_known(f"the visit became {due}", scans.silent)
        except REFUSALS as error:
            self.say(
                visit=then(f"The visit of today, {due}, cannot be begun: {error}", f"Trying again every {SCAN:.0f} s")
            )

    def _not_known(self, what: str, silent: tuple[str, ...]) -> None:
        sentences = tuple(f"When {what}, it was not known whether a scan runs: {one}" for one in silent)
        self.say(silent=sentences)
        for one in sentences:
            self._warn(one)

    def _list(self) -> None:
        """The list of proposals is only an aid to people, so nothing waits for it."""
        try:
            self.say(proposals=tuple(self._chooser.proposals()), listing="")
        except OfficeError as error:
            self.say(listing=str(error))
        self._list_at = time.monotonic() + (RETRY if self.said.listing else AGAIN)
