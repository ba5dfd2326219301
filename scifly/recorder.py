"""Makes datasets of finished measurements: reads their headers and passes them to the recording session."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from scifish.dataset.compose import Observed, Record, as_given, ending
from scifish.message import Message, iso
from scifish.message.identity import files_uuid
from scifish.message.types import GivenFields
from scifish.recording.session import NotRecorded, RecordingSession
from scifly.collector import MeasurementCollector, OpenMeasurement
from scifly.grouping import name_of
from scifly.journal import Journal
from scifly.model import Header, JournalFile, Measurement
from scifly.readers import read
from scifly.watching import printable
from scifly.watching.filesystem import birth

log = logging.getLogger(__name__)

PROGRAM = "SciFly"
"""The program name in the origin of the messages."""

MAX_RECORD_BATCH = 200
"""Maximum number of measurements that are written to disk together."""

MAX_READ_BATCH_SECONDS = 0.5
"""Seconds of reading headers after which the batch is written, so that it does not wait for the remaining ones."""

MAX_FILES_RECHECKED = 50
"""Measurements with more files than this are not checked again before they are recorded: it would take too long."""

SAME_START_SECONDS = 1.0
"""Maximum difference in seconds between two times of the same start: some programs round to seconds."""

RECORD_RETRY_SECONDS = 2.0
"""Seconds until a failed recording is retried."""

SINGLE_RETRY_SECONDS = 60.0
"""Seconds until a single measurement that failed is retried."""

RECORDER_PULSE_SECONDS = 0.2

_MAX_TIMESTAMP = 253_402_300_799.0  # the last second of the year 9999


class RecorderStopped(Exception):
    """The program stops before the spool could be written."""


@dataclass(frozen=True)
class Recorded:
    """A recorded dataset. `changed` are the files that are new or have changed since it was last recorded."""

    measurement: Measurement
    header: Header
    files: Sequence[JournalFile]
    changed: Sequence[JournalFile]


@dataclass(frozen=True)
class Outcome:
    """The results of one call of `record`."""

    recorded: list[Recorded] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Changed files of recorded measurements whose profile does not record changes."""
    problems: list[str] = field(default_factory=list)
    """Why measurements could not be recorded. Problems within a recorded file are in its header."""
    over: list[tuple[OpenMeasurement, str | Exception]] = field(default_factory=list)
    """Finished measurements, each with the answer for a caller who waits."""

    def end(self, collector: MeasurementCollector) -> None:
        """Remove the finished measurements from the collector. Call it once, at the moment when they are counted."""
        for open_measurement, _ in self.over:
            collector.done(open_measurement)

    def answer(self) -> None:
        """Answer the waiting callers. Call it when the result is visible to clients."""
        for open_measurement, answer in self.over:
            if open_measurement.now is None:
                continue
            if isinstance(answer, Exception):
                open_measurement.now.set_exception(answer)
            else:
                open_measurement.now.set_result(answer)


@dataclass
class _Prepared:
    open_measurement: OpenMeasurement
    measurement: Measurement
    changed: list[JournalFile]
    header: Header
    files: Sequence[JournalFile] = ()
    record: Record | None = None
    renewed: bool = False


