"""Whatever comes out of Kafka is ingested, refused or waited for, and nothing else. `make fuzz` is the long form."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings

from deploy.demo.processes import Processes
from ingest.scicat import SciCat
from ingest.scicow.catalogue.ingestor import Ingestor
from ingest.scicow.errors import DatasetMissing
from ingest.scicow.mapping.ownership import by_settings
from ingest.scicow.pipeline.failure_policy import is_defect, is_final
from ingest.scicow.settings import load
from scifish.message import decode
from tests.fuzz.messages import payloads
from tests.servers.catalogue import INGESTOR, start_catalogue
from tests.servers.scicow import PASSWORD, write_settings
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def ingestor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingestor]:
    folder = tmp_path_factory.mktemp("fuzz")
    with Processes(folder / "logs") as processes:
        catalogue = start_catalogue(processes, folder)
        config = write_settings(folder, "none:1", catalogue, "fuzz")
        given_settings = load(config, {PASSWORD: INGESTOR.password})
        client = SciCat(catalogue.url, INGESTOR.username, INGESTOR.password)
        yield Ingestor(client, given_settings, partial(by_settings, settings=given_settings))


@settings(suppress_health_check=list(HealthCheck))
@given(payloads)
def test_each_message_is_ingested_or_refused(ingestor: Ingestor, data: bytes) -> None:
    begin = time.monotonic()
    failure = _failure(ingestor, data)
    assert time.monotonic() - begin < PATIENCE
    if failure is not None and not isinstance(failure, DatasetMissing):
        assert is_final(failure), f"would be tried again and again: {failure!r}"
        assert not is_defect(failure), repr(failure)


def _failure(ingestor: Ingestor, data: bytes) -> Exception | None:
    try:
        ingestor.ingest(decode(data))
    except Exception as error:  # noqa: BLE001 - what it is decides
        return error
    return None
