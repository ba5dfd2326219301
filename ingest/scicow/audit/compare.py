"""What is wrong in the catalogue, measured by what the messages say. Pure: `ingest.scicow.audit.auditor` gathers both.

A finding names one dataset, message, or gap, and says whether sending its messages again can help.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.scicow.audit.ledger import ExpectedDataset, SequenceGap
from ingest.scicow.mapping import recorded_revision
from ingest.scicow.mapping.annotations import MAX_ANNOTATION_IDS
from ingest.scicow.mapping.definition import ANNOTATIONS
from ingest.scicow.mapping.metadata import SCAN_GROUP
from ingest.scicow.mapping.templates import RUNNING

Json = dict[str, Any]

FINDING_KINDS = {
    "missing": "not in the catalogue",
    "incomplete": "files, end or annotations are not as the messages say",
    "double": "exists more than once",
    "running": "began long ago and has not ended",
    "dead letter": "in the dead-letter topic",
    "lost": "neither in the catalogue nor a dead letter, or deleted by Kafka before it was read",
    "refused": "Kafka refuses it from the spool",
    "gap": "numbered, but in no topic and no spool",
}
"""What a finding may be, in the order in which they are shown."""

AUDITED_FIELDS = ["pid", "size", "numberOfFiles", f"scientificMetadata.{SCAN_GROUP}"]
"""What of a dataset is needed."""


@dataclass(frozen=True)
class AuditFinding:
    """One line of the report."""

    kind: str
    what: tuple[str, ...]
    uuid: str = ""
    name: str = ""
    beamline: str = ""
    topic: str = ""
    repairable: bool = False


@dataclass(frozen=True)
class Problem:
    text: str
    repairable: bool


def compare(expected: ExpectedDataset, row: Json, files: list[Problem]) -> list[Problem]:
    """What is wrong with a dataset that v3 shows with `AUDITED_FIELDS`; `files` are the problems of its files."""
    scan = ((row.get("scientificMetadata") or {}).get(SCAN_GROUP)) or {}
    status = (scan.get("status") or {}).get("value")
    found = []
    if expected.over and status in (None, RUNNING):
        found.append(Problem("its end is not applied", True))
    elif recorded_revision(row) < expected.revision:
        found.append(Problem(f"its revision {expected.revision} is not applied", True))
    kept = applied(scan)
    missing = [each for each in expected.annotations if each not in kept]
    if missing and len(kept) < MAX_ANNOTATION_IDS:  # else the older ones are no longer named
        found.append(Problem(f"{counted(len(missing), 'annotation')} not applied: {some(missing)}", True))
    return found + files


def applied(scan: Json) -> set[str]:
    """The ids of the annotations that the dataset has had."""
    return set(str((scan.get(ANNOTATIONS) or {}).get("value") or "").split())


def is_running(row: Json) -> bool:
    scan = ((row.get("scientificMetadata") or {}).get(SCAN_GROUP)) or {}
    return (scan.get("status") or {}).get("value") == RUNNING


def is_newer(expected: ExpectedDataset, row: Json) -> bool:
    """Whether the catalogue has a later recording than the messages, which therefore say nothing of its files."""
    return recorded_revision(row) > expected.revision


def same_count(expected: ExpectedDataset, row: Json) -> bool:
    """Whether the catalogue's own count of files and bytes is that of the messages."""
    return (row.get("numberOfFiles") or 0, row.get("size") or 0) == (expected.files, expected.size)


def compare_files(expected: Mapping[str, int], there: Iterable[Json], row: Json) -> list[Problem]:
    """Path and size by the messages, against the datablocks' `{path, size}`. Other files are not ours to judge."""
    found: dict[str, list[int]] = {}
    for each in there:
        found.setdefault(str(each["path"]), []).append(each["size"])
    missing = [path for path in expected if path not in found]
    twice = [path for path in expected if len(found.get(path, ())) > 1]
    wrong = [path for path, size in expected.items() if path in found and any(other != size for other in found[path])]
    problems = []
    if missing:
        problems.append(Problem(f"{counted(len(missing), 'file')} missing: {some(missing)}", True))
    if twice:
        problems.append(Problem(f"{counted(len(twice), 'file')} listed more than once: {some(twice)}", False))
    if wrong:
        problems.append(
            Problem(f"{counted(len(wrong), 'file')} with another size: {some(wrong)}", recorded_revision(row) > 0)
        )
    listed = sum(map(len, found.values())), sum(sum(sizes) for sizes in found.values())
    counts = row.get("numberOfFiles") or 0, row.get("size") or 0
    if counts != listed:
        text = f"SciCat counts {counts[0]} files, {counts[1]} bytes, but lists {listed[0]}, {listed[1]} bytes"
        problems.append(Problem(text, bool(expected)))  # SciCow counts again what its message names
    return problems


def finding(kind: str, uuid: str, expected: ExpectedDataset, problems: Iterable[Problem]) -> AuditFinding:
    """Of a dataset. One of whose problems sending again would help is sent again."""
    problems = tuple(problems)
    return AuditFinding(
        kind,
        tuple(each.text for each in problems),
        uuid,
        expected.name,
        expected.beamline,
        expected.topic,
        any(each.repairable for each in problems),
    )


def missing(uuid: str, expected: ExpectedDataset, elsewhere: Iterable[str]) -> AuditFinding:
    """Of a dataset that is not there under its pid; `elsewhere` are pids that end with its uuid."""
    other = list(elsewhere)
    if other:
        problem = Problem(f"exists as {some(other)}: was pid_prefix changed?", False)
    elif expected.began or expected.over:
        problem = Problem("is not in the catalogue", True)
    else:
        problem = Problem(
            "is not in the catalogue, and its `began` is not in this range: choose an earlier --from", False
        )
    return finding("missing", uuid, expected, [problem])


def gap(found: SequenceGap) -> AuditFinding:
    count = found.last - found.first + 1
    which = f"seq {found.first}" if count == 1 else f"seq {found.first} to {found.last}"
    return AuditFinding("gap", (f"{counted(count, 'message')} of run {found.run}: {which}",), topic=found.topic)


@dataclass
class AuditReport:
    """The findings of an audit, and how much it has compared."""

    begin: float
    end: float
    findings: list[AuditFinding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """messages, datasets, complete, on their way, in spools, dropped, still running"""
    notes: list[str] = field(default_factory=list)

    def sorted(self) -> list[AuditFinding]:
        order = list(FINDING_KINDS)
        return sorted(self.findings, key=lambda each: (order.index(each.kind), each.topic, each.name, each.uuid))

    def repairable(self) -> set[str]:
        return {each.uuid for each in self.findings if each.repairable}


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def some(names: list[str], most: int = 3) -> str:
    """The first few of them."""
    shown = ", ".join(each[:100] for each in names[:most])
    return f"{shown}, ..." if len(names) > most else shown
