"""SciCow's consumer with its threads, and a Kafka and an ingestor that follow a test's script."""

import dataclasses
import threading
import time
from collections import defaultdict

from confluent_kafka import KafkaError, KafkaException

from ingest.scicow.errors import DatasetMissing
from ingest.scicow.kafka.partition_inspector import InspectionFailed, PartitionFacts
from ingest.scicow.pipeline import consumer
from ingest.scicow.pipeline.consumer import SciCowConsumer
from ingest.scicow.pipeline.counters import Progress, TopicCounters
from ingest.scicow.settings import load
from scifish.message import encode
from tests.paths import DOCS
from tests.waiting import PATIENCE

LONG = 3600.0
"""Seconds that pass only where a test says so."""

SETTINGS = dataclasses.replace(load(DOCS / "scicow.example.yaml", secrets=False), server_error_wait=LONG)
TOPIC = "scifish-cosaxs"
KNOWN = ("began", "ended", "snapshot")


class FakeMessage:
    def __init__(self, offset, value, partition=0, headers=None, sent=0.0):
        self._offset, self._value, self._partition, self._headers = offset, value, partition, headers
        self._sent = sent or time.time()

    def topic(self):
        return TOPIC

    def partition(self):
        return self._partition

    def offset(self):
        return self._offset

    def value(self):
        return self._value

    def headers(self):
        return self._headers

    def timestamp(self):
        return 1, round(self._sent * 1000)

    def error(self):
        return None


class FakeKafka:
    """Goes through the test's script: messages to hand out, and calls that are repeated until they are true."""

    partitions = 2

    def __init__(self, config):
        self.config = config
        self.stored = {}
        self.committed = {}
        self.changes = []
        self.high = defaultdict(int)
        self.script = []
        self.done = None
        self.refuses = 0
        self.closed = False
        self.checks = []
        self.sought = []
        self.places = []  # committed without waiting for the answer

    def subscribe(self, topics, on_assign, on_revoke, on_lost):
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        self.ours = set()
        self.assign(*range(self.partitions))
        self._deadline = time.monotonic() + PATIENCE

    def assign(self, *numbers):
        self.ours |= set(numbers)
        self.sought = [each for each in self.sought if each[0] not in numbers]
        self._on_assign(self, [consumer.TopicPartition(TOPIC, each) for each in numbers])
        return True

    def revoke(self, *numbers):
        self._on_revoke(self, [consumer.TopicPartition(TOPIC, each) for each in numbers])
        self.ours -= set(numbers)
        return True

    def lose(self, *numbers):
        self.ours -= set(numbers)
        self._on_lost(self, [consumer.TopicPartition(TOPIC, each) for each in numbers])
        return True

    def poll(self, timeout):
        if not self.script:
            self.done()
            return None
        step = self.script[0]
        if isinstance(step, FakeMessage):
            if step.partition() in self.ours and step.partition() not in dict(self.sought):
                return None  # paused until it is known where it begins
            self.script.pop(0)
            self.high[step.partition()] = max(self.high[step.partition()], step.offset() + 1)
            return step
        if step():
            self.script.pop(0)
            return None
        assert time.monotonic() < self._deadline, f"not in time, {len(self.script)} steps before the end"
        time.sleep(0.002)
        return None

    def seek(self, partition):
        self.sought.append((partition.partition, partition.offset))

    def pause(self, partitions):
        begun = dict(self.sought)  # before, it is paused until it is known where it begins
        self.changes += [("pause", each.partition) for each in partitions if each.partition in begun]

    def resume(self, partitions):
        self.changes += [("resume", each.partition) for each in partitions]

    def get_watermark_offsets(self, partition, cached):
        assert cached
        return 0, self.high[partition.partition]

    def list_topics(self, timeout):
        topic = type("Topic", (), {"partitions": dict.fromkeys(range(2))})()
        return type("Cluster", (), {"topics": {TOPIC: topic}})()

    def store_offsets(self, offsets):
        for each in offsets:
            assert each.partition in self.ours
            for check in self.checks:
                check(each.partition, each.offset)
            self.stored[each.partition] = each.offset

    def commit(self, offsets, asynchronous):
        if asynchronous:
            self.places += [(each.partition, each.offset, each.metadata) for each in offsets]
            return
        if self.refuses:
            raise KafkaException(KafkaError(self.refuses))
        for each in offsets:
            assert each.partition in self.ours
            if self.high[each.partition]:  # else it is where it begins, and there was no message
                self.committed[each.partition] = each.offset

    def close(self):
        ours = set(self.ours)
        self.revoke(*ours)
        self.committed |= {
            number: offset for number, offset in self.stored.items() if number in ours and self.high[number]
        }
        self.closed = True


