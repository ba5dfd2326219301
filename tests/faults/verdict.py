"""What is lost, double or still running: the ledgers of the programs beside the messages in the topic.

Pure: entries of `tests.faults.ledger` and messages in, findings out.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scifish.message import Message
from tests.faults.ledger import Entry

LAST = ("ended", "snapshot")

Number = tuple[str, int]
"""Run and seq: which message it is."""


@dataclass(frozen=True)
class Finding:
    """Something that must not be. `who` is a dataset's uuid, a run, a file or a process."""

    who: str
    what: str


@dataclass
class Verdict:
    scans: int = 0
    datasets: int = 0
    interrupted: int = 0
    redelivered: int = 0
    """messages that Kafka has twice, byte by byte: it promises 'at least once'"""
    lost: list[Finding] = field(default_factory=list)
    duplicates: list[Finding] = field(default_factory=list)
    running: list[Finding] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicates or self.running)


@dataclass
class Known:
    """What the ledgers say of one dataset."""

    uuid: str
    name: str = ""
    scan: bool = False
    started: bool = False
    ending: Entry = field(default_factory=dict)
    ended: Entry = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    """Metadata that were in a call that returned."""

    @property
    def statuses(self) -> set[str]:
        """What the last message may say. A call that did not return may have been in time, or not."""
        if not self.ending:
            # Where the user has ended a scan while it began, Sardana calls no recorder's end.
            return {"interrupted", "stopped", "aborted"} if self.scan else {"interrupted"}
        found = {self.ending["status"]} if self.ended else {"interrupted", self.ending["status"]}
        # Of a scan whose aborted motors came before Sardana's own exception, Sardana says that it failed.
        return found | {"aborted"} if self.scan and self.ending["status"] == "failed" else found

    @property
    def points(self) -> Collection[int | None]:
        """What the last message may say, once the end has returned."""
        if self.ending["points"] is None:  # the program counts none
            return {None}
        fewest = most = self.ending["points"]
        if self.scan and self.ending["status"] != "completed":
            # Sardana writes the record that it is at in another thread, before, while or after it ends the scan.
            fewest, most = fewest - 1, max(most, self.ended["points"])
        return range(fewest, most + 1)


def known_datasets(entries: Iterable[Entry]) -> tuple[dict[str, Known], Counter[str]]:
    """The datasets by uuid; and the names of those that were about to begin, whose uuid nobody got to know."""
    found: dict[str, Known] = {}
    nameless: Counter[str] = Counter()
    for entry in entries:
        about, uuid = entry["about"], entry.get("uuid", "")
        if about == "starting" and not uuid:
            nameless[entry["name"]] += 1
        if not uuid:
            continue
        one = found.setdefault(uuid, Known(uuid, scan=bool(entry.get("scan"))))
        one.name = entry.get("name", one.name)
        if about == "started":
            one.started = True
            nameless[one.name] -= not one.scan  # now it is known by its uuid
        elif about == "announced":
            one.said |= entry["said"]
        elif about == "ending":
            one.ending = entry
        elif about == "ended":
            one.ended = entry
            one.said |= one.ending.get("said", {})
    return found, +nameless


def judge(entries: Iterable[Entry], messages: Sequence[Message]) -> Verdict:
    """Compare. `messages` in the order of the topic, repeated ones too."""
    known, nameless = known_datasets(entries)
    verdict = Verdict(
        scans=sum(one.started and one.scan for one in known.values()),
        datasets=sum(one.started and not one.scan for one in known.values()),
    )
    by_number = _by_number(messages, verdict)
    _check_gaps(by_number, verdict)
    last: dict[str, list[Message]] = defaultdict(list)
    for message in by_number.values():
        if message["type"] in LAST:
            last[message["uuid"]].append(message)
    for uuid, one in known.items():
        if one.started or uuid in last:
            _check_dataset(one, last.get(uuid, []), verdict)
    for uuid, found in last.items():
        if uuid not in known:
            _check_stranger(found[0], nameless, verdict)
        _check_double(uuid, found, verdict)
    for uuid in {message["uuid"] for message in messages if message["type"] == "began"} - set(last):
        verdict.running.append(Finding(uuid, f"has begun and has no last message; {_story(known.get(uuid))}"))
    verdict.interrupted = sum(found[0]["status"] == "interrupted" for found in last.values())
    return verdict


