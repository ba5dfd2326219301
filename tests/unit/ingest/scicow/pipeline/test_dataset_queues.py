"""The parts of SciCow's consumer: which message is next, how far a partition is done, what is held, what is missing."""

import time
from collections import defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest.scicow.pipeline.assigned_partition import AssignedPartition
from ingest.scicow.pipeline.backoff import Backoff
from ingest.scicow.pipeline.dataset_queues import DatasetQueues
from ingest.scicow.pipeline.received_message import ReceivedMessage
from ingest.scicow.pipeline.sequence_gaps import SequenceGaps
from scifish.message import encode
from tests.builders.messages import message
from tests.unit.ingest.scicow.pipeline.test_consumer import FakeMessage
from tests.waiting import PATIENCE

UUIDS = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(4)]


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def item(partition, offset, uuid, kind="began"):
    found = ReceivedMessage.of(FakeMessage(offset, encode(message(kind, uuid)), partition.number), partition)
    partition.received(offset, 0.0, found.size)
    return found


class Machine(RuleBasedStateMachine):
    """Queues and partitions against a model of them that is as simple as can be."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.backoff = Backoff(self.clock)
        self.queues = DatasetQueues(self.backoff, self.clock)
        self.partitions = [AssignedPartition("t", number) for number in range(2)]
        self.offsets = [0, 0]
        self.rows = defaultdict(list)
        self.in_work = {}
        self.due = {}
        self.missing = set()
        self.open = {number: set() for number in range(2)}

    @rule(
        number=st.integers(0, 1),
        uuid=st.sampled_from(UUIDS),
        kind=st.sampled_from(["began", "ended", "annotation"]),
    )
    def put(self, number, uuid, kind):
        new = item(self.partitions[number], self.offsets[number], uuid, kind)
        self.offsets[number] += 1
        self.open[number].add(new.offset)
        if uuid in self.missing and new.creates:
            self.due.pop(uuid, None)
        self.rows[uuid].append(new)
        self.queues.put(new)

    def ready(self):
        if self.backoff.reason and (self.in_work or self.backoff.remaining):
            return []
        now = self.clock.now
        return [uuid for uuid, row in self.rows.items() if row and uuid not in self.in_work and self.is_due(uuid, now)]

    def is_due(self, uuid, now):
        return self.due.get(uuid, now) <= now

    @precondition(lambda self: self.ready())
    @rule()
    def take(self):
        ready = self.ready()
        found = self.queues.take()
        assert found.dataset in ready
        row = self.rows[found.dataset]
        makers = [each for each in row if each.creates] if found.dataset in self.missing else []
        assert found is (makers or row)[0]
        self.in_work[found.dataset] = found

    @precondition(lambda self: self.in_work)
    @rule(data=st.data())
    def done(self, data):
        found = self.in_work.pop(data.draw(st.sampled_from(sorted(self.in_work))))
        found.partition.done(found.offset)
        self.queues.done(found)
        self.rows[found.dataset].remove(found)
        self.missing.discard(found.dataset)
        self.due.pop(found.dataset, None)
        if not found.partition.revoked:
            self.open[found.partition.number].remove(found.offset)

    @precondition(lambda self: self.in_work)
    @rule(data=st.data(), wait=st.sampled_from([0.0, 1.0, 5.0]), missing=st.booleans())
    def retry(self, data, wait, missing):
        found = self.in_work.pop(data.draw(st.sampled_from(sorted(self.in_work))))
        missing = missing and not found.creates
        kept = self.queues.retry(found, wait, missing)
        assert kept is not found.partition.revoked
        row = self.rows[found.dataset]
        self.due.pop(found.dataset, None)
        if not kept:
            row.remove(found)
            if not row:
                self.missing.discard(found.dataset)
            return
        if missing:
            self.missing.add(found.dataset)
        if not (missing and any(each.creates for each in row)):
            self.due[found.dataset] = self.clock.now + wait

    @rule(seconds=st.sampled_from([0.2, 1.0, 6.0]))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule()
    def hold_or_not(self):
        if self.backoff.reason:
            self.backoff.succeeded(self.clock.now)
        else:
            self.backoff.failed("away", "", self.clock.now)

    @rule(number=st.integers(0, 1))
    def give_up(self, number):
        gone = self.partitions[number]
        gone.revoked = True
        kept = set(self.in_work.values())
        expected = {each for row in self.rows.values() for each in row if each.partition is gone and each not in kept}
        assert set(self.queues.drop([gone])) == expected
        for uuid, row in self.rows.items():
            row[:] = [each for each in row if each not in expected]
            if not row:
                self.missing.discard(uuid)
                self.due.pop(uuid, None)
        assert self.queues.wait_until_idle(0, [gone]) is not any(each.partition is gone for each in kept)
        self.partitions[number] = AssignedPartition("t", number)
        self.open[number] = set()

    @invariant()
    def stores_only_what_is_done(self):
        for number, partition in enumerate(self.partitions):
            expected = min(self.open[number], default=self.offsets[number])
            assert partition.offset_to_store in (expected, -1)
            assert partition.offset_to_store == expected or partition.next_offset == -1
            assert partition.unfinished == len(self.open[number])

    @invariant()
    def remembers_only_what_is_not_done(self):
        assert set(self.queues._queues) == {uuid for uuid, row in self.rows.items() if row}


TestDatasetQueues = Machine.TestCase


def test_what_waited_goes_before_what_is_new_but_not_while_held():
    clock = Clock()
    backoff = Backoff(clock)
    queues = DatasetQueues(backoff, clock)
    one = AssignedPartition("t", 0)
    queues.put(item(one, 0, UUIDS[0]))
    first = queues.take()
    queues.retry(first, 1.0)
    queues.put(item(one, 1, UUIDS[1]))
    clock.now += 2
    second = queues.take()
    assert second is first
    queues.retry(second, 1.0)
    clock.now += 2
    backoff.failed("away", "", clock.now)
    clock.now += 1
    assert queues.take().dataset == UUIDS[1]


def test_nothing_is_given_out_after_the_close():
    queues = DatasetQueues(Backoff())
    queues.put(item(AssignedPartition("t", 0), 0, UUIDS[0]))
    queues.close()
    assert queues.take() is None


# -------------------------------------------------------------------------------- parts


def test_an_offset_is_stored_up_to_the_first_that_is_not_done():
    one = AssignedPartition("t", 0)
    assert one.offset_to_store == -1
    for offset in (3, 4, 7):
        one.received(offset, 100.0 + offset, 10)
    assert one.is_full(3, 1000)
    assert one.is_full(1000, 30)
    one.done(4)
    assert (one.offset_to_store, one.oldest, one.next_offset) == (3, 103.0, 8)
    one.done(3)
    assert (one.offset_to_store, one.gaps) == (5, {5: 7})  # until it is known that there is no message
    one.close_gap(5)
    assert (one.offset_to_store, one.oldest) == (7, 107.0)
    one.done(7)
    assert (one.offset_to_store, one.oldest, one.unfinished) == (8, None, 0)
    assert not one.is_full(1, 1)


def test_an_offset_that_comes_twice_is_done_when_both_are(caplog):
    one = AssignedPartition("t", 0)
    for offset in (4, 5, 5, 6):
        one.received(offset, 100.0, 10)
    assert "t[0]: Kafka went back from offset 6 to 5" in caplog.text
    for offset in (4, 5, 6):
        one.done(offset)
    assert (one.offset_to_store, one.unfinished) == (5, 1)
    one.done(5)
    assert (one.offset_to_store, one.unfinished) == (7, 0)
    one.done(5)
    assert (one.offset_to_store, one.unfinished) == (7, 0)
    assert not one.is_full(1, 1)


def test_how_long_nothing_is_delivered_does_not_depend_on_the_date(monkeypatch):
    one = AssignedPartition("t", 0)
    one.start(0)
    one.paused = False
    one.update_high_watermark(5)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100_000)
    assert one.undelivered_seconds() < PATIENCE
    assert time.monotonic() - one.oldest < PATIENCE


def test_a_beamline_with_a_backlog_holds_up_no_other():
    queues = DatasetQueues(Backoff())
    busy, quiet = AssignedPartition("busy", 0), AssignedPartition("quiet", 0)
    backlog = [item(busy, offset, f"{offset:036}") for offset in range(100)]
    for each in backlog:
        queues.put(each)
    assert queues.take() is backlog[0]
    new = item(quiet, 0, UUIDS[0])
    queues.put(new)
    assert new in (queues.take(), queues.take())
    assert queues.take() is backlog[2]


def test_what_was_received_first_is_done_first():
    """So that little is done beyond an offset that can be committed when partitions move."""
    queues = DatasetQueues(Backoff())
    one = AssignedPartition("t", 0)
    received = [item(one, offset, UUIDS[number]) for offset, number in enumerate([0, 1, 0, 2, 1, 0])]
    for each in received:
        queues.put(each)
    for each in received:
        assert queues.take() is each
        queues.done(each)


def test_what_is_dropped_can_be_taken_back_in_its_order():
    queues = DatasetQueues(Backoff())
    one = AssignedPartition("t", 0)
    row = [item(one, offset, UUIDS[0]) for offset in range(20)]
    for each in row:
        queues.put(each)
    in_progress = queues.take()
    assert queues.drop([one]) == row[1:]
    assert not queues.retry(in_progress, 0.0)
    assert queues.take_back(one) == 20
    for each in row:
        assert queues.take() is each
        queues.done(each)
    assert not queues._dropped


def test_nothing_is_kept_of_what_is_forgotten():
    queues = DatasetQueues(Backoff())
    one = AssignedPartition("t", 0)
    queues.put(item(one, 0, UUIDS[0]))
    in_progress = queues.take()
    queues.drop([one])
    queues.forget(one)
    assert not queues.retry(in_progress, 0.0)
    assert not queues._dropped


def test_waits_grow_up_to_a_limit():
    clock = Clock()
    backoff = Backoff(clock)
    waits = []
    for _ in range(9):
        backoff.failed("down", "", clock.now)
        waits.append(backoff.remaining)
        clock.now += backoff.remaining
        assert backoff.remaining == 0
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    backoff.succeeded(clock.now)
    assert backoff.reason == ""


def test_what_was_under_way_says_nothing_new_of_a_hold():
    clock = Clock()
    backoff = Backoff(clock)
    before = clock.now
    clock.now += 1
    backoff.failed("down", "", before)
    for _ in range(7):  # the other workers
        backoff.failed("down", "", before)
    backoff.succeeded(before)
    assert backoff.remaining == 0.5
    clock.now += 1
    backoff.succeeded(clock.now)
    backoff.failed("down", "", before)
    assert backoff.reason == ""


def test_the_time_that_is_held_is_not_counted():
    clock = Clock()
    backoff = Backoff(clock)
    began = backoff.running_time
    clock.now += 3
    backoff.failed("down", "", clock.now)
    clock.now += 1000
    assert backoff.running_time - began == 3
    backoff.succeeded(clock.now)
    clock.now += 4
    assert backoff.running_time - began == 7


def test_what_is_seen_of_a_message_before_it_is_decoded():
    one = AssignedPartition("t", 0)
    for kind, part, creates in [
        ("began", None, True),
        ("snapshot", None, True),
        ("ended", {"number": 1, "of": 2}, True),
        ("ended", {"number": 2, "of": 2}, False),
        ("annotation", None, False),
    ]:
        found = ReceivedMessage.of(
            FakeMessage(0, encode(message(kind, UUIDS[0], **({"part": part} if part else {})))), one
        )
        assert (found.dataset, found.creates, found.run, found.seq) == (UUIDS[0], creates, "run-1", 1)


def test_what_kafka_has_no_time_of_is_of_now():
    timeless = FakeMessage(0, b"")
    timeless.timestamp = lambda: (0, -1001)
    assert abs(ReceivedMessage.of(timeless, AssignedPartition("t", 0)).sent - time.monotonic()) < PATIENCE


@pytest.fixture
def sequence():
    found = SequenceGaps(Clock())
    found.watch("t", 0.0)
    return found


def test_a_message_that_is_only_late_is_not_missing(sequence):
    for number in (5, 8, 6, 7, 7):
        sequence.received("t", "a", number, 1.0)
    sequence._clock.now += 1000
    assert list(sequence.overdue("t")) == []


def test_what_is_missing_is_reported_once_after_a_while(sequence):
    for number in (5, 8):
        sequence.received("t", "a", number, 1.0)
    sequence._clock.now += 29
    assert list(sequence.overdue("t")) == []
    sequence._clock.now += 2
    assert list(sequence.overdue("other")) == []
    assert list(sequence.overdue("t")) == [("a", [6, 7])]
    assert list(sequence.overdue("t")) == []


def test_runs_of_different_topics_are_different(sequence):
    sequence.watch("u", 0.0)
    sequence.received("t", "a", 1, 1.0)
    sequence.received("u", "a", 9, 1.0)
    sequence.forget("u")
    sequence._clock.now += 1000
    assert list(sequence.overdue("t")) == []
    assert list(sequence._highest) == [("t", "a")]


def test_the_table_of_runs_is_bounded(sequence):
    for number in range(3000):
        sequence.received("t", f"run {number}", 1, 1.0)
        sequence.received("t", f"run {number}", 10_000_000, 1.0)
    assert len(sequence._missing) == len(sequence._highest) == 1000
    sequence._clock.now += 1000
    assert sum(len(gone) for _, gone in sequence.overdue("t")) <= 1_000_000
