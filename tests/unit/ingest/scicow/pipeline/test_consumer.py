"""SciCow's loop and its threads, with a Kafka and an ingestor that follow a test's script."""

import itertools
import logging
import threading
import time

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from ingest.scicat import DocumentConflict, NotAllowed, SciCatError, TimedOut
from ingest.scicow.dead_letters.producer import DeadLetterError
from ingest.scicow.errors import DatasetMissing, MessageRefused, NotYet
from ingest.scicow.kafka.partition_inspector import InspectionFailed
from ingest.scicow.monitoring.status import ReplicaStatus
from ingest.scicow.pipeline import consumer, failure_policy
from ingest.scicow.settings import SciCowSettingsError
from scifish.message import encode
from tests.builders.messages import message
from tests.unit.ingest.scicow.pipeline.scripted_consumer import (
    LONG,
    TOPIC,
    FakeInspector,
    FakeKafka,
    FakeMessage,
    at,
    counts,
    idle,
    make,
    more_tries,
    run,
    stop,
)
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.usefixtures("soon")


def test_an_offset_counts_when_scicat_has_the_message(cow):
    run(cow, at(7, message()), at(8, message()))
    assert cow.kafka.committed == {0: 9}
    assert len(cow.ingestor.done) == 2


def test_offsets_are_stored_by_us_alone(cow):
    config = cow.kafka.config
    assert (config["enable.auto.offset.store"], config["auto.offset.reset"]) == (False, "earliest")


# --------------------------------------------------------------------- order and speed


def test_as_many_datasets_as_there_are_workers_are_in_work_at_once():
    cow = make(workers=5)
    together = threading.Barrier(5, timeout=PATIENCE)
    given_ones = [message() for _ in range(20)]
    for each in given_ones:
        cow.ingestor.failures[each["uuid"]] = [together.wait]
    run(cow, *[at(number, each) for number, each in enumerate(given_ones)])
    assert cow.ingestor.most_at_once == 5
    assert cow.kafka.committed == {0: 20}


def test_the_messages_of_a_dataset_stay_in_order_and_are_never_in_work_at_once(cow):
    uuids = [message()["uuid"] for _ in range(3)]
    all_of_them = [message(uuid=uuids[number % 3], seq=number + 1) for number in range(90)]
    for uuid in uuids:
        cow.ingestor.failures[uuid] = [SciCatError("x", 500), lambda: time.sleep(0.01)] * 3
    run(cow, *[at(number, each, number % 2) for number, each in enumerate(all_of_them)])
    for uuid in uuids:
        numbers = [each["seq"] for each in cow.ingestor.done if each["uuid"] == uuid]
        assert numbers == sorted(numbers)
    assert len(cow.ingestor.done) == 90


def test_an_offset_is_stored_only_up_to_the_first_that_is_not_done(cow):
    slow, fast = message(), [message() for _ in range(5)]
    go = threading.Event()
    cow.ingestor.failures[slow["uuid"]] = [lambda: go.wait(PATIENCE)]
    seen = []

    def look():
        if len(cow.ingestor.done) == 5 and 0 in cow.kafka.stored:
            seen.append(cow.kafka.stored[0])
            go.set()
        return go.is_set()

    run(cow, at(3, slow), *[at(4 + number, each) for number, each in enumerate(fast)], look)
    assert seen == [3]
    assert cow.kafka.committed == {0: 9}


# ----------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (SciCatError("x", 0, "refused"), "SciCat does not answer"),
        (SciCatError("x", 502), "SciCat answers with status 502"),
        (SciCatError("x", 503), "SciCat answers with status 503"),
        (SciCatError("x", 404), "SciCat answers with status 404"),
        (SciCatError("x", 200, "not JSON"), "what answers at scicat.url is not SciCat"),
        (NotAllowed("x", 403), "check scicat.username"),
    ],
)
def test_a_scicat_that_is_away_holds_all_and_is_reported_once(cow, caplog, failure, said):
    caplog.set_level(logging.INFO)
    cow.ingestor.away = [failure] * 30
    held = []
    run(
        cow,
        *[at(number, message()) for number in range(20)],
        lambda: held.append(cow.progress.held) or cow.progress.held,
    )
    assert len(cow.ingestor.done) == 20
    assert cow.kafka.committed == {0: 20}
    assert not cow.dead.messages
    assert said in held[-1]
    assert cow.progress.held == ""
    lines = [each.getMessage() for each in caplog.records]
    assert len([each for each in lines if each.startswith("held")]) == 1
    assert len([each for each in lines if each.startswith("resumed after")]) == 1
    assert said in "".join(lines)


