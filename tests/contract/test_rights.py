"""Who sees and changes what."""

from __future__ import annotations

import pytest

from ingest.scicat import NotAllowed, SciCat
from ingest.scicat.client import UNKNOWN_USER
from tests.contract.api import PNG, Api, quoted
from tests.servers.catalogue import Catalogue


def test_only_the_group_sees_a_dataset(
    api: Api, user: Api, other: Api, anonymous: Api, new_dataset, proposal_id
) -> None:
    pid = api.create(new_dataset())["pid"]
    path, where = f"/api/v3/datasets/{quoted(pid)}", {"proposalId": proposal_id}
    assert user.get(path).status_code == 200
    assert len(user.find(where)) == 1
    for outsider in (other, anonymous):
        assert outsider.get(path).status_code == 403
        assert outsider.find(where) == []
        assert outsider.get("/api/v3/datasets/fullquery", fields={"proposalIds": [proposal_id]}, limits={}).json() == []
        assert outsider.get(f"{path}/origdatablocks").status_code == 403
        assert outsider.get(f"{path}/thumbnail").status_code == 403


def test_everybody_sees_what_is_published(api: Api, anonymous: Api, new_dataset, proposal_id: str) -> None:
    pid = api.create(new_dataset())["pid"]
    assert api.patch(pid, {"isPublished": True}).status_code == 200
    assert [dataset["pid"] for dataset in anonymous.find({"proposalId": proposal_id})] == [pid]
    assert anonymous.get(f"/api/v3/datasets/{quoted(pid)}").status_code == 200
    assert anonymous.patch(pid, {"comment": "x"}).status_code == 403


def test_only_the_group_rates(api: Api, user: Api, other: Api, new_dataset) -> None:
    pid = api.create(new_dataset())["pid"]
    assert user.patch(pid, {"dataQualityMetrics": 3}).status_code == 200
    assert other.patch(pid, {"dataQualityMetrics": 0}).status_code == 403
    assert api.dataset(pid)["dataQualityMetrics"] == 3


def test_a_member_creates_in_the_group_but_chooses_no_pid(
    catalogue: Catalogue, user: Api, other: Api, new_dataset
) -> None:
    assert user.post("/api/v3/datasets", new_dataset(pid=...)).status_code == 201
    with_pid = user.post("/api/v3/datasets", new_dataset()).status_code
    if catalogue.process is None and with_pid == 201:
        pytest.skip("the account SCIZOO_SCICAT_USER is in one of CREATE_DATASET_WITH_PID_GROUPS")
    assert with_pid == 403
    assert other.post("/api/v3/datasets", new_dataset(pid=...)).status_code == 403


def test_files_and_pictures_keep_their_groups_and_can_be_given_others(
    api: Api, user: Api, client: SciCat, new_dataset, group: str
) -> None:
    """By their own groups the lists of all of them show them, whatever those of the dataset are."""
    sent = new_dataset()
    pid = api.create(sent)["pid"]
    client.add_files(pid, [{"path": "a.h5", "size": 10, "time": "2026-11-22T10:00:00.000Z"}])
    client.attach(pid, group, "plot", PNG)

    def seen(by: Api) -> tuple[int, int]:
        picture = {"relationships.targetId": pid, "relationships.targetType": "dataset"}
        blocks = by.get("/api/v3/origdatablocks", filter={"where": {"datasetId": pid}})
        pictures = by.get("/api/v4/attachments", filter={"where": picture})
        return len(blocks.json()), len(pictures.json())

    assert seen(user) == (1, 1)
    groups = {"ownerGroup": "scizoo-nobody", "accessGroups": []}
    (block,), (picture,) = client.blocks(pid), client.attachments(pid)
    client.share_block(block["_id"], groups)
    client.share_attachment(picture["id"], groups)
    assert api.patch(pid, groups).status_code == 200
    assert seen(user) == (0, 0)
    assert user.get(f"/api/v3/datasets/{quoted(pid)}/attachments").status_code == 403
    assert seen(api) == (1, 1)
    got = api.dataset(pid)
    assert (got["size"], got["numberOfFiles"]) == (10, 1)
    (picture,) = client.attachments(pid)
    assert (picture["caption"], picture["thumbnail"]) == ("plot", PNG)


def test_only_the_group_changes_the_groups_of_files_and_pictures(
    api: Api, other: Api, anonymous: Api, client: SciCat, new_dataset, group: str
) -> None:
    pid = api.create(new_dataset())["pid"]
    client.add_files(pid, [{"path": "a.h5", "size": 10, "time": "2026-11-22T10:00:00.000Z"}])
    client.attach(pid, group, "plot", PNG)
    (block,), (picture,) = client.blocks(pid), client.attachments(pid)
    for nobody in (other, anonymous):
        for path in (f"/api/v3/origdatablocks/{block['_id']}", f"/api/v4/attachments/{picture['id']}"):
            assert nobody.call("PATCH", path, {"ownerGroup": group}).status_code in (401, 403)
    assert api.call("PATCH", "/api/v4/attachments/nothing", {"ownerGroup": group}).status_code == 404
    assert api.call("PATCH", f"/api/v4/attachments/{picture['id']}", {"nonsense": 1}).status_code == 400


def test_only_the_group_adds_files(api: Api, other: Api, new_dataset) -> None:
    pid = api.create(new_dataset())["pid"]
    file = {"path": "a.h5", "size": 10, "time": "2026-11-22T10:00:00.000Z"}
    assert (
        other.post("/api/v3/origdatablocks", {"datasetId": pid, "size": 1, "dataFileList": [file]}).status_code == 403
    )
    assert api.dataset(pid)["numberOfFiles"] == 0


def test_only_an_administrator_reads_who_another_user_is(
    catalogue: Catalogue, api: Api, user: Api, anonymous: Api
) -> None:
    nobody = f"/api/v3/users/{UNKNOWN_USER}/userIdentity"
    answer = api.get(nobody)
    assert (answer.status_code, answer.text.strip()) == (200, "")
    assert user.get(nobody).status_code == 403
    assert anonymous.get(nobody).status_code == 401
    assert catalogue.user1 is not None
    for account, wanted in ((catalogue.ingestor, True), (catalogue.user1, False)):
        assert SciCat(catalogue.url, account.username, account.password).is_administrator() is wanted
    with pytest.raises(NotAllowed):
        SciCat(catalogue.url, catalogue.ingestor.username, "wrong").is_administrator()


def test_a_member_does_not_delete(api: Api, user: Api, new_dataset, embedded_only: None) -> None:
    pid = api.create(new_dataset())["pid"]
    assert user.call("DELETE", f"/api/v3/datasets/{quoted(pid)}").status_code == 403
    assert api.dataset(pid)["pid"] == pid
