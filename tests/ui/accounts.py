"""The accounts of the catalogue that the widgets are tested on: the embedded one, or a given one."""

from __future__ import annotations

import pytest

from tests.servers import catalogue

GIVEN = catalogue.given_catalogue() if "given" in catalogue.KINDS else None

INGESTOR = GIVEN.ingestor if GIVEN else catalogue.INGESTOR
_NOBODY = catalogue.Account("", "", ("",))
USER1 = catalogue.USER1 if GIVEN is None else GIVEN.user1 or _NOBODY
USER2 = catalogue.USER2 if GIVEN is None else GIVEN.user2 or _NOBODY


def need_users(*accounts: catalogue.Account) -> None:
    """Skip where a given catalogue has no such accounts, or their groups are not known."""
    if any(not account.username or not account.groups for account in accounts):
        pytest.skip("SCIZOO_SCICAT_USER and SCIZOO_SCICAT_OTHER=name:password:group are not set")
