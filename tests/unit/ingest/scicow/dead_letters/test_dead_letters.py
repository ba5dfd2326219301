"""Dead letters, and sending again, without a Kafka."""

import argparse
import json

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from ingest.scicat import DocumentConflict, Expired, Modified, NotAllowed, SciCatError, TimedOut, TooLarge
from ingest.scicow.commands.dead_letters import as_json, listed, passes, readable, shown
from ingest.scicow.commands.replay import going_on
from ingest.scicow.dead_letters import producer
from ingest.scicow.dead_letters.producer import LOST_HEADER, DeadLetterError, DeadLetterProducer, _headers
from ingest.scicow.dead_letters.topic import (
    DeadLetterTopic,
    LetterId,
    LetterSettler,
    is_letter,
    letter_of,
    original_headers,
    settlement,
    settlement_of,
)
from ingest.scicow.errors import DatasetMissing, MessageRefused, NotYet
from ingest.scicow.kafka.resend import RESENT_HEADER, Replay, copy_of, original_of
from ingest.scicow.kafka.topics import MessagePosition, NoTopic, OffsetRange, TopicError
from ingest.scicow.settings import load
from scifish.message import MessageError
from tests.builders.kafka_messages import Taken, taken
from tests.builders.messages import message
from tests.paths import DOCS

LETTERS = "scicow-dead-letters"


def letter(original, offset=0, reason="no such proposal", more=()):
    headers = [*original.headers(), *_headers(original, ValueError(reason)), *more]
    return Taken(LETTERS, 0, offset, original.value(), original.key(), headers, when=1_795_341_600.0 + offset)


def settled(identity, how, offset=0, to=None):
    record = settlement(LETTERS, identity, how, to)
    return Taken(record.topic, record.partition, offset, record.value, record.key, list(record.headers))


class FakeTopics:
    """Topics in memory: by name, the messages of partition 0."""

    def __init__(self, **topics):
        self.topics = {name.replace("_", "-"): messages for name, messages in topics.items()}

    def whole(self, topic):
        if topic not in self.topics:
            raise NoTopic(topic)
        return [OffsetRange(topic, 0, 0, len(self.topics[topic]))]

    def read(self, ranges):
        for each in ranges:
            yield from self.topics[each.topic][each.start : each.end]

    def one(self, place):
        messages = self.topics.get(place.topic, [])
        found = messages[place.offset] if place.offset < len(messages) else None
        return found


class FakeWriter:
    """Confirms everything, but for the topics in `errors`."""

    def __init__(self, **errors):
        self.records = []
        self.errors = errors

    def write(self, records):
        answers = []
        for record in records:
            self.records.append(record)
            code = self.errors.get(record.topic.replace("-", "_"))
            answers.append(MessagePosition(record.topic, 0, len(self.records)) if code is None else KafkaError(code))
        return answers


# ----------------------------------------------------------------------------- letters


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (MessageRefused("x"), "ingest.failures.Refused"),
        (NotYet("x"), "ingest.failures.NotYet"),
        (DatasetMissing("x"), "ingest.failures.DatasetMissing"),
        (SciCatError("x", 400), "ingest.answers.SciCatError"),
        (DocumentConflict("x", 409), "ingest.answers.Conflict"),
        (NotAllowed("x", 403), "ingest.answers.NotAllowed"),
        (Expired("x", 401), "ingest.answers.Expired"),
        (TimedOut("x"), "ingest.answers.TimedOut"),
        (Modified("x", 412), "ingest.answers.Modified"),
        (TooLarge("x", 413), "ingest.answers.TooLarge"),
        (MessageError("x"), "scifish.message.MessageError"),
        (KeyError("x"), "builtins.KeyError"),
    ],
)
def test_the_headers_that_name_classes_stay_whatever_the_classes_are_called(error, name):
    headers = dict(_headers(taken(message()), error))
    assert headers["__connect.errors.class.name"] == b"ingest.ingestor.Ingestor"
    assert headers["__connect.errors.exception.class.name"] == name.encode()


