"""Messages as a consumer gives them, made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scifish.message import Message, encode


@dataclass
class Taken:
    """What `confluent_kafka.Message` has."""

    topic_: str = "scifish-cosaxs"
    partition_: int = 0
    offset_: int = 0
    value_: bytes | None = b""
    key_: bytes | None = None
    headers_: list[tuple[str, bytes]] = field(default_factory=list)
    when: float = 1_795_341_600.0
    """s since 1970"""

    def topic(self) -> str:
        return self.topic_

    def partition(self) -> int:
        return self.partition_

    def offset(self) -> int:
        return self.offset_

    def value(self) -> bytes | None:
        return self.value_

    def key(self) -> bytes | None:
        return self.key_

    def headers(self) -> list[tuple[str, bytes]]:
        return self.headers_

    def timestamp(self) -> tuple[int, int]:
        return 1, round(self.when * 1000)

    def error(self) -> None:
        return None


def taken(message: Message, offset: int = 0, **changes: Any) -> Any:
    """This message, as it is read from its topic."""
    changes = {"key_": message["uuid"].encode(), "value_": encode(message)} | changes
    return Taken(offset_=offset, **changes)
