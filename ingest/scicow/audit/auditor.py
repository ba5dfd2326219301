"""Collects what messages, dead letters, spools and the catalogue have; `audit.compare` compares it.

SciCow keeps running, so the order matters: first its committed offsets, then the dead letters,
the messages, and the catalogue last. What it was done with at the beginning must then be in one of
them; what came later is on its way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import Message as KafkaMessage

from ingest.scicat import SciCat, SciCatError
from ingest.scicow import mapping
from ingest.scicow.audit import compare
from ingest.scicow.audit.compare import AUDITED_FIELDS
from ingest.scicow.audit.findings import (
    AuditFinding,
    AuditReport,
    Problem,
    dataset_finding,
    gap_finding,
    missing_dataset,
    some,
)
from ingest.scicow.audit.ledger import ExpectedDataset, Ledger, MessageFacts, digest, file_lists, gaps, mark, number_of
from ingest.scicow.audit.spool_listing import SpoolListing
from ingest.scicow.dead_letters.topic import REPLAYED, DeadLetterTopic, Fate
from ingest.scicow.kafka.range_arguments import iso_seconds
from ingest.scicow.kafka.resend import original_of
from ingest.scicow.kafka.topics import MessagePosition, OffsetRange, TopicReader
from ingest.scicow.settings import SciCowSettings

T = TypeVar("T")
Json = dict[str, Any]
Fates = Mapping[MessagePosition, Fate]

DATASETS_PER_PAGE = 500
PIDS_PER_CALL = 50
"""So that the URL, which contains them, stays below the limit of proxies (8 kB)."""

MAX_EXACT_DATASETS = 2000
"""Maximum number of datasets whose wrong files are named."""

MAX_LOST_MESSAGES = 1000
EDGE_SECONDS = 60.0
"""Seconds at both ends of the range in which a gap is not judged."""

CREATION_MARGIN_SECONDS = 30 * 86_400.0
"""Seconds that a dataset was made before or after the range, and is still looked for by its time."""

RETRY_WAITS_SECONDS = (1.0, 4.0)
"""Seconds between tries, where SciCat fails in a way that passes."""


@dataclass(frozen=True)
class AuditOptions:
    """`begin` and `end` in s since 1970; `running_after` in s; `thorough` looks at each dataset's files."""

    begin: float
    end: float
    running_after: float
    thorough: bool


