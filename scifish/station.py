"""One for each process that records: it ties settings, snapshot, spool and Kafka together.

A call that comes from a measurement (`begin`, `end`, ...) puts what it says on disk and returns.
All that can wait or fail is done behind it, in threads of this module's own.
"""

from __future__ import annotations

import atexit
import logging
import os
import sqlite3
import threading
import time
import uuid as uuids
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from scifish import compose, snapshot
from scifish.clerk import Clerk
from scifish.compose import Observed, Record
from scifish.datafiles import describe
from scifish.message import Message, plain
from scifish.origin import origin
from scifish.place import Place, Withheld, is_proprietary
from scifish.sender import Sender
from scifish.settings import Settings, last_good_file, spool_directory, state_directory
from scifish.source import SettingsSource, settings_source
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

RETRY = 30.0
"""Seconds between two tries to make a station where that failed: each scan asks for one."""


class NotRecorded(RuntimeError):
    """It was not recorded; the text says why, for a person."""


class Dataset:
    """One dataset that is being recorded. Its methods return at once and never raise."""

    def __init__(self, station: Station, record: Record) -> None:
        self._station = station
        self.record = record
        self.points = 0
        self.seen = record.started
        """When the last point came, in seconds since 1970."""
        self.observed = threading.Event()
        self.latest: Callable[[], Message | None] | None = None
        self._next: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    @property
    def uuid(self) -> str:
        return self.record.uuid

    @property
    def withheld(self) -> bool:
        """Whether it is of a proprietary proposal and stays here. Known once `observed` is set."""
        return self._station.withholds(self.record)

    def point(self) -> None:
        """One more point has been measured."""
        self.points += 1
        self.seen = time.time()

    def announce(self, said: Message | None = None) -> None:
        """Send `began` when the values are there. `said`: what is known now, in place of what was."""
        self._station.announce(self, said)

    def end(self, status: str, said: Message | None = None, at: float | None = None) -> None:
        """It is over. On disk when this returns; `ended` is sent when the values at the end are there.

        `at` is when, in seconds since 1970 (now). A second end changes nothing.
        """
        self._station.end(self, status, said, at)

    def when_observed(self, work: Callable[[], object]) -> None:
        """Have it done, in the background, once the values at the start are read."""
        with self._lock:
            if not self.observed.is_set():
                self._next.append(work)
                return
        self._station.workers.give(work)

    def set_observed(self) -> None:
        with self._lock:
            self.observed.set()
        for work in self._next:
            self._station.workers.give(work)


