"""Creating and changing datasets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.api import Api, quoted
from tests.servers.catalogue import Catalogue

REQUIRED = (
    *("type", "owner", "contactEmail", "sourceFolder", "creationTime", "ownerGroup"),
    *("principalInvestigator", "creationLocation"),
)


def test_a_pid_that_is_sent_is_kept(api: Api, new_dataset) -> None:
    sent = new_dataset()
    assert api.create(sent)["pid"] == sent["pid"]
    assert api.dataset(sent["pid"])["datasetName"] == "scan"


def test_without_a_pid_the_server_makes_one(api: Api, new_dataset) -> None:
    pid = api.create(new_dataset(pid=...))["pid"]
    assert "/" in pid
    assert api.dataset(pid)["pid"] == pid


def test_the_same_pid_again_is_409(api: Api, new_dataset) -> None:
    sent = new_dataset()
    api.create(sent)
    assert api.post("/api/v3/datasets", sent).status_code == 409


def test_the_same_pid_sent_eight_times_at_once_is_created_once(catalogue: Catalogue, api: Api, new_dataset) -> None:
    sent = new_dataset()

    def post(_: int) -> int:
        with Api(catalogue.url, token=api.token) as own:
            return own.post("/api/v3/datasets", sent).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(post, range(8))) == [201] + [409] * 7


@pytest.mark.parametrize("field", REQUIRED)
def test_what_a_raw_dataset_needs(api: Api, new_dataset, field: str) -> None:
    assert api.post("/api/v3/datasets", new_dataset(**{field: ...})).status_code == 400


@pytest.mark.parametrize("change", [{"keywords": "a"}, {"scientificMetadata": [1]}], ids=str)
def test_what_the_real_server_would_make_something_else_of_is_refused(
    api: Api, new_dataset, embedded_only: None, change
) -> None:
    assert api.post("/api/v3/datasets", new_dataset(**change)).status_code == 400


@pytest.mark.parametrize(
    "change",
    [
        {"nonsense": 1},
        {"proposalIds": ["x"]},
        {"contactEmail": "a@localhost"},
        {"contactEmail": "a@example.org; nobody"},
        {"dataQualityMetrics": "2"},
        {"size": "big"},
        {"size": 1.5},
        {"runNumber": 3},
        {"creationTime": "yesterday"},
    ],
    ids=str,
)
def test_a_wrong_field_is_400(api: Api, new_dataset, change) -> None:
    answer = api.post("/api/v3/datasets", new_dataset(**change))
    assert answer.status_code == 400
    # Of the form that only refused datasets of v3 have.
    body = answer.json()
    assert (body["status"], bool(body["message"]), "statusCode" in body) == (400, True, False)


def test_values_are_normalised(api: Api, new_dataset) -> None:
    sent = new_dataset(
        sourceFolder="/data/x/", creationTime="2026-11-22T11:00:00+01:00", contactEmail="a@example.org; b@example.org"
    )
    api.create(sent)
    got = api.dataset(sent["pid"])
    assert got["sourceFolder"] == "/data/x"
    assert got["creationTime"] == "2026-11-22T10:00:00.000Z"
    assert got["contactEmail"] == "a@example.org; b@example.org"


def test_what_is_sent_is_read_back(api: Api, new_dataset) -> None:
    sent = new_dataset(
        startTime="2026-11-22T09:59:00.000Z",
        endTime="2026-11-22T10:00:00.000Z",
        dataFormat="NeXus",
        sampleId="s1",
        instrumentId="i1",
        runNumber="17",
        keywords=["ascan"],
        description="größer ✓",
        isPublished=False,
    )
    api.create(sent)
    got = api.dataset(sent["pid"])
    assert {name: got[name] for name in sent} == sent


def test_v4_has_lists_where_v3_has_one(api: Api, new_dataset, proposal_id: str) -> None:
    pid = api.create(new_dataset())["pid"]
    got = api.dataset(pid, "v4")
    assert got["proposalIds"] == [proposal_id]
    assert got["principalInvestigators"] == ["Ada Lovelace"]
    assert "proposalId" not in got


def test_v4_creates_with_fewer_fields(api: Api, new_dataset, proposal_id: str) -> None:
    fields = new_dataset(principalInvestigator=..., creationLocation=..., proposalId=..., proposalIds=[proposal_id])
    assert api.post("/api/v4/datasets", fields).status_code == 201
    assert api.dataset(fields["pid"])["proposalId"] == proposal_id
    for wrong in ({"proposalId": "x"}, {"nonsense": 1}, {"datasetName": ...}):
        changed = {name: value for name, value in (new_dataset(proposalId=...) | wrong).items() if value is not ...}
        assert api.post("/api/v4/datasets", changed).status_code == 400, wrong


def test_v4_without_an_owner_is_500(api: Api, new_dataset) -> None:
    fields = new_dataset(principalInvestigator=..., creationLocation=..., proposalId=..., owner=...)
    assert api.post("/api/v4/datasets", fields).status_code == 500


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
def test_a_v4_patch_without_totals_sets_them_to_0(api: Api, new_dataset, content_type: str) -> None:
    pid = api.create(new_dataset(size=10, numberOfFiles=1))["pid"]

    def totals() -> tuple[int, int]:
        found = api.dataset(pid)
        return found["size"], found["numberOfFiles"]

    def patch(**changes) -> int:
        return api.patch(pid, changes, "v4", headers={"Content-Type": content_type}).status_code

    assert api.patch(pid, {"comment": "v3"}).status_code == 200
    assert totals() == (10, 1)
    assert patch(comment="v4", size=10, numberOfFiles=1) == 200
    assert totals() == (10, 1)
    assert patch(comment="v4 again") == 200
    assert totals() == (0, 0)


def test_a_dataset_that_is_not_there_is_404(api: Api) -> None:
    assert api.get(f"/api/v3/datasets/{quoted('contract/none')}").status_code == 404
    assert api.patch("contract/none", {"comment": "x"}).status_code == 404


def test_comment_and_rating_are_patched_alone(api: Api, new_dataset) -> None:
    pid = api.create(new_dataset(scientificMetadata={"n": {"value": 1, "unit": ""}}))["pid"]
    before = api.dataset(pid)
    answer = api.patch(pid, {"comment": "fine", "dataQualityMetrics": 2.5})
    assert answer.status_code == 200
    assert answer.json()["dataQualityMetrics"] == 2.5
    after = api.dataset(pid)
    assert after["comment"] == "fine"
    assert after["scientificMetadata"] == before["scientificMetadata"]
    assert after["updatedAt"] >= before["updatedAt"]
    assert after["createdAt"] == before["createdAt"]


@pytest.mark.parametrize(
    "change", [{"pid": "x"}, {"type": "raw"}, {"createdBy": "x"}, {"nonsense": 1}, {"dataQualityMetrics": "2"}], ids=str
)
def test_what_cannot_be_patched_is_400(api: Api, new_dataset, change) -> None:
    pid = api.create(new_dataset())["pid"]
    assert api.patch(pid, change).status_code == 400
    assert api.dataset(pid)["pid"] == pid


def test_unmodified_since(api: Api, new_dataset) -> None:
    pid = api.create(new_dataset())["pid"]
    old = api.patch(pid, {"comment": "a"}, headers={"If-Unmodified-Since": "2020-01-01T00:00:00.000Z"})
    assert old.status_code == 412
    new = api.patch(pid, {"comment": "b"}, headers={"If-Unmodified-Since": "2120-01-01T00:00:00.000Z"})
    assert new.status_code == 200
    assert api.dataset(pid)["comment"] == "b"


def test_put_drops_what_it_does_not_name(api: Api, new_dataset, embedded_only: None) -> None:
    sent = new_dataset(description="gone", scientificMetadata={"n": 1})
    pid = api.create(sent)["pid"]
    fields = {name: value for name, value in sent.items() if name not in ("pid", "type", "description")}
    fields.pop("scientificMetadata")
    assert api.call("PUT", f"/api/v3/datasets/{quoted(pid)}", fields).status_code == 200
    got = api.dataset(pid)
    assert got["datasetName"] == "scan"
    assert not {"type", "version", "description", "scientificMetadata"} & got.keys()


def test_delete(api: Api, new_dataset, embedded_only: None) -> None:
    pid = api.create(new_dataset())["pid"]
    assert api.call("DELETE", f"/api/v3/datasets/{quoted(pid)}").status_code == 200
    assert api.get(f"/api/v3/datasets/{quoted(pid)}").status_code == 404
    api.create(new_dataset(pid=pid))


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"a": NaN}', b'"x"', b"[" * 100_000, b"\xff"], ids=lambda b: b[:5])
def test_a_body_that_is_not_a_json_object_is_400(api: Api, body: bytes) -> None:
    assert api.post("/api/v3/datasets", body).status_code == 400


def test_a_body_over_16_mb_is_500(api: Api, new_dataset) -> None:
    sent = new_dataset(description="x" * (16 * 1024 * 1024))
    assert api.post("/api/v3/datasets", sent).status_code == 500


def test_nasty_bodies_and_queries_are_400(api: Api, embedded_only: None) -> None:
    deep = b'{"scientificMetadata":' + b'{"a":' * 200 + b"1" + b"}" * 201
    huge = b'{"size": 1e999}'
    for body in (deep, huge, b'{"size": ' + b"9" * 5000 + b"}", b'{"owner": "\\ud800"}'):
        answer = api.post("/api/v3/datasets", body)
        assert (answer.status_code, answer.json()["error"]) == (400, "Bad Request"), body[:20]
    for query in (
        "{",
        "[]",
        '{"where": 1}',
        '{"limits": {"limit": -1}}',
        '{"limits": {"order": "a:up"}}',
        '{"fields": [1]}',
    ):
        assert api.get("/api/v3/datasets", filter=query).status_code == 400, query
    unknown = api.get("/api/v3/nonsense")
    assert (unknown.status_code, unknown.json()["statusCode"]) == (404, 404)
