"""What is done behind a measurement: reading values, composing messages, sending them.

It runs in the companion process, and in `scifish flush`. What it is told is on disk already, or
will be when the disk takes it; so what it has not heard of it finds in the spool.
"""

from __future__ import annotations

import itertools
import logging
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from scifish.attributes import reader
from scifish.attributes.cache import Lately, Seen, see
from scifish.attributes.pathfixer import Place
from scifish.attributes.statistics import Statistics, add_statistics, values_of
from scifish.companion.finalizer import Finisher
from scifish.companion.orphans import Heir, over
from scifish.companion.scidog_reports import MEGABYTE, Notices, shortage
from scifish.dataset import compose
from scifish.dataset.compose import Observed, Record
from scifish.dataset.proprietary import Withheld
from scifish.message import Message, iso, leaves
from scifish.settings import Settings, last_good_file, state_directory
from scifish.settings.entries import Entry
from scifish.settings.sources import SettingsSource
from scifish.spool.database import OpenDataset, Spool, as_text, record_of
from scifish.spool.executor import Clerk
from scifish.spool.sender import Sender
from scifish.tango_io.executors import Crew, Later

log = logging.getLogger(__name__)

PULSE = 1.0
"""Seconds between two looks at what is to be done."""

FIRST_LOOK = 10.0
LOOK = 300.0
"""Seconds between the first two looks for spools of programs that are gone, and at most between later ones.

The companion of a program that was killed goes on for some seconds when its successor looks first.
"""

PREPARING = 0.05
"""Seconds that a measurement has for itself when it has begun, before values are read for it.

A scan computes until its first point is under way, and waits for its hardware from then on: what
is read in between costs it nothing, and what is read at once cost it 10 ms (two cores, 500 attributes).
"""

CLEARING = 0.03
"""The same when it is over, before its last message is composed. Values at its end are read at once."""

NEWS = 0.25
"""Seconds until others are told that it has begun. One that is over by then has one message less to be made."""

WORKERS = 8
"""Datasets whose values are read, or whose messages are composed, at the same time."""

PATIENCE = 2.0
"""Seconds that the end waits for what is known to be in trouble, and for the disk's answers."""

HOLD = 600.0
"""Seconds that the end waits for a disk that refuses: nobody else has what is in memory."""

LAST = 1.0
"""Seconds for each of the threads to end."""

LOOKING = 30.0
"""Seconds that a flush waits at least until it has looked at what there is: else it would say that nothing is left."""

REMEMBERED = 10_000
"""Datasets that are finished: what the disk takes late of them is not a new dataset."""


class Dataset:
    """One dataset of the program, as far as it has been heard of. `lock` is held while it is worked on.

    `number` grows from one that is heard of to the next.
    """

    def __init__(self, record: Record, number: int) -> None:
        self.record = record
        self.number = number
        self.lock = threading.Lock()
        self.announced = False
        self.entries: list[Entry] | None = None
        """What was configured when it began: another configuration is for the next one."""
        self._started = False
        self._observed = False
        self.before: Dataset | None = None
        """An earlier recording of the same dataset, whose message goes first."""
        self.gone = False
        """Whether it is done with."""
        self._next: list[Callable[[], object]] = []
        self._guard = threading.Lock()

    def start(self) -> bool:
        """Whether nobody reads its values yet: the caller is the one who does."""
        with self._guard:
            first, self._started = not self._started, True
        return first

    def when_observed(self, give: Callable[[Callable[[], object]], None], work: Callable[[], object]) -> None:
        """`give` the work to somebody once the values at the start are read."""
        with self._guard:
            if not self._observed:
                self._next.append(lambda: give(work))
                return
        give(work)

    def set_observed(self) -> None:
        with self._guard:
            self._observed = True
        for then in self._next:
            then()


