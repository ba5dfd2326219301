"""The recording session of a process: it writes datasets to the spool, and sends them to the companion process.

A call of a measurement (`begin`, `end`, ...) is on disk when it returns. The companion process does everything that
can wait or fail: it reads attributes, composes messages and sends them to Kafka.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sqlite3
import time
import uuid as uuids
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from scifish.dataset import compose
from scifish.dataset.compose import Observed, Record
from scifish.dataset.proprietary import is_proprietary, stays_here
from scifish.message import Message, Origin, as_metadata, iso, plain
from scifish.message.types import Changes, DatasetPlace, Ending, GivenFields
from scifish.native import Future, run_restarting, threading
from scifish.recording.companion_process import CompanionProcess
from scifish.recording.origin import origin
from scifish.settings import Settings, SettingsError, spool_directory, spool_folders, state_directory
from scifish.settings.identity import Identity
from scifish.settings.sources import SettingsSource, identity_of, settings_source
from scifish.spool.database import SPOOL_SUFFIX, OpenDatasetRow, Spool, as_text
from scifish.spool.disk import why_refused
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
)
from scifish.spool.withheld import WithheldDatasets

log = logging.getLogger(__name__)

FIRST_SETTINGS_SECONDS = 1.0
"""Seconds that a start waits for the Tango database if no settings were ever saved on disk."""

PROGRESS_SECONDS = 1.0
"""Seconds between two updates of the open datasets on disk."""

CLOSE_TIMEOUT_SECONDS = 3.0
"""Seconds that the end of the process waits for Kafka. Messages that are not sent by then stay in the spool."""

SESSION_RETRY_SECONDS = 30.0
"""Seconds after a failed start of the session until the next one: each scan asks for a session."""

MAX_RECENT_DATASETS = 100
"""Recent datasets that are remembered: the companion may still report on one that has ended."""


class NotRecorded(RuntimeError):
    """Something was not recorded. The text says why, for people."""


@dataclass
class SnapshotSummary:
    """The snapshot at the start of a dataset: the number of values, and which attributes failed and why."""

    values: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    withheld: bool = False
    """Whether the proposal is proprietary, so that the metadata stay at the beamline."""
    waits: bool = False
    """Whether the proposal is not known, as PathFixer does not answer, so that they stay until it is."""


class RecordingHandle:
    """One dataset of the program. Its methods return at once and never raise."""

    def __init__(
        self, session: RecordingSession, record: Record, latest: Callable[[], Message | None] | None = None
    ) -> None:
        self._session = session
        self.record = record
        self.latest = latest
        self.points: int | None = 0
        """None if the program does not count them."""
        self.last_point = record.started
        """Time of the last point, in seconds since 1970."""
        self.snapshot = SnapshotSummary()
        self.observed = threading.Event()
        """Set when the attributes are read and `snapshot` has the result."""
        self.stored_points: int | None = 0
        """Number of points on disk."""
        self.ended = record.ending is not None
        """Whether its end is on disk, or in the queue for the disk."""

    @property
    def uuid(self) -> str:
        return self.record.uuid

    def point(self) -> None:
        """Count one more point."""
        self.points = (self.points or 0) + 1
        self.last_point = time.time()

    def announce(self, fields: Message | None = None) -> None:
        """Send `began` when the values are read. `fields`, if given, replace the earlier ones."""
        self._session.announce(self, fields)

    def end(self, status: str, fields: Message | None = None, at: float | None = None) -> None:
        """End the dataset. This is on disk when it returns; `ended` is sent when the values at the end are read.

        `at` is the time of the end in seconds since 1970 (default: now). A second end changes nothing.
        """
        self._session.end(self, status, fields, at)

    def add(self, metadata: Message) -> None:
        """Add metadata after the end. They are on disk as soon as it is known whether the proposal is proprietary.

        Raises NotRecorded if no settings, and so no topic, were ever known.
        """
        self._session.add(self, metadata)


class RecordingSession:
    """The spool of this process, and the connection to its companion process. Threads may share it."""

    def __init__(self, settings: SettingsSource | None = None, program: str = "") -> None:
        """Open the spool and start the companion. OSError if no folder can hold the spool.

        If a disk refuses for the moment, what is recorded is kept in memory until it takes the spool.
        """
        self.settings = settings or settings_source()
        _note_step("waits for the Tango database")
        known = self.settings.known() or self.settings.now(FIRST_SETTINGS_SECONDS) or Settings()
        _note_step("opens its spool: the disk is slow or hangs")
        self._folders = [str(folder) for folder in spool_folders(known)]
        self._place: DatasetPlace = {}
        self._companion_trouble = ""
        self._open: dict[str, RecordingHandle] = {}  # those whose end is not on disk
        self._recent: OrderedDict[str, RecordingHandle] = OrderedDict()
        self._stopping = threading.Event()
        self._who = origin(program)
        self._opened: Spool | None = None
        self._file_check: Future[None] | None = None
        self._places = [spool_directory(known), state_directory() / "spool"]
        self._withheld = WithheldDatasets(self._places)
        # Before any thread is started, so that a failed start leaves no thread behind.
        with contextlib.suppress(DiskRefuses):  # the executor tries it again, and says so
            self._open_file()
        try:
            self._executor = SpoolExecutor((self._opened.path if self._opened is not None else self._places[0]).parent)
            opened = self._executor.submit_retrying(self._open_file)
            self._shown_alive = self._executor.submit(lambda: self._spool.show_alive())
            self._companion = CompanionProcess(self._hello, self._receive)
            threading.Thread(target=lambda: run_restarting(self._run), name="scifish-pulse", daemon=True).start()
            if self._opened is not None:
                self._companion.start()
            else:
                opened.add_done_callback(self._start_companion)
        except BaseException:  # the system allows no more threads, for example
            self._stopping.set()
            if self._opened is not None:
                self._opened.close()
            raise
        atexit.register(self.close)

    def _open_file(self) -> None:
        """Open the spool, once. DiskRefuses if that may succeed later, OSError if not."""
        if self._opened is None:
            spool = _open_spool(self._places, self._who, identity_of(self.settings))
            spool.skip_checkpoints()
            spool.open_rows = self._open_rows
            self._opened = spool

    def _start_companion(self, opened: Future[None]) -> None:
        if not opened.cancelled():
            self._companion.start()

    @property
    def _spool(self) -> Spool:
        """For the executor, whose writes come after `_open_file`. DiskRefuses if it is not open yet."""
        if self._opened is None:
            raise DiskRefuses("the spool is not open yet")
        return self._opened

    # ------------------------------------------------------- called by a measurement

    def begin(
        self,
        fields: Message,
        uuid: str = "",
        start: float | None = None,
        announce: bool = True,
        latest: Callable[[], Message | None] | None = None,
        points: int | None = 0,
    ) -> RecordingHandle:
        """Begin a dataset. Its fields are on disk when this returns; the attributes are read in the background.

        `start` is in seconds since 1970 (default: now). Without `announce`, `began` is sent when
        `RecordingHandle.announce` is called. `latest` returns the current fields, or None if they have not changed;
        another thread calls it once a second, so that a killed program loses little. `points` is None for a program
        that does not count them.
        """
        dataset = self._start_dataset(
            uuid or str(uuids.uuid4()), start or time.time(), fields, latest, announce=announce, points=points
        )
        self._open[dataset.uuid] = dataset
        return dataset

    def recent(self, uuid: str) -> RecordingHandle | None:
        """A recent dataset by its uuid, also if an exception from outside interrupted its `begin`."""
        return self._recent.get(uuid)

    def announce(self, dataset: RecordingHandle, fields: Message | None = None) -> None:
        given = self._normalise(dataset.record, fields)
        self._executor.submit_and_wait(lambda: self._spool.announce(dataset.uuid, given))
        self._companion.send(Announce(dataset.uuid, given))

    def end(self, dataset: RecordingHandle, status: str, fields: Message | None, at: float | None = None) -> None:
        record = dataset.record
        if dataset.ended:
            return  # the first end counts
        # Repeatable: if the user stops a macro during this call, the recorder calls it again.
        if record.ending is None:
            record.ending = compose.ending(status, max(at or time.time(), record.started), dataset.points)
        end, given = as_text(record.ending), self._normalise(record, fields)

        def keep() -> None:
            self._spool.end(record.uuid, given, end)
            self._open.pop(record.uuid, None)

        self._executor.submit_and_wait(keep)
        self._companion.send(End(record.uuid, end, given))
        dataset.ended = True

    def record_snapshot(self, fields: Message) -> RecordingHandle:
        """Record a dataset without a duration. It is on disk when this returns."""
        now = time.time()
        return self._start_dataset(str(uuids.uuid4()), now, fields, end=compose.ending("completed", now, None))

    def record(self, records: Sequence[Record]) -> Future[None]:
        """Record complete datasets, all or none.

        The future is done when they are on disk, however long the disk refuses: nobody waits for it as a scan does.
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
        """Record a comment or a rating on the dataset of this uuid. It is on disk when this returns.

        It is sent after its dataset, which may be one of another program of this machine. Raises NotRecorded if it
        cannot be sent: the dataset's proposal is proprietary, or no settings, and so no topic, were ever known.
        """
        # The text of a picture must not be cut.
        carried = {name: change if name == "image" else plain(change) for name, change in changes.items()}
        self._annotate(uuid, cast(Changes, carried), proposal)

    def _annotate(self, uuid: str, changes: Changes, proposal: str = "") -> None:
        """With changes that are normalised already."""
        settings = self.settings.now()
        if settings is None:
            raise NotRecorded("the beamline is not known: the Tango database does not answer")
        if not settings.send_proprietary and (is_proprietary(proposal, "") or self._is_withheld(uuid, settings)):
            raise NotRecorded("the proposal is proprietary: its metadata stay at the beamline (SendProprietary)")
        now = time.time()
        given: GivenFields = {"dataset": uuid, "annotation": changes, "proposalId": proposal}
        end = compose.ending("completed", now, None)
        row = OpenDatasetRow.of(Record(str(uuids.uuid4()), now, given, single=True, ending=end))
        self._executor.submit_and_wait(lambda: self._spool.begin(row))
        self._companion.send(Begin(row))

    def add(self, dataset: RecordingHandle, metadata: Message) -> None:
        if self.settings.known() is None:
            raise NotRecorded("the beamline is not known: the Tango database does not answer")
        changes: Changes = {"scientificMetadata": as_metadata(metadata, self.origin["program"], iso(time.time()))}

        def annotate() -> None:
            try:
                self._annotate(dataset.uuid, changes)
            except NotRecorded as error:
                log.info("dataset %s: metadata added after its end are not sent: %s", dataset.uuid, error)
            except Exception:
                log.exception("dataset %s: metadata added after its end cannot be recorded", dataset.uuid)

        threading.Thread(target=annotate, name="scifish-add", daemon=True).start()

    @property
    def closed(self) -> bool:
        return self._stopping.is_set()

    @property
    def origin(self) -> Origin:
        """Of this process's messages."""
        return self._who

    def observed(self, uuid: str, timeout: float) -> Observed | None:
        """The observed values of an open dataset; None if it does not answer in time, or the dataset has ended."""
        with contextlib.suppress(OSError, sqlite3.Error, ValueError):
            for left in self._executor.submit(lambda: self._spool.open_datasets()).result(timeout):
                if left.record.uuid == uuid:
                    return left.record.observed
        return None

    def trouble(self) -> str:
        """A text for people when something is wrong; "" if all is well."""
        if self._executor.trouble:
            return self._executor.warning
        if self._companion.trouble:
            return f"metadata are kept on this machine: {self._companion.trouble}"
        return self._companion_trouble or self._executor.lost

    def waiting(self, timeout: float) -> int:
        """How many datasets and messages Kafka does not have yet. TimeoutError if the disk does not answer in time."""
        if self._opened is None:
            raise TimeoutError("the disk has not taken the spool yet")
        return self._executor.submit(lambda: self._spool.count() + len(self._spool.open_states())).result(timeout)

    def close(self, timeout: float = CLOSE_TIMEOUT_SECONDS) -> None:
        """Disconnect from the companion, and wait for at most `timeout` seconds until it has sent all messages.

        The companion continues for some seconds; messages that it cannot send by then stay in the spool.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        atexit.unregister(self.close)
        self._show_alive()
        self._store_progress()
        self._executor.stop(timeout, self._release_spool)
        self._companion.close(timeout)

    def _release_spool(self) -> None:
        running = self._companion.disconnect()
        if self._opened is None:
            return  # the disk has never taken it
        if running:
            self._spool.leave()
        else:
            self._spool.close()  # no companion was started that could remove an empty spool

    def forget_after_fork(self) -> None:
        """In a forked child: the spool and the pipe belong to the parent, whose end the companion must see."""
        self._stopping.set()
        atexit.unregister(self.close)
        self._companion.forget_after_fork()
        if self._opened is not None:
            os.close(self._opened.lock)

    # ----------------------------------------------------------- behind the measurement

    def _start_dataset(
        self,
        uuid: str,
        start: float,
        fields: Message,
        latest: Callable[[], Message | None] | None = None,
        end: Ending | None = None,
        announce: bool = False,
        points: int | None = None,
    ) -> RecordingHandle:
        """The dataset is on disk when this returns."""
        # Until PathFixer answers, its last answer is the best guess.
        record = Record(uuid, start, {}, end is not None, Observed(place=self._place), end)
        given = self._normalise(record, fields)
        dataset = self._recent[uuid] = RecordingHandle(self, record, latest)
        dataset.points = dataset.stored_points = points
        while len(self._recent) > MAX_RECENT_DATASETS:
            self._recent.popitem(last=False)
        row = OpenDatasetRow.of(record, announce, given, points)
        self._executor.submit_and_wait(lambda: self._spool.begin(row))
        self._companion.send(Begin(row))
        return dataset

    def _normalise(self, record: Record, fields: Message | None) -> str | None:
        """The program's fields as JSON text for the spool; None if there are none."""
        if fields is None:
            return None
        try:
            record.given = compose.as_given(fields, record.started, self.origin["program"])
            return as_text(record.given)
        except Exception as error:  # an object without a text, for example
            log.exception("dataset %s: the fields of the program cannot be normalised", record.uuid)
            warning = f"the fields that the program gave cannot be recorded: {type(error).__name__}"
            record.given = {**record.given, "warnings": [*record.given.get("warnings", []), warning]}
            return as_text(record.given)

    def _is_withheld(self, uuid: str, settings: Settings) -> bool:
        dataset = self._recent.get(uuid)
        if dataset is not None:
            # The companion finds out the proposal while it reads the values.
            dataset.observed.wait(settings.snapshot_timeout + 1.0)
            if dataset.snapshot.withheld or stays_here(dataset.record, settings):
                return True
        return uuid in self._withheld

    # --------------------------------------------------------------- the companion

    def _hello(self) -> Hello:
        spool = self._spool
        return Hello(str(spool.path), spool.lock, self.settings.described(), self._folders)

    def _receive(self, report: Report) -> None:
        match report:
            case LogReport(level, text):
                log.log(level, "%s", text)
            case TroubleReport(trouble):
                self._companion_trouble = trouble
            case PlaceReport(place):
                self._place = place
            case SnapshotReport(uuid, values, failed, withheld, waits):
                dataset = self._recent.get(uuid)
                if dataset is not None:
                    dataset.snapshot = SnapshotSummary(values, failed, withheld, waits)
                    dataset.observed.set()
            case LimitReport(size):
                self._executor.submit_urgent(lambda: self._spool.set_limit(size))
            case DamageReport(error, inode):
                self._executor.submit_retrying(lambda: self._replace_file(error, inode))

    def _run(self) -> None:
        while not self._stopping.wait(PROGRESS_SECONDS):
            try:
                self._show_alive()
                self._store_progress()
                self._companion.restart_if_silent()
                if self._file_check is None or self._file_check.done():  # else the disk refuses or hangs
                    self._file_check = self._executor.submit_retrying(lambda: self._spool.check_file())
                if self._opened is not None:
                    self._companion.restart_without(self._opened.lock)
            except Exception:
                log.exception("the open datasets cannot be updated on disk")

    def _replace_file(self, error: str, inode: int) -> None:
        """The companion finds the new file, and writes into it what it knows."""
        if self._spool.inode == inode:  # else there is one: this process has noticed it too
            self._spool.start_new_file(sqlite3.DatabaseError(error))

    def _open_rows(self) -> list[OpenDatasetRow]:
        """The open datasets, for a new spool file in place of a damaged one."""
        found = []
        for dataset in list(self._open.values()):
            # In case that there is no companion that knows them.
            warning = "the values read at the start are lost because the spool was damaged: they were read again later"
            observed = Observed(dataset.record.observed.place, None, [warning])
            # Whether `began` was sent is not known; `ended` does not need it.
            dataset.stored_points = dataset.points
            found.append(OpenDatasetRow.of(replace(dataset.record, observed=observed), points=dataset.points))
        return found

    def _show_alive(self) -> None:
        """So that the datasets of a killed program end when it was last known to live."""
        if self._open and self._shown_alive.done():  # else the disk hangs
            self._shown_alive = self._executor.submit(lambda: self._spool.show_alive())

    def _store_progress(self) -> None:
        if self._executor.trouble:
            return  # `latest` returns a change only once: it is called when the disk accepts writes again
        news: dict[str, tuple[int | None, str | None]] = {}
        for uuid, dataset in list(self._open.items()):
            if dataset.record.ending is not None:
                continue
            try:
                fields = dataset.latest() if dataset.latest is not None else None
            except Exception:
                log.exception("dataset %s: the current fields of the program cannot be read", uuid)
                fields = dataset.latest = None
            given = self._normalise(dataset.record, fields)
            if given is not None or dataset.points != dataset.stored_points:
                dataset.stored_points = dataset.points
                news[uuid] = (dataset.stored_points, given)
        if news:
            self._executor.submit_retrying(lambda: self._spool.progress(news))


