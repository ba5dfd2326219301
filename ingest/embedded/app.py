"""The web application: all routes, and what is answered where something goes wrong."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from ingest.embedded.access import CatalogueContext
from ingest.embedded.filters import FilterError
from ingest.embedded.metadata import FailsOnRealServer
from ingest.embedded.routes import datasets, files, others
from ingest.embedded.routes.request import RefusedV3, error_body, v3_error_body


def make_app(catalogue: CatalogueContext) -> ASGIApp:
    """The ASGI application of this catalogue."""
    app = FastAPI(title="SciCat, embedded", openapi_url=None)
    app.state.catalogue = catalogue
    # Routes with a fixed name come before those with a pid in the same place.
    app.include_router(datasets.search_routes())
    app.include_router(datasets.public_routes())
    for version in (datasets.V3, datasets.V4):
        app.include_router(datasets.DatasetApi(version).router())
        app.include_router(files.block_routes(version.name))
    app.include_router(files.attachment_routes())
    app.include_router(files.attachment_routes_v4())
    app.include_router(others.auth_routes())
    for resource in (others.PROPOSAL, others.SAMPLE, others.INSTRUMENT):
        app.include_router(others.ResourceApi(resource).router())
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(FilterError, _bad_filter)
    app.add_exception_handler(FailsOnRealServer, _failing)
    app.add_exception_handler(Exception, _failed)
    return _UndecodedPath(app)


_FIXED = re.compile(r"/api/v\d/[A-Za-z]+")


class _UndecodedPath:
    """Lets routes match the path as it was sent: in `/datasets/a%2Fb` the pid is one part of it.

    Of the kind of document upper and lower case are the same, as on the real server: pyscicat asks for `Datasets`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("raw_path"):
            path = scope["raw_path"].decode("latin-1")
            scope = {**scope, "path": _FIXED.sub(lambda found: found[0].lower(), path, count=1)}
        await self._app(scope, receive, send)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    status: int = getattr(error, "status_code", 500)
    message: Any = getattr(error, "detail", "")
    if status == 404 and message == "Not Found":  # no such route
        message = f"Cannot {request.method} {request.url.path}"
    make = v3_error_body if isinstance(error, RefusedV3) else error_body
    return JSONResponse(make(status, message), status)


async def _bad_filter(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse(error_body(400, str(error)), 400)


async def _failing(_request: Request, error: Exception) -> JSONResponse:
    # The real server answers 500, or crashes, over it: whoever depends on a success here would be wrong there.
    return JSONResponse(error_body(500, str(error)), 500)


async def _failed(_request: Request, _error: Exception) -> JSONResponse:
    # uvicorn writes the traceback into the log; the client learns nothing of the inside.
    return JSONResponse(error_body(500, "Internal server error"), 500)
