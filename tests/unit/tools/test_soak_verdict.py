"""The verdict of the soak test: every violation is found, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.soak.plan import BEAMLINES, HOSTILE, Plan, Sent, make_plan
from tests.soak.verdict import DeadLetter, Found, by_kind, judge

PLAN = make_plan(1500, 3, "t")


def perfect(plan: Plan = PLAN) -> Found:
    """What a SciCow without errors leaves behind."""
    datasets, blocks, attachments = [], [], {}
    for uuid, expected in plan.datasets.items():
        pid = f"scizoo/{uuid}"
        values = {f"value {number}": {"value": text, "unit": ""} for number, text in enumerate(expected.values)}
        document: dict[str, Any] = {
            "pid": pid,
            "datasetName": expected.name,
            "description": expected.description,
            "ownerGroup": f"{expected.proposal}-group" if expected.proposal else f"{expected.beamline}-staff",
            "scientificMetadata": {
                "scan": {"status": {"value": expected.status, "unit": ""}},
                "Group": values,
                **{name: {"value": number, "unit": "mm"} for name, number in expected.numbers.items()},
            },
            "numberOfFiles": len(expected.files),
            "size": sum(expected.files.values()),
        }
        known = {
            "proposalId": expected.proposal,
            "comment": expected.comment,
            "dataQualityMetrics": expected.rating,
        }
        datasets.append(document | {name: value for name, value in known.items() if value is not None})
        files = [{"path": path, "size": size} for path, size in expected.files.items()]
        blocks += [{"datasetId": pid, "dataFileList": files[start : start + 50]} for start in range(0, len(files), 50)]
        attachments[pid] = [{"caption": name, "thumbnail": uri} for name, uri in expected.pictures.items()]
    return Found(datasets, blocks, attachments, [_letter(number, one) for number, one in enumerate(plan.planted)])


def _letter(number: int, sent: Sent) -> DeadLetter:
    return DeadLetter((sent.topic, "0", str(number)), sent.key, sent.value, "because")


def test_a_perfect_end_is_good() -> None:
    verdict = judge(PLAN, perfect(), "scizoo")
    assert verdict.good, (verdict.lost[:3], verdict.duplicates[:3], verdict.unexpected[:3])
    assert verdict.messages >= 1500
    assert verdict.planted == len(PLAN.planted) > 50


def with_files(found: Found) -> dict:
    return next(each for each in found.datasets if each["numberOfFiles"] > 3)


def with_picture(found: Found) -> str:
    return next(pid for pid, there in found.attachments.items() if there)


def block_of(found: Found, dataset: dict) -> dict:
    return next(each for each in found.blocks if each["datasetId"] == dataset["pid"])


LOST: dict[str, Callable[[Found], object]] = {
    "is not in the catalogue": lambda found: found.datasets.pop(),
    "datasetName is 'x'": lambda found: found.datasets[0].update(datasetName="x"),
    "ownerGroup is 'x'": lambda found: found.datasets[0].update(ownerGroup="x"),
    "comment is 'old'": lambda found: found.datasets[0].update(comment="old"),
    "dataQualityMetrics is '9'": lambda found: found.datasets[0].update(dataQualityMetrics=9),
    "status is running": lambda found: found.datasets[0]["scientificMetadata"]["scan"]["status"].update(
        value="running"
    ),
    "'Motor 0' is 999, not": lambda found: found.datasets[0]["scientificMetadata"]["Motor 0"].update(value=999),
    "values are not in the metadata": lambda found: found.datasets[0]["scientificMetadata"].pop("Group"),
    "files are not listed": lambda found: block_of(found, with_files(found))["dataFileList"].pop(),
    "files and bytes are counted": lambda found: with_files(found).update(numberOfFiles=0),
    "is not attached": lambda found: found.attachments[with_picture(found)].pop(),  # type: ignore[attr-defined]
    "is no dead letter": lambda found: found.dead.pop(),
}
DOUBLE: dict[str, Callable[[Found], object]] = {
    "and should not be": lambda found: found.datasets.append({"pid": "scizoo/strange"}),
    "listed more than once": lambda found: found.blocks.append(block_of(found, with_files(found))),
    "that nobody sent": lambda found: block_of(found, with_files(found))["dataFileList"].append(
        {"path": "/strange", "size": 0}
    ),
    "files and bytes are counted": lambda found: with_files(found).update(numberOfFiles=10**6),
    "pictures are attached": lambda found: found.attachments[with_picture(found)].append({}),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("what", LOST)
def test_what_is_lost_is_found(what: str) -> None:
    found = perfect()
    LOST[what](found)
    verdict = judge(PLAN, found, "scizoo")
    assert what in verdict.lost[0].what
    assert len(verdict.lost) == 1
    assert not verdict.duplicates
    assert not verdict.unexpected


@pytest.mark.parametrize("what", DOUBLE)
def test_what_is_double_is_found(what: str) -> None:
    found = perfect()
    DOUBLE[what](found)
    verdict = judge(PLAN, found, "scizoo")
    assert what in verdict.duplicates[0].what
    assert len(verdict.duplicates) == 1
    assert not verdict.lost
    assert not verdict.unexpected


def test_each_finding_is_counted_by_its_kind() -> None:
    for what in (*LOST, *DOUBLE):
        if "counted" in what:
            kind = "wrong_totals"
        elif " is '" in what or "Motor" in what:
            kind = "wrong_values"
        else:
            kind = "running" if "running" in what else "double" if what in DOUBLE else "lost"
        found = perfect()
        (LOST | DOUBLE)[what](found)
        verdict = judge(PLAN, found, "scizoo")
        wrong = {name: number for name, number in by_kind([*verdict.lost, *verdict.duplicates]).items() if number}
        assert wrong == {kind: 1}, what


def test_a_dead_letter_that_nobody_planted_is_found() -> None:
    found = perfect()
    good = next(one for one in PLAN.sent if not one.planted)
    found.dead.append(DeadLetter((good.topic, "1", "7"), good.key, good.value, "SciCatError: 400"))
    verdict = judge(PLAN, found, "scizoo")
    assert [each.who for each in verdict.unexpected] == [good.key]
    assert "SciCatError: 400" in verdict.unexpected[0].what
    assert not verdict.lost


def test_the_same_dead_letter_again_is_only_counted() -> None:
    found = perfect()
    found.dead.append(found.dead[0])
    verdict = judge(PLAN, found, "scizoo")
    assert (verdict.good, verdict.repeated_dead_letters) == (True, 1)


def test_a_plan_is_the_same_for_the_same_seed_and_has_everything_in_it() -> None:
    assert make_plan(300, 5, "x").sent == make_plan(300, 5, "x").sent
    assert make_plan(300, 5, "x").sent != make_plan(300, 6, "x").sent
    assert {one.topic for one in PLAN.sent} == {f"scifish-t-{beamline}" for beamline in BEAMLINES}
    text = "".join(each.name + each.description + (each.comment or "") for each in PLAN.datasets.values())
    assert all(word in text for word in HOSTILE)
    kinds = {json.loads(one.value or b"")["type"] for one in PLAN.sent if not one.planted}
    assert kinds == {"began", "ended", "snapshot", "annotation"}