def test_a_letter_says_what_of_it_is_known():
    given_message = message("ended", datasetName="scan")
    found = letter_of(letter(taken(given_message, 7), 3))
    assert (found.id, found.origin, found.first) == (
        LetterId(0, 3),
        MessagePosition("scifish-cosaxs", 0, 7),
        found.origin,
    )
    assert (found.beamline, found.type, found.name, found.uuid) == ("cosaxs", "ended", "scan", given_message["uuid"])
    assert found.reason == "no such proposal"
    assert not found.cut


@given(st.binary(max_size=50), st.lists(st.tuples(st.text(max_size=30), st.binary(max_size=30))))
def test_any_record_of_the_topic_can_be_read(value, headers):
    found = Taken(LETTERS, 0, 0, value, None, headers)
    assert is_letter(found) or settlement_of(found) is None
    assert as_json(letter_of(found))["id"] == "0:0"
    assert listed([letter_of(found)])
    assert "\x1b" not in shown(found, None)


@given(st.binary(max_size=3000))
def test_any_value_can_be_shown(value):
    text = readable(value)
    assert all(each.isprintable() or each == "\n" for each in text)


def test_text_is_shown_as_text_and_bytes_as_bytes():
    assert readable(b'{"a": "\\u001b"}') == '{\n  "a": "\\u001b"\n}'
    assert readable("grün, {".encode()) == "grün, {"
    assert readable(b"\x00\x01abc").startswith("00000000  00 01 61 62 63")
    assert readable(("ä" * 2000).encode()).startswith("ää")
    assert "of 4,000 bytes" in readable(("ä" * 2000).encode())


def test_what_a_message_says_of_itself_is_not_believed():
    # These headers were there before SciCow wrote its own.
    forged = [
        ("__connect.errors.topic", b"secrets"),
        ("scicow.settled", b"dropped"),
        (RESENT_HEADER, b"x of secrets[0]@1"),
    ]
    found = letter(taken(message(), 7, headers_=forged))
    assert is_letter(found)
    assert settlement_of(found) is None
    assert letter_of(found).first == MessagePosition("scifish-cosaxs", 0, 7)
    assert original_headers(found.headers()) == forged


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"partition": "0", "offset": 1}', b"\xff"])
def test_a_settlement_that_cannot_be_read_settles_nothing(value):
    assert settlement_of(Taken(LETTERS, 0, 0, value, None, [("scicow.settled", b"dropped")])) is None


def test_what_waits_is_what_is_not_settled():
    records = [letter(taken(message(), number), number) for number in range(4)]
    to = MessagePosition("scifish-cosaxs", 1, 9)
    records += [
        settled(LetterId(0, 1), "dropped", 4),
        settled(LetterId(0, 2), "replayed", 5, to),
        settled(LetterId(0, 2), "dropped", 6),
    ]
    topic = DeadLetterTopic(FakeTopics(scicow_dead_letters=records), LETTERS)
    waiting, done = topic.read()
    assert list(waiting) == [LetterId(0, 0), LetterId(0, 3)]
    assert done[LetterId(0, 1)].how == "dropped"
    assert settlement_of(records[5]).to == to
    assert DeadLetterTopic(FakeTopics(), LETTERS).read() == ({}, {})


def test_a_replay_sends_the_original_and_then_settles():
    original = taken(message(), 0, headers_=[("mine", b"1")])
    topics = FakeTopics(scifish_cosaxs=[original], scicow_dead_letters=[letter(original)])
    writer = FakeWriter()
    settling = LetterSettler(topics, writer, LETTERS)
    settling.replay([LetterId(0, 0)], lambda _: None)
    first, second = writer.records
    assert (first.topic, first.key, first.value) == ("scifish-cosaxs", original.key(), original.value())
    assert first.headers == (("mine", b"1"), (RESENT_HEADER, b"dead letter 0:0 of scifish-cosaxs[0]@0"))
    assert first.partition is None
    assert (second.topic, second.partition, second.headers) == (LETTERS, 0, (("scicow.settled", b"replayed"),))
    assert json.loads(second.value)["to"] == "scifish-cosaxs[0]@1"
    assert (settling.done, settling.failed) == (1, [])


