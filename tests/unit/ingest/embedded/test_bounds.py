"""What one client cannot do to the others: anonymous bodies, large bodies, ever new orders, lists of other groups."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from ingest.embedded import store as store_module
from ingest.embedded.access import COLLECTIONS, DATASETS, CatalogueContext
from ingest.embedded.accounts import Accounts, CatalogueAccount
from ingest.embedded.app import make_app
from ingest.embedded.routes import request as request_module
from ingest.embedded.store import MAX_ORDER_INDEXES, NEW_INDEXES_SECONDS, OrderIndexes, Store
from ingest.embedded.tokens import TokenSigner
from tests.waiting import PATIENCE, eventually

ADMIN = CatalogueAccount("admin", "", admin=True)
OLD, NEW = CatalogueAccount("old", "", groups=("old",)), CatalogueAccount("new", "", groups=("new",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "catalogue.db", COLLECTIONS)
    yield found
    found.close()


class Client:
    """Requests to the application, without a server around it. `read` is how much of the last body it took."""

    def __init__(self, app: ASGIApp, tokens: TokenSigner) -> None:
        self._app = app
        self._tokens = tokens
        self.read = 0

    async def call(
        self, method: str, path: str, body: Any = None, who: CatalogueAccount | None = None, announced: bool = True
    ) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        headers = [(b"content-type", b"application/json")]
        if announced:
            headers.append((b"content-length", str(len(data)).encode()))
        if who is not None:
            headers.append((b"authorization", f"Bearer {self._tokens.issue(who.username)}".encode()))
        answer: list[Message] = []
        self.read = 0

        async def receive() -> Message:
            part = data[self.read : self.read + 65_536]
            self.read += len(part)
            return {"type": "http.request", "body": part, "more_body": self.read < len(data)}

        async def send(message: Message) -> None:
            answer.append(message)

        scope = {
            **{"type": "http", "http_version": "1.1", "method": method, "scheme": "http", "query_string": b""},
            **{"path": path, "raw_path": path.encode(), "headers": headers, "client": ("127.0.0.1", 1)},
            **{"server": ("127.0.0.1", 80), "root_path": "", "asgi": {"version": "3.0"}, "state": {}},
        }
        await self._app(scope, receive, send)
        content = b"".join(each.get("body", b"") for each in answer[1:])
        return answer[0]["status"], json.loads(content) if content else None

    def __call__(self, *args: Any, **more: Any) -> tuple[int, Any]:
        return asyncio.run(self.call(*args, **more))


@pytest.fixture
def client(store: Store) -> Client:
    tokens = TokenSigner(store.secret("tokens"), 3600.0)
    accounts = Accounts({each.username: each for each in (ADMIN, OLD, NEW)})
    return Client(make_app(CatalogueContext(store, accounts, tokens)), tokens)


DATASET = {
    **{"pid": "x", "type": "raw", "datasetName": "x", "owner": "x", "contactEmail": "a@example.org"},
    **{"sourceFolder": "/x", "creationTime": "2026-11-22T10:00:00Z", "ownerGroup": "old"},
}
HOSTILE = b"[" + b",".join([b"[]"] * 5_000_000) + b"]"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", path) for path in ("/api/v3/datasets", "/api/v4/datasets", "/api/v3/origdatablocks")),
        *(("POST", path) for path in ("/api/v3/datasets/x/attachments", "/api/v3/datasets/x/origdatablocks")),
        *(("POST", path) for path in ("/api/v3/proposals", "/api/v3/samples", "/api/v3/instruments")),
        *(("PATCH", path) for path in ("/api/v3/datasets/x", "/api/v4/datasets/x", "/api/v3/origdatablocks/x")),
        *(("PATCH", path) for path in ("/api/v3/proposals/x", "/api/v3/samples/x", "/api/v3/instruments/x")),
        *(("PUT", path) for path in ("/api/v3/datasets/x", "/api/v4/datasets/x")),
    ],
)
def test_nothing_is_read_of_what_nobody_sends(client: Client, method: str, path: str) -> None:
    assert client(method, path, HOSTILE)[0] == 403
    assert client.read == 0


@pytest.mark.parametrize("announced", [True, False])
def test_a_login_is_small(client: Client, announced: bool) -> None:
    path = "/api/v3/auth/login"
    assert client("POST", path, HOSTILE, announced=announced)[0] == 500
    assert client.read <= 65_536
    assert client("POST", path, {"username": "nobody", "password": "x"}, announced=announced)[0] == 401


def test_what_is_announced_as_too_large_is_not_read(client: Client) -> None:
    assert client("POST", "/api/v4/datasets", bytes(request_module.MAX_BODY_BYTES + 1), ADMIN)[0] == 500
    assert client.read == 0


@pytest.mark.parametrize("text", [b"[]", b"{}", b"[" * 50 + b"]" * 50, b"0"])
def test_more_values_than_can_be_parsed_at_once_are_refused(client: Client, text: bytes) -> None:
    parts = text.count(b"[") + text.count(b"{") + 1
    body = b"[" + b",".join([text] * (request_module.MAX_JSON_PARTS // parts + 2)) + b"]"
    status, answer = client("POST", "/api/v4/datasets", body, ADMIN)
    assert (status, answer["message"]) == (400, "more than 500000 values")


def test_other_requests_are_answered_while_a_body_is_parsed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go, parse = threading.Event(), threading.Event(), request_module.parse_json

    def slow(text: bytes) -> Any:
        begun.set()
        assert go.wait(PATIENCE)
        return parse(text)

    monkeypatch.setattr(request_module, "parse_json", slow)

    async def both() -> tuple[int, int]:
        write = asyncio.create_task(client.call("POST", "/api/v4/datasets", DATASET, ADMIN))
        await asyncio.to_thread(begun.wait, PATIENCE)
        health, _ = await asyncio.wait_for(client.call("GET", "/api/v3/health"), PATIENCE)
        go.set()
        return health, (await write)[0]

    assert asyncio.run(both()) == (200, 201)


# ------------------------------------------------------------------------------ rights


@pytest.mark.parametrize("change", [{"ownerGroup": "new"}, {"ownerGroup": "new", "accessGroups": []}])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_after_a_change_of_groups_the_old_ones_see_no_files_and_no_pictures(
    client: Client, method: str, change: dict[str, Any]
) -> None:
    assert client("POST", "/api/v4/datasets", DATASET, ADMIN)[0] == 201
    block = {"datasetId": "x", "size": 1, "dataFileList": [{"path": "a", "size": 1, "time": DATASET["creationTime"]}]}
    assert client("POST", "/api/v3/origdatablocks", block, ADMIN)[0] == 201
    picture = {"ownerGroup": "old", "caption": "plot", "thumbnail": "data:image/png;base64,AAAA"}
    assert client("POST", "/api/v3/datasets/x/attachments", picture, ADMIN)[0] == 201
    lists = ["/api/v3/origdatablocks", "/api/v4/origdatablocks", "/api/v4/attachments"]
    assert [[len(client("GET", path, who=who)[1]) for path in lists] for who in (OLD, NEW)] == [[1, 1, 1], [0, 0, 0]]
    without = {name: value for name, value in DATASET.items() if name not in ("pid", "type")}
    sent = change if method == "PATCH" else without | change
    assert client(method, "/api/v4/datasets/x", sent, ADMIN)[0] == 200
    assert [[len(client("GET", path, who=who)[1]) for path in lists] for who in (OLD, NEW)] == [[0, 0, 0], [1, 1, 1]]
    assert client("GET", "/api/v3/datasets/x/origdatablocks", who=OLD)[0] == 403


# ----------------------------------------------------------------------------- indexes


def test_ever_new_orders_make_a_bounded_number_of_indexes(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, store_module.__name__)
    now = [0.0]
    indexes = OrderIndexes(store.write, clock=lambda: now[0])

    def made() -> int:
        return sum("index on" in each.getMessage() for each in caplog.records)

    def want(fields: Callable[[int], str]) -> None:
        for number in range(40):
            indexes.want(DATASETS.shape, fields(number))

    want(lambda number: f"scientificMetadata.first{number}.value")
    assert eventually(lambda: made() == MAX_ORDER_INDEXES)
    want(lambda number: f"scientificMetadata.second{number}.value")
    now[0] += NEW_INDEXES_SECONDS
    want(lambda number: f"scientificMetadata.third{number}.value")
    assert eventually(lambda: made() == 2 * MAX_ORDER_INDEXES)
    indexes.stop()
    assert made() == 2 * MAX_ORDER_INDEXES