class Auditor:
    """One audit. Raises TopicError and SciCatError where it cannot be done."""

    def __init__(
        self,
        settings: SciCowSettings,
        topics: TopicReader,
        client: SciCat,
        ranges: list[OffsetRange],
        options: AuditOptions,
        progress: Callable[[str, int], Callable[[int], None]],
    ) -> None:
        self.report = AuditReport(options.begin, options.end)
        self.dead: set[MessagePosition] = set()
        """Originals that wait, or were dropped, as dead letters."""
        self._settings = settings
        self._topics = topics
        self._client = client
        self._ranges = ranges
        self._options = options
        self._progress = progress
        self._ledger = Ledger()
        self._found: set[str] = set()
        self._elsewhere: dict[str, list[str]] = {}
        self._doubtful: dict[str, tuple[Json, list[Problem]]] = {}
        self._recording: dict[str, bool] = {}
        self._complete = 0
        self._read = 0
        self._running = 0

    def audit(self, spools: Iterable[SpoolListing]) -> AuditReport:
        committed = self._topics.committed(self._ranges)
        self._deleted_unread(committed)
        fates = self._letters()
        self._messages(committed, fates)
        known = self._spooled(spools)
        self._catalogue()
        self._files()
        self._not_found()
        begin, end = self._options.begin + EDGE_SECONDS, self._options.end - EDGE_SECONDS
        self.report.findings += map(gap_finding, gaps(self._ledger, known, begin, end))
        pending = sum(one.pending for one in self._ledger.datasets.values())
        self.report.counts = {
            "messages": self._read,
            "datasets": len(self._ledger.datasets),
            "complete": self._complete,
            "on their way": pending,
            "still running": self._running,
            **self.report.counts,
        }
        return self.report

    # ------------------------------------------------------------------- what Kafka has

    def _deleted_unread(self, committed: Mapping[tuple[str, int], int]) -> None:
        """What Kafka has deleted beyond SciCow's committed offset; SciCow has not seen it yet."""
        for each in self._ranges:
            number = each.first_available - committed.get((each.topic, each.partition), each.first_available)
            if number > 0:
                what = (
                    f"{each.topic}[{each.partition}]: {number} messages before offset {each.first_available} were "
                    "deleted by Kafka before SciCow had read them: `scifish resend --since` on the beamline's machine "
                    "sends them again",
                )
                self.report.findings.append(AuditFinding("lost", what, topic=each.topic))

    def _letters(self) -> Fates:
        by_partition = {(each.topic, each.partition): each for each in self._ranges}

        def wanted(place: MessagePosition) -> bool:
            inside = by_partition.get((place.topic, place.partition))
            return inside is not None and place in inside

        count = self._progress("dead letters", 0)
        fates, lost = DeadLetterTopic(self._topics, self._settings.dead_letter_topic).fates(wanted, count)
        topics = {each.topic for each in self._ranges}
        for letter, settled in lost:
            if settled is None and letter.topic in topics:
                what = (f"{letter.id}: {letter.reason}",)
                self.report.findings.append(AuditFinding("lost", what, topic=letter.topic))
        for place, (letter, settled) in fates.items():
            if settled is None:
                what = (f"{letter.id}: {letter.reason}",)
                found = AuditFinding("dead letter", what, letter.uuid, letter.name, letter.beamline, letter.topic)
                self.report.findings.append(found)
            if settled is None or settled.how != REPLAYED:
                self.dead.add(place)
        self.report.counts["dropped"] = sum(
            settled is not None and settled.how != REPLAYED for _, settled in fates.values()
        )
        return fates

    def _messages(self, committed: Mapping[tuple[str, int], int], fates: Fates) -> None:
        def not_done(place: MessagePosition) -> bool:
            return place.offset >= committed.get((place.topic, place.partition), 0)

        lost = 0
        for message in self._all("messages"):
            self._read += 1
            first = original_of(message)
            _, settled = fates.get(first, (None, None))
            pending = not_done(MessagePosition.of(message))
            if settled is not None and settled.to is not None:
                pending |= not_done(settled.to)
            value, when = message.value() or b"", message.timestamp()[1] / 1000
            facts = MessageFacts.of(value)
            numbered = (facts.run, facts.seq) if facts else number_of(value)
            if numbered:
                self._ledger.number(*numbered, first.topic, when)
            if first in self.dead:
                continue
            if facts:
                self._ledger.expect(facts, first.topic, when, pending)
            elif not pending:
                lost += 1
                if lost <= MAX_LOST_MESSAGES:
                    what = (f"{MessagePosition.of(message)} cannot be read, and is not a dead letter",)
                    self.report.findings.append(AuditFinding("lost", what, topic=first.topic))
        if lost > MAX_LOST_MESSAGES:
            self.report.notes.append(f"{lost:,} messages are lost in this way; the first {MAX_LOST_MESSAGES} are named")

    def _all(self, what: str) -> Iterator[KafkaMessage]:
        count = self._progress(what, sum(map(len, self._ranges)))
        for number, message in enumerate(self._topics.read(self._ranges), start=1):
            count(number)
            yield message

    # --------------------------------------------------------------- what the spools have

    def _spooled(self, spools: Iterable[SpoolListing]) -> dict[str, set[int]]:
        """The `seq` of what is in them, by run."""
        topics = {each.topic for each in self._ranges}
        known: dict[str, set[int]] = {}
        waiting = 0
        for listing in spools:
            self.report.notes += listing.problems
            self._recording |= {each.uuid: each.alive for each in listing.recording}
            for each in listing.messages:
                if each.topic not in topics:
                    continue
                known.setdefault(each.run, set()).add(each.seq)
                one = self._ledger.datasets.get(each.uuid)
                if one is not None and mark(each.run, each.seq) in one.seen:
                    continue  # sent since the list was made
                if each.refused:
                    what = (f"message {each.seq} of run {each.run}: {each.refused}",)
                    self.report.findings.append(AuditFinding("refused", what, each.uuid, each.name, topic=each.topic))
                    continue
                waiting += 1
                if one is not None:
                    one.pending = True
        self.report.counts["messages in spools"] = waiting
        return known

    # ------------------------------------------------------------- what the catalogue has

    def _catalogue(self) -> None:
        """Reads the datasets created in the time of the messages page by page, then the others by pid."""
        datasets = self._ledger.datasets
        if not datasets:
            return
        # A message may say any time: for one alone not all of the catalogue is read.
        begin, end = self._options.begin - CREATION_MARGIN_SECONDS, self._options.end + CREATION_MARGIN_SECONDS
        times = [one.created for one in datasets.values() if begin <= one.created <= end]
        if times:
            self._made_between(iso_seconds(min(times)), iso_seconds(max(times) + 1))
        left = [uuid for uuid, one in datasets.items() if uuid not in self._found and not one.pending]
        count = self._progress("datasets asked for by their pid", len(left))
        for start in range(0, len(left), PIDS_PER_CALL):
            pids = [self._pid(uuid) for uuid in left[start : start + PIDS_PER_CALL]]
            for row in self._page({"pid": {"inq": pids}}, PIDS_PER_CALL):
                self._row(row)
            count(start)

    def _made_between(self, first: str, last: str) -> None:
        count = self._progress("datasets in the catalogue", 0)
        number = 0
        window: Json = {"creationTime": {"gte": first, "lte": last}}
        where, before = window, ""
        while rows := self._page(where, DATASETS_PER_PAGE):
            if rows[-1]["pid"] == before:
                if len(rows) == 1:
                    return
                raise SciCatError("GET datasets", 0, f"SciCat returns the same page repeatedly, after {before}")
            new = [row for row in rows if row["pid"] != before]
            for row in new:
                self._row(row)
            number += len(new)
            count(number)
            before = rows[-1]["pid"]
            where = {**window, "pid": {"gt": just_below(before)}}

    def _row(self, row: Json) -> None:
        pid = str(row["pid"])
        uuid = pid.rpartition("/")[2]
        expected = self._ledger.datasets.get(uuid)
        if expected is None:
            return
        if pid != self._pid(uuid):
            self._elsewhere.setdefault(uuid, []).append(pid)
            return
        self._found.add(uuid)
        if expected.pending:
            return
        problems = compare.compare(expected, row, [])
        if self._files_are_right(expected, row):
            self._judge(uuid, expected, row, problems)
        else:
            self._doubtful[uuid] = (row, problems)

    def _judge(self, uuid: str, expected: ExpectedDataset, row: Json, problems: list[Problem]) -> None:
        if problems:
            self.report.findings.append(dataset_finding("incomplete", uuid, expected, problems))
        elif not expected.over and expected.began and compare.is_running(row):
            self._is_running(uuid, expected)
        else:
            self._complete += 1

    def _is_running(self, uuid: str, expected: ExpectedDataset) -> None:
        age = time.time() - expected.created
        alive = self._recording.get(uuid)
        if alive or age < self._options.running_after:
            self._running += 1
            return
        text = f"began {age / 3600:,.0f} h ago and has not ended"
        if alive is False:
            text += "; its program has exited: `scifish flush` on its machine ends it"
        self.report.findings.append(dataset_finding("running", uuid, expected, [Problem(text, False)]))

    def _not_found(self) -> None:
        for uuid, one in self._ledger.datasets.items():
            elsewhere = self._elsewhere.get(uuid, [])
            if one.pending:
                continue
            if uuid not in self._found:
                self.report.findings.append(missing_dataset(uuid, one, elsewhere))
            elif elsewhere:
                text = f"exists as {self._pid(uuid)} and as {some(elsewhere)}"
                self.report.findings.append(dataset_finding("double", uuid, one, [Problem(text, False)]))

    # -------------------------------------------------------------------------- files

    def _files_are_right(self, expected: ExpectedDataset, row: Json) -> bool:
        """By SciCat's own counts; where these differ, or if `thorough`, by its lists."""
        if compare.is_newer(expected, row) or (compare.same_count(expected, row) and not self._options.thorough):
            return True
        there = self._listed(row["pid"], expected.files)
        total = sum(digest(str(each["path"]), each["size"]) for each in there)
        return (len(there), total) == (expected.files, expected.digest) and compare.same_count(expected, row)

    def _files(self) -> None:
        """Name what is wrong with the files of the datasets where something is."""
        exact = dict(list(self._doubtful.items())[:MAX_EXACT_DATASETS])
        lists: dict[str, dict[str, int]] = {}
        if exact:
            values = ((original_of(each), each.value() or b"") for each in self._all("messages with files"))
            lists = file_lists(values, exact, self.dead)
        for uuid, (row, problems) in self._doubtful.items():
            expected = self._ledger.datasets[uuid]
            if uuid in exact:
                there = self._listed(row["pid"], expected.files)
                problems = problems + compare.compare_files(lists.get(uuid, {}), there, row)
            else:
                text = f"{row.get('numberOfFiles')} files, where the messages name {expected.files}"
                problems = [*problems, Problem(text, (row.get("numberOfFiles") or 0) < expected.files)]
            self._judge(uuid, expected, row, problems)

    # ------------------------------------------------------------------------ SciCat

    def _page(self, where: Json, limit: int) -> list[Json]:
        return self._with_valid_token(lambda: self._client.datasets(where, AUDITED_FIELDS, "pid:asc", limit))

    def _listed(self, pid: str, wanted: int) -> list[Json]:
        found = self._retrying(lambda: self._client.files(pid))
        # With an expired token there would be fewer, or none.
        return found if len(found) >= wanted else self._with_valid_token(lambda: self._client.files(pid))

    def _with_valid_token(self, call: Callable[[], list[Json]]) -> list[Json]:
        """With a valid token: with an expired one, the answer would contain public datasets only."""
        for _ in range(3):
            found = self._retrying(call)
            if not self._retrying(self._client.revived):
                return found
        raise SciCatError("reading from SciCat", 403, "its tokens expire immediately")

    def _retrying(self, call: Callable[[], T]) -> T:
        for wait in RETRY_WAITS_SECONDS:
            try:
                return call()
            except SciCatError as error:
                if not error.temporary:
                    raise
            time.sleep(wait)
        return call()

    def _pid(self, uuid: str) -> str:
        return mapping.pid_of({"uuid": uuid}, self._settings)


def just_below(pid: str) -> str:
    """A text that comes before this pid, and after all that come before it.

    The real server makes a date of a pid like `samples/17`, and then there is none after it. It makes none of this: a
    letter after a number is in no date.
    """
    return f"{pid[:-1]}{chr(ord(pid[-1]) - 1)}\U0010ffff"
