"""The project's own client, on the real thing."""

from __future__ import annotations

import pytest

from ingest.scicat import Conflict, NotAllowed, SciCat, SciCatError
from tests.catalogue import Catalogue


@pytest.fixture
def client(catalogue: Catalogue) -> SciCat:
    return SciCat(catalogue.url, catalogue.ingestor.username, catalogue.ingestor.password)


def test_one_dataset_from_begin_to_end(client: SciCat, new_dataset, proposal_id: str) -> None:
    sent = new_dataset(scientificMetadata={"gap": {"value": 2, "unit": "mm"}})
    client.create_dataset(sent)
    with pytest.raises(Conflict):
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