class FakeInspector:
    """Answers at once what `facts` says (None: there is no such partition).

    Else a partition begins with its next message in the script.
    """

    def __init__(self, kafka):
        self.facts = {}
        self.script = list
        self.failure = ""
        self._asked = None
        self.is_asking = self.closed = False

    def ask(self, partitions):
        self._asked = list(partitions)

    def close(self):
        self.closed = True

    def answer(self):
        asked, self._asked = self._asked, None
        if self.failure:
            raise InspectionFailed(self.failure)
        if asked is None:
            return None
        first = {}
        for step in self.script():
            if isinstance(step, FakeMessage):
                first.setdefault((TOPIC, step.partition()), PartitionFacts("", step.offset(), 0, -1, ""))
        nothing = PartitionFacts("", 0, 0, -1, "")
        found = {key: self.facts.get(key, first.get(key, nothing)) for key in asked}
        return {key: each for key, each in found.items() if each is not None}


class FakeIngestor:
    """Fails as `failures` says, by uuid: one error for each call, or a call that it makes; and as `away` says for
    all others. Watches that no dataset is in work twice at once. `missing` are datasets that are not there yet."""

    def __init__(self):
        self.done = []
        self.tries = []
        self.failures = {}
        self.away = []
        self.missing = set()
        self.longest = LONG
        self.most_at_once = 0
        self._in_work = set()
        self._lock = threading.Lock()

    def ingest(self, given, is_resent=False):
        uuid = given["uuid"]
        with self._lock:
            assert uuid not in self._in_work, "two writers for one dataset"
            self._in_work.add(uuid)
            self.most_at_once = max(self.most_at_once, len(self._in_work))
            self.tries.append((time.monotonic(), given))
        try:
            self._ingest(uuid, given)
        finally:
            with self._lock:
                self._in_work.remove(uuid)

    def _ingest(self, uuid, given):
        with self._lock:
            failures = self.failures.get(uuid) or self.away
            failure = failures.pop(0) if failures else None
        if failure:
            if isinstance(failure, Exception):
                raise failure
            failure()
        if uuid in self.missing and given["type"] not in KNOWN:
            raise DatasetMissing(uuid, self.longest)
        self.missing.discard(uuid)
        self.done.append(given)


class FakeDeadLetters:
    topic = "dead"

    def __init__(self):
        self.messages = []
        self.losses = []
        self.failures = []

    def put_lost(self, topic, partition, first, end, with_topic=False, created=True):
        if self.failures:
            raise self.failures.pop(0)
        self.losses.append((topic, partition, first, end, with_topic and (created or "away")))

    def put(self, given, error):
        if self.failures:
            raise self.failures.pop(0)
        self.messages.append((given, error))

    @property
    def offsets(self):
        return sorted(given.offset() for given, _ in self.messages)


class Clock:
    """The real one, which a test puts forward."""

    ahead = 0.0

    def __call__(self):
        return time.monotonic() + self.ahead

    def passes(self, seconds):
        self.ahead += seconds
        return True


def make(**changes):
    found = SciCowConsumer(dataclasses.replace(SETTINGS, **changes), FakeIngestor(), FakeDeadLetters(), Progress())
    found.kafka, found.ingestor = found._kafka, found._workers._ingestor
    found.dead, found.progress = found._workers._dead_letters._dead_letters, found._progress
    found.kafka.done = found.stop
    found._inspector.script = lambda: found.kafka.script
    return found


def run(cow, *script):
    """Through the script, and then until all is done; give `stop` last to leave before that."""
    end = () if script and script[-1] is stop else (lambda: idle(cow),)
    cow.kafka.script = [*(step for step in script if step is not stop), *end]
    cow.run()


stop = object()


def more_tries(cow, number):
    """Until there are so many more than when this step begins."""
    wanted = []

    def step():
        wanted[:] = wanted or [len(cow.ingestor.tries) + number]
        return len(cow.ingestor.tries) >= wanted[0]

    return step


def idle(cow):
    return counts(cow).waiting == 0


def counts(cow):
    return cow.progress.snapshot().get(TOPIC, TopicCounters())


def at(offset, given, partition=0, **more):
    return FakeMessage(offset, encode(given), partition, **more)
