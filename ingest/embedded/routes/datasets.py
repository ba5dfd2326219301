"""The routes of datasets: the same for v3 and v4 but for names, defaults and forms."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from ingest.embedded import dataset_forms, models, search
from ingest.embedded.access import (
    ATTACHMENTS,
    DATASETS,
    ORIGDATABLOCKS,
    V3_DATASETS,
    CatalogueContext,
    may_change,
    may_read,
    stamped,
    visible,
)
from ingest.embedded.accounts import CatalogueAccount
from ingest.embedded.filters import NO_LIMIT, FilterQuery, TableShape, all_of, where, with_dates
from ingest.embedded.routes.included import with_included
from ingest.embedded.routes.request import (
    MERGE_PATCH_TYPE,
    Body,
    Held,
    Key,
    RefusedV3,
    Who,
    limited,
    list_query,
    media_type,
    parse_json,
    query_object,
    refuse,
    validated,
)
from ingest.embedded.store import DocumentExists

Json = dict[str, Any]


@dataclass(frozen=True)
class ApiVersion:
    """What differs between v3 and v4."""

    name: str
    shape: TableShape
    limit: int
    create: Callable[[Json], type[models.Strict]]
    update: type[models.Strict]
    patch: type[models.Strict]
    stored: Callable[[Mapping[str, Any]], Json]
    shown: Callable[[Mapping[str, Any]], Json]


def _create_v3(sent: Json) -> type[models.Strict]:
    return models.CreateDerivedV3 if sent.get("type") == "derived" else models.CreateRawV3


V3 = ApiVersion(
    "v3",
    V3_DATASETS,
    100,
    _create_v3,
    models.UpdateDatasetV3,
    models.PatchDatasetV3,
    dataset_forms.from_v3,
    dataset_forms.to_v3,
)
V4 = ApiVersion(
    "v4",
    DATASETS.shape,
    10,
    lambda _: models.CreateDatasetV4,
    models.UpdateDatasetV4,
    models.PatchDatasetV4,
    dict,
    dict,
)


def readable(held: CatalogueContext, who: CatalogueAccount | None, pid: str) -> Json:
    """The dataset as it is stored. HTTPException 404 or 403."""
    with held.store.read() as connection:
        document = DATASETS.get(connection, pid)
    if document is None:
        raise refuse(404, f"Dataset #{pid} not found")
    if not may_read(who, document):
        raise refuse(403, "Forbidden resource")
    return document


def _changeable(document: Json | None, who: CatalogueAccount, pid: str) -> Json:
    if document is None:
        raise refuse(404, f"Dataset #{pid} not found")
    if not may_change(who, document):
        raise refuse(403, "Unauthorized to update this dataset")
    return document


def _check_unmodified(request: Request, document: Json) -> None:
    """HTTPException 412 if the document is as new as `If-Unmodified-Since`; a date that can't be read is ignored."""
    text = request.headers.get("if-unmodified-since", "")
    for parse in (dt.datetime.fromisoformat, lambda text: dt.datetime.strptime(text, "%a, %d %b %Y %H:%M:%S %Z")):
        try:
            since = parse(text)
        except ValueError:
            continue
        since = since.replace(tzinfo=dt.UTC) if since.tzinfo is None else since
        if since <= dt.datetime.fromisoformat(document["updatedAt"]):
            raise refuse(412, "Resource has been modified on server")


def public_routes() -> APIRouter:
    """`/datasets/public` of v4, which clients without a login use: scitacean, for one."""
    router = APIRouter(prefix="/api/v4/datasets/public")
    api = DatasetApi(V4)

    @router.get("")
    def find(request: Request, held: Held) -> JSONResponse:
        return api.find(request, held, None)

    @router.get("/count")
    def count(request: Request, held: Held) -> JSONResponse:
        return api.count(request, held, None)

    @router.get("/findOne")
    def find_one(request: Request, held: Held) -> Response:
        return api.find_one(request, held, None)

    @router.get("/{key}")
    def get(request: Request, held: Held, pid: Key) -> Response:
        with held.store.read() as connection:
            document = DATASETS.get(connection, pid)
        if document is None or not document.get("isPublished"):
            return Response()  # an empty 200, as for all that the real server does not find here
        return JSONResponse(with_included(held, None, document, request.query_params.getlist("include")))

    return router