def test_while_held_there_is_one_probe_at_a_time_with_growing_waits(cow):
    moments = []
    away = iter([True] * 20)

    def probe():
        began = time.monotonic()
        failing = next(away, False)
        time.sleep(0.001)
        if failing:
            moments.append((began, time.monotonic()))
            raise SciCatError("x", 503)

    cow.ingestor.away = [probe] * 100
    run(cow, *[at(number, message()) for number in range(30)])
    probes = moments[8:]  # before these all workers may have been at it
    assert len(probes) >= 10
    gaps = [later[0] - earlier[1] for earlier, later in itertools.pairwise(probes)]
    assert min(gaps) >= 0.004
    assert len(cow.ingestor.done) == 30


@pytest.mark.parametrize(
    "failure", [SciCatError("x", 500), DocumentConflict("x", 409), TimedOut("x"), SciCatError("x", 429)]
)
def test_a_dataset_that_fails_waits_by_itself(failure):
    cow = make()
    bad, good = message(), [message() for _ in range(50)]
    cow.ingestor.failures[bad["uuid"]] = [failure] * 3
    held = []

    def look():
        held.append(cow.progress.held)
        return idle(cow)

    run(cow, at(0, bad), *[at(number + 1, each) for number, each in enumerate(good)], look)
    assert not any(held)
    assert len(cow.ingestor.done) == 51
    assert cow.kafka.committed == {0: 51}
    assert counts(cow).retried == 3


def test_one_that_alone_gets_no_answer_does_not_hold_the_others_for_long():
    """Such as one that kills the server's process each time."""
    cow = make(server_error_wait=0.2)
    bad, good = message(), [message() for _ in range(50)]
    cow.ingestor.failures[bad["uuid"]] = [SciCatError("x", 0, "cut off")] * 100_000
    run(cow, at(0, bad), *[at(number + 1, each) for number, each in enumerate(good)])
    assert cow.dead.offsets == [0]
    assert len(cow.ingestor.done) == 50


def test_a_server_that_answers_500_to_every_dataset_is_at_fault_itself(cow, clock):
    all_of_them = [message() for _ in range(failure_policy.MIN_FAILING_DATASETS + 3)]
    cow.ingestor.away = away = [SciCatError("x", 500)] * 100_000
    held = []
    run(
        cow,
        *[at(number, each) for number, each in enumerate(all_of_them)],
        lambda: held.append(cow.progress.held) or cow.progress.held,
        lambda: clock.passes(2 * LONG),
        more_tries(cow, 5),
        lambda: not away.clear(),
    )
    assert held[-1] == "SciCat answers with status 500"
    assert not cow.dead.messages
    assert len(cow.ingestor.done) == len(all_of_them)


def test_retry_after_is_kept(cow):
    slow, away = message(), message()
    cow.ingestor.failures[slow["uuid"]] = [SciCatError("x", 429, "", retry_after=0.15)]
    run(cow, at(0, slow))
    assert cow.ingestor.tries[1][0] - cow.ingestor.tries[0][0] >= 0.15
    cow = make()
    cow.ingestor.failures[away["uuid"]] = [SciCatError("x", 503, "", retry_after=0.15)]
    run(cow, at(0, away))
    assert cow.ingestor.tries[1][0] - cow.ingestor.tries[0][0] >= 0.15


def test_a_message_in_the_topic_of_another_beamline_is_a_dead_letter(cow):
    """Whoever may write to one beamline's topic cannot speak for another beamline."""
    foreign, own = message("ended", beamline="veritas"), message()
    run(cow, at(0, foreign), at(1, own))
    assert cow.ingestor.done == [own]
    ((dead, error),) = cow.dead.messages
    assert dead.offset() == 0
    assert str(error).startswith(f"topic {TOPIC} is not one of beamline 'veritas' (scifish-veritas): if ")
    assert f"kafka.beamline_topics: {{veritas: [{TOPIC}]}}" in str(error)
    assert (counts(cow).dead, counts(cow).foreign, counts(cow).ingested) == (1, 1, 1)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_message_is_at_fault_for_is_a_dead_letter(cow, status):
    bad, next_one = message(), message()
    cow.ingestor.failures[bad["uuid"]] = [SciCatError("x", status)]
    run(cow, at(0, bad), at(1, next_one))
    assert cow.dead.offsets == [0]
    assert cow.ingestor.done == [next_one]
    assert cow.kafka.committed == {0: 2}
    assert (counts(cow).dead, counts(cow).ingested, counts(cow).read) == (1, 1, 2)