class DiskRefuses(OSError):
    """A disk refuses the spool for the moment: it may take it later."""


_NOT_THE_DISK = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
"""Errors of a folder that a person has to change."""


def _open_spool(folders: list[Path], who: Origin, identity: Identity) -> Spool:
    """Open a spool in the first folder where that is possible.

    If none is, OSError of the first folder: DiskRefuses if one of them may take it later.
    """
    refusals: list[str] = []
    kind: type[OSError] = OSError
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o770)
            spool = Spool(folder / f"{who['run']}{SPOOL_SUFFIX}", who, identity=identity)
        except (OSError, sqlite3.Error) as error:
            refusals.append(f"no spool can be created in {folder}: {why_refused(error, folder)}")
            kind = kind if isinstance(error, _NOT_THE_DISK) else DiskRefuses
        else:
            for refusal in refusals:
                log.error("%s", refusal)
                log.warning("the spool is created in %s instead", folder)
            return spool
    raise kind(refusals[0])


# --------------------------------------------------- the session of this process

_sessions: dict[str, RecordingSession] = {}
_lock = threading.Lock()
_failed: dict[str, tuple[float, str]] = {}
_step = ""
"""What the session that is being created does at the moment: "it ..."."""


def _note_step(step: str) -> None:
    global _step
    _step = step


