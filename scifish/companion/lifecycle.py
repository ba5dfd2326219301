"""The life cycle of a dataset in the companion: its values are read, and its messages are composed and stored.

The steps of one dataset follow each other: begin, values at the start, `began`, end, values at the end, the last
message. Steps of different datasets run side by side.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from scifish.attributes import reader
from scifish.attributes.pathfixer import PathFixerReader
from scifish.attributes.snapshot import AttributeSnapshot, SnapshotCache, read_snapshot
from scifish.attributes.statistics import Statistics, add_statistics, values_of
from scifish.companion.finalizer import Finalizer
from scifish.companion.late_annotations import is_late, waits_for_dataset
from scifish.companion.late_proposals import LateProposals
from scifish.companion.scidog_reports import ScidogReporter
from scifish.dataset import compose
from scifish.dataset.compose import Observed, Record
from scifish.dataset.proprietary import lacks_proposal
from scifish.message import iso, leaves
from scifish.message.types import DatasetPlace, Ending
from scifish.native import Future, threading
from scifish.settings import Settings, last_good_file
from scifish.settings.entries import Entry
from scifish.settings.sources import SettingsSource
from scifish.spool.database import OpenDatasetRow, Spool, as_text
from scifish.spool.executor import SpoolExecutor
from scifish.spool.protocol import PlaceReport, Report, SnapshotReport
from scifish.spool.sender import Sender
from scifish.tango_io.executors import DelayedExecutor, ThreadPool

log = logging.getLogger(__name__)

READ_DELAY_SECONDS = 0.05
"""Delay between the begin of a dataset and the read of its values: the measurement has this time for itself.

