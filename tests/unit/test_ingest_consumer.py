"""The loop from Kafka into SciCat, with a Kafka and an ingestor that do as they are told."""

import logging
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from ingest import consumer
from ingest.consumer import SciCow
from ingest.deadletters import DeadLetterError
from ingest.failures import DatasetMissing
from ingest.hold import Hold
from ingest.offsets import Offsets
from ingest.progress import Progress
from ingest.scicat import NotAllowed, SciCatError
from ingest.sequence import Sequence
from ingest.settings import load
from scifish.message import encode
from tests.kafka import message

SETTINGS = load(Path(__file__).parents[2] / "docs" / "scicow.example.yaml", secrets=False)
TOPIC = "scifish-cosaxs"


class FakeMessage:
    def __init__(self, offset, value, partition=0):
        self._offset, self._value, self._partition = offset, value, partition

    def topic(self):
        return TOPIC

    def partition(self):
        return self._partition

    def offset(self):
        return self._offset

    def value(self):
        return self._value

    def error(self):
        return None


class FakeConsumer:
    """Hands out what the test lists: messages, None for an idle moment, or a call to make meanwhile."""

    def __init__(self, config):
        self.config = config
        self.stored = {}
        self.paused = False
        self.changes = []
        self.script = []
        self.done = None

    def subscribe(self, topics, on_assign, on_revoke, on_lost):
        self.revoke = on_revoke

    def poll(self, timeout):
        if not self.script:
            self.done()
            return None
        found = self.script.pop(0)
        return found() if callable(found) else found

    def assignment(self):
        return ["all"]

    def pause(self, partitions):
        self.changes.append("pause")

    def resume(self, partitions):
        self.changes.append("resume")

    def store_offsets(self, offsets):
        for each in offsets:
            self.stored[each.partition] = each.offset

    def close(self):
        pass


class FakeIngestor:
    """Fails as `failures` says, by uuid: one error for each call. `missing` are datasets that are not there yet."""

    def __init__(self):
        self.done = []
        self.failures = {}
        self.missing = set()
        self.after_missing = []

    def ingest(self, given):
        if given["type"] == "annotation" and given["uuid"] in self.missing:
            raise DatasetMissing(given["uuid"])
        if given["type"] == "annotation" and self.after_missing:
            raise self.after_missing.pop()
        self.missing.discard(given["uuid"])
        failures = self.failures.get(given["uuid"])
        if failures:
            raise failures.pop(0)
        self.done.append(given)


class FakeDeadLetters:
    topic = "dead"

    def __init__(self):
        self.messages = []
        self.failures = []

    def put(self, given, error):
        if self.failures:
            raise self.failures.pop(0)
        self.messages.append((given.offset(), error))


class Clock:
    now = 1000.0

    def monotonic(self):
        Clock.now += 1.0
        return Clock.now


@pytest.fixture
def cow(monkeypatch):
    monkeypatch.setattr(consumer, "Consumer", FakeConsumer)
    monkeypatch.setattr(consumer, "time", Clock())
    monkeypatch.setattr(consumer, "Hold", lambda: Hold(Clock().monotonic))
    found = SciCow(SETTINGS, FakeIngestor(), FakeDeadLetters(), Progress())
    found._kafka.done = found.stop
    return found


def run(cow, *script):
    cow._kafka.script = list(script)
    cow._stopping = False
    cow.run()


def at(offset, given, partition=0):
    return FakeMessage(offset, encode(given), partition)


def test_an_offset_is_stored_when_scicat_has_the_message(cow):
    run(cow, at(7, message()), at(8, message()))
    assert cow._kafka.stored == {0: 9}
    assert len(cow._ingestor.done) == 2


