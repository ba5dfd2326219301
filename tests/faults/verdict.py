"""What is lost, double, still running or in the wrong place: the ledgers beside the messages in the topics.

Pure: what is known from the ledgers and messages in, findings out.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scifish.message import Message
from tests.faults.known import PROPRIETARY, SECRET, Knowledge, Known
from tests.faults.ledger import Place

LAST = ("ended", "snapshot")

SALVAGED = "-salvaged"
"""How the runs end that `scifish salvage` makes."""

Number = tuple[str, int]
"""Run and seq: which message it is."""


@dataclass(frozen=True)
class Finding:
    """Something that must not be. `who` is a dataset's uuid, a run, a file or a process."""

    who: str
    what: str


@dataclass(frozen=True)
class Damage:
    """The spool of a process was damaged. What it held alone cannot be had again, but somebody has to say so.

    A process that lives has written anew by `noticed` (monotonic) what had not ended by then; -1 for one that was
    killed. `said` is who said what; "" if nobody did.
    """

    pid: int
    run: str
    noticed: float
    said: str

    def excuses(self, one: Known) -> bool:
        """Whether this dataset may be lost by it."""
        if one.pid != self.pid or not self.said:
            return False
        return self.noticed < 0 or bool(one.ended and one.ended["monotonic"] < self.noticed)


@dataclass
class Verdict:
    scans: int = 0
    datasets: int = 0
    interrupted: int = 0
    redelivered: int = 0
    """messages that Kafka has twice, byte by byte: it promises 'at least once'"""
    withheld: int = 0
    """datasets of proprietary proposals, of which nothing has left the machine"""
    lost: list[Finding] = field(default_factory=list)
    duplicates: list[Finding] = field(default_factory=list)
    running: list[Finding] = field(default_factory=list)
    crossed: list[Finding] = field(default_factory=list)
    """What was written to another beamline, topic or broker than its program's, or should have stayed."""
    damaged: list[Finding] = field(default_factory=list)
    """What was lost with a damaged file, and was reported."""

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicates or self.running or self.crossed)


def judge(known: Knowledge, messages: Sequence[Message], damages: Sequence[Damage] = ()) -> Verdict:
    """Compare. `messages` in the order of their topics, repeated ones too, each with its `found`: broker and topic."""
    return _Judge(known, messages, damages).verdict


