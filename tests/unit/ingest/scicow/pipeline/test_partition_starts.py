"""Where reading of a partition begins: what Kafka has deleted, and topics that are made again."""

import threading

import pytest

from ingest.scicat import SciCatError
from ingest.scicow.dead_letters.producer import DeadLetterError
from ingest.scicow.errors import NotYet
from ingest.scicow.kafka.partition_inspector import InspectionFailed, PartitionFacts
from ingest.scicow.pipeline import partition_starts
from ingest.scicow.settings import SciCowSettingsError
from tests.builders.messages import message
from tests.unit.ingest.scicow.pipeline.scripted_consumer import (
    TOPIC,
    at,
    counts,
    more_tries,
    run,
    stop,
)
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("soon")


def facts(**changes):
    return {
        (TOPIC, 0): PartitionFacts(
            **{"topic_id": "one", "first": 0, "last": 0, "committed": -1, "committed_id": ""} | changes
        )
    }


def test_what_was_deleted_beyond_the_committed_offset_is_counted_and_on_record(cow):
    cow._inspector.facts = facts(first=20, last=22, committed=3, committed_id="one")
    run(cow, at(20, message()), at(21, message()), lambda: cow.dead.losses)
    assert cow.dead.losses == [(TOPIC, 0, 3, 20, False)]
    assert counts(cow).lost == 17
    assert cow.kafka.committed[0] == 22


def test_the_offset_stays_before_what_is_lost_until_that_is_on_record(cow):
    cow._inspector.facts = facts(first=20, last=22, committed=3, committed_id="one")
    cow.dead.failures = [DeadLetterError("away")] * 1000
    run(cow, at(20, message()), lambda: len(cow.ingestor.done) == 1 and cow._losses.held, stop)
    assert cow.kafka.committed[0] == 3


def test_a_gap_is_lost_only_as_far_as_kafka_has_deleted(cow):
    cow._inspector.facts = facts(first=0, last=9, committed=0, committed_id="one")

    def deleted():
        cow._inspector.facts = facts(first=4, last=9, committed=0, committed_id="one")
        return True

    run(cow, at(0, message()), deleted, at(7, message()), lambda: cow.dead.losses)
    assert cow.dead.losses == [(TOPIC, 0, 1, 4, False)]


def test_offsets_that_never_were_messages_are_not_a_loss(cow):
    cow._inspector.facts = facts(first=0, last=9, committed=0, committed_id="one")
    run(cow, at(0, message()), at(7, message()), lambda: cow.kafka.stored.get(0) == 8)
    assert not cow.dead.losses
    assert counts(cow).lost == 0


def test_an_offset_of_another_topic_of_the_same_name_is_not_used(cow):
    cow._inspector.facts = facts(last=9, committed=5, committed_id="another")
    run(cow, at(0, message()), lambda: cow.dead.losses)
    assert cow.kafka.sought[0] == (0, 0)
    assert cow.dead.losses == [(TOPIC, 0, 5, 5, True)]
    assert counts(cow).lost == 1  # at least, so that it is seen
    assert cow.kafka.places == [(0, 5, "another"), (0, 1, "one")]


def test_a_topic_that_is_made_again_is_read_from_its_beginning_and_what_was_read_is_done(cow):
    waiting = message()
    cow.ingestor.failures[waiting["uuid"]] = [NotYet("x")] * 100_000
    cow._inspector.facts = facts(last=9, committed=5, committed_id="one")

    def made_again():
        cow._inspector.facts = facts(topic_id="two", last=1, committed=5, committed_id="one")
        return True

    run(
        cow,
        at(5, waiting),
        lambda: cow.ingestor.tries,
        made_again,
        lambda: (0, 0) in cow.kafka.sought,
        at(0, message()),
        lambda: cow.ingestor.failures.clear() is None,
        lambda: len(cow.ingestor.done) == 2,
        lambda: cow.dead.losses,
    )
    assert waiting["uuid"] in {each["uuid"] for each in cow.ingestor.done}
    assert cow.dead.losses == [(TOPIC, 0, 6, 9, True)]
    assert cow.kafka.committed[0] == 1


def becomes(cow, **changes):
    """A step of a script: what Kafka says of partition 0 from now on."""

    def step():
        cow._inspector.facts = facts(**changes)
        return True

    return step


def test_what_is_in_progress_when_a_topic_is_made_again_is_ingested_though_it_fails_in_between(cow):
    one = message()
    begun, go = threading.Event(), threading.Event()

    def fail():
        begun.set()
        go.wait(PATIENCE)
        raise NotYet("x")

    cow.ingestor.failures[one["uuid"]] = [fail]
    cow._inspector.facts = facts(last=6, committed=5, committed_id="one")
    cow._finish_within = 0.01
    run(
        cow,
        at(5, one),
        begun.is_set,
        lambda: cow.kafka.revoke(0),
        lambda: go.set() is None,
        lambda: counts(cow).retried == 1,
        becomes(cow, topic_id="two"),
        lambda: cow.kafka.assign(0),
        lambda: cow.ingestor.done == [one],
    )
    assert counts(cow).waiting == 0


def test_the_messages_of_a_dataset_stay_in_order_when_their_topic_is_made_again(cow):
    uuid = message()["uuid"]
    row = [message("annotation", uuid, seq=seq) for seq in range(1, 21)]
    cow.ingestor.failures[uuid] = [NotYet("x")] * 100_000
    cow._inspector.facts = facts(committed=0, committed_id="one")
    run(
        cow,
        *[at(offset, each) for offset, each in enumerate(row)],
        lambda: cow.ingestor.tries,
        becomes(cow, topic_id="two"),
        lambda: cow._starts._unsettled,
        lambda: cow.ingestor.failures.clear() is None,
    )
    assert [each["seq"] for each in cow.ingestor.done] == list(range(1, 21))