class DatasetRecorder:
    """Records measurements of one journal. For one thread.

    `zone` applies to dates without a zone; `fresh` is that of `FlySettings`. Once `stopping` is set, no call waits any
    more.
    """

    def __init__(
        self,
        journal: Journal,
        session: Callable[[], RecordingSession],
        beamline: str,
        zone: tzinfo,
        fresh: float,
        stopping: threading.Event,
    ) -> None:
        self._journal = journal
        self._session = session
        self._beamline = beamline
        self._zone = zone
        self._fresh = fresh
        self._stopping = stopping

    def record(self, collector: MeasurementCollector, due: Sequence[OpenMeasurement]) -> Outcome:
        """Record those of the first due measurements that are really finished; the others stay open.

        The caller must call `end` and then `answer` of the outcome.

        Raises sqlite3.Error if the journal cannot be written, NotRecorded or SettingsError if there is no session, and
        RecorderStopped. The call can be repeated then: a dataset that was already sent gets the same uuid.
        """
        outcome = Outcome()
        prepared: list[_Prepared] = []
        began = time.monotonic()
        for open_measurement in due[:MAX_RECORD_BATCH]:
            try:
                found = self._prepare(collector, open_measurement, outcome)
            except sqlite3.Error:
                raise
            except Exception as error:  # one failing measurement must not delay the others
                log.exception("recording %s", printable(open_measurement.path))
                outcome.problems.append(f"{printable(open_measurement.path)}: {type(error).__name__}: {error}")
                open_measurement.wait(SINGLE_RETRY_SECONDS)
                continue
            if found is not None:
                prepared.append(found)
            if time.monotonic() - began > MAX_READ_BATCH_SECONDS:
                break
        to_record = [one for one in prepared if one.record is not None]
        if to_record:
            self._journal.renewed((one.measurement, one.changed) for one in to_record if one.renewed)
            self._write([one.record for one in to_record if one.record is not None])
            self._journal.recorded((one.measurement, one.changed) for one in to_record)
            outcome.recorded.extend(Recorded(one.measurement, one.header, one.files, one.changed) for one in to_record)
        ignored = [one for one in prepared if one.record is None]
        if ignored:
            self._journal.ignored(file for one in ignored for file in one.changed)
            outcome.ignored.extend(file.path for one in ignored for file in one.changed)
        outcome.over.extend((one.open_measurement, one.measurement.uuid) for one in prepared)
        return outcome

    def _write(self, records: list[Record]) -> None:
        here = self._session()
        written: Future[None] = here.record(records)
        while not written.done():
            if self._stopping.is_set():
                raise RecorderStopped
            if here.closed:
                raise NotRecorded("the spool was closed meanwhile")
            try:
                written.exception(RECORDER_PULSE_SECONDS)
            except TimeoutError:
                continue  # the spool cannot be written; the session reports it
        written.result()

    # ------------------------------------------------------------- one measurement

    def _prepare(
        self, collector: MeasurementCollector, open_measurement: OpenMeasurement, outcome: Outcome
    ) -> _Prepared | None:
        """Read the header and decide what to record; None if nothing is to be recorded, or not yet."""
        if not self._is_still(open_measurement):
            open_measurement.wait(open_measurement.profile.settle or RECORD_RETRY_SECONDS)
            return None
        if not open_measurement.files:
            self._forget(open_measurement, outcome)
            return None
        measurement = open_measurement.measurement
        others = self._journal.files_of(measurement.uuid) if measurement.recordings else []
        before = [file for file in others if file.path not in open_measurement.files]
        header = self._header(open_measurement, before)
        if not header.complete and open_measurement.now is None and (left := _left(open_measurement)) > 0:
            open_measurement.wait(left)
            return None
        changed = list(open_measurement.files.values())
        finished = replace(measurement, started=header.started, complete=header.complete)
        if measurement.recordings == 0:
            return self._prepared(open_measurement, finished, header, changed, changed)
        recorded = {
            file.path: file for file in self._journal.known(list(open_measurement.files)).values() if file.settled
        }
        if self._is_anew(measurement, header, [*before, *recorded.values()], open_measurement):
            changed += [replace(file, settled=False) for file in _there(before)]
            generation = measurement.generation + 1
            anew = replace(
                finished,
                uuid=files_uuid(self._beamline, measurement.path, generation),
                generation=generation,
                place=collector.place_of(changed),
                recordings=0,
            )
            return self._prepared(open_measurement, anew, header, changed, changed, renewed=True)
        is_late = any(path not in recorded for path in open_measurement.files)
        if is_late or open_measurement.profile.modified or not measurement.complete or open_measurement.now is not None:
            return self._prepared(open_measurement, finished, header, changed, [*before, *changed])
        kept = [
            replace(file, uuid=measurement.uuid, changed=True, inode=recorded[path].inode, born=recorded[path].born)
            for path, file in open_measurement.files.items()
        ]
        return _Prepared(open_measurement, measurement, kept, header)

    def _is_still(self, open_measurement: OpenMeasurement) -> bool:
        """Whether the files are unchanged since they were found. Deleted files are removed from the measurement."""
        if len(open_measurement.files) > MAX_FILES_RECHECKED:
            return True
        still = True
        for path, file in list(open_measurement.files.items()):
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                del open_measurement.files[path]
            except OSError:
                continue  # the reader reports the error
            else:
                still &= file.is_like(JournalFile.of(path, found.st_size, found.st_mtime_ns, found.st_ino))
        return still or time.monotonic() > open_measurement.last + open_measurement.profile.patience

    def _forget(self, open_measurement: OpenMeasurement, outcome: Outcome) -> None:
        """Forget a measurement whose files were deleted or moved before they were recorded."""
        measurement = open_measurement.measurement
        gone = [file.path for file in self._journal.files_of(measurement.uuid) if not file.settled]
        self._journal.forget(measurement.uuid, gone)
        outcome.over.append((open_measurement, FileNotFoundError(f"{printable(measurement.path)} is gone")))
        outcome.problems.append(f"{printable(measurement.path)}: its files were removed before they could be recorded")

    def _header(self, open_measurement: OpenMeasurement, before: Sequence[JournalFile]) -> Header:
        paths = sorted([*open_measurement.files, *(file.path for file in _there(before))])
        try:
            return read(open_measurement.profile.reader, paths, self._zone, open_measurement.measurement.root)
        except Exception as error:  # any file becomes a dataset, with the error as its problem
            log.exception("reading %s", printable(open_measurement.path))
            return Header(problems=(f"{printable(open_measurement.path)}: cannot be read: {type(error).__name__}",))

    def _is_anew(
        self,
        measurement: Measurement,
        header: Header,
        recorded: Sequence[JournalFile],
        open_measurement: OpenMeasurement,
    ) -> bool:
        """Whether all recorded files are gone or replaced, so that this is another measurement."""
        another = True
        for file in recorded:
            now = open_measurement.files.get(file.path)
            if now is None and not file.changed and os.path.lexists(file.path):
                return False
            now = now or _now(file)
            another &= now is None or file.is_another(now)
        if header.started is not None and measurement.started is not None:
            # The start is the same if the file was only saved again, and an overwritten file may keep its inode.
            return abs(header.started - measurement.started) > SAME_START_SECONDS
        # Many programs save a file by replacing it with another one.
        return another and not open_measurement.profile.modified

    def _prepared(
        self,
        open_measurement: OpenMeasurement,
        measurement: Measurement,
        header: Header,
        changed: Sequence[JournalFile],
        files: Sequence[JournalFile],
        renewed: bool = False,
    ) -> _Prepared:
        kept = [replace(file, uuid=measurement.uuid, settled=not renewed, changed=False) for file in changed]
        files = sorted(files, key=lambda file: file.path)
        record = self._record(open_measurement, measurement, header, files)
        return _Prepared(open_measurement, measurement, kept, header, files, record, renewed)

    def _record(
        self, open_measurement: OpenMeasurement, measurement: Measurement, header: Header, files: Sequence[JournalFile]
    ) -> Record:
        written = max(file.mtime_ns for file in files) / 1e9
        started = header.started if header.started is not None else min(map(_born, files))
        started = _bounded(started)
        ended = _bounded(header.ended if header.ended is not None else written)
        name = printable(name_of(open_measurement.profile, measurement.path))
        folder = measurement.path if open_measurement.profile.group == "folder" else os.path.dirname(measurement.path)
        described = {
            "datasetName": name,
            "sourceFolder": printable(folder),
            "dataFormat": header.data_format,
            # The scan log shows the title as the command; people search there for the file's name.
            "environment": {"title": f"{name}: {header.title}" if header.title else name},
            "scientificMetadata": header.metadata,
            "files": [
                {"path": printable(file.path), "time": iso(_bounded(file.mtime_ns / 1e9)), "size": file.size}
                for file in files
            ],
        }
        warnings = list(header.problems)
        age = time.time() - written
        # An earlier recording has read the attributes closer to the measurement.
        values: Message | None = None if age < self._fresh and not measurement.recordings else {}
        if age >= self._fresh and not measurement.recordings:
            warnings.append(
                f"recorded {age:.0f} s after it was written: the Tango attributes were not read, "
                "because their present values are not those of that time"
            )
        context: GivenFields = {
            "dataset": measurement.uuid,
            "revision": measurement.recordings,
            "place": measurement.place.as_given(),
        }
        status = "completed" if header.complete else "interrupted"
        return Record(
            str(uuid.uuid4()),
            started,
            as_given(described | context, started, PROGRAM),
            single=True,
            observed=Observed(values=values, warnings=warnings),
            ending=ending(status, max(started, ended), None),
        )


def _left(open_measurement: OpenMeasurement) -> float:
    """Remaining seconds to wait for the rest of a measurement, also after a restart."""
    written = max(file.mtime_ns for file in open_measurement.files.values()) / 1e9
    patience = open_measurement.profile.patience
    return min(written + patience - time.time(), open_measurement.last + patience - time.monotonic())


def _there(files: Sequence[JournalFile]) -> list[JournalFile]:
    return [file for file in files if os.path.lexists(file.path)] if len(files) <= MAX_FILES_RECHECKED else list(files)


def _now(file: JournalFile) -> JournalFile | None:
    """The file as it is on disk now; None if it does not exist."""
    try:
        found = os.lstat(file.path)
    except OSError:
        return None
    return replace(JournalFile.of(file.path, found.st_size, found.st_mtime_ns, found.st_ino), born=birth(file.path))


def _born(file: JournalFile) -> float:
    return min(file.mtime_ns / 1e9, file.born or float("inf"))


def _bounded(seconds: float) -> float:
    """Limit the time to what a message can hold: the time of a file may be any number."""
    return min(max(seconds, 0.0), _MAX_TIMESTAMP)