def _by_number(messages: Sequence[Message], verdict: Verdict) -> dict[Number, Message]:
    """Each message once. The same again is Kafka's right; another under the same number is not."""
    found: dict[Number, Message] = {}
    for message in messages:
        number = (message["origin"]["run"], message["seq"])
        if number not in found:
            found[number] = message
        elif found[number] == message:
            verdict.redelivered += 1
        else:
            differ = _differences(found[number], message)
            verdict.duplicates.append(
                Finding(message["uuid"], f"number {number[1]} of {number[0]} is two messages: {differ}")
            )
    return found


def _check_gaps(by_number: Iterable[Number], verdict: Verdict) -> None:
    runs: dict[str, set[int]] = defaultdict(set)
    for run, seq in by_number:
        runs[run].add(seq)
    for run, numbers in runs.items():
        missing = set(range(1, max(numbers) + 1)) - numbers
        if missing:
            verdict.lost.append(Finding(run, f"of its {max(numbers)} messages these are missing: {sorted(missing)}"))


def _check_dataset(one: Known, last: Sequence[Message], verdict: Verdict) -> None:
    if not last:
        verdict.lost.append(Finding(one.uuid, f"no last message; {_story(one)}"))
        return
    message = min(last, key=_part)
    problems = []
    parts = message.get("part", {}).get("of", 1)
    missing = set(range(1, parts + 1)) - {_part(each) for each in last}
    if missing:
        problems.append(f"of its {parts} parts these are missing: {sorted(missing)}")
    if message["status"] not in one.statuses:
        problems.append(f"status is {message['status']}, not {' or '.join(sorted(one.statuses))}")
    if message["datasetName"] != one.name:
        problems.append(f"datasetName is {message['datasetName']!r}")
    if one.ended and message.get("numberOfPoints") not in one.points:
        problems.append(f"numberOfPoints is {message.get('numberOfPoints')}, not {one.ending['points']}")
    for name, value in one.said.items():
        there = message["scientificMetadata"].get(name, {}).get("value")
        if there != value:
            problems.append(f"{name} is {there!r}, not {value!r}")
    if problems:
        verdict.lost.append(Finding(one.uuid, f"{'; '.join(problems)}; {_story(one)}"))


def _check_stranger(message: Message, nameless: Counter[str], verdict: Verdict) -> None:
    """A dataset that no ledger knows by its uuid: its program was killed before it got to know it."""
    name = message["datasetName"]
    if nameless[name] > 0:
        nameless[name] -= 1
        if message["status"] != "interrupted":
            verdict.lost.append(Finding(message["uuid"], f"{name} was killed and is {message['status']}"))
    else:
        verdict.duplicates.append(Finding(message["uuid"], f"nobody began it: {name!r}"))


def _check_double(uuid: str, last: Sequence[Message], verdict: Verdict) -> None:
    for part, count in Counter(map(_part, last)).items():
        if count > 1:
            where = ", ".join(f"{each['origin']['run']} {each['seq']} {each['status']}" for each in last)
            verdict.duplicates.append(Finding(uuid, f"{count} last messages (part {part}): {where}"))


def _part(message: Message) -> int:
    return int(message.get("part", {}).get("number", 1))


def _story(one: Known | None) -> str:
    if one is None:
        return "no ledger knows it"
    if one.ended:
        done = f"it ended {one.ending['status']} with {one.ending['points']} points"
    elif one.ending:
        done = f"its end ({one.ending['status']}) was called and did not return"
    else:
        done = "it began" if one.started else "its begin did not return"
    return f"{one.name!r}: {done}"


def _differences(one: Message, other: Message) -> str:
    """For a person."""
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return "; ".join(f"{name}: {json.dumps(one.get(name))[:80]} / {json.dumps(other.get(name))[:80]}" for name in names)
