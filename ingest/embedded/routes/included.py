"""What belongs to a dataset, as v4 shows it: datablocks, attachments, and what it refers to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ingest.embedded.access import (
    ATTACHMENTS,
    INSTRUMENTS,
    ORIGDATABLOCKS,
    PROPOSALS,
    SAMPLES,
    CatalogueContext,
    visible,
)
from ingest.embedded.accounts import CatalogueAccount
from ingest.embedded.filters import NO_LIMIT, FilterQuery, all_of, where
from ingest.embedded.routes.request import refuse
from ingest.embedded.store import Collection

Json = dict[str, Any]


def of_dataset(held: CatalogueContext, collection: Collection, pid: str) -> list[Json]:
    """All documents of a kind that belong to this dataset, the oldest first."""
    query = FilterQuery(where({"datasetId": pid}, collection.shape), limit=NO_LIMIT)
    return collection.find(held.store, query)


def shown_block(block: Json) -> Json:
    """A datablock with an id for each of its files. They are refused where they are sent again."""
    ids = (f"{block['_id']}-{number}" for number in itertools.count())
    files = [{**file, "_id": key, "id": key} for file, key in zip(block.get("dataFileList", []), ids, strict=False)]
    return {**block, "dataFileList": files} if "dataFileList" in block else block


def attachment_of_v4(attachment: Json) -> Json:
    """An attachment in the form of v4, in which it has relationships."""
    related = {"targetId": attachment["datasetId"], "targetType": "dataset", "relationType": "is attached to"}
    own = {name: value for name, value in attachment.items() if name not in ("id", "datasetId")}
    return {**own, "aid": attachment["id"], "relationships": [related]}


Related = Callable[[CatalogueContext, CatalogueAccount | None, Json], list[Json]]


def _visible(held: CatalogueContext, who: CatalogueAccount | None, collection: Collection, wanted: Json) -> list[Json]:
    """What this account may see on its own: a dataset that is made public does not make its datablocks public."""
    condition = all_of([visible(who, collection.table), where(wanted, collection.shape)])
    return collection.find(held.store, FilterQuery(condition, limit=NO_LIMIT))


def _blocks(held: CatalogueContext, who: CatalogueAccount | None, dataset: Json) -> list[Json]:
    return list(map(shown_block, _visible(held, who, ORIGDATABLOCKS, {"datasetId": dataset["pid"]})))


def _attachments(held: CatalogueContext, _who: CatalogueAccount | None, dataset: Json) -> list[Json]:
    # SciCat's own rule: who may read a dataset may read its attachments (`datasets-access.service.ts`).
    return list(map(attachment_of_v4, of_dataset(held, ATTACHMENTS, dataset["pid"])))


def _referred(collection: Collection, field: str) -> Related:
    def read(held: CatalogueContext, who: CatalogueAccount | None, dataset: Json) -> list[Json]:
        return _visible(held, who, collection, {collection.key: {"inq": list(dataset.get(field) or [])}})

    return read


def _instruments(held: CatalogueContext, _who: CatalogueAccount | None, dataset: Json) -> list[Json]:
    condition = where({"pid": {"inq": list(dataset.get("instrumentIds") or [])}}, INSTRUMENTS.shape)
    return INSTRUMENTS.find(held.store, FilterQuery(condition, limit=NO_LIMIT))


_RELATIONS: Mapping[str, Related] = {
    "instruments": _instruments,
    "proposals": _referred(PROPOSALS, "proposalIds"),
    "samples": _referred(SAMPLES, "sampleIds"),
    "origdatablocks": _blocks,
    "datablocks": lambda held, who, dataset: [],  # of archives, which there are none of here
    "attachments": _attachments,
}


def with_included(held: CatalogueContext, who: CatalogueAccount | None, dataset: Json, wanted: Iterable[str]) -> Json:
    """The dataset with these of its relations, `all` for every one. HTTPException 400 for another name."""
    names = list(wanted)
    for name in names:
        if name not in _RELATIONS and name != "all":
            raise refuse(400, f'Provided include field "{name[:100]}" is not part of the dataset relations')
    if "all" in names:
        names = list(_RELATIONS)
    return {**dataset, **{name: _RELATIONS[name](held, who, dataset) for name in names}}