class Keeper:
    """Looks after the spool of one program, and after those of programs that are gone."""

    def __init__(
        self,
        settings: SettingsSource,
        own: Spool | None,
        folders: Sequence[Path],
        report: Callable[[Message], None],
        clerk: Clerk | None = None,
    ) -> None:
        """Begin to send what `own` holds, and to take over what is in `folders`.

        `report` is told what the program may want to know, see `scifish.recording.session`; `clerk` uses the disk.
        """
        self._settings = settings
        self._own = own
        self._report = report
        self._crew = Crew("scifish-work", WORKERS)
        self._later = Later(self._crew)
        self._numbers = itertools.count(1)
        self._reader = reader.Reader()
        self._lately = Lately(self._reader)
        self._statistics = Statistics(self._reader)
        self._place = Place(self._reader, last_good_file().with_suffix(".place.json"))
        self.clerk = clerk or Clerk()
        self._sender = Sender(self.clerk, settings.known, own)
        self._finisher = Finisher(self.clerk, self._sender, settings, Withheld(state_directory() / "withheld"))
        self._heir = Heir(self.clerk, self._sender, self._finisher, folders)
        self._datasets: dict[str, Dataset] = {}
        self._latest: dict[str, Dataset] = {}  # of those that may be recorded again, by the dataset's uuid
        self._waiting: list[Dataset] = []  # for settings, or for the recording before
        self._done: OrderedDict[str, bool] = OrderedDict()
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._said = ""
        self._limit = 0
        self._shortage = ""
        self._next_look = 0.0
        self._look_after = FIRST_LOOK
        self._notices = Notices(own.origin) if own is not None else None
        report({"place": self._place.last(settings.known())})
        self._sender.start()
        self._catch_up()
        threading.Thread(target=self._run_pulse, name="scifish-pulse", daemon=True).start()

    # --------------------------------------------------------------- told by the program

    def hear(self, kind: str, uuid: str, content: Message | None) -> None:
        """`begin`, `announce` or `end` of a dataset, or `wake`: there is a message in the spool.

        Each may be heard again, and may be missing: then the spool has it.
        """
        if kind == "wake":
            self._sender.wake()
            return
        if content is None:
            return
        if kind == "begin":
            announced = content.pop("announced")
            dataset = self._begin(record_of(uuid, **content))
            if dataset is not None and announced:
                self._announce(dataset)
            return
        known = self._datasets.get(uuid)
        if known is None:
            return  # it is in the spool, and found there
        if content["given"] is not None and known.record.ending is None:
            known.record.given = content["given"]
        if kind == "announce":
            self._announce(known)
        elif kind == "end":
            self._end(known, content["ending"])

    def _begin(self, record: Record) -> Dataset | None:
        """None if it is known."""
        with self._guard:
            if record.uuid in self._datasets or record.uuid in self._done:
                return None
            dataset = self._datasets[record.uuid] = Dataset(record, next(self._numbers))
            if record.dataset != record.uuid:
                dataset.before = self._latest.get(record.dataset)
                self._latest[record.dataset] = dataset
        if record.observed.values is None:
            delay = PREPARING if record.ending is None else 0.0
            self._later.give(delay, lambda: self._observe(dataset))
        else:
            # Of an earlier companion, which was killed: what it has seen is there.
            dataset.start()
            self._watch(dataset, self._settings.known())
            dataset.set_observed()
        if record.ending is not None:
            dataset.when_observed(self._crew.give, lambda: self._send_ended(dataset))
        return dataset

    def _announce(self, dataset: Dataset) -> None:
        if not dataset.announced:
            dataset.announced = True
            self._later.give(NEWS, lambda: dataset.when_observed(self._crew.give, lambda: self._send_began(dataset)))

    def _end(self, dataset: Dataset, end: Message) -> None:
        with self._guard:
            if dataset.record.ending is not None:
                return
            dataset.record.ending = end
        self._crew.give(lambda: self._observe(dataset))  # if it was so short that nobody does yet
        dataset.when_observed(self._crew.give, lambda: self._send_ended(dataset))

    def _catch_up(self) -> None:
        """Take what is in the program's spool and has not been heard of."""
        own = self._own
        if own is None or self.clerk.trouble:
            return
        unheard: set[str] = set()
        for uuid, announced, ended in self.clerk.ask(own.open_states).result(PATIENCE):
            known = self._datasets.get(uuid)
            if self._done.get(uuid):
                self.clerk.make_room(lambda uuid=uuid: own.forget(uuid))  # type: ignore[misc]
            elif uuid not in self._done and (known is None or (ended and known.record.ending is None)):
                unheard.add(uuid)
            elif known is not None and announced:
                self._announce(known)
        for left in self._open_datasets(own, unheard) if unheard else ():
            dataset = self._begin(left.record) or self._datasets.get(left.record.uuid)
            if left.record.uuid in unheard and dataset is not None:
                if left.announced:
                    self._announce(dataset)
                if left.record.ending is not None and dataset.record.ending is None:
                    dataset.record.given = left.record.given
                    self._end(dataset, left.record.ending)

    def _open_datasets(self, own: Spool, only: set[str] | None = None) -> list[OpenDataset]:
        return self.clerk.ask(lambda: own.open_datasets(only)).result(PATIENCE)

    # ------------------------------------------------------------------- what it does

    def _observe(self, dataset: Dataset) -> None:
        """Read the place and the values at the start, and keep them; once."""
        record = dataset.record
        if not dataset.start():
            return
        try:
            settings = self._settings.now()
            self._watch(dataset, settings)
            if settings is not None:
                if "place" not in record.given:
                    self._look_around(record, settings)
                    seen = see(self._reader, settings)
                else:  # what is told of afterwards may come by the hundred in a second
                    seen = self._lately.read(settings)
                warnings = record.observed.warnings + seen.problems
                self._keep_observed(record, replace(record.observed, values=seen.values, warnings=warnings))
                self._show(dataset, settings, seen)
        except Exception:
            log.exception("reading the values of %s", record.uuid)
        finally:
            dataset.set_observed()
            if "place" not in record.given:
                self._report({"observed": record.uuid, **self._seen(record)})

    def _look_around(self, record: Record, settings: Settings) -> None:
        """The place at once and by itself: it may be another when a slow device has answered."""
        found, warnings = self._place.read(settings)
        self._keep_observed(record, Observed(found, None, warnings + record.observed.warnings))
        self._report({"place": found})

    def _watch(self, dataset: Dataset, settings: Settings | None) -> None:
        if settings is not None and not dataset.record.single:
            dataset.entries = settings.entries()[0]
            if dataset.record.ending is None:
                self._statistics.watch(dataset.record.uuid, dataset.entries)

    def _seen(self, record: Record) -> Message:
        settings = self._settings.known()
        values = list(leaves(record.observed.values or {}))
        return {
            "values": len(values),
            "failed": [[where, leaf["error"]] for where, leaf in values if "error" in leaf],
            "withheld": settings is not None and not self._finisher.may_send(record, settings),
        }

    def _keep_observed(self, record: Record, observed: Observed) -> None:
        record.observed = observed
        if "place" in record.given:
            return  # its message is composed at once: where that is cut short, they are read again
        kept = as_text(observed.as_kept())
        self._write(lambda own: own.keep_observed(record.uuid, kept))

    def _show(self, dataset: Dataset, settings: Settings, seen: Seen) -> None:
        """For SciDog's LastSnapshot. What is proprietary has its title for itself."""
        if self._notices is not None:
            record = dataset.record
            name = record.said("datasetName") if self._finisher.may_send(record, settings) else ""
            about = {"uuid": record.dataset, "name": name, "time": iso(record.started)}
            self._notices.remember(dataset.number, {**about, "values": seen.count, "failed": seen.failed})

    def _send_began(self, dataset: Dataset) -> None:
        settings = self._settings.known()
        with dataset.lock:
            record = dataset.record
            # Without settings, or when it is already over, the last message says it all.
            if settings is None or record.ending is not None or not self._finisher.may_send(record, settings):
                return
            self._write(lambda own: own.put(settings.topic, compose.began(record, settings, own.origin)))

    def _send_ended(self, dataset: Dataset) -> None:
        settings = self._settings.known()
        with dataset.lock:
            if settings is not None and not dataset.record.single:
                try:
                    self._add_what_came_later(dataset.record, dataset.entries or [], settings)
                except Exception:
                    log.exception("reading the values of %s at its end", dataset.record.uuid)
        delay = 0.0 if dataset.record.single else CLEARING
        self._later.give(delay, lambda: self._finish(dataset))

    def _add_what_came_later(self, record: Record, entries: list[Entry], settings: Settings) -> None:
        """Values at the end, and statistics."""
        values = record.observed.values or {}
        # Where a companion was killed meanwhile, the configuration may be another than at the start.
        entries = [entry for entry in entries if entry.name in (values.get(entry.group, {}) if entry.group else values)]
        at_end = [entry for entry in entries if "end" in entry.record]
        # Of a program that is gone it is not known when it ended.
        if at_end and record.status != "interrupted":
            readings = self._reader.read([entry.source for entry in at_end], settings.snapshot_timeout)
            reader.add_end_values(values, at_end, readings, settings.max_array_size)
        found = self._statistics.finish(record.uuid, settings.snapshot_timeout, values_of(values, entries))
        add_statistics(values, entries, found)

    def _finish(self, dataset: Dataset) -> None:
        own = self._own
        if own is None:
            return
        if dataset.before is not None and not dataset.before.gone:
            self._waiting.append(dataset)
            return
        try:
            written = self._finisher.finish(own, dataset.record)
        except Exception as error:
            log.exception("composing the last message of dataset %s", dataset.record.uuid)
            self._let_go(dataset, error)
            return
        if written is None:
            self._waiting.append(dataset)
        else:
            written.add_done_callback(lambda written: self._let_go(dataset, _failure(written)))

    def _let_go(self, dataset: Dataset, error: BaseException | None) -> None:
        """It is done with. What could not be finished stays on disk, for a later program of a newer version."""
        uuid = dataset.record.uuid
        if error is not None:
            log.error("dataset %s cannot be finished (%s): it stays in the spool", uuid, error)
        with self._guard:
            self._datasets.pop(uuid, None)
            dataset.gone, dataset.before = True, None
            if self._latest.get(dataset.record.dataset) is dataset:
                del self._latest[dataset.record.dataset]
            self._done[uuid] = error is None
            if len(self._done) > REMEMBERED:
                self._done.popitem(last=False)

    def _write(self, work: Callable[[Spool], object]) -> None:
        """Into the program's spool."""
        own = self._own
        if own is not None:
            self.clerk.write(lambda: work(own)).add_done_callback(lambda _: self._sender.wake())

    # ----------------------------------------------------------------------- the pulse

    def _run_pulse(self) -> None:
        while not self._stopping.is_set():
            try:
                self._beat()
            except TimeoutError:
                pass  # as in `_look_at_room`
            except Exception:
                log.exception("looking after the datasets that are being recorded")
            self._stopping.wait(PULSE)

    def _beat(self) -> None:
        settings = self._settings.known()
        if settings is not None and self._own is not None:
            self._look_at_room(self._own, settings.spool_limit * MEGABYTE)
        self._tell_trouble(settings)
        if time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + self._look_after
            self._look_after = min(2 * self._look_after, LOOK)
            self._crew.give(self._adopt)
        if settings is not None:
            self._heir.try_again()
            for _ in range(len(self._waiting)):
                self._finish(self._waiting.pop(0))
        else:
            self._settings.now()
        self._catch_up()

    def _adopt(self) -> None:
        self._settings.now()
        self._heir.look()

    def _tell_trouble(self, settings: Settings | None) -> None:
        trouble = self.trouble()
        if trouble != self._said:
            self._said = trouble
            self._report({"trouble": trouble})
            self._note(self._sender.trouble)
        if settings is not None and self._notices is not None:
            self._notices.say(settings.scidog, trouble)
            self._notices.show(settings.scidog)

    def _note(self, trouble: str) -> None:
        """For `scifish status`, also in the spools that are adopted."""
        for spool in self._sender.spools:
            self.clerk.ask(lambda spool=spool: spool.note_trouble(trouble))  # type: ignore[misc]

    def _look_at_room(self, own: Spool, limit: int) -> None:
        if limit != self._limit:
            self._limit = limit
            self.clerk.make_room(lambda: own.set_limit(limit))
            self._report({"limit": limit})
        try:
            self._shortage = shortage(own.path.parent, self.clerk.ask(own.size).result(PATIENCE), limit)
        except (OSError, sqlite3.Error) as error:
            if not isinstance(error, TimeoutError):  # it is busy; `Clerk.trouble` says so where it hangs
                self._shortage = f"the disk of the spool ({own.path.parent}) does not answer: {error}"

    def trouble(self) -> str:
        """Why something does not go its usual way, for a person; "" if all is well."""
        if self.clerk.trouble:
            return self.clerk.warning
        if self._shortage:
            return self._shortage
        if self._sender.trouble:
            return f"metadata are kept on this machine until Kafka takes them ({self._sender.trouble})"
        return ""

    # ------------------------------------------------------------------------ the end

    def flush(self, timeout: float, progress: Callable[[int], None]) -> int:
        """Send all that waits, for at most `timeout` seconds; how many messages are left.

        `progress` is told now and then how many still wait.
        """
        deadline = time.monotonic() + timeout
        if not self._heir.looked.wait(max(timeout, LOOKING)):
            log.error("the spools could not be looked at: the disk is slow or hangs")
        while (left := self._left()) and time.monotonic() < deadline:
            progress(left)
            self._stopping.wait(0.2)
        if left:
            self._note(self._sender.trouble or f"Kafka has not taken them within {timeout:g} s")
        return left

    def _left(self) -> int:
        """How many messages, and datasets whose last message is not composed, are not with Kafka."""
        unseen = 0 if self._heir.looked.is_set() else 1
        return unseen + self._sender.waiting() + self._heir.unfinished + len(self._datasets)

    def leave(self, timeout: float, finish: bool) -> None:
        """Send what can be sent in `timeout` seconds, and let go of all spools.

        `finish` says that the program is gone: what it left open is over, and nobody else needs its spool.
        """
        start = time.monotonic()
        self._stopping.set()
        self._later.stop()
        if finish:
            self._interrupt()
        while self._is_busy(finish):
            waited = time.monotonic() - start
            hopeless = bool(self.trouble()) or self._settings.known() is None
            if self.clerk.trouble and finish and timeout > PATIENCE:
                if waited > HOLD:
                    break
            elif waited > timeout or (waited > PATIENCE and hopeless):
                break
            time.sleep(0.02)
        self._crew.stop()
        self._statistics.close()
        self._reader.close()
        self._sender.stop(LAST)
        self.clerk.stop(LAST, lambda: self._let_go_of_spool(finish))

    def _let_go_of_spool(self, finish: bool) -> None:
        own = self._own
        if own is not None and not finish:
            own.leave()
        elif own is not None and (not self._sender.is_alive() or own.empty):  # else it waits for a broker's answer
            own.close()

    def _is_busy(self, finish: bool) -> bool:
        datasets = list(self._datasets.values())
        if datasets and (finish or any(dataset.record.ending is not None for dataset in datasets)):
            return True
        try:
            return self._sender.waiting(PATIENCE) > 0
        except TimeoutError:
            return True

    def _interrupt(self) -> None:
        """Nobody will end what is open: its last sign of life is its end."""
        own = self._own
        kept: dict[str, OpenDataset] = {}
        if own is not None and not self.clerk.trouble:
            try:
                self._catch_up()
                kept = {left.record.uuid: left for left in self._open_datasets(own)}
            except (TimeoutError, sqlite3.Error, ValueError) as error:
                log.error("the spool %s cannot be read: %r", own.path, error)
        for dataset in list(self._datasets.values()):
            record = dataset.record
            left = kept.get(record.uuid) or OpenDataset(record, 0, record.started, False)
            if record.ending is None:
                record.given = left.record.given
                self._end(dataset, over(left).ending or {})


def _failure(written: Future[object]) -> BaseException | None:
    return None if written.cancelled() else written.exception()
