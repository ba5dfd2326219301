"""Faults of the embedded catalogue while it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from ingest.scicat import SciCat
from tests.servers.catalogue import Catalogue
from tests.waiting import PATIENCE


def need_faults(catalogue: Catalogue) -> None:
    """Skip on a given catalogue."""
    if catalogue.process is None:
        pytest.skip("a given SciCat cannot be told to fail")


@contextmanager
def failing(catalogue: Catalogue, *rules: dict[str, Any]) -> Iterator[None]:
    """Within this context, the catalogue has these faults (docs/reference/embedded-faults.md). May skip."""
    need_faults(catalogue)
    account = catalogue.ingestor
    scicat = SciCat(catalogue.url, account.username, account.password, timeout=PATIENCE)
    scicat.login()
    url, headers = f"{catalogue.url}/embedded/faults", {"Authorization": f"Bearer {scicat.token}"}
    requests.put(url, json.dumps(rules), headers=headers, timeout=PATIENCE).raise_for_status()
    try:
        yield
    finally:
        # The rules may have voided that token as well.
        scicat.login()
        again = {"Authorization": f"Bearer {scicat.token}"}
        requests.delete(url, headers=again, timeout=PATIENCE).raise_for_status()