@pytest.mark.parametrize(
    "data",
    [
        *(b"{", b"\xff", None, b"", b"{}", b"[1]", b"null", b'{"a": NaN}'),
        *(b"[" * 100_000, b"x" * 2_000_000, b"1" * 9999),
        *(b'{"uuid": 3, "type": [], "part": 1, "origin": 2, "seq": {}}', b'{"uuid": "", "origin": {"run": 1}}'),
    ],
)
def test_an_invalid_message_is_a_dead_letter(cow, data):
    run(cow, FakeMessage(0, data), at(1, message()))
    assert cow.dead.offsets == [0]
    assert cow.kafka.committed == {0: 2}


def test_what_is_refused_is_a_dead_letter(cow):
    bad = message()
    cow.ingestor.failures[bad["uuid"]] = [MessageRefused("no such proposal")]
    run(cow, at(0, bad))
    assert isinstance(cow.dead.messages[0][1], MessageRefused)


def test_a_mistake_of_ours_is_a_dead_letter_too(cow, caplog):
    bad = message()
    cow.ingestor.failures[bad["uuid"]] = [KeyError("x")]
    run(cow, at(0, bad))
    assert isinstance(cow.dead.messages[0][1], KeyError)
    assert "internal error in SciCow" in caplog.text


def test_a_message_that_always_gets_500_is_at_last_a_dead_letter(cow, clock):
    bad, next_one = message(), message("ended")
    next_one["uuid"] = bad["uuid"]
    cow.ingestor.failures[bad["uuid"]] = failures = [SciCatError("x", 500)] * 100_000
    run(
        cow,
        at(0, bad),
        more_tries(cow, 10),
        lambda: not cow.dead.messages and clock.passes(LONG),
        lambda: cow.dead.messages and not failures.clear(),
        at(1, next_one),
    )
    assert cow.dead.offsets == [0]
    assert cow.ingestor.done == [next_one]


def test_a_dead_letter_that_kafka_has_not_confirmed_is_not_done_and_others_go_on(cow, caplog):
    cow.dead.failures = [DeadLetterError("x"), BufferError("full"), DeadLetterError("x")]
    good = [message() for _ in range(10)]
    stored = []

    def look():
        if len(cow.ingestor.done) == 10 and cow.dead.failures:
            stored.append(dict(cow.kafka.stored))
        return cow.dead.messages

    cow.dead.failures += [DeadLetterError("x")] * 5
    run(cow, FakeMessage(0, b"{"), *[at(number + 1, each) for number, each in enumerate(good)], look)
    assert all(each.get(0, 0) == 0 for each in stored)
    assert cow.dead.offsets == [0]
    assert cow.kafka.committed == {0: 11}
    assert caplog.text.count("held: Kafka does not accept dead letters") == 1


# ------------------------------------------------------------------- waiting datasets


def test_an_annotation_waits_for_its_dataset_without_holding_others_up(cow):
    uuid = message()["uuid"]
    first = message("annotation", uuid, annotation={"comment": "1"})
    second = message("annotation", uuid, annotation={"comment": "2"})
    other, began = message(), message("began", uuid)
    cow.ingestor.missing.add(uuid)
    stored = []

    def look():
        stored.append(dict(cow.kafka.stored))
        return cow.ingestor.done == [other]

    run(cow, at(0, first), at(1, other), at(2, second), look, at(3, began))
    assert stored[-1].get(0, 0) == 0  # the first is not done, so nothing behind it counts
    assert cow.ingestor.done == [other, began, first, second]
    assert cow.kafka.committed == {0: 4}


@pytest.mark.parametrize("kind", ["began", "snapshot", "ended"])
def test_what_makes_the_dataset_goes_first_wherever_it_is_in_its_row(cow, kind):
    uuid = message()["uuid"]
    files = message("ended", uuid, part={"number": 2, "of": 2})
    early = message("annotation", uuid)
    maker = message(kind, uuid)
    cow.ingestor.missing.add(uuid)
    cow.ingestor.failures[uuid] = [DatasetMissing("x", LONG)]
    run(cow, at(0, files), at(1, early), at(2, maker))
    assert [each["type"] for each in cow.ingestor.done] == [kind, "ended", "annotation"]


def test_what_waited_may_fail_after_its_dataset_has_arrived(cow):
    uuid = message()["uuid"]
    early, began = message("annotation", uuid), message("began", uuid)
    cow.ingestor.missing.add(uuid)
    cow.ingestor.failures[uuid] = [DatasetMissing("x", LONG), lambda: None, SciCatError("x", 503)]
    run(cow, at(0, early), at(1, began))
    assert cow.ingestor.done == [began, early]
    assert cow.kafka.committed == {0: 2}


