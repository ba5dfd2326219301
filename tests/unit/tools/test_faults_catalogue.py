"""The check of the catalogue in `make faults` must be able to fail: each value of a dataset is compared."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.faults.catalogue import Found, judge_catalogue
from tests.faults.known import SECRET, Knowledge
from tests.faults.verdict import Damage, Verdict
from tests.unit.tools.test_faults_verdict import HOME, PICTURE, begun, commented, entry

SAID = {
    "fields": {"proposalId": "1", "sampleId": "S-1", "description": "a scan", "sourceFolder": "/data"},
    "environment": {"title": "collect", "scanID": 42},
    "values": {"energy": [12.5, "keV"], "wavelength": [1.0, "Å"], "filter": ["Al", ""]},
    "files": {"/data/1.h5": 10, "/elsewhere/2.h5": 5},
}
ENDED = [entry("ending", status="completed", points=11, said=SAID), entry("ended")]
ENTRIES = [*begun(), *ENDED, *commented(image=PICTURE)]


def leaf(value: Any, unit: str = "", **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": unit, **more}


def found() -> Found:
    scan = {"status": "completed", "points": 11, "title": "collect", "scan_id": 42, "beamline": "cosaxs"}
    metadata = {
        "scan": {name: leaf(value) for name, value in scan.items()},
        "energy": leaf(12.5, "keV", valueSI=1.0),
        "wavelength": leaf(1.0, "angstrom", original_unit="Å"),
        "filter": leaf("Al"),
    }
    dataset = {
        **{"pid": "scizoo/a", "datasetName": "name a", "proposalId": "1", "sampleId": "S-1", "ownerGroup": "1-group"},
        **{"description": "a scan", "sourceFolder": "/data", "numberOfFiles": 2, "size": 15},
        **{"comment": "fine", "dataQualityMetrics": 1.5, "scientificMetadata": metadata},
    }
    return Found(dataset, [("1.h5", 10), ("/elsewhere/2.h5", 5)], [(PICTURE["caption"], PICTURE["uri"])])


def judged(entries: list[Any], there: dict[str, Found], *damages: Damage) -> Verdict:
    verdict = Verdict()
    judge_catalogue(Knowledge(entries), there, set(there) - {"unsaid"}, {(HOME[0], HOME[1])}, damages, verdict)
    return verdict


def test_all_is_well() -> None:
    assert judged(ENTRIES, {"a": found()}).good


WRONG: dict[str, Callable[[Found], object]] = {
    "datasetName is": lambda found: found.dataset.update(datasetName="other"),
    "sampleId is None, not 'S-1'": lambda found: found.dataset.pop("sampleId"),
    "description is": lambda found: found.dataset.update(description=""),
    "ownerGroup is staff": lambda found: found.dataset.update(ownerGroup="staff"),
    "status is running": lambda found: found.dataset["scientificMetadata"]["scan"]["status"].update(value="running"),
    "points are 10": lambda found: found.dataset["scientificMetadata"]["scan"]["points"].update(value=10),
    "scanID is 1": lambda found: found.dataset["scientificMetadata"]["scan"]["scan_id"].update(value=1),
    "energy is None": lambda found: found.dataset["scientificMetadata"].pop("energy"),
    "energy is 12.5 'eV'": lambda found: found.dataset["scientificMetadata"]["energy"].update(unit="eV"),
    "wavelength is 1.0 'Å'": lambda found: found.dataset["scientificMetadata"]["wavelength"].update(unit="Å"),
    "filter is 'Cu'": lambda found: found.dataset["scientificMetadata"]["filter"].update(value="Cu"),
    "the file /data/1.h5 is not listed": lambda found: found.files.pop(0),
    "the file /elsewhere/2.h5 has 6 bytes": lambda found: found.files.__setitem__(1, ("/elsewhere/2.h5", 6)),
    "files are listed twice": lambda found: found.files.append(found.files[0]),
    "2 files and 14 bytes are counted": lambda found: found.dataset.update(size=14),
    "comment is None": lambda found: found.dataset.pop("comment"),
    "dataQualityMetrics is 3": lambda found: found.dataset.update(dataQualityMetrics=3),
    "is attached 0 times": lambda found: found.pictures.pop(),
    "is attached 2 times": lambda found: found.pictures.append(found.pictures[0]),
}


@pytest.mark.parametrize("says", WRONG)
def test_what_differs_is_found(says: str) -> None:
    changed = deepcopy(found())
    WRONG[says](changed)
    (lost,) = judged(ENTRIES, {"a": changed}).lost
    assert says in lost.what


def test_what_is_missing_is_lost_unless_it_was_only_in_a_damaged_spool() -> None:
    assert [each.who for each in judged(ENTRIES, {}).lost] == ["a"]
    assert judged(ENTRIES, {}, Damage(7, "run", 6.0, "it is damaged")).good


def test_a_comment_that_nobody_made_is_found() -> None:
    (lost,) = judged([*begun(), *ENDED], {"a": found()}).lost
    assert "comment is 'fine'" in lost.what


def test_what_belongs_elsewhere_has_crossed() -> None:
    assert len(judged(ENTRIES, {"a": found(), "unsaid": found()}).crossed) == 1
    other = found()
    other.dataset["scientificMetadata"]["scan"]["beamline"]["value"] = "balder"
    assert len(judged(ENTRIES, {"a": other}).crossed) == 1
    secret = found()
    secret.dataset["scientificMetadata"][SECRET] = leaf("x")
    assert len(judged([*begun(), entry("measuring", proposal="IN1")], {"a": secret}).crossed) == 1
