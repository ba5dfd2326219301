"""What an audit finds: which kinds there are, and the report.

A finding names one dataset, message, or gap, and says whether sending its messages again can help.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest.scicow.audit.ledger import ExpectedDataset, SequenceGap

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


def dataset_finding(kind: str, uuid: str, expected: ExpectedDataset, problems: Iterable[Problem]) -> AuditFinding:
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


def missing_dataset(uuid: str, expected: ExpectedDataset, elsewhere: Iterable[str]) -> AuditFinding:
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
    return dataset_finding("missing", uuid, expected, [problem])


def gap_finding(found: SequenceGap) -> AuditFinding:
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
