"""The parts of SciCow's consumer: which message is next, how far a partition is done, what is held, what is missing."""

import time
from collections import defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest.scicow.pipeline.backoff import Hold
from ingest.scicow.pipeline.dataset_queues import Lanes
from ingest.scicow.pipeline.item import Item
from ingest.scicow.pipeline.offsets import Assigned
from ingest.scicow.pipeline.sequence_gaps import Sequence
from scifish.message import encode
from tests.messages import message
from tests.unit.ingest.scicow.pipeline.test_consumer import FakeMessage

UUIDS = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(4)]


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def item(partition, offset, uuid, kind="began"):
    found = Item.of(FakeMessage(offset, encode(message(kind, uuid)), partition.number), partition)
    partition.taken(offset, 0.0, found.size)
    return found


class Machine(RuleBasedStateMachine):
    """Lanes and partitions against a model of them that is as simple as can be."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.hold = Hold(self.clock)
        self.lanes = Lanes(self.hold, self.clock)
        self.partitions = [Assigned("t", number) for number in range(2)]
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
        self.lanes.put(new)

    def ready(self):
        if self.hold.reason and (self.in_work or self.hold.left):
            return []
        now = self.clock.now
        return [uuid for uuid, row in self.rows.items() if row and uuid not in self.in_work and self.is_due(uuid, now)]

    def is_due(self, uuid, now):
        return self.due.get(uuid, now) <= now

    @precondition(lambda self: self.ready())
    @rule()
    def take(self):
        ready = self.ready()
        found = self.lanes.take()
        assert found.lane in ready
        row = self.rows[found.lane]
        makers = [each for each in row if each.creates] if found.lane in self.missing else []
        assert found is (makers or row)[0]
        self.in_work[found.lane] = found

    @precondition(lambda self: self.in_work)
    @rule(data=st.data())
    def done(self, data):
        found = self.in_work.pop(data.draw(st.sampled_from(sorted(self.in_work))))
        found.partition.done(found.offset)
        self.lanes.done(found)
        self.rows[found.lane].remove(found)
        self.missing.discard(found.lane)
        self.due.pop(found.lane, None)
        if not found.partition.gone:
            self.open[found.partition.number].remove(found.offset)

    @precondition(lambda self: self.in_work)
    @rule(data=st.data(), wait=st.sampled_from([0.0, 1.0, 5.0]), missing=st.booleans())
    def retry(self, data, wait, missing):
        found = self.in_work.pop(data.draw(st.sampled_from(sorted(self.in_work))))
        missing = missing and not found.creates
        kept = self.lanes.retry(found, wait, missing)
        assert kept is not found.partition.gone
        row = self.rows[found.lane]
        self.due.pop(found.lane, None)
        if not kept:
            row.remove(found)
            if not row:
                self.missing.discard(found.lane)
            return
        if missing:
            self.missing.add(found.lane)
        if not (missing and any(each.creates for each in row)):
            self.due[found.lane] = self.clock.now + wait

    @rule(seconds=st.sampled_from([0.2, 1.0, 6.0]))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule()
    def hold_or_not(self):
        if self.hold.reason:
            self.hold.succeeded(self.clock.now)
        else:
            self.hold.failed("away", "", self.clock.now)

    @rule(number=st.integers(0, 1))
    def give_up(self, number):
        gone = self.partitions[number]
        gone.gone = True
        kept = set(self.in_work.values())
        expected = {each for row in self.rows.values() for each in row if each.partition is gone and each not in kept}
        assert set(self.lanes.drop([gone])) == expected
        for uuid, row in self.rows.items():
            row[:] = [each for each in row if each not in expected]
            if not row:
                self.missing.discard(uuid)
                self.due.pop(uuid, None)
        assert self.lanes.settle(0, [gone]) is not any(each.partition is gone for each in kept)
        self.partitions[number] = Assigned("t", number)
        self.open[number] = set()

    @invariant()
    def stores_only_what_is_done(self):
        for number, partition in enumerate(self.partitions):
            expected = min(self.open[number], default=self.offsets[number])
            assert partition.storable in (expected, -1)
            assert partition.storable == expected or partition.next == -1
            assert partition.open == len(self.open[number])

    @invariant()
    def remembers_only_what_is_not_done(self):
        assert set(self.lanes._lanes) == {uuid for uuid, row in self.rows.items() if row}


TestLanes = Machine.TestCase


def test_what_waited_goes_before_what_is_new_but_not_while_held():
    clock = Clock()
    hold = Hold(clock)
    lanes = Lanes(hold, clock)
    one = Assigned("t", 0)
    lanes.put(item(one, 0, UUIDS[0]))
    first = lanes.take()
    lanes.retry(first, 1.0)
    lanes.put(item(one, 1, UUIDS[1]))
    clock.now += 2
    second = lanes.take()
    assert second is first
    lanes.retry(second, 1.0)
    clock.now += 2
    hold.failed("away", "", clock.now)
    clock.now += 1
    assert lanes.take().lane == UUIDS[1]


def test_nothing_is_given_out_after_the_close():
    lanes = Lanes(Hold())
    lanes.put(item(Assigned("t", 0), 0, UUIDS[0]))
    lanes.close()
    assert lanes.take() is None


# -------------------------------------------------------------------------------- parts


def test_an_offset_is_stored_up_to_the_first_that_is_not_done():
    one = Assigned("t", 0)
    assert one.storable == -1
    for offset in (3, 4, 7):
        one.taken(offset, 100.0 + offset, 10)
    assert one.holds(3, 1000)
    assert one.holds(1000, 30)
    one.done(4)
    assert (one.storable, one.oldest, one.next) == (3, 103.0, 8)
    one.done(3)
    assert (one.storable, one.oldest) == (7, 107.0)
    one.done(7)
    assert (one.storable, one.oldest, one.open) == (8, None, 0)
    assert not one.holds(1, 1)


def test_waits_grow_up_to_a_limit():
    clock = Clock()
    hold = Hold(clock)
    waits = []
    for _ in range(9):
        hold.failed("down", "", clock.now)
        waits.append(hold.left)
        clock.now += hold.left
        assert hold.left == 0
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    hold.succeeded(clock.now)
    assert hold.reason == ""


def test_what_was_under_way_says_nothing_new_of_a_hold():
    clock = Clock()
    hold = Hold(clock)
    before = clock.now
    clock.now += 1
    hold.failed("down", "", before)
    for _ in range(7):  # the other workers
        hold.failed("down", "", before)
    hold.succeeded(before)
    assert hold.left == 0.5
    clock.now += 1
    hold.succeeded(clock.now)
    hold.failed("down", "", before)
    assert hold.reason == ""


def test_the_time_that_is_held_is_not_counted():
    clock = Clock()
    hold = Hold(clock)
    began = hold.worked
    clock.now += 3
    hold.failed("down", "", clock.now)
    clock.now += 1000
    assert hold.worked - began == 3
    hold.succeeded(clock.now)
    clock.now += 4
    assert hold.worked - began == 7


def test_what_is_seen_of_a_message_before_it_is_decoded():
    one = Assigned("t", 0)
    for kind, part, creates in [
        ("began", None, True),
        ("snapshot", None, True),
        ("ended", {"number": 1, "of": 2}, True),
        ("ended", {"number": 2, "of": 2}, False),
        ("annotation", None, False),
    ]:
        found = Item.of(FakeMessage(0, encode(message(kind, UUIDS[0], **({"part": part} if part else {})))), one)
        assert (found.lane, found.creates, found.run, found.number) == (UUIDS[0], creates, "run-1", 1)


def test_what_kafka_has_no_time_of_is_of_now():
    timeless = FakeMessage(0, b"")
    timeless.timestamp = lambda: (0, -1001)
    assert abs(Item.of(timeless, Assigned("t", 0)).sent - time.time()) < 5


@pytest.fixture
def sequence():
    found = Sequence(Clock())
    found.watch("t", 0.0)
    return found


def test_a_message_that_is_only_late_is_not_missing(sequence):
    for number in (5, 8, 6, 7, 7):
        sequence.seen("t", "a", number, 1.0)
    sequence._clock.now += 1000
    assert list(sequence.overdue("t")) == []


def test_what_is_missing_is_said_once_after_a_while(sequence):
    for number in (5, 8):
        sequence.seen("t", "a", number, 1.0)
    sequence._clock.now += 29
    assert list(sequence.overdue("t")) == []
    sequence._clock.now += 2
    assert list(sequence.overdue("other")) == []
    assert list(sequence.overdue("t")) == [("a", [6, 7])]
    assert list(sequence.overdue("t")) == []


def test_runs_of_different_topics_are_different(sequence):
    sequence.watch("u", 0.0)
    sequence.seen("t", "a", 1, 1.0)
    sequence.seen("u", "a", 9, 1.0)
    sequence.forget("u")
    sequence._clock.now += 1000
    assert list(sequence.overdue("t")) == []
    assert list(sequence._highest) == [("t", "a")]


def test_the_table_of_runs_is_bounded(sequence):
    for number in range(3000):
        sequence.seen("t", f"run {number}", 1, 1.0)
        sequence.seen("t", f"run {number}", 10_000_000, 1.0)
    assert len(sequence._missing) == len(sequence._highest) == 1000
    sequence._clock.now += 1000
    assert sum(len(gone) for _, gone in sequence.overdue("t")) <= 1_000_000