def test_messages_that_wait_for_scicat_while_their_topic_is_made_again_and_again_are_all_done(cow, caplog):
    """Offsets, and datasets, of one topic are also those of the next."""
    uuids = [message()["uuid"] for _ in range(3)]
    topics = [
        [message("annotation", uuids[seq % 3], seq=10 * number + seq) for seq in range(1, 8)] for number in (1, 2, 3)
    ]
    cow.ingestor.away = away = [SciCatError("x", 503)] * 100_000
    cow._inspector.facts = facts(committed=0, committed_id="one")
    first, second, third = ([at(offset, each) for offset, each in enumerate(topic)] for topic in topics)
    run(
        cow,
        *first,
        lambda: cow.progress.held,
        becomes(cow, topic_id="two"),
        lambda: cow._starts._unsettled,
        *second,
        more_tries(cow, 3),
        lambda: cow.kafka.revoke(0),
        becomes(cow, topic_id="three"),
        lambda: cow.kafka.assign(0),
        *third,
        more_tries(cow, 3),
        lambda: away.clear() is None,
    )
    assert "internal error" not in caplog.text
    for uuid in uuids:
        mine = [each["seq"] for topic in topics for each in topic if each["uuid"] == uuid]
        assert [each["seq"] for each in cow.ingestor.done if each["uuid"] == uuid] == mine
    assert (counts(cow).waiting, counts(cow).ingested, cow.kafka.committed[0]) == (0, 21, 7)


@pytest.mark.parametrize("left", ["message", "record"])
def test_no_offset_of_a_new_topic_counts_before_all_of_the_one_before_is_done_and_on_record(cow, left):
    old, new = message(), message()
    if left == "message":
        cow.ingestor.failures[old["uuid"]] = [NotYet("x")] * 100_000
    else:
        cow.dead.failures = [DeadLetterError("away")] * 100_000
    cow._inspector.facts = facts(last=9, committed=5, committed_id="one")
    stored = []

    def settle():
        stored.append((dict(cow.kafka.stored), list(cow.kafka.places)))
        cow.ingestor.failures.clear()
        cow.dead.failures = []
        return True

    run(
        cow,
        at(5, old),
        lambda: cow.ingestor.tries and (left == "message" or cow.kafka.stored.get(0) == 6),
        becomes(cow, topic_id="two", last=1),
        lambda: (0, 0) in cow.kafka.sought,
        at(0, new),
        lambda: new in cow.ingestor.done,
        more_polls(5),
        settle,
        lambda: cow.kafka.stored.get(0) == 1,
    )
    first = 5 if left == "message" else 6
    # What Kafka has is of the topic before; so who begins there sees that there was something.
    assert stored == [({0: first, 1: 0}, [(0, first, "one")])]
    assert (0, 1, "two") in cow.kafka.places
    assert cow.kafka.committed[0] == 1


def more_polls(number):
    left = iter(range(number))
    return lambda: next(left, None) is None


def test_a_topic_that_stays_away_is_on_record_and_what_was_read_of_it_is_ingested(cow, monkeypatch, caplog):
    monkeypatch.setattr(partition_starts, "REMEMBER_SECONDS", 0.0)
    one = message()
    cow.ingestor.failures[one["uuid"]] = [NotYet("x")] * 100_000
    cow._inspector.facts = facts(last=9, committed=5, committed_id="one")

    def deleted():
        cow._inspector.facts = {(TOPIC, 0): None}
        return cow.kafka.revoke(0)

    run(
        cow,
        at(5, one),
        lambda: cow.ingestor.tries,
        more_polls(3),
        deleted,
        lambda: cow.dead.losses,
        becomes(cow, topic_id="two"),
        lambda: cow.kafka.assign(0),
        lambda: (0, 5, "one") in cow.kafka.places,
        lambda: cow.ingestor.failures.clear() is None,
        lambda: (0, 0, "two") in cow.kafka.places,
    )
    assert cow.ingestor.done == [one]
    assert cow.dead.losses == [(TOPIC, 0, 6, 9, "away")]
    assert [each.levelname for each in caplog.records].count("ERROR") == 1
    assert "the topic was deleted. Its messages from offset 6 on were not read" in caplog.text


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ({"topic_id": "one"}, False),
        ({"topic_id": ""}, True),
        (InspectionFailed("timed out"), True),
    ],
)
def test_what_was_taken_away_is_remembered_until_its_topic_is_known_to_be_the_same(cow, monkeypatch, answer, kept):
    monkeypatch.setattr(partition_starts, "REMEMBER_SECONDS", 0.0)
    one = message()
    cow.ingestor.failures[one["uuid"]] = [NotYet("x")] * 100_000
    cow._inspector.facts = facts(last=9, committed=5, committed_id="one")

    def taken():
        cow._inspector.facts = {(TOPIC, 0): answer} if isinstance(answer, Exception) else facts(**answer)
        return cow.kafka.revoke(0)

    run(
        cow,
        at(5, one),
        lambda: cow.ingestor.tries,
        taken,
        more_polls(5),
        lambda: bool(cow._starts._before) == bool(cow._queues._dropped) == kept,
        stop,
    )
    assert not cow.dead.losses
    assert not cow.ingestor.done


@pytest.mark.parametrize("error", [SciCowSettingsError("kafka.config_file: is empty"), BufferError("full")])
def test_a_loss_is_on_record_whatever_error_came_before(cow, error):
    cow._inspector.facts = facts(first=20, last=22, committed=3, committed_id="one")
    cow.dead.failures = [error]
    run(cow, at(20, message()), at(21, message()), lambda: cow.dead.losses)
    assert cow.dead.losses == [(TOPIC, 0, 3, 20, False)]
