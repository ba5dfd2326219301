"""All that a dead-letter topic has."""

from __future__ import annotations

from contextlib import closing

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.soak.verdict import DeadLetter

TIMEOUT = 30.0


def read_dead_letters(bootstrap: str, topic: str) -> list[DeadLetter]:
    """Of a topic with one partition."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "soak", "enable.auto.commit": False, "log_level": 0}
    )
    with closing(consumer):
        partition = TopicPartition(topic, 0, OFFSET_BEGINNING)
        _, missing = consumer.get_watermark_offsets(partition, timeout=TIMEOUT)
        consumer.assign([partition])
        found: list[DeadLetter] = []
        while len(found) < missing:
            event = consumer.poll(TIMEOUT)
            if event is None:
                raise RuntimeError(f"Kafka does not give the last {missing - len(found)} dead letters")
            if event.error():
                continue  # told again, or the poll times out
            said = {name: (data or b"").decode("utf-8", "replace") for name, data in event.headers() or []}
            about = "__connect.errors."
            found.append(
                DeadLetter(
                    (said[f"{about}topic"], said[f"{about}partition"], said[f"{about}offset"]),
                    (event.key() or b"").decode("utf-8", "replace"),
                    event.value(),
                    f"{said[f'{about}exception.class.name']}: {said[f'{about}exception.message']}",
                    "scicow.cut" in said,
                )
            )
    return found