class DatasetApi:
    """The handlers of one version."""

    def __init__(self, version: ApiVersion) -> None:
        self._version = version

    def router(self) -> APIRouter:
        router = APIRouter(prefix=f"/api/{self._version.name}/datasets")
        router.add_api_route("", self.create, methods=["POST"])
        router.add_api_route("", self.find, methods=["GET"])
        router.add_api_route("/count", self.count, methods=["GET"])
        router.add_api_route("/findOne", self.find_one, methods=["GET"])
        router.add_api_route("/{key}", self.get, methods=["GET"])
        router.add_api_route("/{key}", self.patch, methods=["PATCH"])
        router.add_api_route("/{key}", self.put, methods=["PUT"])
        router.add_api_route("/{key}", self.delete, methods=["DELETE"])
        return router

    def create(self, held: Held, who: Who, sent: Body) -> JSONResponse:
        if who is None:
            raise refuse(403, "Forbidden resource")
        fields = self._version.stored(self._new(sent))
        if not who.admin and (fields.get("pid") or not may_change(who, fields)):
            raise refuse(403, "Unauthorized to create this dataset")
        if not fields.get("owner"):
            raise refuse(500, "Internal server error")  # so does v4, whose form does not ask for it
        document = stamped(dataset_forms.created(fields, self._version.name), who)
        try:
            with held.store.write() as connection:
                DATASETS.insert(connection, document)
        except DocumentExists:
            raise refuse(409, f"a dataset with the pid {document['pid']} is there already") from None
        return JSONResponse(self._version.shown(document), 201)

    def _new(self, sent: Json) -> Json:
        try:
            return validated(self._version.create(sent), sent)
        except HTTPException as error:
            raise RefusedV3(error.detail) if self._version is V3 else error from None  # type: ignore[arg-type]

    def find(self, request: Request, held: Held, who: Who) -> JSONResponse:
        found = DATASETS.find(held.store, self._query(request, who, self._version.limit))
        return JSONResponse([self._version.shown(document) for document in found])

    def count(self, request: Request, held: Held, who: Who) -> JSONResponse:
        query = self._query(request, who, 1)
        with held.store.read() as connection:
            return JSONResponse({"count": DATASETS.count(connection, query.condition)})

    def find_one(self, request: Request, held: Held, who: Who) -> JSONResponse:
        found = DATASETS.find(held.store, replace(self._query(request, who, 1), limit=1))
        return JSONResponse(self._version.shown(found[0]) if found else None)

    def get(self, request: Request, held: Held, who: Who, pid: Key) -> JSONResponse:
        document = self._version.shown(readable(held, who, pid))
        wanted = request.query_params.getlist("include") if self._version is V4 else []
        return JSONResponse(with_included(held, who, document, wanted))

    def patch(self, request: Request, held: Held, who: Who, pid: Key, sent: Body) -> JSONResponse:
        # Merged only if the content type is exactly this: with a charset behind it the real server replaces.
        merge = self._version is V4 and media_type(request) == MERGE_PATCH_TYPE
        change = dataset_forms.merged if merge else dataset_forms.patched
        if self._version is V4:
            sent = dataset_forms.RESET_TOTALS | sent
        return self._change(request, held, who, pid, change, self._version.patch, sent)

    def put(self, request: Request, held: Held, who: Who, pid: Key, sent: Body) -> JSONResponse:
        return self._change(request, held, who, pid, dataset_forms.replaced, self._version.update, sent)

    def delete(self, held: Held, who: Who, pid: Key) -> JSONResponse:
        if who is None or not who.admin:
            raise refuse(403, "Forbidden resource")
        with held.store.write() as connection:
            document = _changeable(DATASETS.get(connection, pid), who, pid)
            DATASETS.delete(connection, pid)
        return JSONResponse(self._version.shown(document))

    def _query(self, request: Request, who: CatalogueAccount | None, limit: int) -> FilterQuery:
        wanted = query_object(request, "filter")
        if self._version is V3:
            wanted = {**wanted, "where": with_dates(wanted.get("where"))}
        return _allowed(list_query(wanted, self._version.shape, limit), who)

    def _change(
        self,
        request: Request,
        held: CatalogueContext,
        who: CatalogueAccount | None,
        pid: str,
        change: Callable[[Json, Json], Json],
        form: type[models.Strict],
        sent: Json,
    ) -> JSONResponse:
        if who is None:
            raise refuse(403, "Forbidden resource")
        fields = self._version.stored(validated(form, sent))
        with held.store.write() as connection:
            document = _changeable(DATASETS.get(connection, pid), who, pid)
            _check_unmodified(request, document)
            before, document = document, {**change(document, fields), **_stamp(who)}
            DATASETS.replace(connection, document)
            _share_groups(connection, before, document)
        return JSONResponse(self._version.shown(document))


def _share_groups(connection: sqlite3.Connection, before: Json, dataset: Json) -> None:
    """Whoever may not read the dataset any more may not read its lists of files and its pictures, either."""
    changed = {
        name: dataset.get(name) for name in ("ownerGroup", "accessGroups") if before.get(name) != dataset.get(name)
    }
    if changed:
        for collection in (ORIGDATABLOCKS, ATTACHMENTS):
            mine = FilterQuery(where({"datasetId": dataset["pid"]}, collection.shape), limit=NO_LIMIT)
            for document in collection.select(connection, mine):
                collection.replace(connection, document | changed)


def _stamp(who: CatalogueAccount) -> Json:
    changed = stamped({}, who)
    return {name: changed[name] for name in ("updatedBy", "updatedAt")}


def _allowed(query: FilterQuery, who: CatalogueAccount | None) -> FilterQuery:
    return replace(query, condition=all_of([visible(who, DATASETS.table), query.condition]))


def search_routes() -> APIRouter:
    """fullquery, fullfacet and metadataKeys, which only v3 has."""
    router = APIRouter(prefix="/api/v3/datasets")

    def _search(request: Request, who: CatalogueAccount | None, fields: Json) -> FilterQuery:
        query = _allowed(FilterQuery(search.condition(fields, DATASETS)), who)
        return limited(query, query_object(request, "limits"), DATASETS.shape)

    @router.get("/fullquery")
    def full_query(request: Request, held: Held, who: Who) -> JSONResponse:
        found = DATASETS.find(held.store, _search(request, who, query_object(request, "fields")))
        return JSONResponse([dataset_forms.to_v3(document) for document in found])

    @router.get("/fullfacet")
    def full_facet(request: Request, held: Held, who: Who) -> JSONResponse:
        fields = query_object(request, "fields")
        names = parse_json(request.query_params.get("facets") or "[]")
        with held.store.read() as connection:
            found = search.facets(connection, DATASETS, fields, names, visible(who, DATASETS.table))
        return JSONResponse(found)

    @router.get("/metadataKeys")
    def metadata_keys(request: Request, held: Held, who: Who) -> JSONResponse:
        fields = query_object(request, "fields")
        if "metadataKey" in fields:  # as the frontend asks for it, and the real server fails
            raise refuse(500, "Internal server error")
        query = replace(_search(request, who, fields), fields=("scientificMetadata",))
        return JSONResponse(search.metadata_keys(DATASETS.find(held.store, query)))

    return router
