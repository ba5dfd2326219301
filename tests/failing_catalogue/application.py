"""The embedded catalogue, but for what the rules say: an ASGI application around its own."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import secrets
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ingest.embedded.access import CatalogueContext
from ingest.embedded.app import make_app
from ingest.embedded.routes.request import Who, error_body, refuse
from ingest.embedded.tokens import TokenSigner
from tests.failing_catalogue.rules import FaultRule, Faults, FaultsError, rules_from

FAULTS_PATH = "/embedded/faults"

_PAGE = "<html>\n<head><title>{0}</title></head>\n<body><center><h1>{0}</h1></center><hr>nginx</body>\n</html>\n"


def failing_app(catalogue: CatalogueContext, rules: Sequence[FaultRule]) -> ASGIApp:
    """The ASGI application of this catalogue. `rules` are the faults that it begins with."""
    tokens = VoidableTokens(catalogue.store.secret("tokens"), catalogue.tokens.life)
    catalogue = dataclasses.replace(catalogue, tokens=tokens)
    return FaultInjection(make_app(catalogue), Faults(rules), catalogue, tokens)


class VoidableTokens(TokenSigner):
    """Tokens that can be made void before their time."""

    def void(self) -> None:
        """Every token that was issued so far counts as expired, until the next start."""
        self._secret = secrets.token_bytes(32)


class Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP, whose requests know their connection, so that it can be broken off."""

    app_state: dict[str, Any]

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.app_state = {**self.app_state, "connection": transport}
        super().connection_made(transport)


class FaultInjection:
    """The application, but for what the rules say, and the requests that change the rules."""

    def __init__(self, app: ASGIApp, faults: Faults, catalogue: CatalogueContext, tokens: VoidableTokens) -> None:
        self._app = app
        self._faults = faults
        self._tokens = tokens
        self._control = _control(faults, catalogue)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == FAULTS_PATH:
            await self._control(scope, receive, send)
            return
        for rule in self._faults.due(scope["method"], scope["path"]):
            if rule.do == "slow":
                await asyncio.sleep(rule.seconds)
            elif rule.do == "expire":
                self._tokens.void()
            else:
                await self._fail(rule, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _fail(self, rule: FaultRule, scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []
        if rule.do in ("answer_after", "cut_after", "cut_body"):
            await self._app(scope, receive, _into(answer))
        elif rule.do != "cut":
            await _taken(receive)  # a client that is still sending would not hear the answer
        if rule.body is not None:
            await Response(rule.body, rule.status, media_type="application/json")(scope, receive, send)
        elif rule.do in ("answer", "answer_after"):
            text = HTTPStatus(rule.status).phrase
            await JSONResponse(error_body(rule.status, text), rule.status)(scope, receive, send)
        elif rule.do == "html":
            page = _PAGE.format(f"{rule.status} {HTTPStatus(rule.status).phrase}")
            await HTMLResponse(page, rule.status)(scope, receive, send)
        elif rule.do == "hang":
            await _gone(receive)
        else:
            connection = scope["state"]["connection"]
            if rule.do == "cut_body":
                for part in _half(answer):
                    await send(part)
                connection.close()
            else:
                connection.abort()
            await _gone(receive)


def _into(messages: list[Message]) -> Send:
    async def send(message: Message) -> None:
        messages.append(message)

    return send


def _half(answer: list[Message]) -> Iterator[Message]:
    """The beginning of an answer, and half of what its headers promise."""
    body = b"".join(message.get("body", b"") for message in answer)
    yield answer[0]
    yield {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}


async def _taken(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        pass


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# -------------------------------------------------------------------------- the routes


def _control(faults: Faults, catalogue: CatalogueContext) -> ASGIApp:
    """GET, PUT (a text as of a file of rules) and DELETE, for an administrator on this machine."""
    app = FastAPI(openapi_url=None)
    app.state.catalogue = catalogue

    async def show(request: Request, who: Who) -> JSONResponse:
        _only_here(request, who)
        return JSONResponse(faults.shown())

    async def change(request: Request, who: Who) -> JSONResponse:
        _only_here(request, who)
        try:
            rules = rules_from((await request.body()).decode(), "the rules")
        except (FaultsError, UnicodeDecodeError) as error:
            raise refuse(400, str(error)) from error
        faults.use(rules)
        return JSONResponse(faults.shown())

    async def end(request: Request, who: Who) -> JSONResponse:
        """Answers what they came to."""
        _only_here(request, who)
        ended = faults.shown()
        faults.use(())
        return JSONResponse(ended)

    app.add_api_route(FAULTS_PATH, show, methods=["GET"])
    app.add_api_route(FAULTS_PATH, change, methods=["PUT"])
    app.add_api_route(FAULTS_PATH, end, methods=["DELETE"])
    app.add_exception_handler(HTTPException, _refused)
    return app


def _only_here(request: Request, who: Who) -> None:
    """HTTPException 403 for anybody else than an administrator on this machine."""
    host = request.client.host if request.client else ""
    if who is None or not who.admin or not host or not ipaddress.ip_address(host).is_loopback:
        raise refuse(403, "faults are for an administrator on the catalogue's own machine")


async def _refused(_request: Request, error: Any) -> JSONResponse:
    return JSONResponse(error_body(error.status_code, error.detail), error.status_code)
