"""The project's own client, on the real thing."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from deploy.demo.processes import Processes
from ingest.scicat import DocumentConflict, Expired, NotAllowed, SciCat, SciCatError
from ingest.scicow.audit.auditor import just_below
from tests.contract.api import PNG
from tests.servers.catalogue import Catalogue, start_catalogue
from tests.waiting import eventually


def test_one_dataset_from_begin_to_end(client: SciCat, new_dataset, proposal_id: str) -> None:
    sent = new_dataset(scientificMetadata={"gap": {"value": 2, "unit": "mm"}})
    client.create_dataset(sent)
    with pytest.raises(DocumentConflict):
        client.create_dataset(sent)
    client.merge_dataset(
        sent["pid"], {"scientificMetadata": {"gap": {"value": 3, "unit": "mm"}, "status": {"value": "ok", "unit": ""}}}
    )
    client.patch_dataset(sent["pid"], {"comment": "fine"})
    client.add_files(sent["pid"], [{"path": "a.h5", "size": 3, "time": "2026-11-22T10:00:00.000Z"}])
    got = client.dataset(sent["pid"])
    assert got is not None
    assert got["scientificMetadata"]["gap"]["valueSI"] == pytest.approx(0.003)
    assert got["scientificMetadata"]["status"]["value"] == "ok"
    assert (got["comment"], got["size"]) == ("fine", 3)
    assert [file["path"] for file in client.files(sent["pid"])] == ["a.h5"]
    assert [one["pid"] for one in client.datasets({"proposalId": proposal_id}, ["pid"])] == [sent["pid"]]
    assert client.count({"proposalId": proposal_id}) == 1


def test_what_is_not_there(client: SciCat) -> None:
    assert client.dataset("contract/none") is None
    with pytest.raises(SciCatError):
        client.patch_dataset("contract/none", {"comment": "x"})


def test_an_expired_token_is_renewed_by_a_write(catalogue: Catalogue, new_dataset) -> None:
    ingestor = catalogue.ingestor
    client = SciCat(catalogue.url, ingestor.username, ingestor.password, token="expired")
    assert not client.alive()
    client.create_dataset(new_dataset())
    assert client.alive()


def test_a_wrong_password(catalogue: Catalogue) -> None:
    client = SciCat(catalogue.url, catalogue.ingestor.username, "wrong")
    with pytest.raises(NotAllowed):
        client.datasets()


def test_proposals_samples_and_instruments_are_created_once(client: SciCat, proposal_id: str, group: str) -> None:
    name = uuid.uuid4().hex
    proposal = {"proposalId": proposal_id, "email": "pi@example.org", "title": "Contract", "ownerGroup": group}
    sample = {"sampleId": name, "description": "lysozyme", "ownerGroup": group}
    instrument = {"uniqueName": name, "name": "CoSAXS"}
    assert [client.create_instrument(instrument) for _ in range(2)] == [True, False]
    for look, create, key, document in (
        (client.proposal, client.create_proposal, proposal_id, proposal),
        (client.sample, client.create_sample, name, sample),
    ):
        assert look(key) is None
        assert create(document) is True
        assert create(document) is False
        found = look(key)
        assert found is not None
        assert document.items() <= found.items()


def test_what_an_account_may_not_create(catalogue: Catalogue, client: SciCat) -> None:
    if catalogue.user1 is None:
        pytest.skip("SCIZOO_SCICAT_USER=name:password:group is not set")
    user = SciCat(catalogue.url, catalogue.user1.username, catalogue.user1.password)
    with pytest.raises(NotAllowed):
        user.create_instrument({"uniqueName": uuid.uuid4().hex, "name": "x"})


def test_a_dataset_seen_with_an_expired_token_is_there(catalogue: Catalogue, client: SciCat, new_dataset) -> None:
    sent = new_dataset()
    client.create_dataset(sent)
    ingestor = catalogue.ingestor
    late = SciCat(catalogue.url, ingestor.username, ingestor.password, token="expired")
    assert late.dataset(sent["pid"]) is not None


def test_no_list_is_read_with_an_expired_token(tmp_path, new_dataset, proposal_id: str) -> None:
    """It would be 200, with what is public alone: a table or an export that ends too soon."""
    with Processes(tmp_path / "logs") as processes:
        short = start_catalogue(processes, tmp_path, options=("--token-hours", "0.0005"))
        client = SciCat(short.url, short.ingestor.username, short.ingestor.password)
        client.create_dataset(new_dataset(isPublished=True))
        client.create_dataset(new_dataset())
        kept = SciCat(short.url, token=client.token)
        eventually(lambda: not client.alive())
        # On a busy machine a new token, too, may expire on its way.
        eventually(lambda: len(client.datasets({"proposalId": proposal_id})) == 2)
        eventually(lambda: client.count({"proposalId": proposal_id}) == 2)
        with pytest.raises(Expired):
            kept.datasets({"proposalId": proposal_id})


def test_all_pictures_of_a_dataset_are_there_each_once(client: SciCat, new_dataset) -> None:
    sent = new_dataset()
    client.create_dataset(sent)
    for _ in range(2):
        for number in range(21):
            client.attach_once(sent["pid"], sent["ownerGroup"], f"{number}", PNG)
    assert [one["caption"] for one in client.attachments(sent["pid"])] == [f"{number}" for number in range(21)]


def test_for_another_picture_not_all_are_read(client: SciCat, new_dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = new_dataset()
    client.create_dataset(sent)
    for number in range(25):
        client.attach(sent["pid"], sent["ownerGroup"], f"{number}", PNG)
    read: list[str] = []

    def call(*given: Any, **more: Any) -> Any:
        answer = SciCat.call(client, *given, **more)
        read.extend(one["caption"] for one in answer if isinstance(answer, list))
        return answer

    monkeypatch.setattr(client, "call", call)
    assert not client.attach_once(sent["pid"], sent["ownerGroup"], "3", PNG)
    assert sorted(read) == sorted(["3", *(f"{number}" for number in range(15, 25))])


@pytest.mark.parametrize("version", ["v3", "v4", "merge"])
def test_what_is_changed_leaves_size_and_number_of_files(client: SciCat, new_dataset, version: str) -> None:
    sent = new_dataset()
    pid = sent["pid"]
    client.create_dataset(sent)
    client.add_files(pid, [{"path": "a.h5", "size": 3, "time": "2026-11-22T10:00:00.000Z"}])
    if version == "merge":
        client.merge_dataset(pid, {"comment": "good"})
    else:
        client.replace_metadata(pid, {"comment": "good"}, version=version)
    got = client.dataset(pid)
    assert got is not None
    assert (got["comment"], got["size"], got["numberOfFiles"]) == ("good", 3, 1)


@pytest.mark.parametrize("name", ["samples/17", "x-1", "plain", "a/0b"])
def test_a_list_goes_on_after_any_pid(client: SciCat, new_dataset, proposal_id: str, name: str) -> None:
    pids = [f"{proposal_id}/{number}/{name}" for number in "abc"]
    for pid in pids:
        client.create_dataset(new_dataset(pid=pid))
    where = {"proposalIds": {"inq": [proposal_id]}, "pid": {"gt": just_below(pids[1])}}
    assert [one["pid"] for one in client.datasets(where, ["pid"], "pid:asc")] == pids[1:]
