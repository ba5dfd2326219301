"""Where reading of a partition begins, and what Kafka has lost of it.

It begins at the committed offset. But Kafka may have deleted the messages there, or the topic may be another one of the
same name, in which that offset means nothing. Both are looked at again while the partition is read.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingest.scicow.kafka.partition_inspector import Answer, InspectionFailed, PartitionFacts, PartitionInspector
from ingest.scicow.pipeline.assigned_partition import AssignedPartition, PartitionKey
from ingest.scicow.pipeline.counters import Progress
from ingest.scicow.pipeline.dataset_queues import DatasetQueues
from ingest.scicow.pipeline.loss_recorder import LossRecorder

log = logging.getLogger(__name__)

INSPECTION_SECONDS = 10.0
"""Between two questions about the partitions that are read."""

FIRST_INSPECTION_SECONDS = 0.5
"""Between two questions as long as a partition waits for the answer."""

REMEMBER_SECONDS = 120.0
"""How long at least the messages of a partition that was taken away are kept: its topic may have been deleted."""


@dataclass(frozen=True)
class _PartitionBefore:
    """A partition that was taken away; it may be given back, of another topic of the same name.

    The queues keep its messages that were read and are not done. Where the topic is the same, they are read again.
    """

    partition: AssignedPartition
    until: float
    """When Kafka is asked whether the topic is still the same, as `time.monotonic`."""

    def is_other_than(self, topic_id: str) -> bool:
        mine = self.partition.topic_id
        return bool(mine and topic_id and mine != topic_id)

    def is_same_as(self, topic_id: str) -> bool:
        """Also on a Kafka whose topics have no id."""
        return self.partition.topic_id in ("", topic_id)


class PartitionStarts:
    """Starts the assigned partitions when it knows where. Only the consumer's thread uses it; no method waits."""

    error: str
    """Why Kafka does not say where partitions begin, "" if it does."""

    def __init__(
        self,
        partitions: dict[PartitionKey, AssignedPartition],
        replace: Callable[[AssignedPartition], AssignedPartition],
        queues: DatasetQueues,
        losses: LossRecorder,
        progress: Progress,
    ) -> None:
        """`partitions` are those that are assigned, as the consumer changes them.

        `replace` removes one of them and assigns it again, because its topic is now another one.
        """
        self._partitions = partitions
        self._replace = replace
        self._queues = queues
        self._losses = losses
        self._progress = progress
        self._recorded: dict[AssignedPartition, set[int]] = {}  # the gaps that are being recorded as losses
        self._before: dict[PartitionKey, _PartitionBefore] = {}
        self._unsettled: dict[PartitionKey, AssignedPartition] = {}  # of topics that were deleted
        self._asked: dict[PartitionKey, tuple[AssignedPartition, dict[int, int], int]] = {}
        self._asked_before: dict[PartitionKey, _PartitionBefore] = {}

    def use(self, kafka: Consumer, inspector: PartitionInspector) -> None:
        """From now on these clients, which the consumer makes and closes."""
        self._kafka, self._inspector = kafka, inspector
        self.error = ""
        self.ask_soon()

    def ask_soon(self) -> None:
        self._next_inspection = 0.0

    def assigned(self, topic: str, number: int) -> AssignedPartition:
        """A partition that is assigned from now on."""
        partition = AssignedPartition(topic, number)
        partition.before = self._unsettled.get((topic, number))
        return partition

    def taken_away(self, partition: AssignedPartition) -> None:
        """The queues have dropped its messages; they are needed if its topic was deleted."""
        self._recorded.pop(partition, None)
        if partition.started:
            until = time.monotonic() + REMEMBER_SECONDS
            self._before[partition.topic, partition.number] = _PartitionBefore(partition, until)
        else:
            self._queues.forget(partition)

    def offset_to_store(self, partition: AssignedPartition) -> int:
        """As of the partition; the first one after all of the topic before is done is also committed."""
        was_waiting = partition.before is not None
        offset = partition.offset_to_store
        if was_waiting and partition.before is None:
            self._unsettled.pop((partition.topic, partition.number), None)
            # A lower offset than what is committed, of the topic before, is not committed by librdkafka itself.
            self._commit(committed_place(partition, offset))
        return offset

    def inspect(self) -> bool:
        """Ask about the partitions when it is time, and act on the answer; whether Kafka has answered."""
        try:
            answer = self._inspector.answer()
        except InspectionFailed as error:
            answer, self.error = None, str(error)
        if answer is not None:
            self.error = ""
            self._use_answer(answer)
            self._settle_before(answer)
        waits = any(not each.started for each in self._partitions.values())
        now = time.monotonic()
        if not self._inspector.is_asking and now >= self._next_inspection:
            self._next_inspection = now + (FIRST_INSPECTION_SECONDS if waits else INSPECTION_SECONDS)
            self._asked = {key: (each, each.gaps, each.next_offset) for key, each in self._partitions.items()}
            self._asked_before = {
                key: before
                for key, before in self._before.items()
                if before.until <= now and key not in self._partitions
            }
            self._inspector.ask([*self._asked, *self._asked_before])
        return answer is not None

    # ---------------------------------------------------------------- private

    def _use_answer(self, answer: Answer) -> None:
        for key, (partition, gaps, next_offset) in self._asked.items():
            if self._partitions.get(key) is not partition:
                continue  # the answer is about what it was before
            facts = answer.get(key)
            partition.is_missing = facts is None
            if not isinstance(facts, PartitionFacts):
                partition.problem = str(facts) if facts else "Kafka has no such partition"
                continue
            partition.problem = ""
            if partition.started:
                partition.known_at = time.monotonic()
            if not partition.started:
                self._start(partition, facts)
            elif facts.topic_id and partition.topic_id and facts.topic_id != partition.topic_id:
                # The topic is another one of the same name: the offsets of the old one count no more.
                self._start(self._replace(partition), facts)
            else:
                partition.topic_id = facts.topic_id or partition.topic_id
                partition.update_high_watermark(facts.last)
                for first, end in gaps.items():
                    self._judge_gap(partition, first, end, facts)
                if next_offset == partition.next_offset < facts.first == facts.last and not partition.paused:
                    # All that it has not read is deleted, and nothing has come since, which would show the gap.
                    self._seek(partition, facts.first, next_offset)

    def _settle_before(self, answer: Answer) -> None:
        """Whether the topics of partitions that were taken away, and not given back, still exist for their reader."""
        for key, before in self._asked_before.items():
            facts = answer.get(key)
            if self._before.get(key) is not before or key in self._partitions or isinstance(facts, InspectionFailed):
                continue
            if facts is None or before.is_other_than(facts.topic_id):
                self._take_back(before.partition, created=facts is not None)
            elif before.is_same_as(facts.topic_id):
                self._queues.forget(before.partition)
            else:
                continue  # its id is not known at the moment
            del self._before[key]

    def _start(self, partition: AssignedPartition, facts: PartitionFacts) -> None:
        partition.topic_id = facts.topic_id or facts.committed_id
        before = self._before.pop((partition.topic, partition.number), None)
        is_other = facts.committed_id not in ("", partition.topic_id) or facts.committed > facts.last
        if before is not None and before.is_other_than(partition.topic_id):
            self._seek(partition, facts.first)
            if partition.started:
                self._take_back(before.partition)
                self._wait_for(partition, before.partition)
        elif facts.committed < 0:
            self._seek(partition, facts.first)
        elif is_other:
            self._seek(partition, facts.first)
            if partition.started and partition.before is None:  # else it is on record already, or about to be
                gone = AssignedPartition(partition.topic, partition.number)
                gone.topic_id = facts.committed_id
                gone.start(facts.committed)
                self._losses.record_topic(gone, facts.committed, facts.committed)
                self._wait_for(partition, gone)
        else:
            self._seek(partition, max(facts.committed, facts.first), facts.committed)
        if partition.started and partition.before is not None:
            # Kafka may have deleted what was committed, with the topic. Who begins after a crash sees by this, which is
            # of another topic, that there was something.
            self._commit(committed_place(partition.before, partition.before.first_not_done))
        if before is None:
            return
        if not partition.started:
            self._before[partition.topic, partition.number] = before
        elif before.partition.revoked:  # the topic is the same, and they are read again
            self._queues.forget(before.partition)

    def _take_back(self, old: AssignedPartition, created: bool = True) -> None:
        """The messages of the old topic that were read and are not done exist nowhere else, so they are ingested."""
        with self._progress.locked():
            self._progress.count(old.topic, "waiting", self._queues.take_back(old))
        lost = {**old.gaps, old.furthest_offset: max(old.high_watermark, old.furthest_offset)}
        for first, end in lost.items():
            self._losses.record_topic(old, first, end, created)
        self._unsettled[old.topic, old.number] = old

    def _wait_for(self, partition: AssignedPartition, old: AssignedPartition) -> None:
        """No offset of the partition is stored before all of `old` is done and on record."""
        partition.before = self._unsettled[partition.topic, partition.number] = old

    def _seek(self, partition: AssignedPartition, offset: int, gap_from: int = -1) -> None:
        """Read from this offset on. What is between `gap_from` and it is a gap, to be judged with the next answer."""
        try:
            self._kafka.seek(TopicPartition(partition.topic, partition.number, offset))
        except KafkaException as error:
            partition.problem = f"reading cannot begin at offset {offset}: {error}"
        else:
            with self._progress.locked():
                partition.start(offset, gap_from)
            if gap_from >= 0:
                self.ask_soon()

    def _judge_gap(self, partition: AssignedPartition, first: int, end: int, facts: PartitionFacts) -> None:
        """The part of a gap that Kafka has deleted is lost; the rest never was a message."""
        if first in self._recorded.setdefault(partition, set()):
            return
        lost_end = min(facts.first, end)
        if lost_end <= first:
            partition.close_gap(first)
            return
        self._recorded[partition].add(first)
        self._losses.record(partition, first, first, lost_end)

    def _commit(self, place: TopicPartition) -> None:
        """Without waiting for Kafka's answer."""
        try:
            self._kafka.commit(offsets=[place], asynchronous=True)
        except KafkaException as error:
            log.warning("%s cannot be committed: %s", place, error)


def committed_place(partition: AssignedPartition, offset: int) -> TopicPartition:
    """An offset to be committed, with the id of the topic that it is in."""
    return TopicPartition(partition.topic, partition.number, offset, partition.topic_id)
