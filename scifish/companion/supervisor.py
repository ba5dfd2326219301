"""Supervision of all datasets of a program and of orphaned spools: the loop, housekeeping and shutdown.

It runs in the companion process, and in `scifish flush`. What a command of the program says is on disk
already, or will be as soon as the disk accepts it. A lost command does no harm: the dataset is found in the spool.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from scifish.companion.finalizer import Finalizer
from scifish.companion.lifecycle import DatasetLifecycle, DatasetState
from scifish.companion.orphans import AdoptionRule, OrphanSpools, closing_record
from scifish.companion.scidog_reports import MEGABYTE, ScidogReporter, shortage
from scifish.native import Future, threading
from scifish.settings import Settings
from scifish.settings.sources import SettingsSource, identity_of
from scifish.spool.database import LeftSpool, OpenDataset, Spool
from scifish.spool.executor import SpoolExecutor
from scifish.spool.protocol import (
    Announce,
    Begin,
    Command,
    DamageReport,
    End,
    LimitReport,
    Report,
    TroubleReport,
    Wake,
)
from scifish.spool.requests import take_resend_request
from scifish.spool.sender import Sender
from scifish.spool.withheld import WithheldDatasets
from scifish.tango_io.executors import ThreadPool

log = logging.getLogger(__name__)

SUPERVISION_SECONDS = 1.0
"""Seconds between two turns of the loop."""

UNSENT_SETTINGS_CHECK_SECONDS = 5.0
"""Seconds between two reads of the settings while Kafka does not accept messages."""

FIRST_ORPHAN_CHECK_SECONDS = 10.0
MAX_ORPHAN_CHECK_SECONDS = 300.0
"""Seconds between the first two checks for orphaned spools, and at most between later ones.

