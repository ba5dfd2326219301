"""The routes of what belongs to a dataset: lists of files and attachments."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ingest.embedded import models
from ingest.embedded.access import (
    ATTACHMENTS,
    DATASETS,
    ORIGDATABLOCKS,
    CatalogueContext,
    may_change,
    now,
    stamped,
    visible,
)
from ingest.embedded.accounts import CatalogueAccount
from ingest.embedded.filters import FALSE_CONDITION, FilterQuery, all_of, where
from ingest.embedded.routes.datasets import readable
from ingest.embedded.routes.included import attachment_of_v4, of_dataset, shown_block
from ingest.embedded.routes.request import Body, Held, Key, Who, list_query, query_object, refuse, validated
from ingest.embedded.store import Collection

Json = dict[str, Any]

DEFAULT_LIST_LENGTH = 10
"""Documents of a list where no limit is given."""


def _owned(connection: sqlite3.Connection, who: CatalogueAccount | None, pid: str) -> Json:
    """The dataset, if this account may add to it. HTTPException 400 or 403."""
    if who is None:
        raise refuse(403, "Forbidden resource")
    dataset = DATASETS.get(connection, pid)
    if dataset is None:
        raise refuse(400, f"dataset {pid} does not exist")
    if not may_change(who, dataset):
        raise refuse(403, "Unauthorized to add to this dataset")
    return dataset


def _inherited(dataset: Json) -> Json:
    return {name: dataset[name] for name in ("ownerGroup", "accessGroups", "isPublished") if name in dataset}


def _newest(held: CatalogueContext, collection: Collection, pid: str) -> list[Json]:
    query = FilterQuery(where({"datasetId": pid}, collection.shape), (("createdAt", True),), DEFAULT_LIST_LENGTH)
    return collection.find(held.store, query)


# --------------------------------------------------------------------- origdatablocks


def _add_block(held: CatalogueContext, who: CatalogueAccount | None, sent: Json) -> JSONResponse:
    if who is None:
        raise refuse(403, "Forbidden resource")
    fields = validated(models.CreateOrigDatablock, sent)
    with held.store.write() as connection:
        dataset = _owned(connection, who, fields["datasetId"])
        key = str(uuid.uuid4())
        given = {name: value for name, value in fields.items() if value is not None}
        block = stamped({"_id": key, "id": key, **_inherited(dataset), **given}, who)
        ORIGDATABLOCKS.insert(connection, block)
        _count_files(connection, dataset["pid"])
    return JSONResponse(block, 201)


def _count_files(connection: sqlite3.Connection, pid: str) -> None:
    """Bytes and files of a dataset over all its blocks; one that was sent twice counts twice, as on the real server.

    SQLite does it, without reading dataset and blocks into memory: a scan may have thousands of files, in many blocks.
    """
    of_dataset = where({"datasetId": pid}, ORIGDATABLOCKS.shape)
    size, files = ORIGDATABLOCKS.sums(connection, ("$.size", "$.dataFileList"), of_dataset)
    DATASETS.set_plain(connection, pid, {"size": size, "numberOfFiles": files, "updatedAt": now()})


def block_routes(version: str) -> APIRouter:
    router = APIRouter(prefix=f"/api/{version}")

    @router.post("/origdatablocks")
    def create(held: Held, who: Who, sent: Body) -> JSONResponse:
        return _add_block(held, who, sent)

    @router.get("/origdatablocks")
    def find(request: Request, held: Held, who: Who) -> JSONResponse:
        limit = DEFAULT_LIST_LENGTH if version == "v4" else 100
        query = list_query(query_object(request, "filter"), ORIGDATABLOCKS.shape, limit)
        allowed = all_of([visible(who, ORIGDATABLOCKS.table), query.condition])
        found = ORIGDATABLOCKS.find(held.store, replace(query, condition=allowed))
        return JSONResponse(list(map(shown_block, found)))

    @router.post("/datasets/{key}/origdatablocks")
    def create_for(held: Held, who: Who, pid: Key, sent: Body) -> JSONResponse:
        return _add_block(held, who, {**sent, "datasetId": pid})

    @router.get("/datasets/{key}/origdatablocks")
    def find_for(held: Held, who: Who, pid: Key) -> JSONResponse:
        readable(held, who, pid)
        return JSONResponse(list(map(shown_block, of_dataset(held, ORIGDATABLOCKS, pid))))

    @router.patch("/origdatablocks/{key}")
    def change(held: Held, who: Who, key: Key, sent: Body) -> JSONResponse:
        if who is None:
            raise refuse(403, "Forbidden resource")
        fields = validated(models.PatchOrigDatablock, sent)
        with held.store.write() as connection:
            block = ORIGDATABLOCKS.get(connection, key)
            if block is None:
                raise refuse(404, f"OrigDatablock {key} not found")
            if not may_change(who, block):
                raise refuse(403, "Unauthorized access")
            changed = stamped({**block, **fields}, who)
            ORIGDATABLOCKS.replace(connection, changed)
            _count_files(connection, block["datasetId"])
        return JSONResponse(changed)

    @router.delete("/origdatablocks/{key}")
    def delete(held: Held, who: Who, key: Key) -> JSONResponse:
        if who is None or not who.admin:
            raise refuse(403, "Forbidden resource")
        with held.store.write() as connection:
            block = ORIGDATABLOCKS.get(connection, key)
            if block is None:
                raise refuse(404, f"OrigDatablock {key} not found")
            ORIGDATABLOCKS.delete(connection, key)
            _count_files(connection, block["datasetId"])
        return JSONResponse(block)

    return router


# ------------------------------------------------------------------------ attachments


def attachment_routes() -> APIRouter:
    """Of v3."""
    router = APIRouter(prefix="/api/v3/datasets")

    @router.post("/{key}/attachments")
    def create(held: Held, who: Who, pid: Key, sent: Body) -> JSONResponse:
        if who is None:
            raise refuse(403, "Forbidden resource")
        fields = validated(models.CreateAttachment, sent)
        with held.store.write() as connection:
            dataset = _owned(connection, who, pid)
            # As on the real server: id and owner that were sent are ignored, other groups are not the dataset's.
            own = {"id": str(uuid.uuid4()), "datasetId": pid, "ownerGroup": dataset["ownerGroup"]}
            attachment = stamped({**_inherited(dataset), "accessGroups": [], **fields, **own}, who)
            ATTACHMENTS.insert(connection, attachment)
        return JSONResponse(attachment, 201)

    @router.get("/{key}/attachments")
    def find(held: Held, who: Who, pid: Key) -> JSONResponse:
        readable(held, who, pid)
        return JSONResponse(_newest(held, ATTACHMENTS, pid))

    @router.get("/{key}/thumbnail")
    def thumbnail(held: Held, who: Who, pid: Key) -> JSONResponse:
        readable(held, who, pid)
        pictures = [one["thumbnail"] for one in of_dataset(held, ATTACHMENTS, pid) if one.get("thumbnail")]
        return JSONResponse({"thumbnail": pictures[0]} if pictures else {})

    @router.delete("/{key}/attachments/{attachment}")
    def delete(held: Held, who: Who, pid: Key, attachment: str) -> JSONResponse:
        with held.store.write() as connection:
            _owned(connection, who, pid)
            found = ATTACHMENTS.get(connection, attachment)
            if found is None or found["datasetId"] != pid:
                raise refuse(404, f"Attachment {attachment} not found")
            ATTACHMENTS.delete(connection, attachment)
        return JSONResponse(found)

    return router


_TARGET, _TARGET_TYPE = "relationships.targetId", "relationships.targetType"
"""As v4 keeps what an attachment belongs to. Here all of them belong to datasets."""


def attachment_routes_v4() -> APIRouter:
    """What only v4 has: changes, and the list of all attachments, the only one that goes beyond the ten newest."""
    router = APIRouter(prefix="/api/v4/attachments")

    @router.get("")
    def find(request: Request, held: Held, who: Who) -> JSONResponse:
        wanted = query_object(request, "filter")
        names = {_TARGET: "datasetId"}
        conditions = {names.get(name, name): value for name, value in (wanted.get("where") or {}).items()}
        of_datasets = conditions.pop(_TARGET_TYPE, "dataset") == "dataset"
        limits = {**(wanted.get("limits") or {"sort": {"createdAt": "desc"}})}
        if sort := limits.pop("sort", {}):
            limits["order"] = [f"{_ID.get(name, name)}:{direction}" for name, direction in sort.items()]
        query = list_query({"where": conditions, "limits": limits}, ATTACHMENTS.shape, DEFAULT_LIST_LENGTH)
        allowed = [visible(who, ATTACHMENTS.table), query.condition, *([] if of_datasets else [FALSE_CONDITION])]
        found = ATTACHMENTS.find(held.store, replace(query, condition=all_of(allowed)))
        return JSONResponse([attachment_of_v4(attachment) for attachment in found])

    @router.patch("/{key}")
    def change(held: Held, who: Who, key: Key, sent: Body) -> JSONResponse:
        if who is None or not who.admin:
            raise refuse(403, "Forbidden resource")
        fields = validated(models.PatchAttachmentV4, sent)
        with held.store.write() as connection:
            attachment = ATTACHMENTS.get(connection, key)
            if attachment is None:
                raise refuse(404, f"Attachment: {key} not found")
            given = {name: value for name, value in fields.items() if value is not None}
            changed = stamped({**attachment, **given}, who)
            ATTACHMENTS.replace(connection, changed)
        return JSONResponse(attachment_of_v4(changed))

    return router


_ID = {"aid": "id"}
