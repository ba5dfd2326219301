"""What is lost, double or wrongly refused: the plan beside what the catalogue and the dead-letter topic have.

Pure: documents of SciCat's v3 and dead letters in, findings out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.verdict import Finding
from tests.soak.plan import Expected, Plan

Json = dict[str, Any]


KINDS = ("lost", "double", "running", "wrong_totals", "wrong_values")
"""What can be wrong with a dataset."""

_DOUBLE = ("more than once", "nobody sent", "are attached", "should not be")


def kind_of(finding: Finding) -> str:
    """Which of KINDS it is."""
    if "are counted" in finding.what:
        return "wrong_totals"
    if "status is running" in finding.what:
        return "running"
    if any(words in finding.what for words in _DOUBLE):
        return "double"
    return "wrong_values" if ", not " in finding.what else "lost"


def by_kind(findings: Iterable[Finding]) -> dict[str, int]:
    """How many datasets have something of each of KINDS."""
    found = [(kind_of(each), each.who) for each in findings]
    return {kind: len({who for one, who in found if one == kind}) for kind in KINDS}


@dataclass(frozen=True)
class DeadLetter:
    """One of the dead-letter topic. `origin` is the topic, partition and offset that it came from."""

    origin: tuple[str, str, str]
    key: str
    value: bytes | None
    why: str
    cut: bool = False


@dataclass
class Found:
    """All that there is in the end."""

    datasets: list[Json]
    blocks: list[Json]
    attachments: Mapping[str, Sequence[Json]]
    """By pid."""
    dead: list[DeadLetter]


@dataclass
class Verdict:
    messages: int = 0
    datasets: int = 0
    planted: int = 0
    repeated_dead_letters: int = 0
    """The same message twice among the dead letters: it was written, and its SciCow killed before it could say so."""
    lost: list[Finding] = field(default_factory=list)
    duplicates: list[Finding] = field(default_factory=list)
    unexpected: list[Finding] = field(default_factory=list)
    """Dead letters that nobody planted."""

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicates or self.unexpected)


def judge(plan: Plan, found: Found, prefix: str) -> Verdict:
    """Compare. A dataset's pid is `<prefix>/<uuid>`."""
    verdict = Verdict(len(plan.sent), len(plan.datasets), len(plan.planted))
    datasets = {each["pid"]: each for each in found.datasets}
    blocks: dict[str, list[Json]] = defaultdict(list)
    for block in found.blocks:
        blocks[block["datasetId"]] += block["dataFileList"]
    for uuid, expected in plan.datasets.items():
        pid = f"{prefix}/{uuid}"
        if pid not in datasets:
            verdict.lost.append(Finding(uuid, f"is not in the catalogue ({expected.name[:50]!r})"))
            continue
        lost = [*_fields(expected, datasets[pid]), *_metadata(expected, datasets[pid])]
        double: list[str] = []
        _files(expected, datasets[pid], blocks[pid], lost, double)
        _pictures(expected, found.attachments.get(pid, ()), lost, double)
        verdict.lost += [Finding(uuid, what) for what in lost]
        verdict.duplicates += [Finding(uuid, what) for what in double]
    known = {f"{prefix}/{uuid}" for uuid in plan.datasets}
    for pid in (set(datasets) | set(blocks)) - known:
        verdict.duplicates.append(Finding(pid, "is in the catalogue, and should not be"))
    _dead_letters(plan, found.dead, verdict)
    return verdict


def _fields(expected: Expected, dataset: Json) -> Iterator[str]:
    group = f"{expected.proposal}-group" if expected.proposal else f"{expected.beamline}-staff"
    wanted = {
        "datasetName": expected.name,
        "description": expected.description,
        "proposalId": expected.proposal or None,
        "ownerGroup": group,
        "comment": expected.comment,
        "dataQualityMetrics": expected.rating,
    }
    for name, value in wanted.items():
        if (dataset.get(name) or None) != (value or None):
            yield f"{name} is {str(dataset.get(name))[:200]!r}, not {str(value)[:200]!r}"


def _metadata(expected: Expected, dataset: Json) -> Iterator[str]:
    metadata = dataset.get("scientificMetadata") or {}
    status = metadata.get("scan", {}).get("status", {}).get("value")
    if status != expected.status:
        yield f"status is {status}, not {expected.status}"
    missing = expected.values - set(_values(metadata))
    if missing:
        yield f"{len(missing)} values are not in the metadata, as {min(missing)[:100]!r}"
    for name, number in expected.numbers.items():
        found = (metadata.get(name) or {}).get("value")
        if found != number:
            yield f"{name!r} is {found}, not {number}"


def _values(metadata: Any) -> Iterator[str]:
    for inner in metadata.values():
        if isinstance(inner, Mapping):
            yield from _values(inner)
        elif isinstance(inner, str):
            yield inner


def _files(expected: Expected, dataset: Json, listed: list[Json], lost: list[str], double: list[str]) -> None:
    there = Counter(each["path"] for each in listed)
    missing = set(expected.files) - set(there)
    if missing:
        lost.append(f"{len(missing)} of {len(expected.files)} files are not listed, as {min(missing)}")
    if twice := [path for path, count in there.items() if count > 1]:
        double.append(f"{len(twice)} files are listed more than once, as {twice[0]}")
    if strange := set(there) - set(expected.files):
        double.append(f"{len(strange)} files are listed that nobody sent, as {min(strange)}")
    counted = (dataset.get("numberOfFiles") or 0, dataset.get("size") or 0)
    wanted = (len(expected.files), sum(expected.files.values()))
    if counted != wanted:
        (lost if counted < wanted else double).append(f"{counted} files and bytes are counted, not {wanted}")


def _pictures(expected: Expected, there: Sequence[Json], lost: list[str], double: list[str]) -> None:
    found = Counter((each.get("caption"), each.get("thumbnail")) for each in there)
    for caption, uri in expected.pictures.items():
        if not found[caption, uri]:
            lost.append(f"its picture {caption!r} is not attached")
    if sum(found.values()) > len(expected.pictures):
        double.append(f"{sum(found.values())} pictures are attached, not {len(expected.pictures)}")


def _dead_letters(plan: Plan, dead: Iterable[DeadLetter], verdict: Verdict) -> None:
    by_origin: dict[tuple[str, str, str], DeadLetter] = {}
    for letter in dead:
        verdict.repeated_dead_letters += letter.origin in by_origin
        by_origin[letter.origin] = letter
    open_ = Counter((one.topic, one.key, one.value) for one in plan.planted)
    for letter in by_origin.values():
        what = (letter.origin[0], letter.key, letter.value)
        if letter.cut:  # its value is only the beginning
            what = next((one for one in open_ if one[:2] == what[:2]), what)
        if open_[what] > 0:
            open_[what] -= 1
        else:
            verdict.unexpected.append(Finding(letter.key, f"{'/'.join(letter.origin)}: {letter.why[:300]}"))
    why = {(one.topic, one.key, one.value): one.planted for one in plan.planted}
    for what in +open_:
        verdict.lost.append(Finding(what[1], f"is no dead letter, and should be: {why[what]}"))
