"""Which message is next: a dataset's own in order, and in one thread at a time; different datasets side by side."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Collection

from ingest.scicow.pipeline.backoff import Hold
from ingest.scicow.pipeline.item import Item
from ingest.scicow.pipeline.offsets import Assigned


class Lane:
    """The messages of one dataset that are not done, in the order in which they came."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.busy: Item | None = None
        self.due: float | None = None
        """When it is to be tried again, if it waits."""
        self.missing = False
        """The first of them needs a dataset that is not there."""

    @property
    def creator(self) -> Item | None:
        return next((item for item in self.items if item.creates), None)

    @property
    def next(self) -> Item:
        return (self.missing and self.creator) or self.items[0]


class Lanes:
    """All lanes. Threads share it: one puts, many take. While `hold` is held, one at a time is given out."""

    def __init__(self, hold: Hold, clock: Callable[[], float] = time.monotonic) -> None:
        self._hold = hold
        self._clock = clock
        self._changed = threading.Condition()
        self._lanes: dict[str, Lane] = {}
        self._fresh: deque[Lane] = deque()
        self._again: deque[Lane] = deque()
        self._later: list[tuple[float, int, Lane]] = []
        self._serial = itertools.count()
        self._in_work: set[Item] = set()
        self._closed = False

    def put(self, item: Item) -> None:
        with self._changed:
            lane = self._lanes.get(item.lane)
            if lane is None:
                lane = self._lanes[item.lane] = Lane()
                self._fresh.append(lane)
            elif lane.missing and item.creates and lane.due is not None:
                lane.due = None
                self._again.append(lane)
            lane.items.append(item)
            self._changed.notify()

    def take(self) -> Item | None:
        """Waits for a message that can be worked on. It has to be given back to `done` or `retry`. None when closed."""
        with self._changed:
            while not self._closed:
                wait = self._until_allowed()
                if wait == 0.0:
                    lane = self._next()
                    if lane is not None:
                        lane.busy = lane.next
                        self._in_work.add(lane.busy)
                        return lane.busy
                    wait = self._until_due()
                self._changed.wait(wait)
            return None

    def done(self, item: Item) -> None:
        with self._changed:
            lane = self._given_back(item)
            lane.items.remove(item)
            lane.missing = False
            self._go_on(item.lane, lane)

    def retry(self, item: Item, wait: float, missing: bool = False) -> bool:
        """Its dataset waits for so many seconds. With `missing` a message that can make the dataset goes first.

        False if its partition is someone else's by now: then it is dropped.
        """
        with self._changed:
            lane = self._given_back(item)
            if item.partition.gone:
                lane.items.remove(item)
                self._go_on(item.lane, lane)
                return False
            lane.missing = lane.missing or missing
            if missing and lane.next is not item:
                wait = 0.0
            if wait:
                lane.due = self._clock() + wait
                heapq.heappush(self._later, (lane.due, next(self._serial), lane))
            else:
                self._again.append(lane)
            self._changed.notify_all()
            return True

    def drop(self, partitions: Collection[Assigned]) -> list[Item]:
        """Forget what is of these partitions and not in work."""
        with self._changed:
            dropped: list[Item] = []
            for name, lane in list(self._lanes.items()):
                gone = {item for item in lane.items if item.partition in partitions and item is not lane.busy}
                if gone:
                    dropped += gone
                    lane.items = deque(item for item in lane.items if item not in gone)
                    if not lane.items:
                        del self._lanes[name]
            return dropped

    def settle(self, timeout: float, partitions: Collection[Assigned] | None = None) -> bool:
        """Wait until nothing of these partitions (None: of any) is in work; False if that takes longer."""

        def settled() -> bool:
            return not any(partitions is None or item.partition in partitions for item in self._in_work)

        with self._changed:
            return self._changed.wait_for(settled, timeout)

    def close(self) -> None:
        """Give out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # ------------------------------------------------------- with the lock held

    def _until_allowed(self) -> float | None:
        """For how long nothing may be given out; None: until something is given back."""
        if not self._hold.reason:
            return 0.0
        return None if self._in_work else self._hold.left

    def _until_due(self) -> float | None:
        return max(self._later[0][0] - self._clock(), 0.001) if self._later else None

    def _next(self) -> Lane | None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            due, _, lane = heapq.heappop(self._later)
            if lane.due == due:
                lane.due = None
                self._again.append(lane)
        # While held, that which has not failed yet is the better probe: what failed may be at fault itself.
        for queue in (self._fresh, self._again) if self._hold.reason else (self._again, self._fresh):
            while queue:
                lane = queue.popleft()
                if lane.items:
                    return lane
        return None

    def _given_back(self, item: Item) -> Lane:
        lane = self._lanes[item.lane]
        lane.busy = None
        self._in_work.remove(item)
        return lane

    def _go_on(self, name: str, lane: Lane) -> None:
        if lane.items:
            self._fresh.append(lane)
        else:
            del self._lanes[name]
        self._changed.notify_all()
