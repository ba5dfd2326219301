"""The contract as it was recorded on the real SciCat, where that recording is at hand."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.paths import SHARED
from tests.servers.catalogue import Account, Catalogue

SCRIPT = SHARED / "contracts" / "scicat_contract.py"


def _argument(account: Account) -> str:
    return ":".join([account.username, account.password, *account.groups[:1]])


def test_the_recorded_contract_holds(catalogue: Catalogue, whole_mongodb: None) -> None:
    if not SCRIPT.exists():
        pytest.skip("shared/contracts/scicat_contract.py is not beside this checkout")
    if catalogue.user1 is None or catalogue.user2 is None:
        pytest.skip("SCIZOO_SCICAT_USER and SCIZOO_SCICAT_OTHER are not set")
    arguments = ["--base-url", catalogue.url, "--admin", _argument(catalogue.ingestor)]
    arguments += ["--user", _argument(catalogue.user1), "--other", _argument(catalogue.user2)]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks hold" in done.stdout
