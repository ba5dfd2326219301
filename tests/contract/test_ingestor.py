"""Messages into the real thing, by each version of its interface."""

from __future__ import annotations

import dataclasses
import uuid
from functools import partial
from typing import Any

import pytest

from ingest.scicat import SciCat, SciCatError
from ingest.scicow.catalogue.ingestor import Ingestor
from ingest.scicow.mapping.ownership import by_settings
from ingest.scicow.settings import load
from tests.builders.messages import file, message, value
from tests.contract.api import PNG, Api, quoted
from tests.paths import DOCS

EXAMPLE = load(DOCS / "scicow.example.yaml", secrets=False)


@pytest.fixture(params=["auto", "v3", "v4"])
def ingestor(request: pytest.FixtureRequest, client: SciCat, group: str) -> Ingestor:
    scicat = dataclasses.replace(EXAMPLE.scicat, api=request.param)
    settings = dataclasses.replace(EXAMPLE, scicat=scicat, owner_group=group, pid_prefix="contract")
    return Ingestor(client, settings, partial(by_settings, settings=settings))


def said(began: dict[str, Any], seq: int, **changes: Any) -> dict[str, Any]:
    return message("annotation", began["uuid"], seq=seq, annotation=changes)


def test_a_scan_with_all_that_belongs_to_it_twice(ingestor: Ingestor, client: SciCat, api: Api) -> None:
    name = uuid.uuid4().hex
    metadata = {"Beam line": {"a.b": value(1, "µm"), "50%": value(2)}, "unread": value(None, "mm", error="no answer")}
    began = message("began", scientificMetadata=metadata, proposalId=name)
    changed = {"Beam line": {"a.b": value(3, "mm", value_label="x"), "new": value(4, "degC")}}
    files = [file(f"/data/visitors/cosaxs/20250001/raw/{number}.h5", 2) for number in range(1200)]
    ended = message("ended", began["uuid"], scientificMetadata=changed, files=files, proposalId=name)
    comment = said(began, 2, comment="good", rating=2.5, image={"caption": "plot", "uri": PNG})
    for given in (began, ended, comment, said(began, 3, rating=1), began, ended, comment):
        ingestor.ingest(given)

    pid = f"contract/{began['uuid']}"
    found = api.dataset(pid)
    assert (found["size"], found["numberOfFiles"]) == (2400, 1200)
    assert (found["comment"], found["dataQualityMetrics"], found["proposalId"]) == ("good", 1, name)
    group = found["scientificMetadata"]["Beam line"]
    assert group.keys() == {"a.b", "50%", "new"}
    assert group["a.b"]["valueSI"] == pytest.approx(0.003)
    assert group["new"]["valueSI"] == pytest.approx(277.15)
    scan = found["scientificMetadata"]["scan"]
    assert (scan["status"]["value"], scan["annotations"]["value"]) == ("completed", "run-1:2 run-1:3")
    assert [len(block["dataFileList"]) for block in client.blocks(pid)] == [1000, 200]
    assert len(api.get(f"/api/v3/datasets/{quoted(pid)}/attachments").json()) == 1
    assert api.dataset(pid, "v4")["proposalIds"] == [name]


def test_files_and_pictures_get_the_groups_that_their_dataset_gets(
    ingestor: Ingestor, client: SciCat, group: str
) -> None:
    began = message("began", proposalId="")
    pid = f"contract/{began['uuid']}"
    ingestor.ingest(began)
    client.add_files(pid, [{"path": "a.h5", "size": 1, "time": "2026-11-22T10:00:00.000Z"}])
    for number in range(12):
        ingestor.ingest(said(began, number + 2, image={"caption": f"{number}", "uri": PNG}))

    def groups() -> set[tuple[str, ...]]:
        documents = [client.dataset(pid) or {}, *client.blocks(pid), *client.attachments(pid)]
        assert len(documents) == 14
        return {(each["ownerGroup"], *each["accessGroups"]) for each in documents}

    assert groups() == {("cosaxs-staff", "cosaxs")}
    ingestor.ingest(message("ended", began["uuid"], files=[], proposalId=uuid.uuid4().hex))
    assert groups() == {(group, "cosaxs")}


def test_a_dataset_that_is_recorded_again(ingestor: Ingestor, client: SciCat, api: Api) -> None:
    folder = "/data/visitors/cosaxs/20250001/raw"
    files = [file(f"{folder}/{number}.txt", 2) for number in range(1100)]
    first = message("snapshot", files=files, status="interrupted", warnings=["cut off"])
    first["scientificMetadata"] = {"Machine": {"Ring current": value(300, "mA")}, "Sweeps": value(1)}
    grown = [file(f"{folder}/5.txt", 12), file(f"{folder}/late.txt", 1)]
    second = message("snapshot", first["uuid"], seq=2, revision=1, files=[*files[:5], *files[6:], *grown])
    second["scientificMetadata"] = {"Sweeps": value(2)}
    pid = f"contract/{first['uuid']}"
    ingestor.ingest(first)
    assert api.patch(pid, {"comment": "mine"}).status_code == 200
    for given in (second, first, second):
        ingestor.ingest(given)
        found = api.dataset(pid)
        assert (found["size"], found["numberOfFiles"], found["comment"]) == (2 * 1099 + 13, 1101, "mine")
        metadata = found["scientificMetadata"]
        assert (metadata["Sweeps"]["value"], metadata["Machine"]["Ring current"]["value"]) == (2, 300)
        scan = metadata["scan"]
        assert (scan["status"]["value"], scan["revision"]["value"], "warnings" in scan) == ("completed", 1, False)
    sizes = {each["path"]: each["size"] for each in client.files(pid)}
    assert (sizes["5.txt"], sizes["late.txt"], len(sizes)) == (12, 1, 1101)