def test_what_kafka_does_not_take_again_still_waits():
    original = taken(message())
    topics = FakeTopics(scicow_dead_letters=[letter(original)])
    writer = FakeWriter(scifish_cosaxs=KafkaError.MSG_SIZE_TOO_LARGE)
    settling = LetterSettler(topics, writer, LETTERS)
    settling.replay([LetterId(0, 0)], lambda _: None)
    assert settling.done == 0
    assert [record.topic for record in writer.records] == ["scifish-cosaxs"]
    assert [identity for identity, _ in settling.failed] == [LetterId(0, 0)]


def test_a_cut_letter_takes_the_whole_message_from_its_topic():
    original = taken(message())
    cut = letter(original, more=[("scicow.cut", b"1000 bytes")])
    cut.value_ = cut.value_[:10]
    for there, failed in (([original], 0), ([], 1)):
        writer = FakeWriter()
        settling = LetterSettler(FakeTopics(scifish_cosaxs=there, scicow_dead_letters=[cut]), writer, LETTERS)
        settling.replay([LetterId(0, 0)], lambda _: None)
        assert len(settling.failed) == failed
        assert all(record.value != cut.value_ for record in writer.records)


class Limited:
    """A producer whose broker takes messages up to a size."""

    limit = 1_000_000

    def __init__(self, config):
        self.taken = []

    def produce(self, topic, key, value, headers, on_delivery):
        size = len(key or b"") + len(value or b"") + sum(len(name) + len(content or b"") for name, content in headers)
        self.report = on_delivery, KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if size > self.limit else None
        if size <= self.limit:
            self.taken.append((key, value, headers))

    def poll(self, timeout):
        report, refused = self.report
        report(refused, None)
        return 1


LARGE = [(f"h{number}", bytes(52_380)) for number in range(20)]


@pytest.mark.parametrize(
    ("value", "key", "headers", "limit", "said"),
    [
        (b"x" * 999_999, b"u", [("mine", b"1")], 1_000_000, "value of 999999 bytes"),
        (b"x", b"u", LARGE, 1_000_000, "value of 1 bytes, 21 headers of 1047691 bytes"),
        (None, b"u", LARGE, 1_000_000, "value of 0 bytes, 21 headers of 1047691 bytes"),
        (b"x", b"k" * 1_000_000, [], 1_000_000, "value of 1 bytes, 1 headers of 41 bytes, key of 1000000 bytes"),
        (b"x" * 90_000, b"u", [], 20_000, "value of 90000 bytes, 1 headers of 41 bytes"),
    ],
)
def test_a_letter_that_is_too_large_is_cut_until_kafka_takes_it_and_says_what(
    monkeypatch, value, key, headers, limit, said
):
    monkeypatch.setattr(producer, "Producer", Limited)
    monkeypatch.setattr(Limited, "limit", limit)
    letters = DeadLetterProducer(load(DOCS / "scicow.example.yaml", secrets=False))
    copied = (RESENT_HEADER, b"replay of scifish-cosaxs[0]@3")
    original = Taken("scifish-cosaxs", 0, 7, value, key, [*headers, copied])
    letters.put(original, MessageError("seq: is missing"))
    ((cut_key, cut_value, cut_headers),) = letters._producer.taken
    cut = Taken(LETTERS, 0, 0, cut_value, cut_key, cut_headers)
    found = letter_of(cut)
    assert (found.cut, found.reason) == (True, "seq: is missing")
    assert (str(found.origin), str(found.first)) == ("scifish-cosaxs[0]@7", "scifish-cosaxs[0]@3")
    assert dict(cut_headers)["scicow.cut"].decode() == f"{said}: complete only in the original topic"
    assert original_headers(cut_headers)[-1] == copied
    topics = FakeTopics(scifish_cosaxs=[original] * 8, scicow_dead_letters=[cut])
    writer = FakeWriter()
    LetterSettler(topics, writer, LETTERS).replay([LetterId(0, 0)], lambda _: None)
    sent = writer.records[0]
    assert (sent.key, sent.value, sent.headers[:-1]) == (key, value, tuple(headers))


