"""What Kafka has, as the broker itself says it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.benchmarks.figures import NotMeasured

PATIENCE = 300.0
"""Seconds until Kafka must have everything."""

EVERY = 0.02
"""Seconds between two questions."""


class Confirmed:
    """One topic: how many messages have ever come, and one of them."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "log_level": 0})
        self.name = name

    def count(self) -> int:
        return sum(high for _, _, high in self._partitions())

    def any(self) -> bytes:
        """The oldest message of the first partition that has one."""
        for number, low, high in self._partitions():
            if high > low:
                self._consumer.assign([TopicPartition(self.name, number, low)])
                message = self._consumer.poll(10)
                self._consumer.unassign()
                if message is not None and not message.error():
                    return bytes(message.value() or b"")
        raise NotMeasured(f"there is no message in {self.name}")

    def wait(self, count: int, waiting: Callable[[], int] = lambda: 0) -> None:
        """Until so many have come, and nothing is waiting any more where they come from."""
        deadline = time.monotonic() + PATIENCE
        while (there := self.count()) < count or waiting():
            if time.monotonic() > deadline:
                raise NotMeasured(f"Kafka has {there} of {count} messages after {PATIENCE:g} s; {waiting()} wait")
            time.sleep(EVERY)

    def close(self) -> None:
        self._consumer.close()

    def _partitions(self) -> list[tuple[int, int, int]]:
        """Number, first and next offset of each; asking makes the topic, where the broker allows that."""
        topic = self._consumer.list_topics(self.name, timeout=10).topics[self.name]
        try:
            return [
                (number, *self._consumer.get_watermark_offsets(TopicPartition(self.name, number), timeout=10))
                for number in topic.partitions
            ]
        except KafkaException:
            return []  # it is still being made
