"""One for each process that records: it ties settings, snapshot, spool and Kafka together.

A call that comes from a measurement (`begin`, `end`, ...) puts what it says on disk and returns.
All that can wait or fail is done behind it, in threads of this module's own.
"""

from __future__ import annotations

import atexit
import logging
import sqlite3
import threading
import time
import uuid as uuids
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from scifish import compose, place, snapshot
from scifish.clerk import Clerk
from scifish.compose import Observed, Record
from scifish.datafiles import describe
from scifish.message import Message, plain
from scifish.origin import origin
from scifish.sender import Sender
from scifish.settings import Settings, spool_directory
from scifish.source import SettingsSource, TangoSettings
from scifish.spool import SUFFIX, Spool, orphans
from scifish.workers import Workers

log = logging.getLogger(__name__)

FIRST_SETTINGS = 1.0
"""Seconds that a start waits for the Tango database where no settings were ever kept on disk."""

PULSE = 1.0
"""Seconds between two looks at the datasets that are being recorded."""

WORKERS = 8
"""Datasets whose values are read, or whose messages are composed, at the same time."""

FLUSH = 3.0
"""Seconds that the end of the process waits for Kafka. What is not sent by then stays in the spool."""


class Dataset:
    """One dataset that is being recorded. Its methods return at once and never raise."""

    def __init__(self, station: Station, record: Record) -> None:
        self._station = station
        self.record = record
        self.points = 0
        self.observed = threading.Event()

    @property
    def uuid(self) -> str:
        return self.record.uuid

    @property
    def withheld(self) -> bool:
        """Whether it is of a proprietary proposal and stays here. Known once `observed` is set."""
        return self._station.withholds(self.record)

    def announce(self, given: Message | None = None) -> None:
        """Send `began` when the values are there. `given`: what is known now, in place of what was."""
        self._station.announce(self, given)

    def end(self, status: str, given: Message | None = None) -> None:
        """It is over. On disk when this returns; `ended` is sent when the values at the end are there."""
        self._station.end(self, status, given)