def test_a_letter_of_somebody_else_is_not_sent_anywhere():
    topics = FakeTopics(scicow_dead_letters=[Taken(LETTERS, 0, 0, b"x", None, [])])
    writer = FakeWriter()
    settling = LetterSettler(topics, writer, LETTERS)
    settling.replay([LetterId(0, 0), LetterId(0, 5)], lambda _: None)
    assert writer.records == []
    assert [str(identity) for identity, _ in settling.failed] == ["0:0", "0:5"]


def test_the_last_letter_of_a_message_says_what_became_of_it():
    original = taken(message(), 4)
    again = taken(message(), 9, headers_=[(RESENT_HEADER, b"dead letter 0:0 of scifish-cosaxs[0]@4")])
    records = [
        letter(original, 0),
        settled(LetterId(0, 0), "replayed", 1),
        letter(again, 2),
        settled(LetterId(0, 2), "dropped", 3),
    ]
    topic = DeadLetterTopic(FakeTopics(scicow_dead_letters=records), LETTERS)
    fates, _ = topic.fates(lambda place: True, lambda _: None)
    [(place, (last, how))] = fates.items()
    assert (place, last.id, how.how) == (MessagePosition("scifish-cosaxs", 0, 4), LetterId(0, 2), "dropped")
    assert topic.fates(lambda place: False, lambda _: None) == ({}, [])


def test_a_letter_about_lost_messages_hides_no_other_letter():
    original = taken(message(), 4)
    lost = [letter(original, offset, more=[(LOST_HEADER, b"7")]) for offset in (1, 2)]
    records = [letter(original, 0), *lost, settled(LetterId(0, 2), "dropped", 3)]
    topic = DeadLetterTopic(FakeTopics(scicow_dead_letters=records), LETTERS)
    fates, of_lost = topic.fates(lambda place: True, lambda _: None)
    assert [(last.id, how) for last, how in fates.values()] == [(LetterId(0, 0), None)]
    assert [(each.id, bool(how)) for each, how in of_lost] == [(LetterId(0, 1), False), (LetterId(0, 2), True)]


def test_a_configuration_that_cannot_be_read_or_a_full_client_is_a_failed_letter(monkeypatch):
    class Full:
        def __init__(self, config):
            pass

        def produce(self, *args, **kwargs):
            raise BufferError("Local: Queue full")

    monkeypatch.setattr(producer, "Producer", Full)
    found = DeadLetterProducer(load(DOCS / "scicow.example.yaml", secrets=False))
    with pytest.raises(DeadLetterError, match="Queue full"):
        found.put_lost("scifish-cosaxs", 0, 1, 2)

    def unreadable(config):
        raise ValueError("no such property")

    monkeypatch.setattr(Full, "list_topics", lambda *args, **kwargs: None, raising=False)
    monkeypatch.setattr(producer, "AdminClient", unreadable)
    with pytest.raises(DeadLetterError, match="no such property"):
        found.make_topic()


def test_filters():
    found = letter_of(letter(taken(message()), reason="Status 400: bad Time"))
    everything = {"topic": None, "uuid": None, "reason": None, "since": None}

    def through(**given_filters):
        return passes(found, argparse.Namespace(**{**everything, **given_filters}))

    assert through()
    assert through(reason=["nothing", "bad time"])
    assert through(topic=["scifish-cosaxs"], uuid=[found.uuid], since=found.when)
    assert not through(reason=["nothing"])
    assert not through(topic=["other"])
    assert not through(uuid=["other"])
    assert not through(since=found.when + 1)


# ------------------------------------------------------------------------------- again


def test_a_copy_of_a_copy_names_the_original():
    copy = copy_of(taken(message(), 5), "replay")
    assert copy.headers == ((RESENT_HEADER, b"replay of scifish-cosaxs[0]@5"),)
    second = copy_of(taken(message(), 12, headers_=list(copy.headers)), "audit")
    assert second.headers == ((RESENT_HEADER, b"audit of scifish-cosaxs[0]@5"),)
    assert original_of(taken(message(), 12, headers_=[(RESENT_HEADER, b"for fun")])) == MessagePosition(
        "scifish-cosaxs", 0, 12
    )