class Station:
    """Settings, snapshot, spool and sender of this process. Threads may share it."""

    def __init__(self, settings: SettingsSource | None = None, program: str = "", spool: Path | None = None) -> None:
        """Open the spool, and begin to send what it and orphans hold. OSError if there is no place for it.

        `spool` is the spool's folder, where it is not the one of the settings.
        """
        self.settings = settings or settings_source()
        known = self.settings.known() or self.settings.now(FIRST_SETTINGS) or Settings()
        # Before there is any thread, so that a start that fails leaves none behind.
        self._spool = _open_spool([spool] if spool else [spool_directory(known), state_directory() / "spool"], program)
        self._withheld = Withheld(state_directory() / "withheld")
        self.workers = Workers(WORKERS, "scifish-work")
        self._reader = snapshot.Reader()
        self._place = Place(self._reader, last_good_file().with_suffix(".place.json"))
        self._clerk = Clerk()
        self._sender = Sender(self._clerk, self.settings.known)
        self._sender.add(self._spool)
        self._sender.start()
        self._open: dict[str, Dataset] = {}
        self._unfinished: list[tuple[Spool, Record]] = []
        self._stopping = threading.Event()
        self._adopted = threading.Event()
        threading.Thread(target=self._run_pulse, name="scifish-pulse", daemon=True).start()
        self.workers.give(self._adopt)
        atexit.register(self.close)

    # ------------------------------------------------------- called by a measurement

    def begin(
        self,
        said: Message,
        uuid: str = "",
        start: float | None = None,
        announce: bool = True,
        latest: Callable[[], Message | None] | None = None,
    ) -> Dataset:
        """A dataset begins. The intention is on disk when this returns; values follow in the background.

        `start` in seconds since 1970 (now). Without `announce`, `began` is sent when `Dataset.announce` is called.
        """
        dataset = self._begun(uuid or str(uuids.uuid4()), start or time.time(), said)
        dataset.latest = latest
        self._open[dataset.uuid] = dataset
        if announce:
            dataset.when_observed(lambda: self._send_began(dataset))
        self.workers.give(lambda: self._observe(dataset))
        return dataset

    def announce(self, dataset: Dataset, said: Message | None = None) -> None:
        if said is not None:
            self._say(dataset.record, said)
        dataset.when_observed(lambda: self._send_began(dataset))

    def end(self, dataset: Dataset, status: str, said: Message | None, at: float | None = None) -> None:
        record = dataset.record
        if record.ending is not None:
            return  # ended twice: the first was right
        end = record.ending = compose.ending(status, max(at or time.time(), record.started), dataset.points)
        if said is not None:
            self._say(record, said)
        self._clerk.keep(lambda: self._spool.keep(record.uuid, "ending", end))
        self._open.pop(dataset.uuid, None)
        dataset.when_observed(lambda: self._send_ended(dataset))

    def record_snapshot(self, said: Message) -> Dataset:
        """A dataset without a duration. On disk when this returns."""
        now = time.time()
        dataset = self._begun(str(uuids.uuid4()), now, said, compose.ending("completed", now, 0))
        dataset.when_observed(lambda: self._send_ended(dataset))
        self.workers.give(lambda: self._observe(dataset))
        return dataset

    def annotate(self, uuid: str, changes: Message, proposal: str = "") -> None:
        """A comment or a rating on the dataset of this uuid. On disk when this returns.

        Raises NotRecorded where it cannot be sent: the dataset's proposal is proprietary, or no
        settings, and so no topic, were ever known.
        """
        settings = self.settings.known() or self.settings.now()
        if settings is None:
            raise NotRecorded("the beamline is not known: the Tango database does not answer")
        if uuid in self._withheld and not settings.send_proprietary:
            raise NotRecorded("the proposal is proprietary: its metadata stay at the beamline (SendProprietary)")
        # A picture is not a text to be cut.
        changes = {name: change if name == "image" else plain(change) for name, change in changes.items()}
        message = compose.annotation(uuid, changes, time.time(), proposal, settings, self.origin)
        self._clerk.keep(lambda: self._spool.put(settings.topic, message))
        self._sender.wake()

    @property
    def closed(self) -> bool:
        return self._stopping.is_set()

    @property
    def origin(self) -> Message:
        """Of this process's messages."""
        return self._spool.origin

    def withholds(self, record: Record) -> bool:
        """Whether a dataset is of a proprietary proposal, as far as is known now."""
        settings = self.settings.known()
        return settings is not None and not self._may_send(record, settings)

    def trouble(self) -> str:
        """Why something does not go its usual way, for a person; "" if all is well."""
        if self._clerk.trouble:
            return f"metadata are in memory only, the disk of the spool takes nothing ({self._clerk.trouble})"
        if self._sender.trouble:
            return f"metadata are kept on this machine until Kafka takes them ({self._sender.trouble})"
        return ""

    def flush(self, timeout: float, progress: Callable[[int], None]) -> int:
        """Send all that waits, for at most `timeout` seconds; how many messages are left.

        `progress` is told now and then how many still wait.
        """
        deadline = time.monotonic() + timeout
        self._adopted.wait(timeout)
        while (left := self._sender.waiting() + len(self._unfinished)) and time.monotonic() < deadline:
            progress(left)
            self._stopping.wait(0.2)
        return left

    def close(self) -> None:
        """Send what can be sent in `FLUSH` seconds, and let go of the spool."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        atexit.unregister(self.close)
        self.workers.stop(FLUSH)
        self._sender.stop(FLUSH)
        self._reader.close()
        sending = self._sender.is_alive()  # it cannot be sent: Kafka is away
        self._clerk.ask(lambda: None if sending and not self._spool.empty else self._spool.close())
        self._clerk.stop(FLUSH)

    # ----------------------------------------------------------- behind the measurement

    def _begun(self, uuid: str, start: float, said: Message, end: Message | None = None) -> Dataset:
        """The intention is on disk when this returns."""
        # Until PathFixer answers, the best that is known is what it said last.
        record = Record(uuid, start, {}, end is not None, Observed(place=dict(self._place.last)), end)
        self._understand(record, said)
        kept = replace(record)
        self._clerk.keep(lambda: self._spool.begin(kept))
        return Dataset(self, record)

    def _say(self, record: Record, said: Message) -> None:
        given = self._understand(record, said)
        self._clerk.keep(lambda: self._spool.keep(record.uuid, "given", given))

    def _understand(self, record: Record, said: Message) -> Message:
        try:
            record.given = compose.as_given(said, record.started, self.origin["program"])
        except Exception as error:  # an object whose text cannot be had, for one
            log.exception("dataset %s: what the program says now is not understood", record.uuid)
            record.observed.warnings.append(f"what the program said is not understood: {error!r}")
        return record.given

    def _observe(self, dataset: Dataset) -> None:
        """Read the place and the values at the start, and keep them."""
        try:
            settings = self.settings.now()
            if settings is not None:
                # The place at once and by itself: it may be another when a slow device has answered.
                found, warnings = self._place.read(settings)
                self._keep_observed(dataset.record, Observed(found, None, warnings))
                self._keep_observed(dataset.record, self._with_values(dataset.record.observed, settings))
        except Exception:
            log.exception("reading the values of %s", dataset.uuid)
        finally:
            dataset.set_observed()

    def _keep_observed(self, record: Record, observed: Observed) -> None:
        record.observed = observed
        kept = asdict(observed)
        self._clerk.write(lambda: self._spool.keep(record.uuid, "observed", kept))

    def _with_values(self, observed: Observed, settings: Settings) -> Observed:
        entries, problems = settings.entries()
        readings = self._reader.read([entry.source for entry in entries], settings.snapshot_timeout)
        values = snapshot.as_metadata(entries, readings, settings.max_array_size)
        return replace(observed, values=values, warnings=observed.warnings + problems)

    def _send_began(self, dataset: Dataset) -> None:
        settings = self.settings.known()
        # Without settings, or when it is already over, the last message says it all.
        if settings is None or dataset.record.ending is not None or not self._may_send(dataset.record, settings):
            return
        self._put(settings.topic, compose.began(dataset.record, settings, self.origin))

    def _send_ended(self, dataset: Dataset) -> None:
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
            self._clerk.write(lambda: spool.forget(record.uuid))
            return True
        if record.observed.values is None:
            record.observed.warnings.append("no attribute was read before the program ended")
        files = [describe(file) for file in compose.as_list(record.given.get("files"))]
        self._put(settings.topic, compose.ended(record, files, settings, spool.origin), spool, closes=True)
        return True

    def _put(self, topic: str, message: Message, spool: Spool | None = None, closes: bool = False) -> None:
        target = spool or self._spool
        self._clerk.write(lambda: target.put(topic, message, closes)).add_done_callback(lambda _: self._sender.wake())

    def _may_send(self, record: Record, settings: Settings) -> bool:
        proposal = record.said("proposalId")
        place = record.observed.place
        category = place.get("category", "") if proposal == place.get("proposalId") else ""
        if settings.send_proprietary or not is_proprietary(proposal, category):
            return True
        self._withheld.add(record.uuid)
        return False

    def _adopt(self) -> None:
        """Take over the spools of programs that are gone: end what they left open, send what they left."""
        try:
            self.settings.now()
            for spool in self._clerk.ask(lambda: orphans(self._spool.path.parent)).result():
                self._sender.add(spool)
                self._finish_open(spool)
        except Exception:
            log.exception("looking for spools that other programs left in %s", self._spool.path.parent)
        finally:
            self._adopted.set()

    def _finish_open(self, spool: Spool) -> None:
        try:
            left_open = self._clerk.ask(spool.open_datasets).result()
        except (sqlite3.Error, ValueError) as error:
            log.error("the datasets that %s left open cannot be read: %s", spool.path, error)
            return
        for left in left_open:
            record = left.record
            if record.ending is None:
                record = compose.interrupted(record, left.points, left.seen)
                log.warning("dataset %s was left open by a program that ended: it is interrupted", record.uuid)
            try:
                self._finish_or_later(spool, record)
            except Exception:
                log.exception("dataset %s of %s cannot be finished; it stays there", record.uuid, spool.path)

    def _run_pulse(self) -> None:
        noted = ""
        while not self._stopping.wait(PULSE):
            try:
                noted = self._beat(noted)
            except Exception:
                log.exception("looking after the datasets that are being recorded")

    def _beat(self, noted: str) -> str:
        trouble = self._sender.trouble
        if trouble != noted:
            self._clerk.write(lambda: self._spool.note_trouble(trouble))
        points = {uuid: dataset.points for uuid, dataset in list(self._open.items())}
        if points and not self._clerk.trouble:
            self._clerk.write(lambda: self._spool.progress(points))
        for _ in range(len(self._unfinished)):
            self._finish_or_later(*self._unfinished.pop(0))
        return trouble


def _open_spool(folders: list[Path], program: str) -> Spool:
    """A spool in the first folder that takes one. OSError, of the first folder, if none does."""
    first: OSError | None = None
    who = origin(program)
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o770)
            spool = Spool(folder / f"{who['run']}{SUFFIX}", who)
        except (OSError, sqlite3.Error) as error:
            log.error("there can be no spool in %s: %s", folder, error)
            first = first or OSError(f"no spool in {folder}: {error}")
        else:
            if first is not None:
                log.warning("the spool is in %s instead", folder)
            return spool
    raise first or OSError("no folder for the spool")


# ------------------------------------------------------------------ one for the process

_stations: dict[str, Station] = {}
_station_lock = threading.Lock()
_failed: dict[str, tuple[float, str]] = {}


def station(settings: Settings | Path | None = None, program: str = "", timeout: float = 2.0) -> Station:
    """This process's own for these settings, made when first asked for, or when it was closed.

    NotRecorded if it cannot be made, or takes longer; SettingsError for settings that are no good.
    """
    key = f"{settings!r} {program}"
    found = _stations.get(key)
    if found is not None and not found.closed:
        return found
    if not _station_lock.acquire(timeout=timeout):
        raise NotRecorded("SciFish is still starting: its disk is slow or hangs")
    try:
        found = _stations.get(key)
        if found is None or found.closed:
            when, why = _failed.get(key, (0.0, ""))
            if why and time.monotonic() - when < RETRY:
                raise NotRecorded(why)
            try:
                found = _stations[key] = Station(settings_source(settings), program)
            except (OSError, sqlite3.Error) as error:
                _failed[key] = (time.monotonic(), f"SciFish cannot record: {error}")
                raise NotRecorded(_failed[key][1]) from error
        return found
    finally:
        _station_lock.release()


def warm_up() -> None:
    """Make this process's station in the background, so that the first scan finds it ready."""
    threading.Thread(target=_warm_up, name="scifish-start", daemon=True).start()


def _warm_up() -> None:
    try:
        station()
    except NotRecorded as error:
        log.error("%s", error)


def _forget_after_fork() -> None:
    # The threads are gone in the child, and the spool is its parent's.
    global _station_lock
    _stations.clear()
    _station_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
