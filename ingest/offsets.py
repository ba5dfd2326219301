"""How far each partition is done, where messages are finished in another order than they came."""

from __future__ import annotations

Partition = tuple[str, int]
"""Topic and number."""


class Offsets:
    """Which messages are in work. Storing an offset in Kafka says that all before it are done."""

    def __init__(self) -> None:
        self._open: dict[Partition, set[int]] = {}
        self._next: dict[Partition, int] = {}

    def taken(self, partition: Partition, offset: int) -> None:
        self._open.setdefault(partition, set()).add(offset)
        self._next[partition] = max(self._next.get(partition, 0), offset + 1)

    def done(self, partition: Partition, offset: int) -> int:
        """The offset to store: that of the first message that is not done."""
        in_work = self._open[partition]
        in_work.remove(offset)
        return min(in_work) if in_work else self._next[partition]

    def forget(self, partition: Partition) -> None:
        """The partition is someone else's now."""
        self._open.pop(partition, None)
        self._next.pop(partition, None)