class Station:
    """Settings, snapshot, spool and sender of this process. Threads may share it."""

    def __init__(self, settings: SettingsSource | None = None, program: str = "", spool: Path | None = None) -> None:
        """Open the spool, and begin to send what it and orphans hold. OSError if there is no place for it.

        `spool` is the spool's folder, where it is not the one of the settings.
        """
        self.settings = settings or TangoSettings()
        self.origin = origin(program)
        self._reader = snapshot.Reader()
        self._place = place.Place()
        self._workers = Workers(WORKERS, "scifish-work")
        directory = spool or spool_directory(self._first_settings())
        directory.mkdir(parents=True, exist_ok=True, mode=0o770)
        self._clerk = Clerk()
        self._spool = Spool(directory / f"{self.origin['run']}{SUFFIX}", self.origin)
        self._sender = Sender(self._clerk, self.settings.known)
        self._sender.add(self._spool)
        self._sender.start()
        self._open: dict[str, Dataset] = {}
        self._withheld: set[str] = set()
        self._unfinished: list[tuple[Spool, Record]] = []
        self._stopping = threading.Event()
        self._adopted = threading.Event()
        self._pulse = threading.Thread(target=self._run_pulse, name="scifish-pulse", daemon=True)
        self._pulse.start()
        self._workers.give(self._adopt)
        atexit.register(self.close)

    # ------------------------------------------------------- called by a measurement

    def begin(self, given: Message, uuid: str = "", start: float | None = None, announce: bool = True) -> Dataset:
        """A dataset begins. The intention is on disk when this returns; values follow in the background.

        `start` in seconds since 1970 (now). Without `announce`, `began` is sent when `Dataset.announce` is called.
        """
        record = Record(uuid or str(uuids.uuid4()), start or time.time(), plain(given))
        dataset = self._kept(record)
        self._open[dataset.uuid] = dataset
        self._workers.give(lambda: self._observe(dataset, announce))
        return dataset

    def announce(self, dataset: Dataset, given: Message | None = None) -> None:
        if given is not None:
            self._say(dataset.record, given)
        self._workers.give(lambda: self._send_began(dataset))

    def end(self, dataset: Dataset, status: str, given: Message | None) -> None:
        if self._open.pop(dataset.uuid, None) is None:
            return  # ended twice: the first was right
        record = dataset.record
        if given is not None:
            self._say(record, given)
        end = compose.ending(status, max(time.time(), record.started), dataset.points)
        record.ending = end
        self._clerk.keep(lambda: self._spool.keep(record.uuid, "ending", end))
        self._workers.give(lambda: self._send_ended(dataset))

    def record_snapshot(self, given: Message) -> Dataset:
        """A dataset without a duration. On disk when this returns."""
        now = time.time()
        end = compose.ending("completed", now, 0)
        dataset = self._kept(Record(str(uuids.uuid4()), now, plain(given), single=True, ending=end))
        self._workers.give(lambda: self._observe(dataset, announce=False))
        self._workers.give(lambda: self._send_ended(dataset))
        return dataset

    def annotate(self, uuid: str, changes: Message, proposal: str = "") -> None:
        """A comment or a rating on the dataset of this uuid. On disk when this returns.

        Raises NotRecorded where it cannot be sent: the dataset's proposal is proprietary, or no
        settings, and so no topic, were ever known.
        """
        settings = self.settings.known() or self.settings.now()
        if settings is None:
            raise NotRecorded("the beamline is not known: the Tango database does not answer")
        # After a restart it is not known which datasets were withheld: the proposal in use is the best guess.
        about = Record(uuid, 0.0, {}, observed=Observed(place=dict(self._place.last)))
        if uuid in self._withheld or not self._may_send(about, settings):
            raise NotRecorded("the proposal is proprietary: its metadata stay at the beamline (SendProprietary)")
        message = compose.annotation(uuid, plain(changes), time.time(), proposal, settings, self.origin)
        self._clerk.keep(lambda: self._spool.put(settings.topic, message))
        self._sender.wake()

    def withholds(self, record: Record) -> bool:
        settings = self.settings.known()
        return settings is not None and not self._may_send(record, settings)

    def waiting(self) -> str:
        """Why messages wait in the spool, "" if they do not."""
        return self._clerk.trouble or self._sender.trouble

    def flush(self, timeout: float, progress: Callable[[int], None]) -> int:
        """Send all that waits, for at most `timeout` seconds; how many messages are left.

        `progress` is told now and then how many still wait.
        """
        deadline = time.monotonic() + timeout
        self._adopted.wait(timeout)
        while (left := self._sender.waiting()) and time.monotonic() < deadline:
            progress(left)
            self._stopping.wait(0.2)
        return left

    def close(self) -> None:
        """Send what can be sent in `FLUSH` seconds, and let go of the spool."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        atexit.unregister(self.close)
        self._workers.stop(FLUSH)
        self._sender.stop(FLUSH)
        self._reader.close()
        if not self._sender.is_alive():
            self._clerk.do(self._spool.close)
        self._clerk.stop(FLUSH)

    # ----------------------------------------------------------- behind the measurement

    def _kept(self, record: Record) -> Dataset:
        """The intention is on disk when this returns."""
        # Until PathFixer answers, the best that is known is what it said last.
        record.observed = Observed(place=dict(self._place.last))
        dataset = Dataset(self, record)
        uuid, started, given, end = record.uuid, record.started, record.given, record.ending
        self._clerk.keep(lambda: self._spool.begin(uuid, started, given, end))
        return dataset

    def _say(self, record: Record, given: Message) -> None:
        said = record.given = plain(given)
        self._clerk.do(lambda: self._spool.keep(record.uuid, "given", said))

    def _observe(self, dataset: Dataset, announce: bool) -> None:
        """Read the place and the values at the start, and keep them."""
        try:
            settings = self.settings.now()
            if settings is not None:
                observed = dataset.record.observed = self._read(settings)
                self._clerk.do(lambda: self._spool.keep(dataset.uuid, "observed", asdict(observed)))
        except Exception:
            log.exception("reading the values of %s", dataset.uuid)
        finally:
            dataset.observed.set()
        if announce:
            self._send_began(dataset)

    def _read(self, settings: Settings) -> Observed:
        entries, problems = settings.entries()
        sources = [*place.sources(settings), *(entry.source for entry in entries)]
        readings = self._reader.read(sources, settings.snapshot_timeout)
        found, warnings = self._place.understood(settings, readings)
        values = snapshot.as_metadata(entries, readings, settings.max_array_size)
        return Observed(found, values, warnings + problems)

    def _send_began(self, dataset: Dataset) -> None:
        dataset.observed.wait()
        settings = self.settings.known()
        # Without settings, or when it is already over, the last message says it all.
        if settings is None or dataset.record.ending is not None or not self._may_send(dataset.record, settings):
            return
        self._put(settings.topic, compose.began(dataset.record, settings, self.origin))

    def _send_ended(self, dataset: Dataset) -> None:
        dataset.observed.wait()
        settings = self.settings.known()
        if settings is not None and not dataset.record.single:
            try:
                self._read_end_values(dataset.record.observed, settings)
            except Exception:
                log.exception("reading the values of %s at its end", dataset.uuid)
        self._finish_or_later(self._spool, dataset.record)

    def _read_end_values(self, observed: Observed, settings: Settings) -> None:
        entries = [entry for entry in settings.entries()[0] if "end" in entry.record]
        if entries and observed.values is not None:
            readings = self._reader.read([entry.source for entry in entries], settings.snapshot_timeout)
            snapshot.add_end_values(observed.values, entries, readings, settings.max_array_size)

    def _finish_or_later(self, spool: Spool, record: Record) -> None:
        if not self._finish(spool, record):
            self._unfinished.append((spool, record))

    def _finish(self, spool: Spool, record: Record) -> bool:
        """Compose the last message of a dataset; False if no settings are known yet."""
        settings = self.settings.known() or self.settings.now()
        if settings is None:
            return False
        if not self._may_send(record, settings):
            self._clerk.do(lambda: spool.forget(record.uuid))
            return True
        if record.observed.values is None:
            record.observed.warnings.append("no attribute was read before the program ended")
        files = [describe(file) for file in compose.as_list(record.given.get("files"))]
        self._put(settings.topic, compose.ended(record, files, settings, spool.origin), spool, closes=True)
        return True

    def _put(self, topic: str, message: Message, spool: Spool | None = None, closes: bool = False) -> None:
        target = spool or self._spool
        self._clerk.do(lambda: target.put(topic, message, closes)).add_done_callback(lambda _: self._sender.wake())

    def _may_send(self, record: Record, settings: Settings) -> bool:
        proposal = record.said("proposalId")
        at_place = record.observed.place
        category = at_place.get("category", "") if proposal == at_place.get("proposalId") else ""
        if settings.send_proprietary or not place.is_proprietary(proposal, category):
            return True
        if record.uuid not in self._withheld:
            log.info("dataset %s of the proprietary proposal %s is not sent", record.uuid, proposal)
        self._withheld.add(record.uuid)
        return False

    def _adopt(self) -> None:
        """Take over the spools of programs that are gone: end what they left open, send what they left."""
        try:
            found = self._clerk.do(lambda: orphans(self._spool.path.parent)).result()
            for spool in found:
                self._finish_open(spool)
                self._sender.add(spool)
        except (OSError, sqlite3.Error) as error:
            log.error("looking for spools that other programs left in %s: %s", self._spool.path.parent, error)
        finally:
            self._adopted.set()

    def _finish_open(self, spool: Spool) -> None:
        for left in self._clerk.do(spool.open_datasets).result():
            record = left.record
            if record.ending is None:
                record = compose.interrupted(record, left.points, left.seen)
                log.warning("dataset %s was left open by a program that ended: it is interrupted", record.uuid)
            self._finish_or_later(spool, record)

    def _run_pulse(self) -> None:
        noted = ""
        while not self._stopping.wait(PULSE):
            if (trouble := self._sender.trouble) != noted:
                noted = trouble
                self._clerk.do(lambda why=trouble: self._spool.note_trouble(why))  # type: ignore[misc]
            points = {uuid: dataset.points for uuid, dataset in list(self._open.items())}
            if points and not self._clerk.trouble:
                self._clerk.do(lambda points=points: self._spool.progress(points))  # type: ignore[misc]
            unfinished, self._unfinished = self._unfinished, []
            for spool, record in unfinished:
                self._finish_or_later(spool, record)

    def _first_settings(self) -> Settings:
        """Settings to find the spool by, without waiting long for a database that is away."""
        known = self.settings.known()
        if known is None:
            asked = threading.Event()

            def ask() -> None:
                self.settings.now()
                asked.set()

            self._workers.give(ask)
            if not asked.wait(FIRST_SETTINGS):
                log.warning("the Tango database does not answer: the spool is in its default place")
            known = self.settings.known()
        return known or Settings()


class NotRecorded(RuntimeError):
    """It was not recorded; the text says why, for a person."""


_station: Station | None = None
_station_lock = threading.Lock()


def station() -> Station:
    """This process's own, made when first asked for. OSError if the spool has no place."""
    global _station
    with _station_lock:
        if _station is None:
            _station = Station()
        return _station


def warm_up() -> None:
    """Make this process's station in the background, so that the first scan finds it ready."""
    threading.Thread(target=_warm_up, name="scifish-start", daemon=True).start()


def _warm_up() -> None:
    try:
        station()
    except (OSError, sqlite3.Error) as error:
        log.error("SciFish cannot record: %s", error)