def test_offsets_are_stored_by_us_alone(cow):
    config = cow._kafka.config
    assert (config["enable.auto.offset.store"], config["auto.offset.reset"]) == (False, "earliest")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (SciCatError("x", 0, "refused"), "SciCat does not answer"),
        (SciCatError("x", 503), "SciCat answers with status 503"),
        (SciCatError("x", 404), "SciCat answers with status 404"),
        (SciCatError("x", 200, "not JSON"), "SciCat answers with status 200"),
        (NotAllowed("x", 403), "check scicat.username"),
    ],
)
def test_what_passes_is_waited_for_and_said_once(cow, caplog, failure, said):
    caplog.set_level(logging.INFO)
    given = message()
    cow._ingestor.failures[given["uuid"]] = [failure] * 5
    run(cow, at(0, given), *[None] * 200)
    assert cow._ingestor.done == [given]
    assert cow._kafka.changes == ["pause", "resume"]
    assert cow._kafka.stored == {0: 1}
    held = [each.getMessage() for each in caplog.records if "held" in each.getMessage()]
    assert len(held) == 1
    assert said in held[0]
    assert not cow._dead_letters.messages


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_message_is_at_fault_for_is_a_dead_letter(cow, status):
    given, next_one = message(), message()
    cow._ingestor.failures[given["uuid"]] = [SciCatError("x", status)]
    run(cow, at(0, given), at(1, next_one))
    assert [offset for offset, _ in cow._dead_letters.messages] == [0]
    assert cow._ingestor.done == [next_one]
    assert cow._kafka.stored == {0: 2}