def test_what_somebody_writes_in_between_stays(ingestor: Ingestor, client: SciCat, api: Api, monkeypatch: Any) -> None:
    began, read = message("began"), client.dataset
    ingestor.ingest(began)
    pid = f"contract/{began['uuid']}"
    wrote = []

    def reads(pid: str) -> Any:
        found = read(pid)
        if not wrote:
            wrote.append(api.patch(pid, {"comment": "theirs"}).status_code)
        return found

    monkeypatch.setattr(client, "dataset", reads)
    ingestor.ingest(message("ended", began["uuid"]))
    found = api.dataset(pid)
    assert (wrote, found["comment"]) == ([200], "theirs")
    assert found["scientificMetadata"]["scan"]["status"]["value"] == "completed"


def test_a_block_that_is_there_twice_goes_and_the_totals_are_right(
    ingestor: Ingestor, client: SciCat, api: Api, monkeypatch: Any, may_delete: None
) -> None:
    given, add = message("snapshot"), client.add_files

    def twice(*block: Any) -> None:
        add(*block)
        add(*block)

    monkeypatch.setattr(client, "add_files", twice)
    ingestor.ingest(given)
    found = api.dataset(f"contract/{given['uuid']}")
    assert (found["size"], found["numberOfFiles"]) == (10, 1)


def test_files_that_scicat_was_killed_before_counting_are_counted(
    ingestor: Ingestor, client: SciCat, api: Api, monkeypatch: Any
) -> None:
    given, add = message("snapshot"), client.add_files
    pid = f"contract/{given['uuid']}"

    def killed(*block: Any) -> None:
        add(*block)
        assert api.patch(pid, {"size": 0, "numberOfFiles": 0}).status_code == 200
        raise SciCatError("POST origdatablocks", 0, "no answer")

    monkeypatch.setattr(client, "add_files", killed)
    ingestor.ingest(given)
    for _ in range(2):
        found = api.dataset(pid)
        assert (found["size"], found["numberOfFiles"]) == (10, 1)
        assert api.patch(pid, {"size": 0, "numberOfFiles": 0}).status_code == 200
        ingestor.ingest(given)


def test_a_deleted_dataset_that_is_sent_again_has_its_files_once(
    ingestor: Ingestor, client: SciCat, api: Api, may_delete: None
) -> None:
    began = message("began")
    ended = message("ended", began["uuid"], files=[file("/data/visitors/cosaxs/20250001/raw/a.h5", 5)])
    pid = f"contract/{began['uuid']}"
    for resent in (False, True):
        ingestor.ingest(began, resent)
        ingestor.ingest(ended, resent)
        found = client.dataset(pid)  # v3 alone may show it no more: TRACKABLES
        assert found is not None
        assert (found["size"], found["numberOfFiles"]) == (5, 1)
        assert len(client.blocks(pid)) == 1
        assert api.call("DELETE", f"/api/v3/datasets/{quoted(pid)}").status_code == 200


def test_the_digits_of_large_whole_numbers_are_kept(ingestor: Ingestor, api: Api) -> None:
    began = message("began", scientificMetadata={"Time": value(2**53 + 1, "ns")})
    ended = message("ended", began["uuid"], scientificMetadata={"Time": value(2**53 + 1, "ns", end=2**63 - 1)})
    for given in (began, ended):
        ingestor.ingest(given)
    found = api.dataset(f"contract/{began['uuid']}")["scientificMetadata"]["Time"]
    assert found["value"] == pytest.approx(2**53, rel=1e-15)
    assert (found["exact"], found["end_exact"]) == (str(2**53 + 1), str(2**63 - 1))


def test_annotations_after_the_end_do_not_change_the_totals(ingestor: Ingestor, api: Api) -> None:
    began = message("began")
    files = [file(f"/data/visitors/cosaxs/20250001/raw/{number}.h5", 5) for number in range(3)]
    for given in (began, message("ended", began["uuid"], files=files)):
        ingestor.ingest(given)
    for seq, changes in enumerate(({"comment": "good"}, {"rating": 2}, {"scientificMetadata": {"x": value(1)}}), 3):
        ingestor.ingest(said(began, seq, **changes))
        found = api.dataset(f"contract/{began['uuid']}")
        assert (found["size"], found["numberOfFiles"]) == (15, 3)
    assert (found["comment"], found["dataQualityMetrics"], found["scientificMetadata"]["x"]["value"]) == ("good", 2, 1)
