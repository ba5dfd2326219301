"""The messages of 16 beamlines for a while, and what must have become of them in the end.

Pure: the same seed gives the same plan.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import yaml

from scifish.message import Message, encode
from tests.builders.messages import file, message, picture, value

BEAMLINES = (
    *("balder", "biomax", "bloch", "cosaxs", "danmax", "femtomax", "finest", "flexpes"),
    *("formax", "hippie", "maxpeem", "micromax", "nanomax", "softimax", "species", "veritas"),
)

OPEN = 40
"""Datasets that go on at a time."""

HOSTILE = (
    "<script>alert(1)</script>",
    "'; DROP TABLE datasets; --",
    "$where",
    "a.b.$c",
    "__proto__",
    "language",
    "constructor",
    "",
    " ",
    "null",
    "NaN",
    "-0",
    "=1+1",
    "../../etc/passwd",
    "%2F%00%2e",
    "{proposal}{0}%s${HOME}",
    "back\\slash \"quote\" 'single' `tick`",
    "line\nbreak\r\n\ttab",
    "\u0000\u0001\u001b[31m\u007f",
    "\u202eright to left\u200b",
    "Å µ Ω ℃ \N{GRINNING FACE} \N{FAMILY}\u200d\ufe0f",
    "e\u0301 \u00e9 \ufeff \uffff",
    "value",
    "unit",
    "valueSI",
    "x" * 3000,
)
"""What people, and those who are not kind, write. All of it must arrive as it was written."""


@dataclass
class Expected:
    """What the catalogue must say of one dataset in the end."""

    beamline: str
    proposal: str
    name: str
    description: str
    status: str = ""
    files: dict[str, int] = field(default_factory=dict)
    """Size by path, as in the message."""
    values: set[str] = field(default_factory=set)
    """Texts that must each be the value of an entry of the metadata."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Value by the name of an entry of the metadata."""
    comment: str | None = None
    rating: float | None = None
    pictures: dict[str, str] = field(default_factory=dict)
    """URI by caption."""


@dataclass(frozen=True)
class Sent:
    """One message of Kafka. `planted` is why it must be a dead letter; "" for one that must not."""

    topic: str
    key: str
    value: bytes | None
    planted: str = ""


@dataclass
class Plan:
    sent: list[Sent]
    datasets: dict[str, Expected]
    """By uuid."""

    @property
    def planted(self) -> list[Sent]:
        return [one for one in self.sent if one.planted]


def proposals_of(beamline: str) -> tuple[str, str, str]:
    """Two that its users have, and one that is proprietary."""
    number = 20260000 + 10 * BEAMLINES.index(beamline)
    return str(number + 1), str(number + 2), f"IN{number}"


def office() -> str:
    """The user office of all of them, as a YAML file."""
    found = []
    for beamline in BEAMLINES:
        for proposal in proposals_of(beamline):
            person = {"name": f"PI of {proposal}", "email": f"pi.{proposal}@example.org".lower()}
            found.append(
                {"id": proposal, "title": f"Proposal {proposal}", "abstract": "Ü", "beamline": beamline}
                | {"principal_investigator": person}
            )
    return yaml.safe_dump({"proposals": found}, allow_unicode=True)


def make_plan(count: int, seed: int, run: str) -> Plan:
    """At least `count` messages for the topics `scifish-<run>-<beamline>`."""
    return _Planner(random.Random(seed), run).plan(count)


