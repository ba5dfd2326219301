"""What arrives in Kafka."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from confluent_kafka import Consumer, TopicPartition

from scifish import message
from scifish.message import Message
from tests.waiting import PATIENCE


class Topic:
    """All messages of the beamline's topic, checked against the schema as they come."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.name = topic
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
        )
        self._consumer.subscribe([topic])
        self.messages: list[Message] = []

    def wait_for(self, wanted: Callable[[Message], bool], timeout: float = PATIENCE) -> Message:
        """The first message like this, also of those that have come already."""
        deadline = time.monotonic() + timeout
        seen = 0
        while time.monotonic() < deadline:
            for found in self.messages[seen:]:
                if wanted(found):
                    return found
            seen = len(self.messages)
            self._take(0.2)
        raise AssertionError(f"no such message within {timeout} s; there are {self.said()}")

    def wait_until(self, enough: Callable[[list[Message]], bool], timeout: float = PATIENCE) -> None:
        """Until those that have come are enough, or for `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not enough(self.messages) and time.monotonic() < deadline:
            self._take(0.2)

    def take_all(self, quiet: float = 3.0) -> None:
        """Until nothing has come for `quiet` seconds."""
        seen = -1
        while seen != len(self.messages):
            seen = len(self.messages)
            self._take(quiet)

    def take_what_is_there(self, timeout: float = PATIENCE) -> None:
        """All that Kafka has at this moment."""
        about = self._consumer.list_topics(self.name, timeout).topics[self.name]
        partitions = [TopicPartition(self.name, number) for number in about.partitions]
        ends = {one.partition: self._consumer.get_watermark_offsets(one, timeout)[1] for one in partitions}
        deadline = time.monotonic() + timeout
        while any(max(one.offset, 0) < ends[one.partition] for one in self._consumer.position(partitions)):
            assert time.monotonic() < deadline, f"{self.name} cannot be read to its end; there are {self.said()}"
            self._take(0.2)

    def said(self) -> list[tuple[str, str, str]]:
        return [(m["type"], m.get("datasetName", ""), m.get("status", "")) for m in self.messages]

    def of(self, dataset: str) -> list[Message]:
        return [found for found in self.messages if found["uuid"] == dataset]

    def close(self) -> None:
        self._consumer.close()

    def _take(self, timeout: float) -> None:
        event = self._consumer.poll(timeout)
        if event is None or event.error():
            return
        found = message.decode(event.value() or b"")
        assert event.key() == found["uuid"].encode()
        assert len(event.value() or b"") <= message.MAX_MESSAGE_BYTES
        self.messages.append(found)
