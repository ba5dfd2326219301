"""Compares the catalogue with what the messages say. Pure: `ingest.scicow.audit.auditor` gathers both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ingest.scicow.audit.findings import Problem, counted, some
from ingest.scicow.audit.ledger import ExpectedDataset
from ingest.scicow.mapping import recorded_revision
from ingest.scicow.mapping.annotations import MAX_ANNOTATION_IDS
from ingest.scicow.mapping.definition import ANNOTATIONS
from ingest.scicow.mapping.metadata import SCAN_GROUP
from ingest.scicow.mapping.templates import RUNNING

Json = dict[str, Any]

AUDITED_FIELDS = ["pid", "size", "numberOfFiles", f"scientificMetadata.{SCAN_GROUP}"]
"""What of a dataset is needed."""


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
