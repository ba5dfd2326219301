"""A consumer that follows a script, without its real waits."""

from functools import partial

import pytest

from ingest.scicow.pipeline import backoff, consumer, partition_starts
from ingest.scicow.pipeline.workers import Workers
from tests.unit.ingest.scicow.pipeline.scripted_consumer import Clock, FakeInspector, FakeKafka, make


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def soon(monkeypatch, clock):
    """So that nobody has to wait for the real waits."""
    monkeypatch.setattr(consumer, "Consumer", FakeKafka)
    monkeypatch.setattr(consumer, "PartitionInspector", FakeInspector)
    monkeypatch.setattr(partition_starts, "INSPECTION_SECONDS", 0.0)
    monkeypatch.setattr(consumer, "Workers", partial(Workers, clock=clock))
    monkeypatch.setattr(consumer, "OFFSET_STORE_SECONDS", 0.0)
    monkeypatch.setattr(backoff, "FIRST_WAIT_SECONDS", 0.002)
    monkeypatch.setattr(backoff, "LONGEST_WAIT_SECONDS", 0.02)


@pytest.fixture
def cow(soon):
    return make()
