"""One for each process that records: it puts what a measurement says on disk, and tells its companion.

A call that comes from a measurement (`begin`, `end`, ...) is on disk when it returns. All that can
wait or fail (reading attributes, composing messages, Kafka) is the companion process's.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sqlite3
import threading
import time
import uuid as uuids
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from scifish.dataset import compose
from scifish.dataset.compose import Observed, Record
from scifish.dataset.proprietary import WithheldDatasets, is_proprietary, stays_here
from scifish.message import Message, Origin, as_metadata, iso, plain
from scifish.message.types import Changes, DatasetPlace, Ending
from scifish.recording.companion_process import CompanionProcess
from scifish.recording.origin import origin
from scifish.settings import Settings, SettingsError, spool_directory, spool_folders, state_directory
from scifish.settings.sources import SettingsSource, settings_source
from scifish.spool.database import SPOOL_SUFFIX, OpenDatasetRow, Spool, as_text
from scifish.spool.executor import SpoolExecutor
from scifish.spool.protocol import (
    Announce,
    Begin,
    DamageReport,
    End,
    Hello,
    LimitReport,
    LogReport,
    PlaceReport,
    Report,
    SnapshotReport,
    TroubleReport,
    Wake,
)

log = logging.getLogger(__name__)

FIRST_SETTINGS_SECONDS = 1.0
"""Seconds that a start waits for the Tango database where no settings were ever kept on disk."""

PROGRESS_SECONDS = 1.0
"""Seconds between two looks at the datasets that are being recorded."""

CLOSE_TIMEOUT_SECONDS = 3.0
"""Seconds that the end of the process waits for Kafka. What is not sent by then stays in the spool."""

SESSION_RETRY_SECONDS = 30.0
"""Seconds between two tries to make a session where that failed: each scan asks for one."""

MAX_RECENT_DATASETS = 100
"""Datasets that are over and of which the companion may still report."""


class NotRecorded(RuntimeError):
    """It was not recorded; the text says why, for a person."""


@dataclass
class SnapshotSummary:
    """What the companion saw at the start of a dataset: how many values, which could not be read and why."""

    values: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    withheld: bool = False
    """Whether it is of a proprietary proposal and stays here."""


class RecordingHandle:
    """One dataset that is being recorded. Its methods return at once and never raise."""

    def __init__(
        self, session: RecordingSession, record: Record, latest: Callable[[], Message | None] | None = None
    ) -> None:
        self._session = session
        self.record = record
        self.latest = latest
        self.points = 0
        self.seen = record.started
        """When the last point came, in seconds since 1970."""
        self.snapshot = SnapshotSummary()
        self.observed = threading.Event()
        """Set when `snapshot` is what was seen."""
        self.kept = 0
        """Points that are on disk."""
        self.over = record.ending is not None
        """Whether its end is on disk, or on its way to it."""

    @property
    def uuid(self) -> str:
        return self.record.uuid

    def point(self) -> None:
        """One more point has been measured."""
        self.points += 1
        self.seen = time.time()

    def announce(self, said: Message | None = None) -> None:
        """Send `began` when the values are there. `said`: what is known now, in place of what was."""
        self._session.announce(self, said)

    def end(self, status: str, said: Message | None = None, at: float | None = None) -> None:
        """It is over. On disk when this returns; `ended` is sent when the values at the end are there.

        `at` is when, in seconds since 1970 (now). A second end changes nothing.
        """
        self._session.end(self, status, said, at)

    def add(self, metadata: Message) -> None:
        """More metadata, after the end. On disk as soon as it is known whether the proposal is proprietary.

        Raises NotRecorded if no settings, and so no topic, were ever known.
        """
        self._session.add(self, metadata)


class RecordingSession:
    """The spool of this process, and the line to its companion. Threads may share it."""

    def __init__(self, settings: SettingsSource | None = None, program: str = "") -> None:
        """Open the spool and start the companion. OSError if there is no place for the spool."""
        self.settings = settings or settings_source()
        known = self.settings.known() or self.settings.now(FIRST_SETTINGS_SECONDS) or Settings()
        self._folders = [str(folder) for folder in spool_folders(known)]
        self._withheld = WithheldDatasets(state_directory() / "withheld")
        self._place: DatasetPlace = {}
        self._reported = ""
        self._open: dict[str, RecordingHandle] = {}  # those whose end is not on disk
        self._recent: OrderedDict[str, RecordingHandle] = OrderedDict()
        self._stopping = threading.Event()
        # Before there is any thread, so that a start that fails leaves none behind.
        self._spool = _open_spool([spool_directory(known), state_directory() / "spool"], program)
        try:
            self._spool.skip_checkpoints()
            self._spool.open_rows = self._open_rows
            self._run = str(self.origin["run"])
            self._executor = SpoolExecutor()
            self._companion = CompanionProcess(
                self._hello, self._spool.lock, self._spool.path.with_suffix(".log"), self._receive
            )
            threading.Thread(target=self._run_pulse, name="scifish-pulse", daemon=True).start()
            self._companion.start()
        except BaseException:  # a system that allows no more threads, for one
            self._stopping.set()
            self._spool.close()
            raise
        atexit.register(self.close)

    # ------------------------------------------------------- called by a measurement

    def begin(
        self,
        said: Message,
        uuid: str = "",
        start: float | None = None,
        announce: bool = True,
        latest: Callable[[], Message | None] | None = None,
    ) -> RecordingHandle:
        """A dataset begins. The intention is on disk when this returns; values follow in the background.

        `start` in seconds since 1970 (now). Without `announce`, `began` is sent when
        `RecordingHandle.announce` is called. `latest` is asked once a second, in another thread, for what
        the program says now (None if that is nothing new), so that a kill does not lose it.
        """
        dataset = self._begun(uuid or str(uuids.uuid4()), start or time.time(), said, latest, announce=announce)
        self._open[dataset.uuid] = dataset
        return dataset

    def begun(self, uuid: str) -> RecordingHandle | None:
        """A dataset of which `begin` was called lately, also where an exception from outside came in its midst."""
        return self._recent.get(uuid)

    def announce(self, dataset: RecordingHandle, said: Message | None = None) -> None:
        given = self._understand(dataset.record, said)
        self._executor.submit_and_wait(lambda: self._spool.announce(dataset.uuid, given))
        self._companion.send(Announce(dataset.uuid, given))

    def end(self, dataset: RecordingHandle, status: str, said: Message | None, at: float | None = None) -> None:
        record = dataset.record
        if dataset.over:
            return  # ended twice: the first was right
        # Repeatable: the user may stop a macro in the midst of this, and then it is called again.
        if record.ending is None:
            record.ending = compose.ending(status, max(at or time.time(), record.started), dataset.points)
        end, given = as_text(record.ending), self._understand(record, said)

        def keep() -> None:
            self._spool.end(record.uuid, given, end)
            self._open.pop(record.uuid, None)

        self._executor.submit_and_wait(keep)
        self._companion.send(End(record.uuid, end, given))
        dataset.over = True

    def record_snapshot(self, said: Message) -> RecordingHandle:
        """A dataset without a duration. On disk when this returns."""
        now = time.time()
        return self._begun(str(uuids.uuid4()), now, said, end=compose.ending("completed", now, 0))

    def record(self, records: Sequence[Record]) -> Future[None]:
        """Datasets that are over, with all that the program knows of them; all are kept, or none.

        Nobody waits for it as a scan does: the future is done when they are on disk, however long that refuses.
        """
        rows = [OpenDatasetRow.of(record) for record in records]
        written = self._executor.submit_retrying(lambda: self._spool.begin_all(rows))
        written.add_done_callback(lambda written: self._send_all(written, rows))
        return written

    def _send_all(self, written: Future[None], rows: list[OpenDatasetRow]) -> None:
        if not written.cancelled() and written.exception() is None:
            for row in rows:
                self._companion.send(Begin(row))

    def annotate(self, uuid: str, changes: Changes, proposal: str = "") -> None:
        """A comment or a rating on the dataset of this uuid. On disk when this returns.

        Raises NotRecorded where it cannot be sent: the dataset's proposal is proprietary, or no
        settings, and so no topic, were ever known.
        """
        # A picture is not a text to be cut.
        carried = {name: change if name == "image" else plain(change) for name, change in changes.items()}
        self._annotate(uuid, cast(Changes, carried), proposal)

    def _annotate(self, uuid: str, changes: Changes, proposal: str = "") -> None:
        """With changes that are normalised already."""
        settings = self.settings.now()
        if settings is None:
            raise NotRecorded("the beamline is not known: the Tango database does not answer")
        if not settings.send_proprietary and (is_proprietary(proposal, "") or self._is_withheld(uuid, settings)):
            raise NotRecorded("the proposal is proprietary: its metadata stay at the beamline (SendProprietary)")
        message = compose.annotation(uuid, changes, time.time(), proposal, settings, self.origin)
        self._executor.submit_and_wait(lambda: self._spool.put(settings.topic, message))
        self._companion.send(Wake())

    def add(self, dataset: RecordingHandle, metadata: Message) -> None:
        if self.settings.known() is None:
            raise NotRecorded("the beamline is not known: the Tango database does not answer")
        changes: Changes = {"scientificMetadata": as_metadata(metadata, self.origin["program"], iso(time.time()))}

        def annotate() -> None:
            try:
                self._annotate(dataset.uuid, changes)
            except NotRecorded as error:
                log.info("what was added to dataset %s after its end is not sent: %s", dataset.uuid, error)
            except Exception:
                log.exception("what was added to dataset %s after its end", dataset.uuid)

        threading.Thread(target=annotate, name="scifish-add", daemon=True).start()

    @property
    def closed(self) -> bool:
        return self._stopping.is_set()

    @property
    def origin(self) -> Origin:
        """Of this process's messages."""
        return self._spool.origin

    def observed(self, uuid: str, timeout: float) -> Observed | None:
        """What is on disk of what was seen around an open dataset; None if it does not answer in time, or is over."""
        with contextlib.suppress(TimeoutError, sqlite3.Error, ValueError):
            for left in self._executor.submit(self._spool.open_datasets).result(timeout):
                if left.record.uuid == uuid:
                    return left.record.observed
        return None

    def trouble(self) -> str:
        """Why something does not go its usual way, for a person; "" if all is well."""
        if self._executor.trouble:
            return self._executor.warning
        if self._companion.trouble:
            return f"metadata are kept on this machine: {self._companion.trouble}"
        return self._reported

    def waiting(self, timeout: float) -> int:
        """How many datasets and messages are not with Kafka yet. TimeoutError if the disk does not answer in time."""
        return self._executor.submit(lambda: self._spool.count() + len(self._spool.open_states())).result(timeout)

    def close(self, timeout: float = CLOSE_TIMEOUT_SECONDS) -> None:
        """Hang up, and wait for at most `timeout` seconds until the companion has sent what there is.

        It goes on by itself for some seconds; what it cannot send then stays in the spool.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        atexit.unregister(self.close)
        self._keep_progress()
        self._executor.stop(timeout, self._let_go_of_spool)
        self._companion.close(timeout)

    def _let_go_of_spool(self) -> None:
        if self._companion.hang_up():
            self._spool.leave()
        else:
            self._spool.close()  # a companion that was never there removes no empty one

    def forget_after_fork(self) -> None:
        """In a forked child: the spool and the line are its parent's, whose end must be seen."""
        self._stopping.set()
        atexit.unregister(self.close)
        self._companion.forget_after_fork()
        os.close(self._spool.lock)

    # ----------------------------------------------------------- behind the measurement

    def _begun(
        self,
        uuid: str,
        start: float,
        said: Message,
        latest: Callable[[], Message | None] | None = None,
        end: Ending | None = None,
        announce: bool = False,
    ) -> RecordingHandle:
        """The intention is on disk when this returns."""
        # Until PathFixer answers, the best that is known is what it said last.
        record = Record(uuid, start, {}, end is not None, Observed(place=self._place), end)
        given = self._understand(record, said)
        dataset = self._recent[uuid] = RecordingHandle(self, record, latest)
        while len(self._recent) > MAX_RECENT_DATASETS:
            self._recent.popitem(last=False)
        row = OpenDatasetRow.of(record, announce, given)
        self._executor.submit_and_wait(lambda: self._spool.begin(row))
        self._companion.send(Begin(row))
        return dataset

    def _understand(self, record: Record, said: Message | None) -> str | None:
        """What the program says now, as text to be kept; None if it says nothing."""
        if said is None:
            return None
        try:
            record.given = compose.as_given(said, record.started, self.origin["program"])
            return as_text(record.given)
        except Exception as error:  # an object whose text cannot be had, for one
            log.exception("dataset %s: what the program says now is not understood", record.uuid)
            warning = f"what the program said is not understood: {type(error).__name__}"
            record.given = {**record.given, "warnings": [*record.given.get("warnings", []), warning]}
            return as_text(record.given)

    def _is_withheld(self, uuid: str, settings: Settings) -> bool:
        dataset = self._recent.get(uuid)
        if dataset is not None:
            # Whose proposal it is, the companion finds out while it reads the values.
            dataset.observed.wait(settings.snapshot_timeout + 1.0)
            if dataset.snapshot.withheld or stays_here(dataset.record, settings):
                return True
        return uuid in self._withheld

    # --------------------------------------------------------------- the companion

    def _hello(self) -> Hello:
        return Hello(str(self._spool.path), self._spool.lock, self.settings.described(), self._folders)

    def _receive(self, report: Report) -> None:
        match report:
            case LogReport(level, text):
                log.log(level, "%s", text)
            case TroubleReport(trouble):
                self._reported = trouble
            case PlaceReport(place):
                self._place = place
            case SnapshotReport(uuid, values, failed, withheld):
                dataset = self._recent.get(uuid)
                if dataset is not None:
                    dataset.snapshot = SnapshotSummary(values, failed, withheld)
                    dataset.observed.set()
            case LimitReport(size):
                self._executor.submit_urgent(lambda: self._spool.set_limit(size))
            case DamageReport(error):
                # The companion has exited; the next one finds the new file.
                self._executor.submit_retrying(lambda: self._spool.start_new_file(sqlite3.DatabaseError(error)))

    def _run_pulse(self) -> None:
        while not self._stopping.wait(PROGRESS_SECONDS):
            try:
                self._keep_progress()
                self._companion.look_after()
                if self.origin["run"] != self._run:
                    # The spool was damaged, and there is a new one.
                    self._run = str(self.origin["run"])
                    self._companion.restart()
            except Exception:
                log.exception("looking after the datasets that are being recorded")

    def _open_rows(self) -> list[OpenDatasetRow]:
        """The datasets that a new spool must have, as the old one is damaged."""
        found = []
        for dataset in list(self._open.values()):
            dataset.kept = -1
            warning = "what had been read at the start is lost: the spool was damaged, and it was read again later"
            observed = Observed(dataset.record.observed.place, None, [warning])
            # Whether `began` is out is not known either; `ended` does without it.
            found.append(OpenDatasetRow.of(replace(dataset.record, observed=observed)))
        return found

    def _keep_progress(self) -> None:
        if self._executor.trouble:
            return  # what is new is asked for when the disk takes it: it is told only once
        news: dict[str, tuple[int, str | None]] = {}
        for uuid, dataset in list(self._open.items()):
            if dataset.record.ending is not None:
                continue
            try:
                said = dataset.latest() if dataset.latest is not None else None
            except Exception:
                log.exception("asking what the program says of dataset %s", uuid)
                said = dataset.latest = None
            given = self._understand(dataset.record, said)
            if given is not None or dataset.points != dataset.kept:
                dataset.kept = dataset.points
                news[uuid] = (dataset.kept, given)
        if news:
            self._executor.submit_retrying(lambda: self._spool.progress(news))


