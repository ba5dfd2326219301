"""Accounts of the SciCats that the contract is checked on (`catalogue` of tests/conftest.py), and what they make."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ingest.scicat import SciCat
from tests.contract.api import Api, quoted
from tests.servers.catalogue import Catalogue

Json = dict[str, Any]


@pytest.fixture
def embedded_only(catalogue: Catalogue) -> None:
    if catalogue.process is None:
        pytest.skip("would break, or depends on a setting of, the real SciCat")


@pytest.fixture
def api(catalogue: Catalogue) -> Iterator[Api]:
    """The account of an ingestor: it may do everything."""
    with Api(catalogue.url, catalogue.ingestor) as found:
        yield found


@pytest.fixture
def client(catalogue: Catalogue) -> SciCat:
    """The product's own, with the ingestor's account."""
    return SciCat(catalogue.url, catalogue.ingestor.username, catalogue.ingestor.password)


@pytest.fixture
def may_delete(api: Api, new_dataset: Callable[..., Json]) -> None:
    """Skips where the ingestor's account may not delete datasets and datablocks."""
    pid = api.create(new_dataset())["pid"]
    if api.call("DELETE", f"/api/v3/datasets/{quoted(pid)}").status_code == 403:
        pytest.skip("the account SCIZOO_SCICAT_USERNAME is in none of DELETE_GROUPS")


@pytest.fixture
def anonymous(catalogue: Catalogue) -> Iterator[Api]:
    with Api(catalogue.url) as found:
        yield found


@pytest.fixture
def user(catalogue: Catalogue) -> Iterator[Api]:
    """A member of `group`."""
    if catalogue.user1 is None or not catalogue.user1.groups:
        pytest.skip("SCIZOO_SCICAT_USER=name:password:group is not set")
    with Api(catalogue.url, catalogue.user1) as found:
        yield found


@pytest.fixture
def other(catalogue: Catalogue) -> Iterator[Api]:
    """Someone who is not in `group`."""
    if catalogue.user2 is None:
        pytest.skip("SCIZOO_SCICAT_OTHER=name:password is not set")
    with Api(catalogue.url, catalogue.user2) as found:
        yield found


@pytest.fixture
def group(catalogue: Catalogue) -> str:
    """The group that owns what the tests make."""
    return catalogue.user1.groups[0] if catalogue.user1 and catalogue.user1.groups else "scizoo-contract"


@pytest.fixture
def proposal_id() -> str:
    """A proposal of this test alone, so that it finds only what it made."""
    return f"P{uuid.uuid4().hex[:12]}"


@pytest.fixture
def new_dataset(group: str, proposal_id: str) -> Callable[..., Json]:
    """Fields of a raw dataset of v3 with a pid of its own; named arguments change them."""

    def make(**changes: Any) -> Json:
        fields = {
            "pid": f"contract/{uuid.uuid4()}",
            "type": "raw",
            "owner": "Ada Lovelace",
            "contactEmail": "ada@example.org",
            "sourceFolder": "/data/visitors/cosaxs/20250001/raw",
            "creationTime": "2026-11-22T10:00:00.000Z",
            "ownerGroup": group,
            "principalInvestigator": "Ada Lovelace",
            "creationLocation": "/SITE/BEAMLINE",
            "datasetName": "scan",
            "proposalId": proposal_id,
        } | changes
        return {name: value for name, value in fields.items() if value is not ...}

    return make
