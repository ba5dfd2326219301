"""What is done behind a measurement: reading values, composing messages, sending them.

It runs in the companion process, and in `scifish flush`. What it is told is on disk already, or
will be when the disk takes it; so what it has not heard of it finds in the spool.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from scifish import compose, snapshot
from scifish.clerk import Clerk
from scifish.compose import Observed, Record
from scifish.crew import Crew
from scifish.datafiles import described, expand
from scifish.message import Message, leaves
from scifish.notice import Notices
from scifish.place import Place, Withheld, is_proprietary
from scifish.plot import PlotError, data_uri, png
from scifish.room import MEGABYTE, shortage
from scifish.sender import Sender
from scifish.settings import Settings, last_good_file, state_directory
from scifish.source import SettingsSource
from scifish.spool import OpenDataset, Spool, as_text, orphans, record_of
from scifish.statistics import Statistics, add_statistics, values_of

log = logging.getLogger(__name__)

PULSE = 1.0
"""Seconds between two looks at what is to be done."""

LOOK = 300.0
"""Seconds between two looks for spools of programs that are gone."""

WORKERS = 8
"""Datasets whose values are read, or whose messages are composed, at the same time."""

PATIENCE = 2.0
"""Seconds that the end waits for what is known to be in trouble."""

LAST = 1.0
"""Seconds for each of the threads to end."""

REMEMBERED = 10_000
"""Datasets that are finished: what the disk takes late of them is not a new dataset."""


class Dataset:
    """One dataset of the program, as far as it has been heard of. `lock` is held while it is worked on."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.lock = threading.Lock()
        self.announced = False
        self._observed = False
        self._next: list[Callable[[], object]] = []
        self._guard = threading.Lock()

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
    ) -> None:
        """Begin to send what `own` holds, and to take over what is in `folders`.

        `report` is told what the program may want to know, see `scifish.station`.
        """
        self._settings = settings
        self._own = own
        self._folders = list(dict.fromkeys(folders))
        self._report = report
        self._withheld = Withheld(state_directory() / "withheld")
        self._crew = Crew("scifish-work", WORKERS)
        self._reader = snapshot.Reader()
        self._statistics = Statistics(self._reader)
        self._place = Place(self._reader, last_good_file().with_suffix(".place.json"))
        self.clerk = Clerk()
        self._sender = Sender(self.clerk, settings.known, own)
        self._sender.start()
        self._datasets: dict[str, Dataset] = {}
        self._done: OrderedDict[str, None] = OrderedDict()
        self._guard = threading.Lock()
        self._unfinished: list[tuple[Spool, Record]] = []
        self._stopping = threading.Event()
        self._adopted = threading.Event()
        self._said = ""
        self._limit = 0
        self._shortage = ""
        self._plot_errors: set[str] = set()
        self._notices = Notices(own.origin) if own is not None else None
        report({"place": self._place.last})
        self._catch_up()
        self._next_look = 0.0
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
        with self._guard:
            if record.uuid in self._datasets or record.uuid in self._done:
                return None
            dataset = self._datasets[record.uuid] = Dataset(record)
        if record.observed.values is None:
            self._crew.give(lambda: self._observe(dataset))
        else:
            # Of an earlier companion, which was killed: what it has seen is there.
            self._crew.give(lambda: self._watch(record, self._settings.known()))
            dataset.set_observed()
        if record.ending is not None:
            dataset.when_observed(self._crew.give, lambda: self._send_ended(dataset))
        return dataset

    def _announce(self, dataset: Dataset) -> None:
        if not dataset.announced:
            dataset.announced = True
            dataset.when_observed(self._crew.give, lambda: self._send_began(dataset))

    def _end(self, dataset: Dataset, end: Message) -> None:
        if dataset.record.ending is None:
            dataset.record.ending = end
            dataset.when_observed(self._crew.give, lambda: self._send_ended(dataset))

    def _catch_up(self) -> None:
        """Take what is in the program's spool and has not been heard of."""
        own = self._own
        if own is None or self.clerk.trouble:
            return
        try:
            left_open = self.clerk.ask(own.open_datasets).result()
        except (sqlite3.Error, ValueError) as error:
            log.error("the datasets in %s cannot be read: %s", own.path, error)
            return
        for left in left_open:
            uuid = left.record.uuid
            if uuid in self._done:
                self.clerk.make_room(lambda uuid=uuid: own.forget(uuid))  # type: ignore[misc]
                continue
            dataset = self._begin(left.record) or self._datasets.get(uuid)
            if dataset is not None:
                if left.announced:
                    self._announce(dataset)
                if left.record.ending is not None and dataset.record.ending is None:
                    dataset.record.given = left.record.given
                    self._end(dataset, left.record.ending)

    # ------------------------------------------------------------------- what it does

    def _observe(self, dataset: Dataset) -> None:
        """Read the place and the values at the start, and keep them."""
        record = dataset.record
        try:
            settings = self._settings.now()
            self._watch(record, settings)
            if settings is not None:
                # The place at once and by itself: it may be another when a slow device has answered.
                found, warnings = self._place.read(settings)
                self._keep_observed(record, Observed(found, None, warnings + record.observed.warnings))
                self._report({"place": found})
                self._keep_observed(record, self._with_values(record.observed, settings))
        except Exception:
            log.exception("reading the values of %s", record.uuid)
        finally:
            dataset.set_observed()
            self._report({"observed": record.uuid, **self._seen(record)})

    def _watch(self, record: Record, settings: Settings | None) -> None:
        if settings is not None and record.ending is None:
            self._statistics.watch(record.uuid, settings.entries()[0])

    def _seen(self, record: Record) -> Message:
        values = list(leaves(record.observed.values or {}))
        return {
            "values": len(values),
            "failed": [[where, leaf["error"]] for where, leaf in values if "error" in leaf],
            "withheld": (settings := self._settings.known()) is not None and not self._may_send(record, settings),
        }

    def _keep_observed(self, record: Record, observed: Observed) -> None:
        record.observed = observed
        self._write(lambda own: own.keep(record.uuid, "observed", as_text(asdict(observed))))

    def _with_values(self, observed: Observed, settings: Settings) -> Observed:
        entries, problems = settings.entries()
        readings = self._reader.read([entry.source for entry in entries], settings.snapshot_timeout)
        values = snapshot.as_metadata(entries, readings, settings.max_array_size)
        return replace(observed, values=values, warnings=observed.warnings + problems)

    def _send_began(self, dataset: Dataset) -> None:
        settings = self._settings.known()
        with dataset.lock:
            # Without settings, or when it is already over, the last message says it all.
            if settings is None or dataset.record.ending is not None or not self._may_send(dataset.record, settings):
                return
            began = compose.began(dataset.record, settings, self._origin)
            self._write(lambda own: own.put(settings.topic, began))

    def _send_ended(self, dataset: Dataset) -> None:
        settings = self._settings.known()
        with dataset.lock:
            if settings is not None:
                try:
                    self._add_what_came_later(dataset.record, settings)
                except Exception:
                    log.exception("reading the values of %s at its end", dataset.record.uuid)
            if self._own is not None:
                self._finish_or_later(self._own, dataset.record)

    def _add_what_came_later(self, record: Record, settings: Settings) -> None:
        """Values at the end, and statistics."""
        entries = settings.entries()[0]
        values = record.observed.values
        at_end = [entry for entry in entries if "end" in entry.record]
        # Of a program that is gone it is not known when it ended.
        if values is not None and at_end and not record.single and record.status != "interrupted":
            readings = self._reader.read([entry.source for entry in at_end], settings.snapshot_timeout)
            snapshot.add_end_values(values, at_end, readings, settings.max_array_size)
        seen = values_of(values or {}, entries)
        found = self._statistics.finish(record.uuid, settings.snapshot_timeout, seen)
        if values is not None:
            add_statistics(values, entries, found)

    def _finish_or_later(self, spool: Spool, record: Record) -> None:
        if not self._finish(spool, record):
            self._unfinished.append((spool, record))

    def _finish(self, spool: Spool, record: Record) -> bool:
        """Compose the last message of a dataset; False if no settings are known yet."""
        settings = self._settings.known() or self._settings.now()
        if settings is None:
            return False
        if not self._may_send(record, settings):
            self.clerk.make_room(lambda: spool.forget(record.uuid))
        else:
            if record.observed.values is None:
                record.observed.warnings.append("no attribute was read before the program ended")
            files = described(expand(record.given.get("files")))
            messages = [compose.ended(record, files, settings, spool.origin), *self._picture(record, settings, spool)]
            self.clerk.write(lambda: spool.put(settings.topic, *messages, closes=True)).add_done_callback(
                lambda _: self._sender.wake()
            )
        with self._guard:
            self._datasets.pop(record.uuid, None)
            self._done[record.uuid] = None
            if len(self._done) > REMEMBERED:
                self._done.popitem(last=False)
        return True

    def _picture(self, record: Record, settings: Settings, spool: Spool) -> list[Message]:
        """The annotation with the dataset's plot, if it has one."""
        plot = record.given.get("plot")
        if not plot:
            return []
        try:
            image = {"caption": str(plot.get("title") or "plot"), "uri": data_uri(png(plot))}
        except PlotError as error:
            if str(error) not in self._plot_errors:  # said once: without matplotlib it is the same for each scan
                log.warning("%s", error)
            self._plot_errors.add(str(error))
            return []
        except Exception:
            log.exception("drawing the plot of dataset %s", record.uuid)
            return []
        proposal = record.said("proposalId")
        return [compose.annotation(record.uuid, {"image": image}, time.time(), proposal, settings, spool.origin)]

    def _write(self, work: Callable[[Spool], object]) -> None:
        """Into the program's spool."""
        own = self._own
        if own is not None:
            self.clerk.write(lambda: work(own)).add_done_callback(lambda _: self._sender.wake())

    @property
    def _origin(self) -> Message:
        return self._own.origin if self._own is not None else {}

    def _may_send(self, record: Record, settings: Settings) -> bool:
        proposal = record.said("proposalId")
        place = record.observed.place
        category = place.get("category", "") if proposal == place.get("proposalId") else ""
        if settings.send_proprietary or not is_proprietary(proposal, category):
            return True
        self._withheld.add(record.uuid)
        return False

    # ------------------------------------------------------------- programs that are gone

    def _adopt(self) -> None:
        """Take over the spools of programs that are gone: end what they left open, send what they left."""
        try:
            self._settings.now()
            for folder in self._folders:
                try:
                    found = self.clerk.ask(lambda folder=folder: orphans(folder)).result()  # type: ignore[misc]
                except OSError as error:
                    log.error("the spools in %s cannot be looked at: %s", folder, error)
                    continue
                for spool in found:
                    self._sender.add(spool)
                    self._finish_open(spool)
        except Exception:
            log.exception("looking for spools that other programs left")
        finally:
            self._adopted.set()

    def _finish_open(self, spool: Spool) -> None:
        try:
            left_open = self.clerk.ask(spool.open_datasets).result()
        except (sqlite3.Error, ValueError) as error:
            log.error("the datasets that %s left open cannot be read: %s", spool.path, error)
            return
        for left in left_open:
            try:
                self._finish_or_later(spool, _over(left))
            except Exception:
                log.exception("dataset %s of %s cannot be finished; it stays there", left.record.uuid, spool.path)

    # ----------------------------------------------------------------------- the pulse

    def _run_pulse(self) -> None:
        while not self._stopping.is_set():
            try:
                self._beat()
            except Exception:
                log.exception("looking after the datasets that are being recorded")
            self._stopping.wait(PULSE)

    def _beat(self) -> None:
        settings = self._settings.known()
        if settings is not None and self._own is not None:
            self._look_at_room(self._own, settings.spool_limit * MEGABYTE)
        trouble = self.trouble()
        if trouble != self._said:
            self._said = trouble
            self._report({"trouble": trouble})
            why = self._sender.trouble
            self._write(lambda own: own.note_trouble(why))
        if settings is not None and self._notices is not None:
            self._notices.say(settings.scidog, trouble)
        self._catch_up()
        if time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + LOOK
            self._crew.give(self._adopt)
        for _ in range(len(self._unfinished)):
            self._finish_or_later(*self._unfinished.pop(0))

    def _look_at_room(self, own: Spool, limit: int) -> None:
        if limit != self._limit:
            self._limit = limit
            self.clerk.make_room(lambda: own.set_limit(limit))
            self._report({"limit": limit})
        try:
            used = self.clerk.ask(own.size).result(PULSE)
            self._shortage = shortage(own.path.parent, used, limit)
        except TimeoutError:
            pass  # it is busy; `Clerk.trouble` says so where it hangs
        except (OSError, sqlite3.Error) as error:
            self._shortage = f"the disk of the spool ({own.path.parent}) does not answer: {error}"

    def trouble(self) -> str:
        """Why something does not go its usual way, for a person; "" if all is well."""
        if self.clerk.trouble:
            return f"metadata are in memory only, the disk of the spool takes nothing ({self.clerk.trouble})"
        if self._shortage:
            return self._shortage
        if self._sender.trouble:
            return f"metadata are kept on this machine until Kafka takes them ({self._sender.trouble})"
        return ""

    def flush(self, timeout: float, progress: Callable[[int], None]) -> int:
        """Send all that waits, for at most `timeout` seconds; how many messages are left.

        `progress` is told now and then how many still wait.
        """
        deadline = time.monotonic() + timeout
        self._adopted.wait(timeout)
        while (left := self.left()) and time.monotonic() < deadline:
            progress(left)
            self._stopping.wait(0.2)
        return left

    def left(self) -> int:
        """How many messages, and datasets whose last message is not composed, are not with Kafka."""
        return self._sender.waiting() + len(self._unfinished) + len(self._datasets)

    def leave(self, timeout: float, finish: bool) -> None:
        """Send what can be sent in `timeout` seconds, and let go of all spools.

        `finish` says that the program is gone: what it left open is over, and nobody else needs its spool.
        """
        deadline = time.monotonic() + timeout
        self._stopping.set()
        if finish:
            self._catch_up()
            self._interrupt()
        patience = time.monotonic() + PATIENCE
        while (self._datasets if finish else self._busy()) or self._sender.waiting():
            now = time.monotonic()
            if now > deadline or (now > patience and (self.trouble() or self._settings.known() is None)):
                break
            time.sleep(0.02)
        self._crew.stop()
        self._statistics.close()
        self._reader.close()
        self._sender.stop(LAST)
        own = self._own
        if own is not None:
            sending = self._sender.is_alive()  # it waits for a broker that does not answer

            def let_go() -> None:
                if not finish:
                    own.leave()
                elif not sending or own.empty:
                    own.close()

            self.clerk.ask(let_go)
        self.clerk.stop(LAST)

    def _busy(self) -> bool:
        return any(dataset.record.ending is not None for dataset in list(self._datasets.values()))

    def _interrupt(self) -> None:
        """Nobody will end what is open: its last sign of life is its end."""
        kept = {}
        own = self._own
        if own is not None and not self.clerk.trouble:
            kept = {left.record.uuid: left for left in self.clerk.ask(own.open_datasets).result()}
        for dataset in list(self._datasets.values()):
            record = dataset.record
            if record.ending is not None:
                continue
            if record.uuid in kept:
                record.given = kept[record.uuid].record.given
                over = _over(kept[record.uuid])
            else:
                over = _over(OpenDataset(record, 0, record.started, False))
            if over.ending is not None:
                self._end(dataset, over.ending)


def _over(left: OpenDataset) -> Record:
    """The record of a dataset whose program is gone: what it did not end is interrupted."""
    record = left.record
    if record.ending is None:
        record = compose.interrupted(record, left.points, left.seen)
        log.warning("dataset %s was left open by a program that ended: it is interrupted", record.uuid)
    return record
