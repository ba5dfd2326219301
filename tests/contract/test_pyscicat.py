"""pyscicat, the client that most scripts of other facilities use, works as on the real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyscicat.client import ScicatClient
from pyscicat.model import CreateDatasetOrigDatablockDto, DataFile, RawDataset

from tests.contract.api import Api
from tests.servers.catalogue import Catalogue


def test_a_dataset_with_its_files(catalogue: Catalogue, api: Api, new_dataset: Callable[..., dict[str, Any]]) -> None:
    ingestor = catalogue.ingestor
    client = ScicatClient(f"{catalogue.url}/api/v3", username=ingestor.username, password=ingestor.password)
    pid = client.datasets_create(RawDataset(**new_dataset(scientificMetadata={"gap": {"value": 2, "unit": "mm"}})))
    client.datasets_origdatablock_create(
        pid,
        CreateDatasetOrigDatablockDto(
            size=3, dataFileList=[DataFile(path="a.h5", size=3, time="2026-11-22T10:00:00.000Z")]
        ),
    )
    got = api.dataset(pid)
    assert got["scientificMetadata"]["gap"]["valueSI"] == 0.002
    assert (got["numberOfFiles"], got["size"]) == (1, 3)
