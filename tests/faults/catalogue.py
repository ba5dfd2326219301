"""What SciCat has of each dataset, and in what that differs from the ledgers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.scicat import SciCat
from tests.faults.known import PROPRIETARY, SECRET, Knowledge, Known
from tests.faults.verdict import Damage, Finding, Verdict, unlike_files

Json = dict[str, Any]

PAGE = 1000

PIDS = 200
"""Datasets that one question names: they are in its URL."""

UNITS = {"Å": "angstrom", "µm": "um", "°C": "degC"}
"""Units that SciCat does not know as they are recorded, and as it has them."""


@dataclass
class Found:
    """A dataset of the catalogue, as v3 shows it. `pictures` are caption and URI of each."""

    dataset: Json
    files: list[tuple[str, int]] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)


def ended_in_catalogue(scicat: SciCat, uuids: Collection[str]) -> set[str]:
    """Those of these datasets that the catalogue has with their end. Raises SciCatError."""
    ended, left = set(), sorted(uuids)
    while left:
        asked, left = left[:PIDS], left[PIDS:]
        where = {"pid": {"inq": [f"scizoo/{uuid}" for uuid in asked]}}
        fields = ["pid", "scientificMetadata.scan"]
        for found in scicat.datasets(where, fields=fields, limit=PIDS):
            if found["scientificMetadata"]["scan"]["status"]["value"] != "running":
                ended.add(found["pid"].rpartition("/")[2])
    return ended


def whole_catalogue(scicat: SciCat, with_pictures: Collection[str]) -> dict[str, Found]:
    """All datasets by uuid, with their files; with pictures those of these uuids. Raises SciCatError."""
    found = {each["pid"].rpartition("/")[2]: Found(each) for each in _pages(scicat, "/api/v3/datasets", "pid")}
    for block in _pages(scicat, "/api/v3/origdatablocks", "_id"):
        uuid = block["datasetId"].rpartition("/")[2]
        if uuid in found:
            found[uuid].files += [(file["path"], file["size"]) for file in block["dataFileList"]]
    for uuid in found.keys() & set(with_pictures):
        attached = scicat.attachments(found[uuid].dataset["pid"])
        found[uuid].pictures = [(each.get("caption", ""), each.get("thumbnail", "")) for each in attached]
    return found


def _pages(scicat: SciCat, path: str, key: str) -> Iterator[Json]:
    count = PAGE
    done = 0
    while count == PAGE:
        limits = {"limit": PAGE, "skip": done, "order": f"{key}:asc"}
        page = scicat.call("GET", path, params={"filter": {"limits": limits}})
        yield from page
        count = len(page)
        done += count


def judge_catalogue(
    known: Knowledge,
    found: Mapping[str, Found],
    sent: Collection[str],
    read: Collection[tuple[str, str]],
    damages: Sequence[Damage],
    verdict: Verdict,
) -> None:
    """Add to the verdict what is wrong in the catalogue.

    `sent` are the uuids of all messages in the topics that SciCow reads, which are `read`: broker and topic.
    """
    for uuid, each in found.items():
        one = known.datasets.get(uuid)
        if uuid not in sent:
            verdict.crossed.append(Finding(uuid, "is in the catalogue, and no message that SciCow reads is about it"))
        elif one is not None:
            verdict.crossed += [Finding(uuid, what) for what in _crossed(one, each.dataset)]
    for uuid, one in known.datasets.items():
        if one.stays or not one.started or one.place[:2] not in read:
            continue
        problems = _unlike(one, found[uuid]) if uuid in found else ["it is not there"]
        if problems:
            finding = Finding(uuid, f"in the catalogue: {'; '.join(problems)}; {one.story}")
            excused = any(damage.excuses(one) for damage in damages)
            (verdict.damaged if excused else verdict.lost).append(finding)


def _crossed(one: Known, dataset: Json) -> Iterator[str]:
    beamline = _scan(dataset, "beamline")
    if beamline != one.place.beamline:
        yield f"in the catalogue its beamline is {beamline}, not {one.place.beamline}"
    if one.proprietary and (_secret(dataset) or one.stays):
        yield f"is in the catalogue, and its proposal {one.proposal} is proprietary"


def _secret(dataset: Json) -> bool:
    return str(dataset.get("proposalId")).startswith(PROPRIETARY) or SECRET in dataset["scientificMetadata"]


def _unlike(one: Known, found: Found) -> list[str]:
    """In what a dataset of the catalogue differs from what the ledgers say."""
    dataset = found.dataset
    problems = [
        f"{name} is {dataset.get(name)!r}, not {given!r}"
        for name, given in {"datasetName": one.name, **one.said.get("fields", {})}.items()
        if str(dataset.get(name) or "") != given
    ]
    proposal = one.said.get("fields", {}).get("proposalId")
    if proposal and dataset["ownerGroup"] != f"{proposal}-group":
        problems.append(f"ownerGroup is {dataset['ownerGroup']}")
    if (status := _scan(dataset, "status")) not in one.statuses:
        problems.append(f"status is {status}, not {' or '.join(sorted(one.statuses))}")
    if one.ended and _scan(dataset, "points") not in one.points:
        problems.append(f"points are {_scan(dataset, 'points')}, not {one.ending['points']}")
    environment = one.said.get("environment", {})
    for name, key in (("title", "title"), ("scanID", "scan_id")):
        if name in environment and _scan(dataset, key) != environment[name]:
            problems.append(f"{name} is {_scan(dataset, key)!r}, not {environment[name]!r}")
    problems += _unlike_values(one, dataset["scientificMetadata"])
    folder = f"{str(dataset.get('sourceFolder') or '').rstrip('/')}/"
    listed = [(path if path.startswith("/") else folder + path, size) for path, size in found.files]
    problems += unlike_files(one, listed)
    if (dataset.get("numberOfFiles") or 0, dataset.get("size") or 0) != (len(listed), sum(size for _, size in listed)):
        problems.append(f"{dataset.get('numberOfFiles')} files and {dataset.get('size')} bytes are counted")
    return problems + list(_unlike_annotation(one, found))


def _unlike_values(one: Known, metadata: Json) -> Iterator[str]:
    for name, (value, unit) in one.said.get("values", {}).items():
        there = metadata.get(name, {})
        wanted = (value, UNITS.get(unit, unit), unit if unit in UNITS else None)
        if (there.get("value"), there.get("unit"), there.get("original_unit")) != wanted:
            yield f"{name} is {there.get('value')!r} {there.get('unit')!r}, not {value!r} {wanted[1]!r}"


def _unlike_annotation(one: Known, found: Found) -> Iterator[str]:
    said = one.annotating if one.annotated else {}
    for name, key in (("comment", "comment"), ("rating", "dataQualityMetrics")):
        there = found.dataset.get(key)
        allowed = [said[name]] if said else [None, "", one.annotating.get(name)]
        if there not in allowed:
            yield f"{key} is {there!r}, not {allowed[0]!r}"
    pictures = Counter(found.pictures)
    if "image" in one.annotating:
        picture = (one.annotating["image"]["caption"], one.annotating["image"]["uri"])
        if pictures[picture] > 1 or (one.annotated and not pictures[picture]):
            yield f"its picture {picture[0]!r} is attached {pictures[picture]} times"


def _scan(dataset: Json, name: str) -> Any:
    return (dataset["scientificMetadata"]["scan"].get(name) or {}).get("value")
