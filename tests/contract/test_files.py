"""Lists of files and attachments."""

from __future__ import annotations

import pytest

from tests.contract.api import PNG, Api, quoted

FILE = {"path": "a.h5", "size": 10, "time": "2026-11-22T10:00:00.000Z"}


@pytest.fixture
def pid(api: Api, new_dataset) -> str:
    return api.create(new_dataset())["pid"]


def _block(pid: str, **changes) -> dict:
    return {"datasetId": pid, "size": 10, "dataFileList": [FILE]} | changes


def test_the_dataset_lists_and_counts_its_files(api: Api, pid: str) -> None:
    assert api.post("/api/v3/origdatablocks", _block(pid)).status_code == 201
    blocks = api.get(f"/api/v3/datasets/{quoted(pid)}/origdatablocks").json()
    assert [file["path"] for block in blocks for file in block["dataFileList"]] == ["a.h5"]
    got = api.dataset(pid)
    assert (got["size"], got["numberOfFiles"]) == (10, 1)


def test_the_same_datablock_again_is_counted_twice(api: Api, pid: str) -> None:
    for _ in range(2):
        api.post("/api/v3/origdatablocks", _block(pid))
    got = api.dataset(pid)
    assert (got["size"], got["numberOfFiles"]) == (20, 2)


def test_files_of_a_datablock_can_be_changed_and_are_counted_again(api: Api, pid: str) -> None:
    key = api.post("/api/v3/origdatablocks", _block(pid)).json()["_id"]
    for _ in range(2):
        changed = {"size": 12, "dataFileList": [FILE | {"size": 12}]}
        assert api.call("PATCH", f"/api/v3/origdatablocks/{key}", changed).status_code == 200
    blocks = api.get(f"/api/v3/datasets/{quoted(pid)}/origdatablocks").json()
    assert [file["size"] for block in blocks for file in block["dataFileList"]] == [12]
    assert [block["datasetId"] for block in blocks] == [pid]
    got = api.dataset(pid)
    assert (got["size"], got["numberOfFiles"]) == (12, 1)


@pytest.mark.parametrize("change", [{"dataFileList": []}, {"size": "10"}, {"nonsense": 1}], ids=str)
def test_a_wrong_change_of_a_datablock_is_400(api: Api, pid: str, change: dict) -> None:
    key = api.post("/api/v3/origdatablocks", _block(pid)).json()["_id"]
    assert api.call("PATCH", f"/api/v3/origdatablocks/{key}", change).status_code == 400


def test_who_may_not_change_a_datablock(api: Api, anonymous: Api, other: Api, pid: str) -> None:
    key = api.post("/api/v3/origdatablocks", _block(pid)).json()["_id"]
    for nobody in (anonymous, other):
        assert nobody.call("PATCH", f"/api/v3/origdatablocks/{key}", {"chkAlg": "x"}).status_code == 403


@pytest.mark.parametrize(
    "change",
    [{"dataFileList": []}, {"size": "10"}, {"size": 1.5}, {"dataFileList": [{"path": "a"}]}, {"nonsense": 1}],
    ids=str,
)
def test_a_wrong_datablock_is_400(api: Api, pid: str, change: dict) -> None:
    assert api.post("/api/v3/origdatablocks", _block(pid, **change)).status_code == 400


def test_attachments(api: Api, pid: str, group: str) -> None:
    path = f"/api/v3/datasets/{quoted(pid)}"
    answer = api.post(f"{path}/attachments", {"ownerGroup": group, "caption": "plot", "thumbnail": PNG, "id": "mine"})
    assert answer.status_code == 201
    assert answer.json()["id"] != "mine"
    listed = api.get(f"{path}/attachments").json()
    assert [one["caption"] for one in listed] == ["plot"]
    thumbnail = api.get(f"{path}/thumbnail")
    assert thumbnail.status_code == 200
    assert "image/png" in thumbnail.text


def test_an_attachment_needs_a_caption(api: Api, pid: str, group: str) -> None:
    path = f"/api/v3/datasets/{quoted(pid)}/attachments"
    assert api.post(path, {"ownerGroup": group, "thumbnail": PNG}).status_code == 400


def test_the_list_of_attachments_has_the_ten_newest_and_that_of_v4_all(api: Api, pid: str, group: str) -> None:
    path = f"/api/v3/datasets/{quoted(pid)}/attachments"
    for number in range(12):
        body = {"ownerGroup": group, "caption": f"{number}", "thumbnail": PNG}
        assert api.post(path, body).status_code == 201
    assert [one["caption"] for one in api.get(path).json()] == [f"{number}" for number in range(11, 1, -1)]

    def listed(limits: dict, **more) -> list[str]:
        where = {"relationships.targetId": pid, "relationships.targetType": "dataset"} | more
        answer = api.get("/api/v4/attachments", filter={"where": where, "limits": limits})
        assert answer.status_code == 200, answer.text
        return [one["caption"] for one in answer.json()]

    order = {"createdAt": "asc", "aid": "asc"}
    assert len(listed({"sort": order})) == 10
    assert listed({"limit": 20, "sort": order}) == [f"{number}" for number in range(12)]
    assert listed({"limit": 20, "skip": 10, "sort": order}) == ["10", "11"]
    assert listed({"limit": 20, "sort": order}, **{"relationships.targetType": "sample"}) == []


def test_v4_lists_ten_datablocks_and_includes_all(api: Api, pid: str) -> None:
    for number in range(12):
        block = _block(pid, dataFileList=[FILE | {"path": f"{number}.h5"}])
        assert api.post("/api/v3/origdatablocks", block).status_code == 201
    assert len(api.get(f"/api/v3/datasets/{quoted(pid)}/origdatablocks").json()) == 12
    assert len(api.get("/api/v4/origdatablocks", filter={"where": {"datasetId": pid}}).json()) == 10
    found = api.get(f"/api/v4/datasets/{quoted(pid)}", include="origdatablocks").json()
    assert sorted(block["dataFileList"][0]["path"] for block in found["origdatablocks"]) == sorted(
        f"{number}.h5" for number in range(12)
    )
    assert "origdatablocks" not in api.dataset(pid, "v4")
    assert api.get(f"/api/v4/datasets/{quoted(pid)}", include="nonsense").status_code == 400
