"""The status of a running SciCow, for metrics, probes and `scicow status`. Nothing here blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Protocol

from ingest.scicow.pipeline.assigned_partition import PartitionKey
from ingest.scicow.pipeline.counters import Progress, TopicCounters

MAX_POLL_AGE_SECONDS = 60.0
"""Seconds without a poll of Kafka after which the consumer hangs: it polls several times a second at any time."""


class ConsumerState(Protocol):
    """What is asked of the consumer, from other threads."""

    last_poll: float
    """When Kafka was polled last, as `time.monotonic`."""
    assigned: bool
    """Whether Kafka has said which partitions are this replica's; they may be none."""
    stopping: bool

    def lag_by_partition(self) -> Mapping[PartitionKey, tuple[int, float]]:
        """For each of its partitions: messages that are not done, and the age of the oldest in seconds."""


@dataclass(frozen=True)
class BeamlineStatus:
    """One topic. The lag is None where another replica reads it."""

    counts: TopicCounters
    lag: int | None = None
    lag_seconds: float | None = None


@dataclass(frozen=True)
class StatusSnapshot:
    """A SciCow as it was at one moment.

    `name` is its state in a word, `held` why nothing can be done, "" if it can; `kafka` is the part of it that is about
    reading from Kafka. The beamlines are by topic.
    `dead_letters` are counted from time to time; None if their number is not known.
    """

    name: str
    held: str
    beamlines: dict[str, BeamlineStatus]
    dead_letters: int | None
    kafka: str = ""

    @property
    def not_ready(self) -> str:
        """Why this replica takes no part, "" if it does. One that is held for SciCat's sake does."""
        if self.kafka and self.name != "stopping":
            return self.kafka
        said = {"starting": "waiting for Kafka to assign partitions", "stopping": "stopping"}
        return said.get(self.name, "")


class ReplicaStatus:
    """`dead_letters` says how many wait, None if that is not known."""

    def __init__(self, consumer: ConsumerState, progress: Progress, dead_letters: Callable[[], int | None]) -> None:
        self._consumer = consumer
        self._progress = progress
        self._dead_letters = dead_letters
        self._started = time.monotonic()
        self.started = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self.version = version("sardana-scizoo")

    def snapshot(self) -> StatusSnapshot:
        with self._progress.locked():
            held, kafka, behind = self._progress.held, self._progress.kafka, self._consumer.lag_by_partition()
            counts = self._progress.snapshot()
        held = kafka or held
        lag: dict[str, tuple[int, float]] = {}
        for (topic, _), (messages, seconds) in behind.items():
            before = lag.get(topic, (0, 0.0))
            lag[topic] = before[0] + messages, max(before[1], seconds)
        beamlines = {
            topic: BeamlineStatus(counts.get(topic, TopicCounters()), *lag.get(topic, (None, None)))
            for topic in sorted({*counts, *lag})
        }
        return StatusSnapshot(self._name(held), held, beamlines, self._dead_letters(), kafka)

    def _name(self, held: str) -> str:
        if self._consumer.stopping:
            return "stopping"
        if not self._consumer.assigned:
            return "starting"
        return "held" if held else "running"

    def not_alive(self) -> str:
        """Why this process must be restarted, "" if it need not."""
        silent = time.monotonic() - max(self._consumer.last_poll, self._started)
        if silent > MAX_POLL_AGE_SECONDS:
            return f"Kafka was not polled for {silent:.0f} s: the consumer hangs"
        return ""

    def as_json(self) -> dict[str, Any]:
        snapshot = self.snapshot()
        return {
            "version": self.version,
            "started": self.started,
            "state": snapshot.name,
            "held": snapshot.held,
            "beamlines": {
                topic: {"lag": one.lag, "lag_seconds": one.lag_seconds, **vars(one.counts)}
                for topic, one in snapshot.beamlines.items()
            },
            "dead_letters": snapshot.dead_letters,
        }