def test_a_dataset_that_waits_for_its_proposal_is_a_dead_letter_only_after_its_time(cow, clock):
    unknown, for_ever, other = message(), message(), message()
    cow.ingestor.failures[unknown["uuid"]] = [NotYet("unknown", LONG)] * 100_000
    cow.ingestor.failures[for_ever["uuid"]] = left = [NotYet("the office is down")] * 100_000
    run(
        cow,
        at(0, unknown),
        at(1, for_ever),
        at(2, other),
        more_tries(cow, 10),
        lambda: not cow.dead.messages and clock.passes(LONG),
        lambda: cow.dead.messages,
        more_tries(cow, 2),
        lambda: not left.clear(),
    )
    assert cow.dead.offsets == [0]
    assert cow.ingestor.done == [other, for_ever]


def test_the_time_of_one_reason_to_wait_does_not_count_for_the_next(cow, clock):
    one = message()

    def still_down():
        clock.passes(2 * LONG)
        raise NotYet("the office is down")

    office_down = [NotYet("the office is down"), still_down]
    cow.ingestor.failures[one["uuid"]] = [*office_down, *[NotYet("unknown", LONG)] * 2]
    run(cow, at(0, one))
    assert not cow.dead.messages


def test_an_annotation_whose_dataset_never_comes_is_a_dead_letter(cow):
    lonely = message("annotation")
    cow.ingestor.missing.add(lonely["uuid"])
    cow.ingestor.longest = 0.2
    run(cow, at(0, lonely))
    assert isinstance(cow.dead.messages[0][1], DatasetMissing)
    assert cow.kafka.committed == {0: 1}


def test_the_time_that_scicat_was_away_does_not_count(cow, clock):
    early, other = message("annotation"), message()
    began = message("began", early["uuid"])
    cow.ingestor.missing.add(early["uuid"])

    def fail():
        cow.ingestor.away = [SciCatError("x", 0)] * 100_000
        return True

    run(
        cow,
        at(0, early),
        lambda: cow.ingestor.tries,
        fail,
        at(1, other),
        lambda: cow.progress.held,
        lambda: clock.passes(2 * LONG),
        more_tries(cow, 2),
        at(2, began),
        lambda: not cow.ingestor.away.clear(),
    )
    assert not cow.dead.messages
    assert {each["uuid"] for each in cow.ingestor.done} == {early["uuid"], other["uuid"]}


# ------------------------------------------------------------------------------- memory


def test_a_partition_with_too_many_waiting_is_paused_alone_and_resumed():
    cow = make(max_waiting=4)
    uuid, others = message()["uuid"], [message() for _ in range(10)]
    go = []
    cow.ingestor.failures[uuid] = [NotYet("x")] * 100_000
    waiting = [message("began", uuid) for _ in range(4)]
    script = [at(number, each) for number, each in enumerate(waiting)]
    script += [lambda: ("pause", 0) in cow.kafka.changes and not go]
    script += [at(number, each, 1) for number, each in enumerate(others)]
    run(
        cow,
        *script,
        lambda: len(cow.ingestor.done) == 10,
        lambda: cow.ingestor.failures.clear() is None,
        lambda: cow.kafka.changes[-1] == ("resume", 0),
    )
    of_first = [what for what, number in cow.kafka.changes if number == 0]
    assert of_first == ["resume", "pause", "resume"]
    assert len(cow.ingestor.done) == 14


def test_large_messages_fill_a_partitions_part_of_the_memory(cow, monkeypatch):
    monkeypatch.setattr(consumer, "MAX_WAITING_BYTES", 2 * 100_000)
    one = message(description="x" * 60_000)
    cow.ingestor.failures[one["uuid"]] = [NotYet("x")] * 100_000
    run(
        cow,
        at(0, one),
        lambda: ("pause", 0) not in cow.kafka.changes,
        at(1, one),
        lambda: ("pause", 0) in cow.kafka.changes and not cow.ingestor.failures.clear(),
    )
    assert cow.kafka.changes[-1] == ("resume", 0)


def test_nothing_is_remembered_of_what_is_done(cow):
    run(cow, *[at(number, message()) for number in range(200)])
    assert not cow._queues._queues
    assert not cow._queues._in_progress


# --------------------------------------------------------------------------- rebalances


