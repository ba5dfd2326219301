"""The metrics for Prometheus. The names are in docs/reference/scicow.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from ingest.scicow.monitoring.status import BeamlineStatus, ReplicaStatus

COUNTER_HELP = {
    "read": "Messages read from Kafka.",
    "ingested": "Messages that SciCat has.",
    "retried": "Attempts that were repeated after a temporary failure.",
    "dead": "Messages put into the dead-letter topic.",
    "foreign": "Dead letters of a beamline that may not write to the topic, or about a dataset of another one.",
    "missing": "Gaps in seq: messages that a program numbered and that never reached Kafka.",
    "lost": "Messages that Kafka deleted before they were read.",
}
"""Counts of `ingest.scicow.pipeline.counters.TopicCounters` that only grow, and what they say."""


class Collector:
    """Reads the state when it is asked."""

    def __init__(self, state: ReplicaStatus) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("scicow", "The program.", {"version": self._state.version})
        held = GaugeMetricFamily("scicow_held", "1 while no message can be ingested; the log and /status say why.")
        snapshot = self._state.snapshot()
        held.add_metric([], 1.0 if snapshot.held else 0.0)
        yield held
        dead = GaugeMetricFamily("scicow_dead_letters", "Messages that wait in the dead-letter topic.")
        if snapshot.dead_letters is not None:
            dead.add_metric([], snapshot.dead_letters)
        yield dead
        yield from self._of_topics(snapshot.beamlines)

    def _of_topics(self, beamlines: Mapping[str, BeamlineStatus]) -> Iterator[Metric]:
        lag = GaugeMetricFamily("scicow_lag_messages", "Messages that are not done.", labels=["topic"])
        age = GaugeMetricFamily("scicow_lag_seconds", "Age of the oldest message that is not done.", labels=["topic"])
        waiting = GaugeMetricFamily(
            "scicow_messages_waiting", "Messages waiting to be ingested or retried.", labels=["topic"]
        )
        counts = {
            name: CounterMetricFamily(f"scicow_messages_{name}", text, labels=["topic"])
            for name, text in COUNTER_HELP.items()
        }
        for topic, one in beamlines.items():
            if one.lag is not None and one.lag_seconds is not None:
                lag.add_metric([topic], one.lag)
                age.add_metric([topic], one.lag_seconds)
            waiting.add_metric([topic], one.counts.waiting)
            for name, family in counts.items():
                family.add_metric([topic], getattr(one.counts, name))
        yield from (lag, age, waiting, *counts.values())


def registry(state: ReplicaStatus) -> CollectorRegistry:
    """All that /metrics has: SciCow's own, and those of every process."""
    found = CollectorRegistry()
    found.register(Collector(state))
    ProcessCollector(registry=found)
    PlatformCollector(registry=found)
    GCCollector(registry=found)
    return found
