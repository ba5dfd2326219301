"""Questions to Kafka about topics, with a Kafka that answers as the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from ingest.scicow.kafka import topics
from ingest.scicow.kafka.topics import TopicError, TopicReader
from ingest.scicow.settings import KafkaSettings


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[TopicReader]:
    monkeypatch.setattr(topics, "LEADER_RETRY_SECONDS", 0.0)
    with TopicReader(KafkaSettings(bootstrap_servers="127.0.0.1:1"), timeout=60.0) as found:
        yield found


def failing(*codes: int) -> Callable[[], str]:
    """Fails once for each of these codes, and then answers."""
    left = list(codes)

    def call() -> str:
        if left:
            raise KafkaException(KafkaError(left.pop(0)))
        return "answer"

    return call


def test_a_topic_whose_leader_is_being_chosen_is_asked_again(reader: TopicReader) -> None:
    moving = (KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.OFFSET_NOT_AVAILABLE)
    assert reader._asked(failing(*moving)) == "answer"


def test_what_stays_wrong_is_reported(reader: TopicReader) -> None:
    with pytest.raises(TopicError, match="authorization"):
        reader._asked(failing(KafkaError.TOPIC_AUTHORIZATION_FAILED))


def test_a_leader_that_is_not_chosen_in_time_is_reported(reader: TopicReader) -> None:
    reader._timeout = 0.0
    with pytest.raises(TopicError, match="Not leader"):
        reader._asked(failing(KafkaError.NOT_LEADER_FOR_PARTITION))