@pytest.mark.parametrize("data", [b"{", b"\xff", None, b"{}", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_message_is_a_dead_letter(cow, data):
    run(cow, FakeMessage(0, data), at(1, message()))
    assert [offset for offset, _ in cow._dead_letters.messages] == [0]
    assert cow._kafka.stored == {0: 2}


def test_a_mistake_of_ours_is_a_dead_letter_too(cow, caplog):
    given = message()
    cow._ingestor.failures[given["uuid"]] = [KeyError("x")]
    run(cow, at(0, given))
    assert isinstance(cow._dead_letters.messages[0][1], KeyError)
    assert "a mistake in SciCow itself" in caplog.text


def test_a_message_that_always_gets_500_is_at_last_a_dead_letter(cow):
    given, next_one = message(), message()
    cow._ingestor.failures[given["uuid"]] = [SciCatError("x", 500)] * 10_000
    run(cow, at(0, given), at(1, next_one), *[None] * 1000)
    assert [offset for offset, _ in cow._dead_letters.messages] == [0]
    assert cow._ingestor.done == [next_one]


def test_a_dead_letter_that_kafka_has_not_confirmed_is_not_done(cow):
    cow._dead_letters.failures = [DeadLetterError("x")] * 3
    run(cow, FakeMessage(0, b"{"), lambda: cow._kafka.stored or None, *[None] * 50)
    assert [offset for offset, _ in cow._dead_letters.messages] == [0]
    assert cow._kafka.stored == {0: 1}


def test_an_annotation_waits_for_its_dataset_without_holding_others_up(cow):
    uuid = message()["uuid"]
    first = message("annotation", uuid, annotation={"comment": "1"})
    second = message("annotation", uuid, annotation={"comment": "2"})
    other, began = message(), message("began", uuid)
    cow._ingestor.missing.add(uuid)
    stored = []
    run(cow, at(0, first), at(1, other), at(2, second), lambda: stored.append(dict(cow._kafka.stored)), at(3, began))
    assert cow._ingestor.done[0] == other
    assert stored == [{0: 0}]  # the first is not done, so nothing behind it counts
    comments = [each["annotation"]["comment"] for each in cow._ingestor.done if each["type"] == "annotation"]
    assert comments == ["1", "2"]
    assert cow._kafka.stored == {0: 4}


def test_what_waited_may_be_held_after_its_dataset_has_come(cow):
    uuid = message()["uuid"]
    early, began = message("annotation", uuid), message("began", uuid)
    cow._ingestor.missing.add(uuid)
    cow._ingestor.after_missing = [SciCatError("x", 503)]
    run(cow, at(0, early), at(1, began), *[None] * 50)
    assert cow._ingestor.done == [began, early]
    assert cow._kafka.stored == {0: 2}


def test_an_annotation_whose_dataset_never_comes_is_a_dead_letter(cow):
    given = message("annotation")
    cow._ingestor.missing.add(given["uuid"])
    run(cow, at(0, given), *[None] * 100)
    assert isinstance(cow._dead_letters.messages[0][1], DatasetMissing)
    assert cow._kafka.stored == {0: 1}


def test_the_time_that_scicat_was_away_does_not_count(cow):
    early, held = message("annotation"), message()
    began = message("began", early["uuid"])
    cow._ingestor.missing.add(early["uuid"])
    cow._ingestor.failures[held["uuid"]] = [SciCatError("x", 0)] * 9

    def poll():
        return at(2, began) if cow._ingestor.done == [held] else None

    run(cow, at(0, early), at(1, held), *[poll] * 300)
    assert not cow._dead_letters.messages
    assert cow._ingestor.done == [held, began, early]


def test_not_more_than_a_bounded_number_wait(cow):
    given = [message("annotation") for _ in range(consumer.MAX_WAITING + 1)]
    for each in given:
        cow._ingestor.missing.add(each["uuid"])
    cow._next_look = float("inf")
    run(cow, *[at(number, each) for number, each in enumerate(given)])
    assert [offset for offset, _ in cow._dead_letters.messages] == [consumer.MAX_WAITING]


def test_a_partition_that_is_taken_away_is_forgotten(cow):
    held, waiting, kept = message(), message("annotation"), message()
    cow._ingestor.failures[held["uuid"]] = [SciCatError("x", 503)] * 3
    cow._ingestor.missing.add(waiting["uuid"])

    def revoke():
        cow._kafka.revoke(None, [consumer.TopicPartition(TOPIC, 0)])

    run(cow, at(4, waiting), at(5, held), at(9, kept, partition=1), revoke, *[None] * 100)
    assert cow._ingestor.done == [kept]
    assert cow._kafka.stored == {1: 10}
    assert not cow._dead_letters.messages


def test_a_stop_while_held_stores_nothing(cow):
    given = message()
    cow._ingestor.failures[given["uuid"]] = [SciCatError("x", 0)] * 1000
    run(cow, at(0, given))
    assert cow._kafka.stored == {}


def test_kafkas_troubles_are_said_once(cow, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(3):
        cow._kafka_failed(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        cow._kafka_failed(KafkaError(KafkaError._TRANSPORT))
    cow._kafka_answers()
    cow._kafka_answers()
    assert len(caplog.records) == 2


def test_what_is_missing_of_a_run_is_said_when_all_has_been_read(cow, caplog):
    given = [message(seq=1), message(seq=4)]
    monotonic = Clock().monotonic
    cow._sequence = Sequence(monotonic)
    run(cow, at(0, given[0]), at(1, given[1]), *[None] * 40)
    assert "'run-1': 2 messages are missing, seq [2, 3]" in caplog.text
    assert caplog.text.count("missing") == 1


# ------------------------------------------------------------------------------- parts


def test_an_offset_is_stored_up_to_the_first_that_is_not_done():
    offsets, one = Offsets(), ("t", 0)
    for offset in (3, 4, 7):
        offsets.taken(one, offset)
    assert offsets.done(one, 4) == 3
    assert offsets.done(one, 3) == 7
    assert offsets.done(one, 7) == 8


def test_waits_grow_up_to_a_limit():
    now = [0.0]
    hold = Hold(lambda: now[0])
    waits = []
    for _ in range(9):
        hold.failed("down", "")
        assert not hold.ready
        waits.append(hold._until - now[0])
        now[0] = hold._until
        assert hold.ready
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    hold.over()
    assert not hold.active


def test_a_message_that_is_only_late_is_not_missing():
    now = [0.0]
    sequence = Sequence(lambda: now[0])
    for number in (5, 8, 6, 7, 7):
        sequence.seen("a", number)
    now[0] = 1000.0
    assert list(sequence.overdue()) == []


def test_the_table_of_runs_is_bounded():
    now = [0.0]
    sequence = Sequence(lambda: now[0])
    for number in range(3000):
        sequence.seen(f"run {number}", 1)
        sequence.seen(f"run {number}", 10_000_000)
    assert len(sequence._missing) == len(sequence._highest) == 1000
    now[0] = 1000.0
    assert sum(len(gone) for _, gone in sequence.overdue()) < 1_000_001
