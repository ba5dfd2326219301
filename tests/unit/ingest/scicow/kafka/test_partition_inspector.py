"""Facts about partitions, where Kafka does not answer about each of them."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from ingest.scicow.kafka import partition_inspector
from ingest.scicow.kafka.partition_inspector import Answer, InspectionFailed, PartitionFacts, PartitionInspector
from ingest.scicow.settings import KafkaSettings
from tests.waiting import eventually


class FakeClient:
    """Consumer and AdminClient. `errors` has what it raises of a partition, by its number."""

    errors: dict[int, int] = {}

    def __init__(self, config: dict[str, Any]) -> None:
        self.timeouts: list[float] = []

    def committed(self, wanted: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.partition, 3, "id") for each in wanted]

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        self.timeouts.append(timeout)
        if partition.partition in self.errors:
            raise KafkaException(KafkaError(self.errors[partition.partition]))
        return 0, 9

    def describe_topics(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {}

    def poll(self, timeout: float) -> None:
        pass

    def close(self) -> None:
        pass


def answer(monkeypatch: pytest.MonkeyPatch, errors: dict[int, int]) -> Answer:
    """About partitions 0 to 2 of a topic."""
    monkeypatch.setattr(FakeClient, "errors", errors)
    monkeypatch.setattr(partition_inspector, "Consumer", FakeClient)
    monkeypatch.setattr(partition_inspector, "AdminClient", FakeClient)
    inspector = PartitionInspector(KafkaSettings("localhost:9092"))
    try:
        inspector.ask([("t", number) for number in range(3)])
        answers: list[Answer | None] = [None]
        assert eventually(lambda: answers.append(inspector.answer()) or answers[-1])
        return answers[-1] or {}
    finally:
        inspector.close()


def test_one_partition_that_fails_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    found = answer(monkeypatch, {0: KafkaError._TIMED_OUT})
    assert isinstance(found["t", 0], InspectionFailed)
    assert "imed out" in str(found["t", 0])
    assert found["t", 1] == found["t", 2] == PartitionFacts("", 0, 9, 3, "id")


def test_a_partition_that_does_not_exist_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(answer(monkeypatch, {0: KafkaError.UNKNOWN_TOPIC_OR_PART})) == {("t", 1), ("t", 2)}


def test_an_election_is_neither_a_deletion_nor_a_failure_of_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    found = answer(monkeypatch, dict.fromkeys(range(3), KafkaError.LEADER_NOT_AVAILABLE))
    assert [isinstance(each, InspectionFailed) for each in found.values()] == [True] * 3


def test_a_failure_of_all_is_one_of_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InspectionFailed):
        answer(monkeypatch, dict.fromkeys(range(3), KafkaError._TIMED_OUT))