class _Judge:
    def __init__(self, known: Knowledge, messages: Sequence[Message], damages: Sequence[Damage]) -> None:
        self._known = known
        self._nameless = dict(known.nameless)
        self._damages = damages
        self.verdict = Verdict(scans=known.scans, datasets=known.programs)
        by_number = self._by_number(messages)
        self._check_gaps(by_number)
        last: dict[str, list[Message]] = defaultdict(list)
        annotations: dict[str, list[Message]] = defaultdict(list)
        for message in by_number.values():
            if message["type"] in LAST:
                last[message["uuid"]].append(message)
            elif message["type"] == "annotation":
                annotations[message["uuid"]].append(message)
        last = {uuid: _without_guesses(found) for uuid, found in last.items()}
        strangers = {uuid: self._stranger(found[0]) for uuid, found in last.items() if uuid not in known.datasets}
        for message in by_number.values():
            uuid = message["uuid"]
            self._check_place(known.datasets.get(uuid) or strangers.get(uuid), message)
        for uuid, one in known.datasets.items():
            if one.stays:
                self.verdict.withheld += 1
            elif one.started or uuid in last:
                self._lose(one, self._problems(one, last.get(uuid, []), annotations.get(uuid, [])))
        for uuid, found in last.items():
            self._check_double(uuid, found)
        for uuid in {message["uuid"] for message in messages if message["type"] == "began"} - set(last):
            begun = known.datasets.get(uuid)
            if begun is None or not self._excused(begun):
                story = begun.story if begun else "no ledger knows it"
                self.verdict.running.append(Finding(uuid, f"has begun and has no last message; {story}"))
        self.verdict.interrupted = sum(found[0]["status"] == "interrupted" for found in last.values())

    # ------------------------------------------------------------------- numbers

    def _by_number(self, messages: Sequence[Message]) -> dict[Number, Message]:
        """Each message once. The same again is Kafka's right; another under the same number is not."""
        found: dict[Number, Message] = {}
        for message in messages:
            number = (message["origin"]["run"], message["seq"])
            if number not in found:
                found[number] = message
            elif found[number] == message:
                self.verdict.redelivered += 1
            else:
                differ = _differences(found[number], message)
                self.verdict.duplicates.append(
                    Finding(message["uuid"], f"number {number[1]} of {number[0]} is two messages: {differ}")
                )
        return found

    def _check_gaps(self, by_number: Iterable[Number]) -> None:
        runs: dict[str, set[int]] = defaultdict(set)
        for run, seq in by_number:
            runs[run].add(seq)
        for run, numbers in runs.items():
            missing = set(range(1, max(numbers) + 1)) - numbers
            if missing:
                gap = Finding(run, f"of its {max(numbers)} messages these are missing: {sorted(missing)}")
                seen = any(damage.run == run and damage.said for damage in self._damages)
                (self.verdict.damaged if seen else self.verdict.lost).append(gap)

    # -------------------------------------------------------------------- places

    def _check_place(self, one: Known | None, message: Message) -> None:
        """Whether a message is where its program sends them, and may be there at all."""
        if one is None:
            return  # `_stranger` has said it
        found = Place(*message["found"], message["beamline"])
        if found != one.place:
            self._cross(one, message, f"is at {'/'.join(found)}, and belongs to {'/'.join(one.place)}")
        secret = message["proposalId"].startswith(PROPRIETARY) or SECRET in message.get("scientificMetadata", {})
        if one.stays or secret:
            self._cross(one, message, f"has left the machine, and the proposal is {one.proposal or 'proprietary'}")
        elif one.asked and message["proposalId"] != one.proposal:
            self._cross(one, message, "has left the machine before its proposal was known")

    def _cross(self, one: Known, message: Message, what: str) -> None:
        self.verdict.crossed.append(Finding(message["uuid"], f"its {message['type']} {what}; {one.story}"))

    def _stranger(self, message: Message) -> Known | None:
        """A dataset that no ledger knows by its uuid: its program was killed before it got to know it."""
        name = message["datasetName"]
        one = self._nameless.pop(name, None)
        if one is None:
            self.verdict.duplicates.append(Finding(message["uuid"], f"nobody began it: {name!r}"))
        elif message["status"] != "interrupted":
            self.verdict.lost.append(Finding(message["uuid"], f"{name} was killed and is {message['status']}"))
        return one

    # ------------------------------------------------------------------ datasets

    def _excused(self, one: Known) -> bool:
        return any(damage.excuses(one) for damage in self._damages)

    def _lose(self, one: Known, problems: Sequence[str]) -> None:
        if problems:
            finding = Finding(one.uuid, f"{'; '.join(problems)}; {one.story}")
            (self.verdict.damaged if self._excused(one) else self.verdict.lost).append(finding)

    def _problems(self, one: Known, last: Sequence[Message], annotations: Sequence[Message]) -> list[str]:
        if not last:
            return ["no last message"]
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
        by_part = {_part(each): each for each in last}
        problems += _unlike(one, message, [file for each in by_part.values() for file in each["files"]])
        for name in ("comment", "rating", "image"):
            said = one.annotating.get(name) if one.annotated else None
            if said is not None and said not in [each["annotation"].get(name) for each in annotations]:
                problems.append(f"no annotation has the {name} {str(said)[:80]}")
        return problems

    def _check_double(self, uuid: str, last: Sequence[Message]) -> None:
        for part, count in Counter(map(_part, last)).items():
            if count > 1:
                where = ", ".join(f"{each['origin']['run']} {each['seq']} {each['status']}" for each in last)
                self.verdict.duplicates.append(Finding(uuid, f"{count} last messages (part {part}): {where}"))


def _unlike(one: Known, message: Message, files: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """In what a last message differs from what the program has set."""
    for name, given in one.said.get("fields", {}).items():
        if message[name] != given:
            yield f"{name} is {message[name]!r}, not {given!r}"
    for name, value in one.said.get("environment", {}).items():
        if message["environment"].get(name) != value:
            yield f"{name} is {message['environment'].get(name)!r}, not {value!r}"
    for name, (value, unit) in one.said.get("values", {}).items():
        there = message["scientificMetadata"].get(name, {})
        if (there.get("value"), there.get("unit")) != (value, unit):
            yield f"{name} is {there.get('value')!r} {there.get('unit')}, not {value!r} {unit}"
    yield from unlike_files(one, [(str(file["path"]), file["size"]) for file in files])


def unlike_files(one: Known, listed: Sequence[tuple[str, object]]) -> Iterator[str]:
    """In what a list of paths and sizes differs from the files that the program has named."""
    there, wanted = dict(listed), one.said.get("files", {})
    for path, size in wanted.items():
        if path not in there:
            yield f"the file {path} is not listed"
        elif size is not None and there[path] != size:
            yield f"the file {path} has {there[path]} bytes, not {size}"
    if len(there) < len(listed):
        yield f"{len(listed) - len(there)} files are listed twice"
    if one.ended and not one.scan and len(there) > len(wanted):
        yield f"{len(there)} files are listed, not {len(wanted)}"


def _without_guesses(last: Sequence[Message]) -> list[Message]:
    """Without what was salvaged of a dataset whose program lives, and has ended it itself: `interrupted` is a guess."""
    whole = [message for message in last if not message["origin"]["run"].endswith(SALVAGED)]
    return whole or list(last)


def _part(message: Message) -> int:
    return int(message.get("part", {}).get("number", 1))


def _differences(one: Message, other: Message) -> str:
    """For a person."""
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return "; ".join(f"{name}: {json.dumps(one.get(name))[:80]} / {json.dumps(other.get(name))[:80]}" for name in names)
