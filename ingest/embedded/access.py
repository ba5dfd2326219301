"""What the catalogue holds, and who may see and change it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingest.embedded.accounts import Accounts, CatalogueAccount
from ingest.embedded.dataset_forms import V3_NAMES
from ingest.embedded.filters import TRUE_CONDITION, SqlCondition, TableShape
from ingest.embedded.store import PUBLIC, READER, Collection, Store
from ingest.embedded.tokens import TokenSigner

Json = dict[str, Any]

_DATASET_LISTS = frozenset(
    {
        *("proposalIds", "sampleIds", "instrumentIds", "principalInvestigators"),
        *("accessGroups", "sharedWith", "keywords", "inputDatasets", "usedSoftware"),
    }
)
_DATASET_INDEXES = ("creationTime", "updatedAt", "ownerGroup", "type", "creationLocation", "datasetName")

DATASETS = Collection(TableShape("datasets", _DATASET_LISTS), "pid", _DATASET_INDEXES, searchable=True)
PROPOSALS = Collection(TableShape("proposals", frozenset({"accessGroups", "instrumentIds", "keywords"})), "proposalId")
SAMPLES = Collection(TableShape("samples", frozenset({"accessGroups"})), "sampleId")
INSTRUMENTS = Collection(TableShape("instruments"), "pid")
ORIGDATABLOCKS = Collection(TableShape("origdatablocks", frozenset({"accessGroups"})), "_id", ("datasetId",))
ATTACHMENTS = Collection(TableShape("attachments", frozenset({"accessGroups"})), "id", ("datasetId",))

COLLECTIONS = (DATASETS, PROPOSALS, SAMPLES, INSTRUMENTS, ORIGDATABLOCKS, ATTACHMENTS)

V3_DATASETS = TableShape("datasets", _DATASET_LISTS, V3_NAMES)
"""Datasets under the names that v3's filters use."""


@dataclass(frozen=True)
class CatalogueContext:
    """All that a request needs. Made once for the whole server."""

    store: Store
    accounts: Accounts
    tokens: TokenSigner


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamped(document: Mapping[str, Any], account: CatalogueAccount) -> Json:
    """The document of a change that this account makes now."""
    time = now()
    return {
        "createdBy": account.username,
        "createdAt": time,
        **document,
        "updatedBy": account.username,
        "updatedAt": time,
    }


# ----------------------------------------------------------------------------- rights


def visible(account: CatalogueAccount | None, table: str) -> SqlCondition:
    """The documents that an account may read; None is who is not logged in."""
    if account is not None and account.admin:
        return TRUE_CONDITION
    tests, values = ["field = ?"], [PUBLIC]
    if account is not None:
        tests.append("field = 'sharedWith' AND value = ?")
        values.append(account.email)
        if account.groups:
            tests.append(f"field = ? AND value IN ({', '.join('?' * len(account.groups))})")
            values += [READER, *account.groups]
    allowed = " OR ".join(f"({test})" for test in tests)
    return SqlCondition(f"id IN (SELECT id FROM {table}_members WHERE {allowed})", tuple(values))  # noqa: S608 - constants


def may_read(account: CatalogueAccount | None, document: Mapping[str, Any]) -> bool:
    if document.get("isPublished"):
        return True
    if account is None:
        return False
    readers = {document.get("ownerGroup"), *(document.get("accessGroups") or [])}
    shared = bool(account.email) and account.email in (document.get("sharedWith") or [])
    return account.admin or shared or not readers.isdisjoint(account.groups)


def may_change(account: CatalogueAccount | None, document: Mapping[str, Any]) -> bool:
    """Administrators, and the members of the group that owns it."""
    return account is not None and (account.admin or document.get("ownerGroup") in account.groups)