def test_a_partition_is_given_away_when_nothing_of_it_is_in_work(cow):
    in_work, waits, next_one, kept = message(), message(), message(), message()
    begun, go, order = threading.Event(), threading.Event(), []

    def slowly():
        begun.set()
        go.wait(PATIENCE)
        order.append("written")

    cow.ingestor.failures[in_work["uuid"]] = [slowly]
    cow.ingestor.failures[waits["uuid"]] = [NotYet("x")] * 100_000

    def revoke():
        threading.Timer(0.1, go.set).start()
        cow.kafka.revoke(0)
        order.append("given away")
        assert cow.kafka.committed == {0: 5}
        return True

    run(
        cow,
        at(4, in_work),
        at(5, waits),
        FakeMessage(6, encode(next_one)),
        at(9, kept, partition=1),
        lambda: begun.is_set() and next_one in cow.ingestor.done and kept in cow.ingestor.done,
        revoke,
    )
    assert order == ["written", "given away"]
    assert cow.kafka.committed == {0: 5, 1: 10}
    assert not cow.dead.messages
    assert counts(cow).waiting == 0
    assert set(cow.lag_by_partition()) <= {(TOPIC, 0), (TOPIC, 1)}


def test_work_that_hangs_does_not_keep_a_partition_forever(cow):
    one = message()
    begun, go = threading.Event(), threading.Event()
    cow.ingestor.failures[one["uuid"]] = [lambda: begun.set() or go.wait()]
    cow._finish_within = 0.1
    run(cow, at(4, one), begun.is_set, lambda: cow.kafka.revoke(0), stop)
    assert cow.kafka.committed == {0: 4}
    go.set()


def test_old_work_does_not_count_for_a_partition_that_is_assigned_again(cow):
    one, other = message(), message()
    begun, go = threading.Event(), threading.Event()
    cow.ingestor.failures[one["uuid"]] = [lambda: begun.set() or go.wait(PATIENCE)]
    cow.ingestor.failures[other["uuid"]] = [NotYet("x")] * 100_000
    stored = []

    def look():
        go.set()
        stored.append(cow.kafka.stored.get(0))
        return len(cow.ingestor.done) == 2

    run(
        cow,
        at(4, one),
        begun.is_set,
        lambda: cow.kafka.lose(0),
        lambda: cow.kafka.assign(0),
        at(3, other),
        at(4, one),
        look,
        lambda: stored.append(cow.kafka.stored.get(0)) or cow.ingestor.failures.clear() is None,
    )
    assert set(stored) <= {None, 3}
    assert cow.ingestor.done == [one, one, other]
    assert cow.kafka.committed == {0: 5}
    assert counts(cow).waiting == 0


def test_what_is_lost_is_dropped_and_not_committed(cow):
    one = message()
    cow.ingestor.failures[one["uuid"]] = [NotYet("x")] * 100_000
    run(cow, at(4, one), lambda: cow.ingestor.tries, lambda: cow.kafka.lose(0))
    assert cow.kafka.committed == {}
    assert not cow.ingestor.done


def test_a_commit_that_fails_does_not_end_it(cow, caplog):
    cow.kafka.refuses = KafkaError.REBALANCE_IN_PROGRESS
    run(cow, at(0, message()), lambda: idle(cow), lambda: cow.kafka.revoke(0))
    assert cow.kafka.closed
    assert "cannot be committed" in caplog.text
    assert "messages will be redelivered" in caplog.text


# --------------------------------------------------------------------------------- stop


def test_a_stop_finishes_what_is_in_work_and_begins_nothing(cow):
    cow = make(workers=1)
    one, next_one = message(), message()
    begun = threading.Event()
    cow.ingestor.failures[one["uuid"]] = [lambda: begun.set() or time.sleep(0.1)]
    run(cow, at(0, one), at(1, next_one), begun.is_set, stop)
    assert cow.ingestor.done == [one]
    assert cow.kafka.committed == {0: 1}
    assert cow.kafka.closed


def test_a_stop_while_held_counts_nothing_and_does_not_take_long(cow):
    one = message()
    cow.ingestor.failures[one["uuid"]] = [SciCatError("x", 0, retry_after=1000)] * 1000
    run(cow, at(0, one), lambda: cow.progress.held, stop)
    assert cow.kafka.committed == {0: 0}


def test_a_stop_does_not_wait_forever_for_what_hangs(cow):
    one = message()
    begun, go = threading.Event(), threading.Event()
    cow.ingestor.failures[one["uuid"]] = [lambda: begun.set() or go.wait()]
    cow._finish_within = 0.1
    run(cow, at(0, one), begun.is_set, stop)  # returns before it goes on
    assert cow.kafka.committed == {0: 0}
    go.set()


def test_a_stop_does_not_wait_forever_for_kafka(cow, monkeypatch, caplog):
    monkeypatch.setattr(consumer, "CLOSE_SECONDS", 0.1)
    go = threading.Event()
    cow.kafka.close = go.wait
    run(cow, at(0, message()))  # returns before it goes on
    go.set()
    assert "Kafka does not answer" in caplog.text