def recording_session(
    settings: Settings | Path | None = None, program: str = "", timeout: float = 2.0, pathfixer: str = ""
) -> RecordingSession:
    """The session of this process for these settings (None: those of the SciDog), created at the first call.

    `pathfixer` is the device to ask in place of the one of the settings.

    NotRecorded if it cannot be created, or not within `timeout` seconds; SettingsError for
    settings that cannot be used.
    """
    key = f"{settings!r} {program} {pathfixer.lower()}"
    found = _sessions.get(key)
    if found is not None and not found.closed:
        return found
    if not _lock.acquire(timeout=timeout):
        raise NotRecorded(f"SciFish is still starting: it {_step}")
    try:
        found = _sessions.get(key)
        if found is None or found.closed:
            when, why = _failed.get(key, (0.0, ""))
            if why and time.monotonic() - when < SESSION_RETRY_SECONDS:
                raise NotRecorded(why)
            source = settings_source(settings, pathfixer)
            try:
                found = _sessions[key] = RecordingSession(source, program)
            except (OSError, sqlite3.Error, RuntimeError) as error:  # RuntimeError: no more threads can be started
                _failed[key] = (time.monotonic(), f"SciFish cannot record: {error}")
                raise NotRecorded(_failed[key][1]) from error
        return found
    finally:
        _lock.release()


def warm_up() -> None:
    """Create the session of this process in the background.

    So it is ready for the first scan, and datasets that a crash left open are ended even without a scan. An empty
    spool is removed when this process ends.
    """
    start = threading.Thread(target=_warm_up, name="scifish-start", daemon=True)
    atexit.register(_end_start, start)
    start.start()


def _end_start(start: threading.Thread) -> None:
    """For a process that ends while its session is created: close it, so that no empty spool is left."""
    start.join(CLOSE_TIMEOUT_SECONDS)
    for found in list(_sessions.values()):
        found.close()


def _warm_up() -> None:
    try:
        recording_session()
    except (NotRecorded, SettingsError) as error:
        log.error("%s", error)


def _forget_after_fork() -> None:
    # A child has none of the threads, and the spool belongs to its parent.
    global _lock
    for found in _sessions.values():
        found.forget_after_fork()
    _sessions.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