A scan computes until its first point is under way, and then waits for its hardware. A read during that wait
costs the scan nothing; a read without delay costs it 10 ms (two cores, 500 attributes).
"""

COMPOSE_DELAY_SECONDS = 0.03
"""The same delay before the last message is composed. Values at the end are read without delay."""

BEGAN_DELAY_SECONDS = 0.25
"""Delay before `began` is sent. A dataset that ends earlier needs one message less."""

MAX_REMEMBERED_DATASETS = 10_000
"""Finished datasets that are remembered: a row that the disk accepts late is not a new dataset."""


class DatasetState:
    """One dataset of the program, as far as the companion knows it. `lock` is held while its record changes.

    `number` grows from one dataset to the next.
    """

    def __init__(self, record: Record, number: int) -> None:
        self.record = record
        self.number = number
        self.lock = threading.Lock()
        self.announced = False
        self.entries: list[Entry] | None = None
        """The entries configured at its begin. A configuration that is changed later is for the next dataset."""
        self.previous: DatasetState | None = None
        """An earlier recording of the same dataset, whose message is sent first."""
        self.closed = False
        """Whether there is nothing left to do for it."""
        self._read_started = False
        self._observed = False
        self._pending: list[Callable[[], object]] = []
        self._guard = threading.Lock()

    def start_read(self) -> bool:
        """True for the first caller, who reads the values; False for all others."""
        with self._guard:
            first, self._read_started = not self._read_started, True
        return first

    def when_observed(self, submit: Callable[[Callable[[], object]], None], work: Callable[[], object]) -> None:
        """`submit` the work as soon as the values at the start are read."""
        with self._guard:
            if not self._observed:
                self._pending.append(lambda: submit(work))
                return
        submit(work)

    def set_observed(self) -> None:
        with self._guard:
            self._observed = True
        for submit in self._pending:
            submit()


class DatasetLifecycle:
    """Takes each dataset of one program from its begin to its last message. Threads may share it."""

    def __init__(
        self,
        spool: Spool | None,
        executor: SpoolExecutor,
        pool: ThreadPool,
        sender: Sender,
        finalizer: Finalizer,
        settings: SettingsSource,
        reporter: ScidogReporter | None,
        report: Callable[[Report], None],
        folders: Sequence[Path] = (),
    ) -> None:
        """`spool` is the program's own. `report` sends a report to the program, see `scifish.recording.session`.

        `folders` may have spools of other programs, with datasets that this one annotates.
        """
        self._spool = spool
        self._executor = executor
        self._pool = pool
        self._later = DelayedExecutor(pool)
        self._sender = sender
        self._finalizer = finalizer
        self._settings = settings
        self._reporter = reporter
        self._report = report
        self._folders = folders
        self._reader = reader.Reader(config_source=reader.ConfigSource.EVENTS)
        self._snapshots = SnapshotCache(self._reader)
        self._statistics = Statistics(self._reader)
        self._pathfixer = PathFixerReader(self._reader, last_good_file().with_suffix(".place.json"))
        self.late_proposals = LateProposals(self._pathfixer, pool)
        self._numbers = itertools.count(1)
        self._datasets: dict[str, DatasetState] = {}
        # Of the recordings of a dataset that have a uuid of their own, and of its annotations: each waits for the one
        # before.
        self._latest: dict[tuple[str, bool], DatasetState] = {}
        self._waiting: list[DatasetState] = []  # for settings, the proposal, or the previous recording
        self._finished: OrderedDict[str, bool] = OrderedDict()
        self._guard = threading.Lock()

    # ------------------------------------------------------------------ what it knows

    @property
    def datasets(self) -> list[DatasetState]:
        """Those that are not closed."""
        return list(self._datasets.values())

    def get(self, uuid: str) -> DatasetState | None:
        """One that is not closed."""
        return self._datasets.get(uuid)

    def finished(self, uuid: str) -> bool | None:
        """True if its last message is stored, False if that failed, None if it is not closed, or not known."""
        return self._finished.get(uuid)

    def open_rows(self) -> list[OpenDatasetRow]:
        """The datasets that are not closed, for a new file of the program's spool."""
        return [OpenDatasetRow.of(state.record) for state in self.datasets]

    # -------------------------------------------------------------- what the program does

    def report_last_place(self) -> None:
        """Report to the program what its PathFixer said last."""
        self._report(PlaceReport(cast(DatasetPlace, self._pathfixer.last(self._settings.known()))))

    def begin(self, record: Record) -> DatasetState | None:
        """Start with a dataset; None if it is known already."""
        with self._guard:
            if record.uuid in self._datasets or record.uuid in self._finished:
                return None
            state = self._datasets[record.uuid] = DatasetState(record, next(self._numbers))
            if record.dataset != record.uuid:
                state.previous = self._latest.get(_chain(record))
                self._latest[_chain(record)] = state
        if "annotation" in record.given:
            state.start_read()
            state.set_observed()
            self._pool.submit(lambda: self._finish(state))
            return state
        if record.observed.values is None:
            delay = READ_DELAY_SECONDS if record.ending is None else 0.0
            self._later.submit(delay, lambda: self._observe(state))
        else:
            # An earlier companion, which was killed, has read the values.
            state.start_read()
            self._watch(state, self._settings.known())
            state.set_observed()
        if record.ending is not None:
            state.when_observed(self._pool.submit, lambda: self._send_ended(state))
        return state

    def announce(self, state: DatasetState) -> None:
        """Send `began` when the values at the start are read; once."""
        if not state.announced:
            state.announced = True
            self._later.submit(
                BEGAN_DELAY_SECONDS, lambda: state.when_observed(self._pool.submit, lambda: self._send_began(state))
            )

    def end(self, state: DatasetState, ending: Ending) -> None:
        """The measurement is over. Only the first end of a dataset counts."""
        with self._guard:
            if state.record.ending is not None:
                return
            state.record.ending = ending
        self._pool.submit(lambda: self._observe(state))  # if it was so short that the read has not started
        state.when_observed(self._pool.submit, lambda: self._send_ended(state))

    def without_proposal(self, settings: Settings) -> int:
        """How many datasets are over and wait for their proposal."""
        return sum(lacks_proposal(state.record, settings) for state in list(self._waiting))

    def late_annotations(self) -> int:
        """How many annotations have waited long for their dataset."""
        return sum(is_late(state.record) for state in list(self._waiting))

    def retry_waiting(self) -> None:
        """Finish the datasets that waited for settings, for their proposal, or for the previous recording."""
        for _ in range(len(self._waiting)):
            self._finish(self._waiting.pop(0))

    def skip_delays(self) -> None:
        """Start now what waits for its delay."""
        self._later.stop()

    def close(self) -> None:
        """Read no more attributes."""
        self._statistics.close()
        self._reader.close()

    # -------------------------------------------------------------- values at the start

    def _observe(self, state: DatasetState) -> None:
        """Read the place and the values at the start, and store them; once."""
        record = state.record
        if not state.start_read():
            return
        try:
            settings = self._settings.now()
            if trouble := self._settings.trouble:
                record.observed.warnings.append(trouble)
            self._watch(state, settings)
            if settings is not None:
                if "place" not in record.given:
                    self._read_place(record, settings)
                    seen = read_snapshot(self._reader, settings)
                else:  # datasets that are recorded after their measurement may come by the hundred in a second
                    seen = self._snapshots.read(settings)
                warnings = record.observed.warnings + seen.problems
                observed = replace(record.observed, values=seen.values, warnings=warnings, pictures=seen.pictures)
                self._store_observed(record, observed)
                self._remember_snapshot(state, settings, seen)
        except Exception:
            log.exception("dataset %s: the values at its start cannot be read", record.uuid)
        finally:
            state.set_observed()
            if "place" not in record.given:
                self._report(self._snapshot_report(record))

    def _read_place(self, record: Record, settings: Settings) -> None:
        """First and separately: the proposal may have changed when a slow device has answered."""
        found, warnings = self._pathfixer.read(settings)
        place = cast(DatasetPlace, found)
        self._store_observed(record, Observed(place, None, warnings + record.observed.warnings))
        self._report(PlaceReport(place))

    def _watch(self, state: DatasetState, settings: Settings | None) -> None:
        if settings is not None and not state.record.single:
            state.entries = settings.entries()[0]
            if state.record.ending is None:
                self._statistics.watch(state.record.uuid, state.entries)

    def _snapshot_report(self, record: Record) -> SnapshotReport:
        settings = self._settings.known()
        values = list(leaves(record.observed.values or {}))
        failed = [(where, leaf["error"]) for where, leaf in values if "error" in leaf]
        withheld = settings is not None and not self._finalizer.may_send(record, settings)
        waits = settings is not None and lacks_proposal(record, settings)
        return SnapshotReport(record.uuid, len(values), failed, withheld, waits)

    def _store_observed(self, record: Record, observed: Observed) -> None:
        record.observed = observed
        if "place" in record.given:
            return  # its last message is composed at once; after a crash the values are read again
        text = as_text(observed.as_kept())
        self._write(lambda spool: spool.save_observed(record.uuid, text))

    def _remember_snapshot(self, state: DatasetState, settings: Settings, seen: AttributeSnapshot) -> None:
        """For SciDog's LastSnapshot. The name of a proprietary dataset is left out."""
        if self._reporter is not None:
            record = state.record
            secret = lacks_proposal(record, settings) or not self._finalizer.may_send(record, settings)
            name = "" if secret else record.text("datasetName")
            about = {"uuid": record.dataset, "name": name, "time": iso(record.started)}
            self._reporter.set_snapshot(state.number, {**about, "values": seen.count, "failed": seen.failed})

    # ------------------------------------------------------------------------- messages

    def _send_began(self, state: DatasetState) -> None:
        settings = self._settings.known()
        with state.lock:
            record = state.record
            # Without settings, or after the end, the last message alone is enough.
            if settings is None or record.ending is not None or lacks_proposal(record, settings):
                return
            if not self._finalizer.may_send(record, settings):
                return
            self._write(lambda spool: spool.put(settings.topic, compose.began(record, settings, spool.origin)))

    def _send_ended(self, state: DatasetState) -> None:
        settings = self._settings.known()
        with state.lock:
            if settings is not None and not state.record.single:
                try:
                    self._add_end_values(state.record, state.entries or [], settings)
                except Exception:
                    log.exception("dataset %s: the values at its end cannot be read", state.record.uuid)
        delay = 0.0 if state.record.single else COMPOSE_DELAY_SECONDS
        self._later.submit(delay, lambda: self._finish(state))

    def _add_end_values(self, record: Record, entries: list[Entry], settings: Settings) -> None:
        """Values at the end, and statistics."""
        values = record.observed.values or {}
        # If a companion was killed meanwhile, the configuration may be another one than at the start.
        entries = [entry for entry in entries if entry.name in (values.get(entry.group, {}) if entry.group else values)]
        at_end = [entry for entry in entries if "end" in entry.record]
        # The end of an interrupted dataset is not known: values of now are not values at its end.
        if at_end and record.status != "interrupted":
            readings = self._reader.read_settled([entry.source for entry in at_end], settings.snapshot_timeout)
            reader.add_end_values(values, at_end, readings, settings.max_array_size)
        found = self._statistics.finish(record.uuid, settings.snapshot_timeout, values_of(values, entries))
        add_statistics(values, entries, found)

    def _finish(self, state: DatasetState) -> None:
        spool = self._spool
        if spool is None:
            return
        if state.previous is not None and not state.previous.closed:
            self._waiting.append(state)
            return
        settings = self._settings.known() or self._settings.now()
        if settings is None or waits_for_dataset(state.record, spool.path, self._folders):
            self._waiting.append(state)
            return
        if lacks_proposal(state.record, settings):
            if not self.late_proposals.complete(state.record, settings):
                self._waiting.append(state)
                return
            self._report(self._snapshot_report(state.record))
        try:
            written = self._finalizer.finish(spool, state.record, settings)
        except Exception as error:
            log.exception("dataset %s: its last message cannot be composed", state.record.uuid)
            self._close_dataset(state, error)
            return
        written.add_done_callback(lambda written: self._close_dataset(state, _failure(written)))

    def _close_dataset(self, state: DatasetState, error: BaseException | None) -> None:
        """Nothing is left to do. What could not be finished stays on disk, for a program of a newer version."""
        uuid = state.record.uuid
        if error is not None:
            log.error("dataset %s cannot be finished (%s): it stays in the spool", uuid, error)
        with self._guard:
            self._datasets.pop(uuid, None)
            state.closed, state.previous = True, None
            if self._latest.get(_chain(state.record)) is state:
                del self._latest[_chain(state.record)]
            self._finished[uuid] = error is None
            if len(self._finished) > MAX_REMEMBERED_DATASETS:
                self._finished.popitem(last=False)

    def _write(self, work: Callable[[Spool], object]) -> None:
        """Into the program's spool."""
        spool = self._spool
        if spool is not None:
            self._executor.submit_retrying(lambda: work(spool)).add_done_callback(lambda _: self._sender.wake())


def _chain(record: Record) -> tuple[str, bool]:
    return record.dataset, "annotation" in record.given


def _failure(written: Future[object]) -> BaseException | None:
    return None if written.cancelled() else written.exception()
