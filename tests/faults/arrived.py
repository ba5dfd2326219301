"""All that is in a topic of Kafka."""

from __future__ import annotations

import hashlib

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from scifish import message
from scifish.message import Message, MessageError, is_leaf
from tests.faults.verdict import Finding

TIMEOUT = 30.0


def read_topic(broker: str, bootstrap: str, topic: str) -> tuple[list[Message], list[Finding]]:
    """The messages, each partition in its order, each shortened; and what is not of the schema.

    `found` of each message is the name of the broker, and the topic.

    RuntimeError if Kafka is away.
    """
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{topic}-faults", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=TIMEOUT).topics[topic].partitions
        counts = {number: _count(consumer, topic, number) for number in partitions}
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number, count in counts.items() if count])
        missing = sum(counts.values())
        messages: list[Message] = []
        wrong: list[Finding] = []
        while missing:
            event = consumer.poll(TIMEOUT)
            if event is None:
                raise RuntimeError(f"Kafka does not give the last {missing} messages of {topic}")
            if event.error():
                continue  # told again, or the poll times out
            missing -= 1
            try:
                data = event.value() or b""
                messages.append({**_shortened(message.decode(data), data), "found": (broker, topic)})
            except MessageError as error:
                wrong.append(Finding(str(event.key()), f"a message that is not of the schema: {error}"))
        return messages, wrong
    finally:
        consumer.close()


def _shortened(found: Message, data: bytes) -> Message:
    """All but the values of attributes, and a digest of the whole: a long run has more than fits into memory."""
    given = {name: inner for name, inner in found.get("scientificMetadata", {}).items() if is_leaf(inner)}
    return {**found, "scientificMetadata": given, "digest": hashlib.sha256(data).hexdigest()}


def _count(consumer: Consumer, topic: str, partition: int) -> int:
    """How many messages are in it; there are no transactions."""
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT)
    return int(high - low)