def replayed(messages, start, end, **options):
    writer = FakeWriter()
    replay = Replay([OffsetRange("scifish-cosaxs", 0, start, end)], "replay", **options)
    replay.run(FakeTopics(scifish_cosaxs=messages), writer, lambda _: None)
    return replay, [record.value for record in writer.records]


@given(st.lists(st.integers(-1, 9), max_size=10), st.integers(0, 10), st.integers(0, 10))
def test_each_message_of_a_range_is_sent_once_and_copies_only_for_originals_outside(copies, start, end):
    # Message n is original n, or a copy of an earlier one.
    messages = []
    for offset, of in enumerate(copies):
        headers = [(RESENT_HEADER, f"x of scifish-cosaxs[0]@{of}".encode())] if 0 <= of < offset else []
        first = MessagePosition("scifish-cosaxs", 0, offset if not headers else of)
        origin = original_of(messages[of]).offset if headers else first.offset
        headers = [(RESENT_HEADER, f"x of scifish-cosaxs[0]@{origin}".encode())] if headers else []
        messages.append(taken(message(), offset, headers_=headers, value_=str(origin).encode()))
    end = min(max(start, end), len(messages))
    replay, sent = replayed(messages, start, end)
    assert sorted(sent) == sorted({each.value() for each in messages[start:end]})
    assert replay.copies == max(end - start, 0) - len(sent)
    assert replay.left() == []


def test_only_the_datasets_that_are_asked_for():
    messages = [taken(message(), number) for number in range(3)]
    _, sent = replayed(messages, 0, 3, uuids={messages[1].key().decode()})
    assert sent == [messages[1].value()]
    _, sent = replayed(messages, 0, 3, without={MessagePosition("scifish-cosaxs", 0, 1)})
    assert sent == [messages[0].value(), messages[2].value()]


def test_without_a_writer_they_are_only_counted():
    replay = Replay([OffsetRange("scifish-cosaxs", 0, 0, 2)], "replay")
    replay.run(FakeTopics(scifish_cosaxs=[taken(message(), 0), taken(message(), 1)]), None, lambda _: None)
    assert replay.sent == {"scifish-cosaxs": 2}


def test_what_is_too_large_with_its_new_header_is_reported_and_the_rest_goes():
    replay = Replay([OffsetRange("scifish-cosaxs", 0, 0, 1)], "replay")
    writer = FakeWriter(scifish_cosaxs=KafkaError.MSG_SIZE_TOO_LARGE)
    replay.run(FakeTopics(scifish_cosaxs=[taken(message(), 0)]), writer, lambda _: None)
    assert [place for place, _ in replay.refused] == [MessagePosition("scifish-cosaxs", 0, 0)]
    assert sum(replay.sent.values()) == 0


@pytest.mark.parametrize("how", ["interrupted", "refused"])
def test_a_replay_that_was_stopped_says_how_to_go_on(how, monkeypatch):
    monkeypatch.setattr("ingest.scicow.kafka.resend.BATCH_MESSAGES", 2)
    messages = [taken(message(), number) for number in range(6)]
    writer = FakeWriter()
    replay = Replay([OffsetRange("scifish-cosaxs", 0, 0, 5)], "replay")

    def progress(number):
        if number == 4 and how == "interrupted":
            raise KeyboardInterrupt
        if number == 4:
            writer.errors["scifish_cosaxs"] = KafkaError._MSG_TIMED_OUT

    with pytest.raises((KeyboardInterrupt, TopicError)):
        replay.run(FakeTopics(scifish_cosaxs=messages), writer, progress)
    args = argparse.Namespace(config="my cow.yaml", uuid=["u"])
    assert going_on(replay, args) == [
        "scicow replay --config 'my cow.yaml' --topic scifish-cosaxs --from 0:2 --to 0:5 --uuid u"
    ]
    assert replay.sent == {"scifish-cosaxs": 2}


def test_the_list_can_be_read_whatever_a_message_has_in_it():
    wide = message(beamline="b" * 5000, type="t" * 5000, datasetName="n" * 5000, uuid="u" * 5000)
    line = listed([letter_of(letter(taken(wide), reason="beamline: is too long"))]).splitlines()[1]
    assert line.endswith("beamline: is too long")
    assert len(line) < 250