# ------------------------------------------------------------------------------- seeing


def test_kafkas_problems_are_reported_once(cow, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(3):
        cow._kafka_failed(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        cow._kafka_failed(KafkaError(KafkaError._TRANSPORT))
    cow._kafka_answered()
    cow._kafka_answered()
    assert len(caplog.records) == 2


def test_why_no_broker_can_be_reached_is_reported(cow, caplog):
    cow._kafka_failed(KafkaError(KafkaError._TRANSPORT, "SSL handshake failed"))
    assert not caplog.records
    cow._kafka_failed(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert "1/1 brokers are down (SSL handshake failed). Is it running" in caplog.text


def test_a_topic_that_does_not_exist_yet_is_waited_for(cow, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(3):
        cow._kafka_failed(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    cow._kafka_answered()
    assert [record.getMessage() for record in caplog.records] == ["no topic matches ^scifish-.* yet; waiting for one"]


def test_the_lag_is_what_is_not_done_and_how_old_that_is(cow):
    one, other = message(), message()
    cow.ingestor.failures[one["uuid"]] = [NotYet("x")] * 100_000
    seen = []

    def look():
        cow.kafka.high[0] = 12
        seen.append(cow.lag_by_partition())
        return cow.ingestor.done == [other] and seen[-1][TOPIC, 0][0] == 6

    sent = int(time.time()) - 100
    run(cow, at(5, one, sent=sent), at(6, other), look, stop)
    behind, seconds = seen[-1][TOPIC, 0]
    assert behind == 1 + 5
    assert 100 <= seconds <= time.time() - sent
    assert seen[-1][TOPIC, 1] == (0, 0.0)


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_clock_that_is_set_while_messages_wait_makes_none_of_them_older_or_newer(cow, monkeypatch, hours):
    given, real, seen = message(), time.time, []
    cow.ingestor.failures[given["uuid"]] = [NotYet("x")] * 100_000

    def set_clock():
        monkeypatch.setattr(time, "time", lambda: real() + 3600 * hours)
        return True

    def look():
        seen.append(cow.lag_by_partition()[TOPIC, 0])
        return True

    run(cow, at(5, given, sent=real() - 100), set_clock, look, stop)
    assert 100 <= seen[0][1] < 100 + PATIENCE


@pytest.mark.parametrize("hours", [-24, 24])
def test_what_is_missing_is_noticed_though_the_clock_was_wrong_when_the_topic_came(
    cow, caplog, patient, monkeypatch, hours
):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * hours)

    def set_right():
        monkeypatch.setattr(time, "time", real)
        return True

    sent = {1: real() - LONG, 9: real() - LONG, 11: real() + LONG, 13: real() + LONG}
    given = [at(offset, message(seq=seq), sent=moment) for offset, (seq, moment) in enumerate(sent.items())]
    run(cow, watched(cow), set_right, *given, lambda: counts(cow).missing)
    assert "run 'run-1': 1 messages are missing, seq [12]" in caplog.text


def test_the_lag_and_the_counts_that_are_shown_are_of_one_moment(cow):
    """Each look, while the workers are at it and the loop is not, finds each message either done or not."""
    state, seen = ReplicaStatus(cow, cow.progress, lambda: None), []

    def look():
        for _ in range(20):
            seen.extend(state.snapshot().beamlines.values())
        assert eventually(lambda: idle(cow))
        seen.extend(state.snapshot().beamlines.values())
        return True

    run(cow, *[step for number in range(30) for step in (at(number, message()), look)])
    assert len(seen) == 30 * 21
    assert {one.counts.read - one.counts.ingested - one.lag for one in seen} == {0}
    assert {one.counts.waiting - one.lag for one in seen} == {0}


def test_it_says_when_it_polled_and_whether_it_knows_its_partitions(cow):
    assert not cow.assigned
    began = time.monotonic()
    run(cow, at(0, message()))
    assert cow.assigned
    assert cow.last_poll >= began


@pytest.fixture
def patient(monkeypatch):
    """What is missing is given up at once."""
    monkeypatch.setattr("ingest.scicow.pipeline.sequence_gaps.LATE_MESSAGE_SECONDS", 0.0)


def later(offset, seq, partition=0, **more):
    return at(offset, message(seq=seq), partition, sent=time.time() + LONG, **more)


def watched(cow):
    return lambda: cow._sequence_gaps._since


def test_what_is_missing_of_a_run_is_reported_when_all_has_been_read(cow, caplog, patient):
    run(cow, watched(cow), later(0, 1), later(1, 4), lambda: counts(cow).missing)
    assert "scifish-cosaxs, run 'run-1': 2 messages are missing, seq [2, 3]" in caplog.text
    assert caplog.text.count("are missing") == 1
    assert counts(cow).missing == 2


def test_nothing_is_missing_that_is_not_read_yet(cow, caplog, patient):
    def unread():
        cow.kafka.high[0] = 9
        return True

    run(cow, watched(cow), unread, later(0, 1), later(1, 4), later(2, 2, 1), later(3, 3, 1))
    assert "missing" not in caplog.text


def test_where_others_read_a_part_of_the_topic_nothing_is_missing(cow, caplog, patient):
    cow.kafka.partitions = 1
    run(cow, lambda: cow._next_metadata is None, later(0, 1), later(1, 4))
    assert not cow._sequence_gaps._since
    assert "missing" not in caplog.text


def test_what_was_sent_before_or_is_sent_again_is_not_looked_at(cow, caplog, patient):
    again = [("scicow.again", b"replay")]
    run(cow, watched(cow), at(0, message(seq=1)), at(1, message(seq=9)), later(2, 10), later(3, 99, headers=again))
    assert "missing" not in caplog.text


def test_a_topic_that_is_shared_again_is_not_looked_at_any_more(cow, caplog, patient):
    run(cow, watched(cow), later(0, 1), lambda: cow.kafka.revoke(1), later(1, 4))
    assert "missing" not in caplog.text


# ------------------------------------------------------------------- whatever may happen

ERRORS = {
    "500": lambda: SciCatError("x", 500),
    "503": lambda: SciCatError("x", 503),
    "timeout": lambda: TimedOut("x"),
    "missing": lambda: DatasetMissing("x", LONG),
    "not yet": lambda: NotYet("x"),
    "dead": lambda: SciCatError("x", 400),
    "fine": lambda: lambda: None,
}


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 1), st.sampled_from(["began", "ended", "annotation", "junk"])),
        min_size=1,
        max_size=30,
    ),
    failures=st.dictionaries(st.integers(0, 4), st.lists(st.sampled_from(sorted(ERRORS)), max_size=8)),
    workers=st.integers(1, 6),
    max_waiting=st.integers(1, 8),
)
def test_whatever_happens_all_is_done_once_in_order_and_counts_only_then(rows, failures, workers, max_waiting):
    cow = make(workers=workers, max_waiting=max_waiting)
    uuids = [message()["uuid"] for _ in range(5)]
    cow.ingestor.failures = {uuids[each]: [ERRORS[one]() for one in those] for each, those in failures.items()}
    offsets = [0, 0]
    sent, where = [], {}
    for seq, (which, partition, kind) in enumerate(rows, start=1):
        data = b"junk" if kind == "junk" else encode(message(kind, uuids[which], seq=seq))
        sent.append(FakeMessage(offsets[partition], data, partition))
        where[seq] = partition, offsets[partition]
        offsets[partition] += 1

    def check(partition, offset):
        done = {where[each["seq"]] for each in cow.ingestor.done}
        done |= {(each.partition(), each.offset()) for each, _ in cow.dead.messages}
        assert {(partition, before) for before in range(offset)} <= done

    cow.kafka.checks = [check]
    run(cow, *sent)
    assert cow.kafka.committed == {number: offset for number, offset in enumerate(offsets) if offset}
    seen = [each["seq"] for each in cow.ingestor.done]
    junk = sum(kind == "junk" for _, _, kind in rows)
    dead = len(cow.dead.messages) - junk
    assert len(set(seen)) == len(seen) == len(rows) - junk - dead
    assert dead <= sum(those.count("dead") for those in failures.values())
    for which, uuid in enumerate(uuids):
        numbers = [each["seq"] for each in cow.ingestor.done if each["uuid"] == uuid]
        if "missing" not in failures.get(which, ()):
            assert numbers == sorted(numbers)


