"""The routes of logins, health, proposals, samples and instruments."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from ingest.embedded import models
from ingest.embedded.access import INSTRUMENTS, PROPOSALS, SAMPLES, may_change, may_read, now, stamped, visible
from ingest.embedded.accounts import CatalogueAccount
from ingest.embedded.filters import all_of, where
from ingest.embedded.routes.request import Body, Held, Key, LoginBody, Who, list_query, query_object, refuse, validated
from ingest.embedded.store import Collection, DocumentExists

Json = dict[str, Any]


def auth_routes() -> APIRouter:
    router = APIRouter(prefix="/api/v3")

    @router.post("/auth/login")
    def login(held: Held, sent: LoginBody) -> JSONResponse:
        credentials = validated(models.Credentials, sent)
        who = held.accounts.login(credentials["username"], credentials["password"])
        if who is None:
            raise refuse(401, "Unauthorized")
        token = held.tokens.issue(who.username)
        life = int(held.tokens.life)
        answer = {"access_token": token, "id": token, "expires_in": life, "ttl": life, "created": now()}
        return JSONResponse({**answer, "userId": who.username, "user": _user(who)}, 201)

    @router.get("/auth/whoami")
    def whoami(who: Who) -> Response:
        # Without a token, and with one that counts no more, it is nobody: no error.
        return Response() if who is None else JSONResponse(_user(who))

    @router.get("/users/{user}/userIdentity")
    def user_identity(user: str, held: Held, who: Who) -> Response:
        if who is None:
            raise refuse(401, "Unauthorized")
        if not who.admin and user != who.username:
            raise refuse(403, "Access Forbidden or Unauthorized")
        known = held.accounts.get(user)
        if known is None:
            return Response()
        profile = {"username": known.username, "email": known.email, "accessGroups": list(known.groups)}
        return JSONResponse({"userId": known.username, "authStrategy": "local", "profile": profile})

    @router.get("/health")
    def health(held: Held) -> JSONResponse:
        with held.store.read() as connection:
            connection.execute("SELECT 1 FROM datasets LIMIT 1").fetchone()
        up = {"database": {"status": "up"}}
        return JSONResponse({"status": "ok", "info": up, "error": {}, "details": up})

    return router


def _user(who: CatalogueAccount) -> Json:
    return {
        "_id": who.username,
        "id": who.username,
        "username": who.username,
        "email": who.email,
        "emailVerified": True,
        "authStrategy": "local",
        "currentGroups": list(who.groups),
    }


@dataclass(frozen=True)
class PlainResource:
    """A kind of document with plain routes. `taken` is the status of one whose key, or unique field, is there."""

    path: str
    collection: Collection
    create: type[models.Strict]
    patch: type[models.Strict]
    taken: int
    creator: Callable[[CatalogueAccount, Json], bool]
    public: bool = False
    unique: str = ""
    filter: str = "filter"


def _admin(who: CatalogueAccount, _document: Json) -> bool:
    return who.admin


PROPOSAL = PlainResource(
    "proposals", PROPOSALS, models.CreateProposal, models.PatchProposal, 409, _admin, filter="filters"
)
# The real server has no answer of its own for a sample that is there.
SAMPLE = PlainResource("samples", SAMPLES, models.CreateSample, models.PatchSample, 500, may_change)
INSTRUMENT = PlainResource(
    "instruments",
    INSTRUMENTS,
    models.CreateInstrument,
    models.PatchInstrument,
    409,
    _admin,
    public=True,
    unique="uniqueName",
)


class ResourceApi:
    """The handlers of one kind."""

    def __init__(self, resource: PlainResource) -> None:
        self._resource = resource
        self._collection = resource.collection

    def router(self) -> APIRouter:
        router = APIRouter(prefix=f"/api/v3/{self._resource.path}")
        router.add_api_route("", self.create, methods=["POST"])
        router.add_api_route("", self.find, methods=["GET"])
        router.add_api_route("/{key}", self.get, methods=["GET"])
        router.add_api_route("/{key}", self.patch, methods=["PATCH"])
        router.add_api_route("/{key}", self.delete, methods=["DELETE"])
        return router

    def create(self, held: Held, who: Who, sent: Body) -> JSONResponse:
        if who is None:
            raise refuse(403, "Forbidden resource")
        fields = validated(self._resource.create, sent)
        document = {name: value for name, value in fields.items() if value is not None}
        if not self._resource.creator(who, document):
            raise refuse(403, "Forbidden resource")
        key = document.setdefault(self._collection.key, str(uuid.uuid4()))
        document = stamped({"_id": key, **document}, who)
        try:
            with held.store.write() as connection:
                self._check_unique(connection, document)
                self._collection.insert(connection, document)
        except DocumentExists:
            raise refuse(self._resource.taken, f"{self._resource.path}: {key} is there already") from None
        return JSONResponse(document, 201)

    def _check_unique(self, connection: sqlite3.Connection, document: Json) -> None:
        """Raises DocumentExists."""
        unique = self._resource.unique
        if unique and self._collection.count(connection, where({unique: document[unique]}, self._collection.shape)):
            raise DocumentExists(document[unique])

    def find(self, request: Request, held: Held, who: Who) -> JSONResponse:
        query = list_query(query_object(request, self._resource.filter), self._collection.shape, 100)
        if not self._resource.public:
            allowed = visible(who, self._collection.table)
            query = replace(query, condition=all_of([allowed, query.condition]))
        return JSONResponse(self._collection.find(held.store, query))

    def get(self, held: Held, who: Who, key: Key) -> JSONResponse:
        with held.store.read() as connection:
            document = self._found(self._collection.get(connection, key), key)
        if not self._resource.public and not may_read(who, document):
            raise refuse(403, "Forbidden resource")
        return JSONResponse(document)

    def patch(self, held: Held, who: Who, key: Key, sent: Body) -> JSONResponse:
        if who is None:
            raise refuse(403, "Forbidden resource")
        fields = validated(self._resource.patch, sent)
        if fields.pop(self._collection.key, key) != key:
            raise refuse(400, f"property {self._collection.key} can't be changed")
        with held.store.write() as connection:
            document = self._found(self._collection.get(connection, key), key)
            if not self._resource.creator(who, document):
                raise refuse(403, "Forbidden resource")
            changed = {name: value for name, value in {**document, **fields}.items() if value is not None}
            document = stamped(changed, who)
            self._collection.replace(connection, document)
        return JSONResponse(document)

    def delete(self, held: Held, who: Who, key: Key) -> JSONResponse:
        if who is None or not who.admin:
            raise refuse(403, "Forbidden resource")
        with held.store.write() as connection:
            document = self._found(self._collection.get(connection, key), key)
            self._collection.delete(connection, key)
        return JSONResponse(document)

    def _found(self, document: Json | None, key: str) -> Json:
        if document is None:
            raise refuse(404, f"{self._resource.path}: {key} not found")
        return document
