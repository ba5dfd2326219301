"""What is the same for all requests: the body, query parameters, who asks, and errors as NestJS writes them."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from ingest.embedded.access import CatalogueContext
from ingest.embedded.accounts import CatalogueAccount
from ingest.embedded.filters import FilterError, FilterQuery, TableShape, is_within, order_by, where

Json = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Bytes. The real server answers 500 to more, and not 413."""

MAX_LOGIN_BYTES = 10_000
"""Bytes of a login, which anybody may send."""

MAX_JSON_PARTS = 500_000
"""Values and containers in one text. Parsing many more would keep all other requests waiting."""

MAX_JSON_DEPTH = 100
"""Levels of nesting, which is also what MongoDB takes."""

MERGE_PATCH_TYPE = "application/merge-patch+json"

_EXACT = 2**53


class RefusedV3(HTTPException):
    """A dataset of v3 that is not taken: its answer has another form than all others."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(400, detail="; ".join(messages))


def refuse(status: int, message: str | list[str]) -> HTTPException:
    return HTTPException(status, detail=message)


def v3_error_body(status: int, message: Any) -> Json:
    return {"status": status, "message": message}


def error_body(status: int, message: Any) -> Json:
    return {"message": message, "error": HTTPStatus(status).phrase, "statusCode": status}


# ------------------------------------------------------------------------------- JSON


def parse_json(text: str | bytes) -> Any:
    """JSON as the catalogue can store it. HTTPException 400 for anything else."""
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if sum(data.count(mark) for mark in (b"[", b"{", b",")) > MAX_JSON_PARTS:
        raise refuse(400, f"more than {MAX_JSON_PARTS} values")
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_int=_integer, parse_float=_float)
    except (ValueError, RecursionError) as error:
        raise refuse(400, f"not valid JSON: {str(error)[:200]}") from error
    _check(value)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int | float:
    # As in JavaScript a number is a float64: what it can't hold exactly is rounded.
    if len(digits) < 17 and abs(int(digits)) <= _EXACT:
        return int(digits)
    return _float(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


def _check(value: Any, depth: int = 0) -> None:
    if depth > MAX_JSON_DEPTH:
        raise refuse(400, f"nested deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, str):
        # A lone surrogate (`"\ud800"`) is valid JSON and has no UTF-8.
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise refuse(400, "a lone surrogate is not text")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check(key)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)


async def _sent(request: Request, most: int) -> Json:
    """The JSON object that was sent; an empty one if the content type is not JSON, as with NestJS."""
    data = bytearray()
    announced = request.headers.get("content-length", "")
    too_large = announced.isdecimal() and int(announced[:20]) > most
    if not too_large:
        async for chunk in request.stream():
            data += chunk
            if too_large := len(data) > most:
                break
    if too_large:
        raise refuse(500, "request entity too large")
    if media_type(request).partition(";")[0].strip() not in ("application/json", MERGE_PATCH_TYPE):
        return {}
    found = await run_in_threadpool(parse_json, bytes(data)) if data else {}
    if not isinstance(found, dict):
        raise refuse(400, "a JSON object is needed")
    return found


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").lower()


def validated(model: type[Model], sent: Json) -> Json:
    """The fields that were sent, checked and normalised. HTTPException 400."""
    try:
        return model.model_validate(sent).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise refuse(400, [_message(dict(one)) for one in error.errors(include_input=False)]) from error


def _message(error: Json) -> str:
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"property {place} should not exist"
    return f"{place}: {error['msg'].removeprefix('Value error, ')}"


# ------------------------------------------------------------------------------ query


def query_object(request: Request, name: str) -> Json:
    """The JSON object in a query parameter; {} without one."""
    text = request.query_params.get(name)
    found = parse_json(text) if text else {}
    if not isinstance(found, dict):
        raise refuse(400, f"{name}: a JSON object is needed")
    return found


def list_query(wanted: Json, shape: TableShape, limit: int) -> FilterQuery:
    """`{"where", "fields", "limits"}` as a query. `limit` is the one without limits."""
    condition = where(wanted.get("where") or {}, shape)
    fields = wanted.get("fields")
    if isinstance(fields, dict):
        fields = [name for name, chosen in fields.items() if chosen]
    if not isinstance(fields, list | None) or not all(isinstance(name, str) for name in fields or []):
        raise FilterError("fields: a list of names is needed")
    paths = tuple(shape.path(name) for name in fields) if fields else None
    # loopback's own form has limit, skip and order beside `where`
    limits = wanted.get("limits") or {name: wanted[name] for name in ("limit", "skip", "order") if name in wanted}
    return limited(FilterQuery(condition, limit=limit, fields=paths), limits, shape)


def limited(query: FilterQuery, limits: Any, shape: TableShape) -> FilterQuery:
    """The query with `{"limit", "skip", "order"}`. A limit of 0 is no limit given, as in JavaScript.

    The real server sorts what is left after `fields`: by nothing else.
    """
    if not isinstance(limits, dict):
        raise FilterError("limits: an object is needed")
    order = order_by(limits["order"], shape) if limits.get("order") else query.order
    order = tuple((path, descending) for path, descending in order if is_within(path, query.fields))
    limit, skip = (_count(limits, name) for name in ("limit", "skip"))
    return FilterQuery(query.condition, order, limit or query.limit, skip, query.fields)


def _count(limits: Json, name: str) -> int:
    found = limits.get(name) or 0
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 16:
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise FilterError(f"limits: {name} must be a whole number, 0 or more")
    return found


# ------------------------------------------------------------------------ who and what


# These are coroutines so that FastAPI calls them where they are, without a thread for each.


async def catalogue(request: Request) -> CatalogueContext:
    found: CatalogueContext = request.app.state.catalogue
    return found


async def account(request: Request) -> CatalogueAccount | None:
    """Who asks. None without a token, and also with a bad or expired one: as on the real server."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    held: CatalogueContext = request.app.state.catalogue
    username = held.tokens.username(token.strip())
    return held.accounts.get(username) if username else None


Who = Annotated[CatalogueAccount | None, Depends(account)]


async def body(request: Request, who: Who) -> Json:
    """What was sent with a write. HTTPException 403, before anything of it is read, for who is not logged in."""
    if who is None:
        raise refuse(403, "Forbidden resource")
    return await _sent(request, MAX_BODY_BYTES)


async def login_body(request: Request) -> Json:
    return await _sent(request, MAX_LOGIN_BYTES)


async def path_key(request: Request) -> str:
    """The `{key}` of the path. The path is matched undecoded, so that a pid can have a `/` in it."""
    return unquote(request.path_params["key"])


Held = Annotated[CatalogueContext, Depends(catalogue)]
Body = Annotated[Json, Depends(body)]
LoginBody = Annotated[Json, Depends(login_body)]
Key = Annotated[str, Depends(path_key)]
