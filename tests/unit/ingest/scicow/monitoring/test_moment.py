"""What SciCow shows together is of one moment: state and why it is held, the counts of a topic and its lag."""

import json

import pytest

from ingest.scicow.errors import NotYet
from ingest.scicow.monitoring.server import _Pages
from ingest.scicow.monitoring.status import BeamlineStatus, ReplicaStatus
from ingest.scicow.pipeline import consumer, counters, partition_starts, workers
from ingest.scicow.pipeline.counters import Progress, TopicCounters
from tests.builders.messages import message
from tests.moments import at_each_line
from tests.unit.ingest.scicow.pipeline.scripted_consumer import (
    TOPIC,
    at,
    counts,
    make,
    run,
)

pytestmark = pytest.mark.usefixtures("soon")


def test_a_message_is_not_done_and_waits_or_is_counted_as_done():
    """At each line of what reads it, works on it, and gives it away."""
    cow = make()
    state = ReplicaStatus(cow, cow.progress, lambda: None)
    one, other, broken = message(), message(), message()
    cow.ingestor.failures[one["uuid"]] = [NotYet("x")] * 3
    del broken["proposalId"]

    def look():
        if not cow.progress._lock._is_owned():  # others wait
            found = state.snapshot().beamlines.get(TOPIC, BeamlineStatus(TopicCounters(), 0))
            done = found.counts.ingested + found.counts.dead
            assert found.counts.read == done + found.counts.waiting
            assert found.lag in (found.counts.waiting, None)  # the latter when the partitions are given back

    def both_done():
        return counts(cow).waiting == 0

    with at_each_line([consumer, partition_starts, workers, counters], look):
        run(cow, at(5, one), at(6, other), at(7, broken), both_done, at(8, message(), partition=1))
    assert (counts(cow).ingested, counts(cow).dead) == (3, 1)


class Wavering(Progress):
    """Is held at each second look, and has one message more."""

    looks = 0

    @property
    def held(self):
        self.looks += 1
        self.count(TOPIC, "read")
        return "SciCat does not answer" if self.looks % 2 else ""

    @held.setter
    def held(self, why):
        pass


class Cow:
    last_poll = 0.0
    assigned = True
    stopping = False

    def lag_by_partition(self):
        return {}


@pytest.mark.parametrize("turn", range(2))
def test_a_page_that_says_it_is_held_says_why(turn):
    wavering = Wavering()
    pages = _Pages(ReplicaStatus(Cow(), wavering, lambda: None))
    wavering.looks = turn
    found = json.loads(pages.get("/status", "")[2])
    assert (found["state"], found["held"]) == [("held", "SciCat does not answer"), ("running", "")][turn]
    wavering.looks = turn
    assert pages.get("/readyz", "")[2] == [b"ok; held: SciCat does not answer\n", b"ok\n"][turn]