# ----------------------------------------------------------- the connection


def test_a_kafka_that_does_not_answer_is_reported_until_it_does(cow):
    def silent():
        cow._inspector.failure = "SASL authentication error: Authentication failed"
        return True

    def answers():
        assert "Authentication failed. Check the `kafka` settings" in cow.progress.kafka
        state = ReplicaStatus(cow, cow.progress, lambda: None).snapshot()
        assert (state.name, bool(state.not_ready), state.held) == ("held", True, cow.progress.kafka)
        cow._inspector.failure = ""
        return True

    run(cow, silent, lambda: cow.progress.kafka, answers, lambda: not cow.progress.kafka)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (InspectionFailed("Broker: Topic authorization failed"), "Broker: Topic authorization failed"),
        (None, "Kafka has no such partition"),
    ],
)
def test_a_partition_that_does_not_start_is_seen_and_does_not_stop_the_others(cow, monkeypatch, answer, reason):
    monkeypatch.setattr(consumer, "STANDSTILL_SECONDS", 0.0)
    cow._inspector.facts = {(TOPIC, 0): answer}
    run(
        cow,
        at(0, message(), partition=1),
        lambda: f"scifish-cosaxs[0] cannot be read: {reason}" in cow.progress.kafka,
        stop,
    )
    assert counts(cow).read == 1


