"""What the messages of a range say should be in the catalogue: a few hundred bytes for each dataset. Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import sys
from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ingest.scicow import mapping
from ingest.scicow.kafka.topics import MessagePosition

Json = dict[str, Any]

MAX_DATASET_NAME_LENGTH = 80
"""Characters of a dataset's name in a report."""

MAX_AUDITED_RUNS = 100_000
MAX_SEQ = 2**53
"""Larger whole numbers are not exact in JSON's readers, and no program counts so far."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class MessageFacts:
    """What one message says that matters here. `files` are path and size as in a datablock."""

    uuid: str
    kind: str
    run: str
    seq: int
    name: str
    beamline: str
    created: float | None
    """Seconds since 1970; None if the message has a time that is none."""
    first_part: bool
    marked: bool
    """Whether the dataset will name this annotation as one that it has had."""
    files: dict[str, int]
    revision: int = 0

    @classmethod
    def of(cls, value: bytes) -> MessageFacts | None:
        """None if it is not a message that SciCow could take."""
        try:
            message = json.loads(value)
            origin = message["origin"]
            found = cls(
                uuid=_of(str, message["uuid"]),
                kind=_of(str, message["type"]),
                run=_of(str, origin["run"]),
                seq=_of(int, message["seq"]),
                name=_of(str, message.get("datasetName", "")),
                beamline=_of(str, message["beamline"]),
                created=_time(_of(str, message.get("startTime", message["creationTime"]))),
                marked=message["type"] == "annotation" and bool(message["annotation"].keys() - {"image"}),
                first_part=message.get("part", {}).get("number", 1) == 1,
                files=(
                    {_of(str, each["path"]): _of(int, each["size"]) for each in mapping.files(message)}
                    if message.get("files")
                    else {}
                ),
                revision=_of(int, message.get("revision", 0)),
            )
        # Anything may have been written into the topic; SciCow's own check costs too much for so many.
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            return None
        good = _UUID.fullmatch(found.uuid) and found.kind in ("began", "ended", "snapshot", "annotation")
        return found if good and found.seq > 0 else None

    @property
    def id(self) -> str:
        """As a dataset names the annotations that it has had: see `mapping.annotations.identity`."""
        return f"{quote(self.run, safe='')}:{self.seq}"


def _of(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(type(value))
    return value


def _time(text: str) -> float | None:
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def number_of(value: bytes) -> tuple[str, int] | None:
    """Run and `seq` of a message that is wrong in another way: it was not lost on its way."""
    try:
        message = json.loads(value)
        return _of(str, message["origin"]["run"]), _of(int, message["seq"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def digest(path: str, size: int) -> int:
    """Of one file. The sum over all files of a dataset is the same in any order."""
    return int.from_bytes(hashlib.blake2b(f"{size}:{path}".encode("utf-8", "replace"), digest_size=6).digest())


def mark(run: str, seq: int) -> int:
    """Of a message, the same for each copy of it."""
    return hash((run, seq))


@dataclass(slots=True)
class ExpectedDataset:
    """What the catalogue should have of one dataset, by the messages that SciCow is done with."""

    topic: str
    beamline: str
    name: str = ""
    created: float = 0.0
    began: bool = False
    over: bool = False
    """`ended` or `snapshot` is there."""
    revision: int = 0
    """The largest one. It names all files."""
    pending: bool = False
    """SciCow has not come to some of its messages yet, so nothing can be said."""
    seen: tuple[int, ...] = ()
    files: int = 0
    size: int = 0
    digest: int = 0
    annotations: tuple[str, ...] = ()


@dataclass
class RunMessages:
    """`seq` and Kafka's times (s since 1970) of one run's messages, as they come."""

    topic: str
    seqs: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))


class Ledger:
    """Gathers what messages say. `datasets` and `runs` by uuid and by run."""

    def __init__(self) -> None:
        self.datasets: dict[str, ExpectedDataset] = {}
        self.runs: dict[str, RunMessages] = {}

    def number(self, run: str, seq: int, topic: str, when: float) -> None:
        """A message was sent as this one of its run; `when` is in s since 1970."""
        if not 0 < seq < MAX_SEQ:
            return
        run = sys.intern(run)
        found = self.runs.get(run)
        if found is None and len(self.runs) < MAX_AUDITED_RUNS:
            found = self.runs[run] = RunMessages(sys.intern(topic))
        if found is not None:
            found.seqs.append(seq)
            found.times.append(when)

    def expect(self, facts: MessageFacts, topic: str, when: float, pending: bool = False) -> None:
        """The catalogue should have what this message says, or will have it (`pending`)."""
        created = facts.created or when
        one = self.datasets.get(facts.uuid)
        if one is None:
            one = self.datasets[facts.uuid] = ExpectedDataset(sys.intern(topic), sys.intern(facts.beamline))
            one.created = created
        one.name = one.name or facts.name[:MAX_DATASET_NAME_LENGTH]
        one.pending |= pending
        number = mark(facts.run, facts.seq)
        if number in one.seen:
            return  # a copy
        one.seen = (*one.seen, number)
        if facts.marked:
            one.annotations = (*one.annotations, facts.id)
        elif facts.kind == "annotation":
            return
        elif facts.kind == "began":
            one.began, one.created = True, created
        else:
            one.over |= facts.first_part
            one.created = created
            if facts.revision < one.revision:
                return
            if facts.revision > one.revision:
                one.revision = facts.revision
                one.files = one.size = one.digest = 0
            one.files += len(facts.files)
            one.size += sum(facts.files.values())
            one.digest += sum(digest(path, size) for path, size in facts.files.items())


@dataclass(frozen=True)
class SequenceGap:
    """Messages `first` to `last` of a run that are nowhere."""

    run: str
    topic: str
    first: int
    last: int


def gaps(ledger: Ledger, known: dict[str, set[int]], begin: float, end: float) -> Iterator[SequenceGap]:
    """What is missing between the messages of each run; `known` are those that wait in spools.

    Only between messages of `begin` to `end` (s since 1970): messages of one run are in several
    partitions, whose ranges do not begin and end at exactly the same moment.
    """
    for name, run in ledger.runs.items():
        before: tuple[int, float] | None = None
        for seq, when in sorted({**dict.fromkeys(known.get(name, ()), (begin + end) / 2), **_times(run)}.items()):
            if before is not None and seq > before[0] + 1 and before[1] >= begin and when <= end:
                yield SequenceGap(name, run.topic, before[0] + 1, seq - 1)
            before = seq, when


def _times(run: RunMessages) -> dict[int, float]:
    return dict(zip(run.seqs, run.times, strict=True))


def file_lists(
    messages: Iterable[tuple[MessagePosition, bytes]], uuids: Collection[str], without: Collection[MessagePosition]
) -> dict[str, dict[str, int]]:
    """Path and size of each file of these datasets, by the last recording of each."""
    found: dict[str, dict[str, int]] = {}
    revisions: dict[str, int] = {}
    for place, value in messages:
        if place in without:
            continue
        facts = MessageFacts.of(value)
        if facts is None or facts.uuid not in uuids or facts.revision < revisions.get(facts.uuid, 0):
            continue
        if facts.revision > revisions.get(facts.uuid, 0):
            revisions[facts.uuid] = facts.revision
            found.pop(facts.uuid, None)
        found.setdefault(facts.uuid, {}).update(facts.files)
    return found