class _Planner:
    def __init__(self, chance: random.Random, run: str) -> None:
        self._chance = chance
        self._run = run
        self._seq = dict.fromkeys(BEAMLINES, 0)
        self._datasets: dict[str, Expected] = {}
        self._made = 0

    def plan(self, count: int) -> Plan:
        sent: list[Sent] = []
        every = max(count // 40, 60)
        plants, planted = self._plants(), 1
        at_work: list[list[list[Sent]]] = []
        while len(sent) < count or at_work:
            while len(at_work) < OPEN and len(sent) < count:
                at_work.append(self._dataset())
            one = self._chance.choice(at_work)
            sent += one.pop(0)
            if not one:
                at_work.remove(one)
            if len(sent) > planted * every <= count:
                planted += 1
                sent += next(plants)
        return Plan(sent, self._datasets)

    # ---------------------------------------------------------------- datasets

    def _dataset(self) -> list[list[Sent]]:
        """All messages about a new dataset in their order; those together that must be sent without a break.

        What comes before its dataset does not wait for it for ever.
        """
        uuid, beamline = self._uuid(), self._chance.choice(BEAMLINES)
        hostile = self._chance.random() < 0.15
        said = self._said(uuid, beamline, hostile)
        expected = self._datasets[uuid] = Expected(
            beamline, said["proposalId"], said["datasetName"], said["description"]
        )
        messages = self._story(uuid, said, expected)
        annotations = self._annotations(uuid, said, expected, hostile)
        # In their own order, anywhere: the first may come before its dataset.
        places = sorted(self._chance.randint(0, len(messages)) for _ in annotations)
        for place, each in reversed(list(zip(places, annotations, strict=True))):
            messages.insert(place, each)
        if annotations and self._chance.random() < 0.3:
            messages.append(annotations[0])  # Kafka may give it again: an old comment must not come back
        sent = [Sent(self._topic(beamline), uuid, encode(each)) for each in messages]
        first = next(number for number, each in enumerate(messages, start=1) if _makes_the_dataset(each))
        return [sent[:first], *([each] for each in sent[first:])]

    def _story(self, uuid: str, said: Message, expected: Expected) -> list[Message]:
        kind = self._chance.choices(
            ("pair", "reversed", "repeated", "end alone", "snapshot", "parts"), (55, 6, 8, 6, 15, 10)
        )[0]
        began = self._message("began", uuid, {**said, "scientificMetadata": {"Early": value(1.5, "mm")}})
        status = self._chance.choice(("completed", "completed", "stopped", "aborted", "failed", "interrupted"))
        expected.status = status
        given = {name: inner["value"] for name, inner in said["scientificMetadata"].items()}
        expected.values = {inner for inner in given.values() if isinstance(inner, str)}
        expected.numbers = {name: inner for name, inner in given.items() if not isinstance(inner, str)}
        if kind == "parts":
            parts = [self._files(uuid, f"part{number}", 40) for number in range(3)]
            messages = []
            for number, files in enumerate(parts, start=1):
                metadata = said["scientificMetadata"] if number == 1 else {}
                more = {"part": {"number": number, "of": 3}, "scientificMetadata": metadata}
                messages.append(self._message("ended", uuid, {**said, **more}, status=status, files=files))
            self._chance.shuffle(messages)
            messages.insert(self._chance.randint(0, 3), began)
            messages.append(self._chance.choice(messages))
        else:
            parts = [self._files(uuid, "scan", self._chance.randint(0, 4))]
            last = "snapshot" if kind == "snapshot" else "ended"
            ended = self._message(last, uuid, said, status=status, files=parts[0])
            messages = {
                "pair": [began, ended],
                "reversed": [ended, began],
                "repeated": [began, began, ended, began, ended],
            }.get(kind, [ended])
        expected.files = {each["path"]: each["size"] for files in parts for each in files}
        return messages

    def _annotations(self, uuid: str, said: Message, expected: Expected, hostile: bool) -> list[Message]:
        found = []
        for number in range(self._chance.choice((0, 0, 0, 1, 2, 3))):
            new: dict[str, Any] = {}
            if self._chance.random() < 0.8:
                text = self._chance.choice(HOSTILE) if hostile else "comment"
                new["comment"] = expected.comment = f"{text} {number} of {uuid}"
            if self._chance.random() < 0.4 or not new:
                new["rating"] = expected.rating = self._chance.choice((0, 0.5, 1, 1.5, 2, 2.5, 3))
            if self._chance.random() < 0.2:
                caption = f"plot {number}"
                new["image"] = {"caption": caption, "uri": picture(self._chance)}
                expected.pictures[caption] = new["image"]["uri"]
            about = {name: said[name] for name in ("beamline", "proposalId")}
            found.append(self._message("annotation", uuid, about, annotation=new))
        return found

    def _said(self, uuid: str, beamline: str, hostile: bool) -> Message:
        first, second, _ = proposals_of(beamline)
        self._made += 1
        name = f"ascan {self._made}"
        metadata = {
            f"Motor {number}": value(round(self._chance.uniform(-100, 100), 4), "mm") for number in range(6)
        } | {"Token": value(f"token {uuid}")}
        description = "a scan"
        if hostile:
            words = self._chance.sample(HOSTILE, 5)
            name, description = f"{words[0]} {self._made}", f"{words[1]} {self._made}"
            metadata |= {word: value(f"{word} {uuid}", word[:20]) for word in words}
        return {
            "beamline": beamline,
            "proposalId": self._chance.choice((first, first, second, "")),
            "datasetName": name,
            "description": description,
            "sampleId": self._chance.choice(("", "fibre_A", "batch_1/cell_2")),
            "sourceFolder": f"/data/visitors/{beamline}/{first}/raw",
            "scientificMetadata": metadata,
        }

    def _files(self, uuid: str, name: str, count: int) -> list[Message]:
        odd = ("", " with blank", "'\"\\", "é\N{GRINNING FACE}", "..")
        return [
            file(f"/elsewhere/{uuid}/{name}_{number}{self._chance.choice(odd)}.h5", self._chance.randint(0, 10**9))
            for number in range(count)
        ]

    # ----------------------------------------------------------------- planted

    def _plants(self) -> Iterator[list[Sent]]:
        """What must be a dead letter, one kind after the other."""
        while True:
            for make in (
                self._nobodys,  # first, as it waits longest
                self._malformed,
                self._unknown_schema,
                self._wrong_proposal,
                self._two_megabytes,
                self._top_level_null,
            ):
                beamline = self._chance.choice(BEAMLINES)
                yield make(beamline)

    def _malformed(self, beamline: str) -> list[Sent]:
        bad = (b"{", b"\xff\xfe\x00", b"", None, b"[" * 100_000, b'{"a": NaN}', encode(message(uuid=self._uuid()))[:-9])
        return [Sent(self._topic(beamline), self._uuid(), each, "malformed") for each in bad]

    def _unknown_schema(self, beamline: str) -> list[Sent]:
        uuid = self._uuid()
        bad = self._message("snapshot", uuid, {"beamline": beamline, "schema": "scifish/2"})
        return [Sent(self._topic(beamline), uuid, encode(bad), "unknown schema version")]

    def _wrong_proposal(self, beamline: str) -> list[Sent]:
        other = BEAMLINES[(BEAMLINES.index(beamline) + 1) % len(BEAMLINES)]
        wrong = {
            "unknown": "99999999",
            "foreign": proposals_of(other)[0],
            "proprietary": proposals_of(beamline)[2],
        }
        found = []
        for why, proposal in wrong.items():
            uuid = self._uuid()
            for kind in ("began", "ended"):
                bad = self._message(kind, uuid, {"beamline": beamline, "proposalId": proposal})
                found.append(Sent(self._topic(beamline), uuid, encode(bad), f"{why} proposal"))
        return found

    def _two_megabytes(self, beamline: str) -> list[Sent]:
        uuid = self._uuid()
        bad = self._message("snapshot", uuid, {"beamline": beamline, "description": "2 MB " * 400_000, "status": ""})
        return [Sent(self._topic(beamline), uuid, encode(bad), "2 MB")]

    def _top_level_null(self, beamline: str) -> list[Sent]:
        uuid = self._uuid()
        bad = self._message("snapshot", uuid, {"beamline": beamline, "scientificMetadata": {"Ring current": None}})
        return [Sent(self._topic(beamline), uuid, encode(bad), "null metadata")]

    def _nobodys(self, beamline: str) -> list[Sent]:
        uuid = self._uuid()
        bad = self._message("annotation", uuid, {"beamline": beamline}, annotation={"comment": "lost"})
        return [Sent(self._topic(beamline), uuid, encode(bad), "no dataset")]

    # ----------------------------------------------------------------- helpers

    def _topic(self, beamline: str) -> str:
        return f"scifish-{self._run}-{beamline}"

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))

    def _message(self, kind: str, uuid: str, *said: Message, **changes: Any) -> Message:
        found = message(kind, uuid)
        for each in (*said, changes):
            found |= each
        beamline = found["beamline"]
        self._seq[beamline] += 1
        return found | {"seq": self._seq[beamline], "origin": {**found["origin"], "run": f"{self._run}-{beamline}"}}


def _makes_the_dataset(said: Message) -> bool:
    return said["type"] != "annotation" and said.get("part", {"number": 1})["number"] == 1