def _open_spool(folders: list[Path], program: str) -> Spool:
    """A spool in the first folder that takes one. OSError, of the first folder, if none does."""
    first: OSError | None = None
    who = origin(program)
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o770)
            spool = Spool(folder / f"{who['run']}{SPOOL_SUFFIX}", who)
        except (OSError, sqlite3.Error) as error:
            log.error("there can be no spool in %s: %s", folder, error)
            first = first or OSError(f"no spool in {folder}: {error}")
        else:
            if first is not None:
                log.warning("the spool is in %s instead", folder)
            return spool
    raise first or OSError("no folder for the spool")


# ------------------------------------------------------------------ one for the process

_sessions: dict[str, RecordingSession] = {}
_lock = threading.Lock()
_failed: dict[str, tuple[float, str]] = {}


def recording_session(
    settings: Settings | Path | None = None, program: str = "", timeout: float = 2.0
) -> RecordingSession:
    """This process's own for these settings (None: those of the SciDog), made when first asked for.

    NotRecorded if it cannot be made, or takes longer than `timeout` seconds; SettingsError for
    settings that cannot be used.
    """
    key = f"{settings!r} {program}"
    found = _sessions.get(key)
    if found is not None and not found.closed:
        return found
    if not _lock.acquire(timeout=timeout):
        raise NotRecorded("SciFish is still starting: its disk is slow or hangs")
    try:
        found = _sessions.get(key)
        if found is None or found.closed:
            when, why = _failed.get(key, (0.0, ""))
            if why and time.monotonic() - when < SESSION_RETRY_SECONDS:
                raise NotRecorded(why)
            source = settings_source(settings)
            try:
                found = _sessions[key] = RecordingSession(source, program)
            except (OSError, sqlite3.Error, RuntimeError) as error:  # RuntimeError: there can be no more threads
                _failed[key] = (time.monotonic(), f"SciFish cannot record: {error}")
                raise NotRecorded(_failed[key][1]) from error
        return found
    finally:
        _lock.release()


def warm_up() -> None:
    """Make this process's session in the background.

    The first scan finds it ready, and what a crash left open is ended, whether or not there is a scan. It has a spool
    then; one that stays empty is removed when this process ends.
    """
    start = threading.Thread(target=_warm_up, name="scifish-start", daemon=True)
    atexit.register(_end_start, start)
    start.start()


def _end_start(start: threading.Thread) -> None:
    """A process that ends while its session is made: it is let go of like any other, and leaves no empty spool."""
    start.join(CLOSE_TIMEOUT_SECONDS)
    for found in list(_sessions.values()):
        found.close()


def _warm_up() -> None:
    try:
        recording_session()
    except (NotRecorded, SettingsError) as error:
        log.error("%s", error)


def _forget_after_fork() -> None:
    # The threads are gone in the child, and the spool is its parent's.
    global _lock
    for found in _sessions.values():
        found.forget_after_fork()
    _sessions.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