The companion of a killed program still runs for some seconds when its successor checks for the first time.
"""

SETTINGS_CHECK_SECONDS = 30.0
"""Seconds between two reads of the settings: what is wrong in them is reported also while nothing is recorded."""

MAX_WORKERS = 8
"""Datasets whose values are read, or whose messages are composed, at the same time."""

SPOOL_REPLY_SECONDS = 2.0
"""Seconds to wait for an answer from the disk; and at the shutdown, for what is known to be in trouble."""

MAX_SHUTDOWN_DISK_WAIT_SECONDS = 600.0
"""Seconds that the shutdown waits for a disk that refuses: what is in memory is nowhere else."""

THREAD_STOP_SECONDS = 1.0
"""Seconds for each thread to end."""

MIN_FLUSH_CHECK_SECONDS = 30.0
"""Seconds that a flush waits at least for the first check of the spools: before it, nothing seems to be left."""


class Supervisor:
    """Looks after the spool of one program, and after orphaned spools."""

    def __init__(
        self,
        settings: SettingsSource,
        spool: Spool | None,
        folders: Sequence[Path],
        report: Callable[[Report], None],
        executor: SpoolExecutor | None = None,
        unidentified: bool = False,
    ) -> None:
        """Start to send what `spool` holds, and to take over the orphaned spools in `folders`.

        `report` sends a report to the program, see `scifish.recording.session`; `executor` does the disk's work.
        `unidentified`: take over also spools that do not say under which settings they were recorded.
        """
        self._settings = settings
        self._spool = spool
        self._report = report
        self._pool = ThreadPool("scifish-work", MAX_WORKERS)
        self.executor = executor or SpoolExecutor(spool.path.parent if spool is not None else next(iter(folders), None))
        if spool is not None:  # that of the first program on this machine was not there before
            folders = [*folders, spool.path.parent]
        rule = AdoptionRule(settings, unidentified)
        self._sender = Sender(self.executor, settings.known, spool, lambda other, used: not rule.refusal(other, used))
        finalizer = Finalizer(self.executor, self._sender, WithheldDatasets(folders))
        self._identity = identity_of(settings)
        self._saved_identity = spool.identity if spool is not None else None
        self._reporter = ScidogReporter(spool.origin) if spool is not None else None
        self._lifecycle = DatasetLifecycle(
            spool, self.executor, self._pool, self._sender, finalizer, settings, self._reporter, report, folders
        )
        self._orphans = OrphanSpools(
            self.executor, self._sender, finalizer, folders, rule, settings.known, self._lifecycle.late_proposals
        )
        self._stopping = threading.Event()
        self._reported_trouble = ""
        self._saved_trouble: tuple[str, dict[Spool, int]] = ("", {})  # and in which files, by their inodes
        self._next_settings_check = 0.0
        self._limit = 0
        self._shortage = ""
        self._request_check: Future[None] | None = None
        self._file_check: Future[None] | None = None
        self._damaged = 0  # the inode of the damaged file that the program knows of
        self._next_settings = 0.0
        self._next_orphan_check = 0.0
        self._orphan_check_seconds = FIRST_ORPHAN_CHECK_SECONDS
        if spool is not None:
            spool.open_rows = self._lifecycle.open_rows
        self.executor.on_damage = self._on_damage
        self._lifecycle.report_last_place()
        self._sender.start()
        self._read_spool()
        threading.Thread(target=self._run, name="scifish-pulse", daemon=True).start()

    # ------------------------------------------------------------ commands of the program

    def handle(self, command: Command) -> None:
        """Handle a command of the program. It may arrive twice or get lost: the spool has it too."""
        match command:
            case Wake():
                self._sender.wake()
            case Begin(row):
                begun = self._lifecycle.begin(row.record())
                if begun is not None and row.announced:
                    self._lifecycle.announce(begun)
            case Announce(uuid, given):
                if (state := self._updated(uuid, given)) is not None:
                    self._lifecycle.announce(state)
            case End(uuid, ending, given):
                if (state := self._updated(uuid, given)) is not None:
                    self._lifecycle.end(state, json.loads(ending))

    def _updated(self, uuid: str, given: str | None) -> DatasetState | None:
        """The dataset, with what the program gives now; None if it is not known: then it is found in the spool."""
        state = self._lifecycle.get(uuid)
        if state is not None and given is not None and state.record.ending is None:
            state.record.given = json.loads(given)
        return state

    def _read_spool(self) -> None:
        """Handle what is in the program's spool but did not come through the pipe."""
        spool, lifecycle = self._spool, self._lifecycle
        if spool is None or self.executor.trouble:
            return
        unheard: set[str] = set()
        for uuid, announced, ended in self.executor.submit(spool.open_states).result(SPOOL_REPLY_SECONDS):
            known = lifecycle.get(uuid)
            finished = lifecycle.finished(uuid)
            if finished:
                self.executor.submit_urgent(lambda uuid=uuid: spool.forget(uuid))  # type: ignore[misc]
            elif finished is None and (known is None or (ended and known.record.ending is None)):
                unheard.add(uuid)
            elif known is not None and announced:
                lifecycle.announce(known)
        for row in self._open_datasets(spool, unheard) if unheard else ():
            state = lifecycle.begin(row.record) or lifecycle.get(row.record.uuid)
            if row.record.uuid in unheard and state is not None:
                if row.announced:
                    lifecycle.announce(state)
                if row.record.ending is not None and state.record.ending is None:
                    state.record.given = row.record.given
                    lifecycle.end(state, row.record.ending)

    def _open_datasets(self, spool: Spool, only: set[str] | None = None) -> list[OpenDataset]:
        return self.executor.submit(lambda: spool.open_datasets(only)).result(SPOOL_REPLY_SECONDS)

    # ------------------------------------------------------------- loop and housekeeping

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._supervise()
            except TimeoutError:
                pass  # as in `_check_room`
            except Exception:
                log.exception("the companion cannot look after its datasets")
            self._stopping.wait(SUPERVISION_SECONDS)

    def _supervise(self) -> None:
        settings = self._settings.known()
        if self._spool is not None and (self._file_check is None or self._file_check.done()):
            self._file_check = self._follow_file(self._spool)
        self._follow_identity()
        if settings is not None and self._spool is not None:
            self._check_room(self._spool, settings.spool_limit * MEGABYTE)
        self._report_trouble(settings)
        self._handle_requests()
        if (self._sender.trouble or self._sender.refusal) and time.monotonic() > self._next_settings:
            # A corrected address is used while messages wait, and not at the next scan only.
            self._next_settings = time.monotonic() + UNSENT_SETTINGS_CHECK_SECONDS
            self._pool.submit(self._settings.now)
        if time.monotonic() > self._next_orphan_check:
            self._next_orphan_check = time.monotonic() + self._orphan_check_seconds
            self._orphan_check_seconds = min(2 * self._orphan_check_seconds, MAX_ORPHAN_CHECK_SECONDS)
            self._pool.submit(self._adopt)
        if settings is not None:
            self._orphans.retry_unfinished()
            self._lifecycle.retry_waiting()
        if settings is None or time.monotonic() > self._next_settings_check:
            self._next_settings_check = time.monotonic() + SETTINGS_CHECK_SECONDS
            self._settings.now()
        self._read_spool()

    def _follow_file(self, spool: Spool) -> Future[None]:
        """If the program has started a new spool file, use it, with what only this process knows."""

        def follow() -> None:
            if spool.follow():
                self._sender.read_again()

        return self.executor.submit_urgent(follow)

    def _on_damage(self) -> bool:
        """In the executor's thread: a spool is damaged. Whether it was another program's, which is put aside."""
        if self._spool is not None and self._spool.damage:
            self._replace_damaged(self._spool)
        damaged = [spool for spool in self._sender.spools if spool.damage and spool is not self._spool]
        for spool in damaged:
            spool.put_aside()
        return bool(damaged)

    def _replace_damaged(self, spool: Spool) -> None:
        """The program starts a new file in place of its own damaged one; if it is gone, this process does so."""
        if not spool.shared:
            try:
                spool.start_new_file(sqlite3.DatabaseError(spool.damage))
                self._sender.read_again()
            except (sqlite3.Error, OSError) as refused:
                log.error("no new file can be made for the damaged spool %s: %s", spool.path, refused)
        elif self._damaged != spool.inode:
            self._damaged = spool.inode
            self._report(DamageReport(spool.damage, spool.inode))

    def _follow_identity(self) -> None:
        """Write into the spool under which settings it is recorded now, and check with new ones what is orphaned."""
        identity, spool = identity_of(self._settings), self._spool
        if spool is not None and identity != self._saved_identity:
            self._saved_identity = identity
            self.executor.submit_retrying(lambda: spool.save_identity(identity))
        if identity != self._identity:
            self._identity = identity
            self._next_orphan_check = 0.0

    def _handle_requests(self) -> None:
        """Do what `scifish resend` asks for, without waiting for the disk."""
        if self._request_check is None or self._request_check.done():
            self._request_check = self.executor.submit(self._take_requests)

    def _take_requests(self) -> None:
        self._orphans.look_for_damaged()
        for spool in self._sender.spools:
            if take_resend_request(spool.path):
                self._sender.retry_refused()

    def _adopt(self) -> None:
        self._settings.now()
        self._orphans.take_over()

    def _report_trouble(self, settings: Settings | None) -> None:
        trouble = "; ".join(filter(None, (self.trouble(), self._settings.trouble)))
        if trouble != self._reported_trouble:
            self._reported_trouble = trouble
            self._report(TroubleReport(trouble))
        waits = "; ".join(filter(None, (self._sender.trouble, self._unknown_proposals(), self._late_annotations())))
        files = {spool: spool.inode for spool in self._sender.spools}
        if (waits, files) != self._saved_trouble:
            self._saved_trouble = waits, files
            self._save_trouble(waits)
        if settings is not None and self._reporter is not None:
            self._reporter.report_trouble(settings.scidog, trouble)
            self._reporter.report_snapshot(settings.scidog)

    def _save_trouble(self, trouble: str) -> None:
        """For `scifish status`, also in the spools that are adopted."""
        for spool in self._sender.spools:
            self.executor.submit(lambda spool=spool: spool.save_trouble(trouble))  # type: ignore[misc]

    def _check_room(self, spool: Spool, limit: int) -> None:
        if limit != self._limit:
            self._limit = limit
            self.executor.submit_urgent(lambda: spool.set_limit(limit))
            self._report(LimitReport(limit))
        try:
            size = self.executor.submit(spool.size).result(SPOOL_REPLY_SECONDS)
            self._shortage = shortage(spool.path.parent, size, limit)
        except (OSError, sqlite3.Error) as error:
            if not isinstance(error, TimeoutError):  # it is busy; where it hangs, `SpoolExecutor.trouble` has it
                self._shortage = f"the disk of the spool ({spool.path.parent}) does not answer: {error}"

    @property
    def left(self) -> list[LeftSpool]:
        """The spools of other programs that this process must not send, or cannot."""
        return self._orphans.left

    def trouble(self) -> str:
        """A text for people when messages may not be sent; "" if all is well."""
        return (
            self._own_trouble()
            or self.executor.lost
            or "; ".join(f"the spool {each.path} is not sent: {each.why}" for each in self.left)
        )

    def _own_trouble(self) -> str:
        """The same without the spools of others."""
        if self.executor.trouble:
            return self.executor.warning
        if self._shortage:
            return self._shortage
        if unknown := self._unknown_proposals():
            return unknown
        why = "; ".join(filter(None, (self._sender.trouble, self._sender.refusal)))
        if why:
            return f"metadata are kept on this machine until Kafka accepts them ({why})"
        return self._late_annotations()

    def _late_annotations(self) -> str:
        late = self._lifecycle.late_annotations() + self._orphans.late_annotations()
        return f"{late} annotations wait until their datasets are sent (see: scifish status)" if late else ""

    def _unknown_proposals(self) -> str:
        """How many datasets wait for their proposal, and the PathFixers that know it; "" if none."""
        settings, waiting = self._settings.known(), Counter(self._orphans.without_proposal())
        if settings is not None:
            waiting[settings.path_fixer] += self._lifecycle.without_proposal(settings)
        waiting = +waiting
        if not waiting:
            return ""
        return (
            f"{waiting.total()} datasets wait on this machine until {', '.join(waiting)} answers: their proposal is "
            "not known (SendWithoutProposal, RememberProposalDays)"
        )

    # ------------------------------------------------------------------ flush, shutdown

    def flush(self, timeout: float, progress: Callable[[int], None]) -> int:
        """Send all waiting messages, for at most `timeout` seconds; returns how many are left, or refused by Kafka.

        Refused messages are tried once more each. `progress` is called with the number of messages that are left,
        several times a second.
        """
        deadline = time.monotonic() + timeout
        if not self._orphans.checked.wait(max(timeout, MIN_FLUSH_CHECK_SECONDS)):
            log.error("the spools cannot be checked: the disk is slow or hangs")
        while (left := self._left()) and time.monotonic() < deadline:
            progress(left)
            self._stopping.wait(0.2)
        while self._sender.refused() and not self._sender.refused_tried and time.monotonic() < deadline:
            self._stopping.wait(0.2)
        if left:
            self._save_trouble(self._sender.trouble or f"Kafka has not accepted them within {timeout:g} s")
        return left + self._sender.refused()

    def _left(self) -> int:
        """How many messages, and datasets whose last message is not composed, Kafka does not have."""
        unchecked = 0 if self._orphans.checked.is_set() else 1
        return unchecked + self._sender.waiting() + self._orphans.unfinished + len(self._lifecycle.datasets)

    def shut_down(self, timeout: float, finish: bool) -> None:
        """Send what can be sent in `timeout` seconds, and release all spools.

        `finish` says that the program is gone: its open datasets are over, and nobody else needs its spool.
        """
        start = time.monotonic()
        self._stopping.set()
        self._lifecycle.skip_delays()
        if finish and self._spool is not None:
            self._spool.shared = False
            self._follow_file(self._spool)  # the last new file that the program has started
        if finish:
            self._interrupt()
        while self._is_busy(finish):
            waited = time.monotonic() - start
            hopeless = bool(self._own_trouble()) or self._settings.known() is None
            if self.executor.trouble and finish and timeout > SPOOL_REPLY_SECONDS:
                if waited > MAX_SHUTDOWN_DISK_WAIT_SECONDS:
                    break
            elif waited > timeout or (waited > SPOOL_REPLY_SECONDS and hopeless):
                break
            time.sleep(0.02)
        self._pool.stop()
        self._lifecycle.close()
        self._sender.stop(THREAD_STOP_SECONDS)
        self.executor.stop(THREAD_STOP_SECONDS, lambda: self._release_spool(finish))

    def _release_spool(self, finish: bool) -> None:
        spool = self._spool
        if spool is not None and not finish:
            spool.leave()
        elif spool is not None and (not self._sender.is_alive() or spool.empty):  # else it waits for a broker's answer
            spool.close()

    def _is_busy(self, finish: bool) -> bool:
        datasets = self._lifecycle.datasets
        if datasets and (finish or any(state.record.ending is not None for state in datasets)):
            return True
        try:
            return self._sender.waiting(SPOOL_REPLY_SECONDS) > 0
        except TimeoutError:
            return True

    def _interrupt(self) -> None:
        """End the open datasets, which nobody else will end, with the time of the last sign of life."""
        spool = self._spool
        rows: dict[str, OpenDataset] = {}
        if spool is not None and not self.executor.trouble:
            try:
                self._read_spool()
                rows = {row.record.uuid: row for row in self._open_datasets(spool)}
            except (TimeoutError, sqlite3.Error, ValueError) as error:
                log.error("the spool %s cannot be read: %r", spool.path, error)
        for state in self._lifecycle.datasets:
            record = state.record
            row = rows.get(record.uuid) or OpenDataset(record, None, record.started, False)
            if record.ending is None:
                record.given = row.record.given
                if (ending := closing_record(row).ending) is not None:
                    self._lifecycle.end(state, ending)
