"""scitacean and pyscicat read our datasets as from the real server: those of SciCow, with files and pictures."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import pytest
from pyscicat.client import ScicatClient
from scitacean import PID, Client, ScicatCommError

from ingest.scicat import SciCat
from ingest.scicow.catalogue.ingestor import Ingestor
from ingest.scicow.mapping.ownership import by_settings
from ingest.scicow.settings import load
from tests.builders.messages import file, message, value
from tests.contract.api import PNG, Api, quoted
from tests.paths import DOCS
from tests.servers.catalogue import Catalogue


@pytest.fixture
def pid(catalogue: Catalogue, group: str) -> str:
    """A dataset of SciCow's with two files and a picture."""
    account = catalogue.ingestor
    example = load(DOCS / "scicow.example.yaml", secrets=False)
    settings = dataclasses.replace(example, owner_group=group, pid_prefix="contract")
    client = SciCat(catalogue.url, account.username, account.password)
    ingestor = Ingestor(client, settings, partial(by_settings, settings=settings))
    files = [file(f"/data/visitors/cosaxs/20250001/raw/{name}.h5", 5) for name in "ab"]
    given = message("snapshot", files=files, scientificMetadata={"Beam line": {"gap": value(2, "mm")}})
    ingestor.ingest(given)
    ingestor.ingest(message("annotation", given["uuid"], annotation={"image": {"caption": "plot", "uri": PNG}}))
    return f"contract/{given['uuid']}"


@pytest.fixture
def scitacean(catalogue: Catalogue) -> Client:
    account = catalogue.ingestor
    client = SciCat(catalogue.url, account.username, account.password)
    client.login()
    return Client.from_token(url=f"{catalogue.url}/api/v4", token=client.token, allow_http=True)


def test_scitacean_reads_a_dataset_with_its_files_and_pictures(scitacean: Client, pid: str) -> None:
    found = scitacean.get_dataset(PID.parse(pid), attachments=True)
    assert (found.name, found.number_of_files, found.size) == ("ascan mot01 0 1 10 0.1", 2, 10)
    assert sorted(each.remote_path.posix for each in found.files) == ["a.h5", "b.h5"]
    assert found.meta["Beam%20line"]["gap"]["valueSI"] == 0.002
    assert [attachment.caption for attachment in found.attachments or []] == ["plot"]


def test_scitacean_reads_what_is_public_without_a_login(catalogue: Catalogue, api: Api, pid: str) -> None:
    anonymous = Client.without_login(url=f"{catalogue.url}/api/v4", allow_http=True)
    with pytest.raises(ScicatCommError):
        anonymous.get_dataset(PID.parse(pid))
    assert api.patch(pid, {"isPublished": True}).status_code == 200
    assert list(anonymous.get_dataset(PID.parse(pid)).files) == []  # its datablock is not public yet
    for block in api.get(f"/api/v3/datasets/{quoted(pid)}/origdatablocks").json():
        published = api.call("PATCH", f"/api/v3/origdatablocks/{block['_id']}", {"isPublished": True})
        assert published.status_code == 200
    found = anonymous.get_dataset(PID.parse(pid))
    assert sorted(each.remote_path.posix for each in found.files) == ["a.h5", "b.h5"]


def test_pyscicat_reads_a_dataset_with_its_files(catalogue: Catalogue, pid: str) -> None:
    account = catalogue.ingestor
    client = ScicatClient(f"{catalogue.url}/api/v3", username=account.username, password=account.password)
    found: Any = client.datasets_get_one(pid)
    assert (found["datasetName"], found["numberOfFiles"]) == ("ascan mot01 0 1 10 0.1", 2)
    assert found["scientificMetadata"]["Beam line"]["gap"]["valueSI"] == 0.002
    blocks: Any = client.datasets_origdatablocks_get_one(pid)
    assert sorted(each["path"] for block in blocks for each in block["dataFileList"]) == ["a.h5", "b.h5"]
    assert [each["pid"] for each in client.datasets_find(query_fields={"pid": pid})] == [pid]


def test_v4_has_what_belongs_to_a_dataset(api: Api, pid: str) -> None:
    every = ["origdatablocks", "attachments", "proposals", "samples", "instruments", "datablocks"]
    found = api.call("GET", f"/api/v4/datasets/{quoted(pid)}?" + "&".join(f"include={name}" for name in every)).json()
    assert {name: len(found[name]) for name in every[:2]} == {"origdatablocks": 1, "attachments": 1}
    assert all(isinstance(found[name], list) for name in every)
    assert api.call("GET", f"/api/v4/datasets/{quoted(pid)}?include=nonsense").status_code == 400
    assert "origdatablocks" not in api.dataset(pid, "v4")