def test_an_error_of_a_client_that_is_being_closed_says_nothing(cow):
    before = cow.kafka.config["error_cb"]
    cow._connect()
    before(KafkaError(KafkaError._FATAL, "fenced", fatal=True))
    before(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert (cow._broken, cow._kafka_error) == (False, "")
    cow._kafka.config["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert cow._kafka_error


def test_a_client_that_is_refused_leaves_no_inspector(cow, monkeypatch):
    made = []

    def refused(config):
        raise ValueError("no such property")

    monkeypatch.setattr(consumer, "Consumer", refused)
    monkeypatch.setattr(consumer, "PartitionInspector", lambda kafka: made.append(FakeInspector(kafka)) or made[-1])
    with pytest.raises(SciCowSettingsError):
        cow._connect()
    assert [each.closed for each in made] == [True]


@pytest.fixture
def clients(cow, monkeypatch):
    """All that SciCow makes; they share the script, and Kafka has a message of partition 0 for each."""
    made = [cow.kafka]
    cow.kafka.high[0] = 1

    def make_client(config):
        client = FakeKafka(config)
        client.script, client.done = cow.kafka.script, cow.stop
        client.high[0] = 1
        made.append(client)
        return client

    monkeypatch.setattr(consumer, "Consumer", make_client)
    monkeypatch.setattr(consumer, "CONFIG_FILE_CHECK_SECONDS", 0.0)
    return made


NOT_DELIVERED = "it has messages of scifish-cosaxs[0] and does not deliver them"


def passes(clients, number):
    """A step that is true when the newest client has been polled so often, and was not replaced meanwhile."""
    polls = []

    def step():
        polls.append(clients[-1])
        return polls[-number:] == [clients[-1]] * number

    return step


@pytest.mark.parametrize("cause", ["undelivered", "fatal"])
def test_it_connects_anew_where_kafka_delivers_nothing_and_after_an_error_that_is_final(
    cow, clients, monkeypatch, caplog, cause
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(consumer, "UNDELIVERED_SECONDS", 0.0 if cause == "undelivered" else LONG)

    def fails():
        if cause == "fatal":
            clients[0].config["error_cb"](KafkaError(KafkaError._FATAL, "fenced", fatal=True))
        return True

    def replaced():
        if len(clients) == 2:  # and the second one is in order
            monkeypatch.setattr(consumer, "UNDELIVERED_SECONDS", LONG)
        return len(clients) == 2

    given = message()
    run(cow, fails, replaced, lambda: clients[0].closed, at(0, given), passes(clients, 10))
    assert (NOT_DELIVERED in caplog.text) == (cause == "undelivered")
    assert caplog.text.count("reconnecting to Kafka") == 1
    assert [each["uuid"] for each in cow.ingestor.done] == [given["uuid"]]
    assert clients[1].committed == {0: 1}
    assert cow.progress.kafka == ""


def test_it_reconnects_where_a_topic_created_again_lacks_a_partition_that_it_has(cow, clients, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(consumer, "STANDSTILL_SECONDS", 0.0)
    monkeypatch.setattr(FakeKafka, "partitions", 1)
    clients[0].partitions = 2
    cow._inspector.facts[TOPIC, 1] = None
    given = message()
    run(cow, lambda: len(clients) == 2, lambda: clients[0].closed, at(0, given), passes(clients, 10))
    assert caplog.text.count("reconnecting to Kafka") == 1
    assert [each["uuid"] for each in cow.ingestor.done] == [given["uuid"]]
    assert cow.progress.kafka == ""


def test_a_message_that_is_not_delivered_by_new_clients_either_is_said_and_they_come_to_an_end(
    cow, clients, monkeypatch
):
    monkeypatch.setattr(consumer, "UNDELIVERED_SECONDS", 0.0)
    run(cow, lambda: len(clients) == 1 + consumer.MAX_RECONNECTIONS, passes(clients, 50), stop)
    assert len(clients) == 1 + consumer.MAX_RECONNECTIONS
    assert NOT_DELIVERED in cow.progress.kafka
    assert eventually(lambda: all(each.closed for each in clients))
