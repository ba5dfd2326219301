"""Proposals, samples and instruments."""

from __future__ import annotations

import uuid

import pytest

from tests.contract.api import Api


@pytest.fixture
def proposal(proposal_id: str, group: str) -> dict:
    return {"proposalId": proposal_id, "email": "pi@example.org", "title": "Contract", "ownerGroup": group}


def test_a_proposal(api: Api, proposal: dict) -> None:
    proposals = "/api/v3/proposals"
    assert api.post(proposals, proposal).status_code == 201
    assert api.post(proposals, proposal).status_code == 409
    path = f"{proposals}/{proposal['proposalId']}"
    assert api.get(path).json()["title"] == "Contract"
    assert api.call("PATCH", path, {"title": "New"}).status_code == 200
    # Only the list of proposals takes `filters`.
    listed = api.get(proposals, filters={"where": {"proposalId": proposal["proposalId"]}}).json()
    assert [one["title"] for one in listed] == ["New"]


@pytest.mark.parametrize("field", ["proposalId", "email", "title", "ownerGroup"])
def test_what_a_proposal_needs(api: Api, proposal: dict, field: str) -> None:
    del proposal[field]
    assert api.post("/api/v3/proposals", proposal).status_code == 400


def test_a_proposal_that_is_not_there(api: Api) -> None:
    assert api.get("/api/v3/proposals/none").status_code == 404


def test_a_sample_that_is_there_is_500(api: Api, group: str) -> None:
    sample = {"sampleId": uuid.uuid4().hex, "description": "lysozyme", "ownerGroup": group}
    assert api.post("/api/v3/samples", sample).status_code == 201
    assert api.post("/api/v3/samples", sample).status_code == 500
    assert api.get(f"/api/v3/samples/{sample['sampleId']}").json()["description"] == "lysozyme"


def test_an_instrument_that_is_there_is_409(api: Api) -> None:
    instrument = {"uniqueName": uuid.uuid4().hex, "name": "CoSAXS"}
    assert api.post("/api/v3/instruments", instrument).status_code == 201
    assert api.post("/api/v3/instruments", instrument).status_code == 409


def test_only_an_administrator_makes_an_instrument(user: Api) -> None:
    name = uuid.uuid4().hex
    assert user.post("/api/v3/instruments", {"uniqueName": name, "name": "x"}).status_code == 403


def test_a_sample_has_no_name_and_an_instrument_no_pid_of_ours(api: Api, group: str) -> None:
    name = uuid.uuid4().hex
    sample = {"sampleId": name, "sampleName": "lysozyme", "ownerGroup": group}
    assert api.post("/api/v3/samples", sample).status_code == 400
    assert api.post("/api/v3/instruments", {"pid": name, "uniqueName": name, "name": "CoSAXS"}).status_code == 400
