"""Which message is next: those of one dataset in order and one at a time, those of different datasets in parallel."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from operator import attrgetter

from ingest.scicow.pipeline.assigned_partition import AssignedPartition
from ingest.scicow.pipeline.backoff import Backoff
from ingest.scicow.pipeline.received_message import ReceivedMessage


class DatasetQueue:
    """The messages of one dataset that are not done, in the order in which they were received."""

    def __init__(self) -> None:
        self.messages: deque[ReceivedMessage] = deque()
        self.in_progress: ReceivedMessage | None = None
        self.retry_at: float | None = None
        """When the next message is due, if the dataset waits."""
        self.dataset_missing = False
        """Whether the first message needs a dataset that does not exist."""

    @property
    def next(self) -> ReceivedMessage:
        creator = next((each for each in self.messages if each.creates), None) if self.dataset_missing else None
        return creator or self.messages[0]


class _Turns:
    """What is next where nothing has failed.

    The topics take turns, so that a beamline with a backlog holds no other up. Within a topic it is what was received
    first, as an offset can be committed when all before it are done.
    """

    def __init__(self) -> None:
        self._serial = itertools.count()
        self._by_topic: dict[str, list[tuple[int, int, DatasetQueue]]] = {}
        self._topics: deque[str] = deque()

    def push(self, first: ReceivedMessage, queue: DatasetQueue) -> None:
        """`first` is the first message of the queue."""
        topic = first.partition.topic
        if topic not in self._by_topic:
            self._by_topic[topic] = []
            self._topics.append(topic)
        heapq.heappush(self._by_topic[topic], (first.serial, next(self._serial), queue))

    def pop(self) -> DatasetQueue | None:
        if not self._topics:
            return None
        topic = self._topics.popleft()
        row = self._by_topic[topic]
        _, _, queue = heapq.heappop(row)
        if row:
            self._topics.append(topic)
        else:
            del self._by_topic[topic]
        return queue


class DatasetQueues:
    """All queues. Threads share it: one puts, many take. While `backoff` holds, one message at a time is handed out."""

    def __init__(self, backoff: Backoff, clock: Callable[[], float] = time.monotonic) -> None:
        self._backoff = backoff
        self._clock = clock
        self._changed = threading.Condition()
        self._queues: dict[str, DatasetQueue] = {}
        self._new = _Turns()
        self._due: deque[DatasetQueue] = deque()
        self._waiting: list[tuple[float, int, DatasetQueue]] = []
        self._serial = itertools.count()
        self._in_progress: set[ReceivedMessage] = set()
        self._dropped: dict[AssignedPartition, list[ReceivedMessage]] = {}
        self._closed = False

    def put(self, message: ReceivedMessage) -> None:
        with self._changed:
            self._put(message)

    def take(self) -> ReceivedMessage | None:
        """Waits for a message that can be ingested; `done` or `retry` must follow for it. None when closed."""
        with self._changed:
            while not self._closed:
                wait = self._until_allowed()
                if wait == 0.0:
                    queue = self._next()
                    if queue is not None:
                        queue.in_progress = queue.next
                        self._in_progress.add(queue.in_progress)
                        return queue.in_progress
                    wait = self._until_due()
                self._changed.wait(wait)
            return None

    def done(self, message: ReceivedMessage) -> None:
        with self._changed:
            queue = self._returned(message)
            queue.messages.remove(message)
            queue.dataset_missing = False
            self._proceed(message.dataset, queue)

    def retry(self, message: ReceivedMessage, wait: float, dataset_missing: bool = False) -> bool:
        """The dataset waits for `wait` seconds. With `dataset_missing` a message that can create it goes first.

        False if the partition was revoked meanwhile: then the message is dropped, and kept as `drop` does.
        """
        with self._changed:
            queue = self._returned(message)
            if message.partition.revoked:
                queue.messages.remove(message)
                if message.partition in self._dropped:
                    self._dropped[message.partition].append(message)
                self._proceed(message.dataset, queue)
                return False
            queue.dataset_missing = queue.dataset_missing or dataset_missing
            if dataset_missing and queue.next is not message:
                wait = 0.0
            if wait:
                queue.retry_at = self._clock() + wait
                heapq.heappush(self._waiting, (queue.retry_at, next(self._serial), queue))
            else:
                self._due.append(queue)
            self._changed.notify_all()
            return True

    def drop(self, partitions: Collection[AssignedPartition]) -> list[ReceivedMessage]:
        """Revoke these partitions: remove their messages that are not in progress, in the order of each dataset.

        They are kept, and with them what is in progress and fails later, until `take_back` or `forget`.
        """
        with self._changed:
            dropped: list[ReceivedMessage] = []
            for partition in partitions:
                partition.revoked = True
                self._dropped.setdefault(partition, [])
            for dataset, queue in list(self._queues.items()):
                kept: deque[ReceivedMessage] = deque()
                for each in queue.messages:
                    if each.partition in partitions and each is not queue.in_progress:
                        dropped.append(each)
                        self._dropped[each.partition].append(each)
                    else:
                        kept.append(each)
                queue.messages = kept
                if not kept:
                    del self._queues[dataset]
            return dropped

    def take_back(self, partition: AssignedPartition) -> int:
        """Put what was dropped of this partition again, and drop nothing more of it. Returns the number of messages."""
        with self._changed:
            partition.revoked = False
            # What failed after the others were dropped is the last in the list, and was the first of its dataset.
            dropped = sorted(self._dropped.pop(partition, ()), key=attrgetter("serial"))
            for message in dropped:
                self._put(message)
            return len(dropped)

    def forget(self, partition: AssignedPartition) -> None:
        """What was dropped of this partition is not needed any more."""
        with self._changed:
            self._dropped.pop(partition, None)

    def wait_until_idle(self, timeout: float, partitions: Collection[AssignedPartition] | None = None) -> bool:
        """Wait until no message of these partitions (None: of any) is in progress; False if that takes longer."""

        def idle() -> bool:
            return not any(partitions is None or each.partition in partitions for each in self._in_progress)

        with self._changed:
            return self._changed.wait_for(idle, timeout)

    def close(self) -> None:
        """Hand out no more messages."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # ------------------------------------------------------- with the lock held

    def _put(self, message: ReceivedMessage) -> None:
        queue = self._queues.get(message.dataset)
        if queue is None:
            queue = self._queues[message.dataset] = DatasetQueue()
            self._new.push(message, queue)
        elif queue.dataset_missing and message.creates and queue.retry_at is not None:
            queue.retry_at = None
            self._due.append(queue)
        queue.messages.append(message)
        self._changed.notify()

    def _until_allowed(self) -> float | None:
        """For how long no message may be handed out; None: until one is returned."""
        if not self._backoff.reason:
            return 0.0
        return None if self._in_progress else self._backoff.remaining

    def _until_due(self) -> float | None:
        return max(self._waiting[0][0] - self._clock(), 0.001) if self._waiting else None

    def _next(self) -> DatasetQueue | None:
        now = self._clock()
        while self._waiting and self._waiting[0][0] <= now:
            retry_at, _, queue = heapq.heappop(self._waiting)
            if queue.retry_at == retry_at:
                queue.retry_at = None
                self._due.append(queue)
        # While held, a dataset that has not failed yet is the better probe: one that has may be at fault itself.
        order = (self._pop_new, self._pop_due) if self._backoff.reason else (self._pop_due, self._pop_new)
        for pop in order:
            while (found := pop()) is not None:
                if found.messages:
                    return found
        return None

    def _pop_new(self) -> DatasetQueue | None:
        return self._new.pop()

    def _pop_due(self) -> DatasetQueue | None:
        return self._due.popleft() if self._due else None

    def _returned(self, message: ReceivedMessage) -> DatasetQueue:
        queue = self._queues[message.dataset]
        queue.in_progress = None
        self._in_progress.remove(message)
        return queue

    def _proceed(self, dataset: str, queue: DatasetQueue) -> None:
        if queue.messages:
            self._new.push(queue.messages[0], queue)
        else:
            del self._queues[dataset]
        self._changed.notify_all()
